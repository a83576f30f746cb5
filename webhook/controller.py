"""
The way of one namespace: seen > wanted > applied > told.

Level-triggered: whatever woke it, a sweep looks at all namespaces as they are now, and whatever was missed is found by
the next one. A namespace found right costs three comparisons until it, its policies or the tree change. The copy that a
sweep looks at lags behind our own writes, so a namespace we wrote to rests until its watch has told of them.
"""

import asyncio
import random
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import structlog

from webhook.baseline.difference import difference, surplus
from webhook.baseline.wanted import State, Wanted, WantedPolicy, state_of, wanted_at
from webhook.cluster.resource import EVENTS, NAMESPACES, NETWORK_POLICIES, Resource
from webhook.errors import ClusterError
from webhook.model import RESERVED, STATE_ANNOTATION, Namespace, Policy
from webhook.tenancy.live import LiveTree
from webhook.tenancy.tree import Tree

Object = dict[str, Any]

AT_ONCE = 16
"""How many namespaces are worked on side by side."""
RESYNC_SECONDS = (480, 720)
"""Between these, everything is compared anew, whether or not anything seems to have changed."""
SWEEP_SECONDS = 0.005
"""Between two sweeps, so that what comes in one go is looked at once; longer where a sweep takes long."""
PATIENT_ROUNDS = 8
"""So many rounds of writes a namespace gets without a wait; more of them, and somebody writes against us."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
CALM_SECONDS = 120.0
"""Right for so long, and a namespace is patiently treated again."""

_DECISION = re.compile(r" Decision [0-9a-f-]{36}")


class Writes(Protocol):
    """The calls on a cluster that it takes."""

    async def create(self, resource: Resource, thing: Object, /) -> Object:
        """Create an object."""
        ...

    async def apply(self, resource: Resource, thing: Object, /) -> Object:
        """Apply an object server-side."""
        ...

    async def replace(self, resource: Resource, thing: Object, /) -> Object:
        """Replace an object whole."""
        ...

    async def patch(self, resource: Resource, name: str, body: Object, /) -> Object:
        """Merge into an object."""
        ...

    async def delete(self, resource: Resource, name: str, namespace: str, /, *, version: str) -> None:
        """Delete an object."""
        ...


class Seen(NamedTuple):
    """What a sweep looked at; the same objects are the same state."""

    tree: Tree
    namespace: Namespace
    policies: tuple[Policy, ...]

    def same(self, other: "Seen | None") -> bool:
        """Say whether nothing changed since `other`."""
        return other is not None and all(mine is theirs for mine, theirs in zip(self, other, strict=True))


@dataclass(slots=True)
class _Course:
    """How it goes with one namespace."""

    right: Seen | None = None
    """As it was when nothing had to be done."""
    busy: bool = False
    awaited: dict[str, str] = field(default_factory=dict)
    """The resourceVersion of our last write, by kind."""
    rounds: int = 0
    last: float = 0.0
    due: float = 0.0

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


@dataclass(slots=True)
class _Outcome:
    """What came of bringing the policies: the resourceVersions written, what differs and is left, what failed."""

    written: list[str] = field(default_factory=list)
    drifted: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    stale: bool = False
    """Whether the copy we looked at was not the newest, so that nothing can be said yet."""


class Controller:
    """Brings every namespace its baselines for as long as `run` runs; one at a time may run in a cluster."""

    def __init__(self, live: LiveTree, cluster: Writes) -> None:
        self._live = live
        self._cluster = cluster
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
        now = asyncio.get_running_loop().time()
        soonest: float | None = None
        for namespace in list(tree.namespaces.values()):
            if namespace.name in RESERVED or namespace.terminating:
                continue
            course = self._courses.setdefault(namespace.name, _Course())
            seen = Seen(tree, namespace, tree.policies_in(namespace.name))
            if course.busy or seen.same(course.right) or not self._told(course):
                continue
            if course.due > now:
                soonest = course.due if soonest is None else min(soonest, course.due)
                continue
            course.busy = True
            tasks.create_task(self._visit(seen, course))
        for name in self._courses.keys() - tree.namespaces.keys():
            del self._courses[name]
        return soonest

    def _told(self, course: _Course) -> bool:
        """Say whether the watches have told of what we wrote last."""
        return all(self._live.reached(kind, version) for kind, version in course.awaited.items())

    async def _visit(self, seen: Seen, course: _Course) -> None:
        course.calm(asyncio.get_running_loop().time())
        try:
            async with self._slots:
                course.awaited, failed = await self._bring(seen)
            if failed:
                course.wait()
            elif course.awaited:
                course.wrote()
            else:
                course.right = seen
        except ClusterError as error:
            course.wait()
            structlog.get_logger().warning("namespace not told", namespace=seen.namespace.name, error=str(error))
        finally:
            course.busy = False
            self._wake.set()

    async def _bring(self, seen: Seen) -> tuple[dict[str, str], bool]:
        """Make one namespace right; return what was written, by kind, and whether something failed."""
        place = seen.tree.place(seen.namespace.name, seen.namespace.labels)
        wanted = wanted_at(place, seen.tree.baselines)
        outcome = await self._apply(wanted, seen.policies)
        written = {NETWORK_POLICIES.kind: max(outcome.written, key=int)} if outcome.written else {}
        if outcome.stale:
            return written, False
        state, reason = _state(wanted, outcome)
        annotation = state_of(state, wanted.revision, reason) if place.baselines else None
        version = await self._tell(seen.namespace, wanted.labels, annotation)
        if version:
            written[NAMESPACES.kind] = version
        if written:
            structlog.get_logger().info(
                "baseline", namespace=seen.namespace.name, state=state, policies=len(outcome.written), reason=reason
            )
        return written, bool(outcome.failed)

    async def _apply(self, wanted: Wanted, policies: tuple[Policy, ...]) -> _Outcome:
        outcome = _Outcome()
        standing = {each.name: each for each in policies if each.kind == NETWORK_POLICIES.kind}
        names = frozenset(each.name for each in wanted.policies)
        async with asyncio.TaskGroup() as tasks:
            for each in wanted.policies:
                tasks.create_task(self._put(each, standing.get(each.name), outcome))
            for old in policies:
                if surplus(old, wanted.complete, names):
                    tasks.create_task(self._remove(old, outcome))
        return outcome

    async def _put(self, wanted: WantedPolicy, stored: Policy | None, outcome: _Outcome) -> None:
        """Apply a policy that is missing, replace one that differs whole: an apply would leave what others added."""
        try:
            if stored is None:
                outcome.written.append(_version(await self._cluster.apply(NETWORK_POLICIES, wanted.manifest())))
                return
            differing = difference(wanted, stored)
            if not differing:
                return
            if not wanted.repairs:
                outcome.drifted.append(f"{wanted.name} differs in {differing}")
                return
            answer = await self._cluster.replace(NETWORK_POLICIES, wanted.manifest(stored.version))
            outcome.written.append(_version(answer))
        except ClusterError as error:
            self._weigh(f"{wanted.name}", error, outcome)
            return
        await self._note(wanted, f"{wanted.name} differed in {differing} and was replaced whole")

    async def _remove(self, old: Policy, outcome: _Outcome) -> None:
        """Delete what the baseline no longer has."""
        try:
            await self._cluster.delete(NETWORK_POLICIES, old.name, old.namespace, version=old.version)
        except ClusterError as error:
            self._weigh(old.name, error, outcome)

    def _weigh(self, name: str, error: ClusterError, outcome: _Outcome) -> None:
        # A conflict, gone or ending meanwhile: the copy that we looked at is old, and its watch will tell.
        if error.status in {404, 409} or "is being terminated" in str(error):
            outcome.stale = True
            return
        # The id of a decision is new each time; the annotation must not be.
        outcome.failed.append(f"{name}: {_DECISION.sub('', str(error))[:500]}")

    async def _note(self, wanted: WantedPolicy, note: str) -> None:
        """Tell of a repair by an Event; that it could not be told does not undo it."""
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        regarding = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "name": wanted.name}
        event = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"generateName": "portcullis-", "namespace": wanted.namespace},
            "eventTime": now,
            "type": "Warning",
            "reason": "BaselineRepaired",
            "action": "Replace",
            "note": note,
            "regarding": {**regarding, "namespace": wanted.namespace},
            "reportingController": "portcullis.dev/controller",
            "reportingInstance": "portcullis",
        }
        try:
            await self._cluster.create(EVENTS, event)
        except ClusterError as error:
            structlog.get_logger().warning("event not written", note=note, error=str(error))

    async def _tell(self, namespace: Namespace, labels: Mapping[str, str | None], annotation: str | None) -> str:
        """Put the derived labels and the state where they differ; return the version written, empty for none."""
        changes = {
            "labels": _changes(namespace.labels, labels),
            "annotations": _changes(namespace.annotations, {STATE_ANNOTATION: annotation}),
        }
        metadata: Object = {key: each for key, each in changes.items() if each}
        if not metadata:
            return ""
        metadata["resourceVersion"] = namespace.version
        try:
            return _version(await self._cluster.patch(NAMESPACES, namespace.name, {"metadata": metadata}))
        except ClusterError as error:
            if error.status in {404, 409}:
                return ""
            raise


def _state(wanted: Wanted, outcome: _Outcome) -> tuple[State, str]:
    if wanted.problems or outcome.failed:
        return "Failed", _listed([*wanted.problems, *outcome.failed])
    if outcome.drifted:
        return "Drifted", _listed(outcome.drifted)
    return "Ready", ""


def _listed(reasons: Iterable[str]) -> str:
    return "; ".join(sorted(reasons))[:1000]


def _changes(present: Mapping[str, str], wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    return {key: value for key, value in wanted.items() if present.get(key) != value}


def _version(thing: Object) -> str:
    """Return the resourceVersion, a decimal number since KEP-5504 says so."""
    return str(thing["metadata"]["resourceVersion"])
