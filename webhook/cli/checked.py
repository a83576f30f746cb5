"""What a check found, as each program wants to read it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webhook.check.finding import Action, CheckedFinding, Thing, comes_to, fails
from webhook.check.judge import OWN
from webhook.cli.output import Level, Note, Rule, Spot, relative
from webhook.cli.output.github import github
from webhook.cli.output.junit import junit
from webhook.cli.output.markdown import Page, markdown
from webhook.cli.output.sarif import sarif
from webhook.decision.catalogue import RulePage
from webhook.errors import ManifestError

Json = dict[str, Any]

LEVELS: Mapping[Action, Level] = {"enforce": "error", "warn": "warning", "audit": "note"}
UNREAD = "check/unreadable"
APART = "\0"
"""Between the name of a file and what is in it: no file's name has one."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A check with what it takes to tell of it; `things` are all that were read, each with its file."""

    findings: tuple[CheckedFinding, ...]
    things: tuple[tuple[Thing, Path], ...]
    covered: int
    catalogue: Sequence[RulePage]
    revision: str
    notes: tuple[str, ...] = ()
    errors: tuple[ManifestError, ...] = ()

    def fails(self, fail_on: str) -> bool:
        """Say whether something is found that comes to `fail_on` (an action, or `never`), or to more."""
        return fails(self.findings, fail_on)

    def counts(self) -> Mapping[str, int]:
        """Return of how many objects the worst is that they are refused, warned of or recorded."""
        worst: dict[tuple[Thing, Path], Action] = {}
        for each in sorted(self.findings, key=lambda each: -_strength(each)):
            worst.setdefault((each.thing, each.file), each.action)
        come = Counter(worst.values())
        return {"refused": come["enforce"], "warned": come["warn"], "audited": come["audit"]}

    def summary(self) -> str:
        """Return how much of what, in a sentence."""
        counts = self.counts()
        told = [
            f"{counts['refused']} would be refused",
            *([f"{counts['warned']} would be warned of"] if counts["warned"] else []),
            *([f"{counts['audited']} would only be recorded"] if counts["audited"] else []),
            *([f"{len(self.errors)} could not be read"] if self.errors else []),
        ]
        passed = len(self.things) - self.covered
        rest = f" ({passed} more of kinds that no rule covers)" if passed else ""
        return f"{self.covered} object{'s' * (self.covered != 1)} judged{rest}: {', '.join(told)}."

    def rules(self) -> Iterator[Rule]:
        """Yield every rule that may have found something, and what is found without one."""
        for each in self.catalogue:
            address = each.related_resources[0] if each.related_resources else ""
            yield Rule(each.id, each.title, each.description, each.severity, each.remediation, address)
        for rule, own in OWN.items():
            yield Rule(rule, own.title, severity=own.severity, remediation=own.remediation)
        if self.errors:
            yield Rule(UNREAD, "A file cannot be read as kubectl reads it", severity="high")


def written(checked: Checked, output: str, fail_on: str) -> str:
    """Return the check in a form for programs; empty for `text`, which is a page."""
    root = Path.cwd()
    match output:
        case "json":
            return f"{json.dumps(_as_json(checked), indent=2)}\n"
        case "sarif":
            return sarif(_notes(checked), list(checked.rules()), root=root)
        case "github":
            return github(_notes(checked), root=root)
        case "markdown":
            page = Page("Portcullis: manifests", (checked.summary(), *checked.notes))
            return markdown(page, sorted(_notes(checked), key=lambda each: each.level), root=root)
        case "junit":
            return _junit(checked, fail_on)
        case _:
            return ""


def _junit(checked: Checked, fail_on: str) -> str:
    failing = {_note(each, case=True) for each in checked.findings if comes_to(each.action, fail_on)}
    unread = [_unread(each) for each in checked.errors]
    things = [_case(thing, file) for thing, file in checked.things]
    notes = [_note(each, case=True) for each in checked.findings]
    return junit(things, [*notes, *unread], fails={*failing, *unread}.__contains__, apart=APART)


def _case(thing: Thing, file: Path) -> str:
    """Return what a test case is called: the suite is the file."""
    return f"{relative(file, Path.cwd()) or file}{APART}{thing.path}"


def _strength(finding: CheckedFinding) -> int:
    return ("audit", "warn", "enforce").index(finding.action)


def _notes(checked: Checked) -> list[Note]:
    return [*map(_unread, checked.errors), *map(_note, checked.findings)]


def _note(finding: CheckedFinding, *, case: bool = False) -> Note:
    path = _case(finding.thing, finding.file) if case else finding.thing.path
    comes = {"enforce": "would be refused", "warn": "would be warned of", "audit": "would be recorded"}
    message = f"{finding.thing.called} {comes[finding.action]}: {finding.message}"
    spot = Spot(finding.file, finding.line, finding.column)
    return Note(
        finding.rule,
        LEVELS[finding.action],
        message,
        (path,),
        finding.fingerprint,
        spot,
        title=finding.title,
        remediation=finding.remediation,
    )


def _unread(error: ManifestError) -> Note:
    spot = Spot(error.file, error.line, error.column)
    return Note(UNREAD, "error", f"it cannot be read: {error.what}", (f"{error.file}",), spot=spot)


def _as_json(checked: Checked) -> Json:
    return {
        "revision": checked.revision,
        "objects": len(checked.things),
        "judged": checked.covered,
        "summary": dict(checked.counts()),
        "notes": list(checked.notes),
        "errors": [
            {"file": str(each.file), "line": each.line, "column": each.column, "message": each.what}
            for each in checked.errors
        ],
        "findings": [_finding(each) for each in checked.findings],
    }


def _finding(finding: CheckedFinding) -> Json:
    thing = finding.thing
    return {
        "rule": finding.rule,
        "title": finding.title,
        "severity": finding.severity,
        "action": finding.action,
        "message": finding.message,
        "operation": finding.operation,
        "file": str(finding.file),
        "line": finding.line,
        "column": finding.column,
        "api_version": thing.api_version,
        "kind": thing.kind,
        "namespace": thing.namespace,
        "name": thing.name,
        "remediation": finding.remediation,
        "fingerprint": finding.fingerprint,
    }
