"""The way of one namespace: what it lacks is brought, what differs is put back, and all else is left alone."""

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.cases.reviews import Json
from tests.cluster.memory import Call, until
from tests.cluster.world import (
    CHANGES,
    DENY,
    DERIVED,
    DNS,
    OWNED,
    STANDING,
    World,
    baseline,
    doing,
    failing,
    injected,
    live_namespace,
    quiet,
    settled,
    thing,
    with_metadata,
    worked,
)
from webhook.baseline import past
from webhook.bring import bring, see
from webhook.cluster.resource import (
    BASELINES,
    DEFINITIONS,
    NAMESPACES,
    NETWORK_POLICIES,
    ORGANIZATIONS,
    PROJECTS,
    WORKSPACES,
    Resource,
)
from webhook.controller import Way
from webhook.errors import ClusterError
from webhook.model import (
    BASELINE_FINALIZER,
    BASELINE_LABEL,
    GATE_LABEL,
    MANAGED_BY_LABEL,
    PROJECT_LABEL,
    RESERVED,
    STATE_ANNOTATION,
    WORKSPACE_LABEL,
)


@pytest.fixture(autouse=True)
def _settled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what does not apply any more go at once."""
    monkeypatch.setattr(past, "SETTLE_SECONDS", 0.0)


# What is left alone.


def test_what_is_right_takes_no_call_at_all() -> None:
    """Neither the second time it is looked at nor by the next leader."""
    assert worked(settled()).writes() == {}


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_the_platforms_own_namespaces_are_left_alone(name: str) -> None:
    """Whatever labels they carry, even derived ones that are wrong."""
    labels = {**OWNED, **DERIVED}
    world = worked(World(Namespace=[live_namespace(name, labels)]))
    assert world.writes() == {}


def test_a_namespace_that_ends_is_left_alone() -> None:
    """Nothing can be created in it, and what is deleted there is not put back."""
    ending = live_namespace(deletionTimestamp="2026-11-21T00:00:00Z")
    changed = injected("zero-trust.default-deny", {**DENY, "ingress": [{}]})
    assert worked(World(Namespace=[ending], NetworkPolicy=[changed])).writes() == {}


def test_without_a_tree_nothing_is_done() -> None:
    """No Organization, or two: nobody knows what a namespace gets, and nothing is taken from it."""
    world = World(Namespace=[live_namespace()], Organization=[], NetworkPolicy=[injected("zero-trust.old", DENY)])
    assert worked(world).writes() == {}

    async def script() -> None:
        world.memory.put(ORGANIZATIONS, thing("acme", {"baselines": ["zero-trust"]}))
        await until(lambda: world.state() is not None)

    doing(world, script)
    assert set(world.policies()) == {"zero-trust.default-deny", "zero-trust.allow-dns"}


FOREIGN = [
    thing("web", {"podSelector": {}, "ingress": [{}]}, namespace="dev"),
    thing("zero-trust.mine", DENY, namespace="dev"),
    injected("mesh.sidecar", DENY),
    injected("zero-trust.theirs", DENY, labels={MANAGED_BY_LABEL: "Helm", BASELINE_LABEL: "zero-trust"}),
    injected("unlabelled.default-deny", DENY, labels={BASELINE_LABEL: "zero-trust", MANAGED_BY_LABEL: "portcullis"}),
    thing("zero-trust.default-deny", {"podSelector": {}, "ingress": [{}]}, namespace="elsewhere"),
]


def test_policies_of_others_are_never_touched() -> None:
    """A tenant's own, one of a baseline that does not apply, one that only looks like ours: not a single write."""
    world = World(Namespace=[live_namespace(), live_namespace("elsewhere", {})], NetworkPolicy=FOREIGN)
    before = {(at, name): json.dumps(each) for (_, at, name), each in world.memory.stored.items() if at}
    worked(world)
    after = {(at, name): json.dumps(each) for (_, at, name), each in world.memory.stored.items() if at}
    assert {key: after.get(key) for key in before} == before
    assert len(after) == len(before) + 2


