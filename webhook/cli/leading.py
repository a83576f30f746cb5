"""What `serve` and `controller` both do in a cluster: reach it, find our namespace there, and lead."""

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable

import structlog

from webhook.bring import bring
from webhook.cli.scanning import Scanning
from webhook.cluster.client import Cluster
from webhook.cluster.resource import NAMESPACES
from webhook.controller import BASELINES, Controller, Way
from webhook.errors import ClusterError, SettingsError
from webhook.leader import Leadership
from webhook.model import CONTROLLER, HOME
from webhook.rights.keep import Rights
from webhook.tenancy.live import LiveTree

FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
REFUSED_SECONDS = 8.0
"""An API server that has just started refuses everybody until it has read its roles."""


def leadership(cluster: Cluster) -> Leadership:
    """Return the part of this process among those that may lead."""
    return Leadership(cluster, f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}")


async def lead(  # noqa: PLR0913 - what is done while we lead
    cluster: Cluster, live: LiveTree, ours: Leadership, rights: Rights | None, *, scanning: Scanning | None = None
) -> None:
    """
    Bring the baselines whenever we are the leader, for ever.

    Beside it keep the bindings, and judge what stands, unless it is not to be done.
    """

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            way = Way(scanning.see, bring) if scanning else BASELINES
            tasks.create_task(Controller(live, cluster, way).run())
            if scanning:
                tasks.create_task(scanning.run())
            if rights:
                tasks.create_task(rights.run())

    await ours.run(work)


async def reached(cluster: Cluster, prepare: Callable[[], Awaitable[None]] | None = None) -> None:
    """
    Return once the API server answers, our namespace is there and `prepare` is done; tell whom it takes us for.

    Raises `SettingsError` where it does not know us, or keeps refusing us.
    """
    log = structlog.get_logger()
    clock = asyncio.get_running_loop().time
    refused, wait = None, FIRST_WAIT
    while True:
        try:
            user = await cluster.user()
            await _at_home(cluster)
            if prepare:
                await prepare()
        except ClusterError as error:
            if error.status == 401:
                raise SettingsError(f"{error}: give a kubeconfig with a token or certificate that it knows") from error
            refused = (refused or clock()) if error.status == 403 else None
            if refused and clock() - refused > REFUSED_SECONDS:
                raise SettingsError(f"{error}: kubectl apply -k manifests/base gives us what we need") from error
            log.warning("waiting for the API server", error=str(error))
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)
        else:
            break
    if user != CONTROLLER:
        log.warning(
            "not our ServiceAccount: the rules let nobody else write baselines, so they stay Pending",
            user=user,
            wanted=CONTROLLER,
        )


async def _at_home(cluster: Cluster) -> None:
    """See to it that our namespace is there; raises `SettingsError` where it is not and may not be made."""
    try:
        await cluster.read(NAMESPACES, HOME)
    except ClusterError as error:
        if error.status != 404:
            raise
        await _made(cluster)


async def _made(cluster: Cluster) -> None:
    # Who tries it out as an administrator has not applied the manifests yet; our ServiceAccount may not do this.
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}}
    try:
        await cluster.create(NAMESPACES, home)
    except ClusterError as error:
        if error.status != 409:
            raise SettingsError(f"there is no namespace {HOME}: kubectl apply -k manifests/base ({error})") from error
