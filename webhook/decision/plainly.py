"""
Reads a decision of exact types, as they all are, at a fraction of the cost of checking it against its schema.

What is in any way odd is left to that: here nothing is refused.
"""

from functools import lru_cache
from typing import Any, get_args

from webhook.model import Decision, Enforcement, Violation

_TYPES = {"revision": str, "rules": list, "allowed": bool, "break_glass": bool, "undecided": str, "violations": list}
_VIOLATION = {"rule": str, "severity": str, "message": str, "action": str, "wait": bool}
_ACTIONS = frozenset(get_args(Enforcement))


def read_plainly(answer: Any) -> Decision | None:
    """Return the decision, None for one that has to be read by its schema."""
    if not _has(answer, _TYPES):
        return None
    found = answer["violations"]
    if not all(_has(each, _VIOLATION) and each["action"] in _ACTIONS for each in found):
        return None
    try:
        rules = _ids(tuple([(category, rule) for category, rule in answer["rules"]]))
    except (TypeError, ValueError):
        return None
    if rules is None:
        return None
    return Decision(**{**answer, "rules": rules, "violations": tuple([Violation(**each) for each in found])})


def _has(value: Any, types: dict[str, type]) -> bool:
    return type(value) is dict and {key: type(each) for key, each in value.items()} == types


@lru_cache(maxsize=64)
def _ids(folders: tuple[tuple[Any, Any], ...]) -> frozenset[str] | None:
    """Return the ids of rules by their folders, which are the same for every object of a kind; None for what is odd."""
    if not all(type(category) is str and type(rule) is str for category, rule in folders):
        return None
    return frozenset(f"{category}/{rule}".replace("_", "-") for category, rule in folders)
