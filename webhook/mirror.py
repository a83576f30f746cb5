"""
Keeps a live tree in step with a cluster: one watch a kind, for as long as there is one.

A kind that a CustomResourceDefinition brings is watched from the moment that its definition stands, so the definitions
are watched as well.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import structlog

from webhook.cluster.resource import DEFINITIONS, NAMESPACES, NETWORK_POLICIES, TREE, Resource
from webhook.cluster.watch import METADATA, Source, Watch
from webhook.errors import ClusterError
from webhook.tenancy.live import LiveTree

Object = dict[str, Any]

BUILT_IN = frozenset({NAMESPACES, NETWORK_POLICIES})
STALE_SECONDS = 60.0
"""After so long without a watch its copy is no ground to decide on; an API server that starts again takes less."""
SOUND_SECONDS = 5.0
"""A watch that has gone on for so long is sound again."""
FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
"""Between two tries at a kind whose definition stands and which is not served (yet)."""


class Witness(Protocol):
    """Hears of every change; it keeps nobody waiting."""

    def saw(self, resource: Resource, thing: Object, *, gone: bool) -> None:
        """Hear of an object that came or changed, or that is gone."""
        ...

    def listed(self, resource: Resource) -> None:
        """Hear that a resource was told anew: what changed before that was not seen."""
        ...


class Echo(Protocol):
    """Is told all that the tree is told, before the tree is."""

    def reset(self, kind: str, things: Sequence[Object], version: str) -> None:
        """Hear of all of a kind that stand, as of a resourceVersion."""
        ...

    def put(self, kind: str, thing: Object) -> None:
        """Hear of an object that came or changed."""
        ...

    def drop(self, kind: str, thing: Object) -> None:
        """Hear of an object that is gone."""
        ...

    def absent(self, kind: str) -> None:
        """Hear that a kind is not served."""
        ...

    def cut(self, kind: str, cut: "Cut | None") -> None:
        """Hear how the watch of a kind is, None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Mirror:
    """What `run` keeps in step."""

    source: Source
    live: LiveTree
    witnesses: list["Witness"] = field(default_factory=list)
    """Who hears, too, of what is seen."""
    echoes: list[Echo] = field(default_factory=list)
    """Who keeps a copy of the tree elsewhere."""
    _cuts: dict[str, "Cut"] = field(default_factory=dict)

    def stale(self) -> list[str]:
        """Say which watches have been cut for too long, and why."""
        now = time.monotonic()
        return [f"{kind}: {cut.why}" for kind, cut in sorted(self._cuts.items()) if cut.stale(now)]

    def cut(self, kind: str) -> bool:
        """Say whether the watch of a kind is cut, or was a moment ago, so that more may have happened than was told."""
        cut = self._cuts.get(kind)
        return cut is not None and not cut.over(time.monotonic())

    def reached(self, kind: str, version: str) -> bool:
        """Say whether what was stored as `version` has been told, or something later."""
        return self.live.reached(kind, version)

    def reborn(self, namespace: str) -> bool:
        """Say whether what we know to stand in a namespace may have stood in a former one of its name."""
        return self.live.reborn(namespace)

    async def run(self) -> None:
        """Watch for ever."""
        definitions = _Definitions({each.definition: asyncio.Event() for each in TREE if each not in BUILT_IN})
        async with asyncio.TaskGroup() as tasks:
            for resource in TREE:
                tasks.create_task(self._follow(resource, definitions))
            watch = Watch(self.source, DEFINITIONS, accept=METADATA, mandatory=True)
            tasks.create_task(watch.follow(definitions, partial(self._heard, DEFINITIONS.kind)))

    async def _follow(self, resource: Resource, definitions: "_Definitions") -> None:
        sink, heard = _Kind(resource, self.live, self.witnesses, self.echoes), partial(self._heard, resource.kind)
        if resource in BUILT_IN:
            await Watch(self.source, resource, mandatory=True).follow(sink, heard)
        wait, clock = FIRST_WAIT, time.monotonic
        while True:
            await self._served(resource, definitions)
            begin = clock()
            try:
                await Watch(self.source, resource).follow(sink, heard)
            except ClusterError as error:
                # Its definition came a moment ago, has just gone, or does not serve our version.
                heard(error)
                wait = FIRST_WAIT if clock() - begin > LONGEST_WAIT else min(wait * 2, LONGEST_WAIT)
                await asyncio.sleep(wait)

    async def _served(self, resource: Resource, definitions: "_Definitions") -> None:
        """Return once the definition of a kind stands; until then there is none of it."""
        await definitions.told.wait()
        stands = definitions.stands[resource.definition]
        if not stands.is_set():
            self._cuts.pop(resource.kind, None)
            for each in self.echoes:
                each.cut(resource.kind, None)
                each.absent(resource.kind)
            self.live.absent(resource.kind)
            await stands.wait()

    def _heard(self, kind: str, error: ClusterError | None) -> None:
        log, now = structlog.get_logger(), time.monotonic()
        cut = self._cuts.get(kind)
        if error is None:
            if cut and cut.resumed is None:
                cut.resumed = now
                log.info("watch resumed", kind=kind)
                self._echo_cut(kind, cut)
            return
        if cut is None or cut.over(now):
            cut = self._cuts[kind] = Cut(now)
            log.warning("watch cut", kind=kind, error=str(error))
        cut.why, cut.resumed = str(error), None
        self._echo_cut(kind, cut)

    def _echo_cut(self, kind: str, cut: "Cut") -> None:
        for each in self.echoes:
            each.cut(kind, cut)


