"""
The tree from files: a file or folder that holds what a cluster would hold.

The four kinds of ours are refused for what is wrong in them; Namespaces and policies stand for those that exist,
so whatever they say is taken as it is. A name that does not exist is a warning: it denies what depends on it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from webhook.errors import ManifestError
from webhook.model import DOMAIN, WORKSPACE_LABEL, Baseline, Namespace, Policy, PolicyKind, Tenant
from webhook.tenancy.manifests import Manifest, Reading, read_manifests
from webhook.tenancy.specs import KINDS, is_name, read_baseline, read_tenant
from webhook.tenancy.tree import Holdings, Tree, grow

API_VERSION = f"{DOMAIN}/v1alpha1"
_POLICIES: Mapping[tuple[str, str], PolicyKind] = {
    ("networking.k8s.io/v1", "NetworkPolicy"): "NetworkPolicy",
    ("cilium.io/v2", "CiliumNetworkPolicy"): "CiliumNetworkPolicy",
    ("crd.projectcalico.org/v1", "NetworkPolicy"): "NetworkPolicy.crd.projectcalico.org",
    ("crd.projectcalico.org/v1", "NetworkSet"): "NetworkSet.crd.projectcalico.org",
    ("projectcalico.org/v3", "NetworkPolicy"): "NetworkPolicy.projectcalico.org",
    ("projectcalico.org/v3", "NetworkSet"): "NetworkSet.projectcalico.org",
}
# What `kubectl get -o yaml` shows, so that it can be put into a file as it is.
_TOP = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
_METADATA = frozenset({
    "name", "labels", "annotations", "finalizers", "ownerReferences", "generation", "resourceVersion", "uid",
    "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "selfLink",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loading:
    """
    A tree, if there is nothing wrong with it; else every error. Warnings are lines with file and line.

    `places` are the manifests by kind (a policy's as `PolicyKind`), namespace (empty for none) and name.
    """

    tree: Tree | None
    errors: tuple[ManifestError, ...]
    warnings: tuple[str, ...]
    places: Mapping[tuple[str, str, str], Manifest] = field(default_factory=dict)


@dataclass(slots=True)
class _Found:
    """What the manifests hold so far; `places` are the manifests by kind and name."""

    tenants: list[Tenant] = field(default_factory=list)
    baselines: list[Baseline] = field(default_factory=list)
    namespaces: list[Namespace] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    places: dict[tuple[str, str, str], Manifest] = field(default_factory=dict)
    errors: list[ManifestError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def load_tree(path: Path) -> Loading:
    """Read the tree of a file or folder; every error is found before any is told."""
    return tree_of(path, read_manifests(path))


def tree_of(path: Path, reading: Reading) -> Loading:
    """Return the tree of what was read at `path`, like `load_tree`."""
    found = _Found(errors=list(reading.errors))
    for manifest in reading.manifests:
        _sort(manifest, found)
    organizations = [each for each in found.tenants if each.kind == "Organization"]
    if not organizations and not found.errors:
        found.errors.append(
            ManifestError(path, 0, 0, "there is no Organization: add one with an OrgAdmin to its roles")
        )
    if found.errors:
        return Loading(None, tuple(found.errors), tuple(found.warnings))
    holdings = Holdings(
        organization=organizations[0],
        tenants=tuple(each for each in found.tenants if each.kind != "Organization"),
        baselines=tuple(found.baselines),
        namespaces=tuple(found.namespaces),
        policies=tuple(found.policies),
    )
    return Loading(grow(holdings), (), (*found.warnings, *_dangling(holdings, found)), found.places)


def _sort(manifest: Manifest, found: _Found) -> None:
    api_version, kind = manifest.data["apiVersion"], manifest.data["kind"]
    policy_kind = _POLICIES.get((api_version, kind))
    if not manifest.data["metadata"].get("name"):
        what = f"a {kind} that stands for one in the cluster has a name of its own: leave generateName out"
        found.errors.append(manifest.error(("metadata", "generateName"), what))
        return
    namespace = manifest.data["metadata"].get("namespace") if policy_kind else ""
    identity = (policy_kind or kind, str(namespace), manifest.data["metadata"]["name"])
    try:
        if api_version == "v1" and kind == "Namespace":
            found.namespaces.append(_namespace(manifest))
        elif policy_kind:
            found.policies.append(_policy(manifest, policy_kind))
        elif api_version.split("/")[0] == DOMAIN:
            _read_ours(manifest, found)
        else:
            found.warnings.append(f"{manifest.file}:{manifest.line}: {kind} of {api_version} is no part of the tree")
            return
    except ManifestError as error:
        found.errors.append(error)
        return
    if first := found.places.get(identity):
        what = f"{kind} {identity[2]} is already defined at {first.file}:{first.line}; a name stands for one object"
        found.errors.append(manifest.error(("metadata", "name"), what))
    elif kind == "Organization" and (other := next((m for key, m in found.places.items() if key[0] == kind), None)):
        what = (
            f"a cluster belongs to one Organization, and {other.file}:{other.line} has one already; remove one of them"
        )
        found.errors.append(manifest.error(("kind",), what))
    found.places[identity] = manifest


def _read_ours(manifest: Manifest, found: _Found) -> None:
    kind, name = manifest.data["kind"], manifest.data["metadata"]["name"]
    if manifest.data["apiVersion"] != API_VERSION:
        raise manifest.error(("apiVersion",), f"{kind} is known as {API_VERSION}")
    if kind not in KINDS:
        raise manifest.error(("kind",), f"{kind!r} is no kind of {DOMAIN}; there are {', '.join(sorted(KINDS))}")
    found.errors.extend(_unknown(manifest))
    if not is_name(name):
        what = f"{name!r} cannot be a name: up to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit"
        found.errors.append(manifest.error(("metadata", "name"), what))
    try:
        if kind == "NetworkBaseline":
            found.baselines.append(read_baseline(name, manifest.data.get("spec")))
        else:
            found.tenants.append(read_tenant(kind, name, manifest.data.get("spec")))
    except ValidationError as error:
        found.errors.extend(_spec_errors(manifest, error))


def _unknown(manifest: Manifest) -> Iterator[ManifestError]:
    for key in manifest.data:
        if key not in _TOP:
            yield manifest.error((key,), f"unknown field {key!r}; there are {', '.join(sorted(_TOP))}")
    for key in manifest.data["metadata"]:
        if key == "namespace":
            yield manifest.error(
                ("metadata", key), f"a {manifest.data['kind']} is cluster-scoped: leave the namespace out"
            )
        elif key not in _METADATA:
            yield manifest.error(("metadata", key), f"unknown field {key!r} in metadata")


def _spec_errors(manifest: Manifest, error: ValidationError) -> Iterator[ManifestError]:
    for each in error.errors(include_url=False):
        path = tuple(part for part in each["loc"] if part != "[key]")
        what = each["msg"].removeprefix("Value error, ")
        field_name = ".".join(str(part) for part in ("spec", *path))
        if each["type"] == "extra_forbidden":
            what = f"unknown field {path[-1]!r}"
        elif each["type"] == "missing":
            what = "is missing and has to be there"
        yield manifest.error(("spec", *path), f"{field_name}: {what}")


def _namespace(manifest: Manifest) -> Namespace:
    metadata = manifest.data["metadata"]
    return Namespace(metadata["name"], _texts(manifest, "labels"), _texts(manifest, "annotations"))


def _policy(manifest: Manifest, kind: PolicyKind) -> Policy:
    metadata = manifest.data["metadata"]
    namespace = metadata.get("namespace")
    if not isinstance(namespace, str) or not namespace:
        what = f"a {manifest.data['kind']} that stands for one in the cluster needs metadata.namespace"
        raise manifest.error(("metadata", "name"), what)
    content = manifest.data.get("spec") if kind == "NetworkPolicy" else manifest.data
    return Policy(namespace, metadata["name"], _texts(manifest, "labels"), content, kind)


def _texts(manifest: Manifest, key: str) -> dict[str, str]:
    value: Any = manifest.data["metadata"].get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise manifest.error(("metadata", key), f"{key} have to be texts: quote a number or a yes/no")
    return value


def _dangling(holdings: Holdings, found: _Found) -> Iterator[str]:
    """Yield a line for each name that does not exist."""
    workspaces = {each.name for each in holdings.tenants if each.kind == "Workspace"}
    projects = {each.name for each in holdings.tenants if each.kind == "Project"}
    baselines = {each.name for each in holdings.baselines}
    for tenant in (holdings.organization, *holdings.tenants):
        at = found.places[tenant.kind, "", tenant.name]
        if tenant.kind == "Workspace" and tenant.project not in projects:
            yield _warning(
                at,
                ("spec", "project"),
                f"there is no Project {tenant.project}: until there is, its namespaces are an OrgAdmin's alone",
            )
        for index, name in enumerate(tenant.baselines):
            if name not in baselines:
                yield _warning(
                    at,
                    ("spec", "baselines", index),
                    f"there is no NetworkBaseline {name}: until there is, no pod starts in these namespaces",
                )
    yield from _unowned(holdings.namespaces, workspaces, found)
    if not any(grant.role == "OrgAdmin" and grant.subjects for grant in holdings.organization.roles):
        at = found.places["Organization", "", holdings.organization.name]
        yield _warning(at, ("spec", "roles"), "nobody is OrgAdmin: only break-glass can change the tree")


def _unowned(namespaces: Iterable[Namespace], workspaces: set[str], found: _Found) -> Iterator[str]:
    for namespace in namespaces:
        workspace = namespace.labels.get(WORKSPACE_LABEL)
        if workspace and workspace not in workspaces:
            at = found.places["Namespace", "", namespace.name]
            yield _warning(
                at,
                ("metadata", "labels", WORKSPACE_LABEL),
                f"there is no Workspace {workspace}: the namespace is an OrgAdmin's alone",
            )


def _warning(manifest: Manifest, path: tuple[str | int, ...], what: str) -> str:
    return str(manifest.error(path, what))
