"""The overlay in which the controller runs apart: two Deployments, confined alike, neither taken for the other."""

import subprocess
import sys
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import pytest

from tests.manifests.built import Api, Json, built, one
from webhook.model import HOME

FOLDER = "overlays/controller-apart"
APART = "portcullis-controller"
NAMES = ("portcullis", APART)


def spec(name: str = APART) -> Json:
    """Return the spec of a Deployment's pods."""
    return dict(one(FOLDER, "Deployment", name)["spec"]["template"]["spec"])


def container(name: str = APART) -> Json:
    (found,) = spec(name)["containers"]
    return dict(found)


def test_the_webhook_answers_alone_and_the_controller_works_alone() -> None:
    """By flags that our commands understand."""
    assert container("portcullis")["args"][-1] == "--no-controller"
    assert container()["args"][0] == "controller"
    for name in ("portcullis", APART):
        command = [str(Path(sys.executable).with_name("portcullis")), *container(name)["args"], "--help"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return selector.items() <= labels.items()


def test_neither_is_taken_for_the_other() -> None:
    """No review goes to the controller, and each has a budget and a NetworkPolicy of its own."""
    labels = {name: one(FOLDER, "Deployment", name)["spec"]["template"]["metadata"]["labels"] for name in NAMES}
    for name in NAMES:
        selectors = [
            one(FOLDER, "Deployment", name)["spec"]["selector"]["matchLabels"],
            one(FOLDER, "PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"],
            one(FOLDER, "NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"],
        ]
        for selector in selectors:
            assert [each for each in NAMES if selects(selector, labels[each])] == [name]
    service = one(FOLDER, "Service")["spec"]["selector"]
    assert [each for each in NAMES if selects(service, labels[each])] == ["portcullis"]
    others = [each["metadata"]["name"] for each in built(FOLDER) if each["kind"] == "Deployment"]
    assert sorted(others) == sorted(NAMES)


def test_it_is_confined_as_the_webhook_is() -> None:
    """The same account, and whatever an overlay makes of OPA, of volumes and of the pod's rights."""
    webhook, apart = spec("portcullis"), spec()
    same = ("serviceAccountName", "automountServiceAccountToken", "enableServiceLinks", "priorityClassName")
    for key in (*same, "securityContext", "initContainers", "volumes", "tolerations"):
        assert apart[key] == webhook[key], key
    assert container()["securityContext"] == container("portcullis")["securityContext"]
    assert container()["securityContext"]["readOnlyRootFilesystem"] is True
    assert set(container()["resources"]["limits"]) == {"memory"}
    mounted = {each["name"]: each["mountPath"] for each in container()["volumeMounts"]}
    beside = {each["name"]: each["mountPath"] for each in container("portcullis")["volumeMounts"]}
    # No certificate: it speaks plain HTTP, and no private key is needed for that.
    assert mounted == {name: path for name, path in beside.items() if name != "certs"}


def test_alive_and_ready_are_asked_on_its_own_port() -> None:
    """In plain HTTP, which its NetworkPolicy lets in."""
    (port,) = container()["ports"]
    for kind, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
        assert container()[f"{kind}Probe"]["httpGet"] == {"path": path, "port": port["name"]}
    (rule,) = one(FOLDER, "NetworkPolicy", APART)["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": port["containerPort"]}]
    assert f"--port={port['containerPort']}" in container()["args"]


def test_one_works_and_one_waits() -> None:
    """A drained node takes one of two at a time."""
    assert one(FOLDER, "Deployment", APART)["spec"]["replicas"] == 2
    assert one(FOLDER, "PodDisruptionBudget", APART)["spec"]["minAvailable"] == 1


@pytest.mark.usefixtures("home")
def test_a_pod_of_it_is_restricted(api: Api) -> None:
    """Pod Security lets it into our own namespace."""
    template = deepcopy(one(FOLDER, "Deployment", APART)["spec"]["template"])
    metadata = {"name": "dry", "namespace": HOME, "labels": template["metadata"]["labels"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    assert api.create(f"/api/v1/namespaces/{HOME}/pods", pod).told == ""
