"""What people may do who hold nothing but a role of the tree: Portcullis gives it, and takes it when the tree does."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.guarded import FIRST, Guarded
from tests.e2e.manifests import BASE, WORKSPACE, documents, grant, namespace, ours, policy
from tests.e2e.reading import NAMESPACES, steady, until

Json = dict[str, Any]

RBAC = "/apis/rbac.authorization.k8s.io/v1"
CREATOR = f"{RBAC}/clusterrolebindings/portcullis:namespace-creator"
BOUND_SECONDS = 10
WANDA, RITA = grant("WorkspaceAdmin", "Group", "checkout-team"), grant("WorkspaceReader", "User", "rita")


@pytest.fixture(scope="module", autouse=True)
def _people_hold_nothing(guarded: Guarded) -> Iterator[None]:
    """Take from everybody what they hold by hand, but let a stranger try; afterwards they have it again."""
    held = guarded.kubectl("get", "clusterrolebinding", "people", "--output=json", user="root")
    guarded.kubectl("delete", "clusterrolebinding", "people", user="root")
    until(lambda: not can(guarded, "wanda", "get", "nodes"), BOUND_SECONDS)
    role = ("--clusterrole=portcullis:namespace-creator", "--user=stranger")
    guarded.kubectl("create", "clusterrolebinding", "strangers", *role, user="root")
    until(lambda: all(can(guarded, each, "create", "namespaces") for each in ("wanda", "stranger")), BOUND_SECONDS)
    yield
    guarded.kubectl("delete", "clusterrolebinding", "strangers", user="root")
    thing = json.loads(held)
    metadata = {"name": thing["metadata"]["name"]}
    guarded.kubectl("create", "--filename=-", user="root", stdin=json.dumps({**thing, "metadata": metadata}))
    until(lambda: can(guarded, "wanda", "get", "nodes"), BOUND_SECONDS)


def can(guarded: Guarded, user: str, *what: str) -> bool:
    """Ask the API server whether RBAC lets the user."""
    return guarded.plane.kubectl("auth", "can-i", *what, user=user, check=False).returncode == 0


def bindings(guarded: Guarded, place: str) -> dict[str, list[str]]:
    """Return who is bound in a namespace, by the name of the RoleBinding."""
    found = guarded.reader.read(f"{RBAC}/namespaces/{place}/rolebindings")["items"]
    return {each["metadata"]["name"]: [one["name"] for one in each.get("subjects", ())] for each in found}


def bound(guarded: Guarded, place: str, user: str = "wanda", verb: str = "create") -> None:
    """Return once RBAC lets the user write policies in a namespace."""
    until(lambda: can(guarded, user, verb, "networkpolicies", f"--namespace={place}"), BOUND_SECONDS)


CHECKOUT = {
    "portcullis:workspace-admin": ["checkout-team"],
    "portcullis:workspace-reader": ["rita"],
    "portcullis:project-admin": ["payments-admins"],
    "portcullis:org-admin": ["acme-admins"],
    "portcullis:org-reader": ["acme-audit"],
    "portcullis:infra-admin": ["argocd", "ivan"],
}


@pytest.mark.parametrize("label", ["", "checkout"], ids=["filled-in", "given"])
def test_a_workspace_admin_has_a_whole_day_of_work(guarded: Guarded, label: str) -> None:
    """Creates a namespace, reads it, writes, reads and deletes a policy in it, labels it and deletes it."""
    name = f"day-{label or 'filled-in'}"
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=documents(namespace(name, label)))
    until(lambda: can(guarded, "wanda", "delete", f"namespace/{name}", f"--namespace={name}"), BOUND_SECONDS)
    assert guarded.await_ready(name)["metadata"]["labels"][WORKSPACE] == "checkout"
    assert bindings(guarded, name) == CHECKOUT
    at = f"--namespace={name}"
    guarded.kubectl("apply", "--filename=-", user="wanda", stdin=documents(policy(name)))
    guarded.kubectl("apply", "--server-side", "--filename=-", user="wanda", stdin=documents(policy(name, "other")))
    assert "zero-trust.default-deny" in guarded.kubectl("get", "networkpolicies", at, user="wanda")
    guarded.kubectl("delete", "networkpolicy", "web", at, user="wanda")
    guarded.kubectl("label", "namespace", name, "team=checkout", user="wanda")
    assert "checkout" in guarded.kubectl("get", "namespace", name, "--output=yaml", user="wanda")
    guarded.kubectl("delete", "namespace", name, "--wait=false", user="wanda")
    assert "deletionTimestamp" in guarded.reader.read(f"{NAMESPACES}/{name}")["metadata"]


@pytest.fixture(scope="module")
def place(guarded: Guarded) -> str:
    """A namespace of workspace checkout."""
    guarded.create("righteous")
    until(lambda: bindings(guarded, "righteous") == CHECKOUT, BOUND_SECONDS)
    bound(guarded, "righteous")
    return "righteous"


REACH: dict[str, Callable[[str], tuple[str, ...]]] = {
    "read": lambda at: ("get", "networkpolicies", f"--namespace={at}"),
    "write": lambda at: ("create", "networkpolicies", f"--namespace={at}"),
    "clear": lambda at: ("deletecollection", "networkpolicies", f"--namespace={at}"),
    "cilium": lambda at: ("create", "ciliumnetworkpolicies.cilium.io", f"--namespace={at}"),
    "calico": lambda at: ("create", "networksets.crd.projectcalico.org", f"--namespace={at}"),
    "aggregated": lambda at: ("create", "networkpolicies.projectcalico.org", f"--namespace={at}"),
    "see": lambda at: ("get", f"namespace/{at}", f"--namespace={at}"),
    "change": lambda at: ("patch", f"namespace/{at}", f"--namespace={at}"),
    "end": lambda at: ("delete", f"namespace/{at}", f"--namespace={at}"),
    "finalize": lambda at: ("update", f"namespace/{at}", "--subresource=finalize", f"--namespace={at}"),
    "create": lambda _: ("create", "namespaces"),
    "browse": lambda _: ("list", "namespaces"),
    "another": lambda _: ("get", "namespace/default", "--namespace=default"),
    "elsewhere": lambda _: ("get", "networkpolicies", "--namespace=default"),
    "everywhere": lambda _: ("list", "networkpolicies", "--all-namespaces"),
    "tree": lambda _: ("get", "workspaces.portcullis.dev"),
    "baselines": lambda _: ("update", "networkbaselines.portcullis.dev"),
    "pods": lambda at: ("create", "pods", f"--namespace={at}"),
    "secrets": lambda at: ("get", "secrets", f"--namespace={at}"),
    "bind": lambda at: ("create", "rolebindings", f"--namespace={at}"),
}
OWNER = {"read", "write", "clear", "cilium", "calico", "see", "change", "end", "create"}
MAY: dict[str, set[str]] = {
    "wanda": OWNER,
    "paul": OWNER,
    "olga": OWNER,
    "ivan": {"read", "see", "change", "create"},
    "argocd": {"read", "see", "change", "create"},
    "rita": {"read", "see"},
    # Of another workspace of the project, and of another project.
    "rudi": {"create"},
    "ruth": {"create"},
    # The platform's own binding lets him try.
    "stranger": {"create"},
}


@pytest.mark.parametrize("user", MAY)
def test_a_role_is_worth_what_it_says_and_no_more(guarded: Guarded, place: str, user: str) -> None:
    """By RBAC alone, asked of the API server: neither other namespaces, nor other kinds, nor the tree."""
    found = {name for name, what in REACH.items() if can(guarded, user, *what(place))}
    assert found == MAY[user]
    guarded.refused("delete", "networkpolicy", "zero-trust.default-deny", f"--namespace={place}", user="wanda")


def test_a_sibling_and_a_reader_change_nothing(guarded: Guarded, place: str) -> None:
    """A sibling sees nothing at all, a reader reads; the webhook narrows what RBAC would let a sibling create."""
    at = f"--namespace={place}"
    for user in ("rudi", "stranger"):
        assert "Forbidden" in guarded.refused("get", "networkpolicies", at, user=user)
        assert "Forbidden" in guarded.refused("get", "namespace", place, user=user)
        assert "Forbidden" in guarded.refused("delete", "namespace", place, user=user)
    assert "zero-trust" in guarded.kubectl("get", "networkpolicies", at, user="rita")
    guarded.kubectl("get", "namespace", place, user="rita")
    for refused in (("label", "namespace", place, "a=b"), ("delete", "networkpolicy", "zero-trust.default-deny", at)):
        assert "Forbidden" in guarded.refused(*refused, user="rita")
    taken = documents(namespace("taken", "checkout"))
    assert "[rbac/namespace]" in guarded.refused("create", "--filename=-", user="rudi", stdin=taken)


def test_what_the_tree_revokes_is_gone(guarded: Guarded, place: str) -> None:
    """A subject that leaves a workspace leaves its namespaces and those who may create any, and comes back with it."""

    def workspace(*roles: Json) -> str:
        return documents(ours("Workspace", "checkout", project="payments", roles=list(roles)))

    def creators() -> list[str]:
        return [each["name"] for each in guarded.reader.read(CREATOR).get("subjects", ())]

    assert "checkout-team" in creators()
    guarded.kubectl("apply", "--filename=-", user="root", stdin=workspace(RITA))
    try:
        without = {name: names for name, names in CHECKOUT.items() if name != "portcullis:workspace-admin"}
        until(lambda: bindings(guarded, place) == without and "checkout-team" not in creators(), BOUND_SECONDS)
        until(lambda: not can(guarded, "wanda", "get", "networkpolicies", f"--namespace={place}"), BOUND_SECONDS)
        until(lambda: not can(guarded, "wanda", "create", "namespaces"), BOUND_SECONDS)
        assert can(guarded, "rita", "get", "networkpolicies", f"--namespace={place}")
    finally:
        guarded.kubectl("apply", "--filename=-", user="root", stdin=workspace(WANDA, RITA))
    until(lambda: bindings(guarded, place) == CHECKOUT and "checkout-team" in creators(), BOUND_SECONDS)
    bound(guarded, place)
    guarded.kubectl("create", "namespace", "again", "--dry-run=server", user="wanda")


def test_bindings_follow_a_namespace(guarded: Guarded) -> None:
    """Moved, it is its new owners'; released, nobody's of ours; adopted, theirs who adopted it."""
    guarded.create("nomad")
    until(lambda: bindings(guarded, "nomad") == CHECKOUT, BOUND_SECONDS)
    bound(guarded, "nomad", "paul")
    move = ("label", "--overwrite", "namespace", "nomad")
    guarded.kubectl(*move, f"{WORKSPACE}=refunds", user="paul")
    refunds = {**CHECKOUT, "portcullis:workspace-admin": ["refunds-team"]}
    del refunds["portcullis:workspace-reader"]
    until(lambda: bindings(guarded, "nomad") == refunds, BOUND_SECONDS)
    until(lambda: not can(guarded, "wanda", "get", "networkpolicies", "--namespace=nomad"), BOUND_SECONDS)
    bound(guarded, "nomad", "rudi")
    guarded.kubectl(*move, f"{WORKSPACE}-", user="olga")
    until(lambda: bindings(guarded, "nomad") == {}, BOUND_SECONDS)
    guarded.kubectl(*move, f"{WORKSPACE}=checkout", user="root")
    until(lambda: bindings(guarded, "nomad") == CHECKOUT, BOUND_SECONDS)


def test_a_binding_is_put_back_whatever_becomes_of_it(guarded: Guarded, place: str) -> None:
    """Deleted, given to others, without our label, held by a finalizer, or bound to another role."""
    name = "portcullis:workspace-admin"
    at = f"--namespace={place}"
    path = f"{RBAC}/namespaces/{place}/rolebindings/{name}"
    before = {key: each for key, each in guarded.reader.read(path).items() if key != "metadata"}

    def stands() -> bool:
        found = guarded.reader.find(path) or {"metadata": {}}
        same = {key: each for key, each in found.items() if key != "metadata"} == before
        labelled = found["metadata"].get("labels") == {"app.kubernetes.io/managed-by": "portcullis"}
        return same and labelled and "finalizers" not in found["metadata"]

    assert stands()
    guarded.kubectl("delete", "rolebinding", name, at, user="root")
    until(stands, BOUND_SECONDS)
    others = {"subjects": [{"kind": "User", "name": "stranger", "apiGroup": "rbac.authorization.k8s.io"}]}
    unlabelled = {"metadata": {"labels": None, "finalizers": ["example.com/stay"]}}
    for change in (others, unlabelled):
        guarded.kubectl("patch", "rolebinding", name, at, "--type=merge", f"--patch={json.dumps(change)}", user="root")
        until(stands, BOUND_SECONDS)
    guarded.kubectl("delete", "rolebinding", name, at, user="root")
    squat = ("create", "rolebinding", name, at, "--clusterrole=view", "--user=stranger")
    until(lambda: guarded.plane.kubectl(*squat, user="root", check=False).returncode == 0 or stands(), BOUND_SECONDS)
    until(stands, BOUND_SECONDS)
    assert not can(guarded, "stranger", "get", "networkpolicies", at)
    guarded.refused("delete", "networkpolicy", "zero-trust.default-deny", at, user="wanda")


def test_a_namespace_that_is_not_there_yet_is_created_and_not_applied(guarded: Guarded) -> None:
    """An apply reads or patches first, which would be a right to read every tenant's namespace by name."""
    thing = documents(namespace("not-yet-made", "checkout"))
    assert 'cannot get resource "namespaces"' in guarded.refused("apply", "--filename=-", user="wanda", stdin=thing)
    server_side = ("apply", "--server-side", "--filename=-")
    assert 'cannot patch resource "namespaces"' in guarded.refused(*server_side, user="wanda", stdin=thing)
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=thing)
    bound(guarded, "not-yet-made")
    guarded.kubectl("apply", "--server-side", "--filename=-", user="wanda", stdin=thing)


