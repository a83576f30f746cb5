"""A comment on a pull request is short, and nothing that others have named is markup in it."""

import re
from pathlib import Path

import pytest

from webhook.cli.output import Note, Spot
from webhook.cli.output.markdown import MOST, SHOWN, Page, escaped, markdown


def notes(count: int, message: str = "it opens") -> list[Note]:
    return [
        Note(
            "a/b",
            "error",
            f"{message} {number}",
            ("t",),
            "",
            Spot(Path("/r/a.yaml"), number + 1),
            remediation="Shut it",
        )
        for number in range(count)
    ]


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| ") and "where" not in line]


def test_a_few_stand_in_the_table() -> None:
    """With where, which rule and why; what to do is folded."""
    text = markdown(Page("Checked", ("2 judged.",)), notes(2), root=Path("/r"))
    assert text.startswith("### Checked\n\n2 judged.\n")
    assert rows(text) == [f"| \N{CROSS MARK} error | a.yaml:{n + 1} | a/b | it opens {n} |" for n in range(2)]
    assert text.count("<details>") == text.count("</details>") == 1
    assert "- **a/b**: Shut it" in text


def test_many_are_folded_and_no_comment_is_too_long() -> None:
    """GitHub takes 65,536 characters."""
    text = markdown(Page("Checked"), notes(MOST * 5), root=Path("/r"))
    table, _, rest = text.partition("<details>")
    assert len(rows(table)) == SHOWN
    assert len(rows(rest)) == MOST - SHOWN
    assert f"{MOST * 4} more are not shown." in rest
    assert len(markdown(Page("Checked"), notes(MOST * 5, "|<" * 1000), root=Path("/r"))) < 65_536


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        pytest.param("a|b", "a\\|b", id="pipe"),
        pytest.param("`a`", "\\`a\\`", id="backtick"),
        pytest.param("<img src=x>&amp;", "&lt;img src=x&gt;&amp;amp;", id="html"),
        pytest.param("[a](b)", "\\[a\\](b)", id="link"),
        pytest.param("*a* _b_ ~c~ $d$", "\\*a\\* \\_b\\_ \\~c\\~ \\$d\\$", id="style"),
        pytest.param("@team", "@\u200bteam", id="mention"),
        pytest.param("#12", "\\#12", id="issue"),
        pytest.param("https://a.b", "https:\u200b//a.b", id="address"),
        pytest.param("\\|", "\\\\\\|", id="backslash"),
    ],
)
def test_nothing_is_markup(text: str, plain: str) -> None:
    """It is shown as it is written."""
    assert escaped(text) == plain


def test_no_row_ends_early() -> None:
    """Whatever is in a message, a row has four cells and stands on one line."""
    text = markdown(Page("x\ny"), notes(1, "a|b\n| c |\r\n</details><script>\x1b"))
    (row,) = rows(text)
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    assert "<script>" not in text
    assert "\x1b" not in text
