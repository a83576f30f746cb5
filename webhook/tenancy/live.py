"""
The tree from a cluster: a copy of what stands there, kept by the events of its watches.

Holds no connection: whoever watches calls `reset`, `put` and `drop`. Namespaces and policies change in place; the
indexes of tenants and baselines are made anew when one of those changes, which is seldom.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast, get_args

import structlog
from pydantic import ValidationError

from webhook.model import (
    BASELINE_FINALIZER,
    RESERVED,
    Baseline,
    Former,
    Namespace,
    PolicyKind,
    Tenant,
    TenantKind,
)
from webhook.tenancy.namespaces import Namespaces
from webhook.tenancy.policies import Policies, read_policy
from webhook.tenancy.specs import first_error, read_baseline, read_tenant, readable_or_all
from webhook.tenancy.tree import Ground, Tree, plant

Object = Mapping[str, Any]
Key = tuple[str, str]
"""The namespace of an object, empty for none, and its name."""

TENANTS: tuple[TenantKind, ...] = ("Organization", "Project", "Workspace")
POLICIES: tuple[PolicyKind, ...] = get_args(PolicyKind)
KINDS = (*TENANTS, "NetworkBaseline", "Namespace", *POLICIES)

MOST_FORMER = 5
"""So many former versions of a baseline are remembered: while it rolls out one of them may still stand somewhere."""

REBORN_SECONDS = 60.0
"""For so long after a namespace went one of its name may seem to hold what stood in the former: a watch may lag."""

_GROUND = frozenset({"Namespace", *POLICIES})
"""What changes in place; a change of another kind makes another tree."""


@dataclass(slots=True)
class LiveTree:
    """
    The tree of now.

    `tree` is None until every kind was told whole (`reset`, or `absent` where it is not served) and as long as there is
    not exactly one Organization; `lacks` says why. `changed` are called after each change, `touched` before that with
    the name of the namespace where it was one of a namespace or of a policy there.
    """

    tree: Tree | None = None
    changed: list[Callable[[], None]] = field(default_factory=list)
    touched: list[Callable[[str], None]] = field(default_factory=list)
    told: dict[str, Object] = field(default_factory=dict)
    """The metadata and the status of each NetworkBaseline, as they were told last."""
    _tenants: dict[TenantKind, dict[str, Tenant]] = field(default_factory=lambda: {kind: {} for kind in TENANTS})
    _baselines: dict[str, Baseline] = field(default_factory=dict)
    _readable: dict[str, Baseline] = field(default_factory=dict)
    """Each baseline as it was when it could be read last."""
    _former: dict[str, tuple[Former, ...]] = field(default_factory=dict)
    _namespaces: Namespaces = field(default_factory=Namespaces)
    _policies: Policies = field(default_factory=Policies)
    _synced: set[str] = field(default_factory=set)
    _unserved: set[str] = field(default_factory=set)
    _reached: dict[str, int] = field(default_factory=dict)
    _unreadable: dict[tuple[str, str], str] = field(default_factory=dict)
    _gone: dict[str, float] = field(default_factory=dict)
    """When each namespace went that did so of late, the first one first (monotonic clock)."""

    def __getstate__(self) -> dict[str, Any]:
        # Who listens stays where it is, and the tree is made anew of the rest.
        left = {"tree", "changed", "touched"}
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.changed, self.touched = [], []
        for name, value in state.items():
            setattr(self, name, value)
        self._replant()

    def reset(self, kind: str, things: Sequence[Object], version: str) -> None:
        """Take `things` for all of `kind` that stand, as of the resourceVersion `version`."""
        before = self._namespaces.keys()
        self._clear(kind)
        for thing in things:
            self._store(kind, thing)
        if kind == "NetworkBaseline":
            self._forget()
        for name in before - self._namespaces.keys():
            self._go(name)
        self._synced.add(kind)
        self._unserved.discard(kind)
        self._reach(kind, version)
        self._replant()

    def put(self, kind: str, thing: Object) -> None:
        """Take one object that came or changed."""
        name = thing["metadata"]["name"]
        before = self._ours(kind, name)
        self._store(kind, thing)
        self._reach(kind, thing["metadata"].get("resourceVersion", ""))
        # A status that was written, say, or an annotation: the tree stays, and nobody compares it all anew.
        self._grow(kind, thing, same=before is not None and before == self._ours(kind, name))

    def drop(self, kind: str, thing: Object) -> None:
        """Let one object go."""
        self._remove(kind, _key(thing))
        if kind == "NetworkBaseline":
            self._forget()
        self._reach(kind, thing["metadata"].get("resourceVersion", ""))
        self._grow(kind, thing)

    def absent(self, kind: str) -> None:
        """Hear that the cluster does not serve `kind`: none of it stands."""
        if kind in self._unserved:
            return
        self._clear(kind)
        if kind == "NetworkBaseline":
            self._forget()
        self._synced.add(kind)
        self._unserved.add(kind)
        self._replant()

    def reached(self, kind: str, version: str) -> bool:
        """
        Say whether what was stored as `version` has been told, or something later.

        Versions of one kind are numbers that grow (KEP-5504); of one that is none nothing can be said: True.
        """
        return not version.isdecimal() or self._reached.get(kind, 0) >= int(version)

    def reborn(self, namespace: str) -> bool:
        """
        Say whether a namespace ends, or one of its name did so of late.

        Each kind has a watch of its own: what we know to stand there may be what stood in the former one.
        """
        known = self._namespaces.get(namespace)
        if known is not None and known.terminating:
            return True
        went = self._gone.get(namespace)
        return went is not None and time.monotonic() - went < REBORN_SECONDS

    @property
    def organizations(self) -> tuple[Tenant, ...]:
        """Every Organization that stands; there has to be one."""
        return tuple(self._tenants["Organization"].values())

    @property
    def synced(self) -> bool:
        """Whether every kind was told."""
        return self._synced.issuperset(KINDS)

    def lacks(self) -> str:
        """Say why there is no tree, empty where there is one."""
        if missing := [kind for kind in KINDS if kind not in self._synced]:
            return f"not read from the cluster yet: {', '.join(missing)}"
        if self._unserved.intersection(TENANTS):
            return "the cluster does not know the tenant tree: kubectl apply -k manifests/crds"
        if unread := [why for (kind, _), why in sorted(self._unreadable.items()) if kind == "Organization"]:
            return unread[0]
        names = sorted(each.name for each in self.organizations)
        if len(names) > 1:
            return f"a cluster belongs to one Organization, and there are {', '.join(names)}: delete all but one"
        return "" if names else "there is no Organization: apply one with an OrgAdmin among its roles"

    def unreadable(self) -> list[str]:
        """Return a line for each object that cannot be read, and so counts as not there."""
        return sorted(self._unreadable.values())

    def _store(self, kind: str, thing: Object) -> None:
        namespace, name = _key(thing)
        match kind:
            case "Namespace":
                self._namespaces.put(read_namespace(thing))
            case _ if kind in POLICIES:
                # No baseline applies there, so nobody ever asks for them.
                if namespace not in RESERVED:
                    self._policies.put(read_policy(kind, thing))
            case _:
                self._store_ours(kind, name, thing)

    def _store_ours(self, kind: str, name: str, thing: Object) -> None:
        """Read a tenant or a baseline; one that cannot be read denies what depends on it."""
        self._remove(kind, ("", name))
        try:
            if kind == "NetworkBaseline":
                self.told[name] = {"metadata": thing["metadata"], "status": thing.get("status") or {}}
                self._baselines[name] = _with_fate(read_baseline(name, thing.get("spec")), thing)
                self._remember(self._baselines[name], thing["metadata"].get("resourceVersion", ""))
            else:
                tenant = read_tenant(cast("TenantKind", kind), name, thing.get("spec"))
                self._tenants[tenant.kind][name] = tenant
        except (ValidationError, RecursionError) as error:
            why = first_error(error) if isinstance(error, ValidationError) else "nested too deep"
            what = f"{kind} {name} cannot be read: {why}"
            self._unreadable[kind, name] = what
            structlog.get_logger().error("tenancy", error=what)
            if kind == "NetworkBaseline":
                # It applies where it applied, so that guardrails hold there, and brings nothing.
                spec = thing.get("spec")
                selector = spec.get("namespaceSelector") if isinstance(spec, Mapping) else None
                found = Baseline(name, (), readable_or_all(selector), unreadable=what)
                self._baselines[name] = _with_fate(found, thing)

    def _remember(self, baseline: Baseline, version: str) -> None:
        """Keep what the baseline was before it became this in the resourceVersion `version`."""
        name, before = baseline.name, self._readable.get(baseline.name)
        self._readable[name] = baseline
        if before is None or before.policies == baseline.policies:
            return
        # What it is now, or was a moment ago, is not what it was earlier.
        nearer = (baseline.policies, before.policies)
        earlier = [each for each in self._former.get(name, ()) if each.baseline.policies not in nearer]
        until = int(version) if version.isdecimal() else 0
        self._former[name] = (Former(before, until), *earlier[: MOST_FORMER - 1])

    def _forget(self) -> None:
        """Let go what baselines were that are gone: one of the same name later is another."""
        for known in (self._readable, self._former):
            for name in known.keys() - self._baselines.keys():
                del known[name]

    def _remove(self, kind: str, key: Key) -> None:
        namespace, name = key
        self._unreadable.pop((kind, name), None)
        match kind:
            case "Namespace":
                self._namespaces.drop(name)
                self._go(name)
            case "NetworkBaseline":
                self._baselines.pop(name, None)
                self.told.pop(name, None)
            case _ if kind in POLICIES:
                self._policies.drop(kind, namespace, name)
            case _:
                self._tenants[cast("TenantKind", kind)].pop(name, None)

    def _go(self, name: str) -> None:
        """Remember for a while that a namespace went."""
        now = time.monotonic()
        self._gone.pop(name, None)
        while self._gone and now - next(iter(self._gone.values())) >= REBORN_SECONDS:
            del self._gone[next(iter(self._gone))]
        self._gone[name] = now

    def _clear(self, kind: str) -> None:
        """Begin anew with a kind, in new maps: a tree that somebody reads in a thread meanwhile stays whole."""
        for at in [at for at in self._unreadable if at[0] == kind]:
            del self._unreadable[at]
        match kind:
            case "Namespace":
                self._namespaces = Namespaces()
            case "NetworkBaseline":
                self._baselines, self.told = {}, {}
            case _ if kind in POLICIES:
                self._policies = self._policies.without(kind)
            case _:
                self._tenants[cast("TenantKind", kind)] = {}

    def _reach(self, kind: str, version: str) -> None:
        if version.isdecimal():
            self._reached[kind] = int(version)

    def _grow(self, kind: str, thing: Object, *, same: bool = False) -> None:
        """Tell of a change; one of a namespace or a policy is in the tree already."""
        if kind not in _GROUND and not same:
            self._replant()
            return
        if kind in _GROUND:
            namespace, name = _key(thing)
            self.touch(name if kind == "Namespace" else namespace)
        else:
            for call in self.changed:
                call()

    def touch(self, namespace: str) -> None:
        """Have a namespace looked at, for what is known of it from elsewhere has changed."""
        for touch in self.touched:
            touch(namespace)
        for call in self.changed:
            call()

    def _ours(self, kind: str, name: str) -> Tenant | Baseline | None:
        """Return a tenant or a baseline as it was read last, None for none or of another kind."""
        if kind == "NetworkBaseline":
            return self._baselines.get(name)
        return self._tenants[kind].get(name) if kind in TENANTS else None

    def _replant(self) -> None:
        self.tree = self._tree()
        for call in self.changed:
            call()

    def _tree(self) -> Tree | None:
        if self.lacks():
            return None
        projects, workspaces = (self._tenants[kind].values() for kind in ("Project", "Workspace"))
        every = (*self.organizations, *projects, *workspaces)
        ground = Ground(self._namespaces, self._policies)
        return plant(every, self._baselines.values(), ground, dict(self._former))


def read_namespace(thing: Object) -> Namespace:
    """Return the Namespace of an object of the API server."""
    metadata = thing["metadata"]
    return Namespace(
        name=metadata["name"],
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        terminating="deletionTimestamp" in metadata,
        version=metadata.get("resourceVersion", ""),
        created=metadata.get("creationTimestamp", ""),
        heard=time.time(),
    )


def _with_fate(baseline: Baseline, thing: Object) -> Baseline:
    metadata = thing["metadata"]
    held = BASELINE_FINALIZER in (metadata.get("finalizers") or ())
    return replace(baseline, ending="deletionTimestamp" in metadata, held=held)


def _key(thing: Object) -> Key:
    metadata = thing["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
