"""The facts of one request: all that is needed to decide it, and nothing more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from tests.cases.reviews import (
    ADA,
    ARGOCD,
    AUDITOR,
    BASELINE,
    BO,
    DENY_ALL,
    IVAN,
    NAMESPACE,
    NETPOL,
    NOBODY,
    OZ,
    PAM,
    POD,
    STRANGER,
    TENANTS,
    TWO,
    WORKSPACE,
    Asked,
    Caller,
    Json,
    injected,
    namespace,
    other_policy,
    owned,
    pod,
    policy,
    tenant,
)
from webhook.decision.document import Document, Kind, Places, Request, User
from webhook.gather import gather
from webhook.model import Cover, Namespace, Place, Policy, Standing
from webhook.reaches import MOST_BYTES, beside
from webhook.review.envelope import Metadata, read_review
from webhook.selector import read_selector
from webhook.tenancy.tree import Tree

ORG = "Organization/acme"
CHECKOUT = ("Workspace/checkout", "Project/payments", ORG)
REFUNDS = ("Workspace/refunds", "Project/payments", ORG)
RANKING = ("Workspace/ranking", "Project/search", ORG)
GROUPS = ("system:masters",)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FROM_TEN: Json = {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}
CILIUM_POLICY = ("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies")
CALICO_POLICY = ("crd.projectcalico.org", "v1", "NetworkPolicy", "networkpolicies")
CALICO_SET = ("projectcalico.org", "v3", "NetworkSet", "networksets")
REDIRECT = ("cilium.io", "v2", "CiliumLocalRedirectPolicy", "ciliumlocalredirectpolicies")


def document(tree: Tree | None, asked: Asked) -> Document:
    """Return the document of a request as the API server sends it."""
    return gather(read_review(orjson.dumps(asked.review())), tree, GROUPS, now=NOW)


def workspace(project: str) -> Json:
    """Return the workspace checkout, in a project."""
    return tenant("Workspace", "checkout", {"project": project})


def standings(places: Places) -> tuple[str | None, str | None]:
    """Return how both places stand."""
    return places.new.standing if places.new else None, places.old.standing if places.old else None


def test_the_request_arrives_as_it_was_asked(tree: Tree) -> None:
    """Who, what and how are the request's own words."""
    new, old = policy("checkout-dev", "web", DENY_ALL), policy("checkout-dev", "web")
    found = document(tree, Asked(ADA, "UPDATE", NETPOL, new, old, subresource="status", dry_run=True))
    assert found.request == Request(
        "UPDATE",
        Kind("networking.k8s.io", "v1", "NetworkPolicy"),
        "status",
        "checkout-dev",
        "web",
        dry_run=True,
        time="2026-11-21T12:00:00Z",
    )
    assert found.user == User("ada", ADA.groups)
    assert found.break_glass_groups == GROUPS
    assert (found.tree, found.organization, found.enforcement) == (True, "acme", {})
    assert found.object == {**new, "metadata": {**Metadata().model_dump(), **new["metadata"]}}
    assert found.old_object == {**old, "metadata": {**Metadata().model_dump(), **old["metadata"]}}


def test_a_document_is_json(tree: Tree) -> None:
    """What is recorded can be decided again: everything of it survives the way to OPA."""
    found = document(tree, Asked(ADA, "CREATE", NETPOL, policy("checkout-dev", spec=FROM_TEN)))
    again = orjson.loads(orjson.dumps(found))
    assert again["places"]["new"]["path"] == list(CHECKOUT)
    assert again["reaches"][0]["ingress"]["widens"] is True


