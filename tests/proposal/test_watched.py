"""What the rules of a change look at no more is told, for neither tests nor mutants know of what is gone."""

from dataclasses import replace

import pytest

from webhook.decision.catalogue import Guardrail, RulePage
from webhook.model import Policies
from webhook.proposal.watched import lost

PAGE = RulePage("demo/small", "", "", "high", "", "partly", (), Guardrail("small", "Deny"))
POD, NODE = "Pod", "Node"


def policies(kinds: frozenset[str] | None) -> Policies:
    return Policies("r", frozenset({PAGE.id}), {} if kinds is None else {PAGE.id: kinds})


@pytest.mark.parametrize(
    ("base", "head", "said"),
    [
        pytest.param({POD}, {POD}, "", id="the same"),
        pytest.param({POD}, {POD, NODE}, "", id="more"),
        pytest.param({POD}, None, "", id="all"),
        pytest.param({POD, NODE}, {POD}, "does not look at Node any more", id="less"),
        pytest.param(None, {POD}, "does not look at every other kind any more", id="no longer all"),
    ],
)
def test_kinds_that_are_looked_at_no_more_are_told(base: set[str] | None, head: set[str] | None, said: str) -> None:
    """A rule that names fewer kinds refuses nothing of the others."""
    before, after = (policies(None if each is None else frozenset(each)) for each in (base, head))
    found = [each.message for each in lost(before, after, ((PAGE,), (PAGE,)))]
    assert found == ([f"demo/small {said}"] if said else [])


def test_a_rule_that_goes_is_told() -> None:
    """Its tests go with it."""
    (remark,) = lost(policies(None), Policies("s", frozenset()), ((PAGE,), ()))
    assert (remark.action, remark.message) == ("warn", "demo/small is gone: what it refused is refused no more")


@pytest.mark.parametrize(
    ("page", "said"),
    [
        pytest.param(
            replace(PAGE, softened="fully"), "demo/small may be softened fully, and was partly", id="softened"
        ),
        pytest.param(replace(PAGE, softened="never"), "", id="hardened"),
        pytest.param(
            replace(PAGE, guardrail=Guardrail("small", "Allow")),
            "demo/small has another guardrail: small = 'Deny', now small = 'Allow'",
            id="default",
        ),
        pytest.param(
            replace(PAGE, guardrail=None),
            "demo/small has another guardrail: small = 'Deny', now none",
            id="no guardrail",
        ),
    ],
)
def test_what_metadata_weakens_is_told(page: RulePage, said: str) -> None:
    """What a rule says of itself counts in the cluster."""
    found = [each.message for each in lost(policies(None), policies(None), ((PAGE,), (page,)))]
    assert found == ([said] if said else [])
