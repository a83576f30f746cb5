"""The tree from a cluster: none until it is whole, never more than what was told, the same as one grown from files."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases.reviews import Json
from webhook.model import (
    BASELINE_FINALIZER,
    BASELINE_LABEL,
    MANAGED_BY_LABEL,
    WORKSPACE_LABEL,
    Policy,
    Standing,
    Subject,
    Writer,
)
from webhook.tenancy.live import KINDS, MOST_FORMER, POLICIES, LiveTree, read_namespace
from webhook.tenancy.specs import KINDS as OURS
from webhook.tenancy.specs import read_baseline, read_tenant
from webhook.tenancy.tree import Holdings, Tree, grow

ADMINS: Json = {"role": "OrgAdmin", "subjects": [{"kind": "Group", "name": "acme-admins"}]}
TEAM: Json = {"role": "WorkspaceAdmin", "subjects": [{"kind": "Group", "name": "team"}]}
VERSION = "100"
FAULTY = "Workspace checkout cannot be read: spec.projekt: "


def thing(name: str, spec: Json | None = None, **metadata: Any) -> Json:
    """Return an object of any kind, in the first version."""
    return {"metadata": {"name": name, "resourceVersion": "1", **metadata}, **({} if spec is None else {"spec": spec})}


ACME = thing("acme", {"roles": [ADMINS], "baselines": ["zero-trust"]})
PAYMENTS = thing("payments", {})
CHECKOUT = thing("checkout", {"project": "payments", "roles": [TEAM], "baselines": ["mesh"]})
ZERO_TRUST = thing("zero-trust", {"policies": [{"name": "deny", "spec": {"podSelector": {}}}]})
EDGE = thing("edge", {"namespaceSelector": {"matchLabels": {"tier": "edge"}}, "policies": []})
DEV = thing("dev", labels={WORKSPACE_LABEL: "checkout"})
STANDING: dict[str, list[Json]] = {
    "Organization": [ACME],
    "Project": [PAYMENTS],
    "Workspace": [CHECKOUT],
    "NetworkBaseline": [ZERO_TRUST, EDGE],
    "Namespace": [DEV],
    **{kind: [] for kind in POLICIES},
}


def told(**kinds: list[Json]) -> LiveTree:
    """Return a live tree that was told what stands, with other objects of some kinds."""
    live = LiveTree()
    for kind, things in {**STANDING, **kinds}.items():
        live.reset(kind, things, VERSION)
    return live


def grown(live: LiveTree) -> Tree:
    """Return the tree, which there has to be."""
    assert live.tree, live.lacks()
    return live.tree


# Without a tree.


@pytest.mark.parametrize("last", KINDS)
def test_there_is_no_tree_until_every_kind_was_told(last: str) -> None:
    """Whichever comes last: what is not known yet might deny, own or guard."""
    live = LiveTree()
    for kind in KINDS:
        if kind != last:
            live.reset(kind, STANDING[kind], VERSION)
            for each in STANDING[kind]:
                live.put(kind, each)
            assert live.lacks()
    assert (live.tree, live.synced) == (None, False)
    assert live.lacks() == f"not read from the cluster yet: {last}"
    live.reset(last, STANDING[last], VERSION)
    assert live.synced
    assert live.lacks() == ""
    assert grown(live).place_of("dev").standing == Standing.OWNED


@pytest.mark.parametrize("kind", KINDS)
def test_single_events_are_not_the_whole(kind: str) -> None:
    """An object that came does not say that there are no others."""
    live = LiveTree()
    for each in KINDS:
        if each != kind:
            live.reset(each, STANDING[each], VERSION)
    live.put(kind, thing("x", {}, namespace="dev"))
    live.drop(kind, thing("x", {}, namespace="dev"))
    assert (live.tree, live.synced) == (None, False)


def test_at_the_beginning_everything_is_lacking() -> None:
    """All kinds are named."""
    assert LiveTree().lacks() == f"not read from the cluster yet: {', '.join(KINDS)}"


@pytest.mark.parametrize("kind", ["Organization", "Project", "Workspace"])
def test_without_a_kind_of_the_tree_there_is_no_tree(kind: str) -> None:
    """A cluster that does not serve it has no tenants yet, and is told what to apply."""
    live = told()
    live.absent(kind)
    assert live.tree is None
    assert live.lacks() == "the cluster does not know the tenant tree: kubectl apply -k manifests/crds"
    live.reset(kind, STANDING[kind], VERSION)
    assert live.tree


@pytest.mark.parametrize("kind", ["NetworkBaseline", *POLICIES[1:]])
def test_a_kind_that_may_be_absent_is_empty(kind: str) -> None:
    """A cluster without a CNI's kinds has none of its policies, and none that were told of before."""
    live = told(**{each: [thing("c", {}, namespace="dev")] for each in POLICIES[1:]})
    live.absent(kind)
    assert live.synced
    tree = grown(live)
    assert set(tree.baselines) == (set() if kind == "NetworkBaseline" else {"zero-trust", "edge"})
    assert [each.kind for each in tree.policies_in("dev")] == [each for each in POLICIES[1:] if each != kind]


