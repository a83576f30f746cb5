"""Sessions of TLS that are resumed: at a fraction of a handshake's cost, and never by who would be let in no more."""

import http.client
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from fastapi import FastAPI, Request, Response

import certs
from certs.pem import read_key
from tests.conftest import Loop
from tests.test_server import certified, put, reloading, serving, trusting, until
from webhook.server import CertifiedCallers, Server

VERSIONS = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2], ids=lambda version: version.name
)


def telling() -> FastAPI:
    """An app that says whether it knows the caller."""
    app, callers = FastAPI(), CertifiedCallers()

    @app.get("/")
    async def answer(request: Request) -> Response:
        return Response("known" if callers.known(request) else "unknown")

    return app


class Client:
    """Keeps the session of its last connection."""

    def __init__(self, server: Server, ca: Path, version: ssl.TLSVersion, shown: Path | None = None) -> None:
        self._address = server.address()
        self._trust = trusting(ca)
        self._trust.minimum_version = self._trust.maximum_version = version
        if shown:
            self._trust.load_cert_chain(shown)
        self._session: ssl.SSLSession | None = None

    def connect(self) -> ssl.SSLSocket:
        """Connect by the session of last time, if any."""
        plain = socket.create_connection(self._address, timeout=10)
        return self._trust.wrap_socket(plain, server_hostname="localhost", session=self._session)

    def ask(self) -> tuple[str, bool]:
        """Return the answer to a request on a connection of its own, and whether its session was resumed."""
        with self.connect() as connection:
            told = exchange(connection)
            # With TLS 1.3 the tickets come after the handshake.
            self._session = connection.session
            return told, bool(connection.session_reused)


def exchange(connection: ssl.SSLSocket) -> str:
    """Return the body of the answer to a request."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    reply = http.client.HTTPResponse(connection)
    reply.begin()
    return reply.read().decode()


def client_certificate(authority: certs.Pair, path: Path, *, seconds: float = 3600) -> Path:
    """Write a client's certificate and key."""
    now, key = datetime.now(UTC), generate_private_key(SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(seconds=seconds))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(read_key(authority.key), SHA256())  # type: ignore[arg-type]  # ours are of a kind that signs
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + private)
    return path


@VERSIONS
def test_a_session_is_resumed_and_after_a_reload_begun_anew(
    loop: Loop, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """Who comes again is spared the handshake; a ticket of before the files were loaded again is none any more."""
    tls = certified(tmp_path / "certs")
    with serving(loop, telling(), tls) as server, reloading(loop, server, tls):
        until(lambda: not asks_anew(Client(server, tmp_path / "certs/ca.crt", version)))
        asking = Client(server, tmp_path / "certs/ca.crt", version)
        assert [asking.ask()[1] for _ in range(3)] == [False, True, True]
        authority = certs.Pair((tmp_path / "certs/ca.crt").read_bytes(), (tmp_path / "certs/ca.key").read_bytes())
        pair = certs.issue_serving(authority, ("localhost",), now=datetime.now(UTC))
        put(tls.key, pair.key)
        put(tls.certificate, pair.certificate)
        until(lambda: not asking.ask()[1])
        assert asking.ask()[1]


def asks_anew(asking: Client) -> bool:
    """Say whether a second connection is not resumed, as while the files are loaded first."""
    asking.ask()
    return not asking.ask()[1]


@VERSIONS
def test_a_client_of_a_former_ca_is_let_in_by_no_ticket(loop: Loop, tmp_path: Path, version: ssl.TLSVersion) -> None:
    """Once the client CA is another, neither its session nor its open connection makes anybody the API server."""
    one, two = (certs.issue_authority(now=datetime.now(UTC)) for _ in range(2))
    client_ca = tmp_path / "client-ca.crt"
    client_ca.write_bytes(one.certificate)
    tls = certified(tmp_path / "certs", client_ca)
    with serving(loop, telling(), tls) as server, reloading(loop, server, tls):
        until(lambda: not asks_anew(Client(server, tmp_path / "certs/ca.crt", version)))
        former = Client(server, tmp_path / "certs/ca.crt", version, client_certificate(one, tmp_path / "one"))
        assert [former.ask() for _ in range(2)] == [("known", False), ("known", True)]
        latter = Client(server, tmp_path / "certs/ca.crt", version, client_certificate(two, tmp_path / "two"))
        with former.connect() as kept:
            assert exchange(kept) == "known"
            put(client_ca, two.certificate)
            until(lambda: answer(latter) == "known")
            assert {answer(former) for _ in range(3)} == {""}
            # Quiet for a while, it is closed.
            assert kept.recv(1) == b""
        assert latter.ask() == ("known", True)


def answer(asking: Client) -> str:
    """Return what is answered, empty where one is not let in."""
    try:
        return asking.ask()[0]
    except (ssl.SSLError, ConnectionError):
        return ""


@VERSIONS
def test_a_certificate_that_has_ended_is_shown_by_no_session(
    loop: Loop, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """OpenSSL does not look at the certificate of a session again; we look at its end."""
    authority = certs.issue_authority(now=datetime.now(UTC))
    client_ca = tmp_path / "client-ca.crt"
    client_ca.write_bytes(authority.certificate)
    with serving(loop, telling(), certified(tmp_path / "certs", client_ca)) as server:
        shown = client_certificate(authority, tmp_path / "shown", seconds=4)
        ending = time.monotonic() + 4
        asking = Client(server, tmp_path / "certs/ca.crt", version, shown)
        assert asking.ask() == ("known", False)
        assert asking.ask() == ("known", True)
        time.sleep(max(0.0, ending - time.monotonic()))
        assert asking.ask() == ("unknown", True)
