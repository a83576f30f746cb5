"""What lacks is brought for the pod that waits for it: once, within its time, and never past what stands."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.cases.reviews import Json
from tests.cluster.memory import Call
from tests.cluster.world import (
    DENY,
    DNS,
    World,
    baseline,
    failing,
    injected,
    live_namespace,
    settled,
    thing,
)
from webhook import mend
from webhook.cluster.resource import BASELINES, NAMESPACES, NETWORK_POLICIES
from webhook.errors import ClusterError
from webhook.mend import Gap, Mender
from webhook.model import Cover
from webhook.tenancy.live import LiveTree

IN_PLACE = Cover()
BOTH = {"zero-trust.default-deny", "zero-trust.allow-dns"}
MISSING = ("zero-trust.default-deny is missing", "zero-trust.allow-dns is missing")
OPENED = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}]}
QUOTA = 'networkpolicies.networking.k8s.io "x" is forbidden: exceeded quota: none, limited: count/networkpolicies=0'
FORBIDDEN = ClusterError(f"POST /apis/networking.k8s.io/v1/namespaces/dev/networkpolicies: {QUOTA}", status=403)


@dataclass
class Copy:
    """How a live tree may be relied on."""

    live: LiveTree
    cuts: set[str] = field(default_factory=set)

    def cut(self, kind: str) -> bool:
        return kind in self.cuts

    def reached(self, kind: str, version: str) -> bool:
        return self.live.reached(kind, version)

    def reborn(self, namespace: str) -> bool:
        return self.live.reborn(namespace)


class Gate:
    """The pod gate of one replica in a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.copy = Copy(world.live)
        self.mender = Mender(world.memory, self.copy)

    async def cover(self, name: str = "dev", *, dry_run: bool = False, seconds: float = 2) -> Cover:
        tree = self.world.live.tree
        assert tree
        return await self.mender.cover(Gap(tree.place_of(name), tree, dry_run), seconds=seconds)


def new_world(**kinds: list[Json]) -> World:
    """Return a world with one namespace that has just come."""
    return World(**{"Namespace": [live_namespace()], **kinds})


def asked(world: World, *, cut: bool = False, **how: Any) -> Cover:
    """Ask for one pod."""

    async def main() -> Cover:
        gate = Gate(world)
        gate.copy.cuts |= {"NetworkPolicy"} if cut else set()
        return await gate.cover(**how)

    return asyncio.run(main())


def run(script: Coroutine[Any, Any, None]) -> None:
    asyncio.run(script)


def calls(world: World) -> list[str]:
    return sorted(f"{each.verb} {each.name}" for each in world.memory.calls)


# What lacks.


def test_what_is_missing_is_created() -> None:
    """By POST, which has seats of its own at the API server; then the baseline stands."""
    world = new_world()
    assert asked(world) == IN_PLACE
    assert set(world.policies()) == BOTH
    assert calls(world) == ["create zero-trust.allow-dns", "create zero-trust.default-deny"]


def test_what_is_created_is_what_the_controller_brings() -> None:
    """Whoever comes first: the other has nothing left to do."""
    world, controlled = new_world(), settled()
    asked(world)
    ours, theirs = ({name: each["spec"] for name, each in it.policies().items()} for it in (world, controlled))
    assert ours == theirs


def test_only_what_is_missing_is_created() -> None:
    """What stands is left."""
    world = settled()
    world.memory.remove(NETWORK_POLICIES, "zero-trust.allow-dns", "dev")
    assert asked(world) == IN_PLACE
    assert calls(world) == ["create zero-trust.allow-dns"]


def test_what_is_in_place_takes_no_call() -> None:
    """Nor does what nobody can bring: of two baselines one is not there, so no pod starts anyway."""
    world = settled()
    assert asked(world) == IN_PLACE
    broken = new_world(Organization=[thing("acme", {"baselines": ["zero-trust", "nowhere"]})])
    assert asked(broken) == Cover(MISSING, ("there is no NetworkBaseline nowhere",))
    assert (world.memory.calls, broken.memory.calls) == ([], [])


