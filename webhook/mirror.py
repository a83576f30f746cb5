"""
Keeps a live tree in step with a cluster: one watch a kind, for as long as there is one.

A kind that a CustomResourceDefinition brings is watched from the moment that its definition stands, so the definitions
are watched as well.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from webhook.cluster.resource import DEFINITIONS, NAMESPACES, NETWORK_POLICIES, TREE, Resource
from webhook.cluster.watch import METADATA, Source, Watch
from webhook.errors import ClusterError
from webhook.tenancy.live import LiveTree

Object = dict[str, Any]

BUILT_IN = frozenset({NAMESPACES, NETWORK_POLICIES})
SETTLE_SECONDS = 0.2
"""Between two tries at a kind whose definition stands and which is not served yet."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """What `run` keeps in step; `cuts` are the watches that are interrupted now, and why."""

    source: Source
    live: LiveTree
    cuts: dict[str, str] = field(default_factory=dict)

    async def run(self) -> None:
        """Watch for ever."""
        definitions = _Definitions({each.definition: asyncio.Event() for each in TREE if each not in BUILT_IN})
        async with asyncio.TaskGroup() as tasks:
            for resource in TREE:
                tasks.create_task(self._follow(resource, definitions))
            watch = Watch(self.source, DEFINITIONS, accept=METADATA)
            tasks.create_task(watch.follow(definitions, partial(self._heard, DEFINITIONS.kind)))

    async def _follow(self, resource: Resource, definitions: "_Definitions") -> None:
        sink = _Kind(resource.kind, self.live)
        while True:
            if resource not in BUILT_IN:
                await self._served(resource, definitions)
            try:
                await Watch(self.source, resource).follow(sink, partial(self._heard, resource.kind))
            except ClusterError as error:
                # Its definition came a moment ago, or has just gone.
                structlog.get_logger().info("watch", kind=resource.kind, waits=str(error))
                await asyncio.sleep(SETTLE_SECONDS)

    async def _served(self, resource: Resource, definitions: "_Definitions") -> None:
        """Return once the definition of a kind stands; until then there is none of it."""
        await definitions.told.wait()
        stands = definitions.stands[resource.definition]
        if not stands.is_set():
            self.live.absent(resource.kind)
            await stands.wait()

    def _heard(self, kind: str, error: ClusterError | None) -> None:
        log = structlog.get_logger()
        if error is None:
            if self.cuts.pop(kind, None):
                log.info("watch resumed", kind=kind)
            return
        if kind not in self.cuts:
            log.warning("watch cut", kind=kind, error=str(error))
        self.cuts[kind] = str(error)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Tells the tree of one kind."""

    kind: str
    live: LiveTree

    def reset(self, things: list[Object], version: str) -> None:
        self.live.reset(self.kind, things, version)

    def put(self, thing: Object) -> None:
        self.live.put(self.kind, thing)

    def drop(self, thing: Object) -> None:
        self.live.drop(self.kind, thing)


@dataclass(frozen=True, slots=True)
class _Definitions:
    """Which of the definitions that we wait for stand; `told` is set once that is known."""

    stands: Mapping[str, asyncio.Event]
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self, things: list[Object], version: str) -> None:  # noqa: ARG002 - where a watch begins is its own affair
        names = {each["metadata"]["name"] for each in things}
        for name, event in self.stands.items():
            if name in names:
                event.set()
            else:
                event.clear()
        self.told.set()

    def put(self, thing: Object) -> None:
        if event := self.stands.get(thing["metadata"]["name"]):
            event.set()

    def drop(self, thing: Object) -> None:
        if event := self.stands.get(thing["metadata"]["name"]):
            event.clear()
