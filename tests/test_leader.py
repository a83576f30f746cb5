"""One of several works at a time, another takes over, and two never work at once, whatever the connection does."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases.reviews import Json
from tests.cluster.memory import Call, Memory, until
from webhook import leader
from webhook.cluster.resource import LEASES, Resource
from webhook.errors import ClusterError
from webhook.leader import NAME, TERMS, Leadership, Terms
from webhook.model import HOME

SHORT = Terms(duration=0.15, renewal=0.08, attempt=0.01)
LOST = ClusterError("the API server does not answer")


@dataclass
class Line:
    """A replica's own connection: it may be cut, slow to ask, or slow to answer."""

    memory: Memory
    cut: bool = False
    asking: float = 0.0
    answering: float = 0.0

    async def read(self, resource: Resource, name: str, namespace: str) -> Json:
        return await self._over(lambda: self.memory.read(resource, name, namespace))

    async def create(self, resource: Resource, thing: Json) -> Json:
        return await self._over(lambda: self.memory.create(resource, thing))

    async def replace(self, resource: Resource, thing: Json) -> Json:
        return await self._over(lambda: self.memory.replace(resource, thing))

    async def _over(self, call: Callable[[], Awaitable[Json]]) -> Json:
        await asyncio.sleep(self.asking)
        if self.cut:
            raise LOST
        answer = await call()
        await asyncio.sleep(self.answering)
        if self.cut:
            raise LOST
        return answer


@dataclass
class Replica:
    """One of them, and when it worked."""

    memory: Memory
    identity: str
    terms: Terms = SHORT
    line: Line = field(init=False)
    leadership: Leadership = field(init=False)
    worked: list[tuple[float, float]] = field(default_factory=list)
    works: bool = False

    def __post_init__(self) -> None:
        self.line = Line(self.memory)
        self.leadership = Leadership(self.line, self.identity, self.terms)

    async def work(self) -> None:
        """Work until it is cancelled."""
        clock = asyncio.get_running_loop().time
        begin = clock()
        self.works = True
        try:
            await asyncio.Event().wait()
        finally:
            self.works = False
            self.worked.append((begin, clock()))


@asynccontextmanager
async def running(*replicas: Replica) -> AsyncIterator[dict[str, "asyncio.Task[None]"]]:
    """Run them; none may end by itself."""
    tasks = {each.identity: asyncio.create_task(each.leadership.run(each.work)) for each in replicas}
    try:
        yield tasks
        assert not any(task.done() and not task.cancelled() for task in tasks.values()), tasks
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


def lease_of(memory: Memory) -> Json:
    lease = memory.find(LEASES, NAME, HOME)
    assert lease
    return lease


def holder(memory: Memory) -> str:
    """Return who holds the lease, empty for nobody."""
    return str((memory.find(LEASES, NAME, HOME) or {"spec": {}})["spec"].get("holderIdentity", ""))


def overlaps(replicas: list[Replica]) -> list[tuple[float, float]]:
    """Return the times at which two worked at once."""
    every = sorted((*interval, each.identity) for each in replicas for interval in each.worked)
    return [(mine[1], theirs[0]) for mine, theirs in pairwise(every) if theirs[0] < mine[1]]


# Two never work at once.


def test_the_terms_leave_time_to_stop() -> None:
    """Who cannot renew stops before another may begin, also when it notices only at its next try."""
    for terms in (TERMS, SHORT):
        assert terms.renewal + terms.attempt < terms.duration


def test_a_leader_that_is_killed_is_followed_within_15_seconds() -> None:
    """At worst: seen late, by two tries that chance makes as long as can be; the rest is for the calls."""
    late = 1.2 * TERMS.attempt
    assert late + TERMS.duration + late <= 9.5
    assert TERMS.call < TERMS.renewal


def test_who_was_stopped_for_too_long_writes_no_more() -> None:
    """Awake again, it has not noticed yet that it does not lead; what it would write is not sent all the same."""
    memory = Memory()
    one = Replica(memory, "one")

    async def main() -> None:
        async with running(one):
            await until(lambda: one.works)
            assert one.leadership.holds()
            # As SIGSTOP does: nothing in this loop runs meanwhile.
            time.sleep(SHORT.renewal * 1.1)  # noqa: ASYNC251
            memory.put(LEASES, {**lease_of(memory), "spec": {"holderIdentity": "two"}})
            assert one.works
            assert not one.leadership.holds()
            await until(lambda: not one.works)
            assert not one.leadership.holds()

    asyncio.run(main())
    assert holder(memory) == "two"


