"""Recording: nobody waits for it, what waits is bounded, and what is lost is counted and written down."""

import asyncio
import os
import resource
import signal
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any, Self

import psutil
import pytest
from prometheus_client import CollectorRegistry

from tests.history.made import at, document_of, listed, policy, record
from tests.history.postgres import Postgres
from webhook.errors import HistoryError, NoDecisionError
from webhook.history import lane
from webhook.history.buffer import Bounds, Waiting
from webhook.history.figures import Figures
from webhook.history.lane import Store
from webhook.history.mask import Mask, Shape
from webhook.history.mask import Path as Way
from webhook.history.record import Record, Revision
from webhook.history.recorder import Opening, Pace, Recorder
from webhook.history.rows import Entry, Row, Wanted
from webhook.history.scribe import scribe
from webhook.history.store import opened

FAST = Pace(pause=0.02, first=0.02, longest=0.1, patience=0.2, end=2.0)


class Says:
    """Rego, by hand: every annotation goes."""

    revision = "one"
    dead = False

    async def paths(self, shapes: Sequence[Shape]) -> Sequence[Sequence[Way]]:
        """Return the annotations, or nothing at all."""
        if self.dead:
            raise NoDecisionError("none", retry=True)
        return [[("metadata", "annotations", key) for key in shape.annotations] for shape in shapes]


