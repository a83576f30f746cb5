"""
JSON put into Kubernetes' types and written again, as the API server does it with `fieldValidation=Strict`.

A shape is a function that takes a value and where it stands, and returns what is written again, None for nothing. As in
Go, null is a type's zero value, and what is empty is left out unless the type says otherwise. Source: encoding/json,
and sigs.k8s.io/json for what is strict.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Steps: TypeAlias = tuple[str | int, ...]
Shape: TypeAlias = Callable[[Any, Steps], Any]

_TIME = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d([.,]\d+)?"
    r"(Z|[-+]([01]\d|2[0-4]):[0-5]\d)",
    re.ASCII,
)


class DecodingError(Exception):
    """What stands at `path` does not fit its type."""

    def __init__(self, path: Steps, what: str) -> None:
        self.path = path
        self.what = what
        super().__init__(what)


def text(value: Any, path: Steps) -> str | None:
    """Take a string; an empty one is left out."""
    return given_text(value, path) or None


def given_text(value: Any, path: Steps) -> str | None:
    """Take a string, which is written even if it is empty."""
    if value is not None and not isinstance(value, str):
        raise DecodingError(path, f"has to be a string, and is {_called(value)}")
    return value


def flag(value: Any, path: Steps) -> bool | None:
    """Take a boolean."""
    if value is not None and not isinstance(value, bool):
        raise DecodingError(path, f"has to be true or false, and is {_called(value)}")
    return value


def whole(bits: int) -> Shape:
    """Take a whole number of so many bits."""

    def shape(value: Any, path: Steps) -> int | None:
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise DecodingError(path, f"has to be a whole number, and is {_called(value)}")
        if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise DecodingError(path, f"has to be a number of {bits} bits, and is {value}")
        return value

    return shape


def port(value: Any, path: Steps) -> int | str | None:
    """Take a number or a name."""
    if isinstance(value, str):
        return value
    number: int | None = whole(32)(value, path)
    return number


def time(value: Any, path: Steps) -> str | None:
    """Take a time as of RFC 3339."""
    if value is not None and not (isinstance(value, str) and _TIME.fullmatch(value)):
        raise DecodingError(path, "has to be a time as of RFC 3339, 2026-11-21T15:04:05Z")
    return value


def anything(value: Any, path: Steps) -> Any:  # noqa: ARG001 - it is a shape
    """Take what there is."""
    return value


def texts(value: Any, path: Steps) -> dict[str, str] | None:
    """Take a map of strings to strings."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise DecodingError(path, f"has to be a map, and is {_called(value)}")
    return {key: given_text(each, (*path, key)) or "" for key, each in value.items()} or None


def listed(shape: Shape, zero: Any) -> Shape:
    """Take a list, in which null stands for `zero`."""

    def every(value: Any, path: Steps) -> list[Any] | None:
        if value is None:
            return None
        if not isinstance(value, list):
            raise DecodingError(path, f"has to be a list, and is {_called(value)}")
        shaped = (shape(zero if each is None else each, (*path, index)) for index, each in enumerate(value))
        return [zero if each is None else each for each in shaped] or None

    return every


def struct(fields: Mapping[str, Shape], **zeros: Any) -> Shape:
    """Take an object with no other field than these; those of `zeros` are written even if they are not given."""

    def shape(value: Any, path: Steps) -> dict[str, Any] | None:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise DecodingError(path, f"has to be an object, and is {_called(value)}")
        for name in value:
            if name not in fields:
                raise DecodingError((*path, name), f"unknown field {'.'.join(map(str, (*path, name)))}")
        found: dict[str, Any] = {}
        for name in {**zeros, **value}:
            at = (*path, name)
            shaped = fields[name](value.get(name), at)
            if shaped is None and name in zeros:
                shaped = fields[name](zeros[name], at)
                shaped = zeros[name] if shaped is None else shaped
            if shaped is not None:
                found[name] = shaped
        return found

    return shape


def _called(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "null")
