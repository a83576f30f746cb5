"""The OPA that `serve` asks: one that it starts and watches, or one that others run."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from webhook.app import OpaMetrics
from webhook.cli.child import own_opa
from webhook.decision.binary import find_opa
from webhook.decision.bundle import Bundle
from webhook.decision.opa import Engine, LocalOpa, probe
from webhook.decision.process import End, OpaProcess
from webhook.errors import SettingsError
from webhook.settings import ServeSettings, environment

READY_SECONDS = 30.0
PROBE_SECONDS = 2.0
DRAIN_SECONDS = 30.0
"""For the answers that an OPA owes when another one takes its place: no API server waits longer."""


class Source(Protocol):
    """Where decisions come from; `engine` is what a request is decided with, always the one of now."""

    engine: Engine
    patience: float
    """Seconds until policies that were not taken are tried again."""

    @property
    def trouble(self) -> str:
        """What is wrong with OPA, empty where nothing is known of it."""
        ...

    async def ready(self) -> None:
        """Return once our own OPA answers; one that others run is waited for by `/readyz`."""
        ...

    async def take(self, bundle: Bundle) -> None:
        """
        Have `engine` decide by other policies.

        Raises `PolicyError`, `OpaError` or `NoDecisionError` where that cannot be; the former ones decide on then.
        """
        ...

    async def retire(self) -> None:
        """End what decided before, when it owes no answer any more."""
        ...


Start = Callable[[Bundle], AbstractAsyncContextManager[tuple[LocalOpa, OpaProcess]]]


class OwnOpa:
    """An OPA that we start; other policies come in another one, which takes its place once it decides."""

    patience = 60.0

    def __init__(self, start: Start) -> None:
        self._start = start
        self._held = AsyncExitStack()
        self._former = AsyncExitStack()

    async def begin(self, bundle: Bundle) -> None:
        """Start the first one, which may not answer yet; raises `OpaError` or `PolicyError`."""
        self._opa, self._process = await self._held.enter_async_context(self._start(bundle))
        self.engine = Engine(self._opa, bundle.policies)

    @property
    def trouble(self) -> str:
        """What is wrong with it."""
        return self._process.trouble

    async def ready(self) -> None:
        """Return once it answers; raises `OpaError`."""
        await self._process.ready(READY_SECONDS)

    async def take(self, bundle: Bundle) -> None:
        """Start another one beside it, and ask that from when it decides."""
        async with AsyncExitStack() as stack:
            opa, process = await stack.enter_async_context(self._start(bundle))
            await process.ready(READY_SECONDS)
            await probe(opa, bundle.policies, seconds=PROBE_SECONDS)
            self._former = self._held
            self._former.push_async_callback(_answered, self._opa)
            self._opa, self._process, self._held = opa, process, stack.pop_all()
        self.engine.opa, self.engine.policies = opa, bundle.policies

    async def retire(self) -> None:
        """End the former one once it has answered, or when nobody waits for it any more."""
        await self._former.aclose()

    async def end(self) -> None:
        """End it, and a former one that is there still."""
        try:
            await self._former.aclose()
        finally:
            await self._held.aclose()


async def _answered(opa: LocalOpa) -> None:
    """Return once an OPA owes no answer that anybody waits for."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            await opa.idle()


class RemoteOpa:
    """An OPA that others run: what it decides counts while it is by the policies that we know."""

    patience = 0.0
    trouble = ""

    def __init__(self, opa: LocalOpa, bundle: Bundle) -> None:
        self.engine = Engine(opa, bundle.policies)

    async def ready(self) -> None:
        """Return at once."""

    async def take(self, bundle: Bundle) -> None:
        """Demand other policies of it, once it has them; its people give them to it."""
        await probe(self.engine.opa, bundle.policies, seconds=PROBE_SECONDS)
        self.engine.policies = bundle.policies

    async def retire(self) -> None:
        """Return at once: nothing of ours is left."""


@asynccontextmanager
async def started(settings: ServeSettings, bundle: Bundle, metrics: OpaMetrics) -> AsyncIterator[Source]:
    """Run the source for the length of the context; raises `OpaError`, `PolicyError` or `SettingsError`."""
    if settings.opa_url:
        async with remote(settings.opa_url) as opa:
            yield RemoteOpa(opa, bundle)
        return
    log = structlog.get_logger()
    binary = await asyncio.to_thread(find_opa, environment(), say=lambda line: log.info("opa", progress=line))

    def ended(how: End) -> None:
        metrics.restarts.inc()
        metrics.ends.labels(how).inc()

    own = OwnOpa(partial(own_opa, binary, tell=lambda line: log.warning("opa", line=line), ended=ended))
    try:
        await own.begin(bundle)
        yield own
    finally:
        await own.end()


def remote(url: str) -> LocalOpa:
    """Return the client of an OPA that others run; raises `SettingsError` for a URL that names none."""
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
