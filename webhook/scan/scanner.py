"""
Judges what stands again and again, for as long as it runs: what changed at once, and everything once in a while.

It runs beside the controller of the leader and takes what is left of the machine: two things at a time at most, and
after each of them a pause of several times as long as it took. Policies that changed go first, and one namespace that
takes long holds up no other. What nobody changed costs a few comparisons.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import structlog

from webhook.errors import NoDecisionError
from webhook.model import RESERVED, Namespace, Policy
from webhook.scan.course import LATER, SOON, URGENT, Course, Queues, Sight, kept, stand_of
from webhook.scan.finding import Finding, importance, outvoted_by
from webhook.scan.unruled import unruled
from webhook.scan.whole import own_policies
from webhook.tenancy.tree import Tree

PAUSES = (4.0, 4.0, 9.0)
"""By rank: after each thing that was judged we rest for so many times as long as it took."""
MANY = 50
"""Policies of one namespace from which on it is judged while no other such one is."""
LONG_SECONDS, LONGEST_REST = 5.0, 300.0
"""A namespace that took longer than this rests for twice as long as it took, though not for longer than that."""


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How often it looks, in seconds.

    `sweep` is between two looks at what changed, so that what comes in one go is looked at once; longer where a look
    takes long. Between the two of `resync` everything is judged anew, whether or not anything seems to have changed.
    `again` are the first and the longest wait for OPA to answer; `rules` is between two looks at which rules decide.
    For `yields` at most what can wait lets new namespaces go first, before each of it.
    """

    sweep: float = 0.3
    resync: tuple[float, float] = (1800, 2700)
    again: tuple[float, float] = (1, 60)
    rules: float = 5
    yields: float = 10


class Live(Protocol):
    """The copy of the cluster that is judged; `changed` are called after each change."""

    @property
    def tree(self) -> Tree | None:
        """The tree of now."""
        ...

    @property
    def changed(self) -> list[Callable[[], None]]:
        """Whom to call."""
        ...


class Judges(Protocol):
    """Who is asked what the rules find; each raises `NoDecisionError` where asking again may help."""

    @property
    def revision(self) -> str:
        """Which rules they are."""
        ...

    async def policy(self, tree: Tree, policy: Policy, now: datetime, /) -> tuple[Finding, ...]:
        """Return what they find in a policy that stands."""
        ...

    async def namespace(self, tree: Tree, namespace: Namespace, now: datetime, /) -> tuple[Finding, ...]:
        """Return what they find in a Namespace that stands."""
        ...


class Teller(Protocol):
    """Who tells others of what is found; called in the loop, so it may not block."""

    def tell(self, namespace: str, findings: tuple[Finding, ...], judged: int, /) -> None:
        """Hear what is found in a namespace of which so many things were judged."""
        ...

    def forget(self, namespace: str, /) -> None:
        """Hear that a namespace is gone, or ends."""
        ...


PACE = Pace()


