"""An API server in memory: what of Kubernetes' API the rooms rely on, without a network and with faults on demand."""

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import NamedTuple

import orjson

from tests.cases.reviews import Json
from webhook.cluster.resource import Resource
from webhook.errors import ClusterError

Key = tuple[str, str, str]
"""Plural (with the group where several groups have it), namespace and name."""


def plural_of(resource: Resource) -> str:
    """Return what a resource is called here."""
    return resource.definition if "." in resource.kind else resource.plural


class Call(NamedTuple):
    """A call that was made; `thing` is what was sent, empty for none."""

    verb: str
    plural: str
    name: str
    namespace: str = ""
    thing: Json = {}  # noqa: RUF012 - nobody writes to it


class Event(NamedTuple):
    """What a watch tells."""

    kind: str
    plural: str
    thing: Json


class Memory:
    """
    Objects with versions that grow; who writes an old one conflicts, and a write that changes nothing is none.

    `before` is awaited before a call takes effect, `after` before it is answered; both may raise. `listeners` are
    called with every change at once.
    """

    def __init__(self) -> None:
        self.stored: dict[Key, Json] = {}
        self.calls: list[Call] = []
        self.events: list[Event] = []
        self.listeners: list[Callable[[Event], None]] = []
        self.before: Callable[[Call], Awaitable[None]] = _nothing
        self.after: Callable[[Call], Awaitable[None]] = _nothing
        self.version = 0
        self._watches: dict[asyncio.Queue[Event | None], str] = {}

    def only_while(self, _: Callable[[], bool]) -> "Memory":
        """Return itself: whoever asks here may write."""
        return self

    def find(self, resource: Resource, name: str, namespace: str = "") -> Json | None:
        """Return what stands, without a call."""
        return self.stored.get((plural_of(resource), namespace, name))

    def put(self, resource: Resource, thing: Json) -> Json:
        """Store an object whole, as somebody else would, whatever its version."""
        metadata = thing["metadata"]
        key = plural_of(resource), metadata.get("namespace", ""), metadata["name"]
        kind = "MODIFIED" if key in self.stored else "ADDED"
        self.version += 1
        kept: Json = {**copy.deepcopy(thing), "metadata": {**metadata, "resourceVersion": str(self.version)}}
        self.stored[key] = kept
        self._tell(Event(kind, plural_of(resource), kept))
        return copy.deepcopy(kept)

    def remove(self, resource: Resource, name: str, namespace: str = "") -> None:
        """Let an object go, as somebody else would."""
        gone = self.stored.pop((plural_of(resource), namespace, name))
        self.version += 1
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._tell(Event("DELETED", plural_of(resource), gone))

    def cut(self) -> None:
        """Cut every watch; none is lost of what they have not heard yet."""
        for queue in self._watches:
            queue.put_nowait(None)

    # The calls.

    async def read(self, resource: Resource, name: str, namespace: str = "") -> Json:
        """Return an object."""
        call = Call("read", plural_of(resource), name, namespace)
        await self._begin(call)
        found = copy.deepcopy(self._known(call))
        await self.after(call)
        return found

    async def create(self, resource: Resource, thing: Json, *, dry_run: bool = False) -> Json:
        """Create an object."""
        sent = copy.deepcopy(thing)
        metadata = sent["metadata"]
        if "generateName" in metadata:
            metadata["name"] = f"{metadata.pop('generateName')}{self.version}"
        call = Call("create", plural_of(resource), metadata["name"], metadata.get("namespace", ""), thing)
        await self._begin(call)
        if (*call[1:2], call.namespace, call.name) in self.stored:
            raise ClusterError(f"{plural_of(resource)} {call.name} already exists", status=409, reason="AlreadyExists")
        if dry_run:
            return await self._answered(call, sent)
        return await self._answered(call, self.put(resource, sent))

    async def apply(self, resource: Resource, thing: Json) -> Json:
        """Apply an object; what others put beside it stays."""
        metadata = thing["metadata"]
        call = Call("apply", plural_of(resource), metadata["name"], metadata.get("namespace", ""), thing)
        await self._begin(call)
        standing = self.find(resource, call.name, call.namespace) or {"metadata": {}}
        return await self._answered(call, self._written(resource, standing, _merged(standing, thing)))

    async def replace(self, resource: Resource, thing: Json, *, dry_run: bool = False) -> Json:
        """Replace an object whole."""
        metadata = thing["metadata"]
        call = Call("replace", plural_of(resource), metadata["name"], metadata.get("namespace", ""), thing)
        await self._begin(call)
        standing = self._known(call, metadata.get("resourceVersion"))
        if dry_run:
            return await self._answered(call, copy.deepcopy(thing))
        return await self._answered(call, self._written(resource, standing, thing))

    async def patch(self, resource: Resource, name: str, body: Json, namespace: str = "") -> Json:
        """Merge into an object."""
        call = Call("patch", plural_of(resource), name, namespace, body)
        await self._begin(call)
        standing = self._known(call, body.get("metadata", {}).get("resourceVersion"))
        return await self._answered(call, self._written(resource, standing, _merged(standing, body)))

    async def patch_status(self, resource: Resource, name: str, body: Json) -> Json:
        """Merge into the status of an object."""
        call = Call("patch_status", plural_of(resource), name, "", body)
        await self._begin(call)
        standing = self._known(call, body.get("metadata", {}).get("resourceVersion"))
        return await self._answered(call, self._written(resource, standing, _merged(standing, body)))

    async def delete(self, resource: Resource, name: str, namespace: str = "", *, version: str) -> None:
        """Delete an object."""
        call = Call("delete", plural_of(resource), name, namespace)
        await self._begin(call)
        self._known(call, version)
        self.remove(resource, name, namespace)
        await self.after(call)

    async def page(self, path: str, query: Mapping[str, str], accept: str) -> Json:  # noqa: ARG002
        """Return all of a resource in one namespace, or those with a label: nobody lists more here who can watch."""
        *_, namespace, plural = path.split("/")
        await self._begin(Call("list", plural, "", namespace))
        found = [copy.deepcopy(thing) for at, thing in self.stored.items() if at[:2] == (plural, namespace)]
        if "labelSelector" in query:
            label = tuple(query["labelSelector"].split("="))
            found = [each for each in found if label in (each["metadata"].get("labels") or {}).items()]
        return {"items": found, "metadata": {"resourceVersion": str(self.version)}}

    async def lines(self, path: str, query: Mapping[str, str], accept: str) -> AsyncIterator[bytes]:  # noqa: ARG002
        """Yield what a watch says: what stands, or what happened since a version, and then what happens."""
        *_, group, _, plural = path.split("/")
        if group.endswith("projectcalico.org"):
            plural = f"{plural}.{group}"
        name = query.get("fieldSelector", "").removeprefix("metadata.name=")
        queue = asyncio.Queue[Event | None]()
        if since := query.get("resourceVersion"):
            past = [each for each in self.events if int(each.thing["metadata"]["resourceVersion"]) > int(since)]
        else:
            past = [Event("ADDED", at[0], thing) for at, thing in self.stored.items()]
            metadata = {"resourceVersion": str(self.version), "annotations": {"k8s.io/initial-events-end": "true"}}
            past.append(Event("BOOKMARK", plural, {"metadata": metadata}))
        for each in past:
            queue.put_nowait(each)
        self._watches[queue] = plural
        try:
            yield b""
            while event := await queue.get():
                own = event.kind == "BOOKMARK" or name in {"", event.thing["metadata"]["name"]}
                if event.plural == plural and own:
                    yield orjson.dumps({"type": event.kind, "object": event.thing})
        finally:
            del self._watches[queue]
        raise ClusterError(f"the watch of {path} was cut: as asked")

    # What they are made of.

    async def _begin(self, call: Call) -> None:
        self.calls.append(call)
        # A call over a network lets others run.
        await asyncio.sleep(0)
        await self.before(call)

    async def _answered(self, call: Call, answer: Json) -> Json:
        await self.after(call)
        return answer

    def _known(self, call: Call, version: str | None = None) -> Json:
        found = self.stored.get((call.plural, call.namespace, call.name))
        if found is None:
            raise ClusterError(f"{call.plural} {call.name} not found", status=404, reason="NotFound")
        if version and version != found["metadata"]["resourceVersion"]:
            raise ClusterError(f"{call.plural} {call.name} was modified", status=409, reason="Conflict")
        return found

    def _written(self, resource: Resource, standing: Json, thing: Json) -> Json:
        version = standing["metadata"].get("resourceVersion")
        if version and {**thing, "metadata": {**thing["metadata"], "resourceVersion": version}} == standing:
            return copy.deepcopy(standing)
        return self.put(resource, thing)

    def _tell(self, event: Event) -> None:
        told = event._replace(thing=copy.deepcopy(event.thing))
        self.events.append(told)
        for queue in self._watches:
            queue.put_nowait(told)
        for listener in self.listeners:
            listener(told)


async def _nothing(_: Call) -> None:
    """Let a call be."""


def _merged(standing: Json, sent: Json) -> Json:
    """Return `standing` with `sent` merged into it (RFC 7386)."""
    merged = dict(standing)
    for key, value in sent.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merged(merged.get(key) or {}, value)
        else:
            merged[key] = value
    return merged


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Return once it holds; TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event to wait on
            await asyncio.sleep(0.002)
