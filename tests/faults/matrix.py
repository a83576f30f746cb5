"""docs/failure-matrix.md: a line for every declared fault, by what its test saw."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.rows import ROWS, Row

Json = dict[str, Any]

PAGE = Path(__file__).parents[2] / "docs" / "failure-matrix.md"
PROPERTY = "fault"
"""Under which a test records what it saw."""

HEAD = """\
# What happens when something breaks

Written by `pytest tests/faults --write-matrix` from the results of its tests; each line is one of them. On a real API
server, etcd and controller-manager run two replicas behind one address, and a tenant creates a burst of namespaces: in
each a pod is tried from the moment it exists, in every fourth a policy of the tenant's own, and one that would undo the
default deny. In the middle of it the fault strikes.

- Verdict: what requests got that began and ended while the fault lasted (where it heals by itself: until it had).
- Recovery: from the end of the fault (from its beginning where nobody mends it; from when the first replica is ready
  again where both were down) until nothing was refused any more that had to pass, and every namespace had its baseline.
  15 s at most are promised.
- The invariants are counted over every object of the burst that etcd holds, and each is to be 0: pods created before a
  policy of their namespace's baseline (by etcd's revisions); namespaces without their baseline after recovery; requests
  allowed without a decision (by the API server's audit log, where every decision leaves its id; what undoes the default
  deny counts as well when it was let in); policies of the tenant changed or deleted by Portcullis.
"""


COLUMNS = (
    "fault",
    "seed",
    "verdict promised",
    "seen",
    "recovery promised",
    "seen",
    "pods before their baseline",
    "namespaces without",
    "allowed without a decision",
    "tenants' policies touched",
    "objects",
    "test",
)


class Report(NamedTuple):
    """What became of a row: nothing seen where its test did not come that far."""

    row: Row
    outcome: str
    seen: Json


def reports(outcomes: Iterable[tuple[Any, str]]) -> dict[str, Report]:
    """Return what the tests saw, by row; `outcomes` are pytest's reports and whether each passed or failed."""
    found: dict[str, Report] = {}
    rows = {row.name: row for row in ROWS}
    for report, outcome in outcomes:
        seen = dict(getattr(report, "user_properties", ())).get(PROPERTY)
        if seen and (seen["row"] not in found or outcome == "failed"):
            found[seen["row"]] = Report(rows[seen["row"]], outcome, seen)
    return found


def told(outcomes: Iterable[tuple[Any, str]]) -> Iterator[str]:
    """Yield a line for each fault that was tried."""
    for name, report in reports(outcomes).items():
        yield f"fault {name}: {report.outcome}, {json.dumps(report.seen)}"


def write(outcomes: Iterable[tuple[Any, str]]) -> None:
    """Write the page; the line of what was not tried this time stays, unless another thing is promised now."""
    PAGE.write_text(page(reports(outcomes), rows() if PAGE.exists() else []))


def rows() -> list[list[str]]:
    """Return the cells of each row of the page as it is."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    # The first two are the names of the columns and the rule below them.
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def slowest() -> tuple[str, float]:
    """Return the fault of the page that recovery took longest from, and the seconds."""
    found = [(cells[0], float(cells[5].removesuffix(" s"))) for cells in rows() if cells[5]]
    return max(found, key=lambda each: each[1])


def page(found: Mapping[str, Report], before: Sequence[Sequence[str]] = ()) -> str:
    """Return the page by what was found, and by its former rows."""
    former = {tuple(_promised(cells)): cells for cells in before}
    lines = [HEAD, _line(COLUMNS), _line("---" for _ in COLUMNS)]
    for row in ROWS:
        cells = _cells(found.get(row.name, Report(row, "not tried", {})))
        lines.append(_line(cells if row.name in found else former.get(tuple(_promised(cells)), cells)))
    return "\n".join(lines) + "\n"


def _promised(cells: Sequence[str]) -> list[str]:
    """Return what is declared of a row."""
    return [cells[0], cells[2], cells[4]]


def _cells(report: Report) -> list[str]:
    seen, row = report.seen, report.row
    answers = ", ".join(f"{what}: {count}" for what, count in seen.get("seen", {}).items())
    counts = [str(seen.get(key, "")) for key in ("early", "bare", "undecided", "touched", "objects")]
    seconds = f"{seen['seconds']:g} s" if seen else ""
    promised = f"within {row.seconds:g} s"
    seed = str(seen.get("seed", ""))
    return [row.fault, seed, row.verdict, answers or "nothing", promised, seconds, *counts, report.outcome]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
