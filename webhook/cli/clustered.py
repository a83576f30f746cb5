"""
`serve` in a cluster: its tree is followed, its webhook objects are kept, its namespaces get their baselines.

What these need of each other is tied together here; each of them knows only its own part.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

import certs
from webhook.admission import Gate
from webhook.cli.leading import LONGEST_WAIT, Lead, reached
from webhook.cli.recording import witness_of
from webhook.cli.scanning import judge_of
from webhook.cluster.client import Cluster
from webhook.cluster.resource import NAMESPACES, SECRETS
from webhook.cluster.watch import Watch
from webhook.errors import ClusterError, SettingsError
from webhook.history.recorder import Recorder
from webhook.mend import Mender
from webhook.mirror import Mirror
from webhook.model import HOME, Namespace
from webhook.registration.hooks import Callee, read_shipped
from webhook.registration.keeper import Conditions, Keeper
from webhook.registration.secret import ABSENT, SharedCertificate
from webhook.registration.stored import NAME
from webhook.settings import ServeSettings, bundled_webhooks
from webhook.tenancy.live import LiveTree, read_namespace
from webhook.tenancy.tree import Tree
from webhook.witness import Witness
from webhook.workers.feed import Feed

LOOK_SECONDS = 10.0
"""
How often it is asked whether the certificate is due, by the monotonic clock; a call and four small reads each time.

