"""
The tenant tree, and the slice of it that one request needs, by look-up alone.

What a request costs does not depend on how many namespaces, tenants or subjects there are.
"""

from collections import ChainMap, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from types import MappingProxyType
from typing import Any, TypeVar, cast

from webhook.model import (
    BASELINE_LABEL,
    GATE_LABEL,
    MANAGED_BY_LABEL,
    ORGANIZATION_LABEL,
    PROJECT_LABEL,
    RESERVED,
    WORKSPACE_LABEL,
    Baseline,
    Former,
    Namespace,
    Place,
    Policy,
    Standing,
    Subject,
    Tenant,
)
from webhook.selector import Selector, read_selector
from webhook.tenancy.namespaces import SHOWN, Namespaces

K = TypeVar("K")
V = TypeVar("V")

_ACCOUNTS = "system:serviceaccounts:"
"""Kubernetes puts every ServiceAccount into the group of its namespace, of this prefix and the namespace's name."""
MOST_PLACES = 4096
"""Places that a tree remembers; one takes up to a kilobyte."""
_DERIVED = frozenset({PROJECT_LABEL, ORGANIZATION_LABEL, GATE_LABEL})


@dataclass(frozen=True, slots=True)
class Holdings:
    """All that a tree is made of; names are unique within each."""

    organization: Tenant
    tenants: tuple[Tenant, ...] = ()
    """The projects and workspaces."""
    baselines: tuple[Baseline, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    policies: tuple[Policy, ...] = ()


@dataclass(frozen=True, slots=True)
class Ground:
    """What stands in the cluster: namespaces by name, policies by namespace. A live tree changes them in place."""

    namespaces: Namespaces
    policies: Mapping[str, tuple[Policy, ...]]


@dataclass(frozen=True, slots=True)
class Tree:
    """The tree with its indexes; made by `grow` or `plant`."""

    organization: Tenant
    tenants: Mapping[str, Tenant]
    baselines: Mapping[str, Baseline]
    namespaces: Mapping[str, Namespace]
    _policies: Mapping[str, tuple[Policy, ...]]
    _standing: Namespaces = field(repr=False)
    _workspaces_of: Mapping[str, tuple[str, ...]] = field(repr=False)
    _naming_subject: Mapping[Subject, tuple[str, ...]] = field(repr=False)
    _naming_accounts_of: Mapping[str, tuple[str, ...]] = field(repr=False)
    _naming_baseline: Mapping[str, tuple[str, ...]] = field(repr=False)
    _selecting: tuple[tuple[str, Selector], ...] = field(repr=False)
    former: Mapping[str, tuple[Former, ...]] = field(default_factory=dict, repr=False)
    """What baselines were before they changed, the newest first, by name."""
    _places: dict[str, tuple[Namespace, Place]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """
    Where namespaces stand, each with the very state of it that this follows from: another state is another place.

    Of this tree alone: one with other tenants or baselines, however it is made, begins with none.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # Its indexes are made anew where it is taken to.
        ground = Ground(self._standing, self._policies)
        return plant, (tuple(self.tenants.values()), tuple(self.baselines.values()), ground, dict(self.former))

    def place(self, name: str, labels: Mapping[str, str]) -> Place:
        """Return where a namespace of this name stands with these labels; whether it exists does not matter."""
        if name in RESERVED:
            workspace = labels.get(WORKSPACE_LABEL, "")
            return Place(name, Standing.RESERVED, workspace=workspace, path=(self.organization.key,))
        workspace = labels.get(WORKSPACE_LABEL, "")
        owner = self.tenants.get(f"Workspace/{workspace}")
        project = self.tenants.get(f"Project/{owner.project}") if owner else None
        if owner and project:
            return self._owned(name, labels, owner, project)
        return Place(
            namespace=name,
            standing=Standing.ORPHANED if workspace else Standing.UNOWNED,
            workspace=workspace,
            path=(self.organization.key,),
            baselines=self._baselines(name, _own(labels), ()),
        )

    def place_of(self, namespace: str) -> Place:
        """Return where a namespace that exists stands."""
        known = self.namespaces.get(namespace)
        if known is None:
            return Place(namespace, Standing.UNKNOWN, path=(self.organization.key,))
        found = self._places.get(namespace)
        if found is None or found[0] is not known:
            if len(self._places) >= MOST_PLACES:
                # Of namespaces that are long gone, perhaps.
                self._places.clear()
            found = known, self.place(known.name, known.labels)
            self._places[namespace] = found
        return found[1]

    def _owned(self, name: str, labels: Mapping[str, str], owner: Tenant, project: Tenant) -> Place:
        derived = {PROJECT_LABEL: project.name, ORGANIZATION_LABEL: self.organization.name}
        path = (owner, project, self.organization)
        return Place(
            namespace=name,
            standing=Standing.OWNED,
            workspace=owner.name,
            project=project.name,
            organization=self.organization.name,
            path=tuple(tenant.key for tenant in path),
            baselines=self._baselines(name, {**_own(labels), **derived}, path),
        )

    def _baselines(self, name: str, labels: Mapping[str, str], path: Iterable[Tenant]) -> tuple[str, ...]:
        # The API server adds this label to every namespace; a manifest need not have it.
        seen = {**labels, "kubernetes.io/metadata.name": name}
        named = {baseline for tenant in path for baseline in tenant.baselines}
        return tuple(sorted(named | {baseline for baseline, selector in self._selecting if selector.matches(seen)}))

    def knowing(self, namespace: Namespace) -> "Tree":
        """Return the tree with one more namespace, which was read from the API server ahead of the watch."""
        # Not copied: there may be thousands, and nobody writes to the chain.
        known = cast("dict[str, Namespace]", self.namespaces)
        return replace(self, namespaces=ChainMap({namespace.name: namespace}, known))

    def policies_in(self, namespace: str) -> tuple[Policy, ...]:
        """Return all policies of a namespace, injected ones too; the same tuple as long as none changes."""
        return self._policies.get(namespace, ())

    def with_policies(self) -> frozenset[str]:
        """Return the names of the namespaces in which policies stand, whether or not there are such namespaces."""
        return frozenset(self._policies)

    def standing_policies(self, namespace: str, *, but: str, kind: str = "NetworkPolicy") -> tuple[Policy, ...]:
        """Return the policies of a namespace that are not injected, without the one of this `kind` named `but`."""
        return tuple(
            policy
            for policy in self._policies.get(namespace, ())
            if (policy.kind, policy.name) != (kind, but) and not self._injected(policy)
        )

    def _injected(self, policy: Policy) -> bool:
        """
        Say whether it is one of a baseline's.

        The labels alone could be anybody's from before our day, and those of a CNI's kind always are.
        """
        name = policy.labels.get(BASELINE_LABEL, "")
        baseline = self.baselines.get(name)
        return (
            policy.kind == "NetworkPolicy"
            and policy.labels.get(MANAGED_BY_LABEL) == "portcullis"
            and baseline is not None
            and any(policy.name == f"{name}.{each.name}" for each in baseline.policies)
        )

    def naming(self, subjects: Iterable[Subject]) -> tuple[str, ...]:
        """Return the keys of the tenants that give any role to one of the subjects."""
        return tuple(sorted({key for subject in subjects for key in self._naming_subject.get(subject, ())}))

    def naming_accounts_of(self, namespace: str) -> tuple[str, ...]:
        """Return the keys of the tenants that give a role to a ServiceAccount of the namespace."""
        return self._naming_accounts_of.get(namespace, ())

    def naming_accounts_in(self, workspace: str) -> tuple[str, ...]:
        """Return the keys of the tenants that give a role to a ServiceAccount of a workspace's namespaces."""
        # By their label, for a workspace that could not be read so far has its namespaces as well.
        owned, named = self._standing.of(workspace), self._naming_accounts_of
        # Of two indexes the smaller is walked, so that neither a large workspace nor a large tree costs much.
        homes = named.keys() & owned if len(named) < len(owned) else [home for home in owned if home in named]
        return tuple(sorted({key for home in homes for key in named[home]}))

    def naming_baseline(self, baseline: str) -> tuple[str, ...]:
        """Return the keys of the tenants whose `baselines` name it."""
        return self._naming_baseline.get(baseline, ())

    def owned_by(self, key: str) -> tuple[tuple[str, ...], int]:
        """Return the names of a few things that name the tenant `key` as their owner, and how many there are."""
        kind, _, name = key.partition("/")
        match kind:
            case "Workspace":
                return self._standing.owned_by(name)
            case "Project":
                workspaces = self._workspaces_of.get(name, ())
                return tuple(nsmallest(SHOWN, workspaces)), len(workspaces)
            case _:
                return (), 0


def _own(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels without the derived ones: what selects a namespace must not follow from what was sent."""
    return {key: value for key, value in labels.items() if key not in _DERIVED}


def grow(holdings: Holdings) -> Tree:
    """Return the tree of `holdings` with its indexes."""
    ground = Ground(
        Namespaces(holdings.namespaces),
        _grouped((policy.namespace, policy) for policy in holdings.policies),
    )
    return plant((holdings.organization, *holdings.tenants), holdings.baselines, ground)


def plant(
    every: Iterable[Tenant],
    baselines: Iterable[Baseline],
    ground: Ground,
    former: Mapping[str, tuple[Former, ...]] = MappingProxyType({}),
) -> Tree:
    """
    Return the tree of tenants, of which the first is the Organization, on the `ground` they stand on.

    `former` is what the baselines were before they changed.
    """
    tenants = {tenant.key: tenant for tenant in every}
    known = {each.name: each for each in baselines}
    named = [
        (tenant.key, subject) for tenant in tenants.values() for grant in tenant.roles for subject in grant.subjects
    ]
    # One that ends selects nothing any more: that nobody names it was seen to when its deletion was let in.
    lasting = [each for each in known.values() if not each.ending]
    selecting = ((each.name, each.selector) for each in lasting if each.selector is not None)
    return Tree(
        organization=next(iter(tenants.values())),
        tenants=tenants,
        baselines=known,
        namespaces=ground.namespaces,
        _policies=ground.policies,
        _standing=ground.namespaces,
        _workspaces_of=_grouped(
            (tenant.project, tenant.name) for tenant in tenants.values() if tenant.kind == "Workspace"
        ),
        _naming_subject=_grouped((subject, key) for key, subject in named),
        _naming_accounts_of=_grouped(
            dict.fromkeys((home, key) for key, subject in named if (home := home_of(subject)))
        ),
        _naming_baseline=_grouped(
            dict.fromkeys((name, tenant.key) for tenant in tenants.values() for name in tenant.baselines)
        ),
        _selecting=tuple((name, read_selector(selector)) for name, selector in selecting),
        former=former,
    )


def home_of(subject: Subject) -> str:
    """Return the namespace whose ServiceAccounts the subject is one or all of, empty where it is none."""
    match subject.kind:
        case "ServiceAccount":
            return subject.namespace
        case "Group" if subject.name.startswith(_ACCOUNTS):
            return subject.name.removeprefix(_ACCOUNTS)
        case _:
            return ""


def _grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, tuple[V, ...]]:
    groups: defaultdict[K, list[V]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return {key: tuple(values) for key, values in groups.items()}
