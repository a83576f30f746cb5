"""What people hand to kubectl, as JSON, and what stands in for the kinds that others bring."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
BASE = ROOT / "manifests" / "base"
CRDS = ROOT / "manifests" / "crds"
ACME = ROOT / "manifests" / "examples" / "acme"
KINDS = ROOT / "policies_rego" / "portcullis" / "kinds" / "kinds.rego"

WORKSPACE = "portcullis.dev/workspace"
BASELINE = "portcullis.dev/baseline"

OPEN: Json = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
"""The spec that undoes a default deny."""
INSIDE: Json = {
    "podSelector": {"matchLabels": {"app": "web"}},
    "policyTypes": ["Ingress"],
    "ingress": [{"from": [{"podSelector": {}}]}],
}
"""A spec that no guardrail minds."""
DEFAULT_DENY: Json = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
KUBE_DNS: Json = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}
ALLOW_DNS: Json = {
    "podSelector": {},
    "policyTypes": ["Egress"],
    "egress": [{"to": [KUBE_DNS], "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}],
}
ZERO_TRUST: Mapping[str, Json] = {"zero-trust.allow-dns": ALLOW_DNS, "zero-trust.default-deny": DEFAULT_DENY}
"""What manifests/examples/acme/organization.yaml brings to a namespace, as the API server stores it."""


def documents(*things: Json) -> str:
    """Return a file for kubectl: it reads one JSON object after the other."""
    return "\n".join(map(json.dumps, things))


def namespace(name: str, workspace: str = "", **labels: str) -> Json:
    """Return a Namespace, of a workspace where one is named."""
    owned = {WORKSPACE: workspace} if workspace else {}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {**owned, **labels}}}


def policy(place: str, name: str = "web", spec: Json = INSIDE, **metadata: Any) -> Json:
    """Return a NetworkPolicy."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": place, **metadata},
        "spec": spec,
    }


def ours(kind: str, name: str, **spec: Any) -> Json:
    """Return an object of portcullis.dev."""
    return {"apiVersion": "portcullis.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def organization(name: str, *roles: Json) -> Json:
    """Return an Organization with these roles, and the example's baseline."""
    return ours("Organization", name, roles=list(roles), baselines=["zero-trust"])


def grant(role: str, kind: str, name: str, **more: str) -> Json:
    """Return the grant of a role to one subject."""
    return {"role": role, "subjects": [{"kind": kind, "name": name, **more}]}


def covered(opa: Path) -> dict[str, dict[str, dict[str, list[str]]]]:
    """Return the table of kinds.rego: table, group and kind to the versions that the rules know."""
    command = [str(opa), "eval", "--format=raw", "--data", str(KINDS), "data.portcullis.kinds.tables"]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    found: dict[str, dict[str, dict[str, list[str]]]] = json.loads(told)
    return found


def stand_ins(tables: Mapping[str, Mapping[str, Mapping[str, list[str]]]]) -> Iterator[Json]:
    """Yield a CustomResourceDefinition for each covered kind that neither Kubernetes nor Portcullis brings."""
    for table, scope in (("namespace policies", "Namespaced"), ("cluster policies", "Cluster")):
        for group, kinds in tables[table].items():
            if group not in {"networking.k8s.io", "portcullis.dev"}:
                yield from (_stand_in(group, kind, versions, scope) for kind, versions in kinds.items())


def _stand_in(group: str, kind: str, versions: list[str], scope: str) -> Json:
    # How Kubernetes guesses a plural, and how each of these projects has named its own.
    singular = kind.lower()
    plural = f"{singular[:-1]}ies" if singular.endswith("y") else f"{singular}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            # Groups of Kubernetes' own are refused without it.
            "annotations": {"api-approved.kubernetes.io": "unapproved, it stands in for another in a test"},
        },
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": singular, "listKind": f"{kind}List"},
            "versions": [
                {"name": version, "served": True, "storage": index == 0, "schema": schema}
                for index, version in enumerate(sorted(versions))
            ],
        },
    }
