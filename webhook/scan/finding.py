"""What a scan finds, and in which order it is told."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from webhook.model import Enforcement
from webhook.review.answer import SEVERITIES

Action = Literal["enforce", "warn", "audit", "none"]
"""What would come of writing it today; `none` where no rule speaks: nobody owns it, say."""

STRENGTH: Mapping[Action, int] = {"enforce": 3, "warn": 2, "audit": 1, "none": 0}
LONGEST = 1000
"""Characters of a message; a policy may be wrong in a great many places."""
MOST_SENTENCES = 5
"""So many sentences stand in the state of a namespace; the others are counted."""
LONGEST_SENTENCE = 400
MOST_NAMES = 5
"""So many policies are named in one sentence."""

_TIMES = re.compile(r"\d{4}-\d{2}-\d{2}T[0-9:.]+Z", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Thing:
    """An object that stands; a Namespace is in itself."""

    namespace: str
    kind: str
    name: str
    api_version: str

    @property
    def path(self) -> str:
        """Its logical location: `checkout-dev/NetworkPolicy/web`."""
        return f"{self.namespace}/{self.kind}/{self.name}"

    @property
    def called(self) -> str:
        """Its kind and name, in words."""
        return f"{self.kind} {self.name}"


def namespace_thing(name: str) -> Thing:
    """Return a Namespace."""
    return Thing(name, "Namespace", name, "v1")


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What one rule finds in one thing.

    `title` and `severity` are the rule's; `message` says why, without who asks, and `action` what would come of it.
    `policies` are those that do it together, `thing` first and alone where no other is needed.
    """

    rule: str
    title: str
    severity: str
    message: str
    action: Action
    thing: Thing
    policies: tuple[Thing, ...] = ()

    @property
    def namespace(self) -> str:
        """The namespace that it is in."""
        return self.thing.namespace

    @property
    def ruled(self) -> bool:
        """Whether a rule says so; else nobody would be refused for it."""
        return self.action != "none"

    @property
    def fingerprint(self) -> str:
        """What stays the same for as long as this rule finds something in this thing, whatever the words."""
        parts = (self.rule, self.thing.api_version, self.thing.kind, self.thing.namespace, self.thing.name)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    def says(self, other: "Finding") -> bool:
        """Say whether it says the same as another one; the time at which it was asked does not count."""
        return replace(self, message=_TIMES.sub("", self.message)) == replace(
            other, message=_TIMES.sub("", other.message)
        )


def strongest(actions: Iterable[Enforcement]) -> Enforcement:
    """Return the strongest of some actions."""
    return max(actions, key=lambda each: STRENGTH[each])


def importance(finding: Finding) -> tuple[int, int, Thing, str]:
    """Return what puts the worst first (a severity that is none of ours, to be seen), and else sorts by where it is."""
    rank = SEVERITIES.index(finding.severity) if finding.severity in SEVERITIES else -1
    return -STRENGTH[finding.action], rank, finding.thing, finding.rule


def outvoted_by(findings: Iterable[Finding]) -> tuple[str, ...]:
    """
    Say which policies undo a default deny: a sentence for each enforced guardrail and the policies that do it.

    Who does it only together with one that does it alone is not told of, nor with more than it takes.
    """
    enforced = [each for each in findings if each.action == "enforce" and each.rule.startswith("guardrail/")]
    alone: defaultdict[tuple[str, str], list[Finding]] = defaultdict(list)
    doing: dict[tuple[str, frozenset[Thing]], Finding] = {}
    for each in sorted(enforced, key=lambda each: (len(each.policies), importance(each))):
        them = frozenset(each.policies)
        if len(them) < 2:
            alone[each.rule, each.message].append(each)
        if not any(rule == each.rule and them > fewer for rule, fewer in doing):
            doing.setdefault((each.rule, them), each)
    told = [(every[0], _listed(each.thing for each in every)) for every in alone.values()]
    told += [(each, f"{_listed(them)} together") for (_, them), each in doing.items() if len(them) > 1]
    sentences = [_sentence(each, who) for each, who in sorted(told, key=lambda pair: importance(pair[0]))]
    further = len(sentences) - MOST_SENTENCES
    more = (f"and {further} more, which portcullis scan tells",) if further > 0 else ()
    return (*sentences[:MOST_SENTENCES], *more)


def _listed(things: Iterable[Thing]) -> str:
    names = sorted({each.called for each in things})
    if len(names) > MOST_NAMES:
        names = [*names[:MOST_NAMES], f"{len(names) - MOST_NAMES} more"]
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _sentence(finding: Finding, who: str) -> str:
    sentence = f"{who} [{finding.rule}]: {finding.message}"
    return sentence if len(sentence) <= LONGEST_SENTENCE else f"{sentence[: LONGEST_SENTENCE - 1]}…"
