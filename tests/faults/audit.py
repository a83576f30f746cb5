"""What the API server says of the writes that it let pass: its audit log, in which each has the decision's id."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e.guarded import OURSELVES

Json = dict[str, Any]

POLICY = json.dumps(
    {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {
                "level": "Metadata",
                "verbs": ["create", "update", "patch", "delete", "deletecollection"],
                "resources": [
                    {"group": "", "resources": ["namespaces", "pods"]},
                    {"group": "networking.k8s.io", "resources": ["networkpolicies"]},
                ],
            },
            {"level": "None"},
        ],
    }
)
FLAGS = ("--audit-policy-file=audit.json", "--audit-log-path=audit.log")
"""The API server writes a line before it answers, so nothing that it let pass is missing."""

SYSTEM = frozenset(
    {
        "system:serviceaccount:kube-system:namespace-controller",
        "system:serviceaccount:kube-system:generic-garbage-collector",
        "system:kube-controller-manager",
        "system:apiserver",
        OURSELVES,
    }
)
"""Whom no hook is asked about; and we ourselves, whom some are not."""


class AuditLog:
    """The audit log of a plane, read on from where it was left."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._decided: set[tuple[str, str, str]] = set()

    def undecided(self) -> list[str]:
        """Return the writes since the last call that passed without a decision, each as one line."""
        found = []
        for event in self._events():
            target = event.get("objectRef", {})
            decided = _decided(event)
            if decided and event["verb"] == "create":
                self._decided.add((target["resource"], target.get("namespace", ""), target.get("name", "")))
            if not decided and event.get("responseStatus", {}).get("code", 0) < 300:
                found.append(f"{event['user']['username']} {event['verb']} {event['requestURI']}")
        return found

    def decided(self, resource: str, namespace: str, name: str) -> bool:
        """Say whether the creation of an object, of which `undecided` has read, came with a decision."""
        # The API server says of a namespace that it is in itself.
        return bool({(resource, place, name) for place in (namespace, name)} & self._decided)

    def _events(self) -> Iterator[Json]:
        """Yield the guarded writes of others than the system that are new."""
        with self._path.open("rb") as log:
            log.seek(self._read)
            whole = log.read().rpartition(b"\n")[0]
        self._read += len(whole) + 1 if whole else 0
        for line in whole.splitlines():
            event: Json = json.loads(line)
            if event["user"]["username"] not in SYSTEM and _guarded(event):
                yield event


def _guarded(event: Json) -> bool:
    """Say whether a hook of ours has to be asked: of pods about creations alone, and never in kube-system."""
    target = event.get("objectRef", {})
    if target.get("namespace") in {"kube-system", "portcullis-system"} and target["resource"] != "namespaces":
        return False
    return target["resource"] != "pods" or (event["verb"] == "create" and not target.get("subresource"))


def _decided(event: Json) -> bool:
    """Say whether a validating hook of ours has left the id of its decision."""
    annotations = event.get("annotations") or {}
    return any(key.endswith("validate.portcullis.dev/decision-id") for key in annotations)