def test_what_is_only_missing_is_no_reason_to_delete() -> None:
    """A baseline that is gone, or whose kind is gone, leaves its policies; the namespace says that it failed."""
    world = settled()

    async def script() -> None:
        world.memory.remove(BASELINES, "zero-trust")
        await quiet(world)
        world.live.absent("NetworkBaseline")
        await quiet(world)

    doing(world, script)
    assert set(world.policies()) == {"zero-trust.default-deny", "zero-trust.allow-dns"}
    assert not any(each.startswith("delete") for each in world.writes())
    state = world.state()
    assert state
    assert (state["state"], state["reason"]) == ("Failed", "there is no NetworkBaseline zero-trust")


def test_a_baseline_that_cannot_be_read_takes_nothing_away() -> None:
    """Its policies stay, and the reason is told."""
    world = settled()
    world.memory.put(BASELINES, thing("zero-trust", {"policys": []}))
    worked(world)
    assert set(world.policies()) == {"zero-trust.default-deny", "zero-trust.allow-dns"}
    state = world.state()
    assert state
    assert state["state"] == "Failed"
    assert "NetworkBaseline zero-trust cannot be read: spec." in state["reason"]


# What is brought.


def test_a_new_namespace_gets_all_of_its_baseline() -> None:
    """Each policy once, the derived labels and the state; the first call is an apply by name."""
    world = worked(World(Namespace=[live_namespace()]))
    assert world.writes() == {
        "apply networkpolicies zero-trust.default-deny": 1,
        "apply networkpolicies zero-trust.allow-dns": 1,
        "patch namespaces dev": 1,
    }
    assert world.namespace()["metadata"]["labels"] == {**OWNED, **DERIVED}
    state = world.state()
    assert state
    assert (state["state"], state["reason"]) == ("Ready", "")
    assert re.fullmatch("[0-9a-f]{12}", state["revision"])
    assert world.policies()["zero-trust.default-deny"]["spec"] == {**DENY, "ingress": [], "egress": []}


def test_policies_come_before_the_namespace_says_so() -> None:
    """Ready is told when they stand, not when they were asked for."""
    world = World(Namespace=[live_namespace()])
    standing = list[int]()

    async def before(call: Call) -> None:
        if call.verb == "patch":
            standing.append(len(world.policies()))

    world.memory.before = before
    worked(world)
    assert standing == [2]


def test_a_policy_that_was_deleted_comes_again() -> None:
    """That one alone, and the namespace, which is Ready, is not written."""
    world = settled()

    async def script() -> None:
        world.memory.remove(NETWORK_POLICIES, "zero-trust.allow-dns", "dev")
        await quiet(world)

    doing(world, script)
    assert world.writes() == {"apply networkpolicies zero-trust.allow-dns": 1}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_differs_is_replaced_whole(change: Callable[[Json], Json]) -> None:
    """In the very version that was seen, nothing of the change left; a note says what it was."""
    world = settled()
    right = world.policies()["zero-trust.default-deny"]
    wrong = world.memory.put(NETWORK_POLICIES, change(right))
    worked(world)
    found = world.policies()["zero-trust.default-deny"]
    assert {**found, "metadata": {**found["metadata"], "resourceVersion": ""}} == {
        **right,
        "metadata": {**right["metadata"], "resourceVersion": ""},
    }
    (call,) = [each for each in world.memory.calls if each.verb == "replace"]
    assert call.thing["metadata"]["resourceVersion"] == wrong["metadata"]["resourceVersion"]
    (note,) = world.heard.notes
    assert note.note.startswith("zero-trust.default-deny differed in ")
    assert note.note.endswith(" and was replaced whole")
    assert (note.reason, note.policy, note.warning) == ("BaselineRepaired", "zero-trust.default-deny", True)
    assert len(world.memory.calls) == 1


