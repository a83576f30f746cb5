"""
The webhook side by side with what it is measured against: in one run, in turns, each turn in another order.

A ratio is taken of the two turns that stood beside one another, and the figure is the median of these: what the machine
does for a while hits both sides, and what hits one side alone for a moment is one turn among many.
"""

import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.bodies import Bodies, Sort, recorded
from bench.figures import Figure
from bench.generator import Load, Shot, find_generator, fire
from bench.spread import percentile
from bench.targets import BY_OPA, ECHO, NOOP, OPA, SERVE, WHAT, Target, every_target

FEW = 50
"""Reviews of the mix that a trial makes do with."""
TICK = 1 / os.sysconf("SC_CLK_TCK")
MEMORY = 120.0
"""Megabytes that the webhook may take in all."""


@dataclass(frozen=True, slots=True)
class Course:
    """One load on several targets; the bounds, where it has some, are those of the ratios to the no-op route."""

    name: str
    sort: Sort
    load: Load
    sides: tuple[str, ...]
    turns: int = 10
    p50: float | None = None
    p99: float | None = None
    highest: float | None = None
    over_opa: float | None = None

    def short(self) -> "Course":
        """Return it as a trial that says that all of it works, and nothing of speed."""
        load = replace(self.load, rate=min(self.load.rate, 50), seconds=0.2, warmup=0.05, lanes=4)
        return replace(self, load=load, turns=2)


@dataclass(frozen=True, slots=True)
class Turn:
    """
    What one target did in one turn.

    `processor` are seconds of CPU for 1,000 requests, of it and of all that it has started; at least one tick of the
    clock that they are counted by. `memory` are megabytes, resident.
    """

    shot: Shot
    processor: float
    memory: float


Turns = dict[str, list[Turn]]

EVERY = (SERVE, BY_OPA, NOOP, ECHO, OPA)
OURS = (SERVE, BY_OPA, NOOP)
FAST = Load(0, 2.5, lanes=16)
COURSES = (
    Course("mix, 300/s", "mix", Load(300, 4), EVERY, p50=1.3, p99=1.5),
    Course("mix, highest", "mix", FAST, EVERY, highest=0.75, over_opa=1.8),
    Course("a denial, 300/s", "denied", Load(300, 2), OURS),
    Course("a denial, highest", "denied", replace(FAST, seconds=1), OURS),
    Course("100 kB, 50/s", "large", Load(50, 3), (*OURS, ECHO)),
    Course("100 kB, highest", "large", replace(FAST, seconds=1), (*OURS, ECHO)),
    Course("a connection each, 100/s", "mix", Load(100, 2, connections="new"), (SERVE, NOOP, ECHO)),
    Course("a connection each, resumed, 100/s", "mix", Load(100, 2, connections="resumed"), (SERVE, NOOP, ECHO)),
)
TRIED = (COURSES[0], COURSES[1], COURSES[4], COURSES[7])
"""Of these is a trial: every sort of load, and every target."""


async def measure_sides(flags: Sequence[str] = (), *, quick: bool = False) -> list[Figure]:
    """Return the figures of every course, the webhooks started with `flags`; raises `LoadError` for a wrong answer."""
    program = find_generator(os.environ)
    figures: list[Figure] = []
    memory: dict[str, list[float]] = {}
    with TemporaryDirectory(prefix="portcullis-bench-") as folder:
        async with (
            recorded(Path(folder), FEW if quick else None) as (bodies, process),
            every_target(process, flags) as targets,
        ):
            for target in targets.values():
                # Each review once: code that is run for the first time, and what is asked of OPA once.
                await fire(program, target.aim(bodies, "mix"), Load(0, 0.2 if quick else 3, lanes=4))
            for course in [each.short() for each in TRIED] if quick else COURSES:
                _tell(f"{course.name}: {len(course.sides)} targets, {course.turns} turns of {course.load.seconds:g} s")
                turns = await _run(program, course, targets, bodies)
                figures += course_figures(course, turns, bodies.about[course.sort])
                for name, each in turns.items():
                    memory.setdefault(name, []).extend(turn.memory for turn in each)
            running = {name: len(target.family()) for name, target in targets.items()}
    return [*figures, *_memory(memory, running)]


async def _run(program: Path, course: Course, targets: dict[str, Target], bodies: Bodies) -> Turns:
    turns: Turns = {name: [] for name in course.sides}
    for number in range(course.turns):
        begin = number % len(course.sides)
        for name in course.sides[begin:] + course.sides[:begin]:
            target, sent = targets[name], sum(each.shot.count + each.shot.warmed for each in turns[name])
            before = target.processor()
            shot = await fire(program, target.aim(bodies, course.sort), course.load, first=sent)
            used = max(TICK, target.processor() - before) / (shot.count + shot.warmed) * 1000
            turns[name].append(Turn(shot, used, target.memory()))
    return turns


