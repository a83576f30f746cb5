"""
The process that writes the history: `python -m webhook.history.scribing`, started by `scribe`.

What SQLAlchemy and the drivers take would be taken from the answers of the webhook. Told what to do on standard input,
one frame after the other, it answers each on standard output, and ends with its input: when we end, however.
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any

from webhook.errors import HistoryError
from webhook.history.frames import entries_in, frame, read, revisions_in
from webhook.history.store import Store, opened

NICE = 10
"""Whoever answers reviews goes first."""


class _Hand:
    """The store, from the frame that opens it on."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._store: Store | None = None

    async def do(self, head: dict[str, Any], body: bytes) -> dict[str, Any]:
        """Do what a frame says, and return the answer."""
        try:
            if head["do"] == "open":
                self._store = await self._stack.enter_async_context(opened(head["url"], migrate=head["migrate"]))
                return {}
            if self._store is None:
                return {"error": "the history is not open"}
            return await _done(self._store, head, body)
        except HistoryError as error:
            return {"error": str(error)}


async def _done(store: Store, head: dict[str, Any], body: bytes) -> dict[str, Any]:
    match head["do"]:
        case "append":
            await store.append(entries_in(head, body))
        case "revise":
            await store.revise(revisions_in(body))
        case "latest":
            found = await store.latest(head["api_version"], head["kind"])
            return {"latest": {uid: list(each) for uid, each in found.items()}}
        case "prune":
            return asdict(await store.prune(older_than=head["older_than"], at_most_bytes=head["at_most_bytes"]))
        case unknown:
            return {"error": f"nobody knows how to {unknown}"}
    return {}


def _give_way() -> None:
    """Run while nobody else wants to: whoever waits for an answer never waits for its record."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:  # a sandbox that forbids it
        os.nice(NICE)


def main() -> None:
    """Do what is said on standard input until its end."""
    _give_way()
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        hand = _Hand(stack)
        try:
            while found := read(sys.stdin.buffer):
                sys.stdout.buffer.write(frame(runner.run(hand.do(*found))))
                sys.stdout.buffer.flush()
        finally:
            runner.run(stack.aclose())


if __name__ == "__main__":
    main()
