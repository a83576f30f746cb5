"""What `portcullis controller` runs: the leader's work without the webhook, and a listener that says how it goes."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from webhook.cli.beside import listening, until_ended
from webhook.cli.errors import unwrapped
from webhook.cli.garbage import let_lie
from webhook.cli.leading import Lead, reached
from webhook.cli.recording import recording, witness_of
from webhook.cli.scanning import EngineApart
from webhook.cli.starting import start_of
from webhook.cluster.client import Cluster, connected
from webhook.health import Health, create_health_app
from webhook.history.recorder import Recorder
from webhook.mirror import Mirror
from webhook.server import Server
from webhook.settings import ControllerSettings
from webhook.tenancy.live import LiveTree


async def run(settings: ControllerSettings) -> None:
    """Work until SIGTERM; raises `PortcullisError` for what keeps it from starting or from going on."""
    registry = CollectorRegistry()
    engine = EngineApart(settings.policies, start_of(settings.decides, settings.opa_url))
    async with connected(settings.kubeconfig) as cluster, recording(settings.history, engine, registry) as kept:
        live = LiveTree()
        lead, mirror = Lead.of(cluster, live, registry, rbac=settings.rbac), Mirror(cluster, live)
        leading = partial(lead.run, engine.judge, settings.reports)
        work: list[Callable[[], Coroutine[Any, Any, None]]] = [engine.run, leading]
        if kept and settings.history:
            witness = witness_of(cluster, live, kept, settings.history.url)
            mirror.witnesses.append(witness)
            work.append(witness.run)
        apart = _Apart(cluster, live, lead, mirror, tuple(work), kept=kept)
        app = create_health_app(Health(apart.missing, apart.notes), apart.role, registry)
        await apart.run(Server.of(app, settings.host, settings.port, tls=None))


@dataclass(slots=True)
class _Apart:
    """All that is put together; `met` says whether the API server has answered us."""

    cluster: Cluster
    live: LiveTree
    lead: Lead
    mirror: Mirror
    work: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = ()
    """What is done beside the watches, from when the API server has let us begin."""
    met: bool = False
    kept: Recorder | None = None

    def missing(self) -> list[str]:
        """Say what keeps us from being ready; who leads, and that there is nothing to do yet, does not."""
        if not self.met:
            return ["the API server has not let us begin yet; the log says why"]
        found = [f"watch of {each}" for each in self.mirror.stale()]
        if not self.live.synced or (self.live.tree is None and not self._first_day()):
            found.append(f"tenant tree: {self.live.lacks()}")
        return found

    def notes(self) -> list[str]:
        """Say what an operator has to know."""
        notes = [f"tenant tree: {each}" for each in self.live.unreadable()]
        if self.met and self.live.tree is None and self._first_day():
            notes.append(f"there is nothing to do: {self.live.lacks()}")
        return [*notes, *self.lead.notes(), *(self.kept.notes() if self.kept else [])]

    def role(self) -> str:
        """Say whether we lead."""
        return "leader" if self.lead.ours.leads else "standby"

    async def run(self, server: Server) -> None:
        """Work until asked to stop, or until that fails."""
        serving = asyncio.create_task(server.serve())
        tasks = [asyncio.create_task(unwrapped(self._work(server, serving)))]
        try:
            await until_ended(serving, tasks)
        finally:
            server.should_exit = True
            # Each is waited for: the lease is given back while there is a connection to do so.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await serving

    async def _work(self, server: Server, serving: "asyncio.Task[None]") -> None:
        await listening(server, serving)
        host, port = server.address()
        await reached(self.cluster)
        self.met = True
        structlog.get_logger().info("ready", url=f"http://{f'[{host}]' if ':' in host else host}:{port}")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.mirror.run())
            tasks.create_task(self._settle())
            for each in self.work:
                tasks.create_task(each())

    async def _settle(self) -> None:
        """Give back what it took to hear of all that stands."""
        while not self.live.synced:  # noqa: ASYNC110 - once, at the start
            await asyncio.sleep(1)
        let_lie()

    def _first_day(self) -> bool:
        """Say whether nobody has made an Organization yet."""
        return self.live.synced and not self.live.organizations and not self.live.unreadable()
