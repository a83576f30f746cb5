"""
The HTTPS server around the app: TLS that is reloaded without a restart, client certificates, a stop that finishes.

uvicorn keeps the TLS context that it listens with; every handshake is handed to the one that was loaded last.
"""

import asyncio
import signal
import socket
import ssl
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import structlog
import uvicorn
from starlette.requests import Request
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from webhook.errors import SettingsError

KEEP_ALIVE_SECONDS = 120
"""The API server keeps idle connections for 90 s; closing one first would lose a request."""
RELOAD_SECONDS = 1.0
QUIET_SECONDS = 1.0
"""Without a request, after which a kept connection is closed while we stop: nobody is just about to use it."""
HANDSHAKE_SECONDS = 0.3
"""After which whoever had a connection when we listened no more is known."""
GOODBYE_SECONDS = 1.0
"""For a client to close its end of TLS at a stop; one that keeps an idle connection in a pool may never do so."""
MOST_HEAD = 64 * 1024
"""Bytes of a request that are no body: its head, what frames pieces of the body, and what follows it."""
HEAD_SECONDS = 10.0
"""For the rest of a head that has begun."""
_CLOSE = (b"connection", b"close")
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of a serving certificate, and the CA that callers have to show a certificate of (None: anybody)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context for serving, whose key pair can be loaded again; `SettingsError` for no client CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"{self.certificate} and its key cannot be served with: {error}") from error
        if self.client_ca:
            try:
                context.load_verify_locations(self.client_ca)
            except OSError as error:
                what = error.strerror or error
                raise SettingsError(f"--client-ca {self.client_ca} holds no PEM certificate to read: {what}") from error
            # Optional in TLS, for the kubelet's probes have none; /validate and /mutate demand it.
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def stamp(self) -> tuple[int, ...]:
        """Return what changes whenever one of the files is replaced."""
        files = (self.certificate, self.key, *([self.client_ca] if self.client_ca else []))
        return tuple(number for path in files for number in _identity(path))


class Listening(ssl.SSLContext):
    """
    Hands every connection to the context that was loaded last; made by `by`.

    Each has tickets of its own, so that whoever would resume a session of a former one begins anew, and is asked for
    a certificate of the client CA of now. (OpenSSL's own way to swap contexts keeps the tickets of the first one, and
    does not look at the certificate of a session that is resumed again.)
    """

    fresh: ssl.SSLContext
    vouching: bytes = b""
    """What the client CA was in it."""

    @classmethod
    def by(cls, tls: Tls) -> Self:
        """Return a context for listening; raises like `Tls.context`."""
        listening = cls(ssl.PROTOCOL_TLS_SERVER)
        listening.serve_by(tls)
        return listening

    def serve_by(self, tls: Tls) -> bool:
        """Serve with these files from now on, and say whether the client CA is another; raises like `Tls.context`."""
        vouching = tls.client_ca.read_bytes() if tls.client_ca else b""
        self.fresh = tls.context()
        another, self.vouching = vouching != self.vouching, vouching
        return another

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """Begin a connection."""
        return self.fresh.wrap_bio(*arguments, **named)


