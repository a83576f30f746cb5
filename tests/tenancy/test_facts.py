"""What is known of a tenant under review."""

from typing import Any

import pytest

from tests.cases.reviews import Json
from webhook.model import WORKSPACE_LABEL, Baseline, Grant, Namespace, Subject, Tenancy, Tenant, TenantKind
from webhook.tenancy.facts import needed, read_written, tenancy_of
from webhook.tenancy.tree import Holdings, Tree, grow

ORG = "Organization/acme"
PAYMENTS, CHECKOUT = Tenant("Project", "payments"), Tenant("Workspace", "checkout", project="payments")
MEDIA, ADRIFT = Tenant("Project", "media"), Tenant("Workspace", "adrift", project="gone")


def owned(name: str, workspace: str) -> Namespace:
    """Return a namespace that names a workspace."""
    return Namespace(name, {WORKSPACE_LABEL: workspace})


TREE = grow(
    Holdings(
        Tenant("Organization", "acme"),
        (PAYMENTS, MEDIA, CHECKOUT, ADRIFT),
        (Baseline("zero-trust", ()),),
        (
            owned("dev", "checkout"),
            owned("afloat", "adrift"),
            owned("lost", "ghost"),
            owned("kube-system", "checkout"),
            Namespace("tools"),
            Namespace("empty", {WORKSPACE_LABEL: ""}),
        ),
    )
)


def facts(new: Tenant | None = None, old: Tenant | None = None, tree: Tree = TREE) -> Tenancy:
    """Return the facts of a tenant."""
    each = new or old
    assert each
    return tenancy_of(each.key, new, old, tree)


# What it owns.


@pytest.mark.parametrize(
    ("tenant", "names", "count"),
    [
        pytest.param(CHECKOUT, ("dev",), 1, id="namespaces"),
        pytest.param(Tenant("Workspace", "ghost", project="media"), ("lost",), 1, id="before-it-exists"),
        pytest.param(Tenant("Workspace", "payments", project="media"), (), 0, id="a-workspace-called-like-a-project"),
        pytest.param(PAYMENTS, ("checkout",), 1, id="workspaces"),
        pytest.param(Tenant("Project", "gone"), ("adrift",), 1, id="workspaces-of-no-project"),
        pytest.param(MEDIA, (), 0, id="nothing"),
        pytest.param(Tenant("Project", "checkout"), (), 0, id="a-project-called-like-a-workspace"),
        pytest.param(Tenant("Organization", "acme"), (), 0, id="the-organization-is-never-asked"),
    ],
)
def test_what_it_owns_is_known(tenant: Tenant, names: tuple[str, ...], count: int) -> None:
    """By who names it, whether it exists or not, and by the kind that it can own."""
    for each in (facts(tenant), facts(old=tenant)):
        assert (each.owned, each.owns) == (names, count)


def test_of_many_workspaces_a_few_are_named() -> None:
    """As of namespaces."""
    many = tuple(Tenant("Workspace", f"w{number}", project="payments") for number in range(30))
    found = facts(PAYMENTS, tree=grow(Holdings(TREE.organization, (PAYMENTS, *many))))
    assert (len(found.owned), found.owns) == (5, 30)


# Where the accounts live that it gives a role to.


@pytest.mark.parametrize(
    ("subject", "homes"),
    [
        pytest.param(
            Subject("ServiceAccount", "ci", "dev"), {"dev": ("Workspace/checkout", "Project/payments", ORG)}, id="owned"
        ),
        pytest.param(
            Subject("Group", "system:serviceaccounts:dev"),
            {"dev": ("Workspace/checkout", "Project/payments", ORG)},
            id="all-of-a-namespace",
        ),
        pytest.param(
            Subject("ServiceAccount", "ci", "afloat"),
            {"afloat": ("Workspace/adrift", "Project/gone", ORG)},
            id="adrift",
        ),
        pytest.param(Subject("ServiceAccount", "ci", "lost"), {"lost": ("Workspace/ghost", ORG)}, id="orphaned"),
        pytest.param(Subject("ServiceAccount", "ci", "tools"), {"tools": (ORG,)}, id="unowned"),
        pytest.param(Subject("ServiceAccount", "ci", "empty"), {"empty": (ORG,)}, id="an-empty-label"),
        pytest.param(Subject("ServiceAccount", "ci", "kube-system"), {"kube-system": (ORG,)}, id="reserved"),
        pytest.param(Subject("ServiceAccount", "ci", "nowhere"), {}, id="no-such-namespace"),
        pytest.param(Subject("User", "dev"), {}, id="a-person"),
        pytest.param(Subject("Group", "dev"), {}, id="a-group"),
        pytest.param(Subject("Group", "system:serviceaccounts"), {}, id="all-accounts-there-are"),
        pytest.param(Subject("User", "system:serviceaccounts:dev"), {}, id="a-user-called-like-such-a-group"),
    ],
)
def test_homes_are_those_of_accounts(subject: Subject, homes: dict[str, tuple[str, ...]]) -> None:
    """Each with what is above it by name, nearest first; a tenant need not exist to be above."""
    new = Tenant("Project", "media", roles=(Grant("ProjectAdmin", (subject,)), Grant("ProjectReader", (subject,))))
    assert facts(new).homes == homes
    assert facts(MEDIA, old=new).homes == facts(old=new).homes == {}


