"""The HTTPS server: certificates that change under it, and a stop that finishes what was begun."""

import asyncio
import http.client
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from fastapi import FastAPI, Response
from starlette.types import ASGIApp

import certs
from certs.pem import read_key, write_key
from tests.conftest import Loop
from webhook.errors import SettingsError
from webhook.server import Server, Tls, _Protocol

HOSTS = ("localhost", "127.0.0.1")


class ThreadServer(Server):
    """The real server on a loop that is not the main thread's, where no signal can be caught."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextmanager
def serving(loop: Loop, app: ASGIApp, tls: Tls | None, connection: type[_Protocol] = _Protocol) -> Iterator[Server]:
    """Run the server on a port of its own until the end."""
    server = ThreadServer.of(app, "127.0.0.1", 0, tls=tls)
    server.config.http = connection

    async def start() -> "asyncio.Task[None]":
        task = asyncio.create_task(server.serve())
        async with asyncio.timeout(20):
            while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.005)
        return task

    task = loop.run(start())
    try:
        yield server
    finally:
        server.should_exit = True
        loop.run(asyncio.wait_for(task, 40))


def certified(folder: Path, client_ca: Path | None = None) -> Tls:
    """Return a certificate of a CA of its own in `folder`."""
    files = certs.ensure(folder, HOSTS, now=datetime.now(UTC))
    return Tls(files.certificate, files.key, client_ca)


def trusting(ca: Path) -> ssl.SSLContext:
    """Return what a client trusts, as kubectl and the API server do."""
    return ssl.create_default_context(cafile=str(ca))


def client(server: Server, ca: Path, **options: Any) -> httpx2.Client:
    """Return a client that goes straight to the server."""
    _, port = server.address()
    trust = options.pop("trust", None) or trusting(ca)
    return httpx2.Client(base_url=f"https://localhost:{port}", verify=trust, trust_env=False, timeout=30, **options)


def handshake(server: Server, trust: ssl.SSLContext) -> bytes:
    """Return the certificate that a new connection is shown."""
    with (
        socket.create_connection(server.address(), timeout=10) as plain,
        trust.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return secure.getpeercert(binary_form=True) or b""


def until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    """Return once it holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def put(path: Path, content: bytes) -> None:
    """Replace a file in one step, as cert-manager's and the kubelet's mounts do."""
    new = path.with_name("new")
    new.write_bytes(content)
    new.replace(path)


def hello() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def answer() -> Response:
        return Response("hello")

    return app


@contextmanager
def reloading(loop: Loop, server: Server, tls: Tls) -> Iterator[None]:
    """Keep the certificate fresh, as serve does beside the server."""

    async def start() -> "asyncio.Task[None]":
        return asyncio.create_task(server.keep_certificate(tls))

    async def stop(task: "asyncio.Task[None]") -> None:
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])

    task = loop.run(start())
    try:
        yield
    finally:
        loop.run(stop(task))


@pytest.fixture
def issue(tmp_path: Path) -> Callable[[], certs.Pair]:
    """Issue a further serving certificate of the CA in `certs`."""

    def issue() -> certs.Pair:
        authority = certs.Pair((tmp_path / "certs/ca.crt").read_bytes(), (tmp_path / "certs/ca.key").read_bytes())
        return certs.issue_serving(authority, HOSTS, now=datetime.now(UTC))

    return issue


def leaf(pair: certs.Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.decode())


def test_a_replaced_certificate_is_served_without_a_restart(
    loop: Loop, tmp_path: Path, issue: Callable[[], certs.Pair]
) -> None:
    """New handshakes are shown the new certificate within seconds, and an open connection does not notice."""
    tls = certified(tmp_path / "certs")
    ca = tmp_path / "certs" / "ca.crt"
    trust = trusting(ca)
    with serving(loop, hello(), tls) as server, reloading(loop, server, tls), client(server, ca) as open_before:
        assert open_before.get("/").text == "hello"
        first = handshake(server, trust)
        for _ in range(2):
            pair = issue()
            put(tls.key, pair.key)
            put(tls.certificate, pair.certificate)
            until(lambda pair=pair: handshake(server, trust) == leaf(pair))  # type: ignore[misc]  # bound at once
            assert open_before.get("/").text == "hello"
        assert leaf(pair) != first


