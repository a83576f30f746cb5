"""
The way of one namespace: seen > wanted > applied > told.

A policy that is missing is applied, one that differs is replaced whole, one that its baseline no longer has is deleted;
then the namespace is told its state. What others wrote for themselves is never touched.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import structlog

from webhook.baseline.difference import difference, surplus
from webhook.baseline.wanted import Labels, State, Wanted, WantedPolicy, state_of, told_in, wanted_at
from webhook.cluster.resource import NAMESPACES, NETWORK_POLICIES, Resource
from webhook.errors import ClusterError
from webhook.exemption import read_exemption, rfc3339
from webhook.model import STATE_ANNOTATION, Namespace, Policy
from webhook.tenancy.tree import Tree

Object = dict[str, Any]

_DECISION = re.compile(r" Decision [0-9a-f-]{36}")


class Writes(Protocol):
    """The calls on a cluster that it takes."""

    async def create(self, resource: Resource, thing: Object, /) -> Object:
        """Create an object."""
        ...

    async def apply(self, resource: Resource, thing: Object, /) -> Object:
        """Apply an object server-side."""
        ...

    async def replace(self, resource: Resource, thing: Object, /) -> Object:
        """Replace an object whole."""
        ...

    async def patch(self, resource: Resource, name: str, body: Object, namespace: str = "", /) -> Object:
        """Merge into an object."""
        ...

    async def delete(self, resource: Resource, name: str, namespace: str, /, *, version: str) -> None:
        """Delete an object."""
        ...


class Seen(NamedTuple):
    """
    What a sweep looked at; the same objects are the same state.

    `outvoted` says which policies of others undo those of the baselines, a sentence each, empty for none.
    """

    tree: Tree
    namespace: Namespace
    policies: tuple[Policy, ...]
    outvoted: tuple[str, ...] = ()


def see(tree: Tree, namespace: Namespace, outvoted: tuple[str, ...] = ()) -> Seen:
    """Look at a namespace."""
    return Seen(tree, namespace, tree.policies_in(namespace.name), outvoted)


@dataclass(frozen=True, slots=True)
class Note:
    """
    An occurrence that is worth an Event: its reason in one word, what happened, and the policy that it is about.

    `policy` is empty where it is the namespace; `warning` says that somebody should look at it.
    """

    reason: str
    note: str
    policy: str = ""
    warning: bool = True


@dataclass(frozen=True, slots=True)
class Brought:
    """
    What was written, the last resourceVersion by kind, and whether something failed that has to be tried again.

    `stale` says that the copy we looked at was not the newest, so that the watch will tell of another; `turns` when an
    exemption begins to count or ends, so that another thing is right. `state` is that of the namespace with its
    `reason`, None where nothing could be said (yet); `baselines` are those that apply, `notes` what happened.
    """

    written: dict[str, str]
    failed: bool = False
    stale: bool = False
    turns: datetime | None = None
    state: State | None = None
    reason: str = ""
    baselines: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(slots=True)
class _Outcome:
    """What came of bringing the policies: the resourceVersions written, what differs and is left, what failed."""

    written: list[str] = field(default_factory=list)
    drifted: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    repairs: bool = False
    """Whether these very policies were applied before."""
    stale: bool = False
    """Whether the copy we looked at was not the newest, so that nothing can be said yet."""


async def bring(cluster: Writes, seen: Seen, now: datetime) -> Brought:
    """Make one namespace right as of `now`, an aware time."""
    exemption = read_exemption(seen.namespace.name, seen.namespace.labels, seen.namespace.annotations, now)
    return replace(await _bring(cluster, seen, exemption.end, now), turns=exemption.turns)


async def _bring(cluster: Writes, seen: Seen, exempt: datetime | None, now: datetime) -> Brought:
    place = seen.tree.place(seen.namespace.name, seen.namespace.labels)
    if exempt:
        place = replace(place, exempt=rfc3339(exempt))
    wanted = wanted_at(place, seen.tree.baselines)
    outcome = await _apply(cluster, wanted, seen)
    written = {NETWORK_POLICIES.kind: max(outcome.written, key=int)} if outcome.written else {}
    notes = tuple(sorted(outcome.notes, key=lambda each: each.policy))
    if outcome.stale:
        return Brought(written, stale=True, baselines=place.baselines, notes=notes)
    state, reason = _state(wanted, outcome, place.exempt, seen.outvoted)
    brought = Brought(written, bool(outcome.failed), state=state, reason=reason, baselines=place.baselines, notes=notes)
    annotation = _annotation(seen.namespace, brought, wanted.revision, now) if place.baselines else None
    log = structlog.get_logger().bind(namespace=seen.namespace.name)
    try:
        if version := await _tell(cluster, seen.namespace, wanted.labels, annotation):
            written[NAMESPACES.kind] = version
    except ClusterError as error:
        log.warning("namespace not told", state=state, reason=reason, error=str(error))
        return replace(brought, failed=True)
    if written:
        log.info("baseline", state=state, policies=len(outcome.written), reason=reason)
    return brought


def _annotation(namespace: Namespace, brought: Brought, revision: str, now: datetime) -> str | None:
    """Return what the namespace is told; the time stays as long as the state and its reason do."""
    if brought.state is None:
        return None
    told = told_in(namespace.annotations.get(STATE_ANNOTATION))
    same = (told.get("state"), told.get("reason")) == (brought.state, brought.reason)
    since = told.get("since") if same else None
    return state_of(brought.state, revision, brought.reason, since or rfc3339(now.replace(microsecond=0)))


async def _apply(cluster: Writes, wanted: Wanted, seen: Seen) -> _Outcome:
    # What differs because the baseline has changed was nobody's doing; only a repair is told of.
    outcome = _Outcome(repairs=wanted.revision in seen.namespace.annotations.get(STATE_ANNOTATION, ""))
    standing = {each.name: each for each in seen.policies if each.kind == NETWORK_POLICIES.kind}
    names = frozenset(each.name for each in wanted.policies)
    async with asyncio.TaskGroup() as tasks:
        for each in wanted.policies:
            tasks.create_task(_put(cluster, each, standing.get(each.name), outcome))
        for old in seen.policies:
            if surplus(old, wanted.complete, names):
                tasks.create_task(_remove(cluster, old, outcome))
    return outcome


async def _put(cluster: Writes, wanted: WantedPolicy, stored: Policy | None, outcome: _Outcome) -> None:
    """Apply a policy that is missing, replace one that differs whole: an apply would leave what others added."""
    try:
        if stored is None:
            outcome.written.append(_version(await cluster.apply(NETWORK_POLICIES, wanted.manifest())))
            return
        differing = difference(wanted, stored)
        if not differing:
            return
        if not wanted.repairs:
            outcome.drifted.append(f"{wanted.name} differs in {differing}")
            return
        answer = await cluster.replace(NETWORK_POLICIES, wanted.manifest(stored.version))
        outcome.written.append(_version(answer))
    except ClusterError as error:
        _weigh(f"{wanted.name}", error, outcome)
        return
    if outcome.repairs:
        note = f"{wanted.name} differed in {differing} and was replaced whole"
        outcome.notes.append(Note("BaselineRepaired", note, wanted.name))


async def _remove(cluster: Writes, old: Policy, outcome: _Outcome) -> None:
    """Delete what the baseline no longer has."""
    try:
        await cluster.delete(NETWORK_POLICIES, old.name, old.namespace, version=old.version)
    except ClusterError as error:
        _weigh(old.name, error, outcome)


def _weigh(name: str, error: ClusterError, outcome: _Outcome) -> None:
    if outdated(error):
        outcome.stale = True
        return
    # The id of a decision is new each time; the annotation must not be.
    outcome.failed.append(f"{name}: {_DECISION.sub('', str(error))[:500]}")


def outdated(error: ClusterError) -> bool:
    """Say whether it is a conflict, gone or ending meanwhile: our copy is old, and its watch will tell."""
    return error.status in {404, 409} or "is being terminated" in str(error)


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
        return _version(await cluster.patch(NAMESPACES, namespace.name, {"metadata": metadata}))
    except ClusterError as error:
        if error.status in {404, 409}:
            return ""
        if "labels" in metadata and metadata.pop("annotations", None):
            # An owner who fills the annotations leaves no room for the state; the gate is shut by a label all the same.
            return _version(await cluster.patch(NAMESPACES, namespace.name, {"metadata": metadata}))
        raise


def _state(wanted: Wanted, outcome: _Outcome, exempt: str, outvoted: tuple[str, ...]) -> tuple[State, str]:
    if wanted.problems or outcome.failed:
        return "Failed", _listed([*wanted.problems, *outcome.failed])
    if outcome.drifted or outvoted:
        return "Drifted", _listed([*outcome.drifted, *outvoted])
    return "Ready", f"exempt until {exempt}" if exempt else ""


def _listed(reasons: Iterable[str]) -> str:
    return "; ".join(sorted(reasons))[:1000]


def _changes(present: Mapping[str, str], wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    return {key: value for key, value in wanted.items() if present.get(key) != value}


def _version(thing: Object) -> str:
    """Return the resourceVersion, a decimal number since KEP-5504 says so."""
    return str(thing["metadata"]["resourceVersion"])
