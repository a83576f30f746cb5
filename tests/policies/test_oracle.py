"""The Rego against a small independent oracle of who may do what (contract, section 2)."""

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cases.reviews import Asked
from tests.conftest import Loop
from tests.policies.answers import ask_all, under
from tests.policies.oracle import World, breaks_glass, denied_by, guarded_by
from tests.policies.worlds import planted, requests, worlds
from webhook.admission import Gate

MANY = settings(max_examples=400, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
FEW = 5
RULES = ("rbac/cluster-policy", "rbac/namespace", "rbac/namespace-policy", "rbac/tenancy")
ASKED = worlds().flatmap(lambda world: st.tuples(st.just(world), st.lists(requests(world), min_size=1, max_size=40)))


def test_the_rules_agree_with_the_oracle(gate: Gate, loop: Loop) -> None:
    """
    Whatever the tree, whoever asks and whatever for: who may is whom the contract's table says, and nobody else.

    What cannot be decided is denied. Each rule is seen to allow and to deny more than once.
    """
    seen: Counter[tuple[str, bool]] = Counter()

    @MANY
    @given(ASKED)
    def agree(drawn: tuple[World, list[Asked]]) -> None:
        world, asked = drawn
        tree = planted(world)
        reviews = [each.review() for each in asked]
        for review, answer in zip(reviews, ask_all(loop, under(gate, tree), reviews), strict=True):
            wanted = denied_by(world, review["request"])
            if breaks_glass(review["request"]):
                assert answer.allowed
            else:
                assert {rule for rule in answer.denied_by if rule in RULES} == wanted, answer.lines
                seen[guarded_by(world, review["request"]), bool(wanted)] += 1

    agree()
    few = {(rule, denied) for rule in RULES for denied in (True, False) if seen[rule, denied] < FEW}
    assert not few, seen
