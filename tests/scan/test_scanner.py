"""What changes is judged at once, what does not is left alone, and nobody is held up by anybody."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

import pytest

from tests.cases.reviews import Json
from tests.cluster.memory import until
from tests.cluster.world import DENY, OWNED, STANDING, World, injected, live_namespace, thing
from webhook.cluster.resource import NAMESPACES, NETWORK_POLICIES, ORGANIZATIONS
from webhook.errors import NoDecisionError
from webhook.model import Namespace, Policy
from webhook.scan.finding import Finding, namespace_thing
from webhook.scan.scanner import MANY, Pace, Scanner
from webhook.scan.unruled import UNOWNED, thing_of
from webhook.tenancy.tree import Tree

RULE = "guardrail/to-anywhere"


class Judges:
    """Finds something in each policy whose spec says that it is bad, and in namespaces labelled so."""

    def __init__(self) -> None:
        self.revision = "one"
        self.asked: list[str] = []
        self.away = False
        self.before: Callable[[str], Awaitable[None]] = _nothing

    async def policy(self, tree: Tree, policy: Policy, now: datetime, /) -> tuple[Finding, ...]:
        await self._ask(f"{policy.namespace}/{policy.name}")
        bad = [each for each in tree.standing_policies(policy.namespace, but="") if each.spec.get("bad")]
        if policy not in bad:
            return ()
        told = thing_of(policy)
        others = tuple(thing_of(each) for each in bad if each is not policy)
        return (Finding(RULE, "", "high", f"bad as of {now.isoformat()[:19]}Z", "enforce", told, (told, *others)),)

    async def namespace(self, tree: Tree, namespace: Namespace, now: datetime, /) -> tuple[Finding, ...]:  # noqa: ARG002
        await self._ask(namespace.name)
        if "bad" not in namespace.labels:
            return ()
        return (Finding("custom/rule", "", "low", "bad", "warn", namespace_thing(namespace.name)),)

    async def _ask(self, what: str) -> None:
        self.asked.append(what)
        await asyncio.sleep(0)
        await self.before(what)
        if self.away:
            raise NoDecisionError("OPA cannot be reached", retry=True)


class Heard:
    """Keeps what a scanner tells, the last of each namespace, and how often."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[Finding, ...]] = {}
        self.times = 0

    def tell(self, namespace: str, findings: tuple[Finding, ...], judged: int, /) -> None:
        assert judged > 0
        self.found[namespace] = findings
        self.times += 1

    def forget(self, namespace: str, /) -> None:
        self.found.pop(namespace, None)

    def rules(self, namespace: str = "dev") -> list[str]:
        """Return what is told of a namespace."""
        return [each.rule for each in self.found.get(namespace, ())]


async def _nothing(_: str) -> None:
    pass


def policy(name: str, place: str = "dev", **spec: bool) -> Json:
    return {"kind": "NetworkPolicy", **thing(name, dict(spec), namespace=place)}


