"""
Turns a decision into the AdmissionReview that answers the API server.

Source: contract, section 3, and https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#response
"""

import base64
import re
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from webhook.errors import NoDecisionError
from webhook.model import Decision, Mutation, Violation
from webhook.review.patch import Operation

MOST_VIOLATIONS = 20
LONGEST_LINE = 2000
LONGEST_WARNING = 256
SEVERITIES = ("critical", "high", "medium", "low")
AGAIN = {"retryAfterSeconds": 1}

# C0, DEL, C1, the Unicode line separators, what turns the direction of text and what is not seen: a name
# must not forge a line.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)


def decided(uid: str, decision_id: str, decision: Decision) -> bytes:
    """
    Answer a validation: a line per violation that refuses, a warning per one that warns.

    Where all that refuses passes by itself, kubectl is told to try again in a second.
    """
    refusing = _ordered(each for each in decision.violations if each.action == "enforce")
    response: dict[str, Any] = {"uid": uid, "allowed": decision.allowed}
    if not decision.allowed:
        response["status"] = _refusal(refusing, decision_id)
    if warnings := _warnings(decision, refusing):
        response["warnings"] = warnings
    fired = sorted({each.rule for each in decision.violations})
    response["auditAnnotations"] = _annotations(decision_id, decision.revision, fired)
    return _review(response)


def _refusal(refusing: Sequence[Violation], decision_id: str) -> dict[str, Any]:
    message = _lines(refusing, decision_id)
    if refusing and all(each.wait for each in refusing):
        return {"code": 500, "reason": "InternalError", "message": message, "details": AGAIN}
    return {"code": 403, "reason": "Forbidden", "message": message}


def mutated(uid: str, decision_id: str, mutation: Mutation, patch: Sequence[Operation]) -> bytes:
    """Answer a mutation, which always admits: validation comes after it and refuses what has to be refused."""
    response: dict[str, Any] = {
        "uid": uid,
        "allowed": True,
        "auditAnnotations": _annotations(decision_id, mutation.revision, sorted(mutation.rules) if patch else ()),
    }
    if patch:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(orjson.dumps(patch)).decode()}
    return _review(response)


def undecided(uid: str, decision_id: str, revision: str, error: NoDecisionError) -> bytes:
    """Answer that there is no decision, which denies; where it may help, kubectl tries again in a second."""
    status: dict[str, Any] = {
        "code": 500,
        "reason": "InternalError",
        "message": f"Portcullis could not decide, so it denies: {one_line(str(error))}. Decision {decision_id}",
    }
    if error.retry:
        status["details"] = AGAIN
    told = _annotations(decision_id, revision, ())
    return _review({"uid": uid, "allowed": False, "status": status, "auditAnnotations": told})


def one_line(text: str, *, longest: int = LONGEST_LINE) -> str:
    """Return `text` with every control character replaced, cut to `longest` characters."""
    if len(text) <= longest and text.isprintable():
        # As nearly all are: whatever is replaced cannot be printed.
        return text
    # Cut before the search: a name may be megabytes long.
    clean = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text[: longest + 1])
    return clean if len(clean) <= longest else f"{clean[: longest - 1]}…"


def _ordered(violations: Iterable[Violation]) -> list[Violation]:
    """Sort the most important first; a severity that is none of ours comes first, to be seen."""
    return sorted(
        violations,
        key=lambda each: (
            SEVERITIES.index(each.severity) if each.severity in SEVERITIES else -1,
            each.rule,
            each.message,
        ),
    )


def _lines(violations: Sequence[Violation], decision_id: str) -> str:
    shown = [f"{one_line(f'[{each.rule}] {each.message}')}. Decision {decision_id}" for each in violations]
    if len(shown) > MOST_VIOLATIONS:
        shown[MOST_VIOLATIONS:] = [f"… and {len(shown) - MOST_VIOLATIONS} more violations. Decision {decision_id}"]
    return "\n".join(shown)


def _warnings(decision: Decision, refusing: Sequence[Violation]) -> list[str]:
    """Return one line each; the API server drops long ones and those beyond 4 KiB in all."""
    broken = [each for each in refusing if decision.allowed]
    said = (
        [f"break-glass: allowed although {decision.undecided}"] if decision.break_glass and decision.undecided else []
    )
    said += [f"break-glass: allowed against [{each.rule}] {each.message}" for each in broken]
    said += [f"[{each.rule}] {each.message}" for each in _ordered(decision.violations) if each.action == "warn"]
    if len(said) > 15:
        said[14:] = [f"… and {len(said) - 14} more warnings of Portcullis"]
    return [one_line(each, longest=LONGEST_WARNING) for each in said]


def _annotations(decision_id: str, revision: str, rules: Sequence[str]) -> dict[str, str]:
    return {"decision-id": decision_id, "policy-revision": revision, "rules": ",".join(rules)}


def _review(response: dict[str, Any]) -> bytes:
    return orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
