"""A figure beside its bound, and the page that they stand on."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured; `bound` is the most that it may be, None where there is none."""

    name: str
    value: float
    unit: str
    bound: float | None = None
    how: str = ""

    @property
    def verdict(self) -> str:
        """Whether the bound is kept, in words."""
        if self.bound is None:
            return ""
        return "kept" if self.value <= self.bound else f"missed by {(self.value / self.bound - 1) * 100:.0f} %"


def write(figures: Sequence[Figure], folder: Path) -> None:
    """Write figures.md and figures.json into `folder`."""
    about = {
        "commit": _commit(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}",
        "python": platform.python_version(),
    }
    rows = [asdict(each) | {"verdict": each.verdict} for each in figures]
    (folder / "figures.json").write_text(json.dumps(about | {"figures": rows}, indent=2) + "\n")
    (folder / "figures.md").write_text("\n".join(_page(about, figures)) + "\n")


def _page(about: dict[str, str], figures: Sequence[Figure]) -> list[str]:
    return [
        "# Figures",
        "",
        "Written by `make bench`; machines are shared and noisy, so compare ratios rather than milliseconds.",
        "",
        *(f"- {key}: {value}" for key, value in about.items()),
        "",
        "| figure | measured | at most | |",
        "|---|---|---|---|",
        *(f"| {each.name} | {each.value:g} {each.unit} | {_bound(each)} | {each.verdict} |" for each in figures),
        "",
        *(f"- **{each.name}**: {each.how}" for each in figures if each.how),
    ]


def _bound(figure: Figure) -> str:
    return "" if figure.bound is None else f"{figure.bound:g} {figure.unit}"


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    return done.stdout.strip()