def test_what_differs_is_replaced_whole() -> None:
    """In the version that was seen, after a look at whether the baseline and the namespace are as we know them."""
    world = settled()
    world.memory.put(NETWORK_POLICIES, injected("zero-trust.default-deny", OPENED))
    assert asked(world) == IN_PLACE
    assert world.policies()["zero-trust.default-deny"]["spec"]["ingress"] == []
    wanted = ["read dev", "read zero-trust", "replace zero-trust.default-deny"]
    assert calls(world) == wanted


def test_what_differs_is_left_where_it_is_only_told_of() -> None:
    """A baseline of `drift: Report`: nobody puts it back, so no pod starts."""
    world = settled(NetworkBaseline=[baseline(drift="Report", default_deny=DENY, allow_dns=DNS)])
    world.memory.put(NETWORK_POLICIES, injected("zero-trust.default-deny", OPENED))
    assert asked(world).failed
    assert world.memory.calls == []


def test_only_the_baseline_that_lacks_is_brought() -> None:
    """A changed one that rolls out beside it is the controller's work."""
    edge = baseline("edge", only=DENY)
    world = settled(
        Organization=[thing("acme", {"baselines": ["zero-trust", "edge"]})],
        NetworkBaseline=[
            baseline(default_deny=DENY, allow_dns=DNS),
            edge,
        ],
    )
    world.memory.put(BASELINES, baseline("edge", only=DNS))
    world.memory.remove(NETWORK_POLICIES, "zero-trust.allow-dns", "dev")
    assert asked(world) == IN_PLACE
    assert calls(world) == ["create zero-trust.allow-dns"]


# Whoever else writes.


def test_what_somebody_else_created_meanwhile_is_looked_at() -> None:
    """As it stands, though our watch has not told of it: right it counts, wrong it is replaced."""
    for spec, more in ((DENY, []), (OPENED, ["read dev", "read zero-trust", "replace zero-trust.default-deny"])):
        world = new_world()
        world.lagging = True
        world.memory.put(NETWORK_POLICIES, injected("zero-trust.default-deny", spec))
        assert asked(world) == IN_PLACE
        first = ["create zero-trust.allow-dns", "create zero-trust.default-deny", "read zero-trust.default-deny"]
        assert calls(world) == sorted([*first, *more])
        assert world.policies()["zero-trust.default-deny"]["spec"].get("ingress", []) == []


def test_what_somebody_else_repaired_meanwhile_counts() -> None:
    """Another replica was faster: our replace conflicts, and what stands is right."""
    world = settled()
    world.memory.put(NETWORK_POLICIES, injected("zero-trust.default-deny", OPENED))
    world.memory.before = interfering(world, injected("zero-trust.default-deny", DENY))
    assert asked(world) == IN_PLACE


def test_what_somebody_else_opens_again_meanwhile_is_waited_for() -> None:
    """It is not fought over within a request."""
    world = settled()
    world.memory.put(NETWORK_POLICIES, injected("zero-trust.default-deny", OPENED))
    world.memory.before = interfering(world, injected("zero-trust.default-deny", OPENED, annotations={"a": "b"}))
    found = asked(world)
    assert found.lacking
    assert found.passing
    assert found.hindered == ("zero-trust.default-deny: networkpolicies zero-trust.default-deny was modified",)


