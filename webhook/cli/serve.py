"""`portcullis serve`: the webhook, with an OPA beside it."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
import uvloop

import certs
from webhook.admission import Gate, Record
from webhook.app import Health, Metrics, create_app
from webhook.cli.engine import started
from webhook.cli.logs import log_to_stderr
from webhook.decision.bundle import read_policies
from webhook.errors import SettingsError
from webhook.server import AnyCallers, CertifiedCallers, Server, Tls
from webhook.settings import (
    BREAK_GLASS_GROUPS,
    EVERY_ADDRESS,
    ServeSettings,
    bundled_policies,
    default_cert_dir,
)
from webhook.tenancy.files import load_tree
from webhook.tenancy.tree import Tree

RENEWAL_SECONDS = 3600.0


def serve(  # noqa: PLR0913 - a flag each
    *,
    tenancy: Annotated[
        Path | None, typer.Option(help="File or folder of the tenant tree.", envvar="PORTCULLIS_TENANCY")
    ] = None,
    policies: Annotated[
        Path | None,
        typer.Option(help="Folder that holds portcullis/.", envvar="PORTCULLIS_POLICIES", show_default="bundled"),
    ] = None,
    opa_url: Annotated[
        str | None,
        typer.Option(
            help="An OPA that runs already with the bundle of `portcullis bundle` (http://, https://, unix://).",
            envvar="PORTCULLIS_OPA_URL",
            show_default="start one",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on.", envvar="PORTCULLIS_HOST", show_default="0.0.0.0; 127.0.0.1 with --no-tls"
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 for any.", envvar="PORTCULLIS_PORT", min=0, max=65535)
    ] = 8443,
    no_tls: Annotated[
        bool, typer.Option("--no-tls", help="Plain HTTP on 127.0.0.1.", envvar="PORTCULLIS_NO_TLS")
    ] = False,
    cert_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of tls.crt, tls.key and the CA, made where missing.",
            envvar="PORTCULLIS_CERT_DIR",
            show_default="in the state folder of the user",
        ),
    ] = None,
    break_glass_group: Annotated[
        list[str],
        typer.Option(help="Group that every rule lets pass; repeatable.", envvar="PORTCULLIS_BREAK_GLASS_GROUP"),
    ] = list(BREAK_GLASS_GROUPS),  # noqa: B006 - typer copies it
    client_ca: Annotated[
        Path | None,
        typer.Option(
            help="CA of the API server's client certificate; reviews are then taken from it alone.",
            envvar="PORTCULLIS_CLIENT_CA",
        ),
    ] = None,
) -> None:
    """
    Answer admission reviews on /validate and /mutate.

    Example: portcullis serve --tenancy manifests/examples/acme --cert-dir /tmp/portcullis-certs
    """
    if tenancy is None:
        raise SettingsError("--tenancy is missing: name the file or folder of the tenant tree")
    settings = ServeSettings(
        tenancy=tenancy,
        policies=policies or bundled_policies(),
        cert_dir=cert_dir or default_cert_dir(),
        opa_url=opa_url,
        host=host or ("127.0.0.1" if no_tls else EVERY_ADDRESS),
        port=port,
        tls=not no_tls,
        client_ca=client_ca,
        break_glass_groups=tuple(break_glass_group),
    )
    log_to_stderr()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings.check()))


async def run(settings: ServeSettings) -> None:
    """Serve until SIGTERM; raises `PortcullisError` for what keeps it from starting."""
    begin = time.monotonic()
    log = structlog.get_logger()
    tree = _tree(settings.tenancy)
    bundle = read_policies(settings.policies)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(started(settings, bundle, metrics))
        gate = Gate(
            engine.opa,
            bundle.policies,
            lambda: tree,
            settings.break_glass_groups,
            _Recorder(metrics),
            authenticated=settings.client_ca is not None,
        )
        tls = _tls(settings) if settings.tls else None
        health = Health(lambda: _missing(tls), _notes(settings))
        app = create_app(gate, health, metrics, CertifiedCallers() if settings.client_ca else AnyCallers())
        server = Server.of(app, settings.host, settings.port, tls=tls)
        async with _beside(_background(server, tls, settings)):
            serving = asyncio.create_task(server.serve())
            try:
                await _listening(server, serving)
                host, at = server.address()
                url = f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{at}"
                if await _first(engine.ready(), serving):
                    log.info(
                        "ready",
                        url=url,
                        revision=bundle.policies.revision,
                        rules=len(bundle.policies.rules),
                        seconds=round(time.monotonic() - begin, 3),
                    )
                await serving
            finally:
                server.should_exit = True
                await serving


def _tree(path: Path) -> Tree:
    loading = load_tree(path)
    log = structlog.get_logger()
    for warning in loading.warnings:
        log.warning("tenancy", warning=warning)
    if loading.tree is None:
        # All of them at once: one line each, the last of them by whoever reports our errors.
        for error in loading.errors[:-1]:
            sys.stderr.write(f"portcullis: {error}\n")
        raise loading.errors[-1]
    return loading.tree


def _hosts(settings: ServeSettings) -> tuple[str, ...]:
    named = () if settings.host in {EVERY_ADDRESS, "::"} else (settings.host,)
    return tuple(dict.fromkeys(("localhost", "127.0.0.1", *named)))


def _tls(settings: ServeSettings) -> Tls:
    try:
        files = certs.ensure(settings.cert_dir, _hosts(settings), now=datetime.now(UTC))
    except certs.CertificateError as error:
        raise SettingsError(str(error)) from error
    return Tls(files.certificate, files.key, settings.client_ca)


def _missing(tls: Tls | None) -> list[str]:
    problem = certs.problem(tls.certificate, now=datetime.now(UTC)) if tls else None
    return [f"certificate: {problem}"] if problem else []


def _notes(settings: ServeSettings) -> tuple[str, ...]:
    if settings.client_ca:
        return ()
    return ("callers are not authenticated: anybody who reaches this address may ask. Give --client-ca",)


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


async def _background(server: Server, tls: Tls | None, settings: ServeSettings) -> None:
    if tls is None:
        return
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.keep_certificate(tls))
        tasks.create_task(_renew(settings))


async def _renew(settings: ServeSettings) -> None:
    """Renew the certificate when it is time, for ever; the server finds the new files by itself."""
    while True:
        await asyncio.sleep(RENEWAL_SECONDS)
        try:
            await asyncio.to_thread(certs.ensure, settings.cert_dir, _hosts(settings), now=datetime.now(UTC))
        except certs.CertificateError as error:
            structlog.get_logger().error("certificate not renewed", error=str(error))


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _first(work: Coroutine[Any, Any, None], serving: "asyncio.Task[None]") -> bool:
    """Return whether `work` was done before the server ended, which somebody may have asked for meanwhile."""
    task = asyncio.create_task(work)
    await asyncio.wait({task, serving}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        return False
    await task
    return True


async def _listening(server: Server, serving: "asyncio.Task[None]") -> None:
    while not server.started:
        if serving.done():
            await serving
            raise SettingsError("the server did not start; its log says why")
        await asyncio.sleep(0.01)
