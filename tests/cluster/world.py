"""A cluster in memory that a live tree follows, and a controller that works on it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.cases.reviews import Json
from tests.cluster.memory import Call, Event, Memory, plural_of
from webhook.bring import Brought, Note
from webhook.cluster.resource import NAMESPACES, NETWORK_POLICIES, TREE
from webhook.controller import BASELINES, Controller, Way
from webhook.errors import ClusterError
from webhook.model import (
    BASELINE_LABEL,
    GATE_LABEL,
    MANAGED_BY_LABEL,
    ORGANIZATION_LABEL,
    PROJECT_LABEL,
    STATE_ANNOTATION,
    WORKSPACE_LABEL,
    Namespace,
)
from webhook.tenancy.live import LiveTree

DENY: Json = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
DNS: Json = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]}
OWNED = {WORKSPACE_LABEL: "checkout"}
DERIVED = {PROJECT_LABEL: "payments", ORGANIZATION_LABEL: "acme", GATE_LABEL: "enforced"}
FORBIDDEN = ClusterError("admission webhook denied the request: no. Decision 3f2a1c00-1111-2222-3333-444455556666")


def thing(name: str, spec: Json | None = None, **metadata: Any) -> Json:
    return {"metadata": {"name": name, **metadata}, **({} if spec is None else {"spec": spec})}


def baseline(name: str = "zero-trust", drift: str = "Repair", **policies: Json) -> Json:
    """Return a NetworkBaseline; a dash in a policy's name is written as an underscore."""
    listed = [{"name": each.replace("_", "-"), "spec": spec} for each, spec in policies.items()]
    return thing(name, {"drift": drift, "policies": listed})


STANDING: dict[str, list[Json]] = {
    "Organization": [thing("acme", {"baselines": ["zero-trust"]})],
    "Project": [thing("payments", {})],
    "Workspace": [thing("checkout", {"project": "payments"})],
    "NetworkBaseline": [baseline(default_deny=DENY, allow_dns=DNS)],
}


class Heard:
    """What a controller told of its work."""

    def __init__(self) -> None:
        self.brought: list[tuple[str, Brought]] = []
        self.gone: list[str] = []
        self.sweeps = 0

    def told(self, namespace: Namespace, brought: Brought) -> None:
        self.brought.append((namespace.name, brought))

    def forgotten(self, name: str) -> None:
        self.gone.append(name)

    def swept(self) -> None:
        self.sweeps += 1

    @property
    def notes(self) -> list[Note]:
        """All that happened, in order."""
        return [note for _, brought in self.brought for note in brought.notes]


class World:
    """A cluster in memory and the live tree that follows it: at once, or when it is told to while `lagging`."""

    def __init__(self, **kinds: list[Json]) -> None:
        self.memory = Memory()
        self.live = LiveTree()
        self.lagging = False
        self.heard = Heard()
        self._late: list[Event] = []
        self._kinds = {plural_of(each): each for each in TREE}
        standing = {**STANDING, **kinds}
        for resource in TREE:
            for each in standing.get(resource.kind, ()):
                self.memory.put(resource, each)
        for resource in TREE:
            stored = [each for (plural, _, _), each in self.memory.stored.items() if plural == plural_of(resource)]
            self.live.reset(resource.kind, stored, str(self.memory.version))
        self.memory.listeners.append(self._hear)

    def _hear(self, event: Event) -> None:
        if event.plural in self._kinds:
            self._late.append(event)
            if not self.lagging:
                self.catch_up()

    def catch_up(self) -> None:
        """Tell the live tree of all that happened, in order."""
        while self._late:
            event = self._late.pop(0)
            tell = self.live.drop if event.kind == "DELETED" else self.live.put
            tell(self._kinds[event.plural].kind, event.thing)

    def policies(self, namespace: str = "dev") -> dict[str, Json]:
        """Return the policies that stand in a namespace, by name."""
        stored = self.memory.stored.items()
        return {
            name: each for (plural, at, name), each in stored if (plural, at) == (NETWORK_POLICIES.plural, namespace)
        }

    def namespace(self, name: str = "dev") -> Json:
        found = self.memory.find(NAMESPACES, name)
        assert found
        return found

    def state(self, name: str = "dev") -> Json | None:
        """Return what the annotation of a namespace says."""
        written = self.namespace(name)["metadata"].get("annotations", {}).get(STATE_ANNOTATION)
        return None if written is None else dict(json.loads(written))

    def writes(self) -> Counter[str]:
        """Count the calls: what was done to which kind and name."""
        return Counter(f"{each.verb} {each.plural} {each.name}" for each in self.memory.calls)


