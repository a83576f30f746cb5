"""
Tells the history of every state of what the tree is made of: what a watch tells, and what changed while nobody watched.

Keeps no copies. Of what was not seen (before the start, behind a watch that began anew, in a buffer that was full) the
cluster is listed page by page and compared with what the history knows last.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from webhook.cluster.resource import TREE, Resource
from webhook.cluster.watch import Source, Watch
from webhook.errors import ClusterError, HistoryError
from webhook.history.record import Revision
from webhook.history.recorder import Recorder
from webhook.history.rows import Last
from webhook.model import Writer
from webhook.tenancy.live import LiveTree
from webhook.tenancy.tree import Tree

Object = Mapping[str, Any]

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Between two tries to compare."""
CROWDED = 2_000
"""While so many wait to be written a comparison waits as well: its finds must not push out what is seen."""
_APART = frozenset({"apiVersion", "kind", "metadata", "status"})
# What the API server writes of each version, or what the history has beside the content.
_SERVER = frozenset({"managedFields", "resourceVersion", "uid", "generation", "selfLink"})


class Known(Protocol):
    """The one question that a comparison asks."""

    async def latest(self, api_version: str, kind: str) -> Mapping[str, Last]:
        """Return, by uid, what is known last of each object of a kind; raises `HistoryError`."""
        ...


@dataclass(frozen=True, slots=True)
class Witness:
    """Of one process; `knowing` opens the history to be read."""

    source: Source
    live: LiveTree
    recorder: Recorder
    knowing: Callable[[], AbstractAsyncContextManager[Known]]
    _unseen: dict[Resource, None] = field(default_factory=dict)
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)

    def saw(self, resource: Resource, thing: Object, *, gone: bool) -> None:
        """Record a state of an object."""
        self.recorder.revise(revision_of(resource, thing, self.live.tree, gone=gone))

    def listed(self, resource: Resource) -> None:
        """Have a resource compared with what is known of it."""
        self._unseen[resource] = None
        self._wanted.set()

    async def run(self) -> None:
        """Compare what has to be, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._compare_all())
            tasks.create_task(self._hear_of_losses())

    async def _hear_of_losses(self) -> None:
        while True:
            await self.recorder.missed.wait()
            self.recorder.missed.clear()
            for resource in TREE:
                self.listed(resource)
            # Losses come in crowds.
            await asyncio.sleep(FIRST_WAIT)

    async def _compare_all(self) -> None:
        wait = FIRST_WAIT
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            for resource in list(self._unseen):
                await self._room()
                del self._unseen[resource]
                try:
                    await self._compare(resource)
                except (ClusterError, HistoryError) as error:
                    # A kind that is not served any more comes again when it is.
                    if isinstance(error, ClusterError) and error.status == 404:
                        continue
                    self.listed(resource)
                    structlog.get_logger().warning("history not compared", kind=resource.kind, error=str(error))
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, LONGEST_WAIT)
                else:
                    wait = FIRST_WAIT

    async def _compare(self, resource: Resource) -> None:
        """Record what stands in another version than is known, and what is gone; raises as its two sides do."""
        async with self.knowing() as store:
            known = dict(await store.latest(resource.api_version, _kind(resource)))
        async for thing in self._standing(resource):
            last = known.pop(thing["metadata"].get("uid", ""), None)
            if last is None or last.gone or last.version != thing["metadata"].get("resourceVersion", ""):
                await self._room()
                self.saw(resource, thing, gone=False)
        for uid, last in known.items():
            if not last.gone:
                await self._room()
                metadata = {"name": last.name, "uid": uid, "resourceVersion": last.version}
                where = {"namespace": last.namespace} if last.namespace else {}
                self.saw(resource, {"metadata": metadata | where}, gone=True)

    async def _standing(self, resource: Resource) -> AsyncIterator[Object]:
        async for page, _ in Watch(self.source, resource).pages():
            for thing in page:
                yield thing

    async def _room(self) -> None:
        """Return once there is room, which is at once unless the database is slow or gone."""
        while self.recorder.waits > CROWDED:  # noqa: ASYNC110 - seldom, and nobody waits for it
            await asyncio.sleep(0.1)


def revision_of(resource: Resource, thing: Object, tree: Tree | None, *, gone: bool) -> Revision:
    """Return a state of an object, as of now; `tree` is that of now, None while there is none."""
    metadata = thing["metadata"]
    kind = _kind(resource)
    kept = {key: value for key, value in metadata.items() if key not in _SERVER}
    rest = {key: value for key, value in thing.items() if key not in _APART}
    return Revision(
        api_version=resource.api_version,
        kind=kind,
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        version=metadata.get("resourceVersion", ""),
        seen=datetime.now(UTC).isoformat(timespec="milliseconds"),
        gone=gone,
        content=None if gone else {"apiVersion": resource.api_version, "kind": kind, "metadata": kept, **rest},
        writers=_writers(metadata),
        tenants=_tenants(kind, metadata, thing.get("spec"), tree),
    )


def _kind(resource: Resource) -> str:
    # Calico's are called with their group in the tree.
    return resource.kind.partition(".")[0]


def _writers(metadata: Object) -> tuple[Writer, ...]:
    return tuple(
        Writer(each.get("manager", ""), each.get("operation", ""), each.get("time", ""))
        for each in metadata.get("managedFields") or ()
    )


def _tenants(kind: str, metadata: Object, spec: Any, tree: Tree | None) -> tuple[str, ...]:
    """Return the keys of the tenants above an object, of a tenant its own among them; none while there is no tree."""
    name = metadata["name"]
    if tree is None:
        return ()
    match kind:
        case "Namespace":
            return tree.place(name, metadata.get("labels") or {}).path
        case "Workspace":
            known = tree.tenants.get(f"Workspace/{name}")
            project = spec.get("project") if isinstance(spec, Mapping) else known.project if known else ""
            above = (f"Project/{project}",) if project else ()
            return (f"Workspace/{name}", *above, tree.organization.key)
        case "Project":
            return (f"Project/{name}", tree.organization.key)
        case "Organization" | "NetworkBaseline":
            return (tree.organization.key,)
        case _:
            return tree.place_of(metadata.get("namespace", "")).path
