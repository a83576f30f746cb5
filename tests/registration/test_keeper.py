"""The webhook objects are made when they may be, put back whatever becomes of them, and never removed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.cases.reviews import Json
from tests.cluster.memory import Call, Event, Memory, until
from webhook.cluster import watch
from webhook.cluster.resource import MUTATING, VALIDATING, Resource
from webhook.errors import ClusterError, NoDecisionError, SettingsError
from webhook.registration import keeper
from webhook.registration.hooks import Callee, read_shipped, wanted
from webhook.registration.keeper import Conditions, Keeper
from webhook.settings import bundled_webhooks

SHIPPED = read_shipped(bundled_webhooks().read_text())
BOTH = (MUTATING, VALIDATING)
MADE = [("create", MUTATING.plural), ("create", VALIDATING.plural)]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less than where an API server has to be spared."""
    monkeypatch.setattr(keeper, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(watch, "FIRST_WAIT", 0.002)


@dataclass
class Kept:
    """A keeper on a cluster in memory, and what it depends on."""

    memory: Memory = field(default_factory=Memory)
    ca: bytes = b"one"
    may: bool = True
    no_answer: Exception | None = None
    asked: int = 0
    keeper: Keeper = field(init=False)

    def __post_init__(self) -> None:
        self.keeper = Keeper(self.memory, SHIPPED, self.callee)

    def callee(self) -> Callee:
        if not self.ca:
            raise SettingsError("ca.crt is missing: put the CA's certificate there")
        return Callee(self.ca)

    async def answers(self) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.no_answer:
            raise self.no_answer

    @property
    def conditions(self) -> Conditions:
        return Conditions(lambda: self.may, self.answers)

    def aim(self, resource: Resource) -> Json:
        """Return what has to stand."""
        return wanted(SHIPPED[resource.kind], Callee(self.ca))

    def right(self) -> bool:
        """Say whether both stand as they have to."""
        found = [self.memory.find(each, "portcullis") for each in BOTH]
        return all(
            each is not None and each["webhooks"] == self.aim(resource)["webhooks"]
            for each, resource in zip(found, BOTH, strict=True)
        )

    def writes(self) -> list[tuple[str, str]]:
        return [(each.verb, each.plural) for each in self.memory.calls]


@asynccontextmanager
async def keeping(*kept: Kept) -> AsyncIterator[None]:
    """Run keepers, which must not end by themselves."""
    tasks = [asyncio.create_task(each.keeper.run(each.conditions)) for each in kept]
    try:
        yield
        assert not any(task.done() for task in tasks), tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def doing(kept: Kept, script: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with keeping(kept):
            await script()

    asyncio.run(main())
    assert all(each.verb in {"create", "replace"} for each in kept.memory.calls)


async def a_while() -> None:
    """Give it time for what it must not do."""
    await asyncio.sleep(0.05)


# When they are not written.


def test_nothing_is_made_before_the_tree_can_be_judged_by() -> None:
    """A cluster that nobody can administer must not be locked; once somebody can, both come without a restart."""
    kept = Kept(may=False)

    async def script() -> None:
        await until(lambda: kept.keeper.told)
        kept.keeper.wake()
        await a_while()
        assert (kept.writes(), kept.asked, kept.keeper.stands) == ([], 0, False)
        kept.may = True
        kept.keeper.wake()
        await until(kept.right)

    doing(kept, script)
    assert kept.keeper.stands


@pytest.mark.parametrize(
    "why",
    [
        pytest.param(NoDecisionError("OPA is restarting", retry=True), id="no-decision"),
        pytest.param(ClusterError("the API server does not answer"), id="no-cluster"),
    ],
)
def test_nothing_is_written_by_who_cannot_answer(why: Exception) -> None:
    """Who removed them because we do not answer does not find them put back; the reason is told, until it passes."""
    kept = Kept(no_answer=why)

    async def script() -> None:
        await until(lambda: kept.asked >= 3)
        assert kept.writes() == []
        assert kept.keeper.trouble == str(why)
        kept.no_answer = None
        await until(kept.right)
        await until(lambda: not kept.keeper.trouble)

    doing(kept, script)


def test_nothing_is_written_without_a_ca() -> None:
    """A hook whose callee nobody trusts refuses everything; with the CA there, it is made."""
    kept = Kept(ca=b"")

    async def script() -> None:
        await until(lambda: bool(kept.keeper.trouble))
        await a_while()
        assert kept.writes() == []
        assert kept.keeper.trouble == "ca.crt is missing: put the CA's certificate there"
        kept.ca = b"one"
        await until(kept.right)

    doing(kept, script)


def test_nothing_is_known_before_the_watches_told() -> None:
    """Neither that they stand nor that they do not."""
    kept = Kept()
    assert (kept.keeper.told, kept.keeper.stands) == (False, False)


def test_what_is_right_takes_no_call() -> None:
    """Nor is it asked whether we answer; a wake changes nothing about that."""
    kept = Kept()
    for each in BOTH:
        kept.memory.put(each, kept.aim(each))

    async def script() -> None:
        await until(lambda: kept.keeper.stands)
        kept.keeper.wake()
        await a_while()

    doing(kept, script)
    assert (kept.writes(), kept.asked, kept.keeper.trouble) == ([], 0, "")


# What is made and put back.


def test_what_stamps_is_made_first() -> None:
    """Judged without having been stamped, every new namespace would be refused; both are made once."""
    kept = Kept()

    async def script() -> None:
        await until(kept.right)
        await a_while()

    doing(kept, script)
    assert kept.writes() == MADE
    assert kept.asked == 1


@pytest.mark.parametrize("resource", BOTH, ids=lambda each: str(each.kind))
def test_what_is_deleted_comes_again(resource: Resource) -> None:
    """That one alone."""
    kept = Kept()

    async def script() -> None:
        await until(kept.right)
        kept.memory.calls.clear()
        kept.memory.remove(resource, "portcullis")
        await until(kept.right)
        await a_while()

    doing(kept, script)
    assert kept.writes() == [("create", resource.plural)]


@pytest.mark.parametrize("resource", BOTH, ids=lambda each: str(each.kind))
def test_what_is_changed_is_put_back(resource: Resource) -> None:
    """In the version that was seen; what others added to its metadata stays."""
    kept = Kept()

    async def script() -> None:
        await until(kept.right)
        kept.memory.calls.clear()
        wrong = kept.aim(resource)
        wrong["webhooks"][0]["failurePolicy"] = "Ignore"
        wrong["metadata"] = {**wrong["metadata"], "annotations": {"a": "b"}}
        kept.memory.put(resource, wrong)
        await until(kept.right)
        await a_while()

    doing(kept, script)
    assert kept.writes() == [("replace", resource.plural)]
    found = kept.memory.find(resource, "portcullis")
    assert found
    assert found["metadata"]["annotations"] == {"a": "b"}


def test_one_that_stands_is_kept_with_the_other_while_there_is_no_tree() -> None:
    """Once something was gated it stays so: a tree that is lost opens nothing."""
    kept = Kept(may=False)
    kept.memory.put(VALIDATING, {**kept.aim(VALIDATING), "webhooks": []})

    async def script() -> None:
        await until(kept.right)

    doing(kept, script)
    assert sorted(kept.writes()) == [("create", MUTATING.plural), ("replace", VALIDATING.plural)]


def test_a_new_ca_is_put_into_both() -> None:
    """When it is woken, as by a certificate that was renewed."""
    kept = Kept()

    async def script() -> None:
        await until(kept.right)
        kept.memory.calls.clear()
        kept.ca = b"two"
        kept.keeper.wake()
        await until(kept.right)

    doing(kept, script)
    assert kept.writes() == [("replace", MUTATING.plural), ("replace", VALIDATING.plural)]


def test_objects_of_others_are_never_touched() -> None:
    """Of the same kinds there are more in any cluster."""
    kept = Kept()
    other = {"metadata": {"name": "cert-manager"}, "webhooks": []}
    for each in BOTH:
        kept.memory.put(each, other)

    async def script() -> None:
        await until(kept.right)

    doing(kept, script)
    assert kept.writes() == MADE
    assert {each.name for each in kept.memory.calls} == {"portcullis"}


# Faults and rivals.


def test_a_refusal_is_told_and_tried_again() -> None:
    """What RBAC lacks, say; not all the time."""
    kept = Kept()
    refusal = ClusterError("forbidden: cannot create", status=403)

    async def refuse(_: Call) -> None:
        raise refusal

    async def allow(_: Call) -> None:
        return

    async def script() -> None:
        kept.memory.before = refuse
        await until(lambda: len(kept.memory.calls) >= 3)
        assert kept.keeper.trouble == str(refusal)
        kept.memory.before = allow
        await until(kept.right)
        await until(lambda: not kept.keeper.trouble)

    doing(kept, script)


def test_replicas_settle() -> None:
    """Three that begin at once, and again after a new CA that all have: each object is written a few times at most."""
    memory = Memory()
    kept = [Kept(memory) for _ in range(3)]

    async def main() -> None:
        async with keeping(*kept):
            await until(kept[0].right)
            await a_while()
            assert memory.version == 2
            for each in kept:
                each.ca = b"two"
                each.keeper.wake()
            await until(kept[0].right)
            await a_while()
            assert memory.version == 4
            assert all(each.keeper.trouble == "" for each in kept)

    asyncio.run(main())


def test_who_writes_against_us_does_not_make_us_write_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two writes there is a pause, however fast the other is."""
    monkeypatch.setattr(keeper, "AGAIN_SECONDS", 0.05)
    kept = Kept()
    wrong = {**kept.aim(MUTATING), "webhooks": []}

    def undo(event: Event) -> None:
        if event.plural == MUTATING.plural and event.thing["webhooks"]:
            asyncio.get_running_loop().call_soon(kept.memory.put, MUTATING, wrong)

    async def script() -> None:
        await until(kept.right)
        kept.memory.calls.clear()
        kept.memory.listeners.append(undo)
        kept.memory.put(MUTATING, wrong)
        await asyncio.sleep(0.3)
        kept.memory.listeners.clear()
        await until(kept.right)

    doing(kept, script)
    assert 2 <= len(kept.memory.calls) <= 9


def test_a_conflict_waits_for_the_watch() -> None:
    """Of what another wrote meanwhile it is first seen what it is."""
    kept = Kept()

    async def rival(call: Call) -> None:
        if call.verb == "replace" and Counter(kept.writes())["replace", call.plural] == 1:
            kept.memory.put(MUTATING, {**kept.aim(MUTATING), "webhooks": [], "other": 1})

    async def script() -> None:
        await until(kept.right)
        kept.memory.before = rival
        kept.memory.put(MUTATING, {**kept.aim(MUTATING), "webhooks": []})
        await until(lambda: Counter(kept.writes())["replace", MUTATING.plural] == 2)
        await until(kept.right)
        assert kept.keeper.trouble == ""

    doing(kept, script)


@pytest.mark.parametrize("rival", ["deletes it", "changes it"])
def test_an_answer_that_is_late_does_not_hide_what_came_after(rival: str) -> None:
    """The watch may tell of another's change before our own write is answered: what it told last counts."""
    kept = Kept()
    before: list[int] = []

    async def late(call: Call) -> None:
        if call.plural == MUTATING.plural and not before:
            before.append(1)
            if rival == "deletes it":
                kept.memory.remove(MUTATING, "portcullis")
            else:
                kept.memory.put(MUTATING, {**kept.aim(MUTATING), "webhooks": []})
            # The watch is heard, and then the answer.
            await asyncio.sleep(0.01)

    async def script() -> None:
        kept.memory.after = late
        await until(lambda: bool(before))
        await until(kept.right, 1)

    doing(kept, script)


def test_a_watch_that_is_cut_goes_on() -> None:
    """What happened while it was cut is put back when it goes on, and then there is no trouble any more."""
    kept = Kept()

    async def script() -> None:
        await until(kept.right)
        kept.memory.cut()
        kept.memory.remove(VALIDATING, "portcullis")
        await until(kept.right)
        await until(lambda: not kept.keeper.trouble)

    doing(kept, script)


def test_the_trouble_of_one_watch_is_not_ended_by_the_other() -> None:
    """While one of the two is cut it is not known how that object stands."""
    kept = Kept()
    kept.keeper._heard(MUTATING.kind, ClusterError("the connection was reset"))
    kept.keeper._heard(VALIDATING.kind, ClusterError("the connection was reset"))
    kept.keeper._heard(VALIDATING.kind, None)
    assert "MutatingWebhookConfiguration" in kept.keeper.trouble
    kept.keeper._heard(MUTATING.kind, None)
    assert kept.keeper.trouble == ""
