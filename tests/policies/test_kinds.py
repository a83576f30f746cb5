"""The kinds that rules declare: what is left out finds nothing."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from tests.cases.table import CASES
from tests.conftest import GateOf, Loop
from webhook.admission import Gate
from webhook.decision.bundle import INDEX, Bundle
from webhook.decision.document import Document
from webhook.decision.opa import decide, decide_many
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


def decided(loop: Loop, gate: Gate, documents: list[Document]) -> list[Decision]:
    async def every() -> list[Decision | NoDecisionError]:
        batches = [documents[start : start + AT_ONCE] for start in range(0, len(documents), AT_ONCE)]
        found = await asyncio.gather(*(decide_many(gate.opa, each, gate.policies, seconds=60) for each in batches))
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


def test_many_are_decided_as_each_alone(documents: list[Document], gate: Gate, loop: Loop) -> None:
    """A batch gives what each document would get by itself."""
    some = documents[:: len(documents) // 50]

    async def alone() -> list[Decision]:
        return [await decide(gate.opa, each, gate.policies, seconds=60) for each in some]

    assert decided(loop, gate, some) == loop.run(alone())


def test_every_shipped_rule_says_what_it_looks_at(bundle: Bundle) -> None:
    """So that a request costs what its own rules cost."""
    assert set(bundle.policies.kinds) == bundle.policies.rules
