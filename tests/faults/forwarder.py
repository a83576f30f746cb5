"""
TCP forwarders on 127.0.0.1: one before our processes, as a Service is, and one between them and the API server.

They live on an event loop in a thread of its own, so that a test may cut, slow and ask them from its own thread.
"""

import asyncio
import itertools
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
CHUNK = 64 * 1024
PROBE_SECONDS = 0.2
"""Between two looks at the health of a target."""
SILENCE_SECONDS = 2.0
SILENCES = 2
"""A target that has not answered so often, for so long each time, is not healthy: as manifests/base/deployment.yaml has
it. One that refuses or says so is not at once."""

_UNVERIFIED = ssl._create_unverified_context()  # noqa: S323 - as a kubelet, which verifies no probe's certificate


@dataclass(eq=False)
class Pipe:
    """One connection through a forwarder, to the port `target`."""

    target: int
    near: asyncio.StreamWriter
    far: asyncio.StreamWriter

    def cut(self) -> None:
        """End both sides at once."""
        for each in (self.near, self.far):
            each.transport.abort()


class Forwarder:
    """Passes on connections; each goes to the port that `pick` names, nowhere where it names none."""

    def __init__(self) -> None:
        self.latency = 0.0
        """Seconds that what a client sends is held back."""
        self._pipes: set[Pipe] = set()
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The base of what is behind it."""
        return f"https://{LOOPBACK}:{self.port}"

    async def open(self) -> None:
        """Listen on any free port."""
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)

    async def close(self) -> None:
        """Listen no more and end every connection."""
        assert self._server
        self._server.close()
        await self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cut(self, *targets: int) -> None:
        """End the connections to `targets`, all where none is named."""
        for pipe in list(self._pipes):
            if not targets or pipe.target in targets:
                pipe.cut()

    async def delay(self, seconds: float) -> None:
        """Hold back for so long what clients send from now on; what is held back when it gets less goes at once."""
        self.latency = seconds
        self._changed.set()
        self._changed = asyncio.Event()

    def pick(self) -> int | None:
        """Name the port that the next connection goes to."""
        raise NotImplementedError

    def begin(self, task: "asyncio.Task[None]") -> None:
        """Keep a task until it ends or we do."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.begin(asyncio.ensure_future(self._pass(reader, writer)))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = self.pick()
        try:
            if target is None:
                raise ConnectionRefusedError
            back, far = await asyncio.open_connection(LOOPBACK, target)
        except OSError:
            writer.transport.abort()
            return
        pipe = Pipe(target, writer, far)
        self._pipes.add(pipe)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, far))
                tasks.create_task(_copy(back, writer))
        finally:
            self._pipes.discard(pipe)
            writer.close()
            far.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what a client sends, each piece when it is due."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def read() -> None:
            data = b"first"
            while data:
                data = await _read(reader)
                await pieces.put((time.monotonic(), data))

        reading = asyncio.create_task(read())
        try:
            while True:
                came, data = await pieces.get()
                while (rest := came + self.latency - time.monotonic()) > 0:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), rest)
                if not data:
                    break
                if not await _write(writer, data):
                    break
        finally:
            reading.cancel()
        with suppress(OSError):
            writer.write_eof()


class Link(Forwarder):
    """The way to the API server, or to whatever else listens on one port; while it is `down` nobody gets through."""

    def __init__(self, target: int) -> None:
        super().__init__()
        self._target = target
        self.down = False

    def pick(self) -> int | None:
        return None if self.down else self._target


class Balancer(Forwarder):
    """Passes connections on to those of the targets whose /readyz says so, in turns, and cuts those to the others."""

    def __init__(self, targets: Iterable[int]) -> None:
        super().__init__()
        self._well = dict.fromkeys(targets, False)
        self._turns = itertools.count()

    @property
    def healthy(self) -> list[int]:
        """Give the ports of the targets that are healthy."""
        return [target for target, well in self._well.items() if well]

    async def open(self) -> None:
        await super().open()
        for target in self._well:
            self.begin(asyncio.create_task(self._watch(target)))

    def pick(self) -> int | None:
        healthy = self.healthy
        return healthy[next(self._turns) % len(healthy)] if healthy else None

    async def _watch(self, target: int) -> None:
        """Ask a target for its health, for ever."""
        silent = 0
        while True:
            begin = time.monotonic()
            well, before = False, self._well[target]
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    well = await _ready(target)
                silent = 0
            except TimeoutError:
                silent += 1
                well = before and silent < SILENCES
            except OSError:
                silent = 0
            self._well[target] = well
            if before and not well:
                await self.cut(target)
            await asyncio.sleep(max(0.0, PROBE_SECONDS - (time.monotonic() - begin)))


async def _ready(port: int) -> bool:
    """Ask /readyz, as a kubelet does: on a connection of its own, whatever the certificate."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=_UNVERIFIED)
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b" 200 " in await reader.readline()
    finally:
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(CHUNK)
    except OSError:
        return b""


async def _write(writer: asyncio.StreamWriter, data: bytes) -> bool:
    try:
        writer.write(data)
        await writer.drain()
    except OSError:
        return False
    return True


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what a server answers, then end the other side."""
    while data := await _read(reader):
        if not await _write(writer, data):
            break
    writer.close()
