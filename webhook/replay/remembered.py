"""What is known of the last so many things."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Things by the digests of what they come of, the `most` last ones: memory does not grow beyond that."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._things: dict[bytes, T] = {}

    def find(self, digest: bytes) -> T | None:
        """Return what is known of it, None where that is nothing, or was long ago."""
        return self._things.get(digest)

    def keep(self, digest: bytes, thing: T) -> None:
        """Know it from here on, in place of what has been known longest."""
        self._things[digest] = thing
        if len(self._things) > self._most:
            del self._things[next(iter(self._things))]
