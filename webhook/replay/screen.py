"""
Which documents a change of the rules may concern, and by which rules.

A decision is made of what the rules find on the document that look at its kind, weighed by `validate`. Where that
weighs alike under two revisions, and the rules that changed, in themselves or in what they rest on, find the same, the
decision is the same: nothing else of it has to be asked. Whatever cannot be told is decided as a whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from webhook.decision.bundle import INDEX, Bundle, rule_of
from webhook.decision.ground import OURS, Ground, Where, grounds
from webhook.errors import PolicyError
from webhook.model import Policies

KNOWN: Mapping[str, Where] = {
    "portcullis/validate/validate.rego": (OURS, "validate"),
    "portcullis/shipped/shipped.rego": (OURS, "shipped"),
    "portcullis/batch/batch.rego": (OURS, "batch"),
}
"""What makes a decision of what the rules find, in the words in which we know that it looks at nothing else."""
_RULES: Where = (OURS, "rules")
_INDEX: Where = (OURS, "index")


@dataclass(frozen=True, slots=True)
class Screen:
    """The policies of both sides, and the rules that are not the same on both."""

    base: Policies
    head: Policies
    changed: frozenset[str]
    _known: dict[tuple[str, str], tuple[str, ...] | None] = field(default_factory=dict, compare=False, repr=False)

    def of(self, group: str, kind: str) -> tuple[str, ...] | None:
        """Return the changed rules that look at a kind; None where not the same rules look at it under both."""
        # There are few kinds and many documents.
        if (group, kind) not in self._known:
            self._known[group, kind] = self._of(group, kind)
        return self._known[group, kind]

    def _of(self, group: str, kind: str) -> tuple[str, ...] | None:
        demanded = self.base.demanded(group, kind)
        return tuple(sorted(demanded & self.changed)) if demanded == self.head.demanded(group, kind) else None


def screen_of(opa: Path, base: Bundle, head: Bundle, known: Path) -> Screen | None:
    """
    Return what tells the documents that the change may concern; None where it may concern every one of them.

    `base` and `head` are as OPA has them, and `known` is the folder of the Rego that is ours.
    """
    try:
        before, after = grounds(opa, base.whole(), head.whole())
        ours = {name: (known / name).read_bytes() for name in KNOWN}
    except (PolicyError, OSError):
        return None
    sides = ((before, base.policies), (after, head.policies))
    if not all(_understood(ground, policies, ours) for ground, policies in sides):
        return None
    (weighing,) = before.under(KNOWN["portcullis/validate/validate.rego"])
    # What it is told by each rule is compared for itself, and the other two say which rules and what revision.
    beside = [each for each in weighing.uses if each[:2] not in {_RULES, _INDEX, (OURS, "shipped")}]
    if not _same(before, after, *beside):
        return None
    rules = base.policies.rules & head.policies.rules
    same = {rule for rule in rules if _same(before, after, (*_RULES, *_folders(rule), "deny"))}
    return Screen(base.policies, head.policies, (base.policies.rules | head.policies.rules) - same)


def _understood(ground: Ground, policies: Policies, ours: Mapping[str, bytes]) -> bool:
    """Say whether decisions are made as we know it: of these rules, in no other way, and by the index that is ours."""
    for name, where in KNOWN.items():
        if [(each.name, each.content) for each in ground.under(where)] != [(name, ours[name])]:
            return False
    if [each.name for each in ground.under(_INDEX)] != ([INDEX] if policies.kinds else []):
        return False
    for each in ground.under(_RULES):
        rule = rule_of(each.name)
        if rule not in policies.rules or each.package != (*_RULES, *_folders(rule)):
            return False
    return True


def _same(before: Ground, after: Ground, *wheres: Where) -> bool:
    digest = before.digest(*wheres)
    return digest is not None and digest == after.digest(*wheres)


def _folders(rule: str) -> list[str]:
    return rule.replace("-", "_").split("/")
