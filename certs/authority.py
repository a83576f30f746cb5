"""
Issue a certificate authority and serving certificates: pure functions from PEM bytes to PEM bytes.

The profile is RFC 5280's, as OpenSSL checks it under `X509_V_FLAG_X509_STRICT` (the default of Python 3.13's
`ssl.create_default_context`) and as Go's crypto/x509 does: names in the subject alternative name only.
"""

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.errors import CertificateError
from certs.hosts import general_names
from certs.pem import Pair, read_certificates, read_key, write_key

SKEW = timedelta(minutes=5)
"""How far a certificate begins in the past, for clients whose clock is behind ours."""

AUTHORITY_LIFE = timedelta(days=3652)
"""From a CA's first second to its last: ten years."""

SERVING_LIFE = timedelta(days=90)
"""From a serving certificate's first second to its last; less where its CA ends earlier."""


def issue_authority(*, now: datetime, key: bytes | None = None) -> Pair:
    """
    Issue a self-signed CA that may sign leaves only (RFC 5280, 4.2.1.9: critical, path length 0).

    `now` is aware. Without `key` (PEM) a new P-256 key is made. The CA's name holds the start of its key identifier:
    two CAs in one bundle never share a name, and a certificate made anew for the same key is accepted wherever the
    former one is trusted. Raises CertificateError for a `key` that cannot sign.
    """
    signer = generate_private_key(SECP256R1()) if key is None else signing_key(key)
    identifier = x509.SubjectKeyIdentifier.from_public_key(signer.public_key())
    name = _name(f"Portcullis CA {identifier.digest.hex()[:16]}")
    start = now.replace(microsecond=0) - SKEW
    certificate = (
        _begun(name, signer.public_key(), (start, start + AUTHORITY_LIFE))
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(signer, SHA256())
    )
    return Pair(certificate.public_bytes(Encoding.PEM), write_key(signer))


def issue_serving(authority: Pair, hosts: tuple[str, ...], *, now: datetime) -> Pair:
    """
    Issue a TLS server's certificate for `hosts`, with a new P-256 key, signed by `authority`.

    `hosts` are DNS names and IP literals (see `general_names`); `now` is aware. It never outlives its CA. Raises
    CertificateError for a host that is none, and where `authority` cannot sign now (see `issuer_of`).
    """
    names = general_names(hosts)
    issuer, signer = issuer_of(authority, now=now)
    key = generate_private_key(SECP256R1())
    start = now.replace(microsecond=0) - SKEW
    certificate = (
        _begun(_name("Portcullis"), key.public_key(), (start, min(start + SERVING_LIFE, issuer.not_valid_after_utc)))
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(_identifier_of(issuer), critical=False)
        .sign(signer, SHA256())
    )
    return Pair(certificate.public_bytes(Encoding.PEM), write_key(key))


def issuer_of(authority: Pair, *, now: datetime) -> tuple[x509.Certificate, EllipticCurvePrivateKey | RSAPrivateKey]:
    """
    Give the certificate and key that `authority` signs with: of a bundle, the last to end of those with its key.

    Raises CertificateError as `signer_of` does, and where the certificate is not valid at `now`.
    """
    issuer, signer = signer_of(authority)
    if now < issuer.not_valid_before_utc:
        raise CertificateError(f"the CA is not valid before {issuer.not_valid_before_utc:%FT%TZ}, check the clock")
    if now > issuer.not_valid_after_utc:
        raise CertificateError(f"the CA expired at {issuer.not_valid_after_utc:%FT%TZ}")
    return issuer, signer


def signer_of(authority: Pair) -> tuple[x509.Certificate, EllipticCurvePrivateKey | RSAPrivateKey]:
    """
    Give the certificate and key that `authority` signs with while it is valid.

    Raises CertificateError where a part cannot be read, the key is neither EC nor RSA, no certificate belongs to it,
    or the one that does is no CA.
    """
    signer = signing_key(authority.key)
    public = signer.public_key()
    own = [each for each in read_certificates(authority.certificate) if each.public_key() == public]
    if not own:
        raise CertificateError("holds no certificate for the CA's key")
    issuer = max(own, key=lambda each: each.not_valid_after_utc)
    if not _may_sign(issuer):
        raise CertificateError("holds a certificate for the CA's key that is no CA (RFC 5280, 4.2.1.9)")
    return issuer, signer


def signing_key(pem: bytes) -> EllipticCurvePrivateKey | RSAPrivateKey:
    """Give the CA's private key of `pem`. Raises CertificateError for one that cannot be read, or cannot sign."""
    key = read_key(pem)
    if not isinstance(key, EllipticCurvePrivateKey | RSAPrivateKey):
        raise CertificateError("holds a key that is neither EC nor RSA, which not every client accepts of a CA")
    return key


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _identifier_of(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Repeat the issuer's own key identifier (RFC 5280, 4.2.1.1), which need not be the one we would compute."""
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        own = x509.SubjectKeyIdentifier.from_public_key(issuer.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _begun(
    subject: x509.Name, key: CertificatePublicKeyTypes, validity: tuple[datetime, datetime]
) -> x509.CertificateBuilder:
    """Begin a certificate with what every one has; the serial is positive and of 159 random bits (4.1.2.2)."""
    start, end = validity
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Say what a key is for (RFC 5280, 4.2.1.3); an EC key of TLS 1.3 only ever signs the handshake."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
