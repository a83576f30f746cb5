"""
Which role may do what, by the rules themselves.

A small tree is made in which each role is held by one user, and the rules are asked about what each of them does
there: so a change to a rule that gives a role more is seen as well as one that gives a role to somebody.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from webhook.decision.opa import Opa, decide
from webhook.gather import gather
from webhook.model import DOMAIN, WORKSPACE_LABEL, Decision, Grant, Namespace, Policies, Standing, Subject, Tenant
from webhook.review.envelope import ReviewRequest
from webhook.tenancy.specs import ROLES
from webhook.tenancy.tree import Holdings, Tree, grow

Json = dict[str, Any]
Rights = Mapping[str, frozenset[str]]
"""The roles that have each right, by `KIND: RIGHT`."""

SECONDS = 30.0
READ = "read who owns it and who may change it"
POLICIES, NAMESPACE, EXEMPT = "change network policies", "change the namespace", "exempt it from its baselines"
HOLD, CREATE_IN, CREATE = "create namespaces in it", "create workspaces in it", "create projects"
TENANT, CLUSTER = "change it and who holds its roles", "change cluster-wide policies and baselines"
WHO = "rbac/"
"""The category of the rules on who may do what."""
NOBODY = "nobody"
_USER = "portcullis:review:"
_NAMESPACES: Mapping[Standing, str] = {
    Standing.OWNED: "owned",
    Standing.UNOWNED: "unowned",
    Standing.ORPHANED: "orphaned",
    Standing.RESERVED: "kube-public",
}
_PODS: Json = {"podSelector": {"matchLabels": {"app": "review"}}}
_POLICY: Json = {**_PODS, "policyTypes": ["Ingress"], "ingress": [{"from": [_PODS]}]}
_UNTIL = datetime(2030, 1, 1, 1, tzinfo=UTC)
_NOW = datetime(2030, 1, 1, tzinfo=UTC)
"""A time like any other: what holds who may do what does not depend on it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing done, by whoever: a `right` at a kind of place, and the request of it."""

    place: str
    right: str
    kind: tuple[str, str, str]
    new: Json
    old: Json | None = None

    def review(self, role: str) -> ReviewRequest:
        """Return the request in which the holder of `role` does it."""
        metadata = self.new["metadata"]
        group, version, kind = self.kind
        return ReviewRequest.model_validate({
            "uid": "review",
            "kind": {"group": group, "version": version, "kind": kind},
            "operation": "UPDATE" if self.old else "CREATE",
            "name": metadata["name"],
            "namespace": metadata["name"] if kind == "Namespace" else metadata.get("namespace", ""),
            "userInfo": {"username": f"{_USER}{role}", "groups": []},
            "object": self.new,
            "oldObject": self.old,
        })  # fmt: skip


async def rights_of(opa: Opa, policies: Policies) -> Rights:
    """
    Return which roles have which right at which kind of place; raises `NoDecisionError`.

    A rule that is not about who may (`rbac/*`) and refuses everybody looks at the thing that is tried, not at who tries
    it: that takes no right from anybody.
    """
    tree = _tree()
    every = [NOBODY, *(role for roles in ROLES.values() for role in sorted(roles))]
    rights: dict[str, frozenset[str]] = {}
    for probe in _probes():
        documents = [gather(probe.review(role), tree, (), now=_NOW) for role in every]
        refused = [_refusing(await decide(opa, each, policies, seconds=SECONDS)) for each in documents]
        of_the_thing = {rule for rule in frozenset.intersection(*refused) if not rule.startswith(WHO)}
        may = {role for role, rules in zip(every, refused, strict=True) if not rules - of_the_thing}
        rights[f"{probe.place}: {probe.right}"] = frozenset("anybody" if role == NOBODY else role for role in may)
    return rights


def _refusing(decision: Decision) -> frozenset[str]:
    return frozenset(each.rule for each in decision.violations if each.action == "enforce")


def _tree() -> Tree:
    """Return a tree of one of each in which every role is somebody's."""
    held = {
        kind: tuple(Grant(role, (Subject("User", f"{_USER}{role}"),)) for role in sorted(roles))
        for kind, roles in ROLES.items()
    }
    labels = {"owned": {WORKSPACE_LABEL: "workspace"}, "orphaned": {WORKSPACE_LABEL: "none"}}
    return grow(
        Holdings(
            Tenant("Organization", "organization", roles=held["Organization"]),
            (
                Tenant("Project", "project", roles=held["Project"]),
                Tenant("Workspace", "workspace", "project", held["Workspace"]),
            ),
            namespaces=tuple(Namespace(name, labels.get(name, {})) for name in _NAMESPACES.values()),
        )
    )


