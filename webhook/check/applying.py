"""
What `kubectl apply` sends for an object that stands in a cluster: what others have put into its metadata stays.

Source: https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/#how-apply-calculates-differences-and-merges-changes
"""

from collections.abc import Mapping
from typing import Any

import orjson

Json = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_OF_THE_SERVER = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "managedFields")
_MAPS = ("labels", "annotations")
_LISTS = ("finalizers", "ownerReferences")


def merged(new: Json, old: Json) -> Json:
    """Return `new` with the metadata that applying it to `old` leaves; whatever else it says replaces what stood."""
    before, after = old["metadata"], dict(new["metadata"])
    last = _last(before)
    for key in _OF_THE_SERVER:
        if key in before:
            after[key] = before[key]
    for key in _MAPS:
        stays = {name: text for name, text in (before.get(key) or {}).items() if name not in (last.get(key) or {})}
        if found := {**stays, **(after.get(key) or {})}:
            after[key] = found
    for key in _LISTS:
        if key in before and key not in after and key not in last:
            after[key] = before[key]
    # A custom resource's status is not what is applied, and a Namespace's finalizers are the API server's.
    rest = {key: old[key] for key in ("status",) if key in old}
    spec = {"spec": old["spec"]} if "spec" in old and new.get("spec") is None else {}
    return {**rest, **new, **spec, "metadata": after}


def _last(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the metadata that was applied last, none where that is not known."""
    text = (metadata.get("annotations") or {}).get(LAST_APPLIED, "")
    try:
        match orjson.loads(text):
            case {"metadata": dict() as last}:
                return last
            case _:
                return {}
    except orjson.JSONDecodeError:
        return {}
