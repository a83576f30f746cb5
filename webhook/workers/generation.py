"""
How many changes there were, in memory that all processes share: whoever knows of fewer does not decide.

The process that watches raises the number before it tells anybody of a change, itself included. A worker reads it as
each decision begins: no lock, no call of the kernel. Each number is 8 bytes at a multiple of 8, which a processor of
64 bits writes and reads at once.
"""

import mmap
import os
import time
from typing import Self

SIZE = mmap.PAGESIZE
SILENT_SECONDS = 5.0
"""Without a beat for so long the watcher has stopped: what it would tell nobody tells."""
BEAT_SECONDS = 0.25

_NUMBER, _RAISED, _BEAT = range(3)
"""Where the words stand: the number, when it was raised last, and when the watcher was alive last (monotonic, ns)."""


class Generation:
    """The number; made by `new` where it is raised, by `of` where it is only read."""

    def __init__(self, fd: int, *, ours: bool) -> None:
        self.fd = fd
        access = mmap.PROT_READ | mmap.PROT_WRITE if ours else mmap.PROT_READ
        self._words = memoryview(mmap.mmap(fd, SIZE, mmap.MAP_SHARED, access)).cast("Q")

    @classmethod
    def new(cls) -> Self:
        """Return one that begins at 0, in memory that is gone with those who have it."""
        fd = os.memfd_create("portcullis-generation")
        os.ftruncate(fd, SIZE)
        found = cls(fd, ours=True)
        found.beat()
        return found

    @classmethod
    def of(cls, fd: int) -> Self:
        """Return the one of a file descriptor that was inherited; it cannot be written to."""
        return cls(fd, ours=False)

    @property
    def number(self) -> int:
        """How many changes there were."""
        return self._words[_NUMBER]

    @property
    def raised_at(self) -> int:
        """When the last change came, in nanoseconds of the monotonic clock, which all processes of a machine share."""
        return self._words[_RAISED]

    def silent(self) -> bool:
        """Say whether the watcher has given no sign of life for too long."""
        return time.monotonic_ns() - self._words[_BEAT] > SILENT_SECONDS * 1e9

    def raised(self) -> int:
        """Count a change, before anybody is told of it, and return its number."""
        self._words[_NUMBER] = number = self._words[_NUMBER] + 1
        self._words[_RAISED] = time.monotonic_ns()
        return number

    def beat(self) -> None:
        """Give a sign of life."""
        self._words[_BEAT] = time.monotonic_ns()