def test_a_pair_that_does_not_fit_leaves_the_old_one_in_service(
    loop: Loop, tmp_path: Path, issue: Callable[[], certs.Pair], capsys: pytest.CaptureFixture[str]
) -> None:
    """Between two renames, and with rubbish in a file, the old pair serves on until the right one is there."""
    tls = certified(tmp_path / "certs")
    trust = trusting(tmp_path / "certs" / "ca.crt")
    pair = issue()
    told: list[str] = []

    def refused() -> bool:
        told.append(capsys.readouterr().out)
        return "certificate not loaded" in told[-1]

    with serving(loop, hello(), tls) as server, reloading(loop, server, tls):
        first = handshake(server, trust)
        # Key first, as `certs` writes them; then what is no certificate; then none at all.
        put(tls.key, pair.key)
        until(refused)
        assert handshake(server, trust) == first
        put(tls.certificate, b"rubbish")
        until(refused)
        assert handshake(server, trust) == first
        tls.certificate.unlink()
        until(refused)
        assert handshake(server, trust) == first
        put(tls.certificate, pair.certificate)
        until(lambda: handshake(server, trust) == leaf(pair))
    assert "PRIVATE KEY" not in "".join(told)


@pytest.fixture
def gated() -> tuple[FastAPI, threading.Event, threading.Event]:
    """An app whose one answer waits; set when the request is there, and set to let it answer."""
    arrived, released = threading.Event(), threading.Event()
    app = FastAPI()

    @app.get("/")
    def answer() -> Response:
        arrived.set()
        assert released.wait(20)
        return Response("done")

    return app, arrived, released


def test_a_stop_lets_a_request_under_way_finish(
    loop: Loop, tmp_path: Path, gated: tuple[FastAPI, threading.Event, threading.Event]
) -> None:
    """Whoever asked before the stop is answered; whoever comes after it finds nobody, and goes to another replica."""
    app, arrived, released = gated
    tls = certified(tmp_path / "certs")
    answers: list[httpx2.Response] = []
    with serving(loop, app, tls) as server, client(server, tmp_path / "certs" / "ca.crt") as asking:
        thread = threading.Thread(target=lambda: answers.append(asking.get("/")))
        thread.start()
        assert arrived.wait(20)
        address = server.address()
        server.should_exit = True
        until(lambda: not listens(address))
        assert answers == []
        released.set()
        thread.join(20)
        assert [(each.status_code, each.text) for each in answers] == [(200, "done")]


@dataclass
class Asking:
    """A client that keeps its connection and asks again and again, until nobody listens any more."""

    server: Server
    trust: ssl.SSLContext
    answers: list[tuple[float, bool]] = field(default_factory=list)
    """When each request was sent, and whether its answer said to close the connection."""
    refused: float = 0.0
    """When it got no connection."""
    failed: list[Exception] = field(default_factory=list)

    def run(self) -> None:
        """Ask."""
        connection = http.client.HTTPSConnection(*self.server.address(), timeout=10, context=self.trust)
        while not self.failed:
            try:
                if connection.sock is None:
                    connection.connect()
            except OSError:
                # One that waits to be accepted as the server ends is reset: it has asked nothing yet.
                self.refused = time.monotonic()
                return
            sent = time.monotonic()
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (200, b"hello")
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failed.append(error)
            else:
                self.answers.append((sent, answer.getheader("connection") == "close"))


def test_no_request_is_lost_while_it_drains(loop: Loop, tmp_path: Path) -> None:
    """Whoever keeps a connection is answered to the end, and told to take another one; new ones are answered, too."""
    tls = certified(tmp_path / "certs")
    with serving(loop, hello(), tls) as server:
        server.stop.seconds = 1.5
        clients = [Asking(server, trusting(tmp_path / "certs" / "ca.crt")) for _ in range(4)]
        threads = [threading.Thread(target=each.run) for each in clients]
        for thread in threads:
            thread.start()
        until(lambda: all(len(each.answers) > 10 for each in clients))
        begin = time.monotonic()
        server.should_exit = True
        for thread in threads:
            thread.join(20)
    assert [each.failed for each in clients] == [[]] * 4
    for each in clients:
        assert not any(closing for sent, closing in each.answers if sent < begin)
        # uvicorn looks ten times a second.
        late = [closing for sent, closing in each.answers if sent > begin + 0.5]
        assert len(late) > 5
        assert all(late)
        assert each.refused > begin + 1.5


