"""What `serve` and `controller` both do in a cluster: reach it, find our namespace there, and lead."""

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog
from prometheus_client import CollectorRegistry

from webhook.bring import bring
from webhook.cli.scanning import Scanning
from webhook.cluster.client import Cluster
from webhook.cluster.resource import NAMESPACES
from webhook.controller import Controller, Way
from webhook.errors import ClusterError, SettingsError
from webhook.leader import Leadership
from webhook.model import CONTROLLER, HOME
from webhook.retire import Finalizers
from webhook.rights.keep import Rights
from webhook.scan.judge import Judge
from webhook.telling.teller import Teller
from webhook.tenancy.live import LiveTree

FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
REFUSED_SECONDS = 8.0
"""An API server that has just started refuses everybody until it has read its roles."""


@dataclass(frozen=True, slots=True)
class Lead:
    """
    What the leader does: bring the baselines and tell of it, judge what stands, keep the bindings if it has to.

    `ours` is the part of this process among those that may lead.
    """

    cluster: Cluster
    live: LiveTree
    ours: Leadership
    teller: Teller
    rights: Rights | None

    @classmethod
    def of(cls, cluster: Cluster, live: LiveTree, registry: CollectorRegistry, *, rbac: bool) -> "Lead":
        """Return it, with its metrics in `registry`."""
        ours = Leadership(cluster, f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}")
        # One that was stopped for too long finds out before it writes: another may lead by then.
        leading = cluster.only_while(ours.holds)
        teller = Teller(leading, live, registry, lambda: ours.leads)
        return cls(leading, live, ours, teller, Rights(leading, live) if rbac else None)

    def notes(self) -> list[str]:
        """Say what an operator has to know; that another one leads is nothing to speak of."""
        troubles = {
            "baselines are not brought by us": self.ours.trouble,
            "the roles of the tree are not bound": self.rights.trouble if self.rights else "",
            "the status of baselines is not written": self.teller.trouble,
        }
        return [f"{what}: {why}" for what, why in troubles.items() if why]

    async def run(self, judge: Judge, reports: str) -> None:
        """Do it whenever we are the leader, for ever; `reports` is the form of those that tell of what stands."""
        await self.ours.run(partial(self._work, Scanning(self.cluster, self.live, judge, reports)))

    async def _work(self, scanning: Scanning) -> None:
        ledger = self.teller.ledger
        ledger.begin()
        async with asyncio.TaskGroup() as tasks:
            way = Way(scanning.see, ledger.noting(bring))
            baselines = Controller(self.live, self.cluster, way, ledger)
            tasks.create_task(baselines.run())
            tasks.create_task(Finalizers(self.live, self.cluster).run())
            tasks.create_task(self.teller.run())
            tasks.create_task(scanning.run(lambda: baselines.pressed))
            if self.rights:
                tasks.create_task(self.rights.run(lambda: baselines.pressed))


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
