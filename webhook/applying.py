"""
The writes in one namespace: what lacks is put first, then what nobody wants goes.

A policy that is missing is applied, one that differs is replaced whole; nothing goes that is not ours.
"""

import asyncio
import re
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from webhook.baseline.past import Past
from webhook.baseline.plan import Cause, Plan, Put
from webhook.cluster.resource import BASELINES, DEFINITIONS, NETWORK_POLICIES, Resource
from webhook.errors import ClusterError
from webhook.model import BASELINE_LABEL, Policy

Object = dict[str, Any]

_DECISION = re.compile(r" Decision [0-9a-f-]{36}")


class Writes(Protocol):
    """The calls on a cluster that it takes."""

    async def read(self, resource: Resource, name: str, /) -> Object:
        """Return one object."""
        ...

    async def create(self, resource: Resource, thing: Object, /) -> Object:
        """Create an object."""
        ...

    async def apply(self, resource: Resource, thing: Object, /) -> Object:
        """Apply an object server-side."""
        ...

    async def replace(self, resource: Resource, thing: Object, /) -> Object:
        """Replace an object whole."""
        ...

    async def patch(self, resource: Resource, name: str, body: Object, namespace: str = "", /) -> Object:
        """Merge into an object."""
        ...

    async def delete(self, resource: Resource, name: str, namespace: str, /, *, version: str) -> None:
        """Delete an object."""
        ...


@dataclass(frozen=True, slots=True)
class Note:
    """
    An occurrence that is worth an Event: its reason in one word, what happened, and the policy that it is about.

    `policy` is empty where it is the namespace; `warning` says that somebody should look at it.
    """

    reason: str
    note: str
    policy: str = ""
    warning: bool = True


@dataclass(slots=True)
class Applied:
    """
    What came of it: the resourceVersions written, what failed and why, what happened, why policies were put back.

    `stale` says that the copy we looked at was not the newest, so that nothing can be said yet.
    """

    cluster: Writes
    past: Past
    written: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    stale: bool = False

    @property
    def whole(self) -> bool:
        """Whether nothing failed."""
        return not (self.failed or self.stale)

    async def follow(self, plan: Plan, *, problems: bool) -> None:
        """Do what is planned; where there are `problems` not all stands that is wanted, so nothing is shed."""
        await _side_by_side(self._put(each) for each in plan.puts)
        # What could not be written for another reason is told, and keeps nothing from what is surplus.
        if self.stale:
            return
        await _side_by_side(self._remove(each, "") for each in plan.surplus)
        if problems or plan.drifted or self.past.wrong or not self.whole:
            return
        await _side_by_side(self._remove(each, "does not apply here any more") for each in plan.shed)
        if plan.ending and await self._defined():
            await _side_by_side(self._remove(each, "is being deleted") for each in plan.ending)

    async def _put(self, put: Put) -> None:
        """Apply a policy that is missing, replace one that differs whole: an apply would leave what others added."""
        try:
            if put.stored is None:
                answer = await self.cluster.apply(NETWORK_POLICIES, put.wanted.manifest())
            else:
                answer = await self.cluster.replace(NETWORK_POLICIES, put.wanted.manifest(put.stored.version))
        except ClusterError as error:
            self._weigh(put.wanted.name, error)
            return
        self.written.append(version_of(answer))
        if put.cause is not Cause.NEW:
            self.past.repaired(put.wanted, asyncio.get_running_loop().time())
            self.repairs.append(put.cause.value)
        if put.said:
            self.notes.append(Note("BaselineRepaired", put.said, put.wanted.name))

    async def _remove(self, old: Policy, why: str) -> None:
        """Delete a policy in the version that was seen; `why` is told, where it is not the baseline's own change."""
        try:
            await self.cluster.delete(NETWORK_POLICIES, old.name, old.namespace, version=old.version)
        except ClusterError as error:
            self._weigh(old.name, error)
            return
        if why:
            note = f"{old.name} was removed: NetworkBaseline {old.labels[BASELINE_LABEL]} {why}"
            self.notes.append(Note("BaselineRemoved", note, old.name, warning=False))

    async def _defined(self) -> bool:
        """Say whether baselines end by themselves, and not with their definition: that was asked of nobody."""
        try:
            return await defined(self.cluster)
        except ClusterError as error:
            self._weigh(BASELINES.definition, error)
            return False

    def _weigh(self, name: str, error: ClusterError) -> None:
        if outdated(error):
            self.stale = True
            return
        # The id of a decision is new each time; the annotation must not be.
        self.failed.append(f"{name}: {_DECISION.sub('', str(error))[:500]}")


class Reads(Protocol):
    """The call on a cluster that it takes to see one object."""

    async def read(self, resource: Resource, name: str, /) -> Object:
        """Return one object."""
        ...


async def defined(cluster: Reads) -> bool:
    """
    Say whether the definition of NetworkBaselines stands and does not end, as of now; raises `ClusterError`.

    What ends with it was deleted by nobody that a rule was asked about.
    """
    try:
        definition = await cluster.read(DEFINITIONS, BASELINES.definition)
    except ClusterError as error:
        if error.status != 404:
            raise
        return False
    return "deletionTimestamp" not in definition["metadata"]


async def _side_by_side(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    if todo := list(work):
        async with asyncio.TaskGroup() as tasks:
            for each in todo:
                tasks.create_task(each)


def outdated(error: ClusterError) -> bool:
    """Say whether it is a conflict, gone or ending meanwhile: our copy is old, and its watch will tell."""
    return error.status in {404, 409} or "is being terminated" in str(error)


def version_of(thing: Object) -> str:
    """Return the resourceVersion, a decimal number since KEP-5504 says so."""
    return str(thing["metadata"]["resourceVersion"])
