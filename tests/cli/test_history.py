"""`portcullis history`: what was decided, what stood and what changed, told to those alone who may know."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from tests.cli.test_serve import PROGRAM, ROOT, own, refused, until
from tests.history.made import CHECKOUT, REFUNDS, at, denied, document_of, entry, policy, record, revision
from webhook.cli.historytime import time_of
from webhook.cli.manifest import yaml_of
from webhook.errors import SettingsError
from webhook.history.store import Store, opened
from webhook.settings import bundled_examples

ACME = bundled_examples()
SECONDS = 120


async def fill(store: Store) -> None:
    await store.append(
        [
            entry(record(1, document=document_of(policy(1, tier="yes"))), b'{"request":{"operation":"CREATE"}}'),
            entry(denied(2, user="bo")),
            entry(record(3, namespace="refunds-dev", tenants=REFUNDS, user="ri")),
            entry(denied(4, namespace="nowhere", tenants=(), dry_run=True)),
        ]
    )
    await store.revise(
        [
            revision(1, 10, policy(1, tier="yes")),
            revision(2, 20, policy(2, tier="1e3")),
            revision(7, 15, policy(7), name="other", uid="u2"),
            revision(8, 25, name="other", uid="u2"),
            revision(9, 12, policy(9), namespace="refunds-dev", tenants=REFUNDS, uid="u3"),
        ]
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The history of a few decisions and states."""
    url = f"sqlite:///{tmp_path_factory.mktemp('history')}/h.db"

    async def run() -> None:
        async with opened(url) as store:
            await fill(store)

    asyncio.run(run())
    return url


def told(url: str, *arguments: str | Path, errors: str = "") -> str:
    """Return what `portcullis history` prints; it complains of nothing but `errors`."""
    done = subprocess.run(
        [PROGRAM, "history", *arguments],
        cwd=ROOT,
        env=own(PORTCULLIS_HISTORY=url),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(errors, done.stderr), done.stderr
    return done.stdout


def objects(text: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in text.splitlines()]


def test_decisions_are_listed_a_line_each(url: str) -> None:
    """For people: when, what came of it, who, what, why."""
    lines = told(url, "decisions").splitlines()
    assert lines[0] == (
        "2026-11-21T12:00:04.000Z  deny   ada  CREATE NetworkPolicy nowhere/allow-web  rbac/namespace-policy; dry run  "
        "decision-4"
    )
    assert [line.split()[-1] for line in lines] == ["decision-4", "decision-3", "decision-2", "decision-1"]


def test_decisions_as_json_have_the_fields_of_the_contract(url: str) -> None:
    """One object a line, with the document where it is asked for."""
    found = objects(
        told(url, "decisions", "-o", "json", "--documents", "--user", "bo", "--rule", "rbac/namespace-policy")
    )
    assert len(found) == 1
    same = {
        "decision_id": "decision-2",
        "time": at(2),
        "user": "bo",
        "operation": "CREATE",
        "kind": "NetworkPolicy",
        "namespace": "checkout-dev",
        "name": "allow-web",
        "verdict": "deny",
        "rules": ["rbac/namespace-policy"],
        "revision": "r1",
        "dry_run": False,
        "break_glass": False,
        "document": {"request": {"operation": "CREATE", "time": "2026-11-21T11:59:59.123456Z"}},
    }
    assert found[0] | same == found[0]


def test_none_is_no_error(url: str) -> None:
    """It is said, and not to who reads JSON."""
    assert (
        told(url, "decisions", "--user", "x", errors="portcullis: no decision in the history is of this kind\n") == ""
    )
    assert told(url, "decisions", "--user", "x", "-o", "json") == ""


SIGHTS: dict[str, tuple[tuple[str, ...], list[int]]] = {
    "a workspace's people": (("--as", "ada", "--as-group", "checkout-team"), [2, 1]),
    "an organization's": (("--as", "oz", "--as-group", "acme-admins"), [4, 3, 2, 1]),
    "a stranger": (("--as", "zed"), []),
}


@pytest.mark.parametrize(("who", "seen"), SIGHTS.values(), ids=SIGHTS.keys())
def test_nobody_is_told_of_anothers(url: str, who: tuple[str, ...], seen: list[int]) -> None:
    """What may be seen follows the tree; asking for it by name changes nothing."""
    found = objects(told(url, "decisions", "-o", "json", *who, "--tenancy", ACME))
    assert [int(each["decision_id"][-1]) for each in found] == seen


def test_what_stood_is_seen_by_its_tenants_alone(url: str) -> None:
    """Whoever else asks is told no more than that there is nothing for them."""
    ada = ("--as", "ada", "--as-group", "checkout-team", "--tenancy", ACME)
    assert "allow-web" in told(url, "policies", "checkout-dev", *ada)
    none = "portcullis: no policy that this user may see stood in namespace refunds-dev now\n"
    assert told(url, "policies", "refunds-dev", *ada, errors=none) == ""


def test_what_stood_then_is_yaml_that_kubectl_takes(url: str) -> None:
    """Without what the API server fills in; a comment says who let it in, and since when."""
    text = told(url, "policies", "checkout-dev", "--at", at(15))
    first, second = yaml.safe_load_all(text)
    assert first == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "allow-web", "namespace": "checkout-dev", "labels": {"tier": "yes"}},
        "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 1}]}]},
    }
    assert second["spec"]["ingress"] == [{"ports": [{"port": 7}]}]
    assert f"# since {at(10)} until {at(20)}; let in for ada by decision decision-1; written by kubectl" in text


