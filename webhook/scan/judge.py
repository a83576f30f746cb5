"""
Asks the rules what they would say of what stands, if it were to be written today.

They are asked as at admission, about the same facts, by somebody who holds every role: so it is the thing that is
judged, not who wrote it, and what belongs together is told by name. Rules about who may do what (`rbac/*`) are left
out. Nothing is decided here.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Literal, NamedTuple, Protocol

from webhook.decision.document import Document
from webhook.decision.opa import Opa, decide, mutate
from webhook.errors import NoDecisionError
from webhook.gather import gather
from webhook.model import Enforcement, Grant, Namespace, Opening, Policies, Policy, Reach, Subject, Violation
from webhook.reach.facts import Meanings
from webhook.reaches import beside
from webhook.review.envelope import ReviewRequest
from webhook.review.patch import applied, patch_of
from webhook.scan.asking import ASKER, namespace_asked, namespace_changed, policy_asked
from webhook.scan.finding import LONGEST, Finding, Thing, namespace_thing, strongest
from webhook.scan.unruled import UNDECIDED, found, thing_of
from webhook.tenancy.tree import Tree

SECONDS = 10.0
MANY = 20
"""Policies beside the one that is judged from which on its facts are gathered beside the event loop."""
LARGE = 200
"""Levels and items of a policy, roughly, from which on it is the same."""
MOST_NAMED = 20
"""So many policies are named that do something together."""
WHO = "rbac/"
"""The category of the rules on who may do what."""
_DIRECTIONS: tuple[Literal["ingress", "egress"], ...] = ("ingress", "egress")
_EVERYTHING = Grant("OrgAdmin", (Subject("User", ASKER),))


class Engine(Protocol):
    """What decides at a time: an OPA, and the policies that it has to have."""

    @property
    def opa(self) -> Opa:
        """The OPA."""
        ...

    @property
    def policies(self) -> Policies:
        """Its policies."""
        ...


class OneOpa(NamedTuple):
    """An OPA with the same policies for as long as it runs."""

    opa: Opa
    policies: Policies


@dataclass(frozen=True, slots=True)
class Judge:
    """What it takes to ask: who decides by the rules, and the title of each of them."""

    engine: Engine
    titles: Mapping[str, str]
    meanings: Meanings = field(default_factory=Meanings)

    @property
    def revision(self) -> str:
        """Which rules decide now."""
        return self.engine.policies.revision

    async def policy(self, tree: Tree, policy: Policy, now: datetime) -> tuple[Finding, ...]:
        """
        Return what the rules find in a policy that stands, beside the others that do, as of an aware time.

        Raises `NoDecisionError` where asking again may help.
        """
        thing, review = thing_of(policy), policy_asked(policy)
        facts = partial(self._document, review, tree, now)
        many = beside(review, tree) > MANY or _is_large(policy.spec)
        document = await asyncio.to_thread(facts) if many else facts()
        return await _decided(self._of_policy(document, thing, tree), thing)

    async def namespace(self, tree: Tree, namespace: Namespace, now: datetime) -> tuple[Finding, ...]:
        """Return what the rules find in a Namespace that stands, once it is stamped; like `policy`."""
        thing = namespace_thing(namespace.name)
        return await _decided(self._of_namespace(namespace, tree, now), thing)

    async def _of_policy(self, document: Document, thing: Thing, tree: Tree) -> tuple[Finding, ...]:
        violations = await self._violations(document)
        together = await self._together(document, {each.rule for each in violations}) if violations else {}
        others = {rule: _named(names, tree, thing) for rule, names in together.items()}
        return self._findings(violations, thing, others)

    async def _of_namespace(self, namespace: Namespace, tree: Tree, now: datetime) -> tuple[Finding, ...]:
        asked = namespace_asked(namespace)
        document = self._document(asked, tree, now)
        mutation = await mutate(self.engine.opa, document, self.engine.policies, seconds=SECONDS)
        raw = asked.object.raw if asked.object else {}
        stamped = namespace_changed(applied(raw, patch_of(raw["metadata"], mutation.changes)))
        violations = await self._violations(self._document(stamped, tree, now))
        return self._findings(violations, namespace_thing(namespace.name), {})

    def _document(self, review: ReviewRequest, tree: Tree, now: datetime) -> Document:
        """Gather the facts, and say that who asks holds every role."""
        document = gather(review, tree, (), self.meanings, now=now)
        key = tree.organization.key
        organization = replace(tree.organization, roles=(*tree.organization.roles, _EVERYTHING))
        return replace(document, tenants={**document.tenants, key: organization})

    async def _violations(self, document: Document) -> tuple[Violation, ...]:
        decision = await decide(self.engine.opa, document, self.engine.policies, seconds=SECONDS)
        return tuple(each for each in decision.violations if not each.rule.startswith(WHO))

    async def _together(self, document: Document, fired: set[str]) -> Mapping[str, frozenset[str]]:
        """Return the names of the others that it takes for a rule to fire: without them it would not."""
        names: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
        for reach in document.reaches:
            for direction in _DIRECTIONS:
                opening = reach.ingress if direction == "ingress" else reach.egress
                if opening is None or not opening.joint_with:
                    continue
                apart = replace(document, reaches=(_alone(reach, direction, opening),))
                for rule in fired - {each.rule for each in await self._violations(apart)}:
                    names[rule] |= frozenset(opening.joint_with)
        return names

    def _findings(
        self, violations: Iterable[Violation], thing: Thing, others: Mapping[str, tuple[Thing, ...]]
    ) -> tuple[Finding, ...]:
        by_rule: defaultdict[str, list[Violation]] = defaultdict(list)
        for each in sorted(violations, key=lambda each: (each.rule, each.message)):
            by_rule[each.rule].append(each)
        return tuple(
            Finding(
                rule=rule,
                title=self.titles.get(rule, ""),
                severity=every[0].severity,
                message=_message(every, thing),
                action=strongest(_actions(every)),
                thing=thing,
                policies=(thing, *others.get(rule, ())) if thing.kind != "Namespace" else (),
            )
            for rule, every in by_rule.items()
        )


async def _decided(asking: Awaitable[tuple[Finding, ...]], thing: Thing) -> tuple[Finding, ...]:
    """Return what is found; that there can be no decision on this one thing is found, too: it would be refused."""
    try:
        return await asking
    except NoDecisionError as error:
        if error.retry:
            raise
        return (replace(found(UNDECIDED, thing, str(error)), action="enforce"),)


def _alone(reach: Reach, direction: str, opening: Opening) -> Reach:
    """Return what a policy would open in one direction if no other stood there."""
    apart = replace(opening, joint_ipv4=opening.ipv4, joint_ipv6=opening.ipv6, joint_with=())
    return replace(reach, ingress=apart) if direction == "ingress" else replace(reach, egress=apart)


def _named(names: frozenset[str], tree: Tree, thing: Thing) -> tuple[Thing, ...]:
    """Return the policies of these names that stand beside a thing, whichever their kinds."""
    standing = (thing_of(each) for each in tree.standing_policies(thing.namespace, but="") if each.name in names)
    return tuple(sorted(each for each in standing if each != thing))[:MOST_NAMED]


def _actions(violations: Iterable[Violation]) -> Iterable[Enforcement]:
    return (each.action for each in violations)


def _message(violations: Iterable[Violation], thing: Thing) -> str:
    """Return why, without who may not do what to which thing: the finding has that."""
    begin = f"{ASKER} may not create {thing.kind} "
    where = thing.name if thing.kind == "Namespace" else f"{thing.namespace}/{thing.name}"
    said = "; ".join(dict.fromkeys(each.message.removeprefix(f"{begin}{where}: ") for each in violations))
    return said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"


def _is_large(spec: object) -> bool:
    """Say whether something has many parts, without looking at more of them than that."""
    left, stack = LARGE, [spec]
    while stack and left > 0:
        left -= 1
        match stack.pop():
            case dict() as each:
                stack.extend(each.values())
            case list() as each:
                stack.extend(each)
            case _:
                pass
    return left <= 0
