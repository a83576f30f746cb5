"""Recorded decisions under two revisions: what flips is found, whom it would have met, and nothing else."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cases.table import CASES
from tests.conftest import GateOf, Loop
from tests.replay.recorded import LOOSENED, TIGHTENED, UNRELATED, Kept, batches, changed, side, silent
from webhook.decision.bundle import Bundle
from webhook.decision.opa import LocalOpa, Opa
from webhook.decision.process import OpaProcess
from webhook.errors import HistoryError, OpaError
from webhook.replay.deciding import Side
from webhook.replay.replay import replayed
from webhook.replay.tally import EXAMPLES, Replay

RULE = "rbac/namespace-policy"
DRY_RUNS = sum(case.asked.dry_run for case in CASES)


class Sides:
    """Replays records under the shipped rules and others."""

    def __init__(self, loop: Loop, gate_of: GateOf, bundle: Bundle) -> None:
        self._loop = loop
        self._gate_of = gate_of
        self._bundle = bundle

    def side(self, added: bytes = b"") -> Side:
        """Return the side of the shipped rules, or of these with something added."""
        return side(self._gate_of, changed(self._bundle, added) if added else self._bundle)

    def replay(self, records: Sequence[Kept], added: bytes = b"", **sides: Side) -> Replay:
        """Return what records come to with `added` to a rule."""
        base, head = sides.get("base", self.side()), sides.get("head", self.side(added))
        return self._loop.run(replayed(batches(records), base, head, silent))


@pytest.fixture(scope="session")
def sides(loop: Loop, gate_of: GateOf, bundle: Bundle) -> Sides:
    return Sides(loop, gate_of, bundle)


@pytest.fixture(scope="session")
def loosened(history: tuple[Kept, ...], sides: Sides) -> Replay:
    return sides.replay(history, LOOSENED)


@pytest.fixture(scope="session")
def unrelated(history: tuple[Kept, ...], sides: Sides) -> Replay:
    return sides.replay(history, UNRELATED)


def test_every_case_of_the_table_is_decided_as_it_was_recorded(history: tuple[Kept, ...], unrelated: Replay) -> None:
    """A recorded document holds all that the decision depends on."""
    assert unrelated.replayed > 500
    assert unrelated.records == len(history) == len(CASES)
    unused = {"dry_run": DRY_RUNS} if DRY_RUNS else {}
    assert (unrelated.otherwise, unrelated.filled, unrelated.unused) == (0, 0, unused)


def test_an_unrelated_change_flips_nothing(unrelated: Replay) -> None:
    """What decides the same is no finding, though it is another revision."""
    assert unrelated.base != unrelated.head
    assert (unrelated.flips, unrelated.reruled) == ((), ())


def test_a_loosened_rule_is_found_with_whom_it_lets_pass(history: tuple[Kept, ...], loosened: Replay) -> None:
    """What was refused and passes is told first, with who asked for what and why it was refused."""
    opened = [flip for flip in loosened.flips if flip.change == "opened"]
    assert {flip.rule for flip in opened} == {RULE}
    assert {(flip.before, flip.after) for flip in opened} == {("deny", "allow")}
    assert "Workspace/checkout" in {flip.tenant for flip in opened}
    assert opened[0] == loosened.flips[0]
    example = opened[0].examples[0]
    record = next(each for each in history if each.decision_id == example.decision_id)
    assert (example.user, example.operation, example.kind) == ("bo", record.operation, record.kind)
    assert (example.namespace, example.name, example.time) == (record.namespace, record.name, record.time)
    assert f"bo may not {record.operation.lower()}" in example.before
    assert example.after == ""


def test_a_tightened_rule_is_grouped_by_rule_and_tenant(history: tuple[Kept, ...], sides: Sides) -> None:
    """Counted are all whom it would refuse, and shown are a few different ones."""
    deletions = [each for each in history if each.operation == "DELETE" and each.verdict == "allow"]
    policies = [each for each in deletions if each.kind.endswith("Policy") and each.namespace]
    flips = sides.replay(deletions, TIGHTENED).flips
    assert {(flip.rule, flip.before, flip.after, flip.change) for flip in flips} == {(RULE, "allow", "deny", "closed")}
    expected = Counter(next(iter(each.tenants), "") for each in policies if not each.dry_run)
    assert {flip.tenant: flip.count for flip in flips} == expected
    assert all(0 < len(flip.examples) <= min(flip.count, EXAMPLES) for flip in flips)
    assert {example.after.rpartition(": ")[2] for flip in flips for example in flip.examples} == {"nobody deletes"}


def test_both_ways_are_the_reverse_of_each_other(history: tuple[Kept, ...], sides: Sides, loosened: Replay) -> None:
    """Base and head change places, and so do before and after."""
    some = [each for each in history if each.user == "bo"]
    back = sides.replay(some, base=sides.side(LOOSENED), head=sides.side())
    flips = {(flip.rule, flip.tenant, flip.before, flip.after, flip.count) for flip in loosened.flips}
    assert {(flip.rule, flip.tenant, flip.after, flip.before, flip.count) for flip in back.flips} == flips
    assert back.otherwise == sum(flip.count for flip in (*loosened.flips, *loosened.reruled))


def test_a_rule_that_goes_where_another_one_refuses_is_told_apart(
    history: tuple[Kept, ...], gate_of: GateOf, bundle: Bundle, sides: Sides
) -> None:
    """The verdict stays, the rules change: that is no flip."""
    files = {name: content for name, content in bundle.files.items() if "/host_network/" not in name}
    without = Bundle(
        files, replace(bundle.policies, revision="gone", rules=bundle.policies.rules - {"guardrail/host-network"})
    )
    pods = [each for each in history if each.kind == "Pod"]
    replay = sides.replay(pods, head=side(gate_of, without))
    assert {flip.rule for flip in (*replay.flips, *replay.reruled)} == {"guardrail/host-network"}
    assert all(flip.before == flip.after for flip in replay.reruled)
    assert all(flip.before != flip.after for flip in replay.flips)


def again(record: Kept, number: int) -> Kept:
    """Return the same request at another time."""
    read = orjson.loads(record.document)
    read["request"]["time"] = f"2026-11-21T12:00:{number:02}Z"
    return replace(record, decision_id=f"{record.decision_id}-{number}", document=orjson.dumps(read))


@pytest.mark.parametrize("distinct", [pytest.param(3, id="no-rule-reads-it"), pytest.param(30, id="a-rule-reads-it")])
def test_the_same_but_for_its_time_is_decided_once(distinct: int, history: tuple[Kept, ...], sides: Sides) -> None:
    """Counted are all of them, and the same request is no second example; where a rule reads the time all are asked."""
    some = [each for each in history if each.user == "bo" and each.rules == (RULE,)][:3]
    head = replace(sides.side(LOOSENED), reads_time=distinct > 3)
    replay = sides.replay([again(each, number) for number in range(10) for each in some], head=head)
    assert (replay.records, replay.distinct) == (30, distinct)
    assert sum(flip.count for flip in replay.flips) == 30
    assert sum(len(flip.examples) for flip in replay.flips) <= 3


LEFT: dict[str, tuple[dict[str, Any], str]] = {
    "dry-run": ({"dry_run": True}, "dry_run"),
    "without-a-document": ({"document": b""}, "undocumented"),
    "no-json": ({"document": b"{"}, "unreadable"),
    "of-another-shape": ({"document": b'{"request": 1}'}, "unreadable"),
    "a-list": ({"document": b"[]"}, "unreadable"),
}


@pytest.mark.parametrize(("over", "why"), LEFT.values(), ids=LEFT)
def test_what_is_left_out_is_counted(over: dict[str, Any], why: str, history: tuple[Kept, ...], sides: Sides) -> None:
    """A record that cannot be decided again is no flip, and is told."""
    replay = sides.replay([history[0], replace(history[0], **over)], LOOSENED)
    assert (replay.records, replay.replayed, replay.unused) == (2, 1, {why: 1})


def test_a_document_of_an_older_version_is_filled_in(history: tuple[Kept, ...], sides: Sides) -> None:
    """What was not recorded yet counts as not known."""
    some = [each for each in history if not each.dry_run][:20]
    old = []
    for each in some:
        read = orjson.loads(each.document)
        del read["exemption_problem"]
        old.append(replace(each, document=orjson.dumps({**read, "later": 1})))
    replay = sides.replay(old, LOOSENED)
    assert (replay.filled, replay.otherwise) == (replay.distinct, 0)


def test_a_history_that_is_empty_says_nothing(sides: Sides) -> None:
    """There is a replay of nothing, and it shows."""
    replay = sides.replay([], LOOSENED)
    assert (replay.records, replay.distinct, replay.first, replay.flips) == (0, 0, "", ())


def test_who_wrote_a_record_forges_no_line(history: tuple[Kept, ...], sides: Sides) -> None:
    """Control characters in a record are replaced in what is told of it."""
    some = next(each for each in history if each.user == "bo" and each.rules == (RULE,))
    replay = sides.replay([replace(some, name="a\nb", user="\x1b[31mbo", tenants=("Workspace/a\nb",))], LOOSENED)
    (flip,) = replay.flips
    assert "\n" not in flip.tenant + flip.examples[0].name
    assert "\x1b" not in flip.examples[0].user


def test_progress_is_told_to_the_end(history: tuple[Kept, ...], sides: Sides, loop: Loop) -> None:
    """The number of those that are done only grows, up to all of them."""
    told: list[int] = []
    loop.run(replayed(batches(history[:150]), sides.side(), sides.side(UNRELATED), told.append))
    assert told == sorted(told)
    assert told[-1] == 150
    assert len(told) > 2


class Dying:
    """An OPA that is killed after some questions."""

    def __init__(self, opa: Opa, process: OpaProcess, *, after: int) -> None:
        self._opa = opa
        self._process = process
        self._left = after

    async def query_rule(self, *question: Any) -> Any:
        """Ask, or find nobody there any more."""
        self._left -= 1
        if self._left == 0 and self._process.pid:
            process, self._process.socket = self._process, Path("gone")
            await process.__aexit__(None, None, None)
        return await self._opa.query_rule(*question)


def test_an_opa_that_ends_in_the_middle_is_an_error(
    history: tuple[Kept, ...], sides: Sides, loop: Loop, opa_binary: Path, bundle: Bundle
) -> None:
    """What was not decided is not taken for what did not change."""

    async def dying() -> None:
        head = changed(bundle, LOOSENED)
        process = OpaProcess(opa_binary, head.signed(), log=lambda _: None)
        await process.__aenter__()
        await process.ready()
        async with LocalOpa(socket=process.socket) as opa:
            dead = Side(Dying(opa, process, after=3), head.policies, reads_time=False)
            await replayed(batches(history), sides.side(), dead, silent)

    with pytest.raises(OpaError, match="the head revision could not decide all that was recorded"):
        loop.run(dying())


def test_another_revision_than_asked_for_is_an_error(history: tuple[Kept, ...], sides: Sides) -> None:
    """An answer counts only by the rules that it has to be of."""
    other = sides.side()
    wrong = replace(other, policies=replace(other.policies, revision="another"))
    with pytest.raises(OpaError, match="another revision"):
        sides.replay(history[:5], head=wrong)


def test_a_rule_that_does_not_run_is_no_decision(history: tuple[Kept, ...], sides: Sides) -> None:
    """As at admission: without every rule nobody passes."""
    other = sides.side()
    more = replace(other, policies=replace(other.policies, rules=other.policies.rules | {"rbac/new"}))
    replay = sides.replay(history[:50], head=more)
    assert {flip.after for flip in replay.flips} == {"error"}
    assert "OPA did not run rbac/new" in replay.flips[0].examples[0].after


def test_what_cannot_be_read_on_is_an_error(history: tuple[Kept, ...], sides: Sides, loop: Loop) -> None:
    """Nothing of a replay is told whose records end early, and nothing of it is left running."""

    async def broken() -> AsyncIterator[Sequence[Kept]]:
        yield history[:70]
        raise HistoryError("gone")

    async def replay() -> None:
        before = asyncio.all_tasks()
        with pytest.raises(HistoryError, match="gone"):
            await replayed(broken(), sides.side(), sides.side(UNRELATED), silent)
        assert asyncio.all_tasks() == before

    loop.run(replay())
