"""The scenes of the demo: who asks what, and what the answer is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from webhook.review.patch import applied

Json = dict[str, Any]

_PLURALS = {
    "NetworkPolicy": ("networking.k8s.io", "v1", "networkpolicies"),
    "ClusterNetworkPolicy": ("policy.networking.k8s.io", "v1alpha2", "clusternetworkpolicies"),
    "Namespace": ("", "v1", "namespaces"),
}
_VERBS = {"CREATE": "create", "UPDATE": "update", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ("system:authenticated",)


@dataclass(frozen=True, slots=True)
class Scene:
    """One request; `proof` has to stand in the answer. A Namespace goes through the mutation first."""

    title: str
    caller: Caller
    operation: Literal["CREATE", "UPDATE", "DELETE"]
    verdict: Literal["allowed", "denied"]
    proof: str
    new: Json | None = None
    old: Json | None = None

    @property
    def mutates(self) -> bool:
        """Whether the API server would call the mutating webhook first."""
        return self.new is not None and self.new["kind"] == "Namespace"

    @property
    def _identity(self) -> Json:
        identity: Json = self.new or self.old or {}
        return identity

    def asks(self) -> str:
        """Return the request in words."""
        metadata = self._identity["metadata"]
        where = f"{metadata['namespace']}/" if "namespace" in metadata else ""
        return f"{_VERBS[self.operation]} {self._identity['kind']} {where}{metadata['name']}"

    def request(self, *, patched: Sequence[Json] = ()) -> Json:
        """Return the request of the AdmissionReview, its object with the operations of a patch applied."""
        kind, metadata = self._identity["kind"], self._identity["metadata"]
        group, version, plural = _PLURALS[kind]
        return {
            "kind": {"group": group, "version": version, "kind": kind},
            "resource": {"group": group, "version": version, "resource": plural},
            "operation": self.operation,
            "name": metadata["name"],
            "namespace": metadata["name"] if kind == "Namespace" else metadata.get("namespace", ""),
            "userInfo": {"username": self.caller.name, "groups": list(self.caller.groups)},
            "object": applied(self.new, patched) if self.new else None,
            "oldObject": self.old,
            "dryRun": False,
        }


def _policy(namespace: str, name: str, spec: Json, **labels: str) -> Json:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def _namespace(name: str, **labels: str) -> Json:
    every = {"kubernetes.io/metadata.name": name, **labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": every}}


def _owned(workspace: str) -> dict[str, str]:
    derived = {"project": "payments", "organization": "acme", "gate": "enforced"}
    return {f"portcullis.dev/{key}": value for key, value in ({"workspace": workspace} | derived).items()}


_ADA = Caller("ada", ("checkout-team",))
_BO = Caller("bo", ("refunds-team",))
_CY = Caller("cy", ("ranking-team",))
_RITA = Caller("rita")
_IVAN = Caller("ivan")
_ROOT = Caller("kubernetes-admin", ("system:masters",))

_WEB: Json = {
    "podSelector": {"matchLabels": {"app": "web"}},
    "policyTypes": ["Ingress"],
    "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "gateway"}}}], "ports": [{"port": 8080}]}],
}
_ALLOW_ALL: Json = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
_HALVES: Json = {
    "podSelector": {},
    "policyTypes": ["Egress"],
    "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/1"}}]}, {"to": [{"ipBlock": {"cidr": "128.0.0.0/1"}}]}],
}
_ALLOW_WEB = _policy("checkout-dev", "allow-web", _WEB)
_INJECTED = _policy(
    "checkout-dev",
    "zero-trust.default-deny",
    {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    **{"app.kubernetes.io/managed-by": "portcullis", "portcullis.dev/baseline": "zero-trust"},
)
_CLUSTER_WIDE: Json = {
    "apiVersion": "policy.networking.k8s.io/v1alpha2",
    "kind": "ClusterNetworkPolicy",
    "metadata": {"name": "allow-monitoring"},
    "spec": {"tier": "Admin", "priority": 10, "subject": {"namespaces": {}}, "ingress": []},
}
_MINE = _namespace("checkout-dev", **_owned("checkout"))

SCENES = (
    Scene("A workspace's admin creates a namespace; who owns it and its labels are filled in.", _ADA, "CREATE", "allowed",
          "portcullis.dev~1workspace", new=_namespace("checkout-new")),
    Scene("Its owners write its policies.", _ADA, "CREATE", "allowed", "decision-id", new=_ALLOW_WEB),
    Scene("A sibling workspace's admin does not, and learns no names.", _BO, "CREATE", "denied", "another workspace", new=_ALLOW_WEB),
    Scene("Nor does somebody of another project.", _CY, "DELETE", "denied", "rbac/namespace-policy", old=_ALLOW_WEB),
    Scene("A reader changes nothing, but is told whom to ask.", _RITA, "UPDATE", "denied", "Group checkout-team",
          new=_ALLOW_WEB, old=_ALLOW_WEB),
    Scene("What holds in the whole cluster is the platform's.", _IVAN, "CREATE", "allowed", "decision-id", new=_CLUSTER_WIDE),
    Scene("It is no tenant's.", _ADA, "CREATE", "denied", "rbac/cluster-policy", new=_CLUSTER_WIDE),
    Scene("A careless allow-all would undo the default deny.", _ADA, "CREATE", "denied", "guardrail/from-anywhere",
          new=_policy("checkout-dev", "allow-all", _ALLOW_ALL)),
    Scene("So would two halves of the Internet.", _ADA, "CREATE", "denied", "guardrail/to-anywhere",
          new=_policy("checkout-dev", "halves", _HALVES)),
    Scene("The injected default deny is not the owner's to delete.", _ADA, "DELETE", "denied", "baseline/managed-policy", old=_INJECTED),
    Scene("Nobody takes a namespace that another workspace owns.", _BO, "UPDATE", "denied", "rbac/namespace",
          new=_namespace("checkout-dev", **_owned("refunds")), old=_MINE),
    Scene("A replace that leaves the labels out gets them put back.", _ADA, "UPDATE", "allowed", "portcullis.dev~1gate",
          new=_namespace("checkout-dev"), old=_MINE),
    Scene("Break-glass passes every rule, with a warning.", _ROOT, "DELETE", "allowed", "break-glass", old=_INJECTED),
)  # fmt: skip
