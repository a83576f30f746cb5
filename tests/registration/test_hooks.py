"""The two webhook objects: as shipped, for every covered kind, and put back whatever is changed on them."""

import base64
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cases.reviews import NAMESPACE_CONTROLLER, Json
from tests.controlplane.plane import Plane
from tests.e2e.manifests import covered
from webhook.errors import SettingsError
from webhook.model import CONTROLLER
from webhook.registration.hooks import Call, Callee, asked, healed, read_shipped, wanted
from webhook.settings import bundled_webhooks

TEXT = bundled_webhooks().read_text()
VALIDATING, MUTATING = "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"
KINDS = (VALIDATING, MUTATING)
CA = b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
SERVICE = Callee(CA)
PODS = "pods.validate.portcullis.dev"
OWN = {"not-our-own-policy", "not-our-own-state"}
SYSTEM = (
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:kube-controller-manager",
    "system:apiserver",
)


def shipped(kind: str) -> Json:
    return read_shipped(TEXT)[kind]


def hooks(kind: str = "") -> list[Json]:
    """Return every hook that is shipped, of one kind of object or of both."""
    return [hook for each in KINDS if kind in {"", each} for hook in shipped(each)["webhooks"]]


def rules() -> Iterator[tuple[Json, Json]]:
    """Yield each hook with each of its rules."""
    for hook in hooks():
        for rule in hook["rules"]:
            yield hook, rule


# What cannot be read.


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("a: [b", id="no-yaml"),
        pytest.param("- a", id="a-list"),
        pytest.param("metadata: {}", id="no-kind"),
        pytest.param("---\n---\n", id="nothing-between"),
        pytest.param(TEXT.split("\n---\n")[0], id="one-of-the-two"),
        pytest.param(f"{TEXT}\n---\nkind: Service\n", id="one-too-many"),
    ],
)
def test_what_is_not_the_two_objects_is_refused(text: str) -> None:
    """A broken installation says so when it starts, in an error of ours."""
    with pytest.raises(SettingsError, match="the shipped webhook objects"):
        read_shipped(text)


# What is shipped.


def test_the_two_objects_are_shipped() -> None:
    """Both called portcullis, and none says yet whom it calls."""
    found = read_shipped(TEXT)
    assert set(found) == set(KINDS)
    assert {each["metadata"]["name"] for each in found.values()} == {"portcullis"}
    assert all("clientConfig" not in hook for hook in hooks())
    assert all(each["apiVersion"] == "admissionregistration.k8s.io/v1" for each in found.values())


@pytest.mark.parametrize("hook", hooks(), ids=lambda hook: hook["name"])
def test_every_hook_fails_closed_and_soon(hook: Json) -> None:
    """What is not answered is denied; nothing is done beside answering but for pods; nobody waits for long."""
    assert hook["failurePolicy"] == "Fail"
    # What lacks of the baseline is brought before a pod is judged.
    assert hook["sideEffects"] == ("NoneOnDryRun" if hook["name"] == PODS else "None")
    assert 1 <= hook["timeoutSeconds"] <= 10
    assert hook["matchPolicy"] == "Equivalent"
    assert hook["admissionReviewVersions"] == ["v1"]
    assert hook["name"].endswith(".portcullis.dev")
    assert hook["objectSelector"] == {}


def test_every_rule_is_narrow_and_of_every_version() -> None:
    """Groups, resources and operations by name, so that what a CNI keeps for itself never depends on us."""
    for _, rule in rules():
        assert rule["apiVersions"] == ["*"]
        assert "*" not in rule["apiGroups"]
        assert "*" not in rule["operations"]
        assert not any(each.startswith("*") for each in rule["resources"])
        with_subresources = [each for each in rule["resources"] if "/" in each]
        assert with_subresources in ([], ["namespaces/*"], ["customresourcedefinitions/*"])
        assert rule["scope"] in {"Namespaced", "Cluster"}


