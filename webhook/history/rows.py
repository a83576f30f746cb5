"""What goes into the history and what comes out: frozen, no I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from webhook.history.record import Record, Revision, Verdict


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A decision to keep.

    `document` is its document as JSON with nothing but `request.time` taken out, empty for none; `asked` is that time
    as it stood there, empty for that of the record's own document. `let_in` is the `digest.meaning` of what it let in,
    of the object without what is masked; None for that of the record's own document.
    """

    record: Record
    document: bytes = b""
    asked: str = ""
    let_in: bytes | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    Which decisions are asked for; what is None is not filtered by.

    `since` (included) and `until` (not) are RFC 3339. `tenants` are the keys of those whose decisions may be seen, None
    for all; one that is in `under` counts where this project is named as well. `others` says whether also those that
    concern no tenant may be. With `after` it is the decisions after that
    cursor, oldest first; otherwise the newest first.
    """

    namespace: str | None = None
    user: str | None = None
    rule: str | None = None
    verdict: Verdict | None = None
    since: str | None = None
    until: str | None = None
    limit: int | None = None
    tenants: frozenset[str] | None = None
    under: Mapping[str, str] = field(default_factory=dict)
    others: bool = False
    after: int | None = None


def seen_of(tenants: Iterable[str], visible: frozenset[str], under: Mapping[str, str]) -> set[str]:
    """Return those of a record's tenants by which it may be seen; see `Wanted`."""
    named = set(tenants)
    return {each for each in named & visible if each not in under or under[each] in named}


@dataclass(frozen=True, slots=True)
class Row(Record):
    """A decision that was kept: its `Record` without the document, and where it stands among the others."""

    cursor: int = 0


@dataclass(frozen=True, slots=True)
class Recorded(Row):
    """A decision with its document as JSON, empty where there was none."""

    document: bytes = b""


@dataclass(frozen=True, slots=True)
class Admission:
    """The decision that let a state of an object in; `tenants` are those of its `Record`."""

    decision_id: str
    user: str
    time: str
    break_glass: bool
    tenants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredRevision(Revision):
    """
    A state of an object that was kept.

    `until` is when the next was seen, None while it stands. `admission` is None where no decision is known that let it
    in: it stood before there was a history, or came while the gate was open.
    """

    until: str | None = None
    admission: Admission | None = None


class Last(NamedTuple):
    """What is known last of an object: where it stands, its resourceVersion, and whether it is gone."""

    namespace: str
    name: str
    version: str
    gone: bool


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much went."""

    decisions: int = 0
    documents: int = 0
    revisions: int = 0

    def __add__(self, more: "Pruned") -> "Pruned":
        return Pruned(self.decisions + more.decisions, self.documents + more.documents, self.revisions + more.revisions)