# The slice of the tree.


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        pytest.param(Asked(ADA, "CREATE", NETPOL, policy("checkout-dev")), CHECKOUT, id="policy"),
        pytest.param(Asked(TWO, "CREATE", NETPOL, policy("checkout-dev")), CHECKOUT, id="not-those-of-the-caller"),
        pytest.param(Asked(ADA, "DELETE", NETPOL, None, policy("checkout-dev")), CHECKOUT, id="deleted-policy"),
        pytest.param(Asked(IVAN, "CREATE", NETPOL, policy("monitoring")), (ORG,), id="policy-in-an-unowned-namespace"),
        pytest.param(Asked(ADA, "CREATE", NETPOL, policy("nowhere")), (ORG,), id="policy-in-an-unknown-namespace"),
        pytest.param(Asked(ADA, "CREATE", NETPOL, policy("kube-system")), (ORG,), id="policy-in-a-reserved-namespace"),
        pytest.param(Asked(OZ, "CREATE", NETPOL, policy("lost")), (ORG,), id="policy-in-an-orphaned-namespace"),
        pytest.param(
            Asked(ADA, "CREATE", NAMESPACE, namespace("checkout-new", owned("checkout"))),
            CHECKOUT,
            id="owned-namespace",
        ),
        pytest.param(
            Asked(ADA, "CREATE", NAMESPACE, namespace("new", {WORKSPACE: "ghost"})), (ORG,), id="no-workspace"
        ),
        pytest.param(
            Asked(PAM, "UPDATE", NAMESPACE, namespace("n", owned("refunds")), namespace("n", owned("checkout"))),
            (*CHECKOUT, *REFUNDS),
            id="a-move-needs-both-ends",
        ),
        pytest.param(
            Asked(PAM, "UPDATE", NAMESPACE, namespace("n"), namespace("n", owned("checkout"))), CHECKOUT, id="a-release"
        ),
        pytest.param(
            Asked(PAM, "UPDATE", NAMESPACE, namespace("n", owned("ranking", "search")), namespace("n")),
            RANKING,
            id="adoption",
        ),
        pytest.param(
            Asked(PAM, "DELETE", NAMESPACE, None, namespace("n", owned("ranking", "search"))),
            RANKING,
            id="deleted-namespace",
        ),
        pytest.param(Asked(STRANGER, "CREATE", NAMESPACE, namespace("new")), (ORG,), id="a-stranger-without-label"),
        pytest.param(Asked(ADA, "CREATE", NAMESPACE, namespace("new")), CHECKOUT, id="one-workspace-of-the-caller"),
        pytest.param(
            Asked(TWO, "CREATE", NAMESPACE, namespace("new")), (*CHECKOUT, *REFUNDS), id="both-workspaces-of-the-caller"
        ),
        pytest.param(
            Asked(TWO, "UPDATE", NAMESPACE, namespace("new"), namespace("new")),
            (ORG,),
            id="of-the-caller-on-create-alone",
        ),
        pytest.param(
            Asked(OZ, "CREATE", NAMESPACE, namespace("ci", owned("checkout"))),
            (*CHECKOUT, "Workspace/plaza", "Project/search"),
            id="whoever-names-an-account-of-the-namespace",
        ),
        pytest.param(
            Asked(OZ, "CREATE", NAMESPACE, namespace("gitops")), (ORG,), id="the-organization-names-an-account"
        ),
        pytest.param(Asked(OZ, "DELETE", BASELINE, None, other_policy(BASELINE, name="edge")), (ORG,), id="baseline"),
        pytest.param(Asked(OZ, "CONNECT", ("", "v1", "Pod", "pods")), (ORG,), id="nothing-under-review"),
        pytest.param(
            Asked(PAM, "CREATE", TENANTS["Workspace"], tenant("Workspace", "new", {"project": "payments"})),
            ("Project/payments", ORG),
            id="a-workspace-to-be",
        ),
        pytest.param(
            Asked(PAM, "UPDATE", TENANTS["Workspace"], workspace("search"), workspace("payments")),
            (*CHECKOUT, "Project/search"),
            id="both-ends-of-a-workspaces-move",
        ),
        pytest.param(
            Asked(PAM, "DELETE", TENANTS["Workspace"], None, workspace("payments")), CHECKOUT, id="deleted-workspace"
        ),
    ],
)
def test_the_slice_has_what_is_needed_and_nothing_more(tree: Tree, asked: Asked, keys: tuple[str, ...]) -> None:
    """The organization always, the paths of the places, and who names an account; in a fixed order."""
    found = document(tree, asked).tenants
    assert list(found) == sorted(set(keys))
    assert all(found[key] is tree.tenants[key] for key in found)


# The places.


@pytest.mark.parametrize(
    ("asked", "new", "old"),
    [
        pytest.param(Asked(ADA, "CREATE", NETPOL, policy("checkout-dev")), "owned", None, id="policy-created"),
        pytest.param(
            Asked(ADA, "UPDATE", NETPOL, policy("lost"), policy("lost")), "orphaned", "orphaned", id="updated"
        ),
        pytest.param(Asked(ADA, "DELETE", NETPOL, None, policy("monitoring")), None, "unowned", id="policy-deleted"),
        pytest.param(Asked(ADA, "CREATE", NETPOL, policy("nowhere")), "unknown", None, id="in-an-unknown-namespace"),
        pytest.param(Asked(ADA, "CREATE", BASELINE, other_policy(BASELINE)), None, None, id="in-no-namespace"),
        pytest.param(
            Asked(ADA, "CREATE", NAMESPACE, namespace("new", owned("checkout"))), "owned", None, id="namespace"
        ),
        pytest.param(Asked(ADA, "CREATE", NAMESPACE, namespace("new")), "unowned", None, id="namespace-without-label"),
        pytest.param(Asked(ADA, "CREATE", NAMESPACE, namespace("kube-system")), "reserved", None, id="reserved"),
        pytest.param(
            Asked(ADA, "UPDATE", NAMESPACE, namespace("n", {WORKSPACE: "ghost"}), namespace("n", owned("checkout"))),
            "orphaned",
            "owned",
            id="moved-to-nowhere",
        ),
        pytest.param(
            Asked(ADA, "DELETE", NAMESPACE, None, namespace("n", owned("checkout"))), None, "owned", id="deleted"
        ),
    ],
)
def test_places_are_before_and_after(tree: Tree, asked: Asked, new: str | None, old: str | None) -> None:
    """A Namespace stands where its own labels say, another object where its namespace stands in the tree."""
    assert standings(document(tree, asked).places) == (new, old)


def test_a_namespace_is_placed_by_the_labels_under_review(tree: Tree) -> None:
    """Not by those of the namespace that exists: the review decides on what would be."""
    asked = Asked(OZ, "UPDATE", NAMESPACE, namespace("checkout-dev", owned("refunds")), namespace("checkout-dev"))
    places = document(tree, asked).places
    assert places.new
    assert places.old
    assert (places.new.workspace, places.old.workspace) == ("refunds", "")


