"""
Judges a set of manifests in the order in which they would be applied, each beside what would stand by then.

What is refused does not stand for those after it. Namespaces know nothing of each other's policies, so many objects are
asked about at once: of each namespace all, as if each were let in; where one is not, those after it there whose facts
change by that are asked about again. So the answers are the same as one by one.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import Any

from pydantic import ValidationError

from webhook.check.arriving import Arrival, arriving
from webhook.check.asking import Deed
from webhook.check.finding import Spot
from webhook.check.ground import Ground, Undo
from webhook.check.judge import INVALID, UNDECIDED, Judge, own_finding
from webhook.check.kinds import LAST, hooked, phase_of
from webhook.check.placing import Fault
from webhook.check.validation import Problem
from webhook.check.written import Written
from webhook.decision.document import Document
from webhook.errors import NoDecisionError
from webhook.model import Decision

MALFORMED = "guardrail/malformed"
WINDOW = 64
"""So many objects are asked about at once."""
AT_ONCE = 3
"""So many such questions are under way at a time."""


@dataclass(frozen=True, slots=True)
class Step:
    """An object that is applied, or, where `ends`, deleted."""

    written: Written
    ends: bool = False

    @property
    def phase(self) -> int:
        """When it comes: what ends does so after all else in its namespace, and from the leaves to the root."""
        phase = phase_of(*self.written.thing.identity[:2])
        return 2 * LAST - phase if self.ends and phase < LAST else phase

    @property
    def room(self) -> str:
        """Whom it has to wait for: those of the same room that come before it."""
        thing = self.written.thing
        # Namespaces do not ask about each other; all else that stands in none may.
        return thing.name if thing.kind == "Namespace" else thing.namespace


@dataclass(frozen=True, slots=True)
class _Asked:
    """A step with its facts, done as if it were let in; without a `document` there is nothing to ask."""

    step: Step
    deed: Deed | None = None
    document: Document | None = None
    faults: tuple[Fault, ...] = ()
    undo: Undo | None = None


Answer = Decision | NoDecisionError | None


@dataclass(slots=True)
class Course:
    """One run; `faults` are what is found, in the order in which it was found."""

    judge: Judge
    ground: Ground
    told: Callable[[int], None] = lambda _: None
    faults: list[Fault] = field(default_factory=list)
    _done: int = 0

    async def run(self, steps: Iterable[Step]) -> None:
        """Judge the steps; raises `NoDecisionError` where OPA cannot be asked."""
        order = sorted(steps, key=lambda step: step.phase)
        for each in order:
            self.ground.expect(each.written.thing.namespace)
        for phase, every in groupby(order, key=lambda step: step.phase):
            await self._phase(windows(every), last=phase == LAST)

    async def _phase(self, every: Iterator[dict[str, list[Step]]], *, last: bool) -> None:
        """Judge what comes at one time: a few windows side by side, for one is gathered while OPA thinks of another."""

        async def work() -> None:
            for window in every:
                rooms = tuple(window)
                await self._window(window, quota=WINDOW if last else 1)
                for room in rooms if last else ():
                    # Nobody asks about what stands there any more.
                    self.ground.forget(room)

        working = [asyncio.create_task(work()) for _ in range(AT_ONCE)]
        try:
            await asyncio.gather(*working)
        finally:
            for each in working:
                each.cancel()
            await asyncio.gather(*working, return_exceptions=True)

    async def _window(self, rooms: dict[str, list[Step]], *, quota: int) -> None:
        ahead = dict.fromkeys(rooms, quota)
        while rooms:
            asking = (self._ahead(steps[: ahead[room]]) for room, steps in rooms.items())
            asked = dict(zip(rooms, await asyncio.gather(*asking), strict=True))
            answers = iter(await self._answers([each for every in asked.values() for each in every]))
            for room, every in asked.items():
                judged = await self._settled(list(zip(every, islice(answers, len(every)), strict=True)))
                rooms[room] = rooms[room][judged:]
                # Where facts changed those that came after were asked about in vain.
                ahead[room] = min(ahead[room] * 2, quota) if judged == len(every) else 1
                self._done += judged
            self.told(self._done)
            rooms = {room: steps for room, steps in rooms.items() if steps}

    async def _ahead(self, steps: Iterable[Step]) -> list[_Asked]:
        return [await self._asked(each) for each in steps]

    async def _answers(self, asked: Sequence[_Asked]) -> Iterator[Answer]:
        decisions = iter(await self.judge.decisions([each.document for each in asked if each.document]))
        return iter([next(decisions) if each.document else None for each in asked])

    async def _settled(self, every: Sequence[tuple[_Asked, Answer]]) -> int:
        """Tell what is found of steps of one room; returns of how many before the facts of one changed."""
        changed = False
        for number, (each, answer) in enumerate(every):
            asked = each
            if changed:
                asked = await self._asked(each.step)
                if asked.document != each.document:
                    self._undone([asked])
                    return number
            if self._refused(asked, answer):
                self._undone([asked] if changed else [later for later, _ in every[number:]])
                changed = True
        return len(every)

    def _refused(self, asked: _Asked, answer: Answer) -> bool:
        """Tell what is found of a step, and say whether it is refused."""
        found = list(asked.faults)
        if asked.deed and asked.document and answer:
            told = self.judge.findings(asked.deed, asked.document, answer, asked.step.written.spot)
            if any(each.rule == MALFORMED for each in told):
                # The rule says the same, and which change it takes.
                found = []
            found += map(Fault, told)
        self.faults += found
        return bool(asked.faults) or any(each.finding.action == "enforce" for each in found)

    def _undone(self, every: Sequence[_Asked]) -> None:
        for each in reversed(every):
            if each.undo:
                self.ground.undo(each.undo)

    async def _asked(self, step: Step) -> _Asked:
        """Gather the facts of a step and do it."""
        written = step.written
        thing = written.thing
        if not hooked(*thing.identity[:2], thing.namespace):
            return _Asked(step)
        old = self.ground.standing(thing)
        arrival = Arrival(None) if step.ends else self._arrival(written, old)
        deed = Deed(thing, arrival.thing, old)
        faults = tuple(_invalid(Deed(thing, arrival.thing or {}, old), written.spot, each) for each in arrival.problems)
        if arrival.problems and arrival.thing is None:
            return _Asked(step, deed, faults=faults)
        try:
            if thing.kind == "Namespace":
                deed = await self.judge.stamped(deed, self.ground.tree)
            document = self.judge.document(deed, self.ground.tree)
        except ValidationError as error:
            return _Asked(step, deed, faults=(_invalid(deed, written.spot, problem_of(error)),))
        except NoDecisionError as error:
            if error.retry:
                raise
            undecided = Fault(own_finding(UNDECIDED, deed, written.spot, str(error)))
            return _Asked(step, deed, faults=(*faults, undecided))
        # Nothing follows from what cannot be read.
        undo = None if document.unreadable else self._do(deed, written)
        return _Asked(step, deed, document, faults, undo)

    def _arrival(self, written: Written, old: dict[str, Any] | None) -> Arrival:
        return written.arrival() if old is None else arriving(self.ground.applied(written.read(), old), old)

    def _do(self, deed: Deed, written: Written) -> Undo | None:
        if deed.thing.kind == "Organization" and not self.ground.keeps(deed.thing, deed.new):
            return None
        if deed.new is None:
            return self.ground.drop(deed.thing)
        metadata = deed.new["metadata"]
        if metadata.get("name"):
            return self.ground.put(deed.thing, deed.new)
        # The API server would make up a name.
        name = f"{metadata.get('generateName')}{written.spot.index}"
        return self.ground.put(replace(deed.thing, name=name), {**deed.new, "metadata": {**metadata, "name": name}})


def windows(steps: Iterable[Step]) -> Iterator[dict[str, list[Step]]]:
    """Yield the steps by their rooms, so many rooms together that they have `WINDOW` steps or more."""
    rooms: defaultdict[str, list[Step]] = defaultdict(list)
    for each in steps:
        rooms[each.room].append(each)
    window, size = dict[str, list[Step]](), 0
    for room, every in rooms.items():
        window[room] = every
        size += len(every)
        if size >= WINDOW:
            yield window
            window, size = {}, 0
    if window:
        yield window


def _invalid(deed: Deed, spot: Spot, problem: Problem) -> Fault:
    path, what = problem
    where = ".".join(str(part) for part in path)
    said = what if not where or what.startswith(where.partition(".")[0]) else f"{where}: {what}"
    return Fault(own_finding(INVALID, deed, spot, said), tuple(path))


def problem_of(error: ValidationError) -> Problem:
    """Return what is wrong first, and where; the side that it is on is not told."""
    first = error.errors(include_url=False, include_input=False)[0]
    return tuple(first["loc"][1:]), first["msg"]
