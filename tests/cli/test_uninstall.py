"""`portcullis uninstall`: what is ours, what is done when something stands in the way, and what is refused at once."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cases.reviews import Json
from tests.cli.test_serve import refused
from tests.cluster.memory import Memory
from tests.manifests.built import INSTALLED as FOLDERS
from tests.manifests.built import built
from webhook.cli.belongings import HOOKS, find, is_ours
from webhook.cli.removal import Removal, Waits
from webhook.cluster.resource import (
    BASELINES,
    CLUSTER_ROLE_BINDINGS,
    DEPLOYMENTS,
    INSTALLED,
    LEASES,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    ROLE_BINDINGS,
    Resource,
)
from webhook.errors import ClusterError
from webhook.model import HOME

KINDS = {each.kind: each for each in (*INSTALLED, DEPLOYMENTS)}
CLUSTER_ROLES, SECRETS = KINDS["ClusterRole"], KINDS["Secret"]
OURS = {"app.kubernetes.io/part-of": "portcullis"}
FORBIDDEN = ClusterError("no. (backstop)", status=403)
MANAGED = {"app.kubernetes.io/managed-by": "portcullis"}
SHORT = Waits(pods=0.05, still=0.02, look=0.005)
FINALIZER = "portcullis.dev/baseline"


class Cluster:
    """A cluster in memory that can be listed; `held` says what may not be removed, and `conflicts` how often."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.held: dict[str, ClusterError] = {}
        self.removed: list[tuple[str, str]] = []
        self.conflicts = 0

    async def page(self, path: str, query: Mapping[str, str], accept: str) -> Json:  # noqa: ARG002
        """Return all of a kind in one page; null for none, as the API server says of metadata alone."""
        *_, place, plural = path.split("/")
        wanted = dict(each.partition("=")[::2] for each in query.get("labelSelector", "").split(",") if each)
        found = [
            thing
            for (kind, namespace, _), thing in self.memory.stored.items()
            if kind == plural
            and ("/namespaces/" not in path or place == namespace)
            and all((thing["metadata"].get("labels") or {}).get(key) == value for key, value in wanted.items() if value)
        ]
        return {"metadata": {}, "items": found or None}

    async def read(self, resource: Resource, name: str, namespace: str = "") -> Json:
        return await self.memory.read(resource, name, namespace)

    async def patch(self, resource: Resource, name: str, body: Json) -> Json:
        if self.conflicts:
            self.conflicts -= 1
            raise ClusterError("was modified", status=409)
        return await self.memory.patch(resource, name, body)

    async def remove(self, resource: Resource, name: str, namespace: str = "") -> None:
        await asyncio.sleep(0)
        if error := self.held.get(f"{resource.kind} {name}"):
            raise error
        if self.memory.find(resource, name, namespace) is None:
            raise ClusterError(f"{name} not found", status=404)
        self.removed.append((resource.kind, name))
        self.memory.remove(resource, name, namespace)


def stored(cluster: Cluster, resource: Resource, name: str, namespace: str = "", **metadata: Any) -> None:
    place = {"namespace": namespace} if namespace else {}
    cluster.memory.put(resource, {"metadata": {"name": name, **place, **metadata}, "roleRef": {"name": "other"}})


@pytest.fixture
def installed() -> Cluster:
    """A cluster with a piece of each part, and with what is not ours beside it."""
    cluster = Cluster()
    for hook in HOOKS:
        stored(cluster, hook.resource, hook.name)
        stored(cluster, hook.resource, "theirs")
    stored(cluster, NAMESPACES, HOME)
    for resource, name in ((DEPLOYMENTS, "portcullis"), (SECRETS, "portcullis-tls"), (LEASES, "portcullis-controller")):
        stored(cluster, resource, name, HOME)
    stored(cluster, NETWORK_POLICIES, "default-deny", HOME, labels=OURS)
    stored(cluster, CLUSTER_ROLES, "portcullis:org-admin")
    stored(cluster, CLUSTER_ROLES, "portcullis-viewers")
    stored(cluster, CLUSTER_ROLE_BINDINGS, "portcullis")
    stored(cluster, ROLE_BINDINGS, "portcullis:org-admin", "shop", labels=MANAGED)
    stored(cluster, ROLE_BINDINGS, "portcullis:by-hand", "shop")
    stored(cluster, ROLE_BINDINGS, "of-a-tool", "shop", labels=MANAGED)
    stored(cluster, NETWORK_POLICIES, "zero-trust.default-deny", "shop", labels=MANAGED)
    stored(cluster, BASELINES, "zero-trust", finalizers=["example.org/theirs", FINALIZER])
    stored(cluster, BASELINES, "other", finalizers=["example.org/theirs"])
    return cluster


def undone(cluster: Cluster) -> Removal:
    """Remove all; return what became of it."""

    async def main() -> Removal:
        work = Removal(cluster, await find(cluster), lambda _: None, waits=SHORT)
        await work.run()
        return work

    return asyncio.run(main())


def names(cluster: Cluster) -> set[str]:
    """Return what stands."""
    return {f"{plural} {name}" for plural, _, name in cluster.memory.stored}


