"""A watch loses nothing: whatever cuts it, its sink knows what stands, and every change comes in order."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from tests.cases.reviews import Json
from tests.cluster.connection import connection
from tests.cluster.memory import until
from tests.controlplane.plane import Plane
from webhook.cluster import watch
from webhook.cluster.client import Cluster
from webhook.cluster.resource import BASELINES, NAMESPACES, NETWORK_POLICIES, Resource
from webhook.cluster.watch import METADATA, Watch
from webhook.errors import ClusterError

CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
GONE = ClusterError("too old resource version", status=410, reason="Expired")
UNKNOWN = ClusterError("sendInitialEvents is forbidden", status=422, reason="Invalid")
CUT = ClusterError("the connection was reset")
NOT_SERVED = ClusterError("the server could not find the requested resource", status=404)
Told = tuple[str, Any]
Said = Sequence[bytes | Exception]
"""The lines of a watch, and what ends it."""


@dataclass
class Sink:
    """Keeps what it is told, and what stands by it."""

    told: list[Told] = field(default_factory=list)
    standing: dict[str, Json] = field(default_factory=dict)

    def reset(self, things: list[Json], version: str) -> None:
        self.told.append(("reset", ([name_of(each) for each in things], version)))
        self.standing = {name_of(each): each for each in things}

    def put(self, thing: Json) -> None:
        self.told.append(("put", name_of(thing)))
        self.standing[name_of(thing)] = thing

    def drop(self, thing: Json) -> None:
        self.told.append(("drop", name_of(thing)))
        self.standing.pop(name_of(thing), None)


def name_of(thing: Json) -> str:
    """Return its namespace, if it has one, and its name."""
    metadata = thing["metadata"]
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))


class Source:
    """Answers each call with the next of what it is given; with nothing left a watch stays open."""

    def __init__(self, watches: Sequence[Said], pages: Sequence[Json | Exception] = ()) -> None:
        self.watches = list(watches)
        self.pages = list(pages)
        self.asked: list[dict[str, str]] = []
        self.listed: list[dict[str, str]] = []
        self.idle = asyncio.Event()

    async def page(self, path: str, query: Mapping[str, str], accept: str) -> Json:
        self.listed.append({**query, "path": path, "accept": accept})
        page = self.pages.pop(0)
        if isinstance(page, Exception):
            raise page
        return page

    async def lines(self, path: str, query: Mapping[str, str], accept: str) -> AsyncIterator[bytes]:
        self.asked.append({**query, "path": path, "accept": accept})
        if not self.watches:
            yield b""
            self.idle.set()
            await asyncio.Event().wait()
        said = self.watches.pop(0)
        if said and isinstance(said[0], ClusterError) and said[0].status in {410, 422}:
            raise said[0]  # instead of a watch that begins
        yield b""
        for each in said:
            if isinstance(each, Exception):
                raise each
            yield each


def event(kind: str, name: str, version: int, **metadata: Any) -> bytes:
    """Return a line of a watch."""
    return orjson.dumps({"type": kind, "object": thing(name, version, **metadata)})


def thing(name: str, version: int, **metadata: Any) -> Json:
    return {"metadata": {"name": name, "resourceVersion": str(version), **metadata}}


def bookmark(version: int, *, end: bool = False) -> bytes:
    """Return a bookmark; `end` says that what stands was told."""
    annotations = {"annotations": {"k8s.io/initial-events-end": "true"}} if end else {}
    return orjson.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version), **annotations}}})


def error(code: int, message: str = "as told") -> bytes:
    """Return an ERROR event."""
    return orjson.dumps({"type": "ERROR", "object": {"kind": "Status", "code": code, "message": message}})


@dataclass
class Followed:
    """What came of following a source until it had nothing left to say."""

    told: list[Told]
    heard: list[str | None]
    asked: list[dict[str, str]]
    standing: dict[str, Json]


def followed(source: Source, resource: Resource = NAMESPACES, **more: Any) -> Followed:
    """Follow until the source is idle."""
    sink, heard = Sink(), list[ClusterError | None]()

    async def main() -> None:
        task = asyncio.create_task(Watch(source, resource, **more).follow(sink, heard.append))
        idle = asyncio.create_task(source.idle.wait())
        async with asyncio.timeout(10):
            await asyncio.wait({task, idle}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0.01)
        if task.done():
            await task
        for each in (task, idle):
            each.cancel()
        await asyncio.gather(task, idle, return_exceptions=True)

    asyncio.run(main())
    return Followed(sink.told, [str(each) if each else None for each in heard], source.asked, sink.standing)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less than where an API server has to be spared."""
    monkeypatch.setattr(watch, "FIRST_WAIT", 0.002)
    monkeypatch.setattr(watch, "LONGEST_WAIT", 0.02)