def test_identity_is_the_objects_whatever_the_request_says(tree: Tree) -> None:
    """`request.namespace` and `request.name` never place an object."""
    asked = Asked(ADA, "CREATE", NETPOL, policy("refunds-dev"), over={"namespace": "checkout-dev", "name": "other"})
    found = document(tree, asked)
    assert found.places.new == tree.place_of("refunds-dev")
    assert (found.request.namespace, found.request.name) == ("checkout-dev", "other")


@pytest.mark.parametrize(
    ("kind", "old"),
    [
        pytest.param(NETPOL, policy("refunds-dev"), id="policy"),
        pytest.param(NAMESPACE, namespace("refunds-dev", owned("refunds")), id="namespace"),
    ],
)
def test_a_deletion_is_of_the_old_object_alone(tree: Tree, kind: tuple[str, str, str, str], old: Json) -> None:
    """Neither an `object` that somebody puts beside it nor a missing name changes the place."""
    forged = {**old, "metadata": {**old["metadata"], "namespace": "checkout-dev", "labels": owned("checkout")}}
    asked = Asked(BO, "DELETE", kind, forged, old, over={"name": "", "namespace": ""})
    found = document(tree, asked)
    assert found.places.new is None
    assert found.places.old == tree.place_of("refunds-dev")
    assert set(found.tenants) == set(REFUNDS)
    assert found.reaches == ()


def test_kept_is_the_new_object_with_the_old_workspace(tree: Tree) -> None:
    """What an update would be if it had not touched the label; only where there is a before and an after."""
    new, old = namespace("n", {"tier": "edge", WORKSPACE: "refunds"}), namespace("n", owned("checkout"))
    kept = document(tree, Asked(OZ, "UPDATE", NAMESPACE, new, old)).places.kept
    assert kept
    assert (kept.workspace, kept.baselines) == ("checkout", ("edge", "zero-trust"))
    assert document(tree, Asked(OZ, "CREATE", NAMESPACE, new)).places.kept is None
    assert document(tree, Asked(OZ, "DELETE", NAMESPACE, None, old)).places.kept is None
    assert document(tree, Asked(OZ, "UPDATE", NETPOL, policy("lost"), policy("lost"))).places.kept is None


@pytest.mark.parametrize(
    ("caller", "workspaces"),
    [
        pytest.param(ADA, ["checkout"], id="one"),
        pytest.param(TWO, ["checkout", "refunds"], id="several"),
        pytest.param(Caller("rita"), ["checkout"], id="a-reader-whom-rego-leaves-out"),
        pytest.param(PAM, [], id="a-project-admin"),
        pytest.param(OZ, [], id="an-organization-admin"),
        pytest.param(AUDITOR, [], id="an-organization-reader"),
        pytest.param(STRANGER, [], id="nobody-we-know"),
        pytest.param(NOBODY, [], id="an-empty-name-with-groups"),
        pytest.param(Caller("Rita"), [], id="another-case"),
        pytest.param(Caller("rit"), [], id="a-prefix"),
        pytest.param(Caller("checkout-team"), [], id="a-user-called-like-a-group"),
        pytest.param(Caller("x", ("rita",)), [], id="a-group-called-like-a-user"),
        pytest.param(ARGOCD, [], id="an-account-of-the-organizations"),
        pytest.param(Caller("system:serviceaccount:ci:deployer"), ["plaza"], id="an-account"),
        pytest.param(Caller("system:serviceaccount:ci-2:deployer"), [], id="an-account-of-another-namespace"),
        pytest.param(Caller("system:serviceaccount:ci:deployer-2"), [], id="an-account-of-a-longer-name"),
        pytest.param(Caller("system:serviceaccount:ci:deployer:x"), [], id="an-account-with-a-colon-more"),
        pytest.param(Caller("system:serviceaccount:ci"), [], id="half-an-account"),
        pytest.param(Caller("System:serviceaccount:ci:deployer"), [], id="an-account-in-another-case"),
        pytest.param(Caller("deployer"), [], id="an-accounts-bare-name"),
    ],
)
def test_candidates_are_the_workspaces_that_name_the_caller(tree: Tree, caller: Caller, workspaces: list[str]) -> None:
    """For a namespace created without the label, by exact identity; an empty user name is nobody's."""
    found = document(tree, Asked(caller, "CREATE", NAMESPACE, namespace("new", {"tier": "edge"}))).places.administered
    assert [place.workspace for place in found] == workspaces
    assert all(place.namespace == "new" and place.standing == Standing.OWNED for place in found)
    assert all("edge" in place.baselines for place in found)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(Asked(ADA, "CREATE", NAMESPACE, namespace("n", {WORKSPACE: "refunds"})), id="a-label-is-there"),
        pytest.param(Asked(ADA, "UPDATE", NAMESPACE, namespace("n"), namespace("n")), id="an-update"),
        pytest.param(Asked(ADA, "DELETE", NAMESPACE, None, namespace("n")), id="a-deletion"),
        pytest.param(Asked(ADA, "CREATE", NETPOL, policy("monitoring")), id="a-policy"),
    ],
)
def test_there_are_no_candidates_where_nothing_is_filled_in(tree: Tree, asked: Asked) -> None:
    """Only a namespace created without the label gets one."""
    assert document(tree, asked).places.administered == ()


def test_an_empty_label_is_none(tree: Tree) -> None:
    """`portcullis.dev/workspace: ""` is filled in like an absent one."""
    asked = Asked(ADA, "CREATE", NAMESPACE, namespace("new", {WORKSPACE: ""}))
    assert [place.workspace for place in document(tree, asked).places.administered] == ["checkout"]


