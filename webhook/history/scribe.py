"""The history as written by a process of its own: what writing takes is not taken from the answers of ours."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson

from webhook.errors import HistoryError
from webhook.history.frames import entries_out, frame, lengths, revisions_out
from webhook.history.record import Revision
from webhook.history.rows import Entry, Last, Pruned

# -P: what lies in the current folder is no module of ours.
COMMAND = (sys.executable, "-P", "-m", "webhook.history.scribing")
GRACE_SECONDS = 1.0
"""For it to end by itself, once it is told nothing more."""
CHUNK = 64 * 1024


class Scribe:
    """
    Has things done by the process, one at a time.

    Every method raises `HistoryError` for what the database does not do, and when the process is gone. One that was not
    waited for to its end leaves an answer behind that nobody reads: then nothing more may be asked.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()
        self._owed = False

    async def append(self, entries: Sequence[Entry]) -> None:
        """Keep decisions, each once."""
        await self._do(entries_out(entries))

    async def revise(self, revisions: Sequence[Revision]) -> None:
        """Keep states of objects, each once."""
        await self._do(revisions_out(revisions))

    async def latest(self, api_version: str, kind: str) -> Mapping[str, Last]:
        """Return, by uid, what is known last of each object of a kind, of those that are gone as well."""
        answer = await self._do(frame({"do": "latest", "api_version": api_version, "kind": kind}))
        return {uid: Last(*each) for uid, each in answer["latest"].items()}

    async def prune(self, older_than: str, at_most_bytes: int) -> Pruned:
        """Let go what ended before a time (RFC 3339), then the oldest until no more than so many bytes are kept."""
        head = {"do": "prune", "older_than": older_than, "at_most_bytes": at_most_bytes}
        return Pruned(**await self._do(frame(head)))

    async def open(self, url: str, *, migrate: bool) -> None:
        """Open the history of a URL; without `migrate` it is only read."""
        await self._do(frame({"do": "open", "url": url, "migrate": migrate}))

    async def _do(self, what: bytes) -> dict[str, Any]:
        async with self._turn:
            if self._owed:
                raise HistoryError("the process that writes the history was not waited for")
            self._owed = True
            try:
                answer = await self._answered(what)
            except (OSError, EOFError, ValueError) as error:
                raise HistoryError("the process that writes the history is gone; it is started again") from error
            self._owed = False
        if "error" in answer:
            raise HistoryError(answer["error"])
        return answer

    async def _answered(self, what: bytes) -> dict[str, Any]:
        to, back = self._process.stdin, self._process.stdout
        if to is None or back is None:
            raise EOFError
        for start in range(0, len(what), CHUNK):
            to.write(what[start : start + CHUNK])
            await to.drain()
        head, _ = lengths(await back.readline())
        answer: dict[str, Any] = orjson.loads(await back.readexactly(head))
        return answer


@asynccontextmanager
async def scribe(url: str, *, migrate: bool = True) -> AsyncIterator[Scribe]:
    """Start the process with the history of a URL opened, for the length of the context; raises `HistoryError`."""
    try:
        # Of a session of its own: Ctrl-C is ours to hear, and it ends with its input.
        process = await asyncio.create_subprocess_exec(*COMMAND, stdin=PIPE, stdout=PIPE, start_new_session=True)
    except OSError as error:
        raise HistoryError(f"the process that writes the history cannot be started: {error}") from error
    try:
        found = Scribe(process)
        await found.open(url, migrate=migrate)
        yield found
    finally:
        await _ended(process)


async def _ended(process: Process) -> None:
    """Return once it is gone, by itself or not."""
    if process.stdin:
        process.stdin.close()
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
