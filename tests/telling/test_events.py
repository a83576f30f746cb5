"""What happened is told beside the object: once, however often it happens, and never at the cost of the work."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tests.cases.reviews import Json
from tests.cluster.memory import Call, Memory, until
from webhook.bring import Note
from webhook.errors import ClusterError
from webhook.telling import events
from webhook.telling.events import AGAIN_SECONDS, BURST, MOST_REMEMBERED, MOST_WAITING, Budget, Events
from webhook.telling.figures import Figures

REPAIRED = Note("BaselineRepaired", "zero-trust.deny differed in ingress and was replaced whole", "zero-trust.deny")


class Told:
    """A writer of Events on a cluster in memory."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.registry = CollectorRegistry()
        self.events = Events(self.memory, Figures(self.registry))

    def stored(self) -> list[Json]:
        return [each for (plural, _, _), each in self.memory.stored.items() if plural == "events"]

    def figure(self, name: str) -> float:
        return self.registry.get_sample_value(f"portcullis_{name}") or 0.0

    def later(self, seconds: float) -> None:
        """Let time pass for what was told so far."""
        for each in self.events._series.values():
            each.told -= seconds

    def run(self, script: Callable[[], Awaitable[None]]) -> None:
        """Do something while Events are written."""

        async def main() -> None:
            task = asyncio.create_task(self.events.run())
            await script()
            assert not task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(main())

    def write(self, count: int) -> None:
        """Return once so many Events stand."""

        async def script() -> None:
            await until(lambda: len(self.stored()) >= count)

        self.run(script)


@pytest.mark.parametrize(
    ("note", "regarding"),
    [
        pytest.param(
            REPAIRED,
            {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "name": "zero-trust.deny"},
            id="a-policy",
        ),
        pytest.param(
            Note("FightDetected", "helm writes it again and again"),
            {"apiVersion": "v1", "kind": "Namespace", "name": "dev"},
            id="the-namespace",
        ),
    ],
)
def test_an_event_is_about_an_object_and_in_its_namespace(note: Note, regarding: dict[str, str]) -> None:
    """Where its owner sees it."""
    told = Told()
    told.events.note("dev", note)
    told.write(1)
    (event,) = told.stored()
    assert event["regarding"] == {**regarding, "namespace": "dev"}
    assert event["metadata"]["namespace"] == "dev"
    assert (event["reason"], event["note"], event["type"]) == (note.reason, note.note, "Warning")
    assert event["reportingController"] == "portcullis.dev/controller"
    assert datetime.fromisoformat(event["eventTime"]).tzinfo
    assert "series" not in event
    assert told.figure("events_total") == 1


def test_what_is_nothing_to_worry_about_is_no_warning() -> None:
    """And a text is never longer than the API server takes."""
    told = Told()
    told.events.note("dev", replace(REPAIRED, warning=False, note="\x1b" + "ü" * 5000))
    told.write(1)
    (event,) = told.stored()
    assert event["type"] == "Normal"
    assert len(event["note"].encode()) <= 1024
    assert event["note"].isprintable()


def test_what_happens_again_is_counted() -> None:
    """The first time is told at once, the others after a while and in one Event that says how many."""
    told = Told()

    async def written(count: int) -> Json:
        await until(lambda: len(told.stored()) == count)
        told.later(AGAIN_SECONDS)
        told.events._settle()
        return told.stored()[-1]

    async def script() -> None:
        for _ in range(5):
            told.events.note("dev", REPAIRED)
        first, again = await written(1), await written(2)
        assert "series" not in first
        assert again["series"]["count"] == 4
        last = datetime.fromisoformat(again["series"]["lastObservedTime"])
        assert last >= datetime.fromisoformat(again["eventTime"])
        # It has not happened since, so it is forgotten; later it is as if it were new.
        assert told.events._series == {}
        told.events.note("dev", REPAIRED)
        assert "series" not in await written(3)

    told.run(script)


def test_other_things_are_told_apart() -> None:
    """Another namespace, policy, reason or text."""
    told = Told()
    others = [replace(REPAIRED, policy="b"), replace(REPAIRED, reason="x"), replace(REPAIRED, note="y")]
    for note in (REPAIRED, *others):
        told.events.note("dev", note)
    told.events.note("other", REPAIRED)
    told.write(5)
    assert len(told.stored()) == 5


def test_more_than_can_be_written_is_dropped_and_counted() -> None:
    """Whoever notes it does not wait, and what is kept is bounded."""
    told = Told()
    for number in range(MOST_WAITING + 7):
        told.events.note(f"n{number}", REPAIRED)
    assert told.figure("events_dropped_total") == 7
    for number in range(2 * MOST_REMEMBERED):
        told.events.note(f"m{number}", REPAIRED)
    assert len(told.events._series) == MOST_REMEMBERED


def test_so_many_are_written_a_second() -> None:
    """A burst at once; from then on each waits for its turn."""
    budget = Budget()
    waits = [budget.wait() for _ in range(BURST + 20)]
    assert max(waits[:BURST]) == 0
    assert waits[-1] == pytest.approx(20 / events.EACH_SECOND, rel=0.1)
    budget.at -= 3600
    assert budget.wait() == 0
    assert budget.left <= BURST


@pytest.mark.parametrize(
    ("error", "complains"),
    [
        pytest.param(ClusterError("events is forbidden", status=403), True, id="no right"),
        pytest.param(ClusterError("unable to create: it is being terminated", status=403), False, id="ending"),
        pytest.param(ClusterError("not found", status=404), False, id="gone"),
        pytest.param(ClusterError("the API server does not answer"), True, id="no answer"),
    ],
)
def test_what_cannot_be_written_is_dropped_and_told_once(error: ClusterError, *, complains: bool) -> None:
    """The next one is tried all the same; a namespace that ends is nothing to speak of."""
    told = Told()
    refused = list[str]()

    async def refuse(call: Call) -> None:
        refused.append(call.namespace)
        if call.namespace != "last":
            raise error

    told.memory.before = refuse
    for name in ("a", "b", "last"):
        told.events.note(name, REPAIRED)
    with capture_logs() as logs:
        told.write(1)
    assert refused == ["a", "b", "last"]
    assert told.figure("events_dropped_total") == 2
    assert [each["event"] for each in logs] == ["event not written"] * complains
