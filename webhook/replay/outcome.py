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
What a difference means: something refused passes, something that passed is refused, another verdict but neither of
these, and the same verdict by other rules.
"""

REFUSED: frozenset[Verdict] = frozenset({"deny", "error"})
LONGEST = 1000
"""Characters of a message that are kept of it in an example."""
_STRENGTH: dict[Enforcement, int] = {"enforce": 0, "warn": 1, "audit": 2}


class Fired(NamedTuple):
    """A rule that fired, and what came of it."""

    rule: str
    action: Enforcement


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What a revision says of a document.

    `said` has what each of the rules that fired said, the strongest first; `reason` is why there was no decision.
    """

    verdict: Verdict
    said: dict[Fired, str]
    reason: str = ""

    @property
    def rules(self) -> frozenset[str]:
        """The rules that fired."""
        return frozenset(each.rule for each in self.said)


class Difference(NamedTuple):
    """What differs, and by which rule; `rule` is empty where no rule says it, as where there is no decision."""

    rule: str
    before: Verdict
    after: Verdict

    @property
    def change(self) -> Change:
        """What it means."""
        if self.before == self.after:
            return "rules"
        was, now = self.before in REFUSED, self.after in REFUSED
        return "other" if was == now else "opened" if was else "closed"


def outcome_of(answer: Decision | NoDecisionError) -> Outcome:
    """Return what came of an answer."""
    if isinstance(answer, NoDecisionError):
        return Outcome("error", {}, reason=one_line(str(answer))[:LONGEST])
    said: dict[Fired, str] = {}
    for each in sorted(answer.violations, key=lambda each: (_STRENGTH[each.action], each.rule, each.message)):
        said.setdefault(Fired(each.rule, each.action), one_line(each.message)[:LONGEST])
    return Outcome(verdict_of(answer), said)


def difference_of(base: Outcome, head: Outcome) -> Difference | None:
    """Return what differs, None where the same rules say the same, whatever their words."""
    if (base.verdict, base.said.keys()) == (head.verdict, head.said.keys()):
        return None
    gone, new = base.said.keys() - head.said.keys(), head.said.keys() - base.said.keys()
    # What was refused by a rule that says nothing now passes for want of it; what is refused now, is by a new one.
    first, second = (new, gone) if _severity(head.verdict) < _severity(base.verdict) else (gone, new)
    fired = _strongest(first) or _strongest(second) or _strongest((head if head.said else base).said)
    return Difference(fired.rule if fired else "", base.verdict, head.verdict)


def message_of(outcome: Outcome, rule: str) -> str:
    """Return what the revision said by a rule, or what it said first; empty where it found nothing."""
    by_rule = (message for fired, message in outcome.said.items() if fired.rule == rule)
    return outcome.reason or next(by_rule, next(iter(outcome.said.values()), ""))


def _severity(verdict: Verdict) -> int:
    return ("error", "deny", "warn", "audit", "allow").index(verdict)


def _strongest(fired: Iterable[Fired]) -> Fired | None:
    return min(fired, key=lambda each: (_STRENGTH[each.action], each.rule), default=None)
