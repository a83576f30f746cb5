"""What several ways say of the same requests, compared."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from tests.cases.reviews import Asked

LIVE = "webhook"
"""The way that the others are held against."""


@dataclass(frozen=True)
class Case:
    """A request in one of the worlds; `id` says where it comes from."""

    id: str
    world: str
    asked: Asked


class Told(NamedTuple):
    """What a rule found, and what comes of it."""

    rule: str
    action: str
    message: str


@dataclass(frozen=True)
class Said:
    """What a way says of a request; an `error` is told by no rule."""

    verdict: str
    told: frozenset[Told]
    break_glass: bool = False

    def of(self, told: Iterable[Told]) -> "Said":
        """Return what only these of its findings would come to, whoever asks."""
        kept = frozenset(told)
        actions = {each.action for each in kept}
        verdict = "deny" if "enforce" in actions else "warn" if "warn" in actions else "audit" if actions else "allow"
        return replace(self, verdict="error" if self.verdict == "error" else verdict, told=kept, break_glass=False)


class Way(Protocol):
    """One way to verdicts."""

    def judged(self, cases: Sequence[Case]) -> Sequence[Said | None]:
        """Return what is said of each case, None where this way cannot be asked."""
        ...

    def part(self, case: Case, said: Said) -> Said:
        """Return what this way judges of what the webhook says."""
        ...


@dataclass
class Comparison:
    """How many verdicts were compared with the webhook's, by way and by verdict, and which differ."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    different: list[str] = field(default_factory=list)

    @property
    def compared(self) -> dict[str, int]:
        """How many by way."""
        return {name: sum(counts.values()) for name, counts in self.counts.items()}


def compare(ways: Mapping[str, Way], cases: Sequence[Case]) -> Comparison:
    """Ask every way; `ways` has the webhook, which is asked first: others may need what it kept."""
    live = ways[LIVE].judged(cases)
    comparison = Comparison()
    for name, way in ways.items():
        if name == LIVE:
            continue
        counts = comparison.counts[name] = Counter()
        for case, whole, other in zip(cases, live, way.judged(cases), strict=True):
            if whole is None or other is None:
                continue
            expected = way.part(case, whole)
            counts[expected.verdict] += 1
            if expected != other:
                comparison.different.append(_different(name, case, expected, other))
    return comparison


def _different(name: str, case: Case, expected: Said, found: Said) -> str:
    lines = [f"{name}, {case.world}, {case.id}: {LIVE} says {expected.verdict}, {name} {found.verdict}"]
    lines += [f"  only {LIVE}: {each}" for each in sorted(expected.told - found.told)]
    lines += [f"  only {name}: {each}" for each in sorted(found.told - expected.told)]
    return "\n".join([*lines, f"  {case.asked.caller} {case.asked.operation} {case.asked.new} <- {case.asked.old}"])


def masked(message: str) -> str:
    """Return a message without times: ways are asked at different ones."""
    return re.sub(r"\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d)?)?", "TIME", message)
