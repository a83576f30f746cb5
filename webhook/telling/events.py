"""
What happens to baselines, as Events that `kubectl get events` shows beside the object.

Whoever notes something does not wait: it goes into a queue that is bounded, and so is how many are written a second.
The same thing of the same object is written once in a while, with how often it happened since.
Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

import asyncio
import os
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import structlog

from webhook.bring import Note
from webhook.cluster.resource import EVENTS, NAMESPACES, NETWORK_POLICIES, Resource
from webhook.errors import ClusterError
from webhook.telling.figures import Figures

Object = dict[str, Any]

REPORTER = "portcullis.dev/controller"
MOST_WAITING = 1000
"""What comes while so many wait to be written is dropped."""
MOST_REMEMBERED = 4000
"""Of so many things it is known that they happened already; beyond that, the oldest is told as if it were new."""
BURST, EACH_SECOND = 50, 10.0
"""So many are written at once, and so many a second from then on."""
AGAIN_SECONDS = 300.0
"""What happens again within this time is counted and told at its end."""
LONGEST_NOTE = 1000
"""Of the 1,024 bytes that an Event takes."""


class Creates(Protocol):
    """The one call on a cluster that it takes."""

    async def create(self, resource: Resource, thing: Object, /) -> Object:
        """Create an object."""
        ...


class Occurrence(NamedTuple):
    """A note of a namespace: what is the same thing when it happens again."""

    namespace: str
    note: Note


@dataclass(slots=True)
class Series:
    """How often something happened; `told` is when it was queued last (monotonic clock), the others are Unix times."""

    told: float
    first: float = 0.0
    last: float = 0.0
    count: int = 0
    """Since it was queued."""

    def again(self, now: float) -> None:
        """Count it once more."""
        self.first = self.first or now
        self.last = now
        self.count += 1


@dataclass(slots=True)
class Budget:
    """A bucket of tokens, one for each Event."""

    left: float = BURST
    at: float = field(default_factory=time.monotonic)

    def wait(self) -> float:
        """Take one; return the seconds to wait first."""
        now = time.monotonic()
        self.left = min(float(BURST), self.left + (now - self.at) * EACH_SECOND) - 1
        self.at = now
        return max(0.0, -self.left / EACH_SECOND)


class Events:
    """Takes what is worth an Event, and writes it for as long as `run` runs."""

    def __init__(self, cluster: Creates, figures: Figures) -> None:
        self._cluster = cluster
        self._figures = figures
        self._waiting: deque[tuple[Occurrence, Series]] = deque()
        self._series: dict[Occurrence, Series] = {}
        self._budget = Budget()
        self._came = asyncio.Event()
        self._trouble = ""

    def note(self, namespace: str, note: Note) -> None:
        """Take an occurrence; returns at once."""
        occurrence, now = Occurrence(namespace, note), time.time()
        series = self._series.get(occurrence)
        if series and time.monotonic() - series.told < AGAIN_SECONDS:
            series.again(now)
            return
        if series is None:
            if len(self._series) >= MOST_REMEMBERED:
                del self._series[next(iter(self._series))]
            series = self._series[occurrence] = Series(0.0)
        series.again(now)
        self._queue(occurrence, series)

    async def run(self) -> None:
        """Write what was noted, for ever."""
        while True:
            while self._waiting:
                occurrence, series = self._waiting.popleft()
                await asyncio.sleep(self._budget.wait())
                await self._write(event_of(occurrence, series))
            self._came.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_SECONDS / 10):
                    await self._came.wait()
            self._settle()

    def _settle(self) -> None:
        """Queue what was counted long enough, and forget what does not happen any more."""
        now = time.monotonic()
        for occurrence, series in list(self._series.items()):
            if now - series.told < AGAIN_SECONDS:
                continue
            if series.count:
                self._queue(occurrence, series)
            else:
                del self._series[occurrence]

    def _queue(self, occurrence: Occurrence, series: Series) -> None:
        series.told = time.monotonic()
        if len(self._waiting) >= MOST_WAITING:
            self._figures.events_dropped.inc()
        else:
            self._waiting.append((occurrence, Series(0.0, series.first, series.last, series.count)))
            self._came.set()
        series.first, series.count = 0.0, 0

    async def _write(self, event: Object) -> None:
        try:
            await self._cluster.create(EVENTS, event)
        except ClusterError as error:
            self._figures.events_dropped.inc()
            # In a namespace that ends, or has, there is nobody left to read it.
            if error.status != 404 and "being terminated" not in str(error):
                self._complain(str(error))
            return
        self._figures.events.inc()
        self._trouble = ""

    def _complain(self, trouble: str) -> None:
        if not self._trouble:
            structlog.get_logger().warning("event not written", error=trouble)
        self._trouble = trouble


def event_of(occurrence: Occurrence, series: Series) -> Object:
    """Return the Event of what happened `series.count` times; more than once, and it says how often."""
    namespace, note = occurrence
    about = NETWORK_POLICIES if note.policy else NAMESPACES
    event = {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"generateName": "portcullis-", "namespace": namespace},
        "eventTime": _time(series.first),
        "type": "Warning" if note.warning else "Normal",
        "reason": note.reason,
        "action": "Reconcile",
        # It quotes what others wrote, and people read it on a terminal.
        "note": _line(note.note),
        # With a namespace also where it is the namespace itself: else the Event would stand in `default`.
        "regarding": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "name": note.policy or namespace,
            "namespace": namespace,
        },
        "reportingController": REPORTER,
        "reportingInstance": f"{socket.gethostname()}-{os.getpid()}"[:128],
    }
    if series.count > 1:
        event["series"] = {"count": series.count, "lastObservedTime": _time(series.last)}
    return event


def _line(text: str) -> str:
    line = "".join(each if each.isprintable() else " " for each in text[:LONGEST_NOTE])
    return line.encode(errors="replace")[:LONGEST_NOTE].decode(errors="ignore")


def _time(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
