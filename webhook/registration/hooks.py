"""The two webhook objects as they have to be: `manifests/base/webhooks.yaml` with whom they call filled in."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml
from cryptography.x509 import Certificate

import certs
from webhook.errors import SettingsError
from webhook.model import HOME
from webhook.selector import read_selector

Object = dict[str, Any]

SERVICE = "portcullis"
POD_GATE = "pods.validate.portcullis.dev"
"""The hook that a cluster may do without."""
_PATHS: Mapping[str, str] = {
    "ValidatingWebhookConfiguration": "/validate",
    "MutatingWebhookConfiguration": "/mutate",
}


@dataclass(frozen=True, slots=True)
class Callee:
    """
    Whom the API server calls: the base of a URL, or, where that is empty, our Service; trusted by the CAs `ca`.

    Those of `tolerated` need not be trusted, and are left where they are: other replicas may be served with by them.
    """

    ca: bytes
    url: str = ""
    tolerated: bytes = b""

    def config(self, path: str) -> Object:
        """Return the `clientConfig` of a hook."""
        bundle = base64.b64encode(self.ca).decode()
        if self.url:
            return {"caBundle": bundle, "url": f"{self.url.rstrip('/')}{path}"}
        return {"caBundle": bundle, "service": {"name": SERVICE, "namespace": HOME, "path": path, "port": 443}}

    def beside(self, stored: Object) -> "Callee":
        """Return it with those CAs that a stored object has and may keep, then in the order that they have there."""
        if not self.tolerated:
            return self
        needed = set(certs.readable(self.ca))
        found = {each: set(certs.readable(each)) for each in bundles(stored)}
        there = set[Certificate]().union(*found.values())
        extra = tuple(each for each in certs.readable(self.tolerated) if each in there - needed)
        same = next((each for each, cas in found.items() if needed and cas == needed.union(extra)), None)
        if same is None:
            return replace(self, ca=certs.joined(self.ca, certs.write_bundle(extra))) if extra else self
        return replace(self, ca=same)


def read_shipped(text: str, *, pod_gate: bool = True) -> Mapping[str, Object]:
    """
    Return the objects of `webhooks.yaml` by kind; raises `SettingsError` where one of the two is not there.

    Without `pod_gate` they have no hook on pods.
    """
    try:
        found = {each["kind"]: each for each in yaml.safe_load_all(text)}
    except (yaml.YAMLError, TypeError, KeyError) as error:
        raise SettingsError(f"the shipped webhook objects cannot be read: {error}") from error
    if set(found) != set(_PATHS):
        raise SettingsError(f"the shipped webhook objects are {sorted(found)} and have to be {sorted(_PATHS)}")
    left_out = set() if pod_gate else {POD_GATE}
    return {
        kind: {**each, "webhooks": [hook for hook in each["webhooks"] if hook["name"] not in left_out]}
        for kind, each in found.items()
    }


def wanted(shipped: Object, callee: Callee) -> Object:
    """Return a shipped object with every hook calling `callee`."""
    config = callee.config(_PATHS[shipped["kind"]])
    return {**shipped, "webhooks": [{**hook, "clientConfig": config} for hook in shipped["webhooks"]]}


def bundles(stored: Object) -> frozenset[bytes]:
    """Return the `caBundle`s of the hooks of an object, PEM; an empty one for a hook that has none."""
    found = [(hook.get("clientConfig") or {}).get("caBundle") or "" for hook in stored.get("webhooks") or ()]
    return frozenset(map(base64.b64decode, found))


def healed(stored: Object, wanted: Object) -> Object | None:
    """
    Return the object that has to replace `stored`, None where it is as it has to be.

    What others may rightly add (labels, annotations of a tool) stays; our labels and the hooks are put back whole.
    """
    metadata = stored["metadata"]
    labels = {**(metadata.get("labels") or {}), **wanted["metadata"]["labels"]}
    if stored.get("webhooks") == wanted["webhooks"] and labels == metadata.get("labels"):
        return None
    kept = {key: each for key, each in metadata.items() if key != "managedFields"}
    return {**wanted, "metadata": {**kept, "labels": labels}}


@dataclass(frozen=True, slots=True)
class Call:
    """A request of the kind that hooks are registered for; `plural` is the resource's name, without a subresource."""

    group: str
    plural: str
    operation: str


def asked(shipped: Object, call: Call, labels: Mapping[str, str]) -> bool | None:
    """
    Say whether a hook of a shipped object is asked about `call` in a namespace with these labels.

    None where no hook knows such a request at all. Who calls is not looked at: `matchConditions` leave out Kubernetes'
    own controllers alone.
    """
    knowing = [hook for hook in shipped["webhooks"] if any(_names(rule, call) for rule in hook["rules"])]
    if not knowing:
        return None
    return any(read_selector(hook["namespaceSelector"]).matches(labels) for hook in knowing)


def _names(rule: Object, call: Call) -> bool:
    return (
        not {call.group, "*"}.isdisjoint(rule["apiGroups"])
        and not {call.operation, "*"}.isdisjoint(rule["operations"])
        and not {call.plural, f"{call.plural}/*", "*", "*/*"}.isdisjoint(rule["resources"])
    )
