"""Which bindings the tree asks for: a role counts at its own level alone, and only in what the tenant owns."""

from typing import Any

import orjson
import pytest

from webhook.model import RESERVED, WORKSPACE_LABEL, Grant, Namespace, Place, Subject, Tenant
from webhook.rights import wanted
from webhook.rights.wanted import ADMINS, CREATOR, GROUP, NAMES, ROLES, creators, wanted_at
from webhook.tenancy import specs
from webhook.tenancy.tree import Holdings, Tree, grow

EVERY = ("WorkspaceAdmin", "WorkspaceReader", "ProjectAdmin", "ProjectReader", "OrgAdmin", "InfraAdmin", "OrgReader")


def roles(at: str, *names: str) -> tuple[Grant, ...]:
    """Return a grant of each role, to a group named by role and tenant."""
    return tuple(Grant(name, (Subject("Group", f"{name} of {at}"),)) for name in names)


def tree_of(*tenants: Tenant, organization: Tenant | None = None) -> Tree:
    owner = organization or Tenant("Organization", "acme", roles=roles("acme", *EVERY, "SystemWriter"))
    return grow(Holdings(owner, tenants, namespaces=(Namespace("dev", {WORKSPACE_LABEL: "checkout"}),)))


TREE = tree_of(
    Tenant("Project", "payments", roles=roles("payments", *EVERY)),
    Tenant("Project", "search", roles=roles("search", *EVERY)),
    Tenant("Workspace", "checkout", "payments", roles=roles("checkout", *EVERY)),
    Tenant("Workspace", "refunds", "payments", roles=roles("refunds", *EVERY)),
)


def at(tree: Tree, name: str = "dev", **labels: str) -> Place:
    return tree.place(name, {f"portcullis.dev/{key}": value for key, value in labels.items()})


def named(subjects: list[dict[str, Any]]) -> list[str]:
    return [each["name"] for each in subjects]


def test_each_role_is_bound_where_it_counts() -> None:
    """One binding a role: a WorkspaceAdmin's of the workspace, not the one that a project would like to name."""
    found = wanted_at(at(TREE, workspace="checkout"), TREE)
    assert {name: named(each["subjects"]) for name, each in found.items()} == {
        "portcullis:workspace-admin": ["WorkspaceAdmin of checkout"],
        "portcullis:workspace-reader": ["WorkspaceReader of checkout"],
        "portcullis:project-admin": ["ProjectAdmin of payments"],
        "portcullis:project-reader": ["ProjectReader of payments"],
        "portcullis:org-admin": ["OrgAdmin of acme"],
        "portcullis:infra-admin": ["InfraAdmin of acme"],
        "portcullis:org-reader": ["OrgReader of acme"],
    }


def test_a_binding_is_whole() -> None:
    """As the API server stores it: it is compared so, and what it refers to is the ClusterRole of its name."""
    assert wanted_at(at(TREE, workspace="checkout"), TREE)["portcullis:workspace-admin"] == {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {
            "name": "portcullis:workspace-admin",
            "namespace": "dev",
            "labels": {"app.kubernetes.io/managed-by": "portcullis"},
        },
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "portcullis:workspace-admin"},
        "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": "WorkspaceAdmin of checkout"}],
    }


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(at(TREE), id="unowned"),
        pytest.param(at(TREE, workspace="ghost"), id="orphaned"),
        pytest.param(TREE.place_of("unseen"), id="unknown"),
        *[pytest.param(at(TREE, name, workspace="checkout"), id=name) for name in sorted(RESERVED)],
    ],
)
def test_what_nobody_owns_has_none(place: Place) -> None:
    """Neither those of the Organization: what they may there the platform binds by hand."""
    assert wanted_at(place, TREE) == {}


def test_a_workspace_without_its_project_has_none() -> None:
    """It is an OrgAdmin's alone until somebody mends it."""
    tree = tree_of(Tenant("Workspace", "checkout", "gone", roles=roles("checkout", *EVERY)))
    assert wanted_at(at(tree, workspace="checkout"), tree) == {}