LEFT = {
    "validatingwebhookconfigurations theirs",
    "mutatingwebhookconfigurations theirs",
    f"namespaces {HOME}",
    "clusterroles portcullis-viewers",
    "rolebindings portcullis:by-hand",
    "rolebindings of-a-tool",
    "networkpolicies zero-trust.default-deny",
    "networkbaselines zero-trust",
    "networkbaselines other",
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_all_that_is_shipped_is_ours(folder: str) -> None:
    """Whatever the manifests bring is found again by its name, but for our namespace, which stays."""
    for each in built(folder):
        if each["kind"] != "Namespace":
            assert is_ours(KINDS[each["kind"]], each["metadata"]), each["metadata"]


@pytest.mark.parametrize(
    ("resource", "name", "labels", "ours"),
    [
        (CLUSTER_ROLES, "portcullis", {}, True),
        (CLUSTER_ROLES, "portcullis:org-admin", {}, True),
        (CLUSTER_ROLES, "portcullis-viewers", {}, False),
        (CLUSTER_ROLES, "portcullis-viewers", OURS, True),
        (CLUSTER_ROLES, "portcullisx", OURS, False),
        (CLUSTER_ROLES, "other", OURS, False),
        (SECRETS, "portcullis-tls", {}, True),
        (SECRETS, "other", OURS, True),
        (SECRETS, "other", {}, False),
    ],
)
def test_what_others_call_alike_is_not_ours(resource: Resource, name: str, labels: Json, *, ours: bool) -> None:
    """In the whole cluster our prefix alone does not make it so; in our namespace it does."""
    assert is_ours(resource, {"name": name, "labels": labels}) is ours


def test_the_hooks_go_first_and_nothing_of_others_goes(installed: Cluster) -> None:
    """Then what would put them back, then its rights; of a baseline only our finalizer."""
    work = undone(installed)
    assert work.failed() == []
    kinds = [kind for kind, _ in installed.removed]
    assert kinds[:4] == [
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "Deployment",
        "ClusterRoleBinding",
    ]
    assert names(installed) == LEFT
    baseline = installed.memory.find(BASELINES, "zero-trust")
    assert baseline
    assert baseline["metadata"]["finalizers"] == ["example.org/theirs"]
    assert asyncio.run(find(installed)).going() == ()


def test_a_hook_that_stands_stops_everything(installed: Cluster) -> None:
    """Without Portcullis behind it, it would refuse what nobody could allow."""
    before = names(installed)
    installed.held["MutatingWebhookConfiguration portcullis"] = FORBIDDEN
    with pytest.raises(
        ClusterError, match=r"^MutatingWebhookConfiguration portcullis stands, so nothing else was"
    ) as no:
        undone(installed)
    assert no.value.status == 403
    assert before - names(installed) == {"validatingwebhookconfigurations portcullis"}


def test_what_stands_otherwise_does_not_keep_the_rest(installed: Cluster) -> None:
    """It is told with its reason; a second run takes it."""
    installed.held["Secret portcullis-tls"] = FORBIDDEN
    work = undone(installed)
    assert [(str(each.what), each.error) for each in work.failed()] == [(f"Secret {HOME}/portcullis-tls", FORBIDDEN)]
    assert names(installed) == LEFT | {"secrets portcullis-tls"}
    installed.held.clear()
    assert undone(installed).failed() == []
    assert names(installed) == LEFT


def test_a_baseline_that_changes_meanwhile_is_let_go_all_the_same(installed: Cluster) -> None:
    """What was read is old; it is read again."""
    installed.conflicts = 3
    assert undone(installed).failed() == []
    installed.conflicts = 100
    stored(installed, BASELINES, "zero-trust", finalizers=[FINALIZER])
    assert [str(each.what) for each in undone(installed).failed()] == ["NetworkBaseline zero-trust"]


def test_pods_that_never_end_are_told_of(installed: Cluster) -> None:
    """Those of a lost node, say: they have no rights any more, so the rest goes on."""
    stored(installed, PODS, "portcullis-1", HOME, labels={"app.kubernetes.io/name": "portcullis"})
    work = undone(installed)
    assert work.failed() == []
    assert work.warnings == ["pods that do not end: portcullis-1; they have no rights any more"]


REFUSED = {
    "nobody to ask": (["--kubeconfig", "FILE"], "there is no terminal to ask at: give --yes, or --dry-run"),
    "no kubeconfig": (["--kubeconfig", "/none", "--yes"], "--kubeconfig /none is no file"),
    "no cluster": (["--yes"], "this is no pod of a cluster: give --kubeconfig"),
    "a kubeconfig that is none": (["--kubeconfig", "FILE", "--yes"], "--kubeconfig .* cannot be followed"),
}


@pytest.mark.parametrize(("arguments", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_done_is_said_at_once(arguments: list[str], reason: str, tmp_path: Path) -> None:
    """One line, exit code 2."""
    file = tmp_path / "FILE"
    file.write_text("no YAML: [")
    (line,) = refused("uninstall", *(file if each == "FILE" else each for each in arguments))
    assert line.startswith("portcullis: ")
    assert re.search(reason, line), line
