"""A cluster that was down comes up by itself with our hooks stored and nobody behind them, whatever was lost."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.plane import start_plane
from tests.e2e.guarded import FIRST, PEOPLE, Guarded
from tests.e2e.manifests import BASE, ZERO_TRUST, documents, namespace, policy
from tests.e2e.reading import MUTATING, SECRET, VALIDATING, until

Json = dict[str, Any]
Tell = Callable[[str, object], None]

API_SERVER_SECONDS = 30
"""It is there in 3 s on a machine that does nothing else."""
HOME = "portcullis-system"


@pytest.fixture
def cluster(control_plane: Path, opa_binary: Path, tmp_path: Path) -> Iterator[Guarded]:
    """A cluster of its own with all that is shipped and a namespace that is ready; `serve` is started by hand."""
    with ExitStack() as held:
        plane = held.enter_context(start_plane(control_plane, tmp_path))
        guarded = Guarded(plane, opa_binary, tmp_path, held)
        guarded.define()
        guarded.plant()
        guarded.kubectl("apply", "--kustomize", str(BASE), user="root")
        users = [f"--user={each}" for each in PEOPLE]
        guarded.kubectl("create", "clusterrolebinding", "people", "--clusterrole=cluster-admin", *users, user="root")
        guarded.gate()
        guarded.create("shop")
        yield guarded


def lease(place: str, name: str) -> Json:
    spec = {"holderIdentity": name, "leaseDurationSeconds": 40}
    metadata = {"name": name, "namespace": place}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def pod(place: str, name: str = "web") -> Json:
    restricted: Json = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    containers = [{"name": "web", "image": "none", "securityContext": restricted}]
    metadata = {"name": name, "namespace": place}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}


def lose(guarded: Guarded, *names: str) -> None:
    """Delete namespaces by break-glass, and wait until they are gone."""
    guarded.kubectl("delete", "namespace", *names, "--wait=false", user="root")
    for name in names:
        until(lambda name=name: guarded.reader.namespace(name) is None, 30)  # type: ignore[misc]  # bound at once


def go_down(guarded: Guarded) -> None:
    """Lose power: Portcullis first, so that the API server never finds it there again."""
    guarded.processes[FIRST].kill()
    guarded.plane.stop()


def test_a_cluster_comes_up_by_itself(cluster: Guarded, record_property: Tell) -> None:
    """
    All was down, the namespace of the nodes' leases is gone, one is Terminating, and nobody answers for our hooks.

    What keeps a cluster alive works all the same, what we guard stays guarded, and Portcullis goes on where it was.
    """
    holder = {"name": "holder", "namespace": "ending", "finalizers": ["example.org/held"]}
    cluster.create("ending")
    held: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": holder}
    cluster.kubectl("create", "--filename=-", user="wanda", stdin=documents(held))
    cluster.kubectl("delete", "namespace", "ending", "--wait=false", user="wanda")
    lose(cluster, "kube-node-lease")
    go_down(cluster)

    begin = time.monotonic()
    cluster.plane.start()
    record_property("ready after", f"{time.monotonic() - begin:.1f} s")
    assert time.monotonic() - begin < API_SERVER_SECONDS
    assert cluster.reader.find(VALIDATING)
    assert cluster.reader.find(MUTATING)
    # The system makes it again by itself, and the nodes their leases in it.
    until(lambda: cluster.reader.namespace("kube-node-lease"), 20)
    for place in ("kube-node-lease", "kube-system"):
        cluster.kubectl("create", "--filename=-", user="ivan", stdin=documents(lease(place, "node-1")))
        renewal = json.dumps({"spec": {"leaseDurationSeconds": 41}})
        cluster.kubectl("patch", "lease", "node-1", f"--namespace={place}", "--patch", renewal, user="ivan")
    cluster.kubectl("create", "--filename=-", user="ivan", stdin=documents(pod("kube-system"), pod(HOME)))
    cluster.kubectl("create", "configmap", "alive", "--namespace=kube-system", user="ivan")
    # What ends goes on ending.
    release = json.dumps({"metadata": {"finalizers": None}})
    at = ("--namespace=ending", "--type=merge", "--patch", release)
    cluster.kubectl("patch", "configmap", "holder", *at, user="wanda")
    until(lambda: cluster.reader.namespace("ending") is None, 30)
    # What is guarded stays so.
    for thing in (policy("shop"), pod("shop"), namespace("later", "checkout")):
        said = cluster.refused("create", "--filename=-", user="wanda", stdin=documents(thing))
        assert "failed calling webhook" in said
    assert cluster.reader.specs("shop") == ZERO_TRUST

    cluster.gate()
    cluster.create("afterwards")
    cluster.kubectl("create", "--filename=-", user="wanda", stdin=documents(policy("shop"), pod("shop")))


def test_our_own_namespace_can_be_lost(cluster: Guarded) -> None:
    """
    Deleted with everything in it, our certificate too, before all went down.

    It can be made again with nobody there to ask, as the manifests make it, and Portcullis starts in it as on the first
    day: with a new CA, which the webhook objects get, and without a gap in what is guarded.
    """
    lose(cluster, HOME)
    go_down(cluster)
    shutil.rmtree(cluster.processes[FIRST].certs)
    cluster.plane.start()
    before = cluster.reader.read(VALIDATING)
    hanging = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1"}
    hung: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME, "ownerReferences": [hanging]}}
    lasting = {**namespace(HOME), "spec": {"finalizers": ["example.org/held"]}}
    lent = namespace(HOME, "checkout")
    for thing in (hung, lasting, lent, namespace("shop-too", "checkout"), namespace("portcullis-systems")):
        said = cluster.refused("create", "--filename=-", user="stranger", stdin=documents(thing))
        assert "failed calling webhook" in said
    cluster.kubectl("apply", "--kustomize", str(BASE), user="ivan")
    until(lambda: cluster.reader.find(f"/api/v1/namespaces/{HOME}/serviceaccounts/portcullis"), 10)
    cluster.kubectl("create", "--filename=-", user="ivan", stdin=documents(pod(HOME)))
    cluster.gate()
    after = cluster.reader.read(VALIDATING)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    authority = [{hook["clientConfig"]["caBundle"] for hook in each["webhooks"]} for each in (before, after)]
    assert not authority[0] & authority[1]
    assert cluster.reader.find(SECRET)
    cluster.create("afterwards")
    assert cluster.reader.specs("afterwards") == ZERO_TRUST


def test_portcullis_may_start_before_all_others(cluster: Guarded) -> None:
    """Nobody is there yet, etcd neither: it waits, and is ready when they are."""
    go_down(cluster)
    log = cluster.processes[FIRST].child.log
    before = log.read_text().count('"waiting for the API server"')
    with ThreadPoolExecutor(1) as beside:
        starting = beside.submit(cluster.start)
        until(lambda: log.read_text().count('"waiting for the API server"') > before, 20)
        cluster.plane.start()
        starting.result()
    cluster.await_gate()
    cluster.create("together")
    assert cluster.reader.specs("together") == ZERO_TRUST
