"""
What goes between us and the process that writes the history: a line with two lengths, a head in JSON and a body.

Heads are of our own making on both sides; nothing in them is run.
"""

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import orjson
from pydantic import TypeAdapter

from webhook.history.record import Record, Revision
from webhook.history.rows import Entry

_RECORDS = TypeAdapter(tuple[Record, ...])
_REVISIONS = TypeAdapter(tuple[Revision, ...])

LINE = 64
"""The most bytes of the line with the lengths."""


def frame(head: Mapping[str, Any], body: bytes = b"") -> bytes:
    """Return a frame as it is sent."""
    told = orjson.dumps(head)
    return b"%d %d\n%b%b" % (len(told), len(body), told, body)


def lengths(line: bytes) -> tuple[int, int]:
    """Return the lengths of head and body; raises `ValueError` for a line that has none."""
    head, body = line.split()
    return int(head), int(body)


def read(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Return the next frame of a stream, None at its end."""
    line = stream.readline(LINE)
    if not line:
        return None
    head, body = lengths(line)
    told: dict[str, Any] = orjson.loads(stream.read(head))
    return told, stream.read(body)


def entries_out(entries: Sequence[Entry]) -> bytes:
    """Return the frame that has decisions appended."""
    head = {
        "do": "append",
        # No document is left in a record that is written.
        "records": [each.record for each in entries],
        "asked": [each.asked for each in entries],
        "let_in": [each.let_in.hex() if each.let_in else "" for each in entries],
        "sizes": [len(each.document) for each in entries],
    }
    return frame(head, b"".join(each.document for each in entries))


def entries_in(head: Mapping[str, Any], body: bytes) -> list[Entry]:
    """Return the decisions of such a frame."""
    found, at = [], 0
    records = _RECORDS.validate_python(head["records"])
    for record, asked, let_in, size in zip(records, head["asked"], head["let_in"], head["sizes"], strict=True):
        found.append(Entry(record, body[at : at + size], asked, bytes.fromhex(let_in) or None))
        at += size
    return found


def revisions_out(revisions: Sequence[Revision]) -> bytes:
    """Return the frame that has states of objects kept."""
    return frame({"do": "revise"}, orjson.dumps(revisions))


def revisions_in(body: bytes) -> Sequence[Revision]:
    """Return the states of such a frame."""
    return _REVISIONS.validate_json(body)
