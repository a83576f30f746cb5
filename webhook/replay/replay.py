"""
Decides recorded requests again, under two revisions of the rules.

Documents go to OPA in batches, several at once, so that all cores work; what was found is put together in the order of
the records, so the same records give the same replay. A document that came before, but for its time, is decided once
where no rule of either revision reads the time; one that a change does not concern (`screen`) is not decided at all,
but for a few, by which that is checked.
"""

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from webhook.history.record import Verdict
from webhook.replay.deciding import BATCH, Side, alike, decided
from webhook.replay.outcome import Difference, Outcome, difference_of
from webhook.replay.remembered import Remembered
from webhook.replay.screen import Screen
from webhook.replay.shape import as_known
from webhook.replay.tally import Recorded, Replay, Tally, example_of, tenant_of

SCREENED = 256
"""Documents that OPA is asked about at a time of which it only says what some rules find."""
BATCH_BYTES = 1024 * 1024
"""The same by size, as when it decides on them: one that is larger goes alone."""
AT_ONCE = 2
"""Batches that each OPA works on."""
RECORDS = 1024
"""Records that one batch answers, where documents come again and again."""
REMEMBERED = 100_000
"""Documents whose outcome is remembered; one that comes again much later is decided again."""
SAMPLE = 100
"""Of so many documents that a change does not concern one is decided on all the same."""
_TIME = re.compile(rb'\{"request":\{"time":"[0-9T:.Z+-]*",')


class MisjudgedError(Exception):
    """A document that a change does not concern is decided otherwise under it: what it concerns is not understood."""


class _Found(NamedTuple):
    """What came of a document, without the words."""

    verdict: Verdict
    rules: frozenset[str]
    difference: Difference | None
    undecided: bool


@dataclass(slots=True)
class _Question:
    """
    A document that both revisions decide on, and what they said; `outcomes` only until that is put together.

    `rules` are those by which it is known to be decided `alike` where they find the same: none where no rule that
    changed looks at it, None where it has to be decided in any case, as where it is `sampled`.
    """

    document: dict[str, Any]
    rules: tuple[str, ...] | None
    sampled: bool
    alike: bool = False
    found: _Found | None = None
    outcomes: tuple[Outcome, Outcome] | None = None

    @property
    def weight(self) -> int:
        """How much of a batch it is."""
        if self.rules is None or self.sampled:
            return SCREENED // BATCH
        return 1 if self.rules else 0


@dataclass(slots=True)
class _Batch:
    """Questions for OPA, and the records that wait for them, or for some of a batch before."""

    questions: list[_Question] = field(default_factory=list)
    records: list[tuple[Recorded, _Question]] = field(default_factory=list)
    weight: int = 0
    size: int = 0

    @property
    def full(self) -> bool:
        return self.weight >= SCREENED or self.size >= BATCH_BYTES or len(self.records) >= RECORDS


async def replayed(  # noqa: PLR0913 - what is decided, by whom, who is told, and what may be left out
    batches: AsyncIterable[Sequence[Recorded]],
    base: Side,
    head: Side,
    told: Callable[[int], None],
    *,
    screen: Screen | None = None,
) -> Replay:
    """
    Return what `batches` of recorded decisions come to under two revisions; `told` hears how many are done.

    With `screen` only those are decided that the change may concern. Raises `OpaError` where an OPA does not answer or
    has another revision, `MisjudgedError` where the screen is wrong, and what `batches` raises.
    """
    return await _Replaying(base, head, told, screen).run(batches)


