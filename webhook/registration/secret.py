"""The certificate that all replicas serve with, and its CA: files in a folder, and the Secret that they share."""

import asyncio
import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import structlog

import certs
from webhook.cluster.resource import SECRETS, Resource
from webhook.errors import ClusterError, SettingsError
from webhook.model import HOME

Object = dict[str, Any]

NAME = "portcullis-tls"
ATTEMPTS = 10
ADOPTED = ".adopted"
"""Stands in the folder once what lies there came from the Secret."""


class Secrets(Protocol):
    """The calls on a cluster that it takes."""

    async def read(self, resource: Resource, name: str, namespace: str, /) -> Object:
        """Return the Secret."""
        ...

    async def create(self, resource: Resource, thing: Object, /) -> Object:
        """Create the Secret."""
        ...

    async def replace(self, resource: Resource, thing: Object, /) -> Object:
        """Replace the Secret in the version that was read."""
        ...


@dataclass(frozen=True, slots=True)
class SharedCertificate:
    """
    A folder and a Secret that hold the same certificate for `hosts`.

    The Secret is the one that counts; the folder is what the server loads. A pair of the operator's own that lies in
    the folder from the beginning (no ca.key beside it) is used as it is, and no Secret is touched: see `of`.
    """

    secrets: Secrets
    directory: Path
    hosts: tuple[str, ...]
    own: bool

    @classmethod
    def of(cls, secrets: Secrets, directory: Path, hosts: tuple[str, ...]) -> "SharedCertificate":
        """Look at what lies in the folder, once: the operator's own pair, or nothing, or what we made."""
        found = certs.contents(directory)
        theirs = {"tls.crt", "tls.key"} <= found.keys() and "ca.key" not in found
        # What was adopted from a Secret that somebody else keeps looks the same when we start again.
        return cls(secrets, directory, hosts, own=theirs and not (directory / ADOPTED).exists())

    async def sync(self) -> None:
        """
        Make both hold one certificate that can be served with now, issued or renewed where that is due.

        Raises `SettingsError` for what cannot be used and `ClusterError`. Of two replicas that issue at the same
        moment the API server takes one, and the other adopts it.
        """
        for _ in range(ATTEMPTS):
            secret = None if self.own else await self._secret()
            mine = await asyncio.to_thread(self._files, secret)
            if self.own or (secret and _data(secret) == mine):
                return
            try:
                await self._publish(secret, mine)
            except ClusterError as error:
                if error.status != 409:
                    raise
            else:
                structlog.get_logger().info("certificate published", secret=f"{HOME}/{NAME}")
                return
        raise ClusterError(f"Secret {HOME}/{NAME} changes all the time: find out who else writes it")

    def authority(self) -> bytes:
        """Return the CA that clients trust, PEM; raises `SettingsError` where there is none."""
        try:
            ca = certs.contents(self.directory).get("ca.crt")
        except certs.CertificateError as error:
            raise SettingsError(str(error)) from error
        if not ca:
            raise SettingsError(
                f"{self.directory / 'ca.crt'} is missing, so the API server cannot trust the certificate beside it: "
                "put the CA's certificate there"
            )
        return ca

    def _files(self, secret: Object | None) -> dict[str, bytes]:
        now = datetime.now(UTC)
        try:
            if secret:
                # Aside, so that what was damaged by hand does not replace what we serve with.
                with TemporaryDirectory(prefix="portcullis-") as aside:
                    certs.adopt(Path(aside), _data(secret))
                    # What another process is called by stays in it: two would otherwise issue it anew in turns.
                    hosts = tuple(dict.fromkeys((*self.hosts, *certs.named(_data(secret)))))
                    certs.ensure(Path(aside), hosts, now=now)
                    certs.adopt(self.directory, certs.contents(Path(aside)))
                (self.directory / ADOPTED).touch()
            else:
                certs.ensure(self.directory, self.hosts, now=now)
            return certs.contents(self.directory)
        except certs.CertificateError as error:
            whose = f"Secret {HOME}/{NAME}: " if secret else ""
            raise SettingsError(f"{whose}{error}") from error

    async def _secret(self) -> Object | None:
        try:
            return await self.secrets.read(SECRETS, NAME, HOME)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    async def _publish(self, before: Object | None, data: dict[str, bytes]) -> None:
        encoded = {name: base64.b64encode(content).decode() for name, content in data.items()}
        if before:
            await self.secrets.replace(SECRETS, {**before, "data": {**(before.get("data") or {}), **encoded}})
            return
        labels = {"app.kubernetes.io/name": "portcullis", "app.kubernetes.io/part-of": "portcullis"}
        metadata = {"name": NAME, "namespace": HOME, "labels": labels}
        kind = {"apiVersion": SECRETS.api_version, "kind": SECRETS.kind, "type": "kubernetes.io/tls"}
        await self.secrets.create(SECRETS, {**kind, "metadata": metadata, "data": encoded})


def _data(secret: Object) -> dict[str, bytes]:
    """Return the files that a Secret holds; one that is not base64 is left out, and missed where it is needed."""
    found = {}
    for name in ("ca.crt", "ca.key", "tls.crt", "tls.key"):
        try:
            content = base64.b64decode((secret.get("data") or {}).get(name) or "", validate=True)
        except (binascii.Error, ValueError, TypeError):
            continue
        if content:
            found[name] = content
    return found
