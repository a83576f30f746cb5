"""What a scan found, as each program wants to read it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webhook.cli.output import Level, Note, Rule, Spot
from webhook.cli.output.junit import junit
from webhook.cli.output.sarif import sarif
from webhook.cli.trees import Places
from webhook.decision.catalogue import RulePage
from webhook.model import PolicyKind
from webhook.review.answer import one_line
from webhook.scan.asking import KINDS
from webhook.scan.finding import STRENGTH, Action, Finding, Thing
from webhook.scan.unruled import ORPHANED, PAGES, UNOWNED
from webhook.scan.whole import Scan

Json = dict[str, Any]

_LEVELS: Mapping[Action, Level] = {"enforce": "error", "warn": "warning", "audit": "warning", "none": "note"}
_COMES: Mapping[Action, str] = {"enforce": "refused", "warn": "warned", "audit": "audited", "none": "none"}
_KIND_OF: Mapping[tuple[str, str], PolicyKind] = {
    (f"{group}/{version}", kind.partition(".")[0]): kind for kind, (group, version) in KINDS.items()
}


@dataclass(frozen=True, slots=True)
class Scanned:
    """A scan with what it takes to tell of it; `places` are where things stand, where they are read from files."""

    scan: Scan
    catalogue: Sequence[RulePage]
    revision: str
    places: Places = field(default_factory=dict)

    def fails(self, fail_on: str) -> bool:
        """Say whether something is found that comes to `fail_on` (an action, or `never`), or to more."""
        return any(_fails(each.action, fail_on) for each in self.scan.findings)

    def named(self, rule: str) -> tuple[str, ...]:
        """Return the namespaces of which a rule says something."""
        return tuple(sorted(each.namespace for each in self.scan.findings if each.rule == rule))

    def counts(self) -> Mapping[str, int]:
        """Return how many things would be refused, warned of and audited, and how many namespaces nobody owns."""
        worst: dict[Thing, Action] = {}
        for each in self.scan.findings:
            # The worst comes first.
            worst.setdefault(each.thing, each.action)
        come = Counter(_COMES[action] for action in worst.values())
        told = {name: come[name] for name in ("refused", "warned", "audited")}
        return {**told, "unowned": len(self.named(UNOWNED)), "orphaned": len(self.named(ORPHANED))}

    def spot(self, thing: Thing) -> Spot | None:
        """Return where a thing stands in files."""
        kind = _KIND_OF.get((thing.api_version, thing.kind), thing.kind)
        manifest = self.places.get((kind, "" if thing.kind == "Namespace" else thing.namespace, thing.name))
        return Spot(manifest.file, manifest.line) if manifest else None

    def remediation(self, rule: str) -> str:
        """Return what to do about what a rule finds."""
        return next((each.remediation for each in self.rules() if each.id == rule), "")

    def rules(self) -> Iterator[Rule]:
        """Yield every rule that may have found something, and what is found without one."""
        for each in self.catalogue:
            address = each.related_resources[0] if each.related_resources else ""
            yield Rule(each.id, each.title, each.description, each.severity, each.remediation, address)
        for rule, page in PAGES.items():
            yield Rule(rule, page.title, severity=page.severity, remediation=page.remediation)


def written(scanned: Scanned, output: str, fail_on: str) -> str:
    """Return the scan in a form for programs; empty for `text`, which is a page."""
    match output:
        case "json":
            return f"{json.dumps(_as_json(scanned), indent=2, ensure_ascii=False)}\n"
        case "sarif":
            return sarif(_notes(scanned), scanned.rules(), root=Path.cwd())
        case "junit":
            things = [each.path for each in scanned.scan.things]
            failing = {_note(each, scanned) for each in scanned.scan.findings if _fails(each.action, fail_on)}
            return junit(things, _notes(scanned), fails=failing.__contains__)
        case _:
            return ""


def _fails(action: Action, fail_on: str) -> bool:
    return fail_on != "never" and action != "none" and STRENGTH[action] >= STRENGTH[_action(fail_on)]


def _action(fail_on: str) -> Action:
    return next(each for each in STRENGTH if each == fail_on)


def _notes(scanned: Scanned) -> list[Note]:
    return [_note(each, scanned) for each in scanned.scan.findings]


def _note(finding: Finding, scanned: Scanned) -> Note:
    comes = {
        "enforce": "would be refused today",
        "warn": "would be warned of today",
        "audit": "would be recorded today",
    }.get(finding.action)
    message = f"{finding.thing.called}{f' {comes}' * bool(comes)}: {finding.message}"
    things = tuple(each.path for each in finding.policies or (finding.thing,))
    spot = scanned.spot(finding.thing)
    return Note(finding.rule, _LEVELS[finding.action], one_line(message), things, finding.fingerprint, spot)


def _as_json(scanned: Scanned) -> Json:
    scan = scanned.scan
    return {
        "revision": scanned.revision,
        "namespaces": scan.namespaces,
        "policies": len(scan.things) - scan.namespaces,
        "ending": list(scan.ending),
        "summary": dict(scanned.counts()),
        "unowned": list(scanned.named(UNOWNED)),
        "orphaned": list(scanned.named(ORPHANED)),
        "findings": [_finding(each, scanned) for each in scan.findings],
    }


def _finding(finding: Finding, scanned: Scanned) -> Json:
    thing, spot = finding.thing, scanned.spot(finding.thing)
    return {
        "rule": finding.rule,
        "title": finding.title,
        "severity": finding.severity,
        "action": finding.action,
        "message": finding.message,
        "namespace": thing.namespace,
        "api_version": thing.api_version,
        "kind": thing.kind,
        "name": thing.name,
        "policies": [{"kind": each.kind, "name": each.name} for each in finding.policies],
        "remediation": scanned.remediation(finding.rule),
        "fingerprint": finding.fingerprint,
        "file": str(spot.file) if spot else None,
        "line": spot.line if spot else None,
    }
