"""All that is told of the controller's work, put together."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from prometheus_client import CollectorRegistry

from webhook.telling.events import Creates, Events
from webhook.telling.figures import Figures, Standing
from webhook.telling.ledger import Ledger
from webhook.telling.status import Keeper, Statuses, Stored
from webhook.tenancy.tree import Tree


class Cluster(Creates, Statuses, Protocol):
    """The calls on a cluster that it takes."""


class Live(Stored, Protocol):
    """The copy of the cluster."""

    @property
    def tree(self) -> Tree | None:
        """The tree of now."""
        ...


class Teller:
    """
    Tells for as long as `run` runs, which the leader's does; its `ledger` observes the controller.

    Metrics are registered at once: `leads` says whether this process is the leader.
    """

    def __init__(self, cluster: Cluster, live: Live, registry: CollectorRegistry, leads: Callable[[], bool]) -> None:
        figures = Figures(registry)
        self._events = Events(cluster, figures)
        self.ledger = Ledger(lambda: live.tree, figures, self._events.note)
        self._keeper = Keeper(cluster, live, self.ledger, figures)
        registry.register(Standing(self.ledger, leads))

    @property
    def trouble(self) -> str:
        """Why a status could not be written, empty where all could."""
        return self._keeper.trouble

    async def run(self) -> None:
        """Write statuses and Events, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keeper.run())
            tasks.create_task(self._events.run())
