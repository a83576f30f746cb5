"""A figure beside its bound, and the page that they stand on."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.page import page
from bench.spread import Spread

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured; `bound` is the most that it may be, None where there is none."""

    name: str
    value: float
    unit: str
    bound: float | None = None
    how: str = ""
    more: bool = False
    """More of it is better, and `bound` is the least that it may be."""
    turns: tuple[float, ...] = ()
    """What each turn measured; with them a later run can tell whether it moved."""
    cell: tuple[str, str, str] | None = None
    """The table, row and column of a page on which it is one of many of its kind."""

    @property
    def verdict(self) -> str:
        """Whether the bound is kept, in words."""
        if self.bound is None:
            return ""
        kept = self.value >= self.bound if self.more else self.value <= self.bound
        return "kept" if kept else f"missed by {abs(self.value / self.bound - 1) * 100:.0f} %"

    @property
    def spread(self) -> Spread | None:
        """Where it lies, as far as its turns tell; None where it was measured once."""
        return Spread.of(self.turns) if len(self.turns) > 1 else None

    def row(self) -> Json:
        """Return what is saved of it."""
        spread = self.spread
        return asdict(self) | {
            "verdict": self.verdict,
            "low": spread.low if spread else None,
            "high": spread.high if spread else None,
        }


Found = Mapping[str, Sequence[Figure]]
"""Figures by their scenario."""


def write(found: Found, folder: Path, *, seconds: Mapping[str, float]) -> None:
    """
    Write figures.md and figures.json into `folder`; `seconds` is what each scenario took.

    Those of other scenarios that stand there stay, each with its commit and machine: a whole run takes long.
    """
    target = folder / "figures.json"
    former = json.loads(target.read_text()) if target.exists() else {}
    whole = saved(found, seconds, former)
    target.write_text(json.dumps(whole, indent=1) + "\n")
    (folder / "figures.md").write_text(page(whole))


def saved(found: Found, seconds: Mapping[str, float], former: Json) -> Json:
    """Return what is saved of a run: the figures, and of each scenario what it is of; beside what `former` has."""
    here, runs = about(), dict(former.get("runs", {}))
    rows = [
        each for each in former.get("figures", []) if each.get("scenario") in runs and each["scenario"] not in found
    ]
    for scenario, figures in found.items():
        runs[scenario] = here | {"seconds": round(seconds[scenario])}
        rows += [{"scenario": scenario} | each.row() for each in figures]
    return here | {"runs": runs, "figures": rows}


def about() -> Json:
    """Return what a run is of: the commit, the time, and the machine, of which alone figures compare."""
    return {
        "commit": _commit(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}",
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "python": platform.python_version(),
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    """Return the commit; unknown where this is no checkout of git."""
    told = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(told, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