def test_what_a_baseline_only_reports_is_not_written() -> None:
    """The namespace says Drifted and in what; put right by somebody, it is Ready; what is missing is brought."""
    world = settled(NetworkBaseline=[baseline(drift="Report", default_deny=DENY, allow_dns=DNS)])
    right = world.policies()["zero-trust.default-deny"]
    world.memory.put(NETWORK_POLICIES, CHANGES["an empty rule"](right))
    worked(world)
    assert world.writes() == {"patch namespaces dev": 1}
    state = world.state()
    assert state
    assert (state["state"], state["reason"]) == ("Drifted", "zero-trust.default-deny differs in ingress")
    world.memory.put(NETWORK_POLICIES, right)
    world.memory.remove(NETWORK_POLICIES, "zero-trust.allow-dns", "dev")
    worked(world)
    assert world.writes() == {"patch namespaces dev": 2, "apply networkpolicies zero-trust.allow-dns": 1}
    assert world.state() == {**state, "state": "Ready", "reason": "", "since": (world.state() or {})["since"]}


def test_a_baseline_that_changes_is_rolled_out() -> None:
    """Changed policies are replaced, new ones applied, those it no longer has deleted, and the revision is another."""
    world = settled()
    before = world.state()
    world.memory.put(BASELINES, baseline(default_deny={**DENY, "policyTypes": ["Ingress"]}, mesh=DENY))
    worked(world)
    assert set(world.policies()) == {"zero-trust.default-deny", "zero-trust.mesh"}
    writes = world.writes()
    assert writes["delete networkpolicies zero-trust.allow-dns"] == 1
    assert writes["replace networkpolicies zero-trust.default-deny"] == 1
    assert writes["apply networkpolicies zero-trust.mesh"] == 1
    # Nobody did anything wrong.
    assert world.heard.notes == []
    after = world.state()
    assert before
    assert after
    assert after["state"] == "Ready"
    assert after["revision"] != before["revision"]


def test_what_is_deleted_is_the_version_that_was_seen() -> None:
    """Of a policy that somebody changed meanwhile it is first seen what became of it."""
    world = settled()
    seen = world.policies()["zero-trust.allow-dns"]["metadata"]["resourceVersion"]
    deleted = list[str]()
    delete = world.memory.delete

    async def spied(resource: Resource, name: str, namespace: str = "", *, version: str) -> None:
        deleted.append(version)
        await delete(resource, name, namespace, version=version)

    world.memory.delete = spied  # type: ignore[method-assign]  # to see a keyword of the call
    world.memory.put(BASELINES, baseline(default_deny=DENY))
    worked(world)
    assert deleted == [seen]


# Whose doing it was.


def wrote(manager: str) -> Json:
    return {"manager": manager, "operation": "Update", "time": "2026-11-21T10:00:00Z"}


def test_a_policy_that_was_deleted_is_told_of() -> None:
    """It had been applied, so somebody did it; a namespace that never had it is just brought it."""
    world = settled()
    world.memory.remove(NETWORK_POLICIES, "zero-trust.allow-dns", "dev")
    worked(world)
    (note,) = world.heard.notes
    assert (note.reason, note.policy) == ("BaselineRepaired", "zero-trust.allow-dns")
    assert note.note == "zero-trust.allow-dns was deleted and is applied again"


def test_what_could_not_be_applied_was_deleted_by_nobody() -> None:
    """Nor is what was brought in its second try a repair."""
    world = World(Namespace=[live_namespace()])
    world.memory.before = failing("apply networkpolicies", name="zero-trust.allow-dns")

    async def script() -> None:
        await until(lambda: (world.state() or {}).get("state") == "Failed")
        world.memory.before = failing()
        await until(lambda: (world.state() or {}).get("state") == "Ready")

    doing(world, script)
    assert world.heard.notes == []


