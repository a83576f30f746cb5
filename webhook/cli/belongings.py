"""What of a cluster is Portcullis', found by asking: what `uninstall` takes away, and what it leaves."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from webhook.cluster.resource import (
    BASELINES,
    CLUSTER_ROLE_BINDINGS,
    DEPLOYMENTS,
    INSTALLED,
    LEASES,
    MUTATING,
    NAMESPACES,
    NETWORK_POLICIES,
    ORGANIZATIONS,
    PROJECTS,
    ROLE_BINDINGS,
    VALIDATING,
    WORKSPACES,
    Resource,
)
from webhook.errors import ClusterError
from webhook.leader import NAME as LEASE
from webhook.model import DOMAIN, HOME, MANAGED_BY_LABEL, WORKSPACE_LABEL
from webhook.registration.hooks import SERVICE

Object = dict[str, Any]

PAGE = "500"
_PART_OF = "app.kubernetes.io/part-of"
_NAMES = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""Names and labels alone: nobody's Secret is read."""


class Cluster(Protocol):
    """The calls on a cluster that it takes to look, and to take away."""

    async def page(self, path: str, query: Mapping[str, str], accept: str, /) -> Object:
        """Return one page of a list."""
        ...

    async def read(self, resource: Resource, name: str, namespace: str = "", /) -> Object:
        """Return one object."""
        ...

    async def patch(self, resource: Resource, name: str, body: Object, /) -> Object:
        """Merge into an object."""
        ...

    async def remove(self, resource: Resource, name: str, namespace: str = "", /) -> None:
        """Delete an object in whatever version."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class Belonging:
    """An object of ours."""

    resource: Resource
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        """Return it as people say it."""
        return f"{self.resource.kind} {self.namespace}{'/' if self.namespace else ''}{self.name}"


@dataclass(frozen=True, slots=True)
class Left:
    """What stays where it is: how many, and the command by which it goes."""

    what: str
    count: int
    remove: str


@dataclass(frozen=True, slots=True)
class Belongings:
    """
    All that goes, in the order in which it goes, and what stays.

    Of `held` only our finalizer is taken off. `holder` is who held the lease: a process that may run elsewhere.
    """

    hooks: tuple[Belonging, ...]
    workloads: tuple[Belonging, ...]
    rest: tuple[Belonging, ...]
    held: tuple[Belonging, ...]
    left: tuple[Left, ...]
    holder: str

    def going(self) -> tuple[Belonging, ...]:
        """Return all that goes or is let go, in its order."""
        return (*self.hooks, *self.workloads, *self.rest, *self.held)


HOOKS = (Belonging(VALIDATING, SERVICE), Belonging(MUTATING, SERVICE))


async def find(cluster: Cluster) -> Belongings:
    """Return what is there; raises `ClusterError` for what may not be listed."""
    hooks = [each for each in HOOKS if await _there(cluster, each.resource, each.name)]
    rest: list[Belonging] = []
    for resource in INSTALLED:
        home = HOME if resource.namespaced else ""
        rest += _ours(resource, await listed(cluster, resource, home))
    bindings = await listed(cluster, ROLE_BINDINGS, labelSelector=f"{MANAGED_BY_LABEL}=portcullis")
    # Of the roles of the tree; in our own namespace they are found above.
    rest += [
        Belonging(ROLE_BINDINGS, each["name"], each["namespace"])
        for each in bindings
        if each["name"].startswith("portcullis:") and each["namespace"] != HOME
    ]
    baselines = await listed(cluster, BASELINES)
    lease = await _there(cluster, LEASES, LEASE, HOME)
    return Belongings(
        hooks=tuple(hooks),
        workloads=tuple(_ours(DEPLOYMENTS, await listed(cluster, DEPLOYMENTS, HOME))),
        rest=tuple(rest),
        held=tuple(Belonging(BASELINES, each["name"]) for each in baselines if others_of(each) != _finalizers(each)),
        left=tuple([each async for each in _left(cluster, rest, len(baselines)) if each.count]),
        holder=str((lease or {}).get("spec", {}).get("holderIdentity") or ""),
    )


async def listed(cluster: Cluster, resource: Resource, namespace: str = "", **query: str) -> list[Object]:
    """Return the metadata of all objects of a kind, of none where the API server does not know it."""
    found: list[Object] = []
    more = ""
    while True:
        asked = {**query, "limit": PAGE, **({"continue": more} if more else {})}
        try:
            page = await cluster.page(resource.path(namespace=namespace), asked, _NAMES)
        except ClusterError as error:
            if error.status == 404:
                return []
            raise
        # Of no object it says null.
        found += [each["metadata"] for each in page["items"] or ()]
        more = page["metadata"].get("continue") or ""
        if not more:
            return found


def others_of(metadata: Mapping[str, Any]) -> list[str]:
    """Return the finalizers of an object that are not ours."""
    return [each for each in _finalizers(metadata) if not each.startswith(f"{DOMAIN}/")]


def _finalizers(metadata: Mapping[str, Any]) -> list[str]:
    return list(metadata.get("finalizers") or ())


def _ours(resource: Resource, found: Iterable[Object]) -> list[Belonging]:
    return [Belonging(resource, each["name"], each.get("namespace", "")) for each in found if is_ours(resource, each)]


def is_ours(resource: Resource, metadata: Mapping[str, Any]) -> bool:
    """
    Say whether an object of a kind that the manifests bring is ours, by its name.

    In our own namespace all that is called as we are, or labelled so. In the cluster, where others may call things so
    too, what only begins with our name has to have our label as well.
    """
    name = metadata["name"]
    labelled = (metadata.get("labels") or {}).get(_PART_OF) == "portcullis"
    if name == "portcullis" or name.startswith("portcullis:"):
        return True
    named = name.startswith("portcullis-")
    return named or labelled if resource.namespaced else named and labelled


async def _there(cluster: Cluster, resource: Resource, name: str, namespace: str = "") -> Object | None:
    try:
        return await cluster.read(resource, name, namespace)
    except ClusterError as error:
        if error.status == 404:
            return None
        raise


async def _left(cluster: Cluster, going: list[Belonging], baselines: int) -> AsyncIterator[Left]:
    """Yield what stays, each with how it goes."""
    injected = await listed(cluster, NETWORK_POLICIES, labelSelector=f"{MANAGED_BY_LABEL}=portcullis")
    yield Left(
        "injected NetworkPolicies (the default deny of the namespaces that they stand in)",
        len(injected),
        f"kubectl delete networkpolicies --all-namespaces --selector {MANAGED_BY_LABEL}=portcullis",
    )
    labels = ("workspace", "project", "organization", "gate", "exempt")
    owned = await listed(cluster, NAMESPACES, labelSelector=WORKSPACE_LABEL)
    yield Left(
        "namespaces with our labels",
        len(owned),
        f"kubectl label namespaces --all {' '.join(f'{DOMAIN}/{each}-' for each in labels)}",
    )
    notes = ("baseline", "exempt-reason", "exempt-until")
    yield Left(
        "annotations of these, which told the state of their baselines",
        len(owned),
        f"kubectl annotate namespaces --all {' '.join(f'{DOMAIN}/{each}-' for each in notes)}",
    )
    tree = [len(await listed(cluster, each)) for each in (ORGANIZATIONS, PROJECTS, WORKSPACES)]
    yield Left(
        "objects of the tenant tree, with their kinds",
        sum(tree) + baselines,
        f"kubectl delete customresourcedefinitions --selector {_PART_OF}=portcullis",
    )
    names = {each.name for each in going if each.resource == CLUSTER_ROLE_BINDINGS}
    page = await cluster.page(CLUSTER_ROLE_BINDINGS.path(), {}, "application/json")
    bound = [
        each["metadata"]["name"]
        for each in page["items"] or ()
        if each["roleRef"]["name"].startswith("portcullis:") and each["metadata"]["name"] not in names
    ]
    yield Left(
        "ClusterRoleBindings of yours to roles that go",
        len(bound),
        f"kubectl delete clusterrolebindings {' '.join(bound)}",
    )
    home = await _there(cluster, NAMESPACES, HOME)
    yield Left(f"our namespace {HOME}", 1 if home else 0, f"kubectl delete namespace {HOME}")
