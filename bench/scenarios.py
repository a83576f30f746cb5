"""What can be measured, each by its name and alone."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bench.burst import measure_burst
from bench.check import measure_check
from bench.clustered import measure_cluster
from bench.figures import Figure
from bench.growth import measure_growth
from bench.history import ROWS, measure_history
from bench.recording import measure_recording
from bench.replay import measure_replay
from bench.served import measure_start
from bench.sides import measure_sides
from bench.steady import measure_steady
from tests.faults.matrix import slowest


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is measured; `flags` are more flags for `serve`, which the load alone passes on."""

    about: str
    measure: Callable[[Sequence[str]], Awaitable[list[Figure]]]


def _size(name: str, usual: int) -> int:
    """Return how large a measurement is to be: BENCH_BURST and the like make a trial run smaller."""
    return int(os.environ.get(f"BENCH_{name}", str(usual)))


async def _recovery() -> list[Figure]:
    """Return the longest recovery of the failure matrix, as its tests have last seen it."""
    fault, seconds = slowest()
    how = f"docs/failure-matrix.md, of its faults the one that took longest: {fault}"
    return [Figure("recovery from a fault, the slowest", seconds, "s", 15, how)]


SCENARIOS = {
    "start": Scenario("start to ready, 5 times", lambda _: measure_start(runs=5)),
    "load": Scenario("the webhook, a no-op route, an echo and OPA itself in turns, about 14 minutes", measure_sides),
    "recording": Scenario(
        "100 requests/s with a history and without, in turns, 80 s",
        lambda _: measure_recording(rate=100, seconds=2.5, turns=16),
    ),
    "growth": Scenario(
        "1,000 decisions on trees of 10, 1,000 and 10,000 namespaces, in turns", lambda _: measure_growth(rounds=1000)
    ),
    "check": Scenario(
        "portcullis check on 10,000 policies in 1,000 files, and opa exec on the same objects",
        lambda _: asyncio.to_thread(measure_check, objects=_size("CHECK", 10_000)),
    ),
    "cluster": Scenario(
        "200 namespaces on a real API server with us, and on one without, in turns",
        lambda _: measure_cluster(namespaces=200),
    ),
    "burst": Scenario("a burst of namespaces", lambda _: measure_burst(namespaces=_size("BURST", 2000))),
    "steady": Scenario(
        "a large cluster in which nothing happens", lambda _: measure_steady(namespaces=_size("STEADY", 10_000))
    ),
    "replay": Scenario(
        "recorded decisions under two revisions", lambda _: measure_replay(decisions=_size("REPLAY", 100_000))
    ),
    "history": Scenario(
        "a history of ten million decisions, on SQLite and on PostgreSQL, made by SQL",
        lambda _: measure_history(rows=_size("ROWS", ROWS)),
    ),
    "recovery": Scenario("what the failure matrix last saw", lambda _: _recovery()),
}
