"""docs/figures.md: what docs/figures.json holds, for people."""

from collections.abc import Iterator, Sequence
from typing import Any

Json = dict[str, Any]

HEAD = """# Figures

Written by `make bench`; how they are measured, and what they are worth, is in [bench/README.md](../bench/README.md).
Machines are shared and noisy, so compare ratios rather than milliseconds: the sides of a ratio took turns in one run.
A spread is where the median of the turns lies, 95 times in 100.
"""


def page(saved: Json) -> str:
    """Return the page, a chapter a scenario."""
    return "\n".join([HEAD, *(line for scenario in saved["runs"] for line in chapter(saved, scenario))])


def chapter(saved: Json, scenario: str) -> Iterator[str]:
    """Yield the lines of one scenario."""
    run = saved["runs"][scenario]
    rows = [each for each in saved["figures"] if each["scenario"] == scenario]
    yield f"## {scenario}\n"
    took = f"{run['seconds']} s" if run["seconds"] else "some while"
    yield f"{run['measured']}, commit {run['commit']}, Python {run['python']};"
    yield f"it took {took} on {run['machine']}, {run['cpu']}.\n"
    if plain := [each for each in rows if not each["cell"]]:
        yield "| figure | measured | spread | bound | |\n|---|---|---|---|---|"
        yield from (_line(each) for each in plain)
        yield ""
    for table in dict.fromkeys(each["cell"][0] for each in rows if each["cell"]):
        yield from _table(table, [each for each in rows if each["cell"] and each["cell"][0] == table])
    hows: dict[str, list[str]] = {}
    for each in rows:
        hows.setdefault(each["how"], []).append(each["name"])
    hows.pop("", None)
    yield from (f"- **{'**, **'.join(names)}**: {how}" for how, names in hows.items())
    yield ""


def _line(row: Json) -> str:
    spread = "" if row["low"] is None else f"{row['low']:g} to {row['high']:g}"
    bound = "" if row["bound"] is None else f"at {'least' if row['more'] else 'most'} {row['bound']:g} {row['unit']}"
    return f"| {row['name']} | {row['value']:g} {row['unit']} | {spread} | {bound} | {row['verdict']} |"


def _table(name: str, rows: Sequence[Json]) -> Iterator[str]:
    """Yield a table of the figures that have a cell in it; one that was not measured is empty."""
    columns = list(dict.fromkeys(each["cell"][2] for each in rows))
    yield f"{name}:\n"
    yield f"| | {' | '.join(columns)} |"
    yield f"|---|{'---|' * len(columns)}"
    for line in dict.fromkeys(each["cell"][1] for each in rows):
        cells = {each["cell"][2]: f"{each['value']:g} {each['unit']}" for each in rows if each["cell"][1] == line}
        yield f"| {line} | {' | '.join(cells.get(column, '') for column in columns)} |"
    yield ""
