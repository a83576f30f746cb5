"""Decisions of exact types, read without their schema."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook.decision.opa import _DECISION
from webhook.decision.plainly import read_plainly
from webhook.model import Decision

VIOLATION = {"rule": "a/b-c", "severity": "high", "message": "no", "action": "enforce", "wait": False}
WHOLE: dict[str, Any] = {
    "revision": "r",
    "rules": [["a", "b_c"], ["d", "e"]],
    "allowed": False,
    "break_glass": False,
    "undecided": "",
    "violations": [VIOLATION],
}
ODD: st.SearchStrategy[Any] = st.sampled_from([
    None, 0, 1, "", "true", "deny", [], {}, [[]], [["a"]], [["a", 1]], [["a", ["b"]]], ["ab"], [["a", "b", "c"]],
    [{**VIOLATION, "action": "deny"}], [{**VIOLATION, "more": 1}], [{**VIOLATION, "wait": 0}], [VIOLATION, VIOLATION],
])  # fmt: skip


@settings(max_examples=200, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*WHOLE, "more"]), ODD, max_size=2), st.sampled_from([None, *WHOLE]))
def test_what_is_read_plainly_is_what_the_schema_says(other: dict[str, Any], without: str | None) -> None:
    """Nothing that the schema refuses is a decision, and nothing is another one."""
    answer = {key: value for key, value in {**WHOLE, **other}.items() if key != without}
    read = read_plainly(answer)
    if read is not None:
        assert read == Decision(**_DECISION.validate_python(answer))


@pytest.mark.parametrize("violations", [[], [VIOLATION]], ids=["none", "one"])
def test_what_rego_answers_is_read_plainly(violations: list[Any]) -> None:
    """The schema costs several times as much, and an answer of ours need not pay it."""
    answer = {**WHOLE, "violations": violations}
    read = read_plainly(answer)
    assert read is not None
    assert read.rules == {"a/b-c", "d/e"}
    assert read == Decision(**_DECISION.validate_python(answer))
