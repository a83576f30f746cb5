"""Decisions of exact types, read without their schema."""

from datetime import UTC, datetime
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cases.table import CASES
from tests.conftest import Loop
from webhook.admission import Gate
from webhook.decision.opa import _DECISION, STRICT
from webhook.decision.plainly import read_plainly
from webhook.gather import gather
from webhook.model import Decision
from webhook.review.envelope import read_review
from webhook.settings import BREAK_GLASS_GROUPS
from webhook.tenancy.tree import Tree

VIOLATION = {"rule": "a/b-c", "severity": "high", "message": "no", "action": "enforce"}
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
    [{**VIOLATION, "action": "deny"}], [{**VIOLATION, "more": 1}], [{**VIOLATION, "rule": 1}], [{"rule": "a/b-c"}],
    [{**VIOLATION, "wait": 0}], [{**VIOLATION, "wait": True}], [{**VIOLATION, "wait": None}], [VIOLATION, VIOLATION],
])  # fmt: skip


@settings(max_examples=200, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*WHOLE, "more"]), ODD, max_size=2), st.sampled_from([None, *WHOLE]))
def test_what_is_read_plainly_is_what_the_schema_says(other: dict[str, Any], without: str | None) -> None:
    """Nothing that the schema refuses is a decision, and nothing is another one."""
    answer = {key: value for key, value in {**WHOLE, **other}.items() if key != without}
    read = read_plainly(answer)
    if read is not None:
        assert read == Decision(**_DECISION.validate_python(answer))


def test_what_rego_answers_is_read_plainly(loop: Loop, gate: Gate, tree: Tree) -> None:
    """The schema costs several times as much, and no answer of ours need pay it."""
    now = datetime.now(UTC)
    for case in CASES:
        document = gather(read_review(orjson.dumps(case.asked.review())), tree, BREAK_GLASS_GROUPS, now=now)
        answer = loop.run(gate.opa.query_rule(document, "portcullis.validate", "decision", STRICT))["result"]
        assert read_plainly(answer) == Decision(**_DECISION.validate_python(answer)), case.id
