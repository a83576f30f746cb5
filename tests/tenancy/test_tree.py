"""Where namespaces stand in the tree, and what of it can be looked up."""

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook.model import (
    BASELINE_LABEL,
    GATE_LABEL,
    MANAGED_BY_LABEL,
    ORGANIZATION_LABEL,
    PROJECT_LABEL,
    RESERVED,
    WORKSPACE_LABEL,
    Baseline,
    BaselinePolicy,
    Grant,
    Namespace,
    Place,
    Policy,
    Standing,
    Subject,
    Tenant,
)
from webhook.tenancy.namespaces import Namespaces
from webhook.tenancy.tree import Holdings, Tree, grow

# A machine that is busy with something else makes a test slow, not wrong.
THOROUGH = settings(max_examples=200, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
ACME = Tenant("Organization", "acme", baselines=("zero-trust",))
PAYMENTS = Tenant("Project", "payments", baselines=("mesh",))
CHECKOUT = Tenant("Workspace", "checkout", project="payments", baselines=("strict", "mesh"))
REFUNDS = Tenant("Workspace", "refunds", project="payments")
ADRIFT = Tenant("Workspace", "adrift", project="gone")


def selecting(name: str, **labels: str) -> Baseline:
    """Return a baseline for namespaces with these labels."""
    return Baseline(name, (), {"matchLabels": labels})


def tree_of(*baselines: Baseline, namespaces: tuple[Namespace, ...] = (), policies: tuple[Policy, ...] = ()) -> Tree:
    """Return a tree of one project with three workspaces, one of which names a project that is not there."""
    tenants = (PAYMENTS, CHECKOUT, REFUNDS, ADRIFT)
    return grow(Holdings(ACME, tenants, baselines, namespaces, policies))


def test_an_owned_namespace_has_its_whole_path() -> None:
    """Nearest first, with the names of all three levels and the baselines of all three, sorted and each once."""
    assert tree_of().place("checkout-dev", {WORKSPACE_LABEL: "checkout"}) == Place(
        namespace="checkout-dev",
        standing=Standing.OWNED,
        workspace="checkout",
        project="payments",
        organization="acme",
        path=("Workspace/checkout", "Project/payments", "Organization/acme"),
        baselines=("mesh", "strict", "zero-trust"),
    )


def test_a_workspace_without_baselines_has_those_above_it() -> None:
    """Baselines of all levels add up, whether they exist or not."""
    assert tree_of().place("refunds-dev", {WORKSPACE_LABEL: "refunds"}).baselines == ("mesh", "zero-trust")


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({}, id="no-label"),
        pytest.param({WORKSPACE_LABEL: ""}, id="empty-label"),
        pytest.param({PROJECT_LABEL: "payments", ORGANIZATION_LABEL: "acme"}, id="derived-labels-own-nothing"),
        pytest.param({"workspace": "checkout"}, id="another-label"),
    ],
)
def test_without_the_label_a_namespace_is_unowned(labels: dict[str, str]) -> None:
    """It has no baseline of the organization's, only the organization above it."""
    assert tree_of().place("monitoring", labels) == Place("monitoring", Standing.UNOWNED, path=("Organization/acme",))


@pytest.mark.parametrize(
    "workspace",
    [
        pytest.param("ghost", id="no-such-workspace"),
        pytest.param("adrift", id="no-such-project"),
        pytest.param("Checkout", id="another-case"),
        pytest.param("checkou", id="a-prefix"),
        pytest.param("checkout ", id="a-space"),
        pytest.param("payments", id="a-project"),
        pytest.param("acme", id="the-organization"),
        pytest.param("checkout/../refunds", id="a-path"),
    ],
)
def test_a_workspace_that_is_not_there_orphans(workspace: str) -> None:
    """Names are exact; what cannot be found belongs to the organization alone, with the name it has."""
    assert tree_of().place("lost", {WORKSPACE_LABEL: workspace}) == Place(
        "lost", Standing.ORPHANED, workspace=workspace, path=("Organization/acme",)
    )


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_the_platforms_own_namespaces_belong_to_nobody(name: str) -> None:
    """Not even by a label, and no baseline applies, not even one that selects everything."""
    tree = tree_of(Baseline("all", (), {}), namespaces=(Namespace(name, {WORKSPACE_LABEL: "checkout"}),))
    expected = Place(name, Standing.RESERVED, workspace="checkout", path=("Organization/acme",))
    assert tree.place(name, {WORKSPACE_LABEL: "checkout"}) == tree.place_of(name) == expected


