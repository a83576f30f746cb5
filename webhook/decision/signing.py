"""
Bundles that OPA takes from nobody but who holds a key.

A bundle's `.signatures.json` holds a JWT over the SHA-256 of every other file of it; an OPA whose configuration names
the public key loads no bundle with a byte changed, a file more or a file less, none without a signature and none of
another key. Source: https://www.openpolicyagent.org/docs/management-bundles#signing
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from webhook.errors import SettingsError

SIGNATURES = ".signatures.json"
KEY_ID = "portcullis"
ALGORITHM = "ES256"


@dataclass(frozen=True, slots=True)
class Signed:
    """A bundle as OPA loads it (.tar.gz), and the public key (PEM) that its signature is verified by."""

    content: bytes
    public_key: str

    def configuration(self, resource: str) -> dict[str, Any]:
        """
        Return the configuration of an OPA that loads this bundle from `resource` (a URI), and none that is not signed.

        It names no service, so OPA has nobody to call: no decision logs, no status, no discovery.
        """
        return {
            "keys": {KEY_ID: {"algorithm": ALGORITHM, "key": self.public_key}},
            "bundles": {"portcullis": {"resource": resource, "signing": {"keyid": KEY_ID}}},
        }


class SigningKey:
    """A private key on P-256, in memory alone: it signs, and is gone with the object."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def new(cls) -> Self:
        """Make one that nobody else has."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def of(cls, pem: bytes) -> Self:
        """Read one; raises `SettingsError` for what is no private key on P-256, or needs a passphrase."""
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise SettingsError(f"the signing key is no private key in PEM without a passphrase: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise SettingsError(
                "the signing key is not on P-256; `openssl ecparam -name prime256v1 -genkey -noout` makes one that is"
            )
        return cls(key)

    def public(self) -> str:
        """Return its public half (PEM)."""
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def signatures(self, files: Mapping[str, bytes]) -> bytes:
        """
        Return the `.signatures.json` of a bundle of `files`.

        OPA hashes Rego byte by byte, but JSON as it would write it itself: sorted keys, no spaces. Of that kind ours
        has the manifest alone.
        """
        named = [
            {"name": name, "hash": hashlib.sha256(_canonical(name, content)).hexdigest(), "algorithm": "SHA-256"}
            for name, content in sorted(files.items())
        ]
        header = {"alg": ALGORITHM, "typ": "JWT", "kid": KEY_ID}
        signed = b".".join(_base64url(orjson.dumps(each)) for each in (header, {"files": named}))
        return orjson.dumps({"signatures": [(signed + b"." + _base64url(self._sign(signed))).decode()]})

    def _sign(self, content: bytes) -> bytes:
        # JWS has the two numbers one after the other (RFC 7518, 3.4), not in DER. Without chance in it: the same
        # bundle under the same key is the same file.
        numbers = decode_dss_signature(self._key.sign(content, ec.ECDSA(SHA256(), deterministic_signing=True)))
        return b"".join(each.to_bytes(32, "big") for each in numbers)


def _canonical(name: str, content: bytes) -> bytes:
    return orjson.dumps(orjson.loads(content), option=orjson.OPT_SORT_KEYS) if name == ".manifest" else content


def _base64url(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
