"""How it goes with each namespace that is scanned, and which of them wait."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from webhook.exemption import LABEL, REASON, UNTIL
from webhook.model import Enforcement, Namespace, Place, Policy
from webhook.scan.finding import Finding
from webhook.tenancy.tree import Tree


class Sight(NamedTuple):
    """A namespace as it was looked at: the same objects are the same state."""

    tree: Tree
    namespace: Namespace
    policies: tuple[Policy, ...]


class Stand(NamedTuple):
    """What the judgement of a Namespace rests on beside its name."""

    place: Place
    labels: Mapping[str, str]
    exemption: tuple[str | None, ...]
    enforcement: Mapping[str, Enforcement]


@dataclass(slots=True)
class Course:
    """How it goes with one namespace; the findings are of its policies and of itself."""

    judged: Sight | None = None
    own: tuple[Policy, ...] = ()
    stand: Stand | None = None
    of_policies: tuple[Finding, ...] = ()
    of_itself: tuple[Finding, ...] = ()
    told: tuple[tuple[Finding, ...], int] | None = None
    outvoted: tuple[str, ...] = ()
    voted: bool = False
    """Whether it is known by now."""
    busy: bool = False
    due: float = 0.0
    failures: int = 0

    def as_judged(self, sight: Sight) -> bool:
        """Say whether nothing changed since it was judged."""
        return self.judged is not None and all(mine is theirs for mine, theirs in zip(sight, self.judged, strict=True))

    def begin(self) -> None:
        """Have all of it judged anew, and told; what was found counts until then."""
        self.judged = self.stand = self.told = None
        self.busy = False

    def doubt(self) -> None:
        """Have judged anew what may have changed though nothing of it did: by the time, or by what stands elsewhere."""
        exempt = self.stand is not None and any(each is not None for each in self.stand.exemption)
        if self.own or exempt:
            self.judged = None
        if exempt:
            self.stand = None

    def policies_as_judged(self, sight: Sight, own: tuple[Policy, ...]) -> bool:
        """Say whether nothing changed that counts for its policies: what is injected does not."""
        before = self.judged
        return (
            before is not None
            and before.tree is sight.tree
            and before.namespace.labels == sight.namespace.labels
            and len(own) == len(self.own)
            and all(mine is theirs for mine, theirs in zip(own, self.own, strict=True))
        )


URGENT, SOON, LATER = range(3)
"""How long a namespace may wait: one whose policies changed, one that has policies, any other."""


@dataclass(slots=True)
class Queues:
    """The namespaces that wait, each in one queue at most."""

    waiting: tuple[dict[str, None], dict[str, None], dict[str, None]] = field(default_factory=lambda: ({}, {}, {}))
    filled: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, name: str, rank: int) -> None:
        """Have a namespace wait, no longer than it would have."""
        before = next((at for at, queue in enumerate(self.waiting) if name in queue), None)
        if before is None or rank < before:
            self.drop(name)
            self.waiting[rank][name] = None
        self.filled.set()

    def drop(self, name: str) -> None:
        """Have it wait no more."""
        for queue in self.waiting:
            queue.pop(name, None)

    def take(self, last: int, ready: Callable[[str], bool]) -> tuple[str, int] | None:
        """Return the first that is ready, of the ranks up to `last`, and its rank; None for none."""
        for rank, queue in enumerate(self.waiting[: last + 1]):
            if name := next(filter(ready, queue), None):
                del queue[name]
                return name, rank
        return None


def stand_of(sight: Sight) -> Stand:
    """Return what the judgement of a Namespace rests on."""
    namespace, tree = sight.namespace, sight.tree
    exemption = (namespace.labels.get(LABEL), namespace.annotations.get(REASON), namespace.annotations.get(UNTIL))
    place = tree.place(namespace.name, namespace.labels)
    return Stand(place, namespace.labels, exemption, tree.organization.enforcement)


def kept(before: Iterable[Finding], after: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return what is found now, in the former words where those say the same: the time of the question is in some."""
    former = {each.fingerprint: each for each in before}
    return tuple(
        former[each.fingerprint] if each.fingerprint in former and each.says(former[each.fingerprint]) else each
        for each in after
    )
