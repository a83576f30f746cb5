"""A review as each program wants to read it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from webhook.cli.output import Level, Note, Rule, Spot
from webhook.cli.output.junit import junit
from webhook.cli.output.sarif import sarif
from webhook.decision.catalogue import RulePage
from webhook.proposal.part import FailOn, Part, Remark
from webhook.review.answer import one_line
from webhook.scan.finding import Action

Json = dict[str, Any]

LEVELS: Mapping[Action, Level] = {"enforce": "error", "warn": "warning", "audit": "warning", "none": "note"}
LONGEST = 2000
"""Characters of a message: a change may give one group rights in a great many places."""
PAGES: Mapping[str, tuple[str, str]] = {
    "rego/format": ("Rego is written as opa fmt writes it", "Run opa fmt -w on the folder."),
    "rego/check": ("Rego passes the strict check against the schema", "Mend what opa check --strict says."),
    "rego/metadata": ("Every rule says what it is", "Give its package the METADATA that the other rules have."),
    "rego/layout": ("Rules lie where they are found", "One folder a rule, with its tests beside it."),
    "rego/tests": ("The tests of the rules pass", "Mend the rule, or the test that says otherwise."),
    "rego/coverage": ("The tests of a rule run all of it", "Test what no test runs."),
    "rego/mutation": ("A test notices what changes in a rule", "Test what may be changed without a test failing."),
    "rego/watched": ("A rule goes, or looks at less", "See that what it refused there may pass."),
    "rego/excused": ("A survivor of the mutants is excused", "See that the reason holds for every document."),
    "replay/flip": (
        "A recorded decision would come out otherwise",
        "See that those whom it would have met are meant, above all where what was refused would pass.",
    ),
    "replay/records": (
        "The change brings the records that it is judged by",
        "Give --history a URL, or a file of CI's.",
    ),
    "replay/note": ("Something is to be known of the replay", ""),
    "tenancy/rights": ("A subject gains or loses rights", "See that those who gain are meant."),
    "tenancy/rules": ("A role gains or loses rights by the rules", "See that whoever holds the role is meant."),
    "tenancy/owner": ("A namespace comes, goes or changes hands", "See that the new owner is meant."),
    "tenancy/tenant": ("A tenant comes, goes or moves", ""),
    "tenancy/baseline": ("A baseline changes, or applies elsewhere", "See that no namespace is left unprotected."),
    "tenancy/guardrail": ("A guardrail widens or narrows", "Widen no more than what needs it."),
    "tenancy/enforcement": ("Rules are softened or hardened", "Soften no more than what needs it."),
    "tenancy/exemption": ("A namespace is exempt from its baselines", "Take the exemption out when it is not needed."),
    "tenancy/tree": ("The tenant tree is not whole", "Mend what the line says."),
    "proposal/tenancy": ("Something of the tree is not looked at", "See why it is left out."),
    "proposal/manifests": ("Some manifest is not looked at", "See why it is left out."),
    "proposal/rego": ("Some Rego is not looked at", "See why it is left out."),
    "manifests/reach": ("Who can reach whom changes", ""),
    "manifests/base": ("The manifests of the base cannot all be judged", ""),
    "manifests/unreadable": ("A manifest cannot be read as kubectl reads it", "Mend what the line says."),
}
"""What a review finds without a rule of the policies: its title, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Revisions:
    """What is compared: the base as it was named, its commit, and the revision of the rules of both sides."""

    base: str
    commit: str
    base_rules: str
    head_rules: str


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A review with what it takes to tell of it."""

    revisions: Revisions
    parts: tuple[Part, ...]
    catalogue: Sequence[RulePage]
    fail_on: FailOn
    homes: Mapping[str, str] = field(default_factory=dict)
    """The file or folder that stands for a part, for readers that want one of everything."""

    @property
    def failing(self) -> tuple[Remark, ...]:
        """What the review fails for."""
        return tuple(each for part in self.parts for each in part.remarks if each.fails(self.fail_on))

    @property
    def undone(self) -> tuple[Part, ...]:
        """The parts that could not be done."""
        return tuple(each for each in self.parts if each.state == "not done")

    @property
    def code(self) -> int:
        """The exit code."""
        return 2 if self.undone else 1 if self.failing else 0

    @property
    def verdict(self) -> str:
        """The review in a line."""
        failing = len(self.failing)
        found = (
            f"{failing} {'finding' if failing == 1 else 'findings'} to look at" if failing else "nothing to object to"
        )
        if not self.undone:
            return found
        return f"{', '.join(each.title for each in self.undone)} could not be judged; {found}"

    def rules(self) -> Iterator[Rule]:
        """Yield every rule that may have found something."""
        for each in self.catalogue:
            address = each.related_resources[0] if each.related_resources else ""
            yield Rule(each.id, each.title, each.description, each.severity, each.remediation, address)
        for rule, (title, remedy) in PAGES.items():
            yield Rule(rule, title, severity="medium", remediation=remedy)


def note(remark: Remark) -> Note:
    """Return one remark as a note."""
    spot = Spot(Path(remark.file), remark.line, remark.column) if remark.file else None
    level: Level = "error" if remark.always else LEVELS[remark.action]
    said = one_line(remark.message, longest=LONGEST)
    return Note(remark.rule, level, said, (one_line(remark.thing),), remark.fingerprint, spot)


def as_sarif(reviewed: Reviewed) -> str:
    """Return the review as SARIF: what is a finding, each with a file, without which GitHub takes none of it."""
    told = [
        replace(note(each), spot=note(each).spot or _home(part, reviewed))
        for part in reviewed.parts
        for each in part.remarks
        if each.always or each.action != "none"
    ]
    return sarif(told, list(reviewed.rules()), root=Path.cwd())


def _home(part: Part, reviewed: Reviewed) -> Spot | None:
    place = reviewed.homes.get(part.name)
    return Spot(Path(place)) if place else None


def as_junit(reviewed: Reviewed) -> str:
    """Return the review as JUnit XML: a suite a part, and a case each thing that is told of."""
    failing = {note(each) for each in reviewed.failing}
    told: list[Note] = []
    for part in reviewed.parts:
        for remark in part.remarks:
            plain = note(remark)
            told.append(
                Note(plain.rule, plain.level, plain.message, (f"{part.name}/{plain.things[0]}",), plain.fingerprint)
            )
    fails = {each.fingerprint for each in failing}
    every = [f"{part.name}/{part.title}" for part in reviewed.parts if part.state != "not applicable"]
    undone = [
        Note(f"review/{each.name}", "error", one_line(each.summary, longest=LONGEST), (f"{each.name}/{each.title}",))
        for each in reviewed.undone
    ]
    return junit(every, [*told, *undone], fails=lambda each: each in undone or each.fingerprint in fails)


def as_json(reviewed: Reviewed) -> str:
    """Return the review as one object."""
    return f"{json.dumps(_json(reviewed), indent=2, ensure_ascii=False)}\n"


def _json(reviewed: Reviewed) -> Json:
    of = {each.name: each for each in reviewed.parts}
    told = {key: value for part in reviewed.parts for key, value in part.told.items()}
    return {
        "base": reviewed.revisions.base,
        "commit": reviewed.revisions.commit,
        "revisions": {"base": reviewed.revisions.base_rules, "head": reviewed.revisions.head_rules},
        "verdict": reviewed.verdict,
        "exit_code": reviewed.code,
        "flips": told.get("flips", []),
        "rights": told.get("rights", []),
        "reach": told.get("reach", []),
        "parts": {name: _part(each, reviewed.fail_on) for name, each in of.items()},
    }


def _part(part: Part, fail_on: FailOn) -> Json:
    apart = {"flips", "rights", "reach"}
    return {
        "title": part.title,
        "state": part.state,
        "summary": part.summary,
        "known": part.known,
        "fixed": part.fixed,
        **{key: value for key, value in part.told.items() if key not in apart},
        "findings": [_finding(each, fail_on) for each in part.remarks],
    }


def _finding(remark: Remark, fail_on: FailOn) -> Json:
    return {
        "rule": remark.rule,
        "action": remark.action,
        "level": "error" if remark.always else LEVELS[remark.action],
        "fails": remark.fails(fail_on),
        "message": remark.message,
        "thing": remark.thing,
        "file": remark.file or None,
        "line": remark.line or None,
        "column": remark.column or None,
        "fingerprint": remark.fingerprint,
    }
