"""Whose a namespace is cannot be taken, by whatever path of the API; and one that has to end ends."""

import json
from typing import Any

import pytest

from tests.e2e.guarded import Guarded
from tests.e2e.manifests import WORKSPACE, ZERO_TRUST, documents, namespace, ours, policy
from tests.e2e.reading import HOOKS, NAMESPACES, SECRET, TREE, until

Json = dict[str, Any]

RESERVED = ("kube-system", "kube-public", "kube-node-lease", "portcullis-system")
CLAIMS: dict[str, Json] = {
    "another workspace": {WORKSPACE: "refunds"},
    "no workspace": {WORKSPACE: ""},
    "another project": {"portcullis.dev/project": "search"},
    "no gate": {"portcullis.dev/gate": "none"},
}


@pytest.fixture(scope="module")
def deed(guarded: Guarded) -> str:
    """A namespace of workspace checkout that others would like to have."""
    guarded.create("deed")
    return "deed"


@pytest.mark.parametrize("subresource", ["", "/status", "/finalize"])
@pytest.mark.parametrize("claim", CLAIMS)
def test_ownership_is_not_taken_through_any_path(guarded: Guarded, deed: str, claim: str, subresource: str) -> None:
    """A PUT with other labels, of the namespace, its status or its finalizers, changes nothing, whoever sends it."""
    before = guarded.reader.read(f"{NAMESPACES}/{deed}")
    labels = {**before["metadata"]["labels"], **CLAIMS[claim]}
    taken = json.dumps({**before, "metadata": {**before["metadata"], "labels": labels}})
    put = ("replace", "--raw", f"{NAMESPACES}/{deed}{subresource}", "--filename=-")
    for user in ("rudi", "stranger"):
        assert "[rbac/namespace]" in guarded.refused(*put, user=user, stdin=taken)
    assert guarded.reader.read(f"{NAMESPACES}/{deed}") == before
    # An InfraAdmin may change labels, but not these: they are put back before anybody judges.
    guarded.plane.kubectl(*put, user="ivan", stdin=taken, check=False)
    assert guarded.reader.read(f"{NAMESPACES}/{deed}")["metadata"]["labels"] == before["metadata"]["labels"]


def test_finalizing_is_the_namespace_controllers(guarded: Guarded, deed: str) -> None:
    """Not even its owner takes the finalizer off, which would orphan what is inside for the next owner of the name."""
    before = guarded.reader.read(f"{NAMESPACES}/{deed}")
    put = ("replace", "--raw", f"{NAMESPACES}/{deed}/finalize", "--filename=-")
    for user in ("wanda", "olga"):
        said = guarded.refused(*put, user=user, stdin=json.dumps({**before, "spec": {}}))
        assert "written by Kubernetes' namespace controller alone" in said
    assert guarded.reader.read(f"{NAMESPACES}/{deed}") == before


def test_the_owner_writes_status_but_no_claim(guarded: Guarded, deed: str) -> None:
    """Through the status an owner who sends another project's label gets back what is so."""
    before = guarded.reader.read(f"{NAMESPACES}/{deed}")
    labels = {**before["metadata"]["labels"], "portcullis.dev/project": "search"}
    taken = json.dumps({**before, "metadata": {**before["metadata"], "labels": labels}})
    guarded.kubectl("replace", "--raw", f"{NAMESPACES}/{deed}/status", "--filename=-", user="wanda", stdin=taken)
    assert guarded.reader.read(f"{NAMESPACES}/{deed}")["metadata"]["labels"] == before["metadata"]["labels"]


RELABELLINGS = {
    "a move by who owns one end": ("wanda", f"{WORKSPACE}=refunds"),
    "a move by who owns the other end": ("rudi", f"{WORKSPACE}=refunds"),
    "a move by a stranger": ("stranger", f"{WORKSPACE}=ranking"),
    "a move by an InfraAdmin": ("ivan", f"{WORKSPACE}=refunds"),
    "a release by a stranger": ("stranger", f"{WORKSPACE}-"),
    "a workspace that there is not": ("wanda", f"{WORKSPACE}=nowhere"),
    "any label by a sibling": ("rudi", "team=refunds"),
    "a workspace for one's own": ("wanda", f"{WORKSPACE}="),
}


@pytest.mark.parametrize("relabelling", RELABELLINGS)
def test_a_namespace_is_not_relabelled(guarded: Guarded, deed: str, relabelling: str) -> None:
    """Who does not own both ends moves no namespace, and nothing is stored."""
    user, label = RELABELLINGS[relabelling]
    before = guarded.reader.read(f"{NAMESPACES}/{deed}")
    plane = guarded.plane.kubectl("label", "--overwrite", "namespace", deed, label, user=user, check=False)
    # An owner who leaves the label empty releases nothing: it is put back.
    assert "[rbac/namespace]" in plane.stderr or (user, label) == ("wanda", f"{WORKSPACE}=")
    after = guarded.reader.read(f"{NAMESPACES}/{deed}")
    assert after["metadata"]["labels"] == before["metadata"]["labels"]


@pytest.mark.parametrize("label", [f"{WORKSPACE}-", "portcullis.dev/project-", "portcullis.dev/gate-"])
def test_a_label_that_an_owner_takes_off_is_put_back(guarded: Guarded, deed: str, label: str) -> None:
    """The request passes and leaves the namespace as it was: releasing takes an OrgAdmin."""
    before = guarded.reader.read(f"{NAMESPACES}/{deed}")
    guarded.kubectl("label", "namespace", deed, label, user="wanda")
    assert guarded.reader.read(f"{NAMESPACES}/{deed}")["metadata"]["labels"] == before["metadata"]["labels"]