def test_an_absent_kind_that_comes_is_there() -> None:
    """What was absent is told whole once it is served."""
    live = told()
    live.absent("NetworkBaseline")
    live.absent("NetworkBaseline")
    live.reset("NetworkBaseline", [ZERO_TRUST], VERSION)
    assert set(grown(live).baselines) == {"zero-trust"}


NO_ORGANIZATION = "there is no Organization: apply one with an OrgAdmin among its roles"
TWO = "a cluster belongs to one Organization, and there are acme, umbrella: delete all but one"


def test_there_has_to_be_one_organization() -> None:
    """None and two are no tree, and the message says what to do; with one again there is a tree."""
    live = told(Organization=[])
    assert (live.tree, live.lacks()) == (None, NO_ORGANIZATION)
    live.put("Organization", ACME)
    assert grown(live).organization.name == "acme"
    live.put("Organization", thing("umbrella", {}))
    assert (live.tree, live.lacks()) == (None, TWO)
    live.drop("Organization", ACME)
    assert grown(live).organization.name == "umbrella"
    live.drop("Organization", thing("umbrella"))
    assert (live.tree, live.lacks()) == (None, NO_ORGANIZATION)


def test_two_organizations_at_once_are_no_tree() -> None:
    """As they may stand when we begin."""
    live = told(Organization=[thing("umbrella", {}), ACME])
    assert (live.tree, live.lacks()) == (None, TWO)
    assert {each.name for each in live.organizations} == {"acme", "umbrella"}


def test_an_organization_that_cannot_be_read_is_no_tree() -> None:
    """Alone or beside another: who may do what is not known, so nothing is decided."""
    faulty = thing("umbrella", {"rolez": []})
    for things in ([faulty], [faulty, ACME]):
        assert told(Organization=things).tree is None


# What cannot be read.


def test_a_workspace_that_cannot_be_read_orphans_its_namespaces() -> None:
    """They are an OrgAdmin's alone until somebody mends it; the reason is told."""
    live = told()
    live.put("Workspace", thing("checkout", {"project": "payments", "projekt": "x"}))
    tree = grown(live)
    assert tree.place_of("dev").standing == Standing.ORPHANED
    assert tree.naming([Subject("Group", "team")]) == ()
    (reason,) = live.unreadable()
    assert reason.startswith(FAULTY)
    live.put("Workspace", CHECKOUT)
    assert (live.unreadable(), grown(live).place_of("dev").standing) == ([], Standing.OWNED)


def test_a_project_that_cannot_be_read_orphans_what_is_below() -> None:
    """A role of it is nobody's."""
    live = told(Project=[thing("payments", {"roles": [TEAM]})])
    assert grown(live).place_of("dev").standing == Standing.ORPHANED
    wrong = "'WorkspaceAdmin' is no role of a Project; it has ProjectAdmin, ProjectReader"
    assert live.unreadable() == [f"Project payments cannot be read: spec.roles.0: {wrong}"]