class Memory:
    """A store that does as it is told."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.revisions: list[Revision] = []
        self.broken = ""
        self.hangs = False
        self.never: frozenset[str] = frozenset()
        self.batches: list[int] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        """Give itself."""
        await self._obey()
        yield self

    async def append(self, entries: Sequence[Entry]) -> None:
        """Keep decisions."""
        await self._obey()
        if bad := [each for each in entries if each.record.name in self.never]:
            raise HistoryError(f"no {bad[0].record.name}")
        self.batches.append(len(entries))
        self.entries += entries

    async def revise(self, revisions: Sequence[Revision]) -> None:
        """Keep states."""
        await self._obey()
        self.revisions += revisions

    async def _obey(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.broken:
            raise HistoryError(self.broken)

    @property
    def names(self) -> list[str]:
        return [each.record.name for each in self.entries]

    @property
    def told(self) -> list[str]:
        """What it was told of losses."""
        return [each.record.reason for each in self.entries if each.record.kind == "History"]


class Kept:
    """A recorder that runs, and its figures."""

    def __init__(self, opening: Opening, pace: Pace = FAST) -> None:
        self.says = Says()
        self.registry = CollectorRegistry()
        self.recorder = Recorder(opening, Mask(self.says), Figures(self.registry), pace=pace)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.recorder.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def lost(self, kind: str, reason: str) -> float:
        labels = {"kind": kind, "reason": reason}
        return self.registry.get_sample_value("portcullis_history_lost_total", labels) or 0

    def recorded(self, kind: str = "decision") -> float:
        return self.registry.get_sample_value("portcullis_history_recorded_total", {"kind": kind}) or 0

    @property
    def up(self) -> bool:
        return bool(self.registry.get_sample_value("portcullis_history_up"))


async def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is asked for tells nobody
            await asyncio.sleep(0.01)


def documented(number: int, **fields: Any) -> Record:
    """Return a decision with its document."""
    thing = policy(number)
    thing["metadata"]["annotations"] = {"note": "hunter2"}
    return record(number, **{"name": f"n{number}", "document": document_of(thing), "size": 400} | fields)


def state(number: int, **fields: Any) -> Revision:
    """Return a state of an object."""
    content = {"metadata": {"name": f"r{number}", "annotations": {"note": "hunter2"}}, "spec": {}}
    plain = {"content": content, "version": str(number), "seen": at(number)} | fields
    return Revision("networking.k8s.io/v1", "NetworkPolicy", "checkout-dev", f"r{number}", f"u{number}", **plain)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


def test_what_was_decided_and_seen_is_written_masked_in_batches() -> None:
    """In the order in which it came, soon, without anybody waiting; a mutation is told by the validation after it."""

    async def main() -> None:
        store = Memory()
        async with Kept(store.open) as kept:
            for number in range(100):
                kept.recorder.record(documented(number))
                kept.recorder.record(documented(number, route="mutate"))
                kept.recorder.revise(state(number))
            await until(lambda: len(store.entries) == 100 and len(store.revisions) == 100)
            assert store.names == [f"n{number}" for number in range(100)]
            assert len(store.batches) < 10
            assert all(b"masked" in each.document and b"hunter2" not in each.document for each in store.entries)
            assert {each.asked for each in store.entries} == {"2026-11-21T12:00:00Z"}
            assert {each.record.document for each in store.entries} == {None}
            assert [each.content["metadata"]["annotations"] for each in store.revisions if each.content] == [{}] * 100
            assert (kept.recorded(), kept.recorded("revision"), kept.recorder.notes(), kept.up) == (100, 100, [], True)

    run(main())


def test_a_store_that_is_away_costs_nothing_while_the_buffer_holds() -> None:
    """It is told why and since when; back again, all is written and nothing was lost."""

    async def main() -> None:
        store = Memory()
        store.broken = "the disk is full"
        async with Kept(store.open) as kept:
            for number in range(50):
                kept.recorder.record(documented(number))
            await until(kept.recorder.notes)
            (note,) = kept.recorder.notes()
            assert note.endswith("50 wait: the disk is full")
            assert not kept.up
            store.broken = ""
            await until(lambda: kept.recorded() == 50)
            await until(lambda: kept.up)
            assert (kept.recorder.notes(), store.told) == ([], [])

    run(main())


def test_what_did_not_fit_is_counted_and_written_down() -> None:
    """Documents go first, then decisions; once the store is back one record says how many, why and when."""

    async def main() -> None:
        store = Memory()
        store.broken = "gone"
        async with Kept(store.open) as kept:
            kept.recorder._decisions.waiting.bounds = Bounds(20, 2000)
            for number in range(30):
                kept.recorder.record(documented(number))
            await until(lambda: kept.lost("decision", "full") == 10)
            bare = kept.lost("document", "full")
            assert 20 < bare < 30
            assert any("history: lost between" in note for note in kept.recorder.notes())
            store.broken = ""
            await until(lambda: store.told)
            (told,) = store.told
            assert told.startswith("lost between 20")
            assert f"10 decisions (full), {bare:.0f} documents (full)" in told
            assert len([each for each in store.entries if each.document]) == 30 - bare
            assert len(store.entries) == 21
            await until(lambda: not kept.recorder.notes())

    run(main())


def test_a_flood_is_cut_off_before_it_is_masked() -> None:
    """Memory is bounded from the first moment: by number, and by the size of the reviews."""

    async def main() -> None:
        store = Memory()
        kept = Kept(store.open)
        kept.recorder._came.bounds = Bounds(10, 1000)
        for number in range(12):
            kept.recorder.record(documented(number))
            kept.recorder.revise(state(number, content=None, gone=True))
        assert kept.lost("document", "full") > 0
        assert kept.lost("decision", "full") + kept.lost("revision", "full") == 14
        assert kept.recorder.missed.is_set()

    run(main())


def test_what_rego_does_not_say_how_to_mask_is_not_stored() -> None:
    """The decision is, without its document; the state of an object is not, and is compared again later."""

    async def main() -> None:
        store = Memory()
        async with Kept(store.open) as kept:
            kept.says.dead = True
            kept.recorder.record(documented(1))
            kept.recorder.revise(state(1))
            kept.recorder.revise(state(2, content=None, gone=True))
            await until(lambda: store.told and store.revisions)
            assert [(each.record.name, each.document) for each in store.entries] == [("n1", b""), ("lost", b"")]
            assert [each.gone for each in store.revisions] == [True]
            assert (kept.lost("document", "unmasked"), kept.lost("revision", "unmasked")) == (1, 1)
            assert kept.recorder.missed.is_set()

    run(main())


def test_a_document_that_is_no_json_is_left_out() -> None:
    """Nothing that somebody sends ends the recording."""

    async def main() -> None:
        store = Memory()
        deep: Any = {}
        for _ in range(2000):
            deep = {"a": deep}
        async with Kept(store.open) as kept:
            kept.recorder.record(documented(1, document=document_of({"metadata": {}, "spec": deep})))
            kept.recorder.record(documented(2))
            await until(lambda: len(store.entries) >= 2)
            assert [(each.record.name, bool(each.document)) for each in store.entries][:2] == [
                ("n1", False),
                ("n2", True),
            ]
            assert kept.lost("document", "unreadable") == 1

    run(main())


def test_what_the_store_never_takes_does_not_hold_up_the_rest() -> None:
    """One that fails alone, again and again, while all others are taken, is let go and counted."""

    async def main() -> None:
        store = Memory()
        store.never = frozenset({"n7"})
        async with Kept(store.open) as kept:
            for number in range(20):
                kept.recorder.record(documented(number))
            more = 20
            while not kept.lost("decision", "refused"):
                kept.recorder.record(documented(more))
                more += 1
                await asyncio.sleep(0.05)
            await until(lambda: not kept.recorder.waits)
            assert sorted({*store.names} - {"lost"}) == sorted({f"n{each}" for each in range(more)} - {"n7"})
            await until(lambda: store.told)
            assert "1 decision (refused)" in store.told[0]

    run(main())


def test_the_end_writes_what_waits() -> None:
    """Without waiting for a batch to be gathered."""

    async def main() -> None:
        store = Memory()
        async with Kept(store.open, Pace(pause=30)) as kept:
            await until(lambda: kept.up)
            for number in range(30):
                kept.recorder.record(documented(number))
            begin = time.monotonic()
            await kept.recorder.finish()
            assert len(store.entries) == 30
            assert time.monotonic() - begin < 1

    run(main())


@pytest.mark.parametrize("how", ["broken", "hangs"])
def test_the_end_is_bounded(how: str) -> None:
    """A store that is broken or hangs then has what waits lost, counted and told."""

    async def main() -> None:
        store = Memory()
        setattr(store, how, "gone")
        async with Kept(store.open, Pace(end=0.3)) as kept:
            kept.recorder.record(documented(1))
            kept.recorder.revise(state(1))
            begin = time.monotonic()
            await kept.recorder.finish()
            assert 0.2 < time.monotonic() - begin < 2
            assert (kept.lost("decision", "stopped"), kept.lost("revision", "stopped")) == (1, 1)

    run(main())


async def names(url: str) -> list[str]:
    """Return the names of the decisions that are stored, in order."""
    async with opened(url, migrate=False) as store:
        found: list[Row] = await listed(store.decisions(Wanted()))
    return sorted(each.name for each in found)


def test_it_is_written_by_a_process_of_its_own(url: str) -> None:
    """On both databases: decisions with documents, states, what is known last; killed, it is started again."""

    async def main() -> None:
        async with Kept(partial(scribe, url)) as kept:
            for number in range(10):
                kept.recorder.record(documented(number))
                kept.recorder.revise(state(number))
            await until(lambda: kept.recorded() == 10 and kept.recorded("revision") == 10)
            (child,) = [each for each in psutil.Process().children() if "webhook.history.scribing" in each.cmdline()]
            assert os.sched_getscheduler(child.pid) == os.SCHED_IDLE
            child.send_signal(signal.SIGKILL)
            kept.recorder.record(documented(10))
            await until(lambda: kept.recorded() == 11)
        async with scribe(url, migrate=False) as reader:
            latest = await reader.latest("networking.k8s.io/v1", "NetworkPolicy")
        assert {uid: (last.name, last.version, last.gone) for uid, last in latest.items()} == {
            f"u{number}": (f"r{number}", str(number), False) for number in range(10)
        }
        assert await names(url) == sorted(f"n{number}" for number in range(11))

    run(main())


async def survives(
    opening: Opening, breaks: Callable[[], Awaitable[None]], mends: Callable[[], Awaitable[None]]
) -> None:
    """Have a store that works break and mend while decisions go on: it is told, and none is lost."""
    async with Kept(opening) as kept:
        kept.recorder.record(documented(0))
        await until(lambda: kept.recorded() == 1)
        await breaks()
        for number in range(1, 20):
            kept.recorder.record(documented(number))
        await until(kept.recorder.notes)
        assert not kept.up
        await mends()
        await until(lambda: kept.recorded() == 20)
        await until(lambda: not kept.recorder.notes())
        assert kept.up


def test_sqlite_locked_by_another(tmp_path: Path) -> None:
    """Somebody who has a transaction open on the file makes recording wait, and nothing else."""
    url = f"sqlite:///{tmp_path}/history.db"
    lane.WRITE_SECONDS, before = 0.5, lane.WRITE_SECONDS
    try:
        with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None, timeout=10)) as other:

            async def breaks() -> None:
                other.execute("BEGIN IMMEDIATE")

            async def mends() -> None:
                other.execute("ROLLBACK")

            run(survives(partial(scribe, url), breaks, mends))
    finally:
        lane.WRITE_SECONDS = before
    assert asyncio.run(names(url)) == sorted(f"n{number}" for number in range(20))


def test_sqlite_on_a_full_disk(tmp_path: Path) -> None:
    """A file that may not grow is a disk that is full: room again, and all is written."""
    url = f"sqlite:///{tmp_path}/history.db"

    def limit(size: int) -> None:
        for child in psutil.Process().children():
            if "webhook.history.scribing" in child.cmdline():
                resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    # A child that is started meanwhile takes it over from us.
    async def breaks() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        limit(4096)

    async def mends() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        limit(resource.RLIM_INFINITY)

    try:
        run(survives(partial(scribe, url), breaks, mends))
    finally:
        asyncio.run(mends())
    assert asyncio.run(names(url)) == sorted(f"n{number}" for number in range(20))


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    """What cannot be opened at the start is opened once it can be."""
    file = tmp_path / "later" / "history.db"
    file.parent.write_text("no folder")

    async def main() -> None:
        async with Kept(partial(scribe, f"sqlite:///{file}")) as kept:
            kept.recorder.record(documented(1))
            await until(kept.recorder.notes)
            file.parent.unlink()
            file.parent.mkdir()
            await until(lambda: kept.recorded() == 1)

    run(main())


def test_postgresql_gone_and_back(postgres: Postgres) -> None:
    """Every connection cut and none let in, as when it is started again; then all of it is there."""
    url = postgres.database()
    name = url.partition("@/")[2].partition("?")[0]

    async def breaks() -> None:
        postgres.run("postgres", f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608 - ours
        postgres.run("postgres", cut)

    async def mends() -> None:
        postgres.run("postgres", f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    run(survives(partial(scribe, url), breaks, mends))
    assert asyncio.run(names(url)) == sorted(f"n{number}" for number in range(20))


def test_a_database_that_never_answers() -> None:
    """A connection that hangs is told of as such, ends in time, and decisions are taken meanwhile."""

    async def main() -> None:
        url = f"postgresql://ada:secret@127.0.0.1:{server.getsockname()[1]}/history"
        async with Kept(partial(scribe, url), Pace(opening=2.0, closing=0.2, end=0.2)) as kept:
            kept.recorder.record(documented(1))
            await until(kept.recorder.notes)
            (note,) = kept.recorder.notes()
            assert "does not answer" in note
            assert "secret" not in note
            begin = time.monotonic()
            await kept.recorder.finish()
            assert time.monotonic() - begin < 2

    # The kernel takes the connection, and nobody takes it from there.
    with socket.create_server(("127.0.0.1", 0)) as server:
        run(main())


def test_a_process_that_cannot_be_started_is_no_end() -> None:
    """It is told like any other trouble, and tried again."""

    def never() -> AbstractAsyncContextManager[Store]:
        raise ZeroDivisionError("nobody foresaw this")

    async def main() -> None:
        async with Kept(never) as kept:
            kept.recorder.record(documented(1))
            await until(kept.recorder.notes)
            assert "nobody foresaw this" in kept.recorder.notes()[0]

    run(main())


def test_a_queue_is_bounded_by_number_and_by_size() -> None:
    """What does not fit is not taken; a batch is one at least, and no larger than it may be otherwise."""
    waiting: Waiting[str] = Waiting(Bounds(3, 10))
    assert [waiting.put(each, size) for each, size in (("a", 6), ("b", 5), ("c", 2), ("d", 1), ("e", 0))] == [
        True, False, True, True, False,
    ]  # fmt: skip
    assert (waiting.first(10, 1), waiting.first(10, 8), waiting.first(1, 99)) == (["a"], ["a", "c"], ["a"])
    waiting.later()
    assert waiting.first(10, 99) == ["c", "d", "a"]
    waiting.done(2)
    assert (len(waiting), waiting.size) == (1, 6)