def test_an_idle_connection_is_closed_before_the_drain_ends(loop: Loop, tmp_path: Path) -> None:
    """At a moment when nobody is about to use it; closed at the very end it might lose a request."""
    tls = certified(tmp_path / "certs")
    with serving(loop, hello(), tls) as server:
        server.stop.seconds = 4
        kept = http.client.HTTPSConnection(*server.address(), context=trusting(tmp_path / "certs" / "ca.crt"))
        kept.request("GET", "/")
        assert kept.getresponse().read() == b"hello"
        address = server.address()
        server.should_exit = True
        kept.sock.settimeout(3)
        assert kept.sock.recv(1) == b""
        assert listens(address)
        kept.close()


def test_a_second_ctrl_c_ends_a_drain(loop: Loop) -> None:
    """Whoever waits at a terminal need not."""
    with serving(loop, hello(), None) as server:
        server.stop.seconds = 60
        server.handle_exit(signal.SIGINT, None)
        until(server.stop.asked.is_set)
        begin = time.monotonic()
        server.handle_exit(signal.SIGINT, None)
    assert time.monotonic() - begin < 10


def listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_stop_does_not_wait_for_idle_connections(loop: Loop, tmp_path: Path) -> None:
    """A kept connection that asks nothing is closed soon, whether or not its client says goodbye in TLS."""
    tls = certified(tmp_path / "certs")
    with ExitStack() as stack:
        with serving(loop, hello(), tls) as server:
            kept = stack.enter_context(client(server, tmp_path / "certs" / "ca.crt"))
            assert kept.get("/").text == "hello"
            begin = time.monotonic()
        assert time.monotonic() - begin < 15


def test_it_speaks_plain_http_without_a_certificate(loop: Loop) -> None:
    """`--no-tls` is for development on the own machine."""
    with serving(loop, hello(), None) as server:
        host, port = server.address()
        assert httpx2.get(f"http://{host}:{port}/", trust_env=False).text == "hello"


def test_it_does_not_tell_what_it_is_made_of(loop: Loop, tmp_path: Path) -> None:
    """No header names the server."""
    tls = certified(tmp_path / "certs")
    with serving(loop, hello(), tls) as server, client(server, tmp_path / "certs" / "ca.crt") as asking:
        assert "server" not in asking.get("/").headers


def test_connections_are_kept_longer_than_the_api_server_keeps_them(loop: Loop) -> None:
    """The API server drops an idle connection after 90 s; a server that did so first would lose a request."""
    with serving(loop, hello(), None) as server:
        assert server.config.timeout_keep_alive >= 120
        connection = http.client.HTTPConnection(*server.address(), timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"hello"
        first = connection.sock
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"hello"
        assert connection.sock is first
        connection.close()


HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "a header": (HEAD + b"x: ", b"a" * 1024),
    "its name": (HEAD, b"a" * 1024),
    "headers": (HEAD, b"a: " + b"b" * 1019 + b"\r\n"),
    "the address": (b"POST /", b"a" * 1024),
    "empty lines": (b"", b"\r\n" * 512),
    "pieces of a body": (CHUNKED, b"1;" + b"x" * 1017 + b"\r\na\r\n"),
    "what follows a body": (CHUNKED + b"1\r\na\r\n0\r\nx: ", b"a" * 1024),
}


async def slow(_: Any, receive: Any, send: Any) -> None:
    """Answer with how many bytes came, once all have come."""
    count, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        count, more = count + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(count).encode()})


def said(connection: socket.socket) -> bytes:
    """Return all that comes until the other end closes."""
    found = bytearray()
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            found += piece
    return bytes(found)


@pytest.mark.parametrize(("begin", "piece"), ENDLESS.values(), ids=ENDLESS.keys())
def test_what_is_no_body_is_bounded(begin: bytes, piece: bytes, loop: Loop) -> None:
    """Whoever reaches the port must not have us gather what never ends; a body is the app's to bound."""
    with serving(loop, slow, None) as server, socket.create_connection(server.address(), timeout=20) as connection:
        connection.sendall(begin)
        sent = 0
        with suppress(ConnectionError):
            while sent < 64 * 2**20:
                connection.sendall(piece * 64)
                sent += len(piece) * 64
        assert sent < 16 * 2**20, "the kernel takes some, and nobody else"
        with suppress(ConnectionError):
            assert b" 431 " in said(connection)[:64]


def test_what_is_usual_has_room(loop: Loop) -> None:
    """A head of 60 kB, a body of megabytes, in pieces or whole, one after the other on one connection."""
    body = b"x" * 3 * 2**20
    with serving(loop, slow, None) as server:
        connection = http.client.HTTPConnection(*server.address(), timeout=20)
        for _ in range(2):
            connection.request("POST", "/", body, {"x": "y" * 60_000})
            assert connection.getresponse().read() == b"3145728"
            connection.request("POST", "/", iter([body[:1000]] * 3000), {"x": "y" * 60_000}, encode_chunked=True)
            assert connection.getresponse().read() == b"3000000"
        connection.close()