@pytest.mark.parametrize(
    ("selector", "applies"),
    [
        pytest.param({"matchLabels": {"tier": "edge"}}, {"edge"}, id="readable-keeps-its-selector"),
        pytest.param(None, set(), id="none-selects-nothing"),
        pytest.param({}, {"edge", "other"}, id="empty-selects-all"),
        pytest.param({"matchLabelz": {}}, {"edge", "other"}, id="misspelt-selects-all"),
        pytest.param({"matchLabels": {"tier": 7}}, {"edge", "other"}, id="malformed-selects-all"),
        pytest.param("tier=edge", {"edge", "other"}, id="no-selector-at-all-selects-all"),
        pytest.param(
            {"matchExpressions": [{"key": "x", "operator": "NotIn", "values": [str(n) for n in range(600)]}]},
            {"edge", "other"},
            id="too-long-selects-all",
        ),
        pytest.param({"matchLabels": {"portcullis.dev/gate": "x"}}, {"edge", "other"}, id="of-the-gate-selects-all"),
    ],
)
def test_a_baseline_that_cannot_be_read_applies_and_brings_nothing(selector: Any, applies: set[str]) -> None:
    """Guardrails hold where it applied, or everywhere if that cannot be told either; nobody loses a policy by it."""
    spec = {"policies": "none", **({} if selector is None else {"namespaceSelector": selector})}
    namespaces = [thing("edge", labels={"tier": "edge"}), thing("other")]
    live = told(NetworkBaseline=[ZERO_TRUST, thing("edge", spec)], Namespace=namespaces)
    tree = grown(live)
    assert {name for name in ("edge", "other") if "edge" in tree.place_of(name).baselines} == applies
    assert tree.baselines["edge"].policies == ()
    assert tree.baselines["edge"].unreadable == live.unreadable()[0]
    assert live.unreadable()[0].startswith("NetworkBaseline edge cannot be read: spec.")


@pytest.mark.parametrize("spec", [None, {}, [], "x", 7], ids=["absent", "empty", "list", "text", "number"])
def test_any_spec_is_told_without_an_end(spec: Any) -> None:
    """Whatever a schema of another day let in, the watch that tells of it goes on."""
    live = told()
    for kind in OURS:
        live.put(kind, {"metadata": {"name": "odd", "resourceVersion": "7"}, "spec": spec})
    assert "NetworkBaseline odd" in "\n".join(live.unreadable())


def test_what_cannot_be_read_any_more_is_not_what_it_was() -> None:
    """A revoked role does not come back because of a typing error beside it."""
    live = told()
    live.put("Workspace", thing("checkout", {"project": "payments", "roles": [TEAM], "extra": 1}))
    assert grown(live).naming([Subject("Group", "team")]) == ()


@pytest.mark.parametrize("end", ["drop", "reset", "absent"])
def test_what_is_gone_is_not_unreadable(end: str) -> None:
    """However it went."""
    live = told(NetworkBaseline=[ZERO_TRUST, thing("odd", {"x": 1})])
    assert live.unreadable()
    ends: dict[str, Callable[[], None]] = {
        "drop": lambda: live.drop("NetworkBaseline", thing("odd")),
        "reset": lambda: live.reset("NetworkBaseline", [ZERO_TRUST], VERSION),
        "absent": lambda: live.absent("NetworkBaseline"),
    }
    ends[end]()
    assert live.unreadable() == []


# What is told is there at once.


def test_a_revoked_role_stops_with_the_event_that_says_so() -> None:
    """The next look at the tree no longer names the team."""
    live = told()
    before = grown(live)
    live.put("Workspace", thing("checkout", {"project": "payments"}, resourceVersion="101"))
    assert grown(live).naming([Subject("Group", "team")]) == ()
    assert before.naming([Subject("Group", "team")]) == ("Workspace/checkout",)


