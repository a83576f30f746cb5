"""The feed: what the watches tell is what every worker knows, and one that does not know it does not decide."""

import asyncio
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from tests.conftest import Loop
from webhook.errors import NoDecisionError
from webhook.history.record import Record
from webhook.mirror import Cut
from webhook.tenancy.live import KINDS, LiveTree
from webhook.tenancy.tree import Tree
from webhook.workers import generation as words
from webhook.workers.channel import DEEP, Channel, frame, packed, unpacked
from webhook.workers.feed import Feed
from webhook.workers.following import Following
from webhook.workers.generation import Generation
from webhook.workers.telling import Telling

Json = dict[str, Any]
NAMES = ("a", "b", "c")


class Policed:
    """Holds the policies of some revisions."""

    def __init__(self, *held: str) -> None:
        self.held = set(held)
        self.demanded = ""

    def demand(self, revision: str) -> None:
        """Have those of a revision decide."""
        self.demanded = revision

    def lacking(self) -> bool:
        """Say whether they are not here."""
        return self.demanded not in self.held


class Pipe:
    """Hands what is told to a copy, when it is let."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self.held: list[bytes] = []
        self.open = True

    def tell(self, sent: bytes) -> None:
        """Pass a frame on, or hold it."""
        self.held.append(sent)
        if self.open:
            self.flow()

    def flow(self) -> None:
        """Pass on what was held."""
        for each in self.held:
            channel = Channel(self._following.hear)
            channel.data_received(each)
        self.held = []


def pair(held: LiveTree | Tree | None) -> tuple[Feed, Following, Pipe]:
    """Return a feed and a copy that is told all of it."""
    feed = Feed(Generation.new())
    feed.held, feed.revision = held, "r1"
    following = Following(Generation.of(feed.generation.fd), Policed("r1", "r2"))
    pipe = Pipe(following)
    pipe.tell(feed.state())
    feed.followers.append(pipe)
    return feed, following, pipe


def thing(kind: str, name: str, chance: random.Random, version: int) -> Json:
    """Return an object of any kind, as it may come."""
    metadata: Json = {"name": name, "resourceVersion": str(version), "labels": {}}
    if kind == "Namespace":
        metadata["labels"] = {"portcullis.dev/workspace": chance.choice(NAMES)}
    elif kind not in {"Organization", "Project", "Workspace", "NetworkBaseline"}:
        metadata["namespace"] = chance.choice(NAMES)
    subjects = [{"kind": "User", "name": chance.choice(NAMES)}]
    specs: Json = {
        "Organization": {"roles": [{"role": "OrgAdmin", "subjects": subjects}]},
        "Project": {"roles": [{"role": "ProjectAdmin", "subjects": subjects}]},
        "Workspace": {"project": chance.choice(NAMES), "roles": [{"role": "WorkspaceAdmin", "subjects": subjects}]},
        "NetworkBaseline": {"policies": [{"name": chance.choice(NAMES), "spec": {"podSelector": {}}}]},
    }
    return {"metadata": metadata, "spec": specs.get(kind, {"podSelector": {}, "number": 2**70})}


def happen(chance: random.Random, live: LiveTree, feed: Feed, version: int) -> None:
    """Have something happen to the cluster: told first, and then known here, as a mirror does."""
    kind = chance.choice(KINDS)
    # A second Organization would be no tree.
    name = "a" if kind == "Organization" else chance.choice(NAMES)
    match chance.choice(("reset", "put", "put", "put", "drop", "cut")):
        case "reset":
            things = [thing(kind, each, chance, version) for each in ((name,) if kind == "Organization" else NAMES)]
            feed.reset(kind, things, str(version))
            live.reset(kind, things, str(version))
        case "put":
            one = thing(kind, name, chance, version)
            feed.put(kind, one)
            live.put(kind, one)
        case "drop":
            one = thing(kind, name, chance, version)
            feed.drop(kind, one)
            live.drop(kind, one)
        case _:
            feed.cut(kind, Cut(time.monotonic(), "gone"))


def state(live: LiveTree) -> Json:
    """Return all that a live tree knows, in a form that can be compared."""
    found = live.__getstate__()
    found["_namespaces"], found["_policies"] = (
        dict(found["_namespaces"]),
        {name: set(map(repr, each)) for name, each in found["_policies"].items()},
    )
    found["_gone"] = list(found["_gone"])
    return found


def planted(tree: Tree | None) -> Any:
    """Return what is made of that, None for none."""
    return tree and (tree.organization, dict(tree.tenants), dict(tree.baselines), dict(tree.former))


@pytest.mark.parametrize("seed", range(10))
def test_a_copy_is_what_it_was_told(loop: Loop, seed: int) -> None:
    """Whatever happens, in whatever order, whenever a worker joins: it knows what the watcher knows."""

    async def work() -> None:
        chance = random.Random(seed)  # noqa: S311 - no secret
        live = LiveTree()
        for kind in KINDS:
            live.reset(kind, [], "1")
        for version in range(2, chance.randint(2, 40)):
            happen(chance, live, Feed(Generation.new()), version)
        feed, following, _ = pair(live)
        for version in range(40, 120):
            happen(chance, live, feed, version)
            copy = following._held
            assert isinstance(copy, LiveTree)
            assert not following.behind()
            assert state(copy) == state(live)
            assert planted(following.tree()) == planted(live.tree)
            assert [following.reborn(each) for each in NAMES] == [live.reborn(each) for each in NAMES]

    loop.run(work())


def test_files_are_passed_on_whole(loop: Loop, tree: Tree) -> None:
    """A tree of files is the same for a worker, and nothing changes it."""

    async def work() -> None:
        feed, following, _ = pair(tree)
        found = following.tree()
        assert found is not None
        assert replace(found, former={}) == replace(
            tree, former={}, namespaces=found.namespaces, _standing=found._standing
        )
        assert dict(found.namespaces) == dict(tree.namespaces)
        with pytest.raises(TypeError, match="files do not change"):
            feed.put("Namespace", thing("Namespace", "a", random.Random(1), 1))  # noqa: S311 - no secret

    loop.run(work())


def raised(feed: Feed, _: Following, __: Pipe) -> None:
    feed.put("Namespace", {"metadata": {"name": "a"}})


def swapped(feed: Feed, _: Following, __: Pipe) -> None:
    feed.swap("r3")


def silent(_: Feed, following: Following, __: Pipe) -> None:
    following._generation = Silent()


def lost(_: Feed, following: Following, __: Pipe) -> None:
    following.lose()


class Silent(Generation):
    """Shared with a watcher that has stopped."""

    def __init__(self) -> None:
        super().__init__(Generation.new().fd, ours=True)
        self._words[words._BEAT] = 0


@pytest.mark.parametrize("happens", [raised, swapped, silent, lost], ids=lambda each: each.__name__)
def test_nothing_is_decided_by_what_is_past(loop: Loop, happens: Callable[[Feed, Following, Pipe], None]) -> None:
    """Where a change was not heard of, or who would tell is gone, there is no decision, and soon another try."""

    async def work() -> None:
        live = LiveTree()
        feed, following, pipe = pair(live)
        assert not following.behind()
        pipe.open = happens is swapped
        happens(feed, following, pipe)
        assert following.behind()
        with pytest.raises(NoDecisionError) as caught:
            await following.caught_up(seconds=0.2)
        assert caught.value.retry
        assert caught.value.cause == "behind"

    loop.run(work())


def test_who_waits_goes_on_when_it_is_told(loop: Loop) -> None:
    """A decision that waits for a change begins as soon as that is known, and not before."""

    async def work() -> None:
        feed, following, pipe = pair(LiveTree())
        pipe.open = False
        feed.put("Namespace", {"metadata": {"name": "a"}})
        waiting = asyncio.create_task(following.caught_up(seconds=10))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        pipe.flow()
        await asyncio.wait_for(waiting, 1)
        assert not following.behind()

    loop.run(work())


def test_a_change_that_was_not_told_ends_it(loop: Loop) -> None:
    """A copy that lacks one change of many is none: it does not take the next."""

    async def work() -> None:
        feed, _, pipe = pair(LiveTree())
        pipe.open = False
        feed.put("Namespace", {"metadata": {"name": "a"}})
        feed.put("Namespace", {"metadata": {"name": "b"}})
        pipe.held = pipe.held[1:]
        with pytest.raises(ValueError, match="the change 2 came after 0"):
            pipe.flow()

    loop.run(work())


def test_the_number_is_not_a_workers_to_change() -> None:
    """A worker reads it; no worker can have the others wait, or not wait."""
    feed = Generation.new()
    seen = Generation.of(feed.fd)
    assert (feed.raised(), feed.raised(), seen.number) == (1, 2, 2)
    assert not seen.silent()
    with pytest.raises(TypeError, match="read-only"):
        seen.raised()


def nested(levels: int) -> dict[str, Any]:
    """Return an object of so many levels."""
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"a": found}
    return found


def test_an_object_of_many_levels_is_passed_on() -> None:
    """As many as are read: else one that stands already would end the process that watches."""
    object_ = {"metadata": {"name": "a"}, "spec": nested(990)}
    sent: list[bytes] = []
    feed = Feed(Generation.new())
    feed.followers.append(SimpleNamespace(tell=sent.append))
    feed.put("CiliumNetworkPolicy", object_)
    assert len(sent) == 1
    # Compared as text, for that goes level by level.
    assert orjson.dumps(unpacked(packed({"a": nested(200)}))) == orjson.dumps({"a": nested(200)})
    assert sent[0].endswith(packed(object_))
    assert sys.getrecursionlimit() < DEEP


def test_a_decision_on_what_cannot_be_written_is_told() -> None:
    """Without what it was made on; it is a denial, and not hidden by that."""
    told: list[bytes] = []
    channel = SimpleNamespace(waiting=0, pass_on=told.append)
    record = Record(
        decision_id="d", time="t", route="validate", user="u", operation="CREATE", group="", kind="Pod", namespace="n",
        name="n", uid="", verdict="error", rules=(), ran=(), violations=(), revision="r", dry_run=False,
        break_glass=False, authenticated=False, milliseconds=1.0, document=nested(300),
    )  # fmt: skip
    Telling(cast("Channel", channel), documents=True).decided(record)
    assert len(told) == 1


def test_frames_come_whole_however_they_are_cut(loop: Loop) -> None:
    """What is sent is what comes, in whatever pieces."""

    async def work() -> None:
        heard: list[tuple[Any, bytes]] = []
        channel = Channel(lambda head, body: heard.append((dict(head), body)))
        sent = [({"do": "x", "n": each}, b"y" * each) for each in range(20)]
        stream = b"".join(frame(head, body) for head, body in sent)
        for at in range(0, len(stream), 7):
            channel.data_received(stream[at : at + 7])
        assert heard == sent

    loop.run(work())
