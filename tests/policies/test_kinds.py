"""The kinds that rules declare: what is left out finds nothing."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from tests.cases.rules import ELSEWHERE, copies, traps, with_rules
from tests.cases.table import CASES
from tests.conftest import GateOf, Loop
from webhook.admission import Gate
from webhook.decision.bundle import INDEX, Bundle
from webhook.decision.document import Document, Kind
from webhook.decision.opa import Engine, decide, decide_many
from webhook.decision.wasm import WasmOpa, compiled
from webhook.errors import NoDecisionError
from webhook.gather import gather
from webhook.model import Decision
from webhook.review.envelope import read_review
from webhook.settings import BREAK_GLASS_GROUPS
from webhook.tenancy.tree import Tree

AT_ONCE = 64
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def documents(tree: Tree) -> list[Document]:
    """What is decided on in each case of the table, and for each kind in it what nobody says anything about."""
    cases = [
        gather(read_review(orjson.dumps(case.asked.review())), tree, BREAK_GLASS_GROUPS, now=NOW) for case in CASES
    ]
    bare = {each.request.kind: replace(each, object=None, old_object=None, reaches=()) for each in cases}
    return [*cases, *bare.values()]


@pytest.fixture(scope="module")
def everything(bundle: Bundle, gate_of: GateOf) -> Gate:
    """A gate without an index, where every rule runs on everything."""
    policies = replace(bundle.policies, revision="without an index", kinds={})
    plain = Bundle(bundle.files, policies)
    assert INDEX not in plain.whole()
    return gate_of(plain)


@pytest.fixture(scope="module")
def thousand(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The shipped rules, copies of them and rules that end each decision they run for, these for kinds of their own."""
    copied = copies(bundle, 2 * len(bundle.policies.rules), ELSEWHERE)
    more = {**copied, **traps(1000 - len(bundle.policies.rules) - len(copied), ELSEWHERE)}
    return with_rules(bundle, tmp_path_factory.mktemp("thousand"), more)


@pytest.fixture(scope="module", params=["opa", "wasm"])
def crowded(request: pytest.FixtureRequest, thousand: Bundle, gate_of: GateOf, opa_binary: Path) -> Engine:
    """An engine with a thousand rules."""
    if request.param == "opa":
        return gate_of(thousand).engine
    module = compiled(opa_binary, thousand, cache=None)
    return Engine(WasmOpa.load(module, thousand.policies.revision), thousand.policies)


def decided(loop: Loop, engine: Engine | Gate, documents: list[Document]) -> list[Decision]:
    async def every() -> list[Decision | NoDecisionError]:
        batches = [documents[start : start + AT_ONCE] for start in range(0, len(documents), AT_ONCE)]
        found = await asyncio.gather(*(decide_many(engine.opa, each, engine.policies, seconds=60) for each in batches))
        return [answer for batch in found for answer in batch]

    answers = loop.run(every())
    assert [each for each in answers if isinstance(each, NoDecisionError)] == []
    return [each for each in answers if isinstance(each, Decision)]


def test_the_rules_left_out_would_find_nothing(
    documents: list[Document], gate: Gate, everything: Gate, loop: Loop
) -> None:
    """Each case is decided alike, to the letter, by the rules of its kind and by all there are."""
    some, every = decided(loop, gate, documents), decided(loop, everything, documents)
    assert len(some) == len(every) == len(documents) > len(CASES)
    for document, ours, theirs in zip(documents, some, every, strict=True):
        assert replace(ours, revision="", rules=frozenset()) == replace(theirs, revision="", rules=frozenset())
        kind = document.request.kind
        assert ours.rules == gate.policies.demanded(kind.group, kind.kind)
        assert theirs.rules == gate.policies.rules


def test_a_thousand_rules_decide_as_the_shipped_ones(
    documents: list[Document], gate: Gate, crowded: Engine, loop: Loop
) -> None:
    """Each case is decided alike beside rules of other kinds, none of which runs: most would end the decision."""
    assert len(crowded.policies.rules) == 1000
    few, many = decided(loop, gate, documents), decided(loop, crowded, documents)
    for document, ours, theirs in zip(documents, few, many, strict=True):
        kind = document.request.kind
        assert theirs.rules == ours.rules == crowded.policies.demanded(kind.group, kind.kind)
        assert sorted(theirs.violations, key=str) == sorted(ours.violations, key=str)
        assert replace(theirs, revision="", violations=()) == replace(ours, revision="", violations=())


def test_a_rule_runs_for_its_kind(documents: list[Document], crowded: Engine, loop: Loop) -> None:
    """So that the test above is one: on the kinds of the rules that end a decision there is none."""
    request = replace(documents[0].request, kind=Kind("things.example.com", "v1", "Thing0"))
    with pytest.raises(NoDecisionError):
        loop.run(decide(crowded.opa, replace(documents[0], request=request), crowded.policies, seconds=60))


def test_many_are_decided_as_each_alone(documents: list[Document], gate: Gate, loop: Loop) -> None:
    """A batch gives what each document would get by itself."""
    some = documents[:: len(documents) // 50]

    async def alone() -> list[Decision]:
        return [await decide(gate.opa, each, gate.policies, seconds=60) for each in some]

    assert decided(loop, gate, some) == loop.run(alone())


def test_every_shipped_rule_says_what_it_looks_at(bundle: Bundle) -> None:
    """So that a request costs what its own rules cost."""
    assert set(bundle.policies.kinds) == bundle.policies.rules
