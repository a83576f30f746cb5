"""Asking OPA: whatever is less than a whole answer is no decision."""

import asyncio
import dataclasses
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.cases import reviews
from tests.cases.reviews import ADA, BO, NETPOL, Json, policy
from tests.conftest import GateOf, Loop
from webhook.admission import Gate
from webhook.decision.bundle import Bundle
from webhook.decision.document import Document, Kind, Request, User
from webhook.decision.opa import MUTATION_RULES, STRICT, Asked, LocalOpa, Opa, decide, decide_many, held, mutate
from webhook.errors import NoDecisionError
from webhook.model import Decision, Policies
from webhook.tenancy.tree import Tree

POLICIES = Policies("r1", frozenset({"rbac/one", "guardrail/two"}))
DOCUMENT = Document(
    request=Request(
        "CREATE",
        Kind("networking.k8s.io", "v1", "NetworkPolicy"),
        "",
        "dev",
        "web",
        dry_run=False,
        time="2026-11-21T12:00:00Z",
    ),
    user=User("ada", ("checkout-team",)),
    object=None,
    old_object=None,
    break_glass_groups=("system:masters",),
    tree=True,
    organization="acme",
)


def ran(*ids: str) -> list[list[str]]:
    """Return rules as OPA names them: by category and folder."""
    return [rule.replace("-", "_").split("/") for rule in ids]


WHOLE: Json = {
    "revision": "r1",
    "rules": ran("rbac/one", "guardrail/two"),
    "allowed": True,
    "break_glass": False,
    "undecided": "",
    "violations": [],
}
STAMPED: Json = {"revision": "r1", "rules": ran(*MUTATION_RULES), "undecided": "", "changes": []}


def violation(action: str) -> Json:
    return {"rule": "rbac/one", "severity": "high", "message": "no", "action": action}


@dataclass
class Answering:
    """An OPA that answers this, whatever it is asked."""

    answer: Any
    asked: tuple[Any, ...] = ()

    async def query_rule(
        self, input_data: Any, package_path: str, rule_name: str, query_params: dict[str, bool], /
    ) -> Any:
        self.asked = (input_data, package_path, rule_name, query_params)
        return self.answer


class Silent:
    """An OPA that never answers."""

    async def query_rule(self, *_: Any) -> Any:
        await asyncio.Event().wait()


def asked_of(opa: Opa, *, seconds: float = 5) -> Any:
    return asyncio.run(decide(opa, DOCUMENT, POLICIES, seconds=seconds))


def test_a_whole_answer_is_the_decision() -> None:
    """The constant path is asked with builtin errors made errors, and what OPA says is what comes back."""
    opa = Answering({"result": WHOLE | {"allowed": False, "violations": [violation("enforce"), violation("warn")]}})
    decision = asked_of(opa)
    assert not decision.allowed
    assert [each.action for each in decision.violations] == ["enforce", "warn"]
    assert opa.asked == (DOCUMENT, "portcullis.validate", "decision", {"strict-builtin-errors": True})


@pytest.mark.parametrize(
    "said", ["../../data", "portcullis.mutate", "a/b?strict-builtin-errors=false", 'x"]; true; ["y', "\u2025\x00%2e%2e"]
)
def test_the_path_asked_for_is_never_made_of_input(said: str) -> None:
    """Whatever a request says of itself, wherever, OPA is asked for the same rule in the same way."""
    request = Request(said, Kind(said, said, said), said, said, said, dry_run=True, time=said)  # type: ignore[arg-type]  # wrong on purpose
    document = dataclasses.replace(DOCUMENT, request=request, user=User(said, (said,)), organization=said)
    opa, stamping = Answering({"result": WHOLE}), Answering({"result": STAMPED})
    asyncio.run(decide(opa, document, POLICIES, seconds=5))
    asyncio.run(mutate(stamping, document, POLICIES, seconds=5))
    assert opa.asked == (document, "portcullis.validate", "decision", STRICT)
    assert stamping.asked == (document, "portcullis.mutate", "decision", STRICT)


RIGHT: dict[str, Json] = {
    "nothing found": {},
    "a rule more than shipped": {"rules": ran("rbac/one", "guardrail/two", "extra/three")},
    "violations that only warn": {"violations": [violation("warn"), violation("audit")]},
    "break-glass against a violation": {"break_glass": True, "violations": [violation("enforce")]},
    "break-glass without a tree": {"break_glass": True, "undecided": "the tenant tree is not loaded"},
}


