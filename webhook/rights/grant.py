"""
The way of one namespace: the bindings that stand in it become those that the tree asks for.

One that is missing is created, one that differs is put right, one that nobody holds any more is deleted. The names are
ours: who put a binding of such a name there, and what it is labelled, does not matter.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import structlog

from webhook.bring import Brought, Writes, outdated
from webhook.cluster.resource import ROLE_BINDINGS
from webhook.errors import ClusterError
from webhook.model import Namespace
from webhook.rights.bindings import Binding, content
from webhook.rights.wanted import wanted_at
from webhook.tenancy.tree import Tree

Object = dict[str, Any]

UNBOUND: Object = {"finalizers": None, "ownerReferences": None}
"""Taken off: with a finalizer of somebody else's what is revoked would stand on, deleted and in force."""


class Seen(NamedTuple):
    """What is looked at; the same objects are the same state."""

    tree: Tree
    namespace: Namespace
    bindings: tuple[Binding, ...]


@dataclass(slots=True)
class _Outcome:
    """The resourceVersions written by name, how many were deleted, whether something failed or our copy was old."""

    written: dict[str, str] = field(default_factory=dict)
    deleted: int = 0
    failed: list[str] = field(default_factory=list)
    stale: bool = False


async def grant(cluster: Writes, seen: Seen) -> Brought:
    """Make the bindings of one namespace right."""
    place = seen.tree.place(seen.namespace.name, seen.namespace.labels)
    wanted = wanted_at(place, seen.tree)
    standing = {each.name: each for each in seen.bindings}
    outcome = _Outcome()
    async with asyncio.TaskGroup() as tasks:
        for name, thing in wanted.items():
            stored = standing.get(name)
            if stored is None or stored.content != content(thing):
                tasks.create_task(_put(cluster, thing, stored, outcome))
        for name in standing.keys() - wanted.keys():
            tasks.create_task(_remove(cluster, standing[name], outcome))
    log = structlog.get_logger().bind(namespace=seen.namespace.name)
    if outcome.failed:
        log.warning("bindings not kept", error="; ".join(sorted(outcome.failed))[:1000])
    elif outcome.written or outcome.deleted:
        log.info("bindings", written=sorted(outcome.written), deleted=outcome.deleted)
    return Brought(outcome.written, failed=bool(outcome.failed), stale=outcome.stale)


async def _put(cluster: Writes, wanted: Object, stored: Binding | None, outcome: _Outcome) -> None:
    """Create a binding, or put right one that differs."""
    name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
    try:
        if stored and stored.sound:
            metadata = {"resourceVersion": stored.version, "labels": wanted["metadata"]["labels"], **UNBOUND}
            body = {"metadata": metadata, "subjects": wanted["subjects"]}
            answer = await cluster.patch(ROLE_BINDINGS, name, body, namespace)
        else:
            if stored:
                # What a binding refers to is never changed.
                await _delete(cluster, stored)
            answer = await cluster.create(ROLE_BINDINGS, wanted)
        outcome.written[name] = str(answer["metadata"]["resourceVersion"])
    except ClusterError as error:
        _weigh(name, error, outcome)


async def _remove(cluster: Writes, stored: Binding, outcome: _Outcome) -> None:
    """Delete a binding that nobody should have."""
    try:
        await _delete(cluster, stored)
        outcome.deleted += 1
    except ClusterError as error:
        _weigh(stored.name, error, outcome)


async def _delete(cluster: Writes, stored: Binding) -> None:
    version = stored.version
    if stored.held:
        metadata = {"resourceVersion": version, **UNBOUND}
        answer = await cluster.patch(ROLE_BINDINGS, stored.name, {"metadata": metadata}, stored.namespace)
        version = str(answer["metadata"]["resourceVersion"])
    await cluster.delete(ROLE_BINDINGS, stored.name, stored.namespace, version=version)


def _weigh(name: str, error: ClusterError, outcome: _Outcome) -> None:
    if outdated(error):
        outcome.stale = True
    else:
        outcome.failed.append(f"{name}: {error}")
