"""
Keeps the subjects of the one ClusterRoleBinding by which the tree's admins may create namespaces.

manifests/base/roles.yaml brings it, without subjects: so our ServiceAccount needs no right to create any, and could not
bind a tenant's role in the whole cluster.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from webhook.bring import outdated
from webhook.cluster.resource import CLUSTER_ROLE_BINDINGS, Resource
from webhook.cluster.watch import Source, Watch
from webhook.errors import ClusterError
from webhook.rights.wanted import CREATOR, LABELS, creators, role_ref
from webhook.tenancy.live import LiveTree
from webhook.tenancy.tree import Tree

Object = dict[str, Any]

AGAIN_SECONDS = 1.0
"""Between two writes: whoever writes against us does not make us write all the time."""
REFUSED_SECONDS = 10.0
"""Before the next try at what was refused."""


class Cluster(Source, Protocol):
    """The calls on a cluster that it takes."""

    async def patch(self, resource: Resource, name: str, body: Object, /) -> Object:
        """Merge into an object."""
        ...


@dataclass(slots=True)
class Creators:
    """Keeps them for as long as `run` runs; `trouble` says why they may not be as the tree asks, empty otherwise."""

    cluster: Cluster
    live: LiveTree
    trouble: str = ""
    _stored: Object | None = None
    _told: int = 0
    """How often the watch has told of it."""
    _right: tuple[Tree, Object] | None = None
    """With which tree, and how it stood, nothing had to be done."""
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, heard: Callable[[ClusterError | None], None]) -> None:
        """Keep them, for ever; `heard` is told when the watch is cut."""
        self.live.changed.append(self._wake.set)
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = Watch(self.cluster, CLUSTER_ROLE_BINDINGS, name=CREATOR, mandatory=True)
                tasks.create_task(watch.follow(self, heard))
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    if wait := await self._keep():
                        await asyncio.sleep(wait)
        finally:
            self.live.changed.remove(self._wake.set)

    async def _keep(self) -> float:
        """Write the subjects if they differ; return the seconds before which not to look again."""
        tree, stored = self.live.tree, self._stored
        if tree is None or not self._told:
            return 0
        if stored is None or stored.get("roleRef") != role_ref(CREATOR):
            wrong = "is missing" if stored is None else "binds another role: delete it"
            self._hindered(f"ClusterRoleBinding {CREATOR} {wrong}; kubectl apply -k manifests/base brings it")
        elif self._right is None or self._right[0] is not tree or self._right[1] is not stored:
            return await self._bring(tree, stored)
        return 0

    async def _bring(self, tree: Tree, stored: Object) -> float:
        subjects, left = creators(tree)
        if left:
            self._hindered(f"ClusterRoleBinding {CREATOR} has no room for the admins of {left} tenants: use groups")
        else:
            self.trouble = ""
        if (stored.get("subjects") or []) == subjects:
            self._right = (tree, stored)
            return 0
        try:
            await self._write(stored, subjects)
        except ClusterError as error:
            if not outdated(error):
                self._hindered(f"ClusterRoleBinding {CREATOR} cannot be written: {error}")
                self._wake.set()
                return REFUSED_SECONDS
        return AGAIN_SECONDS

    async def _write(self, stored: Object, subjects: list[Object]) -> None:
        told = self._told
        metadata = {"resourceVersion": stored["metadata"]["resourceVersion"], "labels": LABELS}
        answer = await self.cluster.patch(CLUSTER_ROLE_BINDINGS, CREATOR, {"metadata": metadata, "subjects": subjects})
        # What the watch has told meanwhile is newer than the answer.
        if self._told == told:
            self._stored = answer
        structlog.get_logger().info("namespace creators", subjects=len(subjects))

    def _hindered(self, why: str) -> None:
        if why != self.trouble:
            structlog.get_logger().warning("namespace creators not kept", why=why)
        self.trouble = why

    def _take(self, thing: Object | None) -> None:
        self._stored = thing
        self._told += 1
        self._wake.set()

    # What the watch tells of; one of a single name sees no other.

    def reset(self, things: list[Object], version: str) -> None:  # noqa: ARG002 - where a watch begins is its own affair
        """Hear how it stands."""
        self._take(things[0] if things else None)

    def put(self, thing: Object) -> None:
        """Hear that it came or changed."""
        self._take(thing)

    def drop(self, thing: Object) -> None:  # noqa: ARG002 - there is but one
        """Hear that it went."""
        self._take(None)