NOTHING: dict[str, tuple[tuple[str, ...], str]] = {
    "an unknown namespace": (("policies", "nope"), "nothing was ever recorded of namespace nope"),
    "before the history": (("policies", "checkout-dev", "--at", "2020-01-01T00:00:00Z"), "the history begins at"),
    "not yet": (("policies", "refunds-dev", "--at", at(11)), "no policy stood in namespace refunds-dev at"),
    "a diff from before": (("diff", "nope", "--from", "7d"), "nothing is known of|nothing was ever recorded"),
}


@pytest.mark.parametrize(("arguments", "said"), NOTHING.values(), ids=NOTHING.keys())
def test_nothing_is_told_apart_from_not_known(url: str, arguments: tuple[str, ...], said: str) -> None:
    """An empty answer says why it is empty."""
    assert told(url, *arguments, errors=f"portcullis: .*({said}).*\n") == ""


def test_a_diff_of_two_times(url: str) -> None:
    """A unified diff for each object that differs, and the same as JSON."""
    span = ("--from", at(15), "--to", at(30))
    text = told(url, "diff", "checkout-dev", *span)
    assert '-    tier: "yes"\n+    tier: "1e3"\n' in text
    assert "+++ /dev/null" in text
    found = {each["name"]: each for each in objects(told(url, "diff", "checkout-dev", *span, "-o", "json"))}
    assert {name: each["change"] for name, each in found.items()} == {"allow-web": "changed", "other": "removed"}
    assert found["other"]["after"] is None
    assert found["allow-web"]["after"]["object"]["metadata"]["labels"] == {"tier": "1e3"}
    assert told(url, "diff", "checkout-dev", "--from", at(30), "--to", at(40)) == ""


INTERRUPTED = """
import signal
from webhook.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def test_what_comes_is_followed(tmp_path: Path) -> None:
    """The last of what was, then each that comes, until it is interrupted: quietly, with 0."""
    url = f"sqlite:///{tmp_path}/h.db"

    async def append(*numbers: int) -> None:
        async with opened(url) as store:
            await store.append([entry(denied(each)) for each in numbers])

    def run(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run(work)

    run(append(1, 2, 3))
    out = tmp_path / "out"
    with out.open("wb") as file:
        process = subprocess.Popen(
            # A shell that ran us in the background would have had ^C ignored.
            [sys.executable, "-c", INTERRUPTED, "history", "decisions", "--follow", "--limit", "2", "-o", "json"],
            cwd=ROOT,
            env=own(PORTCULLIS_HISTORY=url),
            stdout=file,
            stderr=subprocess.PIPE,
        )
    try:
        until(lambda: len(out.read_bytes().splitlines()) == 2)
        # One of a replica that writes later than it decided.
        run(append(20))
        until(lambda: len(out.read_bytes().splitlines()) == 3)
        run(append(15, 21))
        until(lambda: len(out.read_bytes().splitlines()) == 5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=SECONDS)
        assert (process.returncode, errors) == (0, b"")
        assert [each["decision_id"] for each in objects(out.read_text())] == [
            *("decision-2", "decision-3", "decision-20", "decision-15", "decision-21")
        ]
    finally:
        process.kill()
        process.wait()


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "no history": (("decisions",), "--history is needed"),
    "a history that is not there": (
        ("decisions", "--history", "sqlite:////nonexistent/h.db"),
        "there is no history at",
    ),
    "documents in text": (("decisions", "--history", "sqlite:///x", "--documents"), "--documents is for -o json"),
    "a time that is none": (("decisions", "--history", "sqlite:///x", "--since", "soon"), "'soon' is no time"),
    "a diff from nowhen": (("diff", "n", "--history", "sqlite:///x"), "--from is needed"),
    "a group without a user": (("decisions", "--history", "sqlite:///x", "--as-group", "g"), "give --as USER"),
    "files and a cluster": (
        ("decisions", "--history", "sqlite:///x", "--tenancy", ".", "--kubeconfig", "k"),
        "leave --kubeconfig out",
    ),
}


@pytest.mark.parametrize(("arguments", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_done_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    """What, why, and what to do; exit code 2."""
    [line] = refused("history", *arguments)
    assert said in line


def test_documents_are_for_those_who_read_the_whole_organization(url: str) -> None:
    """A document holds the slice of the tree that was needed: other tenants' people, too."""
    who = ("--as", "ada", "--as-group", "checkout-team", "--tenancy", ACME)
    [line] = refused("history", "decisions", "--history", url, "-o", "json", "--documents", *who)
    assert "--documents is for those who read the whole organization" in line


