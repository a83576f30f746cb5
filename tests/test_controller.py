"""The sweep over all namespaces: none is forgotten, none held up by another, and nobody is written against for ever."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases.reviews import Json
from tests.cluster.memory import Call, Event, until
from tests.cluster.world import (
    CHANGES,
    DENY,
    DERIVED,
    DNS,
    FORBIDDEN,
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
    working,
)
from webhook import controller, course, exemption
from webhook.baseline import past
from webhook.baseline.past import Past
from webhook.bring import Brought, Seen, Writes, bring, see
from webhook.cluster.resource import BASELINES, NAMESPACES, NETWORK_POLICIES, ORGANIZATIONS, PROJECTS, WORKSPACES
from webhook.controller import Way
from webhook.errors import ClusterError
from webhook.exemption import rfc3339
from webhook.model import GATE_LABEL, WORKSPACE_LABEL, Namespace
from webhook.tenancy.tree import Tree


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the waits be a fiftieth of what they are."""
    monkeypatch.setattr(course, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(course, "LONGEST_WAIT", 0.1)


# Failures.


@pytest.mark.usefixtures("_quick")
def test_a_failure_is_told_without_what_is_new_each_time() -> None:
    """The state is Failed, with whose refusal it was and not by which decision; so it is written once."""
    world = World(Namespace=[live_namespace()])
    ids = iter(range(100_000))

    async def refuse(call: Call) -> None:
        if call.name == "zero-trust.default-deny":
            raise ClusterError(
                f"denied: not you. Decision 3f2a1c00-1111-2222-3333-{next(ids):012}; ask an admin", status=403
            )

    async def script() -> None:
        world.memory.before = refuse
        await until(lambda: world.writes()["apply networkpolicies zero-trust.default-deny"] >= 4)

    doing(world, script)
    assert world.state() == {
        "state": "Failed",
        "revision": (world.state() or {})["revision"],
        "since": (world.state() or {})["since"],
        "reason": "zero-trust.default-deny: denied: not you.; ask an admin",
    }
    assert world.writes()["patch namespaces dev"] == 1
    assert world.writes()["apply networkpolicies zero-trust.allow-dns"] == 1


@pytest.mark.usefixtures("_quick")
def test_a_failure_that_passes_is_ready() -> None:
    """It is tried again by itself, without any event."""
    world = World(Namespace=[live_namespace()])
    world.memory.before = failing("apply networkpolicies")

    async def script() -> None:
        await until(lambda: (world.state() or {}).get("state") == "Failed")

        async def pass_(_: Call) -> None:
            return

        world.memory.before = pass_
        await until(lambda: (world.state() or {}).get("state") == "Ready")

    doing(world, script)
    assert len(world.policies()) == 2


def test_who_is_refused_is_asked_less_and_less() -> None:
    """The first wait is at most half a second, and a second later there were three tries at most."""
    world = World(Namespace=[live_namespace()])
    world.memory.before = failing("apply networkpolicies")
    begin = list[float]()

    async def note(call: Call) -> None:
        if call.name == "zero-trust.allow-dns":
            begin.append(asyncio.get_running_loop().time())
        await failing("apply networkpolicies")(call)

    async def script() -> None:
        world.memory.before = note
        await until(lambda: len(begin) >= 3)

    doing(world, script)
    first, second = begin[1] - begin[0], begin[2] - begin[1]
    assert 0.2 < first < 0.8
    assert 0.4 < second < 1.5


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("hindrance", ["refused", "never answered"])
def test_one_namespace_does_not_hold_up_the_others(hindrance: str) -> None:
    """Whatever becomes of its calls."""
    names = [f"n{index}" for index in range(40)]
    world = World(Namespace=[live_namespace(name) for name in names])
    for_ever = asyncio.Event

    async def hinder(call: Call) -> None:
        if "n7" in {call.namespace, call.name}:
            if hindrance == "refused":
                raise FORBIDDEN
            await for_ever().wait()

    async def script() -> None:
        world.memory.before = hinder
        await until(lambda: sum((world.state(each) or {}).get("state") == "Ready" for each in names) == 39)

    doing(world, script)
    assert world.policies("n7") == {}


@pytest.mark.usefixtures("_quick")
def test_a_namespace_that_cannot_be_told_has_its_policies() -> None:
    """They come first; the telling is tried again."""
    world = World(Namespace=[live_namespace()])

    async def script() -> None:
        world.memory.before = failing("patch namespaces")
        await until(lambda: world.writes()["patch namespaces dev"] >= 3)

    doing(world, script)
    assert len(world.policies()) == 2
    assert world.writes()["apply networkpolicies zero-trust.allow-dns"] == 1


# A copy that lags.


def test_a_copy_that_lags_is_not_written_against() -> None:
    """Until the watch has told of our own writes nothing is written again, whatever else it tells."""
    world = World(Namespace=[live_namespace(), live_namespace("other")])
    world.lagging = True

    async def script() -> None:
        await quiet(world)
        world.live.put("Namespace", world.namespace("other"))
        await asyncio.sleep(0.03)
        world.live.put("Workspace", thing("checkout", {"project": "payments"}, resourceVersion="2"))
        await quiet(world)
        world.catch_up()
        await quiet(world)

    doing(world, script)
    assert world.writes().total() == 6


@pytest.mark.usefixtures("_quick")
def test_a_copy_that_lags_is_not_written_against_after_a_failure() -> None:
    """What was written before something else failed is awaited like any other write."""
    world = World(Namespace=[live_namespace()])
    world.lagging = True

    async def script() -> None:
        world.memory.before = failing("patch namespaces")
        await until(lambda: world.writes()["patch namespaces dev"] >= 1)
        await asyncio.sleep(0.05)

    doing(world, script)
    assert world.writes()["apply networkpolicies zero-trust.default-deny"] == 1


def test_a_watch_that_never_tells_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while it is looked again: an etcd that was restored may number its versions from before."""
    monkeypatch.setattr(course, "EXPECTED_SECONDS", 0.1)
    world = World(Namespace=[live_namespace()])
    world.lagging = True

    async def script() -> None:
        await until(lambda: world.writes()["apply networkpolicies zero-trust.allow-dns"] == 1)
        await asyncio.sleep(0.05)
        assert world.writes()["apply networkpolicies zero-trust.allow-dns"] == 1
        await until(lambda: world.writes()["apply networkpolicies zero-trust.allow-dns"] == 2, 1)

    doing(world, script)


def test_a_conflict_that_nobody_explains_is_looked_into_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 404 or 409 says that our copy is old; if the watch tells of nothing newer it is tried again."""
    monkeypatch.setattr(course, "EXPECTED_SECONDS", 0.05)
    world = World(Namespace=[live_namespace()])
    world.memory.before = failing("apply networkpolicies", error=ClusterError("conflict", status=409))

    async def script() -> None:
        await until(lambda: world.writes()["apply networkpolicies zero-trust.allow-dns"] >= 2, 1)

    doing(world, script)
    assert world.state() is None


@pytest.mark.usefixtures("_quick")
def test_an_answer_that_was_lost_is_found_out() -> None:
    """A write that took effect without our knowing is seen by the watch, and not taken for another's."""
    world = World(Namespace=[live_namespace()])
    lost = Counter[str]()

    async def lose(call: Call) -> None:
        lost[call.name] += 1
        if lost[call.name] == 1:
            raise ClusterError("the answer cannot be read")

    world.memory.after = lose
    worked(world)

    async def script() -> None:
        await until(lambda: (world.state() or {}).get("state") == "Ready")

    doing(world, script)
    assert len(world.policies()) == 2
    assert all(each.verb != "replace" for each in world.memory.calls)


# Whoever writes against us.


def undoing(world: World, name: str = "zero-trust.default-deny", **entry: str) -> Json:
    """Have somebody put in his version of a policy whenever ours stands, and return that."""
    wrong = CHANGES["an empty rule"](world.policies()[name])
    wrong = with_metadata(wrong, managedFields=[entry] if entry else [])

    def undo(event: Event) -> None:
        if event.thing["metadata"]["name"] == name and not event.thing["spec"].get("ingress"):
            asyncio.get_running_loop().call_soon(world.memory.put, NETWORK_POLICIES, wrong)

    world.memory.listeners.append(undo)
    return wrong


HELM = {"manager": "helm", "operation": "Apply", "time": "2026-11-21T10:00:00Z"}
FIGHT = (
    "fight detected: zero-trust.default-deny is re-written by helm (Apply) again and again, so it is put back ever less"
    " often until that stops"
)
REPLACE = "replace networkpolicies zero-trust.default-deny"


def test_a_fight_is_told_and_rested_from() -> None:
    """Who re-writes a policy at once gets four repairs, and then a rest; the namespace says with whom it is."""
    world = settled()
    wrong = undoing(world, **HELM)

    async def script() -> None:
        world.memory.put(NETWORK_POLICIES, wrong)
        await until(lambda: reason(world) == ("Drifted", FIGHT))
        begin = len(world.memory.calls)
        await asyncio.sleep(0.3)
        assert len(world.memory.calls) == begin

    doing(world, script)
    assert world.writes()[REPLACE] == past.REPAIRS
    (note,) = [each for each in world.heard.notes if each.reason == "FightDetected"]
    assert (note.policy, note.note, note.warning) == ("zero-trust.default-deny", FIGHT, True)
    repaired = [each for each in world.heard.notes if each.reason == "BaselineRepaired"]
    assert len(repaired) == past.REPAIRS
    assert all("(written by helm, Apply at 2026-11-21T10:00:00Z)" in each.note for each in repaired)


def test_a_fight_goes_on_ever_less_often_and_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is put right after each rest; left alone for a while, the namespace is Ready again, without any event."""
    monkeypatch.setattr(past, "FIRST_REST", 0.1)
    monkeypatch.setattr(past, "CALM_SECONDS", 0.8)
    world = settled()
    wrong = undoing(world, **HELM)
    times = list[float]()

    async def note(call: Call) -> None:
        if call.verb == "replace":
            times.append(asyncio.get_running_loop().time())

    async def script() -> None:
        world.memory.before = note
        world.memory.put(NETWORK_POLICIES, wrong)
        await until(lambda: len(times) == past.REPAIRS + 3)
        assert reason(world) == ("Drifted", FIGHT)
        world.memory.listeners.pop()
        await until(lambda: reason(world) == ("Ready", ""))
        assert not world.policies()["zero-trust.default-deny"]["spec"]["ingress"]

    doing(world, script)
    rests = [after - before for before, after in pairwise(times[past.REPAIRS - 1 :])]
    assert all(more > 1.2 * less for less, more in pairwise(rests)), rests


def test_a_fight_over_one_policy_leaves_the_others_mended() -> None:
    """At once, in the same namespace; and what is removed again and again is fought over as well."""
    world = settled()
    wrong = undoing(world, **HELM)

    def remove(event: Event) -> None:
        if event.thing["metadata"]["name"] == "zero-trust.allow-dns" and event.kind == "ADDED":
            asyncio.get_running_loop().call_soon(world.memory.remove, NETWORK_POLICIES, "zero-trust.allow-dns", "dev")

    async def script() -> None:
        world.memory.put(NETWORK_POLICIES, wrong)
        await until(lambda: reason(world) == ("Drifted", FIGHT))
        for _ in range(2):
            world.memory.remove(NETWORK_POLICIES, "zero-trust.allow-dns", "dev")
            await until(lambda: "zero-trust.allow-dns" in world.policies(), 0.5)
        world.memory.listeners.append(remove)
        world.memory.remove(NETWORK_POLICIES, "zero-trust.allow-dns", "dev")
        await until(lambda: "zero-trust.allow-dns is deleted again and again" in reason(world)[1])

    doing(world, script)


def test_a_fight_in_one_namespace_does_not_slow_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each namespace is patiently treated for itself."""
    monkeypatch.setattr(course, "PATIENT_ROUNDS", 1)
    world = settled()
    wrong = CHANGES["an empty rule"](world.policies()["zero-trust.default-deny"])

    async def script() -> None:
        for _ in range(4):
            world.memory.put(NETWORK_POLICIES, wrong)
            await asyncio.sleep(0.02)
        world.memory.put(NAMESPACES, live_namespace("other"))
        await until(lambda: (world.state("other") or {}).get("state") == "Ready", 0.5)

    doing(world, script)


def test_a_tree_that_changes_often_is_nobodys_fight() -> None:
    """Whatever it brings and takes each time: a namespace is written to at once, however often that is."""
    world = settled()

    async def script() -> None:
        for number in range(course.PATIENT_ROUNDS + 4):
            named = [] if number % 2 == 0 else ["zero-trust"]
            world.memory.put(ORGANIZATIONS, thing("acme", {"baselines": named}))
            await until(lambda named=named: (world.state() is not None) == bool(named), 0.5)  # type: ignore[misc]  # bound now

    doing(world, script)


def test_after_a_calm_time_it_is_patient_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of long ago does not slow the repair of today's."""
    monkeypatch.setattr(course, "CALM_SECONDS", 0.02)
    monkeypatch.setattr(past, "CALM_SECONDS", 0.02)
    monkeypatch.setattr(course, "PATIENT_ROUNDS", 2)
    world = settled()
    wrong = CHANGES["an empty rule"](world.policies()["zero-trust.default-deny"])

    async def script() -> None:
        for number in range(1, 7):
            world.memory.put(NETWORK_POLICIES, wrong)
            await until(
                lambda number=number: (  # type: ignore[misc]  # bound now
                    world.writes()["replace networkpolicies zero-trust.default-deny"] == number
                ),
                0.3,
            )
            await asyncio.sleep(0.04)

    doing(world, script)


# Exemptions.

SOON = 0.3


def exempted(seconds: float) -> Json:
    """Return a namespace that is exempt for so many seconds from now."""
    until = rfc3339(datetime.now(UTC) + timedelta(seconds=seconds))
    notes = {exemption.REASON: "moving house", exemption.UNTIL: until}
    return live_namespace(labels={**OWNED, exemption.LABEL: "true"}, annotations=notes)


def reason(world: World) -> tuple[str, str]:
    """Return the state of the namespace and its reason."""
    state = world.state() or {"state": "", "reason": ""}
    return state["state"], state["reason"]


def test_an_exempt_namespace_has_no_injected_policies_until_the_end() -> None:
    """Put on, they go; over, they come back without any event, and the state says so each time."""
    world = settled()

    async def script() -> None:
        put_on = exempted(SOON)
        world.memory.put(NAMESPACES, put_on)
        until_when = put_on["metadata"]["annotations"][exemption.UNTIL]
        await until(lambda: reason(world) == ("Ready", f"exempt until {until_when}"))
        assert world.policies() == {}
        await until(lambda: reason(world) == ("Ready", ""), SOON + 2)

    doing(world, script)
    assert set(world.policies()) == {"zero-trust.default-deny", "zero-trust.allow-dns"}
    assert not any("events" in each for each in world.writes())


def test_a_new_exempt_namespace_gets_nothing_but_its_labels() -> None:
    """The gate stays marked: guardrails hold, and an exemption is judged by its date."""
    world = worked(World(Namespace=[exempted(1000)]))
    assert world.writes() == {"patch namespaces dev": 1}
    assert world.namespace()["metadata"]["labels"] == {**OWNED, **DERIVED, exemption.LABEL: "true"}
    assert (world.state() or {})["revision"] == ""
    world.memory.calls.clear()
    assert worked(world).writes() == {}


def test_taken_off_before_its_end_it_ends() -> None:
    """As soon as the watch tells."""
    world = worked(World(Namespace=[exempted(1000)]))

    async def script() -> None:
        world.memory.put(NAMESPACES, live_namespace())
        await until(lambda: reason(world) == ("Ready", ""))

    doing(world, script)
    assert len(world.policies()) == 2


def test_a_tenants_own_policies_stay_in_an_exempt_namespace() -> None:
    """What was not injected is not taken out, nor what could not be brought back."""
    world = settled()
    web = world.memory.put(NETWORK_POLICIES, thing("web", {"podSelector": {}}, namespace="dev"))
    world.memory.remove(BASELINES, "zero-trust")
    world.memory.put(NAMESPACES, exempted(1000))
    worked(world)
    assert world.policies()["web"] == web
    assert set(world.policies()) == {"web", "zero-trust.default-deny", "zero-trust.allow-dns"}
    assert reason(world) == ("Failed", "there is no NetworkBaseline zero-trust")


def test_one_of_more_than_thirty_days_begins_to_count_when_it_is_none() -> None:
    """From before our day: until then the policies stand."""
    world = settled()

    async def script() -> None:
        world.memory.put(NAMESPACES, exempted(exemption.LONGEST.total_seconds() + SOON))
        await until(lambda: reason(world) == ("Ready", ""))
        assert len(world.policies()) == 2
        await until(lambda: world.policies() == {}, SOON + 2)

    doing(world, script)


def test_exemptions_of_others_do_not_wake_a_namespace() -> None:
    """Each is looked at when its own ends, and not for any other's."""
    world = worked(World(Namespace=[live_namespace("other"), live_namespace()]))
    looked = Counter[str]()

    async def counted(cluster: Writes, seen: Seen, now: datetime, known: Past) -> Brought:
        looked[seen.namespace.name] += 1
        return await bring(cluster, seen, now, known)

    async def script() -> None:
        world.memory.put(NAMESPACES, exempted(SOON))
        await until(lambda: world.policies() == {})
        await until(lambda: reason(world) == ("Ready", "") and len(world.policies()) == 2, SOON + 2)
        await quiet(world)

    doing(world, script, Way(see, counted))
    assert looked["other"] == 1
    assert looked["dev"] <= 6


# What goes first.


def test_a_new_namespace_waits_for_no_resync() -> None:
    """However many are compared anew: it is begun with before all of them but those that were begun."""
    names = [f"n{index}" for index in range(100)]
    world = worked(World(Namespace=[live_namespace(name) for name in names]))
    begun = list[str]()

    async def slow(cluster: Writes, seen: Seen, now: datetime, known: Past) -> Brought:
        begun.append(seen.namespace.name)
        await asyncio.sleep(0.02)
        return await bring(cluster, seen, now, known)

    async def script() -> None:
        await until(lambda: len(begun) == 100)
        await quiet(world)
        begun.clear()
        world.memory.put(WORKSPACES, thing("other", {"project": "payments"}))
        await until(lambda: len(begun) >= 8)
        world.memory.put(NETWORK_POLICIES, thing("web", {"podSelector": {}}, namespace="n99"))
        world.memory.put(NAMESPACES, live_namespace("new"))
        await until(lambda: "new" in begun and "n99" in begun)
        # Eight at once were begun, and eight more at most while it was found out.
        assert begun.index("new") <= 16 + 8
        assert begun.index("n99") <= 16 + 12
        assert len(begun) < 80

    doing(world, script, Way(see, slow))


def test_what_is_stuck_leaves_room_for_what_is_new() -> None:
    """Repairs that are never answered take their places, and no others."""
    names = [f"n{index}" for index in range(20)]
    world = worked(World(Namespace=[live_namespace(name) for name in names]))

    async def hinder(call: Call) -> None:
        if call.namespace in names:
            await asyncio.Event().wait()

    async def script() -> None:
        await quiet(world)
        world.memory.before = hinder
        for name in names:
            world.memory.remove(NETWORK_POLICIES, "zero-trust.allow-dns", name)
        await until(lambda: len(world.memory.calls) >= 12)
        world.memory.put(NAMESPACES, live_namespace("new"))
        await until(lambda: len(world.policies("new")) == 2, 1)

    doing(world, script)


def test_what_hindered_all_is_over_for_all() -> None:
    """When one that failed succeeds the others are tried at once, however long they would have rested."""
    names = [f"n{index}" for index in range(12)]
    world = World(Namespace=[live_namespace(name) for name in names])
    world.memory.before = failing("apply networkpolicies")

    async def script() -> None:
        await until(lambda: min(world.writes()[f"patch namespaces {name}"] for name in names) >= 1)
        # By now each rests for two seconds or so.
        await asyncio.sleep(2)
        world.memory.before = failing()
        await until(lambda: any(world.policies(name) for name in names))
        await until(lambda: all((world.state(name) or {})["state"] == "Ready" for name in names), 0.6)

    doing(world, script)


def test_only_what_was_touched_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten thousand namespaces one that changes costs as much as of ten; all are looked at once in a while."""
    names = [f"n{index}" for index in range(50)]
    world = worked(World(Namespace=[live_namespace(name) for name in names]))
    looked = Counter[str]()

    def counted(tree: Tree, namespace: Namespace) -> Seen:
        looked[namespace.name] += 1
        return see(tree, namespace)

    async def script() -> None:
        world.heard.brought.clear()
        await until(lambda: len(world.heard.brought) == len(names))
        await asyncio.sleep(0.05)
        looked.clear()
        world.memory.put(NETWORK_POLICIES, thing("web", {"podSelector": {}}, namespace="n7"))
        await quiet(world)
        assert looked.keys() == {"n7"}
        monkeypatch.setattr(controller, "WHOLE_SECONDS", 0.05)
        world.memory.put(PROJECTS, thing("search", {}))
        await until(lambda: min(looked[name] for name in names) > 3)

    doing(world, script, Way(counted, bring))


def test_what_is_seen_is_found_without_being_told() -> None:
    """Whoever is out-voted: nobody touches the namespace, and the next sweep over all finds it."""
    world, found = settled(), dict[str, tuple[str, ...]]()
    outvoted = ("dev/a and dev/b",)

    async def script() -> None:
        await quiet(world)
        found["dev"] = outvoted
        world.memory.put(PROJECTS, thing("search", {}))
        await until(lambda: reason(world) == ("Drifted", outvoted[0]))

    doing(world, script, Way(lambda tree, each: see(tree, each, found.get(each.name, ())), bring))


def test_who_is_held_back_comes_a_little_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as nothing holds it back, and at the latest after a while."""
    monkeypatch.setattr(controller, "HOLD_SECONDS", 0.4)
    monkeypatch.setattr(controller, "HELD_SECONDS", 0.02)
    world = World(Namespace=[live_namespace("a"), live_namespace("b")])
    held = {"a", "b"}

    async def script() -> None:
        await asyncio.sleep(0.1)
        assert world.memory.calls == []
        held.remove("a")
        await until(lambda: len(world.policies("a")) == 2, 0.2)
        assert world.policies("b") == {}
        await until(lambda: len(world.policies("b")) == 2, 1)

    doing(world, script, Way(see, bring, lambda _, namespace: namespace.name in held))


# Who is told.


def test_who_observes_hears_of_every_namespace_and_of_its_end() -> None:
    """Each visit, each sweep, and once that a namespace is gone or ends; nothing of it after that."""
    world = World(Namespace=[live_namespace(), live_namespace("going"), live_namespace("ending")])

    async def script() -> None:
        await quiet(world)
        assert {name for name, _ in world.heard.brought} == {"dev", "going", "ending"}
        sweeps = world.heard.sweeps
        world.memory.remove(NAMESPACES, "going")
        world.memory.put(NAMESPACES, with_metadata(world.namespace("ending"), deletionTimestamp="2026-11-21T00:00:00Z"))
        await until(lambda: len(world.heard.gone) == 2)
        assert world.heard.sweeps > sweeps
        world.heard.brought.clear()
        await quiet(world)

    doing(world, script)
    assert sorted(world.heard.gone) == ["ending", "going"]
    assert world.heard.brought == []


# In the long run.


def test_everything_is_compared_anew_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no event told of is found; what is right takes no call then either."""
    monkeypatch.setattr(course, "RESYNC_SECONDS", (0.01, 0.02))
    world = settled()

    async def script() -> None:
        await asyncio.sleep(0.05)
        assert world.writes() == {}
        stored = world.live._policies["dev"][0].labels
        assert isinstance(stored, dict)
        # A copy that went wrong without an event, by a defect of ours, say.
        stored["x"] = "y"
        await until(lambda: any(each.verb == "replace" for each in world.memory.calls))

    doing(world, script)


def test_what_is_right_is_not_looked_into_again_until_it_changes() -> None:
    """However often the others change: with thousands of namespaces only that keeps it idle."""
    names = [f"n{index}" for index in range(20)]
    world = worked(World(Namespace=[live_namespace(name) for name in names]))
    looked = Counter[str]()

    async def counted(cluster: Writes, seen: Seen, now: datetime, known: Past) -> Brought:
        looked[seen.namespace.name] += 1
        return await bring(cluster, seen, now, known)

    async def script() -> None:
        await quiet(world)
        assert looked == dict.fromkeys(names, 1)
        world.memory.put(NETWORK_POLICIES, thing("web", {"podSelector": {}}, namespace="n3"))
        await quiet(world)
        assert looked == dict.fromkeys(names, 1) | {"n3": 2}

    doing(world, script, Way(see, counted))


def test_it_ends_when_it_is_cancelled_and_leaves_nothing() -> None:
    """Whoever leads next is not woken twice, and no call is made any more."""
    world = settled()
    assert world.live.changed == []
    worked(world)
    assert world.live.changed == []


def test_fifty_namespaces_settle_while_two_work_at_once() -> None:
    """It is not meant to be, but a former leader may not know yet: afterwards nothing is written any more."""
    names = [f"n{index}" for index in range(50)]
    world = World(Namespace=[live_namespace(name) for name in names])

    async def main() -> None:
        async with working(world, world):
            await quiet(world)
            version = world.memory.version
            await asyncio.sleep(0.05)
            assert world.memory.version == version

    asyncio.run(main())
    assert all((world.state(each) or {})["state"] == "Ready" for each in names)
    assert all(len(world.policies(each)) == 2 for each in names)


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["wrong", "removed", "tenant's", "relabelled", "unlabelled", "gone", "new baseline", "no baseline", "lag"]
        ),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["zero-trust.default-deny", "zero-trust.allow-dns"]),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(steps)
def test_whatever_happens_it_settles_and_is_right(taken: list[tuple[str, str, str, bool]]) -> None:
    """After any changes by others, told late or at once: what has to stand stands, and a tenant's own is as it was."""
    world = World(Namespace=[live_namespace("a"), live_namespace("b")])

    async def main() -> None:
        async with working(world):
            for what, where, which, waits in taken:
                upset(world, what, where, which)
                if waits:
                    await asyncio.sleep(0.008)
            world.memory.put(BASELINES, STANDING["NetworkBaseline"][0])
            world.lagging = False
            world.catch_up()
            await until(lambda: all(right(world, each) for each in ("a", "b")), 10)
            await quiet(world)

    asyncio.run(main())
    foreign = [each for each in world.memory.calls if each.name == "web"]
    assert foreign == []
    world.memory.calls.clear()
    assert worked(world).writes() == {}


def upset(world: World, what: str, where: str, which: str) -> None:  # noqa: C901 - a case a step
    """Let somebody change something."""
    standing = world.memory.find(NAMESPACES, where)
    match what:
        case "lag":
            world.lagging = not world.lagging
            world.catch_up()
        case "new baseline":
            world.memory.put(BASELINES, baseline(default_deny=DNS, more=DENY))
        case "no baseline" if world.memory.find(BASELINES, "zero-trust"):
            world.memory.remove(BASELINES, "zero-trust")
        case "gone" if standing:
            for name in world.policies(where):
                world.memory.remove(NETWORK_POLICIES, name, where)
            world.memory.remove(NAMESPACES, where)
        case "gone":
            world.memory.put(NAMESPACES, live_namespace(where))
        case _ if standing is None:
            pass
        case "wrong":
            world.memory.put(NETWORK_POLICIES, injected(which, {"podSelector": {}, "ingress": [{}]}, where))
        case "removed" if which in world.policies(where):
            world.memory.remove(NETWORK_POLICIES, which, where)
        case "tenant's":
            world.memory.put(NETWORK_POLICIES, thing("web", {"podSelector": {}}, namespace=where))
        case "relabelled":
            world.memory.put(NAMESPACES, with_metadata(standing, labels={**OWNED, GATE_LABEL: "x"}))
        case "unlabelled":
            world.memory.put(NAMESPACES, with_metadata(standing, labels={}))


def right(world: World, name: str) -> bool:
    """Say whether a namespace is gone, or nobody's, or has all that it has to have."""
    standing = world.memory.find(NAMESPACES, name)
    if standing is None:
        return True
    labels = standing["metadata"]["labels"]
    if WORKSPACE_LABEL not in labels:
        return labels == {} and world.state(name) is None
    ours = {each: found["spec"] for each, found in world.policies(name).items() if each != "web"}
    return (
        labels == {**OWNED, **DERIVED}
        and (world.state(name) or {}).get("state") == "Ready"
        and ours
        == {
            "zero-trust.default-deny": {**DENY, "ingress": [], "egress": []},
            "zero-trust.allow-dns": {**DNS, "ingress": []},
        }
    )
