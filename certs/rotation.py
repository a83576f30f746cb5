"""
The life of a CA and its serving certificate that several replicas share: what has to become of it now.

Computed from what is there alone, so that any replica may take the next step and none needs to remember the last. A CA
that is past two thirds of its life, that ended, or whose key is damaged gets a successor:

1. The new CA is put beside the old one in ca.crt and its key in place of the old one's in ca.key (what is gone cannot
   be stolen); the serving certificate is still the old CA's.
2. Once clients are known to trust the new CA, it issues the serving certificate.
3. `OVERLAP` later the old CA leaves ca.crt.

A serving certificate that nobody can use any more, for it ended or does not fit, is not worth waiting for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import SKEW, issue_authority, issue_serving, issuer_of, signer_of, signing_key
from certs.errors import CertificateError
from certs.pem import Pair, read_certificates, read_key
from certs.shared import named
from certs.trust import anchors, issued, joined, readable, write_bundle
from certs.validity import due, misfit, past_two_thirds, unusable

OVERLAP = timedelta(hours=24)
"""
How long the old CA is trusted after the new one has issued what is served.

Replicas take the new certificate within seconds; one that cannot, for it does not reach the API server, is unready
within a minute. A day leaves room for a machine that was asleep and for the one that somebody restores from yesterday,
without keeping a CA for another 90 days whose key may have been the reason for the change.
"""


@dataclass(frozen=True, slots=True)
class Rotation:
    """
    What the next step depends on beside what is there.

    `hosts` are those of the serving certificate (what it names already is kept); `now` is aware; `trusted` says whether
    clients are known to trust what a chain (PEM, the leaf first) holds.
    """

    hosts: tuple[str, ...]
    now: datetime
    trusted: Callable[[bytes], bool]

    def advanced(self, data: Mapping[str, bytes], *, anew: bool = False) -> dict[str, bytes]:
        """
        Return what `data` (ca.crt, ca.key, tls.crt, tls.key, of which any may be missing or damaged) has to become.

        Equal to `data` where nothing is due; all made anew where nothing is there. With `anew` the CA is replaced
        whatever it is like. Raises CertificateError for hosts that are none.
        """
        hosts = tuple(dict.fromkeys((*self.hosts, *named(data))))
        serving = Pair(data.get("tls.crt", b""), data.get("tls.key", b""))
        authority = Pair(joined(data.get("ca.crt", b"")), data.get("ca.key", b""))
        if anew or not self._signs(authority, serving):
            authority = self._successor(authority, key=None if anew else _orphan(authority))
        if self._issues(serving, authority, hosts):
            serving = issue_serving(authority, hosts, now=self.now)
        bundle = self._pruned(serving, authority)
        return {"ca.key": authority.key, "ca.crt": bundle, "tls.key": serving.key, "tls.crt": serving.certificate}

    def _signs(self, authority: Pair, serving: Pair) -> bool:
        """Say whether the CA that is there goes on: one that is due first mends what can be served with no more."""
        try:
            issuer, _ = issuer_of(authority, now=self.now)
        except CertificateError:
            return False
        return not past_two_thirds(issuer, now=self.now) or unusable(serving, (), now=self.now) is not None

    def _successor(self, authority: Pair, *, key: bytes | None) -> Pair:
        made = issue_authority(now=self.now, key=key)
        return Pair(joined(made.certificate, authority.certificate), made.key)

    def _issues(self, serving: Pair, authority: Pair, hosts: tuple[str, ...]) -> bool:
        if not due(serving, authority, hosts, now=self.now):
            return False
        if unusable(serving, (), now=self.now):
            return True
        signer, _ = signer_of(authority)
        vouched = anchors(serving.certificate, authority.certificate, now=self.now)
        return not vouched or self.trusted(signer.public_bytes(Encoding.PEM))

    def _pruned(self, serving: Pair, authority: Pair) -> bytes:
        """Return the bundle, without what the signing CA has taken over from."""
        signer, _ = signer_of(authority)
        leaf = read_certificates(serving.certificate)[0]
        every = readable(authority.certificate)
        own = tuple(each for each in every if each.public_key() == signer.public_key())
        over = issued(leaf, by=signer) and self.now >= leaf.not_valid_before_utc + SKEW + OVERLAP
        return write_bundle(own) if over and own != every else authority.certificate


def sound(data: Mapping[str, bytes]) -> bool:
    """Say whether `data` is a whole set of ours: the parts fit, and the CA is there with its key, whatever the time."""
    return _flaw(data) is None


def ahead(data: Mapping[str, bytes], *, now: datetime) -> bool:
    """Say whether a sound set begins later than `now` (aware): its issuer's clock is ahead of ours, or ours behind."""
    signer, _ = signer_of(Pair(data["ca.crt"], data["ca.key"]))
    leaf = read_certificates(data["tls.crt"])[0]
    return now < max(signer.not_valid_before_utc, leaf.not_valid_before_utc)


def signed_with(data: Mapping[str, bytes], key: bytes) -> bool:
    """Say whether the serving certificate in `data` is of a CA in `data` whose private key is `key` (PEM)."""
    try:
        public = read_key(key).public_key()
    except CertificateError:
        return False
    return any(each.public_key() == public for each in anchors(data.get("tls.crt", b""), data.get("ca.crt", b"")))


def _flaw(data: Mapping[str, bytes]) -> str | None:
    if reason := misfit(Pair(data.get("tls.crt", b""), data.get("tls.key", b""))):
        return reason
    try:
        signer_of(Pair(data.get("ca.crt", b""), data.get("ca.key", b"")))
    except CertificateError as error:
        return str(error)
    return None if anchors(data["tls.crt"], data["ca.crt"]) else "is of a CA that is not beside it"


def _orphan(authority: Pair) -> bytes | None:
    """Give a CA's key that can sign and has lost its certificate: made again for it, clients notice nothing."""
    try:
        public = signing_key(authority.key).public_key()
    except CertificateError:
        return None
    return None if any(each.public_key() == public for each in readable(authority.certificate)) else authority.key
