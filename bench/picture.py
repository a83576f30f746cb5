"""docs/figures.svg: p50, p99 and throughput of each target as bars, for the README; readable in light and in dark."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

Json = dict[str, Any]
Bars = list[tuple[str, float, str]]

WIDTH, LEFT, RIGHT = 760, 150, 96
LINE, BAR, TOP = 20, 12, 52
PANELS = (
    ("mix, 300/s", "p50", "p50 at 300 requests/s, open loop (ms; less is better)"),
    ("mix, 300/s", "p99", "p99 at 300 requests/s, open loop (ms; less is better)"),
    ("mix, highest", "answers", "highest throughput (answers a second; more is better)"),
)
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.head { font-weight: 600; } .foot { font-size: 11px; fill: #57606a; }
.bar { fill: #8c959f; } .ours { fill: #0969da; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } .foot { fill: #9198a1; } .bar { fill: #6e7681; } .ours { fill: #4493f8; }
}
"""


def draw(folder: Path) -> None:
    """Write figures.svg beside figures.json; nothing where that has no load."""
    saved = json.loads((folder / "figures.json").read_text())
    if "load" in saved["runs"]:
        (folder / "figures.svg").write_text(picture(saved))


def picture(saved: Json) -> str:
    """Return the SVG."""
    y, parts = TOP, list[str]()
    for table, column, title in PANELS:
        bars = _bars(saved["figures"], table, column)
        parts += _panel(title, bars, y)
        y += LINE * (len(bars) + 1) + 16
    run = saved["runs"]["load"]
    foot = f"{run['machine']}, {run['cpu']}; one run, in turns; {run['measured'][:10]}, commit {run['commit']}"
    head = "An admission review, side by side"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 12}" width="{WIDTH}" role="img">',
            f"<title>{head}</title><style>{STYLE}</style>",
            f'<text x="8" y="24" class="head" style="font-size:15px">{head}</text>',
            *parts,
            f'<text x="8" y="{y}" class="foot">{escape(foot)}</text>',
            "</svg>\n",
        ]
    )


def _bars(figures: Sequence[Json], table: str, column: str) -> Bars:
    rows = [each for each in figures if each["cell"] and [each["cell"][0], each["cell"][2]] == [table, column]]
    return [(each["cell"][1], each["value"], each["unit"]) for each in rows]


def _panel(title: str, bars: Bars, y: int) -> Iterator[str]:
    yield f'<text x="8" y="{y}" class="head">{escape(title)}</text>'
    longest = max((value for _, value, _ in bars), default=0.0) or 1.0
    for number, (name, value, unit) in enumerate(bars, 1):
        at = y + number * LINE
        width = max(1.0, (WIDTH - LEFT - RIGHT) * value / longest)
        kind = "bar ours" if name == "serve" else "bar"
        yield f'<text x="{LEFT - 8}" y="{at}" text-anchor="end">{escape(name)}</text>'
        yield f'<rect x="{LEFT}" y="{at - BAR + 2}" width="{width:.1f}" height="{BAR}" rx="2" class="{kind}"/>'
        yield f'<text x="{LEFT + width + 6:.1f}" y="{at}">{value:,g} {escape(unit)}</text>'
