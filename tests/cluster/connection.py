"""A connection to a real API server that leaves nothing open when a test's event loop ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.cluster.memory import until
from webhook.cluster.client import Cluster, connected


@asynccontextmanager
async def connection(kubeconfig: Path) -> AsyncIterator[Cluster]:
    """Connect; a watch that is closed says so by TLS, and the answer to that has to come while there is a loop."""
    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]  # no other way to see what is open
    before = len(selector.get_map())
    async with connected(kubeconfig) as cluster:
        yield cluster
    await until(lambda: len(selector.get_map()) <= before)
