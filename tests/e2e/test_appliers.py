"""Appliers that send everything again and again: they settle, and nothing of theirs or ours is written any more."""

from typing import Any

import pytest

from tests.e2e.guarded import Guarded
from tests.e2e.manifests import INSIDE, WORKSPACE, ZERO_TRUST, documents, grant, namespace, ours, policy
from tests.e2e.reading import until

Json = dict[str, Any]

ROUNDS = 5
RACES = 20


def bundle(name: str, workspace: str = "") -> str:
    """Return what a chart holds: a namespace and, in the same go, what is in it."""
    content = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": name}}
    policies = policy(name, "web"), policy(name, "api", {**INSIDE, "podSelector": {"matchLabels": {"app": "api"}}})
    return documents(namespace(name, workspace, team="delivery"), content, *policies)


def settled(guarded: Guarded, name: str) -> dict[str, str]:
    """Return the resourceVersions of a namespace and its policies, once its baseline is in place."""
    found = {"": guarded.await_ready(name), **guarded.reader.policies(name)}
    assert found.keys() - {"", "web", "api"} == ZERO_TRUST.keys()
    return {key: each["metadata"]["resourceVersion"] for key, each in found.items()}


@pytest.fixture(scope="module")
def delivery(guarded: Guarded) -> str:
    """A workspace that belongs to a GitOps controller; it is told of by the time a namespace of it can be made."""
    role = grant("WorkspaceAdmin", "ServiceAccount", "argocd", namespace="gitops")
    made = documents(ours("Workspace", "delivery", project="payments", roles=[role]))
    guarded.kubectl("apply", "--filename=-", user="root", stdin=made)
    probe = ("create", "--dry-run=server", "--filename=-")
    told = documents(namespace("probe", "delivery"))
    until(lambda: guarded.plane.kubectl(*probe, user="argocd", stdin=told, check=False).returncode == 0, 5)
    return "delivery"


def test_an_applier_like_helm_settles(guarded: Guarded) -> None:
    """A namespace with its contents in one go, by its WorkspaceAdmin: it works at once, later ones write nothing."""
    told = bundle("chart")
    guarded.kubectl("apply", "--filename=-", user="wanda", stdin=told)
    first = settled(guarded, "chart")
    for _ in range(ROUNDS):
        guarded.kubectl("apply", "--filename=-", user="wanda", stdin=told)
        assert settled(guarded, "chart") == first
    labels = guarded.await_ready("chart")["metadata"]["labels"]
    assert (labels[WORKSPACE], labels["team"]) == ("checkout", "delivery")


def test_an_applier_like_argo_cd_settles(guarded: Guarded, delivery: str) -> None:
    """Server-side apply by a manager of its own, who takes every conflict: it settles as well, and loses no label."""
    told = bundle("synced", delivery)
    sync = ("apply", "--server-side", "--force-conflicts", "--field-manager=argocd", "--filename=-")
    guarded.kubectl(*sync, user="argocd", stdin=told)
    first = settled(guarded, "synced")
    for _ in range(ROUNDS):
        guarded.kubectl(*sync, user="argocd", stdin=told)
        assert settled(guarded, "synced") == first
    labels = guarded.await_ready("synced")["metadata"]["labels"]
    assert (labels[WORKSPACE], labels["portcullis.dev/project"]) == ("delivery", "payments")


def test_an_applier_that_claims_our_labels_does_not_fight(guarded: Guarded, delivery: str) -> None:
    """Who applies a wrong derived label and a state of its own gets ours, each time anew, and nothing is written."""
    claimed = namespace("claimed", delivery, **{"portcullis.dev/gate": "none", "portcullis.dev/project": "search"})
    claimed["metadata"]["annotations"] = {"portcullis.dev/baseline": "mine"}
    sync = ("apply", "--server-side", "--force-conflicts", "--field-manager=argocd", "--filename=-")
    guarded.kubectl(*sync, user="argocd", stdin=documents(claimed))
    guarded.await_ready("claimed")
    guarded.kubectl(*sync, user="argocd", stdin=documents(claimed))
    first = settled(guarded, "claimed")
    for _ in range(ROUNDS):
        guarded.kubectl(*sync, user="argocd", stdin=documents(claimed))
        assert settled(guarded, "claimed") == first
    labels = guarded.await_ready("claimed")["metadata"]["labels"]
    assert (labels["portcullis.dev/gate"], labels["portcullis.dev/project"]) == ("enforced", "payments")


def test_a_policy_that_comes_with_its_namespace_is_judged_by_its_owner(guarded: Guarded) -> None:
    """A namespace that was made a moment ago is known, whatever the watch has told: its owner's policy passes."""
    names = [f"hasty-{number}" for number in range(RACES)]
    told = documents(*(each for name in names for each in (namespace(name), policy(name))))
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=told)
    for name in names:
        guarded.await_ready(name)
        assert guarded.reader.specs(name) == {**ZERO_TRUST, "web": INSIDE}


def test_a_policy_that_comes_with_a_namespace_of_others_is_refused(guarded: Guarded) -> None:
    """A moment old it is the workspace's already: a sibling is refused for whose it is, not for being unknown."""
    for number in range(5):
        name = f"hurried-{number}"
        guarded.kubectl("create", "namespace", name, user="wanda")
        said = guarded.refused("create", "--filename=-", user="rudi", stdin=documents(policy(name)))
        assert "[rbac/namespace-policy]" in said
        assert "another workspace" in said
