"""Keeps all bindings in step with the tree: those of every owned namespace, and who may create namespaces."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import structlog

from webhook.baseline.past import Past
from webhook.bring import Brought, Writes
from webhook.cluster.resource import ROLE_BINDINGS
from webhook.cluster.watch import Source, Watch
from webhook.controller import Controller, Way
from webhook.errors import ClusterError
from webhook.model import Namespace
from webhook.rights.bindings import LiveBindings, trimmed
from webhook.rights.creators import Creators
from webhook.rights.grant import Seen, grant
from webhook.rights.wanted import CREATOR, NAMES
from webhook.tenancy.live import LiveTree
from webhook.tenancy.tree import Tree

Object = dict[str, Any]


class Cluster(Source, Writes, Protocol):
    """The calls on a cluster that it takes."""


class Rights:
    """
    Keeps the bindings for as long as `run` runs; one at a time may run in a cluster.

    Beside the baselines and apart from them: who undoes bindings again and again holds up no policy.
    """

    def __init__(self, cluster: Cluster, live: LiveTree) -> None:
        self._cluster = cluster
        self._live = live
        self._creators: Creators | None = None
        self._cuts: dict[str, str] = {}

    @property
    def trouble(self) -> str:
        """Why the bindings may not be as the tree asks, empty where nothing hinders us."""
        found = [f"the watch of {name} is cut: {why}" for name, why in sorted(self._cuts.items())]
        if self._creators and self._creators.trouble:
            found.append(self._creators.trouble)
        return "; ".join(found)

    async def run(self) -> None:
        """Keep them, for ever."""
        bindings = LiveBindings(self._live)
        self._creators = Creators(self._cluster, self._live)
        self._live.changed.append(bindings.told)
        self._live.touched.append(bindings.touch)

        def see(tree: Tree, namespace: Namespace) -> Seen:
            return Seen(tree, namespace, bindings.of(namespace.name))

        async def go(cluster: Writes, seen: Seen, _: datetime, __: Past) -> Brought:
            return await grant(cluster, seen)

        try:
            async with asyncio.TaskGroup() as tasks:
                for name in NAMES:
                    # By name, and so our rights are: we see no binding of anybody else.
                    watch = Watch(self._cluster, ROLE_BINDINGS, name=name, mandatory=True, trim=trimmed)
                    tasks.create_task(watch.follow(_Named(name, bindings), self._heard(name)))
                tasks.create_task(self._creators.run(self._heard(CREATOR)))
                tasks.create_task(Controller(bindings, self._cluster, Way(see, go)).run())
        finally:
            self._live.changed.remove(bindings.told)
            self._live.touched.remove(bindings.touch)
            self._creators = None
            self._cuts.clear()

    def _heard(self, name: str) -> Callable[[ClusterError | None], None]:
        return partial(self._hear, name)

    def _hear(self, name: str, error: ClusterError | None) -> None:
        log = structlog.get_logger()
        if error is None:
            if self._cuts.pop(name, None):
                log.info("watch resumed", kind=ROLE_BINDINGS.kind, name=name)
            return
        if name not in self._cuts:
            log.warning("watch cut", kind=ROLE_BINDINGS.kind, name=name, error=str(error))
        self._cuts[name] = str(error)


@dataclass(frozen=True, slots=True)
class _Named:
    """Tells of the bindings of one name."""

    name: str
    bindings: LiveBindings

    def reset(self, things: list[Object], version: str) -> None:
        self.bindings.reset(self.name, things, version)

    def put(self, thing: Object) -> None:
        self.bindings.put(thing)

    def drop(self, thing: Object) -> None:
        self.bindings.drop(thing)
