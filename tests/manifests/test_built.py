"""What can be told of the manifests without a cluster."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.manifests.built import INSTALLED, MANIFESTS, PLURALS, ROOT, Json, built, one
from webhook.model import CONTROLLER, HOME, RESERVED
from webhook.rights.wanted import CREATOR, NAMES
from webhook.settings import BREAK_GLASS_GROUPS
from webhook.tenancy.specs import KINDS, ROLES

BACKSTOP = (MANIFESTS / "base" / "backstop.yaml").read_text()


def schema(kind: str) -> Json:
    """Return the schema of a kind of ours."""
    (found,) = (each for each in built("crds") if each["spec"]["names"]["kind"] == kind)
    (version,) = found["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"])


def pod(folder: str) -> Json:
    """Return the spec of the pods that a folder installs."""
    return dict(one(folder, "Deployment")["spec"]["template"]["spec"])


def containers(folder: str) -> dict[str, Json]:
    """Return them by name, those of the init phase too."""
    spec = pod(folder)
    return {each["name"]: each for each in (*spec["initContainers"], *spec["containers"])}


def test_every_kind_and_role_of_ours_is_defined() -> None:
    """No more and no fewer than the reader knows."""
    assert set(PLURALS) == set(KINDS) == {each["spec"]["names"]["kind"] for each in built("crds")}
    for kind, roles in ROLES.items():
        grant = schema(kind)["properties"]["spec"]["properties"]["roles"]["items"]
        assert set(grant["properties"]["role"]["enum"]) == roles


def test_what_the_levels_share_is_written_alike() -> None:
    """YAML cannot say it once: subjects and guardrails are those of the level above."""
    specs = [schema(kind)["properties"]["spec"]["properties"] for kind in ROLES]
    for above, below in pairwise(specs):
        assert above["guardrails"] == below["guardrails"]
        assert above["baselines"]["items"] == below["baselines"]["items"]
        assert above["roles"]["items"]["properties"]["subjects"] == below["roles"]["items"]["properties"]["subjects"]
    statuses = [schema(kind)["properties"]["status"]["properties"] for kind in PLURALS]
    assert len({str(each["conditions"]) for each in statuses}) == 1
    assert set().union(*statuses) == {"observedGeneration", "conditions", "namespaces"}
    assert len({str(schema(kind)["x-kubernetes-validations"]) for kind in PLURALS}) == 1


def test_every_field_is_explained() -> None:
    """None was forgotten."""

    def bare(at: str, node: Json) -> Iterator[str]:
        for name, field in node.get("properties", {}).items():
            if at or name in {"spec", "status"}:
                if "description" not in field:
                    yield f"{at}.{name}"
                yield from bare(f"{at}.{name}", field)
        if "items" in node:
            yield from bare(f"{at}[]", node["items"])

    assert [f"{kind}{field}" for kind in PLURALS for field in bare("", schema(kind))] == []


@pytest.mark.parametrize("folder", INSTALLED)
def test_a_folder_installs_portcullis_and_no_hooks(folder: str) -> None:
    """`serve` makes the hooks when there is somebody who could mend what they refuse."""
    things = built(folder)
    kinds = {each["kind"] for each in things}
    assert {"Deployment", "Service", "ClusterRole", "FlowSchema", "ValidatingAdmissionPolicy", "NetworkPolicy"} <= kinds
    assert not kinds & {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "CustomResourceDefinition"}
    assert {each["metadata"].get("namespace", HOME) for each in things} == {HOME}


@pytest.mark.parametrize("folder", INSTALLED)
def test_our_own_network_policies_are_not_taken_for_injected_ones(folder: str) -> None:
    """No dot in the name and none of the controller's labels; and what is not named is not let through."""
    policies = [each for each in built(folder) if each["kind"] == "NetworkPolicy"]
    deployments = {each["metadata"]["name"] for each in built(folder) if each["kind"] == "Deployment"}
    assert {each["metadata"]["name"] for each in policies} == {"default-deny", *deployments}
    for policy in policies:
        assert set(policy["metadata"]["labels"]) == {"app.kubernetes.io/part-of"}
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert one(folder, "NetworkPolicy", "default-deny")["spec"]["podSelector"] == {}


@pytest.mark.parametrize("folder", INSTALLED)
def test_nothing_is_granted_by_a_wildcard_and_little_that_grants(folder: str) -> None:
    """No *, and no right by which others could be had, but for bindings of the names that the controller keeps."""
    granted: list[Json] = [rule for each in built(folder) for rule in each.get("rules", ())]
    assert granted
    for rule in granted:
        words = {word for key in ("apiGroups", "resources", "verbs") for word in rule[key]}
        assert not [word for word in words if "*" in word]
        assert not words & {"escalate", "impersonate", "pods/exec"}
        if words & {"bind", "rbac.authorization.k8s.io"}:
            assert set(rule.get("resourceNames", ())) <= {*NAMES, CREATOR}
            assert "resourceNames" in rule or (rule["resources"], rule["verbs"]) == (["rolebindings"], ["create"])
        if "secrets" in rule["resources"] and rule["verbs"] != ["create"]:
            assert rule["resourceNames"] == ["portcullis-tls"]