def test_only_a_leader_may_write_as_one() -> None:
    """Before it leads, and after, it does not hold the lease."""
    memory = Memory()
    one = Replica(memory, "one")

    async def main() -> None:
        assert not one.leadership.holds()
        async with running(one):
            await until(lambda: one.works)
            assert one.leadership.holds()
        assert not one.leadership.holds()

    asyncio.run(main())


def test_a_dead_connection_leaves_time_for_another_one() -> None:
    """A renewal that hangs is given up in time for a second try, and the leader goes on."""
    memory = Memory()
    one = Replica(memory, "one")

    async def main() -> None:
        async with running(one):
            await until(lambda: one.works)
            one.line.asking = 60.0
            await until(lambda: "does not answer" in one.leadership.trouble)
            one.line.asking = 0.0
            await asyncio.sleep(SHORT.renewal)
            assert one.works
            assert one.leadership.trouble == ""
        assert len(one.worked) == 1

    asyncio.run(main())


def test_who_loses_the_connection_stops_before_another_begins() -> None:
    """The lease runs out by everybody's own clock, and by its former holder's first."""
    memory = Memory()
    one, two = Replica(memory, "one"), Replica(memory, "two")

    async def main() -> None:
        async with running(one, two):
            await until(lambda: one.works or two.works)
            first, second = (one, two) if one.works else (two, one)
            clock = asyncio.get_running_loop().time
            first.line.cut = True
            begin = clock()
            await until(lambda: not first.works)
            assert not second.works
            await until(lambda: second.works)
            assert clock() - begin > SHORT.renewal
            assert not first.leadership.leads
            first.line.cut = False
            await asyncio.sleep(0.05)
            assert not first.works

    asyncio.run(main())
    assert overlaps([one, two]) == []


def test_who_vanishes_is_followed_after_the_duration_and_not_before() -> None:
    """Killed, it gives nothing back; the others wait, by their own clock, since the last sign of it."""
    memory = Memory()
    two = Replica(memory, "two")

    async def main() -> float:
        gone = Replica(memory, "one")
        await memory.create(LEASES, gone.leadership._lease(None))
        begin = asyncio.get_running_loop().time()
        async with running(two):
            await until(lambda: two.works)
            return asyncio.get_running_loop().time() - begin

    waited = asyncio.run(main())
    assert SHORT.duration < waited < 10 * SHORT.duration


def test_a_lease_of_any_age_is_waited_for() -> None:
    """What time stands in it does not count: nobody's clock is compared with anybody else's."""
    memory = Memory()
    two = Replica(memory, "two")

    async def main() -> float:
        old = Replica(memory, "one").leadership._lease(None)
        old["spec"] |= {"renewTime": "2001-01-01T00:00:00.000000Z", "leaseDurationSeconds": 1}
        await memory.create(LEASES, old)
        begin = asyncio.get_running_loop().time()
        async with running(two):
            await until(lambda: two.works)
            return asyncio.get_running_loop().time() - begin

    assert asyncio.run(main()) > SHORT.duration


def test_a_holder_that_renews_is_never_followed() -> None:
    """However long it holds; and it is the same version that counts, not the same holder."""
    memory = Memory()
    one, two = Replica(memory, "one"), Replica(memory, "two")

    async def main() -> None:
        async with running(one, two):
            await until(lambda: one.works or two.works)
            first, second = (one, two) if one.works else (two, one)
            await asyncio.sleep(3 * SHORT.duration)
            assert first.works
            assert second.worked == []
            assert not second.works

    asyncio.run(main())


def test_a_slow_answer_does_not_prolong_the_lease() -> None:
    """The time counts from when the lease was asked for: the others count from when it was written."""
    memory = Memory()
    one, two = Replica(memory, "one"), Replica(memory, "two")

    one.leadership.terms = two.leadership.terms = Terms(duration=0.15, renewal=0.13, attempt=0.01)

    async def main() -> None:
        async with running(one):
            await until(lambda: one.works)
            async with running(two):
                one.line.answering = 0.05
                await asyncio.sleep(0.02)
                before = memory.version
                await until(lambda: memory.version > before)
                # Renewed by now; the answer comes, and then nothing any more.
                await asyncio.sleep(0.055)
                one.line.cut = True
                await until(lambda: two.works)
                await asyncio.sleep(0.05)

    asyncio.run(main())
    assert overlaps([one, two]) == []