@pytest.mark.parametrize("name", ["kube-system-2", "Kube-System", "kube", "portcullis"])
def test_only_the_exact_names_are_reserved(name: str) -> None:
    """A namespace that is called almost like one is like any other."""
    assert tree_of().place(name, {WORKSPACE_LABEL: "checkout"}).standing == Standing.OWNED


def test_a_namespace_that_nobody_knows_is_unknown() -> None:
    """Nothing is guessed from its name, not even for a reserved one."""
    tree = tree_of(Baseline("all", (), {}), namespaces=(Namespace("checkout-dev"),))
    assert tree.place_of("checkout-prod") == Place("checkout-prod", Standing.UNKNOWN, path=("Organization/acme",))
    assert tree.place_of("CHECKOUT-DEV").standing == Standing.UNKNOWN
    assert tree.place_of("").standing == Standing.UNKNOWN


def test_a_known_namespace_stands_where_its_labels_say() -> None:
    """`place_of` is `place` with the labels of the namespace that exists."""
    labels = {WORKSPACE_LABEL: "checkout", "tier": "edge"}
    tree = tree_of(selecting("edge", tier="edge"), namespaces=(Namespace("checkout-dev", labels),))
    assert tree.place_of("checkout-dev") == tree.place("checkout-dev", labels)
    assert "edge" in tree.place_of("checkout-dev").baselines


@pytest.mark.parametrize(
    ("labels", "baselines"),
    [
        pytest.param({"tier": "edge"}, ("edge",), id="unowned"),
        pytest.param({"tier": "core"}, (), id="another-value"),
        pytest.param({WORKSPACE_LABEL: "ghost", "tier": "edge"}, ("edge",), id="orphaned"),
        pytest.param({WORKSPACE_LABEL: "refunds", "tier": "edge"}, ("edge", "mesh", "zero-trust"), id="owned"),
    ],
)
def test_a_selector_adds_baselines_to_owned_and_unowned(labels: dict[str, str], baselines: tuple[str, ...]) -> None:
    """What matches gets it, beside what the levels above it name."""
    assert tree_of(selecting("edge", tier="edge")).place("edge-dev", labels).baselines == baselines


def test_without_a_selector_a_baseline_selects_nothing_and_with_an_empty_one_everything() -> None:
    """Absent and empty are told apart."""
    tree = tree_of(Baseline("none", (), None), Baseline("all", (), {}))
    assert tree.place("monitoring", {}).baselines == ("all",)


def test_a_baseline_that_is_named_and_selects_applies_once() -> None:
    """Both ways to get it are one."""
    assert tree_of(Baseline("mesh", (), {})).place("r", {WORKSPACE_LABEL: "refunds"}).baselines == (
        "mesh",
        "zero-trust",
    )


def test_the_name_can_be_selected_before_the_api_server_has_labelled_it() -> None:
    """`kubernetes.io/metadata.name` is the namespace's name, whatever was sent."""
    tree = tree_of(selecting("by-name", **{"kubernetes.io/metadata.name": "monitoring"}))
    assert tree.place("monitoring", {}).baselines == ("by-name",)
    assert tree.place("monitoring", {"kubernetes.io/metadata.name": "other"}).baselines == ("by-name",)
    assert tree.place("other", {"kubernetes.io/metadata.name": "monitoring"}).baselines == ()


@pytest.mark.parametrize(
    ("key", "sent", "derived"),
    [
        pytest.param(PROJECT_LABEL, "search", "payments", id="project"),
        pytest.param(ORGANIZATION_LABEL, "umbrella", "acme", id="organization"),
    ],
)
def test_derived_labels_select_by_what_follows_from_the_tree(key: str, sent: str, derived: str) -> None:
    """A project or organization that was sent never selects; that of the tree does, label there or not."""
    tree = tree_of(selecting("sent", **{key: sent}), selecting("derived", **{key: derived}))
    for labels in ({}, {key: sent}, {key: derived}):
        assert "sent" not in tree.place("n", {**labels, WORKSPACE_LABEL: "refunds"}).baselines
        assert "derived" in tree.place("n", {**labels, WORKSPACE_LABEL: "refunds"}).baselines
        assert tree.place("n", labels).baselines == ()
        assert tree.place("n", {**labels, WORKSPACE_LABEL: "ghost"}).baselines == ()