def interfering(world: World, theirs: Json) -> Callable[[Call], Awaitable[None]]:
    """Have somebody write just before we replace."""

    async def before(call: Call) -> None:
        if call.verb == "replace":
            world.memory.put(NETWORK_POLICIES, theirs)

    return before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(
            lambda it: it.memory.put(BASELINES, baseline(default_deny=OPENED, allow_dns=DNS)),
            "NetworkBaseline zero-trust has just changed",
            id="baseline",
        ),
        pytest.param(
            lambda it: it.memory.put(BASELINES, thing("zero-trust", {"policies": 1})),
            "NetworkBaseline zero-trust has just changed",
            id="baseline-unreadable",
        ),
        pytest.param(
            lambda it: it.memory.put(NAMESPACES, live_namespace(labels={})),
            "namespace dev has just changed",
            id="namespace",
        ),
        pytest.param(
            lambda it: it.memory.remove(BASELINES, "zero-trust"), "networkbaselines zero-trust not found", id="gone"
        ),
    ],
)
def test_what_a_newer_baseline_brought_is_not_undone(change: Callable[[World], Any], told: str) -> None:
    """Our copy of the baseline, or of the namespace, is behind that of the policies: nothing is written by it."""
    world = settled()
    world.memory.put(NETWORK_POLICIES, injected("zero-trust.default-deny", OPENED))
    world.lagging = True
    change(world)
    found = asked(world)
    assert found.lacking
    assert found.passing
    assert found.hindered == (f"zero-trust.default-deny: {told}",)
    assert world.policies()["zero-trust.default-deny"]["spec"] == OPENED


def test_what_goes_once_its_finalizer_is_gone_does_not_stand() -> None:
    """A policy that is being deleted ends by our replace; a pod waits until it stands again."""
    world = settled()
    ending = injected("zero-trust.default-deny", DENY, finalizers=["example.com/x"])
    world.memory.put(NETWORK_POLICIES, ending)

    async def marks(call: Call) -> None:
        if call.verb == "replace":
            call.thing["metadata"]["deletionTimestamp"] = "2026-11-21T00:00:00Z"

    async def ends(call: Call) -> None:
        if call.verb == "replace":
            world.memory.remove(NETWORK_POLICIES, call.name, call.namespace)

    world.memory.before, world.memory.after = marks, ends
    found = asked(world)
    assert found.passing
    assert found.hindered == ("zero-trust.default-deny: it was being deleted",)


# What our watch has told.


def test_what_was_answered_counts_before_the_watch_tells() -> None:
    """For the pods that come after, too, without another call."""
    world = new_world()
    world.lagging = True

    async def main() -> None:
        gate = Gate(world)
        for _ in range(3):
            assert await gate.cover() == IN_PLACE
        assert len(world.memory.calls) == 2

    run(main())


def test_what_was_answered_counts_no_longer_than_that() -> None:
    """What the watch has told of since is what stands: somebody deleted or opened it."""
    world = new_world()

    async def main() -> None:
        gate = Gate(world)
        assert await gate.cover() == IN_PLACE
        world.memory.remove(NETWORK_POLICIES, "zero-trust.allow-dns", "dev")
        assert await gate.cover() == IN_PLACE
        assert "zero-trust.allow-dns" in world.policies()
        world.memory.put(NETWORK_POLICIES, injected("zero-trust.allow-dns", OPENED))
        assert await gate.cover() == IN_PLACE
        assert world.policies()["zero-trust.allow-dns"]["spec"] != OPENED

    run(main())


def test_what_was_answered_is_forgotten() -> None:
    """Nothing is kept of namespaces that have their baseline."""
    world = new_world()

    async def main() -> None:
        gate = Gate(world)
        await gate.cover()
        assert gate.mender._tasks
        await asyncio.sleep(mend.TOLD_SECONDS + 0.2)
        assert not gate.mender._tasks

    run(main())


def test_while_the_watch_is_cut_what_stands_is_read() -> None:
    """However whole our copy is: what it has not heard of is brought, and what stands is let be."""
    world = settled()
    world.lagging = True
    world.memory.remove(NETWORK_POLICIES, "zero-trust.allow-dns", "dev")
    assert asked(world, cut=True) == IN_PLACE
    assert set(world.policies()) == BOTH
    assert calls(world) == ["create zero-trust.allow-dns", "list "]
    late = new_world()
    late.lagging = True
    for name, spec in (("default-deny", DENY), ("allow-dns", DNS)):
        late.memory.put(NETWORK_POLICIES, injected(f"zero-trust.{name}", spec))
    assert asked(late, cut=True) == IN_PLACE
    assert calls(late) == ["list "]


