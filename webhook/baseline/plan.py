"""
What is to be done in one namespace, and why: pure.

Drift is told apart: a policy of ours that somebody edited or deleted, one of a name of ours that somebody else had
made, and one that is older than its baseline, which is nobody's drift.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from webhook.baseline.difference import difference, fingerprint, injected_by, surplus
from webhook.baseline.past import Past
from webhook.baseline.wanted import Wanted, WantedPolicy
from webhook.model import MANAGED_BY_LABEL, Baseline, Place, Policy, Standing, Writer


class Site(NamedTuple):
    """
    A namespace as it stands: its place, the policies in it, and what its annotation tells.

    `baselines` are all that there are, by name.
    """

    place: Place
    baselines: Mapping[str, Baseline]
    policies: tuple[Policy, ...]
    told: Mapping[str, str]


class Cause(Enum):
    """Why a policy has to be written."""

    NEW = "new"
    CHANGED = "changed"
    """Its baseline did."""
    EDITED = "edited"
    DELETED = "deleted"
    SQUATTED = "squatted"
    """It stood there before us, without our labels."""


class Put(NamedTuple):
    """A policy to write over the one `stored`, None for none; `said` is what somebody did, empty for nothing."""

    wanted: WantedPolicy
    stored: Policy | None
    cause: Cause
    said: str = ""


@dataclass(slots=True)
class Plan:
    """
    What is to be done: `puts` first, then what is surplus goes, and `shed` once all that is wanted stands.

    `shed` is of baselines that have not applied for a while, `ending` of those that are being deleted. `drifted` says
    what differs and is left, `strays` what stands though there is no such baseline, each by the policy's name.
    """

    puts: list[Put] = field(default_factory=list)
    surplus: list[Policy] = field(default_factory=list)
    shed: list[Policy] = field(default_factory=list)
    ending: list[Policy] = field(default_factory=list)
    drifted: dict[str, str] = field(default_factory=dict)
    strays: dict[str, str] = field(default_factory=dict)


def plan_of(site: Site, wanted: Wanted, past: Past, now: float) -> Plan:
    """Return what is to be done at a site that gets `wanted`, at the time `now` of the past's clock."""
    plan = Plan()
    stored = {each.name: each for each in site.policies if each.kind == "NetworkPolicy"}
    names = frozenset(each.name for each in wanted.policies)
    applied = wanted.revision != "" and site.told.get("revision") == wanted.revision
    past.keep(names)
    for each in wanted.policies:
        put = _put(each, stored.get(each.name), past, applied=applied)
        if put is None:
            past.right(each, now)
        elif put.stored and _only_reported(put, past):
            plan.drifted[each.name] = _left(each, put.stored)
        elif put.cause is Cause.NEW or past.may_repair(each, _does(put), now):
            plan.puts.append(put)
    for old in site.policies:
        _weigh(old, site, wanted, plan)
    settled = past.settled(frozenset(each.name for each in (*plan.shed, *plan.ending)), now)
    plan.shed = [each for each in plan.shed if each.name in settled]
    plan.ending = [each for each in plan.ending if each.name in settled]
    return plan


def _put(wanted: WantedPolicy, stored: Policy | None, past: Past, *, applied: bool) -> Put | None:
    """Return what is to be written of one policy, None where nothing is; `applied` says that these once stood."""
    if stored is None:
        if not applied:
            return Put(wanted, None, Cause.NEW)
        return Put(wanted, None, Cause.DELETED, f"{wanted.name} was deleted and is applied again")
    differing = difference(wanted, stored)
    if not differing:
        return None
    by = f" (written by {', '.join(map(_writer, stored.writers))})" if stored.writers else ""
    if applied or _edited(wanted, stored, past):
        said = f"{wanted.name} differed in {differing}{by} and was replaced whole"
        return Put(wanted, stored, Cause.EDITED, said)
    if MANAGED_BY_LABEL not in stored.labels:
        said = f"{wanted.name} stood there before its baseline{by} and was replaced whole"
        return Put(wanted, stored, Cause.SQUATTED, said)
    return Put(wanted, stored, Cause.CHANGED)


def _edited(wanted: WantedPolicy, stored: Policy, past: Past) -> bool:
    """Say whether a policy that its baseline's change would replace differs from what was right before that."""
    known = past.stood.get(wanted.name)
    return known is not None and (
        known != fingerprint(stored.spec) or dict(stored.labels) != wanted.labels or bool(stored.attached)
    )


def _only_reported(put: Put, past: Past) -> bool:
    if put.wanted.repairs or put.cause is not Cause.EDITED:
        return False
    # From now on it is measured by what its baseline is now.
    past.stood[put.wanted.name] = fingerprint(put.wanted.spec)
    return True


def _left(wanted: WantedPolicy, stored: Policy) -> str:
    by = f" (written by {_names(stored.writers)})" if stored.writers else ""
    return f"{wanted.name} differs in {difference(wanted, stored)}{by}"


def _does(put: Put) -> str:
    """Say what is done to a policy by whom, without times: it is told in the state."""
    if put.stored is None:
        return "deleted"
    return f"re-written by {_names(put.stored.writers) or 'somebody who takes our name'}"


def _names(writers: Iterable[Writer]) -> str:
    return ", ".join(sorted({f"{each.manager[:64] or 'somebody'} ({each.operation})" for each in writers})[:3])


def _writer(writer: Writer) -> str:
    return f"{writer.manager[:64] or 'somebody'}, {writer.operation} at {writer.time}"


def _weigh(old: Policy, site: Site, wanted: Wanted, plan: Plan) -> None:
    """Say what becomes of a policy that stands: only what a baseline that stands does not want here goes."""
    name = injected_by(old)
    if not name:
        return
    baseline = site.baselines.get(name)
    if name in site.place.baselines:
        if surplus(old, wanted.complete, frozenset(each.name for each in wanted.policies)):
            plan.surplus.append(old)
    elif baseline is None:
        plan.strays[old.name] = f"{old.name} stays though there is no NetworkBaseline {name}: see whether it is needed"
    elif not baseline.unreadable and site.place.standing is not Standing.ORPHANED:
        # In a namespace whose workspace is lost nobody can tell what applies.
        (plan.ending if baseline.ending else plan.shed).append(old)
