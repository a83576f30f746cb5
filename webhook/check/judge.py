"""
Asks the rules about deeds as the webhook does: the facts by `gather`, the answers by the decision room.

Where no caller is named the facts say that who asks holds every role, and what the rules say on who may do what
(`rbac/*`) is left out, but for what nobody could do: a namespace that is not known, an object that cannot be read.
Nothing is decided here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from webhook.check.asking import NOBODY, Caller, Deed, review_of
from webhook.check.finding import CheckedFinding, Spot, importance, numbered
from webhook.decision.catalogue import RulePage
from webhook.decision.document import Document
from webhook.decision.opa import Opa, decide_many, mutate
from webhook.errors import NoDecisionError
from webhook.gather import gather
from webhook.model import Cover, Decision, Grant, Place, Policies, Standing, Subject, Tenant, Violation
from webhook.reach.facts import Meanings
from webhook.review.answer import one_line
from webhook.review.patch import applied, patch_of
from webhook.tenancy.tree import Tree

SECONDS = 60.0
"""For one answer: many are asked for at once, on machines that do more beside."""
WHO = "rbac/"
UNDECIDED = "check/undecided"
INVALID = "check/invalid"
LONGEST = 2000
_EVERYTHING = Grant("OrgAdmin", (Subject("User", NOBODY),))


@dataclass(frozen=True, slots=True)
class Own:
    """What is found without a rule: what it is, and what to do about it."""

    title: str
    severity: str
    remediation: str


OWN: Mapping[str, Own] = {
    UNDECIDED: Own(
        "It cannot be decided",
        "high",
        "Nobody could write it (500): write it in another way, or mend the rule that fails.",
    ),
    INVALID: Own(
        "The API server refuses it",
        "high",
        "Write the field as its API has it; see kubectl explain.",
    ),
}


@dataclass(frozen=True, slots=True)
class Judge:
    """What it takes to ask: the OPA and its policies, the pages of the rules, who asks and as of when."""

    opa: Opa
    policies: Policies
    catalogue: Mapping[str, RulePage]
    now: datetime
    caller: Caller | None = None
    break_glass_groups: tuple[str, ...] = ()
    meanings: Meanings = field(default_factory=Meanings)
    _opened: list[Tenant] = field(default_factory=list)
    """The organization as it was last, and with everybody among its admins."""

    def document(self, deed: Deed, tree: Tree) -> Document:
        """Gather the facts of a deed; raises pydantic's `ValidationError` like `review_of`."""
        review = review_of(deed, self.caller)
        document = gather(review, tree, self.break_glass_groups, self.meanings, now=self.now)
        if document.cover is not None:
            # What lacks is brought before a pod is judged; that a baseline does not exist is not mended by that.
            document = replace(document, cover=Cover(failed=document.cover.failed))
        if self.caller is not None:
            return document
        return replace(document, tenants={**document.tenants, tree.organization.key: self._open(tree.organization)})

    def _open(self, organization: Tenant) -> Tenant:
        """Return the organization with whom nobody names among its admins; it is the same for thousands."""
        if not self._opened or self._opened[0] is not organization:
            opened = replace(organization, roles=(*organization.roles, _EVERYTHING))
            self._opened[:] = [organization, opened]
        return self._opened[1]

    async def stamped(self, deed: Deed, tree: Tree) -> Deed:
        """Return the deed on a Namespace with what the mutation stamps on it; raises `NoDecisionError`, too."""
        if deed.new is None:
            return deed
        document = self.document(deed, tree)
        mutation = await mutate(self.opa, document, self.policies, seconds=SECONDS)
        return replace(deed, new=applied(deed.new, patch_of(deed.new.get("metadata"), mutation.changes)))

    async def decisions(self, documents: Sequence[Document]) -> tuple[Decision | NoDecisionError, ...]:
        """Return the decisions; raises `NoDecisionError` where asking again may help, for nothing is known then."""
        answers = await decide_many(self.opa, documents, self.policies, seconds=SECONDS)
        for each in answers:
            if isinstance(each, NoDecisionError) and each.retry:
                raise each
        return answers

    def findings(
        self, deed: Deed, document: Document, decision: Decision | NoDecisionError, spot: Spot
    ) -> tuple[CheckedFinding, ...]:
        """Return what the rules find, the worst first; no decision is a refusal, and found as one."""
        if isinstance(decision, NoDecisionError):
            return (own_finding(UNDECIDED, deed, spot, str(decision)),)
        counted = (each for each in decision.violations if self._counts(each, document))
        found = [self._finding(each, deed, spot, passes=decision.break_glass) for each in counted]
        return tuple(numbered(sorted(found, key=importance)))

    def _counts(self, violation: Violation, document: Document) -> bool:
        return self.caller is not None or not violation.rule.startswith(WHO) or _nobodys(document)

    def _finding(self, violation: Violation, deed: Deed, spot: Spot, *, passes: bool) -> CheckedFinding:
        page = self.catalogue.get(violation.rule)
        message = violation.message if self.caller else _without_asker(violation.message, deed)
        return CheckedFinding(
            rule=violation.rule,
            title=page.title if page else "",
            severity=violation.severity,
            # What break-glass overrides is told to the caller.
            action="warn" if passes else violation.action,
            message=one_line(message, longest=LONGEST),
            operation=deed.operation,
            thing=deed.thing,
            spot=spot,
            remediation=page.remediation if page else "",
        )


def own_finding(rule: str, deed: Deed, spot: Spot, message: str) -> CheckedFinding:
    """Return a finding of one of `OWN`, which refuses."""
    page = OWN[rule]
    said = one_line(message, longest=LONGEST)
    return CheckedFinding(
        rule, page.title, page.severity, "enforce", said, deed.operation, deed.thing, spot, page.remediation
    )


def _nobodys(document: Document) -> bool:
    """Say whether nobody could do it, whoever asks: where it would stand is not known, or what it says."""
    return bool(document.unreadable) or any(place.standing is Standing.UNKNOWN for place in _places(document))


def _places(document: Document) -> Iterator[Place]:
    places = document.places
    yield from (each for each in (places.new, places.old) if each is not None)


def _without_asker(message: str, deed: Deed) -> str:
    """Return why, without that nobody may not do what to which thing: the finding has that."""
    begin = f"{NOBODY} may not {deed.operation.lower()} {deed.thing.called}"
    return message.removeprefix(begin).removeprefix(":").strip()
