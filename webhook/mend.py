"""
Brings what a namespace lacks within the request of a pod that cannot start without it (rule baseline/pod-gate).

Any replica does so, leader or not. What is wanted is what the controller wants, and whoever comes first writes it. A
missing policy is created: the verb tells it from the controller's applies, so that it has seats of its own at the API
server (manifests/base/flowcontrol.yaml). What the API server answers counts, however far our watch lags behind.
"""

import asyncio
import re
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import structlog
from pydantic import ValidationError

from webhook.baseline.cover import cover_at
from webhook.baseline.difference import difference
from webhook.baseline.wanted import WantedPolicy, policies_of
from webhook.cluster.resource import BASELINES, NAMESPACES, NETWORK_POLICIES, Resource
from webhook.cluster.watch import Source, Watch
from webhook.errors import ClusterError
from webhook.model import MANAGED_BY_LABEL, Cover, Place, Policy
from webhook.review.answer import one_line
from webhook.tenancy.live import read_namespace
from webhook.tenancy.policies import read_policy
from webhook.tenancy.specs import read_baseline
from webhook.tenancy.tree import Tree

Object = dict[str, Any]

AT_ONCE = 24
"""How many policies are written side by side, for all pods together."""
LONGEST_SECONDS = 10.0
"""Work goes on for so long when nobody waits for it any more: whoever tries again finds it done."""
TOLD_SECONDS = 2.0
"""In which our watch tells of what was written; until then the next pod takes the same answers."""
LONGEST_REASON = 400

OURS = f"{MANAGED_BY_LABEL}=portcullis"
"""Selects what is ours: a namespace may hold any number of policies of others, as large as they like."""
UNREAD = "what stands there could not be read, and what is known of it may be old"

_CALL = re.compile(r"[A-Z]+ /\S+: ")
_PASSING = frozenset({0, 404, 409, 429, 500, 502, 503, 504})
"""HTTP statuses, 0 for no answer, after which the same call may succeed in a moment."""


class Cluster(Source, Protocol):
    """The calls on a cluster that it takes."""

    async def read(self, resource: Resource, name: str, namespace: str = "", /) -> Object:
        """Return an object."""
        ...

    async def create(self, resource: Resource, thing: Object, /, *, dry_run: bool) -> Object:
        """Create an object."""
        ...

    async def replace(self, resource: Resource, thing: Object, /, *, dry_run: bool) -> Object:
        """Replace an object whole, in the version that it names."""
        ...


class Copy(Protocol):
    """How far our copy of what stands can be relied on."""

    def cut(self, kind: str, /) -> bool:
        """Say whether the watch of a kind is cut."""
        ...

    def reached(self, kind: str, version: str, /) -> bool:
        """Say whether what was stored as `version` has been told."""
        ...

    def reborn(self, namespace: str, /) -> bool:
        """Say whether what we know to stand in a namespace may have stood in a former one of its name."""
        ...


class Gap(NamedTuple):
    """Where something may lack, by which tree; with `dry_run` nothing is stored."""

    place: Place
    tree: Tree
    dry_run: bool = False


@dataclass(slots=True)
class _Outcome:
    """
    What the API server says stands, by name, and what hindered us.

    `whole` says that it was read live and is all of ours that stands, `passing` that what hindered us passes by itself.
    """

    standing: dict[str, Policy] = field(default_factory=dict)
    whole: bool = False
    hindered: list[str] = field(default_factory=list)
    passing: bool = True

    def hinder(self, what: str, error: ClusterError) -> None:
        """Take down what the API server did not do, and why."""
        self.hindered.append(one_line(f"{what}: {_CALL.sub('', str(error), 1)}", longest=LONGEST_REASON))
        self.passing &= error.status in _PASSING