def test_while_the_watch_is_cut_each_pod_has_it_read_anew() -> None:
    """Those at once share one reading; nothing is known of what happens after it."""
    world = settled()

    async def main() -> None:
        gate = Gate(world)
        gate.copy.cuts.add("NetworkPolicy")
        await asyncio.gather(*(gate.cover() for _ in range(5)))
        assert calls(world) == ["list "]
        await gate.cover()
        assert calls(world) == ["list ", "list "]

    run(main())


def test_what_cannot_be_read_lets_nobody_pass() -> None:
    """Though our copy says that all is in place; the reason is told, and to try again where that helps."""
    for status, passing in ((503, True), (403, False)):
        world = settled()
        world.memory.before = failing("list networkpolicies", error=ClusterError("GET /x: down", status=status))
        found = asked(world, cut=True)
        assert found == Cover((mend.UNREAD,), hindered=("the policies of dev: down",), passing=passing)


def test_what_is_not_read_in_time_lets_nobody_pass() -> None:
    """The API server hangs."""
    world = settled()
    world.memory.before = hanging(asyncio.Event())
    found = asked(world, cut=True, seconds=0.1)
    assert found == Cover((mend.UNREAD,), hindered=("the API server did not answer within 0.1 s",), passing=True)


# A namespace of the same name.


def recreate(world: World) -> None:
    """Delete the namespace and make another one; the watch of policies lags, as when it has a great many to tell of."""
    world.lagging = True
    for name in world.policies():
        world.memory.remove(NETWORK_POLICIES, name, "dev")
    gone = world.namespace()
    world.memory.remove(NAMESPACES, "dev")
    world.live.drop("Namespace", gone)
    world.live.put("Namespace", world.memory.put(NAMESPACES, live_namespace()))


def test_what_stood_in_a_former_namespace_does_not_count() -> None:
    """Neither what our watch has told of nor what was answered: what stands is read, and brought."""
    for world in (settled(), new_world()):
        world.lagging = True

        async def main(world: World = world) -> None:
            gate = Gate(world)
            assert await gate.cover() == IN_PLACE
            recreate(world)
            assert not world.policies()
            assert await gate.cover() == IN_PLACE
            assert set(world.policies()) == BOTH

        run(main())


def test_what_is_known_of_a_namespace_that_ends_does_not_count() -> None:
    """The API server lets nobody write there: whoever asks about a pod knows of another one already."""
    world = settled()
    ending = live_namespace(deletionTimestamp="2026-11-21T00:00:00Z", resourceVersion="50")
    world.live.put("Namespace", ending)
    world.lagging = True
    world.memory.remove(NETWORK_POLICIES, "zero-trust.allow-dns", "dev")
    assert asked(world) == IN_PLACE
    assert set(world.policies()) == BOTH


def test_what_others_have_there_is_not_read() -> None:
    """It may be any number of large ones, and would keep everybody waiting; one that took our name is written over."""
    for kind in ("Namespace", "NetworkPolicy"):
        world = new_world()
        world.memory.put(NETWORK_POLICIES, injected("web", OPENED, labels={}))
        world.memory.put(NETWORK_POLICIES, injected("zero-trust.allow-dns", OPENED, labels={}))

        async def main(world: World = world, kind: str = kind) -> None:
            gate = Gate(world)
            gate.copy.cuts.add(kind)
            assert await gate.cover() == IN_PLACE

        run(main())
        assert calls(world) == [
            *("create zero-trust.allow-dns", "create zero-trust.default-deny", "list "),
            *("read dev", "read zero-trust", "read zero-trust.allow-dns", "replace zero-trust.allow-dns"),
        ]
        assert world.policies()["web"]["spec"] == OPENED
        assert world.policies()["zero-trust.allow-dns"]["spec"] != OPENED


# Many at once.