def live_namespace(name: str = "dev", labels: dict[str, str] | None = None, **metadata: Any) -> Json:
    return thing(name, labels=OWNED if labels is None else labels, **metadata)


def injected(name: str, spec: Json, namespace: str = "dev", **metadata: Any) -> Json:
    labels = {MANAGED_BY_LABEL: "portcullis", BASELINE_LABEL: name.partition(".")[0]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        **thing(name, spec, namespace=namespace, **{"labels": labels, **metadata}),
    }


def settled(**kinds: list[Json]) -> World:
    """Return a world in which everything is as it has to be, made by the controller itself."""
    world = World(Namespace=[live_namespace()], **kinds)
    worked(world)
    world.memory.calls.clear()
    world.heard.brought.clear()
    return world


@asynccontextmanager
async def working(*worlds: World, way: Way = BASELINES) -> AsyncIterator[None]:
    """Run a controller, which must not end by itself; several for several entries."""
    tasks = [asyncio.create_task(Controller(each.live, each.memory, way, each.heard).run()) for each in worlds]
    try:
        yield
        assert not any(task.done() for task in tasks), tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def quiet(world: World) -> None:
    """Return once no call was made for a while; a sweep comes every 5 ms."""
    async with asyncio.timeout(20):
        made = -1
        while made != len(world.memory.calls):
            made = len(world.memory.calls)
            await asyncio.sleep(0.03)


def worked(world: World) -> World:
    """Let a controller work until it has nothing left to do."""

    async def main() -> None:
        async with working(world):
            await quiet(world)

    asyncio.run(main())
    return world


def doing(world: World, script: Callable[[], Awaitable[None]], way: Way = BASELINES) -> None:
    """Do something while a controller works."""

    async def main() -> None:
        async with working(world, way=way):
            await script()

    asyncio.run(main())


def failing(*verbs: str, error: ClusterError = FORBIDDEN, name: str = "") -> Callable[[Call], Awaitable[None]]:
    """Refuse some calls."""

    async def fail(call: Call) -> None:
        if f"{call.verb} {call.plural}" in verbs and name in {"", call.name, call.namespace}:
            raise error

    return fail


CHANGES: dict[str, Callable[[Json], Json]] = {
    "an empty rule": lambda it: {**it, "spec": {**it["spec"], "ingress": [{}]}},
    "some pods": lambda it: {**it, "spec": {**it["spec"], "podSelector": {"matchLabels": {"a": "b"}}}},
    "a label more": lambda it: with_metadata(it, labels={**it["metadata"]["labels"], "x": "y"}),
    "our label gone": lambda it: with_metadata(it, labels={BASELINE_LABEL: "zero-trust"}),
    "no labels": lambda it: with_metadata(it, labels={}),
    "an annotation": lambda it: with_metadata(it, annotations={"x": "y"}),
    "a finalizer": lambda it: with_metadata(it, finalizers=["example.com/x"]),
    "an owner": lambda it: with_metadata(it, ownerReferences=[{"name": "x"}]),
}


def with_metadata(thing: Json, **more: Any) -> Json:
    return {**thing, "metadata": {**thing["metadata"], **more}}
