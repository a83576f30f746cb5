"""An object of a manifest as it reaches the hook."""

from collections.abc import Mapping
from typing import Any

NAME_LABEL = "kubernetes.io/metadata.name"


def arriving(thing: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object as the API server hands it to the hook."""
    if (thing["apiVersion"], thing["kind"]) != ("v1", "Namespace"):
        return dict(thing)
    # The API server adds this label to every namespace.
    metadata = thing["metadata"]
    labels = {**(metadata.get("labels") or {}), NAME_LABEL: metadata.get("name", "")}
    return {**thing, "metadata": {**metadata, "labels": labels}}
