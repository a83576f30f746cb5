"""
Markdown for a comment on a pull request: what counts in a short table, and the rest folded.

Whatever others have named is text there: no markup, no mention, no link.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from webhook.cli.output import Note, relative
from webhook.review.answer import one_line

SHOWN = 10
"""So many rows stand in the table; the others are folded."""
MOST = 200
"""So many rows there are in all."""
ROOM = 48_000
"""So many characters they may have: a comment on GitHub holds 65,536."""
LONGEST = 300

_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$^])")
_HEAD = ("| | where | rule | what |", "|---|---|---|---|")
_ICONS = {"error": "\N{CROSS MARK} error", "warning": "\N{WARNING SIGN} warning", "note": "\N{INFORMATION SOURCE} note"}


@dataclass(frozen=True, slots=True)
class Page:
    """What stands above the table: a heading and lines below it."""

    heading: str
    lines: Sequence[str] = ()


def markdown(page: Page, notes: Sequence[Note], *, root: Path | None = None) -> str:
    """Return the page; files are told relative to `root`, and the notes in their order."""
    lines = [f"### {escaped(page.heading)}", "", *(f"{escaped(each)}\n" for each in page.lines)]
    rows = list(_fitting(_row(each, root) for each in notes[:MOST]))
    if rows:
        lines += [*_HEAD, *rows[:SHOWN], ""]
    if rows[SHOWN:]:
        more = f"{len(notes) - len(rows)} more are not shown." if len(notes) > len(rows) else ""
        lines += folded(f"{len(notes) - SHOWN} more", [*_HEAD, *rows[SHOWN:], "", more])
    remedies = {each.rule: each.remediation for each in notes if each.remediation}
    if remedies:
        told = [f"- **{escaped(rule)}**: {escaped(text)}" for rule, text in sorted(remedies.items())]
        lines += folded("What to do", told)
    return "\n".join(lines).rstrip("\n") + "\n"


def folded(heading: str, lines: Iterable[str]) -> list[str]:
    """Return lines that are shown when somebody asks for them."""
    # GitHub takes what is inside for Markdown only after an empty line.
    return ["<details>", f"<summary>{escaped(heading)}</summary>", "", *lines, "", "</details>", ""]


def escaped(text: str, *, longest: int = 4000) -> str:
    """Return a text of one line that Markdown shows as it is."""
    clean = one_line(text, longest=longest)
    plain = clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A mention would call somebody, and an address become a link.
    quiet = plain.replace("@", "@\u200b").replace("://", ":\u200b//").replace("www.", "www\u200b.")
    return _SPECIAL.sub(r"\\\1", quiet)


def _fitting(rows: Iterable[str]) -> Iterator[str]:
    room = ROOM
    for row in rows:
        room -= len(row.encode(errors="replace"))
        if room < 0:
            return
        yield row


def _row(note: Note, root: Path | None) -> str:
    where = ""
    if note.spot:
        file = relative(note.spot.file, root) or note.spot.file
        where = f"{file}:{note.spot.line}" if note.spot.line else str(file)
    cells = (_ICONS[note.level], escaped(where), escaped(note.rule), escaped(note.message, longest=LONGEST))
    return f"| {' | '.join(cells)} |"