@pytest.mark.parametrize("change", RIGHT.values(), ids=RIGHT.keys())
def test_what_makes_sense_allows(change: Json) -> None:
    """Beside the shipped rules further ones may run, and what does not enforce does not refuse."""
    assert asked_of(Answering({"result": WHOLE | change})).allowed


def without(key: str) -> Json:
    return {"result": {name: value for name, value in WHOLE.items() if name != key}}


def but(**change: Any) -> Json:
    return {"result": WHOLE | change}


# Name: what OPA answers, what the error says, whether asking again may help.
LESS: dict[str, tuple[Any, str, bool]] = {
    "undefined": ({}, "OPA's decision is undefined", True),
    "undefined with a warning": ({"warning": {"code": "api_usage_warning"}}, "OPA's decision is undefined", True),
    "no object": ([], "OPA's decision is undefined", True),
    "null": (None, "OPA's decision is undefined", True),
    "a bare yes": (True, "OPA's decision is undefined", True),
    "result null": ({"result": None}, "OPA's answer has another shape", False),
    "result true": ({"result": True}, "OPA's answer has another shape", False),
    "result empty": ({"result": {}}, "OPA's answer has another shape", False),
    "result a list": ({"result": [WHOLE]}, "OPA's answer has another shape", False),
    "without rules": (without("rules"), "OPA's answer has another shape: .*rules", False),
    "without allowed": (without("allowed"), "OPA's answer has another shape: .*allowed", False),
    "without violations": (without("violations"), "OPA's answer has another shape: .*violations", False),
    "without undecided": (without("undecided"), "OPA's answer has another shape: .*undecided", False),
    "without break_glass": (without("break_glass"), "OPA's answer has another shape: .*break_glass", False),
    "without a revision": (without("revision"), "OPA's answer has another shape: .*revision", False),
    "allowed is no boolean": (but(allowed="perhaps"), "OPA's answer has another shape: .*allowed", False),
    "an action of its own": (but(violations=[violation("ignore")]), "OPA's answer has another shape", False),
    "a violation of one word": (but(violations=["no"]), "OPA's answer has another shape", False),
    "a rule did not run": (but(rules=ran("rbac/one")), "OPA did not run guardrail/two", False),
    "no rule ran": (but(rules=[]), "OPA did not run guardrail/two, rbac/one", False),
    "rules by their ids": (but(rules=["rbac/one", "guardrail/two"]), "OPA's answer has another shape: .*rules", False),
    "rules by one name": (but(rules=[["one"], ["two"]]), "OPA's answer has another shape: .*rules", False),
    "another revision": (but(revision="r0"), "OPA has another revision", True),
    "no revision": (but(revision=""), "OPA has another revision", True),
    "another revision and a rule less": (but(revision="r0", rules=[]), "OPA has another revision", True),
    "allowed against a violation": (but(violations=[violation("enforce")]), "contradicts its violations", False),
    "allowed without a tree": (but(undecided="no tree"), "contradicts its violations", False),
    "refused for nothing": (but(allowed=False), "contradicts its violations", False),
    "refused for a warning": (but(allowed=False, violations=[violation("warn")]), "contradicts its violations", False),
    "break-glass and still refused": (
        but(allowed=False, break_glass=True, violations=[violation("enforce")]),
        "contradicts its violations",
        False,
    ),
    "undecided": (
        but(allowed=False, undecided="the tenant tree is not loaded"),
        "^the tenant tree is not loaded",
        True,
    ),
}


@pytest.mark.parametrize(("answer", "reason", "retry"), LESS.values(), ids=LESS.keys())
def test_less_than_a_whole_answer_is_no_decision(answer: Any, reason: str, retry: bool) -> None:  # noqa: FBT001
    """What is missing, wrong or makes no sense is named, and it is said whether asking again may help."""
    with pytest.raises(NoDecisionError, match=reason) as caught:
        asked_of(Answering(answer))
    assert caught.value.retry is retry


def test_without_any_rule_there_is_no_decision() -> None:
    """Policies without a rule allow nothing, even where OPA says yes."""
    nothing = Policies("r1", frozenset())
    with pytest.raises(NoDecisionError, match="there is no rule that could decide"):
        asyncio.run(decide(Answering({"result": WHOLE | {"rules": []}}), DOCUMENT, nothing, seconds=5))