def hanging(go_on: asyncio.Event) -> Callable[[Call], Awaitable[None]]:
    async def before(_: Call) -> None:
        await go_on.wait()

    return before


def test_pods_at_once_share_one_work() -> None:
    """Twenty of them write each policy once, and all are told the same."""
    for error, told in ((None, IN_PLACE), (FORBIDDEN, None)):
        world = new_world()
        if error:
            world.memory.before = failing("create networkpolicies", error=error)

        async def main(world: World = world) -> list[Cover]:
            gate = Gate(world)
            return await asyncio.gather(*(gate.cover() for _ in range(20)))

        found = asyncio.run(main())
        assert len(set(found)) == 1
        assert found[0] == told or (told is None and len(found[0].hindered) == 2)
        assert len(world.memory.calls) == 2


def test_a_pod_that_is_gone_leaves_the_work_to_the_others() -> None:
    """Its request is cancelled, or its time is over; what was begun goes on."""
    world = new_world()

    async def main() -> None:
        gate, go_on = Gate(world), asyncio.Event()
        world.memory.before = hanging(go_on)
        first = asyncio.create_task(gate.cover())
        hasty = asyncio.create_task(gate.cover(seconds=0.05))
        last = asyncio.create_task(gate.cover())
        await asyncio.sleep(0.01)
        first.cancel()
        found = await hasty
        assert found == Cover(MISSING, hindered=("the API server did not answer within 0.1 s",), passing=True)
        go_on.set()
        assert await last == IN_PLACE
        assert len(world.memory.calls) == 2

    run(main())


def test_who_tries_again_finds_it_done() -> None:
    """Nobody waits any more, and the work is done all the same."""
    world = new_world()

    async def main() -> None:
        gate, go_on = Gate(world), asyncio.Event()
        world.memory.before = hanging(go_on)
        assert (await gate.cover(seconds=0.02)).passing
        go_on.set()
        await asyncio.sleep(0.02)
        assert set(world.policies()) == BOTH
        assert await gate.cover() == IN_PLACE
        assert len(world.memory.calls) == 2

    run(main())


def test_no_more_than_so_many_are_written_side_by_side() -> None:
    """However many namespaces there are; all get their own in the end."""
    names = [f"dev-{number}" for number in range(40)]
    world = new_world(Namespace=[live_namespace(each) for each in names])
    busy, most = 0, 0

    async def begin(_: Call) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.002)

    async def end(_: Call) -> None:
        nonlocal busy
        busy -= 1

    world.memory.before, world.memory.after = begin, end

    async def main() -> list[Cover]:
        gate = Gate(world)
        return await asyncio.gather(*(gate.cover(each) for each in names))

    assert set(asyncio.run(main())) == {IN_PLACE}
    assert most == mend.AT_ONCE


# What is not stored.


def test_a_dry_run_stores_nothing() -> None:
    """What would be created and replaced is decided on."""
    world = settled()
    world.memory.put(NETWORK_POLICIES, injected("zero-trust.default-deny", OPENED))
    world.memory.remove(NETWORK_POLICIES, "zero-trust.allow-dns", "dev")
    before = world.memory.version
    assert asked(world, dry_run=True) == IN_PLACE
    assert world.memory.version == before
    assert asked(world) == IN_PLACE
    assert world.memory.version == before + 2


def test_a_dry_run_and_a_pod_do_not_share_their_work() -> None:
    """What would be is not what stands."""
    world = new_world()

    async def main() -> None:
        gate = Gate(world)
        assert await gate.cover(dry_run=True) == IN_PLACE
        assert world.policies() == {}
        tried, stored = await asyncio.gather(gate.cover(dry_run=True), gate.cover())
        assert (tried, stored) == (IN_PLACE, IN_PLACE)
        assert set(world.policies()) == BOTH

    run(main())


# What hinders us.