@dataclass(frozen=True, slots=True)
class Mender:
    """Brings what lacks; each namespace's once, however many pods wait for it."""

    cluster: Cluster
    copy: Copy
    _tasks: dict[tuple[str, bool, bool], "asyncio.Task[_Outcome]"] = field(default_factory=dict)
    """By namespace, whether it is a dry run, and whether our copy could not be relied on."""
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def cover(self, gap: Gap, *, seconds: float) -> Cover:
        """
        Return how far the baselines of a place are in place once what lacked has been brought.

        After `seconds` it says so and leaves the work to go on, as it does when whoever waits is gone.
        """
        if found := in_place(gap, self.copy):
            return found
        cut = _doubtful(gap, self.copy)
        try:
            async with asyncio.timeout(seconds):
                outcome = await asyncio.shield(self._task(gap, cut=cut))
        except TimeoutError:
            outcome = _Outcome(hindered=[f"the API server did not answer within {seconds:.1f} s"])
        if cut and not outcome.whole:
            return Cover((UNREAD,), hindered=tuple(outcome.hindered), passing=outcome.passing)
        found = _covered(gap, self._standing(gap, outcome))
        if not found.lacking:
            return found
        return replace(found, hindered=tuple(sorted(outcome.hindered)), passing=outcome.passing)

    def _standing(self, gap: Gap, outcome: _Outcome) -> tuple[Policy, ...]:
        """Return what stands: of two that tell of a policy the one that knows more, the last one of a name."""
        told = outcome.standing.values()
        if outcome.whole:
            return tuple(told)
        kind = NETWORK_POLICIES.kind
        ahead = (each for each in told if gap.dry_run or not self.copy.reached(kind, each.version))
        return (*gap.tree.policies_in(gap.place.namespace), *ahead)

    def _task(self, gap: Gap, *, cut: bool) -> "asyncio.Task[_Outcome]":
        """Return the work on a namespace: that under way, that which our watch has not told of yet, or a new one."""
        key = (gap.place.namespace, gap.dry_run, cut)
        task = self._tasks.get(key)
        if task is None or (task.done() and (gap.dry_run or cut or not self._ahead(task))):
            task = self._tasks[key] = asyncio.create_task(self._bring(gap, cut=cut))
            task.add_done_callback(partial(self._done, key))
        return task

    def _ahead(self, task: "asyncio.Task[_Outcome]") -> bool:
        """Say whether work that is done and went well knows of more than our watch has told."""
        if task.cancelled() or task.exception() or task.result().hindered:
            return False
        told = self.copy.reached
        return not all(told(NETWORK_POLICIES.kind, each.version) for each in task.result().standing.values())

    def _done(self, key: tuple[str, bool, bool], task: "asyncio.Task[_Outcome]") -> None:
        asyncio.get_running_loop().call_later(TOLD_SECONDS, self._forget, key, task)

    def _forget(self, key: tuple[str, bool, bool], task: "asyncio.Task[_Outcome]") -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]

    async def _bring(self, gap: Gap, *, cut: bool) -> _Outcome:
        """Create what is missing and replace what differs, side by side."""
        outcome, namespace = _Outcome(), gap.place.namespace
        standing = gap.tree.policies_in(namespace)
        async with asyncio.timeout(LONGEST_SECONDS):
            if cut:
                await self._read_all(namespace, outcome)
                if not outcome.whole:
                    return outcome
                standing = tuple(outcome.standing.values())
            stored = {each.name: each for each in standing if each.kind == NETWORK_POLICIES.kind}
            async with asyncio.TaskGroup() as tasks:
                for each in _lacking(gap, standing):
                    tasks.create_task(self._put(each, stored.get(each.name), gap, outcome))
        lacked = _covered(gap, standing).lacking
        log = structlog.get_logger().bind(namespace=namespace, dry_run=gap.dry_run, lacked="; ".join(lacked))
        if outcome.hindered:
            log.warning("baseline not brought for a pod", reason="; ".join(sorted(outcome.hindered)))
        elif lacked:
            log.info("baseline brought for a pod")
        return outcome

    async def _read_all(self, namespace: str, outcome: _Outcome) -> None:
        try:
            async with self._slots:
                things, _ = await Watch(self.cluster, NETWORK_POLICIES, namespace, selector=OURS).listed()
        except ClusterError as error:
            outcome.hinder(f"the policies of {namespace}", error)
            return
        outcome.standing |= {each.name: each for each in (read_policy("NetworkPolicy", thing) for thing in things)}
        outcome.whole = True

    async def _put(self, wanted: WantedPolicy, found: Policy | None, gap: Gap, outcome: _Outcome) -> None:
        try:
            async with self._slots:
                outcome.standing[wanted.name] = await self._placed(wanted, found, gap)
        except ClusterError as error:
            outcome.hinder(wanted.name, error)

    async def _placed(self, wanted: WantedPolicy, found: Policy | None, gap: Gap) -> Policy:
        """Return a policy as it stands now; raises `ClusterError`."""
        if found is None:
            try:
                made = await self.cluster.create(NETWORK_POLICIES, wanted.manifest(), dry_run=gap.dry_run)
                return read_policy("NetworkPolicy", made)
            except ClusterError as error:
                # Another replica or the controller was faster, or our watch lags behind.
                if error.reason != "AlreadyExists":
                    raise
            found = await self._read(wanted)
        if not difference(wanted, found) or not wanted.repairs:
            return found
        await self._verify(gap, wanted.baseline)
        try:
            made = await self.cluster.replace(NETWORK_POLICIES, wanted.manifest(found.version), dry_run=gap.dry_run)
        except ClusterError as error:
            found = await self._read(wanted) if error.reason == "Conflict" else found
            if difference(wanted, found):
                raise
            return found
        if "deletionTimestamp" in made["metadata"]:
            # What held it back was a finalizer, and now nothing does.
            raise ClusterError("it was being deleted", status=409, reason="Conflict")
        return read_policy("NetworkPolicy", made)

    async def _read(self, wanted: WantedPolicy) -> Policy:
        return read_policy("NetworkPolicy", await self.cluster.read(NETWORK_POLICIES, wanted.name, wanted.namespace))

    async def _verify(self, gap: Gap, baseline: str) -> None:
        """
        Raise `ClusterError` where the namespace or the baseline is not any more as we know it.

        What differs from an old baseline may be the new one, which the controller has just brought.
        """
        known, name = gap.tree.namespaces.get(gap.place.namespace), gap.place.namespace
        if known is None or read_namespace(await self.cluster.read(NAMESPACES, name)).labels != known.labels:
            raise ClusterError(f"namespace {name} has just changed", status=409, reason="Conflict")
        stored = await self.cluster.read(BASELINES, baseline)
        try:
            policies = read_baseline(baseline, stored.get("spec")).policies
        except (ValidationError, RecursionError):
            policies = ()
        if policies != gap.tree.baselines[baseline].policies:
            raise ClusterError(f"NetworkBaseline {baseline} has just changed", status=409, reason="Conflict")


