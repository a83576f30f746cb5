"""AdmissionReviews as the API server sends them, and the people who ask."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()


AUTHENTICATED = "system:authenticated"
ADA = Caller("ada", ("checkout-team", AUTHENTICATED))
BO = Caller("bo", ("refunds-team", AUTHENTICATED))
CY = Caller("cy", ("ranking-team", AUTHENTICATED))
TWO = Caller("two", ("checkout-team", "refunds-team"))
PAM = Caller("pam", ("payments-admins", AUTHENTICATED))
SAM = Caller("sam", ("search-admins", AUTHENTICATED))
OZ = Caller("oz", ("acme-admins", AUTHENTICATED))
IVAN = Caller("ivan", (AUTHENTICATED,))
RITA = Caller("rita", (AUTHENTICATED,))
AUDITOR = Caller("olga", ("acme-audit",))
STRANGER = Caller("zed", (AUTHENTICATED,))
NOBODY = Caller("", ("acme-admins", "system:masters", "checkout-team"))
ROOT = Caller("kubernetes-admin", ("kubeadm:cluster-admins", AUTHENTICATED))
CONTROLLER = Caller("system:serviceaccount:portcullis-system:portcullis", ("system:serviceaccounts",))
NAMESPACE_CONTROLLER = Caller("system:serviceaccount:kube-system:namespace-controller")
GARBAGE_COLLECTOR = Caller("system:serviceaccount:kube-system:generic-garbage-collector")
API_SERVER = Caller("system:apiserver", ("system:masters",))
ARGOCD = Caller("system:serviceaccount:gitops:argocd", ("system:serviceaccounts:gitops",))
FALSE_ARGOCD = Caller("system:serviceaccount:checkout-dev:argocd", ("system:serviceaccounts:checkout-dev",))
REPLICASETS = Caller("system:serviceaccount:kube-system:replicaset-controller", ("system:serviceaccounts",))
CILIUM = Caller("system:serviceaccount:cni:cilium-operator", ("system:serviceaccounts",))

NETPOL = ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
NAMESPACE = ("", "v1", "Namespace", "namespaces")
POD = ("", "v1", "Pod", "pods")
BASELINE = ("portcullis.dev", "v1alpha1", "NetworkBaseline", "networkbaselines")
CRD = ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions")
TENANTS = {
    kind: ("portcullis.dev", "v1alpha1", kind, f"{kind.lower()}s") for kind in ("Organization", "Project", "Workspace")
}

WORKSPACE = "portcullis.dev/workspace"
DENY_ALL: Json = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
FROM_PODS: Json = {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"from": [{"podSelector": {}}]}]}


@dataclass(frozen=True)
class Asked:
    """One request: what the API server would be asked."""

    caller: Caller
    operation: str
    kind: tuple[str, str, str, str]
    new: Json | None = None
    old: Json | None = None
    subresource: str = ""
    dry_run: bool = False
    over: Json = field(default_factory=dict)
    """Fields of the request that differ from what the objects say."""

    def review(self) -> Json:
        """Return the whole AdmissionReview."""
        group, version, kind, plural = self.kind
        identity = ((self.old if self.operation == "DELETE" else self.new) or {}).get("metadata", {})
        namespace = identity.get("name", "") if kind == "Namespace" else identity.get("namespace", "")
        request: Json = {
            "uid": str(uuid.uuid4()),
            "kind": {"group": group, "version": version, "kind": kind},
            "resource": {"group": group, "version": version, "resource": plural},
            "requestKind": {"group": group, "version": version, "kind": kind},
            "requestResource": {"group": group, "version": version, "resource": plural},
            "name": identity.get("name", ""),
            "operation": self.operation,
            "userInfo": {"username": self.caller.name, "groups": list(self.caller.groups)},
            "object": self.new,
            "oldObject": self.old,
            "dryRun": self.dry_run,
            "options": None,
        }
        if namespace:
            request["namespace"] = namespace
        if self.subresource:
            request |= {"subResource": self.subresource, "requestSubResource": self.subresource}
        return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request | self.over}


def policy(namespace: str, name: str = "web", spec: Json | None = None, **metadata: Any) -> Json:
    """Return a NetworkPolicy."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": FROM_PODS if spec is None else spec,
    }


def other_policy(
    kind: tuple[str, str, str, str], namespace: str = "", name: str = "web", spec: Json | None = None
) -> Json:
    """Return an object of a CNI's kind or a cluster-wide one."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": f"{kind[0]}/{kind[1]}", "kind": kind[2], "metadata": metadata, "spec": spec or {}}


def injected(namespace: str, name: str = "zero-trust.default-deny", spec: Json | None = None) -> Json:
    """Return a policy as the controller injects it."""
    labels = {"app.kubernetes.io/managed-by": "portcullis", "portcullis.dev/baseline": name.split(".", maxsplit=1)[0]}
    return policy(namespace, name, DENY_ALL if spec is None else spec, labels=labels)


def namespace(name: str, labels: dict[str, str] | None = None, **metadata: Any) -> Json:
    """Return a Namespace with these labels and the one that the API server adds."""
    every = {"kubernetes.io/metadata.name": name, **(labels or {})}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": every, **metadata},
        "spec": {},
    }


def exempt(days: float, reason: str = "moving house", label: str = "true") -> tuple[dict[str, str], dict[str, str]]:
    """Return the label and the annotations of an exemption that ends so many days from now."""
    until = (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    notes = {"portcullis.dev/exempt-reason": reason, "portcullis.dev/exempt-until": until}
    return {"portcullis.dev/exempt": label}, notes


def pod(namespace: str, name: str = "web", metadata: Json | None = None, **spec: Any) -> Json:
    """Return a Pod."""
    containers = [{"name": "main", "image": "example.org/web"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **(metadata or {})},
        "spec": {"containers": containers, **spec},
    }


def owned(workspace: str, project: str = "payments", **more: str) -> dict[str, str]:
    """Return the labels of a namespace of a workspace, as they are after the mutation."""
    derived = {
        "portcullis.dev/project": project,
        "portcullis.dev/organization": "acme",
        "portcullis.dev/gate": "enforced",
    }
    return {WORKSPACE: workspace, **derived, **more}


def tenant(kind: str, name: str, spec: Json | None = None, **metadata: Any) -> Json:
    """Return an Organization, Project or Workspace."""
    return {
        "apiVersion": "portcullis.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": spec or {},
    }


def grant(role: str, *names: str, kind: str = "Group", **rest: str) -> Json:
    """Return the grant of a role to subjects of one kind."""
    return {"role": role, "subjects": [{"kind": kind, "name": name, **rest} for name in names]}


def definition(group: str, kind: str) -> Json:
    """Return a CustomResourceDefinition."""
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": {"kind": kind, "plural": plural, "singular": kind.lower()}},
    }
