"""
Reads a decision that finds nothing, as nearly all do, at a fraction of the cost of checking it against its schema.

What is in any way odd, and whatever has violations, is left to that: here nothing is refused.
"""

from functools import lru_cache
from typing import Any

from webhook.model import Decision

_TYPES = {"revision": str, "rules": list, "allowed": bool, "break_glass": bool, "undecided": str, "violations": list}


def read_plainly(answer: Any) -> Decision | None:
    """Return the decision, None for one that has to be read by its schema."""
    if type(answer) is not dict or {key: type(value) for key, value in answer.items()} != _TYPES:
        return None
    if answer["violations"]:
        return None
    try:
        rules = _ids(tuple([(category, rule) for category, rule in answer["rules"]]))
    except (TypeError, ValueError):
        return None
    return None if rules is None else Decision(**{**answer, "rules": rules, "violations": ()})


@lru_cache(maxsize=64)
def _ids(folders: tuple[tuple[Any, Any], ...]) -> frozenset[str] | None:
    """Return the ids of rules by their folders, which are the same for every object of a kind; None for what is odd."""
    if not all(type(category) is str and type(rule) is str for category, rule in folders):
        return None
    return frozenset(f"{category}/{rule}".replace("_", "-") for category, rule in folders)
