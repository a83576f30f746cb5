"""What stands on an API server, read beside kubectl: twenty times faster, so that a test may look often."""

import json
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx2

from tests.controlplane.plane import Plane
from tests.e2e.manifests import BASELINE

Json = dict[str, Any]
T = TypeVar("T")

NAMESPACES = "/api/v1/namespaces"
POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"
HOOKS = "/apis/admissionregistration.k8s.io/v1"
MUTATING = f"{HOOKS}/mutatingwebhookconfigurations/portcullis"
VALIDATING = f"{HOOKS}/validatingwebhookconfigurations/portcullis"
SECRET = f"{NAMESPACES}/portcullis-system/secrets/portcullis-tls"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/portcullis-system/leases/portcullis-controller"
TREE = tuple(
    f"/apis/portcullis.dev/v1alpha1/{each}" for each in ("organizations", "projects", "workspaces", "networkbaselines")
)


def until(condition: Callable[[], T], seconds: float) -> T:
    """Return what the condition gives once that is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.05)
    return found


def steady(look: Callable[[], T], seconds: float) -> T:
    """Return what `look` gives, which has to stay the same for so long: that nothing comes has to be waited for."""
    found = look()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.5)
        assert look() == found
    return found


def state(namespace: Json) -> Json:
    """Return what the annotation of a namespace says of its baseline, nothing where there is none."""
    found: Json = json.loads(namespace["metadata"].get("annotations", {}).get(BASELINE, "{}"))
    return found


def is_ready(namespace: Json | None) -> bool:
    """Say whether the baseline of a namespace is told to be in place."""
    return namespace is not None and state(namespace).get("state") == "Ready"


class Reader:
    """The API server as one user sees it."""

    def __init__(self, plane: Plane, user: str = "root") -> None:
        token = json.loads(plane.kubeconfig(user).read_text())["users"][0]["user"]["token"]
        self.client = httpx2.Client(
            base_url=plane.url,
            verify=ssl.create_default_context(cafile=str(plane.ca)),
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=30,
        )

    def find(self, path: str) -> Json | None:
        """Return the object at `path`, None where there is none."""
        reply = self.client.get(path)
        if reply.status_code == 404:
            return None
        assert reply.status_code == 200, reply.text
        found: Json = reply.json()
        return found

    def read(self, path: str) -> Json:
        """Return the object at `path`, which is there."""
        found = self.find(path)
        assert found is not None, path
        return found

    def namespace(self, name: str) -> Json | None:
        """Return a namespace, None where there is none."""
        return self.find(f"{NAMESPACES}/{name}")

    def policies(self, namespace: str) -> dict[str, Json]:
        """Return the NetworkPolicies of a namespace by name."""
        path = POLICIES.replace("networkpolicies", f"namespaces/{namespace}/networkpolicies")
        return {each["metadata"]["name"]: each for each in self.read(path)["items"]}

    def specs(self, namespace: str) -> dict[str, Json]:
        """Return the specs of the NetworkPolicies of a namespace."""
        return {name: each["spec"] for name, each in self.policies(namespace).items()}

    def versions(self, *paths: str, state: bool = True) -> Mapping[str, str]:
        """
        Return the resourceVersions of all namespaces and policies, but for what ends, and of what is at `paths`.

        Without the `state`, each is what it is without what the controller has told on it, and may yet tell.
        """
        namespaces = self.read(NAMESPACES)["items"]
        lasting = [each for each in namespaces if "deletionTimestamp" not in each["metadata"]]
        names = {each["metadata"]["name"] for each in lasting}
        inside = [each for each in self.read(POLICIES)["items"] if each["metadata"]["namespace"] in names]
        found = [thing for path in paths for thing in _items(self.read(path))]
        told = [*lasting, *(each for each in found if "status" in each)]
        versions = {
            each["metadata"]["uid"]: each["metadata"]["resourceVersion"] for each in [*lasting, *inside, *found]
        }
        return versions if state else versions | {each["metadata"]["uid"]: _stateless(each) for each in told}

    def writes(self) -> Mapping[str, int]:
        """Return how many requests the API server has had that write namespaces or policies, by resource and verb."""
        found: dict[str, int] = {}
        for line in self.client.get("/metrics").text.splitlines():
            if not line.startswith("apiserver_request_total{"):
                continue
            labels, _, count = line.removeprefix("apiserver_request_total{").rpartition("} ")
            told = dict(each.split("=", 1) for each in labels.split(","))
            verb, resource = told["verb"].strip('"'), told["resource"].strip('"')
            if resource in {"namespaces", "networkpolicies"} and verb in {"POST", "PUT", "PATCH", "APPLY", "DELETE"}:
                key = f"{resource} {verb}"
                found[key] = found.get(key, 0) + int(float(count))
        return found


def _items(thing: Json) -> list[Json]:
    return list(thing["items"]) if "items" in thing else [thing]


def _stateless(thing: Json) -> str:
    """Return what a thing is but for its status or state, which have a manager's entry of their own, too."""
    metadata = {key: each for key, each in thing["metadata"].items() if key not in {"resourceVersion", "managedFields"}}
    others = {key: each for key, each in metadata.get("annotations", {}).items() if key != "portcullis.dev/baseline"}
    rest = {key: each for key, each in thing.items() if key != "status"}
    return json.dumps({**rest, "metadata": {**metadata, "annotations": others}}, sort_keys=True)