def test_a_name_that_somebody_had_before_is_taken_and_told() -> None:
    """Whatever it allowed goes, and a note says who had made it."""
    squatted = thing("zero-trust.default-deny", {"podSelector": {}, "ingress": [{}]}, namespace="dev")
    squatted["metadata"]["managedFields"] = [wrote("kubectl-create")]
    world = worked(World(Namespace=[live_namespace()], NetworkPolicy=[squatted]))
    assert world.policies()["zero-trust.default-deny"]["spec"]["ingress"] == []
    (note,) = world.heard.notes
    assert note.note == (
        "zero-trust.default-deny stood there before its baseline (written by kubectl-create, Update at"
        " 2026-11-21T10:00:00Z) and was replaced whole"
    )
    assert (world.state() or {})["state"] == "Ready"


def reporting(**policies: Json) -> Json:
    return baseline("zero-trust", "Report", **policies)


def test_a_baseline_that_only_reports_is_rolled_out_when_it_changes() -> None:
    """That it changed is nobody's drift, and what nobody edited is brought along."""
    world = settled(NetworkBaseline=[reporting(default_deny=DENY, allow_dns=DNS)])
    world.memory.put(BASELINES, reporting(default_deny={**DENY, "policyTypes": ["Ingress"]}, allow_dns=DNS))
    worked(world)
    assert world.policies()["zero-trust.default-deny"]["spec"]["policyTypes"] == ["Ingress"]
    assert ((world.state() or {})["state"], world.heard.notes) == ("Ready", [])


def test_what_was_edited_stays_so_when_a_reporting_baseline_changes() -> None:
    """The change of the others is rolled out; the edit is told of once, and by whom."""
    world = settled(NetworkBaseline=[reporting(default_deny=DENY, allow_dns=DNS)])
    edited = CHANGES["an empty rule"](world.policies()["zero-trust.default-deny"])

    async def script() -> None:
        await quiet(world)
        world.memory.put(NETWORK_POLICIES, with_metadata(edited, managedFields=[wrote("kubectl-edit")]))
        await until(lambda: (world.state() or {})["state"] == "Drifted")
        world.memory.put(BASELINES, reporting(default_deny={**DENY, "policyTypes": ["Ingress"]}, allow_dns=DENY))
        await quiet(world)

    doing(world, script)
    assert world.policies()["zero-trust.default-deny"]["spec"]["ingress"] == [{}]
    assert world.policies()["zero-trust.allow-dns"]["spec"] == {**DENY, "ingress": [], "egress": []}
    assert (world.state() or {})["reason"] == (
        "zero-trust.default-deny differs in policyTypes, ingress (written by kubectl-edit (Update))"
    )
    assert {(each.reason, each.policy) for each in world.heard.notes} == {
        ("BaselineDrifted", "zero-trust.default-deny")
    }


def test_a_report_that_fails_to_roll_out_is_rolled_out_later() -> None:
    """What could not be written is not taken for an edit."""
    world = settled(NetworkBaseline=[reporting(default_deny=DENY, allow_dns=DNS)])

    async def script() -> None:
        world.memory.before = failing("replace networkpolicies")
        world.memory.put(BASELINES, reporting(default_deny=DNS, allow_dns=DNS))
        await until(lambda: (world.state() or {})["state"] == "Failed")
        world.memory.before = failing()
        await until(lambda: (world.state() or {})["state"] == "Ready")

    doing(world, script)
    assert world.policies()["zero-trust.default-deny"]["spec"] == {**DNS, "ingress": []}


# What does not apply any more.

MESH = baseline("mesh", sidecar=DENY)
MOVED = {WORKSPACE_LABEL: "video"}
DEFINITION = thing(BASELINES.definition)
ENDING = "2026-11-21T00:00:00Z"


def of_two_workspaces() -> World:
    """Return a settled world in which another workspace has another baseline, and `edge` selects by a label."""
    edge = baseline("edge", wall=DENY)
    edge["spec"]["namespaceSelector"] = {"matchLabels": {"tier": "edge"}}
    return settled(
        Organization=[thing("acme", {})],
        Project=[thing("payments", {})],
        Workspace=[
            thing("checkout", {"project": "payments", "baselines": ["zero-trust"]}),
            thing("video", {"project": "payments", "baselines": ["mesh"]}),
        ],
        NetworkBaseline=[*STANDING["NetworkBaseline"], MESH, edge],
    )