class Scanner:
    """
    Judges for as long as `run` runs, and tells `teller` of what changed.

    `changed` are called with the name of a namespace whenever `outvoted` says something else of it.
    """

    def __init__(self, live: Live, judge: Judges, teller: Teller | None = None, pace: Pace = PACE) -> None:
        self.changed: list[Callable[[str], None]] = []
        self._live = live
        self._judge = judge
        self._teller = teller
        self._pace = pace
        self._courses: dict[str, Course] = {}
        self._queues = Queues()
        self._wake = asyncio.Event()
        self._many = False
        """Whether a namespace of many policies is being judged."""
        self._trouble = ""
        self._pressed: Callable[[], bool] = lambda: False

    def outvoted(self, namespace: str) -> tuple[str, ...] | None:
        """
        Say which policies that stand in a namespace undo its default deny, alone or together, a sentence each.

        The same object for as long as nothing changes; empty for none, None until it was judged.
        """
        course, tree = self._courses.get(namespace), self._live.tree
        if course and course.voted:
            return course.outvoted
        return None if tree and own_policies(tree, namespace) else ()

    async def run(self, pressed: Callable[[], bool] = lambda: False) -> None:
        """
        Judge whenever something changed, and everything once in a while, for ever.

        While `pressed` says that namespaces wait for their baselines, what can wait lets them go first.
        """
        self._pressed = pressed
        self._live.changed.append(self._wake.set)
        self._begin()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._resync())
                tasks.create_task(self._follow_rules())
                for last in (LATER, SOON):
                    tasks.create_task(self._work(last))
                clock = asyncio.get_running_loop().time
                while True:
                    self._wake.clear()
                    begin = clock()
                    soonest = self._sweep()
                    # A twentieth of the time at most goes into looking, however many namespaces there are.
                    await asyncio.sleep(max(self._pace.sweep, 19 * (clock() - begin)))
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(soonest):
                            await self._wake.wait()
        finally:
            self._live.changed.remove(self._wake.set)

    def _begin(self) -> None:
        """Judge everything anew: while we did not run somebody else may have told of it. What is known still counts."""
        self._queues = Queues()
        self._many = False
        for course in self._courses.values():
            course.begin()

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(random.uniform(*self._pace.resync))  # noqa: S311 - no secret
            for course in self._courses.values():
                course.doubt()
            self._wake.set()

    async def _follow_rules(self) -> None:
        """Judge everything anew by other rules, once they are those that decide."""
        revision = self._judge.revision
        while True:
            await asyncio.sleep(self._pace.rules)
            if self._judge.revision != revision:
                revision = self._judge.revision
                for course in self._courses.values():
                    course.judged = course.stand = None
                self._wake.set()

    def _sweep(self) -> float | None:
        """Have judged what changed; return when the first one that rests is due, None for none."""
        tree = self._live.tree
        if tree is None:
            return None
        now, soonest = asyncio.get_running_loop().time(), None
        lasting: set[str] = set()
        for namespace in list(tree.namespaces.values()):
            if namespace.name in RESERVED or namespace.terminating:
                continue
            lasting.add(namespace.name)
            course = self._courses.setdefault(namespace.name, Course())
            sight = Sight(tree, namespace, tree.policies_in(namespace.name))
            if course.busy or course.as_judged(sight):
                continue
            if course.due > now:
                soonest = course.due if soonest is None else min(soonest, course.due)
                continue
            self._queues.put(namespace.name, _rank(course, sight))
        for name in self._courses.keys() - lasting:
            self._forget(name)
        return soonest

    def _forget(self, name: str) -> None:
        del self._courses[name]
        self._queues.drop(name)
        if self._teller:
            self._teller.forget(name)

    async def _work(self, last: int) -> None:
        """Judge one namespace of the ranks up to `last` after the other, for ever."""
        clock = asyncio.get_running_loop().time
        while True:
            if last == LATER:
                await self._let_by()
            taken = self._queues.take(last, self._ready)
            tree = self._live.tree
            if taken is None or tree is None:
                self._queues.filled.clear()
                await self._queues.filled.wait()
                continue
            name, rank = taken
            course, policies = self._courses[name], tree.policies_in(name)
            sight = Sight(tree, tree.namespaces[name], policies)
            many = len(policies) > MANY
            begin = clock()
            course.busy, self._many = True, self._many or many
            try:
                await self._look(sight, course, PAUSES[rank])
            except NoDecisionError as error:
                self._failed(error)
                first, longest = self._pace.again
                course.due = clock() + min(first * 2.0 ** min(course.failures, 10), longest)
                course.failures += 1
            else:
                took = clock() - begin
                course.failures, self._trouble = 0, ""
                course.due = clock() + min(2 * took, LONGEST_REST) if took > LONG_SECONDS else 0.0
            finally:
                course.busy = False
                if many:
                    self._many = False
                # What changed meanwhile was passed over, and a namespace of many policies may have waited for this one.
                self._queues.filled.set()
                self._wake.set()

    async def _let_by(self) -> None:
        """Wait while new namespaces do, but not for ever: whoever makes one after the other would end the scan."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.yields):
                while self._pressed():  # noqa: ASYNC110 - told by nothing, and looked at seldom
                    await asyncio.sleep(self._pace.sweep)

    def _ready(self, name: str) -> bool:
        """Say whether a namespace may be judged now."""
        tree, course = self._live.tree, self._courses.get(name)
        if tree is None or course is None or course.busy or name not in tree.namespaces:
            return False
        return not (self._many and len(tree.policies_in(name)) > MANY)

    async def _look(self, sight: Sight, course: Course, pause: float) -> None:
        """
        Judge what changed in one namespace, and tell of what is found; raises `NoDecisionError`.

        After each thing it rests for `pause` times as long as that took.
        """
        tree, namespace, _ = sight
        now = partial(datetime.now, UTC)
        own, stand = own_policies(tree, namespace.name), stand_of(sight)
        if not course.policies_as_judged(sight, own):
            found: Sequence[Finding] = [
                each for policy in own for each in await _paused(self._judge.policy(tree, policy, now()), pause)
            ]
            course.of_policies = kept(course.of_policies, found)
            self._vote(namespace.name, course)
        if course.stand != stand:
            found = await _paused(self._judge.namespace(tree, namespace, now()), pause)
            course.of_itself = kept(course.of_itself, found)
        course.judged, course.own, course.stand = sight, own, stand
        every = sorted((*course.of_policies, *course.of_itself, *unruled(tree, namespace)), key=importance)
        told = tuple(every), 1 + len(own)
        if told != course.told and self._teller and self._courses.get(namespace.name) is course:
            self._teller.tell(namespace.name, *told)
        course.told = told

    def _vote(self, name: str, course: Course) -> None:
        outvoted = outvoted_by(course.of_policies)
        # That nothing does, where a former leader knew of something, the controller's next sweep finds.
        course.voted = True
        if outvoted != course.outvoted:
            course.outvoted = outvoted
            for call in self.changed:
                call(name)

    def _failed(self, error: NoDecisionError) -> None:
        if str(error) != self._trouble:
            structlog.get_logger().warning("scan waits", error=str(error))
            self._trouble = str(error)


def _rank(course: Course, sight: Sight) -> int:
    """Return how long a namespace may wait that is not as it was judged."""
    if not own_policies(sight.tree, sight.namespace.name):
        # Nothing outvotes there (any more), which costs nothing to say.
        return URGENT if course.of_policies else LATER
    changed = course.judged is None or course.judged.policies is not sight.policies
    return URGENT if changed else SOON


async def _paused(asking: Awaitable[tuple[Finding, ...]], pause: float) -> tuple[Finding, ...]:
    """Return what is found, after a rest."""
    clock = asyncio.get_running_loop().time
    begin = clock()
    found = await asking
    await asyncio.sleep(pause * (clock() - begin))
    return found
