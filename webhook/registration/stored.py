"""The Secret that the replicas share: read, written in the version that was read, and whose it is."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import certs
from webhook.cluster.resource import SECRETS, Resource
from webhook.errors import ClusterError, SettingsError
from webhook.model import DOMAIN, HOME

Object = dict[str, Any]

NAME = "portcullis-tls"
WHOSE = f"Secret {HOME}/{NAME}"
FILES = ("ca.crt", "ca.key", "tls.crt", "tls.key")
ANEW = f"{DOMAIN}/rotate-ca"
"""An annotation, of any value, by which a person asks for a new CA; gone once that is made."""
CERT_MANAGER = "cert-manager.io/"
"""What the annotations of a Secret that cert-manager keeps begin with."""


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
class Stored:
    """The Secret as it was read, None where there was none."""

    secret: Object | None

    @property
    def data(self) -> dict[str, bytes]:
        """The files that it holds; one that is not base64 is left out, and missed where it is needed."""
        found = {}
        for name in FILES:
            try:
                content = base64.b64decode(((self.secret or {}).get("data") or {}).get(name) or "", validate=True)
            except (binascii.Error, ValueError, TypeError):
                continue
            if content:
                found[name] = content
        return found

    @property
    def asks_anew(self) -> bool:
        """Whether a person asks for a new CA."""
        return ANEW in self._annotations

    @property
    def _annotations(self) -> Mapping[str, str]:
        return ((self.secret or {}).get("metadata") or {}).get("annotations") or {}

    def foreign(self, mine: Mapping[str, bytes]) -> bool:
        """
        Say whether somebody else keeps it, so that we never write it: cert-manager, or who put in an own pair.

        Of us it has a ca.key. One that has lost it is ours as long as the key lies in `mine`, what we serve with.
        """
        data = self.data
        if any(each.startswith(CERT_MANAGER) for each in self._annotations):
            return True
        if not data or "ca.key" in data:
            return False
        pair = certs.Pair(data.get("tls.crt", b""), data.get("tls.key", b""))
        if certs.misfit(pair):
            return not certs.sound(mine)
        return not certs.signed_with(data, mine.get("ca.key", b""))

    async def write(self, secrets: Secrets, files: Mapping[str, bytes]) -> None:
        """Write `files`; what others keep beside them stays. Raises `ClusterError`, 409 where somebody was faster."""
        encoded = {name: base64.b64encode(content).decode() for name, content in files.items()}
        if self.secret is None:
            await _create(secrets, encoded)
            return
        if self.secret.get("immutable"):
            raise SettingsError(f"{WHOSE}: it is immutable: delete it to have it made again, as it is served")
        metadata = {**self.secret["metadata"]}
        if self.asks_anew:
            metadata["annotations"] = {key: each for key, each in self._annotations.items() if key != ANEW}
        data = {**(self.secret.get("data") or {}), **encoded}
        await secrets.replace(SECRETS, {**self.secret, "metadata": metadata, "data": data})


async def read(secrets: Secrets) -> Stored:
    """Return the Secret; raises `ClusterError` where it cannot be told whether there is one."""
    try:
        return Stored(await secrets.read(SECRETS, NAME, HOME))
    except ClusterError as error:
        if error.status == 404:
            return Stored(None)
        raise


async def _create(secrets: Secrets, encoded: Mapping[str, str]) -> None:
    labels = {"app.kubernetes.io/name": "portcullis", "app.kubernetes.io/part-of": "portcullis"}
    metadata = {"name": NAME, "namespace": HOME, "labels": labels}
    kind = {"apiVersion": SECRETS.api_version, "kind": SECRETS.kind, "type": "kubernetes.io/tls"}
    await secrets.create(SECRETS, {**kind, "metadata": metadata, "data": dict(encoded)})
