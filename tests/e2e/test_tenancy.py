"""The tree guarded against its own users: who stands above changes it, and nobody undoes what stands below."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.guarded import Guarded
from tests.e2e.manifests import Json, documents, grant, namespace, organization, ours
from tests.e2e.reading import TREE, Reader, until

ORGANIZATIONS, _, WORKSPACES, _ = TREE
TEAM = grant("WorkspaceAdmin", "Group", "checkout-team")
OLGA = grant("OrgAdmin", "Group", "acme-admins")
IVAN = grant("InfraAdmin", "User", "ivan")
RULE = "[rbac/tenancy]"
GONE_SECONDS = 30.0
"""In which a namespace that is deleted has gone; the namespace controller takes 5 s at the least."""

Make = Callable[..., str]


@pytest.fixture
def make(guarded: Guarded) -> Iterator[Make]:
    """Create workspaces, of paul's project unless said otherwise; what is left of them in the end goes."""
    made = []

    def make(name: str, *, user: str = "paul", project: str = "payments", **spec: object) -> str:
        made.append(name)
        told = documents(ours("Workspace", name, project=project, **spec))
        guarded.kubectl("create", "--filename=-", user=user, stdin=told)
        return name

    yield make
    for name in made:
        guarded.kubectl("delete", "workspace", name, "--ignore-not-found", "--wait=false", user="root")


def patch(change: Json, kind: str = "merge") -> tuple[str, ...]:
    """Return the flags of a patch."""
    return (f"--type={kind}", "--patch", json.dumps(change))


def test_a_project_admin_makes_a_workspace_that_works(guarded: Guarded, make: Make) -> None:
    """Its admins own a namespace in it a moment later; changed and deleted by the project admin, too."""
    make("loyalty", roles=[grant("WorkspaceAdmin", "Group", "refunds-team")])
    told = documents(namespace("points", "loyalty"))
    until(
        lambda: guarded.plane.kubectl("create", "--filename=-", user="rudi", stdin=told, check=False).returncode == 0, 5
    )
    found = guarded.await_ready("points")
    assert found["metadata"]["labels"]["portcullis.dev/project"] == "payments"
    guarded.kubectl("patch", "workspace", "loyalty", *patch({"spec": {"roles": [TEAM]}}), user="paul")
    guarded.kubectl("delete", "namespace", "points", "--wait=false", user="paul")


def test_a_generated_name_is_judged_as_any_other(guarded: Guarded) -> None:
    """By its project."""
    told = ours("Workspace", "", project="payments")
    told["metadata"] = {"generateName": "spare-"}
    name = guarded.kubectl("create", "--filename=-", "-o", "name", user="paul", stdin=documents(told)).strip()
    assert RULE in guarded.refused("create", "--filename=-", user="wanda", stdin=documents(told))
    guarded.kubectl("delete", name, user="paul")


MORE = {"spec": {"roles": [TEAM, grant("WorkspaceAdmin", "User", "wanda")]}}
SELF_GRANTS = {
    "merge-patch": ("patch", "workspace", "checkout", *patch(MORE)),
    "json-patch": (
        "patch", "workspace", "checkout",
        *patch([{"op": "add", "path": "/spec/roles/-", "value": grant("WorkspaceAdmin", "User", "wanda")}], "json"),  # type: ignore[arg-type]  # so
    ),
    "apply": ("apply", "--filename=-"),
    "server-side-apply": ("apply", "--server-side", "--force-conflicts", "--filename=-"),
    "replace": ("replace", "--filename=-"),
    "delete": ("delete", "workspace", "checkout"),
    "label": ("label", "workspace", "checkout", "a=b"),
}  # fmt: skip


@pytest.mark.parametrize("how", SELF_GRANTS)
def test_a_workspace_admin_does_not_change_the_own_workspace(guarded: Guarded, how: str) -> None:
    """However kubectl sends it; the names of whom to ask are told, for the own workspace is seen."""
    before = guarded.reader.versions(WORKSPACES, state=False)
    told = documents(ours("Workspace", "checkout", project="payments", **MORE["spec"]))
    stdin = told if "--filename=-" in SELF_GRANTS[how] else ""
    said = guarded.refused(*SELF_GRANTS[how], user="wanda", stdin=stdin)
    assert RULE in said
    assert "it belongs to project payments. Allowed: ProjectAdmin of payments (Group payments-admins)" in said
    assert guarded.reader.versions(WORKSPACES, state=False) == before


def test_a_project_admin_does_not_change_the_own_project(guarded: Guarded) -> None:
    """Nor makes another one, nor changes the organization."""
    role = {"spec": {"roles": [grant("ProjectAdmin", "User", "paul")]}}
    assert RULE in guarded.refused("patch", "project", "payments", *patch(role), user="paul")
    made = documents(ours("Project", "mine", **role["spec"]))
    assert RULE in guarded.refused("create", "--filename=-", user="paul", stdin=made)
    assert RULE in guarded.refused("delete", "project", "payments", user="paul")
    assert RULE in guarded.refused("patch", "organization", "acme", *patch({"spec": {"baselines": []}}), user="ivan")