def test_a_cluster_role_binding_that_is_gone_is_asked_for(guarded: Guarded) -> None:
    """We may not make it, so /readyz says what brings it; once it is there again it has its subjects."""
    before = guarded.reader.read(CREATOR)["subjects"]
    guarded.kubectl("create", "namespace", "witness", "--dry-run=server", user="wanda")

    def notes() -> str:
        return str(guarded.processes[FIRST].health()["notes"])

    guarded.kubectl("delete", "clusterrolebinding", "portcullis:namespace-creator", user="root")
    try:
        until(lambda: "portcullis:namespace-creator is missing; kubectl apply -k manifests/base" in notes(), 10)
        assert guarded.processes[FIRST].health()["ready"]
    finally:
        guarded.kubectl("apply", "--filename", str(BASE / "roles.yaml"), user="root")
    until(lambda: guarded.reader.read(CREATOR).get("subjects") == before, BOUND_SECONDS)
    until(lambda: "the roles of the tree are not bound" not in notes(), 10)


def test_what_is_right_is_not_written_again(guarded: Guarded, place: str) -> None:
    """Neither by the one who wrote it nor by one that starts: every binding keeps its version."""

    def versions() -> dict[str, str]:
        found = [each for kind in ("rolebindings", "clusterrolebindings") for each in items(guarded, kind)]
        return {each["metadata"]["uid"]: each["metadata"]["resourceVersion"] for each in found}

    before = steady(versions, 1)
    guarded.stop()
    guarded.gate()
    guarded.create("beginning")
    until(lambda: bindings(guarded, "beginning") == CHECKOUT, BOUND_SECONDS)
    fresh = {each["metadata"]["uid"] for each in items(guarded, "rolebindings", "beginning")}
    assert {uid: version for uid, version in steady(versions, 2).items() if uid not in fresh} == before
    assert bindings(guarded, place) == CHECKOUT


