"""A page for people: coloured on a terminal alone, wrapped to it, and whatever others have named said in one line."""

import sys
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.text import Text

WIDEST = 100
"""Characters of a line; what is no terminal has them all, so that the same page is the same file."""


class Page:
    """Writes to standard output, or to another `stream`."""

    def __init__(self, stream: TextIO | None = None) -> None:
        terminal = (stream or sys.stdout).isatty()
        # FORCE_COLOR and its like are not asked: a file never gets colours.
        self._console = Console(
            file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True, force_terminal=terminal
        )
        self._width = min(WIDEST, self._console.width) if terminal else WIDEST

    def line(self, text: str = "", style: str = "") -> None:
        """Write one line as it is."""
        self._console.print(Text(text, style=style))

    def heading(self, text: str, note: str = "") -> None:
        """Write an empty line and a heading."""
        self._console.print()
        self._console.print(Text.assemble((text, "bold"), (f"  {note}" if note else "", "dim")))

    def paragraph(self, text: str, *, indent: int = 0, style: str = "") -> None:
        """Write a text over as many lines as it takes."""
        for line in wrapped(text, self._width - indent):
            self.line(" " * indent + line, style)

    def table(self, rows: Iterable[tuple[str, ...]], *, indent: int = 2, styles: dict[str, str] | None = None) -> None:
        """Write rows in columns; the last column goes on below itself, and a cell of `styles` has its style."""
        every = list(rows)
        if not every:
            return
        widths = [max(map(len, column)) for column in list(zip(*every, strict=True))[:-1]]
        begin = indent + sum(widths) + 2 * len(widths)
        for *cells, last in every:
            # A last column that would be a few letters wide goes over its line instead.
            first, *more = wrapped(last, max(self._width - begin, 30)) or [""]
            line = Text(" " * indent)
            for cell, width in zip(cells, widths, strict=True):
                line.append(cell.ljust(width), (styles or {}).get(cell))
                line.append("  ")
            line.append(first, (styles or {}).get(last))
            line.rstrip()
            self._console.print(line)
            for each in more:
                self.line(" " * begin + each)


def wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text at its spaces; a word that is longer than a line stays whole, to be copied."""
    lines, line = list[str](), ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line] if line else lines
