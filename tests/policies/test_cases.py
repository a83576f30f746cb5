"""Every case of the table, decided by the whole way of a request on a real OPA."""

import re

import orjson
import pytest

from tests.cases.reviews import Asked, Json
from tests.cases.table import CASES, DENIALS, Case
from tests.conftest import GateOf, Loop
from webhook.admission import Gate
from webhook.decision.bundle import Bundle
from webhook.model import Policies


def answer(loop: Loop, gate: Gate, asked: Asked) -> Json:
    reply = orjson.loads(loop.run(gate.validate(orjson.dumps(asked.review()), seconds=10)))
    assert "could not decide" not in reply["response"].get("status", {}).get("message", ""), reply
    response: Json = reply["response"]
    return response


def denied_by(response: Json) -> set[str]:
    lines = response["status"]["message"].splitlines() if not response["allowed"] else []
    return {match[1] for line in lines if (match := re.match(r"\[([a-z/-]+)\] ", line))}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_case_is_decided_as_the_table_says(case: Case, gate: Gate, loop: Loop) -> None:
    """Every rule that has to deny does, and none that has not."""
    response = answer(loop, gate, case.asked)
    assert response["allowed"] == (not case.denied_by), response
    assert denied_by(response) == set(case.denied_by)
    if case.denied_by:
        code, details = (500, {"retryAfterSeconds": 1}) if case.waits else (403, None)
        assert (response["status"]["code"], response["status"].get("details")) == (code, details)


def without(bundle: Bundle, rule: str) -> Bundle:
    """Return the bundle as it is when somebody has deleted the rule's folder."""
    folder = f"portcullis/rules/{rule.replace('-', '_')}/"
    files = {name: content for name, content in bundle.files.items() if not name.startswith(folder)}
    assert files != bundle.files
    return Bundle(files, Policies(f"without {rule}", bundle.policies.rules - {rule}))


@pytest.mark.parametrize(
    ("case", "rule"), [pytest.param(case, rule, id=f"{case.id}-{rule}") for case in DENIALS for rule in case.denied_by]
)
def test_without_its_rule_the_denial_is_gone(
    case: Case, rule: str, bundle: Bundle, gate_of: GateOf, loop: Loop
) -> None:
    """Without the rule's folder the case is allowed, or denied by the other rules that it lists and no further one."""
    response = answer(loop, gate_of(without(bundle, rule)), case.asked)
    others = set(case.denied_by) - {rule} or set(case.otherwise)
    assert response["allowed"] == (not others), response
    assert denied_by(response) == others
