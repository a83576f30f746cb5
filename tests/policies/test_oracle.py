"""The Rego against a small independent oracle of who may do what (contract, section 2)."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cases.reviews import CRD, NAMESPACE, TENANTS, Asked
from tests.conftest import Loop
from tests.policies.answers import ask_all, under
from tests.policies.oracle import World, breaks_glass, denied_by
from tests.policies.worlds import ACROSS, INSIDE, Kind, moves, planted, requests, touches, worlds
from webhook.admission import Gate

Drawn = tuple[World, list[Asked]]
MANY = settings(deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
FEW = 10


def asked_in_worlds(*asked: Callable[[World], st.SearchStrategy[Asked]]) -> st.SearchStrategy[Drawn]:
    """Draw a tree, and some of what is asked in it."""
    return worlds().flatmap(
        lambda world: st.tuples(st.just(world), st.lists(st.one_of(*(each(world) for each in asked)), min_size=1))
    )


def about(*kinds: Kind) -> Callable[[World], st.SearchStrategy[Asked]]:
    return lambda world: requests(world, kinds)


RULES = {
    "rbac/namespace-policy": (80, asked_in_worlds(about(*INSIDE))),
    "rbac/cluster-policy": (100, asked_in_worlds(about(*ACROSS, CRD, CRD))),
    "rbac/namespace": (180, asked_in_worlds(about(NAMESPACE), about(NAMESPACE), touches, moves)),
    "rbac/tenancy": (150, asked_in_worlds(about(*TENANTS.values(), TENANTS["Workspace"]), moves)),
}
"""By rule: how many trees, and what is asked in them."""


@pytest.mark.parametrize(("examples", "asked"), RULES.values(), ids=RULES.keys())
def test_the_rule_agrees_with_the_oracle(
    examples: int, asked: st.SearchStrategy[Drawn], gate: Gate, loop: Loop
) -> None:
    """
    Whatever the tree, whoever asks and whatever for: who may is whom the contract's table says, and nobody else.

    What cannot be decided is denied. The rule is seen to allow and to deny more than a few times.
    """
    seen: Counter[bool] = Counter()

    @settings(MANY, max_examples=examples)
    @given(asked)
    def agree(drawn: Drawn) -> None:
        world, every = drawn
        reviews = [each.review() for each in every]
        for review, answer in zip(reviews, ask_all(loop, under(gate, planted(world)), reviews), strict=True):
            wanted = denied_by(world, review["request"])
            if breaks_glass(review["request"]):
                assert answer.allowed
            else:
                assert {rule for rule in answer.denied_by if rule in RULES} == wanted, answer.lines
                seen[bool(wanted)] += 1

    agree()
    assert min(seen[True], seen[False]) > FEW, seen
