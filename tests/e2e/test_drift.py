"""What others do to baselines is mended, told apart, and fought over by nobody; what does not apply any more goes."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.guarded import Guarded
from tests.e2e.manifests import ACME, BASE, DEFAULT_DENY, INSIDE, ZERO_TRUST, documents, namespace, ours, policy
from tests.e2e.reading import NAMESPACES, TREE, state, until

Json = dict[str, Any]

DENY = "zero-trust.default-deny"
BASELINES = TREE[-1]
FINALIZER = "portcullis.dev/baseline"
MENDED_SECONDS = 5
HEALED_SECONDS = 15


def told(guarded: Guarded, name: str) -> tuple[str, str]:
    """Return what a namespace says of its state, and why."""
    found = state(guarded.reader.namespace(name) or {"metadata": {}})
    return found.get("state", ""), found.get("reason", "")


# What others hang on a policy, by break-glass.


def applied(guarded: Guarded, name: str, manager: str = "helm") -> None:
    """Add a rule by server-side apply, which belongs to another manager then."""
    command = ("apply", "--server-side", "--force-conflicts", f"--field-manager={manager}", "--filename=-")
    guarded.kubectl(*command, user="root", stdin=documents(policy(name, DENY, {"ingress": [{}]})))


def hung(guarded: Guarded, name: str, **metadata: Any) -> None:
    patch = json.dumps({"metadata": metadata})
    command = ("patch", "networkpolicy", DENY, f"--namespace={name}", "--type=merge", "--patch", patch)
    guarded.kubectl(*command, user="root")


def owned(guarded: Guarded, name: str) -> None:
    """Give it an owner that exists, so that the garbage collector leaves it alone until that goes."""
    guarded.kubectl("create", "configmap", "owner", f"--namespace={name}", user="root")
    uid = guarded.reader.read(f"{NAMESPACES}/{name}/configmaps/owner")["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    hung(guarded, name, ownerReferences=[owner])


def deleted(guarded: Guarded, name: str) -> None:
    guarded.kubectl("delete", "networkpolicy", DENY, f"--namespace={name}", user="root")


EDITS: dict[str, Callable[[Guarded, str], None]] = {
    "rule": applied,
    "owner": owned,
    "finalizer": lambda guarded, name: hung(guarded, name, finalizers=["example.org/held"]),
    "label": lambda guarded, name: hung(guarded, name, labels={"a": "b"}),
    "deletion": deleted,
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_others_did_is_mended_within_seconds(guarded: Guarded, edit: str) -> None:
    """Whole: nothing of theirs is left, and no manager but us."""
    place = f"drift-{edit}"
    guarded.create(place)
    before = guarded.reader.policies(place)[DENY]["metadata"]["resourceVersion"]
    EDITS[edit](guarded, place)

    def mended() -> bool:
        metadata = guarded.reader.policies(place).get(DENY, {"metadata": {}})["metadata"]
        managers = {each["manager"] for each in metadata.get("managedFields", ())}
        fresh = metadata.get("resourceVersion", before) != before
        hangs = {"finalizers", "ownerReferences", "annotations"} & metadata.keys()
        return fresh and managers == {"portcullis"} and not hangs and "a" not in metadata["labels"]

    until(mended, MENDED_SECONDS)
    assert guarded.reader.specs(place) == ZERO_TRUST
    assert told(guarded, place) == ("Ready", "")


def test_a_name_that_was_taken_before_is_ours(guarded: Guarded) -> None:
    """A policy that somebody made before a baseline applied is replaced whole when it does; others stay."""
    guarded.kubectl("create", "namespace", "squatted", user="olga")
    taken = documents(policy("squatted", DENY, {"podSelector": {}, "ingress": [{}]}), policy("squatted"))
    guarded.kubectl("create", "--filename=-", user="root", stdin=taken)
    guarded.kubectl("label", "namespace", "squatted", "portcullis.dev/workspace=checkout", user="olga")
    guarded.await_ready("squatted")
    assert guarded.reader.specs("squatted") == {**ZERO_TRUST, "web": INSIDE}


def test_who_fights_gets_a_rest_and_is_named(guarded: Guarded) -> None:
    """The namespace says who re-writes what; nobody writes in a loop, and it is mended when the other stops."""
    guarded.create("contested")

    def fought() -> bool:
        if guarded.reader.specs("contested")[DENY] == DEFAULT_DENY:
            applied(guarded, "contested", "gitops-tool")
        return told(guarded, "contested")[0] == "Drifted"

    until(fought, 60)
    said = told(guarded, "contested")[1]
    assert said.startswith(f"fight detected: {DENY} is re-written by gitops-tool (Apply) again and again")
    before = guarded.reader.policies("contested")[DENY]["metadata"]["resourceVersion"]
    time.sleep(3)
    assert guarded.reader.policies("contested")[DENY]["metadata"]["resourceVersion"] == before
    until(lambda: guarded.reader.specs("contested") == ZERO_TRUST, 35)


# What hinders us for a while.


def test_a_quota_that_forbids_policies_is_told_and_recovered_from(guarded: Guarded) -> None:
    """Failed, in the quota's words; without it all comes by itself."""
    guarded.kubectl("create", "namespace", "frugal", user="olga")
    quota: Json = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": "frugal"},
        "spec": {"hard": {"count/networkpolicies.networking.k8s.io": "0"}},
    }
    guarded.kubectl("create", "--filename=-", user="root", stdin=documents(quota))
    # As the controller of quotas would, which does not run here.
    counted = json.dumps({"status": {**quota["spec"], "used": quota["spec"]["hard"]}})
    status = ("patch", "resourcequota", "none", "--namespace=frugal", "--subresource=status", "--type=merge")
    guarded.kubectl(*status, "--patch", counted, user="root")
    guarded.kubectl("label", "namespace", "frugal", "portcullis.dev/workspace=checkout", user="olga")
    until(lambda: told(guarded, "frugal")[0] == "Failed", MENDED_SECONDS)
    assert "exceeded quota: none" in told(guarded, "frugal")[1]
    assert guarded.reader.specs("frugal") == {}
    guarded.kubectl("delete", "resourcequota", "none", "--namespace=frugal", user="root")
    guarded.await_ready("frugal", HEALED_SECONDS)
    assert guarded.reader.specs("frugal") == ZERO_TRUST
    # That it was forbidden something is what this is about.
    guarded.look()


