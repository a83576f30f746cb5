"""What makes two objects the same to the history, and how texts are kept: once each, compressed."""

import hashlib
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

FAST = 1
"""zlib's level: on documents of the gate 6 saves a few more per cent and takes twice as long."""
# A document has our metadata of an object, a watch the whole of it, in one version or another.
_APART = frozenset({"apiVersion", "kind", "metadata", "status"})


class Thing(NamedTuple):
    """Which object."""

    group: str
    kind: str
    namespace: str
    name: str


def meaning(thing: Thing, content: Mapping[str, Any] | None) -> bytes:
    """
    Return a digest (16 bytes) of an object and what people want of it: its labels and its spec.

    It is equal for the object of a decision and the one that a watch tells of afterwards: a decision of the first let
    the second in. None for the `content` is that the object is gone.
    """
    said: Any = None
    if content is not None:
        metadata = content.get("metadata")
        labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
        said = [labels or {}, {key: value for key, value in content.items() if key not in _APART and value is not None}]
    text = orjson.dumps([*thing, said], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).digest()[:16]


def packed(text: bytes) -> tuple[bytes, bytes]:
    """Return the SHA-256 of a text, and the text compressed."""
    return hashlib.sha256(text).digest(), zlib.compress(text, FAST)


def unpacked(body: bytes) -> bytes:
    """Return the text of what `packed` compressed."""
    return zlib.decompress(body)
