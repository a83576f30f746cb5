"""
A share of the decisions made in-process, put to OPA as well: whether both engines say the same of what really comes.

That is proven beforehand (docs/engines.md); this looks whether the proof holds. It is done once the answer is on its
way, one after the other, and where more come than OPA has answers for they are let go and counted.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Any, Literal

import structlog
from prometheus_client import CollectorRegistry, Counter

from webhook.cli.engine import READY_SECONDS, Source
from webhook.cli.starting import Start
from webhook.decision.bundle import Bundle
from webhook.decision.opa import Opa, decide, mutate
from webhook.errors import NoDecisionError, OpaError, PolicyError
from webhook.history.record import Record, Verdict, verdict_of
from webhook.model import Policies, Violation

MOST, MOST_BYTES = 64, 4_000_000
"""So many wait to be compared, each with its document, which came in reviews of so many bytes in all."""
SECONDS = 5.0
"""For OPA's answer; nobody waits for it."""
LOOK_SECONDS = 1.0
"""Between two looks whether other policies decide."""
AGAIN_SECONDS = 60.0
"""After so long an OPA is started again that could not be."""
_LONGEST = 400

Outcome = Literal["same", "different", "undecided"]
_OUTCOMES: tuple[Outcome, ...] = ("same", "different", "undecided")


class CrossCheck:
    """Compares the `share` of what `source` decides with what an OPA does, as long as `run` runs."""

    def __init__(self, source: Source, share: float, start: Start, registry: CollectorRegistry) -> None:
        self._source = source
        self._share = share
        self._start = start
        self._waiting: asyncio.Queue[Record] = asyncio.Queue()
        self._bytes = 0
        self._counts = dict.fromkeys(_OUTCOMES, 0)
        self._last = ""
        """The id of the last decision that was different."""
        self._trouble = "OPA is not ready yet"
        self._metric = Counter(
            "portcullis_cross_checks",
            "Decisions made in-process and put to OPA, too: the same, different, or not decided by one of them.",
            ["outcome"],
            registry=registry,
        )
        for each in _OUTCOMES:
            self._metric.labels(each)

    def offer(self, record: Record) -> None:
        """Take a decision to be compared, or not, by chance; returns at once."""
        asked = record.document is not None and record.cause in {None, "undecided", "failed", "late"}
        # No secret; yet whoever asks cannot know which of their requests are compared.
        if not asked or self._source.name != "wasm" or random.random() >= self._share:  # noqa: S311
            return
        if self._waiting.qsize() >= MOST or self._bytes + record.size > MOST_BYTES:
            self._count("undecided")
            return
        self._bytes += record.size
        self._waiting.put_nowait(record)

    def notes(self) -> list[str]:
        """Say what an operator has to know."""
        found = []
        if different := self._counts["different"]:
            every = different + self._counts["same"]
            found.append(
                f"cross-check: OPA decides {different} of {every} compared differently, the last {self._last}: "
                "the log says how. Have OPA decide (--engine opa in the place of --cross-check), and tell us"
            )
        if self._source.name == "opa":
            found.append("cross-check: OPA itself decides, so there is nothing to compare")
        elif self._trouble:
            found.append(f"cross-check: nothing is compared: {self._trouble}")
        return found

    async def run(self) -> None:
        """Compare, for ever; that there is no OPA is told, and tried again."""
        while True:
            bundle = self._source.bundle
            if self._source.name == "opa":
                await asyncio.sleep(LOOK_SECONDS)
                continue
            try:
                async with self._start(bundle) as running:
                    await running.watched.ready(READY_SECONDS)
                    self._trouble = ""
                    await self._compare(running.opa, bundle)
            except (OpaError, PolicyError) as error:
                self._trouble = str(error)
                structlog.get_logger().warning("no cross-check", error=self._trouble)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _compare(self, opa: Opa, bundle: Bundle) -> None:
        """Compare until other policies decide."""
        while self._source.bundle is bundle:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    record = await self._waiting.get()
            except TimeoutError:
                continue
            self._bytes -= record.size
            self._count(await self._outcome(opa, bundle.policies, record))

    async def _outcome(self, opa: Opa, policies: Policies, record: Record) -> Outcome:
        if record.revision != policies.revision:
            return "undecided"
        try:
            if record.route == "validate":
                ours, theirs = _told(record), await _decided(opa, policies, record)
            else:
                ours = await _mutated(self._source.engine.opa, policies, record)
                theirs = await _mutated(opa, policies, record)
        except NoDecisionError as error:
            self._trouble = str(error)
            return "undecided"
        self._trouble = ""
        if ours is None or ours == theirs:
            return "undecided" if ours is None else "same"
        self._last = record.decision_id
        _tell(record, ours, theirs)
        return "different"

    def _count(self, outcome: Outcome) -> None:
        self._counts[outcome] += 1
        self._metric.labels(outcome).inc()


def _told(record: Record) -> Mapping[str, Any] | None:
    """Return what was decided, None where the engine failed: OPA may then say what it will."""
    if record.cause in {"failed", "late"}:
        return None
    return _saying(record.verdict, frozenset(record.ran), record.violations, broken_glass=record.break_glass)


async def _decided(opa: Opa, policies: Policies, record: Record) -> Mapping[str, Any]:
    """Return the same of what OPA decides; raises `NoDecisionError` unless that is what the rules themselves say."""
    try:
        decision = await decide(opa, record.document, policies, seconds=SECONDS)
    except NoDecisionError as error:
        if error.cause != "undecided":
            raise
        return _saying("error", frozenset(), (), broken_glass=False)
    return _saying(verdict_of(decision), decision.rules, decision.violations, broken_glass=decision.break_glass)


def _saying(
    verdict: Verdict, ran: frozenset[str], violations: tuple[Violation, ...], *, broken_glass: bool
) -> Mapping[str, Any]:
    return {"verdict": verdict, "ran": ran, "violations": violations, "break_glass": broken_glass}


async def _mutated(opa: Opa, policies: Policies, record: Record) -> Mapping[str, Any]:
    """Return what an engine stamps on the object; the record has no room for that, so both are asked."""
    try:
        mutation = await mutate(opa, record.document, policies, seconds=SECONDS)
    except NoDecisionError as error:
        if error.cause != "undecided":
            raise
        return {"undecided": str(error)}
    return {"rules": mutation.rules, "changes": mutation.changes}


def _tell(record: Record, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Log what differs, each side as it is in Python: who reads it has the decision of that id in the history."""
    keys = sorted({*ours, *theirs})
    differing = [key for key in keys if ours.get(key) != theirs.get(key)]
    structlog.get_logger().error(
        "the engines differ",
        decision_id=record.decision_id,
        route=record.route,
        revision=record.revision,
        differing=differing,
        in_process={key: _short(ours.get(key)) for key in differing},
        opa={key: _short(theirs.get(key)) for key in differing},
    )


def _short(value: Any) -> str:
    told = repr(sorted(value) if isinstance(value, frozenset) else value)
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 1]}…"
