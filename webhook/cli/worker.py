"""
A worker of `serve --workers`: answers reviews by what the process that started it tells it.

It has the certificate, the policies and a copy of the tree; it watches nothing, and all that is to be told of it goes
to the process that does. `main` is what is started, see `webhook/cli/workers.py`.
"""

import asyncio
import socket
import sys
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from math import inf
from typing import Any

import structlog
import uvloop
from starlette.responses import Response

from webhook.admission import Gate
from webhook.app import app_of
from webhook.cli.beside import listening
from webhook.cli.garbage import let_lie
from webhook.cli.journal import Journal
from webhook.cli.lag import measure_lag
from webhook.cli.lines import Lines
from webhook.cli.logs import log_to_stderr
from webhook.cli.policing import Policing
from webhook.health import readiness
from webhook.server import AnyCallers, CertifiedCallers, Server, Stop, Tls
from webhook.settings import ServeSettings
from webhook.workers.asking import Asking
from webhook.workers.channel import Channel, Head, unpacked
from webhook.workers.door import Entrance
from webhook.workers.following import Deciding, Following
from webhook.workers.generation import Generation
from webhook.workers.telling import Telling

PAGE_SECONDS = 5.0
"""For what is told over HTTP of how it goes."""
MOST_LAGS = 1_000
"""Observations that are kept until the process that watches asks for them, as it does every second."""

Follow = Callable[[Generation, Deciding], Following]
"""Makes the copy of the tree, which says by itself whether a decision may begin."""


def main(follow: Follow = Following) -> None:
    """
    Answer until the process that started us has us stop, or is gone; the arguments are file descriptors.

    Tests follow in ways of their own: later, and without looking whether all is known.
    """
    channel, door, generation = map(int, sys.argv[1:])
    with log_to_stderr() as lines, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work((channel, door), Generation.of(generation), follow, lines))


async def _work(ends: tuple[int, int], generation: Generation, follow: Follow, lines: Lines | None) -> None:
    channel, door = ends
    worker = Worker(generation, follow, lines)
    await asyncio.get_running_loop().create_unix_connection(lambda: worker.channel, sock=socket.socket(fileno=channel))
    await worker.run(socket.socket(fileno=door))


class Worker:
    """One worker, from its first frame to its end."""

    def __init__(self, generation: Generation, follow: Follow, lines: Lines | None) -> None:
        self._lines = lines
        self._number = 0
        self.channel = Channel(self._hear)
        self._begun: asyncio.Future[tuple[int, ServeSettings]] = asyncio.get_running_loop().create_future()
        self._policing = Policing(lambda what, revision: self.channel.send({"do": what, "revision": revision}))
        self._following = follow(generation, self._policing)
        self._told = False
        """Whether we were told to stop."""
        self._late = deque[float](maxlen=MOST_LAGS)
        """How late our event loop was since we were last asked."""
        self._server: Server | None = None
        self._entrance: Entrance
        self.channel.gone.add_done_callback(lambda _: self._lose())

    async def run(self, door: socket.socket) -> None:
        """Answer until told to stop."""
        self._number, settings = await self._begun
        # On every line of its log.
        structlog.contextvars.bind_contextvars(worker=self._number)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._policing.end)
            begun = asyncio.ensure_future(self._policing.begun.wait())
            waited: set[asyncio.Future[Any]] = {begun, self._policing.failed, self.channel.gone}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self.channel.gone.done():
                return
            if self._policing.failed.done():
                await self._policing.failed
            await self._serve(settings, door)
        # What is still to be told is told before we are gone.
        self.channel.close()
        await self.channel.gone

    async def _serve(self, settings: ServeSettings, door: socket.socket) -> None:
        tls = Tls(settings.cert_dir / "tls.crt", settings.cert_dir / "tls.key", settings.client_ca)
        server = self._server = Server.of(
            app_of(
                self._gate(settings),
                CertifiedCallers() if settings.client_ca else AnyCallers(),
                _Pages(self.channel),
                Telling(self.channel, documents=False),
            ),
            settings.host,
            settings.port,
            tls=tls if settings.tls else None,
        )
        # It drains for as long as connections are handed to it, which is not its to say.
        server.stop = Stop(inf)
        self._entrance = Entrance(door, server.take)
        serving = asyncio.create_task(server.serve([]))
        keeping = asyncio.create_task(server.keep_certificate(tls)) if settings.tls else None
        asked = asyncio.create_task(server.stop.asked.wait())
        lag = asyncio.create_task(measure_lag(self._late.append))
        try:
            await listening(server, serving)
            let_lie()
            self._entrance.open()
            self.channel.send({"do": "ready"})
            waited: set[asyncio.Future[Any]] = {serving, asked, self._policing.failed}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if asked.done() and not self._told:
                # By somebody's signal, meant for us alone; whoever started us starts another.
                self._finish()
            if self._policing.failed.done():
                server.should_exit = True
                await self._policing.failed
        finally:
            await serving
            for each in (keeping, asked, lag):
                if each:
                    each.cancel()

    def _gate(self, settings: ServeSettings) -> Gate:
        asking = None if settings.tenancy else Asking(self.channel, self._following)
        return Gate(
            self._policing.engine,
            self._following.tree,
            settings.break_glass_groups,
            Journal(
                # The documents are for the history and for the comparison with OPA.
                Telling(self.channel, documents=bool(settings.history or settings.cross_check)).decided,
                self._lines,
                {"worker": self._number},
            ),
            authenticated=settings.client_ca is not None,
            look=asking.look if asking else None,
            mender=asking,
            abreast=self._following,
        )

    def _hear(self, head: Head, body: bytes) -> None:
        match head["do"]:
            case "begin":
                self._begun.set_result((head["worker"], unpacked(body)))
            case "policies":
                self._policing.hold(unpacked(body), proven=head["proven"])
            case "stop":
                self._told = True
                self._stop()
            case "finish":
                self._finish()
            case "ping":
                has, took = (self._server.held, self._entrance.took) if self._server else (0, 0)
                self.channel.send({"do": "pong", "has": has, "took": took, "late": [*self._late]})
                self._late.clear()
            case _:
                self._following.hear(head, body)

    def _stop(self) -> None:
        if self._server:
            self._server.should_exit = True
        else:
            self.channel.close()

    def _finish(self) -> None:
        """Let requests under way finish, and end: nobody is sent to us any more."""
        if self._server:
            self._entrance.close()
            self._server.stop.seconds = self._server.stop.over = 0

    def _lose(self) -> None:
        """Hear that nobody tells us anything any more: there is nothing left to decide by."""
        self._following.lose()
        self._stop()
        self._finish()


class _Pages:
    """Says how it goes with all of us, which the process that watches knows."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def page(self, path: str) -> Response:
        """Return the answer of that process."""
        try:
            async with asyncio.timeout(PAGE_SECONDS):
                head, body = await self._channel.ask({"do": "page", "path": path})
        except (ConnectionError, TimeoutError):
            return readiness(["the process that watches does not answer"], [])
        return Response(body, head["status"], {"content-type": head["type"]})


if __name__ == "__main__":
    main()
