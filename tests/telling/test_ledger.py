"""What is known of each namespace: by what was told, and by the tree where nothing was told since it changed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.cluster.world import DENY, DERIVED, DNS, OWNED, World, baseline, live_namespace, quiet, thing
from webhook.baseline.past import Past
from webhook.bring import Brought, Note, bring, see
from webhook.cluster.resource import BASELINES, NAMESPACES, ORGANIZATIONS
from webhook.controller import Controller, Way
from webhook.exemption import LABEL, REASON, UNTIL, rfc3339
from webhook.model import STATE_ANNOTATION, Namespace
from webhook.telling.figures import Figures
from webhook.telling.ledger import STATES, Found, Ledger
from webhook.tenancy.live import LiveTree


class Books:
    """A ledger of a cluster in memory, with what it told others."""

    def __init__(self, live: LiveTree) -> None:
        self.registry = CollectorRegistry()
        self.notes: list[tuple[str, Note]] = []
        self.ledger = Ledger(lambda: live.tree, Figures(self.registry), lambda *each: self.notes.append(each))

    def figure(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"portcullis_{name}", labels) or 0.0

    def states(self) -> dict[str, int]:
        """Return the states that any namespace is in."""
        return {state: count for state, count in self.ledger.states().items() if count}

    def found(self) -> dict[str, Found]:
        _, found = asyncio.run(self.ledger.survey())
        return {each.name: each for each in found}


@asynccontextmanager
async def observed(world: World, books: Books) -> AsyncIterator[None]:
    """Run a controller that the ledger observes."""
    way = Way(see, books.ledger.noting(bring))
    task = asyncio.create_task(Controller(world.live, world.memory, way, books.ledger).run())
    try:
        yield
        await quiet(world)
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def worked(world: World, books: Books) -> None:
    """Let a controller work, observed by the ledger, until it has nothing left to do."""

    async def main() -> None:
        async with observed(world, books):
            pass

    asyncio.run(main())


STAMPED = {**OWNED, **DERIVED}
"""What the mutating webhook lets a namespace in with."""


def now() -> str:
    """Return the time as the API server says when something was created."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pending(since: str) -> dict[str, Any]:
    """Return the metadata of a namespace as the mutating webhook lets it in."""
    annotation = json.dumps({"state": "Pending", "reason": "new", "revision": ""})
    return {"creationTimestamp": since, "annotations": {STATE_ANNOTATION: annotation}}


def test_what_was_told_is_what_is_known() -> None:
    """Ready ones, failed ones with the reason, and those that no baseline applies to are not counted."""
    world = World(Namespace=[live_namespace(labels=STAMPED), live_namespace("other", {}), live_namespace("x", {})])
    books = Books(world.live)
    assert books.states() == {"Pending": 1}
    assert books.ledger.untold()
    worked(world, books)
    assert books.states() == {"Ready": 1}
    assert books.found() == {"dev": Found("dev", "Ready", "", ("zero-trust",))}
    assert not books.ledger.untold()
    world.memory.remove(BASELINES, "zero-trust")
    worked(world, books)
    (found,) = books.found().values()
    assert (found.state, found.reason) == ("Failed", "there is no NetworkBaseline zero-trust")
    assert books.states() == {"Failed": 1}


def test_what_the_tree_says_anew_is_pending_until_it_was_visited() -> None:
    """A baseline that changed, one that is new, and a namespace that nobody was told of."""
    world = World(Namespace=[live_namespace()])
    books = Books(world.live)
    worked(world, books)
    world.memory.put(BASELINES, baseline(default_deny=DENY))
    world.memory.put(NAMESPACES, live_namespace("new", STAMPED))
    more = baseline("more", mesh=DNS)
    more["spec"]["namespaceSelector"] = {}
    world.memory.put(BASELINES, more)
    found = books.found()
    assert {name: (each.state, each.baselines) for name, each in found.items()} == {
        "dev": ("Pending", ("more", "zero-trust")),
        "new": ("Pending", ("more", "zero-trust")),
    }
    # How it stood last stays so for who counts states: a change of the tree makes nobody wait for a first baseline.
    assert books.states() == {"Ready": 1, "Pending": 1}
    worked(world, books)
    assert {each.state for each in books.found().values()} == {"Ready"}


