"""GitHub reads one annotation a note, of the file that it is about, whatever somebody has called anything."""

import re
from pathlib import Path

import pytest

from webhook.cli.output import Note, Spot
from webhook.cli.output.github import github

COMMAND = re.compile(r"::(?P<command>[a-z]+) (?P<properties>.*?)::(?P<message>.*)")


def read(line: str) -> tuple[str, dict[str, str], str]:
    """Read a line as actions/runner does (ActionCommand.cs)."""
    match = COMMAND.fullmatch(line)
    assert match, line
    properties = dict(each.split("=", 1) for each in match["properties"].split(","))
    return match["command"], {key: unescaped(each) for key, each in properties.items()}, unescaped(match["message"])


def unescaped(text: str) -> str:
    for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, character)
    return text


def test_a_line_has_all_that_github_shows(tmp_path: Path) -> None:
    """An error where it would be refused, a warning in warn mode, else a notice."""
    notes = [
        Note("a/b", level, "it opens 50 %", ("t",), "", Spot(tmp_path / "a" / "b.yaml", 3, 7), title="No: more, than")
        for level in ("error", "warning", "note")
    ]
    assert github(notes[:1], root=tmp_path) == (
        "::error file=a/b.yaml,line=3,col=7,title=a/b%3A No%3A more%2C than::it opens 50 %25\n"
    )
    assert [read(line)[0] for line in github(notes).splitlines()] == ["error", "warning", "notice"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a\n::error file=x,line=1::forged.yaml", id="newline"),
        pytest.param("a::b::c.yaml", id="colons"),
        pytest.param("a,line=1,b.yaml", id="comma"),
        pytest.param("100%0Aa.yaml", id="percent"),
        pytest.param("a b\tc.yaml", id="spaces"),
        pytest.param("gr\u00fcn-\U0001f512.yaml", id="unicode"),
        pytest.param("a\r\nb.yaml", id="carriage-return"),
    ],
)
def test_no_file_forges_an_annotation(tmp_path: Path, name: str) -> None:
    """Each is one line, and read back it is the name."""
    written = github([Note("a/b", "error", "m", ("t",), "", Spot(tmp_path / name, 3))], root=tmp_path)
    (line,) = written.removesuffix("\n").split("\n")
    assert "\r" not in line
    assert read(line)[1] == {"file": name, "line": "3", "title": "a/b"}


def test_no_message_forges_one() -> None:
    """What controls a terminal or begins a line is replaced."""
    written = github([Note("a/b", "error", "x\n::error::forged\x1b[31m\u2028\ud800", ("t",))])
    assert written.count("\n") == 1
    assert "\x1b" not in written
    assert written.encode()


def test_no_name_controls_a_terminal(tmp_path: Path) -> None:
    """A log of CI is shown on one."""
    written = github([Note("a/b", "error", "m", ("t",), "", Spot(tmp_path / "a\x1b[31m.yaml"))], root=tmp_path)
    assert "file=a\ufffd[31m.yaml" in written


def test_half_a_character_in_a_name_can_be_written(tmp_path: Path) -> None:
    """A file's name on Linux need not be text."""
    assert github([Note("a/b", "error", "m", ("t",), "", Spot(tmp_path / "a\udcff.yaml"))], root=tmp_path).encode()
