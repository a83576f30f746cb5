"""What `serve` and `controller` both do in a cluster: reach it, find our namespace there, bring the baselines."""

import asyncio
import os
import socket
import uuid

import structlog

from webhook.cluster.client import Cluster
from webhook.cluster.resource import NAMESPACES
from webhook.controller import Controller
from webhook.errors import ClusterError, SettingsError
from webhook.leader import Leadership
from webhook.model import CONTROLLER, HOME
from webhook.tenancy.live import LiveTree

FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0


async def lead(cluster: Cluster, live: LiveTree) -> None:
    """Bring the baselines whenever we are the leader, for ever."""
    controller = Controller(live, cluster)
    identity = f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    await Leadership(cluster, identity).run(controller.run)


async def reached(cluster: Cluster) -> None:
    """Return once the API server answers, and say whom it takes us for; raises `SettingsError` where it refuses us."""
    log = structlog.get_logger()
    wait = FIRST_WAIT
    while True:
        try:
            user = await cluster.user()
        except ClusterError as error:
            if error.status in {401, 403}:
                raise SettingsError(f"the API server refuses us: {error}; give a kubeconfig that it takes") from error
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


async def at_home(cluster: Cluster) -> None:
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