def course_figures(course: Course, turns: Turns, about: str) -> list[Figure]:
    """Return the ratios that have a bound or are asked for, and what each target did in a table."""
    return [*_ratios(course, turns, about), *(each for name in course.sides for each in _cells(course, name, turns))]


def _ratios(course: Course, turns: Turns, about: str) -> list[Figure]:
    how = _how(course, turns, about)
    if course.load.rate:
        asked = [
            _Ratio("p50", lambda turn: turn.shot.p50, course.p50),
            _Ratio("p99", lambda turn: turn.shot.p99, course.p99),
        ]
    else:
        asked = [
            _Ratio("throughput", lambda turn: turn.shot.per_second, course.highest, more=True),
            _Ratio("throughput", lambda turn: turn.shot.per_second, course.over_opa, more=True, to=BY_OPA),
        ]
    asked.append(_Ratio("CPU", lambda turn: turn.processor))
    return [each.figure(course, turns, how) for each in asked]


@dataclass(frozen=True, slots=True)
class _Ratio:
    """What is measured of the webhook, as a multiple of another target's."""

    what: str
    value: Callable[[Turn], float]
    bound: float | None = None
    more: bool = False
    to: str = NOOP

    def figure(self, course: Course, turns: Turns, how: str) -> Figure:
        """Return the median of the ratios of each turn."""
        pairs = zip(turns[SERVE], turns[self.to], strict=True)
        each = tuple(_round(self.value(ours) / self.value(theirs)) for ours, theirs in pairs)
        name = f"{course.name}: {self.what}, {SERVE} as a multiple of {self.to}"
        return Figure(name, _round(statistics.median(each)), "x", self.bound, how, more=self.more, turns=each)


def _cells(course: Course, name: str, turns: Turns) -> list[Figure]:
    """Return what one target did: percentiles over all turns, and each turn's for the spread."""
    mine, found = turns[name], list[Figure]()

    def add(column: str, unit: str, value: float | None, each: Sequence[float]) -> None:
        every = tuple(map(_round, each))
        median = _round(statistics.median(every) if value is None else value)
        cell = (course.name, name, column)
        more = column == "answers"
        found.append(Figure(f"{course.name}: {name}, {column}", median, unit, more=more, turns=every, cell=cell))

    whole = [turn.shot.histogram for turn in mine]
    if not course.load.rate:
        add("answers", "/s", None, [turn.shot.per_second for turn in mine])
    add("p50", "ms", percentile(whole, 50), [turn.shot.p50 for turn in mine])
    add("p99", "ms", percentile(whole, 99), [turn.shot.p99 for turn in mine])
    add("p99.9", "ms", percentile(whole, 99.9), [turn.shot.p999 for turn in mine])
    add("CPU for 1,000", "s", None, [turn.processor for turn in mine])
    add("RSS", "MB", max(turn.memory for turn in mine), [turn.memory for turn in mine])
    return found


def _how(course: Course, turns: Turns, about: str) -> str:
    shots = [turn.shot for each in turns.values() for turn in each]
    load, count = course.load, sum(each.count for each in shots)
    at = f"{load.rate:g} requests/s, open loop" if load.rate else f"{load.lanes} connections, each at once again"
    kept = {"kept": "kept connections", "new": "a new connection each", "resumed": "a new connection each, TLS resumed"}
    late = sum(each.late for each in shots) / count * 100
    unsent = sum(each.unsent for each in shots)
    return (
        f"{at}, {kept[load.connections]}, {about}; {count} requests to {len(turns)} targets in {course.turns} turns of "
        f"{load.seconds:g} s each, median of the turns' ratios; every answer was checked; {late:.1f} % were sent 1 ms "
        f"or more late, {unsent} not at all in time; {sum(each.opened for each in shots)} connections were opened, "
        f"{sum(each.resumed for each in shots)} of them by resuming a session; the generator itself took "
        f"{sum(each.processor for each in shots) / count * 1000:.2f} s of CPU for 1,000"
    )


def _memory(memory: dict[str, list[float]], running: dict[str, int]) -> list[Figure]:
    figures = []
    for name, each in memory.items():
        if name == NOOP:  # the first one's
            continue
        # So many tells as well who decides: a webhook that has an OPA does so by it.
        processes = "one process" if running[name] == 1 else f"{running[name]} processes in all"
        how = f"{WHAT[name]}: {processes}, highest resident set (RSS) after each turn"
        bound = MEMORY if name == SERVE else None
        turns = tuple(map(_round, each))
        figures.append(Figure(f"memory: {name}", _round(max(each)), "MB", bound, how, turns=turns))
    return figures


def _round(value: float) -> float:
    """Return it with three digits that count, and all before the point."""
    return round(value, max(0, 2 - len(str(int(value))) + 1) if value >= 1 else 3)


def _tell(line: str) -> None:
    sys.stderr.write(f"bench: {line}\n")