def test_a_namespace_that_gets_its_name_later_has_a_place(tree: Tree) -> None:
    """With generateName there is neither a name nor a map of labels."""
    asked = Asked(ADA, "CREATE", NAMESPACE, {"metadata": {"generateName": "checkout-", "labels": None}})
    found = document(tree, asked).places
    assert found.new == Place("", Standing.UNOWNED, path=(ORG,))
    assert [place.workspace for place in found.administered] == ["checkout"]


# Who names the object.


def _moved(name: str, before: str, after: str) -> Asked:
    old, new = (tenant("Workspace", name, {"project": project}) for project in (before, after))
    return Asked(OZ, "UPDATE", TENANTS["Workspace"], new=new, old=old)


@pytest.mark.parametrize(
    ("asked", "accounts", "baselines"),
    [
        pytest.param(Asked(OZ, "CREATE", NAMESPACE, namespace("gitops")), (ORG,), (), id="namespace-of-an-account"),
        pytest.param(Asked(OZ, "DELETE", NAMESPACE, None, namespace("ci")), ("Workspace/plaza",), (), id="deleted"),
        pytest.param(Asked(OZ, "CREATE", NAMESPACE, namespace("gitops-2")), (), (), id="another-namespace"),
        pytest.param(Asked(OZ, "CREATE", NETPOL, policy("gitops", "gitops")), (), (), id="a-policy-in-it"),
        pytest.param(
            Asked(OZ, "CREATE", BASELINE, other_policy(BASELINE, name="zero-trust")), (), (ORG,), id="baseline"
        ),
        pytest.param(
            Asked(OZ, "DELETE", BASELINE, None, other_policy(BASELINE, name="zero-trust")), (), (ORG,), id="gone"
        ),
        pytest.param(Asked(OZ, "CREATE", BASELINE, other_policy(BASELINE, name="edge")), (), (), id="unnamed-baseline"),
        pytest.param(_moved("dock", "search", "payments"), ("Project/harbor",), (), id="workspace-that-moves"),
        pytest.param(_moved("dock", "search", "search"), (), (), id="workspace-that-stays"),
        pytest.param(_moved("ranking", "search", "payments"), (), (), id="workspace-of-no-account"),
    ],
)
def test_who_names_the_object_is_known(
    tree: Tree, asked: Asked, accounts: tuple[str, ...], baselines: tuple[str, ...]
) -> None:
    """Of a namespace, or a workspace that moves, those who name an account in it, of a NetworkBaseline its namers."""
    found = document(tree, asked)
    assert (found.service_accounts, found.named_by) == (accounts, baselines)


# What a policy opens.


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(Asked(ADA, "CREATE", NETPOL, policy("monitoring", spec=FROM_TEN)), id="no-baseline-applies"),
        pytest.param(Asked(ADA, "CREATE", NETPOL, policy("lost", spec=FROM_TEN)), id="orphaned"),
        pytest.param(Asked(ADA, "CREATE", NETPOL, policy("nowhere", spec=FROM_TEN)), id="unknown-namespace"),
        pytest.param(Asked(ADA, "CREATE", NETPOL, policy("kube-system", spec=FROM_TEN)), id="reserved-namespace"),
        pytest.param(Asked(ADA, "DELETE", NETPOL, None, policy("checkout-dev", spec=FROM_TEN)), id="a-deletion"),
        pytest.param(Asked(ADA, "CREATE", NAMESPACE, namespace("n", owned("checkout"))), id="a-namespace"),
        pytest.param(
            Asked(ADA, "CREATE", CILIUM_POLICY, other_policy(CILIUM_POLICY, "monitoring")), id="cilium-elsewhere"
        ),
    ],
)
def test_reach_is_gathered_only_where_a_guardrail_asks(tree: Tree, asked: Asked) -> None:
    """In namespaces that a baseline applies to, and never for what goes away."""
    assert document(tree, asked).reaches == ()


@pytest.mark.parametrize("name", ["checkout-dev", "edge"], ids=["by-its-tenants", "by-a-selector"])
def test_reach_is_gathered_where_a_baseline_applies(tree: Tree, name: str) -> None:
    """However the namespace got its baseline."""
    (reach,) = document(tree, Asked(ADA, "CREATE", NETPOL, policy(name, spec=FROM_TEN))).reaches
    assert reach.ingress
    assert reach.ingress.ipv4 == 2**-8
    assert reach.ingress.widens


def half(*, first: bool) -> Json:
    """Return a spec that opens an eighth of IPv4, for the pods of the policy `first-half` of the tree."""
    cidr = "0.0.0.0/3" if first else "32.0.0.0/3"
    return {"podSelector": {"matchLabels": {"app": "halves"}}, "ingress": [{"from": [{"ipBlock": {"cidr": cidr}}]}]}


def test_standing_policies_add_up_without_the_one_that_is_replaced(tree: Tree) -> None:
    """An update of first-half is not added to its own old version, another policy is."""
    new = Asked(ADA, "CREATE", NETPOL, policy("checkout-dev", "second-half", half(first=False)))
    (reach,) = document(tree, new).reaches
    assert reach.ingress
    assert (reach.ingress.joint_ipv4, reach.ingress.joint_with) == (0.25, ("first-half",))
    after, before = (policy("checkout-dev", "first-half", half(first=each)) for each in (False, True))
    (reach,) = document(tree, Asked(ADA, "UPDATE", NETPOL, after, before)).reaches
    assert reach.ingress
    assert (reach.ingress.joint_ipv4, reach.ingress.joint_with) == (0.125, ())
    assert reach.ingress.widens


