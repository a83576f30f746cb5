"""One kind of thing on its way into the store: batch by batch, and past what the store never takes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar

from webhook.history.buffer import Waiting
from webhook.history.figures import Figures
from webhook.history.record import Revision
from webhook.history.rows import Entry

T = TypeVar("T")

MOST = 256
"""In a batch."""
SIZE = 4 * 1024 * 1024
"""Bytes of a batch."""
TRIES = 3
"""After so many, one that fails while others are taken is let go."""
WRITE_SECONDS = 15.0
"""For a batch: a connection that hangs says nothing. SQLite itself waits 10 s for another's lock, and says so."""


class Store(Protocol):
    """The two calls that recording makes on the history's database."""

    async def append(self, entries: Sequence[Entry]) -> None:
        """Keep decisions, each once; raises `HistoryError`."""
        ...

    async def revise(self, revisions: Sequence[Revision]) -> None:
        """Keep states of objects, each once; raises `HistoryError`."""
        ...


Write = Callable[[Store, Sequence[T]], Awaitable[None]]


@dataclass(slots=True)
class Lane(Generic[T]):
    """What of one `kind` waits, and how it is written."""

    kind: Literal["decision", "revision"]
    waiting: Waiting[T]
    write: Write[T]
    figures: Figures
    written: int = 0
    _most: int = MOST
    _failures: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Of single ones: how often, and how many others had been written at the first time."""

    async def flush(self, store: Store) -> None:
        """Write what waits by now; raises `HistoryError` or `TimeoutError`, and what was not written waits on."""
        left = len(self.waiting)
        while left > 0:
            batch = self.waiting.first(min(self._most, left), SIZE)
            begin = time.perf_counter()
            async with asyncio.timeout(WRITE_SECONDS):
                await self.write(store, batch)
            self.figures.write_seconds.observe(time.perf_counter() - begin)
            self._done(batch)
            left -= len(batch)

    def _done(self, batch: Sequence[T]) -> None:
        self.waiting.done(len(batch))
        self.written += len(batch)
        self.figures.recorded.labels(self.kind).inc(len(batch))
        self._most = min(self._most * 2, MOST)
        for each in batch if self._failures else ():
            self._failures.pop(id(each), None)

    def failed(self) -> bool:
        """
        Hear that a batch was not written: the next one is smaller, and one that fails alone goes behind the others.

        Say whether that one was let go, since the store takes all others.
        """
        batch = self.waiting.first(self._most, SIZE)
        if len(batch) != 1:
            self._most = max(1, min(self._most, len(batch)) // 2)
            return False
        (one,) = batch
        tries, written = self._failures.get(id(one), (0, self.written))
        if tries + 1 >= TRIES and self.written > written:
            self.waiting.done(1)
            self._failures.pop(id(one), None)
            return True
        self._failures[id(one)] = tries + 1, written
        self.waiting.later()
        return False
