"""A webhook's certificates in a directory: made, kept, renewed; or the operator's own, used as they are."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from certs.authority import issue_authority, issue_serving, issuer_of, signer_of
from certs.disk import locked, read, remove, write
from certs.errors import CertificateError
from certs.hosts import general_names
from certs.pem import Pair, read_certificates
from certs.validity import due, outside, unusable


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """
    Where the four PEM files are, named as in a kubernetes.io/tls Secret.

    `ca` (ca.crt) is what clients trust, a bundle: it may hold several CAs, so that an old and a new one overlap.
    `certificate` and `key` (tls.crt, tls.key) are what the server loads. `ca_key` (ca.key) signs them.
    With the operator's own certificate there is no `ca_key`, and `ca` is there only if the operator put it there.
    """

    ca: Path
    certificate: Path
    key: Path
    ca_key: Path


@dataclass(frozen=True, slots=True)
class _Found:
    """What the files hold; None where one is missing."""

    ca: bytes | None
    serving: bytes | None
    key: bytes | None
    ca_key: bytes | None


def ensure(directory: Path, hosts: tuple[str, ...], *, now: datetime) -> CertificateFiles:
    """
    Make `directory` hold a certificate that a server can serve `hosts` with at `now`, and say where.

    `hosts` are DNS names and IP literals, at least one; `now` is aware. What is missing is made (directory 0700, keys
    0600; what is there keeps its mode). A CA that is there is kept until it ends; then nobody trusts it any more, and a
    new one takes its place, which clients have to be given. A missing ca.crt is made again for the same key
    and name. The serving certificate is renewed, with a new key, when `due` says so. Safe to call from several threads
    and processes at once (it blocks for the others), and after a crash at any point: ca.key is written before ca.crt,
    tls.key before tls.crt, and a tls.crt that does not belong to its key is due.

    tls.crt and tls.key without a ca.key are the operator's own (cert-manager's, say): checked, but for the hosts, which
    are whatever their owner's clients dial; never written, and the directory may be read-only.

    Raises CertificateError for a host that is none, a directory that cannot be used, an operator's own certificate
    that is unusable, and a CA that exists but cannot sign: a new one in its place would lock out every client.
    """
    general_names(hosts)
    files = CertificateFiles(*(directory / name for name in ("ca.crt", "tls.crt", "tls.key", "ca.key")))
    found = _look(files)
    if found.ca_key is None and found.serving is not None and found.key is not None:
        if reason := unusable(Pair(found.serving, found.key), (), now=now):
            raise CertificateError(f"{files.certificate} {reason}. Without a ca.key beside it it is never overwritten")
        return files
    with locked(directory):
        found = _look(files)
        authority = _authority(files, found, now)
        serving = Pair(found.serving or b"", found.key or b"")
        if due(serving, authority, hosts, now=now):
            renewed = issue_serving(authority, hosts, now=now)
            write(files.key, renewed.key, mode=0o600)
            write(files.certificate, renewed.certificate, mode=0o644)
    return files


def problem(certificate: Path, *, now: datetime) -> str | None:
    """
    Say why the serving certificate at `certificate` is not valid at `now` (aware) and what to do, or None.

    One short sentence, for a readiness probe; of a chain only the leaf is judged. Raises nothing.
    """
    try:
        content = read(certificate)
    except CertificateError as error:
        return str(error)
    if content is None:
        return f"{certificate} is missing: put a certificate and its key there, or restart to have them made"
    try:
        reason = outside(read_certificates(content)[0], now=now)
    except CertificateError as error:
        return f"{certificate} {error}: put the right file there"
    return reason and f"{certificate} {reason}"


def _look(files: CertificateFiles) -> _Found:
    """Read ca.key last: it is written first, so whoever sees another's new tls.crt sees the ca.key too."""
    serving, key, authority = read(files.certificate), read(files.key), read(files.ca)
    return _Found(ca=authority, serving=serving, key=key, ca_key=read(files.ca_key))


def _authority(files: CertificateFiles, found: _Found, now: datetime) -> Pair:
    """Give the CA that is there, known to be able to sign, or a new one, already written; under the lock."""
    if found.ca_key is None and found != _Found(None, None, None, None):
        raise CertificateError(
            f"{files.ca_key} is missing, and what else is in {files.ca_key.parent} is not ours to overwrite: put "
            "your own tls.crt and tls.key there, both; or restore ca.key; or empty the directory to have all made anew"
        )
    try:
        if found.ca is not None and found.ca_key is not None:
            kept = Pair(found.ca, found.ca_key)
            if now > signer_of(kept)[0].not_valid_after_utc:
                return _successor(files, now)
            issuer_of(kept, now=now)
            return kept
        made = issue_authority(now=now, key=found.ca_key)
    except CertificateError as error:
        raise CertificateError(
            f"the CA in {files.ca} and {files.ca_key} cannot be used: {error}. It is not replaced, since clients trust "
            "it: restore both files; or remove them with tls.crt and tls.key, and give clients the ca.crt then made"
        ) from error
    if found.ca_key is None:
        write(files.ca_key, made.key, mode=0o600)
    write(files.ca, made.certificate, mode=0o644)
    return made


def _successor(files: CertificateFiles, now: datetime) -> Pair:
    """Write a new CA; without its ca.crt, at any point of a crash, it is made again for the key that is there."""
    made = issue_authority(now=now)
    remove(files.ca)
    write(files.ca_key, made.key, mode=0o600)
    write(files.ca, made.certificate, mode=0o644)
    return made
