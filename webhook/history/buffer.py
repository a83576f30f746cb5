"""What waits to be written, within bounds, and what did not fit."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, Literal, TypeVar

T = TypeVar("T")
What = Literal["decision", "document", "revision"]
Why = Literal["full", "unmasked", "unreadable", "refused", "stopped"]
"""
The buffer was full; Rego did not say what to mask; it is no JSON; the database took everything but this; and we were
stopped before it could be written.
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait: so many, of so many bytes together."""

    most: int
    size: int


@dataclass(slots=True)
class Waiting(Generic[T]):
    """A queue within bounds; what does not fit is not taken, so that what is lost is one piece of time."""

    bounds: Bounds
    size: int = 0
    _held: deque[tuple[T, int]] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self._held)

    def put(self, each: T, size: int) -> bool:
        """Take one where there is room, and say whether there was."""
        if len(self._held) >= self.bounds.most or self.size + size > self.bounds.size:
            return False
        self._held.append((each, size))
        self.size += size
        return True

    def first(self, most: int, size: int) -> list[T]:
        """Return the first ones, at least one where there is any, and no more of them than so many bytes."""
        found: list[T] = []
        for each, own in islice(self._held, most):
            size -= own
            if found and size < 0:
                break
            found.append(each)
        return found

    def done(self, count: int) -> None:
        """Let the first ones go."""
        for _ in range(count):
            self.size -= self._held.popleft()[1]

    def later(self) -> None:
        """Put the first one behind all others."""
        self._held.rotate(-1)


@dataclass(slots=True)
class Lost:
    """What was lost since it was last written down; `since` and `until` are the times of the first and the last."""

    counts: Counter[tuple[What, Why]] = field(default_factory=Counter)
    since: str = ""
    until: str = ""

    def add(self, what: What, why: Why, time: str) -> None:
        """Count one."""
        self.since = self.since or time
        self.until = time
        self.counts[what, why] += 1

    def told(self) -> str:
        """Say it in words: `12 decisions (full), 3 documents (unmasked)`."""
        return ", ".join(
            f"{count} {what}{'s' * (count > 1)} ({why})" for (what, why), count in sorted(self.counts.items())
        )

    def less(self, counts: Mapping[tuple[What, Why], int]) -> None:
        """Take off what has been written down."""
        self.counts -= Counter(counts)
        self.since = self.until if self.counts else ""
