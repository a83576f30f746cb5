"""
The manifests as kubectl's kustomize builds them, and an API server asked directly.

A table of cases is many requests, and kubectl takes a while for each.
"""

import json
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.controlplane.plane import Plane

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
INSTALLED = (
    "base",
    "overlays/kind",
    "overlays/production",
    "overlays/client-ca",
    "overlays/controller-apart",
    "overlays/no-pod-gate",
    "overlays/history",
)
"""Each is Portcullis whole."""
PLURALS: Mapping[str, str] = {
    "Organization": "organizations",
    "Project": "projects",
    "Workspace": "workspaces",
    "NetworkBaseline": "networkbaselines",
}


@cache
def built(folder: str) -> tuple[Json, ...]:
    """Return the objects of a folder of `manifests/`."""
    command = ["kubectl", "kustomize", str(MANIFESTS / folder)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert not ran.stderr
    return tuple(yaml.safe_load_all(ran.stdout))


def one(folder: str, kind: str, name: str = "portcullis") -> Json:
    """Return the one object of that kind and name."""
    (found,) = (each for each in built(folder) if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said; `told` is its message, empty where it took the object."""

    status: int
    body: Json

    @property
    def told(self) -> str:
        return str(self.body.get("message", "")) if self.status >= 400 else ""


class Api:
    """The API server of a plane, asked by one of its users; nothing that is created is stored."""

    def __init__(self, plane: Plane, user: str = "root") -> None:
        config = json.loads(plane.kubeconfig(user).read_text())
        token = config["users"][0]["user"]["token"]
        self._client = httpx2.Client(
            base_url=plane.url,
            verify=ssl.create_default_context(cafile=str(plane.ca)),
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=30,
        )

    def create(self, path: str, thing: Json) -> Answer:
        """Ask as `kubectl create --dry-run=server` does: unknown fields are an error."""
        query = {"dryRun": "All", "fieldValidation": "Strict"}
        answer = self._client.post(path, params=query, json=thing)
        return Answer(answer.status_code, answer.json())

    def ours(self, kind: str, spec: object, name: str = "dry") -> Answer:
        """Create an object of a kind of portcullis.dev."""
        thing = {"apiVersion": "portcullis.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        return self.create(f"/apis/portcullis.dev/v1alpha1/{PLURALS[kind]}", thing)

    def read(self, path: str) -> Json:
        """Return what is there."""
        return dict(self._client.get(path).raise_for_status().json())

    def schema(self, path: str, thing: Json | None = None) -> str:
        """Return the uid of the FlowSchema that a request belongs to: one that reads, or that creates something."""
        query = {"dryRun": "All"}
        answer = self._client.post(path, params=query, json=thing) if thing else self._client.get(path)
        return str(answer.headers["X-Kubernetes-PF-FlowSchema-UID"])

    def level(self, path: str) -> str:
        """Return the uid of the priority level that a request has its seat at."""
        return str(self._client.get(path).headers["X-Kubernetes-PF-PriorityLevel-UID"])

    def close(self) -> None:
        """End the connections."""
        self._client.close()