def test_a_visit_that_began_before_the_tree_changed_says_nothing_of_the_new_one() -> None:
    """However late it ends."""
    world = World(Namespace=[live_namespace()])
    books = Books(world.live)

    async def slow(*seen: Any) -> Brought:
        world.memory.put(BASELINES, baseline(default_deny=DNS))
        return await bring(*seen)

    async def main() -> None:
        assert world.live.tree
        seen = see(world.live.tree, world.live.tree.namespaces["dev"])
        brought = await books.ledger.noting(slow)(world.memory, seen, datetime.now(UTC), Past())
        books.ledger.told(seen.namespace, brought)

    asyncio.run(main())
    assert books.found()["dev"].state == "Pending"


def test_an_exempt_namespace_is_in_no_other_state() -> None:
    """It has nothing of its baselines, so it is not Ready."""
    until = rfc3339(datetime.now(UTC) + timedelta(days=1))
    annotations = {REASON: "moves", UNTIL: until}
    world = World(Namespace=[live_namespace(labels={**OWNED, LABEL: "true"}, annotations=annotations)])
    books = Books(world.live)
    worked(world, books)
    assert books.states() == {"Exempt": 1}
    assert books.figure("time_to_baseline_seconds_count") == 0


def test_what_is_gone_is_forgotten() -> None:
    """A namespace that ends, too; and all of it when another term begins."""
    world = World(Namespace=[live_namespace(), live_namespace("ending"), live_namespace("third")])
    books = Books(world.live)

    async def main() -> None:
        async with observed(world, books):
            await quiet(world)
            ended = world.namespace("ending")
            books.ledger.changed.clear()
            world.memory.put(NAMESPACES, {"metadata": {**ended["metadata"], "deletionTimestamp": now()}})
            world.memory.remove(NAMESPACES, "third")

    asyncio.run(main())
    assert books.states() == {"Ready": 1}
    assert books.ledger.changed.is_set()
    books.ledger.begin()
    assert books.ledger.untold()


def test_without_a_tree_there_is_nothing_to_say() -> None:
    """No Organization, or two."""
    world = World(Namespace=[live_namespace(labels=STAMPED)], Organization=[])
    books = Books(world.live)
    assert books.found() == {}
    assert books.states() == {}
    assert books.ledger.oldest_pending() is None
    world.memory.put(ORGANIZATIONS, thing("acme", {"baselines": ["zero-trust"]}))
    assert books.states() == {"Pending": 1}


def test_under_a_new_leader_namespaces_are_as_the_last_one_left_them() -> None:
    """None of ten thousand counts as waiting for its first baseline because nobody has looked yet."""
    world = World(Namespace=[live_namespace(), live_namespace("odd", annotations={STATE_ANNOTATION: "no JSON"})])
    worked(world, Books(world.live))
    wrong = live_namespace("wrong", STAMPED, annotations={STATE_ANNOTATION: '{"state":"Failed","reason":"r"}'})
    strange = live_namespace("strange", STAMPED, annotations={STATE_ANNOTATION: '{"state":"x"}'})
    world.memory.put(NAMESPACES, wrong)
    world.memory.put(NAMESPACES, strange)
    assert Books(world.live).states() == {"Ready": 2, "Failed": 1, "Pending": 1}
    assert set(Books(world.live).ledger.states()) == set(STATES)


# How long it takes.


def test_the_time_to_a_baseline_is_counted_once() -> None:
    """From the creation of a namespace to the first time that all is in place; not again after a change."""
    world = World(Namespace=[live_namespace(**pending(now()))])
    books = Books(world.live)
    worked(world, books)
    assert books.figure("time_to_baseline_seconds_count") == 1
    assert books.figure("time_to_baseline_seconds_sum") < 5
    world.memory.put(BASELINES, baseline(default_deny=DNS))
    worked(world, books)
    assert books.figure("time_to_baseline_seconds_count") == 1


def test_a_namespace_that_fails_first_is_counted_from_its_creation() -> None:
    """Whatever hindered it, and it has waited since then."""
    world = World(Namespace=[live_namespace(**pending("2026-01-01T00:00:00Z"))], NetworkBaseline=[])
    books = Books(world.live)
    worked(world, books)
    assert books.figure("time_to_baseline_seconds_count") == 0
    waited = books.ledger.oldest_pending()
    assert waited == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC).timestamp()
    world.memory.put(BASELINES, baseline(default_deny=DENY))
    worked(world, books)
    assert books.figure("time_to_baseline_seconds_sum") == pytest.approx(time.time() - waited, abs=5)
    assert books.ledger.oldest_pending() is None


