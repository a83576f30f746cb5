"""What stands in a cluster while manifests are checked: its tree, and the objects that the manifests name."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

import orjson

from webhook.check.finding import Thing
from webhook.check.ground import Identity
from webhook.check.kinds import COVERED, split_version
from webhook.check.written import Written
from webhook.cli.trees import READ_SECONDS
from webhook.cluster.client import Cluster, connected
from webhook.cluster.resource import Resource
from webhook.errors import ClusterError
from webhook.mirror import read_once
from webhook.tenancy.live import LiveTree

AT_ONCE = 16


async def read_cluster(kubeconfig: Path | None, wanted: Iterable[Written]) -> tuple[LiveTree, Mapping[Identity, bytes]]:
    """
    Return the tree of a cluster, and those of the `wanted` objects that stand there.

    Raises `SettingsError` for what cannot be followed, `ClusterError` for what cannot be read, or not in time.
    """
    async with connected(kubeconfig) as cluster:
        try:
            async with asyncio.timeout(READ_SECONDS):
                live = await read_once(cluster, "")
                found = await _found(cluster, {each.thing: None for each in wanted if each.covered})
        except TimeoutError as error:
            raise ClusterError(
                f"the cluster could not be read within {READ_SECONDS:.0f} s: try again, or judge by files"
            ) from error
    if live.tree is None:
        raise ClusterError(f"there is no tenant tree in the cluster: {live.lacks()}")
    return live, found


async def _found(cluster: Cluster, things: Iterable[Thing]) -> dict[Identity, bytes]:
    waiting, found = iter(things), dict[Identity, bytes]()

    async def read() -> None:
        for thing in waiting:
            if (content := await _read(cluster, thing)) is not None:
                found[thing.identity] = content

    await asyncio.gather(*(read() for _ in range(AT_ONCE)))
    return found


async def _read(cluster: Cluster, thing: Thing) -> bytes | None:
    """Return an object that stands, in the version of the manifest, as a review would have it."""
    page = COVERED[thing.identity[:2]]
    group, version = split_version(thing.api_version)
    resource = Resource(group, version, page.plural, thing.kind, namespaced=page.namespaced)
    try:
        stands = await cluster.read(resource, thing.name, thing.namespace)
    except ClusterError as error:
        # There is no such object, or no such kind.
        if error.status == 404:
            return None
        raise
    return orjson.dumps(stands)
