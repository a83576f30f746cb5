"""
The bindings that make the tree's roles work out of the box: those of a namespace, and who may create namespaces. Pure.

Kubernetes' RBAC is asked first, the webhook narrows what it allows (contract, section 2). What each ClusterRole holds
stands in manifests/base/roles.yaml; a binding is called by the ClusterRole that it binds.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from webhook.cluster.resource import ROLE_BINDINGS
from webhook.model import MANAGED_BY_LABEL, Place, Standing, Subject, Tenant, TenantKind
from webhook.tenancy.tree import Tree

Object = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"
ROLES: Mapping[TenantKind, Mapping[str, str]] = {
    "Workspace": {
        "WorkspaceAdmin": "portcullis:workspace-admin",
        "WorkspaceReader": "portcullis:workspace-reader",
    },
    "Project": {
        "ProjectAdmin": "portcullis:project-admin",
        "ProjectReader": "portcullis:project-reader",
    },
    "Organization": {
        "OrgAdmin": "portcullis:org-admin",
        "InfraAdmin": "portcullis:infra-admin",
        "OrgReader": "portcullis:org-reader",
    },
}
"""The ClusterRole of each role by the level that it counts at; a SystemWriter's rights come with its own software."""
NAMES = tuple(name for names in ROLES.values() for name in names.values())
CREATOR = "portcullis:namespace-creator"
ADMINS = frozenset({"WorkspaceAdmin", "ProjectAdmin", "OrgAdmin", "InfraAdmin"})
"""Who may create namespaces at all; in which workspace, the webhook says."""
MOST_BYTES = 1_000_000
"""What the subjects of the ClusterRoleBinding may come to as JSON: etcd takes 1.5 MiB."""
LABELS = {MANAGED_BY_LABEL: "portcullis"}

# An account of another name cannot exist, and one such subject would have the whole binding refused.
_ACCOUNT = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def wanted_at(place: Place, tree: Tree) -> dict[str, Object]:
    """Return the RoleBindings of a namespace by name: one for each role that somebody holds there."""
    if place.standing is not Standing.OWNED:
        return {}
    found: dict[str, Object] = {}
    for key in place.path:
        tenant = tree.tenants[key]
        for role, name in ROLES[tenant.kind].items():
            if holders := _holders(tenant, frozenset({role})):
                found[name] = _binding(name, place.namespace, _sorted(holders))
    return found


def creators(tree: Tree) -> tuple[list[Object], int]:
    """
    Return the subjects that may create namespaces, every admin of the tree, and how many tenants' are left out.

    Where they come to more than one object can hold, the tenants with the most of them go without: so nobody can keep
    others from theirs, or himself what was revoked, by making a binding that cannot be written.
    """
    found: set[Subject] = set()
    asked = [(tenant.key, _holders(tenant, ADMINS)) for tenant in tree.tenants.values()]
    room, left = MOST_BYTES, len(asked)
    for _, holders in sorted(asked, key=lambda each: (len(each[1]), each[0])):
        room -= sum(len(orjson.dumps(_written(each))) for each in holders - found)
        if room < 0:
            break
        found |= holders
        left -= 1
    return _sorted(found), left


def role_ref(name: str) -> Object:
    """Return what a binding of this name refers to."""
    return {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}


def _binding(name: str, namespace: str, subjects: list[Object]) -> Object:
    return {
        "apiVersion": ROLE_BINDINGS.api_version,
        "kind": ROLE_BINDINGS.kind,
        "metadata": {"name": name, "namespace": namespace, "labels": LABELS},
        "roleRef": role_ref(name),
        "subjects": subjects,
    }


def _holders(tenant: Tenant, roles: frozenset[str]) -> frozenset[Subject]:
    """Return who holds one of the roles at a tenant, as far as the role counts at its level."""
    counted = roles & ROLES[tenant.kind].keys()
    return frozenset(
        subject
        for grant in tenant.roles
        if grant.role in counted
        for subject in grant.subjects
        if subject.kind != "ServiceAccount" or _ACCOUNT.fullmatch(subject.name)
    )


def _sorted(subjects: Iterable[Subject]) -> list[Object]:
    return list(map(_written, sorted(subjects, key=lambda each: (each.kind, each.namespace, each.name))))


def _written(subject: Subject) -> Object:
    """Return a subject as RBAC has it, every field in its place."""
    if subject.kind == "ServiceAccount":
        return {"kind": subject.kind, "name": subject.name, "namespace": subject.namespace}
    return {"apiGroup": GROUP, "kind": subject.kind, "name": subject.name}
