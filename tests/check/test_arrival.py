"""What arrives at a validating hook, told without an API server; tests/e2e/test_arrival.py proves it on a real one."""

from typing import Any

import pytest

from tests.cases.reviews import Json
from tests.check.arrivals import MANIFESTS, at, block, lets, namespace, policy
from webhook.check.arrival import ArrivalError, arrived


@pytest.mark.parametrize(
    ("spec", "arrives"),
    [
        pytest.param(
            {"egress": [{"to": []}]},
            {"podSelector": {}, "egress": [{}], "policyTypes": ["Ingress", "Egress"]},
            id="empty-peers-are-none",
        ),
        pytest.param(
            {"egress": [None]},
            {"podSelector": {}, "egress": [{}], "policyTypes": ["Ingress", "Egress"]},
            id="null-is-an-empty-rule",
        ),
        pytest.param(
            {"podSelector": None, "ingress": [], "egress": []},
            {"podSelector": {}, "policyTypes": ["Ingress"]},
            id="empty-lists-are-none",
        ),
        pytest.param(
            {"ingress": [{"ports": [{"port": 80}, {"protocol": "UDP"}]}]},
            {
                "podSelector": {},
                "policyTypes": ["Ingress"],
                "ingress": [{"ports": [{"port": 80, "protocol": "TCP"}, {"protocol": "UDP"}]}],
            },
            id="protocol",
        ),
    ],
)
def test_a_policy_is_decoded_and_defaulted(spec: Json, arrives: Json) -> None:
    """The manifest itself stays as it is."""
    manifest = policy(spec)
    before = repr(manifest)
    assert arrived(manifest)["spec"] == arrives
    assert repr(manifest) == before


def test_a_namespace_is_completed() -> None:
    """By the label with its name, its finalizer and its phase; what was sent there counts for nothing."""
    sent = namespace("a", metadata={"labels": {"kubernetes.io/metadata.name": "b"}}, status={"phase": "Terminating"})
    found = arrived(sent)
    assert found["metadata"] == {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}}
    assert (found["spec"], found["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Active"})


@pytest.mark.parametrize(
    ("manifest", "status", "path"),
    [
        pytest.param(policy({"podSelectors": {}}), 400, ("spec", "podSelectors"), id="unknown-field"),
        pytest.param(at(port=True), 400, ("spec", "ingress", 0, "ports", 0, "port"), id="type"),
        pytest.param(block("10.0.0.1"), 422, ("spec", "ingress", 0, "from", 0, "ipBlock", "cidr"), id="cidr"),
        pytest.param(
            block("10.0.0.0/8", "11.0.0.0/8"),
            422,
            ("spec", "ingress", 0, "from", 0, "ipBlock", "except", 0),
            id="except",
        ),
        pytest.param(at(port=0), 422, ("spec", "ingress", 0, "ports", 0, "port"), id="port"),
        pytest.param(lets({}), 422, ("spec", "ingress", 0, "from", 0), id="no-peer"),
        pytest.param(policy(labels={"a": "b c"}), 422, ("metadata", "labels", "a"), id="label"),
        pytest.param(policy(name="A"), 422, ("metadata", "name"), id="name"),
        pytest.param(namespace("a.b"), 422, ("metadata", "name"), id="namespace"),
        pytest.param(
            {
                "apiVersion": "portcullis.dev/v1alpha1",
                "kind": "Project",
                "metadata": {"name": "a"},
                "spec": {"role": []},
            },
            422,
            ("spec", "role"),
            id="tree",
        ),
    ],
)
def test_what_the_api_server_refuses_has_its_path(manifest: Json, status: int, path: tuple[Any, ...]) -> None:
    """As the manifest's positions have it; what could be decoded is there to be judged all the same."""
    with pytest.raises(ArrivalError) as raised:
        arrived(manifest)
    assert (raised.value.status, raised.value.path) == (status, path)
    assert raised.value.what
    assert (raised.value.arrived is not None) == (status == 422)


def test_an_update_keeps_what_only_the_api_server_writes() -> None:
    """A Namespace's finalizers and status are those that stand."""
    old = namespace(spec={"finalizers": ["example.com/a", "kubernetes"]}, status={"phase": "Terminating"})
    found = arrived(namespace(metadata={"labels": {"a": "b"}}), old)
    assert (found["spec"], found["status"]) == (old["spec"], old["status"])
    assert found["metadata"]["labels"]["a"] == "b"


def test_an_update_may_leave_an_odd_block_that_stands() -> None:
    """As the API server lets it; another one is refused."""
    old = block("010.0.0.0/8", "010.1.0.0/16")
    assert arrived(old, old)["spec"]["ingress"] == old["spec"]["ingress"]
    with pytest.raises(ArrivalError, match="leading zeros"):
        arrived(block("011.0.0.0/8"), old)


def test_other_kinds_arrive_as_they_are() -> None:
    """Nothing is known of them here."""
    manifest = {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "a"},
        "spec": {"x": None},
    }
    assert arrived(manifest) == manifest


def test_what_arrived_arrives_again_as_it_is() -> None:
    """Doing it twice does nothing more: nothing of one manifest stays behind for the next, either."""
    for manifest in MANIFESTS.values():
        try:
            once = arrived(manifest)
        except ArrivalError:
            continue
        assert arrived(once) == once
