"""
A recorded document as the rules of today expect it.

It may have been recorded by another version of Portcullis: what this one does not know is kept, for a rule of somebody
else's may read it, and what was not recorded is filled in with what stands for nothing known.
"""

from typing import Any

import orjson
from pydantic import TypeAdapter
from pydantic_core import SchemaValidator, ValidationError

from webhook.decision.document import Document

Json = dict[str, Any]

_DOCUMENT = TypeAdapter(Document)


def _whole(schema: Any) -> Any:
    """Return a core schema by which no field of a dataclass may be missing: `default` wraps those that may."""
    match schema:
        case {"type": "dataclass-field", "schema": {"type": "default", "schema": inner}, **rest}:
            return {**rest, "type": "dataclass-field", "schema": _whole(inner)}
        case dict():
            return {key: _whole(value) for key, value in schema.items()}
        case list():
            return [_whole(each) for each in schema]
        case _:
            return schema


_WHOLE = SchemaValidator(_whole(_DOCUMENT.core_schema))


def as_known(document: bytes) -> tuple[Json, bool]:
    """
    Read a recorded document, with all fields that this version knows, and say whether some had to be filled in.

    Raises `ValueError` for what is no document.
    """
    recorded = orjson.loads(document)
    try:
        _WHOLE.validate_python(recorded)
    except ValidationError:
        # Only this one says whether it can be read at all.
        known = _DOCUMENT.dump_python(_DOCUMENT.validate_python(recorded), mode="json")
        return _over(known, recorded), True
    return recorded, False


def _over(known: Any, recorded: Any) -> Any:
    """Lay what was recorded over what is known of it, at every depth."""
    match known, recorded:
        case dict(), dict():
            both = {key: _over(known[key], value) if key in known else value for key, value in recorded.items()}
            return {**known, **both}
        case list(), list() if len(known) == len(recorded):
            return [_over(one, other) for one, other in zip(known, recorded, strict=True)]
        case _:
            return recorded
