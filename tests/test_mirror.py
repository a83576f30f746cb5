"""The mirror keeps a live tree in step with a real API server, kinds that come and go included."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import orjson
import pytest

from tests.cases.reviews import Json
from tests.cluster.connection import connection
from tests.cluster.memory import Memory, until
from tests.controlplane.plane import Plane
from webhook import mirror
from webhook.cluster.client import Cluster
from webhook.cluster.resource import DEFINITIONS, NAMESPACES, NETWORK_POLICIES, ORGANIZATIONS
from webhook.errors import ClusterError
from webhook.mirror import Mirror, read_once
from webhook.model import WORKSPACE_LABEL, Standing
from webhook.tenancy.live import LiveTree

CRDS = str(Path(__file__).parents[1] / "manifests" / "crds")
ACME: Json = {
    "apiVersion": "portcullis.dev/v1alpha1",
    "kind": "Organization",
    "metadata": {"name": "acme"},
    "spec": {"roles": [{"role": "OrgAdmin", "subjects": [{"kind": "Group", "name": "acme-admins"}]}]},
}
PAYMENTS: Json = {**ACME, "kind": "Project", "metadata": {"name": "payments"}, "spec": {}}
CHECKOUT: Json = {**ACME, "kind": "Workspace", "metadata": {"name": "checkout"}, "spec": {"project": "payments"}}
WIDGETS: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Cluster",
        "names": {"kind": "Widget", "plural": "widgets"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


@pytest.fixture
def bare(plane: Plane) -> Iterator[Plane]:
    """Give a plane that knows none of our kinds, whatever others have left there, and leave it so."""
    withdraw = partial(plane.kubectl, "delete", "-k", CRDS, "--ignore-not-found", "--wait")
    withdraw()
    yield plane
    withdraw()


def mirrored(plane: Plane, script: Callable[[LiveTree, Mirror], None]) -> None:
    """Run `script` in a thread while a mirror of the plane runs."""

    async def main() -> None:
        live = LiveTree()
        async with connection(plane.kubeconfig("root")) as cluster, running(cluster, live) as kept:
            await until(lambda: live.synced, 10)
            await asyncio.to_thread(script, live, kept)

    asyncio.run(main())


@asynccontextmanager
async def running(cluster: Cluster, live: LiveTree) -> AsyncIterator[Mirror]:
    """Run a mirror, which must not end by itself."""
    kept = Mirror(cluster, live)
    task = asyncio.create_task(kept.run())
    try:
        yield kept
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def eventually(condition: Callable[[], bool]) -> None:
    """Return once it holds, as asked from a thread."""
    asyncio.run(until(condition, 20))


def create(plane: Plane, *things: Json) -> None:
    """Create objects; a definition may stand a moment before its kind is served."""
    made = partial(plane.kubectl, "create", "--filename=-", check=False)
    for each in things:
        eventually(partial(_succeeds, partial(made, stdin=json.dumps(each))))


def _succeeds(command: Callable[[], CompletedProcess[str]]) -> bool:
    return command().returncode == 0


def established(plane: Plane) -> None:
    """Apply our definitions and wait until their kinds are served."""
    plane.kubectl("apply", "-k", CRDS)
    plane.kubectl(
        "wait", "--for=condition=Established", "crd", "-l", "app.kubernetes.io/part-of=portcullis", "--timeout=30s"
    )


def standing_of(live: LiveTree, namespace: str) -> Standing | None:
    return live.tree.place_of(namespace).standing if live.tree else None


def test_without_our_definitions_there_is_no_tree_and_it_comes_with_them(bare: Plane) -> None:
    """A first day: it waits without an error, and no restart is needed; a kind that goes takes the tree along."""

    def script(live: LiveTree, kept: Mirror) -> None:
        assert live.tree is None
        assert live.lacks() == "the cluster does not know the tenant tree: kubectl apply -k manifests/crds"
        established(bare)
        eventually(lambda: live.lacks() == "there is no Organization: apply one with an OrgAdmin among its roles")
        create(bare, ACME, PAYMENTS, CHECKOUT)
        eventually(lambda: live.tree is not None and len(live.tree.tenants) == 3)
        bare.kubectl("create", "namespace", "mirrored")
        bare.kubectl("label", "namespace", "mirrored", f"{WORKSPACE_LABEL}=checkout")
        eventually(lambda: standing_of(live, "mirrored") is Standing.OWNED)
        bare.kubectl("delete", "workspace", "checkout")
        eventually(lambda: standing_of(live, "mirrored") is Standing.ORPHANED)
        bare.kubectl("delete", "namespace", "mirrored", "--wait=false")
        bare.kubectl("delete", "crd", "organizations.portcullis.dev")
        eventually(lambda: live.tree is None)
        eventually(lambda: "does not know the tenant tree" in live.lacks())
        assert kept.stale() == []

    mirrored(bare, script)


def test_a_definition_that_is_gone_and_comes_again_is_followed_again(
    bare: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is created then, and nothing of what went; and its watch is not called cut meanwhile."""
    monkeypatch.setattr(mirror, "STALE_SECONDS", 0.0)
    monkeypatch.setattr(mirror, "SOUND_SECONDS", 0.0)

    def script(live: LiveTree, kept: Mirror) -> None:
        create(bare, ACME)
        eventually(lambda: live.tree is not None)
        bare.kubectl("delete", "crd", "organizations.portcullis.dev")
        eventually(lambda: "does not know the tenant tree" in live.lacks())
        eventually(lambda: kept.stale() == [])
        established(bare)
        create(bare, {**ACME, "metadata": {"name": "umbrella"}})
        eventually(lambda: live.tree is not None and live.tree.organization.name == "umbrella")
        eventually(lambda: kept.stale() == [])

    established(bare)
    mirrored(bare, script)


