"""Which CAs of a bundle vouch for a certificate, and bundles read and joined: pure."""

import re
from contextlib import suppress
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from certs.errors import CertificateError
from certs.pem import read_certificates

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def anchors(chain: bytes, bundle: bytes, *, now: datetime | None = None) -> tuple[x509.Certificate, ...]:
    """
    Give the certificates of `bundle` by which a client that trusts it accepts `chain`, none where it does not.

    Both are PEM; in `chain` the leaf comes first, then the intermediate CAs in any order. A CA that has ended at `now`
    (aware) vouches for nobody; without `now` it is not asked. One that begins later does: whose clock is wrong is
    not known here. Neither names nor the leaf's own validity are looked at, and nothing is raised: what cannot be read
    is trusted by nobody.
    """
    roots = [each for each in readable(bundle) if now is None or now <= each.not_valid_after_utc]
    rest = list(readable(chain))
    below = rest.pop(0) if rest else None
    while below:
        if found := tuple(root for root in roots if issued(below, by=root)):
            return found
        above = next((each for each in rest if issued(below, by=each)), None)
        if above:
            rest.remove(above)
        below = above
    return ()


def issued(certificate: x509.Certificate, *, by: x509.Certificate) -> bool:
    """Say whether the key of `by`, under its name, has signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def readable(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Give the certificates of `pem` that can be read, whatever stands between them."""
    with suppress(CertificateError):
        return read_certificates(pem)
    found = list[x509.Certificate]()
    for block in _BLOCK.findall(pem):
        with suppress(CertificateError):
            found += read_certificates(block)
    return tuple(found)


def joined(*bundles: bytes) -> bytes:
    """Give the certificates of `bundles` as one bundle, each once; one that holds them all already stays as it is."""
    every = dict.fromkeys(each for bundle in bundles for each in readable(bundle))
    for bundle in bundles:
        with suppress(CertificateError):
            if set(read_certificates(bundle)) == every.keys():
                return bundle
    return write_bundle(tuple(every))


def write_bundle(certificates: tuple[x509.Certificate, ...]) -> bytes:
    """Give `certificates` as PEM."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
