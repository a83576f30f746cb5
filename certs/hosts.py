"""Hosts as names in a certificate (RFC 5280, 4.2.1.6), and which of them a certificate covers (RFC 9525, 6.3)."""

import re
from collections.abc import Iterable
from ipaddress import ip_address

from cryptography import x509

from certs.errors import CertificateError

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS = re.compile(rf"(?:\*\.)?(?:{_LABEL}\.)*(?!\d+\Z){_LABEL}", re.IGNORECASE)


def general_names(hosts: Iterable[str]) -> tuple[x509.DNSName | x509.IPAddress, ...]:
    """
    Give `hosts` as subject alternative names, each once.

    An IPv4 or IPv6 literal (no brackets, no zone) becomes an IPAddress, all else a DNSName, which may begin with `*.`
    and is kept to RFC 1123's letters, digits and hyphens (and the underscore that DNS itself allows); an international
    name has to come as its A-label. Raises CertificateError for anything else and for no host at all.
    """
    names = tuple(dict.fromkeys(_general_name(host) for host in hosts))
    if not names:
        raise CertificateError("a serving certificate needs a host: name the DNS names or IP addresses clients dial")
    return names


def uncovered(certificate: x509.Certificate, hosts: Iterable[str]) -> tuple[str, ...]:
    """
    Give those of `hosts` that a client would not accept `certificate` for, in their order.

    Only the subject alternative names count, never the common name; `*` stands for exactly one whole leftmost label.
    Raises CertificateError for a host that is none.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return tuple(hosts)
    addresses = set(names.get_values_for_type(x509.IPAddress))
    patterns = {pattern.lower() for pattern in names.get_values_for_type(x509.DNSName)}
    return tuple(
        host
        for host, name in ((host, _general_name(host)) for host in hosts)
        if not (name.value in addresses if isinstance(name, x509.IPAddress) else _accepted(name.value) & patterns)
    )


def covered(certificate: x509.Certificate) -> tuple[str, ...]:
    """Give the hosts that `certificate` names, as `general_names` takes them; none where it names none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def _accepted(host: str) -> set[str]:
    """Give the names in a certificate that stand for the DNS name `host`."""
    label, dot, parent = host.lower().partition(".")
    return {f"{label}{dot}{parent}", f"*.{parent}"}


def _general_name(host: str) -> x509.DNSName | x509.IPAddress:
    try:
        address = ip_address(host)
    except ValueError:
        if not _DNS.fullmatch(host) or len(host) > 253:
            raise CertificateError(
                f"{host!r} is no host: give a DNS name or an IP address, without scheme, port, brackets or final dot"
            ) from None
        return x509.DNSName(host.lower())
    if "%" in host:
        raise CertificateError(f"{host!r} has a zone, which no certificate can hold: leave out what follows the %")
    return x509.IPAddress(address)
