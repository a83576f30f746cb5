"""
A worker's copy of the tree, fed by the process that watches; and whether it is as new as what was watched.

A copy that lags is no ground to decide on: a role that was taken from somebody a moment ago would still count. So a
decision begins only when all is known that the watcher had heard by then.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from webhook.errors import NoDecisionError
from webhook.mirror import Cut
from webhook.tenancy.live import LiveTree
from webhook.tenancy.tree import Tree
from webhook.workers.channel import Head, unpacked
from webhook.workers.generation import Generation

LOOK_SECONDS = 0.05
"""Between two looks for a sign of life, where nothing is told that would wake whoever waits."""


class Deciding(Protocol):
    """Holds the policies."""

    def demand(self, revision: str) -> None:
        """Have those of a revision decide from here on."""
        ...

    def lacking(self) -> bool:
        """Say whether they are not here yet."""
        ...


class Following:
    """
    The copy; `hear` takes each frame of the feed, in their order.

    `deciding` is told of the revision of the policies that are to decide from a number on.
    """

    def __init__(self, generation: Generation, deciding: Deciding) -> None:
        self.lost = False
        """Set when nobody feeds us any more."""
        self._generation = generation
        self._deciding = deciding
        self._held: LiveTree | Tree | None = None
        self._cuts: dict[str, Cut] = {}
        self._applied = -1
        """The number of the last change that we know of, -1 while we know of nothing."""
        self._moved = asyncio.Event()

    def tree(self) -> Tree | None:
        """Return the tree of now."""
        return self._held.tree if isinstance(self._held, LiveTree) else self._held

    def cut(self, kind: str) -> bool:
        """Say whether the watch of a kind is cut, see `Mirror`."""
        cut = self._cuts.get(kind)
        return cut is not None and not cut.over(time.monotonic())

    def reached(self, kind: str, version: str) -> bool:
        """Say whether what was stored as `version` has been told, see `LiveTree`."""
        return not isinstance(self._held, LiveTree) or self._held.reached(kind, version)

    def reborn(self, namespace: str) -> bool:
        """Say whether a namespace may stand for a former one of its name, see `LiveTree`."""
        return isinstance(self._held, LiveTree) and self._held.reborn(namespace)

    def behind(self) -> bool:
        """Say whether there was a change that we do not know of, or nobody who would tell."""
        generation = self._generation
        return self._applied != generation.number or self.lost or generation.silent() or self._deciding.lacking()

    async def caught_up(self, *, seconds: float) -> None:
        """Return once all is known that there was when it was asked; raises `NoDecisionError` after `seconds`."""
        wanted = self._generation.number
        try:
            async with asyncio.timeout(seconds):
                while self._applied < wanted or self._generation.silent() or self._deciding.lacking():
                    if self.lost:
                        break
                    self._moved.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_SECONDS):
                            await self._moved.wait()
        except TimeoutError as error:
            raise _behind(f"did not reach this worker within {seconds:.1f} s") from error
        if self.lost:
            raise _behind("reaches this worker no more, and it is started again")

    def hear(self, head: Head, body: bytes) -> None:
        """Take a frame; raises `ValueError` where one before it is missing."""
        number: int = head["number"]
        if head["do"] == "state":
            self._held, self._cuts = unpacked(body)
            self._deciding.demand(head["revision"])
        elif number != self._applied + 1:
            raise ValueError(f"the change {number} came after {self._applied}")
        else:
            self._apply(head, unpacked(body))
        self._applied = number
        self._moved.set()

    def lose(self) -> None:
        """Hear that nobody feeds us any more."""
        self.lost = True
        self._moved.set()

    def _apply(self, head: Mapping[str, Any], thing: Any) -> None:
        match head["do"]:
            case "swap":
                self._deciding.demand(head["revision"])
            case "cut" if thing is None:
                self._cuts.pop(head["kind"], None)
            case "cut":
                self._cuts[head["kind"]] = thing
            case change:
                self._change(change, head, thing)

    def _change(self, change: str, head: Mapping[str, Any], thing: Any) -> None:
        live = self._held
        if not isinstance(live, LiveTree):
            raise TypeError("files do not change")
        match change:
            case "reset":
                live.reset(head["kind"], thing, head["version"])
            case "put":
                live.put(head["kind"], thing)
            case "drop":
                live.drop(head["kind"], thing)
            case "absent":
                live.absent(head["kind"])
            case _:
                raise ValueError(f"there is no change {change}")


def _behind(why: str) -> NoDecisionError:
    return NoDecisionError(f"what was told of the cluster just now {why}", retry=True, cause="behind")