def in_place(gap: Gap, copy: Copy) -> Cover | None:
    """Return how far the baselines of a place are in place where nothing is to be brought, None where something is."""
    found = _covered(gap, gap.tree.policies_in(gap.place.namespace))
    return found if (found.failed or not found.lacking) and not _doubtful(gap, copy) else None


def _doubtful(gap: Gap, copy: Copy) -> bool:
    """Say whether our copy of what stands there cannot be relied on."""
    cut = any(copy.cut(each.kind) for each in (NAMESPACES, NETWORK_POLICIES))
    return cut or copy.reborn(gap.place.namespace)


def _covered(gap: Gap, standing: tuple[Policy, ...]) -> Cover:
    return cover_at(gap.place, gap.tree.baselines, gap.tree.former, standing)


def _lacking(gap: Gap, standing: tuple[Policy, ...]) -> list[WantedPolicy]:
    """Return the policies of the baselines that lack any, none where something lacks that nobody can bring."""
    if _covered(gap, standing).failed:
        return []
    place, found = gap.place, list[WantedPolicy]()
    for name in place.baselines:
        if _covered(gap._replace(place=replace(place, baselines=(name,))), standing).lacking:
            found += policies_of(name, gap.tree.baselines.get(name), place)[0]
    stored = {each.name: each for each in standing if each.kind == NETWORK_POLICIES.kind}
    return [each for each in found if (old := stored.get(each.name)) is None or difference(each, old)]
