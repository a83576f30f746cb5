"""
How long recorded decisions take to be made again, under two revisions of the rules.

They are those of the case table with other names, each another document, kept by the real store and replayed as a
review does it.
"""

import asyncio
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import psutil

from bench.figures import Figure
from bench.served import MEGABYTE
from tests.cases.table import CASES
from tests.conftest import TREE, Hindered
from webhook.admission import Gate
from webhook.cli.child import own_opa
from webhook.cli.replaying import Asked, play
from webhook.decision.binary import find_opa
from webhook.decision.bundle import Bundle, read_policies
from webhook.decision.opa import Engine
from webhook.history.record import Record
from webhook.history.rows import Entry
from webhook.history.store import opened
from webhook.settings import BREAK_GLASS_GROUPS, bundled_policies, environment
from webhook.tenancy.files import load_tree

Json = dict[str, Any]

HELPER = "portcullis/roles/roles.rego"
"""What the weighing rests on, so that nothing is left out."""
RULE = "portcullis/rules/rbac/namespace_policy/namespace_policy.rego"
LOOSENED = b'\nallowed if input.user.name == "bo"\n'
AGAIN = 10
"""Times that each document occurs in the second run."""
WHOLE = 10
"""One of so many is decided where nothing is left out."""
BATCH = 1000
BEAT = 0.2
"""Seconds from one look at the memory to the next."""


@dataclass
class _Peak:
    """The most memory (MB) and the CPU seconds of a replay: ours, and what it starts."""

    own: float = 0.0
    others: float = 0.0
    cpu: float = 0.0

    async def watch(self) -> None:
        """Look, for ever."""
        me = psutil.Process()
        while True:
            children: Mapping[int, psutil.Process] = {each.pid: each for each in me.children(recursive=True)}
            self.own = max(self.own, me.memory_info().rss / MEGABYTE)
            self.others = max(self.others, sum(each.memory_info().rss for each in children.values()) / MEGABYTE)
            self.cpu = max(self.cpu, sum(sum(each.cpu_times()[:2]) for each in (me, *children.values())))
            await asyncio.sleep(BEAT)


@dataclass(frozen=True)
class _Run:
    """What is measured: so many decisions on so many documents, under a change that concerns a rule or everything."""

    decisions: int
    distinct: int
    everything: bool = False

    @property
    def name(self) -> str:
        again = f", each document {self.decisions // self.distinct} times" if self.distinct < self.decisions else ""
        return f"replay{', nothing left out' if self.everything else ''}{again}"


async def measure_replay(*, decisions: int) -> list[Figure]:
    """
    Return what so many recorded decisions take, each on a document of its own and then on one of a few.

    And what a part of them takes where the change concerns all of them.
    """
    opa = find_opa(environment(), say=tell)
    bundle = read_policies(bundled_policies())
    records = await _recorded(opa, bundle)
    few, part = max(1, decisions // AGAIN), max(1, decisions // WHOLE)
    with TemporaryDirectory() as folder:
        figures = []
        for run in (_Run(decisions, decisions), _Run(decisions, few), _Run(part, part, everything=True)):
            url = f"sqlite:///{folder}/{run.decisions}-{run.distinct}.db"
            tell(f"{run.decisions:,} decisions on {run.distinct:,} documents into a history")
            await _keep(url, _varied(records, run.decisions, run.distinct))
            figures += await _measured(Asked(url, bundle, _changed(bundle, everything=run.everything)), opa, run)
    return figures


async def _measured(asked: Asked, opa: Path, run: _Run) -> list[Figure]:
    peak = _Peak()
    watching = asyncio.create_task(peak.watch())
    begin, cpu = time.perf_counter(), _cpu()
    try:
        played = await play(
            asked, opa, lambda done: tell(f"{done:,} of {run.decisions:,}") if done % 10_000 < 256 else None
        )
    finally:
        watching.cancel()
    seconds = time.perf_counter() - begin
    replay = played.replay
    if replay is None or (replay.records, replay.distinct) != (run.decisions, run.distinct) or not played.opened:
        raise RuntimeError(f"that was no replay of {run}: {played}")
    if run.everything == bool(replay.untouched + replay.screened):
        raise RuntimeError(f"that was not what {run} is to be: {played}")
    used = peak.cpu - cpu
    how = (
        f"{run.decisions:,} recorded decisions on {run.distinct:,} documents under the shipped rules and one that lets "
        f"somebody pass: {sum(each.count for each in replay.flips):,} flips found; no changed rule looks at "
        f"{replay.untouched:,} documents, on {replay.screened:,} it finds the same; {used:.0f} s of CPU, "
        f"{used / run.decisions * 1000:.2f} ms a decision"
    )
    memory = f"of us, and {peak.others:.0f} MB of both OPAs"
    return [
        Figure(run.name, round(seconds, 1), "s", None if run.everything else 60, how),
        Figure(f"{run.name}: memory", round(peak.own, 1), "MB", None, memory),
    ]


def _cpu() -> float:
    return sum(psutil.Process().cpu_times()[:2])


async def _recorded(opa: Path, bundle: Bundle) -> Sequence[Record]:
    """Return the record of each case that is decided and no dry run."""
    tree, records = load_tree(TREE).tree, list[Record]()
    async with own_opa(opa, bundle, tell) as (client, process):
        await process.ready()
        engine = Engine(client, bundle.policies)
        gate = Gate(engine, lambda: tree, BREAK_GLASS_GROUPS, records.append, mender=Hindered())
        for case in CASES:
            await gate.validate(orjson.dumps(case.asked.review()), seconds=10)
    return [each for each in records if not each.dry_run and each.document is not None]


def _varied(records: Sequence[Record], count: int, distinct: int) -> Iterator[Entry]:
    """Yield so many decisions, on so many documents that differ by an annotation which no rule reads."""
    raw = [orjson.loads(orjson.dumps(each.document)) for each in records]
    groups = [each["user"]["groups"] for each in raw]
    for number in range(count):
        which = number % distinct
        record, document = records[which % len(records)], raw[which % len(records)]
        document["request"].pop("time", None)
        for side in ("object", "old_object"):
            if document[side] is not None:
                document[side]["metadata"]["annotations"]["example.com/change"] = f"change-{which}"
        document["user"]["groups"] = [*groups[which % len(records)], f"team-{which}"]
        yield Entry(replace(record, decision_id=f"{number:032x}"), orjson.dumps(document))


async def _keep(url: str, entries: Iterator[Entry]) -> None:
    async with opened(url) as store:
        while batch := list(islice(entries, BATCH)):
            await store.append(batch)


def _changed(bundle: Bundle, *, everything: bool) -> Bundle:
    files = {**bundle.files, RULE: bundle.files[RULE] + LOOSENED}
    if everything:
        files[HELPER] += b"\nnever := true\n"
    return Bundle(files, replace(bundle.policies, revision="changed"))


def tell(line: str) -> None:
    """Say what is going on."""
    sys.stderr.write(f"bench: {line}\n")
