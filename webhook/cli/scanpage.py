"""A scan as a page: what would be refused, by namespace, and what nobody owns."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from webhook.cli.page import Page
from webhook.cli.scanned import Scanned
from webhook.review.answer import one_line
from webhook.scan.finding import STRENGTH, Finding
from webhook.scan.unruled import ORPHANED, UNOWNED

STYLES = {
    "refused": "red",
    "warned": "yellow",
    "recorded": "yellow",
    "told": "",
}
_COMES = {"enforce": "refused", "warn": "warned", "audit": "recorded", "none": "told"}
MOST_NAMES = 50
"""So many names stand in one paragraph; `-o json` has all."""


def show(scanned: Scanned) -> None:
    """Write the page to standard output."""
    page = Page()
    apart = {UNOWNED, ORPHANED}
    findings = [each for each in scanned.scan.findings if each.rule not in apart]
    for namespace, every in groupby(sorted(findings, key=_by_namespace), key=lambda each: each.namespace):
        _show(page, namespace, list(every))
    _names(page, "Nobody owns", scanned.named(UNOWNED))
    _names(page, "Their workspace does not exist", scanned.named(ORPHANED))
    _names(page, "Are being deleted, and left alone", scanned.scan.ending)
    page.paragraph(_summary(scanned, findings))
    page.line(f"As the rules of revision {scanned.revision[:12]} answer.", "dim")


def _show(page: Page, namespace: str, findings: Sequence[Finding]) -> None:
    page.line(one_line(namespace), "bold")
    width = max(len(one_line(each.thing.called)) for each in findings)
    for each in findings:
        comes = _COMES[each.action]
        page.line(f"  {comes:<8}  {one_line(each.thing.called):<{width}}  {each.rule}", STYLES[comes])
        page.paragraph(one_line(each.message), indent=12)
    page.line()


def _by_namespace(finding: Finding) -> tuple[str, int]:
    # What is sorted is in order already; of one namespace the worst stays first.
    return finding.namespace, -STRENGTH[finding.action]


def _names(page: Page, heading: str, names: Sequence[str]) -> None:
    if not names:
        return
    page.line(heading, "bold")
    more = f" and {len(names) - MOST_NAMES} more (-o json has all)" if len(names) > MOST_NAMES else ""
    page.paragraph(one_line(", ".join(names[:MOST_NAMES]) + more, longest=100_000), indent=2)
    page.line()


def _summary(scanned: Scanned, findings: Iterable[Finding]) -> str:
    counts, scan = scanned.counts(), scanned.scan
    looked = f"{_count(scan.namespaces, 'namespace')} and {_count(len(scan.things) - scan.namespaces, 'policy')} judged"
    comes = [
        f"{counts['refused']} would be refused",
        *([f"{counts['warned']} would be warned of"] if counts["warned"] else []),
        *([f"{counts['audited']} would only be recorded, as enforcement is set"] if counts["audited"] else []),
        *([f"{counts['unowned']} owned by nobody"] if counts["unowned"] else []),
        *([f"{counts['orphaned']} of a workspace that does not exist"] if counts["orphaned"] else []),
    ]
    clean = "" if any(each.ruled for each in findings) or counts["refused"] else " No rule is violated."
    return f"{looked}: {', '.join(comes)}.{clean}"


def _count(number: int, what: str) -> str:
    if number == 1:
        return f"1 {what}"
    return f"{number} {what.removesuffix('y')}ies" if what.endswith("y") else f"{number} {what}s"
