"""
The status of each NetworkBaseline: whether it is in place wherever it applies, and where it is not.

Conditions as https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md
has them. Written by the leader when it is not as it stands, a burst of changes in one go.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import nsmallest
from typing import Any, NamedTuple, Protocol

import structlog

from webhook.cluster.resource import BASELINES, Resource
from webhook.errors import ClusterError
from webhook.exemption import rfc3339
from webhook.model import Baseline
from webhook.telling.figures import Figures
from webhook.telling.ledger import STATES, Found, Ledger, Told

Object = dict[str, Any]

SETTLE_SECONDS = 0.5
"""For what comes in one go to have come."""
EVERY_SECONDS = 3.0
"""Between two rounds of writes."""
LOOK_SECONDS = 60.0
"""After so long we look whether or not anything was told: somebody may have written a status by hand."""
FIRST_SECONDS = 20.0
"""For which a new leader waits until every namespace was visited once."""
LONGEST_WAIT = 60.0
NAMED = 3
"""So many of the namespaces that are not right are named, each with as much of its reason."""
REASON_LENGTH = 200
OURS = frozenset({"Accepted", "Ready"})


class Statuses(Protocol):
    """The one call on a cluster that it takes."""

    async def patch_status(self, resource: Resource, name: str, body: Object, /) -> Object:
        """Merge into the status of an object."""
        ...


class Stored(Protocol):
    """The copy of the baselines that stand."""

    @property
    def told(self) -> Mapping[str, Mapping[str, Any]]:
        """The metadata and the status of each, by name."""
        ...


class Tally(NamedTuple):
    """In how many namespaces a baseline is in which state, and those that are not right."""

    counts: Counter[Told]
    wrong: dict[Told, list[tuple[str, str]]]


def tallied(found: Sequence[Found]) -> Mapping[str, Tally]:
    """Return how it stands with each baseline that applies anywhere, by name."""
    tallies: dict[str, Tally] = {}
    # Of ten thousand namespaces most are alike.
    for (baselines, state), count in Counter((each.baselines, each.state) for each in found).items():
        for name in baselines:
            tallies.setdefault(name, Tally(Counter(), {})).counts[state] += count
    for each in found:
        if each.state not in {"Ready", "Exempt"}:
            for name in each.baselines:
                tallies[name].wrong.setdefault(each.state, []).append((each.name, each.reason))
    return tallies


def status_of(baseline: Baseline, tally: Tally, stored: Mapping[str, Any], now: datetime) -> Object:
    """
    Return the status of a baseline, of which `stored` has the metadata and the status as they are.

    Conditions of others are kept; of ours the time is that of the last change of their `status`.
    """
    before = stored.get("status") or {}
    generation = stored["metadata"].get("generation", 0)
    standing = {each["type"]: each for each in before.get("conditions") or ()}
    conditions = [each for kind, each in standing.items() if kind not in OURS]
    for kind, status, reason, message in (_accepted(baseline), _ready(baseline, tally)):
        same = standing.get(kind, {}).get("status") == status
        conditions.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "observedGeneration": generation,
                "lastTransitionTime": standing[kind]["lastTransitionTime"] if same else rfc3339(now),
            }
        )
    counts = {state.lower(): tally.counts[state] for state in STATES}
    return {
        "observedGeneration": generation,
        "namespaces": {"total": tally.counts.total(), **counts},
        "conditions": sorted(conditions, key=lambda each: str(each["type"])),
    }


def _accepted(baseline: Baseline) -> tuple[str, str, str, str]:
    if baseline.unreadable:
        return "Accepted", "False", "Unreadable", _short(baseline.unreadable, 1000)
    return "Accepted", "True", "Readable", "its policies are brought to the namespaces that it applies to"


def _ready(baseline: Baseline, tally: Tally) -> tuple[str, str, str, str]:
    if baseline.unreadable:
        return "Ready", "False", "NotAccepted", "it cannot be read, so nothing of it is brought"
    total, exempt = tally.counts.total(), tally.counts["Exempt"]
    worst: tuple[Told, ...] = ("Failed", "Drifted", "Pending")
    told = [_told(state, tally) for state in worst if tally.counts[state]]
    if told:
        reason = next(f"Namespaces{state}" for state in worst if tally.counts[state])
        return "Ready", "False", reason, f"of {_counted(total)}, {'; '.join(told)}"
    if not total:
        return "Ready", "True", "NoNamespaces", "it applies to no namespace"
    but = f", but for {exempt} that are exempt for a time" if exempt else ""
    return "Ready", "True", "InPlace", f"in place in {_counted(total)}{but}"


def _told(state: Told, tally: Tally) -> str:
    """Say how many are in a state, and name a few."""
    some = nsmallest(NAMED, tally.wrong[state])
    named = ", ".join(f"{name} ({_short(reason, REASON_LENGTH)})" if reason else name for name, reason in some)
    more = tally.counts[state] - len(some)
    return f"{tally.counts[state]} {state}: {named}{f' and {more} more' if more else ''}"


def _counted(total: int) -> str:
    return f"{total} namespace{'' if total == 1 else 's'}"


def _short(text: str, longest: int) -> str:
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= longest else f"{line[:longest]}…"


@dataclass(slots=True)
class Keeper:
    """Keeps the statuses for as long as `run` runs; the leader's alone."""

    cluster: Statuses
    stored: Stored
    ledger: Ledger
    figures: Figures
    trouble: str = ""
    """Why one could not be written the last time, empty where all could."""
    _written: dict[str, Object] = field(default_factory=dict)
    """What we wrote, until the watch has told of it."""

    async def run(self) -> None:
        """Write what is not as it is, for ever."""
        self._written.clear()
        await self._visited()
        wait = EVERY_SECONDS
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self.ledger.changed.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self.ledger.changed.clear()
            if await self.write():
                wait = EVERY_SECONDS
            else:
                self.ledger.changed.set()
                wait = min(2 * wait, LONGEST_WAIT)
            await asyncio.sleep(wait)

    async def write(self) -> bool:
        """Write each status that is not as it is; say whether none is left to be written."""
        tree, found = await self.ledger.survey()
        if tree is None:
            return True
        tallies, now, left = tallied(found), datetime.now(UTC).replace(microsecond=0), ""
        for name, baseline in tree.baselines.items():
            stored = self._newest(name)
            if stored is None:
                continue
            status = status_of(baseline, tallies.get(name) or Tally(Counter(), {}), stored, now)
            if tree is not self.ledger.tree():
                # What was counted is of another day; the change wakes us.
                return True
            if status != stored.get("status"):
                left = await self._put(name, stored, status) or left
        self._complain(left)
        return not left

    async def _put(self, name: str, stored: Mapping[str, Any], status: Object) -> str:
        """Write a status in the version that was read; say why it has to be tried again."""
        body = {"metadata": {"resourceVersion": stored["metadata"]["resourceVersion"]}, "status": status}
        try:
            self._written[name] = await self.cluster.patch_status(BASELINES, name, body)
        except ClusterError as error:
            return "" if error.status == 404 else f"NetworkBaseline {name}: {error}"
        self.figures.statuses.inc()
        return ""

    def _newest(self, name: str) -> Mapping[str, Any] | None:
        """Return a baseline as the watch told of it, or as we wrote it since; None where there is none."""
        told, written = self.stored.told.get(name), self._written.get(name)
        if told is None or written is None:
            return told
        if _version(written) > _version(told) and written["metadata"].get("uid") == told["metadata"].get("uid"):
            return {"metadata": written["metadata"], "status": written.get("status")}
        del self._written[name]
        return told

    def _complain(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            structlog.get_logger().warning("status not written", error=trouble)
        self.trouble = trouble

    async def _visited(self) -> None:
        """Return when every namespace was visited once, or after a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                while self.ledger.tree() is None or self.ledger.untold():  # noqa: ASYNC110 - asked seldom
                    await asyncio.sleep(SETTLE_SECONDS)


def _version(thing: Mapping[str, Any]) -> int:
    version = str(thing["metadata"].get("resourceVersion", ""))
    return int(version) if version.isdecimal() else 0