def test_a_namespace_changes_in_the_tree_that_there_is() -> None:
    """Thousands of them come and go without the tree being made anew."""
    live = told()
    tree = grown(live)
    live.put("Namespace", thing("dev", labels={}))
    assert live.tree is tree
    assert tree.place_of("dev").standing == Standing.UNOWNED
    assert tree.owned_by("Workspace/checkout") == ((), 0)
    live.put("Namespace", DEV)
    assert tree.owned_by("Workspace/checkout") == (("dev",), 1)
    live.drop("Namespace", thing("dev"))
    assert tree.place_of("dev").standing == Standing.UNKNOWN
    assert tree.owned_by("Workspace/checkout") == ((), 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tree_that_is_being_read_stays_whole(kind: str) -> None:
    """A kind that is told anew makes a new tree: who reads the old one in a thread never finds it half empty."""
    live = told(NetworkPolicy=[thing("a", {}, namespace="dev")], CiliumNetworkPolicy=[thing("b", {}, namespace="dev")])
    tree = grown(live)
    before = seen_of(tree)
    live.reset(kind, [], "200")
    assert live.tree is not tree
    assert seen_of(tree) == before
    live.absent(kind)
    assert seen_of(tree) == before


def test_the_policies_of_a_namespace_are_one_object_until_one_changes() -> None:
    """Whoever compares identities sees every change, and of his own namespace alone."""
    live = told(NetworkPolicy=[thing("a", {}, namespace="dev"), thing("b", {}, namespace="other")])
    tree = grown(live)
    before, other = tree.policies_in("dev"), tree.policies_in("other")
    live.put("Namespace", DEV)
    assert tree.policies_in("dev") is before
    live.put("NetworkPolicy", thing("a", {}, namespace="dev"))
    assert tree.policies_in("dev") is not before
    assert tree.policies_in("other") is other
    assert tree.policies_in("none") is tree.policies_in("neither")


def test_policies_of_two_kinds_and_one_name_are_two() -> None:
    """One that goes, or a kind that is told anew, leaves the others: those of another group with the name, too."""
    live = told()
    for kind in POLICIES:
        live.put(kind, thing("web", {}, namespace="dev"))
    tree = grown(live)
    assert [each.kind for each in tree.policies_in("dev")] == list(POLICIES)
    for kind in POLICIES[:3]:
        live.reset(kind, [], VERSION)
    assert [each.kind for each in grown(live).policies_in("dev")] == list(POLICIES[3:])
    for kind in POLICIES[3:]:
        live.drop(kind, thing("web", namespace="dev"))
    assert grown(live).policies_in("dev") == ()


def test_a_policy_is_kept_with_what_hangs_on_it() -> None:
    """Its labels, spec and version, and the names of what is attached to it; empty ones count for nothing."""
    attached = {"annotations": {"a": "b"}, "finalizers": [], "ownerReferences": [{"name": "x"}]}
    live = told(NetworkPolicy=[thing("web", {"podSelector": {}}, namespace="dev", labels={"x": "y"}, **attached)])
    assert grown(live).policies_in("dev") == (
        Policy(
            "dev",
            "web",
            {"x": "y"},
            {"podSelector": {}},
            attached=("annotations", "ownerReferences"),
            version="1",
        ),
    )


@pytest.mark.parametrize("kind", POLICIES[1:])
def test_of_a_cnis_policy_the_whole_object_is_kept(kind: str) -> None:
    """Rules stand in `spec` or `specs`; who wrote which field is let go."""
    live = told()
    whole = {"specs": [{}], **thing("web", namespace="dev", managedFields=[{"manager": "x"}], labels={"a": "b"})}
    live.put(kind, whole)
    (policy,) = grown(live).policies_in("dev")
    assert policy.kind == kind
    assert policy.spec == {"specs": [{}], **thing("web", namespace="dev", labels={"a": "b"})}
    assert whole["metadata"]["managedFields"]


def test_a_namespace_is_read_with_what_counts() -> None:
    """Labels and annotations where there are any, whether it ends, and its version."""
    bare = read_namespace({"metadata": {"name": "dev"}})
    assert (bare.name, bare.labels, bare.annotations, bare.terminating, bare.version) == ("dev", {}, {}, False, "")
    ending = thing("dev", labels={"a": "b"}, annotations={"c": "d"}, deletionTimestamp="2026-11-21T00:00:00Z")
    read = read_namespace(ending)
    assert (read.labels, read.annotations, read.terminating, read.version) == ({"a": "b"}, {"c": "d"}, True, "1")


def test_every_change_is_told_on() -> None:
    """Whoever waits for one is woken after it was taken, each time."""
    live = told()
    heard: list[int] = []
    live.changed.append(lambda: heard.append(len(grown(live).namespaces)))
    live.put("Namespace", thing("two"))
    live.drop("Namespace", thing("two"))
    live.reset("Namespace", [], VERSION)
    live.put("Workspace", CHECKOUT)
    live.absent("CiliumNetworkPolicy")
    live.absent("CiliumNetworkPolicy")
    assert heard == [2, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(("NetworkBaseline", {**ZERO_TRUST, "status": {"namespaces": 7}}), id="a-status"),
        pytest.param(("NetworkBaseline", thing("edge", EDGE["spec"], annotations={"a": "b"})), id="an-annotation"),
        pytest.param(("Workspace", thing("checkout", CHECKOUT["spec"], labels={"a": "b"})), id="a-label"),
    ],
)
def test_what_means_the_same_leaves_the_tree_as_it_is(again: tuple[str, Json]) -> None:
    """A new tree has every namespace compared anew; that something changed is told all the same."""
    live, heard = told(), list[int]()
    live.changed.append(lambda: heard.append(1))
    tree, (kind, each) = grown(live), again
    live.put(kind, with_version(each, "300"))
    assert live.tree is tree
    assert heard == [1]
    assert live.reached(kind, "300")
    live.put(kind, {**with_version(each, "301"), "spec": {**each["spec"], "unknown": 1}})
    live.put(kind, with_version(each, "302"))
    assert live.tree is not tree


