"""A review as a page, and as the comment on a pull request."""

import io
import re
from dataclasses import replace
from pathlib import Path

from webhook.cli.output import Note
from webhook.cli.output.github import github
from webhook.cli.output.markdown import folded
from webhook.cli.page import Page
from webhook.cli.reviewed import LONGEST, Reviewed, note
from webhook.proposal.part import Part, Remark
from webhook.review.answer import one_line

MARKS = {"ok": "ok", "findings": "findings", "not applicable": "-", "not done": "NOT DONE"}
STYLES = {"ok": "green", "findings": "yellow", "NOT DONE": "bold red", "-": "dim"}
MOST = 65_000
"""Characters of a comment: code hosts take 65,536."""
LONGEST_ITEM = 600
MOST_LINES = 60
"""Remarks of one part in a comment; a page has all."""
_MEANING = re.compile(r"[\\`*_\[\]#|<>~@&$]|:(?=\S)")
"""What Markdown, HTML or a code host makes something of, in the middle of a line."""


def text(reviewed: Reviewed, *, terminal: bool = False) -> str:
    """Return the page; on a `terminal` it is written there, in colours, and nothing is left to write."""
    written = io.StringIO()
    _show_all(Page(None if terminal else written), reviewed)
    return written.getvalue()


def annotations(reviewed: Reviewed) -> str:
    """Return the review as GitHub's workflow commands, with its verdict."""
    titled = {each.id: each.title for each in reviewed.rules()}
    told = [replace(note(each), title=titled.get(each.rule, "")) for part in reviewed.parts for each in part.remarks]
    undone = [
        Note(f"review/{each.name}", "error", one_line(f"{each.title}: {each.summary}", longest=LONGEST), (each.name,))
        for each in reviewed.undone
    ]
    return github([*undone, *told], root=Path.cwd())


def _show_all(page: Page, reviewed: Reviewed) -> None:
    against = f"against {one_line(reviewed.revisions.base)} ({reviewed.revisions.commit[:12]})"
    page.line(f"Review of the working tree {against}", "bold")
    page.line()
    page.table(
        ((each.title, MARKS[each.state], one_line(each.summary, longest=LONGEST)) for each in reviewed.parts),
        styles=STYLES,
    )
    for part in reviewed.parts:
        if part.remarks:
            page.heading(part.title, _counts(part))
        for each in sorted(part.remarks, key=lambda remark: not remark.fails(reviewed.fail_on)):
            _show(page, each, fails=each.fails(reviewed.fail_on))
    page.line()
    style = "bold red" if reviewed.code else "green"
    page.line(f"{reviewed.verdict[0].upper()}{reviewed.verdict[1:]}.", style)


def _show(page: Page, remark: Remark, *, fails: bool) -> None:
    place = f"{remark.file}:{remark.line}: " if remark.file and remark.line else f"{remark.file}: " * bool(remark.file)
    mark, style = ("x", "red") if fails else ("-", "")
    page.line(f"  {mark} {one_line(f'{place}[{remark.rule}]')}", style)
    page.paragraph(one_line(remark.message, longest=LONGEST), indent=6)


def _counts(part: Part) -> str:
    return f"{part.known} known, unchanged" if part.known else ""


def markdown(reviewed: Reviewed) -> str:
    """Return the comment: the verdict, a table of the parts, and all else folded."""
    icon = {0: "white_check_mark", 1: "x", 2: "warning"}[reviewed.code]
    base = f"`{_code(reviewed.revisions.base)}` ({reviewed.revisions.commit[:12]})"
    lines = [
        f"### :{icon}: Portcullis: {escaped(reviewed.verdict)}",
        "",
        f"The change against {base}:",
        "",
        "| | | |",
        "|---|---|---|",
        *(f"| {escaped(each.title)} | {each.state} | {escaped(each.summary)} |" for each in reviewed.parts),
        "",
    ]
    room = MOST - sum(len(line) + 1 for line in lines)
    for part in reviewed.parts:
        folded = _folded(part, reviewed)
        size = sum(len(line) + 1 for line in folded)
        if size > room:
            lines.append("The rest is too long for a comment: see the output of the run.")
            break
        room -= size
        lines += folded
    return "\n".join(lines) + "\n"


def _folded(part: Part, reviewed: Reviewed) -> list[str]:
    if not part.remarks:
        return []
    remarks = sorted(part.remarks, key=lambda remark: not remark.fails(reviewed.fail_on))
    failing = sum(each.fails(reviewed.fail_on) for each in remarks)
    told = f"{failing} to look at, {len(remarks) - failing} to know"
    lines = [_item(each, fails=each.fails(reviewed.fail_on)) for each in remarks[:MOST_LINES]]
    if len(remarks) > MOST_LINES:
        lines.append(f"- and {len(remarks) - MOST_LINES} more: see the output of the run")
    return folded(f"{part.title}: {told}", lines)


def _item(remark: Remark, *, fails: bool) -> str:
    place = f" `{_code(remark.file)}{f':{remark.line}' * bool(remark.line)}`" if remark.file else ""
    rule = f"**{escaped(remark.rule)}**" if fails else escaped(remark.rule)
    return f"- {rule}{place} {escaped(remark.message)}"


def escaped(text: str) -> str:
    """Return a text that is no Markdown, no HTML, and mentions nobody."""
    return _MEANING.sub(lambda found: f"&#{ord(found[0])};", one_line(text, longest=LONGEST_ITEM))


def _code(text: str) -> str:
    return one_line(text).replace("`", "'").replace("|", "&#124;")
