"""
JUnit XML, as CI systems read it: a suite a group, a case a thing that was judged.

There is no standard; this is the form that https://github.com/testmoapp/junitxml writes down.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from xml.sax.saxutils import escape, quoteattr

from webhook.cli.output import Note, legal


def junit(things: Iterable[str], notes: Iterable[Note], *, fails: Callable[[Note], bool], apart: str = "/") -> str:
    """
    Return the report on `things`, by their paths; the first part of a path, up to what sets it `apart`, is the suite.

    What is told of a thing and does not fail is its output.
    """
    told: defaultdict[str, list[Note]] = defaultdict(list)
    for note in notes:
        told[note.things[0]].append(note)
    suites: defaultdict[str, list[str]] = defaultdict(list)
    for thing in sorted({*things, *told}):
        suites[thing.partition(apart)[0]].append(thing)
    failed = sum(any(map(fails, each)) for each in told.values())
    total = sum(map(len, suites.values()))
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites name="portcullis" tests="{total}" failures="{failed}" errors="0">',
    ]
    for suite, cases in sorted(suites.items()):
        named = [(case.removeprefix(f"{suite}{apart}"), told[case]) for case in cases]
        lines += _suite(suite, named, fails)
    return "\n".join([*lines, "</testsuites>", ""])


def _suite(suite: str, cases: Sequence[tuple[str, list[Note]]], fails: Callable[[Note], bool]) -> list[str]:
    failed = sum(any(map(fails, each)) for _, each in cases)
    lines = [f'  <testsuite name={_quoted(suite)} tests="{len(cases)}" failures="{failed}" errors="0">']
    for case, notes in cases:
        begin = f"    <testcase classname={_quoted(suite)} name={_quoted(case)}"
        if not notes:
            lines.append(f"{begin}/>")
            continue
        lines.append(f"{begin}>")
        lines += _failure([each for each in notes if fails(each)])
        lines += _output([each for each in notes if not fails(each)])
        lines.append("    </testcase>")
    return [*lines, "  </testsuite>"]


def _failure(notes: Sequence[Note]) -> list[str]:
    """Return the one failure that readers take of a case; its text has all that fails."""
    if not notes:
        return []
    rules = ", ".join(each.rule for each in notes)
    return [f"      <failure message={_quoted(rules)} type={_quoted(notes[0].rule)}>{_text(notes)}</failure>"]


def _output(notes: Sequence[Note]) -> list[str]:
    return [f"      <system-out>{_text(notes)}</system-out>"] if notes else []


def _text(notes: Iterable[Note]) -> str:
    return escape(legal("\n".join(f"[{each.rule}] {each.message}" for each in notes)))


def _quoted(text: str) -> str:
    return quoteattr(legal(text))
