"""What `serve` runs: the engine, the server and what goes on beside it, from the first to the last."""

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, fields
from functools import partial
from math import nan
from pathlib import Path

import structlog

import certs
from webhook.admission import Gate, Record
from webhook.app import Health, Metrics, create_app
from webhook.cli.engine import Engine, started
from webhook.cli.errors import unwrapped
from webhook.cli.tenants import Tenants, tenants_of
from webhook.decision.bundle import read_policies
from webhook.errors import SettingsError
from webhook.server import AnyCallers, CertifiedCallers, Server, Tls
from webhook.settings import ServeSettings


async def run(settings: ServeSettings, *, now: certs.Clock = certs.utc) -> None:
    """
    Serve until SIGTERM; raises `PortcullisError` for what keeps it from starting or from going on.

    `now` says by which time certificates are valid.
    """
    begin = time.monotonic()
    bundle = read_policies(settings.policies)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        tenants = await stack.enter_async_context(tenants_of(settings, now))
        if settings.tls:
            await tenants.certificate()
            _tell_expiry(metrics, settings.cert_dir, now)
        engine = await stack.enter_async_context(started(settings, bundle, metrics))
        gate = Gate(
            engine.opa,
            bundle.policies,
            tenants.tree,
            settings.break_glass_groups,
            _Recorder(metrics),
            authenticated=settings.client_ca is not None,
            look=tenants.look,
        )
        tls = Tls(settings.cert_dir / "tls.crt", settings.cert_dir / "tls.key", settings.client_ca)
        served = _Served(settings, tenants, gate, engine, begin, now)
        health = Health(served.missing, served.notes)
        app = create_app(gate, health, metrics, CertifiedCallers() if settings.client_ca else AnyCallers())
        await served.run(Server.of(app, settings.host, settings.port, tls=tls if settings.tls else None), tls)


@dataclass(frozen=True, slots=True)
class _Served:
    """All that is put together; `begin` is when the process began, by the monotonic clock."""

    settings: ServeSettings
    tenants: Tenants
    gate: Gate
    engine: Engine
    begin: float
    now: certs.Clock

    def missing(self) -> list[str]:
        """Say what keeps us from being ready."""
        tls = self.settings.tls
        problem = certs.problem(self.settings.cert_dir / "tls.crt", now=self.now()) if tls else None
        return [*([f"certificate: {problem}"] if problem else []), *self.tenants.missing()]

    def notes(self) -> list[str]:
        """Say what an operator has to know."""
        anybody = "callers are not authenticated: anybody who reaches this address may ask. Give --client-ca"
        return [*self.tenants.notes(), *([] if self.settings.client_ca else [anybody])]

    async def run(self, server: Server, tls: Tls) -> None:
        """Serve until asked to stop, or until what goes on beside it fails."""
        serving = asyncio.create_task(server.serve())
        beside = [self.tenants.watch(), self._work(server, serving)]
        if self.settings.tls:
            beside.append(server.keep_certificate(tls))
        tasks = [asyncio.create_task(unwrapped(each)) for each in beside]
        try:
            await _until(serving, tasks)
        finally:
            server.should_exit = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await serving

    async def _work(self, server: Server, serving: "asyncio.Task[None]") -> None:
        """Say where we listen and when we are ready, and do what has to wait for that."""
        await _listening(server, serving)
        host, at = server.address()
        url = f"{'https' if self.settings.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{at}"
        await self.engine.ready()
        policies = self.gate.policies
        structlog.get_logger().info(
            "ready",
            url=url,
            revision=policies.revision,
            rules=len(policies.rules),
            seconds=round(time.monotonic() - self.begin, 3),
        )
        await self.tenants.work(self.gate)


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


@dataclass(frozen=True, slots=True)
class _Recorder:
    """Tells the log and the metrics of each decision."""

    metrics: Metrics

    def __call__(self, record: Record) -> None:
        # Once the answer is on its way: what is told of a decision must not delay it.
        asyncio.get_running_loop().call_soon(self._tell, record)

    def _tell(self, record: Record) -> None:
        self.metrics.decided(record)
        structlog.get_logger().info("decision", **{each.name: getattr(record, each.name) for each in fields(record)})


async def _until(serving: "asyncio.Task[None]", tasks: list["asyncio.Task[None]"]) -> None:
    """Return when the server ends; raise what ends one of the tasks before."""
    waited = {serving, *tasks}
    while not serving.done():
        done, waited = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {serving}:
            # One that has nothing to do is done at once.
            task.result()


async def _listening(server: Server, serving: "asyncio.Task[None]") -> None:
    while not server.started:
        if serving.done():
            with suppress(asyncio.CancelledError):
                await serving
            raise SettingsError("the server did not start; its log says why")
        await asyncio.sleep(0.01)
