"""
Brings every namespace what it has to have, its baselines or the bindings of its roles, and keeps it so.

Level-triggered: whatever woke it, a sweep looks at all namespaces as they are now, and whatever was missed is found by
the next one. A namespace found right costs three comparisons until it, what stands in it or the tree change. The copy
that a sweep looks at lags behind our own writes, so a namespace we wrote to rests until its watch has told of them.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from webhook.bring import Brought, Writes, bring, see
from webhook.model import RESERVED, Namespace
from webhook.tenancy.tree import Tree

Sight = tuple[object, ...]
"""What is looked at; where every part is the same object as before, nothing has changed."""

AT_ONCE = 16
"""How many namespaces are worked on side by side."""
RESYNC_SECONDS = (480, 720)
"""Between these, everything is compared anew, whether or not anything seems to have changed."""
SWEEP_SECONDS = 0.005
"""Between two sweeps, so that what comes in one go is looked at once; longer where a sweep takes long."""
PATIENT_ROUNDS = 8
"""So many rounds of writes a namespace gets without a wait; more of them, and somebody writes against us."""
EXPECTED_SECONDS = 10.0
"""In which a watch tells of what we wrote, or of what made our copy old; after that we look again."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
CALM_SECONDS = 120.0
"""Right for so long, and a namespace is patiently treated again."""


class Live(Protocol):
    """The copy of the cluster that is looked at; `changed` are called after each change."""

    @property
    def tree(self) -> Tree | None:
        """The tree of now."""
        ...

    @property
    def changed(self) -> list[Callable[[], None]]:
        """Whom to call."""
        ...

    def reached(self, kind: str, version: str, /) -> bool:
        """Say whether what was stored as `version` has been told."""
        ...


class Way(NamedTuple):
    """How a namespace is made right: what is looked at, and what is done about it as of an aware time."""

    see: Callable[[Tree, Namespace], Sight]
    go: Callable[[Writes, Any, datetime], Awaitable[Brought]]


BASELINES = Way(see, bring)


class Observer(Protocol):
    """Who is told how it goes, as it goes: called in the loop, so it may not block."""

    def told(self, namespace: Namespace, brought: Brought, /) -> None:
        """Hear what came of a visit; `namespace` is as it was seen before."""
        ...

    def forgotten(self, name: str, /) -> None:
        """Hear that a namespace is gone, or ends."""
        ...

    def swept(self) -> None:
        """Hear that all were looked at."""
        ...


@dataclass(slots=True)
class _Course:
    """How it goes with one namespace."""

    right: Sight | None = None
    """As it was when nothing had to be done."""
    busy: bool = False
    awaited: dict[str, str] = field(default_factory=dict)
    """The resourceVersion of our last write, by kind."""
    again: float = 0.0
    """When it is looked at again whatever the watches have told: they were expected to tell by then."""
    turns: datetime | None = None
    """When another thing is right though nothing was told: an exemption ends."""
    rounds: int = 0
    last: float = 0.0
    due: float = 0.0

    def same(self, seen: Sight) -> bool:
        """Say whether nothing changed since nothing had to be done, but for the time."""
        return self.right is not None and all(mine is theirs for mine, theirs in zip(seen, self.right, strict=True))

    def remains(self, today: datetime) -> float | None:
        """Return in how many seconds another thing is right, None for never; from then on nothing is."""
        if self.turns is None:
            return None
        if self.turns <= today:
            self.right = self.turns = None
            return None
        return (self.turns - today).total_seconds()

    def calm(self, now: float) -> None:
        """Forget former rounds if the last one is long ago."""
        if now - self.last > CALM_SECONDS:
            self.rounds = 0

    def wrote(self) -> None:
        """Count a round of writes, and wait if there were many."""
        if self.rounds >= PATIENT_ROUNDS:
            self.wait()
            return
        self.last = asyncio.get_running_loop().time()
        self.rounds += 1

    def wait(self) -> None:
        """Let it rest, ever longer, a part of it random."""
        wait = min(FIRST_WAIT * 2.0 ** min(self.rounds, 10), LONGEST_WAIT)
        self.last = asyncio.get_running_loop().time()
        self.due = self.last + wait * random.uniform(0.5, 1)  # noqa: S311 - no secret
        self.rounds += 1


class Controller:
    """Makes every namespace right for as long as `run` runs; of one way, one at a time may run in a cluster."""

    def __init__(self, live: Live, cluster: Writes, way: Way = BASELINES, observer: Observer | None = None) -> None:
        self._live = live
        self._cluster = cluster
        self._way = way
        self._observer = observer
        self._courses: dict[str, _Course] = {}
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Sweep whenever something changed or is due, for ever."""
        self._live.changed.append(self._wake.set)
        self._courses.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._resync())
                clock = asyncio.get_running_loop().time
                while True:
                    self._wake.clear()
                    begin = clock()
                    soonest = self._sweep(tasks)
                    # A fifth of the time at most goes into sweeps, however many namespaces there are.
                    await asyncio.sleep(max(SWEEP_SECONDS, 4 * (clock() - begin)))
                    await self._woken(soonest)
        finally:
            self._live.changed.remove(self._wake.set)

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(random.uniform(*RESYNC_SECONDS))  # noqa: S311 - no secret
            for course in self._courses.values():
                course.right = None
            self._wake.set()

    async def _woken(self, soonest: float | None) -> None:
        """Return when something changed, or at the time that the first namespace is due again."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(soonest):
                await self._wake.wait()

    def _sweep(self, tasks: asyncio.TaskGroup) -> float | None:
        """Begin work where something is to be done; return when the first one that waits is due, None for none."""
        tree = self._live.tree
        if tree is None:
            return None
        now, today = asyncio.get_running_loop().time(), datetime.now(UTC)
        soonest: float | None = None
        for namespace in list(tree.namespaces.values()):
            if namespace.name in RESERVED or namespace.terminating:
                self._forget(namespace.name)
                continue
            course = self._courses.setdefault(namespace.name, _Course())
            seen = self._way.see(tree, namespace)
            if (remains := course.remains(today)) is not None:
                soonest = _sooner(soonest, now + remains)
            rests = course.same(seen) or not self._told(course)
            if course.busy or (rests and not course.again):
                continue
            if (due := course.again if rests else course.due) > now:
                soonest = _sooner(soonest, due)
                continue
            course.busy = True
            tasks.create_task(self._visit(namespace, seen, course, today))
        for name in self._courses.keys() - tree.namespaces.keys():
            self._forget(name)
        if self._observer:
            self._observer.swept()
        return soonest

    def _forget(self, name: str) -> None:
        if self._courses.pop(name, None) and self._observer:
            self._observer.forgotten(name)

    def _told(self, course: _Course) -> bool:
        """Say whether the watches have told of what we wrote last."""
        return all(self._live.reached(kind, version) for kind, version in course.awaited.items())

    async def _visit(self, namespace: Namespace, seen: Sight, course: _Course, today: datetime) -> None:
        course.calm(asyncio.get_running_loop().time())
        try:
            async with self._slots:
                brought = await self._way.go(self._cluster, seen, today)
            course.awaited = brought.written
            course.turns = brought.turns
            expects = brought.written or brought.stale
            course.again = asyncio.get_running_loop().time() + EXPECTED_SECONDS if expects else 0.0
            if brought.failed:
                course.wait()
            elif brought.written:
                course.wrote()
            else:
                course.right = seen
            if self._observer and self._courses.get(namespace.name) is course:
                self._observer.told(namespace, brought)
        finally:
            course.busy = False
            self._wake.set()


def _sooner(one: float | None, other: float) -> float:
    return other if one is None else min(one, other)