class Impatient(_Protocol):
    """Waits less."""

    head_seconds = 0.5


def test_a_head_that_does_not_end_is_not_waited_for(loop: Loop) -> None:
    """Neither one that comes letter by letter, nor its next one on the same connection; one that came is answered."""
    with serving(loop, slow, None, Impatient) as server:
        for before in (b"", HEAD + b"content-length: 0\r\n\r\n"):
            with socket.create_connection(server.address(), timeout=20) as connection:
                connection.sendall(before + b"POST /")
                begin = time.monotonic()
                with suppress(ConnectionError):
                    while time.monotonic() - begin < 10:
                        connection.sendall(b"x")
                        time.sleep(0.05)
                assert 0.4 < time.monotonic() - begin < 8
                if before:
                    assert b" 200 " in said(connection)


@pytest.mark.parametrize("said_last", [b"\r\n", HEAD + b"content-length: 9\r\n\r\n"], ids=["a line", "half a body"])
def test_what_is_no_request_holds_no_connection(said_last: bytes, loop: Loop) -> None:
    """An empty line, or a byte of a body after its answer, leaves a connection idle as it was."""
    with serving(loop, hello(), None) as server:
        server.config.timeout_keep_alive = 1
        with socket.create_connection(server.address(), timeout=20) as connection:
            connection.sendall(said_last)
            time.sleep(0.3)
            connection.sendall(b"\r\n"[: 2 if len(said_last) == 2 else 1])
            begin = time.monotonic()
            said(connection)
            assert 0.5 < time.monotonic() - begin < 10


def test_an_address_that_is_taken_is_an_error(loop: Loop) -> None:
    """What keeps it from listening is told with what to do, and the process is left to its owner."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = ThreadServer.of(hello(), "127.0.0.1", port, tls=None)
        reason = rf"^cannot listen on 127\.0\.0\.1:{port}: address already in use; give another --host or --port$"
        with pytest.raises(SettingsError, match=reason):
            loop.run(server.serve())


@pytest.mark.parametrize("content", [b"", b"no PEM"], ids=["empty", "no PEM"])
def test_a_client_ca_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes) -> None:
    """A server whose callers cannot be told apart does not start."""
    (tmp_path / "client-ca.crt").write_bytes(content)
    with pytest.raises(SettingsError, match=r"^--client-ca .*client-ca\.crt holds no PEM certificate to read: "):
        certified(tmp_path / "certs", tmp_path / "client-ca.crt").context()


def client_certificate(authority: certs.Pair, path: Path) -> Path:
    """Return a file with a certificate of `authority` and its key, as the API server shows one."""
    key = generate_private_key(SECP256R1())
    above = x509.load_pem_x509_certificate(authority.certificate)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")]))
        .issuer_name(above.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(above.not_valid_before_utc)
        .not_valid_after(above.not_valid_after_utc)
        .sign(read_key(authority.key), SHA256())  # type: ignore[arg-type]  # an EC key, as issued
    )
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + write_key(key))
    return path


def test_a_replaced_client_ca_is_asked_for_without_a_restart(loop: Loop, tmp_path: Path) -> None:
    """Who shows a certificate of the new one is let in, of the old one no more; who shows none, as before."""
    one, two = (certs.issue_authority(now=datetime.now(UTC)) for _ in range(2))
    client_ca = tmp_path / "client-ca.crt"
    client_ca.write_bytes(one.certificate)
    tls = certified(tmp_path / "certs", client_ca)

    def accepts(authority: certs.Pair | None) -> bool:
        trust = trusting(tmp_path / "certs" / "ca.crt")
        if authority:
            trust.load_cert_chain(client_certificate(authority, tmp_path / "client.pem"))
        try:
            with client(server, tmp_path, trust=trust) as asking:
                return asking.get("/").text == "hello"
        except (httpx2.TransportError, OSError):
            return False

    with serving(loop, hello(), tls) as server, reloading(loop, server, tls):
        assert [accepts(each) for each in (one, two, None)] == [True, False, True]
        put(client_ca, two.certificate)
        until(lambda: accepts(two))
        assert [accepts(each) for each in (one, two, None)] == [False, True, True]
        # What is no CA changes nothing.
        put(client_ca, b"rubbish")
        time.sleep(1.5)
        assert [accepts(each) for each in (one, two, None)] == [False, True, True]
