"""
Reads a decision of exact types, as they all are, at a fraction of the cost of checking it against its schema.

What is in any way odd is left to that: here nothing is refused.
"""

from functools import lru_cache
from typing import Any, get_args

from webhook.model import Decision, Enforcement, Violation

_TYPES = {"revision": str, "rules": list, "allowed": bool, "break_glass": bool, "undecided": str, "violations": list}
_VIOLATION = {"rule": str, "severity": str, "message": str, "action": str}
_ACTIONS = frozenset(get_args(Enforcement))


def read_plainly(answer: Any) -> Decision | None:
    """Return the decision, None for one that has to be read by its schema."""
    if not _has(answer, _TYPES):
        return None
    found = [_violation(each) for each in answer["violations"]]
    if not all(found):
        return None
    try:
        rules = _ids(tuple([(category, rule) for category, rule in answer["rules"]]))
    except (TypeError, ValueError):
        return None
    if rules is None:
        return None
    return Decision(**{**answer, "rules": rules, "violations": tuple(found)})


def _violation(found: Any) -> Violation | None:
    """Return what a rule found, of which Rego says more than is read here, and `wait` where it matters alone."""
    if type(found) is not dict or not all(type(found.get(key)) is kind for key, kind in _VIOLATION.items()):
        return None
    wait = found.get("wait", False)
    if found["action"] not in _ACTIONS or type(wait) is not bool:
        return None
    return Violation(found["rule"], found["severity"], found["message"], found["action"], wait)


def _has(value: Any, types: dict[str, type]) -> bool:
    return type(value) is dict and {key: type(each) for key, each in value.items()} == types


@lru_cache(maxsize=64)
def _ids(folders: tuple[tuple[Any, Any], ...]) -> frozenset[str] | None:
    """Return the ids of rules by their folders, which are the same for every object of a kind; None for what is odd."""
    if not all(type(category) is str and type(rule) is str for category, rule in folders):
        return None
    return frozenset(f"{category}/{rule}".replace("_", "-") for category, rule in folders)
