"""
Keeps the two webhook objects: made once the tree can be judged by, put back whatever becomes of them.

They are never removed: without us, what they guard is refused.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import structlog

from webhook.cluster.resource import MUTATING, VALIDATING, Resource
from webhook.cluster.watch import Source, Watch
from webhook.errors import ClusterError, NoDecisionError, SettingsError
from webhook.registration.hooks import SERVICE, Callee, healed, wanted
from webhook.registration.trust import Trust

Object = dict[str, Any]

# What stamps comes first: judged without having been stamped, every new namespace would be refused.
KEPT = (MUTATING, VALIDATING)
OVERDUE_SECONDS = 60.0
"""What lasts longer is no API server that starts again, and no reason to wait any more."""
AGAIN_SECONDS = 1.0
"""Between two writes, and before the next try: whoever writes against us does not make us write all the time."""


async def _at_once() -> None:
    """Agree with nobody."""


class Cluster(Source, Protocol):
    """The calls on a cluster that it takes."""

    async def create(self, resource: Resource, thing: Object, /) -> Object:
        """Create an object."""
        ...

    async def replace(self, resource: Resource, thing: Object, /) -> Object:
        """Replace an object."""
        ...


@dataclass(frozen=True, slots=True)
class Conditions:
    """
    When the objects are written.

    `begins` says whether the tree can be judged by, for the first time. `answers` returns once we can answer: whoever
    removes the objects because we do not must not find them put back. `refreshed` returns once the callee's CA is the
    one that all replicas agree on: one that has not heard of a new CA yet must not take it out.
    """

    begins: Callable[[], bool]
    answers: Callable[[], Awaitable[None]]
    refreshed: Callable[[], Awaitable[None]] = _at_once


@dataclass(slots=True)
class Keeper:
    """Keeps them for as long as `run` runs; `callee` is asked anew each time, for the CA may change."""

    cluster: Cluster
    shipped: Mapping[str, Object]
    callee: Callable[[], Callee]
    trust: Trust = field(default_factory=lambda: Trust(tuple(each.kind for each in KEPT)))
    """What they tell of whom the API server trusts."""
    _troubles: dict[str, "_Trouble"] = field(default_factory=dict)
    """What hinders us: by the kind whose watch is cut, or `write`."""
    _stored: dict[str, Object | None] = field(default_factory=dict)
    _told: dict[str, int] = field(default_factory=dict)
    """How often the watch has told of each."""
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def trouble(self) -> str:
        """Why they may not be as they have to be, empty where nothing hinders us."""
        return "; ".join(each.why for each in self._troubles.values())

    @property
    def overdue(self) -> str:
        """The part of the trouble that has lasted too long to be an API server that starts again."""
        now = time.monotonic()
        return "; ".join(each.why for each in self._troubles.values() if now - each.since > OVERDUE_SECONDS)

    @property
    def told(self) -> bool:
        """Whether it is known which of them stand."""
        return len(self._stored) == len(KEPT)

    @property
    def stands(self) -> bool:
        """Whether one of them stands, so that something is gated, or refused without us."""
        return any(self._stored.values())

    def wake(self) -> None:
        """Look again: the tree or the CA may have changed."""
        self._wake.set()

    async def run(self, conditions: Conditions) -> None:
        """Keep them, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for each in KEPT:
                watch = Watch(self.cluster, each, name=SERVICE, mandatory=True)
                tasks.create_task(watch.follow(_Kept(each.kind, self), partial(self._heard, each.kind)))
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self.told and (self.stands or conditions.begins()) and await self._keep(conditions):
                    await asyncio.sleep(AGAIN_SECONDS)

    def take(self, kind: str, thing: Object | None) -> None:
        """Hear from the watch how one of them stands, None for not at all."""
        self._store(kind, thing)
        self._told[kind] = self._told.get(kind, 0) + 1
        self._wake.set()

    async def _keep(self, conditions: Conditions) -> bool:
        """Write what is not as it has to be; say whether anything was tried."""
        try:
            # As they stood before it was asked what they have to be: who writes meanwhile is not written over.
            stored = dict(self._stored)
            due = self._due(stored)
            if due:
                await conditions.answers()
                await conditions.refreshed()
                due = self._due(stored)
            for resource, thing in due:
                await self._write(resource, thing)
        except (ClusterError, SettingsError, NoDecisionError) as error:
            self._hinder("write", str(error))
            self._wake.set()
            return True
        self._troubles.pop("write", None)
        return bool(due)

    def _due(self, stored: Mapping[str, Object | None]) -> list[tuple[Resource, Object]]:
        """Return what has to be written of each that is not as it has to be."""
        callee = self.callee()
        return [(each, thing) for each in KEPT if (thing := self._aim(each, stored[each.kind], callee))]

    def _aim(self, resource: Resource, stored: Object | None, callee: Callee) -> Object | None:
        shipped = self.shipped[resource.kind]
        return healed(stored, wanted(shipped, callee.beside(stored))) if stored else wanted(shipped, callee)

    async def _write(self, resource: Resource, thing: Object) -> None:
        made = "resourceVersion" not in thing["metadata"]
        told = self._told.get(resource.kind)
        try:
            answer = await (self.cluster.create if made else self.cluster.replace)(resource, thing)
        except ClusterError as error:
            # Another replica was faster; the watch tells.
            if error.status in {404, 409}:
                return
            raise
        # What the watch has told meanwhile is newer than the answer.
        if self._told.get(resource.kind) == told:
            self._store(resource.kind, answer)
        structlog.get_logger().info("webhook object made" if made else "webhook object healed", kind=resource.kind)

    def _store(self, kind: str, thing: Object | None) -> None:
        self._stored[kind] = thing
        self.trust.see(kind, thing)

    def _heard(self, kind: str, error: ClusterError | None) -> None:
        self.trust.heard(kind, cut=error is not None)
        if error:
            self._hinder(kind, f"the watch of {kind} is cut: {error}")
        else:
            self._troubles.pop(kind, None)

    def _hinder(self, what: str, why: str) -> None:
        before = self._troubles.get(what)
        if before is None or before.why != why:
            structlog.get_logger().warning("webhook objects are not kept", why=why)
        self._troubles[what] = _Trouble(before.since if before else time.monotonic(), why)


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What hinders us, and since when by the monotonic clock."""

    since: float
    why: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """Tells the keeper of one kind; a watch of one name sees no other."""

    kind: str
    keeper: Keeper

    def reset(self, things: list[Object], version: str) -> None:  # noqa: ARG002 - where a watch begins is its own affair
        self.keeper.take(self.kind, things[0] if things else None)

    def put(self, thing: Object) -> None:
        self.keeper.take(self.kind, thing)

    def drop(self, thing: Object) -> None:  # noqa: ARG002 - there is but one
        self.keeper.take(self.kind, None)
