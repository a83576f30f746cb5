"""A directory's files as the data of a kubernetes.io/tls Secret, so that replicas can serve with the same ones."""

from collections.abc import Mapping
from pathlib import Path

from certs.disk import locked, read, remove, write
from certs.errors import CertificateError
from certs.hosts import covered, general_names
from certs.pem import read_certificates

# A private key before the certificate that belongs to it, as `ensure` writes them: one without its key is due.
_MODES = {"ca.key": 0o600, "ca.crt": 0o644, "tls.key": 0o600, "tls.crt": 0o644}


def contents(directory: Path) -> dict[str, bytes]:
    """Give the files of `directory` by name, those that are there. Raises CertificateError."""
    found = {name: read(directory / name) for name in _MODES}
    return {name: content for name, content in found.items() if content is not None}


def named(data: Mapping[str, bytes]) -> tuple[str, ...]:
    """Give the hosts that the serving certificate in `data` names, none where it cannot be read or issued for."""
    try:
        hosts = covered(read_certificates(data.get("tls.crt", b""))[0])
        return hosts if hosts and general_names(hosts) else ()
    except CertificateError:
        return ()


def adopt(directory: Path, data: Mapping[str, bytes]) -> None:
    """
    Make the files of `directory` those of `data`: written where they differ, removed where it has none.

    Other names in `data` are left alone. Raises CertificateError, also for `data` without a tls.crt or tls.key.
    """
    if not (data.get("tls.crt") and data.get("tls.key")):
        raise CertificateError("it has no tls.crt or no tls.key: delete it to have all made anew")
    with locked(directory):
        for name, mode in _MODES.items():
            content = data.get(name)
            if content is None:
                remove(directory / name)
            elif content != read(directory / name):
                write(directory / name, content, mode=mode)
