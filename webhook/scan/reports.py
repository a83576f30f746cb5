"""
Writes what is found as reports into the cluster: one a namespace on its policies, and one on the namespaces.

Only while the cluster knows such reports, only what changed, and never in anybody's way: a report that cannot be
written is tried again later, and keeps nobody from anything.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from webhook.cluster.resource import DEFINITIONS, Resource
from webhook.cluster.watch import METADATA, Source, Watch
from webhook.errors import ClusterError
from webhook.model import MANAGED_BY_LABEL
from webhook.scan.finding import Finding, importance
from webhook.scan.report import NAME, Content, Form, content_of, manifest, read_content

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How often it writes, in seconds.

    `pause` is between two reports, so that many of them leave the API server to others, `every` between two writings
    of the report on all namespaces. Between the two of `again` one is tried again that could not be written, and
    between those of `read` it is seen anew which stand: somebody may have deleted one. `served` are the first and the
    longest wait until they can be read; after its definition came a kind is served in about a second.
    """

    pause: float = 0.02
    every: float = 2.0
    again: tuple[float, float] = (20, 40)
    read: tuple[float, float] = (1800, 2700)
    served: tuple[float, float] = (0.5, 30)


PACE = Pace()


class Writes(Source, Protocol):
    """The calls on a cluster that it takes."""

    async def read(self, resource: Resource, name: str, namespace: str = "", /) -> Object:
        """Return one object."""
        ...

    async def apply(self, resource: Resource, thing: Object, /) -> Object:
        """Apply an object server-side."""
        ...

    async def delete(self, resource: Resource, name: str, namespace: str, /, *, version: str) -> None:
        """Delete an object."""
        ...


@dataclass(frozen=True, slots=True)
class _Told:
    """What is found in one namespace, and how many things were judged there."""

    findings: tuple[Finding, ...]
    judged: int


@dataclass(frozen=True, slots=True)
class _Stored:
    """A report that stands."""

    version: str
    content: Content