def test_every_write_is_judged() -> None:
    """Created, updated and deleted; stamped is what is created and updated, and a pod is gated when it is created."""
    narrower = {"mutate.portcullis.dev": {"CREATE", "UPDATE"}, PODS: {"CREATE"}}
    for hook, rule in rules():
        assert set(rule["operations"]) == narrower.get(hook["name"], {"CREATE", "UPDATE", "DELETE"})


def test_namespaces_are_judged_whatever_they_are_labelled() -> None:
    """With their subresources and without a selector: a label taken off would hide the change."""
    of_namespaces = [(hook, rule) for hook, rule in rules() if "namespaces/*" in rule["resources"]]
    assert [hook["name"] for hook, _ in of_namespaces] == [
        "namespaces.validate.portcullis.dev",
        "mutate.portcullis.dev",
    ]
    for hook, rule in of_namespaces:
        assert (hook["namespaceSelector"], hook["objectSelector"]) == ({}, {})
        assert rule["apiGroups"] == [""]
        assert len(hook["rules"]) == 1


def test_only_hooks_on_namespaced_objects_leave_namespaces_out() -> None:
    """And only two, by the name that the API server itself gives them; that of pods all that no baseline applies to."""
    ours = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "portcullis-system"]}
    gated = {"key": "portcullis.dev/gate", "operator": "In", "values": ["enforced"]}
    for hook in hooks():
        (scope,) = {rule["scope"] for rule in hook["rules"]}
        wanted = [gated, ours] if hook["name"] == PODS else [ours]
        assert hook["namespaceSelector"] == ({"matchExpressions": wanted} if scope == "Namespaced" else {})


def test_kubernetes_itself_is_left_out_and_nobody_else() -> None:
    """Exactly the four of the contract, so that a namespace ends while we are down; nobody creates a pod unasked."""
    assert [hook["name"] for hook in hooks() if "matchConditions" not in hook] == [PODS]
    for hook in hooks():
        if hook["name"] == PODS:
            continue
        (condition,) = [each for each in hook["matchConditions"] if each["name"] == "not-kubernetes-itself"]
        listed = ", ".join(f"'{each}'" for each in SYSTEM)
        assert condition["expression"] == f"!(request.userInfo.username in [{listed}])"
        assert {each["name"] for each in hook["matchConditions"]} - OWN <= {
            "not-kubernetes-itself",
            "of-a-guarded-group",
            "not-our-own-namespace",
        }
    assert NAMESPACE_CONTROLLER.name in SYSTEM


def test_our_own_writes_are_left_out_where_we_write() -> None:
    """By our exact name, which is asked first: for everybody else nothing more is looked at."""
    found = {
        hook["name"]: condition
        for hook in hooks()
        for condition in hook.get("matchConditions", ())
        if condition["name"] in OWN
    }
    assert {name: each["name"] for name, each in found.items()} == {
        "validate.portcullis.dev": "not-our-own-policy",
        "namespaces.validate.portcullis.dev": "not-our-own-state",
        "mutate.portcullis.dev": "not-our-own-state",
    }
    for each in found.values():
        assert each["expression"].startswith(f"!(request.userInfo.username == '{CONTROLLER}' && ")
    assert found["namespaces.validate.portcullis.dev"] == found["mutate.portcullis.dev"]


def test_a_cluster_may_do_without_the_hook_on_pods_and_no_other() -> None:
    """All else is as shipped."""
    without = read_shipped(TEXT, pod_gate=False)
    assert without[MUTATING] == shipped(MUTATING)
    left = [each for each in shipped(VALIDATING)["webhooks"] if each["name"] != PODS]
    assert without[VALIDATING] == {**shipped(VALIDATING), "webhooks": left}
    assert len(left) == len(hooks(VALIDATING)) - 1


