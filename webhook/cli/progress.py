"""How far a long command is: a line on a terminal that is written over and over, and nothing anywhere else."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

STEP = 25
"""Things between two looks at it."""


@contextmanager
def progress() -> "Iterator[_Progress]":
    """Show how many things are judged, on a terminal alone; the line is gone afterwards."""
    shown = _Progress(sys.stderr.isatty())
    try:
        yield shown
    finally:
        shown.end()


class _Progress:
    """One line that is written over and over."""

    def __init__(self, shown: bool) -> None:  # noqa: FBT001 - there is nothing else to say
        self._shown = shown
        self._written = False
        self._last = 0

    def __call__(self, done: int) -> None:
        """Hear that so many things are judged."""
        if self._shown and done - self._last >= STEP:
            self._last = done
            sys.stderr.write(f"\rportcullis: {done} judged")
            sys.stderr.flush()
            self._written = True

    def end(self) -> None:
        """Take the line away."""
        if self._written:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