class Place:
    """A world in which a scanner runs."""

    def __init__(self, world: World, pace: Pace) -> None:
        self.world = world
        self.judges = Judges()
        self.heard = Heard()
        self.scanner = Scanner(world.live, self.judges, self.heard, pace)
        self.voted = 0
        self.pressed = False
        self.scanner.changed.append(self._vote)

    def _vote(self, _: str) -> None:
        self.voted += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run it, and have it judge all there is first."""
        task = asyncio.create_task(self.scanner.run(lambda: self.pressed))
        try:
            await self.settle()
            yield
            assert not task.done(), task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def settle(self) -> None:
        """Return once nobody was asked for a while."""
        async with asyncio.timeout(20):
            asked = -1
            while asked != len(self.judges.asked):
                asked = len(self.judges.asked)
                await asyncio.sleep(0.05)


QUICK = Pace(sweep=0.002, again=(0.01, 0.1))


def scanned(
    script: Callable[[Place], Awaitable[None]],
    *things: Json,
    namespaces: list[Json] | None = None,
    pace: Pace = QUICK,
) -> None:
    """Run a scanner on a world with these policies, and do something meanwhile."""
    place = Place(World(Namespace=namespaces or [live_namespace()], NetworkPolicy=list(things)), pace)

    async def main() -> None:
        async with place.running():
            place.judges.asked.clear()
            await script(place)

    asyncio.run(main())


def test_two_policies_written_at_one_moment_are_both_named() -> None:
    """Each was fine alone; the next look finds what they do together, and says so until one is gone."""

    async def script(place: Place) -> None:
        assert place.scanner.outvoted("dev") == ()
        place.world.memory.put(NETWORK_POLICIES, policy("one", bad=True))
        place.world.memory.put(NETWORK_POLICIES, policy("other", bad=True))
        await place.settle()
        (sentence,) = place.scanner.outvoted("dev") or ()
        assert sentence.startswith(f"NetworkPolicy one and NetworkPolicy other together [{RULE}]: bad")
        assert place.voted == 1
        place.world.memory.remove(NETWORK_POLICIES, "one", "dev")
        await place.settle()
        assert (place.scanner.outvoted("dev") or ("",))[0].startswith(f"NetworkPolicy other [{RULE}]")
        place.world.memory.remove(NETWORK_POLICIES, "other", "dev")
        await place.settle()
        assert place.scanner.outvoted("dev") == ()
        assert place.heard.rules() == []

    scanned(script)


def test_while_namespaces_wait_for_their_baselines_what_can_wait_lets_them_go_first() -> None:
    """Not what undoes a baseline; and it has its turn when they are done."""

    async def script(place: Place) -> None:
        place.pressed = True
        place.world.memory.put(NAMESPACES, live_namespace("elsewhere"))
        place.world.memory.put(NETWORK_POLICIES, policy("one", bad=True))
        await place.settle()
        assert "dev/one" in place.judges.asked
        assert "elsewhere" not in place.judges.asked
        assert place.scanner.outvoted("dev")
        place.pressed = False
        await until(lambda: "elsewhere" in place.judges.asked)

    scanned(script)


def test_who_makes_one_namespace_after_the_other_does_not_end_the_scan() -> None:
    """What can wait does so for a while, and no longer."""

    async def script(place: Place) -> None:
        place.pressed = True
        place.world.memory.put(NAMESPACES, live_namespace("elsewhere"))
        await until(lambda: "elsewhere" in place.judges.asked)

    scanned(script, pace=replace(QUICK, yields=0.02))


def test_as_long_as_nothing_changes_nobody_is_asked_and_the_same_is_said() -> None:
    """The state of a namespace, an injected policy, another namespace: none of it is judged anew."""

    async def script(place: Place) -> None:
        outvoted, memory = place.scanner.outvoted("dev"), place.world.memory
        assert outvoted
        memory.put(NAMESPACES, live_namespace(annotations={"portcullis.dev/baseline": "{}"}))
        memory.put(NETWORK_POLICIES, injected("zero-trust.default-deny", DENY))
        memory.put(NAMESPACES, live_namespace("elsewhere"))
        await place.settle()
        assert set(place.judges.asked) == {"elsewhere"}
        assert place.scanner.outvoted("dev") is outvoted
        assert place.heard.times == 2

    scanned(script, policy("one", bad=True))


def test_what_is_judged_anew_says_the_same_in_the_same_object() -> None:
    """A policy that changes and is as bad as before leaves state and report alone, whatever the time."""

    async def script(place: Place) -> None:
        before, found = place.scanner.outvoted("dev"), place.heard.found["dev"]
        await asyncio.sleep(1.1)
        place.world.memory.put(NETWORK_POLICIES, policy("one", bad=True, more=True))
        await place.settle()
        assert place.judges.asked == ["dev/one"]
        assert place.scanner.outvoted("dev") is before
        assert place.heard.found["dev"] is found
        assert (place.voted, place.heard.times) == (1, 1)

    scanned(script, policy("one", bad=True))


CHANGES: dict[str, tuple[Callable[[World], object], set[str]]] = {
    "another policy": (lambda it: it.memory.put(NETWORK_POLICIES, policy("new")), {"dev/new", "dev/one"}),
    "a policy gone": (lambda it: it.memory.remove(NETWORK_POLICIES, "one", "dev"), set()),
    "a label of the namespace": (
        lambda it: it.memory.put(NAMESPACES, live_namespace(labels={**OWNED, "a": "b"})),
        {"dev", "dev/one"},
    ),
    "its exemption": (
        lambda it: it.memory.put(NAMESPACES, live_namespace(annotations={"portcullis.dev/exempt-until": "x"})),
        {"dev"},
    ),
    "a baseline": (
        lambda it: it.memory.put(ORGANIZATIONS, thing("acme", {"baselines": []})),
        {"dev", "dev/one"},
    ),
    "enforcement": (
        lambda it: it.memory.put(
            ORGANIZATIONS, thing("acme", {**STANDING["Organization"][0]["spec"], "enforcement": {"*": "warn"}})
        ),
        {"dev", "dev/one"},
    ),
}


@pytest.mark.parametrize(("change", "asked"), CHANGES.values(), ids=CHANGES)
def test_what_changes_is_judged(change: Callable[[World], object], asked: set[str]) -> None:
    """And what rests on it, no more."""

    async def script(place: Place) -> None:
        change(place.world)
        await place.settle()
        assert set(place.judges.asked) == asked

    scanned(script, policy("one"))


def test_what_needs_no_rule_is_told_as_well() -> None:
    """Nobody owns it; once somebody does, it is told no more. The platform's own and what ends are left alone."""
    others = [live_namespace("kube-system", {}), live_namespace("ends", {}, deletionTimestamp="2026-01-01T00:00:00Z")]

    async def script(place: Place) -> None:
        assert place.heard.rules("stray") == [UNOWNED]
        assert set(place.heard.found) == {"stray"}
        place.world.memory.put(NAMESPACES, live_namespace("stray"))
        await place.settle()
        assert place.heard.rules("stray") == []
        place.world.memory.put(NAMESPACES, live_namespace("stray", {"bad": ""}))
        await place.settle()
        assert place.heard.rules("stray") == ["custom/rule", UNOWNED]
        place.world.memory.remove(NAMESPACES, "stray")
        await place.settle()
        assert place.heard.found == {}

    scanned(script, namespaces=[live_namespace("stray", {}), *others])


