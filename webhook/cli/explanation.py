"""What there is to say of one namespace: facts of the tree, and what the gate answers."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from webhook.baseline.wanted import WantedPolicy, wanted_at
from webhook.cli.actions import Action, Site, actions_at
from webhook.cli.facts import Facts, facts_of, roles_of
from webhook.cli.judging import Caller, Judge, Judged
from webhook.decision.catalogue import RulePage
from webhook.decision.document import User
from webhook.decision.opa import held
from webhook.errors import SettingsError
from webhook.model import Grant, Namespace, Place, Subject, Tenant
from webhook.tenancy.tree import Tree

Json = dict[str, Any]

AUTHENTICATED = "system:authenticated"
HELD_SECONDS = 30.0
"""For the roles of a person in the whole tree, which is asked about once."""
_ACCOUNT = "system:serviceaccount:"
UNNAMED = WantedPolicy("", "baseline.policy", "baseline", {"podSelector": {}, "policyTypes": ["Ingress"]}, repairs=True)
"""Stands for a policy of a baseline to those who are not told its name."""
_PROBE = "portcullis:explain:"
"""Begins the names of those whom we ask about roles as: nobody is called so, for no role is theirs but by us."""


@dataclass(frozen=True, slots=True)
class Permission:
    """
    Which roles may do an action, and what comes of it for all others.

    `others` is a verdict; where it is no denial, the rules that would refuse are softened or refuse nobody.
    """

    action: str
    title: str
    roles: tuple[str, ...]
    others: str
    break_glass: bool


@dataclass(frozen=True, slots=True)
class Person:
    """What one person may: `roles` are those held here (tenant key, role); `sees` says whether names are told."""

    user: str
    groups: tuple[str, ...]
    roles: tuple[tuple[str, str], ...]
    sees: bool
    actions: tuple[Judged, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """One namespace; `facts` are None for a person who holds no role there, and one of `may` and `person` is None."""

    namespace: str
    standing: str
    facts: Facts | None
    may: tuple[Permission, ...] | None
    person: Person | None
    revision: str

    def as_json(self) -> Json:
        """Return the object of `-o json`: facts that are not told are null."""
        hidden = dict.fromkeys(Facts.__dataclass_fields__)
        person = None
        if self.person:
            roles = [{"tenant": tenant, "role": role} for tenant, role in self.person.roles]
            person = {**asdict(self.person), "roles": roles}
        return {
            "namespace": self.namespace,
            "standing": self.standing,
            **(asdict(self.facts) if self.facts else hidden),
            "may": None if self.may is None else [asdict(each) for each in self.may],
            "as": person,
            "revision": self.revision,
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: of which tree, by whom (None: by somebody who may see all), and by which rules."""

    tree: Tree
    caller: Caller | None
    catalogue: Sequence[RulePage]


def impersonated(user: str, groups: Sequence[str]) -> Caller:
    """
    Return whom the API server takes `--as USER --as-group G` for.

    Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
    """
    if not user:
        raise SettingsError("--as is empty: name a user, or leave it out to be told of every role")
    given = list(groups)
    if user.startswith(_ACCOUNT) and not given:
        namespace = user.removeprefix(_ACCOUNT).partition(":")[0]
        given = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    return Caller(user, tuple(dict.fromkeys([*given, AUTHENTICATED])))


async def explain(asked: Asked, judge: Judge) -> Explanation:
    """Return what there is to say; raises `NoDecisionError` where the gate says nothing."""
    tree, namespace = asked.tree, judge.namespace
    place = tree.place_of(namespace.name)
    facts, revision = facts_of(tree, asked.catalogue, namespace), judge.policies.revision
    if asked.caller is None:
        may = await _permissions(tree, _site(tree, place, namespace, tree.tenants), judge)
        return Explanation(namespace.name, place.standing, facts, may, None, revision)
    person = await _person(tree, place, asked.caller, judge)
    return Explanation(namespace.name, place.standing, facts if person.sees else None, None, person, revision)


