"""Where `serve` has the tenant tree from: files, or a cluster that it follows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import structlog
from prometheus_client import CollectorRegistry

import certs
from webhook.admission import Gate, Mends
from webhook.cli.trees import tree_of_files
from webhook.errors import SettingsError
from webhook.history.recorder import Recorder
from webhook.model import HOME, Namespace
from webhook.registration.hooks import SERVICE
from webhook.settings import EVERY_ADDRESS, ServeSettings
from webhook.tenancy.tree import Tree
from webhook.workers.feed import Feed

LOOK_SECONDS = 10.0
"""How often it is asked whether the certificate is due: soon after the time of day jumped, or the machine slept."""


class Tenants(Protocol):
    """What `serve` needs to know of the tenants, and what has to go on beside the server for that."""

    def tree(self) -> Tree | None:
        """Return the tree of now."""
        ...

    async def look(self, namespace: str) -> Namespace | None:
        """Return a namespace that the tree does not know, None where there is none."""
        ...

    @property
    def mender(self) -> Mends | None:
        """Who brings what lacks before a pod is judged, None where there is no cluster."""
        ...

    def recorded_by(self, recorder: Recorder, url: str) -> None:
        """Have what is seen of the cluster recorded, in the history of a URL."""
        ...

    def fed_to(self, feed: Feed) -> None:
        """Have workers told of the tree, and of every change of it."""
        ...

    async def certificate(self) -> None:
        """Make the certificate folder hold a certificate to serve with, before the server starts."""
        ...

    def missing(self) -> list[str]:
        """Say what keeps us from being ready."""
        ...

    def notes(self) -> list[str]:
        """Say what an operator has to know."""
        ...

    async def watch(self) -> None:
        """Keep the tree, for ever."""
        ...

    async def work(self, gate: Gate) -> None:
        """Do what has to go on once reviews can be answered, for ever."""
        ...


def hosts_of(settings: ServeSettings) -> tuple[str, ...]:
    """Return the hosts that the certificate is for: those that the API server or a person may call us by."""
    named = () if settings.host in {EVERY_ADDRESS, "::"} else (settings.host,)
    called = urlsplit(settings.webhook_url).hostname
    service = () if settings.tenancy else (f"{SERVICE}.{HOME}.svc", f"{SERVICE}.{HOME}.svc.cluster.local")
    return tuple(dict.fromkeys(("localhost", "127.0.0.1", *named, *([called] if called else ()), *service)))


@asynccontextmanager
async def tenants_of(
    settings: ServeSettings, registry: CollectorRegistry, now: certs.Clock = certs.utc
) -> AsyncIterator[Tenants]:
    """
    Yield the tenants that the settings speak of; raises `PortcullisError` for files that cannot be read.

    What goes on for them in a cluster has its metrics in `registry`.
    """
    if settings.tenancy:
        yield FromFiles(_read(settings.tenancy), settings, now)
        return
    # Kubernetes' client costs a third of a second and 20 MB, which who judges by files need not pay.
    from webhook.cli.clustered import FromCluster  # noqa: PLC0415
    from webhook.cluster.client import connected  # noqa: PLC0415

    async with connected(settings.kubeconfig) as cluster:
        yield FromCluster(cluster, settings, hosts_of(settings), registry, now=now)


def _read(path: Path) -> Tree:
    log = structlog.get_logger()
    return tree_of_files(path, lambda warning: log.warning("tenancy", warning=warning))


@dataclass(frozen=True, slots=True)
class FromFiles:
    """Tenants of files: read once, no cluster is contacted."""

    known: Tree
    settings: ServeSettings
    now: certs.Clock = certs.utc

    def tree(self) -> Tree | None:
        """Return the tree."""
        return self.known

    async def look(self, namespace: str) -> Namespace | None:  # noqa: ARG002 - there is nobody to ask
        """Return None: what the files do not hold is not there."""
        return None

    @property
    def mender(self) -> None:
        """Nobody: what the files do not hold is nobody's to bring."""

    def recorded_by(self, recorder: Recorder, url: str) -> None:
        """Do nothing: files have a history of their own."""

    def fed_to(self, feed: Feed) -> None:
        """Have workers told of the tree."""
        feed.held = self.known

    async def certificate(self) -> None:
        """Make the folder hold a certificate."""
        try:
            hosts = hosts_of(self.settings)
            await asyncio.to_thread(certs.ensure, self.settings.cert_dir, hosts, now=self.now())
        except certs.CertificateError as error:
            raise SettingsError(str(error)) from error

    def missing(self) -> list[str]:
        """Return nothing: without the tree we would not have started."""
        return []

    def notes(self) -> list[str]:
        """Return nothing."""
        return []

    async def watch(self) -> None:
        """Renew the certificate when it is time, for ever; the server finds the new files by itself."""
        if not self.settings.tls:
            return
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.certificate()
            except SettingsError as error:
                structlog.get_logger().error("certificate not renewed", error=str(error))

    async def work(self, gate: Gate) -> None:
        """Do nothing: there is no cluster."""