@pytest.mark.parametrize(
    ("old", "widens"),
    [
        pytest.param(FROM_TEN, False, id="the-same"),
        pytest.param({"ingress": [{}]}, False, id="narrower"),
        pytest.param(DENY_ALL, True, id="wider"),
        pytest.param(None, True, id="an-old-object-without-spec"),
    ],
)
def test_an_update_is_compared_with_the_old_object(tree: Tree, old: Json | None, *, widens: bool) -> None:
    """An old spec that is null is a default deny, not a missing object."""
    before = {**policy("checkout-dev"), "spec": old}
    (reach,) = document(tree, Asked(ADA, "UPDATE", NETPOL, policy("checkout-dev", spec=FROM_TEN), before)).reaches
    assert reach.ingress
    assert reach.ingress.widens == widens


def test_injected_policies_do_not_count(tree: Tree) -> None:
    """The tree's own default deny stands in the namespace and is no part of what is open."""
    assert injected("checkout-dev")["metadata"]["name"] in {each.name for each in tree._policies["checkout-dev"]}, (
        "the tree of the cases has it"
    )
    (reach,) = document(tree, Asked(ADA, "CREATE", NETPOL, policy("checkout-dev", spec=FROM_TEN))).reaches
    assert reach.ingress
    assert "zero-trust.default-deny" not in reach.ingress.joint_with


# What stands in a namespace that changes hands.

PLAZA = namespace("plaza-dev", owned("plaza", "search"))


def stolen(caller: Caller = BO) -> Asked:
    """Ask for the namespace plaza-dev, in which the policy front-door stands, for workspace refunds."""
    return Asked(caller, "UPDATE", NAMESPACE, namespace("plaza-dev", owned("refunds")), PLAZA)


def holding(tree: Tree, *specs: Json) -> Tree:
    """Return the tree with policies of these specs, and no other, in plaza-dev."""
    policies = tuple(Policy("plaza-dev", f"policy-{index}", {}, spec) for index, spec in enumerate(specs))
    return replace(tree, _policies={"plaza-dev": policies})


def test_what_stands_in_a_namespace_that_changes_hands_is_told(tree: Tree) -> None:
    """By name, with what it opens."""
    (reach,) = document(tree, stolen()).reaches
    assert reach.policy == "NetworkPolicy front-door"
    assert reach.ingress
    assert reach.ingress.unbounded == ("spec.ingress[0]",)


def test_what_stands_is_no_fact_of_a_name_that_is_taken(tree: Tree) -> None:
    """Whoever asks for the name of somebody's namespace gets neither it nor word of what is in it."""
    taken = Asked(BO, "CREATE", NAMESPACE, namespace("plaza-dev", owned("refunds")))
    assert document(tree, taken).reaches == ()
    # What a former owner of the name has left is.
    gone = replace(tree, namespaces={})
    assert [each.policy for each in document(gone, taken).reaches] == ["NetworkPolicy front-door"]


@pytest.mark.parametrize(
    ("specs", "judged"),
    [
        pytest.param([FROM_TEN] * 50, 50, id="as-many-as-are-judged"),
        pytest.param([FROM_TEN] * 51, 50, id="too-many"),
        pytest.param([FROM_TEN, {"x": "x" * MOST_BYTES}, FROM_TEN], 1, id="too-large"),
    ],
)
def test_of_much_that_stands_the_first_is_judged_and_the_rest_told_of(
    tree: Tree, specs: list[Json], judged: int
) -> None:
    """Neither many policies nor large ones make a request cost whatever their owner likes."""
    told = document(holding(tree, *specs), stolen()).reaches
    assert [each.policy for each in told[:judged]] == [f"NetworkPolicy policy-{index}" for index in range(judged)]
    assert [each.policy for each in told[judged:]] == (
        [f"{len(specs) - judged} further policies"] if len(specs) > judged else []
    )


def test_what_stands_adds_up_with_what_is_judged_alone(tree: Tree) -> None:
    """With all that stands in a namespace each of fifty would be compared otherwise."""
    (*told, rest) = document(holding(tree, *[half(first=True)] * 50, half(first=False)), stolen()).reaches
    assert rest.unreadable
    assert all(each.ingress and each.ingress.joint_ipv4 == 1 / 8 for each in told)


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        pytest.param(stolen(), 1, id="namespace"),
        pytest.param(Asked(OZ, "CREATE", NETPOL, policy("plaza-dev")), 1, id="policy"),
        pytest.param(Asked(OZ, "CREATE", CALICO_SET, other_policy(CALICO_SET, "plaza-dev")), 1, id="set"),
        pytest.param(Asked(OZ, "CREATE", POD, pod("plaza-dev")), 0, id="pod"),
        pytest.param(Asked(OZ, "DELETE", NETPOL, old=policy("plaza-dev")), 0, id="deletion"),
        pytest.param(Asked(OZ, "CREATE", NETPOL), 0, id="nothing"),
        pytest.param(Asked(OZ, "CREATE", NETPOL, policy("nowhere")), 0, id="unknown-namespace"),
    ],
)
def test_how_many_policies_stand_beside_is_known_beforehand(tree: Tree, asked: Asked, count: int) -> None:
    """By look-up alone, whether or not they are read."""
    assert beside(read_review(orjson.dumps(asked.review())), tree) == count


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        pytest.param({"tier": "edge"}, ("edge", "zero-trust"), id="the-same-label"),
        pytest.param({}, ("zero-trust",), id="without-it"),
        pytest.param({WORKSPACE: "refunds", "tier": "edge"}, ("edge", "zero-trust"), id="in-another-workspace"),
    ],
)
def test_what_a_namespace_keeps_follows_from_its_other_labels(
    tree: Tree, labels: dict[str, str], kept: tuple[str, ...]
) -> None:
    """As if its workspace did not change, so that what goes with a label alone shows."""
    old = namespace("checkout-dev", owned("checkout", tier="edge"))
    places = document(tree, Asked(ADA, "UPDATE", NAMESPACE, namespace("checkout-dev", labels), old)).places
    assert places.kept
    assert (places.kept.workspace, places.kept.baselines) == ("checkout", kept)


