"""What the Rego gate says of a change to the rules, as a part of a review."""

from collections.abc import Iterator
from dataclasses import asdict

from webhook.proposal.equivalents import FILE
from webhook.proposal.part import Part, Remark, judged
from webhook.proposal.rego import RegoReport

NAME, TITLE = "rego", "The Rego"


def judge_report(report: RegoReport, folder: str) -> Part:
    """Return what a report on the rules of `folder`, relative to what is reviewed, comes to."""
    remarks = tuple(_remarks(report, folder))
    told = {
        "checks": [{"name": each.name, "passed": each.passed} for each in report.checks],
        "coverage": report.coverage,
        "mutants": report.mutants,
        "killed": report.killed,
        "survivors": [asdict(each) for each in report.survivors],
    }
    return Part(NAME, TITLE, judged(remarks), _summary(report), remarks, told=told)


def _remarks(report: RegoReport, folder: str) -> Iterator[Remark]:
    for each in report.findings:
        file = f"{folder}/{each.file}" if each.file else ""
        said = f"{each.message}{f' ({each.remedy})' if each.remedy else ''}"
        thing = each.file or folder
        yield Remark(f"rego/{each.check}", "enforce", said, thing, file, each.line, each.column)
    # Who writes a reason is who changes the rule: somebody else has to read it.
    for reason in report.excuses:
        yield Remark("rego/excused", "warn", reason, FILE, f"{folder}/{FILE}")


def _summary(report: RegoReport) -> str:
    failed = [each.name for each in report.checks if not each.passed]
    said = f"{len(report.checks) - len(failed)} of {len(report.checks)} checks pass"
    failing = f" (not {', '.join(failed)})" if failed else ""
    mutants = f", {report.killed} of {report.mutants} mutants killed" if report.mutants else ""
    return f"{said}{failing}, coverage {report.coverage:.4g} %{mutants}"
