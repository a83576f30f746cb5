"""The webhook objects: made by `serve`, kept as they are shipped, and hooked to kinds that there are."""

import base64
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.guarded import FIRST, Guarded
from tests.e2e.manifests import BASE, covered, documents
from tests.e2e.reading import MUTATING, SECRET, VALIDATING, steady, until

Json = dict[str, Any]

KINDS = {"ValidatingWebhookConfiguration": VALIDATING, "MutatingWebhookConfiguration": MUTATING}


def hooks(guarded: Guarded) -> Mapping[str, Json]:
    """Return the hooks that stand, by name."""
    return {each["name"]: each for path in KINDS.values() for each in guarded.reader.read(path)["webhooks"]}


def gated(guarded: Guarded) -> bool:
    """Say whether a stranger is refused a namespace, by us."""
    probe = ("create", "namespace", "probe", "--dry-run=server")
    return "[rbac/namespace]" in guarded.plane.kubectl(*probe, user="stranger", check=False).stderr


def test_they_are_as_shipped_and_call_us(guarded: Guarded) -> None:
    """Nothing is set otherwise than in manifests/base/webhooks.yaml, but for whom they call."""
    for shipped in yaml.safe_load_all((BASE / "webhooks.yaml").read_text()):
        stored = guarded.reader.read(KINDS[shipped["kind"]])
        path = "/mutate" if shipped["kind"].startswith("Mutating") else "/validate"
        assert stored["metadata"]["labels"] == shipped["metadata"]["labels"]
        for hook in stored["webhooks"]:
            assert hook.pop("clientConfig").keys() == {"caBundle", "url"}
        assert stored["webhooks"] == shipped["webhooks"]
        called = {hook["clientConfig"]["url"] for hook in guarded.reader.read(KINDS[shipped["kind"]])["webhooks"]}
        assert called == {f"{guarded.url}{path}"}
    assert gated(guarded)