def test_while_nobody_answers_what_was_found_still_counts() -> None:
    """Nothing is said to be well meanwhile; and it is asked again until somebody answers."""

    async def script(place: Place) -> None:
        place.judges.away = True
        place.world.memory.put(NETWORK_POLICIES, policy("one"))
        await asyncio.sleep(0.1)
        assert len(place.judges.asked) > 2
        assert place.scanner.outvoted("dev")
        place.judges.away = False
        await asyncio.sleep(0.5)
        await place.settle()
        assert place.scanner.outvoted("dev") == ()

    scanned(script, policy("one", bad=True))


def test_one_that_takes_long_holds_up_no_other() -> None:
    """Two namespaces of many policies are judged one after the other; what changes elsewhere is judged meanwhile."""
    running, most = 0, 0

    async def slow(what: str) -> None:
        nonlocal running, most
        if "/p" in what:
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1

    async def script(place: Place) -> None:
        place.judges.before = slow
        for home in ("dev", "other"):
            for index in range(MANY + 10):
                place.world.memory.put(NETWORK_POLICIES, policy(f"p{index}", home))
        await asyncio.sleep(0.1)
        place.world.memory.put(NETWORK_POLICIES, policy("quick", "small", bad=True))
        await until(lambda: bool(place.scanner.outvoted("small")))
        assert len([each for each in place.judges.asked if each.startswith(("dev/", "other/"))]) < MANY
        assert most == 1

    scanned(script, namespaces=[live_namespace(each) for each in ("dev", "other", "small")])


def test_what_may_have_changed_by_itself_is_judged_anew_once_in_a_while() -> None:
    """Policies, for what stands elsewhere counts, and exemptions, which end; what is found is told no second time."""
    exempt = live_namespace("exempt", annotations={"portcullis.dev/exempt-until": "2026-12-01T00:00:00Z"})

    async def script(place: Place) -> None:
        await asyncio.sleep(0.4)
        assert set(place.judges.asked) == {"dev/one", "exempt"}
        assert (place.voted, place.heard.times) == (1, 3)

    namespaces = [live_namespace(), live_namespace("bare"), exempt]
    scanned(script, policy("one", bad=True), namespaces=namespaces, pace=replace(QUICK, resync=(0.2, 0.2)))


def test_other_rules_judge_everything_anew() -> None:
    """Whatever they say of it."""

    async def script(place: Place) -> None:
        place.judges.revision = "two"
        await until(lambda: {"dev", "dev/one"} <= set(place.judges.asked))

    scanned(script, policy("one", bad=True), pace=replace(QUICK, rules=0.01))


def test_policies_that_changed_go_before_everything_else() -> None:
    """Many new namespaces do not keep a hole open."""

    async def slow(_: str) -> None:
        await asyncio.sleep(0.003)

    async def script(place: Place) -> None:
        place.judges.before = slow
        for index in range(300):
            place.world.memory.put(NAMESPACES, live_namespace(f"new-{index}"))
        await until(lambda: len(place.judges.asked) > 5)
        place.world.memory.put(NETWORK_POLICIES, policy("one", bad=True))
        await until(lambda: bool(place.scanner.outvoted("dev")))
        assert len(place.judges.asked) < 150

    scanned(script)


def test_who_leads_again_tells_anew() -> None:
    """Somebody else may have told of it meanwhile; what was known is said from the beginning."""
    place = Place(World(Namespace=[live_namespace()], NetworkPolicy=[policy("one", bad=True)]), QUICK)

    async def main() -> None:
        async with place.running():
            outvoted = place.scanner.outvoted("dev")
        assert place.world.live.changed == []
        async with place.running():
            assert place.scanner.outvoted("dev") is outvoted
            assert place.heard.times == 2

    asyncio.run(main())
