"""
Open-loop load: requests leave at fixed times, whether the last has been answered or not.

A latency counts from when its request should have left, so that a stall is not hidden by sending less. It is in Python,
so for a hundred requests a second; `bench.generator` is for more.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

Send = Callable[[int], Awaitable[None]]


async def in_one_turn(send: Send, rate: int, seconds: float) -> list[float]:
    """Return the latencies in milliseconds."""
    begin = time.perf_counter() + 0.05

    async def one(number: int) -> float:
        due = begin + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await send(number)
        return (time.perf_counter() - due) * 1000

    async with asyncio.TaskGroup() as tasks:
        sent = [tasks.create_task(one(number)) for number in range(int(rate * seconds))]
    return [task.result() for task in sent]


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
