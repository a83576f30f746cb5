"""With Portcullis away nothing that it guards is written, everything else goes on, and so does it when it is back."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.guarded import FIRST, Guarded
from tests.e2e.manifests import ZERO_TRUST, documents, namespace, policy
from tests.e2e.reading import MUTATING, VALIDATING, until

Json = dict[str, Any]


@pytest.fixture
def stopped(guarded: Guarded) -> Iterator[Guarded]:
    """The cluster with every process stopped and the webhook objects standing; afterwards all goes on as before."""
    guarded.create("survivor") if guarded.reader.namespace("survivor") is None else None
    guarded.stop()
    yield guarded
    if guarded.processes[FIRST].child.pid is None:
        guarded.start()
    guarded.await_gate()


WRITES = {
    "a namespace": ("wanda", ("create", "namespace", "never"), ""),
    "a namespace by break-glass": ("root", ("create", "namespace", "never"), ""),
    "a label": ("olga", ("label", "namespace", "survivor", "a=b"), ""),
    "the end of a namespace": ("wanda", ("delete", "namespace", "survivor"), ""),
    "a policy": ("wanda", ("create", "--filename=-"), documents(policy("survivor"))),
    "an injected policy's end": ("wanda", ("delete", "networkpolicy", "--all", "--namespace=survivor"), ""),
    "a baseline": ("ivan", ("label", "networkbaseline", "zero-trust", "a=b"), ""),
}


def test_without_portcullis_nothing_it_guards_is_written(stopped: Guarded) -> None:
    """Fail closed, for break-glass too: stopping removes no webhook object, and nobody answers for it."""
    hooks = stopped.reader.versions(MUTATING, VALIDATING)
    for user, arguments, stdin in WRITES.values():
        said = stopped.refused(*arguments, user=user, stdin=stdin)
        assert "failed calling webhook" in said
    assert stopped.reader.namespace("never") is None
    assert stopped.reader.specs("survivor") == ZERO_TRUST
    assert stopped.reader.versions(MUTATING, VALIDATING) == hooks


def test_without_portcullis_the_system_goes_on(stopped: Guarded) -> None:
    """What keeps a cluster alive depends on nobody: kube-system, its policies too, and the leases of nodes."""
    stopped.kubectl("create", "configmap", "alive", "--namespace=kube-system", user="ivan")
    stopped.kubectl("create", "--filename=-", user="ivan", stdin=documents(policy("kube-system", "dns")))
    stopped.kubectl("delete", "networkpolicy", "dns", "--namespace=kube-system", user="ivan")
    lease: Json = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "node-1", "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": "node-1", "leaseDurationSeconds": 40},
    }
    stopped.kubectl("create", "--filename=-", user="ivan", stdin=documents(lease))
    renewal = json.dumps({"spec": {"leaseDurationSeconds": 41}})
    stopped.kubectl("patch", "lease", "node-1", "--namespace=kube-node-lease", "--patch", renewal, user="ivan")
    # What is inside a tenant's namespace, and no policy, is no business of ours.
    stopped.kubectl("create", "configmap", "alive", "--namespace=survivor", user="wanda")


def test_a_namespace_ends_while_portcullis_is_away(guarded: Guarded) -> None:
    """
    Deleted while somebody could judge that, it ends without: Kubernetes' own controllers are not asked about.

    So does one that a finalizer of somebody else's holds, when its holder lets go.
    """
    holder = {"name": "holder", "namespace": "held", "finalizers": ["example.org/held"]}
    held: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": holder}
    for name in ("ending", "held"):
        guarded.create(name)
        guarded.kubectl("create", "--filename=-", user="wanda", stdin=documents(policy(name)))
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=documents(held))
    guarded.kubectl("delete", "namespace", "held", "ending", "--wait=false", user="wanda")
    guarded.stop()
    try:
        assert guarded.reader.namespace("ending")
        until(lambda: guarded.reader.policies("held") == {}, 10)
        release = json.dumps({"metadata": {"finalizers": None}})
        at = ("--namespace=held", "--type=merge", "--patch", release)
        guarded.kubectl("patch", "configmap", "holder", *at, user="wanda")
        until(lambda: guarded.reader.namespace("ending") is None, 20)
        until(lambda: guarded.reader.namespace("held") is None, 20)
    finally:
        guarded.gate()
    assert guarded.reader.policies("ending") == {}
    guarded.create("ending")


def test_what_was_made_before_the_hooks_stood_is_brought_its_baseline(guarded: Guarded) -> None:
    """A namespace with the label of a workspace, made while nobody was asked, gets stamp and policies afterwards."""
    guarded.stop()
    guarded.ungate()
    try:
        guarded.kubectl("create", "--filename=-", user="stranger", stdin=documents(namespace("adopted", "refunds")))
    finally:
        guarded.gate()
    found = guarded.await_ready("adopted")
    assert found["metadata"]["labels"]["portcullis.dev/project"] == "payments"
    assert found["metadata"]["labels"]["portcullis.dev/gate"] == "enforced"
    assert guarded.reader.specs("adopted") == ZERO_TRUST


def test_without_portcullis_the_api_server_starts_again(stopped: Guarded) -> None:
    """With every hook stored and nobody behind them it gets ready; Portcullis comes back to it, and goes on."""
    stopped.plane.restart_api_server()
    assert "failed calling webhook" in stopped.refused("create", "namespace", "never", user="wanda")
    stopped.start()
    stopped.await_gate()
    stopped.create("afterwards")
    assert stopped.reader.specs("afterwards") == ZERO_TRUST
    assert "[rbac/namespace]" in stopped.refused("delete", "namespace", "afterwards", user="rudi")


def test_the_api_server_starts_again_under_a_running_portcullis(guarded: Guarded) -> None:
    """The watches are taken up, what changes meanwhile is heard of, and nobody needs to start anything."""
    pid = guarded.processes[FIRST].child.pid
    guarded.plane.restart_api_server()
    guarded.await_gate()
    guarded.create("reconnected")
    # An API server that begins refuses everybody until it has read who may do what: that is in the log as well.
    guarded.look()
    assert guarded.reader.specs("reconnected") == ZERO_TRUST
    assert guarded.processes[FIRST].child.pid == pid
    until(lambda: guarded.processes[FIRST].health().get("missing") == [], 15)
    assert "[rbac/namespace]" in guarded.refused("delete", "namespace", "reconnected", user="rudi")


def test_portcullis_and_the_api_server_start_together(stopped: Guarded) -> None:
    """On a cold start whoever is first waits for the other, and refused for a moment nobody gives up."""
    stopped.plane.stop_api_server()
    before = stopped.processes[FIRST].child.log.read_text().count('"waiting for the API server"')
    with ThreadPoolExecutor(1) as beside:
        starting = beside.submit(stopped.start)
        log = stopped.processes[FIRST].child.log
        until(lambda: log.read_text().count('"waiting for the API server"') > before, 20)
        stopped.plane.start_api_server()
        starting.result()
    stopped.await_gate()
    stopped.look()
    stopped.create("together")
