"""
The way of one namespace: seen > wanted > applied > told.

A policy that is missing is applied, one that differs is replaced whole, one that its baseline no longer has is deleted,
and once all that is wanted stands those of baselines that do not apply any more; then the namespace is told its state.
What others wrote for themselves is never touched.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import structlog

from webhook.applying import Applied, Note, Writes, outdated, version_of
from webhook.baseline.past import Past
from webhook.baseline.plan import Site, plan_of
from webhook.baseline.wanted import Labels, State, state_of, told_in, wanted_at
from webhook.cluster.resource import NAMESPACES, NETWORK_POLICIES
from webhook.errors import ClusterError
from webhook.exemption import read_exemption, rfc3339
from webhook.model import STATE_ANNOTATION, Namespace, Policy
from webhook.tenancy.tree import Tree

__all__ = ["Brought", "Note", "Seen", "Writes", "bring", "outdated", "see"]

Object = dict[str, Any]


class Seen(NamedTuple):
    """
    What a sweep looked at; the same objects are the same state.

    `outvoted` says which policies of others undo those of the baselines, a sentence each, empty for none; None where
    that is not known yet.
    """

    tree: Tree
    namespace: Namespace
    policies: tuple[Policy, ...]
    outvoted: tuple[str, ...] | None = ()


def see(tree: Tree, namespace: Namespace, outvoted: tuple[str, ...] | None = ()) -> Seen:
    """Look at a namespace."""
    return Seen(tree, namespace, tree.policies_in(namespace.name), outvoted)


@dataclass(frozen=True, slots=True)
class Brought:
    """
    What was written, the last resourceVersion by kind, and whether something failed that has to be tried again.

    `stale` says that the copy we looked at was not the newest, so that the watch will tell of another; `turns` when an
    exemption begins to count or ends, so that another thing is right. `state` is that of the namespace with its
    `reason`, None where nothing could be said (yet); `baselines` are those that apply, `notes` what happened. `again`
    is in how many seconds to look again whatever happens meanwhile, None for never. `limited` says that whoever writes
    against such writes is known by them: one who fights over one policy holds up no other. `repairs` are the causes for
    which policies were put back or replaced.
    """

    written: dict[str, str]
    failed: bool = False
    stale: bool = False
    turns: datetime | None = None
    state: State | None = None
    reason: str = ""
    baselines: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    again: float | None = None
    limited: bool = False
    repairs: tuple[str, ...] = ()


async def bring(cluster: Writes, seen: Seen, now: datetime, past: Past | None = None) -> Brought:
    """Make one namespace right as of `now`, an aware time; `past` is what earlier visits have left to be remembered."""
    namespace, past = seen.namespace, past or Past()
    exemption = read_exemption(namespace.name, namespace.labels, namespace.annotations, now)
    place = seen.tree.place(namespace.name, namespace.labels)
    if exemption.end:
        place = replace(place, exempt=rfc3339(exemption.end))
    wanted = wanted_at(place, seen.tree.baselines)
    told = told_in(namespace.annotations.get(STATE_ANNOTATION))
    clock = asyncio.get_running_loop().time
    plan = plan_of(Site(place, seen.tree.baselines, seen.policies, told), wanted, past, clock())
    applied = Applied(cluster, past)
    await applied.follow(plan, problems=bool(wanted.problems))
    fights = past.fights()
    lasting = {"FightDetected": fights, "BaselineDrifted": plan.drifted, "BaselineUnknown": plan.strays}
    for reason, found in lasting.items():
        applied.notes += _begun(past, reason, found, told)
    brought = Brought(
        {NETWORK_POLICIES.kind: max(applied.written, key=int)} if applied.written else {},
        failed=bool(applied.failed),
        stale=applied.stale,
        turns=exemption.turns,
        baselines=place.baselines,
        notes=tuple(sorted(applied.notes, key=lambda each: (each.policy, each.note))),
        again=past.again(clock()),
        repairs=tuple(applied.repairs),
    )
    if applied.stale:
        return brought
    if wanted.problems or applied.failed:
        brought = replace(brought, state="Failed", reason=_listed([*wanted.problems, *applied.failed]))
    elif drifted := [*plan.drifted.values(), *fights.values(), *(seen.outvoted or ())]:
        brought = replace(brought, state="Drifted", reason=_listed(drifted))
    elif seen.outvoted is None and told.get("state") == "Drifted":
        # A former leader knew of something that we have not judged yet: that it is over is not ours to say now.
        brought = replace(brought, state="Drifted", reason=told.get("reason", ""))
    else:
        said = [f"exempt until {place.exempt}"] if place.exempt else plan.strays.values()
        brought = replace(brought, state="Ready", reason=_listed(said))
    # What could not be written was not applied yet: so it is told apart from what somebody deletes or edits later.
    revision = told.get("revision", "") if applied.failed else wanted.revision
    annotation = _annotation(told, brought, revision, now) if place.baselines else None
    return await _telling(cluster, namespace, brought, (wanted.labels, annotation))


def _begun(past: Past, reason: str, found: Mapping[str, str], told: Mapping[str, str]) -> list[Note]:
    """Return notes on what goes on for a while, by policy, and has just begun; a former leader may have told of it."""
    before = past.told.get(reason, frozenset())
    past.told[reason] = frozenset(found)
    fresh = [name for name in found.keys() - before if found[name] not in told.get("reason", "")]
    return [Note(reason, found[name], name) for name in fresh]


def _annotation(told: Mapping[str, str], brought: Brought, revision: str, now: datetime) -> str | None:
    """Return what the namespace is told; the time stays as long as the state and its reason do."""
    if brought.state is None:
        return None
    same = (told.get("state"), told.get("reason")) == (brought.state, brought.reason)
    since = told.get("since") if same else None
    return state_of(brought.state, revision, brought.reason, since or rfc3339(now.replace(microsecond=0)))


async def _telling(
    cluster: Writes, namespace: Namespace, brought: Brought, carries: tuple[Labels, str | None]
) -> Brought:
    """Return what was brought once the namespace carries these labels and this annotation."""
    log = structlog.get_logger().bind(namespace=namespace.name, state=brought.state, reason=brought.reason)
    try:
        version = await _tell(cluster, namespace, *carries)
    except ClusterError as error:
        log.warning("namespace not told", error=str(error))
        return replace(brought, failed=True)
    written = {**brought.written, **({NAMESPACES.kind: version} if version else {})}
    if written:
        log.info("baseline")
    return replace(brought, written=written, limited=not version)


async def _tell(cluster: Writes, namespace: Namespace, labels: Labels, annotation: str | None) -> str:
    """Put the derived labels and the state where they differ; return the version written, empty for none."""
    changes = {
        "labels": _changes(namespace.labels, labels),
        "annotations": _changes(namespace.annotations, {STATE_ANNOTATION: annotation}),
    }
    metadata: Object = {key: each for key, each in changes.items() if each}
    if not metadata:
        return ""
    metadata["resourceVersion"] = namespace.version
    try:
        return version_of(await cluster.patch(NAMESPACES, namespace.name, {"metadata": metadata}))
    except ClusterError as error:
        if error.status in {404, 409}:
            return ""
        if "labels" in metadata and metadata.pop("annotations", None):
            # An owner who fills the annotations leaves no room for the state; the gate is shut by a label all the same.
            return version_of(await cluster.patch(NAMESPACES, namespace.name, {"metadata": metadata}))
        raise


def _listed(reasons: Iterable[str]) -> str:
    return "; ".join(sorted(reasons))[:1000]


def _changes(present: Mapping[str, str], wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    return {key: value for key, value in wanted.items() if present.get(key) != value}