SUBJECTS = (
    Subject("User", "wanda"),
    Subject("ServiceAccount", "bot", "ci"),
    Subject("Group", "system:authenticated"),
    Subject("User", "Wanda"),
    Subject("User", "wanda"),
    Subject("ServiceAccount", "bot", "cd"),
)
WRITTEN = [
    {"apiGroup": GROUP, "kind": "Group", "name": "system:authenticated"},
    {"kind": "ServiceAccount", "name": "bot", "namespace": "cd"},
    {"kind": "ServiceAccount", "name": "bot", "namespace": "ci"},
    {"apiGroup": GROUP, "kind": "User", "name": "Wanda"},
    {"apiGroup": GROUP, "kind": "User", "name": "wanda"},
]


@pytest.mark.parametrize("backwards", [False, True])
def test_subjects_are_taken_as_they_are_sorted_and_each_once(backwards: bool) -> None:  # noqa: FBT001 - a parameter
    """In whatever order and however often the tree names them: otherwise it would be written again and again."""
    listed = SUBJECTS[::-1] if backwards else SUBJECTS
    owner = Tenant("Organization", "acme", roles=tuple(Grant("OrgAdmin", (each,)) for each in listed))
    tree = tree_of(
        Tenant("Project", "payments"),
        Tenant("Workspace", "checkout", "payments", (Grant("WorkspaceAdmin", listed),)),
        organization=owner,
    )
    found = wanted_at(at(tree, workspace="checkout"), tree)
    assert found.keys() == {"portcullis:workspace-admin", "portcullis:org-admin"}
    assert [each["subjects"] for each in found.values()] == [WRITTEN, WRITTEN]
    assert creators(tree) == (WRITTEN, 0)


@pytest.mark.parametrize("name", ["Bot", "a_b", "-bot", "bot-", "a..b", "bot\n", "", "a/b", "é", "a" * 254])
def test_an_account_that_cannot_be_is_left_out(name: str) -> None:
    """One of it would have the API server refuse the whole binding, and whoever was revoked would stay in it."""
    both = (Subject("ServiceAccount", name, "ci"), Subject("ServiceAccount", "a.b-c.9", "ci"))
    tree = tree_of(
        Tenant("Project", "payments"), Tenant("Workspace", "checkout", "payments", (Grant("WorkspaceAdmin", both),))
    )
    found = wanted_at(at(tree, workspace="checkout"), tree)["portcullis:workspace-admin"]
    assert named(found["subjects"]) == ["a.b-c.9"]
    assert [each["name"] for each in creators(tree)[0] if each["kind"] == "ServiceAccount"] == ["a.b-c.9"]


def test_every_admin_of_the_tree_may_create_namespaces() -> None:
    """Of any level and tenant; no reader, no SystemWriter, and nobody by a role of another level."""
    assert named(creators(TREE)[0]) == [
        "InfraAdmin of acme",
        "OrgAdmin of acme",
        "ProjectAdmin of payments",
        "ProjectAdmin of search",
        "WorkspaceAdmin of checkout",
        "WorkspaceAdmin of refunds",
    ]


def test_who_asks_for_too_much_is_left_out_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant with more subjects than an object can hold keeps nobody else's rights from following the tree."""
    many = tuple(Subject("User", f"user-{index}") for index in range(200))
    monkeypatch.setattr(wanted, "MOST_BYTES", 2000)
    tree = tree_of(
        Tenant("Project", "greedy", roles=(Grant("ProjectAdmin", many),)),
        Tenant("Project", "payments", roles=roles("payments", "ProjectAdmin")),
    )
    found, left = creators(tree)
    assert (named(found), left) == (["InfraAdmin of acme", "OrgAdmin of acme", "ProjectAdmin of payments"], 1)
    assert len(orjson.dumps(found)) < 2000


def test_no_role_is_forgotten() -> None:
    """Every role that people can give has a ClusterRole of its own, but for SystemWriter, whose software brings it."""
    assert {kind: set(names) for kind, names in ROLES.items()} == {
        kind: names - {"SystemWriter"} for kind, names in specs.ROLES.items()
    }
    assert len(set(NAMES)) == len(NAMES) == 7
    assert CREATOR not in NAMES
    assert {name for names in ROLES.values() for name in names if name.endswith("Admin")} == ADMINS
