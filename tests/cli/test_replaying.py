"""A replay of what a history or a file holds, under rules of which one side has not been seen by anybody."""

import asyncio
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cases.table import CASES
from tests.conftest import Loop
from tests.replay.recorded import LOOSENED, UNRELATED, changed
from webhook.admission import Gate
from webhook.cli.replaying import Asked, Played, play
from webhook.decision.bundle import Bundle
from webhook.errors import HistoryError, OpaError, PolicyError, SettingsError
from webhook.history.record import Record
from webhook.history.rows import Entry
from webhook.history.store import opened

SOME = [case for case in CASES if case.asked.kind[2] == "NetworkPolicy"][:40]


@pytest.fixture(scope="session")
def records(gate: Gate, loop: Loop) -> tuple[Record, ...]:
    """What was recorded of some cases."""
    records: list[Record] = []
    recording = replace(gate, record=records.append)

    async def ask() -> None:
        for case in SOME:
            await recording.validate(orjson.dumps(case.asked.review()), seconds=30)

    loop.run(ask())
    return tuple(records)


def line(record: Record) -> bytes:
    """Return a record as a file has it."""
    return orjson.dumps({**asdict(record), "document": record.document}) + b"\n"


@pytest.fixture
def file(records: Sequence[Record], tmp_path: Path) -> Path:
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"".join(map(line, records)))
    return path


def timeless(record: Record) -> bytes:
    """Return a document as the history keeps it."""
    document = orjson.loads(orjson.dumps(record.document))
    del document["request"]["time"]
    return orjson.dumps(document)


@pytest.fixture
def url(records: Sequence[Record], tmp_path: Path) -> str:
    """A history that holds the records."""
    url = f"sqlite:///{tmp_path / 'history.db'}"

    async def keep() -> None:
        async with opened(url) as store:
            await store.append([Entry(each, timeless(each)) for each in records])

    asyncio.run(keep())
    return url


def played(opa: Path, history: str, base: Bundle, head: Bundle, **span: str) -> Played:
    return asyncio.run(play(Asked(history, base, head, **span), opa, lambda _: None))


class Alone:
    """While entered nothing but a Unix socket may be reached: told by Python itself, whoever asks."""

    def __init__(self) -> None:
        self._active = False
        # There is no way to take one off.
        sys.addaudithook(self._told)

    def _told(self, event: str, arguments: tuple[Any, ...]) -> None:
        reached = event == "socket.connect" and arguments[0].family != socket.AF_UNIX
        assert not (self._active and (reached or event == "socket.getaddrinfo")), f"{arguments} was to be reached"

    def __enter__(self) -> None:
        self._active = True

    def __exit__(self, *_: object) -> None:
        self._active = False


@pytest.fixture(scope="session")
def alone() -> Alone:
    return Alone()


def test_no_cluster_and_no_network_is_asked(
    url: str, file: Path, bundle: Bundle, opa_binary: Path, alone: Alone
) -> None:
    """The history and a file of its records come to the same, by what they hold alone."""
    head = changed(bundle, LOOSENED)
    with alone:
        ours, filed = (played(opa_binary, each, bundle, head) for each in (url, str(file)))
    assert ours.replay
    assert filed.replay
    assert ours.opened
    assert [(flip.rule, flip.tenant, flip.count) for flip in ours.opened] == [
        (flip.rule, flip.tenant, flip.count) for flip in filed.opened
    ]
    assert (ours.replay.replayed, ours.replay.otherwise, ours.replay.filled) == (len(SOME), 0, 0)
    assert not ours.notes
    assert filed.notes == (f"the records are those of {file}: whoever can write to that file says what was recorded",)


def test_json_has_the_flips_of_the_contract(file: Path, bundle: Bundle, opa_binary: Path) -> None:
    """Each flip has rule, tenant, from, to, count and examples."""
    told = played(opa_binary, str(file), bundle, changed(bundle, LOOSENED)).as_json()
    told = orjson.loads(orjson.dumps(told))
    flip = told["flips"][0]
    assert (flip["rule"], flip["from"], flip["to"], flip["change"]) == (
        "rbac/namespace-policy",
        "deny",
        "allow",
        "opened",
    )
    assert flip["count"] >= len(flip["examples"]) > 0
    example = flip["examples"][0]
    assert example["user"] == "bo"
    assert set(example) == {"decision_id", "time", "user", "operation", "kind", "namespace", "name", "before", "after"}
    assert told["records"] == told["replayed"] == len(SOME)
    assert told["rules_changed"] == []


def test_the_same_rules_are_not_asked(bundle: Bundle, opa_binary: Path) -> None:
    """Where no rule changed there is nothing to replay, and that is said."""
    same = played(opa_binary, "/nonexistent.jsonl", bundle, bundle)
    assert same.skipped == "the rules are the same on both sides, and so is what they decide"
    assert same.replay is None


HEADS: dict[str, tuple[bytes, str]] = {
    "does-not-compile": (b"\nallowed if {", "rego_parse_error"),
    "misspells-a-field": (b"\nnever if input.usr\n", "undefined ref: input.usr"),
    "calls-out": (b'\nnever if http.send({"method": "get", "url": "x"})\n', "undefined function http.send"),
}


@pytest.mark.parametrize(("added", "why"), HEADS.values(), ids=HEADS)
def test_rules_that_cannot_decide_are_said_to(
    added: bytes, why: str, file: Path, bundle: Bundle, opa_binary: Path
) -> None:
    """There is no replay then, and it does not look like one without flips."""
    failed = played(opa_binary, str(file), bundle, changed(bundle, added))
    assert failed.replay is None
    assert failed.failed.startswith("the rules of the change cannot decide: ")
    assert why in failed.failed


