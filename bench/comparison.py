"""Which figures moved since a saved run, beyond noise: their spreads over the turns of each have nothing in common."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.figures import Figure
from bench.spread import Spread

Json = dict[str, Any]
Course = Literal["better", "worse", "same", "untold"]
SAME = ("cores", "cpu", "python")
"""What two runs have to have in common."""


class ComparisonError(RuntimeError):
    """Two runs that say nothing of one another; the message says why."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a figure; `untold` is one that a run has measured only once."""

    name: str
    unit: str
    before: float
    after: float
    course: Course
    why: str

    def __str__(self) -> str:
        return f"{self.course}: {self.name}: {self.before:g} -> {self.after:g} {self.unit} ({self.why})"


def saved_run(path: Path) -> Json:
    """Return a saved run; raises `ComparisonError` for what is none."""
    try:
        saved: Json = json.loads(path.read_text())
        if not isinstance(saved["runs"], dict) or not isinstance(saved["figures"], list):
            raise TypeError("`runs` and `figures` have other shapes")  # noqa: TRY301 - told like what json finds
    except OSError as error:
        raise ComparisonError(f"{path} cannot be read: {error.strerror}; name a figures.json") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ComparisonError(f"{path} holds no run with turns ({error!r}): measure anew, `make bench`") from error
    return saved


def compared(saved: Json, found: Mapping[str, Sequence[Figure]], here: Json, *, elsewhere: bool = False) -> list[Moved]:
    """
    Return what became of each figure that both have.

    `here` is what this run is of (`bench.figures.about`). Raises `ComparisonError` where a scenario was saved on
    another machine, unless `elsewhere` says that this is wanted, and where the two have no scenario in common.
    """
    common = [scenario for scenario in found if scenario in saved["runs"]]
    if not common:
        raise ComparisonError(f"the saved run has none of {', '.join(found)}: measure it there first")
    for scenario in common:
        if not elsewhere:
            _demand_same_machine(scenario, saved["runs"][scenario], here)
    before = {(each["scenario"], each["name"]): each for each in saved["figures"]}
    return [
        _moved(before[scenario, each.name], each)
        for scenario in common
        for each in found[scenario]
        if (scenario, each.name) in before
    ]


def _demand_same_machine(scenario: str, run: Json, here: Json) -> None:
    for key in SAME:
        if run.get(key) != here[key]:
            raise ComparisonError(
                f"the saved run of {scenario} is of another machine: {key} was {run.get(key)} and is {here[key]}; "
                "measure both on one, or give --other-machine and compare nothing but ratios"
            )


def _moved(saved: Json, now: Figure) -> Moved:
    then = Spread.of(saved["turns"]) if len(saved["turns"]) > 1 else None
    if then is None or now.spread is None:
        return Moved(now.name, now.unit, saved["value"], now.value, "untold", "measured once: noise is not known")
    why = f"{then.low:g} to {then.high:g}, now {now.spread.low:g} to {now.spread.high:g}"
    course: Course = "same"
    if now.spread.apart(then):
        course = "better" if (now.spread.median > then.median) == now.more else "worse"
    return Moved(now.name, now.unit, saved["value"], now.value, course, why)