KINDS = {"rbac/one": frozenset({"NetworkPolicy.networking.k8s.io"}), "guardrail/two": frozenset({"Pod"})}
INDEXED = dataclasses.replace(POLICIES, kinds=KINDS)
READ: Json = orjson.loads(orjson.dumps(DOCUMENT))
ASKED: dict[str, Asked] = {
    "as it was gathered": DOCUMENT,
    "as it was read": READ,
    "as it was kept": orjson.Fragment(orjson.dumps(DOCUMENT)),
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED.keys())
def test_the_rules_that_look_at_the_kind_are_demanded(asked: Asked) -> None:
    """What our own index says of the kind under review has to have run, and no more than that."""

    def decided(*rules: str) -> Decision:
        opa = Answering({"result": WHOLE | {"rules": ran(*rules)}})
        return asyncio.run(decide(opa, asked, INDEXED, seconds=5))

    assert decided("rbac/one").allowed
    assert decided("rbac/one", "guardrail/two").allowed
    with pytest.raises(NoDecisionError, match=r"OPA did not run rbac/one$"):
        decided("guardrail/two")


@pytest.mark.parametrize(
    "asked",
    [{}, {"request": None}, {"request": {"kind": {"kind": "Pod"}}}, {"request": {"kind": {"group": 0, "kind": "Pod"}}}],
    ids=str,
)
def test_all_rules_are_demanded_where_the_kind_cannot_be_told(asked: Json) -> None:
    """An answer about nobody knows what has to be of every rule."""
    opa = Answering({"result": WHOLE | {"rules": ran("guardrail/two")}})
    with pytest.raises(NoDecisionError, match="OPA did not run rbac/one"):
        asyncio.run(decide(opa, asked, INDEXED, seconds=5))


def test_a_rule_that_declares_no_kind_is_demanded_of_every_one() -> None:
    """To say nothing is to look at all."""
    policies = dataclasses.replace(POLICIES, kinds={"rbac/one": frozenset({"Pod"})})
    assert policies.demanded("", "Pod") == {"rbac/one", "guardrail/two"}
    assert policies.demanded("apps", "Pod") == {"guardrail/two"}
    assert policies.demanded("", "ConfigMap") == {"guardrail/two"}


class Scripted:
    """An OPA that answers a batch with this, or fails it so, and any single document with a whole decision."""

    def __init__(self, batch: Any) -> None:
        self.paths: list[str] = []
        self._batch = batch

    async def query_rule(
        self, input_data: Any, package_path: str, rule_name: str, query_params: dict[str, bool], /
    ) -> Any:
        self.paths.append(f"{package_path}/{rule_name}")
        assert query_params == STRICT
        if package_path == "portcullis.validate":
            return {"result": WHOLE}
        assert len(input_data["documents"]) == 3
        if isinstance(self._batch, Exception):
            raise self._batch
        return self._batch


def many(opa: Opa) -> list[str]:
    answers = asyncio.run(decide_many(opa, [DOCUMENT, READ, DOCUMENT], POLICIES, seconds=5))
    return [str(each) if isinstance(each, NoDecisionError) else f"allowed {each.allowed}" for each in answers]


def failed(status: int) -> aiohttp.ClientResponseError:
    return aiohttp.ClientResponseError(None, (), status=status)  # type: ignore[arg-type]  # nobody looks at it


REFUSED: Json = WHOLE | {"allowed": False, "violations": [violation("enforce")]}
BATCH, SINGLE = "portcullis.batch/decisions", "portcullis.validate/decision"
UNDEFINED = "OPA's decision is undefined"
# Name: what OPA answers to the batch, what comes of each document.
BATCHES: dict[str, tuple[Any, list[str]]] = {
    "whole": ({"result": {"0": WHOLE, "1": REFUSED, "2": WHOLE}}, ["allowed True", "allowed False", "allowed True"]),
    "one undefined": ({"result": {"0": WHOLE, "2": REFUSED}}, ["allowed True", UNDEFINED, "allowed False"]),
    "one too many": ({"result": {str(each): WHOLE for each in range(4)}}, ["allowed True"] * 3),
    "none": ({"result": {}}, [UNDEFINED] * 3),
    "one of another revision": (
        {"result": {"0": WHOLE, "1": WHOLE | {"revision": "r0"}, "2": WHOLE}},
        ["allowed True", "OPA has another revision of the policies than the one shipped", "allowed True"],
    ),
    "one with a rule less": (
        {"result": {"0": WHOLE | {"rules": []}, "1": WHOLE, "2": WHOLE}},
        ["OPA did not run guardrail/two, rbac/one", "allowed True", "allowed True"],
    ),
    "one against its violations": (
        {"result": {"0": WHOLE, "1": WHOLE, "2": REFUSED | {"allowed": True}}},
        ["allowed True", "allowed True", "OPA's verdict contradicts its violations"],
    ),
    "without a bundle": ({}, [UNDEFINED] * 3),
    "unreachable": (aiohttp.ClientConnectionError("gone"), ["OPA cannot be reached"] * 3),
}