class _Replaying:
    """One replay on its way."""

    def __init__(self, base: Side, head: Side, told: Callable[[int], None], screen: Screen | None) -> None:
        self._base = base
        self._head = head
        self._told = told
        self._screen = screen
        self._timed = base.reads_time or head.reads_time
        self._tally = Tally()
        self._asked: Remembered[_Question] = Remembered(REMEMBERED)
        self._same: dict[_Found, _Found] = {}

    async def run(self, batches: AsyncIterable[Sequence[Recorded]]) -> Replay:
        window: deque[tuple[_Batch, asyncio.Task[None]]] = deque()
        try:
            async with aclosing(self._batches(batches)) as those:
                async for batch in those:
                    window.append((batch, asyncio.create_task(self._decide(batch))))
                    if len(window) >= AT_ONCE:
                        await self._finish(*window.popleft())
            while window:
                await self._finish(*window.popleft())
        finally:
            for _, task in window:
                task.cancel()
            await asyncio.gather(*(task for _, task in window), return_exceptions=True)
        return self._tally.replay(self._base.policies.revision, self._head.policies.revision)

    async def _batches(self, batches: AsyncIterable[Sequence[Recorded]]) -> AsyncGenerator[_Batch, None]:
        batch = _Batch()
        async for records in batches:
            for recorded in records:
                self._take(recorded, batch)
                if batch.full:
                    yield batch
                    batch = _Batch()
        yield batch

    def _take(self, recorded: Recorded, batch: _Batch) -> None:
        """Put a record into a batch, unless it is none to be decided again."""
        if recorded.dry_run:
            return self._tally.leave("dry_run")
        if not recorded.document:
            return self._tally.leave("undocumented")
        try:
            key = _key(recorded.document, timed=self._timed)
            question = self._asked.find(key) or self._question(key, recorded, batch)
        except ValueError:
            return self._tally.leave("unreadable")
        self._tally.keep(recorded.time)
        batch.records.append((recorded, question))
        return None

    def _question(self, key: bytes, recorded: Recorded, batch: _Batch) -> _Question:
        known, filled = as_known(recorded.document)
        self._tally.distinct += 1
        self._tally.filled += filled
        rules = self._rules(known, recorded)
        question = _Question(known, rules, rules is not None and int.from_bytes(key[:4]) % SAMPLE == 0)
        self._asked.keep(key, question)
        batch.questions.append(question)
        batch.weight += question.weight
        if question.weight:
            batch.size += len(recorded.document)
        else:
            question.document = {}
        return question

    def _rules(self, document: dict[str, Any], recorded: Recorded) -> tuple[str, ...] | None:
        # What was undecided may be so again, under both revisions: that is told as well.
        if self._screen is None or document["tree"] is not True or recorded.verdict == "error":
            return None
        kind = document["request"]["kind"]
        return self._screen.of(kind["group"], kind["kind"])

    async def _decide(self, batch: _Batch) -> None:
        """Have both revisions decide on what is new in a batch and may be decided otherwise."""
        asked = [(each, each.rules) for each in batch.questions if each.rules is not None]
        compared = [(each, rules) for each, rules in asked if rules]
        same = await alike(self._base, self._head, [(each.document, rules) for each, rules in compared])
        for (question, _), found in zip(compared, same, strict=True):
            question.alike = found
        for question, rules in asked:
            question.alike |= not rules
        left = [each for each in batch.questions if each.sampled or not each.alike]
        documents = [each.document for each in left]
        before, after = await asyncio.gather(
            decided(self._base, "base", documents), decided(self._head, "head", documents)
        )
        for question, one, other in zip(left, before, after, strict=True):
            question.outcomes = (one, other)

    async def _finish(self, batch: _Batch, task: "asyncio.Task[None]") -> None:
        """Count what came of a batch, after all before it."""
        await task
        for question in batch.questions:
            self._put(question)
        for recorded, question in batch.records:
            self._count(recorded, question)
        for question in batch.questions:
            question.document, question.outcomes = {}, None
        self._told(self._tally.records)

    def _put(self, question: _Question) -> None:
        """Put together what came of a document."""
        if question.alike:
            self._tally.screened += bool(question.rules)
            self._tally.untouched += not question.rules
        if question.outcomes is None:
            return
        before, after = question.outcomes
        if question.alike:
            self._tally.sampled += 1
            if before != after:
                raise MisjudgedError
        undecided = bool(before.reason and after.reason)
        found = _Found(before.verdict, before.rules, difference_of(before, after), undecided)
        # There are few different ones: one object for all that are alike.
        question.found = self._same.setdefault(found, found)

    def _count(self, recorded: Recorded, question: _Question) -> None:
        found = question.found
        if found is None:
            if not question.alike:
                raise RuntimeError("a record was counted before its document was decided")
            return
        self._tally.otherwise += (recorded.verdict, frozenset(recorded.rules)) != (found.verdict, found.rules)
        self._tally.undecided += found.undecided
        if found.difference is None:
            return
        example = None
        if question.outcomes:
            before, after = (each.message(found.difference.rule) for each in question.outcomes)
            example = example_of(recorded, before, after)
        self._tally.differs(tenant_of(recorded.tenants), found.difference, example)


def _key(document: bytes, *, timed: bool) -> bytes:
    """Return what two documents have in common that are decided alike; raises `ValueError` for what is none."""
    return hashlib.sha256(document if timed else _timeless(document)).digest()


def _timeless(document: bytes) -> bytes:
    """Return a document without the time of its request."""
    # As the history gives it, without reading it: there are many.
    if begin := _TIME.match(document):
        return b'{"request":{%b' % document[begin.end() :]
    match read := orjson.loads(document):
        case {"request": dict(request)}:
            request.pop("time", None)
    return orjson.dumps(read)