def test_a_missing_derived_label_is_missing_for_whoever_sends_it_too() -> None:
    """A selector for namespaces without a project cannot be escaped by sending one."""
    outside = Baseline("outside", (), {"matchExpressions": [{"key": PROJECT_LABEL, "operator": "DoesNotExist"}]})
    tree = tree_of(outside)
    assert tree.place("n", {PROJECT_LABEL: "payments"}).baselines == ("outside",)
    assert "outside" not in tree.place("n", {WORKSPACE_LABEL: "refunds"}).baselines


label_maps = st.dictionaries(
    st.sampled_from([WORKSPACE_LABEL, PROJECT_LABEL, ORGANIZATION_LABEL, GATE_LABEL, "tier"]),
    st.sampled_from(["", "checkout", "refunds", "adrift", "ghost", "payments", "acme", "enforced", "edge"]),
)


@THOROUGH
@given(label_maps, label_maps)
def test_what_follows_from_the_tree_never_follows_from_what_was_sent(
    labels: dict[str, str], forged: dict[str, str]
) -> None:
    """With any derived labels on top a namespace stands exactly where it stood."""
    tree = tree_of(
        selecting("p", **{PROJECT_LABEL: "payments"}),
        selecting("o", **{ORGANIZATION_LABEL: "acme"}),
        selecting("g", **{GATE_LABEL: "enforced"}),
        Baseline("none", (), {"matchExpressions": [{"key": GATE_LABEL, "operator": "DoesNotExist"}]}),
    )
    derived = {key: value for key, value in forged.items() if key in {PROJECT_LABEL, ORGANIZATION_LABEL, GATE_LABEL}}
    assert tree.place("n", {**labels, **derived}) == tree.place("n", labels)


# Injected policies do not count among those that stand.

ZERO_TRUST = Baseline("zero-trust", (BaselinePolicy("default-deny", {}), BaselinePolicy("allow-dns", {})))
INJECTED = {MANAGED_BY_LABEL: "portcullis", BASELINE_LABEL: "zero-trust"}


@pytest.mark.parametrize(
    ("name", "labels", "injected"),
    [
        pytest.param("zero-trust.default-deny", INJECTED, True, id="first"),
        pytest.param("zero-trust.allow-dns", {**INJECTED, "more": "x"}, True, id="second-with-another-label"),
        pytest.param("zero-trust.allow-all", INJECTED, False, id="a-policy-that-the-baseline-has-not"),
        pytest.param("default-deny", INJECTED, False, id="without-the-baseline-in-its-name"),
        pytest.param("zero-trust.Default-Deny", INJECTED, False, id="another-case"),
        pytest.param("zero-trust.default-deny", {}, False, id="no-labels"),
        pytest.param("zero-trust.default-deny", {MANAGED_BY_LABEL: "portcullis"}, False, id="no-baseline-label"),
        pytest.param("zero-trust.default-deny", {BASELINE_LABEL: "zero-trust"}, False, id="managed-by-nobody"),
        pytest.param("zero-trust.default-deny", {**INJECTED, MANAGED_BY_LABEL: "helm"}, False, id="managed-by-helm"),
        pytest.param("zero-trust.default-deny", {**INJECTED, BASELINE_LABEL: "mesh"}, False, id="label-of-another"),
        pytest.param("gone.default-deny", {**INJECTED, BASELINE_LABEL: "gone"}, False, id="a-baseline-that-is-gone"),
        pytest.param(".default-deny", {**INJECTED, BASELINE_LABEL: ""}, False, id="an-empty-baseline"),
    ],
)
def test_a_policy_is_injected_only_when_it_is_a_baselines(name: str, labels: dict[str, str], *, injected: bool) -> None:
    """Labels alone prove nothing: they could be anybody's from before our day."""
    policy = Policy("checkout-dev", name, labels, {})
    tree = tree_of(ZERO_TRUST, Baseline("mesh", (BaselinePolicy("other", {}),)), policies=(policy,))
    assert tree.standing_policies("checkout-dev", but="") == (() if injected else (policy,))


def test_standing_policies_are_those_of_the_namespace_without_the_one_under_review() -> None:
    """Of another namespace's policies, and of the old version of this one, nothing counts."""
    web, api = (Policy("checkout-dev", name, {}, {}) for name in ("web", "api"))
    elsewhere = Policy("refunds-dev", "web", {}, {})
    tree = tree_of(policies=(web, api, elsewhere))
    assert tree.standing_policies("checkout-dev", but="web") == (api,)
    assert tree.standing_policies("checkout-dev", but="") == (web, api)
    assert tree.standing_policies("refunds-dev", but="we") == (elsewhere,)
    assert tree.standing_policies("nowhere", but="") == ()