def test_what_was_in_place_before_we_lead_is_not_counted() -> None:
    """A new leader finds namespaces that are right, and one that was right and drifted since."""
    world = World(Namespace=[live_namespace(creationTimestamp="2026-01-01T00:00:00Z")])
    worked(world, Books(world.live))
    books = Books(world.live)
    worked(world, books)
    assert books.states() == {"Ready": 1}
    assert books.figure("time_to_baseline_seconds_count") == 0


def test_an_adopted_namespace_is_counted_from_its_adoption() -> None:
    """It was created long ago, and nothing applied to it."""
    world = World(Namespace=[live_namespace(labels={}, creationTimestamp="2026-01-01T00:00:00Z")])
    books = Books(world.live)
    worked(world, books)
    world.memory.put(NAMESPACES, live_namespace(creationTimestamp="2026-01-01T00:00:00Z"))
    worked(world, books)
    assert books.figure("time_to_baseline_seconds_count") == 1
    assert books.figure("time_to_baseline_seconds_sum") < 5


def test_a_namespace_that_the_tree_begins_to_gate_is_counted_from_then() -> None:
    """By the first visit that finds it so."""
    old = "2026-01-01T00:00:00Z"
    world = World(
        Namespace=[live_namespace(creationTimestamp=old)], Organization=[thing("acme", {})], NetworkBaseline=[]
    )
    books = Books(world.live)
    worked(world, books)
    world.memory.put(BASELINES, baseline(default_deny=DENY))
    world.memory.put(ORGANIZATIONS, thing("acme", {"baselines": ["zero-trust"]}))
    worked(world, books)
    assert books.states() == {"Ready": 1}
    assert books.figure("time_to_baseline_seconds_count") == 1
    assert books.figure("time_to_baseline_seconds_sum") < 5


@pytest.mark.parametrize("created", ["", "yesterday", "2026-13-01T00:00:00Z"])
def test_without_a_time_of_creation_it_is_counted_from_the_visit(created: str) -> None:
    """Whatever stands there, nothing stumbles over it."""
    world = World(Namespace=[live_namespace(**pending(created))])
    books = Books(world.live)
    worked(world, books)
    assert 0 <= books.figure("time_to_baseline_seconds_sum") < 5


# What is passed on.


def told(books: Books, **brought: Any) -> None:
    books.ledger.told(Namespace("dev", OWNED), Brought({}, baselines=("zero-trust",), **brought))


def test_notes_are_passed_on_and_counted() -> None:
    """By their reason; a visit that has to be tried again is counted as well."""
    books = Books(World(Namespace=[live_namespace()]).live)
    note = Note("BaselineRepaired", "it differed", "zero-trust.default-deny")
    told(books, state="Ready", notes=(note, note), repairs=("edited", "deleted"))
    told(books, state="Failed", failed=True)
    assert books.notes == [("dev", note), ("dev", note)]
    assert books.figure("occurrences_total", reason="BaselineRepaired") == 2
    assert books.figure("repairs_total", cause="deleted") == 1
    assert books.figure("reconcile_errors_total") == 1


def test_a_visit_that_can_say_nothing_changes_nothing() -> None:
    """Our copy was old: how it stood before counts until the next visit."""
    books = Books(World(Namespace=[live_namespace()]).live)
    told(books, state="Failed", reason="no")
    books.ledger.changed.clear()
    told(books, state=None, stale=True)
    assert books.states() == {"Failed": 1}
    assert not books.ledger.changed.is_set()


def test_only_what_is_not_as_it_was_wakes_anybody() -> None:
    """A visit that finds the same, and a sweep of the same tree."""
    books = Books(World(Namespace=[live_namespace()]).live)
    told(books, state="Ready")
    books.ledger.swept()
    assert books.ledger.changed.is_set()
    books.ledger.changed.clear()
    told(books, state="Ready")
    books.ledger.swept()
    assert not books.ledger.changed.is_set()
    told(books, state="Drifted", reason="x")
    assert books.ledger.changed.is_set()
