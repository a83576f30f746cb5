"""What a check finds, and in which order it is told."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from webhook.model import Enforcement
from webhook.review.answer import SEVERITIES

Action = Enforcement
"""What would come of it in the cluster: it is refused, warned of, or recorded alone."""
Done = Literal["CREATE", "UPDATE", "DELETE"]

STRENGTH: Mapping[str, int] = {"enforce": 3, "warn": 2, "audit": 1}


@dataclass(frozen=True, slots=True, order=True)
class Thing:
    """An object of a manifest: who it is in a cluster. `namespace` is empty for what stands in none."""

    namespace: str
    kind: str
    name: str
    api_version: str

    @property
    def path(self) -> str:
        """Its logical location: `checkout-dev/NetworkPolicy/web`; of what stands in no namespace `Namespace/web`."""
        return f"{self.namespace}/{self.kind}/{self.name}" if self.namespace else f"{self.kind}/{self.name}"

    @property
    def called(self) -> str:
        """Its kind and name, in words."""
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {where}{self.name}"

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Who it is, in whatever version: group, kind, namespace, name."""
        return self.api_version.rpartition("/")[0], self.kind, self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an object is written: its file, the how manyth object there it is, and line and column, from 1."""

    file: Path
    index: int = 0
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class CheckedFinding:
    """
    What one rule finds in one object that is created, changed or deleted.

    `message` is the webhook's, `action` what would come of it; `line` and `column` are those of what is at fault, as
    far as the message says. `nth` counts what one rule finds in one object, from 0.
    """

    rule: str
    title: str
    severity: str
    action: Action
    message: str
    operation: Done
    thing: Thing
    spot: Spot
    remediation: str = ""
    nth: int = 0

    @property
    def file(self) -> Path:
        """The file that the object is in."""
        return self.spot.file

    @property
    def line(self) -> int:
        """The most telling line, from 1."""
        return self.spot.line

    @property
    def column(self) -> int:
        """The column there, from 1."""
        return self.spot.column

    @property
    def fingerprint(self) -> str:
        """What stays the same for as long as this rule finds something in this object, wherever that is written."""
        parts = (self.rule, *self.thing.identity, str(self.nth))
        return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]


def fails(findings: Iterable[CheckedFinding], fail_on: str) -> bool:
    """Say whether something comes to `fail_on` (an action, or `never`), or to more."""
    return any(comes_to(each.action, fail_on) for each in findings)


def comes_to(action: Action, fail_on: str) -> bool:
    """Say whether an action is `fail_on`, or more."""
    return fail_on != "never" and STRENGTH[action] >= STRENGTH[fail_on]


def numbered(findings: Iterable[CheckedFinding]) -> Iterator[CheckedFinding]:
    """Yield the findings on one object, those of one rule counted."""
    seen: Counter[str] = Counter()
    for each in findings:
        yield replace(each, nth=seen[each.rule])
        seen[each.rule] += 1


def importance(finding: CheckedFinding) -> tuple[int, int, str, str]:
    """Return what puts the worst on one object first; a severity that is none of ours comes first, to be seen."""
    rank = SEVERITIES.index(finding.severity) if finding.severity in SEVERITIES else -1
    return -STRENGTH[finding.action], rank, finding.rule, finding.message
