"""
The step that is due now for the certificate that the replicas share: what the Secret and a folder have to hold.

Pure: it follows from what the Secret, the folder and the webhook objects hold, so whoever starts in the middle of a
rotation goes on with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import certs
from webhook.registration.stored import WHOSE, Stored
from webhook.registration.trust import Trusting

Files = Mapping[str, bytes]
"""What is in ca.crt, ca.key, tls.crt and tls.key, by these names."""


@dataclass(frozen=True, slots=True)
class Step:
    """
    What the folder has to hold, and the Secret where it has to be written.

    `note` is what an operator has to know. `waits`: more is to come as soon as the API server trusts it.
    """

    folder: Files
    secret: Files | None = None
    note: str = ""
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """What it depends on beside Secret and folder; `now` is aware."""

    hosts: tuple[str, ...]
    trust: Trusting
    now: datetime

    def gone(self, mine: Files) -> Step:
        """Return the step where a Secret that somebody else keeps is not there."""
        return Step(mine, note=f"{WHOSE} is gone: whoever keeps it has to bring it again; what it held is served")

    def kept(self, stored: Stored, mine: Files) -> Step:
        """Return the step of a Secret that is ours; `mine` is what the folder holds. Raises CertificateError."""
        data = stored.data
        # What was damaged by hand is put back as it is served.
        base: Files = data if certs.sound(data) or (data and not certs.sound(mine)) else mine
        if self.usable(mine) and self.trust.relies_on(mine["tls.crt"], self.now):
            base = self._vouching(base, mine)
            if (
                base is data
                and certs.sound(data)
                and data["tls.crt"] != mine["tls.crt"]
                and certs.ahead(data, now=self.now)
            ):
                note = f"{WHOSE} begins in the future: the clock of another replica is ahead of ours, or ours is behind"
                return Step({**data, "tls.crt": mine["tls.crt"], "tls.key": mine["tls.key"]}, note=note)
        rotation = certs.Rotation(self.hosts, self.now, lambda chain: self.trust.ready_for(chain, self.now))
        aim = rotation.advanced(base, anew=stored.asks_anew)
        takes = self._takes(aim, mine)
        pair = aim if takes else mine
        return Step(
            {**aim, "tls.crt": pair["tls.crt"], "tls.key": pair["tls.key"]},
            secret=aim if aim != data or stored.asks_anew else None,
            waits=not takes or not self.trust.known or not certs.signed_with(aim, aim["ca.key"]),
        )

    def followed(self, stored: Stored, mine: Files) -> Step:
        """Return the step of a Secret that somebody else keeps, which is never written. Raises CertificateError."""
        data = {name: content for name, content in stored.data.items() if name != "ca.key"}
        if not {"tls.crt", "tls.key"} <= data.keys():
            raise certs.CertificateError("it has no tls.crt or no tls.key: delete it to have all made anew")
        if reason := certs.unusable(pair_of(data), (), now=self.now):
            raise certs.CertificateError(f"its tls.crt {reason}. It has no ca.key of ours, so we do not")
        bundle = certs.joined(data.get("ca.crt") or mine.get("ca.crt", b""))
        if not certs.anchors(data["tls.crt"], bundle, now=self.now):
            raise certs.CertificateError(
                "it has no ca.crt of the CA that issued its tls.crt, so the API server could not trust it: put the "
                "three of one issue there"
            )
        note = ""
        if certs.aged(data["tls.crt"], now=self.now):
            note = f"{WHOSE}: its tls.crt is past two thirds of its life and not renewed by whoever keeps it"
        if self._takes({**data, "ca.crt": bundle}, mine):
            return Step({**data, "ca.crt": bundle}, note=note)
        chain = mine["tls.crt"]
        of_mine = certs.write_bundle(certs.anchors(chain, mine.get("ca.crt", b"")))
        both = certs.joined(bundle, of_mine, self.trust.anchors(chain))
        return Step({"ca.crt": both, "tls.crt": chain, "tls.key": mine["tls.key"]}, note=note, waits=True)

    def usable(self, files: Files) -> bool:
        """Say whether a pair can be served with now."""
        return certs.unusable(pair_of(files), (), now=self.now) is None

    def _vouching(self, base: Files, mine: Files) -> Files:
        """Return `base`, or, where its CAs do not vouch for what is served and trusted, both: its CA is the next."""
        chain = mine["tls.crt"]
        bundle = base.get("ca.crt", b"")
        if certs.anchors(chain, bundle, now=self.now):
            return base
        both = certs.joined(bundle, self.trust.anchors(chain))
        return {**base, "ca.crt": both, "tls.crt": chain, "tls.key": mine["tls.key"]}

    def _takes(self, data: Files, mine: Files) -> bool:
        """Say whether the pair in `data` may be served now instead of ours."""
        chain = data["tls.crt"]
        if chain == mine.get("tls.crt") or not self.usable(mine) or self.trust.ready_for(chain, self.now):
            return True
        if not self.trust.known or self.trust.relies_on(mine["tls.crt"], self.now):
            return False
        # Nobody can be served with ours any more.
        return self.trust.relies_on(chain, self.now) or not certs.anchors(mine["tls.crt"], data["ca.crt"], now=self.now)


def pair_of(files: Files) -> certs.Pair:
    """Return the serving certificate and its key, empty where they are missing."""
    return certs.Pair(files.get("tls.crt", b""), files.get("tls.key", b""))
