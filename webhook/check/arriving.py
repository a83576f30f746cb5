"""An object of a manifest as it reaches the hook, or as it stands, and what the API server would not take of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from webhook.check.arrival import ArrivalError, arrived
from webhook.check.validation import Problem

Json = dict[str, Any]


class Arrival(NamedTuple):
    """The object, None where it cannot be decoded, and what is wrong with it."""

    thing: Json | None
    problems: tuple[Problem, ...] = ()


def arriving(manifest: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> Arrival:
    """Return the object as the API server hands it to the hook; `old` is the one that stands, if it is an update."""
    try:
        return Arrival(arrived(manifest, old))
    except ArrivalError as error:
        return Arrival(error.arrived, error.problems)


def stood(manifest: Mapping[str, Any]) -> Json:
    """Return the object of a file as it stands in a cluster; one that could not is left as it is."""
    return arriving(manifest).thing or dict(manifest)
