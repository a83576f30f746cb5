"""
What stands while a set of manifests is judged: it changes with each object that would be let in, as a cluster does.

The tree is the one that follows a cluster, told of objects of files here; `old` are the whole objects, for updates.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from webhook.check.applying import merged
from webhook.check.finding import Thing
from webhook.check.kinds import COVERED
from webhook.model import DOMAIN
from webhook.tenancy.live import KINDS, LiveTree
from webhook.tenancy.tree import Tree

Json = dict[str, Any]
Identity = tuple[str, str, str, str]
"""Group, kind, namespace and name."""

DEFAULTS: tuple[Json, ...] = (
    {"kind": "Organization", "metadata": {"name": "default"}, "spec": {}},
    {
        "kind": "NetworkBaseline",
        "metadata": {"name": "default"},
        "spec": {"namespaceSelector": {}, "policies": [{"name": "default-deny", "spec": {"podSelector": {}}}]},
    },
)
"""The tree where there is none: no setting is changed, and a baseline applies everywhere, so that guardrails do."""


class Undo(NamedTuple):
    """What stood before an object came or went, None for nothing."""

    thing: Thing
    before: Json | None


@dataclass(slots=True)
class Ground:
    """
    What stands; `supposes` says that a namespace that nobody declares is there all the same, for want of a tree.

    `old` are the objects that stand, as JSON: those that are looked up, and those that were let in. `merges` says that
    they have been in a cluster, where others write to them as well.
    """

    live: LiveTree
    supposes: bool = False
    merges: bool = False
    old: dict[Identity, bytes] = field(default_factory=dict)
    _supposed: set[str] = field(default_factory=set)
    _in: defaultdict[str, set[Identity]] = field(default_factory=lambda: defaultdict(set))
    """What was let in, by its namespace."""

    @property
    def tree(self) -> Tree:
        """The tree of now."""
        if self.live.tree is None:
            raise RuntimeError(self.live.lacks())
        return self.live.tree

    def standing(self, thing: Thing) -> Json | None:
        """Return the object that stands and is this one, None where there is none."""
        content = self.old.get(thing.identity)
        found: Json | None = orjson.loads(content) if content else None
        return found

    def expect(self, namespace: str) -> None:
        """Hear that something is to stand in a namespace, which is there where that is supposed."""
        if self.supposes and namespace and namespace not in self.tree.namespaces:
            self._supposed.add(namespace)
            self.live.put("Namespace", {"metadata": {"name": namespace}})

    def keeps(self, thing: Thing, content: Json | None) -> bool:
        """Say whether there is one Organization after this one came, changed or went: who else may is break-glass."""
        return content is not None and thing.name == self.tree.organization.name

    def applied(self, new: Json, old: Json | None) -> Json:
        """Return what comes of applying `new` where `old` stands."""
        return merged(new, old) if self.merges and old else new

    def put(self, thing: Thing, content: Json) -> Undo:
        """Let an object in; returns how it was."""
        undo = Undo(thing, self.standing(thing))
        self._put(thing, content)
        return undo

    def drop(self, thing: Thing) -> Undo:
        """Let an object go; returns how it was."""
        undo = Undo(thing, self.standing(thing))
        self._drop(thing)
        return undo

    def undo(self, done: Undo) -> None:
        """Have it as it was before."""
        if done.before is None:
            self._drop(done.thing)
        else:
            self._put(done.thing, done.before)

    def forget(self, namespace: str) -> None:
        """Let go what stands in a namespace that nobody asks about any more."""
        for policy in self.live.tree.policies_in(namespace) if self.live.tree else ():
            self.live.drop(policy.kind, {"metadata": {"name": policy.name, "namespace": namespace}})
        for identity in self._in.pop(namespace, ()):
            self.old.pop(identity, None)

    def _put(self, thing: Thing, content: Json) -> None:
        self.old[thing.identity] = orjson.dumps(content)
        if thing.namespace:
            self._in[thing.namespace].add(thing.identity)
        if live := _live(thing):
            self.live.put(live, content)

    def _drop(self, thing: Thing) -> None:
        self.old.pop(thing.identity, None)
        if live := _live(thing):
            self.live.drop(live, {"metadata": {"name": thing.name, "namespace": thing.namespace}})
            if thing.kind == "Namespace" and thing.name in self._supposed:
                self.expect(thing.name)


def _live(thing: Thing) -> str | None:
    page = COVERED.get(thing.identity[:2])
    return page.live if page else None


def grown(things: Iterable[tuple[str, Json]]) -> LiveTree:
    """Return the tree of objects, each with its kind as the tree calls it; there is none without an Organization."""
    by_kind: dict[str, list[Json]] = {kind: [] for kind in KINDS}
    for kind, thing in things:
        by_kind[kind].append(thing)
    live = LiveTree()
    for kind, every in by_kind.items():
        live.reset(kind, every, "")
    return live


def supposed() -> LiveTree:
    """Return the tree of the `DEFAULTS`."""
    return grown((each["kind"], {**each, "apiVersion": f"{DOMAIN}/v1alpha1"}) for each in DEFAULTS)