async def read_once(source: Source, namespace: str) -> LiveTree:
    """
    Return the tree as it stands now, followed no further; of the policies only those in `namespace`.

    Raises `ClusterError` for a kind that cannot be listed, but for one that the cluster does not serve.
    """
    live = LiveTree()

    async def read(resource: Resource) -> None:
        try:
            things, version = await Watch(source, resource, namespace if resource.namespaced else "").listed()
        except ClusterError as error:
            if error.status != 404 or resource in BUILT_IN:
                raise
            live.absent(resource.kind)
        else:
            live.reset(resource.kind, things, version)

    # Side by side; all of them have ended, well or not, before the connection may go.
    outcomes = await asyncio.gather(*map(read, TREE), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return live


@dataclass(slots=True)
class Cut:
    """A watch that is interrupted; the times are of the monotonic clock."""

    since: float
    why: str = ""
    resumed: float | None = None

    def over(self, now: float) -> bool:
        """Say whether it has gone on for a while: one that breaks again at once has not."""
        return self.resumed is not None and now - self.resumed > SOUND_SECONDS

    def stale(self, now: float) -> bool:
        """Say whether it has lasted too long."""
        return now - self.since > STALE_SECONDS and not self.over(now)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Tells the tree of one kind, and whoever else wants to know."""

    resource: Resource
    live: LiveTree
    witnesses: list["Witness"]
    echoes: list[Echo] = field(default_factory=list)

    def reset(self, things: list[Object], version: str) -> None:
        for echo in self.echoes:
            echo.reset(self.resource.kind, things, version)
        self.live.reset(self.resource.kind, things, version)
        for each in self.witnesses:
            each.listed(self.resource)

    def put(self, thing: Object) -> None:
        for echo in self.echoes:
            echo.put(self.resource.kind, thing)
        self.live.put(self.resource.kind, thing)
        for each in self.witnesses:
            each.saw(self.resource, thing, gone=False)

    def drop(self, thing: Object) -> None:
        for echo in self.echoes:
            echo.drop(self.resource.kind, thing)
        # Before the tree forgets under whom it stood.
        for each in self.witnesses:
            each.saw(self.resource, thing, gone=True)
        self.live.drop(self.resource.kind, thing)


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