@pytest.mark.parametrize(("batch", "wanted"), BATCHES.values(), ids=BATCHES.keys())
def test_many_are_asked_at_once_and_each_has_its_own_answer(batch: Any, wanted: list[str]) -> None:
    """In their order; what is wrong with one of the answers is wrong with that one alone."""
    opa = Scripted(batch)
    assert many(opa) == wanted
    assert opa.paths == [BATCH]


@pytest.mark.parametrize(
    "batch",
    [failed(500), TimeoutError(), {"result": [WHOLE]}, {"result": None}],
    ids=["a builtin failed", "late", "a list", "null"],
)
def test_a_batch_that_fails_as_a_whole_is_asked_one_by_one(batch: Any) -> None:
    """One document cannot keep others from their decisions."""
    opa = Scripted(batch)
    assert many(opa) == ["allowed True"] * 3
    assert opa.paths == [BATCH, SINGLE, SINGLE, SINGLE]


def test_nothing_is_asked_about_nothing() -> None:
    """Without a document there is no question."""
    opa = Scripted({})
    assert asyncio.run(decide_many(opa, [], POLICIES, seconds=5)) == ()
    assert opa.paths == []


MUTATIONS: dict[str, tuple[Any, str, bool]] = {
    "undefined": ({}, "OPA's decision is undefined", True),
    "result null": ({"result": None}, "OPA's answer has another shape", False),
    "another revision": ({"result": STAMPED | {"revision": "r0"}}, "OPA has another revision", True),
    "its rule did not run": ({"result": STAMPED | {"rules": []}}, "OPA did not run mutate/namespace", False),
    "undecided": ({"result": STAMPED | {"undecided": "no tree"}}, "^no tree", True),
    "a change elsewhere": (
        {"result": STAMPED | {"changes": [{"on": "spec", "key": "a", "value": "b"}]}},
        "OPA's answer has another shape",
        False,
    ),
}


@pytest.mark.parametrize(("answer", "reason", "retry"), MUTATIONS.values(), ids=MUTATIONS.keys())
def test_a_mutation_has_to_be_whole_too(answer: Any, reason: str, retry: bool) -> None:  # noqa: FBT001
    """A namespace is not stamped by half."""
    with pytest.raises(NoDecisionError, match=reason) as caught:
        asyncio.run(mutate(Answering(answer), DOCUMENT, POLICIES, seconds=5))
    assert caught.value.retry is retry


def test_a_whole_mutation_is_given_back() -> None:
    """Another path is asked, in the same strict way."""
    opa = Answering({"result": STAMPED | {"changes": [{"on": "labels", "key": "a", "value": None}]}})
    mutation = asyncio.run(mutate(opa, DOCUMENT, POLICIES, seconds=5))
    assert [(each.on, each.key, each.value) for each in mutation.changes] == [("labels", "a", None)]
    assert opa.asked[1:] == ("portcullis.mutate", "decision", STRICT)


@pytest.mark.parametrize("seconds", [0, 0.05, 0.3])
def test_an_opa_that_never_answers_has_until_the_deadline(seconds: float) -> None:
    """The caller's deadline bounds the question, and not by much more."""
    begin = time.monotonic()
    with pytest.raises(NoDecisionError, match=f"OPA did not answer within {seconds:.1f} s") as caught:
        asked_of(Silent(), seconds=seconds)
    assert caught.value.retry
    assert seconds <= time.monotonic() - begin < seconds + 1


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it on a loop that does not outlive the test, within 30 s."""

    async def bounded() -> Any:
        async with asyncio.timeout(30):
            return await work

    return asyncio.run(bounded())


@asynccontextmanager
async def listening(answer: bytes | None) -> AsyncIterator[int]:
    """Listen on a port, answer every connection with these bytes and close it; None: take it and say nothing."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await over.wait()
        else:
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        over.set()


