"""What is found has a fingerprint, an order, and words for the state of a namespace."""

import pytest

from webhook.scan.finding import (
    LONGEST_SENTENCE,
    MOST_SENTENCES,
    Action,
    Finding,
    Thing,
    importance,
    outvoted_by,
    strongest,
)

API = "networking.k8s.io/v1"


def thing(name: str) -> Thing:
    return Thing("dev", "NetworkPolicy", name, API)


def finding(
    name: str,
    *others: str,
    rule: str = "guardrail/to-anywhere",
    action: Action = "enforce",
    message: str = "opens",
    severity: str = "high",
) -> Finding:
    return Finding(rule, "title", severity, message, action, thing(name), (thing(name), *map(thing, others)))


def test_a_fingerprint_is_of_the_rule_and_the_thing_alone() -> None:
    """Words, severity, action and who else does it do not change it; another rule or thing does."""
    one = finding("a")
    assert finding("a", "b", action="audit", message="other", severity="low").fingerprint == one.fingerprint
    assert finding("b").fingerprint != one.fingerprint
    assert finding("a", rule="guardrail/from-anywhere").fingerprint != one.fingerprint
    calico = Finding("guardrail/to-anywhere", "", "", "", "none", Thing("dev", "NetworkPolicy", "a", "c/v1"))
    assert calico.fingerprint != one.fingerprint


def test_the_worst_comes_first() -> None:
    """What would be refused before what would not, the more severe before the less, then by name."""
    audit, low, high = finding("a", action="audit"), finding("a", severity="low"), finding("z", severity="critical")
    unheard = finding("x", severity="catastrophic")
    assert sorted([audit, low, high, unheard], key=importance) == [unheard, high, low, audit]
    assert strongest(["audit", "enforce", "warn"]) == "enforce"


def test_what_differs_in_the_time_of_the_question_says_the_same() -> None:
    """A message that tells the time of the question is no other one in a minute; any other word is."""
    one = finding("a", message="it ended at noon, and it is 2026-11-21T10:00:00Z now")
    assert one.says(finding("a", message="it ended at noon, and it is 2026-11-21T10:30:00.5Z now"))
    assert not one.says(finding("a", message="it ended at dusk, and it is 2026-11-21T10:00:00Z now"))
    assert not one.says(finding("a", message=one.message, action="audit"))


OUTVOTED = {
    "nothing": ((), ()),
    "one alone": ((finding("a"),), ("NetworkPolicy a [guardrail/to-anywhere]: opens",)),
    "two together, each of which finds it": (
        (finding("a", "b", message="with b"), finding("b", "a", message="with a")),
        ("NetworkPolicy a and NetworkPolicy b together [guardrail/to-anywhere]: with b",),
    ),
    "three together": (
        (finding("c", "a", "b"),),
        ("NetworkPolicy a, NetworkPolicy b and NetworkPolicy c together [guardrail/to-anywhere]: opens",),
    ),
    "one alone, and others only with it": (
        (finding("b", "a"), finding("a"), finding("c", "a", "b")),
        ("NetworkPolicy a [guardrail/to-anywhere]: opens",),
    ),
    "two, and a third that is not needed": (
        (finding("c", "a", "b"), finding("a", "b"), finding("b", "a")),
        ("NetworkPolicy a and NetworkPolicy b together [guardrail/to-anywhere]: opens",),
    ),
    "two alone, in the same words": (
        (finding("b"), finding("a")),
        ("NetworkPolicy a and NetworkPolicy b [guardrail/to-anywhere]: opens",),
    ),
    "another rule hides nothing": (
        (finding("a", rule="guardrail/from-anywhere"), finding("a", "b")),
        (
            "NetworkPolicy a [guardrail/from-anywhere]: opens",
            "NetworkPolicy a and NetworkPolicy b together [guardrail/to-anywhere]: opens",
        ),
    ),
    "what is softened outvotes nobody": ((finding("a", action="warn"), finding("b", action="audit")), ()),
    "what no guardrail says outvotes nobody": ((finding("a", rule="baseline/managed-policy"),), ()),
}


@pytest.mark.parametrize(("findings", "sentences"), OUTVOTED.values(), ids=OUTVOTED)
def test_who_outvotes_a_baseline(findings: tuple[Finding, ...], sentences: tuple[str, ...]) -> None:
    """A sentence for each guardrail and the policies that do it, all of them named, with no more than it takes."""
    assert outvoted_by(findings) == sentences
    assert outvoted_by(reversed(findings)) == sentences


def test_the_state_of_a_namespace_stays_short() -> None:
    """However much is found, a few sentences of a few names tell of it, and that there is more."""
    many = [finding(f"p{index:02}", message=f"opens {index} {'x' * 2000}") for index in range(40)]
    sentences = outvoted_by(many)
    assert len(sentences) == MOST_SENTENCES + 1
    assert sentences[-1] == "and 35 more, which portcullis scan tells"
    assert all(len(each) <= LONGEST_SENTENCE for each in sentences)
    (alike,) = outvoted_by([finding(f"p{index:02}") for index in range(40)])
    assert alike.startswith("NetworkPolicy p00, NetworkPolicy p01, ")
    assert "and 35 more [guardrail" in alike