@pytest.mark.parametrize("folder", INSTALLED)
def test_the_image_is_named_without_a_registry_and_with_our_version(folder: str) -> None:
    """An overlay of yours says where it is, by one name for all three."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {each["image"] for each in containers(folder).values()} == {f"portcullis:{version}"}


@pytest.mark.parametrize("folder", INSTALLED)
def test_the_token_is_the_webhooks_alone(folder: str) -> None:
    """OPA and the making of the bundle ask no API server."""
    assert pod(folder)["automountServiceAccountToken"] is False
    account = one(folder, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    holders = {
        name for name, each in containers(folder).items() if "token" in {m["name"] for m in each["volumeMounts"]}
    }
    assert holders == {"portcullis"}


@pytest.mark.parametrize("folder", INSTALLED)
def test_a_decision_is_never_throttled_and_memory_is_bounded(folder: str) -> None:
    """A limit of CPU would turn into denials."""
    for each in containers(folder).values():
        assert set(each["resources"]["limits"]) == {"memory"}
        assert set(each["resources"]["requests"]) == {"cpu", "memory"}


@pytest.mark.parametrize("folder", INSTALLED)
def test_alive_and_ready_are_asked_apart(folder: str) -> None:
    """A replica without OPA or tree takes no requests, and is not started again for it."""
    webhook = containers(folder)["portcullis"]
    paths = {name: webhook[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert containers(folder)["opa"]["restartPolicy"] == "Always"
    # Asked to stop it hands the lease over at once, answers on, and then lets requests under way finish.
    assert "lifecycle" not in webhook
    (drain,) = [int(each.partition("=")[2]) for each in webhook["args"] if each.startswith("--drain=")]
    assert drain >= 5
    assert pod(folder)["terminationGracePeriodSeconds"] >= drain + 30 + 5


def test_what_the_containers_are_told_is_understood() -> None:
    """Every flag is one of our commands'."""
    for name in ("bundle", "portcullis"):
        command = [str(Path(sys.executable).with_name("portcullis")), *containers("overlays/client-ca")[name]["args"]]
        subprocess.run([*command, "--help"], check=True, capture_output=True, timeout=60)


def test_overlays_differ_where_they_say() -> None:
    """One node to try it out, three for production, callers that are known, and pods that nobody judges."""
    assert [one(folder, "Deployment")["spec"]["replicas"] for folder in INSTALLED] == [2, 1, 3, 3, 3, 2, 3]
    assert "PodDisruptionBudget" not in {each["kind"] for each in built("overlays/kind")}
    assert {each["imagePullPolicy"] for each in containers("overlays/kind").values()} == {"Never"}
    apart = pod("overlays/production")["affinity"]["podAntiAffinity"]
    assert list(apart) == ["requiredDuringSchedulingIgnoredDuringExecution"]
    assert one("overlays/production", "PodDisruptionBudget")["spec"]["minAvailable"] == 2
    told = containers("overlays/client-ca")["portcullis"]
    assert told["args"][-1] == "--client-ca=/etc/portcullis/client-ca/ca.crt"
    assert told["volumeMounts"][-1]["mountPath"] == "/etc/portcullis/client-ca"


def test_the_overlay_without_the_gate_differs_in_one_flag() -> None:
    """All else that stands is the base."""
    without = [each for each in built("overlays/no-pod-gate") if each["kind"] != "Deployment"]
    assert without == [each for each in built("base") if each["kind"] != "Deployment"]
    gated, ungated = (containers(each)["portcullis"] for each in ("base", "overlays/no-pod-gate"))
    assert ungated == {**gated, "args": [*gated["args"], "--no-pod-gate"]}
    command = [str(Path(sys.executable).with_name("portcullis")), *ungated["args"]]
    subprocess.run([*command, "--help"], check=True, capture_output=True, timeout=60)


def test_the_backstop_knows_whom_the_rules_know() -> None:
    """Names written in CEL, in Rego, in the hooks and in Python are the same ones."""
    rego = (ROOT / "policies_rego" / "portcullis" / "actors" / "actors.rego").read_text()
    system = set(re.findall(r'"(system:[^"{$]+)"', rego)) - {CONTROLLER}
    assert len(system) == 4
    hooks = (MANIFESTS / "base" / "webhooks.yaml").read_text()
    for name in system:
        assert f"'{name}'" in BACKSTOP
        assert f"'{name}'" in hooks
    policies: list[Any] = [each for each in built("base") if each["kind"] == "ValidatingAdmissionPolicy"]
    assert len(policies) == 2
    for policy in policies:
        (condition,) = policy["spec"]["matchConditions"]
        assert set(re.findall(r"'([^']+)'", condition["expression"])) == {CONTROLLER, *BREAK_GLASS_GROUPS}
        assert policy["spec"]["failurePolicy"] == "Fail"
        assert "paramKind" not in policy["spec"]
        for each in policy["spec"]["validations"]:
            assert each["message"].startswith("Portcullis (backstop): ")
    (reserved,) = (each for each in policies[1]["spec"]["variables"] if each["name"] == "reserved")
    assert set(re.findall(r"'([^']+)'", reserved["expression"])) == RESERVED