def test_definitions_of_others_are_nothing_to_us(bare: Plane) -> None:
    """They come and go; the tree stays as it is."""

    def script(live: LiveTree, kept: Mirror) -> None:
        tree = live.tree
        assert tree
        create(bare, WIDGETS)
        bare.kubectl("delete", "crd", "widgets.example.com")
        assert live.tree is tree
        assert kept.stale() == []

    established(bare)
    create(bare, ACME)
    mirrored(bare, script)


# Without an API server.


class Refusing:
    """A source that answers every watch with an error."""

    def __init__(self, error: ClusterError) -> None:
        self.error = error

    async def page(self, path: str, query: Mapping[str, str], accept: str) -> Json:
        raise NotImplementedError(path, query, accept)

    async def lines(self, path: str, query: Mapping[str, str], accept: str) -> AsyncIterator[bytes]:  # noqa: ARG002
        await asyncio.sleep(0.001)
        if path == ORGANIZATIONS.path():
            yield b""
        raise self.error


def test_an_api_server_that_is_away_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known, nothing is made up, and after a while it is told which watches are cut, and why."""
    monkeypatch.setattr(mirror, "STALE_SECONDS", 0.02)
    live = LiveTree()

    async def main() -> None:
        kept = Mirror(Refusing(ClusterError("nobody listens")), live)
        task = asyncio.create_task(kept.run())
        await asyncio.sleep(0.01)
        assert kept.stale() == []
        await until(lambda: len(kept.stale()) >= 3)
        assert not task.done()
        kinds = {each.partition(": ")[0] for each in kept.stale()}
        assert {NAMESPACES.kind, NETWORK_POLICIES.kind, "CustomResourceDefinition"} <= kinds
        assert {each.partition(": ")[2] for each in kept.stale()} == {"nobody listens"}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert (live.tree, live.synced) == (None, False)


def test_while_a_watch_is_cut_its_copy_is_not_relied_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the cut until it has gone on for a while: what happened meanwhile is told after it goes on."""
    monkeypatch.setattr(mirror, "SOUND_SECONDS", 0.3)
    memory, live = Memory(), LiveTree()

    async def main() -> None:
        kept = Mirror(memory, live)
        task = asyncio.create_task(kept.run())
        await until(lambda: live.synced)
        assert not kept.cut(NETWORK_POLICIES.kind)
        memory.put(NETWORK_POLICIES, {"metadata": {"name": "a", "namespace": "dev"}, "spec": {}})
        await until(lambda: kept.reached(NETWORK_POLICIES.kind, str(memory.version)))
        assert not kept.reached(NETWORK_POLICIES.kind, str(memory.version + 1))
        memory.cut()
        await until(lambda: kept.cut(NETWORK_POLICIES.kind))
        begin = asyncio.get_running_loop().time()
        await until(lambda: not kept.cut(NETWORK_POLICIES.kind))
        assert asyncio.get_running_loop().time() - begin > 0.2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


class Withdrawn:
    """A source on which the definition of Organizations goes while their watch is cut."""

    def __init__(self) -> None:
        self.asked = 0
        self._gone = asyncio.Event()

    async def page(self, path: str, query: Mapping[str, str], accept: str) -> Json:
        raise NotImplementedError(path, query, accept)

    async def lines(self, path: str, query: Mapping[str, str], accept: str) -> AsyncIterator[bytes]:  # noqa: ARG002
        definition = {"metadata": {"name": ORGANIZATIONS.definition, "resourceVersion": "1"}}
        if path == ORGANIZATIONS.path():
            self.asked += 1
            if self.asked > 1:
                self._gone.set()
                raise ClusterError("the server could not find the requested resource", status=404)
        yield b""
        if path == DEFINITIONS.path():
            yield orjson.dumps({"type": "ADDED", "object": definition})
        yield orjson.dumps({"type": "BOOKMARK", "object": {"metadata": ALL}})
        if path == ORGANIZATIONS.path():
            raise ClusterError("the connection was reset")
        await self._gone.wait()
        if path == DEFINITIONS.path():
            yield orjson.dumps({"type": "DELETED", "object": definition})
        await asyncio.Event().wait()


