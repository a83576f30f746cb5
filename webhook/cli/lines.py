"""
Lines for a file whose reader may be slow: whoever writes one never waits.

A thread writes what has come, many at once. What waits is bounded; what does not fit is lost, counted and told.
"""

import json
import os
import select
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

PAUSE = 0.02
"""Seconds for which lines are gathered: a thread that ran for each would cost more than the line."""
MOST = 10_000
"""Lines that may wait: at 1,000 a second a reader may be away for ten seconds."""
BATCH = 256
AT_ONCE = 4096
"""Bytes of a write: a pipe takes so many in one piece (PIPE_BUF), whatever other processes write there."""
GOODBYE_SECONDS = 2.0
"""For the last lines, where nobody reads them."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Lines:
    """What is written to the descriptor `file`; the thread begins with the first line."""

    file: int
    _waiting: deque[bytes] = field(default_factory=deque)
    """A line leaves it once it is written."""
    _any: threading.Event = field(default_factory=threading.Event)
    _of: int = 0
    """The process that the thread is in: one that is forked has no thread, and what waited is not its to tell."""
    _lost: int = 0

    def put(self, line: bytes) -> None:
        """Take a line, which ends in a newline."""
        if self._of != os.getpid():
            self._begin()
        if len(self._waiting) >= MOST:
            self._lost += 1
            return
        self._waiting.append(line)
        if not self._any.is_set():
            self._any.set()

    def write(self, text: str) -> int:
        """Take the text of a line, as a file does."""
        self.put(text.encode(errors="backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Do nothing, for it is written in a moment; `finish` waits for that."""

    def finish(self) -> None:
        """Return once all is written, or nobody has read for a while."""
        until = time.monotonic() + GOODBYE_SECONDS
        while self._of == os.getpid() and self._waiting and time.monotonic() < until:
            time.sleep(0.002)

    def _begin(self) -> None:
        self._of = os.getpid()
        self._waiting.clear()
        self._any = threading.Event()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._any.wait()
            time.sleep(PAUSE)
            self._any.clear()
            while waiting := min(len(self._waiting), BATCH):
                for piece in _pieces(self._waiting[number] for number in range(waiting)):
                    _write(self.file, piece)
                for _ in range(waiting):
                    self._waiting.popleft()
            if self._lost:
                self._tell_lost()

    def _tell_lost(self) -> None:
        lost, self._lost = self._lost, 0
        told = {"lines": lost, "event": "log lost, for nobody read it", "level": "error"}
        _write(self.file, json.dumps(told).encode() + b"\n")


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield whole lines, as many as go into one write; a longer one alone."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) > AT_ONCE:
            yield piece
            piece = b""
        piece += line
    yield piece


def _write(file: int, piece: bytes) -> None:
    """Write all of it, however long that takes; where nobody can read it any more it is gone."""
    left = memoryview(piece)
    with suppress(OSError):
        while left:
            try:
                left = left[os.write(file, left) :]
            except BlockingIOError:
                select.select((), (file,), ())