def test_a_moved_namespace_gets_what_is_new_before_it_loses_what_is_old() -> None:
    """Not a moment without a default deny; a tenant's own policies stay, and what went is told of."""
    world = of_two_workspaces()
    world.memory.put(NETWORK_POLICIES, thing("web", {"podSelector": {}}, namespace="dev"))
    stood = list[bool]()

    async def note(call: Call) -> None:
        if call.verb == "delete":
            stood.append("mesh.sidecar" in world.policies())

    world.memory.before = note
    world.memory.put(NAMESPACES, with_metadata(world.namespace(), labels=MOVED))
    worked(world)
    assert set(world.policies()) == {"mesh.sidecar", "web"}
    assert stood == [True, True]
    assert (world.state() or {})["state"] == "Ready"
    assert {each.note for each in world.heard.notes} == {
        f"zero-trust.{name} was removed: NetworkBaseline zero-trust does not apply here any more"
        for name in ("default-deny", "allow-dns")
    }


def test_what_applies_no_longer_for_a_moment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two changes to the tree the watches may tell the later one first; it goes by itself a little later."""
    monkeypatch.setattr(past, "SETTLE_SECONDS", 0.3)
    world = of_two_workspaces()
    before = set(world.policies())

    async def script() -> None:
        await quiet(world)
        world.memory.put(WORKSPACES, thing("checkout", {"project": "payments"}))
        await asyncio.sleep(0.1)
        world.memory.put(ORGANIZATIONS, thing("acme", {"baselines": ["zero-trust"]}))
        await asyncio.sleep(0.5)
        assert not any(each.verb == "delete" for each in world.memory.calls)
        world.memory.put(ORGANIZATIONS, thing("acme", {}))
        await asyncio.sleep(0.1)
        assert set(world.policies()) == before
        await until(lambda: world.policies() == {}, 2)

    doing(world, script)


@pytest.mark.parametrize("hindrance", ["refused", "missing", "unreadable"])
def test_nothing_old_goes_while_something_new_lacks(hindrance: str) -> None:
    """It cannot be written, there is no such baseline, or it cannot be read: what stands stays."""
    world = of_two_workspaces()
    if hindrance == "refused":
        world.memory.before = failing("apply networkpolicies")
    elif hindrance == "missing":
        world.memory.remove(BASELINES, "mesh")
    else:
        world.memory.put(BASELINES, thing("mesh", {"policys": []}))
    world.memory.put(NAMESPACES, with_metadata(world.namespace(), labels=MOVED))
    worked(world)
    assert {"zero-trust.default-deny", "zero-trust.allow-dns"} <= set(world.policies())
    assert (world.state() or {})["state"] == "Failed"


LEFT: dict[str, Callable[[World], object]] = {
    "released": lambda world: world.memory.put(NAMESPACES, with_metadata(world.namespace(), labels={})),
    "named no longer": lambda world: world.memory.put(WORKSPACES, thing("checkout", {"project": "payments"})),
}


@pytest.mark.parametrize("leave", LEFT.values(), ids=LEFT.keys())
def test_what_applies_no_longer_goes_with_its_labels(leave: Callable[[World], object]) -> None:
    """The policies, the gate and the state; nothing of it comes back."""
    world = of_two_workspaces()
    leave(world)
    worked(world)
    assert world.policies() == {}
    assert GATE_LABEL not in world.namespace()["metadata"]["labels"]
    assert world.state() is None
    world.memory.calls.clear()
    assert worked(world).writes() == {}


def test_a_selector_that_lets_go_takes_its_policies_along() -> None:
    """And only those: what its workspace names stays."""
    world = of_two_workspaces()
    world.memory.put(NAMESPACES, with_metadata(world.namespace(), labels={**OWNED, "tier": "edge"}))
    worked(world)
    assert set(world.policies()) == {"edge.wall", "zero-trust.default-deny", "zero-trust.allow-dns"}
    world.memory.put(NAMESPACES, with_metadata(world.namespace(), labels=OWNED))
    worked(world)
    assert set(world.policies()) == {"zero-trust.default-deny", "zero-trust.allow-dns"}


@pytest.mark.parametrize("lost", ["Workspace", "Project"])
def test_where_the_owner_is_lost_everything_stays(lost: str) -> None:
    """Gone or not to be read, nobody can tell what applies: an orphan keeps what it has."""
    world = of_two_workspaces()
    name, resource = ("checkout", WORKSPACES) if lost == "Workspace" else ("payments", PROJECTS)
    for lose in (
        lambda: world.memory.put(resource, thing(name, {"unknown": 1})),
        lambda: world.memory.remove(resource, name),
    ):
        lose()
        worked(world)
        assert set(world.policies()) == {"zero-trust.default-deny", "zero-trust.allow-dns"}


def ended(world: World, name: str) -> None:
    """Have a baseline deleted while its finalizer holds it."""
    standing = world.memory.find(BASELINES, name)
    assert standing
    world.memory.put(BASELINES, with_metadata(standing, deletionTimestamp=ENDING, finalizers=[BASELINE_FINALIZER]))


def of_the_edge() -> World:
    """Return a settled world with a namespace that a baseline selects, and the definition of baselines."""
    world = of_two_workspaces()
    world.memory.put(DEFINITIONS, DEFINITION)
    world.memory.put(NAMESPACES, with_metadata(world.namespace(), labels={**OWNED, "tier": "edge"}))
    worked(world)
    assert "edge.wall" in world.policies()
    return world


def test_a_baseline_that_is_deleted_takes_its_policies_along() -> None:
    """From wherever it was; what others bring stays."""
    world = of_the_edge()
    ended(world, "edge")
    worked(world)
    assert set(world.policies()) == {"zero-trust.default-deny", "zero-trust.allow-dns"}
    assert "edge.wall was removed: NetworkBaseline edge is being deleted" in {each.note for each in world.heard.notes}


@pytest.mark.parametrize("definition", ["ends", "is gone", "cannot be read"])
def test_with_its_definition_a_baseline_takes_nothing_along(definition: str) -> None:
    """Nobody was asked whether it may go; what cannot be told is tried again."""
    world = of_the_edge()
    if definition == "ends":
        world.memory.put(DEFINITIONS, thing(BASELINES.definition, deletionTimestamp=ENDING))
    elif definition == "is gone":
        world.memory.remove(DEFINITIONS, BASELINES.definition)
    else:
        world.memory.before = failing("read customresourcedefinitions")
    ended(world, "edge")
    worked(world)
    assert "edge.wall" in world.policies()
    assert (world.state() or {})["state"] == ("Failed" if definition == "cannot be read" else "Ready")


def test_what_is_named_and_ends_is_kept_up() -> None:
    """By break-glass, or with its definition: who names it has it as long as it can be read."""
    world = of_the_edge()
    ended(world, "zero-trust")
    world.memory.remove(NETWORK_POLICIES, "zero-trust.default-deny", "dev")
    worked(world)
    assert "zero-trust.default-deny" in world.policies()
    world.memory.remove(BASELINES, "zero-trust")
    worked(world)
    assert {"zero-trust.default-deny", "zero-trust.allow-dns"} <= set(world.policies())
    assert (world.state() or {})["state"] == "Failed"


def test_what_no_baseline_is_known_of_stays_and_is_told() -> None:
    """Once as an occurrence, and for as long as it stands in the state."""
    stray = "lost.deny stays though there is no NetworkBaseline lost: see whether it is needed"
    world = settled()

    async def script() -> None:
        world.memory.put(NETWORK_POLICIES, injected("lost.deny", DENY))
        await until(lambda: (world.state() or {})["reason"] == stray)
        world.memory.put(NETWORK_POLICIES, thing("web", {"podSelector": {}}, namespace="dev"))
        await quiet(world)

    doing(world, script)
    worked(world)
    assert [(each.reason, each.note) for each in world.heard.notes] == [("BaselineUnknown", stray)]
    assert (world.state() or {})["state"] == "Ready"
    assert "lost.deny" in world.policies()


# What a namespace carries.


@pytest.mark.parametrize(
    ("labels", "carried"),
    [
        pytest.param({**OWNED, GATE_LABEL: "off"}, {**OWNED, **DERIVED}, id="owned-and-wrong"),
        pytest.param({**DERIVED, "team": "x"}, {"team": "x"}, id="unowned-and-left-over"),
        pytest.param(
            {WORKSPACE_LABEL: "ghost", **DERIVED, "team": "x"}, {WORKSPACE_LABEL: "ghost", "team": "x"}, id="orphaned"
        ),
    ],
)
def test_the_derived_labels_are_put_right(labels: dict[str, str], carried: dict[str, str]) -> None:
    """What does not follow from the tree goes, the annotation too where no baseline applies; others' labels stay."""
    annotations = {STATE_ANNOTATION: '{"state":"Ready"}', "other": "kept"}
    world = worked(World(Namespace=[live_namespace(labels=labels, annotations=annotations)]))
    metadata = world.namespace()["metadata"]
    assert metadata["labels"] == carried
    assert metadata["annotations"]["other"] == "kept"
    assert (STATE_ANNOTATION in metadata["annotations"]) == (GATE_LABEL in carried)