def test_what_belonged_to_nobody_is_kept_without_a_label(tree: Tree) -> None:
    """An empty label would be one that a selector finds."""
    none = {"matchExpressions": [{"key": WORKSPACE, "operator": "DoesNotExist"}]}
    tree = replace(tree, _selecting=(("free", read_selector(none)),))
    asked = Asked(OZ, "UPDATE", NAMESPACE, namespace("monitoring", {"a": "b"}), namespace("monitoring"))
    places = document(tree, asked).places
    assert places.kept
    assert places.old
    assert places.kept.baselines == places.old.baselines == ("free",)


@pytest.mark.parametrize(
    ("kind", "spec", "told"),
    [
        pytest.param(CILIUM_POLICY, {"endpointSelector": []}, "spec.endpointSelector cannot be read", id="cilium"),
        pytest.param(CALICO_POLICY, {"ingress": {}}, "spec.ingress cannot be read", id="calico"),
        pytest.param(CALICO_SET, {"nets": "all"}, "spec.nets cannot be read", id="calico-set"),
        pytest.param(NETPOL, {"ingress": [{"from": [{"ipBlock": {"cidr": "x"}}]}]}, "'x' is not a CIDR", id="bad-cidr"),
        pytest.param(NETPOL, [], "spec cannot be read", id="no-spec"),
    ],
)
def test_what_cannot_be_read_is_a_fact(tree: Tree, kind: tuple[str, str, str, str], spec: Any, told: str) -> None:
    """Rego denies on it; nothing is guessed."""
    sent = {**other_policy(kind, "checkout-dev"), "spec": spec}
    (reach,) = document(tree, Asked(ADA, "CREATE", kind, sent)).reaches
    assert told in reach.unreadable[0]
    assert (reach.ingress, reach.egress) == (None, None)


@pytest.mark.parametrize(
    ("kind", "spec", "told"),
    [
        pytest.param(CILIUM_POLICY, {}, "spec.endpointSelector", id="cilium"),
        pytest.param(CALICO_POLICY, {"selector": "x"}, "spec.selector", id="calico"),
        pytest.param(CALICO_SET, {"labels": {}}, "spec.labels", id="calico-set"),
        pytest.param(REDIRECT, {"redirectBackend": {}}, "spec", id="a-kind-of-which-nothing-is-understood"),
    ],
)
def test_what_is_not_understood_is_a_fact(tree: Tree, kind: tuple[str, str, str, str], spec: Any, told: str) -> None:
    """By its place, in every namespaced kind of a CNI."""
    sent = other_policy(kind, "checkout-dev", spec=spec)
    (reach,) = document(tree, Asked(ADA, "CREATE", kind, sent)).reaches
    assert (reach.not_understood, reach.unreadable) == ((told,), ())


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(("networking.k8s.io", "v1", "NetworkSet", "networksets"), id="a-kind-of-another-group"),
        pytest.param(("cilium.io", "v2", "NetworkPolicy", "networkpolicies"), id="kubernetes-kind-in-ciliums-group"),
        pytest.param(("example.com", "v1", "NetworkPolicy", "networkpolicies"), id="a-group-of-anybodys"),
        pytest.param(("", "v1", "NetworkPolicy", "networkpolicies"), id="the-core-group"),
    ],
)
def test_a_kind_that_is_none_of_ours_is_never_read_as_one(tree: Tree, kind: tuple[str, str, str, str]) -> None:
    """Its name alone makes nobody a NetworkPolicy."""
    sent = other_policy(kind, "checkout-dev", spec={"ingress": [{}]})
    assert document(tree, Asked(ADA, "CREATE", kind, sent)).reaches == ()


# Exemptions, as of the time of the request.

EXEMPT = {"portcullis.dev/exempt": "true"}
NOTES = {"portcullis.dev/exempt-reason": "x", "portcullis.dev/exempt-until": "2026-12-01T02:00:00+02:00"}
UNTIL = "2026-12-01T00:00:00Z"


def exempt_at(now: datetime, tree: Tree, asked: Asked) -> tuple[str | None, str | None]:
    """Return until when both places are exempt."""
    places = gather(read_review(orjson.dumps(asked.review())), tree, GROUPS, now=now).places
    return places.new.exempt if places.new else None, places.old.exempt if places.old else None