def known(tree: Tree, name: str, *, tell: bool) -> Namespace:
    """Return a namespace; raises `SettingsError` that names the nearest ones, if names may be told."""
    if found := tree.namespaces.get(name):
        return found
    near = difflib.get_close_matches(name, list(tree.namespaces), n=3) if tell else []
    hint = f"; there is {', '.join(near)}" if near else ""
    raise SettingsError(f"there is no namespace {name!r} here{hint}: name one that exists")


def _site(tree: Tree, place: Place, namespace: Namespace, seen: Collection[str]) -> Site:
    """
    Return where things are done by one who sees the tenants of the keys `seen`.

    A message may name what its request holds, so a request holds no name that its user does not see.
    """
    workspaces = [tree.tenants[key] for key in sorted(seen) if key.startswith("Workspace/")]
    others = [each for each in workspaces if each.name != place.workspace and f"Project/{each.project}" in tree.tenants]
    wanted = wanted_at(place, tree.baselines).policies
    if place.path[0] not in seen:
        return Site(namespace, place, UNNAMED if wanted else None, tuple(each.name for each in others[:1]))
    near = [each.name for each in others if each.project == place.project]
    far = [each.name for each in others if each.project != place.project]
    return Site(namespace, place, wanted[0] if wanted else None, (*near[:1], *far[:1]))


def _actions(site: Site, judge: Judge) -> list[Action]:
    return [each for each in actions_at(site, datetime.now(UTC)) if judge.knows(each)]


async def _person(tree: Tree, place: Place, caller: Caller, judge: Judge) -> Person:
    # Whom the tree means is Rego's to say.
    roles = await held(judge.opa, User(caller.user, caller.groups), tree.tenants, seconds=HELD_SECONDS)
    here = tuple((key, role) for key in place.path for role in sorted(roles.get(key, ())))
    seen = {key for key, each in tree.tenants.items() if _sees(each, roles, tree)}
    site = _site(tree, place, judge.namespace, seen)
    actions = [await judge.ask(tree, each, caller) for each in _actions(site, judge)]
    return Person(caller.user, caller.groups, here, bool(here), tuple(actions))


def _sees(tenant: Tenant, roles: Mapping[str, frozenset[str]], tree: Tree) -> bool:
    """Say whether one who holds `roles` is told the name of a tenant: any role there or above it (contract, 3)."""
    above = (tenant.key, f"Project/{tenant.project}", tree.organization.key)
    return any(roles.get(key) for key in above)


async def _permissions(tree: Tree, site: Site, judge: Judge) -> tuple[Permission, ...]:
    """Ask the gate as somebody who holds one role and nothing else, for each role there is on the way up."""
    probing, probes = _with_probes(tree, site.namespace)
    stranger = Caller(f"{_PROBE}nobody", (AUTHENTICATED,))
    # With no other group: what it is allowed beyond a stranger is by break-glass alone.
    breaker = Caller(f"{_PROBE}break-glass", (*judge.break_glass_groups, AUTHENTICATED))
    permissions = []
    for action in _actions(site, judge):
        others = await judge.ask(probing, action, stranger)
        answers = {role: await judge.ask(probing, action, caller) for role, caller in probes.items()}
        # A role that is only warned where a stranger is warned, too, has nothing of its own.
        may = tuple(
            role
            for role, each in answers.items()
            if each.allowed and (not others.allowed or (each.verdict == "allow" and others.verdict != "allow"))
        )
        broken = await judge.ask(probing, action, breaker)
        permissions.append(Permission(action.id, action.title, may, others.verdict, broken.allowed))
    return tuple(permissions)


def _with_probes(tree: Tree, namespace: Namespace) -> tuple[Tree, Mapping[str, Caller]]:
    """Return the tree in which each role on the way up is given to one more user, and these users by role."""
    tenants, probes = dict(tree.tenants), dict[str, Caller]()
    for key in tree.place_of(namespace.name).path:
        for role in roles_of(tenants[key]):
            probes[role] = Caller(f"{_PROBE}{role}", (AUTHENTICATED,))
            grant = Grant(role, (Subject("User", probes[role].user),))
            tenants[key] = replace(tenants[key], roles=(*tenants[key].roles, grant))
    return replace(tree, tenants=tenants), probes