def test_a_workspace_is_stolen_from_neither_end(guarded: Guarded) -> None:
    """A project admin takes none of another project and gives none away; an OrgAdmin moves it."""
    said = guarded.refused("patch", "workspace", "ranking", *patch({"spec": {"project": "payments"}}), user="paul")
    assert "it would move the workspace to project payments, and it belongs to another project" in said
    assert "search" not in said
    said = guarded.refused("patch", "workspace", "refunds", *patch({"spec": {"project": "search"}}), user="paul")
    assert "it would move the workspace to project search, and it belongs to project payments" in said
    assert "search-admins" not in said
    move = ("patch", "workspace", "refunds", "--dry-run=server")
    guarded.kubectl(*move, *patch({"spec": {"project": "search"}}), user="olga")


def test_what_owns_a_namespace_is_not_deleted(guarded: Guarded, make: Make) -> None:
    """By nobody, in no way, until the namespace is gone; one that ends counts."""
    make("attic", roles=[TEAM])
    told = documents(namespace("boxes", "attic"))
    until(
        lambda: guarded.plane.kubectl("create", "--filename=-", user="paul", stdin=told, check=False).returncode == 0, 5
    )
    guarded.await_ready("boxes")
    for user in ("paul", "olga"):
        for how in ((), ("--cascade=foreground",), ("--cascade=orphan",)):
            said = guarded.refused("delete", "workspace", "attic", *how, user=user)
            assert f"{RULE} {user} may not delete Workspace attic: 1 namespaces still name it (boxes)" in said
    said = guarded.refused("delete", "project", "payments", user="olga")
    assert "workspaces still name it" in said
    guarded.kubectl("delete", "namespace", "boxes", "--wait=false", user="paul")
    assert "1 namespaces still name it" in guarded.refused("delete", "workspace", "attic", user="paul")
    until(lambda: guarded.reader.namespace("boxes") is None, GONE_SECONDS)
    until(lambda: guarded.plane.kubectl("delete", "workspace", "attic", user="paul", check=False).returncode == 0, 5)
    assert guarded.reader.find(f"{WORKSPACES}/attic") is None


def test_a_finalizer_is_no_way_round(guarded: Guarded, make: Make) -> None:
    """Deleted while it owns nothing and held by a finalizer, it does not go once it owns something."""
    make("limbo", roles=[TEAM])
    guarded.kubectl("patch", "workspace", "limbo", *patch({"metadata": {"finalizers": ["example.com/a"]}}), user="paul")
    guarded.kubectl("delete", "workspace", "limbo", "--wait=false", user="paul")
    guarded.kubectl("create", "--filename=-", user="paul", stdin=documents(namespace("late", "limbo")))
    guarded.await_ready("late")
    free = ("patch", "workspace", "limbo", *patch({"metadata": {"finalizers": None}}))
    assert "1 namespaces still name it (late)" in guarded.refused(*free, user="paul")
    guarded.kubectl("delete", "namespace", "late", user="paul")
    until(lambda: guarded.plane.kubectl(*free, user="paul", check=False).returncode == 0, 5)


def test_a_name_that_namespaces_carry_is_an_org_admins(guarded: Guarded, make: Make) -> None:
    """Orphans of a former workspace are not taken over with its name."""
    make("former", roles=[TEAM])
    told = documents(namespace("orphan", "former"))
    until(
        lambda: guarded.plane.kubectl("create", "--filename=-", user="wanda", stdin=told, check=False).returncode == 0,
        5,
    )
    guarded.kubectl("delete", "workspace", "former", user="root")
    again = documents(ours("Workspace", "former", project="payments", roles=[TEAM]))
    create = ("create", "--filename=-")
    until(
        lambda: "namespaces carry this name" in guarded.refused(*create, "--dry-run=server", user="paul", stdin=again),
        5,
    )
    assert "orphan" not in guarded.refused(*create, user="paul", stdin=again)
    guarded.kubectl(*create, user="olga", stdin=again)
    guarded.kubectl("delete", "namespace", "orphan", "--wait=false", user="olga")


def test_a_second_organization_is_refused(guarded: Guarded) -> None:
    """In either way to make one, and the first is not deleted."""
    told = documents(organization("umbrella", OLGA))
    for how in ("create", "apply"):
        said = guarded.refused(how, "--filename=-", user="olga", stdin=told)
        assert f"{RULE} olga may not create Organization umbrella: a cluster belongs to one Organization" in said
    said = guarded.refused("delete", "organization", "acme", user="olga")
    assert "Allowed: break-glass alone" in said
    assert [each["metadata"]["name"] for each in guarded.reader.read(ORGANIZATIONS)["items"]] == ["acme"]


