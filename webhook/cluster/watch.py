"""
Follows one resource of a cluster for ever: what stands, then every change, in order, with nothing lost.

A WatchList (`sendInitialEvents`) brings what stands and goes on as the watch; where the API server does not know it
(422), a list in pages comes first. A watch that ends is taken up where it ended; one that is too old (410) begins anew.
Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from webhook.cluster.reading import read_json
from webhook.cluster.resource import Resource
from webhook.errors import ClusterError

Object = dict[str, Any]

WATCH_SECONDS = (240, 480)
"""How long a watch may last before it is taken up anew: between these, so that not all end at once."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 4.0
"""Between two tries; recovery may take two of the longest, and 15 s are promised for it (docs/failure-matrix.md)."""
HOPELESS = 8
"""After so many watches in a row that failed, the next one begins anew."""
CALM_SECONDS = 1.0
"""A watch that lasted so long is taken up again at once; one that ends sooner, however it ends, ever later."""
PAGE = "500"
JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
"""Asks for the metadata of objects alone."""


class Source(Protocol):
    """The two calls that a watch makes on a cluster."""

    async def page(self, path: str, query: Mapping[str, str], accept: str) -> Object:
        """Return one page of a list."""
        ...

    def lines(self, path: str, query: Mapping[str, str], accept: str) -> AsyncIterator[bytes]:
        """Yield what a watch says, line by line, after an empty line as soon as the API server has begun."""
        ...


class Sink(Protocol):
    """Whoever keeps a copy of a resource's objects."""

    def reset(self, things: list[Object], version: str) -> None:
        """Take these for all that stand, as of a resourceVersion."""
        ...

    def put(self, thing: Object) -> None:
        """Take one that came or changed."""
        ...

    def drop(self, thing: Object) -> None:
        """Let one go; it is told as it was last."""
        ...


def _whole(thing: Object) -> Object:
    return thing


@dataclass(frozen=True, slots=True)
class Watch:
    """
    What is followed: all of a resource, of a namespace where one is given, or the one object called `name`.

    Where a label `selector` is given it is what that selects.

    `accept` is the form that is asked for, `trim` what is kept of an object as soon as it is read: before what stands
    is told there may be a great many. `mandatory` says that it is always served, so that a 404 is a cut like any
    other: an API server that has just started, or a proxy before it.
    """

    source: Source
    resource: Resource
    namespace: str = ""
    name: str = ""
    selector: str = ""
    accept: str = JSON
    mandatory: bool = False
    trim: Callable[[Object], Object] = _whole

    async def follow(self, sink: Sink, heard: Callable[[ClusterError | None], None]) -> None:
        """
        Tell `sink` what stands and what changes, for ever; `heard` is told why it is cut, and None when it goes on.

        Raises `ClusterError` (404) where the resource is not served (any more), unless it is mandatory.
        """
        wait, clock = FIRST_WAIT, asyncio.get_running_loop().time
        course = _Course(self, sink, heard)
        failures = 0
        while True:
            begin = clock()
            try:
                await course.stream()
            except ClusterError as error:
                if error.status == 404 and not self.mandatory:
                    raise
                failures += 1
                if error.status == 410 and course.version:
                    # That is an answer: whoever was away for long does not wait for long once more.
                    wait = FIRST_WAIT
                # After a restore of etcd no version that we know may ever be told of.
                if error.status == 410 or failures >= HOPELESS:
                    course.version, failures = "", 0
                if error.status != 410:
                    heard(error)
            if clock() - begin > CALM_SECONDS:
                wait, failures = FIRST_WAIT, 0
            # Half of it random: not all replicas come back at one moment.
            await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - no secret
            wait = min(wait * 2, LONGEST_WAIT)

    async def listed(self) -> tuple[list[Object], str]:
        """Return what stands and as of which resourceVersion; raises `ClusterError`."""
        found, version = list[Object](), ""
        async for page, as_of in self.pages():
            found += page
            version = as_of
        return found, version

    async def pages(self) -> AsyncIterator[tuple[list[Object], str]]:
        """Yield what stands, page by page, each with the resourceVersion as of which all is; raises `ClusterError`."""
        more = ""
        while True:
            query = self.query(limit=PAGE, **({"continue": more} if more else {}))
            page = await self.source.page(self.path, query, self.accept)
            yield [self.trim(each) for each in page.get("items") or ()], page["metadata"]["resourceVersion"]
            more = page["metadata"].get("continue") or ""
            if not more:
                return

    @property
    def path(self) -> str:
        """Where the API server has it."""
        return self.resource.path(namespace=self.namespace)

    def query(self, **more: str) -> dict[str, str]:
        """Return the parameters of a list or watch."""
        one = {"fieldSelector": f"metadata.name={self.name}"} if self.name else {}
        selected = {"labelSelector": self.selector} if self.selector else {}
        return {**one, **selected, **more}


