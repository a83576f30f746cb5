"""What a run says of itself and of an older one."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.comparison import ComparisonError, compared, saved_run
from bench.figures import Figure, about, write
from bench.spread import Spread, percentile

TEN = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)

SPREADS = {
    "two turns are both": ((3.0, 1.0), (1.0, 2.0, 3.0)),
    "of five none can be left out": ((5.0, 1.0, 2.0, 3.0, 4.0), (1.0, 3.0, 5.0)),
    "of eight none yet": (TEN[:8], (1.0, 4.5, 8.0)),
    "of nine one at each end": (TEN[:9], (2.0, 5.0, 8.0)),
    "of ten one at each end": (TEN, (2.0, 5.5, 9.0)),
    "one turn that was spoilt changes nothing": ((*TEN[:9], 1000.0), (2.0, 5.5, 9.0)),
}


@pytest.mark.parametrize(("turns", "expected"), SPREADS.values(), ids=SPREADS)
def test_a_spread_is_where_the_median_lies(turns: tuple[float, ...], expected: tuple[float, float, float]) -> None:
    """As many turns are left out as 95 of 100 runs allow."""
    assert Spread.of(turns) == Spread(*expected)


PERCENTILES = {
    "the median of one": ([[(1.0, 1)]], 50, 1.0),
    "the median of two is the lower": ([[(1.0, 1), (2.0, 1)]], 50, 1.0),
    "p99 of a hundred is the ninety-ninth": ([[(1.0, 98), (2.0, 1), (3.0, 1)]], 99, 2.0),
    "p99.9 of a thousand": ([[(1.0, 998), (5.0, 1), (9.0, 1)]], 99.9, 5.0),
    "runs are added up": ([[(1.0, 98)], [(2.0, 1)], [(7.0, 1)]], 99, 2.0),
    "the same bucket twice": ([[(1.0, 1), (3.0, 1)], [(1.0, 1), (3.0, 1)]], 75, 3.0),
    "the highest": ([[(1.0, 5), (4.0, 1)]], 100, 4.0),
}


@pytest.mark.parametrize(("histograms", "percent", "expected"), PERCENTILES.values(), ids=PERCENTILES)
def test_a_percentile_of_several_runs(
    histograms: list[list[tuple[float, int]]], percent: float, expected: float
) -> None:
    """It is a latency that occurred, by nearest rank over all of them."""
    assert percentile(histograms, percent) == expected


def test_a_percentile_of_nothing_is_none() -> None:
    """No request is no figure."""
    with pytest.raises(ValueError, match="nothing was counted"):
        percentile([[]], 99)


VERDICTS = {
    "below the most": (Figure("f", 1.2, "x", 1.3), "kept"),
    "at the most": (Figure("f", 1.3, "x", 1.3), "kept"),
    "above the most": (Figure("f", 1.43, "x", 1.3), "missed by 10 %"),
    "above the least": (Figure("f", 0.8, "x", 0.75, more=True), "kept"),
    "below the least": (Figure("f", 0.6, "x", 0.75, more=True), "missed by 20 %"),
    "no bound": (Figure("f", 0.6, "x"), ""),
}


@pytest.mark.parametrize(("figure", "verdict"), VERDICTS.values(), ids=VERDICTS)
def test_a_bound_is_kept_or_missed(figure: Figure, verdict: str) -> None:
    """A bound is the most, or the least where more is better."""
    assert figure.verdict == verdict


def saved(*figures: Figure) -> dict[str, Any]:
    """Return a run as it is saved."""
    return {"runs": {"load": about()}, "figures": [{"scenario": "load"} | each.row() for each in figures]}


def turns(*values: float, more: bool = False, name: str = "f") -> Figure:
    """Return a figure of these turns."""
    return Figure(name, Spread.of(values).median, "ms", more=more, turns=values)


MOVES = {
    "the same": (turns(1, 2, 3), turns(1, 2, 3), "same"),
    "the spreads overlap": (turns(1, 2, 3), turns(3, 4, 5), "same"),
    "longer": (turns(1, 2, 3), turns(4, 5, 6), "worse"),
    "shorter": (turns(4, 5, 6), turns(1, 2, 3), "better"),
    "more where more is better": (turns(1, 2, 3, more=True), turns(4, 5, 6, more=True), "better"),
    "less where more is better": (turns(4, 5, 6, more=True), turns(1, 2, 3, more=True), "worse"),
    "measured once before": (Figure("f", 1, "ms"), turns(4, 5, 6), "untold"),
    "measured once now": (turns(4, 5, 6), Figure("f", 100, "ms"), "untold"),
    "a turn that was spoilt": (turns(*TEN), turns(*TEN[:9], 1000.0), "same"),
}


@pytest.mark.parametrize(("before", "now", "course"), MOVES.values(), ids=MOVES)
def test_what_moved_beyond_noise(before: Figure, now: Figure, course: str) -> None:
    """Moved is what lies, in both runs, where the other one never was."""
    (moved,) = compared(saved(before), {"load": [now]}, about())
    assert moved.course == course
    assert "f: " in str(moved)


OTHERS = {"cores": 64, "cpu": "another", "python": "3.99.0"}


@pytest.mark.parametrize(("key", "value"), OTHERS.items(), ids=OTHERS)
def test_runs_of_other_machines_are_not_compared(key: str, value: object) -> None:
    """Unless somebody says that it is wanted."""
    before, now = saved(turns(1, 2, 3)), {"load": [turns(4, 5, 6)]}
    before["runs"]["load"][key] = value
    with pytest.raises(ComparisonError, match=f"another machine: {key} was {value}"):
        compared(before, now, about())
    (moved,) = compared(before, now, about(), elsewhere=True)
    assert moved.course == "worse"


def test_runs_of_other_scenarios_are_not_compared() -> None:
    """A comparison of nothing does not pass for one in which nothing moved."""
    with pytest.raises(ComparisonError, match="none of burst"):
        compared(saved(turns(1, 2)), {"burst": [turns(1, 2)]}, about())


NO_RUNS = {
    "not there": (None, "cannot be read"),
    "no JSON": ("hello", "no run with turns"),
    "of the form without turns": ('{"figures": []}', "measure anew"),
    "another shape": ('{"runs": [], "figures": {}}', "no run with turns"),
}


@pytest.mark.parametrize(("text", "told"), NO_RUNS.values(), ids=NO_RUNS)
def test_what_is_no_saved_run_is_refused(tmp_path: Path, text: str | None, told: str) -> None:
    """With the reason, and what to do."""
    path = tmp_path / "figures.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ComparisonError, match=told):
        saved_run(path)


def test_a_scenario_alone_leaves_the_others_on_the_page(tmp_path: Path) -> None:
    """What was not measured anew stays, and says of which commit it is."""
    cell = ("throughput", "serve", "p50")
    write({"burst": [turns(1, 2, name="old")], "load": [turns(1, 2)]}, tmp_path, seconds={"burst": 3, "load": 1})
    write({"load": [turns(3, 4), Figure("g", 5, "ms", cell=cell)]}, tmp_path, seconds={"load": 2})
    held = json.loads((tmp_path / "figures.json").read_text())
    assert [(each["scenario"], each["name"], each["value"]) for each in held["figures"]] == [
        ("burst", "old", 1.5),
        ("load", "f", 3.5),
        ("load", "g", 5),
    ]
    assert saved_run(tmp_path / "figures.json") == held
    text = (tmp_path / "figures.md").read_text()
    assert "## burst" in text
    assert "| f | 3.5 ms | 3 to 4 |  |  |" in text
    assert "| serve | 5 ms |" in text