The time of day may jump, a machine may sleep, and of what happens to the folder no watch tells.
"""
SOON_SECONDS = 1.0
"""Until the next look while a step of a rotation is to come."""
PROBE_SECONDS = 2.0


class FromCluster:
    """
    Tenants of a cluster.

    `hosts` are those of the certificate, `registry` is where the controller's metrics go, `now` says by which time a
    certificate is valid.
    """

    def __init__(  # noqa: PLR0913 - what it is put together of
        self,
        cluster: Cluster,
        settings: ServeSettings,
        hosts: tuple[str, ...],
        registry: CollectorRegistry,
        *,
        now: certs.Clock = certs.utc,
    ) -> None:
        shipped = read_shipped(bundled_webhooks().read_text(encoding="utf-8"), pod_gate=settings.pod_gate)
        self._keeper = Keeper(cluster, shipped, self._callee)
        try:
            self._shared = SharedCertificate.of(cluster, settings.cert_dir, hosts, trust=self._keeper.trust, now=now)
        except certs.CertificateError as error:
            raise SettingsError(str(error)) from error
        self._cluster = cluster
        self._settings = settings
        self._live = LiveTree()
        self._mirror = Mirror(cluster, self._live)
        self.mender = Mender(cluster, self._mirror)
        self._live.changed.append(self._tree_changed)
        self._lead = Lead.of(cluster, self._live, registry, rbac=settings.rbac) if settings.controller else None
        self._witness: Witness | None = None
        self._renewal = ""
        """Why the certificate could not be renewed, empty where it could."""

    def tree(self) -> Tree | None:
        """Return the tree of now."""
        return self._live.tree

    def recorded_by(self, recorder: Recorder, url: str) -> None:
        """Have what is seen of the cluster recorded."""
        self._witness = witness_of(self._cluster, self._live, recorder, url)
        self._mirror.witnesses.append(self._witness)

    def fed_to(self, feed: Feed) -> None:
        """Have workers told of the tree, and of every change of it before it is one of ours."""
        feed.held = self._live
        self._mirror.echoes.append(feed)

    async def look(self, namespace: str) -> Namespace | None:
        """Read a namespace ahead of the watch; raises `ClusterError` where it cannot be told whether there is one."""
        try:
            return read_namespace(await self._cluster.read(NAMESPACES, namespace))
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    async def certificate(self) -> None:
        """Have a certificate to serve with, shared by Secret; raises `SettingsError` where that cannot be."""
        await reached(self._cluster, self._first_sync)
        self._shared.authority()

    def missing(self) -> list[str]:
        """Say what keeps us from being ready; that nothing is gated yet is no reason."""
        found = [f"watch of {each}" for each in self._mirror.stale()]
        if not self._live.synced or (self._live.tree is None and self._keeper.stands):
            found.append(f"tenant tree: {self._live.lacks()}")
        if self._keeper.overdue:
            found.append(f"webhook objects: {self._keeper.overdue}")
        if not self._keeper.told:
            found.append("webhook objects: it is not known yet how they stand")
        if self._settings.tls and self._shared.untrusted():
            found.append("certificate: the API server does not trust it: the webhook objects are about to be healed")
        return found

    def notes(self) -> list[str]:
        """Say whether anything is gated, and what could not be read."""
        notes = [f"tenant tree: {each}" for each in self._live.unreadable()]
        # What is served goes on, and whether that is valid is told apart: no reason to send callers to nobody.
        notes += [f"certificate: {each}" for each in (self._renewal, self._shared.note) if each]
        if self._keeper.told and not self._keeper.stands:
            why = self._live.lacks() or ("" if self._begins() else "the Organization has no OrgAdmin subject")
            notes.append(f"nothing is gated: {why or 'the webhook objects are about to be made'}")
        if not self._settings.pod_gate:
            notes.append(
                "pods are not gated (--no-pod-gate): one may start before the baseline of its namespace stands"
            )
        if self._keeper.trouble:
            notes.append(f"webhook objects: {self._keeper.trouble}")
        if self._lead:
            notes += self._lead.notes()
        notes.append(
            "a policy API served by an aggregated API server (Calico's own) calls no webhook: close it by RBAC"
        )
        return notes

    async def watch(self) -> None:
        """Keep the tree and the certificate, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._mirror.run())
            tasks.create_task(self._keep_certificate())
            if self._witness:
                tasks.create_task(self._witness.run())

    async def work(self, gate: Gate) -> None:
        """Keep the webhook objects and bring the baselines, for ever; from when reviews are answered."""

        async def answers() -> None:
            await gate.probe(seconds=PROBE_SECONDS)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keeper.run(Conditions(self._begins, answers, self._refreshed)))
            if self._lead:
                tasks.create_task(self._lead.run(judge_of(gate, self._settings.policies), self._settings.reports))

    def _begins(self) -> bool:
        """Say whether there is an OrgAdmin: before, nobody could mend what we refuse."""
        tree = self._live.tree
        return tree is not None and any(
            grant.role == "OrgAdmin" and grant.subjects for grant in tree.organization.roles
        )

    def _tree_changed(self) -> None:
        """Have the webhook objects made once the tree allows it; from then on they do not depend on it."""
        if not self._keeper.stands:
            self._keeper.wake()

    def _callee(self) -> Callee:
        return Callee(self._shared.authority(), self._settings.webhook_url, self._shared.tolerated())

    async def _first_sync(self) -> None:
        try:
            await self._shared.sync()
        except ClusterError as error:
            if error.reason == ABSENT:
                # It comes in its time, unlike a right that is not ours.
                raise ClusterError(str(error)) from error
            raise

    async def _refreshed(self) -> None:
        """Have the CAs that all replicas agree on, before any is taken out of the webhook objects."""
        try:
            await self._shared.sync()
        except SettingsError:
            # What we serve with goes on, and so does its CA.
            return
        except ClusterError as error:
            if error.status != 403:
                raise

    async def _keep_certificate(self) -> None:
        """Have it synced whenever the Secret changes and when it may be due; the server loads new files by itself."""
        changed = _Changed(asyncio.Event())
        async with asyncio.TaskGroup() as tasks:
            if not self._shared.own:
                watch = Watch(self._cluster, SECRETS, namespace=HOME, name=NAME, mandatory=True)
                tasks.create_task(watch.follow(changed, _ignored))
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause()):
                        await changed.event.wait()
                changed.event.clear()
                try:
                    await self._shared.sync()
                except (ClusterError, SettingsError) as error:
                    if str(error) != self._renewal:
                        structlog.get_logger().error("certificate not kept", error=str(error))
                    self._renewal = str(error)
                else:
                    self._renewal = ""
                self._keeper.wake()

    def _pause(self) -> float:
        """Return for how many seconds at most nothing has to be looked at."""
        if self._renewal:
            return LONGEST_WAIT
        return SOON_SECONDS if self._shared.waits else LOOK_SECONDS


def _ignored(error: ClusterError | None) -> None:
    """Hear of a cut watch of the Secret: it goes on by itself, and it is read every few seconds."""


@dataclass(frozen=True, slots=True)
class _Changed:
    """Says that the Secret changed, however."""

    event: asyncio.Event

    def reset(self, things: list[dict[str, Any]], version: str) -> None:  # noqa: ARG002 - read anew
        self.event.set()

    def put(self, thing: dict[str, Any]) -> None:  # noqa: ARG002 - read anew
        self.event.set()

    def drop(self, thing: dict[str, Any]) -> None:  # noqa: ARG002 - read anew
        self.event.set()