def test_a_rule_without_a_denial_cannot_decide(file: Path, bundle: Bundle, opa_binary: Path) -> None:
    """A rule that does not run would be no decision on anything."""
    name = "portcullis/rules/rbac/empty/empty.rego"
    policies = replace(bundle.policies, revision="x", rules=bundle.policies.rules | {"rbac/empty"})
    head = Bundle({**bundle.files, name: b"package portcullis.rules.rbac.empty\n"}, policies)
    assert "OPA did not run rbac/empty" in played(opa_binary, str(file), bundle, head).failed


def test_rules_of_the_base_that_cannot_decide_are_an_error(file: Path, bundle: Bundle, opa_binary: Path) -> None:
    """What there is to compare with has to be whole."""
    with pytest.raises((OpaError, PolicyError), match="rego_parse_error"):
        played(opa_binary, str(file), changed(bundle, b"\nallowed if {"), bundle)


def test_a_base_that_reads_what_is_gone_decides(file: Path, bundle: Bundle, opa_binary: Path) -> None:
    """The document of today may lack what an older rule reads."""
    older = changed(bundle, b"\nallowed if input.formerly.known\n")
    replay = played(opa_binary, str(file), older, bundle).replay
    assert replay
    assert (replay.replayed, replay.flips) == (len(SOME), ())


def test_a_change_does_not_say_for_itself_how_it_is_replayed(file: Path, bundle: Bundle, opa_binary: Path) -> None:
    """The way in which many are decided on is ours: one that says that nothing changed is not asked."""
    loosened = changed(bundle, LOOSENED)
    lie = b"package portcullis.batch\n\ndecisions := {}\n"
    head = Bundle({**loosened.files, "portcullis/batch/batch.rego": lie}, loosened.policies)
    assert played(opa_binary, str(file), bundle, head).opened


def beside(bundle: Bundle, lie: bytes) -> Bundle:
    """Return loosened rules with a file that would say for itself what is decided on many documents."""
    loosened = changed(bundle, LOOSENED)
    return Bundle(
        {**loosened.files, "portcullis/beside.rego": b"package portcullis.batch\n\n" + lie}, loosened.policies
    )


def test_a_decision_that_is_put_among_others_is_refused(file: Path, bundle: Bundle, opa_binary: Path) -> None:
    """What is decided on many documents is one value, which no other file adds to."""
    head = beside(bundle, b'decisions["0"] := {"allowed": false}')
    assert "rule data.portcullis.batch.decisions conflicts with" in played(opa_binary, str(file), bundle, head).failed


def test_decisions_that_contradict_ours_are_asked_for_one_by_one(file: Path, bundle: Bundle, opa_binary: Path) -> None:
    """Then nobody but the rules is asked, and what flips is found."""
    assert played(opa_binary, str(file), bundle, beside(bundle, b"decisions := {}")).opened


def test_a_history_that_is_empty_is_said_to_be(tmp_path: Path, bundle: Bundle, opa_binary: Path) -> None:
    """Nothing decided again is not the same as nothing that flips."""
    (empty := tmp_path / "none.ndjson").touch()
    found = played(opa_binary, str(empty), bundle, changed(bundle, UNRELATED))
    assert "there is no decision in the history: nothing was decided again" in found.notes[0]


def test_a_history_of_nothing_usable_is_an_error(
    records: Sequence[Record], tmp_path: Path, bundle: Bundle, opa_binary: Path
) -> None:
    """Where no record can be decided again the replay could not be done."""
    (bare := tmp_path / "bare.jsonl").write_bytes(b"".join(line(replace(each, document=None)) for each in records))
    with pytest.raises(HistoryError, match="none of the 40 decisions in the history can be made again"):
        played(opa_binary, str(bare), bundle, changed(bundle, UNRELATED))


def test_a_span_of_time_is_replayed(
    url: str, file: Path, records: Sequence[Record], bundle: Bundle, opa_binary: Path
) -> None:
    """From a time on, and before another, of a history and of a file."""
    span = {"since": records[5].time, "until": records[25].time}
    head = changed(bundle, UNRELATED)
    wanted = [each for each in records if records[5].time <= each.time < records[25].time]
    for history in (url, str(file)):
        replay = played(opa_binary, history, bundle, head, **span).replay
        assert replay
        assert (replay.records, replay.first, replay.last) == (len(wanted), wanted[0].time, wanted[-1].time)


ASKED: dict[str, tuple[str, dict[str, str], str]] = {
    "neither-url-nor-file": ("records.txt", {}, "neither a URL"),
    "no-such-file": ("/nonexistent/records.jsonl", {}, "cannot be read: No such file"),
    "no-such-history": ("sqlite:////nonexistent/history.db", {}, "there is no history at"),
    "no-time": ("records.jsonl", {"since": "yesterday"}, "--since 'yesterday' is no time"),
}


@pytest.mark.parametrize(("history", "span", "why"), ASKED.values(), ids=ASKED)
def test_what_cannot_be_asked_for_is_refused(
    history: str, span: dict[str, str], why: str, bundle: Bundle, opa_binary: Path
) -> None:
    """It is said what is wrong and what to give."""
    with pytest.raises((HistoryError, SettingsError), match=why):
        played(opa_binary, history, bundle, changed(bundle, UNRELATED), **span)