def _identity(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_ino, state.st_mtime_ns


class _Protocol(HttpToolsProtocol):
    """
    A connection: tells the app whether the peer showed a certificate (TLS has verified it by then).

    What comes before there is anything to ask the app is bounded here, in bytes and in time: the parser gathers a
    header for as long as it lasts, from whoever reaches the port.
    """

    leaving = False
    head_seconds = HEAD_SECONDS
    _heading: asyncio.TimerHandle | None = None
    """Closes the connection where a head that has begun does not end; None outside of one."""
    _made = 0.0
    """When it came, by the loop's clock."""
    _asked = False
    """Whether a request has ever begun."""
    _came = 0
    """Bytes of the request that are no body."""
    _room = MOST_HEAD
    """How many they may be: pieces of a body are framed each."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("ssl_object")
        self.app_state = {**self.app_state, "client_certificate": peer is not None and _shown(peer)}
        self._made = self.loop.time()
        self._close_when_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._came += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._came > self._room:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._heading is None and self._idle():
            # An empty line, or what is left of a body that nobody waited for, has stopped the timer.
            self._close_when_idle()

    def on_message_begin(self) -> None:
        self._asked = True
        self._heading = self.loop.call_later(self.head_seconds, self.timeout_keep_alive_handler)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()
        if self.leaving:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._came -= len(body)
        self._room += len(body) // 2
        super().on_body(body)

    def on_message_complete(self) -> None:
        # What is left of the piece at hand may be another request's, which is counted from the next one on.
        self._came, self._room = 0, MOST_HEAD
        super().on_message_complete()

    def _end_head(self) -> None:
        if self._heading:
            self._heading.cancel()
            self._heading = None

    def _close_when_idle(self) -> None:
        """Wait for a request as long as after an answer."""
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def part(self) -> None:
        """Close the connection after its next answer, or when it has been quiet for a while."""
        self.leaving = True
        self.let_go()

    def shutdown(self) -> None:
        """Close an idle connection; one that has just come is about to ask, and is closed after that."""
        if not self._asked and self.loop.time() - self._made < QUIET_SECONDS:
            self.part()
        else:
            super().shutdown()

    def let_go(self) -> None:
        """Close the connection after the answer under way; without one, when it has been quiet for a while."""
        if self._idle():
            # A request that comes before then stops this timer, as it does uvicorn's own.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(QUIET_SECONDS, self.timeout_keep_alive_handler)
        else:
            self.cycle.keep_alive = False

    def _idle(self) -> bool:
        # Before its first request there is no cycle, whatever uvicorn declares.
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete


def _shown(peer: ssl.SSLObject) -> bool:
    """Say whether the peer showed a certificate that is valid now: that of a session that is resumed may have ended."""
    found = peer.getpeercert()
    return found is not None and bool(found) and ssl.cert_time_to_seconds(str(found["notAfter"])) > time.time()


@dataclass(frozen=True, slots=True)
class CertifiedCallers:
    """Callers that have to show a certificate of the client CA."""

    def known(self, request: Request) -> bool:
        """Return whether the peer of `request` showed one."""
        return bool(getattr(request.state, "client_certificate", False))


@dataclass(frozen=True, slots=True)
class AnyCallers:
    """Whoever can reach us; `/readyz` says so."""

    def known(self, request: Request) -> bool:  # noqa: ARG002 - the other callers look at it
        """Return True."""
        return True


@dataclass(slots=True)
class Stop:
    """
    How a server ends: for `seconds` it goes on answering, new connections too, since not everybody has heard by then.

    `asked` is set as that begins.
    """

    seconds: float = 0.0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    over: float = 0.0
    """When it ends, by the loop's clock."""


class Server(uvicorn.Server):
    """
    One listener.

    After SIGTERM or SIGINT it drains: it answers on, and has each client close its connection after the answer, so
    that the next one goes to somebody else. Then it listens no more, lets requests under way finish and returns from
    `serve`, so that what was opened around it is closed; uvicorn would raise the signal again and end the process.
    """

    stop: Stop
    _taking: set["asyncio.Task[None]"]

    @classmethod
    def of(cls, app: ASGIApp, host: str, port: int, *, tls: Tls | None) -> Self:
        """Return a server of `app` on `host` and `port` (0: any); without `tls` it speaks plain HTTP."""
        context = Listening.by(tls) if tls else None
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=30,
            ssl_context_factory=(lambda *_: context) if context else None,
        )
        server = cls(config)
        server.stop = Stop()
        server._taking = set()
        return server

    async def on_tick(self, counter: int) -> bool:
        """Say, ten times a second, whether to listen no more: asked to stop, and drained."""
        if not await super().on_tick(counter):
            return False
        if not self.stop.asked.is_set():
            self._begin_to_stop()
        # Made anew by uvicorn each second, for the date.
        if _CLOSE not in self.server_state.default_headers:
            self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
        return self.force_exit or asyncio.get_running_loop().time() >= self.stop.over

    def _begin_to_stop(self) -> None:
        self.stop.over = asyncio.get_running_loop().time() + self.stop.seconds
        self.stop.asked.set()
        for each in self.server_state.connections:
            if isinstance(each, _Protocol):
                each.let_go()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop at the first signal; a second Ctrl-C cuts requests off."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; raises `SettingsError` where that cannot be, uvicorn would end the process without closing ours."""
        try:
            await super().startup(sockets)
        except SystemExit as error:
            # asyncio names the address once more before the reason.
            why = str(getattr(error.__context__, "strerror", None) or "the log says why").rpartition(": ")[2]
            where = f"{self.config.host}:{self.config.port}"
            raise SettingsError(f"cannot listen on {where}: {why}; give another --host or --port") from error

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests under way finish, and cut off who has got the answer and does not hang up."""
        for each in self.servers:
            each.close()
        # A client that has done its part of the handshake takes itself for connected, and sends its request.
        await asyncio.sleep(HANDSHAKE_SECONDS)
        cutting = asyncio.create_task(self._cut_off())
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    async def _cut_off(self) -> None:
        """Abort what was closing a while ago already: asyncio would wait 30 s for the other end's goodbye."""
        closing: list[asyncio.Transport] = []
        while True:
            await asyncio.sleep(GOODBYE_SECONDS)
            for transport in closing:
                transport.abort()
            transports = [each.transport for each in self.server_state.connections]
            closing = [each for each in transports if each.is_closing()]

    def take(self, connection: socket.socket) -> None:
        """Answer on a connection that somebody else has accepted."""
        task = asyncio.create_task(self._take(connection))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    @property
    def held(self) -> int:
        """How many connections there are, those whose handshake is not done yet included."""
        return len(self.server_state.connections) + len(self._taking)

    async def _take(self, connection: socket.socket) -> None:
        loop, config = asyncio.get_running_loop(), self.config

        def protocol() -> asyncio.Protocol:
            return _Protocol(config=config, server_state=self.server_state, app_state=self.lifespan.state, _loop=loop)

        connection.setblocking(False)  # noqa: FBT003 - the socket's own
        # What is wrong with a handshake is its client's affair, as it is where we listen.
        with suppress(OSError):
            await loop.connect_accepted_socket(protocol, connection, ssl=config.ssl)

    def address(self) -> tuple[str, int]:
        """Return the host and port that it listens on, once started."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return host, port

    def _part(self) -> None:
        """Have all connections made anew: the CA of those who showed a certificate may be one no more."""
        for each in list(self.server_state.connections):
            if isinstance(each, _Protocol):
                each.part()

    async def keep_certificate(self, tls: Tls) -> None:
        """Load key pair and client CA again whenever a file changes, for ever; what does not fit is tried again."""
        log = structlog.get_logger()
        # Of no files: what stood when the server began may have been replaced since, and is loaded once more.
        loaded: tuple[int, ...] = ()
        told = ""
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            try:
                found = tls.stamp()
                if found != loaded and isinstance(self.config.ssl, Listening):
                    if self.config.ssl.serve_by(tls):
                        self._part()
                    loaded, told = found, ""
                    log.info("certificate loaded", certificate=str(tls.certificate))
            except (OSError, SettingsError) as error:
                # Between two renames key and certificate do not fit; the old pair serves on meanwhile.
                if str(error) != told:
                    told = str(error)
                    log.warning("certificate not loaded", error=told)
