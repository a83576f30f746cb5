"""
Records: takes decisions and states of objects at once, and writes them when the store can.

Whoever hands something over never waits. What waits is bounded (`buffer`), what does not fit is counted, and once the
store takes things again one record says how much was lost and when. The database may be slow, full, locked or gone.
"""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import orjson
import structlog

from webhook.errors import HistoryError
from webhook.history.buffer import Bounds, Lost, Waiting, What, Why
from webhook.history.digest import let_in
from webhook.history.figures import Figures
from webhook.history.lane import MOST, Lane, Store
from webhook.history.mask import Cuts, Mask, Shape, document_of, shape_of, without
from webhook.history.record import Record, Revision
from webhook.history.rows import Entry
from webhook.model import CONTROLLER, DOMAIN

MEGABYTE = 1024 * 1024
CAME = Bounds(10_000, 16 * MEGABYTE)
"""What came and is not masked yet, in bytes of the reviews that it came in; it takes milliseconds."""
DECISIONS, REVISIONS = Bounds(20_000, 48 * MEGABYTE), Bounds(20_000, 24 * MEGABYTE)
"""What waits to be written, in bytes of documents and contents: at 100 decisions/s three minutes without a database."""
AT_ONCE = 4
"""So many are masked and written as JSON before others have their turn; one takes about 0.05 ms."""