def with_version(each: Json, version: str) -> Json:
    """Return an object in another version."""
    return {**each, "metadata": {**each["metadata"], "resourceVersion": version}}


def test_whose_namespace_was_touched_is_told_first() -> None:
    """Its own change and that of a policy in it; a change of the tree is nobody's."""
    live = told()
    heard = list[str]()
    live.touched.append(heard.append)
    live.changed.append(lambda: heard.append("changed"))
    live.put("Namespace", DEV)
    live.put("NetworkPolicy", thing("a", {}, namespace="dev"))
    live.drop("CiliumNetworkPolicy", thing("b", {}, namespace="other"))
    live.drop("Namespace", DEV)
    assert heard == ["dev", "changed", "dev", "changed", "other", "changed", "dev", "changed"]
    live.put("Project", thing("search", {}))
    assert heard[8:] == ["changed"]


HELD = {"finalizers": ["x", BASELINE_FINALIZER]}


def test_a_baseline_that_ends_selects_nothing_any_more() -> None:
    """It stands until its finalizers are gone; who names it has it still."""
    live = told()
    assert not grown(live).baselines["edge"].held
    live.put("NetworkBaseline", thing("edge", EDGE["spec"], **HELD))
    edge = grown(live).baselines["edge"]
    assert (edge.held, edge.ending) == (True, False)
    assert grown(live).place("e", {"tier": "edge"}).baselines == ("edge",)
    for name, each in (("edge", EDGE), ("zero-trust", ZERO_TRUST)):
        live.put("NetworkBaseline", thing(name, each["spec"], deletionTimestamp="2026-11-21T00:00:00Z", **HELD))
    assert grown(live).baselines["edge"].ending
    assert grown(live).place("e", {"tier": "edge"}).baselines == ()
    assert grown(live).place_of("dev").baselines == ("mesh", "zero-trust")


