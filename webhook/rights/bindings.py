"""
The RoleBindings of our names that stand in the cluster: a copy, kept by a watch of each name.

Of a binding only what is compared is kept, hashed: there may be seven in each of ten thousand namespaces.
"""

import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from webhook.model import MANAGED_BY_LABEL
from webhook.rights.wanted import NAMES, role_ref
from webhook.tenancy.live import LiveTree
from webhook.tenancy.tree import Tree

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Binding:
    """
    A RoleBinding of one of our names.

    `sound` says that it refers to the ClusterRole of its name, which no write can change, and `held` that a finalizer
    keeps it from being deleted. `content` is what it says, `version` its resourceVersion.
    """

    namespace: str
    name: str
    version: str
    sound: bool
    held: bool
    content: str


def content(thing: Mapping[str, Any]) -> str:
    """Return what a binding grants to whom, hashed; what others may rightly add to its metadata does not count."""
    metadata = thing["metadata"]
    managed = (metadata.get("labels") or {}).get(MANAGED_BY_LABEL)
    # With either of these somebody else says how long it stands.
    bound = bool(metadata.get("finalizers") or metadata.get("ownerReferences"))
    told = [managed, bound, thing.get("roleRef"), thing.get("subjects") or []]
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def trimmed(thing: Object) -> Object:
    """Return what is kept of a RoleBinding as soon as a watch tells of it."""
    metadata = thing["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "resourceVersion")}
    return {
        "metadata": kept,
        "sound": thing.get("roleRef") == role_ref(metadata["name"]),
        "held": bool(metadata.get("finalizers")),
        "content": content(thing),
    }


def _read(kept: Object) -> Binding:
    metadata = kept["metadata"]
    # The same few texts stand in thousands of bindings.
    name, namespace, said = map(sys.intern, (metadata["name"], metadata["namespace"], kept["content"]))
    return Binding(namespace, name, metadata["resourceVersion"], kept["sound"], kept["held"], said)


@dataclass(slots=True)
class LiveBindings:
    """The bindings of now beside the tree that they follow; `changed` and `touched` as the tree's own, for either."""

    live: LiveTree
    changed: list[Callable[[], None]] = field(default_factory=list)
    touched: list[Callable[[str], None]] = field(default_factory=list)
    _standing: dict[str, tuple[Binding, ...]] = field(default_factory=dict)
    _synced: set[str] = field(default_factory=set)
    _reached: dict[str, int] = field(default_factory=dict)

    @property
    def tree(self) -> Tree | None:
        """The tree; None until the bindings of every name were told."""
        return self.live.tree if self._synced.issuperset(NAMES) else None

    def of(self, namespace: str) -> tuple[Binding, ...]:
        """Return the bindings of a namespace; the same tuple as long as none of them changes."""
        return self._standing.get(namespace, ())

    def reached(self, name: str, version: str) -> bool:
        """Say whether what was stored as `version` has been told of the bindings called `name`, or something later."""
        return not version.isdecimal() or self._reached.get(name, 0) >= int(version)

    def reset(self, name: str, things: list[Object], version: str) -> None:
        """Take `things`, trimmed, for all bindings of this name that stand."""
        fresh = {each.namespace: each for each in map(_read, things)}
        for namespace in self._standing.keys() | fresh.keys():
            self._keep(namespace, name, fresh.get(namespace))
        self._synced.add(name)
        self._told(name, version)

    def put(self, thing: Object) -> None:
        """Take one, trimmed, that came or changed."""
        binding = _read(thing)
        self._keep(binding.namespace, binding.name, binding)
        self._told(binding.name, binding.version)

    def drop(self, thing: Object) -> None:
        """Let one go."""
        metadata = thing["metadata"]
        self._keep(metadata["namespace"], metadata["name"], None)
        self._told(metadata["name"], metadata["resourceVersion"])

    def told(self) -> None:
        """Hear that the tree, or a namespace, has changed."""
        for call in self.changed:
            call()

    def touch(self, namespace: str) -> None:
        """Hear that a namespace has changed, or what stands in it."""
        for touch in self.touched:
            touch(namespace)

    def _keep(self, namespace: str, name: str, binding: Binding | None) -> None:
        before = self._standing.get(namespace, ())
        others = tuple(each for each in before if each.name != name)
        after = (*others, binding) if binding else others
        if after == before:
            return
        if after:
            self._standing[namespace] = after
        else:
            del self._standing[namespace]
        self.touch(namespace)

    def _told(self, name: str, version: str) -> None:
        if version.isdecimal():
            self._reached[name] = int(version)
        self.told()