def http(status: str, body: bytes, content_type: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return head.encode() + b"\r\n" + body


ON_THE_WIRE: dict[str, tuple[bytes | None, str, bool]] = {
    "HTTP 500": (http("500 Internal Server Error", b'{"code":"internal_error"}'), "OPA answered with HTTP 500", False),
    "HTTP 503": (http("503 Service Unavailable", b"{}"), "OPA answered with HTTP 503", True),
    "HTTP 404": (http("404 Not Found", b"{}"), "OPA answered with HTTP 404", False),
    "HTML": (http("200 OK", b"<p>yes", "text/html"), "OPA answered with HTTP 200", False),
    "broken JSON": (http("200 OK", b'{"result": {"allowed": true'), "OPA's answer is not JSON", False),
    "no UTF-8": (http("200 OK", b'{"result": "\xff"}'), "OPA's answer is not JSON", False),
    "half an answer": (http("200 OK", orjson.dumps({"result": WHOLE}))[:-20], "OPA cannot be reached", True),
    "no answer": (b"", "OPA cannot be reached", True),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "OPA answered with HTTP 400", False),
    "silence": (None, "OPA did not answer within 0.5 s", True),
}


@pytest.mark.parametrize(("answer", "reason", "retry"), ON_THE_WIRE.values(), ids=ON_THE_WIRE.keys())
def test_what_goes_wrong_on_the_wire_is_no_decision(answer: bytes | None, reason: str, retry: bool) -> None:  # noqa: FBT001
    """Our client turns whatever a server of another mind sends into the one error, and asks no second time."""

    async def main() -> None:
        async with listening(answer) as port, LocalOpa(host="127.0.0.1", port=port) as opa:
            with pytest.raises(NoDecisionError, match=reason) as caught:
                await decide(opa, DOCUMENT, POLICIES, seconds=0.5 if answer is None else 5)
            assert caught.value.retry is retry

    run(main())


def test_an_answer_on_the_wire_is_read() -> None:
    """The server of the cases above is one that can be right."""

    async def main() -> None:
        async with (
            listening(http("200 OK", orjson.dumps({"result": WHOLE}))) as port,
            LocalOpa(host="127.0.0.1", port=port) as opa,
        ):
            assert (await decide(opa, DOCUMENT, POLICIES, seconds=5)).allowed

    run(main())


def test_an_opa_that_is_not_there_cannot_be_reached(tmp_path: Path) -> None:
    """A closed port and a socket that is missing are told at once, and asking again may help."""

    async def refused(opa: LocalOpa) -> None:
        async with opa:
            with pytest.raises(NoDecisionError, match="OPA cannot be reached") as caught:
                await decide(opa, DOCUMENT, POLICIES, seconds=5)
            assert caught.value.retry

    with socket.socket() as closed:
        # Bound and not listening: nobody else gets the port, and it refuses.
        closed.bind(("127.0.0.1", 0))
        run(refused(LocalOpa(host="127.0.0.1", port=closed.getsockname()[1])))
    run(refused(LocalOpa(socket=tmp_path / "none.sock")))


def nested(depth: int) -> Json:
    deep: Json = {}
    for _ in range(depth):
        deep = {"a": deep}
    return deep


@pytest.mark.parametrize(
    "spec", [nested(300), 2**64, float, "\ud800"], ids=["nested", "an integer", "no JSON at all", "half a character"]
)
def test_a_document_that_is_no_json_is_no_decision(spec: Any, loop: Loop, gate: Gate) -> None:
    """What cannot be told to OPA whole is not told at all, and asking again would not help."""
    document = dataclasses.replace(DOCUMENT, object={"spec": spec})
    with pytest.raises(NoDecisionError, match="is not JSON") as caught:
        loop.run(decide(gate.opa, document, gate.policies, seconds=10))
    assert not caught.value.retry


FAILING = """# METADATA
# title: Failing
# description: Its builtin fails on every user but an address.
# custom:
#   severity: high
package portcullis.rules.extra.failing

import data.portcullis.result

deny contains violation if {
	net.cidr_contains("10.0.0.0/8", input.user.name)
	violation := result.violation(rego.metadata.chain(), "failing")
}
"""


# What no other rule looks at.
UNCOVERED = dataclasses.replace(
    DOCUMENT,
    request=Request(
        "CREATE", Kind("", "v1", "ConfigMap"), "", "dev", "web", dry_run=False, time="2026-11-21T12:00:00Z"
    ),
)


@pytest.fixture(scope="module")
def failing(bundle: Bundle, gate_of: GateOf) -> Gate:
    """A real OPA with a rule whose builtin fails."""
    files = bundle.files | {"portcullis/rules/extra/failing/failing.rego": FAILING.encode()}
    return gate_of(Bundle(files, Policies("failing", bundle.policies.rules | {"extra/failing"})))