def test_labels_follow_a_change_of_the_tree() -> None:
    """A workspace that moves takes its namespaces along, one that goes leaves them without."""
    world = settled()
    world.memory.put(PROJECTS, thing("search", {}))
    world.memory.put(WORKSPACES, thing("checkout", {"project": "search"}))
    worked(world)
    assert world.namespace()["metadata"]["labels"] == {**OWNED, **DERIVED, PROJECT_LABEL: "search"}
    world.memory.remove(WORKSPACES, "checkout")
    worked(world)
    assert world.namespace()["metadata"]["labels"] == OWNED
    assert world.state() is None
    assert len(world.policies()) == 2


def test_annotations_that_are_full_keep_no_gate_open() -> None:
    """Where an owner leaves no room for the state the labels are written without it: its pods are gated."""
    world = World(Namespace=[live_namespace()])

    async def before(call: Call) -> None:
        if call.verb == "patch" and "annotations" in call.thing["metadata"]:
            raise ClusterError("metadata.annotations: Too long", status=422)

    world.memory.before = before
    worked(world)
    assert world.namespace()["metadata"]["labels"] == {**OWNED, **DERIVED}
    assert world.state() is None
    assert len(world.policies()) == 2


def test_a_namespace_is_written_in_the_version_that_was_seen() -> None:
    """So that labels follow from the workspace that it had, and not from one that it has by now."""
    world = World(Namespace=[live_namespace()])
    worked(world)
    (patch,) = [each for each in world.memory.calls if each.verb == "patch"]
    seen = patch.thing["metadata"]["resourceVersion"]
    assert seen == next(
        each.thing["metadata"]["resourceVersion"]
        for each in world.memory.events
        if each.plural == "namespaces" and each.kind == "ADDED"
    )


