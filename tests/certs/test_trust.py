"""Who vouches for whom: as a client that holds the bundle would find."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from certs import Pair, anchors, issue_authority, issue_serving, joined, readable
from certs.pem import read_key, write_key

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOSTS = ("127.0.0.1",)


def intermediate(root: Pair) -> Pair:
    """Return a CA below a root."""
    key = generate_private_key(SECP256R1())
    above = x509.load_pem_x509_certificate(root.certificate)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "between")]))
        .issuer_name(above.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=300))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(read_key(root.key), SHA256())  # type: ignore[arg-type]  # an EC key, as issued
    )
    return Pair(certificate.public_bytes(Encoding.PEM), write_key(key))


def test_a_ca_vouches_for_its_own_alone() -> None:
    """And for itself; another one does not."""
    one, two = issue_authority(now=NOW), issue_authority(now=NOW)
    leaf = issue_serving(one, HOSTS, now=NOW).certificate
    assert anchors(leaf, two.certificate + one.certificate) == readable(one.certificate)
    assert anchors(one.certificate, one.certificate)
    assert anchors(leaf, two.certificate) == ()


def test_a_chain_leads_to_the_root_whatever_its_order() -> None:
    """As cert-manager writes it where its Issuer is below another CA."""
    root = issue_authority(now=NOW)
    between = intermediate(root)
    leaf = issue_serving(between, HOSTS, now=NOW).certificate
    stray = issue_authority(now=NOW).certificate
    assert anchors(leaf, root.certificate) == ()
    for chain in (leaf + between.certificate, leaf + stray + between.certificate + root.certificate):
        assert anchors(chain, root.certificate) == readable(root.certificate)
    assert anchors(leaf, between.certificate) == readable(between.certificate)


def test_a_ca_that_has_ended_vouches_for_nobody() -> None:
    """One that begins later does: whose clock is wrong is not known."""
    ca = issue_authority(now=NOW)
    leaf = issue_serving(ca, HOSTS, now=NOW).certificate
    assert anchors(leaf, ca.certificate, now=NOW - timedelta(days=1))
    assert not anchors(leaf, ca.certificate, now=NOW + timedelta(days=3653))


def test_what_cannot_be_read_is_trusted_by_nobody() -> None:
    """And never an error."""
    ca = issue_authority(now=NOW).certificate
    assert anchors(b"garbage", ca) == anchors(ca, b"garbage") == anchors(b"", b"") == ()


def test_bundles_are_joined_without_doubles() -> None:
    """One that has all of them stays byte for byte what it is, so that nothing is written for its order."""
    one, two = (issue_authority(now=NOW).certificate for _ in range(2))
    assert readable(joined(one, two, one)) == (*readable(one), *readable(two))
    assert joined(one, two + b"\n# both\n" + one) == two + b"\n# both\n" + one
    assert joined(b"", one) == one
    assert joined() == b""
