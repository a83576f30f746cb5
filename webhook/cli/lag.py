"""How late the event loop is: what every answer waits for, whatever it is an answer to."""

import asyncio

from prometheus_client import CollectorRegistry, Histogram

PERIOD = 0.1


async def tell_lag(registry: CollectorRegistry) -> None:
    """Observe ten times a second by how much a timer comes late, for ever."""
    lag = Histogram(
        "portcullis_event_loop_lag_seconds",
        "By how much a timer of the event loop comes late, observed ten times a second, to the millisecond.",
        buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
        registry=registry,
    )
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + PERIOD
        await asyncio.sleep(PERIOD)
        lag.observe(max(0.0, clock() - due))
