"""Certificates and keys as PEM bytes (RFC 7468), in and out."""

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from certs.errors import CertificateError


@dataclass(frozen=True, slots=True)
class Pair:
    """
    A certificate and its private key.

    `certificate` is PEM: one certificate or several, the leaf first (RFC 8446, 4.4.2) or, for a CA, a bundle in any
    order. `key` is PEM and unencrypted; it is left out of the repr, so that no log can hold it.
    """

    certificate: bytes
    key: bytes = field(repr=False)


def read_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """
    Give the certificates of `pem`, one or more, in their order.

    The parts that are only parsed on demand (extensions, public key) are parsed here too, so that what is returned can
    be used without a further error. Raises CertificateError.
    """
    try:
        found = tuple(x509.load_pem_x509_certificates(pem))
        for certificate in found:
            _parsed = certificate.public_key(), certificate.subject, certificate.issuer, certificate.extensions
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise CertificateError(f"holds no certificate that can be read as PEM ({error})") from error
    return found


def read_key(pem: bytes) -> PrivateKeyTypes:
    """Give the private key of `pem`, which must not be encrypted. Raises CertificateError."""
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError("holds no unencrypted private key that can be read as PEM") from error


def write_key(key: PrivateKeyTypes) -> bytes:
    """Give `key` as unencrypted PKCS #8 PEM (RFC 5958), which OpenSSL and Go both read."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
