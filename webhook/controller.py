"""
Brings every namespace what it has to have, its baselines or the bindings of its roles, and keeps it so.

Level-triggered: what is done follows from all namespaces as they are now, and whatever was missed is found by the next
sweep over all of them, every few seconds and at every change of the tree. Between two sweeps only those are looked at
that were touched or whose time has come. A namespace found right costs three comparisons until it, what stands in it or
the tree change. The copy that is looked at lags behind our own writes, so a namespace we wrote to rests until its watch
has told of them. New namespaces go first, and what is compared once in a while last.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple, Protocol

from webhook.baseline.past import Past
from webhook.baseline.wanted import told_in
from webhook.bring import Brought, Writes, bring, see
from webhook.course import SOON_SECONDS, Course, Sight, Urgency
from webhook.model import GATE_LABEL, RESERVED, STATE_ANNOTATION, Namespace
from webhook.tenancy.tree import Tree

AT_ONCE: Mapping[Urgency, int] = {Urgency.NEW: 16, Urgency.WRONG: 12, Urgency.ROUTINE: 8}
"""How many namespaces are worked on side by side with one of this urgency: there is always room for what is new."""
WHOLE_SECONDS = 5.0
"""Between two sweeps over all namespaces while the tree stays the same."""
SWEEP_SECONDS = 0.005
"""Between two sweeps, so that what comes in one go is looked at once; longer where a sweep takes long."""
HOLD_SECONDS = 10.0
"""For which a namespace is held back at most where the way says so."""


class Live(Protocol):
    """The copy of the cluster that is looked at; `changed` are called after each change, `touched` as in `LiveTree`."""

    @property
    def tree(self) -> Tree | None:
        """The tree of now."""
        ...

    @property
    def changed(self) -> list[Callable[[], None]]:
        """Whom to call."""
        ...

    @property
    def touched(self) -> list[Callable[[str], None]]:
        """Whom to tell the name of the namespace."""
        ...

    def reached(self, kind: str, version: str, /) -> bool:
        """Say whether what was stored as `version` has been told."""
        ...


Go = Callable[[Writes, Any, datetime, Past], Awaitable[Brought]]


class Way(NamedTuple):
    """
    How a namespace is made right: what is looked at, and what is done about it as of an aware time.

    `holds` says whether a namespace that was never visited should wait a little, None for never.
    """

    see: Callable[[Tree, Namespace], Sight]
    go: Go
    holds: Callable[[Tree, Namespace], bool] | None = None


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
        """Hear that all were looked at where something had changed."""
        ...


class Controller:
    """Makes every namespace right for as long as `run` runs; of one way, one at a time may run in a cluster."""

    def __init__(self, live: Live, cluster: Writes, way: Way = BASELINES, observer: Observer | None = None) -> None:
        self._live = live
        self._cluster = cluster
        self._way = way
        self._observer = observer
        self._begin()

    def _begin(self) -> None:
        self._courses: dict[str, Course] = {}
        self._touched: set[str] = set()
        self._timers: list[tuple[float, str]] = []
        self._queue: list[tuple[Urgency, int, str]] = []
        self._number = count()
        self._busy = 0
        self._failing: set[str] = set()
        self._first = True
        """Whether no sweep over all has been made yet."""
        self._tree: Tree | None = None
        self._calm = self._next = self._tried = 0.0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def pressed(self) -> bool:
        """Whether new namespaces wait for their turn."""
        return bool(self._queue) and self._queue[0][0] is Urgency.NEW

    async def run(self) -> None:
        """Look whenever something changed or is due, for ever."""
        self._begin()
        touch, wake = self._touched.add, self._wake.set
        self._live.touched.append(touch)
        self._live.changed.append(wake)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._visits(tasks))
                while True:
                    self._wake.clear()
                    self._sweep()
                    await asyncio.sleep(SWEEP_SECONDS)
                    await self._woken()
        finally:
            self._live.touched.remove(touch)
            self._live.changed.remove(wake)

    async def _woken(self) -> None:
        """Return when something changed, at the time of the next sweep over all, or when a namespace is due again."""
        soonest = min(self._whole(), self._timers[0][0]) if self._timers else self._whole()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(soonest):
                await self._wake.wait()

    def _whole(self) -> float:
        """Return when the next sweep over all is due."""
        return self._calm if self._live.tree is not self._tree else self._next

    def _sweep(self) -> None:
        """Look at all namespaces, or at those that were touched or are due."""
        tree, now, today = self._live.tree, _now(), datetime.now(UTC)
        names = self._due(now) | self._touched
        self._touched.clear()
        whole = now >= self._whole()
        if whole:
            self._tree = tree
            names = self._courses.keys() | tree.namespaces.keys() if tree else set()
        for name in names if tree else ():
            self._look(tree, name, now, today)
        if whole:
            # A fifth of the time at most goes into these, however many namespaces there are.
            self._calm = _now() + 4 * (_now() - now)
            self._next = self._calm + WHOLE_SECONDS
            self._first = self._first and tree is None
        if tree and self._observer:
            self._observer.swept()

    def _due(self, now: float) -> set[str]:
        """Return the namespaces whose time has come."""
        names = set[str]()
        while self._timers and self._timers[0][0] <= now:
            time, name = heapq.heappop(self._timers)
            course = self._courses.get(name)
            if course and course.timer == time:
                course.timer = 0.0
                names.add(name)
        return names

    def _look(self, tree: Tree, name: str, now: float, today: datetime) -> None:
        """Queue a namespace where something is to be done, or see to it that it is looked at when that may be."""
        namespace = _living(tree, name)
        if namespace is None:
            self._forget(name)
            return
        course = self._courses.get(name) or self._came(namespace, now)
        if course.busy:
            return
        course.age(now, today)
        seen = self._way.see(tree, namespace)
        begins = course.begins(rests=course.same(seen) or not self._told(course))
        if begins is not None and not course.visits and self._way.holds and self._way.holds(tree, namespace):
            begins = max(begins, course.came + HOLD_SECONDS)
        if begins is not None and begins <= now:
            self._enqueue(name, course, course.urgency(seen))
        elif time := course.next(now, today, begins):
            self._time(name, course, time)

    def _came(self, namespace: Namespace, now: float) -> Course:
        # What a former leader has not brought yet is new; the rest of what stood before us is not.
        told = told_in(namespace.annotations.get(STATE_ANNOTATION)).get("state", "Pending")
        pending = GATE_LABEL in namespace.labels and told == "Pending"
        course = self._courses[namespace.name] = Course(fresh=pending or not self._first, came=now)
        return course

    def _enqueue(self, name: str, course: Course, urgency: Urgency) -> None:
        if course.queued is None or urgency < course.queued:
            course.queued = urgency
            heapq.heappush(self._queue, (urgency, next(self._number), name))
            self._room.set()

    def _time(self, name: str, course: Course, time: float) -> None:
        if not course.timer or time < course.timer:
            course.timer = time
            heapq.heappush(self._timers, (time, name))

    def _forget(self, name: str) -> None:
        self._failing.discard(name)
        if self._courses.pop(name, None) and self._observer:
            self._observer.forgotten(name)

    def _told(self, course: Course) -> bool:
        """Say whether the watches have told of what we wrote last."""
        return all(self._live.reached(kind, version) for kind, version in course.awaited.items())

    async def _visits(self, tasks: asyncio.TaskGroup) -> None:
        """Begin with what is most urgent whenever there is something and room for it, for ever."""
        while True:
            await self._room.wait()
            self._room.clear()
            tree = self._live.tree
            while tree and self._queue and self._busy < AT_ONCE[self._queue[0][0]]:
                urgency, _, name = heapq.heappop(self._queue)
                course, namespace = self._courses.get(name), _living(tree, name)
                # It may have gone, or be more urgent by now.
                if course and namespace and course.queued is urgency:
                    course.queued = None
                    course.busy = True
                    self._busy += 1
                    tasks.create_task(self._visit(namespace, course, self._way.see(tree, namespace)))

    async def _visit(self, namespace: Namespace, course: Course, seen: Sight) -> None:
        course.calm(_now())
        try:
            brought = await self._way.go(self._cluster, seen, datetime.now(UTC), course.past)
            self._take(namespace.name, course, seen, brought)
            if self._observer and self._courses.get(namespace.name) is course:
                self._observer.told(namespace, brought)
        finally:
            course.busy = False
            self._busy -= 1
            self._touched.add(namespace.name)
            self._wake.set()
            self._room.set()

    def _take(self, name: str, course: Course, seen: Sight, brought: Brought) -> None:
        """Take what came of a visit."""
        recovers = course.failing and not brought.failed
        if brought.failed:
            self._failing.add(name)
        else:
            self._failing.discard(name)
        course.visited(seen, brought, len(self._failing))
        if recovers and _now() - self._tried > SOON_SECONDS:
            # What hindered it may be what hinders others, and over for them, too.
            self._tried = _now()
            for each in self._failing & self._courses.keys():
                self._courses[each].due = 0.0
            self._touched |= self._failing


def _living(tree: Tree, name: str) -> Namespace | None:
    """Return a namespace that something may be brought to."""
    namespace = tree.namespaces.get(name)
    return None if namespace is None or name in RESERVED or namespace.terminating else namespace


def _now() -> float:
    return asyncio.get_running_loop().time()
