"""
What a judgement of many things is written as for other programs.

Knows no rule and no cluster: what is told is a `Note` on a thing, and a thing is named by its path.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal["error", "warning", "note"]

# What XML 1.0 cannot hold, whatever it is escaped as, and what does not belong into a line.
_ILLEGAL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Spot:
    """Where something stands in a file; `line` and `column` count from 1, and are 0 where that is not known."""

    file: Path
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Note:
    """
    One thing that is told.

    `things` are the paths of what it is about, such as `checkout-dev/NetworkPolicy/web`, the first above all;
    `fingerprint` is the same for as long as the same is told of the same thing.
    """

    rule: str
    level: Level
    message: str
    things: tuple[str, ...]
    fingerprint: str = ""
    spot: Spot | None = None
    title: str = ""
    """The rule's, for who reads one note alone."""
    remediation: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule says of itself."""

    id: str
    title: str
    description: str = ""
    severity: str = ""
    remediation: str = ""
    address: str = ""


def relative(file: Path, root: Path | None) -> Path | None:
    """Return a file's path from `root`, None where it is not in there or there is no root."""
    # As it is written, but for its `..`: a link is the place that a code host knows.
    whole, above = Path(os.path.normpath(file.absolute())), root and Path(os.path.normpath(root.absolute()))
    return whole.relative_to(above) if above and whole.is_relative_to(above) else None


def legal(text: str) -> str:
    """Return a text with every character replaced that some reader would not take."""
    return _ILLEGAL.sub("\ufffd", text)
