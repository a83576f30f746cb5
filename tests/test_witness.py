"""What stands and who wrote it is told to the history: as it is seen, and what nobody saw."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.cases.reviews import Json, namespace, policy
from tests.cluster.world import World, thing
from webhook.cluster.resource import CALICO, NAMESPACES, NETWORK_POLICIES, PROJECTS, WORKSPACES, Resource
from webhook.errors import ClusterError, HistoryError
from webhook.history.record import Revision
from webhook.history.rows import Last
from webhook.mirror import _Kind
from webhook.model import Writer
from webhook.witness import Witness, revision_of

FIELDS = [
    {"manager": "kubectl", "operation": "Apply", "time": "2026-11-21T12:00:00Z", "fieldsV1": {}},
    {"manager": "portcullis", "operation": "Update", "time": "2026-11-21T12:00:01Z"},
]


def stored(name: str, version: int, **metadata: Any) -> Json:
    """Return a NetworkPolicy of the API server."""
    own = {"uid": f"uid-{name}", "resourceVersion": str(version), "managedFields": FIELDS, "generation": 3, **metadata}
    found = policy("checkout-dev", name, **own)
    # What a list has of it.
    del found["apiVersion"], found["kind"]
    return found | {"status": {"x": 1}}


TREE: dict[str, list[Json]] = {
    "Organization": [thing("acme", {})],
    "Project": [thing("payments", {})],
    "Workspace": [thing("checkout", {"project": "payments"})],
    "Namespace": [namespace("checkout-dev", {"portcullis.dev/workspace": "checkout"})],
}
ABOVE = ("Workspace/checkout", "Project/payments", "Organization/acme")


def test_a_state_has_what_can_be_applied_and_who_wrote_it() -> None:
    """Without what the API server writes of each version; a deletion has no content."""
    world = World(**TREE)
    found = revision_of(NETWORK_POLICIES, stored("web", 7), world.live.tree, gone=False)
    assert found.content == policy("checkout-dev", "web")
    assert (found.api_version, found.kind, found.namespace, found.name) == (
        "networking.k8s.io/v1", "NetworkPolicy", "checkout-dev", "web",
    )  # fmt: skip
    assert (found.uid, found.version, found.gone, found.tenants) == ("uid-web", "7", False, ABOVE)
    assert found.writers == (
        Writer("kubectl", "Apply", "2026-11-21T12:00:00Z"),
        Writer("portcullis", "Update", "2026-11-21T12:00:01Z"),
    )
    gone = revision_of(NETWORK_POLICIES, stored("web", 8), None, gone=True)
    assert (gone.gone, gone.content, gone.tenants) == (True, None, ())


WHOSE: dict[str, tuple[Resource, Json, tuple[str, ...]]] = {
    "a namespace": (NAMESPACES, TREE["Namespace"][0], ABOVE),
    "an unowned namespace": (NAMESPACES, namespace("other"), ("Organization/acme",)),
    "a workspace": (WORKSPACES, TREE["Workspace"][0], ABOVE),
    "a project": (PROJECTS, TREE["Project"][0], ABOVE[1:]),
    "a policy of Calico": (CALICO[0], {"metadata": {"name": "x", "namespace": "checkout-dev"}}, ABOVE),
}


@pytest.mark.parametrize(("resource", "one", "tenants"), WHOSE.values(), ids=WHOSE.keys())
def test_a_state_says_under_whom_it_stood(resource: Resource, one: Json, tenants: tuple[str, ...]) -> None:
    """So that who may read it follows the tree; a kind is called as the API server calls it."""
    found = revision_of(resource, one, World(**TREE).live.tree, gone=False)
    assert (found.tenants, found.kind) == (tenants, resource.kind.partition(".")[0])


class Recorder:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.found: list[Revision] = []
        self.missed = asyncio.Event()
        self.waits = 0

    def revise(self, revision: Revision) -> None:
        """Keep it."""
        self.found.append(revision)

    @property
    def told(self) -> list[tuple[str, str, bool]]:
        return [(each.name, each.version, each.gone) for each in self.found]


class Pages:
    """A cluster that lists NetworkPolicies, two a page."""

    def __init__(self, things: list[Json]) -> None:
        self.things = things
        self.fails = 0

    async def page(self, path: str, query: Mapping[str, str], accept: str) -> Json:  # noqa: ARG002 - of all the same
        """Return a page, or fail first."""
        if self.fails:
            self.fails -= 1
            raise ClusterError("gone")
        if "networkpolicies" not in path or "networking.k8s.io" not in path:
            raise ClusterError("no such kind", status=404)
        start = int(query.get("continue") or 0)
        more = str(start + 2) if start + 2 < len(self.things) else ""
        return {"metadata": {"resourceVersion": "9", "continue": more}, "items": self.things[start : start + 2]}

    async def lines(self, path: str, query: Mapping[str, str], accept: str) -> AsyncIterator[bytes]:  # noqa: ARG002
        """Say nothing."""
        yield b""


class History:
    """What is known last."""

    def __init__(self, known: Mapping[str, Last]) -> None:
        self.known = known
        self.fails = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["History"]:
        """Give itself, or fail first."""
        if self.fails:
            self.fails -= 1
            raise HistoryError("the disk is full")
        yield self

    async def latest(self, api_version: str, kind: str) -> Mapping[str, Last]:
        """Return it of the one kind there is."""
        return self.known if (api_version, kind) == ("networking.k8s.io/v1", "NetworkPolicy") else {}


KNOWN = {
    "uid-same": Last("checkout-dev", "same", "1", gone=False),
    "uid-changed": Last("checkout-dev", "changed", "1", gone=False),
    "uid-back": Last("checkout-dev", "back", "3", gone=True),
    "uid-went": Last("checkout-dev", "went", "4", gone=False),
    "uid-long-gone": Last("checkout-dev", "long-gone", "4", gone=True),
}
STANDS = [stored("same", 1), stored("changed", 2), stored("back", 3), stored("new", 5)]
UNSEEN = [("changed", "2", False), ("back", "3", False), ("new", "5", False), ("went", "4", True)]


async def compared(act: Callable[[Witness], None], recorder: Recorder, cluster: Pages, history: History) -> None:
    """Have something compared until all of it is told."""
    known: Any = recorder
    witness = Witness(cluster, World(**TREE).live, known, history.open)
    running = asyncio.create_task(witness.run())
    try:
        act(witness)
        async with asyncio.timeout(20):
            while len(recorder.found) < len(UNSEEN):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_what_nobody_saw_is_found() -> None:
    """What changed, came or went behind our back; a history or a cluster that fails is asked again."""
    recorder, cluster, history = Recorder(), Pages(STANDS), History(KNOWN)
    cluster.fails, history.fails = 1, 1
    asyncio.run(compared(lambda witness: witness.listed(NETWORK_POLICIES), recorder, cluster, history))
    assert recorder.told == UNSEEN


def test_a_loss_has_all_of_it_compared() -> None:
    """What the buffer had no room for is found once it has; kinds that are not served are nobody's."""
    recorder = Recorder()
    asyncio.run(compared(lambda _: recorder.missed.set(), recorder, Pages(STANDS), History(KNOWN)))
    assert recorder.told == UNSEEN