def items(guarded: Guarded, kind: str, place: str = "") -> list[Json]:
    """Return what of a kind carries our names and does not end with its namespace."""
    path = f"{RBAC}/namespaces/{place}/{kind}" if place else f"{RBAC}/{kind}"
    ending = {
        each["metadata"]["name"]
        for each in guarded.reader.read(NAMESPACES)["items"]
        if "deletionTimestamp" in each["metadata"]
    }
    found = [each for each in guarded.reader.read(path)["items"] if each["metadata"]["name"].startswith("portcullis:")]
    return [each for each in found if each["metadata"].get("namespace") not in ending]


BOUND = ("portcullis:workspace-admin", "portcullis:org-admin", "portcullis:infra-admin", "portcullis:org-reader")
UNBOUND = ("cluster-admin", "admin", "edit", "view", "portcullis:tree-admin", "portcullis:platform-admin")


@pytest.mark.parametrize("role", [*BOUND, *UNBOUND])
def test_our_service_account_binds_these_roles_alone(guarded: Guarded, place: str, role: str) -> None:
    """With its own token: it cannot give anybody, itself included, what is not in this list, nor invent a role."""
    dry, at = "--dry-run=server", f"--namespace={place}"
    tried = ("create", "rolebinding", "mine", at, f"--clusterrole={role}", "--user=stranger", dry)
    if role in BOUND:
        guarded.kubectl(*tried, user="portcullis")
    else:
        assert "attempting to grant RBAC permissions not currently held" in guarded.refused(*tried, user="portcullis")
    widely = ("create", "clusterrolebinding", "mine", f"--clusterrole={role}", "--user=stranger", dry)
    assert "cannot create resource" in guarded.refused(*widely, user="portcullis")
    guarded.refused("delete", "networkpolicy", "zero-trust.default-deny", at, user="wanda")


