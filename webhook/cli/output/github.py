"""
Annotations as GitHub Actions read them from what a step writes: a line each, an error, a warning or a notice.

Source: https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions and, for what has to be
escaped, https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
"""

from collections.abc import Iterable
from pathlib import Path

from webhook.cli.output import Level, Note, legal, relative
from webhook.review.answer import one_line

_COMMANDS: dict[Level, str] = {"error": "error", "warning": "warning", "note": "notice"}
LONGEST = 3000
"""Characters of a message; GitHub cuts what is longer than 4 KB."""


def github(notes: Iterable[Note], *, root: Path | None = None) -> str:
    """Return a line for each note; files are told relative to `root`."""
    return "".join(f"{_line(each, root)}\n" for each in notes)


def _line(note: Note, root: Path | None) -> str:
    properties = {"title": f"{note.rule}: {note.title}" if note.title else note.rule}
    if note.spot:
        file = str(relative(note.spot.file, root) or note.spot.file)
        where = {"line": note.spot.line, "col": note.spot.column}
        # What controls a terminal would do so in the log.
        properties = {
            "file": legal(file),
            **{key: str(value) for key, value in where.items() if value},
            **properties,
        }
    told = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{_COMMANDS[note.level]} {told}::{_data(one_line(note.message, longest=LONGEST))}"


def _data(text: str) -> str:
    # What is no text at all, such as half a character of a file's name, cannot be written.
    text = text.encode(errors="replace").decode()
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