HINDERED: dict[str, tuple[ClusterError, bool]] = {
    "quota": (FORBIDDEN, False),
    "no right": (ClusterError("POST /x: cannot create resource", status=403, reason="Forbidden"), False),
    "ending": (ClusterError("POST /x: because it is being terminated", status=403, reason="Forbidden"), False),
    "invalid": (ClusterError("POST /x: is invalid", status=422, reason="Invalid"), False),
    "not known": (ClusterError("POST /x: Unauthorized", status=401, reason="Unauthorized"), False),
    "no answer": (ClusterError("POST /x: the API server does not answer: refused"), True),
    "too many": (ClusterError("POST /x: too many requests", status=429, reason="TooManyRequests"), True),
    "a webhook that fails": (ClusterError("POST /x: failed calling webhook", status=500), True),
    "etcd away": (ClusterError("POST /x: etcdserver: request timed out", status=503), True),
    "quota in use": (ClusterError("POST /x: cannot be fulfilled", status=409, reason="Conflict"), True),
}


@pytest.mark.parametrize(("error", "passing"), HINDERED.values(), ids=HINDERED.keys())
def test_what_hinders_us_is_told_as_it_was_said(error: ClusterError, passing: bool) -> None:  # noqa: FBT001
    """Without what we asked, once for each policy; and whether it may be another in a moment."""
    world = new_world()
    world.memory.before = failing("create networkpolicies", error=error)
    found = asked(world)
    said = str(error).partition(": ")[2]
    assert found == Cover(MISSING, hindered=tuple(f"{each}: {said}" for each in sorted(BOTH)), passing=passing)


def test_one_that_does_not_pass_is_enough() -> None:
    """Waiting for the other would be in vain; what could be brought stands."""
    world = new_world()
    world.memory.before = failing("create networkpolicies", error=FORBIDDEN, name="zero-trust.allow-dns")
    found = asked(world)
    assert (found.lacking, found.passing) == (("zero-trust.allow-dns is missing",), False)
    assert set(world.policies()) == {"zero-trust.default-deny"}


def test_what_hinders_us_is_one_line_and_not_long() -> None:
    """Another's webhook may say what it likes."""
    world = new_world()
    said = ClusterError(f"POST /x: no\nForged: yes {'x' * 5000}", status=403)
    world.memory.before = failing("create networkpolicies", error=said)
    for each in asked(world).hindered:
        assert "\n" not in each
        assert len(each) <= mend.LONGEST_REASON


def test_what_hindered_us_is_tried_again_by_the_next_pod() -> None:
    """A failure is shared by those who wait, and by nobody after them."""
    world = new_world()

    async def main() -> None:
        gate = Gate(world)
        world.memory.before = failing("create networkpolicies", error=FORBIDDEN)
        assert (await gate.cover()).hindered
        world.memory.before = failing()
        assert await gate.cover() == IN_PLACE

    run(main())


def test_what_nobody_foresaw_lets_nobody_pass() -> None:
    """An answer that is no policy is an error for each who waits, and the next one tries again."""
    world = new_world()

    async def broken(call: Call) -> None:
        raise RuntimeError(call.verb)

    async def main() -> None:
        gate = Gate(world)
        world.memory.before = broken
        with pytest.raises(ExceptionGroup):
            await gate.cover()
        world.memory.before = failing()
        assert await gate.cover() == IN_PLACE

    run(main())


def test_a_tree_that_changed_meanwhile_is_what_counts() -> None:
    """Work that was begun by the tree of before is shared, and judged by the tree of now."""
    world = new_world()

    async def main() -> None:
        gate, go_on = Gate(world), asyncio.Event()
        world.memory.before = hanging(go_on)
        first = asyncio.create_task(gate.cover())
        await asyncio.sleep(0.01)
        world.memory.put(BASELINES, baseline(default_deny=DENY, allow_dns=DNS, third=DENY))
        second = asyncio.create_task(gate.cover())
        await asyncio.sleep(0.01)
        go_on.set()
        assert await first == IN_PLACE
        assert await second == Cover(("zero-trust.third is missing",), passing=True)
        assert await gate.cover() == IN_PLACE

    run(main())
