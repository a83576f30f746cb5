"""What is issued: certificates that the strictest clients accept, and only for the hosts they name."""

import re
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from certs import CertificateError, Pair, issue_authority, issue_serving
from certs.pem import write_key

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOSTS = ("portcullis.portcullis.svc", "*.example.test", "127.0.0.1", "::1")


@pytest.fixture(scope="module")
def authority() -> Pair:
    """Give one CA for the tests that only read it."""
    return issue_authority(now=NOW)


def parsed(pair: Pair) -> x509.Certificate:
    """Give what `pair` certifies, to look into."""
    return x509.load_pem_x509_certificate(pair.certificate)


def shake_hands(serving: Pair, trusted: bytes, host: str, directory: Path) -> str | None:
    """Serve and dial on loopback, strictly; give the TLS version, and raise what the client raises."""
    (directory / "tls.pem").write_bytes(serving.certificate + serving.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "tls.pem")
    client = ssl.create_default_context(cadata=trusted.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(30)
        served = pool.submit(serve_once, listener, server)
        with socket.create_connection(listener.getsockname(), timeout=30) as plain:
            try:
                with client.wrap_socket(plain, server_hostname=host) as secured:
                    assert secured.recv(5) == b"hello"
                    return secured.version()
            finally:
                plain.close()
                served.exception(timeout=30)


def serve_once(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Greet one client, who may hang up on us."""
    with listener.accept()[0] as plain:
        plain.settimeout(30)
        with context.wrap_socket(plain, server_side=True) as secured:
            secured.sendall(b"hello")


@pytest.mark.parametrize("host", ["portcullis.portcullis.svc", "any.example.test", "127.0.0.1", "::1"])
def test_a_strict_client_that_trusts_the_ca_completes_a_handshake(host: str, tmp_path: Path) -> None:
    """Python's ssl with VERIFY_X509_STRICT, 3.13's default, accepts what is issued for each kind of host."""
    ca = issue_authority(now=datetime.now(UTC))
    serving = issue_serving(ca, HOSTS, now=datetime.now(UTC))
    assert shake_hands(serving, ca.certificate, host, tmp_path) == "TLSv1.3"


@pytest.mark.parametrize("host", ["other.portcullis.svc", "a.b.example.test", "example.test", "127.0.0.2", "::2"])
def test_a_client_that_dials_another_host_refuses(host: str, tmp_path: Path) -> None:
    """A certificate is worth nothing for a host it does not name."""
    ca = issue_authority(now=datetime.now(UTC))
    serving = issue_serving(ca, HOSTS, now=datetime.now(UTC))
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(serving, ca.certificate, host, tmp_path)


def test_a_client_that_trusts_another_ca_refuses(tmp_path: Path) -> None:
    """Two CAs of ours are two: one does not vouch for the other's certificates."""
    now = datetime.now(UTC)
    serving = issue_serving(issue_authority(now=now), HOSTS, now=now)
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        shake_hands(serving, issue_authority(now=now).certificate, "127.0.0.1", tmp_path)


def test_a_client_that_trusts_a_bundle_accepts_either_ca(tmp_path: Path) -> None:
    """An old and a new CA overlap: whoever holds both accepts the certificates of both."""
    now = datetime.now(UTC)
    old, new = issue_authority(now=now), issue_authority(now=now)
    for signer in (old, new):
        serving = issue_serving(signer, HOSTS, now=now)
        assert shake_hands(serving, old.certificate + new.certificate, "127.0.0.1", tmp_path)


def test_the_ca_is_a_ca_of_leaves_for_ten_years(authority: Pair) -> None:
    """The CA is P-256, backdated five minutes, and its critical extensions keep it to signing leaves."""
    certificate = parsed(authority)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    key = certificate.public_key()
    assert (constraints.critical, constraints.value) == (True, x509.BasicConstraints(ca=True, path_length=0))
    assert (usage.critical, usage.value.key_cert_sign, usage.value.crl_sign) == (True, True, True)
    assert not usage.value.digital_signature
    identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert identifier == x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    assert isinstance(key, EllipticCurvePublicKey)
    assert isinstance(key.curve, SECP256R1)
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=3652)


def test_the_serving_certificate_is_a_servers_for_ninety_days(authority: Pair) -> None:
    """It is no CA, serves TLS only, names its hosts by their kind, and points to its CA's key."""
    certificate = parsed(issue_serving(authority, HOSTS, now=NOW))
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    identifier = parsed(authority).extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert names.get_values_for_type(x509.DNSName) == ["portcullis.portcullis.svc", "*.example.test"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1"), ip_address("::1")]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == identifier.digest
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=90)


def test_a_second_verifier_accepts_it_while_it_is_valid_only(authority: Pair) -> None:
    """The web PKI's profile, as cryptography's own verifier has it, holds too, and the validity's ends are meant."""
    leaf, store = parsed(issue_serving(authority, HOSTS, now=NOW)), Store([parsed(authority)])
    subject = x509.DNSName("portcullis.portcullis.svc")

    def verify(at: datetime) -> None:
        PolicyBuilder().store(store).time(at).build_server_verifier(subject).verify(leaf, [])

    verify(NOW)
    for outside in (NOW - timedelta(minutes=6), NOW + timedelta(days=90)):
        with pytest.raises(VerificationError):
            verify(outside)


def test_a_serving_certificate_never_outlives_its_ca(authority: Pair) -> None:
    """Near the CA's end the certificate's life is cut: a chain is valid as a whole or not at all."""
    end = parsed(authority).not_valid_after_utc
    assert parsed(issue_serving(authority, HOSTS, now=end - timedelta(days=1))).not_valid_after_utc == end


def test_serials_and_keys_are_new_each_time(authority: Pair) -> None:
    """Serials are positive, random and of at most 20 octets (RFC 5280, 4.1.2.2); no key serves twice."""
    pairs = [issue_serving(authority, HOSTS, now=NOW) for _ in range(8)]
    serials = {parsed(pair).serial_number for pair in pairs}
    assert len(serials) == len({pair.key for pair in pairs}) == 8
    assert all(0 < serial < 1 << 159 for serial in serials)
    assert max(serials) > 1 << 64


def test_a_host_named_twice_stands_once(authority: Pair) -> None:
    """Hosts are compared as clients do, without case."""
    names = parsed(issue_serving(authority, ("A.test", "a.test", "::1", "0:0::1"), now=NOW))
    assert len(names.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == 2


@pytest.mark.parametrize(
    "hosts",
    [
        pytest.param((), id="none at all"),
        pytest.param(("",), id="empty"),
        pytest.param(("https://a.test",), id="a URL"),
        pytest.param(("a.test:443",), id="a port"),
        pytest.param(("[::1]",), id="brackets"),
        pytest.param(("fe80::1%eth0",), id="a zone"),
        pytest.param(("a.test.",), id="a final dot"),
        pytest.param(("a..test",), id="an empty label"),
        pytest.param(("a.*.test",), id="a star inside"),
        pytest.param(("*",), id="a star alone"),
        pytest.param(("-a.test",), id="a hyphen first"),
        pytest.param(("a.test\n",), id="a line's end"),
        pytest.param(("1.2.3.256",), id="no IPv4 address"),
        pytest.param(("bücher.test",), id="not an A-label"),
        pytest.param(("a" * 64 + ".test",), id="a long label"),
        pytest.param(("a." * 126 + "test",), id="a long name"),
    ],
)
def test_what_is_no_host_is_refused(hosts: tuple[str, ...], authority: Pair) -> None:
    """A host that no client could dial is an error at once, not a certificate that never fits."""
    with pytest.raises(CertificateError, match=r"give a DNS name|name the DNS names|leave out"):
        issue_serving(authority, hosts, now=NOW)


def test_a_ca_of_the_operators_with_an_rsa_key_signs_too() -> None:
    """The CA need not be one of ours: RSA keys sign as well."""
    ca = issue_authority(now=NOW, key=write_key(generate_rsa(65537, 2048)))
    parsed(issue_serving(ca, HOSTS, now=NOW)).verify_directly_issued_by(parsed(ca))


def test_the_same_key_makes_a_ca_that_vouches_for_the_same_certificates(authority: Pair) -> None:
    """A ca.crt that was lost can be made again: name and key identifier follow from the key."""
    again = issue_authority(now=NOW + timedelta(days=1), key=authority.key)
    assert again.certificate != authority.certificate
    parsed(issue_serving(again, HOSTS, now=NOW + timedelta(days=1))).verify_directly_issued_by(parsed(authority))


def test_a_ca_that_cannot_sign_is_refused(authority: Pair) -> None:
    """Each thing that keeps a CA from signing has its own message."""
    leaf, other = issue_serving(authority, HOSTS, now=NOW), issue_authority(now=NOW)
    ed25519 = write_key(Ed25519PrivateKey.generate())
    for pair, now, message in (
        (leaf, NOW, "is no CA"),
        (Pair(authority.certificate, other.key), NOW, "no certificate for the CA's key"),
        (Pair(authority.certificate, ed25519), NOW, "neither EC nor RSA"),
        (Pair(authority.certificate, b"nonsense"), NOW, "no unencrypted private key"),
        (Pair(b"nonsense", authority.key), NOW, "no certificate that can be read"),
        (authority, NOW - timedelta(days=1), "not valid before 2026-11-21T11:55:00Z"),
        (authority, NOW + timedelta(days=3653), "expired at 2036-11-20T11:55:00Z"),
    ):
        with pytest.raises(CertificateError, match=re.escape(message)):
            issue_serving(pair, HOSTS, now=now)


def test_a_pair_does_not_show_its_key(authority: Pair) -> None:
    """A Pair that ends in a log or a traceback keeps its secret."""
    assert "PRIVATE" not in repr(authority)