# What there is not.


@pytest.mark.parametrize(
    ("tenant", "missing"),
    [
        pytest.param(CHECKOUT, (), id="nothing"),
        pytest.param(Tenant("Workspace", "w", project="ghost"), ("Project/ghost",), id="project"),
        pytest.param(
            Tenant("Workspace", "w", project="checkout"), ("Project/checkout",), id="a-workspace-is-no-project"
        ),
        pytest.param(
            Tenant("Project", "p", baselines=("zero-trust", "mesh")), ("NetworkBaseline/mesh",), id="baseline"
        ),
        pytest.param(Tenant("Organization", "acme"), (), id="the-organization-has-no-project"),
    ],
)
def test_what_it_names_in_vain_is_known(tenant: Tenant, missing: tuple[str, ...]) -> None:
    """Of the new one alone."""
    assert facts(tenant).missing == missing
    assert facts(CHECKOUT, old=tenant).missing == ()


# The slice.


@pytest.mark.parametrize(
    ("new", "old", "keys"),
    [
        pytest.param(CHECKOUT, None, {"Workspace/checkout", "Project/payments"}, id="created"),
        pytest.param(None, CHECKOUT, {"Workspace/checkout", "Project/payments"}, id="deleted"),
        pytest.param(
            Tenant("Workspace", "checkout", project="media"),
            CHECKOUT,
            {"Workspace/checkout", "Project/payments", "Project/media"},
            id="moved",
        ),
        pytest.param(Tenant("Workspace", "new", project="ghost"), None, set(), id="nothing-that-is-there"),
        pytest.param(PAYMENTS, PAYMENTS, {"Project/payments"}, id="project"),
        pytest.param(None, None, set(), id="unreadable"),
    ],
)
def test_both_ends_and_itself_are_needed(new: Tenant | None, old: Tenant | None, keys: set[str]) -> None:
    """As they stand in the tree, where they do."""
    assert set(needed(Tenancy(new, old), TREE)) == keys


# What is written.


def deep() -> Json:
    """Return a spec that is nested deeper than Python follows."""
    found: Any = {}
    for _ in range(5000):
        found = {"a": found}
    return {"policies": [{"name": "a", "spec": found}]}


@pytest.mark.parametrize(
    ("kind", "name", "spec", "told"),
    [
        pytest.param("Workspace", "w", {"project": "p"}, "", id="workspace"),
        pytest.param("NetworkBaseline", "b", {"policies": []}, "", id="baseline"),
        pytest.param("Project", "p", None, "", id="no-spec"),
        pytest.param("Workspace", "w", None, "spec.project: ", id="without-its-project"),
        pytest.param("Workspace", "w", {"project": "p", "role": []}, "spec.role: ", id="unknown-field"),
        pytest.param(
            "Project", "p", {"roles": [{"role": "OrgAdmin"}]}, "'OrgAdmin' is no role of a Project", id="role"
        ),
        pytest.param("Organization", "o", [], "spec: ", id="a-list"),
        pytest.param("NetworkBaseline", "b", {}, "spec.policies: ", id="unreadable-baseline"),
        pytest.param("NetworkBaseline", "b", deep(), "spec: nested too deep", id="deep"),
        pytest.param("Project", "P", {}, "metadata.name: ", id="a-name-that-is-no-label"),
        pytest.param("Project", "", {}, "metadata.name: ", id="no-name"),
        pytest.param("Project", "p\n", {}, "metadata.name: ", id="a-name-with-a-line-end"),
    ],
)
def test_what_cannot_be_read_is_told(kind: TenantKind, name: str, spec: Any, told: str) -> None:
    """With its path; then there is no tenant."""
    tenant, unreadable = read_written(kind, name, spec)
    assert told in unreadable
    assert bool(unreadable) == bool(told)
    assert (tenant is not None) == (not told and kind in {"Organization", "Project", "Workspace"})
