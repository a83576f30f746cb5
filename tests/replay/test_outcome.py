"""What differs between two decisions on one document, and what it means."""

from typing import get_args

import pytest

from webhook.errors import NoDecisionError
from webhook.history.record import Verdict
from webhook.model import Decision, Enforcement, Violation
from webhook.replay.outcome import Difference, difference_of, outcome_of
from webhook.replay.tally import tenant_of


def answer(*fired: str, break_glass: bool = False) -> Decision:
    """Return a decision by rules that fired, each as `rule:action`."""
    violations = tuple(_violation(*each.partition(":")) for each in fired)
    refused = any(each.action == "enforce" for each in violations)
    return Decision("r1", frozenset({"a/a"}), not refused or break_glass, break_glass and refused, "", violations)


def _violation(rule: str, _: str, action: str) -> Violation:
    known = next(each for each in get_args(Enforcement) if each == (action or "enforce"))
    return Violation(rule, "high", f"{rule} says no", known)


ERROR = NoDecisionError("OPA's decision is undefined", retry=False)

Answer = Decision | NoDecisionError
PAIRS: dict[str, tuple[Answer, Answer, Difference | None, str]] = {
    "nothing": (answer(), answer(), None, ""),
    "the-same": (answer("a/a", "b/b"), answer("b/b", "a/a"), None, ""),
    "the-same-error": (ERROR, ERROR, None, ""),
    "lets-pass": (answer("a/a"), answer(), Difference("a/a", "deny", "allow"), "opened"),
    "lets-pass-with-a-warning": (answer("a/a"), answer("a/a:warn"), Difference("a/a", "deny", "warn"), "opened"),
    "lets-pass-unseen": (answer("a/a"), answer("a/a:audit"), Difference("a/a", "deny", "audit"), "opened"),
    "decides-and-lets-pass": (ERROR, answer(), Difference("", "error", "allow"), "opened"),
    "refuses": (answer(), answer("a/a"), Difference("a/a", "allow", "deny"), "closed"),
    "refuses-what-it-warned-of": (answer("a/a:warn"), answer("a/a"), Difference("a/a", "warn", "deny"), "closed"),
    "refuses-beside-a-warning": (
        answer("a/a:warn"),
        answer("a/a:warn", "b/b"),
        Difference("b/b", "warn", "deny"),
        "closed",
    ),
    "does-not-decide": (answer(), ERROR, Difference("", "allow", "error"), "closed"),
    "does-not-decide-what-it-refused": (answer("a/a"), ERROR, Difference("", "deny", "error"), "other"),
    "decides-and-refuses": (ERROR, answer("a/a"), Difference("a/a", "error", "deny"), "other"),
    "warns": (answer(), answer("a/a:warn"), Difference("a/a", "allow", "warn"), "other"),
    "warns-no-more": (answer("a/a:warn"), answer(), Difference("a/a", "warn", "allow"), "other"),
    "refuses-by-another": (answer("a/a"), answer("b/b"), Difference("a/a", "deny", "deny"), "rules"),
    "refuses-by-one-more": (answer("a/a"), answer("a/a", "b/b"), Difference("b/b", "deny", "deny"), "rules"),
    "refuses-by-one-less": (answer("a/a", "b/b"), answer("b/b"), Difference("a/a", "deny", "deny"), "rules"),
    "of-several-the-strongest": (
        answer("a/a:audit", "b/b:warn", "c/c", "d/d"),
        answer(),
        Difference("c/c", "deny", "allow"),
        "opened",
    ),
    "break-glass": (
        answer("a/a"),
        answer("a/a", break_glass=True),
        Difference("a/a", "deny", "warn"),
        "opened",
    ),
}


@pytest.mark.parametrize(("before", "after", "difference", "change"), PAIRS.values(), ids=PAIRS)
def test_the_difference_is_told_by_the_rule_that_makes_it(
    before: Answer, after: Answer, difference: Difference | None, change: str
) -> None:
    """What passes and was refused is opened, whatever else is said of it."""
    found = difference_of(outcome_of(before), outcome_of(after))
    assert found == difference
    assert (found.change if found else "") == change


def test_the_words_are_those_of_the_rule() -> None:
    """Of one that said nothing the first that did is quoted; of no decision why."""
    outcome = outcome_of(answer("a/a", "b/b"))
    assert [outcome.message(rule) for rule in ("b/b", "c/c")] == ["b/b says no", "a/a says no"]
    assert outcome_of(answer()).message("a/a") == ""
    assert outcome_of(ERROR).message("a/a") == "OPA's decision is undefined"


@pytest.mark.parametrize(
    ("tenants", "nearest"),
    [
        pytest.param(("Organization/o", "Project/p", "Workspace/w"), "Workspace/w", id="of-a-namespace"),
        pytest.param(("Organization/o", "Project/p"), "Project/p", id="of-a-project"),
        pytest.param((), "", id="of-none"),
        pytest.param(("other",), "other", id="unknown"),
        pytest.param(("Workspace/b", "Workspace/a"), "Workspace/b", id="of-two-the-first"),
    ],
)
def test_the_nearest_tenant_is_told(tenants: tuple[str, ...], nearest: str) -> None:
    """Whatever the order they are recorded in."""
    assert tenant_of(tenants) == nearest


def test_every_verdict_is_refused_or_passes() -> None:
    """A verdict to come is not forgotten here."""
    for verdict in get_args(Verdict):
        changes = {Difference("", verdict, "allow").change, Difference("", "allow", verdict).change}
        assert changes == (
            {"opened", "closed"} if verdict in {"deny", "error"} else {"rules"} if verdict == "allow" else {"other"}
        )