def test_a_lease_that_was_answered_late_is_worth_less() -> None:
    """Who hears that it leads when that is nearly over does not work for a whole term more."""
    memory = Memory()
    one, two = Replica(memory, "one"), Replica(memory, "two")
    one.line.answering = 0.1

    async def cut(call: Call) -> None:
        if call.verb == "create":
            asyncio.get_running_loop().call_later(0.105, setattr, one.line, "cut", True)  # noqa: FBT003

    memory.after = cut

    async def main() -> None:
        async with running(one, two):
            await until(lambda: two.works)
            await asyncio.sleep(0.05)

    asyncio.run(main())
    assert overlaps([one, two]) == []


Fault = tuple[int, float, float, float]


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from([0.0, 0.02, 0.06]),
            st.sampled_from([0.0, 0.02, 0.06]),
            st.sampled_from([0.01, 0.05, 0.12]),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_two_never_work_at_once_whatever_the_connections_do(faults: list[Fault]) -> None:
    """Cut, slow to ask, slow to answer, for a while each; and afterwards one works again."""
    memory = Memory()
    replicas = [Replica(memory, name) for name in ("one", "two", "three")]

    async def main() -> None:
        async with running(*replicas):
            for which, asking, answering, lasting in faults:
                line = replicas[which].line
                line.cut, line.asking, line.answering = asking == answering == 0.0, asking, answering
                await asyncio.sleep(lasting)
            for each in replicas:
                each.line.cut, each.line.asking, each.line.answering = False, 0.0, 0.0
            await until(lambda: any(each.works for each in replicas))

    asyncio.run(main())
    assert overlaps(replicas) == []


@pytest.mark.parametrize("verb", ["create", "replace"])
def test_of_those_that_try_at_the_same_moment_one_leads(verb: str) -> None:
    """The API server takes one of them, when the lease is made and when nobody holds it."""
    memory = Memory()
    replicas = [Replica(memory, name) for name in ("one", "two", "three")]
    waiting = list[str]()
    if verb == "replace":
        memory.put(LEASES, replicas[0].leadership._lease(None, ""))

    async def main() -> None:
        gate = asyncio.Event()

        async def together(call: Call) -> None:
            if call.verb in {"create", "replace"} and not gate.is_set():
                waiting.append(call.verb)
                if len(waiting) == 3:
                    gate.set()
                await gate.wait()

        memory.before = together
        async with running(*replicas):
            await until(lambda: any(each.works for each in replicas))
            await asyncio.sleep(0.02)
            assert sum(each.works for each in replicas) == 1

    asyncio.run(main())
    assert waiting == [verb] * 3
    assert overlaps(replicas) == []


# Work.


def test_work_that_fails_ends_it_and_the_lease_is_given_back() -> None:
    """A defect is not hidden by another term."""
    memory = Memory()
    leadership = Leadership(Line(memory), "one", SHORT)

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("as told")

    with pytest.raises(ValueError, match="as told"):
        asyncio.run(asyncio.wait_for(leadership.run(fail), 5))
    assert holder(memory) == ""
    assert not leadership.leads


def test_who_is_cancelled_is_followed_at_once() -> None:
    """The lease is given back, so that a rollout costs no term."""
    memory = Memory()
    one, two = Replica(memory, "one"), Replica(memory, "two")

    async def main() -> float:
        async with running(one) as first:
            await until(lambda: one.works)
            assert holder(memory) == "one"
            async with running(two):
                await asyncio.sleep(0.02)
                first["one"].cancel()
                begin = asyncio.get_running_loop().time()
                await until(lambda: two.works)
                return asyncio.get_running_loop().time() - begin

    assert asyncio.run(main()) < SHORT.duration
    assert overlaps([one, two]) == []


def test_work_has_ended_before_the_lease_is_given_back() -> None:
    """Whatever it does last, it does as the leader."""
    memory = Memory()
    seen = list[str]()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.02)
            seen.append(holder(memory))

    async def main() -> None:
        task = asyncio.create_task(Leadership(Line(memory), "one", SHORT).run(work))
        await until(lambda: holder(memory) == "one")
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert seen == ["one"]
    assert holder(memory) == ""


def test_who_cannot_give_it_back_ends_all_the_same() -> None:
    """It runs out by itself; and nobody else's is given back."""
    memory = Memory()
    one = Replica(memory, "one")

    async def main() -> None:
        async with running(one) as tasks:
            await until(lambda: one.works)
            one.line.cut = True
            tasks["one"].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks["one"]
        one.line.cut = False
        memory.put(LEASES, {**lease_of(memory), "spec": {**lease_of(memory)["spec"], "holderIdentity": "two"}})
        await one.leadership._given_back()

    asyncio.run(main())
    assert holder(memory) == "two"


