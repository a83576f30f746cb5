"""The comparison of the engines finds what differs, and is asked about all that it has to be."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cases.table import CASES
from tests.conftest import Loop, in_process
from tests.engines.twin import Compared, DifferentError, Twin
from webhook.admission import Gate
from webhook.decision.bundle import Bundle
from webhook.decision.document import Document, User
from webhook.decision.opa import STRICT, LocalOpa, Opa, held, readable
from webhook.decision.process import OpaProcess
from webhook.errors import NoDecisionError
from webhook.tenancy.tree import Tree

AT_ONCE = 100


@dataclass(frozen=True)
class Change:
    """One place in one file of the policies that reads otherwise."""

    file: str
    before: str
    after: str

    def made(self, bundle: Bundle) -> Bundle:
        """Return the bundle with it, under the same revision: nothing but what is decided gives it away."""
        name = f"portcullis/{self.file}.rego"
        content = bundle.files[name].decode()
        assert content.count(self.before) == 1
        return Bundle({**bundle.files, name: content.replace(self.before, self.after).encode()}, bundle.policies)


CHANGES = {
    "a role more": Change(
        "rules/rbac/namespace_policy/namespace_policy", "\troles.owns(place)\n", "\troles.sees(place)\n"
    ),
    "an owner less": Change(
        "roles/roles", '"owned": ["WorkspaceAdmin", "ProjectAdmin", "OrgAdmin"]', '"owned": ["WorkspaceAdmin"]'
    ),
    "a bound": Change("guardrails/guardrails", "[direction].ipv4 >= 0.25", "[direction].ipv4 > 0.25"),
    "a condition": Change("rules/baseline/pod_gate/pod_gate", "\tnot covered\n", ""),
    "a condition turned": Change(
        "rules/baseline/exemption/exemption", 'exemption_problem == ""', 'exemption_problem != ""'
    ),
    "a value": Change("rules/guardrail/host_network/host_network", '"Deny") != "Allow"', '"Deny") != "Deny"'),
    "a kind's version": Change("kinds/kinds", '"CiliumNetworkPolicy": {"v2"}', '"CiliumNetworkPolicy": {"v3"}'),
    "a severity": Change("rules/guardrail/from_anywhere/from_anywhere", "severity: critical", "severity: low"),
    "a word": Change("rules/rbac/tenancy/tenancy", "Name a group of your own", "Name another group"),
    "how a verb is written": Change("asked/asked", "lower(input.request.operation)", "input.request.operation"),
}
"""What one of the engines may come to have otherwise, from who is allowed to one word that a user reads."""


async def _ask(twin: Opa, documents: Sequence[Document]) -> None:
    for begin in range(0, len(documents), AT_ONCE):
        some = {"documents": documents[begin : begin + AT_ONCE]}
        await twin.query_rule(some, "portcullis.batch", "decisions", STRICT)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_changes_in_one_engine_alone_is_found(
    change: Change, bundle: Bundle, gate: Gate, documents: Sequence[Document], opa_binary: Path, loop: Loop
) -> None:
    """In OPA alone, and in-process alone; with the change in both they agree again."""
    changed, twin = change.made(bundle), gate.opa
    assert isinstance(twin, Twin)

    async def each() -> None:
        wasm = in_process(opa_binary, changed)
        async with (
            OpaProcess(opa_binary, changed.signed(), log=lambda _: None) as process,
            LocalOpa(socket=process.socket) as opa,
        ):
            await process.ready()
            for pair in (Twin(opa, twin.wasm, Compared()), Twin(twin.opa, wasm, Compared())):
                with pytest.raises(DifferentError, match="the engines differ on batch/decisions"):
                    await _ask(pair, documents)
                assert len(pair.compared.different) == 1
            await _ask(Twin(opa, wasm, Compared()), documents[::5])
        wasm.close()

    loop.run(each())


class Answering:
    """An engine that always answers the same, or never."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    async def query_rule(self, *_: object) -> object:
        """Answer."""
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


FAILED = NoDecisionError("no", retry=False, cause="failed")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        pytest.param(FAILED, {"result": {}}, id="no answer of OPA"),
        pytest.param({"result": {}}, FAILED, id="no answer in-process"),
        pytest.param({}, {"result": {}}, id="undefined"),
        pytest.param(FAILED, {}, id="undefined is an answer"),
        pytest.param({"result": {"a": 1}}, {"result": {"a": True}}, id="a type"),
        pytest.param({"result": {"a": 1}}, {"result": {"a": 1.0}}, id="a number's type"),
        pytest.param({"result": {"a": [1, 2]}}, {"result": {"a": [2, 1]}}, id="an order"),
        pytest.param({"result": {"a": 1}}, {"result": {"a": 1, "b": None}}, id="a field more"),
    ],
)
def test_whatever_differs_is_a_difference(theirs: object, ours: object, loop: Loop) -> None:
    """It is raised and kept, and says both answers and the document."""
    compared = Compared()
    question = ({"asked": "this"}, "portcullis.validate", "decision", STRICT)
    with pytest.raises(DifferentError, match='"asked":"this"'):
        loop.run(Twin(Answering(theirs), Answering(ours), compared).query_rule(*question))
    assert (len(compared.different), compared.counts) == (1, {})
    agreed = Twin(Answering(ours), Answering(ours), compared)
    if ours is not FAILED:
        assert loop.run(agreed.query_rule(*question)) is ours
    assert Compared(compared.counts).taken()[0].total() in {0, 2}


def test_the_case_table_goes_through_both(gate: Gate, documents: Sequence[Document], loop: Loop) -> None:
    """Each document of it alone, as a request is decided, for both hooks."""
    twin = gate.opa
    assert isinstance(twin, Twin)
    before = twin.compared.counts.copy()

    async def every() -> None:
        for document in documents:
            for package in ("portcullis.validate", "portcullis.mutate"):
                await twin.query_rule(document, package, "decision", STRICT)

    loop.run(every())
    for path in ("validate/decision", "mutate/decision"):
        assert twin.compared.counts[path] - before[path] == len(documents) == len(CASES)
    assert twin.compared.counts["without an answer"] == before["without an answer"]


def test_who_holds_and_may_read_what_goes_through_both(gate: Gate, tree: Tree, loop: Loop) -> None:
    """For everybody who asks for anything in the case table, at every tenant of the tree."""
    callers = {(case.asked.caller.name, case.asked.caller.groups) for case in CASES}
    holders = readers = 0
    for name, groups in sorted(callers):
        user = User(name, groups)
        holders += any(loop.run(held(gate.opa, user, tree.tenants, seconds=10)).values())
        readers += bool(loop.run(readable(gate.opa, user, tree.tenants, seconds=10))["tenants"])
    assert 0 < readers <= holders < len(callers)
