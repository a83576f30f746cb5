"""The page of the failure matrix holds what is declared, and no row without a test that passed."""

import importlib
from types import SimpleNamespace

from tests.faults.matrix import PROPERTY, page, reports, rows
from tests.faults.rows import BY_NAME, LONGEST_SECONDS, ROWS

MODULES = ("test_processes", "test_engine", "test_cluster", "test_host")


def test_every_row_has_a_test_of_its_name_and_every_test_a_row() -> None:
    """None is declared and not tried, none tried and not declared."""
    tests = [
        name.removeprefix("test_")
        for module in MODULES
        for name in vars(importlib.import_module(f"tests.faults.{module}"))
        if name.startswith("test_")
    ]
    assert sorted(tests) == sorted(BY_NAME)
    assert len(BY_NAME) == len(ROWS)


def test_every_row_stands_on_the_page_and_has_passed() -> None:
    """As declared: the fault, what is promised of it, and that its test passed with every invariant at 0."""
    told = rows()
    promised = [[row.fault, str(row.verdict), f"within {row.seconds:g} s"] for row in ROWS]
    assert [[cells[0], cells[2], cells[4]] for cells in told] == promised
    assert [(cells[6:10], cells[11]) for cells in told] == [(["0"] * 4, "passed") for _ in ROWS]
    assert all(float(cells[5].removesuffix(" s")) <= LONGEST_SECONDS and int(cells[10]) for cells in told)


def test_a_row_that_was_not_tried_does_not_pass() -> None:
    """The page says so, and then the test above fails; a line of another promise is none."""
    assert page({}).count("| not tried |") == len(ROWS)
    former = [[row.fault, "1", "denied", "", "within 15 s", "1 s", *"00009", "passed"] for row in ROWS]
    assert page({}, former).count("| not tried |") == len(ROWS)
    kept = [[*cells[:2], str(row.verdict), *cells[3:]] for row, cells in zip(ROWS, former, strict=True)]
    assert page({}, kept).count("| passed |") == len(ROWS)


def test_a_failure_counts_before_a_pass() -> None:
    """Of a test that was run twice."""
    report = SimpleNamespace(user_properties=[(PROPERTY, {"row": ROWS[0].name, "seconds": 1.0, "seen": {}})])
    for outcomes in ([(report, "passed"), (report, "failed")], [(report, "failed"), (report, "passed")]):
        assert page(reports(outcomes)).count("| failed |") == 1
