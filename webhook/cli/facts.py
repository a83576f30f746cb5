"""What the tenant tree says of one namespace: facts, no decision."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

from webhook.baseline.difference import difference
from webhook.baseline.wanted import WantedPolicy, wanted_at
from webhook.cli.actions import EXEMPT_LABEL, EXEMPT_REASON, EXEMPT_UNTIL
from webhook.decision.catalogue import Guardrail, RulePage
from webhook.model import STATE_ANNOTATION, Namespace, Place, Policy, Subject, Tenant
from webhook.tenancy.specs import ROLES
from webhook.tenancy.tree import Tree

Setting = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Holders:
    """Who holds a role at a tenant (by its key); nobody where `subjects` is empty."""

    tenant: str
    role: str
    subjects: tuple[Subject, ...]


@dataclass(frozen=True, slots=True)
class StandingPolicy:
    """A policy of a baseline as it stands; `differs_in` are the fields in which it does."""

    name: str
    state: Literal["in place", "missing", "differs"]
    differs_in: str = ""


@dataclass(frozen=True, slots=True)
class StandingBaseline:
    """
    A baseline that applies: by the tenants that name it (keys) or because its selector matches.

    `problem` says why it cannot be brought, empty where it can.
    """

    name: str
    named_by: tuple[str, ...]
    selected: bool
    problem: str
    policies: tuple[StandingPolicy, ...]


@dataclass(frozen=True, slots=True)
class EffectiveGuardrail:
    """A guardrail's value here: from the tenants `set_by` (keys), and from the default where `default` says so."""

    key: str
    value: Setting
    set_by: tuple[str, ...]
    default: bool
    rule: str


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What is told to those who hold a role here.

    `state` is what the namespace's annotation says (`state`, `revision`, `reason`), None without one; `exemption` what
    asks for one (`until`, `reason`). `enforcement` is the Organization's setting where it softens any rule, else empty.
    """

    workspace: str
    project: str
    organization: str
    terminating: bool
    roles: tuple[Holders, ...]
    baselines: tuple[StandingBaseline, ...]
    guardrails: tuple[EffectiveGuardrail, ...]
    state: Mapping[str, str] | None
    exemption: Mapping[str, str] | None
    enforcement: Mapping[str, str]
    never_softened: tuple[str, ...]


def facts_of(tree: Tree, catalogue: Sequence[RulePage], namespace: Namespace) -> Facts:
    """Return what the tree says of a namespace."""
    place = tree.place_of(namespace.name)
    enforcement = tree.organization.enforcement
    softens = any(each != "enforce" for each in enforcement.values())
    return Facts(
        workspace=place.workspace,
        project=place.project,
        organization=tree.organization.name,
        terminating=namespace.terminating,
        roles=tuple(_holders(tree.tenants[key] for key in place.path)),
        baselines=tuple(_baselines(tree, place)),
        guardrails=tuple(_guardrails(tree, place, catalogue)) if place.baselines else (),
        state=_state(namespace.annotations.get(STATE_ANNOTATION)),
        exemption=_exemption(namespace),
        enforcement=dict(sorted(enforcement.items())) if softens else {},
        never_softened=tuple(each.id for each in catalogue if each.softened == "never") if softens else (),
    )


def _holders(path: Iterable[Tenant]) -> Iterator[Holders]:
    """Yield who holds which role, nearest level first; a role of an admin also where nobody holds it."""
    for tenant in path:
        for role in roles_of(tenant):
            grants = (grant.subjects for grant in tenant.roles if grant.role == role)
            subjects = tuple(dict.fromkeys(chain.from_iterable(grants)))
            if subjects or role.endswith("Admin"):
                yield Holders(tenant.key, role, subjects)


def roles_of(tenant: Tenant) -> list[str]:
    """Return the roles of a level, those of admins first."""
    return sorted(ROLES[tenant.kind], key=lambda role: (not role.endswith("Admin"), role != "OrgAdmin", role))


def _baselines(tree: Tree, place: Place) -> Iterator[StandingBaseline]:
    standing = {each.name: each for each in tree.policies_in(place.namespace) if each.kind == "NetworkPolicy"}
    for name in place.baselines:
        naming = tuple(key for key in place.path if name in tree.tenants[key].baselines)
        wanted = wanted_at(replace(place, baselines=(name,)), tree.baselines)
        policies = tuple(_standing(each, standing.get(each.name)) for each in wanted.policies)
        yield StandingBaseline(name, naming, not naming, "; ".join(wanted.problems), policies)


def _standing(wanted: WantedPolicy, stored: Policy | None) -> StandingPolicy:
    if stored is None:
        return StandingPolicy(wanted.name, "missing")
    differing = difference(wanted, stored)
    return StandingPolicy(wanted.name, "differs" if differing else "in place", differing)


def _guardrails(tree: Tree, place: Place, catalogue: Sequence[RulePage]) -> Iterator[EffectiveGuardrail]:
    """
    Yield the guardrails with what counts here: the value nearest to the namespace; those that are lists add up.

    Only the Organization drops the default of a list (contract, section 4). What is set and no rule reads is told, too.
    """
    path = [tree.tenants[key] for key in place.path]
    keys = {each.guardrail.key: (each.guardrail, each.id) for each in catalogue if each.guardrail}
    others = {key: (Guardrail(key, ""), "") for tenant in path for key in tenant.guardrails if key not in keys}
    for key, (guardrail, rule) in sorted({**keys, **others}.items()):
        setting = [tenant for tenant in path if key in tenant.guardrails]
        if isinstance(guardrail.default, tuple) or any(not isinstance(each.guardrails[key], str) for each in setting):
            default = () if any(each.kind == "Organization" for each in setting) else tuple(guardrail.default)
            values = chain(default, *(each.guardrails[key] for each in reversed(setting)))
            by = tuple(each.key for each in setting)
            yield EffectiveGuardrail(key, tuple(dict.fromkeys(values)), by, bool(default), rule)
        elif setting:
            yield EffectiveGuardrail(key, str(setting[0].guardrails[key]), (setting[0].key,), default=False, rule=rule)
        else:
            yield EffectiveGuardrail(key, guardrail.default, (), default=True, rule=rule)


def _state(annotation: str | None) -> Mapping[str, str] | None:
    """Return what the annotation says; nothing trusts it, so whatever stands there is only told."""
    if annotation is None:
        return None
    try:
        read = json.loads(annotation)
    except (ValueError, RecursionError):
        read = None
    told = read if isinstance(read, dict) else {"reason": annotation}
    return {key: str(told.get(key, "")) for key in ("state", "revision", "reason")}


def _exemption(namespace: Namespace) -> Mapping[str, str] | None:
    if namespace.labels.get(EXEMPT_LABEL) != "true":
        return None
    annotations = namespace.annotations
    return {"until": annotations.get(EXEMPT_UNTIL, ""), "reason": annotations.get(EXEMPT_REASON, "")}