# Who names whom.

ADA = Subject("User", "ada")
TEAM = Subject("Group", "team")
ARGOCD = Subject("ServiceAccount", "argocd", "gitops")


@pytest.fixture
def named() -> Tree:
    """Make a tree in which one person holds two roles of one workspace and another one elsewhere."""
    admins = (Grant("WorkspaceAdmin", (ADA, TEAM, ARGOCD)), Grant("WorkspaceReader", (ADA, ARGOCD)))
    return grow(
        Holdings(
            Tenant("Organization", "acme", roles=(Grant("OrgReader", (ADA,)),), baselines=("a", "b")),
            (
                Tenant("Workspace", "one", "p", admins, ("a", "a")),
                Tenant("Workspace", "two", "p", (Grant("WorkspaceReader", (TEAM,)),)),
                Tenant("Project", "p", roles=(Grant("ProjectAdmin", (Subject("ServiceAccount", "x", "gitops"),)),)),
            ),
        )
    )


@pytest.mark.parametrize(
    ("subjects", "keys"),
    [
        pytest.param([ADA], ("Organization/acme", "Workspace/one"), id="a-user-each-tenant-once"),
        pytest.param([TEAM], ("Workspace/one", "Workspace/two"), id="a-group"),
        pytest.param([ADA, TEAM], ("Organization/acme", "Workspace/one", "Workspace/two"), id="both"),
        pytest.param([ARGOCD], ("Workspace/one",), id="an-account"),
        pytest.param([], (), id="nobody"),
        pytest.param([Subject("User", "Ada")], (), id="another-case"),
        pytest.param([Subject("User", "ad")], (), id="a-prefix"),
        pytest.param([Subject("User", "adam")], (), id="a-longer-name"),
        pytest.param([Subject("User", "team")], (), id="a-group-is-no-user"),
        pytest.param([Subject("Group", "ada")], (), id="a-user-is-no-group"),
        pytest.param([Subject("ServiceAccount", "argocd", "checkout-dev")], (), id="an-account-of-another-namespace"),
        pytest.param([Subject("User", "system:serviceaccount:gitops:argocd")], (), id="an-account-is-no-user"),
        pytest.param([Subject("User", "")], (), id="an-empty-name"),
    ],
)
def test_who_holds_a_role_is_found_by_exact_identity(
    named: Tree, subjects: list[Subject], keys: tuple[str, ...]
) -> None:
    """Kind, name and namespace have to be the same, letter by letter."""
    assert named.naming(subjects) == keys


@pytest.mark.parametrize(
    ("namespace", "keys"),
    [("gitops", {"Workspace/one", "Project/p"}), ("gitop", set()), ("GitOps", set()), ("gitops-2", set()), ("", set())],
)
def test_tenants_that_name_an_account_of_a_namespace_are_found(named: Tree, namespace: str, keys: set[str]) -> None:
    """Each once, however many roles and accounts it names; a person is of no namespace."""
    found = named.naming_accounts_of(namespace)
    assert len(found) == len(set(found))
    assert set(found) == keys


def test_tenants_that_name_an_account_of_a_workspace_are_found() -> None:
    """Each once, whichever namespaces of the workspace they live in; kube-system is nobody's, whatever its label."""
    homes = {"a": "one", "b": "one", "c": "two", "kube-system": "one", "d": ""}
    accounts = {home: Subject("ServiceAccount", "x", home) for home in (*homes, "gone")}
    given = {"p": ("a", "b"), "q": ("c", "kube-system"), "r": ("d", "gone"), "s": ("a",)}
    tree = grow(
        Holdings(
            ACME,
            (
                *(
                    Tenant("Project", name, roles=(Grant("ProjectAdmin", tuple(accounts[home] for home in some)),))
                    for name, some in given.items()
                ),
                Tenant("Workspace", "one", "p"),
                Tenant("Workspace", "two", "p"),
            ),
            namespaces=tuple(Namespace(home, {WORKSPACE_LABEL: owner}) for home, owner in homes.items()),
        )
    )
    assert tree.naming_accounts_in("one") == ("Project/p", "Project/s")
    assert tree.naming_accounts_in("two") == ("Project/q",)
    assert tree.naming_accounts_in("") == ()


