"""
The certificate that all replicas serve with, and its CA: the Secret that they share, and the folder of each.

Never is one served that the API server does not trust. So a CA is trusted first and serves later: the Secret's ca.crt,
old CA and new one, goes into the webhook objects; a new certificate is issued (`certs.Rotation`) and taken into the
folder once they have carried its CA for a moment. All of it follows from what the Secret, the webhook objects and
the folder hold now; whoever starts in the middle goes on.
"""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

import structlog

import certs
from webhook.errors import ClusterError, SettingsError
from webhook.registration.step import Due, Files, Step
from webhook.registration.stored import NAME, WHOSE, Secrets, Stored, read
from webhook.registration.trust import Nobody, Trusting

__all__ = ["ABSENT", "NAME", "SharedCertificate"]

ATTEMPTS = 10
ADOPTED = ".adopted"
"""Stands in the folder once what lies there came from the Secret."""
ABSENT = "Absent"
"""The reason of an error that says that somebody else has to bring the Secret."""
TOLERATED_SECONDS = 3600.0
"""
How long a CA of somebody else's that is not used any more is left in the webhook objects, where it stands there.

Of a CA that is not ours nobody says when it was the one: a replica that has just started finds it there beside the new
one, and must not take it from another replica that is served with by it still, for a moment.
"""
STARTING_SECONDS = 60.0
"""
The same where the Secret is ours and says itself which CAs are needed, after a start.

Who finds no Secret and an empty folder makes all anew, while others may serve what it was about and put it back.
"""


