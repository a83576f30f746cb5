"""What came of one document under one revision, and what differs between two."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from webhook.errors import NoDecisionError
from webhook.history.record import Verdict, verdict_of
from webhook.model import Decision, Enforcement
from webhook.review.answer import one_line

Change = Literal["opened", "closed", "other", "rules"]
"""
What a difference means: what was refused passes, what passed is refused, another verdict that is neither of these, and
the same verdict by other rules.
"""

LONGEST = 1000
"""Characters of what a rule said that an example keeps."""
_REFUSED: frozenset[Verdict] = frozenset({"deny", "error"})
_STRENGTH: tuple[Verdict, ...] = ("error", "deny", "warn", "audit", "allow")
_ACTIONS: tuple[Enforcement, ...] = ("enforce", "warn", "audit")


class Fired(NamedTuple):
    """A rule that found something, and what came of it."""

    rule: str
    action: Enforcement


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What a revision says of a document.

    `said` has the words of each rule that fired, the strongest first; `reason` is why there was no decision.
    """

    verdict: Verdict
    said: dict[Fired, str]
    reason: str = ""

    @property
    def rules(self) -> frozenset[str]:
        """The rules that fired."""
        return frozenset(each.rule for each in self.said)

    def message(self, rule: str) -> str:
        """Return what `rule` said, else what the first one did; empty where none did."""
        of_rule = (message for fired, message in self.said.items() if fired.rule == rule)
        return self.reason or next(of_rule, next(iter(self.said.values()), ""))


class Difference(NamedTuple):
    """Two verdicts, and the rule that makes the difference: empty where that is none, as without a decision."""

    rule: str
    before: Verdict
    after: Verdict

    @property
    def change(self) -> Change:
        """What it means."""
        if self.before == self.after:
            return "rules"
        was, now = self.before in _REFUSED, self.after in _REFUSED
        return "other" if was == now else "opened" if was else "closed"


def outcome_of(answer: Decision | NoDecisionError) -> Outcome:
    """Return what came of an answer."""
    if isinstance(answer, NoDecisionError):
        return Outcome("error", {}, reason=one_line(str(answer), longest=LONGEST))
    said: dict[Fired, str] = {}
    for each in sorted(answer.violations, key=lambda each: (_ACTIONS.index(each.action), each.rule, each.message)):
        said.setdefault(Fired(each.rule, each.action), one_line(each.message, longest=LONGEST))
    return Outcome(verdict_of(answer), said)


def difference_of(base: Outcome, head: Outcome) -> Difference | None:
    """Return what differs; None where the same rules do the same, whatever their words."""
    if (base.verdict, base.said.keys()) == (head.verdict, head.said.keys()):
        return None
    gone, new = base.said.keys() - head.said.keys(), head.said.keys() - base.said.keys()
    # What becomes stricter does so by a rule that is new to it, all else for want of one that was there.
    stricter = _STRENGTH.index(head.verdict) < _STRENGTH.index(base.verdict)
    candidates = (new, gone, head.said) if stricter else (gone, new, base.said)
    rule = "" if head.reason else next(filter(None, map(_strongest, candidates)), "")
    return Difference(rule, base.verdict, head.verdict)


def _strongest(fired: Iterable[Fired]) -> str:
    first = min(fired, key=lambda each: (_ACTIONS.index(each.action), each.rule), default=None)
    return first.rule if first else ""