Opening = Callable[[], AbstractAsyncContextManager[Store]]


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How fast it goes, in seconds.

    `pause` is for how long a batch is gathered, `first` and `longest` are the waits between two tries at a store that
    fails, `opening` and `closing` what the store has for that, `patience` is for an OPA that does not say what to mask,
    and `end` what there is at the end for all that waits.
    """

    pause: float = 0.5
    first: float = 0.25
    longest: float = 10.0
    opening: float = 15.0
    closing: float = 1.0
    patience: float = 10.0
    end: float = 10.0


class Recorder:
    """Of one process; `run` has to go on beside it."""

    def __init__(self, opening: Opening, mask: Mask, figures: Figures, *, pace: Pace | None = None) -> None:
        self.missed = asyncio.Event()
        """Set whenever the state of an object is lost."""
        self._opening = opening
        self._mask = mask
        self._figures = figures
        self._pace = pace or Pace()
        self._came: Waiting[Record | Revision] = Waiting(CAME)
        self._decisions = Lane("decision", Waiting[Entry](DECISIONS), _append, figures)
        self._revisions = Lane("revision", Waiting[Revision](REVISIONS), _revise, figures)
        self._lost = Lost()
        self._down = ""
        """Why the store cannot be written, empty where it can."""
        self._since = ""
        self._any, self._ready, self._plenty, self._ending = (asyncio.Event() for _ in range(4))
        self._wait = self._pace.first
        figures.waiting.labels("decision").set_function(lambda: len(self._decisions.waiting))
        figures.waiting.labels("revision").set_function(lambda: len(self._revisions.waiting))
        figures.waiting_bytes.set_function(lambda: self._decisions.waiting.size + self._revisions.waiting.size)

    def record(self, record: Record) -> None:
        """Take a decision; where there is no room it is lost, or its document is, and that is counted."""
        if record.route == "mutate" and record.verdict == "allow":
            # The validation that follows tells of it.
            return
        if record.document is not None and self._came.size + record.size > self._came.bounds.size:
            self._lose("document", "full")
            record = replace(record, document=None)
        if not self._came.put(record, record.size if record.document is not None else 0):
            self._lose("decision", "full")
        self._any.set()

    def revise(self, revision: Revision) -> None:
        """Take a state of an object, likewise."""
        if not self._came.put(revision, 0):
            self._lose("revision", "full")
        self._any.set()

    @property
    def waits(self) -> int:
        """How much has not been written yet."""
        return len(self._came) + len(self._decisions.waiting) + len(self._revisions.waiting)

    def notes(self) -> list[str]:
        """Say what an operator has to know: it cannot be written, or was lost and that is not written down yet."""
        found = []
        if self._down:
            found.append(f"history: not written since {self._since}, {self.waits} wait: {self._down}")
        if self._lost.counts:
            found.append(f"history: lost between {self._lost.since} and {self._lost.until}: {self._lost.told()}")
        return found

    async def run(self) -> None:
        """Mask and write, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._again(self._mask_all))
            tasks.create_task(self._again(self._session))

    async def finish(self) -> None:
        """Return once all is written, or a while has passed; what is left then is lost, counted and told."""
        for each in (self._ending, self._any, self._ready, self._plenty):
            each.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.end):
                while self.waits or self._lost.counts:  # noqa: ASYNC110 - asked for once, at the end
                    await asyncio.sleep(0.01)
        left: Counter[What] = Counter()
        left["decision"], left["revision"] = len(self._decisions.waiting), len(self._revisions.waiting)
        for unmasked in self._came.first(CAME.most, CAME.size):
            left["decision" if isinstance(unmasked, Record) else "revision"] += 1
        for what, count in left.items():
            for _ in range(count):
                self._lose(what, "stopped")
        if self._lost.counts:
            structlog.get_logger().error("history lost", lost=self._lost.told(), since=self._lost.since)

    def _lose(self, what: What, why: Why) -> None:
        if not self._lost.counts:
            structlog.get_logger().warning("history is being lost", kind=what, reason=why)
        self._lost.add(what, why, _now())
        self._figures.lost.labels(what, why).inc()
        if what == "revision":
            self.missed.set()

    async def _again(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do it for ever; whatever ends it is told, waited out, and is no end of ours: answers do not depend on it."""
        while True:
            task = asyncio.ensure_future(work())
            try:
                await asyncio.wait({task})
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            error = task.exception()
            self._trouble(error)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._wait * random.uniform(0.5, 1)):  # noqa: S311 - no secret
                    await self._ending.wait()
                    # One more try at the end, and then at a pace that does no harm.
                    await asyncio.sleep(0.1)
            self._wait = min(self._wait * 2, self._pace.longest)

    def _trouble(self, error: BaseException | None) -> None:
        slow = "it does not answer" if isinstance(error, TimeoutError) else ""
        told = slow or str(error) or repr(error)
        if told != self._down:
            foreseen = isinstance(error, HistoryError | TimeoutError)
            log = structlog.get_logger()
            log.warning("history not written", error=told, waiting=self.waits, exc_info=None if foreseen else error)
        self._since = self._since if self._down else _now()
        self._down = told
        self._figures.up.set(0)

    def _well(self) -> None:
        if self._down:
            structlog.get_logger().info("history written again", waiting=self.waits)
        self._down, self._wait = "", self._pace.first
        self._figures.up.set(1)

    async def _session(self) -> None:
        """Write until the store fails."""
        async with _Open(self._opening, self._pace) as store:
            if not self.waits:
                self._well()
            while True:
                await self._due()
                for lane in (self._decisions, self._revisions):
                    await self._flush(lane, store)
                await self._tell_lost(store)
                self._well()

    async def _flush(self, lane: Lane[Entry] | Lane[Revision], store: Store) -> None:
        try:
            await lane.flush(store)
        except (HistoryError, TimeoutError):
            if lane.failed():
                self._lose(lane.kind, "refused")
            self._ready.set()
            raise

    async def _due(self) -> None:
        """Return when a batch is to be written: there is much, or the first of it has waited long enough."""
        await self._ready.wait()
        if not self._ending.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.pause):
                    await self._plenty.wait()
            self._ready.clear()
            self._plenty.clear()
        else:
            await asyncio.sleep(0.01)

    async def _tell_lost(self, store: Store) -> None:
        """Write down what was lost, now that the store takes it."""
        counts = Counter(self._lost.counts)
        if not counts:
            return
        async with asyncio.timeout(self._pace.opening):
            await store.append([Entry(_gap(self._lost))])
        log = structlog.get_logger()
        log.error("history lost", lost=self._lost.told(), since=self._lost.since, until=self._lost.until)
        self._lost.less(counts)

    async def _mask_all(self) -> None:
        """Take what came, mask it, and have it wait as small as it gets."""
        while True:
            await self._any.wait()
            self._any.clear()
            while batch := self._came.first(MOST, CAME.size):
                cuts = await self._cuts([_shape(each) for each in batch])
                for number, (each, cut) in enumerate(zip(batch, cuts, strict=True)):
                    self._came.done(1)
                    if isinstance(each, Record):
                        self._take(each, cut)
                    else:
                        self._take_state(each, cut)
                    if number % AT_ONCE == AT_ONCE - 1:
                        await asyncio.sleep(0)

    async def _cuts(self, shapes: Sequence[Shape]) -> Sequence[Cuts | None]:
        """Return what to mask; an OPA that is started again is waited for, since what came waits within bounds."""
        clock = asyncio.get_running_loop().time
        until = clock() + self._pace.patience
        while True:
            cuts = await self._mask.cuts(shapes)
            if None not in cuts or clock() > until or self._ending.is_set():
                return cuts
            await asyncio.sleep(self._pace.patience / 40)

    def _take(self, record: Record, cuts: Cuts | None) -> None:
        document = record.document
        if document is None:
            entry = Entry(record)
        else:
            body, let = self._body(record, cuts)
            if body and self._decisions.waiting.size + len(body) > self._decisions.waiting.bounds.size:
                self._lose("document", "full")
                body = b""
            # Bytes are a fifth of what the objects take.
            entry = Entry(replace(record, document=None), body, document.request.time if body else "", let)
        if not self._decisions.waiting.put(entry, len(entry.document)):
            self._lose("decision", "full")
        self._came_through(len(self._decisions.waiting))

    def _body(self, record: Record, cuts: Cuts | None) -> tuple[bytes, bytes | None]:
        """Return the document as it is stored, empty for none, and the digest of what was let in."""
        if cuts is None:
            self._lose("document", "unmasked")
            return b"", None
        try:
            return document_of(record.document, cuts), let_in(record, lambda thing: without(thing, cuts))
        except (TypeError, ValueError, RecursionError):
            self._lose("document", "unreadable")
            return b"", None

    def _take_state(self, revision: Revision, cuts: Cuts | None) -> None:
        if revision.content is not None:
            if cuts is None:
                self._lose("revision", "unmasked")
                return
            revision = replace(revision, content=without(revision.content, cuts))
        if not self._revisions.waiting.put(revision, _size(revision)):
            self._lose("revision", "full")
        self._came_through(len(self._revisions.waiting))

    def _came_through(self, waiting: int) -> None:
        self._ready.set()
        if waiting >= MOST:
            self._plenty.set()


class _Open:
    """A store for the length of the context, opened and closed within bounds whatever the database does."""

    def __init__(self, opening: Opening, pace: Pace) -> None:
        self._opening = opening
        self._pace = pace
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Store:
        async with asyncio.timeout(self._pace.opening):
            return await self._stack.enter_async_context(self._opening())

    async def __aexit__(self, *_: object) -> None:
        with suppress(TimeoutError, HistoryError):
            async with asyncio.timeout(self._pace.closing):
                await self._stack.aclose()


async def _append(store: Store, entries: Sequence[Entry]) -> None:
    await store.append(entries)


async def _revise(store: Store, revisions: Sequence[Revision]) -> None:
    await store.revise(revisions)


def _shape(each: Record | Revision) -> Shape:
    if isinstance(each, Revision):
        group, _, _ = each.api_version.rpartition("/")
        return shape_of(group, each.kind, each.content)
    if each.document is None:
        return Shape("", "")
    kind = each.document.request.kind
    return shape_of(kind.group, kind.kind, each.document.object, each.document.old_object)


def _size(revision: Revision) -> int:
    """Return about how many bytes a state takes."""
    return len(orjson.dumps(revision.content))


def _gap(lost: Lost) -> Record:
    """Return the record that says what is not in the history."""
    return Record(
        decision_id=str(uuid.uuid4()),
        time=_now(),
        route="validate",
        user=CONTROLLER,
        operation="",
        group=DOMAIN,
        kind="History",
        namespace="",
        name="lost",
        uid="",
        verdict="error",
        rules=(),
        ran=(),
        violations=(),
        revision="",
        dry_run=False,
        break_glass=False,
        authenticated=True,
        milliseconds=0.0,
        reason=f"lost between {lost.since} and {lost.until}: {lost.told()}",
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
