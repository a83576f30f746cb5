"""The AdmissionReview that answers: contract, section 3."""

import base64
import re
import unicodedata
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook.errors import NoDecisionError
from webhook.model import Decision, Enforcement, Mutation, Violation
from webhook.review.answer import decided, mutated, one_line, undecided

# A machine that is busy with something else makes a test slow, not wrong.
THOROUGH = settings(max_examples=200, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
Json = dict[str, Any]
RULES = frozenset({"rbac/namespace-policy", "guardrail/from-anywhere"})
ID = "3f2a"


def violation(
    rule: str = "rbac/namespace-policy",
    message: str = "bo may not create it",
    *,
    severity: str = "high",
    action: Enforcement = "enforce",
) -> Violation:
    """Return a violation."""
    return Violation(rule, severity, message, action)


def decision(*violations: Violation, allowed: bool, break_glass: bool = False, undecided: str = "") -> Decision:
    """Return a decision."""
    return Decision("r1", RULES, allowed, break_glass, undecided, violations)


def answer(body: bytes) -> Json:
    """Return the response of an answer, whose envelope has to be right."""
    whole = orjson.loads(body)
    assert set(whole) == {"apiVersion", "kind", "response"}
    assert (whole["apiVersion"], whole["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response: Json = whole["response"]
    assert response["uid"] == "u1"
    assert isinstance(response["allowed"], bool)
    assert all(isinstance(value, str) for value in response["auditAnnotations"].values())
    assert all("/" not in key for key in response["auditAnnotations"])
    return response


def answered(*violations: Violation, allowed: bool, break_glass: bool = False, undecided: str = "") -> Json:
    """Return the response to a validation."""
    what = decision(*violations, allowed=allowed, break_glass=break_glass, undecided=undecided)
    return answer(decided("u1", ID, what))


def lines(response: Json) -> list[str]:
    """Return the lines of a denial."""
    message: str = response["status"]["message"]
    return message.split("\n")


def test_what_is_allowed_says_no_more_than_that() -> None:
    """Without a violation there is neither a status nor a warning."""
    assert answered(allowed=True) == {
        "uid": "u1",
        "allowed": True,
        "auditAnnotations": {"decision-id": ID, "policy-revision": "r1", "rules": ""},
    }


def test_a_denial_is_forbidden_with_a_line_for_each_violation() -> None:
    """Code, reason, rule, words and decision id are there."""
    response = answered(violation(), violation("guardrail/from-anywhere", "it opens 0.0.0.0/0"), allowed=False)
    assert response == {
        "uid": "u1",
        "allowed": False,
        "status": {
            "code": 403,
            "reason": "Forbidden",
            "message": "[guardrail/from-anywhere] it opens 0.0.0.0/0. Decision 3f2a\n"
            "[rbac/namespace-policy] bo may not create it. Decision 3f2a",
        },
        "auditAnnotations": {
            "decision-id": ID,
            "policy-revision": "r1",
            "rules": "guardrail/from-anywhere,rbac/namespace-policy",
        },
    }


def waiting(message: str = "its policies are missing", *, action: Enforcement = "enforce") -> Violation:
    """Return a violation that passes by itself."""
    return Violation("baseline/pod-gate", "critical", message, action, wait=True)


def test_what_passes_by_itself_is_to_be_tried_again() -> None:
    """Then, and only where all that refuses passes, the answer is one that kubectl follows by itself."""
    response = answered(waiting(), violation(action="warn"), violation(action="audit"), allowed=False)
    assert response["status"] == {
        "code": 500,
        "reason": "InternalError",
        "message": "[baseline/pod-gate] its policies are missing. Decision 3f2a",
        "details": {"retryAfterSeconds": 1},
    }
    assert response["auditAnnotations"]["rules"] == "baseline/pod-gate,rbac/namespace-policy"


@pytest.mark.parametrize(
    "found",
    [
        pytest.param((waiting(), violation()), id="something-else-refuses"),
        pytest.param((waiting(action="warn"), violation()), id="it-does-not-refuse"),
        pytest.param((), id="nothing-refuses"),
    ],
)
def test_what_does_not_pass_by_itself_is_forbidden(found: tuple[Violation, ...]) -> None:
    """Waiting would not help."""
    status = answered(*found, allowed=False)["status"]
    assert (status["code"], status["reason"], status.get("details")) == (403, "Forbidden", None)


def test_the_most_important_violation_comes_first() -> None:
    """Lines go by severity, then by rule; a severity that is none of ours is not hidden at the end."""
    found = [
        violation("a/low", severity="low"),
        violation("a/medium", severity="medium"),
        violation("b/high", severity="high"),
        violation("a/high", severity="high"),
        violation("z/critical", severity="critical"),
        violation("z/typo", severity="hihg"),
    ]
    rules = [line.split("]")[0][1:] for line in lines(answered(*found, allowed=False))]
    assert rules == ["z/typo", "z/critical", "a/high", "b/high", "a/medium", "a/low"]


def test_a_denial_lists_only_what_refuses() -> None:
    """A rule in warn or audit mode is no reason of a denial; the first is a warning beside it, both are annotated."""
    response = answered(
        violation("a/refuses"),
        violation("b/warns", action="warn"),
        violation("c/is-audited", action="audit"),
        allowed=False,
    )
    assert [line.split(" ")[0] for line in lines(response)] == ["[a/refuses]"]
    assert response["warnings"] == ["[b/warns] bo may not create it"]
    assert response["auditAnnotations"]["rules"] == "a/refuses,b/warns,c/is-audited"


def test_warn_allows_with_a_warning_and_audit_without() -> None:
    """Only the record holds what is audited."""
    response = answered(violation("b/w", "soon refused", action="warn"), violation("c/a", action="audit"), allowed=True)
    assert response["allowed"] is True
    assert "status" not in response
    assert response["warnings"] == ["[b/w] soon refused"]
    assert "warnings" not in answered(violation(action="audit"), allowed=True)


@pytest.mark.parametrize(("count", "shown", "rest"), [(20, 20, 0), (21, 20, 1), (500, 20, 480)])
def test_violations_beyond_twenty_are_counted(count: int, shown: int, rest: int) -> None:
    """Twenty lines have words, one more has the number of the others; each has the decision id."""
    found = lines(answered(*(violation(message=f"number {each:03}") for each in range(count)), allowed=False))
    assert len(found) == shown + bool(rest)
    assert [line for line in found if line.startswith("[")] == found[:shown]
    assert all(line.endswith(f". Decision {ID}") for line in found)
    if rest:
        assert f"{rest} more violations" in found[-1]


def test_a_rule_that_fires_twice_is_annotated_once() -> None:
    """The annotation lists rules, not violations."""
    response = answered(violation(message="one"), violation(message="two"), allowed=False)
    assert response["auditAnnotations"]["rules"] == "rbac/namespace-policy"
    assert len(lines(response)) == 2


CONTROLS = [
    pytest.param("\n", id="newline"),
    pytest.param("\r", id="return"),
    pytest.param("\t", id="tab"),
    pytest.param("\x00", id="nul"),
    pytest.param("\x1b", id="escape"),
    pytest.param("\x7f", id="delete"),
    pytest.param("\x85", id="next-line"),
    pytest.param("\x9b", id="control-sequence"),
    pytest.param("\u2028", id="line-separator"),
    pytest.param("\u2029", id="paragraph-separator"),
    pytest.param("\u202e", id="right-to-left-override"),
    pytest.param("\u200b", id="zero-width-space"),
    pytest.param("\U000e0041", id="tag-letter"),
    pytest.param("\u2066", id="left-to-right-isolate"),
    pytest.param("\u200f", id="right-to-left-mark"),
    pytest.param("\u061c", id="arabic-letter-mark"),
    pytest.param("\ud800", id="half-a-character"),
]


@pytest.mark.parametrize("character", CONTROLS)
def test_what_is_quoted_forges_nothing(character: str) -> None:
    """A control character in a message, a rule or a reason is replaced: no second line, no colour, no turned text."""
    forged = f"web{character}[rbac/tenancy] all is well"
    denial = answered(violation(message=forged), allowed=False)
    assert lines(denial) == [f"[rbac/namespace-policy] web\ufffd[rbac/tenancy] all is well. Decision {ID}"]
    assert answered(violation(message=forged, action="warn"), allowed=True)["warnings"] == [
        "[rbac/namespace-policy] web\ufffd[rbac/tenancy] all is well"
    ]
    assert character not in answered(allowed=True, break_glass=True, undecided=forged)["warnings"][0]
    assert character not in answer(undecided("u1", ID, "r1", NoDecisionError(forged, retry=False)))["status"]["message"]
    assert one_line(character) == "\ufffd"


@THOROUGH
@given(st.text() | st.text(alphabet=st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Cs"])))
def test_one_line_has_no_control_character(text: str) -> None:
    """Length stays, and no character of the result is a control, a line separator, a half character or turns text."""
    result = one_line(text)
    assert len(result) == len(text)
    for before, after in zip(text, result, strict=True):
        assert unicodedata.category(after) not in {"Cc", "Zl", "Zp", "Cs"}
        assert unicodedata.bidirectional(after) not in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
        assert after in {before, "\ufffd"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("x" * 10, "x" * 10, id="just-fits"),
        pytest.param("x" * 11, "x" * 9 + "…", id="one-too-many"),
        pytest.param("", "", id="empty"),
        pytest.param("\n" * 20, "\ufffd" * 9 + "…", id="controls-count"),
        pytest.param("\U0001f6a7" * 11, "\U0001f6a7" * 9 + "…", id="characters-not-bytes"),
    ],
)
def test_a_line_is_cut_to_its_length(text: str, line: str) -> None:
    """What is cut ends in an ellipsis."""
    assert one_line(text, longest=10) == line


def test_a_huge_message_makes_a_moderate_line() -> None:
    """A name of megabytes does not come back."""
    response = answered(violation(message="n" * 5_000_000), allowed=False)
    assert len(response["status"]["message"]) < 2100
    assert lines(response)[0].endswith(f"…. Decision {ID}")


severities = st.sampled_from(["critical", "high", "medium", "low"])
violations = st.builds(
    Violation,
    rule=st.sampled_from(["a/a", "b/b", "c/c"]),
    severity=severities,
    message=st.text(max_size=400),
    action=st.sampled_from(["enforce", "warn", "audit"]),
)


@THOROUGH
@given(found=st.lists(violations, max_size=40), break_glass=st.booleans(), why=st.text(max_size=300))
def test_warnings_are_what_the_api_server_takes(found: list[Violation], *, break_glass: bool, why: str) -> None:
    """Each is one line of at most 256 characters, and all together stay below its 4096."""
    allowed = break_glass or all(each.action != "enforce" for each in found)
    response = answered(*found, allowed=allowed, break_glass=break_glass, undecided=why if break_glass else "")
    warnings = response.get("warnings", [])
    assert all(0 < len(each) <= 256 and len(each.splitlines()) == 1 for each in warnings)
    assert sum(map(len, warnings)) <= 4096


@THOROUGH
@given(st.lists(violations, min_size=1, max_size=40))
def test_a_denial_has_a_line_for_each_violation_whatever_they_say(found: list[Violation]) -> None:
    """No message can add a line, or take one away."""
    refusing = [each for each in found if each.action == "enforce"]
    if refusing:
        written = lines(answered(*found, allowed=False))
        assert len(written) == min(len(refusing), 21)
        assert all(re.fullmatch(rf"(\[./.\] .*|… and \d+ more violations)\. Decision {ID}", line) for line in written)


def test_the_most_important_warning_comes_first() -> None:
    """The API server drops the last ones, so they go by severity."""
    found = [violation("a/a", severity="low", action="warn"), violation("b/b", severity="critical", action="warn")]
    assert [each.split(" ")[0] for each in answered(*found, allowed=True)["warnings"]] == ["[b/b]", "[a/a]"]


def test_many_warnings_are_counted() -> None:
    """What the API server would drop in silence is told as a number."""
    found = [violation(message=f"number {each:02}", action="warn") for each in range(40)]
    warnings = answered(*found, allowed=True)["warnings"]
    assert len(warnings) == 15
    assert warnings[0].endswith("number 00")
    assert "26 more warnings" in warnings[-1]


def test_break_glass_is_told_what_it_overrode() -> None:
    """The caller passes, with a warning for each violation before every other one."""
    response = answered(
        violation("a/a", action="warn", severity="critical"), violation(), allowed=True, break_glass=True
    )
    assert response["allowed"] is True
    assert "status" not in response
    assert response["warnings"] == [
        "break-glass: allowed against [rbac/namespace-policy] bo may not create it",
        "[a/a] bo may not create it",
    ]
    assert response["auditAnnotations"]["rules"] == "a/a,rbac/namespace-policy"


def test_break_glass_is_told_that_nothing_was_decided() -> None:
    """While the tree is not loaded it passes, and reads so first."""
    response = answered(violation(), allowed=True, break_glass=True, undecided="the tree is not loaded")
    assert response["warnings"][0] == "break-glass: allowed although the tree is not loaded"
    assert len(response["warnings"]) == 2


def test_break_glass_that_breaks_nothing_is_silent() -> None:
    """What every rule allows needs no warning."""
    assert "warnings" not in answered(allowed=True, break_glass=True)


def test_a_mutation_admits_with_its_patch() -> None:
    """The patch is base64 of JSON, and says that it is a JSON patch."""
    operations = [{"op": "add", "path": "/metadata/labels", "value": {"a": "ü"}}]
    response = answer(mutated("u1", ID, Mutation("r1", RULES, "", ()), operations))
    assert set(response) == {"uid", "allowed", "patchType", "patch", "auditAnnotations"}
    assert response["allowed"] is True
    assert response["patchType"] == "JSONPatch"
    assert orjson.loads(base64.b64decode(response["patch"], validate=True)) == operations
    assert set(response["auditAnnotations"]) == {"decision-id", "policy-revision", "rules"}
    assert response["auditAnnotations"]["policy-revision"] == "r1"


def test_a_mutation_that_changes_nothing_has_no_patch() -> None:
    """An empty patch is none, and without it there is no patch type: the API server refuses one without the other."""
    response = answer(mutated("u1", ID, Mutation("r1", RULES, "", ()), []))
    assert set(response) == {"uid", "allowed", "auditAnnotations"}
    assert response["allowed"] is True


@pytest.mark.parametrize("retry", [True, False])
def test_what_cannot_be_decided_is_denied_as_an_error_of_ours(*, retry: bool) -> None:
    """Code 500, InternalError, why, the decision id; `retryAfterSeconds` only where waiting helps, never `causes`."""
    response = answer(undecided("u1", ID, "r1", NoDecisionError("OPA cannot be reached", retry=retry)))
    assert response["allowed"] is False
    assert response["status"] == {
        "code": 500,
        "reason": "InternalError",
        "message": "Portcullis could not decide, so it denies: OPA cannot be reached. Decision 3f2a",
        **({"details": {"retryAfterSeconds": 1}} if retry else {}),
    }
    assert response["auditAnnotations"] == {"decision-id": ID, "policy-revision": "r1", "rules": ""}
    assert "warnings" not in response
