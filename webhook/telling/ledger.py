"""
How it stands with each namespace, as the controller tells it.

What is told of a namespace is kept until its next visit; counts are made when somebody asks. Of one that has not been
visited since the tree changed, the tree is asked what applies to it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from webhook.baseline.past import Past
from webhook.baseline.wanted import State, told_in
from webhook.bring import Brought, Note, Seen, Writes
from webhook.controller import Go
from webhook.exemption import read_exemption, read_time
from webhook.model import GATE_LABEL, RESERVED, STATE_ANNOTATION, Namespace
from webhook.telling.figures import Figures
from webhook.tenancy.tree import Tree

Told = State | Literal["Exempt"]
STATES: tuple[Told, ...] = ("Ready", "Pending", "Drifted", "Failed", "Exempt")
AT_A_TIME = 250
"""So many namespaces are looked at before others have their turn."""


class Account(NamedTuple):
    """
    What is known of one namespace; `baselines` are those that apply.

    `tree` is what it was visited by; `begun` is when it came under a baseline that has not been in place since, 0.0
    where it has; `at` is when it was told of. Both are Unix times.
    """

    state: Told
    reason: str
    baselines: tuple[str, ...]
    tree: Tree | None
    begun: float
    at: float


class Found(NamedTuple):
    """A namespace that baselines apply to, and how it stands with it."""

    name: str
    state: Told
    reason: str
    baselines: tuple[str, ...]


class _Visit(NamedTuple):
    """A visit that has begun: what it goes by, and when."""

    tree: Tree | None
    at: float


@dataclass(slots=True)
class Ledger:
    """An `Observer` of the controller; `note` is told what is worth an Event, and may not block either."""

    tree: Callable[[], Tree | None]
    figures: Figures
    note: Callable[[str, Note], None]
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever something is not as it was."""
    _accounts: dict[str, Account] = field(default_factory=dict)
    _visits: dict[str, _Visit] = field(default_factory=dict)
    _since: float = field(default_factory=time.time)
    _looked: tuple[Tree | None, int] = (None, 0)

    def begin(self) -> None:
        """Begin anew, as a leader that has just become one: what was known may be long ago."""
        self._accounts.clear()
        self._visits.clear()
        self._since = time.time()
        self.changed.set()

    def noting(self, go: Go) -> Go:
        """Return `go`, by which a namespace is visited, so that it is known what each visit went by."""

        async def noted(cluster: Writes, seen: Seen, now: datetime, past: Past) -> Brought:
            self._visits[seen.namespace.name] = _Visit(seen.tree, time.time())
            return await go(cluster, seen, now, past)

        return noted

    # What the controller tells.

    def told(self, namespace: Namespace, brought: Brought) -> None:
        """Hear what came of a visit."""
        now, known = time.time(), self._accounts.get(namespace.name)
        visit = self._visits.pop(namespace.name, _Visit(self.tree(), now))
        if brought.failed:
            self.figures.errors.inc()
        for cause in brought.repairs:
            self.figures.repairs.labels(cause).inc()
        for each in brought.notes:
            self.figures.occurrences.labels(each.reason).inc()
            self.note(namespace.name, each)
        if brought.state is None and known:
            # Our copy was old; it is visited again in a moment.
            return
        state: Told = brought.state or "Pending"
        if brought.baselines and state == "Ready" and _exempt(namespace):
            state = "Exempt"
        begun = self._begun(namespace, known, visit) if brought.baselines else 0.0
        if begun and state == "Ready":
            self.figures.baseline_seconds.observe(max(0.0, now - begun))
        if state in {"Ready", "Exempt"}:
            begun = 0.0
        self._accounts[namespace.name] = Account(state, brought.reason, brought.baselines, visit.tree, begun, now)
        if known is None or known[:4] != (state, brought.reason, brought.baselines, visit.tree):
            self.changed.set()

    def forgotten(self, name: str) -> None:
        """Hear that a namespace is gone, or ends."""
        self._visits.pop(name, None)
        if self._accounts.pop(name, None):
            self.changed.set()

    def swept(self) -> None:
        """Hear that all were looked at."""
        tree = self.tree()
        looked = tree, len(tree.namespaces) if tree else 0
        if looked[0] is not self._looked[0] or looked[1] != self._looked[1]:
            self._looked = looked
            self.changed.set()

    # What others ask.

    def states(self) -> Mapping[str, int]:
        """Return how many namespaces are in each state."""
        counts = Counter[str](dict.fromkeys(STATES, 0))
        counts.update(each.state for each in self._accounts.values() if each.baselines)
        # Those whose turn has not come under a new leader are as the last one has left them.
        left = [_told(each) for each in self._untold() if _gated(each)]
        counts.update(state if state in STATES else "Pending" for state in left)
        return counts

    def oldest_pending(self) -> float | None:
        """Return since when the first namespace waits for its baseline, in Unix time; None where none does."""
        now = time.time()
        waiting = [each.begun for each in self._accounts.values() if each.begun]
        new = [each for each in self._untold() if _gated(each) and _told(each) in {"", "Pending"}]
        waiting += [self._begun(each, None, _Visit(None, now)) for each in new]
        return min(waiting, default=None)

    def untold(self) -> bool:
        """Say whether there are namespaces that nothing was told of yet."""
        tree = self.tree()
        return tree is not None and any(tree.place(each.name, each.labels).baselines for each in self._untold())

    async def survey(self) -> tuple[Tree | None, list[Found]]:
        """Return the tree and how it stands with every namespace that a baseline of it applies to."""
        tree, found = self.tree(), list[Found]()
        for number, namespace in enumerate(tuple(tree.namespaces.values()) if tree else ()):
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
            if tree is None or namespace.terminating or namespace.name in RESERVED:
                continue
            account = self._accounts.get(namespace.name)
            if account and account.tree is tree:
                if account.baselines:
                    found.append(Found(namespace.name, account.state, account.reason, account.baselines))
            elif baselines := tree.place(namespace.name, namespace.labels).baselines:
                found.append(Found(namespace.name, "Pending", "it has not been its turn yet", baselines))
        return tree, found

    def _untold(self) -> Iterator[Namespace]:
        tree = self.tree()
        for name in [each for each in tree.namespaces if each not in self._accounts] if tree else ():
            namespace = tree.namespaces.get(name) if tree else None
            if namespace and not namespace.terminating and name not in RESERVED:
                yield namespace

    def _begun(self, namespace: Namespace, known: Account | None, visit: _Visit) -> float:
        """Return since when a namespace waits for its baseline, 0.0 where it was in place before."""
        if known:
            if known.baselines:
                return known.begun
            # A baseline applies from now on, by the labels that were changed or by the tree.
            return namespace.heard if namespace.heard > known.at else visit.at
        state = _told(namespace)
        if state not in {"", "Pending"}:
            return 0.0
        created = read_time(namespace.created)
        if created is None:
            return visit.at
        # The API server says it to the second; we cannot have heard of it before.
        second = created.timestamp()
        begun = min(max(namespace.heard, second), second + 1)
        return begun if state or begun >= self._since else visit.at


def _told(namespace: Namespace) -> str:
    """Return the state that a namespace was told, empty for none."""
    return told_in(namespace.annotations.get(STATE_ANNOTATION)).get("state", "")


def _gated(namespace: Namespace) -> bool:
    """Say whether a baseline applies by what the webhook has stamped: the tree would take longer, and is asked soon."""
    return GATE_LABEL in namespace.labels


def _exempt(namespace: Namespace) -> bool:
    end = read_exemption(namespace.name, namespace.labels, namespace.annotations, datetime.now(UTC)).end
    return end is not None
