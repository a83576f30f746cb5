"""Many connections that ask one thing of a webhook without a pause, and note what was known as each was sent."""

import asyncio
import json
import os
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from webhook.workers.generation import Generation

Json = dict[str, Any]


class Answer(NamedTuple):
    """One request: what the watcher had heard before it was sent, when it was and its answer came (monotonic, ns)."""

    number: int
    sent: int
    came: int
    allowed: bool
    code: int
    revision: str


def generation_of(pid: int) -> Generation:
    """Return the number that a `serve` with workers shares with them, as they have it."""
    folder = Path(f"/proc/{pid}/fd")
    found = next(each for each in folder.iterdir() if "portcullis-generation" in str(each.readlink()))
    return Generation.of(os.open(found, os.O_RDONLY))


@dataclass
class Crowd:
    """Asks from when it is entered until it is left; `answers` grows meanwhile."""

    port: int
    review: Json
    generation: Generation
    trust: ssl.SSLContext
    connections: int = 24
    answers: list[Answer] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    """Requests that got no answer, by why; each was on a connection of its own."""
    _over: bool = False

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask_all()), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join(30)
        assert not self._thread.is_alive()

    async def _ask_all(self) -> None:
        body = json.dumps(self.review).encode()
        head = "POST /validate?timeout=10s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        sent = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
        await asyncio.gather(*(self._ask(sent) for _ in range(self.connections)))

    async def _ask(self, sent: bytes) -> None:
        while not self._over:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust)
            except OSError as error:
                self.failures[f"connect: {type(error).__name__}"] += 1
                await asyncio.sleep(0.05)
                continue
            try:
                while await self._asked(sent, reader, writer) and not self._ended():
                    pass
            except (OSError, EOFError) as error:
                self.failures[type(error).__name__] += 1
            finally:
                writer.transport.abort()

    def _ended(self) -> bool:
        return self._over

    async def _asked(self, sent: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Ask once, and say whether the connection may be used again."""
        number, begin = self.generation.number, time.monotonic_ns()
        writer.write(sent)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        answer = json.loads(await reader.readexactly(int(length.split(b":")[1])))["response"]
        code = answer.get("status", {}).get("code", 200)
        revision = answer["auditAnnotations"]["policy-revision"]
        self.answers.append(Answer(number, begin, time.monotonic_ns(), answer["allowed"], code, revision))
        return b"connection: close" not in head
