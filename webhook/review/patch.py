"""
Makes the JSON patch of what a mutation changes, and applies it as an API server would.

Source: https://www.rfc-editor.org/rfc/rfc6902 and, for the pointers, https://www.rfc-editor.org/rfc/rfc6901
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from webhook.model import Change

Operation = dict[str, Any]


def patch_of(metadata: Mapping[str, Any] | None, changes: Sequence[Change]) -> list[Operation]:
    """
    Return the operations that bring `changes` into an object with this raw `metadata`; none where nothing differs.

    Where the map (or the metadata) is absent it is added whole, for a path into nothing fails.
    """
    present = metadata or {}
    operations: list[Operation] = [] if metadata is not None else [{"op": "add", "path": "/metadata", "value": {}}]
    for kind in ("labels", "annotations"):
        wanted = {change.key: change.value for change in changes if change.on == kind}
        operations += _map_operations(f"/metadata/{kind}", present.get(kind), wanted)
    return operations if any(each["path"] != "/metadata" for each in operations) else []


def applied(thing: Mapping[str, Any], operations: Iterable[Operation]) -> dict[str, Any]:
    """Return a copy of `thing` with operations as `patch_of` makes them; whoever asks our webhook has to do so."""
    changed = deepcopy(dict(thing))
    for each in operations:
        *above, last = (part.replace("~1", "/").replace("~0", "~") for part in each["path"].split("/")[1:])
        at = changed
        for part in above:
            at = at[part]
        if each["op"] == "remove":
            del at[last]
        else:
            at[last] = each["value"]
    return changed


def _map_operations(path: str, present: Mapping[str, str] | None, wanted: Mapping[str, str | None]) -> list[Operation]:
    if present is None:
        added = {key: value for key, value in sorted(wanted.items()) if value is not None}
        return [{"op": "add", "path": path, "value": added}] if added else []
    return [
        _operation(f"{path}/{_escaped(key)}", value, exists=key in present)
        for key, value in sorted(wanted.items())
        if present.get(key) != value
    ]


def _operation(path: str, value: str | None, *, exists: bool) -> Operation:
    if value is None:
        return {"op": "remove", "path": path}
    return {"op": "replace" if exists else "add", "path": path, "value": value}


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