# Faults.


def test_a_kind_that_is_not_served_ends_it() -> None:
    """Whoever watches has to know that there is none, now or any more."""
    ways: list[Said] = [[NOT_SERVED], [event("ADDED", "a", 1), bookmark(2, end=True), NOT_SERVED], [error(404)]]
    for said in ways:
        with pytest.raises(ClusterError) as caught:
            followed(Source([said]))
        assert caught.value.status == 404


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(CUT, id="the-connection"),
        pytest.param(ClusterError("nobody listens"), id="nobody-listens"),
        pytest.param(ClusterError("too many requests", status=429), id="too-many-requests"),
        pytest.param(ClusterError("unavailable", status=503), id="unavailable"),
        pytest.param(ClusterError("unauthorized", status=401), id="unauthorized"),
        pytest.param(ClusterError("forbidden", status=403), id="forbidden"),
        pytest.param(error(500), id="an-error-event"),
        pytest.param(orjson.dumps({"type": "ERROR", "object": {}}), id="an-error-event-that-says-nothing"),
        pytest.param(b"{", id="half-a-line"),
        pytest.param(b"\xff\xfe", id="no-text"),
        pytest.param(b"<html>", id="html"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a-list"),
        pytest.param(b'"x"', id="a-text"),
        pytest.param(b"{}", id="an-empty-object"),
        pytest.param(b'{"type": "ADDED"}', id="an-event-without-object"),
        pytest.param(b'{"type": "ADDED", "object": {}}', id="an-object-without-metadata"),
        pytest.param(b'{"type": "ADDED", "object": null}', id="an-object-that-is-null"),
        pytest.param(b'{"type": "MODIFIED", "object": {"metadata": {"name": "x"}}}', id="an-object-without-version"),
        pytest.param(b'{"type": "ADDED", "object": {"metadata": {"resourceVersion": "9"}}}', id="without-a-name"),
        pytest.param(b'{"type": "ERROR", "object": {"code": "x", "reason": 7}}', id="an-error-of-no-number"),
    ],
)
def test_what_cuts_it_is_told_and_it_goes_on_from_there(cut: bytes | Exception) -> None:
    """The last version that was heard is where it begins again: nothing comes twice, nothing is missed."""
    first = [event("ADDED", "a", 1), bookmark(5, end=True), event("ADDED", "b", 6), cut]
    found = followed(Source([first, [event("ADDED", "c", 7)]]))
    assert found.told[:2] == [("reset", (["a"], "5")), ("put", "b")]
    assert found.told[-1] == ("put", "c")
    assert [each.get("resourceVersion") for each in found.asked[:2]] == [None, "6"]
    assert "sendInitialEvents" not in found.asked[1]
    assert found.heard[0] is None
    assert found.heard[1]
    assert found.heard[2] is None


def test_what_is_always_served_is_cut_by_a_404() -> None:
    """An API server that has just started says so, or a proxy before it, of kinds that every cluster has."""
    said = [NOT_SERVED], [bookmark(1, end=True)], [NOT_SERVED], [event("ADDED", "a", 2)]
    found = followed(Source(said), mandatory=True)
    assert found.told == [("reset", ([], "1")), ("put", "a")]
    assert found.heard.count(str(NOT_SERVED)) == 2


