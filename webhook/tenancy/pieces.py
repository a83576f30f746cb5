"""
A manifest file cut into documents, as k8s.io/apimachinery's `YAMLOrJSONDecoder` cuts it for kubectl.

JSON values side by side if the file begins with one, then pieces between lines of `---`.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeAlias

from webhook.errors import ManifestError
from webhook.tenancy.scalars import Scalar, as_json

Place: TypeAlias = tuple[int, int]

BOM = "\ufeff"
# What JSON writes and YAML does not know: a character beyond 16 bits as a pair, and `\/`; the backslash may be escaped.
JSON_ESCAPE = re.compile(r"\\\\|\\/|\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
JSON_SPACE = re.compile(r"[ \t\n\r]*")
SEPARATOR = re.compile(r"^---(.*)\n?", re.MULTILINE)
TO_LINE_END = re.compile(r"[^\S\n]*\n?")


class Piece(NamedTuple):
    """The text of a document, the place of its first character (from 0), and its value if kubectl reads it as JSON."""

    text: str
    start: Place
    json: tuple[Any, ...] = ()

    def position(self, place: Place) -> Place:
        """Return line and column in the file, both from 1, of a place in the text, from 0."""
        line, column = place
        return self.start[0] + line + 1, column + 1 + (0 if line else self.start[1])


def pieces(file: Path, text: str) -> Iterator[Piece | ManifestError]:
    """Cut a file as kubectl does: JSON values side by side if it begins with one, and pieces between lines of `---`."""
    at, place = 0, (0, 0)
    if text.startswith(BOM):  # with which kubectl takes nothing for JSON
        yield from _yaml_pieces(file, text[1:], place)
        return
    values = _json_values(text) if text.lstrip().startswith("{") else iter(())
    count = 0
    for count, (start, end, value) in enumerate(values, 1):  # noqa: B007 - counted
        place = _moved(place, text[at:start])
        yield Piece(JSON_ESCAPE.sub(_character, text[start:end]), place, (value,))
        place, at = _moved(place, text[start:end]), end
    few = False
    # kubectl goes on in YAML, on the next line if this one is over; for that it wants to see four bytes.
    if count and (skipped := TO_LINE_END.match(text, at)):
        seen = skipped.end() - skipped[0].endswith("\n")
        few = len(text[seen : seen + 4].encode()) < 4
        place, at = _moved(place, skipped[0]), skipped.end()
    if (count > 1 or few) and text[at:].strip():
        yield ManifestError(file, place[0] + 1, place[1] + 1, "not JSON, as what stands before it is")
    else:
        yield from _yaml_pieces(file, text[at:], place)


def _json_values(text: str) -> Iterator[tuple[int, int, Any]]:
    """Yield start, end and value of the JSON values at the beginning of `text`."""
    decoder, end = json.JSONDecoder(parse_constant=_refuse, parse_float=_float), 0
    while (space := JSON_SPACE.match(text, end)) and space.end() < len(text):
        try:
            value, end = decoder.raw_decode(text, space.end())
        except (ValueError, RecursionError):
            return
        yield space.end(), end, value


def _float(text: str) -> Scalar:
    value = float(text)
    return as_json(value) if math.isfinite(value) else value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _character(escape: re.Match[str]) -> str:
    if not escape[1]:
        return escape[0].replace("\\/", "/")
    return f"\\U{0x10000 + ((int(escape[1], 16) - 0xD800) << 10) + int(escape[2], 16) - 0xDC00:08x}"


def _moved(place: Place, text: str) -> Place:
    lines = text.count("\n")
    return (place[0] + lines, len(text) - text.rfind("\n") - 1) if lines else (place[0], place[1] + len(text))


def _yaml_pieces(file: Path, text: str, start: Place) -> Iterator[Piece | ManifestError]:
    begin, at, line, counted = start, 0, start[0], 0
    for mark in SEPARATOR.finditer(text):
        line, counted = line + text.count("\n", counted, mark.start()), mark.start()
        behind = mark[1].strip()
        if behind and not behind.startswith("#"):
            what = f"not a separator that kubectl takes: only a comment may follow `---`, not {behind[:40]!r}"
            yield ManifestError(file, line + 1, 4, what)
        elif mark.start() == at:  # the `---` before a first document belongs to it
            continue
        yield Piece(text[at : mark.start()], begin)
        at, begin = mark.end(), (line + 1, 0)
    # Go's decoder ends the last line, too, which a block scalar shows.
    yield Piece(text[at:] if text.endswith("\n") else f"{text[at:]}\n", begin)
