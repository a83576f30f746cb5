"""Trees of any size, as the watches would make them."""

from collections.abc import Iterator
from typing import Any

import orjson

from tests.cases.reviews import Json, namespace, owned, policy
from webhook.tenancy.live import KINDS, LiveTree

SIZES = (10, 1_000, 10_000)
PER_WORKSPACE = 10
BASELINE: Json = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def grown(size: int, *, policies: bool = True) -> LiveTree:
    """Return a live tree of `size` namespaces, each with two injected policies, as the watches would make it."""
    live = LiveTree()
    for kind in KINDS:
        live.reset(kind, list(_things(kind, size, policies=policies)), "1")
    return live


def _things(kind: str, size: int, *, policies: bool) -> Iterator[Json]:
    match kind:
        case "Namespace":
            yield from (_parsed(grown_namespace(number)) for number in range(size))
        case "NetworkPolicy" if policies:
            yield from (_injected(f"ns-{number // 2}", f"zero-trust.p{number % 2}") for number in range(2 * size))
        case _:
            yield from _tenants(kind, max(1, size // PER_WORKSPACE))


def _injected(place: str, name: str) -> Json:
    labels = {"app.kubernetes.io/managed-by": "portcullis", "portcullis.dev/baseline": "zero-trust"}
    return _parsed(policy(place, name, BASELINE, labels=labels))


def _tenants(kind: str, workspaces: int) -> Iterator[Json]:
    match kind:
        case "Organization":
            yield ours("acme", roles=[granted("OrgAdmin", "acme-admins")], baselines=["zero-trust"])
        case "NetworkBaseline":
            yield ours("zero-trust", policies=[{"name": f"p{each}", "spec": BASELINE} for each in range(2)])
        case "Project":
            for number in range(max(1, workspaces // 10)):
                yield ours(f"project-{number}", roles=[granted("ProjectAdmin", f"project-admins-{number}")])
        case "Workspace":
            for number in range(workspaces):
                spec = {"project": f"project-{number // 10}", "roles": [granted("WorkspaceAdmin", f"team-{number}")]}
                yield ours(f"workspace-{number}", **spec)


def _parsed(thing: Json) -> Json:
    """Return it as it comes from the wire: no two objects share a text."""
    thing["metadata"]["resourceVersion"] = "1"
    read: Json = orjson.loads(orjson.dumps(thing))
    return read


def ours(name: str, **spec: Any) -> Json:
    return _parsed({"metadata": {"name": name}, "spec": spec})


def granted(role: str, group: str) -> Json:
    return {"role": role, "subjects": [{"kind": "Group", "name": group}]}


def grown_namespace(number: int) -> Json:
    workspace = number // PER_WORKSPACE
    labels = owned(f"workspace-{workspace}", f"project-{workspace // 10}")
    state = {"portcullis.dev/baseline": '{"reason":"","revision":"0123456789ab","state":"Ready"}'}
    return namespace(f"ns-{number}", labels, annotations=state)


def always(live: LiveTree) -> Any:
    return lambda: live.tree
