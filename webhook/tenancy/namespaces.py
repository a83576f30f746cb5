"""The namespaces that stand, and which of them name a workspace."""

from collections.abc import Iterable, Iterator, Mapping
from heapq import nsmallest
from threading import Lock
from typing import Any

from webhook.model import RESERVED, WORKSPACE_LABEL, Namespace

SHOWN = 5
"""So many of the things that something owns are named; the others are counted."""


class Namespaces(Mapping[str, Namespace]):
    """
    The namespaces by name, with an index by their workspace label.

    Changes in place, one namespace at a time; whoever reads meanwhile in a thread finds both in step.
    """

    def __init__(self, every: Iterable[Namespace] = ()) -> None:
        self._lock = Lock()
        self._standing: dict[str, Namespace] = {}
        self._owned: dict[str, dict[str, None]] = {}
        for each in every:
            self.put(each)

    def __getitem__(self, name: str) -> Namespace:
        return self._standing[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._standing)

    def __len__(self) -> int:
        return len(self._standing)

    def __reduce__(self) -> tuple[Any, ...]:
        return Namespaces, (tuple(self._standing.values()),)

    def put(self, namespace: Namespace) -> None:
        """Take a namespace that came or changed."""
        with self._lock:
            self._forget(namespace.name)
            self._standing[namespace.name] = namespace
            if workspace := _owner(namespace):
                self._owned.setdefault(workspace, {})[namespace.name] = None

    def drop(self, name: str) -> None:
        """Let a namespace go."""
        with self._lock:
            self._forget(name)
            self._standing.pop(name, None)

    def owned_by(self, workspace: str) -> tuple[tuple[str, ...], int]:
        """Return the names of a few namespaces that name the workspace, ending ones too, and how many there are."""
        with self._lock:
            names = self._owned.get(workspace, {})
            return tuple(nsmallest(SHOWN, names)), len(names)

    def of(self, workspace: str) -> frozenset[str]:
        """Return the names of all namespaces that name the workspace, ending ones too."""
        with self._lock:
            return frozenset(self._owned.get(workspace, ()))

    def _forget(self, name: str) -> None:
        before = self._standing.get(name)
        workspace = _owner(before) if before else ""
        if names := self._owned.get(workspace):
            names.pop(name, None)
            if not names:
                del self._owned[workspace]


def _owner(namespace: Namespace) -> str:
    """Return the workspace that the label names; the platform's own belong to nobody, whatever they say."""
    return "" if namespace.name in RESERVED else namespace.labels.get(WORKSPACE_LABEL, "")
