"""
Keeps our finalizer on every NetworkBaseline, and takes it off one that ends once its policies are gone.

The policies themselves are the controller's: whoever reads the tree sees that the baseline selects nothing any more. It
stays as long as a policy of it stands that is to go, so that `kubectl delete` returns when nothing is left. With the
definition of the kind all baselines end, and nobody asked for that: the finalizers go, and every policy stays.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from webhook.applying import defined
from webhook.baseline.difference import injected_by
from webhook.cluster.resource import BASELINES, Resource
from webhook.errors import ClusterError
from webhook.model import BASELINE_FINALIZER, Baseline, Standing
from webhook.tenancy.tree import Tree

Object = dict[str, Any]

SETTLE_SECONDS = 0.5
"""Between two looks: what comes in one go is looked at once."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 10.0
"""Before the next try at what was refused."""
LOOK_SECONDS = 60.0
"""Whatever was told or not, it is looked again after so long."""


class Live(Protocol):
    """The copy of the cluster that is looked at."""

    @property
    def tree(self) -> Tree | None:
        """The tree of now."""
        ...

    @property
    def changed(self) -> list[Callable[[], None]]:
        """Whom to call after each change."""
        ...


class Cluster(Protocol):
    """The calls on a cluster that it takes."""

    async def read(self, resource: Resource, name: str, /) -> Object:
        """Return one object."""
        ...

    async def patch(self, resource: Resource, name: str, body: Object, /) -> Object:
        """Merge into an object."""
        ...


@dataclass(slots=True)
class Finalizers:
    """Keeps them for as long as `run` runs; one at a time may run in a cluster."""

    live: Live
    cluster: Cluster
    _said: dict[str, str] = field(default_factory=dict)
    """What each baseline that ends waits for, or why it could not be written."""

    async def run(self) -> None:
        """Keep them, for ever."""
        wake = asyncio.Event()
        self.live.changed.append(wake.set)
        wait = 0.0
        try:
            while True:
                wake.clear()
                wait = min(max(2 * wait, FIRST_WAIT), LONGEST_WAIT) if await self._look() else 0.0
                await asyncio.sleep(max(wait, SETTLE_SECONDS))
                if not wait:
                    await _woken(wake)
        finally:
            self.live.changed.remove(wake.set)

    async def _look(self) -> bool:
        """Put on what lacks and take off what may go; say whether something has to be tried again."""
        tree = self.live.tree
        if tree is None:
            return False
        todo = [each for each in tree.baselines.values() if each.ending == each.held]
        again = False
        for each in todo:
            try:
                waits = await self._let_go(tree, each) if each.ending else await self._hold(each)
            except ClusterError as error:
                # Who was faster is told by the watch, unless nothing changed.
                again, waits = True, "" if error.status in {404, 409} else f"the finalizer was not written: {error}"
            self._say(each.name, waits)
        for name in self._said.keys() - {each.name for each in todo}:
            del self._said[name]
        return again

    async def _hold(self, baseline: Baseline) -> str:
        stored = await self.cluster.read(BASELINES, baseline.name)
        metadata = stored["metadata"]
        finalizers = metadata.get("finalizers") or []
        if "deletionTimestamp" not in metadata and BASELINE_FINALIZER not in finalizers:
            await _write(self.cluster, metadata, [*finalizers, BASELINE_FINALIZER])
        return ""

    async def _let_go(self, tree: Tree, baseline: Baseline) -> str:
        """Take the finalizer off; return what it waits for, empty for nothing."""
        left = next(standing(tree, baseline.name), "")
        if left and await defined(self.cluster):
            return f"its policies go first, and one stands in namespace {left}"
        await let_go(self.cluster, baseline.name)
        return ""

    def _say(self, name: str, waits: str) -> None:
        if waits and self._said.get(name) != waits:
            structlog.get_logger().warning("baseline waits", baseline=name, why=waits)
        self._said[name] = waits


async def let_go(cluster: Cluster, name: str) -> None:
    """Take our finalizer off a baseline, whatever stands; raises `ClusterError`."""
    metadata = (await cluster.read(BASELINES, name))["metadata"]
    finalizers = metadata.get("finalizers") or []
    if BASELINE_FINALIZER in finalizers:
        await _write(cluster, metadata, [each for each in finalizers if each != BASELINE_FINALIZER])


async def _write(cluster: Cluster, metadata: Object, finalizers: list[str]) -> None:
    body = {"metadata": {"finalizers": finalizers, "resourceVersion": metadata["resourceVersion"]}}
    await cluster.patch(BASELINES, metadata["name"], body)


def standing(tree: Tree, baseline: str) -> Iterator[str]:
    """Yield the namespaces in which a policy of a baseline stands that does not apply there and is to go."""
    for namespace in tuple(tree.namespaces.values()):
        if namespace.terminating:
            continue
        if any(injected_by(each) == baseline for each in tree.policies_in(namespace.name)):
            place = tree.place(namespace.name, namespace.labels)
            if baseline not in place.baselines and place.standing is not Standing.RESERVED:
                yield namespace.name


async def _woken(wake: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await wake.wait()
    except TimeoutError:
        return