WRONGS: Mapping[str, tuple[str, list[Json]]] = {
    "failure policy": (VALIDATING, [{"op": "replace", "path": "/webhooks/1/failurePolicy", "value": "Ignore"}]),
    "CA": (VALIDATING, [{"op": "remove", "path": "/webhooks/1/clientConfig/caBundle"}]),
    "rule": (VALIDATING, [{"op": "remove", "path": "/webhooks/0/rules/0"}]),
    "resource": (VALIDATING, [{"op": "replace", "path": "/webhooks/1/rules/0/resources", "value": ["namespaces"]}]),
    "URL": (VALIDATING, [{"op": "replace", "path": "/webhooks/1/clientConfig/url", "value": "https://127.0.0.1:1/"}]),
    "timeout": (VALIDATING, [{"op": "replace", "path": "/webhooks/1/timeoutSeconds", "value": 1}]),
    "hook": (VALIDATING, [{"op": "remove", "path": "/webhooks/1"}]),
    "selector": (
        VALIDATING,
        [{"op": "replace", "path": "/webhooks/1/namespaceSelector", "value": {"matchLabels": {"a": "b"}}}],
    ),
    "condition": (
        VALIDATING,
        [{"op": "add", "path": "/webhooks/1/matchConditions/-", "value": {"name": "a", "expression": "false"}}],
    ),
    "order": (MUTATING, [{"op": "replace", "path": "/webhooks/0/reinvocationPolicy", "value": "Never"}]),
    "label": (MUTATING, [{"op": "remove", "path": "/metadata/labels"}]),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_what_is_changed_on_them_is_put_back(guarded: Guarded, wrong: str) -> None:
    """Whatever somebody with the right by RBAC does to them, they are as they were within a moment."""
    path, patch = WRONGS[wrong]
    before = guarded.reader.read(path)
    kind = "mutatingwebhookconfiguration" if path == MUTATING else "validatingwebhookconfiguration"
    change = ("patch", kind, "portcullis", "--type=json", "--patch", json.dumps(patch))
    guarded.kubectl(*change, user="root")
    until(lambda: _same(guarded.reader.find(path), before), 10)
    until(lambda: gated(guarded), 5)


def test_deleted_they_come_back_and_are_not_fought_over(guarded: Guarded) -> None:
    """Each that is deleted is made again; then neither is written any more."""
    before = hooks(guarded)
    for kind in ("validatingwebhookconfiguration", "mutatingwebhookconfiguration"):
        guarded.kubectl("delete", kind, "portcullis", user="root")
    guarded.await_gate()
    assert hooks(guarded) == before
    steady(lambda: [guarded.reader.read(path)["metadata"]["resourceVersion"] for path in KINDS.values()], 4)


def test_what_others_add_to_their_metadata_stays(guarded: Guarded) -> None:
    """An annotation or label of somebody's tool is no harm, so it is left, and nothing is written."""
    for what in ("label", "annotate"):
        guarded.kubectl(what, "mutatingwebhookconfiguration", "portcullis", "tool=kept", user="root")
    kept = steady(lambda: guarded.reader.read(MUTATING), 2)
    assert (kept["metadata"]["labels"]["tool"], kept["metadata"]["annotations"]["tool"]) == ("kept", "kept")
    assert gated(guarded)


def test_every_rule_names_a_resource_that_there_is(guarded: Guarded, opa_binary: Path) -> None:
    """The API server takes a misspelt or singular plural and never matches it: each is served, and each kind hooked."""
    served = guarded.reader.client.get("/apis", headers={"Accept": "application/json"}).json()["groups"]
    versions = {group["name"]: [each["groupVersion"] for each in group["versions"]] for group in served}
    plurals: dict[tuple[str, str], Json] = {}
    for group, found in {"": ["v1"], **versions}.items():
        for each in found:
            resources = guarded.reader.read(f"/apis/{each}" if group else f"/api/{each}")["resources"]
            plurals |= {(group, resource["name"]): resource for resource in resources if "/" not in resource["name"]}
    hooked = set()
    for name, hook in hooks(guarded).items():
        for rule in hook["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    plural = resource.removesuffix("/*")
                    assert (group, plural) in plurals, f"{name} hooks {plural} of {group or 'the core'}: there is none"
                    assert plurals[group, plural]["namespaced"] == (rule["scope"] == "Namespaced")
                    assert rule["apiVersions"] == ["*"]
                    hooked.add((group, plurals[group, plural]["kind"]))
    known = {
        (group, kind) for table in covered(opa_binary).values() for group, kinds in table.items() for kind in kinds
    }
    assert hooked == known
    assert gated(guarded)


def test_every_covered_kind_is_judged_in_every_version(guarded: Guarded, opa_binary: Path) -> None:
    """A stranger is refused each of them, by the rule that guards it."""
    guarded.create("zoo")
    tables = covered(opa_binary)
    rules = {
        "namespace policies": "[rbac/namespace-policy]",
        "cluster policies": "[rbac/cluster-policy]",
        "tenants": "[rbac/tenancy]",
    }
    for table, rule in rules.items():
        for group, kinds in tables[table].items():
            for version, kind in ((version, kind) for kind, found in kinds.items() for version in found):
                place = {"namespace": "zoo"} if table == "namespace policies" else {}
                thing = {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": "it", **place}}
                thing["spec"] = {"podSelector": {}} if group == "networking.k8s.io" else {"policies": []}
                thing["spec"] = {"project": "payments"} if kind == "Workspace" else thing["spec"]
                create = ("create", "--validate=false", "--filename=-")
                said = guarded.refused(*create, user="stranger", stdin=documents(thing))
                assert rule in said, f"{group}/{version} {kind}: {said}"


def test_a_definition_of_a_covered_kind_is_deleted_by_nobody(guarded: Guarded) -> None:
    """It would take its objects with it unseen; neither who runs the platform nor an OrgAdmin does so."""
    for name in ("ciliumnetworkpolicies.cilium.io", "networkbaselines.portcullis.dev"):
        for user in ("ivan", "olga"):
            said = guarded.refused("delete", "customresourcedefinition", name, user=user)
            assert "[rbac/cluster-policy]" in said


def test_the_certificate_is_shared_by_a_secret(guarded: Guarded) -> None:
    """CA and certificate are in a Secret of our namespace; the hooks trust the CA; a second process serves the same."""
    secret = {name: base64.b64decode(each) for name, each in guarded.reader.read(SECRET)["data"].items()}
    assert {"ca.crt", "tls.crt", "tls.key"} <= secret.keys()
    for hook in hooks(guarded).values():
        assert base64.b64decode(hook["clientConfig"]["caBundle"]) == secret["ca.crt"]
    version = guarded.reader.read(SECRET)["metadata"]["resourceVersion"]
    second = guarded.start("second")
    try:
        assert {each: (second.certs / each).read_bytes() for each in secret} == secret
        assert ssl.get_server_certificate(("127.0.0.1", second.port)).encode() in secret["tls.crt"]
        assert guarded.reader.read(SECRET)["metadata"]["resourceVersion"] == version
        first = guarded.processes[FIRST]
        assert (first.certs / "tls.crt").read_bytes() == secret["tls.crt"]
    finally:
        guarded.stop("second")
    assert gated(guarded)


def test_the_secret_is_made_again(guarded: Guarded) -> None:
    """Deleted, it comes back with the CA that the hooks trust."""
    before = guarded.reader.read(SECRET)["data"]
    guarded.kubectl("delete", "secret", "portcullis-tls", "--namespace=portcullis-system", user="root")
    until(lambda: guarded.reader.find(SECRET), 10)
    assert guarded.reader.read(SECRET)["data"] == before
    assert gated(guarded)


PODS = "pods.validate.portcullis.dev"
HOSTED = '{"spec": {"hostNetwork": true}}'


def test_the_hook_on_pods_may_be_left_out(guarded: Guarded) -> None:
    """By a flag: it goes, pods start unasked, all else is as it was; without the flag it comes back."""
    before = hooks(guarded)
    assert PODS in before
    guarded.stop()
    ungated = guarded.start(FIRST, "--no-pod-gate", "--no-controller")
    try:
        until(lambda: PODS not in hooks(guarded), 10)
        left = hooks(guarded)
        assert left == {name: each for name, each in before.items() if name != PODS}
        assert any("pods are not gated (--no-pod-gate)" in each for each in ungated.health()["notes"])
        guarded.kubectl("create", "namespace", "ungated", user="wanda")
        run = ("run", "web", "--image=example.org/web", "--namespace=ungated", "--overrides", HOSTED)
        # The API server hears of the change a moment later.
        until(lambda: guarded.plane.kubectl(*run, user="wanda", check=False).returncode == 0, 10)
        assert guarded.reader.policies("ungated") == {}
        steady(lambda: guarded.reader.read(VALIDATING)["metadata"]["resourceVersion"], 3)
    finally:
        guarded.stop()
        guarded.gate()
    until(lambda: hooks(guarded) == before, 10)
    guarded.await_ready("ungated")
    run = ("run", "late", "--image=example.org/web", "--namespace=ungated", "--overrides", HOSTED)
    until(lambda: "[guardrail/host-network]" in guarded.plane.kubectl(*run, user="wanda", check=False).stderr, 10)
    assert not any("pods are not gated" in each for each in guarded.processes[FIRST].health()["notes"])


def _same(stored: Json | None, before: Json) -> bool:
    """Say whether hooks and labels are as they were."""
    return stored is not None and (stored["webhooks"], stored["metadata"].get("labels")) == (
        before["webhooks"],
        before["metadata"]["labels"],
    )
