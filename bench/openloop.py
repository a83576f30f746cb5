"""
Open-loop load: requests leave at fixed times, whether the last has been answered or not.

A latency counts from when its request should have left, so that a stall is not hidden by sending less. The decision and
a no-op route take turns in one run: what the machine does meanwhile hits both.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable

import orjson

from bench.figures import Figure
from bench.served import Served
from tests.cases.table import CASES

Send = Callable[[int], Awaitable[None]]


async def measure_latency(served: Served, *, rate: int, seconds: float, turns: int) -> list[Figure]:
    """Return the latencies of both routes at `rate` requests/s, in `turns` turns of `seconds` each."""
    bodies = [orjson.dumps(case.asked.review()) for case in CASES]
    verdicts: dict[bool, int] = {True: 0, False: 0}

    async def decide(number: int) -> None:
        headers = {"content-type": "application/json"}
        body = bodies[number % len(bodies)]
        async with served.client.post(f"{served.url}/validate?timeout=10s", data=body, headers=headers) as reply:
            response = orjson.loads(await reply.read())["response"]
        status = response.get("status", {})
        # What passes by itself is a 500 as well, and a rule's.
        if status.get("code") == 500 and not status["message"].startswith("["):
            raise RuntimeError(status["message"])
        verdicts[response["allowed"]] += 1

    async def nothing(_: int) -> None:
        async with served.client.get(f"{served.url}/healthz") as reply:
            reply.raise_for_status()
            await reply.read()

    await in_one_turn(nothing, rate, 1)
    await in_one_turn(decide, rate, 2)
    gc.disable()
    decided: list[float] = []
    idle: list[float] = []
    for _ in range(turns):
        idle += await in_one_turn(nothing, rate, seconds)
        decided += await in_one_turn(decide, rate, seconds)
    gc.enable()
    p99, noop_p99 = percentile(decided, 99), percentile(idle, 99)
    how = (
        f"{rate} requests/s open loop over TLS, {len(decided)} decisions on the {len(bodies)} reviews of the case "
        f"table ({verdicts[True]} allowed, {verdicts[False]} denied with the warm-up), {len(idle)} calls of /healthz "
        f"in turns of {seconds:g} s; an error would end the run"
    )
    return [
        Figure("p99 of a decision, as a multiple of a no-op route's", round(p99 / noop_p99, 2), "x", 3, how),
        Figure("decision p50", round(percentile(decided, 50), 2), "ms"),
        Figure("decision p99", round(p99, 2), "ms"),
        Figure("no-op p50", round(percentile(idle, 50), 2), "ms"),
        Figure("no-op p99", round(noop_p99, 2), "ms"),
    ]


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