def told_since(world: World, since: str) -> None:
    """Let the annotation say that the state began then."""
    namespace = world.namespace()
    told = json.dumps({**(world.state() or {}), "since": since})
    world.memory.put(NAMESPACES, with_metadata(namespace, annotations={STATE_ANNOTATION: told}))


LONG_AGO = "2026-01-01T00:00:00Z"


def test_the_state_says_since_when() -> None:
    """As long as it and its reason stay the same so does the time, whatever is brought anew."""
    world = settled()
    since = datetime.fromisoformat((world.state() or {})["since"])
    assert timedelta(0) <= datetime.now(UTC) - since < timedelta(seconds=30)
    told_since(world, LONG_AGO)
    world.memory.put(BASELINES, baseline(default_deny=DNS))
    worked(world)
    state = world.state() or {}
    assert (state["state"], state["since"]) == ("Ready", LONG_AGO)
    world.memory.remove(BASELINES, "zero-trust")
    worked(world)
    state = world.state() or {}
    assert state["state"] == "Failed"
    assert state["since"] != LONG_AGO


@pytest.mark.parametrize("annotation", ["", "no JSON", "[" * 5000, "7", '{"state":7}', '{"state":"Ready","since":7}'])
def test_whatever_stands_in_the_annotation_is_written_over(annotation: str) -> None:
    """Nothing trusts it, and nothing stumbles over it."""
    world = worked(World(Namespace=[live_namespace(annotations={STATE_ANNOTATION: annotation})]))
    assert (world.state() or {})["state"] == "Ready"