def _probes() -> Iterator[Probe]:
    for standing, name in _NAMESPACES.items():
        policy = _object("networking.k8s.io/v1", "NetworkPolicy", {"name": "review", "namespace": name}, _POLICY)
        yield Probe(standing, POLICIES, ("networking.k8s.io", "v1", "NetworkPolicy"), policy)
        yield from _of_namespace(standing, name)
    labels = {WORKSPACE_LABEL: "workspace", **_stamped()}
    fresh = _object("v1", "Namespace", {"name": "fresh", "labels": labels})
    yield Probe("Workspace", HOLD, ("", "v1", "Namespace"), fresh)
    yield from _of_tenants()
    cluster = _object("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy", {"name": "review"}, {})
    yield Probe("Organization", CLUSTER, ("policy.networking.k8s.io", "v1alpha1", "AdminNetworkPolicy"), cluster)


def _stamped() -> Json:
    return {f"{DOMAIN}/project": "project", f"{DOMAIN}/organization": "organization"}


def _of_namespace(standing: Standing, name: str) -> Iterator[Probe]:
    labels: Json = {"kubernetes.io/metadata.name": name}
    if standing is Standing.OWNED:
        labels |= {WORKSPACE_LABEL: "workspace", **_stamped()}
    elif standing is Standing.ORPHANED:
        labels |= {WORKSPACE_LABEL: "none"}
    old = _object("v1", "Namespace", {"name": name, "labels": labels})
    finalized = {**old, "metadata": {**old["metadata"], "finalizers": ["example.com/review"]}}
    # Not a label: who holds InfraAdmin may change those of a namespace that others own.
    yield Probe(standing, NAMESPACE, ("", "v1", "Namespace"), finalized, old)
    if standing in {Standing.OWNED, Standing.UNOWNED}:
        annotations = {f"{DOMAIN}/exempt-reason": "review", f"{DOMAIN}/exempt-until": _UNTIL.strftime("%FT%TZ")}
        exempt = _object(
            "v1",
            "Namespace",
            {"name": name, "labels": {**labels, f"{DOMAIN}/exempt": "true"}, "annotations": annotations},
        )
        yield Probe(standing, EXEMPT, ("", "v1", "Namespace"), exempt, old)


def _of_tenants() -> Iterator[Probe]:
    keep = {"roles": [{"role": "OrgAdmin", "subjects": [{"kind": "User", "name": f"{_USER}OrgAdmin"}]}]}
    specs: Mapping[str, Json] = {"Workspace": {"project": "project"}, "Project": {}, "Organization": keep}
    for kind, spec in specs.items():
        old = _object(f"{DOMAIN}/v1alpha1", kind, {"name": kind.lower()}, spec)
        new = {**old, "metadata": {**old["metadata"], "annotations": {"example.com/review": "1"}}}
        yield Probe(kind, TENANT, (DOMAIN, "v1alpha1", kind), new, old)
    workspace = _object(f"{DOMAIN}/v1alpha1", "Workspace", {"name": "fresh"}, {"project": "project"})
    yield Probe("Project", CREATE_IN, (DOMAIN, "v1alpha1", "Workspace"), workspace)
    project = _object(f"{DOMAIN}/v1alpha1", "Project", {"name": "fresh"}, {})
    yield Probe("Organization", CREATE, (DOMAIN, "v1alpha1", "Project"), project)


def _object(api_version: str, kind: str, metadata: Json, spec: Json | None = None) -> Json:
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **({} if spec is None else {"spec": spec})}