def test_a_comparison_waits_while_much_is_to_be_written() -> None:
    """Its finds never push out what is seen."""
    recorder = Recorder()
    recorder.waits = 10_000

    async def main() -> None:
        known: Any = recorder
        witness = Witness(Pages(STANDS), World(**TREE).live, known, History(KNOWN).open)
        running = asyncio.create_task(witness.run())
        witness.listed(NETWORK_POLICIES)
        await asyncio.sleep(0.2)
        assert recorder.found == []
        recorder.waits = 0
        await asyncio.sleep(0.5)
        assert recorder.told == UNSEEN
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


def test_what_a_watch_tells_is_told_on() -> None:
    """A change and a deletion at once, under whom it stood until then; a list that began anew is compared."""
    recorder: Any = Recorder()
    world = World(**TREE)
    witness = Witness(Pages([]), world.live, recorder, History({}).open)
    kind = _Kind(NETWORK_POLICIES, world.live, [witness])
    kind.put(stored("web", 7))
    kind.drop(stored("web", 8))
    assert recorder.told == [("web", "7", False), ("web", "8", True)]
    assert {each.tenants for each in recorder.found} == {ABOVE}
    kind.reset([], "9")
    assert list(witness._unseen) == [NETWORK_POLICIES]
    ground = _Kind(NAMESPACES, world.live, [witness])
    ground.drop(TREE["Namespace"][0])
    assert recorder.found[-1].tenants == ABOVE
