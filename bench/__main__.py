"""
`make bench`: the figures, each beside its bound, into docs/figures.md, docs/figures.json and docs/figures.svg.

    python -m bench                                    every scenario, about 45 minutes
    python -m bench load start                         these alone; what else stands in docs stays
    python -m bench load --against docs/figures.json   and say what moved beyond noise; 1 if something got worse
    python -m bench --quick                            whether the load works at all, under 30 s, into no file
    python -m bench load -- --workers 2                with more flags for `serve`

For a trial run: BENCH_BURST and BENCH_STEADY say how many namespaces the two large measurements make, BENCH_CHECK how
many objects are checked, BENCH_REPLAY how many recorded decisions are made again, BENCH_ROWS how many decisions the
history has.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.comparison import ComparisonError, Moved, compared, saved_run
from bench.figures import Figure, about, saved, write
from bench.generator import LoadError
from bench.page import chapter
from bench.picture import draw
from bench.scenarios import SCENARIOS
from bench.sides import measure_sides

DOCS = Path(__file__).parents[1] / "docs"
Found = dict[str, list[Figure]]


def main(arguments: Sequence[str]) -> int:
    """Return 0, 1 where a figure got worse than in the saved run beyond noise, or 2 where nothing could be measured."""
    asked = _parsed(arguments)
    try:
        # Before half an hour is spent on it.
        before = saved_run(asked.against) if asked.against else None
        if before:
            compared(before, {name: [] for name in asked.scenarios}, about(), elsewhere=asked.other_machine)
        found, seconds = asyncio.run(_measured(asked))
    except (ComparisonError, LoadError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 2
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        write(found, asked.out, seconds=seconds)
        draw(asked.out)
    whole = saved(found, seconds, {})
    sys.stdout.writelines(f"{line}\n" for scenario in found for line in chapter(whole, scenario))
    return _tell_moves(compared(before, found, about(), elsewhere=asked.other_machine)) if before else 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = "\n".join(f"{name}: {each.about}" for name, each in SCENARIOS.items())
    # Not `choices`, which refuses none given for all.
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=names)
    parser.add_argument("--against", type=Path, metavar="FILE", help="a figures.json to compare with")
    parser.add_argument("--other-machine", action="store_true", help="compare though it is of another machine")
    parser.add_argument("--quick", action="store_true", help="a trial of the load; its figures mean nothing")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write instead of docs")
    at = arguments.index("--") if "--" in arguments else len(arguments)
    asked, flags = parser.parse_args(arguments[:at]), arguments[at + 1 :]
    if unknown := [name for name in asked.scenarios if name not in SCENARIOS]:
        parser.error(f"there is no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    if asked.quick and set(asked.scenarios) - {"load"}:
        parser.error("--quick is of the load alone")
    if flags and asked.scenarios != ["load"]:
        parser.error("flags of serve go with the load alone: python -m bench load -- FLAGS")
    asked.flags = flags
    asked.scenarios = asked.scenarios or (["load"] if asked.quick else list(SCENARIOS))
    # Neither a trial nor another `serve` than the one that ships is a figure of ours.
    asked.out = asked.out or (None if asked.quick or flags else DOCS)
    return asked


async def _measured(asked: argparse.Namespace) -> tuple[Found, Mapping[str, float]]:
    """Return the figures by scenario and the seconds that each took; shows what it is doing, for it takes long."""
    found: Found = {}
    seconds: dict[str, float] = {}
    for name in asked.scenarios:
        sys.stderr.write(f"bench: {name}: {SCENARIOS[name].about}\n")
        begin = time.monotonic()
        if asked.quick:
            found[name] = await measure_sides(asked.flags, quick=True)
        else:
            found[name] = await SCENARIOS[name].measure(asked.flags)
        seconds[name] = time.monotonic() - begin
    return found, seconds


def _tell_moves(moves: Sequence[Moved]) -> int:
    """Say what moved; return 1 where that is for the worse."""
    lines = [str(each) for each in moves if each.course != "same"]
    worse = [each for each in moves if each.course == "worse"]
    sys.stdout.write("\n".join(["", *lines, f"{len(moves)} figures compared, {len(worse)} worse beyond noise"]) + "\n")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