TIMES: dict[str, str | None] = {
    "2026-11-21T12:00:00Z": at(0),
    "2026-11-21T13:00:00+01:00": at(0),
    "2026-11-21": None,
    "2026-11-21T12:00:00": None,
    "2y": None,
    "-2h": None,
    "99999999w": None,
    "": None,
}


@pytest.mark.parametrize(("text", "expected"), TIMES.items())
def test_a_time_is_rfc_3339_or_so_long_ago(text: str, expected: str | None) -> None:
    """What could be meant in two ways is refused."""
    if expected:
        assert time_of("--since", text) == expected
        return
    with pytest.raises(SettingsError, match="--since"):
        time_of("--since", text)


def test_so_long_ago_adds_up() -> None:
    """Days and hours together."""
    one, two = (time_of("--since", text) for text in ("1d12h", "36h"))
    assert one is not None
    assert two is not None
    assert one[:18] <= two[:18]


STRANGE = [
    "yes",
    "No",
    "1e3",
    "0o17",
    "012",
    "22:22",
    "2026-11-21",
    "",
    "~",
    "null",
    "a: b",
    "#",
    "\n",
    "é",
    "=",
    "*a",
    "-",
]


@pytest.mark.parametrize("text", STRANGE)
def test_a_text_stays_a_text(text: str) -> None:
    """Whatever a reader of YAML might take it for, it is in quotes."""
    written = yaml_of({"kind": "X", "value": text, text: 1})
    assert yaml.safe_load(written) == {"kind": "X", "value": text, text: 1}
    assert 'value: "' in written


def test_a_namespaces_last_owner_is_told_of_a_move(tmp_path: Path) -> None:
    """They see that it came to them, and not the words that may name who had it."""
    url = f"sqlite:///{tmp_path}/h.db"

    async def run() -> None:
        async with opened(url) as store:
            await store.append([entry(denied(1, tenants=(*REFUNDS, *CHECKOUT), reason="refunds-dev is slow"))])

    asyncio.run(run())
    who = ("--as", "ada", "--as-group", "checkout-team", "--tenancy", ACME)
    [found] = objects(told(url, "decisions", "-o", "json", *who))
    assert (found["messages"], found["tenants"], found["reason"]) == ([], ["Workspace/checkout"], "")
    assert "refunds" not in told(url, "decisions", *who)


def test_a_workspace_made_again_under_another_project_shows_nothing_of_the_former_one(tmp_path: Path) -> None:
    """Whoever gets its name gets neither its decisions nor what stood in its namespaces."""
    url = f"sqlite:///{tmp_path}/h.db"
    former = ("Workspace/checkout", "Project/retail", "Organization/acme")

    async def run() -> None:
        async with opened(url) as store:
            await store.append([entry(denied(1, tenants=former)), entry(denied(2, tenants=CHECKOUT))])
            await store.revise([revision(1, 12, policy(1), tenants=former, uid="u1")])

    asyncio.run(run())
    who = ("--as", "ada", "--as-group", "checkout-team", "--tenancy", ACME)
    assert [each["decision_id"] for each in objects(told(url, "decisions", "-o", "json", *who))] == ["decision-2"]
    assert told(url, "policies", "checkout-dev", *who, errors=".*no policy that this user may see.*\n") == ""
    everything = ("--as", "oz", "--as-group", "acme-admins", "--tenancy", ACME)
    assert len(objects(told(url, "decisions", "-o", "json", *everything))) == 2


def test_who_let_a_policy_in_for_a_former_owner_is_not_told(tmp_path: Path) -> None:
    """The namespace changed hands and the policy stayed word for word: it is seen, and not whose decision it was."""
    url = f"sqlite:///{tmp_path}/h.db"

    async def run() -> None:
        async with opened(url) as store:
            await store.append([entry(record(1, tenants=REFUNDS, document=document_of(policy(1))))])
            await store.revise([revision(1, 12, policy(1), tenants=CHECKOUT, uid="u1")])

    asyncio.run(run())
    who = ("--as", "ada", "--as-group", "checkout-team", "--tenancy", ACME)
    [all_of_it] = objects(told(url, "policies", "checkout-dev", "-o", "json"))
    assert all_of_it["decision"]["decision_id"] == "decision-1"
    [found] = objects(told(url, "policies", "checkout-dev", "-o", "json", *who))
    assert (found["name"], found["decision"]) == (all_of_it["name"], None)
