"""docs/holes.md is true as far as a machine can tell: each hole is somebody's and has tests that there are."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "holes.md"
OUR_OWN = "found by ourselves"
ADVISORY = re.compile(
    r"\]\(https://(?:github[.]com/advisories/GHSA(?:-[23456789cfghjmpqrvwx]{4}){3}|nvd[.]nist[.]gov/vuln/detail/CVE-\d{4}-\d{4,})\)"
)
TEST = re.compile(r"`(tests/[\w/]+[.]py::[^`]+)`")
ASKED_FOR = (
    "CVE-2022-46167", "CVE-2024-39690", "CVE-2025-55205", "CVE-2026-30963", "CVE-2026-55636", "GHSA-f94q-w3w8-cj67",
    "GHSA-gjw4-3v3v-rqxg", "CVE-2023-48312", "CVE-2023-46254", "CVE-2023-34091", "CVE-2024-48921", "CVE-2025-46342",
    "CVE-2026-22872", "CVE-2026-65835", "CVE-2026-65834", "CVE-2026-23881", "CVE-2025-47281", "CVE-2026-41323",
    "CVE-2025-24784", "CVE-2025-46569", "CVE-2021-43979",
)  # fmt: skip
"""The advisories that the page has at least."""


@dataclass(frozen=True)
class Hole:
    """An entry of the page."""

    number: int
    title: str
    told: str
    tests: tuple[str, ...]


def read() -> list[Hole]:
    """Return the entries: a heading, what it tells, and in the end a list of tests."""
    _, *entries = re.split(r"^### ", PAGE.read_text(), flags=re.MULTILINE)
    return [entry(each.partition("\n## ")[0]) for each in entries]


def entry(text: str) -> Hole:
    heading, _, body = text.partition("\n")
    number = re.fullmatch(r"H(\d+)[.] (.+)", heading)
    assert number, f"{heading!r} is no heading of a hole: H1. Title"
    told, _, tests = body.partition("\nTest:\n")
    return Hole(int(number[1]), number[2], told.strip(), tuple(TEST.findall(tests)))


HOLES = read()


@pytest.fixture(scope="module")
def collected() -> frozenset[str]:
    """Every test of the files that the page names, and every function of theirs that has parameters."""
    files = sorted({test.partition("::")[0] for hole in HOLES for test in hole.tests})
    # In a process of its own: this one may have been asked for a part of them, or have left some out.
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        env={key: each for key, each in os.environ.items() if not key.startswith(("PYTEST_", "COV_"))},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr[-3000:]
    ids = [line for line in told.stdout.splitlines() if line.startswith("tests/")]
    return frozenset([*ids, *(each.partition("[")[0] for each in ids)])


def test_the_holes_are_numbered() -> None:
    """From H1 on, none twice and none left out, by which others may speak of them."""
    assert [hole.number for hole in HOLES] == list(range(1, len(HOLES) + 1))
    assert len({hole.title for hole in HOLES}) == len(HOLES)


@pytest.mark.parametrize("hole", HOLES, ids=lambda hole: f"H{hole.number}")
def test_a_hole_is_somebodys_and_is_closed(hole: Hole, collected: frozenset[str]) -> None:
    """It has an advisory, or says that we found it; and each test that it names is there, by its whole id."""
    assert ADVISORY.search(hole.told) or OUR_OWN in hole.told
    assert hole.tests, "no test closes it"
    assert [test for test in hole.tests if test not in collected] == []


@pytest.mark.parametrize("advisory", ASKED_FOR)
def test_what_was_asked_for_is_there(advisory: str) -> None:
    """No entry is dropped by the way."""
    assert any(advisory in hole.told for hole in HOLES)
