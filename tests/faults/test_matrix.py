"""The page of the failure matrix holds what is declared, and no row without a test that passed."""

import importlib

from tests.faults.matrix import page, rows
from tests.faults.rows import BY_NAME, ROWS

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
    assert [cells[6:] for cells in told] == [["0", "0", "0", "0", "passed"] for _ in ROWS]


def test_a_row_that_was_not_tried_does_not_pass() -> None:
    """The page says so, and then the test above fails."""
    assert page({}).count("| not tried |") == len(ROWS)