class Reports:
    """Keeps the reports for as long as `run` runs, by what it is told."""

    def __init__(self, cluster: Writes, form: Form, pace: Pace = PACE) -> None:
        self._cluster = cluster
        self._form = form
        self._pace = pace
        self._told: dict[str, _Told] = {}
        self._stored: dict[str, _Stored] = {}
        """By namespace; the one on all namespaces by an empty name."""
        self._waiting: dict[str, None] = {}
        self._filled = asyncio.Event()
        self._served = asyncio.Event()
        self._definition = 0
        """Grows with each definition that goes."""
        self._all = asyncio.Event()
        """Set where the report on all namespaces may have changed."""
        self._trouble = ""

    def tell(self, namespace: str, findings: tuple[Finding, ...], judged: int) -> None:
        """Take what is found in a namespace."""
        before = self._told.get(namespace)
        self._told[namespace] = _Told(findings, judged)
        self._wait(namespace)
        if before is None or _of_namespaces(before.findings) != _of_namespaces(findings):
            self._wait("")

    def forget(self, namespace: str) -> None:
        """Let a namespace go; its report goes with it."""
        gone = self._told.pop(namespace, None)
        self._stored.pop(namespace, None)
        self._waiting.pop(namespace, None)
        if gone:
            self._wait("")

    async def run(self) -> None:
        """Write whenever there is something to be told, for ever."""
        kind = self._form.namespaced
        async with asyncio.TaskGroup() as tasks:
            watch = Watch(self._cluster, DEFINITIONS, name=kind.definition, accept=METADATA, mandatory=True)
            tasks.create_task(watch.follow(_Definition(self._defined), _ignored))
            tasks.create_task(self._tell_of_all())
            first, longest = self._pace.served
            wait = first
            while True:
                await self._served.wait()
                try:
                    await self._read()
                    wait = first
                    await self._write()
                except ClusterError as error:
                    # Not served yet, or any more; or we may not.
                    self._complain(error)
                    await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - no secret
                    wait = min(wait * 2, longest)

    async def _read(self) -> None:
        """See which reports of ours stand; raises `ClusterError`."""
        self._stored.clear()
        for resource in (self._form.namespaced, self._form.cluster):
            # By name, of all namespaces.
            things, _ = await Watch(self._cluster, resource, name=NAME).listed()
            for thing in things:
                metadata = thing["metadata"]
                if (metadata.get("labels") or {}).get(MANAGED_BY_LABEL) == NAME:
                    self._stored[metadata.get("namespace", "")] = _stored(thing)
        # The one on all namespaces as well, whose name is empty.
        for name in ("", *self._told, *self._stored):
            self._wait(name)

    async def _write(self) -> None:
        """Write what waits until it is time to see anew what stands; raises `ClusterError` where it cannot."""
        definition, until = self._definition, asyncio.get_running_loop().time() + _between(self._pace.read)
        while self._definition == definition:
            if not self._waiting:
                self._filled.clear()
                try:
                    async with asyncio.timeout_at(until):
                        await self._filled.wait()
                except TimeoutError:
                    return
                continue
            name = next(iter(self._waiting))
            del self._waiting[name]
            try:
                await self._put(name)
            except ClusterError as error:
                if error.status == 404 and f'namespaces "{name}"' not in str(error):
                    raise
                if not _ended(error):
                    self._complain(error)
                    asyncio.get_running_loop().call_later(_between(self._pace.again), self._wait, name)
            else:
                self._trouble = ""
            await asyncio.sleep(self._pace.pause)

    async def _put(self, namespace: str) -> None:
        """Bring one report to what is found; raises `ClusterError`."""
        resource = self._form.namespaced if namespace else self._form.cluster
        stored, content = self._stored.get(namespace), self._content(namespace)
        if content is None:
            return
        if content.results:
            before = stored.content if stored else None
            if not content.says(before):
                wanted = manifest(resource, namespace, content.dated(before, datetime.now(UTC)))
                self._stored[namespace] = _stored(await self._cluster.apply(resource, wanted))
        elif stored:
            await self._remove(resource, namespace, stored)

    async def _remove(self, resource: Resource, namespace: str, stored: _Stored) -> None:
        """Delete a report that has nothing to say any more."""
        try:
            await self._cluster.delete(resource, NAME, namespace, version=stored.version)
        except ClusterError as error:
            if error.status == 409:
                # Somebody has written to it meanwhile.
                self._stored[namespace] = _stored(await self._cluster.read(resource, NAME, namespace))
                self._wait(namespace)
                return
            if error.status != 404:
                raise
        del self._stored[namespace]

    def _content(self, namespace: str) -> Content | None:
        """Return what a report has to say, None where nobody has judged yet."""
        if namespace:
            told = self._told.get(namespace)
            return _of_policies(self._form, told) if told else None
        findings = [each for told in self._told.values() for each in _of_namespaces(told.findings)]
        things = {each.thing for each in findings}
        return content_of(self._form, sorted(findings, key=importance), len(self._told) - len(things))

    def _wait(self, namespace: str) -> None:
        if namespace:
            self._waiting[namespace] = None
            self._filled.set()
        else:
            self._all.set()

    async def _tell_of_all(self) -> None:
        """Have the report on all namespaces written from time to time, if it may have changed."""
        while True:
            await self._all.wait()
            await asyncio.sleep(self._pace.every)
            self._all.clear()
            self._waiting[""] = None
            self._filled.set()

    def _defined(self, stands: bool) -> None:  # noqa: FBT001 - that is all that is said
        """Hear whether there can be reports; with their definition all of them go."""
        if stands:
            self._served.set()
        else:
            self._served.clear()
            self._definition += 1
            self._filled.set()

    def _complain(self, error: ClusterError) -> None:
        if str(error) != self._trouble:
            structlog.get_logger().warning("report not written", error=str(error))
            self._trouble = str(error)


def _between(seconds: tuple[float, float]) -> float:
    return random.uniform(*seconds)  # noqa: S311 - no secret


def _stored(thing: Object) -> _Stored:
    return _Stored(thing["metadata"]["resourceVersion"], read_content(thing))


def _ended(error: ClusterError) -> bool:
    """Say whether the namespace is gone or ends, and its report with it."""
    return error.status == 404 or "is being terminated" in str(error)


def _of_namespaces(findings: Iterable[Finding]) -> list[Finding]:
    return [each for each in findings if each.thing.kind == "Namespace"]


def _of_policies(form: Form, told: _Told) -> Content:
    findings = [each for each in told.findings if each.thing.kind != "Namespace"]
    # What a rule finds something in was judged; an injected policy that is told of was not.
    return content_of(form, findings, told.judged - 1 - len({each.thing for each in findings if each.ruled}))


def _ignored(error: ClusterError | None) -> None:
    """Hear of a cut watch of the definition: it goes on by itself."""


@dataclass(frozen=True, slots=True)
class _Definition:
    """Says whether the definition of the reports stands."""

    defined: Callable[[bool], None]

    def reset(self, things: list[Object], version: str) -> None:  # noqa: ARG002 - where a watch begins is its own affair
        self.defined(bool(things))

    def put(self, thing: Object) -> None:  # noqa: ARG002 - there is one of the name
        self.defined(True)  # noqa: FBT003 - that is all that is said

    def drop(self, thing: Object) -> None:  # noqa: ARG002 - there is one of the name
        self.defined(False)  # noqa: FBT003 - that is all that is said