def test_only_the_birth_of_our_own_namespace_is_not_asked_about() -> None:
    """Lost, it can be made again with nobody there to ask; not with what would delete it again, hold it or lend it."""
    conditions = {
        hook["name"]: each["expression"]
        for hook in hooks()
        for each in hook.get("matchConditions", ())
        if each["name"] == "not-our-own-namespace"
    }
    assert set(conditions) == {"namespaces.validate.portcullis.dev", "mutate.portcullis.dev"}
    (expression,) = set(conditions.values())
    assert expression == (
        "!(request.operation == 'CREATE' && has(object.metadata.name) && object.metadata.name == 'portcullis-system' "
        "&& !has(object.metadata.ownerReferences) && !has(object.metadata.finalizers) && "
        "(!has(object.spec) || !has(object.spec.finalizers) || object.spec.finalizers == ['kubernetes']) && "
        "(has(object.metadata.labels) ? object.metadata.labels : {}).all(key, !key.startsWith('portcullis.dev/')))"
    )


# For every covered kind.


def covered_kinds(opa: Path) -> set[tuple[str, str]]:
    """Return group and kind of all that the Rego covers."""
    tables = covered(opa).values()
    return {(group, kind) for table in tables for group, kinds in table.items() for kind in kinds}


def plural(kind: str) -> str:
    """Return what a kind's resource is called."""
    return f"{kind[:-1]}ies".lower() if kind.endswith("y") else f"{kind}s".lower()


