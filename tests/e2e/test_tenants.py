"""A tenant's first hour: a namespace that is default-deny from day 0, and policies that its owners alone write."""

import json

import pytest

from tests.e2e.guarded import Guarded
from tests.e2e.manifests import INSIDE, OPEN, WORKSPACE, ZERO_TRUST, documents, namespace, policy
from tests.e2e.reading import state, until

STAMP = {
    WORKSPACE: "checkout",
    "portcullis.dev/project": "payments",
    "portcullis.dev/organization": "acme",
    "portcullis.dev/gate": "enforced",
}
INJECTED = {"app.kubernetes.io/managed-by": "portcullis", "portcullis.dev/baseline": "zero-trust"}


@pytest.fixture(scope="module")
def shop(guarded: Guarded) -> str:
    """A namespace of workspace checkout; its name does not tell."""
    guarded.create("shop")
    return "shop"


def test_a_namespace_is_its_creators_and_default_deny(guarded: Guarded) -> None:
    """Without a label it becomes its creator's workspace's, with every derived label and both policies, exactly."""
    found = guarded.create("day-zero")
    assert found["metadata"]["labels"] == {"kubernetes.io/metadata.name": "day-zero", **STAMP}
    assert state(found)["reason"] == ""
    assert len(state(found)["revision"]) == 12
    assert guarded.reader.specs("day-zero") == ZERO_TRUST
    for each in guarded.reader.policies("day-zero").values():
        assert each["metadata"]["labels"] == INJECTED
        assert not {"annotations", "finalizers", "ownerReferences"} & each["metadata"].keys()


def test_it_is_stamped_before_it_is_stored(guarded: Guarded) -> None:
    """What `create` answers carries the labels already, and the state Pending: nothing is ever there without them."""
    told = json.loads(guarded.kubectl("create", "namespace", "stamped", "-o", "json", user="wanda"))
    assert told["metadata"]["labels"] == {"kubernetes.io/metadata.name": "stamped", **STAMP}
    assert state(told)["state"] == "Pending"
    guarded.await_ready("stamped")


@pytest.mark.parametrize("user", ["stranger", "rita", "ivan", "rudi"])
def test_nobody_creates_a_namespace_in_a_workspace_of_others(guarded: Guarded, user: str) -> None:
    """Neither a stranger, nor a reader, nor who runs the platform, nor a sibling."""
    said = guarded.refused("create", "--filename=-", user=user, stdin=documents(namespace("taken", "checkout")))
    assert "[rbac/namespace]" in said
    assert guarded.reader.namespace("taken") is None


@pytest.mark.parametrize("user", ["wanda", "paul", "olga"])
def test_an_owner_writes_policies(guarded: Guarded, shop: str, user: str) -> None:
    """WorkspaceAdmin, ProjectAdmin and OrgAdmin create, patch, label, apply in both ways and delete."""
    name = f"web-{user}"
    other = {**INSIDE, "podSelector": {"matchLabels": {"app": "api"}}}
    at = (f"--namespace={shop}",)
    guarded.kubectl("create", "--filename=-", user=user, stdin=documents(policy(shop, name)))
    change = json.dumps({"spec": other})
    guarded.kubectl("patch", "networkpolicy", name, *at, "--type=merge", "--patch", change, user=user)
    assert guarded.reader.specs(shop)[name] == other
    guarded.kubectl("label", "networkpolicy", name, *at, "team=web", user=user)
    applied = documents(policy(shop, name))
    guarded.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", user=user, stdin=applied)
    assert guarded.reader.specs(shop)[name] == INSIDE
    guarded.kubectl("delete", "networkpolicy", name, *at, user=user)
    guarded.kubectl("apply", "--filename=-", user=user, stdin=applied)
    guarded.kubectl("apply", "--filename=-", user=user, stdin=documents(policy(shop, name, other)))
    assert guarded.reader.specs(shop)[name] == other
    guarded.kubectl("delete", "networkpolicy", name, *at, user=user)
    assert guarded.reader.specs(shop) == ZERO_TRUST
    until(lambda: guarded.look() and _judged(guarded, user, name) >= {"CREATE", "UPDATE", "DELETE"}, 2)


def _judged(guarded: Guarded, user: str, name: str) -> set[str]:
    return {each["operation"] for each in guarded.decisions if (each["user"], each["name"]) == (user, name)}


@pytest.mark.parametrize("user", ["rudi", "ruth", "stranger"])
def test_a_stranger_writes_none_and_learns_no_name(guarded: Guarded, shop: str, user: str) -> None:
    """Who holds no role there reads the rule and "another workspace", and nobody's name."""
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=documents(policy(shop, f"mine-{user}")))
    before = guarded.reader.versions(state=False)
    at = (f"--namespace={shop}",)
    complaints = [
        guarded.refused("create", "--filename=-", user=user, stdin=documents(policy(shop, "theirs"))),
        guarded.refused("apply", "--server-side", "--filename=-", user=user, stdin=documents(policy(shop, "theirs"))),
        guarded.refused("label", "networkpolicy", f"mine-{user}", *at, "a=b", user=user),
        guarded.refused("delete", "networkpolicy", f"mine-{user}", *at, user=user),
        guarded.refused("delete", "networkpolicy", "--all", *at, user=user),
    ]
    for said in complaints:
        assert "(Forbidden)" in said
        assert "[rbac/namespace-policy]" in said
        assert "another workspace" in said
        assert not [name for name in ("checkout", "payments", "acme") if name in said]
    assert guarded.reader.versions(state=False) == before


@pytest.mark.parametrize("user", ["rita", "ivan", "argocd"])
def test_who_holds_a_role_there_reads_who_may(guarded: Guarded, shop: str, user: str) -> None:
    """A reader and an InfraAdmin write no policy of a tenant, and are told whom to ask."""
    said = guarded.refused("create", "--filename=-", user=user, stdin=documents(policy(shop, "theirs")))
    assert "[rbac/namespace-policy]" in said
    assert "WorkspaceAdmin of checkout (Group checkout-team)" in said
    assert "Decision " in said


def test_an_owner_does_not_undo_the_default_deny(guarded: Guarded, shop: str) -> None:
    """A policy that lets everybody in is refused to the owner, too, by its meaning."""
    said = guarded.refused("create", "--filename=-", user="wanda", stdin=documents(policy(shop, "open", OPEN)))
    assert "[guardrail/from-anywhere]" in said


CLUSTER_WIDE = {
    "apiVersion": "policy.networking.k8s.io/v1alpha1",
    "kind": "AdminNetworkPolicy",
    "metadata": {"name": "platform"},
    "spec": {"priority": 1},
}


def test_the_platform_is_an_infra_admins(guarded: Guarded) -> None:
    """An InfraAdmin creates and deletes a policy of the whole cluster; an owner of a workspace does not."""
    told = documents(CLUSTER_WIDE)
    assert "[rbac/cluster-policy]" in guarded.refused("create", "--filename=-", user="wanda", stdin=told)
    guarded.kubectl("create", "--filename=-", user="ivan", stdin=told)
    said = guarded.refused("delete", "adminnetworkpolicy", "platform", user="paul")
    assert "[rbac/cluster-policy]" in said
    guarded.kubectl("delete", "adminnetworkpolicy", "platform", user="ivan")