def test_a_project_admin_moves_and_an_org_admin_releases_and_adopts(guarded: Guarded) -> None:
    """Who owns both ends moves; only an OrgAdmin takes out of a workspace and in; labels and policies follow."""
    guarded.create("wandering")

    def place() -> Json:
        labels = guarded.reader.read(f"{NAMESPACES}/wandering")["metadata"]["labels"]
        return {key.removeprefix("portcullis.dev/"): value for key, value in labels.items() if "portcullis" in key}

    move = ("label", "--overwrite", "namespace", "wandering")
    guarded.kubectl(*move, f"{WORKSPACE}=refunds", user="paul")
    assert place() == {"workspace": "refunds", "project": "payments", "organization": "acme", "gate": "enforced"}
    guarded.refused(*move, "team=a", user="wanda")
    guarded.kubectl(*move, "team=a", user="rudi")
    guarded.kubectl(*move, f"{WORKSPACE}-", user="olga")
    assert place() == {}
    assert "[rbac/namespace]" in guarded.refused(*move, f"{WORKSPACE}=refunds", user="paul")
    guarded.kubectl(*move, f"{WORKSPACE}=ranking", user="olga")
    assert place() == {"workspace": "ranking", "project": "search", "organization": "acme", "gate": "enforced"}
    guarded.await_ready("wandering")
    assert guarded.reader.specs("wandering") == ZERO_TRUST


@pytest.mark.parametrize("name", RESERVED)
def test_nobody_adopts_a_namespace_of_the_system(guarded: Guarded, name: str) -> None:
    """Not even an OrgAdmin's label makes one of these somebody's."""
    before = guarded.reader.read(f"{NAMESPACES}/{name}")
    for user in ("olga", "wanda"):
        said = guarded.refused("label", "namespace", name, f"{WORKSPACE}=checkout", user=user)
        assert "[rbac/namespace]" in said
    assert guarded.reader.read(f"{NAMESPACES}/{name}") == before
    assert guarded.reader.policies(name) == {}


def test_who_could_become_a_service_account_of_the_tree_is_refused(guarded: Guarded) -> None:
    """A namespace in which a ServiceAccount of the tree lives is an OrgAdmin's to create, not an InfraAdmin's."""
    said = guarded.refused("create", "namespace", "cni", user="ivan")
    assert "the tree gives a role to a ServiceAccount of a namespace of this name" in said
    guarded.kubectl("create", "namespace", "cni", user="olga")


def test_who_administers_two_workspaces_says_which(guarded: Guarded) -> None:
    """A namespace without a label is refused with the names of both; with the label it is created."""
    roles = [{"role": "WorkspaceAdmin", "subjects": [{"kind": "Group", "name": "ranking-team"}]}]
    second = documents(ours("Workspace", "indexing", project="search", roles=roles))
    guarded.kubectl("apply", "--filename=-", user="root", stdin=second)
    try:
        several = ("create", "namespace", "which", "--dry-run=server")
        said = until(lambda: guarded.plane.kubectl(*several, user="ruth", check=False).stderr, 5)
        assert "indexing" in said
        assert "ranking" in said
        told = documents(namespace("which", "indexing"))
        guarded.kubectl("create", "--filename=-", user="ruth", stdin=told)
        assert guarded.await_ready("which")["metadata"]["labels"][WORKSPACE] == "indexing"
        guarded.kubectl("label", "--overwrite", "namespace", "which", f"{WORKSPACE}=ranking", user="ruth")
    finally:
        guarded.kubectl("delete", "workspace", "indexing", user="root")


def test_a_dry_run_changes_nothing(guarded: Guarded) -> None:
    """`--dry-run=server` shows what would be stamped and refused, and stores nothing, nowhere."""
    guarded.create("rehearsed")
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=documents(policy("rehearsed")))
    everything = (*TREE, SECRET, f"{HOOKS}/mutatingwebhookconfigurations", f"{HOOKS}/validatingwebhookconfigurations")
    before = guarded.reader.versions(*everything, state=False)
    dry, at = "--dry-run=server", "--namespace=rehearsed"
    shown = json.loads(guarded.kubectl("create", "namespace", "imagined", dry, "-o", "json", user="wanda"))
    assert shown["metadata"]["labels"]["portcullis.dev/gate"] == "enforced"
    assert shown["metadata"]["labels"][WORKSPACE] == "checkout"
    guarded.kubectl("create", dry, "--filename=-", user="wanda", stdin=documents(policy("rehearsed", "imagined")))
    guarded.kubectl("delete", dry, "networkpolicy", "web", at, user="wanda")
    guarded.kubectl("label", dry, "namespace", "rehearsed", "a=b", user="wanda")
    guarded.kubectl("delete", dry, "namespace", "rehearsed", user="wanda")
    assert "[rbac/namespace]" in guarded.refused("delete", dry, "namespace", "rehearsed", user="rudi")
    assert "[baseline/managed-policy]" in guarded.refused("delete", dry, "networkpolicy", "--all", at, user="wanda")
    assert guarded.reader.namespace("imagined") is None
    assert guarded.reader.versions(*everything, state=False) == before
    guarded.look()
    recorded = [each["dry_run"] for each in guarded.decisions if each["name"] == "imagined"]
    assert recorded
    assert all(recorded)