# What is told of it.


def test_out_voted_policies_are_drift() -> None:
    """Whoever finds them says which; the policies themselves stand, so nothing but the state is written."""
    world = settled()
    outvoted = ("dev/web and dev/all together let everywhere in",)
    doing(world, lambda: quiet(world), Way(lambda tree, namespace: see(tree, namespace, outvoted), bring))
    state = world.state() or {}
    assert (state["state"], state["reason"]) == ("Drifted", outvoted[0])
    assert world.writes() == {"patch namespaces dev": 1}


def test_what_came_of_a_namespace_is_told() -> None:
    """Its state, why, and the baselines that apply."""
    world = worked(World(Namespace=[live_namespace(), live_namespace("other", {})]))
    told = dict(world.heard.brought)
    assert (told["dev"].state, told["dev"].reason, told["dev"].baselines) == ("Ready", "", ("zero-trust",))
    assert told["other"].baselines == ()


# What somebody else did meanwhile.


@pytest.mark.parametrize("verb", ["replace", "delete"])
def test_a_conflict_waits_for_the_watch(verb: str) -> None:
    """Whoever was faster is seen first; until then there is neither a second try nor a word of failure."""
    world = settled()
    before = world.state()
    world.lagging = True
    policy = world.policies()["zero-trust.allow-dns"]
    if verb == "replace":
        world.memory.put(NETWORK_POLICIES, CHANGES["an empty rule"](policy))
    else:
        world.memory.put(BASELINES, baseline(default_deny=DENY))
    world.catch_up()
    world.memory.put(NETWORK_POLICIES, CHANGES["some pods"](policy))

    async def script() -> None:
        await quiet(world)
        assert world.writes() == {f"{verb} networkpolicies zero-trust.allow-dns": 1}
        assert world.state() == before
        world.lagging = False
        world.catch_up()
        await quiet(world)

    doing(world, script)
    assert world.writes()[f"{verb} networkpolicies zero-trust.allow-dns"] == 2
    state = world.state()
    assert state
    assert state["state"] == "Ready"
    found = world.policies().get("zero-trust.allow-dns")
    assert (found is None) == (verb == "delete")


def test_a_namespace_that_changed_meanwhile_is_told_anew() -> None:
    """A conflict on the namespace itself waits for the watch as well, and then the labels are of what it is now."""
    world = World(Namespace=[live_namespace()])
    world.lagging = True
    world.memory.put(NAMESPACES, live_namespace(labels={}))

    async def script() -> None:
        await quiet(world)
        assert world.writes()["patch namespaces dev"] == 1
        world.lagging = False
        world.catch_up()
        await quiet(world)

    doing(world, script)
    assert world.namespace()["metadata"]["labels"] == {}


def test_a_namespace_that_ends_meanwhile_has_not_failed() -> None:
    """What the API server refuses because it is being terminated is no failure; the watch will tell."""
    world = World(Namespace=[live_namespace()])
    ending = 'policies "x" is forbidden: unable to create new content in namespace dev because it is being terminated'
    world.memory.before = failing("apply networkpolicies", error=ClusterError(ending, status=403))
    worked(world)
    assert world.writes()["patch namespaces dev"] == 0
    assert world.writes()["apply networkpolicies zero-trust.allow-dns"] == 1