def test_a_namespace_is_exempt_by_its_own_words(tree: Tree) -> None:
    """Before and after each by what the object says, not by what stands."""
    plain = namespace("checkout-dev", owned("checkout"))
    exempted = namespace("checkout-dev", owned("checkout", **EXEMPT), annotations=NOTES)
    assert exempt_at(NOW, tree, Asked(IVAN, "UPDATE", NAMESPACE, exempted, plain)) == (UNTIL, "")
    assert exempt_at(NOW, tree, Asked(IVAN, "UPDATE", NAMESPACE, plain, exempted)) == ("", UNTIL)
    assert exempt_at(NOW, tree, Asked(IVAN, "CREATE", NAMESPACE, exempted)) == (UNTIL, None)
    assert exempt_at(NOW, tree, Asked(IVAN, "DELETE", NAMESPACE, None, exempted)) == (None, UNTIL)


@pytest.mark.parametrize(("name", "kind"), [("exempt-dev", NETPOL), ("exempt-dev", POD)], ids=["policy", "pod"])
def test_what_is_inside_is_exempt_with_its_namespace(tree: Tree, name: str, kind: tuple[str, str, str, str]) -> None:
    """By the labels and annotations of the namespace as it stands, until it ends."""
    known = tree.knowing(Namespace(name, {WORKSPACE: "checkout", **EXEMPT}, NOTES))
    asked = Asked(ADA, "CREATE", kind, policy(name) if kind == NETPOL else pod(name))
    end = datetime(2026, 12, 1, tzinfo=UTC)
    assert exempt_at(NOW, known, asked) == (UNTIL, None)
    assert exempt_at(end - timedelta(microseconds=1), known, asked) == (UNTIL, None)
    assert exempt_at(end, known, asked) == ("", None)
    assert exempt_at(end - timedelta(days=30, microseconds=1), known, asked) == ("", None)


@pytest.mark.parametrize("metadata", [EXEMPT, NOTES, {**EXEMPT, **NOTES}], ids=["label", "annotations", "both"])
def test_a_pods_own_labels_exempt_nothing(tree: Tree, metadata: dict[str, str]) -> None:
    """Nor do its annotations."""
    asked = Asked(ADA, "CREATE", POD, pod("checkout-dev", metadata={"labels": metadata, "annotations": metadata}))
    assert exempt_at(NOW, tree, asked) == ("", None)


def test_what_is_wrong_with_an_exemption_is_known(tree: Tree) -> None:
    """Of a Namespace that is written, with a tree and without."""
    half = namespace("checkout-dev", owned("checkout", **EXEMPT))
    told = "the annotation portcullis.dev/exempt-reason says nothing: write why it is needed"
    for known in (tree, None):
        assert document(known, Asked(IVAN, "CREATE", NAMESPACE, half)).exemption_problem == told
        assert document(known, Asked(IVAN, "DELETE", NAMESPACE, None, half)).exemption_problem == ""
    pods = pod("checkout-dev", metadata={"labels": EXEMPT})
    assert document(tree, Asked(IVAN, "CREATE", POD, pods)).exemption_problem == ""


# Whether the baselines of a pod's namespace are in place.


def test_a_new_pods_namespace_is_looked_at(tree: Tree) -> None:
    """What of its baselines lacks there is known."""
    assert document(tree, Asked(ADA, "CREATE", POD, pod("ready-dev"))).cover == Cover()
    missing = Cover(("zero-trust.allow-dns is missing",))
    assert document(tree, Asked(ADA, "CREATE", POD, pod("checkout-dev"))).cover == missing
    generated = pod("checkout-dev", "", {"generateName": "web-"})
    assert document(tree, Asked(ADA, "CREATE", POD, generated)).cover == missing
    known = tree.knowing(Namespace("new-dev", {WORKSPACE: "checkout"}))
    found = document(known, Asked(ADA, "CREATE", POD, pod("new-dev"))).cover
    assert found == Cover(("zero-trust.default-deny is missing", "zero-trust.allow-dns is missing"))


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(Asked(ADA, "CREATE", POD, pod("monitoring")), id="no-baseline-applies"),
        pytest.param(Asked(ADA, "CREATE", POD, pod("nowhere")), id="unknown-namespace"),
        pytest.param(Asked(ADA, "CREATE", POD, pod("kube-system")), id="reserved-namespace"),
        pytest.param(Asked(ADA, "CREATE", POD), id="no-object"),
        pytest.param(Asked(ADA, "UPDATE", POD, pod("checkout-dev"), pod("checkout-dev")), id="an-update"),
        pytest.param(Asked(ADA, "DELETE", POD, None, pod("checkout-dev")), id="a-deletion"),
        pytest.param(Asked(ADA, "CREATE", NETPOL, policy("checkout-dev")), id="a-policy"),
        pytest.param(Asked(ADA, "CREATE", ("x.io", "v1", "Pod", "pods"), pod("checkout-dev")), id="another-pod"),
    ],
)
def test_it_is_looked_at_only_where_the_pod_gate_asks(tree: Tree, asked: Asked) -> None:
    """In namespaces that a baseline applies to, for a pod that comes."""
    assert document(tree, asked).cover is None


def test_an_exempt_namespace_is_not_looked_at(tree: Tree) -> None:
    """Nothing has to be in place there."""
    known = tree.knowing(Namespace("exempt-dev", {WORKSPACE: "checkout", **EXEMPT}, NOTES))
    assert document(known, Asked(ADA, "CREATE", POD, pod("exempt-dev"))).cover is None


