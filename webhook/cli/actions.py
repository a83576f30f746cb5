"""What somebody might do to a namespace, each as the request that the API server would ask about."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from webhook.baseline.wanted import WantedPolicy
from webhook.model import DOMAIN, WORKSPACE_LABEL, Namespace, Place, Standing
from webhook.registration.hooks import Call

Json = dict[str, Any]

EXEMPT_LABEL = f"{DOMAIN}/exempt"
EXEMPT_REASON, EXEMPT_UNTIL = f"{DOMAIN}/exempt-reason", f"{DOMAIN}/exempt-until"
_POLICY = ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
_NAMESPACE = ("", "v1", "Namespace", "namespaces")
_POD = ("", "v1", "Pod", "pods")
_NAME = "portcullis-explain"


@dataclass(frozen=True, slots=True)
class Action:
    """
    One thing that might be done: `verb` and `what` are how it is told, `id` is its name in JSON.

    `kind` is group, version, kind and plural of the object, which is deleted where there is no `new` one.
    """

    id: str
    verb: str
    what: str
    kind: tuple[str, str, str, str]
    new: Json | None = None
    old: Json | None = None

    @property
    def title(self) -> str:
        """The action in words."""
        return f"{self.verb} {self.what}"

    @property
    def operation(self) -> str:
        """As a review spells it."""
        if self.new is None:
            return "DELETE"
        return "CREATE" if self.old is None else "UPDATE"

    @property
    def call(self) -> Call:
        """What hooks are registered for."""
        return Call(self.kind[0], self.kind[3], self.operation)

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of a Namespace as hooks select it: the new ones, the old ones where it is deleted."""
        labels: dict[str, str] = (self.new or self.old or {})["metadata"].get("labels", {})
        return labels

    def review(self, uid: str, user: str, groups: tuple[str, ...], new: Json | None) -> Json:
        """Return the AdmissionReview in which `user` asks it; `new` is the object after mutation."""
        group, version, kind, plural = self.kind
        metadata = (self.new or self.old or {})["metadata"]
        return {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": uid,
                "kind": {"group": group, "version": version, "kind": kind},
                "resource": {"group": group, "version": version, "resource": plural},
                "operation": self.operation,
                "name": metadata["name"],
                "namespace": metadata["name"] if kind == "Namespace" else metadata["namespace"],
                "userInfo": {"username": user, "groups": list(groups)},
                "object": new,
                "oldObject": self.old,
                # Whatever the gate does beside answering, it does not do for this.
                "dryRun": True,
            },
        }


@dataclass(frozen=True, slots=True)
class Site:
    """
    The namespace that things are done to.

    `injected` is a policy of its baselines, None where none applies; `elsewhere` are workspaces to put it in.
    """

    namespace: Namespace
    place: Place
    injected: WantedPolicy | None
    elsewhere: tuple[str, ...]

    @property
    def thing(self) -> Json:
        """The Namespace as the API server would send it."""
        name = self.namespace.name
        return {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                # The API server adds this label to every namespace; a manifest need not have it.
                "labels": {"kubernetes.io/metadata.name": name, **self.namespace.labels},
                "annotations": dict(self.namespace.annotations),
            },
            "spec": {"finalizers": ["kubernetes"]},
        }


def actions_at(site: Site, now: datetime) -> Iterator[Action]:
    """Yield what might be done to the namespace."""
    own, name = _policy(site), site.namespace.name
    policy = "a NetworkPolicy"
    yield Action("create-policy", "create", policy, _POLICY, new=own)
    yield Action("update-policy", "change", policy, _POLICY, new=own, old=own)
    yield Action("delete-policy", "delete", policy, _POLICY, old=own)
    if site.injected:
        injected, baseline = replace(site.injected, namespace=name).manifest(), "a policy of its baseline"
        yield Action("update-injected", "change", baseline, _POLICY, new=injected, old=injected)
        yield Action("delete-injected", "delete", baseline, _POLICY, old=injected)
    yield from _of_the_namespace(site, now)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": _NAME, "namespace": name}, "spec": _POD_SPEC}
    yield Action("start-pod", "start", "a pod", _POD, new=pod)
    host = {**pod, "spec": {**_POD_SPEC, "hostNetwork": True}}
    yield Action("start-host-pod", "start", "a pod on the network of its node", _POD, new=host)


def _of_the_namespace(site: Site, now: datetime) -> Iterator[Action]:
    old, name = site.thing, "the namespace"
    yield Action("label", "label", name, _NAMESPACE, new=_changed(old, {"example.com/team": _NAME}), old=old)
    if site.place.baselines:
        until = (now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        annotations = {EXEMPT_REASON: "portcullis explain", EXEMPT_UNTIL: until}
        new = _changed(old, {EXEMPT_LABEL: "true"}, annotations)
        yield Action("exempt", "exempt", "it from its baselines", _NAMESPACE, new=new, old=old)
    put = "move" if site.place.workspace else "put"
    for each in site.elsewhere if site.place.standing is not Standing.RESERVED else ():
        new = _changed(old, {WORKSPACE_LABEL: each})
        yield Action("move", put, f"it into workspace {each}", _NAMESPACE, new=new, old=old)
    if site.place.workspace:
        # Empty, not absent: an update that leaves it out has it put back.
        new = _changed(old, {WORKSPACE_LABEL: ""})
        yield Action("release", "take", "it out of its workspace", _NAMESPACE, new=new, old=old)
    yield Action("delete", "delete", name, _NAMESPACE, old=old)


_POD_SPEC: Json = {"containers": [{"name": "example", "image": "example"}]}


def _policy(site: Site) -> Json:
    """Return a policy that opens as little as one can: what is asked is who may write one."""
    pods = {"podSelector": {"matchLabels": {"app": _NAME}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": _NAME, "namespace": site.namespace.name},
        "spec": {**pods, "policyTypes": ["Ingress"], "ingress": [{"from": [pods]}]},
    }


def _changed(thing: Json, labels: Mapping[str, str], annotations: Mapping[str, str] | None = None) -> Json:
    metadata = thing["metadata"]
    new = {
        **metadata,
        "labels": {**metadata["labels"], **labels},
        "annotations": {**metadata["annotations"], **(annotations or {})},
    }
    return {**thing, "metadata": new}