def test_a_version_that_is_refused_again_and_again_is_given_up() -> None:
    """After a restore of etcd it may lie in the future, and no watch ever gets there: what stands is told anew."""
    future = ClusterError("Too large resource version", status=504)
    said: list[Said] = [[bookmark(9, end=True)], *([future] for _ in range(watch.HOPELESS)), [bookmark(3, end=True)]]
    found = followed(Source(said))
    assert found.told == [("reset", ([], "9")), ("reset", ([], "3"))]
    versions = [each.get("resourceVersion") for each in found.asked]
    assert versions == [None, *["9"] * watch.HOPELESS, None, "3"]


def test_a_few_failures_are_no_reason_to_begin_anew() -> None:
    """A restart of the API server costs a watch, not a whole list of everything from every replica."""
    said: list[Said] = [[bookmark(9, end=True)], *([CUT] for _ in range(watch.HOPELESS - 1)), [event("ADDED", "a", 10)]]
    found = followed(Source(said))
    assert found.told == [("reset", ([], "9")), ("put", "a")]


def test_who_is_cut_before_the_end_of_what_stands_begins_anew() -> None:
    """Half of what stands is never taken for all."""
    half: list[bytes | Exception] = [event("ADDED", "a", 1), event("ADDED", "b", 2), CUT]
    found = followed(Source([half, [event("ADDED", "b", 2), bookmark(7, end=True)]]))
    assert found.told == [("reset", (["b"], "7"))]
    assert [each.get("sendInitialEvents") for each in found.asked] == ["true", "true", None]


@pytest.mark.parametrize("gone", [GONE, error(410)], ids=["as-a-status", "as-an-event"])
def test_what_is_too_old_begins_anew(gone: bytes | Exception) -> None:
    """Changes were lost, so what stands is told whole; nobody is told of a cut."""
    first = [event("ADDED", "a", 1), bookmark(5, end=True)]
    again = [event("ADDED", "b", 8), bookmark(9, end=True)]
    found = followed(Source([first, [gone], again]))
    assert found.told == [("reset", (["a"], "5")), ("reset", (["b"], "9"))]
    assert [each.get("resourceVersion") for each in found.asked] == [None, "5", None, "9"]
    assert set(found.heard) == {None}