# A tenant under review.


@pytest.mark.parametrize(
    ("asked", "new", "old"),
    [
        pytest.param(Asked(PAM, "CREATE", TENANTS["Workspace"], workspace("payments")), "payments", None, id="created"),
        pytest.param(
            Asked(PAM, "UPDATE", TENANTS["Workspace"], workspace("search"), workspace("payments")),
            "search",
            "payments",
            id="updated",
        ),
        pytest.param(
            Asked(PAM, "DELETE", TENANTS["Workspace"], None, workspace("payments")), None, "payments", id="deleted"
        ),
        pytest.param(
            Asked(PAM, "DELETE", TENANTS["Workspace"], workspace("search"), workspace("payments")),
            None,
            "payments",
            id="deleted-with-an-object-beside-it",
        ),
        pytest.param(
            Asked(PAM, "CREATE", TENANTS["Workspace"], workspace("payments"), workspace("search")),
            "payments",
            None,
            id="created-with-an-old-object-beside-it",
        ),
        pytest.param(
            Asked(PAM, "UPDATE", TENANTS["Workspace"], workspace("payments"), workspace("NO")),
            "payments",
            None,
            id="old-one-unreadable",
        ),
    ],
)
def test_a_tenant_is_known_as_it_was_and_would_be(tree: Tree, asked: Asked, new: str | None, old: str | None) -> None:
    """As it was sent, not as it stands in the tree; what it owns is looked up by its name."""
    found = document(tree, asked)
    assert found.tenancy
    assert (found.tenancy.new and found.tenancy.new.project) == new
    assert (found.tenancy.old and found.tenancy.old.project) == old
    assert (set(found.tenancy.owned), found.tenancy.owns) == ({"checkout-dev", "ready-dev", "drifted-dev"}, 3)
    assert found.unreadable == ""


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(Asked(OZ, "CREATE", BASELINE, other_policy(BASELINE)), id="baseline"),
        pytest.param(Asked(OZ, "CREATE", NAMESPACE, namespace("n")), id="namespace"),
        pytest.param(
            Asked(OZ, "CREATE", ("example.com", "v1", "Workspace", "workspaces"), workspace("payments")),
            id="kind-of-the-same-name-elsewhere",
        ),
        pytest.param(Asked(OZ, "CREATE", TENANTS["Workspace"]), id="without-object"),
        pytest.param(Asked(OZ, "DELETE", TENANTS["Workspace"], workspace("payments")), id="deleted-without-old-object"),
    ],
)
def test_only_a_tenant_has_a_tenancy(tree: Tree, asked: Asked) -> None:
    """Whoever reads it knows that the object is one of the tree."""
    assert document(tree, asked).tenancy is None


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        pytest.param(Asked(OZ, "CREATE", TENANTS["Workspace"], workspace("NO")), "spec.project: ", id="created"),
        pytest.param(
            Asked(OZ, "UPDATE", TENANTS["Project"], tenant("Project", "p", {"rolls": []}), tenant("Project", "p")),
            "spec.rolls: ",
            id="updated",
        ),
        pytest.param(Asked(OZ, "CREATE", BASELINE, other_policy(BASELINE)), "spec.policies: ", id="baseline"),
        pytest.param(Asked(OZ, "DELETE", TENANTS["Workspace"], None, workspace("NO")), "", id="what-goes-may-be-odd"),
        pytest.param(
            Asked(OZ, "DELETE", TENANTS["Workspace"], workspace("NO"), workspace("payments")),
            "",
            id="beside-a-deletion",
        ),
        pytest.param(
            Asked(OZ, "CREATE", ("example.com", "v1", "Workspace", "workspaces"), workspace("NO")),
            "",
            id="kind-of-the-same-name-elsewhere",
        ),
    ],
)
@pytest.mark.parametrize("loaded", [True, False], ids=["tree", "no-tree"])
def test_what_is_written_and_cannot_be_read_is_known(tree: Tree, asked: Asked, told: str, *, loaded: bool) -> None:
    """With a tree or without."""
    found = document(tree if loaded else None, asked).unreadable
    assert found.startswith(told)
    assert bool(found) == bool(told)


# Without a tree.


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(Asked(ADA, "CREATE", NETPOL, policy("checkout-dev", spec=FROM_TEN)), id="policy"),
        pytest.param(Asked(ADA, "CREATE", NAMESPACE, namespace("new")), id="namespace"),
        pytest.param(Asked(ADA, "DELETE", BASELINE, None, other_policy(BASELINE, name="zero-trust")), id="baseline"),
        pytest.param(Asked(PAM, "DELETE", TENANTS["Workspace"], None, workspace("payments")), id="tenant"),
    ],
)
def test_without_a_tree_there_is_the_request_alone(asked: Asked) -> None:
    """The document says that the tree is not loaded, and holds nothing that would need it."""
    found = document(None, asked)
    assert (found.tree, found.organization, found.enforcement, found.tenants) == (False, "", {}, {})
    assert found.places == Places()
    assert (found.service_accounts, found.named_by, found.reaches) == ((), (), ())
    assert (found.cover, found.tenancy) == (None, None)
    assert found.user.name == asked.caller.name
    assert (found.object is None, found.old_object is None) == (asked.new is None, asked.old is None)
    assert found.break_glass_groups == GROUPS