def test_our_service_account_makes_no_role_and_touches_no_other_binding(guarded: Guarded, place: str) -> None:
    """With its own token: others' bindings are neither read nor changed, and no role is written."""
    at = f"--namespace={place}"
    guarded.kubectl("create", "rolebinding", "others", at, "--clusterrole=view", "--user=rudi", user="root")
    give = json.dumps({"subjects": [{"kind": "User", "name": "x", "apiGroup": "rbac.authorization.k8s.io"}]})
    merge = ("--type=merge", f"--patch={give}")
    for tried in (
        ("get", "rolebinding", "others", at),
        ("get", "rolebindings", at),
        ("patch", "rolebinding", "others", at, *merge),
        ("delete", "rolebinding", "others", at),
        ("patch", "clusterrolebinding", "cluster-admin", *merge),
        ("delete", "clusterrolebinding", "portcullis:namespace-creator"),
        ("create", "clusterrole", "mine", "--verb=get", "--resource=secrets"),
        ("create", "role", "mine", at, "--verb=get", "--resource=secrets"),
        ("patch", "clusterrole", "portcullis:workspace-admin", "--type=merge", '--patch={"rules":[]}'),
    ):
        assert "Forbidden" in guarded.refused(*tried, user="portcullis"), tried
    guarded.kubectl("delete", "rolebinding", "others", at, user="root")
    guarded.refused("delete", "networkpolicy", "zero-trust.default-deny", at, user="wanda")


