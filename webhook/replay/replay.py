"""
Decides recorded requests again, under two revisions of the rules.

Documents go to OPA in batches, several at once, so that all cores work; what was found is put together in the order of
the records, so the same records give the same replay. A document that came before, but for its time, is decided once
where no rule of either revision reads the time. Of an OPA that fails there is no replay: what was not decided must not
look like what did not change.
"""

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from webhook.decision.opa import Opa, decide_many, probe
from webhook.errors import NoDecisionError, OpaError
from webhook.history.record import Verdict
from webhook.model import Decision, Policies
from webhook.replay.outcome import Difference, Outcome, difference_of, outcome_of
from webhook.replay.remembered import Remembered
from webhook.replay.shape import as_known
from webhook.replay.tally import Recorded, Replay, Tally, example_of, tenant_of

BATCH = 64
"""Documents that OPA is asked about at a time."""
BATCH_BYTES = 1024 * 1024
"""The same by size: one that is larger goes alone."""
AT_ONCE = 2
"""Batches that each OPA works on."""
RECORDS = 1024
"""Records that one batch answers, where documents come again and again."""
REMEMBERED = 100_000
"""Documents whose outcome is remembered; one that comes again much later is decided again."""
SECONDS = 60.0
"""For a batch, and for one document alone: nobody waits for an admission."""
_TIME = re.compile(rb'\{"request":\{"time":"[0-9T:.Z+-]*",')


@dataclass(frozen=True, slots=True)
class Side:
    """A revision of the rules: an OPA that has it, what its answers have to show, and whether a rule reads the time."""

    opa: Opa
    policies: Policies
    reads_time: bool = True


class _Found(NamedTuple):
    """What came of a document, without the words."""

    verdict: Verdict
    rules: frozenset[str]
    difference: Difference | None
    undecided: bool


@dataclass(slots=True)
class _Question:
    """A document that both revisions decide on, and what they said; `outcomes` only until that is put together."""

    document: dict[str, Any]
    found: _Found | None = None
    outcomes: tuple[Outcome, Outcome] | None = None


@dataclass(slots=True)
class _Batch:
    """Questions for OPA, and the records that wait for them, or for some of a batch before."""

    questions: list[_Question] = field(default_factory=list)
    records: list[tuple[Recorded, _Question]] = field(default_factory=list)
    size: int = 0

    @property
    def full(self) -> bool:
        return len(self.questions) >= BATCH or self.size >= BATCH_BYTES or len(self.records) >= RECORDS


async def replayed(
    batches: AsyncIterable[Sequence[Recorded]], base: Side, head: Side, told: Callable[[int], None]
) -> Replay:
    """
    Return what `batches` of recorded decisions come to under two revisions; `told` hears how many are done.

    Raises `OpaError` where an OPA does not answer or has another revision, and what `batches` raises.
    """
    return await _Replaying(base, head, told).run(batches)


class _Replaying:
    """One replay on its way."""

    def __init__(self, base: Side, head: Side, told: Callable[[int], None]) -> None:
        self._base = base
        self._head = head
        self._told = told
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
            question = self._asked.find(key) or self._question(key, recorded.document, batch)
        except ValueError:
            return self._tally.leave("unreadable")
        self._tally.keep(recorded.time)
        batch.records.append((recorded, question))
        return None

    def _question(self, key: bytes, document: bytes, batch: _Batch) -> _Question:
        known, filled = as_known(document)
        self._tally.distinct += 1
        self._tally.filled += filled
        question = _Question(known)
        self._asked.keep(key, question)
        batch.questions.append(question)
        batch.size += len(document)
        return question

    async def _decide(self, batch: _Batch) -> None:
        """Have both revisions decide on what is new in a batch."""
        documents = [each.document for each in batch.questions]
        before, after = await asyncio.gather(
            _decided(self._base, "base", documents), _decided(self._head, "head", documents)
        )
        for question, one, other in zip(batch.questions, before, after, strict=True):
            question.outcomes = (one, other)

    async def _finish(self, batch: _Batch, task: "asyncio.Task[None]") -> None:
        """Count what came of a batch, after all before it."""
        await task
        for question in batch.questions:
            question.found = self._found(question)
        for recorded, question in batch.records:
            self._count(recorded, question)
        for question in batch.questions:
            question.document, question.outcomes = {}, None
        self._told(self._tally.records)

    def _found(self, question: _Question) -> _Found:
        if question.outcomes is None:
            raise RuntimeError("a batch was put together before it was decided")
        before, after = question.outcomes
        undecided = bool(before.reason and after.reason)
        found = _Found(before.verdict, before.rules, difference_of(before, after), undecided)
        # There are few different ones: one object for all that are alike.
        return self._same.setdefault(found, found)

    def _count(self, recorded: Recorded, question: _Question) -> None:
        found = question.found
        if found is None:
            raise RuntimeError("a record was counted before its document was decided")
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


async def _decided(side: Side, name: str, documents: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    answers = await decide_many(side.opa, documents, side.policies, seconds=SECONDS)
    return [outcome_of(await _sure(side, name, *each)) for each in zip(documents, answers, strict=True)]


async def _sure(
    side: Side, name: str, document: Mapping[str, Any], answer: Decision | NoDecisionError
) -> Decision | NoDecisionError:
    """Return an answer that is about the document and not about its OPA; raises `OpaError` where that is in trouble."""
    if isinstance(answer, NoDecisionError) and answer.cause == "revision" and answer.retry:
        # Undefined for this document, or by an OPA that has just come back without its rules: asked again, with them.
        await whole(side, name)
        (answer,) = await decide_many(side.opa, [document], side.policies, seconds=SECONDS)
    if isinstance(answer, NoDecisionError) and answer.cause in {"unreachable", "late"}:
        raise _unsure(name, answer)
    return answer


async def whole(side: Side, name: str) -> None:
    """Make sure that an OPA has all of its rules; raises `OpaError`."""
    try:
        await probe(side.opa, side.policies, seconds=SECONDS)
    except NoDecisionError as error:
        raise _unsure(name, error) from error


def _unsure(name: str, error: NoDecisionError) -> OpaError:
    return OpaError(f"the {name} revision could not decide all that was recorded: {error}; there is no replay")
