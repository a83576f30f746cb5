"""Whether a serving certificate can be used, and when it is due for a new one: pure, and each answer is a sentence."""

from datetime import datetime
from math import nan

from cryptography import x509

from certs.authority import issuer_of
from certs.errors import CertificateError
from certs.hosts import uncovered
from certs.pem import Pair, read_certificates, read_key
from certs.trust import issued, readable


def seconds_left(pem: bytes, *, now: datetime) -> float:
    """Return how long the first certificate of `pem` is still valid at `now` (aware); NaN where there is none."""
    found = readable(pem)
    return (found[0].not_valid_after_utc - now).total_seconds() if found else nan


def aged(pem: bytes, *, now: datetime) -> bool:
    """Say whether the first certificate of `pem` is past two thirds of its life at `now` (aware); not so for none."""
    return any(past_two_thirds(each, now=now) for each in readable(pem)[:1])


def outside(certificate: x509.Certificate, *, now: datetime) -> str | None:
    """Say how `now` (aware) lies outside `certificate`'s validity, both ends belonging to it (RFC 5280, 4.1.2.5)."""
    if now < certificate.not_valid_before_utc:
        return f"is not valid before {certificate.not_valid_before_utc:%FT%TZ}: check the clock or renew it"
    if now > certificate.not_valid_after_utc:
        return f"expired at {certificate.not_valid_after_utc:%FT%TZ}: renew it"
    return None


def unusable(serving: Pair, hosts: tuple[str, ...], *, now: datetime) -> str | None:
    """
    Say why clients that dial `hosts` at `now` (aware) could not use `serving`, or None.

    Of a chain only the leaf is judged, and not who signed it. Raises CertificateError for a host that is none.
    """
    return misfit(serving, hosts) or outside(read_certificates(serving.certificate)[0], now=now)


def misfit(serving: Pair, hosts: tuple[str, ...] = ()) -> str | None:
    """Say why clients that dial `hosts` could never use `serving`, or None; else as `unusable`."""
    try:
        leaf = read_certificates(serving.certificate)[0]
    except CertificateError as error:
        return f"{error}: put the right file there"
    try:
        key = read_key(serving.key)
    except CertificateError as error:
        return f"has a key file that {error}: put the right file there"
    if leaf.public_key() != key.public_key():
        return "does not belong to the key beside it: put the two of one issue there"
    if missing := uncovered(leaf, hosts):
        return f"does not cover {', '.join(missing)}: have it issued with these subject alternative names"
    return None


def due(serving: Pair, authority: Pair, hosts: tuple[str, ...], *, now: datetime) -> str | None:
    """
    Say why `serving` has to be issued anew by `authority` now, or None.

    Due is what is unusable, what another CA signed, and what is past two thirds of its life: a third (30 days) is left
    for a renewal that fails to be noticed, as with cert-manager's default. Raises CertificateError as `issuer_of` does.
    """
    issuer, _ = issuer_of(authority, now=now)
    if reason := unusable(serving, hosts, now=now):
        return reason
    leaf = read_certificates(serving.certificate)[0]
    if not issued(leaf, by=issuer):
        return "is signed by another CA"
    return "is past two thirds of its life" if past_two_thirds(leaf, now=now) else None


def past_two_thirds(certificate: x509.Certificate, *, now: datetime) -> bool:
    """Say whether `certificate`, a CA's or a server's, is past two thirds of its life at `now` (aware)."""
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return now >= certificate.not_valid_before_utc + life * 2 / 3