def test_without_rbac_no_binding_is_made_or_changed(guarded: Guarded, place: str) -> None:
    """`--no-rbac`: a new namespace has none, those that stand are left; afterwards all is as the tree asks."""
    gone = ("delete", "rolebinding", "portcullis:project-admin", f"--namespace={place}")
    guarded.create("clinging")
    until(lambda: bindings(guarded, "clinging") == CHECKOUT, BOUND_SECONDS)
    # Deleted it would stand on, and in force.
    stay = ("patch", "rolebinding", "portcullis:workspace-admin", "--namespace=clinging", "--type=merge")
    guarded.stop()
    guarded.start(FIRST, "--no-rbac")
    try:
        guarded.await_gate()
        guarded.create("unbound")
        guarded.kubectl(*gone, user="root")
        finalizers = json.dumps({"metadata": {"finalizers": ["example.com/stay"]}})
        guarded.kubectl(*stay, f"--patch={finalizers}", user="root")
        guarded.kubectl("label", "namespace", "clinging", f"{WORKSPACE}-", user="root")
        names = CHECKOUT.keys() - {"portcullis:project-admin"}
        assert steady(lambda: bindings(guarded, place).keys(), 2) == names
        assert (bindings(guarded, "unbound"), bindings(guarded, "clinging")) == ({}, CHECKOUT)
    finally:
        guarded.stop()
        guarded.gate()
    until(lambda: bindings(guarded, place) == bindings(guarded, "unbound") == CHECKOUT, 20)
    until(lambda: bindings(guarded, "clinging") == {}, 20)