def test_rights_that_are_taken_away_and_given_back(guarded: Guarded) -> None:
    """What could not be brought meanwhile is, soon after; what stood stands."""
    guarded.create("bereft")
    with ExitStack() as held:
        held.callback(guarded.kubectl, "apply", "--filename", str(BASE / "rbac.yaml"), user="root")
        guarded.kubectl("delete", "clusterrolebinding", "portcullis", user="root")
        deleted(guarded, "bereft")
        time.sleep(3)
        assert DENY not in guarded.reader.specs("bereft")
    until(lambda: guarded.reader.specs("bereft") == ZERO_TRUST, HEALED_SECONDS)
    guarded.await_ready("bereft", HEALED_SECONDS)
    # As above.
    guarded.look()


# What does not apply any more.


@pytest.fixture
def rim(guarded: Guarded) -> Iterator[str]:
    """A baseline for the namespaces with the label tier: rim."""
    selector = {"matchLabels": {"tier": "rim"}}
    made = ours("NetworkBaseline", "rim", namespaceSelector=selector, policies=[{"name": "wall", "spec": DEFAULT_DENY}])
    guarded.kubectl("apply", "--filename=-", user="ivan", stdin=documents(made))
    yield "rim"
    guarded.kubectl("delete", "networkbaseline", "rim", "--ignore-not-found", user="ivan")


def test_a_baseline_that_is_deleted_takes_its_policies_along(guarded: Guarded, rim: str) -> None:
    """It is gone when they are; what others bring stays, and people's own."""
    both = documents(namespace("rim-owned", "checkout", tier="rim"), policy("rim-owned"))
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=both)
    guarded.kubectl("create", "--filename=-", user="olga", stdin=documents(namespace("rim-free", tier="rim")))
    for name in ("rim-owned", "rim-free"):
        guarded.await_ready(name)
        assert guarded.reader.specs(name)["rim.wall"] == DEFAULT_DENY
    until(lambda: FINALIZER in finalizers(guarded, rim), MENDED_SECONDS)
    guarded.kubectl("delete", "networkbaseline", rim, "--timeout=20s", user="ivan")
    assert guarded.reader.find(f"{BASELINES}/{rim}") is None
    assert guarded.reader.specs("rim-owned") == {**ZERO_TRUST, "web": INSIDE}
    assert guarded.reader.specs("rim-free") == {}
    until(lambda: "portcullis.dev/gate" not in labels(guarded, "rim-free"), MENDED_SECONDS)
    assert labels(guarded, "rim-owned")["portcullis.dev/gate"] == "enforced"


