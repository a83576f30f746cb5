"""The history that `serve` and `controller` write: opened where the settings say, masked by the policies of now."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry

from webhook.cluster.watch import Source
from webhook.decision.opa import Opa, masked
from webhook.errors import HistoryError
from webhook.history.address import read_address
from webhook.history.figures import Figures
from webhook.history.mask import Mask, Path, Shape
from webhook.history.recorder import Recorder
from webhook.history.scribe import scribe
from webhook.model import Policies
from webhook.settings import HistorySettings
from webhook.tenancy.live import LiveTree
from webhook.witness import Witness

MASK_SECONDS = 10.0
"""Nobody waits for it; an OPA that has much to decide does that first."""
PRUNE_SECONDS = (3000.0, 4200.0)
"""Between two looks at what is too old or too much: between these, so that not all replicas look at once."""
FIRST_PRUNE_SECONDS = 60.0


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

    Raises `HistoryError` for a URL that is none. A database that does not answer is told of, and waited for.
    """
    if settings is None:
        yield None
        return
    read_address(settings.url)
    figures = Figures(registry)
    recorder = Recorder(partial(scribe, settings.url), Mask(Asking(engine)), figures)
    tasks = [asyncio.create_task(recorder.run()), asyncio.create_task(_prune(settings, figures))]
    try:
        yield recorder
    finally:
        await recorder.finish()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _prune(settings: HistorySettings, figures: Figures) -> None:
    """Let go what is too old or too much, for ever; that it cannot be done is told, and tried again."""
    log, wait = structlog.get_logger(), FIRST_PRUNE_SECONDS
    while True:
        await asyncio.sleep(wait)
        wait = random.uniform(*PRUNE_SECONDS)  # noqa: S311 - no secret
        try:
            async with scribe(settings.url) as store:
                before = (datetime.now(UTC) - settings.keep).isoformat()
                gone = await store.prune(before, settings.size)
        except HistoryError as error:
            log.warning("history not pruned", error=str(error))
            continue
        for kind, count in asdict(gone).items():
            figures.pruned.labels(kind).inc(count)
        log.info("history pruned", **asdict(gone))


def witness_of(cluster: Source, live: LiveTree, recorder: Recorder, url: str) -> Witness:
    """Return who tells the history of a URL what is seen of a cluster."""
    return Witness(cluster, live, recorder, partial(scribe, url, migrate=False))