@pytest.mark.parametrize(
    "roles",
    [
        pytest.param([IVAN], id="none"),
        pytest.param([{"role": "OrgAdmin", "subjects": []}, IVAN], id="no-subjects"),
        pytest.param([grant("OrgAdmin", "ServiceAccount", "ci", namespace="nowhere")], id="nobody"),
    ],
)
def test_the_last_org_admin_stays(guarded: Guarded, roles: list[Json]) -> None:
    """An OrgAdmin changes the organization, but does not leave it without one."""
    before = guarded.reader.versions(ORGANIZATIONS, state=False)
    said = guarded.refused("patch", "organization", "acme", *patch({"spec": {"roles": roles}}), user="olga")
    assert f"{RULE} olga may not update Organization acme: nobody would be OrgAdmin any more" in said
    assert guarded.reader.versions(ORGANIZATIONS, state=False) == before
    dry = ("patch", "organization", "acme", "--dry-run=server")
    guarded.kubectl(*dry, *patch({"spec": {"roles": [OLGA]}}), user="olga")


def test_only_an_org_admin_widens_a_guardrail(guarded: Guarded, make: Make) -> None:
    """A project admin neither sets nor makes one that is wider, and leaves one that an OrgAdmin has set."""
    make("wide", roles=[TEAM])
    change = ("patch", "workspace", "wide", *patch({"spec": {"guardrails": {"fromAnywhere": "Allow"}}}))
    said = guarded.refused(*change, user="paul")
    assert "paul may not update Workspace wide: it would set fromAnywhere to Allow, where Deny stands above" in said
    made = documents(ours("Workspace", "wider", project="payments", guardrails={"hostNetwork": "Allow"}))
    assert "it would set hostNetwork to Allow" in guarded.refused("create", "--filename=-", user="paul", stdin=made)
    guarded.kubectl(*change, user="olga")
    guarded.kubectl("label", "workspace", "wide", "a=b", user="paul")
    narrow = patch({"spec": {"guardrails": {"fromAnywhere": None, "crossProject": "Deny"}}})
    guarded.kubectl("patch", "workspace", "wide", *narrow, user="paul")


def test_no_role_is_lent_to_whom_it_guards_against(guarded: Guarded) -> None:
    """Whose pods run in a namespace could use its accounts: not those of what is below, and never everybody's."""
    guarded.create("runners")
    account = {"namespace": "runners"}
    lent = patch({"spec": {"roles": [grant("ProjectAdmin", "ServiceAccount", "ci", **account)]}})
    said = guarded.refused("patch", "project", "payments", *lent, user="olga")
    assert "it would give ProjectAdmin to ServiceAccount runners/ci, in a namespace that is owned below" in said
    dry = ("patch", "workspace", "checkout", "--dry-run=server")
    guarded.kubectl(
        *dry,
        *patch({"spec": {"roles": [TEAM, grant("WorkspaceAdmin", "ServiceAccount", "ci", **account)]}}),
        user="paul",
    )
    everybody = patch({"spec": {"roles": [TEAM, grant("WorkspaceAdmin", "Group", "system:authenticated")]}})
    assert "which is everybody" in guarded.refused("patch", "workspace", "checkout", *everybody, user="paul")


def test_nothing_is_left_to_the_garbage_collector(guarded: Guarded) -> None:
    """It may delete whatever has an owner that is gone, so nobody gives a tenant or a baseline one."""
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"}
    change = patch({"metadata": {"ownerReferences": [owner]}})
    for user, kind, name in (
        ("paul", "workspace", "checkout"),
        ("olga", "project", "payments"),
        ("olga", "organization", "acme"),
        ("ivan", "networkbaseline", "zero-trust"),
    ):
        said = guarded.refused("patch", kind, name, *change, user=user)
        assert "with an owner reference the garbage collector would delete it" in said


def test_a_name_that_is_not_there_yet_is_a_warning(guarded: Guarded) -> None:
    """To an OrgAdmin, who may name what comes later; a project admin is refused and does not learn what there is."""
    there, nowhere = (documents(ours("Workspace", "early", project=each)) for each in ("search", "ghost"))
    create = ("create", "--dry-run=server", "--filename=-")
    ran = guarded.plane.kubectl(*create, user="olga", stdin=nowhere)
    assert "there is no Project ghost yet" in ran.stderr
    refusals = [guarded.refused(*create, user="paul", stdin=each) for each in (there, nowhere)]
    told = [
        each.replace("search", "X").replace("ghost", "X").rpartition(" Decision ")[0].rpartition(RULE)[2]
        for each in refusals
    ]
    assert told[0] == told[1] != ""


def test_a_collection_is_deleted_by_who_may_delete_each(guarded: Guarded) -> None:
    """What arrives without a name is judged by the object that goes."""
    client = Reader(guarded.plane, "wanda").client
    with client:
        answer = client.delete(WORKSPACES, params={"dryRun": "All"})
    assert (answer.status_code, RULE in answer.text) == (403, True)


def test_break_glass_applies_the_tree_again(guarded: Guarded) -> None:
    """As on the first day, now that it is gated; and nothing of it changes."""
    before = guarded.reader.versions(*TREE[:3], state=False)
    guarded.plant()
    guarded.kubectl("label", "workspace", "checkout", "a=b", user="root")
    guarded.kubectl("label", "workspace", "checkout", "a-", user="root")
    assert guarded.reader.versions(*TREE[:3], state=False).keys() == before.keys()
    assert guarded.reader.read(f"{WORKSPACES}/checkout")["metadata"].get("labels", {}) == {}
