"""
What recording adds to a decision: two webhooks, one with a history in SQLite, asked in turns in one run.

    python -m bench.recording

Open loop like `load`: a request leaves when it is due. A turn of one follows a turn of the other, in changing order, so
that what the machine does meanwhile hits both.
"""

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from bench.figures import Figure
from bench.openloop import in_one_turn, percentile
from bench.served import Served
from tests.cases.table import CASES

RECORDED = 'portcullis_history_recorded_total{kind="decision"}'
LOST = "portcullis_history_lost_total{"


async def measure_recording(*, rate: int, seconds: float, turns: int) -> list[Figure]:
    """Return what recording adds to the p99 at `rate` requests/s, of so many `turns` of each in `seconds` each."""
    with TemporaryDirectory(prefix="portcullis-bench-") as folder:
        file = Path(folder) / "history.db"
        async with Served.start() as plain, Served.start("--history", f"sqlite:///{file}") as recorded:
            asks: dict[bool, Callable[[int], Awaitable[None]]] = {
                False: partial(_ask, plain, _bodies()),
                True: partial(_ask, recorded, _bodies()),
            }
            taken = await _in_turns(asks, rate, seconds, turns)
            await asyncio.sleep(2)
            written, lost = await _told(recorded)
            size = await asyncio.to_thread(_size, Path(folder))
    share = [percentile(taken[True], each) / percentile(taken[False], each) for each in (50, 99)]
    how = (
        f"{rate} requests/s open loop over TLS on the reviews of the case table, {len(taken[True])} of each in turns "
        f"of {seconds:g} s; p50 {(share[0] - 1) * 100:+.1f} %; {written:.0f} decisions written, {lost:.0f} lost, "
        f"{size / written / 1000:.1f} kB each"
    )
    return [
        Figure("recording: added to the p99 of a decision", round((share[1] - 1) * 100, 1), "%", 5, how),
        Figure("recording: p99 without", round(percentile(taken[False], 99), 2), "ms"),
        Figure("recording: p99 with", round(percentile(taken[True], 99), 2), "ms"),
    ]


def _size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.iterdir())


def _bodies() -> list[bytes]:
    return [orjson.dumps(case.asked.review()) for case in CASES]


async def _in_turns(
    asks: dict[bool, Callable[[int], Awaitable[None]]], rate: int, seconds: float, turns: int
) -> dict[bool, list[float]]:
    """Return the latencies without and with a history, in milliseconds."""
    for ask in asks.values():
        # Each of the reviews once: what OPA is asked about the shape of an object is asked once.
        await in_one_turn(ask, rate, len(CASES) / rate)
    gc.disable()
    taken: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(turns):
        found = {}
        for which in (False, True) if turn % 2 else (True, False):
            found[which] = await in_one_turn(asks[which], rate, seconds)
            taken[which] += found[which]
        if os.environ.get("BENCH_TURNS"):
            each = {which: round(percentile(values, 99), 1) for which, values in sorted(found.items())}
            sys.stderr.write(f"turn {turn}: p99 without {each[False]} ms, with {each[True]} ms\n")
    gc.enable()
    return taken


async def _ask(served: Served, bodies: list[bytes], number: int) -> None:
    headers, body = {"content-type": "application/json"}, bodies[number % len(bodies)]
    async with served.client.post(f"{served.url}/validate?timeout=10s", data=body, headers=headers) as reply:
        reply.raise_for_status()
        await reply.read()


async def _told(served: Served) -> tuple[float, float]:
    """Return how many decisions it has written and lost."""
    async with served.client.get(f"{served.url}/metrics") as reply:
        lines = (await reply.text()).splitlines()
    written = sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(RECORDED))
    return written, sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(LOST))


if __name__ == "__main__":
    turns = int(os.environ.get("BENCH_RECORDING", "8"))
    for figure in asyncio.run(measure_recording(rate=100, seconds=5.0, turns=turns)):
        sys.stdout.write(f"{figure.name}: {figure.value} {figure.unit} {figure.verdict}\n  {figure.how}\n")