def test_who_wrote_to_an_injected_policy_is_kept() -> None:
    """Who is not us, the last one first; of a policy that could be no injected one nothing is kept."""
    entries = [
        {"manager": "portcullis", "operation": "Apply", "time": "2026-11-21T09:00:00Z"},
        {"manager": "helm", "operation": "Apply", "time": "2026-11-21T10:00:00Z"},
        {"manager": "kubectl-edit", "operation": "Update", "time": "2026-11-21T11:00:00Z"},
        {"manager": "cni", "operation": "Update", "time": "2026-11-21T12:00:00Z", "subresource": "status"},
    ]
    live = told(NetworkPolicy=[thing(each, {}, namespace="dev", managedFields=entries) for each in ("a.b", "web")])
    injected, web = grown(live).policies_in("dev")
    assert injected.writers == (
        Writer("kubectl-edit", "Update", "2026-11-21T11:00:00Z"),
        Writer("helm", "Apply", "2026-11-21T10:00:00Z"),
    )
    assert web.writers == ()


# How far it was told.


def test_what_was_told_is_reached() -> None:
    """By every event of that kind, the whole one too, and of that kind alone."""
    live = told()
    assert live.reached("Namespace", "99")
    assert live.reached("Namespace", "100")
    assert not live.reached("Namespace", "101")
    live.put("Namespace", thing("x", resourceVersion="102"))
    assert live.reached("Namespace", "102")
    assert not live.reached("Namespace", "103")
    assert not live.reached("NetworkPolicy", "102")
    live.drop("NetworkPolicy", thing("x", namespace="dev", resourceVersion="9999999999999999999999"))
    assert live.reached("NetworkPolicy", "1000000000000000000000")
    live.reset("Namespace", [], "205")
    assert live.reached("Namespace", "205")


@pytest.mark.parametrize("version", ["", "abc", "1.5", "-1", "0x10"])
def test_a_version_that_is_no_number_is_never_waited_for(version: str) -> None:
    """Nothing can be said of it, and nobody may wait for ever."""
    live = LiveTree()
    live.reset("Namespace", [], version)
    assert live.reached("Namespace", version)
    assert not live.reached("Namespace", "1")


# Whatever happened, the tree is that of what stands.

names = st.sampled_from(["one", "two", "three"])
workspaces = st.sampled_from(["checkout", "refunds", "ghost"])
labels = st.fixed_dictionaries({}, optional={WORKSPACE_LABEL: workspaces, "tier": st.sampled_from(["edge", "core"])})
injected = st.sampled_from([{}, {MANAGED_BY_LABEL: "portcullis", BASELINE_LABEL: "zero-trust"}])
roles = st.lists(st.sampled_from([TEAM, {"role": "WorkspaceReader", "subjects": []}, {"role": "None"}]), max_size=2)
WRITTEN: dict[str, st.SearchStrategy[Json]] = {
    "Namespace": st.builds(lambda name, labels: thing(name, labels=labels), names, labels),
    "NetworkPolicy": st.builds(
        lambda name, namespace, labels: thing(name, {"podSelector": {}}, namespace=namespace, labels=labels),
        st.sampled_from(["web", "zero-trust.deny", "zero-trust.dns"]),
        names,
        injected,
    ),
    **{
        kind: st.builds(
            lambda name, namespace: thing(name, {"x": 1}, namespace=namespace), st.sampled_from(["web", "api"]), names
        )
        for kind in POLICIES[1:]
    },
    "Workspace": st.builds(
        lambda name, project, roles, baselines: thing(
            name, {"project": project, "roles": roles, "baselines": baselines}
        ),
        st.sampled_from(["checkout", "refunds"]),
        st.sampled_from(["payments", "gone"]),
        roles,
        st.lists(st.sampled_from(["zero-trust", "mesh"]), max_size=2),
    ),
    "Project": st.builds(
        lambda baselines: thing("payments", {"baselines": baselines}), st.just(["mesh"]) | st.just([])
    ),
    "Organization": st.just(ACME),
    "NetworkBaseline": st.builds(
        lambda name, policies, selector: thing(
            name,
            {"policies": [{"name": each, "spec": {}} for each in policies]}
            | ({} if selector is None else {"namespaceSelector": selector}),
        ),
        st.sampled_from(["zero-trust", "mesh", "edge"]),
        st.sampled_from([[], ["deny"], ["deny", "dns"]]),
        st.sampled_from([None, {}, {"matchLabels": {"tier": "edge"}}, {"matchLabel": {}}]),
    ),
}
Step = tuple[str, str, list[Json]]
steps: st.SearchStrategy[Step] = st.sampled_from(KINDS).flatmap(
    lambda kind: st.tuples(
        st.sampled_from(["put", "put", "put", "drop", "drop", "reset", "absent"]),
        st.just(kind),
        st.lists(WRITTEN[kind], min_size=1, max_size=3, unique_by=key_of),
    )
)


