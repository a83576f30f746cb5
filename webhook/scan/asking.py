"""What stands, as the request that would create it today."""

from typing import Any

from webhook.model import Namespace, Policy, PolicyKind
from webhook.review.envelope import ReviewRequest

Json = dict[str, Any]

ASKER = "portcullis:scan"
"""Who asks: nobody in the cluster. The facts say that it holds every role, so that what is left is what is written."""

KINDS: dict[PolicyKind, tuple[str, str]] = {
    "NetworkPolicy": ("networking.k8s.io", "v1"),
    "CiliumNetworkPolicy": ("cilium.io", "v2"),
    "NetworkPolicy.crd.projectcalico.org": ("crd.projectcalico.org", "v1"),
    "NetworkSet.crd.projectcalico.org": ("crd.projectcalico.org", "v1"),
    "NetworkPolicy.projectcalico.org": ("projectcalico.org", "v3"),
    "NetworkSet.projectcalico.org": ("projectcalico.org", "v3"),
}
"""Group and version of each kind of policy that stands, as the rules know it."""


def identity_of(kind: PolicyKind) -> tuple[str, str, str]:
    """Return group, version and plain name of a kind of policy."""
    return (*KINDS[kind], kind.partition(".")[0])


def policy_asked(policy: Policy) -> ReviewRequest:
    """Return the request that would create a policy that stands."""
    group, version, kind = identity_of(policy.kind)
    metadata = {"name": policy.name, "namespace": policy.namespace, "labels": dict(policy.labels)}
    # Of a CNI's kind the whole object is kept; what else its metadata says no rule asks for at its creation.
    rest = {"spec": policy.spec} if policy.kind == "NetworkPolicy" else dict(policy.spec)
    thing = {**rest, "apiVersion": f"{group}/{version}", "kind": kind, "metadata": metadata}
    return _asked((group, version, kind), policy.namespace, thing)


def namespace_asked(namespace: Namespace) -> ReviewRequest:
    """Return the request that would create a Namespace that stands."""
    # The API server adds this label to every namespace; a manifest need not have it.
    labels = {"kubernetes.io/metadata.name": namespace.name, **namespace.labels}
    metadata = {"name": namespace.name, "labels": labels, "annotations": dict(namespace.annotations)}
    thing = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata, "spec": {}}
    return namespace_changed(thing)


def namespace_changed(thing: Json) -> ReviewRequest:
    """Return the request that would create the Namespace `thing`, as it is after mutation."""
    return _asked(("", "v1", "Namespace"), thing["metadata"]["name"], thing)


def _asked(kind: tuple[str, str, str], namespace: str, thing: Json) -> ReviewRequest:
    request = {
        "uid": "scan",
        "kind": dict(zip(("group", "version", "kind"), kind, strict=True)),
        "operation": "CREATE",
        "name": thing["metadata"]["name"],
        "namespace": namespace,
        "userInfo": {"username": ASKER, "groups": []},
        "object": thing,
        "oldObject": None,
        # Whatever is done beside deciding, is not done for this.
        "dryRun": True,
    }
    return ReviewRequest.model_validate(request)
