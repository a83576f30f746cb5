"""The OPA that `serve` asks: one that it starts and watches, or one that others run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from webhook.app import Metrics
from webhook.cli.child import own_opa
from webhook.decision.binary import find_opa
from webhook.decision.bundle import Bundle
from webhook.decision.opa import LocalOpa
from webhook.decision.process import OpaProcess
from webhook.errors import SettingsError
from webhook.settings import ServeSettings, environment

READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Engine:
    """The OPA that is asked, and what waits until it answers."""

    opa: LocalOpa
    process: OpaProcess | None

    async def ready(self) -> None:
        """Return once our own OPA answers; one that others run is waited for by `/readyz`."""
        if self.process:
            await self.process.ready(READY_SECONDS)


@asynccontextmanager
async def started(settings: ServeSettings, bundle: Bundle, metrics: Metrics) -> AsyncIterator[Engine]:
    """Run the engine for the length of the context; raises `OpaError`, `PolicyError` or `SettingsError`."""
    if settings.opa_url:
        async with _remote(settings.opa_url) as opa:
            yield Engine(opa, None)
        return
    log = structlog.get_logger()
    binary = await asyncio.to_thread(find_opa, environment(), say=lambda line: log.info("opa", progress=line))
    async with own_opa(binary, bundle, lambda line: log.warning("opa", line=line)) as (opa, process):
        metrics.opa_restarts.set_function(lambda: process.restarts)
        yield Engine(opa, process)


def _remote(url: str) -> LocalOpa:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        if parts.netloc or not parts.path:
            raise SettingsError(f"--opa-url {url!r} names no socket: give its whole path, unix:///run/opa.sock")
        return LocalOpa(socket=Path(parts.path))
    try:
        port = parts.port or (443 if parts.scheme == "https" else 8181)
    except ValueError as error:
        raise SettingsError(f"--opa-url {url!r} has no port that can be: {error}") from error
    return LocalOpa(host=parts.hostname or "localhost", port=port, ssl=parts.scheme == "https")