@pytest.mark.parametrize(
    ("baseline", "keys"),
    [("a", ["Organization/acme", "Workspace/one"]), ("b", ["Organization/acme"]), ("A", []), ("", [])],
)
def test_tenants_that_name_a_baseline_are_found(named: Tree, baseline: str, keys: list[str]) -> None:
    """Each once, even if it names it twice."""
    assert sorted(named.naming_baseline(baseline)) == keys


def test_tenants_are_known_by_kind_and_name() -> None:
    """A project and a workspace may have one name."""
    both = (Tenant("Project", "same"), Tenant("Workspace", "same", project="same"))
    tree = grow(Holdings(ACME, both))
    assert set(tree.tenants) == {"Organization/acme", "Project/same", "Workspace/same"}
    assert tree.place("n", {WORKSPACE_LABEL: "same"}).path == ("Workspace/same", "Project/same", "Organization/acme")


# What a watch has not told of yet, and what there is of every kind.


def test_a_namespace_that_was_read_ahead_is_known_in_that_tree_alone() -> None:
    """It stands by its labels; the others stand where they stood, and the tree that all share is as it was."""
    tree = tree_of(namespaces=(Namespace("old", {WORKSPACE_LABEL: "refunds"}),))
    knowing = tree.knowing(Namespace("new", {WORKSPACE_LABEL: "checkout"}))
    assert knowing.place_of("new") == tree.place("new", {WORKSPACE_LABEL: "checkout"})
    assert knowing.place_of("old") == tree.place_of("old")
    assert knowing.place_of("none").standing == Standing.UNKNOWN
    assert tree.place_of("new").standing == Standing.UNKNOWN
    assert knowing.policies_in("new") == knowing.standing_policies("new", but="") == ()


def test_what_was_read_ahead_is_newer_than_what_is_known() -> None:
    """Of two that are told the one that was asked for counts."""
    tree = tree_of(namespaces=(Namespace("dev", {WORKSPACE_LABEL: "refunds"}),))
    assert tree.knowing(Namespace("dev")).place_of("dev").standing == Standing.UNOWNED


def test_all_policies_of_a_namespace_are_injected_ones_too() -> None:
    """Each time the same tuple; of a namespace without any an empty one."""
    deny, web = Policy("dev", "zero-trust.default-deny", INJECTED, {}), Policy("dev", "web", {}, {})
    tree = tree_of(ZERO_TRUST, policies=(deny, web, Policy("other", "web", {}, {})))
    assert tree.policies_in("dev") == (deny, web)
    assert tree.policies_in("dev") is tree.policies_in("dev")
    assert tree.policies_in("nowhere") == ()


def test_a_policy_of_another_kind_and_the_same_name_still_stands() -> None:
    """Only the old version of the very one under review is left out."""
    web, cilium = Policy("dev", "web", {}, {}), Policy("dev", "web", {}, {}, kind="CiliumNetworkPolicy")
    tree = tree_of(policies=(web, cilium))
    assert tree.standing_policies("dev", but="web") == (cilium,)
    assert tree.standing_policies("dev", but="web", kind="CiliumNetworkPolicy") == (web,)


def test_a_place_follows_the_namespace_and_the_tree_of_now() -> None:
    """What is remembered of a namespace is of its very state and of that very tree: the next one is placed anew."""
    namespaces = Namespaces((Namespace("checkout-dev", {WORKSPACE_LABEL: "checkout"}),))
    tree = dataclasses.replace(tree_of(), namespaces=namespaces)
    before = tree.place_of("checkout-dev")
    assert tree.place_of("checkout-dev") is before
    namespaces.put(Namespace("checkout-dev", {WORKSPACE_LABEL: "refunds"}))
    assert tree.place_of("checkout-dev").workspace == "refunds"
    tenants = {key: each for key, each in tree.tenants.items() if key != "Workspace/refunds"}
    assert dataclasses.replace(tree, tenants=tenants).place_of("checkout-dev").standing == Standing.ORPHANED
    assert tree.place_of("checkout-dev").standing == Standing.OWNED
    namespaces.drop("checkout-dev")
    assert tree.place_of("checkout-dev").standing == Standing.UNKNOWN
    read = tree.knowing(Namespace("checkout-dev", {WORKSPACE_LABEL: "checkout"}))
    assert read.place_of("checkout-dev") == before
    assert tree.place_of("checkout-dev").standing == Standing.UNKNOWN
