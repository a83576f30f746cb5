"""
The nouns of the history: a decision with all that is needed to decide it again, and a state of an object with when.

Rooms that record hand these over; nothing here does I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from webhook.errors import Cause
from webhook.model import Decision, Violation, Writer

Route = Literal["validate", "mutate"]
Verdict = Literal["allow", "deny", "warn", "audit", "error"]


def verdict_of(decision: Decision) -> Verdict:
    """Return the strongest thing that came of it."""
    if not decision.allowed:
        return "deny"
    actions = {violation.action for violation in decision.violations}
    # What break-glass overrode was told to the caller.
    if decision.break_glass or "warn" in actions:
        return "warn"
    return "audit" if actions else "allow"


@dataclass(frozen=True, slots=True)
class Record:
    """
    What was decided: the fields of `portcullis history decisions` (contract, section 5) and what it was decided on.

    `time` is RFC 3339 in UTC, to the millisecond. `group` is the API group of the `kind`, empty for the core group, and
    `uid` the object's, empty at its creation. `tenants` are the keys of all tenants that the object stood under, before
    and after (`Workspace/checkout`), so that who may read it follows the tree.
    """

    decision_id: str
    time: str
    route: Route
    user: str
    operation: str
    group: str
    kind: str
    namespace: str
    name: str
    uid: str
    verdict: Verdict
    rules: tuple[str, ...]
    """Those that fired."""
    ran: tuple[str, ...]
    """Those that ran, none where there was no decision."""
    violations: tuple[Violation, ...]
    revision: str
    dry_run: bool
    break_glass: bool
    authenticated: bool
    """Whether the caller had to show the API server's certificate."""
    milliseconds: float
    reason: str = ""
    """Why there was no decision."""
    cause: Cause | None = None
    """The same in a word; None where there was one."""
    tenants: tuple[str, ...] = ()
    document: Any = None
    """What Rego was given (`decision.document.Document`), None where it did not come to that."""
    size: int = 0
    """Bytes of the review that all of it came in."""


@dataclass(frozen=True, slots=True)
class Revision:
    """
    A state of an object, as the watch told of it.

    `api_version` and `kind` are the object's, `namespace` is empty for what is in none, `version` is its
    resourceVersion, `seen` when we heard of it (RFC 3339, UTC, to the millisecond). `gone` says that it was deleted;
    `content` is then None, and otherwise the object without its status and managedFields. `writers` are its field
    managers, and `tenants` as in a `Record`.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    version: str
    seen: str
    gone: bool = False
    content: Mapping[str, Any] | None = None
    writers: tuple[Writer, ...] = ()
    tenants: tuple[str, ...] = ()