def test_every_covered_kind_has_a_rule_and_every_rule_a_covered_kind(opa_binary: Path) -> None:
    """A kind that the Rego covers and no hook brings would be judged by nobody."""
    wanted = {(group, plural(kind)) for group, kind in covered_kinds(opa_binary)}
    found = {
        (group, resource.removesuffix("/*"))
        for hook in hooks(VALIDATING)
        for rule in hook["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert found == wanted


def test_the_definitions_that_are_guarded_are_those_of_the_covered_groups(opa_binary: Path) -> None:
    """Deleting one deletes its objects unseen; a definition of any other group is nothing to us."""
    groups = {group for group, _ in covered_kinds(opa_binary)} - {"", "apiextensions.k8s.io"}
    (hook,) = [each for each in hooks() if each["name"] == "definitions.validate.portcullis.dev"]
    (condition,) = [each for each in hook["matchConditions"] if each["name"] == "of-a-guarded-group"]
    named = condition["expression"].partition(" in ")[2].strip("[]")
    assert {each.strip().strip("'") for each in named.split(",")} == groups


def test_no_two_hooks_see_one_object() -> None:
    """Of two denying hooks the API server tells one at random."""
    seen = [(group, resource) for _, rule in rules() for group in rule["apiGroups"] for resource in rule["resources"]]
    assert [each for each in seen if seen.count(each) > 1] == [("", "namespaces/*")] * 2


# Whom they call.


@pytest.mark.parametrize("kind", KINDS)
def test_every_hook_calls_our_service(kind: str) -> None:
    """With the CA that it is trusted by, at the path of its own kind; the rest is as shipped."""
    made = wanted(shipped(kind), SERVICE)
    path = "/validate" if kind == VALIDATING else "/mutate"
    service = {"name": "portcullis", "namespace": "portcullis-system", "path": path, "port": 443}
    for hook, as_shipped in zip(made["webhooks"], shipped(kind)["webhooks"], strict=True):
        config = hook.pop("clientConfig")
        assert config == {"caBundle": base64.b64encode(CA).decode(), "service": service}
        assert hook == as_shipped


@pytest.mark.parametrize("url", ["https://10.0.0.1:9443", "https://10.0.0.1:9443/", "https://example.com/base"])
def test_or_a_url(url: str) -> None:
    """Of tests and development, with the path put after it, and then no Service."""
    for kind, path in ((VALIDATING, "/validate"), (MUTATING, "/mutate")):
        for hook in wanted(shipped(kind), Callee(CA, url))["webhooks"]:
            assert hook["clientConfig"] == {
                "caBundle": base64.b64encode(CA).decode(),
                "url": url.removesuffix("/") + path,
            }


def test_what_is_shipped_is_not_changed_by_it() -> None:
    """The next CA is filled into the same object."""
    found = shipped(VALIDATING)
    before = copy.deepcopy(found)
    wanted(found, SERVICE)
    assert found == before


# Put back.


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_as_it_has_to_be_is_left(kind: str) -> None:
    """Also with what the API server adds to metadata, and others' labels and annotations."""
    aim = wanted(shipped(kind), SERVICE)
    metadata = {
        **aim["metadata"],
        "uid": "u",
        "resourceVersion": "7",
        "generation": 2,
        "managedFields": [{}],
        "annotations": {"argocd": "x"},
        "labels": {**aim["metadata"]["labels"], "team": "platform"},
    }
    assert healed({**aim, "metadata": metadata}, aim) is None


def changed_hooks() -> Iterator[Any]:
    """Yield each field of a hook of each object, changed and left out; and hooks more, less and in another order."""
    for kind in KINDS:
        aim = wanted(shipped(kind), SERVICE)
        for field in aim["webhooks"][0]:
            for how, value in (("null", None), ("other", "x"), ("empty", {})):
                if aim["webhooks"][0][field] != value:
                    yield pytest.param(kind, replacing(0, {field: value}), id=f"{kind[:8]}-{field}-{how}")
            yield pytest.param(kind, leaving(field), id=f"{kind[:8]}-{field}-left-out")
        yield pytest.param(kind, lambda _: [], id=f"{kind[:8]}-none-left")
        yield pytest.param(kind, lambda it: it[1:], id=f"{kind[:8]}-one-less")
        yield pytest.param(kind, lambda it: [*it, {**it[0], "name": "x.y.z"}], id=f"{kind[:8]}-one-more")
    yield pytest.param(VALIDATING, lambda it: it[::-1], id="another-order")
    yield pytest.param(VALIDATING, replacing(1, {"failurePolicy": "Ignore"}), id="the-second-ignores")
    yield pytest.param(VALIDATING, replacing(0, {"clientConfig": Callee(b"other").config("/x")}), id="another-ca")


def replacing(index: int, fields: Json) -> Callable[[list[Json]], list[Json]]:
    def change(found: list[Json]) -> list[Json]:
        return [{**each, **fields} if at == index else each for at, each in enumerate(found)]

    return change


def leaving(field: str) -> Callable[[list[Json]], list[Json]]:
    def change(found: list[Json]) -> list[Json]:
        return [{key: value for key, value in each.items() if key != field} for each in found]

    return change


@pytest.mark.parametrize(("kind", "change"), list(changed_hooks()))
def test_any_change_of_a_hook_is_put_back(kind: str, change: Callable[[list[Json]], list[Json]]) -> None:
    """Whole, in the version that was seen."""
    aim = wanted(shipped(kind), SERVICE)
    stored = {**aim, "metadata": {**aim["metadata"], "resourceVersion": "7"}, "webhooks": change(aim["webhooks"])}
    again = healed(stored, aim)
    assert again
    assert again["webhooks"] == aim["webhooks"]
    assert again["metadata"] == {**aim["metadata"], "resourceVersion": "7"}
    assert healed(again, aim) is None


def test_the_hook_on_pods_is_taken_out_and_put_back() -> None:
    """By whoever runs without it, or with it again."""
    gated, ungated = (wanted(read_shipped(TEXT, pod_gate=each)[VALIDATING], SERVICE) for each in (True, False))
    for stored, aim in ((gated, ungated), (ungated, gated)):
        again = healed(stored, aim)
        assert again
        assert again["webhooks"] == aim["webhooks"]


def test_what_an_older_version_has_stored_is_brought_up_to_date() -> None:
    """Before our own writes were left out, and anything was done beside answering; no other step is needed."""
    for kind in KINDS:
        aim = wanted(shipped(kind), SERVICE)
        older = copy.deepcopy(aim)
        older["metadata"]["resourceVersion"] = "7"
        for hook in older["webhooks"]:
            hook["sideEffects"] = "None"
            kept = [each for each in hook.get("matchConditions", ()) if each["name"] not in OWN]
            hook.update({"matchConditions": kept} if kept else {})
        again = healed(older, aim)
        assert again
        assert (again["webhooks"], again["metadata"]["resourceVersion"]) == (aim["webhooks"], "7")


def test_an_object_without_hooks_is_put_back() -> None:
    """The field itself may be missing."""
    aim = wanted(shipped(VALIDATING), SERVICE)
    assert healed({"metadata": aim["metadata"]}, aim) == aim


@pytest.mark.parametrize("labels", [None, {}, {"team": "platform"}, {"app.kubernetes.io/name": "other"}])
def test_our_labels_are_put_back_and_those_of_others_stay(labels: dict[str, str] | None) -> None:
    """So do their annotations; who wrote which field is left to the API server."""
    aim = wanted(shipped(VALIDATING), SERVICE)
    metadata: Json = {"name": "portcullis", "uid": "u", "resourceVersion": "7", "managedFields": [{}], "labels": labels}
    again = healed({**aim, "metadata": {**metadata, "annotations": {"a": "b"}}}, aim)
    assert again
    assert again["metadata"] == {
        "name": "portcullis",
        "uid": "u",
        "resourceVersion": "7",
        "annotations": {"a": "b"},
        "labels": {**(labels or {}), **aim["metadata"]["labels"]},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_api_server_stores_is_as_it_has_to_be(kind: str, plane: Plane) -> None:
    """It fills nothing in that is not shipped, so nothing is put back for ever."""
    # Not stored: a hook that nobody answers would stop the plane.
    dry = ("create", "--dry-run=server", "--filename=-", "-o", "json")
    for callee in (SERVICE, Callee(CA, "https://127.0.0.1:1")):
        real = Callee(plane.ca.read_bytes(), callee.url)
        aim = wanted(shipped(kind), real)
        stored = json.loads(plane.kubectl(*dry, stdin=json.dumps(aim)).stdout)
        assert healed(stored, aim) is None, yaml.safe_dump(stored["webhooks"])


POLICY = ("networking.k8s.io", "networkpolicies")
ASKED: dict[str, tuple[str, tuple[str, str, str], dict[str, str], bool | None]] = {
    "a policy": (VALIDATING, (*POLICY, "CREATE"), {}, True),
    "a policy's end": (VALIDATING, (*POLICY, "DELETE"), {"kubernetes.io/metadata.name": "dev"}, True),
    "a policy in kube-system": (VALIDATING, (*POLICY, "CREATE"), {"kubernetes.io/metadata.name": "kube-system"}, False),
    "a namespace": (VALIDATING, ("", "namespaces", "UPDATE"), {"kubernetes.io/metadata.name": "kube-system"}, True),
    "a kind of two groups": (VALIDATING, ("projectcalico.org", "networksets", "UPDATE"), {}, True),
    "a namespace that is stamped": (MUTATING, ("", "namespaces", "CREATE"), {}, True),
    "a namespace that ends, not stamped": (MUTATING, ("", "namespaces", "DELETE"), {}, None),
    "a policy, not stamped": (MUTATING, (*POLICY, "CREATE"), {}, None),
    "a kind of no hook": (VALIDATING, ("apps", "deployments", "CREATE"), {}, None),
    "a kind of another group": (VALIDATING, ("apps", "networkpolicies", "CREATE"), {}, None),
    "a verb of no hook": (VALIDATING, (*POLICY, "CONNECT"), {}, None),
}


@pytest.mark.parametrize(("kind", "call", "labels", "answer"), ASKED.values(), ids=ASKED.keys())
def test_who_is_asked_is_told_beforehand(
    kind: str, call: tuple[str, str, str], labels: dict[str, str], answer: object
) -> None:
    """Yes, no for the namespaces that are left out, and None for what no hook knows."""
    assert asked(shipped(kind), Call(*call), labels) is answer
