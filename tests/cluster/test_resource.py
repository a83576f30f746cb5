"""Where the API server has what we read and write."""

import json

import pytest

from tests.controlplane.plane import Plane
from webhook.cluster import resource
from webhook.cluster.resource import BASELINES, CILIUM_POLICIES, EVENTS, NAMESPACES, NETWORK_POLICIES, TREE, Resource
from webhook.tenancy.live import KINDS


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (NAMESPACES.path(), "/api/v1/namespaces"),
        (NAMESPACES.path("dev"), "/api/v1/namespaces/dev"),
        (NETWORK_POLICIES.path(), "/apis/networking.k8s.io/v1/networkpolicies"),
        (NETWORK_POLICIES.path("web", "dev"), "/apis/networking.k8s.io/v1/namespaces/dev/networkpolicies/web"),
        (EVENTS.path(namespace="dev"), "/apis/events.k8s.io/v1/namespaces/dev/events"),
        (BASELINES.path("zero-trust"), "/apis/portcullis.dev/v1alpha1/networkbaselines/zero-trust"),
    ],
)
def test_a_path_is_of_one_object_or_of_all(path: str, expected: str) -> None:
    """Of the whole cluster or of a namespace."""
    assert path == expected


@pytest.mark.parametrize("name", ["../../v1/secrets", "a/b", "a?b=c", "a#b", "a%2Fb", "ä"])
def test_a_name_never_leaves_its_place(name: str) -> None:
    """What came in a request may be called anything."""
    for path in (NAMESPACES.path(name), NETWORK_POLICIES.path(name, "dev"), NETWORK_POLICIES.path("web", name)):
        assert path.count("/") == (4 if path.startswith("/api/") else 7)
        assert not set(path) & set("?#ä")


def test_what_a_definition_would_be_called() -> None:
    """By plural and group; the API version as it stands in an object."""
    assert BASELINES.definition == "networkbaselines.portcullis.dev"
    assert (CILIUM_POLICIES.api_version, NAMESPACES.api_version) == ("cilium.io/v2", "v1")


def test_the_tree_is_made_of_what_is_watched() -> None:
    """No kind that the tree waits for is forgotten, and none is watched for nothing."""
    assert {each.kind for each in TREE} == set(KINDS)


def test_every_built_in_resource_is_served_so(plane: Plane) -> None:
    """Group, version, plural, kind and whether it is in a namespace, as a real API server says."""
    ours = [each for each in vars(resource).values() if isinstance(each, Resource)]
    built_in = [each for each in ours if each.group not in {"portcullis.dev", "cilium.io"}]
    assert len(built_in) == 13
    for each in built_in:
        root = f"/apis/{each.group}/{each.version}" if each.group else f"/api/{each.version}"
        served = json.loads(plane.kubectl("get", "--raw", root).stdout)["resources"]
        (found,) = [one for one in served if one["name"] == each.plural]
        assert (found["kind"], found["namespaced"]) == (each.kind, each.namespaced)