def test_a_builtin_that_fails_is_no_decision(failing: Gate, loop: Loop) -> None:
    """A rule that could not look is an error of OPA and not a rule that found nothing; asking again would not help."""
    with pytest.raises(NoDecisionError, match="OPA answered with HTTP 500") as caught:
        loop.run(decide(failing.opa, UNCOVERED, failing.policies, seconds=10))
    assert not caught.value.retry


def test_a_builtin_that_fails_on_one_document_of_many_is_no_decision_on_that_one(failing: Gate, loop: Loop) -> None:
    """All others are decided as they would be alone."""
    right = dataclasses.replace(UNCOVERED, user=User("192.0.2.1", ()))
    broken = UNCOVERED
    undefined: Json = {"request": {}}
    asked = (right, broken, orjson.Fragment(orjson.dumps(right)), undefined)
    answers = loop.run(decide_many(failing.opa, asked, failing.policies, seconds=10))
    alone = loop.run(decide(failing.opa, right, failing.policies, seconds=10))
    assert (answers[0], answers[2]) == (alone, alone)
    assert str(answers[1]) == "OPA answered with HTTP 500"
    assert str(answers[3]) == UNDEFINED


def test_without_strict_errors_the_failing_builtin_would_let_it_pass(failing: Gate, loop: Loop) -> None:
    """So it is our parameter, as it arrives at OPA, that makes the difference."""
    answer = loop.run(failing.opa.query_rule(UNCOVERED, "portcullis.validate", "decision", {}))
    assert answer["result"]["allowed"]
    assert ["extra", "failing"] in answer["result"]["rules"]


def test_where_the_builtin_does_not_fail_there_is_a_decision(failing: Gate, loop: Loop) -> None:
    """The rule is one that can be asked."""
    document = dataclasses.replace(UNCOVERED, user=User("192.0.2.1", ()))
    assert loop.run(decide(failing.opa, document, failing.policies, seconds=10)).allowed


@pytest.mark.parametrize("caller", [ADA, BO], ids=["who would be allowed", "who would be denied"])
def test_a_review_whose_builtin_failed_is_denied_with_500(failing: Gate, loop: Loop, caller: Any) -> None:
    """The whole way of a request ends in a denial, and kubectl is not told to try again."""
    review = reviews.Asked(caller, "CREATE", NETPOL, new=policy("checkout-dev")).review()
    response = orjson.loads(loop.run(failing.validate(orjson.dumps(review), seconds=10)))["response"]
    assert not response["allowed"]
    assert (response["status"]["code"], response["status"]["reason"]) == (500, "InternalError")
    assert "details" not in response["status"]


def test_an_opa_without_the_bundle_gives_no_decision(gate: Gate, loop: Loop) -> None:
    """Policies of another revision than the one shipped decide nothing, however sure they are."""
    with pytest.raises(NoDecisionError, match="OPA has another revision") as caught:
        loop.run(decide(gate.opa, DOCUMENT, Policies("another", gate.policies.rules), seconds=10))
    assert caught.value.retry
    shipped = dataclasses.replace(gate.policies, rules=gate.policies.rules | {"new/rule"})
    with pytest.raises(NoDecisionError, match="OPA did not run new/rule") as caught:
        loop.run(decide(gate.opa, DOCUMENT, shipped, seconds=10))
    assert not caught.value.retry


def test_who_holds_which_role_is_asked_of_the_rules(gate: Gate, tree: Tree, loop: Loop) -> None:
    """Every tenant has its answer, by exact identity; an empty name holds nothing whatever its groups."""

    def asked(name: str, *groups: str) -> dict[str, frozenset[str]]:
        found = loop.run(held(gate.opa, User(name, groups), tree.tenants, seconds=30))
        assert set(found) == set(tree.tenants)
        return {key: roles for key, roles in found.items() if roles}

    assert asked("ada", "checkout-team") == {"Workspace/checkout": frozenset({"WorkspaceAdmin"})}
    assert asked("ivan") == {"Organization/acme": frozenset({"InfraAdmin"})}
    assert asked("system:serviceaccount:ci:deployer") == {"Workspace/plaza": frozenset({"WorkspaceAdmin"})}
    assert asked("system:serviceaccount:elsewhere:deployer") == {}
    assert asked("", "checkout-team", "acme-admins") == {}