def test_who_lost_the_lease_to_another_stops() -> None:
    """Whoever took it, by hand even, works alone."""
    memory = Memory()
    one = Replica(memory, "one")

    async def main() -> None:
        async with running(one):
            await until(lambda: one.works)
            memory.put(LEASES, {**lease_of(memory), "spec": {"holderIdentity": "by-hand"}})
            await until(lambda: not one.works, SHORT.duration)

    asyncio.run(main())
    assert holder(memory) == "by-hand"


def test_a_lease_that_is_deleted_is_made_again() -> None:
    """By its holder, who goes on."""
    memory = Memory()
    one = Replica(memory, "one")

    async def main() -> None:
        async with running(one):
            await until(lambda: one.works)
            memory.remove(LEASES, NAME, HOME)
            await until(lambda: holder(memory) == "one")
            await asyncio.sleep(0.02)
            assert one.works
            assert one.worked == []

    asyncio.run(main())


@pytest.mark.parametrize("status", [403, 500, 0])
def test_who_may_not_have_a_lease_waits(status: int) -> None:
    """And does not work meanwhile."""
    memory = Memory()
    one = Replica(memory, "one")

    async def refuse(_: Call) -> None:
        raise ClusterError("no", status=status)

    async def main() -> None:
        memory.before = refuse
        async with running(one):
            await until(lambda: len(memory.calls) > 3)
            assert not one.works

    asyncio.run(main())
    assert one.worked == []


def test_a_stop_does_not_wait_for_who_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Giving the lease back is a courtesy."""
    monkeypatch.setattr(leader, "GOODBYE_SECONDS", 0.02)
    memory = Memory()
    one = Replica(memory, "one")

    async def main() -> None:
        async with running(one) as tasks:
            await until(lambda: one.works)
            one.line.asking = 60.0
            tasks["one"].cancel()
            async with asyncio.timeout(1):
                await asyncio.gather(tasks["one"], return_exceptions=True)

    asyncio.run(main())
    assert holder(memory) == "one"


def test_why_the_lease_cannot_be_had_is_known() -> None:
    """Until it can be read again, by whoever holds it; that another holds it is no trouble."""
    memory = Memory()
    one = Replica(memory, "one")
    two = Replica(memory, "two")
    refusal = ClusterError("leases is forbidden", status=403)

    async def refuse(_: Call) -> None:
        raise refusal

    async def allow(_: Call) -> None:
        return

    async def main() -> None:
        memory.before = refuse
        async with running(one, two):
            await until(lambda: one.leadership.trouble == two.leadership.trouble == str(refusal))
            memory.before = allow
            await until(lambda: one.works or two.works)
            await until(lambda: one.leadership.trouble == two.leadership.trouble == "")

    asyncio.run(main())


# What stands in the lease.


def test_the_lease_says_who_and_since_when() -> None:
    """As `kubectl get lease` shows it: the holder, when it began, when it last renewed and how often it changed."""
    memory = Memory()
    one, two = Replica(memory, "one"), Replica(memory, "two")

    async def main() -> tuple[Json, Json, Json]:
        async with running(one):
            await until(lambda: one.works)
            first = lease_of(memory)
            await until(lambda: lease_of(memory)["spec"]["renewTime"] > first["spec"]["renewTime"])
            renewed = lease_of(memory)
        async with running(two):
            await until(lambda: two.works)
            return first, renewed, lease_of(memory)

    first, renewed, taken = asyncio.run(main())
    assert (first["apiVersion"], first["kind"]) == ("coordination.k8s.io/v1", "Lease")
    assert (first["metadata"]["name"], first["metadata"]["namespace"]) == (NAME, HOME)
    assert first["spec"]["leaseDurationSeconds"] >= 1
    assert (first["spec"]["holderIdentity"], taken["spec"]["holderIdentity"]) == ("one", "two")
    assert renewed["spec"]["acquireTime"] == first["spec"]["acquireTime"]
    assert renewed["spec"]["leaseTransitions"] == first["spec"]["leaseTransitions"]
    assert taken["spec"]["acquireTime"] > first["spec"]["acquireTime"]
    assert taken["spec"]["leaseTransitions"] > first["spec"]["leaseTransitions"]


def test_it_is_known_whether_we_lead() -> None:
    """Before, during and after."""
    memory = Memory()
    one = Replica(memory, "one")
    found = [one.leadership.leads]

    async def main() -> None:
        async with running(one):
            await until(lambda: one.works)
            found.append(one.leadership.leads)
        found.append(one.leadership.leads)

    asyncio.run(main())
    assert found == [False, True, False]
