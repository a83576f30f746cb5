"""
Reads what the API server says, however deep it is nested.

The API server stores objects of up to 10,000 levels where a schema keeps unknown fields; orjson reads 1,024. One such
object must not blind a watch for all others, so what lies deeper than anything that Kubernetes or a CNI defines is cut.
"""

import re
from typing import Any

import orjson

DEEPEST = 200
"""Levels that are kept of an object that is too deep; no known kind has 30."""
CUT = b'"nested too deep to be read"'
"""What stands for the rest: a text, where nobody takes it for an absent or an empty value."""

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[\]{}]')


def read_json(text: bytes) -> Any:
    """Return the JSON value of `text`; raises ValueError for what is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        shallow = _shallow(text)
        if shallow == text:
            raise
        return orjson.loads(shallow)


def _shallow(text: bytes) -> bytes:
    """Put `CUT` in the place of every object and list below the deepest level that is kept."""
    kept: list[bytes] = []
    depth = begin = 0
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in b"[{":
            depth += 1
            if depth == DEEPEST + 1:
                kept += (text[begin : token.start()], CUT)
        elif sign in b"]}":
            if depth == DEEPEST + 1:
                begin = token.end()
            depth -= 1
    return b"".join([*kept, text[begin:]]) if kept else text
