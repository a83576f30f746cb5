"""What etcd holds, asked of etcd itself: which objects there are, and in which order they were made."""

import base64
from dataclasses import dataclass
from typing import Any

import httpx2

REGISTRY = "/registry"


@dataclass(frozen=True, slots=True)
class Revision:
    """When an object was made, in etcd's count of all writes, and how often it has been written."""

    created: int
    writes: int


class Store:
    """An etcd, by the JSON that it speaks beside gRPC; `httpx2.HTTPError` while it does not answer."""

    def __init__(self, url: str) -> None:
        self.client = httpx2.Client(base_url=url, trust_env=False, timeout=5)

    def revisions(self, resource: str, prefix: str) -> dict[tuple[str, ...], Revision]:
        """
        Return the objects of a resource whose path begins with `prefix`, by the parts of that path.

        Those of `networkpolicies` are ("NAMESPACE", "NAME"), those of `namespaces` ("NAME",).
        """
        begin = f"{REGISTRY}/{resource}/{prefix}".encode()
        end = begin[:-1] + bytes([begin[-1] + 1])
        told = self._ask("range", {"key": _encoded(begin), "range_end": _encoded(end), "keys_only": True})
        found = {}
        for each in told.get("kvs", ()):
            path = base64.b64decode(each["key"]).decode().removeprefix(f"{REGISTRY}/{resource}/")
            found[tuple(path.split("/"))] = Revision(int(each["create_revision"]), int(each["version"]))
        return found

    def compact(self) -> None:
        """Forget every revision but the last one."""
        revision = self._ask("range", {"key": _encoded(b"\0"), "count_only": True})["header"]["revision"]
        self._ask("compaction", {"revision": revision, "physical": True})

    def _ask(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = self.client.post(f"/v3/kv/{what}", json=body)
        reply.raise_for_status()
        told: dict[str, Any] = reply.json()
        return told


def _encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()