def test_its_finalizer_is_nobodys_but_ours(guarded: Guarded, rim: str) -> None:
    """Dropped it is put back; off a baseline that ends nobody takes it, and it goes when the policies may go."""
    until(lambda: FINALIZER in finalizers(guarded, rim), MENDED_SECONDS)
    drop = ("patch", "networkbaseline", rim, "--type=merge", '--patch={"metadata":{"finalizers":null}}')
    guarded.kubectl(*drop, user="ivan")
    until(lambda: FINALIZER in finalizers(guarded, rim), MENDED_SECONDS)
    guarded.kubectl("create", "--filename=-", user="olga", stdin=documents(namespace("rim-held", tier="rim")))
    guarded.await_ready("rim-held")
    # Nobody can tell what applies where the workspace is not known, so what stands there stays, and is waited for.
    guarded.kubectl("label", "namespace", "rim-held", "portcullis.dev/workspace=nowhere", user="root")
    guarded.kubectl("delete", "networkbaseline", rim, "--wait=false", user="ivan")
    try:
        time.sleep(2)
        for user in ("ivan", "olga"):
            assert f"{FINALIZER} goes by itself" in guarded.refused(*drop, user=user)
        assert "rim.wall" in guarded.reader.specs("rim-held")
    finally:
        guarded.kubectl("label", "namespace", "rim-held", "portcullis.dev/workspace-", user="root")
    until(lambda: guarded.reader.find(f"{BASELINES}/{rim}") is None, MENDED_SECONDS)
    assert guarded.reader.specs("rim-held") == {}


def finalizers(guarded: Guarded, name: str) -> list[str]:
    found: list[str] = guarded.reader.read(f"{BASELINES}/{name}")["metadata"].get("finalizers", [])
    return found


def labels(guarded: Guarded, name: str) -> dict[str, str]:
    found: dict[str, str] = guarded.reader.read(f"{NAMESPACES}/{name}")["metadata"]["labels"]
    return found


def test_a_moved_namespace_has_its_new_owners_baselines(guarded: Guarded) -> None:
    """And its former owner's no more; a tenant's own policies move along."""
    listed = [{"name": "wall", "spec": DEFAULT_DENY}]
    made = [ours("NetworkBaseline", name, policies=listed) for name in ("shop", "bank")]
    guarded.kubectl("create", "--filename=-", user="ivan", stdin=documents(*made))
    named = {"checkout": '["shop"]', "refunds": '["bank"]'}

    def name(workspace: str, baselines: str) -> None:
        patch = f'{{"spec":{{"baselines":{baselines}}}}}'
        guarded.kubectl("patch", "workspace", workspace, "--type=merge", "--patch", patch, user="olga")

    try:
        for each in named.items():
            name(*each)
        guarded.kubectl("create", "namespace", "movable", user="wanda")
        until(lambda: "shop.wall" in guarded.reader.specs("movable"), MENDED_SECONDS)
        guarded.kubectl("create", "--filename=-", user="wanda", stdin=documents(policy("movable")))
        guarded.kubectl("label", "--overwrite", "namespace", "movable", "portcullis.dev/workspace=refunds", user="paul")
        expected = {**ZERO_TRUST, "web": INSIDE, "bank.wall": DEFAULT_DENY}
        until(lambda: guarded.reader.specs("movable") == expected, MENDED_SECONDS)
    finally:
        for workspace in named:
            name(workspace, "null")
    until(lambda: guarded.reader.specs("movable") == {**ZERO_TRUST, "web": INSIDE}, MENDED_SECONDS)
    guarded.kubectl("delete", "networkbaseline", "shop", "bank", "--timeout=20s", user="ivan")


def test_with_the_definition_of_baselines_no_policy_goes(guarded: Guarded) -> None:
    """It goes, by break-glass, and every policy stays; the state says so, and all is well when both are back."""
    guarded.create("defined")
    until(lambda: FINALIZER in finalizers(guarded, "zero-trust"), MENDED_SECONDS)
    try:
        crd = "networkbaselines.portcullis.dev"
        guarded.kubectl("delete", "customresourcedefinition", crd, "--timeout=30s", user="root")
        until(lambda: told(guarded, "defined")[0] == "Failed", MENDED_SECONDS)
        assert told(guarded, "defined")[1] == "there is no NetworkBaseline zero-trust"
        assert guarded.reader.specs("defined") == ZERO_TRUST
    finally:
        guarded.define()
        guarded.kubectl("apply", "--kustomize", str(ACME), user="root")
    guarded.await_ready("defined", HEALED_SECONDS)
    assert guarded.reader.specs("defined") == ZERO_TRUST
    until(lambda: FINALIZER in finalizers(guarded, "zero-trust"), MENDED_SECONDS)