@dataclass(slots=True)
class SharedCertificate:
    """
    A folder and a Secret that hold the same certificate for `hosts`, but for the moment until a new one is trusted.

    The Secret is the one that counts; the folder is what the server loads. A pair of the operator's own that lies in
    the folder from the beginning (no ca.key beside it) is used as it is, and no Secret is touched: see `of`. One that
    somebody else keeps in the Secret is followed and never written.
    """

    secrets: Secrets
    directory: Path
    hosts: tuple[str, ...]
    own: bool
    trust: Trusting = field(default_factory=Nobody)
    now: certs.Clock = certs.utc
    foreign: bool = False
    """Whether somebody else keeps the Secret."""
    note: str = ""
    """What an operator has to know of it, empty for nothing."""
    waits: bool = False
    """Whether a step is to come as soon as the API server trusts it: ask again soon."""
    _former: bytes = b""
    """The CAs of what was served before, and since when it is not any more."""
    _switched: float = 0.0
    _trusted: bytes = b""
    """What was served when the API server was last known to trust it."""
    _begun: float = field(default_factory=time.monotonic)
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def of(  # noqa: PLR0913 - what it works with, one by one
        cls,
        secrets: Secrets,
        directory: Path,
        hosts: tuple[str, ...],
        *,
        trust: Trusting | None = None,
        now: certs.Clock = certs.utc,
    ) -> "SharedCertificate":
        """Look at what lies in the folder, once: the operator's own pair, or nothing, or what we made."""
        found = certs.contents(directory)
        theirs = {"tls.crt", "tls.key"} <= found.keys() and "ca.key" not in found
        # What was adopted from a Secret that somebody else keeps looks the same when we start again.
        own = theirs and not (directory / ADOPTED).exists()
        return cls(secrets, directory, hosts, own, trust or Nobody(), now)

    async def sync(self) -> None:
        """
        Take the step that is due now: the Secret first, the folder after it.

        Raises `SettingsError` for what cannot be used and `ClusterError`; what is served goes on. Of two replicas that
        take one at the same moment the API server takes one, and the other looks again.
        """
        async with self._one:
            if self.own:
                await asyncio.to_thread(self._checked)
                return
            for _ in range(ATTEMPTS):
                stored = await read(self.secrets)
                mine = await asyncio.to_thread(self._mine)
                step = self._step(stored, mine)
                if step.secret is None or await self._written(stored, step.secret):
                    self.note, self.waits = step.note, step.waits
                    await asyncio.to_thread(self._adopt, step.folder, mine)
                    return
        raise ClusterError(f"{WHOSE} changes all the time: find out who else writes it")

    def authority(self) -> bytes:
        """Return the CAs that clients trust, PEM; raises `SettingsError` where there is none."""
        ca = self._mine().get("ca.crt")
        if not ca:
            raise SettingsError(
                f"{self.directory / 'ca.crt'} is missing, so the API server cannot trust the certificate beside it: "
                "put the CA's certificate there"
            )
        return ca

    def tolerated(self) -> bytes:
        """Return the CAs that may stay in the webhook objects though we need them not, PEM."""
        now = time.monotonic()
        starting = now - self._begun < (TOLERATED_SECONDS if self.foreign else STARTING_SECONDS)
        changing = self.foreign and now - self._switched < TOLERATED_SECONDS
        return certs.joined(self._former if changing else b"", self.trust.first if starting else b"")

    def untrusted(self) -> bool:
        """
        Say whether what is served is nothing that the API server has ever trusted, so far as is known.

        What it has trusted once is not taken for untrusted because somebody wipes the webhook objects: they are
        healed within a moment, and being ready again takes longer.
        """
        chain = self._mine().get("tls.crt", b"")
        if chain != self._trusted and self.trust.heard_of(chain, self.now()):
            self._trusted = chain
        return self.trust.known and self.trust.stands and chain != self._trusted

    # What is due.

    def _step(self, stored: Stored, mine: Files) -> Step:
        due = Due(self.hosts, self.trust, self.now())
        left = stored.secret is None and "ca.key" not in mine and due.usable(mine)
        self.foreign = left or stored.foreign(mine)
        if left:
            return due.gone(mine)
        try:
            if self.foreign:
                return due.followed(stored, mine)
            return due.kept(stored, mine if stored.data else self._remains(mine))
        except certs.CertificateError as error:
            whose = f"{WHOSE}: " if stored.secret else ""
            raise SettingsError(f"{whose}{error}") from error

    # The folder and the Secret.

    def _mine(self) -> dict[str, bytes]:
        try:
            return certs.contents(self.directory)
        except certs.CertificateError as error:
            raise SettingsError(str(error)) from error

    def _checked(self) -> None:
        try:
            certs.ensure(self.directory, self.hosts, now=self.now())
        except certs.CertificateError as error:
            raise SettingsError(str(error)) from error

    def _remains(self, mine: Files) -> Files:
        """Return what of the folder a Secret may be made of; raises CertificateError for what is not ours."""
        if "ca.key" in mine or not mine:
            return mine
        if not (self.directory / ADOPTED).exists():
            certs.ensure(self.directory, self.hosts, now=self.now())
        return {}

    def _adopt(self, folder: Files, mine: Files) -> None:
        try:
            if folder != mine:
                certs.adopt(self.directory, folder)
            (self.directory / ADOPTED).touch()
        except certs.CertificateError as error:
            raise SettingsError(str(error)) from error
        if mine.get("tls.crt") and folder["tls.crt"] != mine["tls.crt"]:
            chain = mine["tls.crt"]
            self._former = certs.write_bundle(certs.anchors(chain, mine.get("ca.crt", b"")))
            self._switched = time.monotonic()

    async def _written(self, stored: Stored, files: Files) -> bool:
        """Write the Secret; say False where somebody was faster."""
        try:
            await stored.write(self.secrets, files)
        except ClusterError as error:
            if error.status == 409 or (error.status == 404 and stored.secret):
                return False
            if error.status == 403 and stored.secret is None:
                said = f"there is no {WHOSE}, and we may not make it: whoever keeps it has to ({error})"
                raise ClusterError(said, status=403, reason=ABSENT) from error
            raise
        before = stored.data
        changed = [name for name, content in sorted(files.items()) if before.get(name) != content]
        structlog.get_logger().info("certificate published", secret=WHOSE, changed=changed)
        return True
