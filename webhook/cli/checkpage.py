"""A check as a page: what would be refused, by file."""

from itertools import groupby
from pathlib import Path

from webhook.check.finding import CheckedFinding
from webhook.cli.checked import Checked
from webhook.cli.output import relative
from webhook.cli.page import Page
from webhook.review.answer import one_line

_COMES = {"enforce": ("refused", "red"), "warn": ("warned", "yellow"), "audit": ("recorded", "yellow")}


def show(checked: Checked) -> None:
    """Write the page to standard output."""
    page, root = Page(), Path.cwd()
    for file, every in groupby(checked.findings, key=lambda each: each.file):
        name = one_line(str(relative(file, root) or file))
        for each in every:
            _show(page, name, each)
    page.paragraph(checked.summary())
    page.line(f"As the rules of revision {checked.revision[:12]} answer.", "dim")


def _show(page: Page, file: str, finding: CheckedFinding) -> None:
    comes, style = _COMES[finding.action]
    page.line(f"{file}:{finding.line}:{finding.column}", "bold")
    page.line(f"  {comes:<8}  {one_line(finding.thing.called)}  {finding.rule}", style)
    page.paragraph(one_line(finding.message), indent=12)
    page.line()