ALL: Json = {"resourceVersion": "2", "annotations": {"k8s.io/initial-events-end": "true"}}


def test_a_kind_that_went_while_its_watch_was_cut_is_not_called_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing left to watch, so nothing is stale, and readiness does not wait for it."""
    monkeypatch.setattr(mirror, "STALE_SECONDS", 0.0)
    monkeypatch.setattr(mirror, "SOUND_SECONDS", 0.0)
    live, source = LiveTree(), Withdrawn()

    async def main() -> list[str]:
        kept = Mirror(source, live)
        task = asyncio.create_task(kept.run())
        await until(lambda: source.asked > 1 and not kept.stale())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return kept.stale()

    assert asyncio.run(main()) == []
    assert source.asked > 1


class Listed:
    """A source that gives one page at a time, and notes what it was asked for."""

    def __init__(self, things: Mapping[str, list[Json]], failing: Mapping[str, int]) -> None:
        self.asked: list[str] = []
        self._things = things
        self._failing = failing

    async def page(self, path: str, query: Mapping[str, str], accept: str) -> Json:  # noqa: ARG002
        self.asked.append(path)
        if status := self._failing.get(path):
            raise ClusterError(f"GET {path}: no", status=status)
        things, begin = self._things.get(path, []), int(query.get("continue", "0"))
        more = str(begin + 1) if begin + 1 < len(things) else ""
        return {"metadata": {"resourceVersion": "7", "continue": more}, "items": things[begin : begin + 1]}

    def lines(self, path: str, query: Mapping[str, str], accept: str) -> AsyncIterator[bytes]:
        raise NotImplementedError(path, query, accept)


DEV = {"metadata": {"name": "dev", "labels": {WORKSPACE_LABEL: "checkout"}}}
INSIDE = NETWORK_POLICIES.path(namespace="dev")
WEB: Json = {"metadata": {"name": "web", "namespace": "dev"}, "spec": {"podSelector": {}}}
STANDING: Mapping[str, list[Json]] = {
    ORGANIZATIONS.path(): [ACME],
    "/apis/portcullis.dev/v1alpha1/projects": [PAYMENTS],
    "/apis/portcullis.dev/v1alpha1/workspaces": [CHECKOUT],
    NAMESPACES.path(): [DEV, {"metadata": {"name": "other"}}],
    INSIDE: [WEB, {**WEB, "metadata": {"name": "api", "namespace": "dev"}}],
}
CILIUM = "/apis/cilium.io/v2/namespaces/dev/ciliumnetworkpolicies"


def test_a_tree_is_read_once_page_by_page() -> None:
    """All namespaces, and the policies of the one that is asked for; a kind that is not served has no objects."""
    source = Listed(STANDING, {CILIUM: 404})
    live = asyncio.run(read_once(source, "dev"))
    assert live.tree
    assert live.tree.place_of("dev").standing is Standing.OWNED
    assert set(live.tree.namespaces) == {"dev", "other"}
    assert [each.name for each in live.tree.policies_in("dev")] == ["web", "api"]
    assert source.asked.count(INSIDE) == 2
    assert NETWORK_POLICIES.path() not in source.asked


@pytest.mark.parametrize(
    ("path", "status"), [(NAMESPACES.path(), 403), (INSIDE, 404), (CILIUM, 403), (ORGANIZATIONS.path(), 500)]
)
def test_what_cannot_be_listed_is_no_empty_list(path: str, status: int) -> None:
    """A kind that may not be read, or a built-in one that is not there, is an error and never a smaller tree."""
    with pytest.raises(ClusterError) as error:
        asyncio.run(read_once(Listed(STANDING, {path: status}), "dev"))
    assert (error.value.status, path in str(error.value)) == (status, True)


def test_without_our_definitions_it_says_what_to_apply() -> None:
    """A cluster that does not serve the tree's kinds has no tree."""
    gone = dict.fromkeys((path for path in STANDING if "portcullis.dev" in path), 404)
    live = asyncio.run(read_once(Listed(STANDING, gone), "dev"))
    assert live.tree is None
    assert live.lacks() == "the cluster does not know the tenant tree: kubectl apply -k manifests/crds"
