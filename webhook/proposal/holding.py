"""
Who holds which role on both sides, as the rules find it.

Where the rules are the same on both sides, what one holds at a tenant differs only where that tenant does: so all
subjects are asked about at the tenants that differ alone, and only those for whom that makes a difference about more.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from webhook.decision.document import User
from webhook.decision.opa import Opa, held
from webhook.model import Subject, Tenant
from webhook.proposal.rights import Held, Site, sites_of
from webhook.tenancy.tree import Tree

SECONDS = 60.0
AT_ONCE = 4
_MEMBER = "portcullis:review:member"


@dataclass(frozen=True, slots=True)
class Holding:
    """One side: an OPA with its rules, and its tree; None for none."""

    opa: Opa
    tree: Tree | None

    @property
    def tenants(self) -> Mapping[str, Tenant]:
        """The tenants by key."""
        return self.tree.tenants if self.tree else {}

    @property
    def sites(self) -> Mapping[str, Site]:
        """The places by name."""
        return sites_of(self.tree) if self.tree else {}

    async def held(self, subjects: Iterable[Subject], keys: Iterable[str]) -> Held:
        """Return what each subject holds at the tenants of some keys; raises `NoDecisionError`."""
        tenants = {key: self.tenants[key] for key in sorted(keys) if key in self.tenants}
        room = asyncio.Semaphore(AT_ONCE)

        async def of(subject: Subject) -> tuple[Subject, Mapping[str, frozenset[str]]]:
            async with room:
                found = await held(self.opa, _user(subject), tenants, seconds=SECONDS) if tenants else {}
                return subject, {key: roles for key, roles in found.items() if roles}

        return dict(await asyncio.gather(*map(of, subjects)))


def subjects_of(tree: Tree | None) -> set[Subject]:
    """Return all whom a tree names."""
    tenants = tree.tenants.values() if tree else ()
    return set(chain.from_iterable(grant.subjects for tenant in tenants for grant in tenant.roles))


async def held_by_each(base: Holding, head: Holding, *, same_rules: bool) -> tuple[Held, Held]:
    """
    Return what those hold whose rights may differ, at the tenants where that matters, on both sides.

    Raises `NoDecisionError`.
    """
    subjects = subjects_of(base.tree) | subjects_of(head.tree)
    keys = {*base.tenants, *head.tenants}
    if same_rules and base.tree and head.tree:
        differing = {key for key in keys if _grants(base, key) != _grants(head, key)}
        affected, moved = _affected(base.sites, head.sites, differing)
        before, after = await _both(base, head, subjects, differing | moved)
        subjects = {each for each in subjects if _differs(before[each], after[each], moved)}
        keys = affected
    return await _both(base, head, subjects, keys)


async def _both(base: Holding, head: Holding, subjects: Iterable[Subject], keys: Iterable[str]) -> tuple[Held, Held]:
    before, after = await asyncio.gather(base.held(subjects, keys), head.held(subjects, keys))
    return before, after


def _grants(side: Holding, key: str) -> object:
    tenant = side.tenants.get(key)
    return (tenant.kind, tenant.roles) if tenant else None


def _affected(
    base: Mapping[str, Site], head: Mapping[str, Site], differing: Iterable[str]
) -> tuple[set[str], set[str]]:
    """Return the tenants above the places where rights may differ, and those above places that stand elsewhere."""
    changed, affected, moved = set(differing), set[str](), set[str]()
    for sites in {(base.get(place), head.get(place)) for place in {*base, *head}}:
        path = {key for site in sites if site for key in site[1]}
        if sites[0] != sites[1]:
            moved |= path
            affected |= path
        elif path & changed:
            affected |= path
    return affected, moved


def _differs(before: Mapping[str, frozenset[str]], after: Mapping[str, frozenset[str]], moved: Iterable[str]) -> bool:
    return before != after or any(key in before or key in after for key in moved)


def _user(subject: Subject) -> User:
    match subject.kind:
        case "User":
            return User(subject.name, ())
        case "Group":
            return User(_MEMBER, (subject.name,))
        case "ServiceAccount":
            return User(f"system:serviceaccount:{subject.namespace}:{subject.name}", ())
