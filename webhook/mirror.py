"""
Keeps a live tree in step with a cluster: one watch a kind, for as long as there is one.

A kind that a CustomResourceDefinition brings is watched from the moment that its definition stands, so the definitions
are watched as well.
"""

import asyncio
import time
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
STALE_SECONDS = 60.0
"""After so long without a watch its copy is no ground to decide on; an API server that starts again takes less."""
SETTLE_SECONDS = 0.2
"""Between two tries at a kind whose definition stands and which is not served yet."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """What `run` keeps in step."""

    source: Source
    live: LiveTree
    _cuts: dict[str, tuple[float, str]] = field(default_factory=dict)
    """The watches that are cut now: since when, by the monotonic clock, and why."""

    def stale(self) -> list[str]:
        """Say which watches have been cut for too long, and why."""
        now = time.monotonic()
        return [f"{kind}: {why}" for kind, (since, why) in sorted(self._cuts.items()) if now - since > STALE_SECONDS]

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
            if self._cuts.pop(kind, None):
                log.info("watch resumed", kind=kind)
            return
        if kind not in self._cuts:
            log.warning("watch cut", kind=kind, error=str(error))
        since, _ = self._cuts.get(kind, (time.monotonic(), ""))
        self._cuts[kind] = since, str(error)


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
