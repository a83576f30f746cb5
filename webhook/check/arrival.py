"""
What the API server hands to a validating hook when somebody creates an object, told without an API server.

For NetworkPolicy and Namespace: decoded into their types (an unknown field is refused, nulls and empty lists go),
defaulted, and validated; for the kinds of the tree: checked by their schema. Other kinds arrive as they are. Source:
Kubernetes 1.36, pkg/apis/networking and pkg/apis/core, `v1/defaults.go` and `validation/validation.go`.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, cast

from pydantic import ValidationError

from webhook.check.decoding import DecodingError, Shape, Steps
from webhook.check.types import NAMESPACE, NETWORK_POLICY, OBJECT_META
from webhook.check.validation import Problem, namespace_problems, network_policy_problems
from webhook.model import DOMAIN, TenantKind
from webhook.selector import NAME_LABEL
from webhook.tenancy.specs import first_error, read_baseline, read_tenant

Json = dict[str, Any]

# What the API server writes itself, whatever was sent.
_SYSTEM = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "selfLink",
    "uid",
)
_TREE = frozenset({"Organization", "Project", "Workspace", "NetworkBaseline"})


class ArrivalError(Exception):
    """
    The API server itself would refuse the object, for what stands at `path` and perhaps for more.

    `status` is that of its answer: 400 where the object cannot be decoded, 422 where it is not valid, and then
    `arrived` is what would have arrived. `problems` are all that are known, the first of them `path` and `what`.
    """

    def __init__(self, status: int, problems: tuple[Problem, ...], arrived: Json | None = None) -> None:
        self.path, self.what = problems[0]
        self.status = status
        self.problems = problems
        self.arrived = arrived
        super().__init__(f"{'.'.join(map(str, self.path))}: {self.what}")


def arrived(manifest: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> Json:
    """
    Return what a validating hook would see of `manifest`, without what the API server writes itself (uid, times, …).

    `old` is the object that stands, if it is an update. A NetworkPolicy has to name its namespace: kubectl fills that
    in. Where `generateName` makes the name there is none. Raises `ArrivalError`.
    """
    kind = (str(manifest.get("apiVersion")), str(manifest.get("kind")))
    if kind == ("networking.k8s.io/v1", "NetworkPolicy"):
        known = frozenset(_blocks((old or {}).get("spec")))
        return _arrived(manifest, NETWORK_POLICY, _default_policy, partial(network_policy_problems, known=known))
    if kind == ("v1", "Namespace"):
        return _arrived(manifest, NAMESPACE, partial(_default_namespace, old=old), namespace_problems)
    if kind[0].partition("/")[0] == DOMAIN and kind[1] in _TREE:
        return _arrived_tenant(manifest, kind[1])
    return dict(manifest)


def _arrived(
    manifest: Mapping[str, Any],
    shape: Shape,
    default: Callable[[Json], None],
    problems: Callable[[Json], Iterator[Problem]],
) -> Json:
    thing = _decoded(shape, manifest, ())
    metadata = thing["metadata"]
    for name in _SYSTEM:
        metadata.pop(name, None)
    if owners := metadata.get("ownerReferences"):
        metadata["ownerReferences"] = [each for at, each in enumerate(owners) if each not in owners[:at]]
    default(thing)
    if found := tuple(problems(thing)):
        raise ArrivalError(422, found, thing)
    return thing


def _decoded(shape: Shape, value: Any, path: Steps) -> Json:
    try:
        return cast("Json", shape(value, path))
    except DecodingError as error:
        raise ArrivalError(400, ((error.path, error.what),)) from error


def _default_policy(policy: Json) -> None:
    spec = policy["spec"]
    for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
        for each in rule.get("ports", ()):
            each.setdefault("protocol", "TCP")
    spec.setdefault("policyTypes", ["Ingress", *(["Egress"] if "egress" in spec else [])])


def _blocks(value: Any) -> Iterator[str]:
    """Yield the texts in an old spec: a CIDR that stands in it may stay, whatever is thought of it today."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _blocks(each)


def _default_namespace(namespace: Json, old: Mapping[str, Any] | None) -> None:
    metadata, spec = namespace["metadata"], namespace["spec"]
    if name := metadata.get("name"):
        metadata["labels"] = {**metadata.get("labels", {}), NAME_LABEL: name}
    metadata.pop("namespace", None)
    if old is not None:
        # Nobody changes these but by subresources of their own.
        namespace |= {"spec": old.get("spec") or {}, "status": old.get("status") or {}}
        return
    finalizers = spec.get("finalizers", [])
    spec["finalizers"] = finalizers if "kubernetes" in finalizers else [*finalizers, "kubernetes"]
    namespace["status"] = {"phase": "Active"}


def _arrived_tenant(manifest: Mapping[str, Any], kind: str) -> Json:
    metadata = _decoded(OBJECT_META, manifest.get("metadata"), ("metadata",))
    name = str(metadata.get("name", ""))
    spec = manifest.get("spec")
    try:
        if kind == "NetworkBaseline":
            read_baseline(name, spec)
        else:
            read_tenant(cast("TenantKind", kind), name, spec)
    except ValidationError as error:
        raise ArrivalError(422, ((("spec", *error.errors()[0]["loc"]), first_error(error)),), dict(manifest)) from error
    return {**manifest, "metadata": metadata}
