"""The benchmark of the load itself: a trial from end to end, and what it makes of turns."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.__main__ import main
from bench.bodies import LARGE_BYTES, every_sort, reviewed
from bench.generator import MARK, Load, Shot
from bench.picture import picture
from bench.sides import COURSES, Course, Turn, course_figures
from bench.targets import BY_OPA, NOOP, SERVE

ROOT = Path(__file__).parents[2]


def test_a_trial_measures_every_target(tmp_path: Path) -> None:
    """Every answer of every target is what the case table says, and what is saved can be read."""
    command = [sys.executable, "-m", "bench", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    held = json.loads((tmp_path / "figures.json").read_text())
    rows = {tuple(each["cell"]): each["value"] for each in held["figures"] if each["cell"]}
    for side in (SERVE, BY_OPA, NOOP, "uvicorn echo", "OPA itself (no TLS)"):
        assert rows["mix, 300/s", side, "p50"] > 0
        assert rows["mix, highest", side, "answers"] > 0
        assert rows["mix, highest", side, "CPU for 1,000"] >= 0
        assert rows["mix, highest", side, "RSS"] > 10
    assert {each["scenario"] for each in held["figures"]} == {"load"}
    assert "| mix, highest: throughput, serve as a multiple of no-op route |" in (tmp_path / "figures.md").read_text()
    assert SERVE in (tmp_path / "figures.svg").read_text()


REFUSED = {
    "a scenario that is none": (["nothing", "load"], "there is no scenario nothing; there are start"),
    "a trial of another one": (["--quick", "burst"], "--quick is of the load alone"),
    "flags for what starts no serve": (["burst", "--", "--workers", "2"], "flags of serve go with the load alone"),
    "a saved run that is not there": (["load", "--against", "/nowhere/figures.json"], "cannot be read"),
}


@pytest.mark.parametrize(("arguments", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_measured_is_refused_at_once(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before half an hour is spent on it, with exit code 2."""
    try:
        code: object = main(arguments)
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert told in capsys.readouterr().err


def test_a_run_of_another_machine_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says what differs, and what to do."""
    held = {"runs": {"load": {"cores": 1024, "cpu": "another", "python": "2.7"}}, "figures": []}
    (tmp_path / "figures.json").write_text(json.dumps(held))
    assert main(["--quick", "--against", str(tmp_path / "figures.json")]) == 2
    told = capsys.readouterr().err
    assert "cores was 1024" in told
    assert "--other-machine" in told


def shot(p50: float, p99: float, count: int = 100) -> Shot:
    """Return what the generator may have found in a second."""
    times = {"p50": p50, "p90": p50, "p99": p99, "p999": p99, "max": p99, "late_p99": 0, "late_max": 0}
    counts = {"count": count, "errors": 0, "unsent": 0, "warmed": 0, "late": 0, "opened": 1, "resumed": 0}
    return Shot(**times, **counts, faults=[], seconds=1, processor=0.1, histogram=[(p50, 98), (p99, 2)])  # type: ignore[arg-type]  # by name


def turns(**sides: list[Shot]) -> dict[str, list[Turn]]:
    """Return turns of these."""
    names = {"serve": SERVE, "opa": BY_OPA, "noop": NOOP}
    return {names[side]: [Turn(each, 1.0, 50.0) for each in shots] for side, shots in sides.items()}


def test_a_ratio_is_of_turns_that_stood_beside_one_another() -> None:
    """What the machine did to both sides of one turn is in neither the ratio nor its spread."""
    course = Course("open", "mix", Load(300, 1), (SERVE, NOOP), p50=1.3, p99=1.5)
    found = turns(serve=[shot(2, 4), shot(20, 40), shot(4, 8)], noop=[shot(1, 2), shot(10, 20), shot(2, 4)])
    p50, p99, cpu, *cells = course_figures(course, found, "reviews")
    assert (p50.value, p50.turns, p50.bound, p50.verdict) == (2, (2, 2, 2), 1.3, "missed by 54 %")
    assert (p99.value, p99.turns, p99.bound) == (2, (2, 2, 2), 1.5)
    assert (cpu.value, cpu.bound) == (1, None)
    told = {each.cell: each.value for each in cells}
    assert told["open", SERVE, "p50"] == 4
    assert told["open", SERVE, "p99"] == 20
    assert told["open", SERVE, "p99.9"] == 40
    assert told["open", NOOP, "RSS"] == 50


def test_a_throughput_has_to_be_at_least_its_bound() -> None:
    """More answers a second are better, of the no-op route's and of those by OPA."""
    course = Course("fast", "mix", Load(0, 1), (SERVE, BY_OPA, NOOP), highest=0.75, over_opa=1.8)
    found = turns(serve=[shot(1, 2, 80)], opa=[shot(1, 2, 40)], noop=[shot(1, 2, 100)])
    noop, opa, *_ = course_figures(course, found, "reviews")
    assert (noop.value, noop.bound, noop.more, noop.verdict) == (0.8, 0.75, True, "kept")
    assert (opa.value, opa.bound, opa.more, opa.verdict) == (2, 1.8, True, "kept")


def test_the_bounds_are_those_that_were_promised() -> None:
    """A bound is not loosened by the way."""
    bounds = [(each.name, each.p50, each.p99, each.highest, each.over_opa) for each in COURSES]
    assert [each for each in bounds if each[1:] != (None,) * 4] == [
        ("mix, 300/s", 1.3, 1.5, None, None),
        ("mix, highest", None, None, 0.75, 1.8),
    ]


def test_what_is_sent_is_of_every_sort() -> None:
    """Creates, updates and deletes, allowed and denied, small and of 100 kB, each with an uid of its own."""
    sorts = every_sort()
    operations = {asked.operation for asked, _ in sorts["mix"]}
    assert operations >= {"CREATE", "UPDATE", "DELETE"}
    assert {allowed for _, allowed in sorts["mix"]} == {True, False}
    assert [allowed for _, allowed in sorts["denied"]] == [False]
    for asked, _ in (each for sort in sorts.values() for each in sort):
        assert MARK in reviewed(asked)["request"]["uid"]
    named = [asked for asked, _ in sorts["mix"] if MARK in reviewed(asked)["request"]["name"]]
    assert len(named) > 100
    large = json.dumps(reviewed(sorts["large"][0][0]), separators=(",", ":"))
    assert LARGE_BYTES * 0.95 < len(large) < LARGE_BYTES * 1.05


def test_the_picture_is_small_and_has_a_bar_for_each_target() -> None:
    """It is XML of some kilobytes, and follows the reader's light or dark."""
    figures = [
        {"cell": [table, side, column], "value": 3.5, "unit": "ms"}
        for table, column in (("mix, 300/s", "p50"), ("mix, 300/s", "p99"), ("mix, highest", "answers"))
        for side in (SERVE, NOOP, "a < b")
    ]
    run = {"machine": "2 cores", "cpu": "a & b", "measured": "2026-11-21T00:00:00", "commit": "abc"}
    drawn = picture({"runs": {"load": run}, "figures": [*figures, {"cell": None}]})
    root = ET.fromstring(drawn)  # noqa: S314 - ours
    assert len(root.findall("{*}rect")) == 9
    assert "prefers-color-scheme: dark" in drawn
    assert len(drawn) < 8000
    widths = [float(each) for each in re.findall(r'width="([0-9.]+)" height', drawn)]
    assert max(widths) <= 760
