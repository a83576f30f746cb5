"""What `serve` runs: the engine, the server and what goes on beside it, from the first to the last."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path

import structlog

import certs
from webhook.admission import Gate
from webhook.app import Metrics, OwnPages, create_app
from webhook.cli.beside import listening, until_ended
from webhook.cli.crosscheck import CrossCheck
from webhook.cli.desk import Desk
from webhook.cli.engine import Source, started
from webhook.cli.errors import unwrapped
from webhook.cli.garbage import let_lie
from webhook.cli.journal import Books, Journal
from webhook.cli.lag import measure_lag
from webhook.cli.lines import Lines
from webhook.cli.recording import recording
from webhook.cli.reloading import Reloading
from webhook.cli.sharing import Sharing, share_of
from webhook.cli.starting import start_of_opa
from webhook.cli.tenants import Tenants, tenants_of
from webhook.cli.workers import PROGRAM, Crew, Figures
from webhook.decision.bundle import read_policies
from webhook.health import Health
from webhook.history.recorder import Recorder
from webhook.server import AnyCallers, CertifiedCallers, Server, Stop, Tls
from webhook.settings import ServeSettings
from webhook.workers.feed import Feed
from webhook.workers.generation import Generation


async def run(
    settings: ServeSettings,
    *,
    now: certs.Clock = certs.utc,
    lines: Lines | None = None,
    program: tuple[str, ...] = PROGRAM,
) -> None:
    """
    Serve until SIGTERM; raises `PortcullisError` for what keeps it from starting or from going on.

    `now` says by which time certificates are valid; `lines` take the log of decisions, where it is JSON; `program` is
    what Python runs as a worker.
    """
    begin = time.monotonic()
    bundle = read_policies(settings.policies)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        tenants = await stack.enter_async_context(tenants_of(settings, metrics.registry, now))
        if settings.tls:
            await tenants.certificate()
            _tell_expiry(metrics, settings.cert_dir, now)
        source = await stack.enter_async_context(started(settings, bundle, metrics.opa))
        check = _cross_check(settings, source, metrics)
        kept = await stack.enter_async_context(recording(settings.history, source.engine, metrics.registry))
        if kept and settings.history:
            tenants.recorded_by(kept, settings.history.url)
        books = Books(metrics, kept, check)
        gate = Gate(
            source.engine,
            tenants.tree,
            settings.break_glass_groups,
            Journal(books, lines),
            authenticated=settings.client_ca is not None,
            look=tenants.look,
            mender=tenants.mender,
        )
        tls = Tls(settings.cert_dir / "tls.crt", settings.cert_dir / "tls.key", settings.client_ca)
        crew = _crew(settings, tenants, metrics, program) if settings.workers > 1 else None
        reloading = Reloading(source, settings.policies, metrics.opa, others=Sharing(crew) if crew else None)
        served = _Served(
            settings, tenants, gate, reloading, begin, now, Stop(settings.drain), kept, metrics, check, crew
        )
        health = Health(served.missing, served.notes)
        if crew:
            crew.stop = served.stop
            desk = Desk(OwnPages(gate, health, metrics), tenants, books, metrics.refused)
            crew.begin(desk, share_of(source.engine))
            await served.run(crew, tls)
            return
        app = create_app(gate, health, metrics, CertifiedCallers() if settings.client_ca else AnyCallers())
        server = Server.of(app, settings.host, settings.port, tls=tls if settings.tls else None)
        server.stop = served.stop
        await served.run(server, tls)


def _crew(settings: ServeSettings, tenants: Tenants, metrics: Metrics, program: tuple[str, ...]) -> Crew:
    """Return those who answer in our place, fed by what is told of the tenants."""
    feed = Feed(Generation.new())
    tenants.fed_to(feed)
    return Crew(settings, feed, Figures(metrics.registry, metrics.lag), program=program)


@dataclass(frozen=True, slots=True)
class _Served:
    """All that is put together; `begin` is when the process began, by the monotonic clock."""

    settings: ServeSettings
    tenants: Tenants
    gate: Gate
    reloading: Reloading
    begin: float
    now: certs.Clock
    stop: Stop
    kept: Recorder | None
    metrics: Metrics
    check: CrossCheck | None
    crew: Crew | None = None

    def missing(self) -> list[str]:
        """Say what keeps us from being ready."""
        if self.stop.asked.is_set():
            return ["stopping: ask another replica"]
        tls = self.settings.tls
        problem = certs.problem(self.settings.cert_dir / "tls.crt", now=self.now()) if tls else None
        source = self.reloading.source
        return [
            *([f"certificate: {problem}"] if problem else []),
            *([f"{'OPA' if source.name == 'opa' else 'engine'}: {source.trouble}"] if source.trouble else []),
            *(self.crew.missing() if self.crew else []),
            *self.tenants.missing(),
        ]

    def notes(self) -> list[str]:
        """Say what an operator has to know."""
        anybody = "callers are not authenticated: anybody who reaches this address may ask. Give --client-ca"
        return [
            *self.reloading.notes(),
            *(self.crew.notes() if self.crew else []),
            *self.tenants.notes(),
            *(self.kept.notes() if self.kept else []),
            *(self.check.notes() if self.check else []),
            *([] if self.settings.client_ca else [anybody]),
        ]

    async def run(self, server: Server | Crew, tls: Tls) -> None:
        """Serve until asked to stop, or until what goes on beside it fails."""
        serving = asyncio.create_task(server.serve())
        working = asyncio.create_task(self._work_until_asked(server, serving))
        beside = [self.tenants.watch(), self.reloading.run(), measure_lag(self.metrics.lag.labels("0").observe)]
        if self.check:
            beside.append(self.check.run())
        if self.settings.tls:
            beside.append(server.keep_certificate(tls))
        tasks = [asyncio.create_task(unwrapped(each)) for each in beside]
        try:
            await until_ended(serving, [working, *tasks])
        finally:
            server.should_exit = True
            self.stop.asked.set()
            # Not cancelled: it ends by itself, after it has given the lease back.
            await asyncio.gather(working, return_exceptions=True)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await serving

    async def _work_until_asked(self, server: Server | Crew, serving: "asyncio.Task[None]") -> None:
        """Work, and hand that over as soon as we are asked to stop: another replica leads while we still answer."""
        working = asyncio.create_task(unwrapped(self._work(server, serving)))
        asked = asyncio.create_task(self.stop.asked.wait())
        try:
            await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                await working
        finally:
            for task in (working, asked):
                task.cancel()
            await asyncio.gather(working, asked, return_exceptions=True)

    async def _work(self, server: Server | Crew, serving: "asyncio.Task[None]") -> None:
        """Say where we listen and when we are ready, and do what has to wait for that."""
        await listening(server, serving)
        host, at = server.address()
        url = f"{'https' if self.settings.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{at}"
        await self.reloading.source.ready()
        let_lie()
        policies = self.gate.policies
        structlog.get_logger().info(
            "ready",
            url=url,
            revision=policies.revision,
            rules=len(policies.rules),
            engine=self.reloading.source.name,
            seconds=round(time.monotonic() - self.begin, 3),
        )
        await self.tenants.work(self.gate)


def _cross_check(settings: ServeSettings, source: Source, metrics: Metrics) -> CrossCheck | None:
    """Return who compares a share of the decisions with what OPA says; None where that is not wanted."""
    if not settings.cross_check:
        return None
    return CrossCheck(source, settings.cross_check, start_of_opa(settings.opa_url), metrics.registry)


def _tell_expiry(metrics: Metrics, folder: Path, now: certs.Clock) -> None:
    """Have the metrics tell how long what is served is valid."""
    for name in ("leaf", "ca"):
        left = partial(_seconds_left, folder, name, now)
        metrics.certificate_expiry.labels(name).set_function(left)


def _seconds_left(folder: Path, name: str, now: certs.Clock) -> float:
    try:
        found = certs.contents(folder)
    except certs.CertificateError:
        return nan
    chain = found.get("tls.crt", b"")
    vouching = certs.write_bundle(certs.anchors(chain, found.get("ca.crt", b"")))
    return certs.seconds_left(chain if name == "leaf" else vouching, now=now())
