"""What a check comes to, as a whole."""

from pathlib import Path

import pytest

from webhook.check.finding import Action, CheckedFinding, Spot, Thing, fails, numbered


def found(action: Action, rule: str = "a/b", line: int = 1) -> CheckedFinding:
    thing = Thing("dev", "NetworkPolicy", "web", "networking.k8s.io/v1")
    return CheckedFinding(rule, "", "high", action, "it opens", "CREATE", thing, Spot(Path("a"), 0, line, 1))


@pytest.mark.parametrize(
    ("action", "failing"),
    [("enforce", {"enforce", "warn", "audit"}), ("warn", {"warn", "audit"}), ("audit", {"audit"})],
)
def test_what_comes_to_more_fails_too(action: Action, failing: set[str]) -> None:
    """And nothing fails where nothing is to."""
    asked = ("enforce", "warn", "audit", "never")
    assert {each for each in asked if fails([found(action)], each)} == failing
    assert not any(fails([], each) for each in asked)


def test_a_fingerprint_is_the_rules_and_the_objects() -> None:
    """Several findings of one rule in one object are told apart, by their number."""
    first, second, other = numbered([found("enforce"), found("warn", line=9), found("enforce", "a/c")])
    assert first.fingerprint == found("audit", line=3).fingerprint
    assert len({each.fingerprint for each in (first, second, other)}) == 3
