"""The webhook objects as they have to be: fail closed, narrow, and put back whole."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.manifests import covered
from webhook.errors import SettingsError
from webhook.registration.hooks import Callee, healed, read_shipped, wanted
from webhook.settings import bundled_webhooks

SHIPPED = read_shipped(bundled_webhooks().read_text())
VALIDATING, MUTATING = "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"
CALLEE = Callee(b"ca")
HOOKS = [(kind, hook) for kind, each in SHIPPED.items() for hook in each["webhooks"]]
IDS = [hook["name"] for _, hook in HOOKS]
SYSTEM_ACTORS = (
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:kube-controller-manager",
    "system:apiserver",
)


def stored(kind: str = VALIDATING) -> dict[str, Any]:
    """Return an object as the API server stores it."""
    thing = copy.deepcopy(wanted(SHIPPED[kind], CALLEE))
    thing["metadata"] |= {"resourceVersion": "7", "uid": "u", "managedFields": [{"manager": "portcullis"}]}
    return thing


@pytest.mark.parametrize("text", ["", "kind: ValidatingWebhookConfiguration", "- a", "{", "a: b\n---\n"], ids=repr)
def test_a_file_that_is_not_the_two_objects_is_refused(text: str) -> None:
    """A package that was put together wrongly does not start with half of the hooks."""
    with pytest.raises(SettingsError, match="the shipped webhook objects"):
        read_shipped(text)


@pytest.mark.parametrize(("kind", "hook"), HOOKS, ids=IDS)
def test_a_hook_fails_closed_and_soon(kind: str, hook: dict[str, Any]) -> None:
    """No answer is a no, nobody waits long for it, and a dry run may ask."""
    assert (hook["failurePolicy"], hook["sideEffects"]) == ("Fail", "None")
    assert 1 <= hook["timeoutSeconds"] <= 5
    assert hook["admissionReviewVersions"] == ["v1"]
    assert hook["name"].endswith(".portcullis.dev")
    assert kind in {VALIDATING, MUTATING}


@pytest.mark.parametrize(("kind", "hook"), HOOKS, ids=IDS)
def test_a_hook_is_narrow_and_sees_every_version(kind: str, hook: dict[str, Any]) -> None:
    """Kinds are named one by one; a version that comes later is asked about, too."""
    for rule in hook["rules"]:
        assert rule["apiVersions"] == ["*"]
        assert rule["scope"] in {"Namespaced", "Cluster"}
        assert not {"*", "*/*"} & {*rule["apiGroups"], *rule["resources"], *rule["operations"]}
        operations = ["CREATE", "UPDATE"] if kind == MUTATING else ["CREATE", "UPDATE", "DELETE"]
        assert rule["operations"] == operations


@pytest.mark.parametrize(("kind", "hook"), HOOKS, ids=IDS)
def test_kubernetes_itself_is_left_out_and_nobody_else(kind: str, hook: dict[str, Any]) -> None:  # noqa: ARG001 - ids
    """So that a namespace ends while every replica is down: exactly the system actors of the contract."""
    (condition,) = (each for each in hook["matchConditions"] if each["name"] == "not-kubernetes-itself")
    assert re.findall(r"'([^']+)'", condition["expression"]) == list(SYSTEM_ACTORS)
    assert condition["expression"].startswith("!(request.userInfo.username in [")


@pytest.mark.parametrize(("kind", "hook"), HOOKS, ids=IDS)
def test_no_label_takes_a_namespace_out(kind: str, hook: dict[str, Any]) -> None:  # noqa: ARG001 - ids
    """Only hooks on namespaced objects look at the namespace, by its name; taking a label off would hide a change."""
    assert hook["objectSelector"] == {}
    if hook["rules"][0]["scope"] == "Cluster":
        assert hook["namespaceSelector"] == {}
        return
    (expression,) = hook["namespaceSelector"]["matchExpressions"]
    assert expression == {
        "key": "kubernetes.io/metadata.name",
        "operator": "NotIn",
        "values": ["kube-system", "portcullis-system"],
    }


def test_namespaces_are_seen_with_their_subresources() -> None:
    """`namespaces` alone would see neither status nor finalize, which can rewrite metadata."""
    seen = {kind for kind, hook in HOOKS for rule in hook["rules"] if rule["resources"] == ["namespaces/*"]}
    assert seen == {VALIDATING, MUTATING}


def test_every_covered_kind_has_a_rule(opa_binary: Path) -> None:
    """What the Rego judges is sent to it, and nothing else."""
    rules = [rule for kind, hook in HOOKS if kind == VALIDATING for rule in hook["rules"]]
    named = {(group, resource) for rule in rules for group in rule["apiGroups"] for resource in rule["resources"]}
    tables = covered(opa_binary)
    expected = {
        (group, f"{kind.lower().removesuffix('y')}{'ies' if kind.endswith('y') else 's'}")
        for table in ("namespace policies", "cluster policies")
        for group, kinds in tables[table].items()
        for kind in kinds
    }
    assert len(expected) > 15
    assert expected | {("", "namespaces/*"), ("apiextensions.k8s.io", "customresourcedefinitions")} == named


def test_each_hook_calls_its_route_of_the_service() -> None:
    """Without a URL it is the Service of the manifests, on the port that it has."""
    for kind, path in ((VALIDATING, "/validate"), (MUTATING, "/mutate")):
        for hook in wanted(SHIPPED[kind], CALLEE)["webhooks"]:
            service = {"name": "portcullis", "namespace": "portcullis-system", "path": path, "port": 443}
            assert hook["clientConfig"] == {"caBundle": "Y2E=", "service": service}


@pytest.mark.parametrize("base", ["https://10.0.0.5:8443", "https://10.0.0.5:8443/"])
def test_a_url_is_called_instead_of_the_service(base: str) -> None:
    """The routes are put after the base, with one slash."""
    urls = {kind: wanted(SHIPPED[kind], Callee(b"ca", base))["webhooks"][0]["clientConfig"]["url"] for kind in SHIPPED}
    assert urls == {VALIDATING: "https://10.0.0.5:8443/validate", MUTATING: "https://10.0.0.5:8443/mutate"}


def test_what_is_as_it_has_to_be_is_left_alone() -> None:
    """No write, whatever the API server put into metadata."""
    assert healed(stored(), wanted(SHIPPED[VALIDATING], CALLEE)) is None


CHANGES: dict[str, Any] = {
    "failurePolicy": "Ignore",
    "timeoutSeconds": 30,
    "namespaceSelector": {"matchLabels": {"a": "b"}},
    "objectSelector": {"matchLabels": {"a": "b"}},
    "matchConditions": [],
    "rules": [],
    "clientConfig": {"caBundle": "", "url": "https://example.com/validate"},
    "sideEffects": "Some",
    "matchPolicy": "Exact",
    "name": "other.portcullis.dev",
}


@pytest.mark.parametrize(("field", "value"), CHANGES.items(), ids=CHANGES.keys())
def test_whatever_is_changed_in_a_hook_is_put_back(field: str, value: object) -> None:
    """The object that replaces it is the shipped one, in the version that was changed."""
    changed = stored()
    changed["webhooks"][0][field] = value
    aim = wanted(SHIPPED[VALIDATING], CALLEE)
    mended = healed(changed, aim)
    assert mended
    assert mended["webhooks"] == aim["webhooks"]
    assert mended["metadata"]["resourceVersion"] == "7"
    assert "managedFields" not in mended["metadata"]


def test_a_hook_that_is_missing_or_added_is_put_right() -> None:
    """The list is compared whole."""
    aim = wanted(SHIPPED[VALIDATING], CALLEE)
    fewer, more, none = stored(), stored(), stored()
    del fewer["webhooks"][0]
    more["webhooks"].append({**more["webhooks"][0], "name": "else.portcullis.dev"})
    del none["webhooks"]
    for changed in (fewer, more, none):
        mended = healed(changed, aim)
        assert mended
        assert mended["webhooks"] == aim["webhooks"]


def test_what_others_hang_on_it_stays() -> None:
    """A label or annotation of a tool is none of ours; our labels are put back beside it."""
    changed = stored()
    changed["metadata"]["labels"] = {"app.kubernetes.io/instance": "argo"}
    changed["metadata"]["annotations"] = {"a": "b"}
    mended = healed(changed, wanted(SHIPPED[VALIDATING], CALLEE))
    assert mended
    assert mended["metadata"]["annotations"] == {"a": "b"}
    assert mended["metadata"]["labels"] == {
        **SHIPPED[VALIDATING]["metadata"]["labels"],
        "app.kubernetes.io/instance": "argo",
    }
    assert healed(mended, wanted(SHIPPED[VALIDATING], CALLEE)) is None