def key_of(thing: Json) -> tuple[str, str]:
    """Return what there is one of."""
    return thing["metadata"].get("namespace", ""), thing["metadata"]["name"]


def take(live: LiveTree, step: Step, standing: dict[str, dict[tuple[str, str], Json]]) -> None:
    """Tell the tree of a step, and keep what stands after it."""
    what, kind, things = step
    match what:
        case "put" | "drop" if kind not in standing:
            # Of a kind that comes, the watch tells the whole first.
            take(live, ("reset", kind, things), standing)
        case "put":
            live.put(kind, things[0])
            standing[kind][key_of(things[0])] = things[0]
        case "drop":
            live.drop(kind, things[0])
            standing[kind].pop(key_of(things[0]), None)
        case "reset":
            live.reset(kind, things, VERSION)
            standing[kind] = {key_of(each): each for each in things}
        case _ if kind in {*POLICIES[1:], "NetworkBaseline"}:
            live.absent(kind)
            standing.pop(kind, None)


@settings(max_examples=80, deadline=None)
@given(st.lists(steps, max_size=25))
def test_the_tree_is_that_of_what_stands_whatever_came_before(taken: list[Step]) -> None:
    """After any events: the same places, policies and look-ups as a tree that is told the end state alone."""
    live = told()
    standing = {kind: {key_of(each): each for each in things} for kind, things in STANDING.items()}
    for step in taken:
        take(live, step, standing)
    afresh = LiveTree()
    for kind in KINDS:
        afresh.reset(kind, list(standing.get(kind, {}).values()), VERSION)
    assert (live.tree is None, live.lacks(), live.unreadable()) == (
        afresh.tree is None,
        afresh.lacks(),
        afresh.unreadable(),
    )
    assert (live.tree and seen_of(live.tree)) == (afresh.tree and seen_of(afresh.tree))


def seen_of(tree: Tree) -> dict[str, Any]:
    """Return all that a tree can be asked, in an order of its own."""
    spaces = ("one", "two", "three", "dev", "none")
    subjects = [Subject("Group", "team"), Subject("Group", "acme-admins")]
    return {
        "places": [tree.place_of(each) for each in spaces],
        "tenants": dict(tree.tenants),
        "baselines": dict(tree.baselines),
        "namespaces": dict(tree.namespaces),
        "policies": [sorted(map(repr, tree.policies_in(each))) for each in spaces],
        "standing": [
            sorted(map(repr, tree.standing_policies(each, but=but, kind=kind)))
            for each in spaces
            for but in ("", "web")
            for kind in POLICIES
        ],
        "naming": [tree.naming([each]) for each in subjects],
        "naming baseline": [sorted(tree.naming_baseline(each)) for each in ("zero-trust", "mesh", "edge")],
        "accounts": tree.naming_accounts_of("gitops"),
        "owned": [
            (sorted(names), count)
            for names, count in map(tree.owned_by, ("Workspace/checkout", "Workspace/none", "Project/payments"))
        ],
    }


def test_it_is_the_tree_that_the_same_objects_in_files_are() -> None:
    """`grow` of the same nouns answers the same."""
    policies = [thing("web", {}, namespace="dev"), thing("zero-trust.deny", {}, namespace="dev")]
    live = told(NetworkPolicy=policies)
    tenants = [("Project", PAYMENTS), ("Workspace", CHECKOUT)]
    holdings = Holdings(
        read_tenant("Organization", "acme", ACME["spec"]),
        tuple(read_tenant(kind, each["metadata"]["name"], each["spec"]) for kind, each in tenants),  # type: ignore[arg-type]  # literals
        tuple(read_baseline(each["metadata"]["name"], each["spec"]) for each in (ZERO_TRUST, EDGE)),
        (read_namespace(DEV),),
        tuple(Policy("dev", each["metadata"]["name"], {}, {}, version="1") for each in policies),
    )
    assert seen_of(grown(live)) == seen_of(grow(holdings))


