"""
`make bench`: the figures, each beside its bound, into docs/figures.md and docs/figures.json.

For a trial run: BENCH_BURST and BENCH_STEADY say how many namespaces the two large measurements make, BENCH_REPLAY how
many recorded decisions are made again, BENCH_ROWS how many decisions the history has.
"""

import asyncio
import os
import sys
from pathlib import Path

from bench.burst import measure_burst
from bench.check import measure_check
from bench.clustered import measure_cluster
from bench.figures import Figure, write
from bench.growth import measure_growth
from bench.history import ROWS, measure_history
from bench.openloop import measure_latency
from bench.recording import measure_recording
from bench.replay import measure_replay
from bench.served import Served, measure_start
from bench.steady import measure_steady
from tests.faults.matrix import slowest

DOCS = Path(__file__).parents[1] / "docs"


async def measure() -> list[Figure]:
    """Return every figure; shows what it is doing, for it takes half an hour."""
    tell("start, 5 times")
    figures = [await measure_start(runs=5)]
    tell("100 requests/s, the decision and a no-op route in turns, 80 s")
    async with Served.start() as served:
        figures += await measure_latency(served, rate=100, seconds=5.0, turns=8)
        figures += served.memory()
    tell("100 requests/s with a history and without, in turns, 80 s")
    figures += await measure_recording(rate=100, seconds=2.5, turns=16)
    tell("1,000 decisions on trees of 10, 1,000 and 10,000 namespaces, in turns")
    figures += await measure_growth(rounds=1000)
    tell("portcullis check on 10,000 policies in 1,000 files, and opa exec on the same objects")
    figures += await asyncio.to_thread(measure_check, objects=int(os.environ.get("BENCH_CHECK", "10000")))
    tell("200 namespaces on a real API server with us, and on one without, in turns")
    figures += await measure_cluster(namespaces=200)
    tell("a burst of namespaces, and a large cluster in which nothing happens")
    figures += await measure_burst(namespaces=int(os.environ.get("BENCH_BURST", "2000")))
    figures += await measure_steady(namespaces=int(os.environ.get("BENCH_STEADY", "10000")))
    tell("recorded decisions under two revisions")
    figures += await measure_replay(decisions=int(os.environ.get("BENCH_REPLAY", "100000")))
    tell("a history of ten million decisions, on SQLite and on PostgreSQL, made by SQL")
    figures += await measure_history(rows=int(os.environ.get("BENCH_ROWS", str(ROWS))))
    return [*figures, _recovery()]


def _recovery() -> Figure:
    """Return the longest recovery of the failure matrix, as its tests have last seen it."""
    fault, seconds = slowest()
    how = f"docs/failure-matrix.md, of its faults the one that took longest: {fault}"
    return Figure("recovery from a fault, the slowest", seconds, "s", 15, how)


def tell(line: str) -> None:
    """Say what is going on."""
    sys.stderr.write(f"bench: {line}\n")


if __name__ == "__main__":
    found = asyncio.run(measure())
    write(found, DOCS)
    sys.stdout.write((DOCS / "figures.md").read_text())
