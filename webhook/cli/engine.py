"""What `serve` decides with: an engine that it starts and watches, or an OPA that others run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Protocol

from webhook.app import OpaMetrics
from webhook.cli.starting import PROBE_SECONDS, EngineName, Start, remote, start_of
from webhook.decision.bundle import Bundle
from webhook.decision.opa import Engine, LocalOpa, Opa, probe
from webhook.decision.process import End
from webhook.settings import ServeSettings

READY_SECONDS = 30.0
DRAIN_SECONDS = 30.0
"""For the answers that an OPA owes when another engine takes its place: no API server waits longer."""


class Source(Protocol):
    """Where decisions come from; `engine` is what a request is decided with, always the one of now."""

    engine: Engine
    bundle: Bundle
    """What `engine` decides by."""
    patience: float
    """Seconds until policies that were not taken are tried again."""

    @property
    def name(self) -> EngineName:
        """Which engine it is now."""
        ...

    @property
    def trouble(self) -> str:
        """What is wrong with it, empty where nothing is known of it."""
        ...

    def notes(self) -> list[str]:
        """Say what an operator has to know."""
        ...

    async def ready(self) -> None:
        """Return once our own engine answers; an OPA that others run is waited for by `/readyz`."""
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


class Own:
    """An engine that we start; other policies come in another one, which takes its place once it decides."""

    patience = 60.0

    def __init__(self, start: Start) -> None:
        self._start = start
        self._held = AsyncExitStack()
        self._former = AsyncExitStack()

    async def begin(self, bundle: Bundle) -> None:
        """Start the first one, which may not answer yet; raises `OpaError` or `PolicyError`."""
        self._running = await self._held.enter_async_context(self._start(bundle))
        self.bundle = bundle
        self.engine = Engine(self._running.opa, bundle.policies)

    @property
    def name(self) -> EngineName:
        """Which engine it is now."""
        return self._running.engine

    @property
    def trouble(self) -> str:
        """What is wrong with it."""
        return self._running.watched.trouble

    def notes(self) -> list[str]:
        """Say why it is OPA, where it was to be in-process."""
        why = self._running.why
        return [f"engine: OPA decides, since the policies cannot be evaluated in-process: {why}"] if why else []

    async def ready(self) -> None:
        """Return once it answers; raises `OpaError`."""
        await self._running.watched.ready(READY_SECONDS)

    async def take(self, bundle: Bundle) -> None:
        """Start another one beside it, and ask that from when it decides."""
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(self._start(bundle))
            await running.watched.ready(READY_SECONDS)
            await probe(running.opa, bundle.policies, seconds=PROBE_SECONDS)
            self._former = self._held
            self._former.push_async_callback(_answered, self._running.opa)
            self._running, self._held = running, stack.pop_all()
        # In one go: between these nobody else has a turn.
        self.bundle = bundle
        self.engine.opa, self.engine.policies = running.opa, bundle.policies

    async def retire(self) -> None:
        """End the former one once it has answered, or when nobody waits for it any more."""
        await self._former.aclose()

    async def end(self) -> None:
        """End it, and a former one that is there still."""
        try:
            await self._former.aclose()
        finally:
            await self._held.aclose()


async def _answered(opa: Opa) -> None:
    """Return once an OPA owes no answer that anybody waits for; what is in-process never does."""
    if isinstance(opa, LocalOpa):
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await opa.idle()


class RemoteOpa:
    """An OPA that others run: what it decides counts while it is by the policies that we know."""

    name: EngineName = "opa"
    patience = 0.0
    trouble = ""

    def __init__(self, opa: LocalOpa, bundle: Bundle) -> None:
        self.engine = Engine(opa, bundle.policies)
        self.bundle = bundle

    def notes(self) -> list[str]:
        """Say nothing."""
        return []

    async def ready(self) -> None:
        """Return at once."""

    async def take(self, bundle: Bundle) -> None:
        """Demand other policies of it, once it has them; its people give them to it."""
        await probe(self.engine.opa, bundle.policies, seconds=PROBE_SECONDS)
        self.engine.policies, self.bundle = bundle.policies, bundle

    async def retire(self) -> None:
        """Return at once: nothing of ours is left."""


@asynccontextmanager
async def started(settings: ServeSettings, bundle: Bundle, metrics: OpaMetrics) -> AsyncIterator[Source]:
    """Run the source for the length of the context; raises `OpaError`, `PolicyError` or `SettingsError`."""
    if settings.opa_url and settings.decides == "opa":
        async with remote(settings.opa_url) as opa:
            yield RemoteOpa(opa, bundle)
        return

    def ended(how: End) -> None:
        metrics.restarts.inc()
        metrics.ends.labels(how).inc()

    own = Own(start_of(settings.decides, settings.opa_url, ended=ended))
    try:
        await own.begin(bundle)
        yield own
    finally:
        await own.end()