# What baselines were.


def changed(version: str, *names: str) -> Json:
    """Return the baseline zero-trust in a version, with policies of these names."""
    listed = [{"name": each, "spec": {"podSelector": {}}} for each in names]
    return thing("zero-trust", {"policies": listed}, resourceVersion=version)


def former(live: LiveTree) -> list[tuple[list[str], int]]:
    """Return the policies of what zero-trust was before, and until when."""
    found = grown(live).former.get("zero-trust", ())
    return [([policy.name for policy in each.baseline.policies], each.until) for each in found]


def test_a_baseline_that_changed_is_remembered_as_it_was() -> None:
    """The newest first, each until the version that changed it; what it is now is none of it."""
    live = told()
    assert former(live) == []
    live.put("NetworkBaseline", changed("11", "deny", "dns"))
    assert former(live) == [(["deny"], 11)]
    live.put("NetworkBaseline", changed("12", "more"))
    assert former(live) == [(["deny", "dns"], 12), (["deny"], 11)]
    live.put("NetworkBaseline", changed("13", "deny"))
    assert former(live) == [(["more"], 13), (["deny", "dns"], 12)]
    live.put("NetworkBaseline", changed("14", "more"))
    assert former(live) == [(["deny"], 14), (["deny", "dns"], 12)]


def test_what_changes_none_of_its_policies_is_no_change() -> None:
    """A label, a status, drift or a selector."""
    live = told()
    spec = {**ZERO_TRUST["spec"], "drift": "Report", "namespaceSelector": {}}
    live.put("NetworkBaseline", thing("zero-trust", spec, resourceVersion="11", labels={"a": "b"}))
    assert former(live) == []


def test_no_more_than_the_last_few_are_remembered() -> None:
    """Memory has an end."""
    live = told()
    for number in range(20, 40):
        live.put("NetworkBaseline", changed(str(number), f"p{number}"))
    assert former(live) == [([f"p{number - 1}"], number) for number in range(39, 39 - MOST_FORMER, -1)]


def test_it_is_remembered_over_a_watch_that_begins_anew() -> None:
    """Whether it changed meanwhile or not."""
    live = told()
    live.put("NetworkBaseline", changed("11", "dns"))
    live.reset("NetworkBaseline", [changed("11", "dns")], VERSION)
    assert former(live) == [(["deny"], 11)]
    live.reset("NetworkBaseline", [changed("17", "more")], VERSION)
    assert former(live) == [(["dns"], 17), (["deny"], 11)]


def test_it_is_remembered_while_it_cannot_be_read() -> None:
    """Mended, it rolls out from what it was before."""
    live = told()
    live.put("NetworkBaseline", thing("zero-trust", {"polices": []}, resourceVersion="11"))
    live.put("NetworkBaseline", changed("12", "dns"))
    assert former(live) == [(["deny"], 12)]


@pytest.mark.parametrize("how", ["dropped", "not told of", "its kind is gone"])
def test_one_that_is_gone_is_forgotten(how: str) -> None:
    """Another of the same name never was what that one was."""
    live = told()
    live.put("NetworkBaseline", changed("11", "dns"))
    match how:
        case "dropped":
            live.drop("NetworkBaseline", changed("12", "dns"))
        case "not told of":
            live.reset("NetworkBaseline", [EDGE], VERSION)
        case _:
            live.absent("NetworkBaseline")
    live.reset("NetworkBaseline", [changed("20", "other")], VERSION)
    assert former(live) == []


def test_a_version_that_is_no_number_proves_nothing() -> None:
    """No policy is older than it."""
    live = told()
    live.put("NetworkBaseline", changed("x", "dns"))
    assert former(live) == [(["deny"], 0)]
