"""The history that `serve` and `controller` write: opened where the settings say, masked by the policies of now."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry

from webhook.decision.opa import Opa, masked
from webhook.errors import HistoryError
from webhook.history.address import read_address
from webhook.history.figures import Figures
from webhook.history.mask import Mask, Path, Shape
from webhook.history.recorder import Recorder
from webhook.history.store import opened
from webhook.model import Policies
from webhook.settings import HistorySettings

MASK_SECONDS = 2.0
PRUNE_SECONDS = 3600.0
FIRST_PRUNE_SECONDS = 60.0
"""After the start, when there is less to do than then."""


class Engine(Protocol):
    """Whoever has an OPA to ask, and knows its policies; both are those of now."""

    @property
    def opa(self) -> Opa:
        """The OPA; raises `NoDecisionError` while there is none."""
        ...

    @property
    def policies(self) -> Policies:
        """Its policies."""
        ...


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks an engine's OPA what to mask."""

    engine: Engine

    @property
    def revision(self) -> str:
        """The policies that answer."""
        return self.engine.policies.revision

    async def paths(self, shapes: Sequence[Shape]) -> Sequence[Sequence[Path]]:
        """Return the paths to take out of each; raises `NoDecisionError`."""
        told = [each.as_input() for each in shapes]
        return await masked(self.engine.opa, told, self.engine.policies, seconds=MASK_SECONDS)


@asynccontextmanager
async def recording(
    settings: HistorySettings | None, engine: Engine, registry: CollectorRegistry
) -> AsyncIterator[Recorder | None]:
    """
    Record for the length of the context, and write what is left at its end; None where that is not wanted.

    Raises `HistoryError` for a URL that is none. One that does not answer is told, and waited for.
    """
    if settings is None:
        yield None
        return
    read_address(settings.url)
    figures = Figures(registry)
    recorder = Recorder(partial(opened, settings.url), Mask(Asking(engine)), figures)
    tasks = [asyncio.create_task(recorder.run()), asyncio.create_task(_prune(settings, figures))]
    try:
        yield recorder
    finally:
        await recorder.finish()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
