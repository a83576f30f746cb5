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

from tests.bench.figures import Figure
from tests.bench.served import MEGABYTE
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

RULE = "portcullis/rules/rbac/namespace_policy/namespace_policy.rego"
LOOSENED = b'\nallowed if input.user.name == "bo"\n'
AGAIN = 10
"""Times that each document occurs in the second run."""
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


async def measure_replay(*, decisions: int) -> list[Figure]:
    """Return what so many recorded decisions take, each on a document of its own and then on one of a few."""
    opa = find_opa(environment(), say=tell)
    bundle = read_policies(bundled_policies())
    records = await _recorded(opa, bundle)
    with TemporaryDirectory() as folder:
        figures = []
        for distinct in (decisions, max(1, decisions // AGAIN)):
            url = f"sqlite:///{folder}/{distinct}.db"
            tell(f"{decisions:,} decisions on {distinct:,} documents into a history")
            await _keep(url, _varied(records, decisions, distinct))
            figures += await _measured(Asked(url, bundle, _changed(bundle)), opa, decisions, distinct)
    return figures


async def _measured(asked: Asked, opa: Path, decisions: int, distinct: int) -> list[Figure]:
    peak = _Peak()
    watching = asyncio.create_task(peak.watch())
    begin, cpu = time.perf_counter(), _cpu()
    try:
        played = await play(asked, opa, lambda done: tell(f"{done:,} of {decisions:,}") if done % 10_000 < 64 else None)
    finally:
        watching.cancel()
    seconds = time.perf_counter() - begin
    replay = played.replay
    if replay is None or (replay.records, replay.distinct) != (decisions, distinct) or not played.opened:
        raise RuntimeError(f"that was no replay of {decisions} decisions on {distinct} documents: {played}")
    again = "" if distinct == decisions else f", each document {decisions // distinct} times"
    how = (
        f"{decisions:,} recorded decisions{again} ({distinct:,} documents) under the shipped rules and one that lets "
        f"somebody pass: {sum(each.count for each in replay.flips):,} flips found; {peak.cpu - cpu:.0f} s of CPU"
    )
    return [
        Figure(f"replay{again}", round(seconds, 1), "s", 60, how),
        Figure(
            f"replay{again}: memory", round(peak.own, 1), "MB", None, f"of us, and {peak.others:.0f} MB of both OPAs"
        ),
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


def _changed(bundle: Bundle) -> Bundle:
    files = {**bundle.files, RULE: bundle.files[RULE] + LOOSENED}
    return Bundle(files, replace(bundle.policies, revision="changed"))


def tell(line: str) -> None:
    """Say what is going on."""
    sys.stderr.write(f"bench: {line}\n")