class _Course:
    """One watch after the other; `version` is where the next one begins, empty for anew."""

    def __init__(self, watch: Watch, sink: Sink, heard: Callable[[ClusterError | None], None]) -> None:
        self.version = ""
        self._heard = heard
        self._watch = watch
        self._sink = sink
        self._initial: dict[tuple[str, str], Object] | None = None
        self._lists = False

    async def stream(self) -> None:
        """Watch until the API server ends it."""
        if not self.version and self._lists:
            await self._list()
        watch = self._watch
        seconds = str(random.randint(*WATCH_SECONDS))  # noqa: S311 - no secret
        query = watch.query(watch="true", allowWatchBookmarks="true", timeoutSeconds=seconds)
        if self.version:
            query |= {"resourceVersion": self.version}
        else:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
            self._initial = {}
        try:
            async for line in watch.source.lines(watch.path, query, watch.accept):
                if line:
                    self._hear(line)
                else:
                    self._heard(None)
        except ClusterError as error:
            # An API server without WatchList finds the parameter invalid.
            if error.status == 422 and not self._lists:
                self._lists = True
                return
            raise
        finally:
            self._initial = None

    def _hear(self, line: bytes) -> None:
        kind, thing = _event(line)
        if kind == "ERROR":
            what = f"the watch of {self._watch.resource.plural} ended: {thing.get('message')}"
            code = thing.get("code")
            raise ClusterError(what, status=code if isinstance(code, int) else 0, reason=str(thing.get("reason") or ""))
        if self._initial is not None:
            self._gather(kind, thing, self._initial)
            return
        match kind:
            case "ADDED" | "MODIFIED":
                self._sink.put(self._watch.trim(thing))
            case "DELETED":
                self._sink.drop(thing)
            case _:
                pass
        self.version = thing["metadata"]["resourceVersion"]

    def _gather(self, kind: str, thing: Object, initial: dict[tuple[str, str], Object]) -> None:
        """Keep what stands until the bookmark that says that this is all."""
        metadata = thing["metadata"]
        key = metadata.get("namespace", ""), metadata.get("name", "")
        match kind:
            case "ADDED" | "MODIFIED":
                initial[key] = self._watch.trim(thing)
            case "DELETED":
                initial.pop(key, None)
            case _ if (metadata.get("annotations") or {}).get("k8s.io/initial-events-end") == "true":
                self.version = metadata["resourceVersion"]
                self._initial = None
                self._sink.reset(list(initial.values()), self.version)
            case _:
                pass

    async def _list(self) -> None:
        found, self.version = await self._watch.listed()
        self._sink.reset(found, self.version)


def _event(line: bytes) -> tuple[str, Object]:
    """Return the type of an event and its object; raises `ClusterError` for a line that is none."""
    try:
        event = read_json(line)
    except ValueError as error:
        raise ClusterError(f"a watch says what cannot be read: {error}") from error
    match event:
        case {"type": "ERROR", "object": dict() as thing}:
            return "ERROR", thing
        case {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str()}} as thing}:
            return "BOOKMARK", thing
        case {"type": str(kind), "object": {"metadata": {"name": str(), "resourceVersion": str()}} as thing}:
            return kind, thing
        case _:
            raise ClusterError(f"a watch says what is no event: {line[:200]!r}")