def test_what_is_too_old_is_told_anew_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was away for long and has answered: the long waits of before are over."""
    waits, sleep, here = list[float](), asyncio.sleep, threading.get_ident()

    async def noted(seconds: float) -> None:
        # What the tests of a session share goes on in a thread of its own.
        if threading.get_ident() == here:
            waits.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", noted)
    first = [event("ADDED", "a", 1), bookmark(5, end=True)]
    followed(Source([first, *([CUT] for _ in range(5)), [GONE], [bookmark(9, end=True)]]))
    assert max(waits[:6]) > 2 * watch.FIRST_WAIT
    assert waits[6] <= watch.FIRST_WAIT


def test_too_old_in_the_middle_of_what_stands_begins_anew() -> None:
    """The half that was heard is forgotten."""
    found = followed(Source([[event("ADDED", "a", 1), error(410)], [bookmark(3, end=True)]]))
    assert found.told == [("reset", ([], "3"))]


def test_it_waits_ever_longer_for_who_does_not_answer() -> None:
    """Up to a bound."""
    waits = list[float]()
    times = list[float]()

    def heard(error: ClusterError | None) -> None:
        now = asyncio.get_running_loop().time()
        if error is None or times:
            waits.append(now - (times[-1] if times else now))
        times.append(now)

    source = Source([[CUT] for _ in range(8)])

    async def main() -> None:
        task = asyncio.create_task(Watch(source, NAMESPACES).follow(Sink(), heard))
        async with asyncio.timeout(5):
            await source.idle.wait()
        task.cancel()

    asyncio.run(main())
    # Each watch is heard to begin and to be cut; what lies between a cut and a beginning is the wait.
    pauses = waits[2::2]
    assert len(pauses) == 8
    assert pauses[0] < 0.01
    assert 0.008 <= max(pauses) < 0.1
    assert sum(pauses[4:]) > 2 * sum(pauses[:4])


def test_who_ends_every_watch_at_once_is_not_asked_all_the_time() -> None:
    """A proxy that closes what it has just opened is spared like one that does not answer."""
    source = Source([[] for _ in range(10_000)])

    async def main() -> None:
        task = asyncio.create_task(Watch(Slow(source), NAMESPACES).follow(Sink(), lambda _: None))
        await asyncio.sleep(0.05)
        task.cancel()

    asyncio.run(main())
    assert len(source.asked) < 30


@dataclass
class Slow:
    """A source that lets others run, as any over a network does."""

    source: Source

    async def page(self, path: str, query: Mapping[str, str], accept: str) -> Json:
        await asyncio.sleep(0)
        return await self.source.page(path, query, accept)

    async def lines(self, path: str, query: Mapping[str, str], accept: str) -> AsyncIterator[bytes]:
        await asyncio.sleep(0)
        async for line in self.source.lines(path, query, accept):
            yield line


# What stands.


def test_what_stands_is_told_whole_once_it_is_known_to_be_all() -> None:
    """At the bookmark that says so and no other; before it nothing is told."""
    said = [event("ADDED", "a", 3), bookmark(4), event("ADDED", "b", 2), bookmark(5, end=True)]
    found = followed(Source([said]))
    assert found.told == [("reset", (["a", "b"], "5"))]
    assert found.asked[0]["resourceVersionMatch"] == "NotOlderThan"
    assert "resourceVersion" not in found.asked[0]


def test_changes_before_the_end_of_what_stands_are_in_it() -> None:
    """Changed objects as they are last, deleted ones not at all, wherever they stand."""
    said = [
        event("ADDED", "a", 1),
        event("ADDED", "b", 2),
        event("ADDED", "web", 3, namespace="dev"),
        event("ADDED", "web", 4, namespace="other"),
        event("MODIFIED", "a", 5, labels={"x": "y"}),
        event("DELETED", "b", 6),
        event("DELETED", "web", 7, namespace="dev"),
        event("DELETED", "never", 8),
        event("ADDED", "b", 9),
        bookmark(9, end=True),
    ]
    found = followed(Source([said]))
    assert sorted(found.standing) == ["a", "b", "other/web"]
    assert found.standing["a"]["metadata"]["labels"] == {"x": "y"}


def test_nothing_that_stands_is_told_too() -> None:
    """An empty whole is known."""
    assert followed(Source([[bookmark(1, end=True)]])).told == [("reset", ([], "1"))]


def test_changes_are_told_as_they_come() -> None:
    """In order; bookmarks are for the next watch alone."""
    said = [
        bookmark(1, end=True),
        event("ADDED", "a", 2),
        event("MODIFIED", "a", 3),
        event("DELETED", "a", 4),
        bookmark(11),
    ]
    found = followed(Source([said]))
    assert found.told == [("reset", ([], "1")), ("put", "a"), ("put", "a"), ("drop", "a")]
    assert found.asked[1]["resourceVersion"] == "11"


def test_a_watch_that_ends_is_taken_up_where_it_ended() -> None:
    """It lasts minutes, not for ever; that is no cut."""
    found = followed(Source([[bookmark(1, end=True)], [event("ADDED", "a", 2)], []]))
    assert [each.get("resourceVersion") for each in found.asked] == [None, "1", "2", "2"]
    assert found.told == [("reset", ([], "1")), ("put", "a")]
    assert set(found.heard) == {None}


def test_every_watch_ends_in_a_time_of_its_own() -> None:
    """So that not all end at one moment; and asks for bookmarks."""
    found = followed(Source([[bookmark(1, end=True)], *([] for _ in range(5))]))
    seconds = {int(each["timeoutSeconds"]) for each in found.asked}
    assert len(seconds) > 1
    assert all(60 <= each <= 600 for each in seconds)
    assert {(each["watch"], each["allowWatchBookmarks"]) for each in found.asked} == {("true", "true")}


@pytest.mark.parametrize(
    ("more", "path", "selector"),
    [
        pytest.param({}, "/apis/networking.k8s.io/v1/networkpolicies", None, id="all"),
        pytest.param(
            {"namespace": "dev"}, "/apis/networking.k8s.io/v1/namespaces/dev/networkpolicies", None, id="of-a-namespace"
        ),
        pytest.param(
            {"namespace": "dev", "name": "web"},
            "/apis/networking.k8s.io/v1/namespaces/dev/networkpolicies",
            "metadata.name=web",
            id="one",
        ),
    ],
)
def test_what_is_followed_is_what_is_asked_for(more: dict[str, str], path: str, selector: str | None) -> None:
    """In every call, the form of the answer too."""
    items = {"metadata": {"resourceVersion": "5"}, "items": []}
    source = Source([[UNKNOWN], []], [items])
    found = followed(source, NETWORK_POLICIES, accept=METADATA, **more)
    for each in (*found.asked, *source.listed):
        assert (each["path"], each.get("fieldSelector"), each["accept"]) == (path, selector, METADATA)


# An API server without WatchList.


def page(version: int, *names: str, more: str = "") -> Json:
    metadata = {"resourceVersion": str(version), **({"continue": more} if more else {})}
    return {"metadata": metadata, "items": [thing(name, 1) for name in names]}


def test_without_a_watch_list_a_list_in_pages_comes_first() -> None:
    """All pages are one whole, and the watch begins at its version."""
    source = Source([[UNKNOWN], [event("ADDED", "d", 10)]], [page(9, "a", "b", more="x"), page(9, "c")])
    found = followed(source)
    assert found.told == [("reset", (["a", "b", "c"], "9")), ("put", "d")]
    assert [each.get("continue") for each in source.listed] == [None, "x"]
    assert {each["limit"] for each in source.listed} == {"500"}
    assert [each.get("resourceVersion") for each in found.asked] == [None, "9", "10"]


@pytest.mark.parametrize("lists", [False, True], ids=["watch-list", "pages"])
def test_of_an_object_is_kept_what_was_asked_for(lists: bool) -> None:  # noqa: FBT001 - a parameter
    """From its first word: of what stands, in whatever way that is told, and of what comes and changes."""
    page = {"metadata": {"resourceVersion": "2"}, "items": [thing("a", 1, labels={"x": "y"})]}
    stands: list[Said] = [[UNKNOWN]] if lists else []
    first: list[bytes] = [] if lists else [event("ADDED", "a", 1, labels={"x": "y"}), bookmark(2, end=True)]
    changes: Said = [event("ADDED", "b", 3, labels={"x": "y"}), event("MODIFIED", "a", 4, labels={"x": "z"}), CUT]
    watched: Said = [*first, *changes]
    source = Source([*stands, watched], [page] if lists else [])

    def trim(whole: Json) -> Json:
        return {"metadata": {key: whole["metadata"][key] for key in ("name", "resourceVersion")}, "trimmed": True}

    found = followed(source, trim=trim).standing
    assert found == {"a": {**thing("a", 4), "trimmed": True}, "b": {**thing("b", 3), "trimmed": True}}


def test_what_is_too_old_is_listed_anew_there() -> None:
    """WatchList is not asked for a second time; a list without items holds nothing."""
    nothing: Json = {"metadata": {"resourceVersion": "20"}, "items": None}
    source = Source([[UNKNOWN], [GONE], []], [page(9, "a"), nothing])
    found = followed(source)
    assert found.told == [("reset", (["a"], "9")), ("reset", ([], "20"))]
    assert sum("sendInitialEvents" in each for each in found.asked) == 1


def test_a_list_that_is_cut_is_begun_anew() -> None:
    """Half of the pages are never taken for all; a page that is too old by then is no reason to end either."""
    pages: list[Json | Exception] = [page(9, "a", more="x"), CUT, page(9, "a", more="x"), GONE, page(11, "b")]
    source = Source([[UNKNOWN], []], pages)
    found = followed(source)
    assert found.told == [("reset", (["b"], "11"))]
    assert str(CUT) in found.heard


def test_a_second_422_is_a_cut() -> None:
    """It is about something else, and is told."""
    source = Source([[UNKNOWN], [UNKNOWN], []], [page(9, "a")])
    assert str(UNKNOWN) in followed(source).heard


# A real API server.


def watching(plane: Plane, resource: Resource, script: Callable[[Sink], Any], **more: Any) -> tuple[Sink, list[Any]]:
    """Follow a resource of the plane while `script` runs in a thread."""
    sink, heard = Sink(), list[ClusterError | None]()

    async def main() -> None:
        async with connection(plane.kubeconfig("root")) as cluster:
            task = asyncio.create_task(Watch(cluster, resource, **more).follow(sink, heard.append))
            try:
                await until(lambda: bool(sink.told), 10)
                work = asyncio.create_task(asyncio.to_thread(script, sink))
                await asyncio.wait({task, work}, return_when=asyncio.FIRST_COMPLETED)
                await work
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    return sink, heard


def eventually(condition: Callable[[], bool]) -> None:
    """Return once it holds, as asked from a thread."""
    asyncio.run(until(condition, 30))


def test_a_real_api_server_is_followed_in_order(plane: Plane) -> None:
    """What stands, then each creation, change and deletion, and nothing else."""
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "watch-0"}, "data": {"a": "0"}}

    def script(sink: Sink) -> None:
        for index in range(3):
            plane.kubectl("create", "configmap", f"watch-{index}", "--namespace=watch")
        plane.kubectl("replace", "--namespace=watch", "--filename=-", stdin=json.dumps(manifest))
        plane.kubectl("delete", "configmap", "watch-1", "--namespace=watch")
        eventually(lambda: sink.told[-1] == ("drop", "watch/watch-1"))

    plane.kubectl("create", "namespace", "watch")
    plane.kubectl("create", "configmap", "before", "--namespace=watch")
    sink, heard = watching(plane, CONFIGMAPS, script, namespace="watch")
    own = [each for each in sink.told[1:] if "watch-" in each[1]]
    assert "watch/before" in sink.told[0][1][0]
    assert own == [
        ("put", "watch/watch-0"),
        ("put", "watch/watch-1"),
        ("put", "watch/watch-2"),
        ("put", "watch/watch-0"),
        ("drop", "watch/watch-1"),
    ]
    assert sink.standing["watch/watch-0"]["data"] == {"a": "0"}
    assert heard == [None]


def test_an_object_alone_is_followed(plane: Plane) -> None:
    """Others of its kind are not told."""

    def script(sink: Sink) -> None:
        plane.kubectl("create", "configmap", "other-one")
        plane.kubectl("create", "configmap", "only-one")
        eventually(lambda: "default/only-one" in sink.standing)
        plane.kubectl("delete", "configmap", "other-one", "only-one")
        eventually(lambda: not sink.standing)

    sink, _ = watching(plane, CONFIGMAPS, script, namespace="default", name="only-one")
    assert [each[0] for each in sink.told] == ["reset", "put", "drop"]


def test_metadata_alone_can_be_followed(plane: Plane) -> None:
    """Which is a hundredth of a CustomResourceDefinition."""

    def script(sink: Sink) -> None:
        plane.kubectl("create", "configmap", "large", "--from-literal=a=b")
        eventually(lambda: "default/large" in sink.standing)
        plane.kubectl("delete", "configmap", "large")

    sink, _ = watching(plane, CONFIGMAPS, script, namespace="default", accept=METADATA)
    (told,) = [each for each in sink.told if each == ("put", "default/large")]
    assert told
    assert all("data" not in each for each in sink.standing.values())


def test_a_long_line_is_whole(plane: Plane) -> None:
    """A ConfigMap of 900 kB comes in one piece, in what stands and as a change."""
    text = "x" * 900_000
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "long"}, "data": {"text": text}}

    def script(sink: Sink) -> None:
        later = {**manifest, "metadata": {"name": "longer"}}
        plane.kubectl("create", "--filename=-", stdin=json.dumps(later))
        eventually(lambda: "default/longer" in sink.standing)

    plane.kubectl("create", "--filename=-", stdin=json.dumps(manifest))
    try:
        sink, heard = watching(plane, CONFIGMAPS, script, namespace="default")
    finally:
        plane.kubectl("delete", "configmap", "long", "longer", "--ignore-not-found")
    assert [sink.standing[f"default/{name}"]["data"]["text"] for name in ("long", "longer")] == [text, text]
    assert heard == [None]


def test_a_restart_of_the_api_server_loses_nothing(plane: Plane) -> None:
    """What was deleted and created while it was away, or just before, is told; the cut is told, and its end."""

    def script(sink: Sink) -> None:
        plane.kubectl("create", "configmap", "early")
        eventually(lambda: "default/early" in sink.standing)
        plane.restart_api_server()
        plane.kubectl("create", "configmap", "late")
        plane.kubectl("delete", "configmap", "early")
        eventually(lambda: "default/late" in sink.standing and "default/early" not in sink.standing)
        plane.kubectl("delete", "configmap", "late")

    sink, heard = watching(plane, CONFIGMAPS, script, namespace="default")
    assert heard[0] is heard[-1] is None
    assert any(heard)
    changes = [each for each in sink.told if each[0] != "reset" and each[1] in {"default/early", "default/late"}]
    # Told anew where the API server no longer knew what was before.
    if [each[0] for each in sink.told].count("reset") == 1:
        assert changes[:3] == [("put", "default/early"), ("put", "default/late"), ("drop", "default/early")]


def test_a_version_of_long_ago_is_told_anew(plane: Plane) -> None:
    """An API server that started again does not remember what was before; it says 410, and nothing is missed."""
    sink = Sink()

    async def main() -> None:
        async with connection(plane.kubeconfig("root")) as cluster:
            forgetful = Forgetful(cluster)
            task = asyncio.create_task(Watch(forgetful, NAMESPACES).follow(sink, lambda _: None))
            await until(lambda: forgetful.calls >= 3 and [each[0] for each in sink.told].count("reset") == 2, 10)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert "kube-system" in sink.standing


class Forgetful:
    """Ends the first watch once it was told what stands, and takes it up at a version of long ago."""

    def __init__(self, cluster: Cluster) -> None:
        self.calls = 0
        self._cluster = cluster

    async def page(self, path: str, query: Mapping[str, str], accept: str) -> Json:
        return await self._cluster.page(path, query, accept)

    async def lines(self, path: str, query: Mapping[str, str], accept: str) -> AsyncIterator[bytes]:
        self.calls += 1
        old = {**query, "resourceVersion": "1"} if "resourceVersion" in query and self.calls == 2 else query
        async for line in self._cluster.lines(path, old, accept):
            yield line
            if self.calls == 1 and b"initial-events-end" in line:
                return


def test_a_kind_that_a_real_api_server_does_not_know_is_404(plane: Plane) -> None:
    """Whoever waits for it has to look elsewhere for when it comes."""

    async def main() -> None:
        async with connection(plane.kubeconfig("root")) as cluster:
            await Watch(cluster, BASELINES).follow(Sink(), lambda _: None)

    with pytest.raises(ClusterError) as caught:
        asyncio.run(main())
    assert caught.value.status == 404


def test_an_api_server_without_watch_list_is_listed_in_pages(plane: Plane) -> None:
    """As before Kubernetes 1.34: what stands comes in pages, then the watch goes on from there."""
    sink = Sink()
    pages = list[str]()

    class Old(Forgetful):
        async def page(self, path: str, query: Mapping[str, str], accept: str) -> Json:
            pages.append(query.get("continue", ""))
            return await super().page(path, {**query, "limit": "2"}, accept)

        async def lines(self, path: str, query: Mapping[str, str], accept: str) -> AsyncIterator[bytes]:
            if "sendInitialEvents" in query:
                raise UNKNOWN
            async for line in super().lines(path, query, accept):
                yield line

    async def main() -> None:
        async with connection(plane.kubeconfig("root")) as cluster:
            task = asyncio.create_task(Watch(Old(cluster), NAMESPACES).follow(sink, lambda _: None))
            await until(lambda: bool(sink.told), 10)
            await cluster.create(
                NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "watch-paged"}}
            )
            await until(lambda: "watch-paged" in sink.standing, 10)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    plane.kubectl("delete", "namespace", "watch-paged", "--wait=false")
    assert len(pages) > 1
    assert {"default", "kube-system"} <= set(sink.told[0][1][0])
