"""The history on both databases: what is kept comes back, in order, and to those alone who may see it."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.history.made import (
    CHECKOUT,
    DENIED,
    REFUNDS,
    VIDEO,
    at,
    denied,
    document_of,
    entry,
    listed,
    numbers,
    policy,
    record,
    revision,
)
from tests.history.postgres import Postgres
from webhook.errors import HistoryError
from webhook.history import queries
from webhook.history.moment import id_of, milliseconds
from webhook.history.record import Record
from webhook.history.rows import Entry, Wanted
from webhook.history.store import opened


async def kept(url: str, records: Sequence[Record], wanted: Wanted) -> list[int]:
    async with opened(url) as store:
        await store.append([entry(each) for each in records])
        return numbers(await listed(store.decisions(wanted)))


def test_a_decision_comes_back_as_it_was(url: str) -> None:
    """Every field of the record, and the document with the time of the request where it was."""

    async def run() -> None:
        made = denied(1, reason="why", cause="late", verdict="error", dry_run=True, break_glass=True, uid="u")
        text = orjson.dumps({"request": {"operation": "CREATE", "name": "x"}, "user": {"name": "ada"}})
        async with opened(url) as store:
            await store.append([Entry(made, text, asked="2026-11-21T12:00:00.5Z")])
            [row] = await listed(store.decisions(Wanted()))
            [[whole]] = await listed(store.recorded())
        for name in Record.__dataclass_fields__:
            if name not in {"document", "tenants", "size"}:
                assert getattr(row, name) == getattr(made, name), name
                assert getattr(whole, name) == getattr(made, name), name
        assert set(row.tenants) == set(made.tenants)
        assert row.violations == (DENIED,)
        assert orjson.loads(whole.document) == {
            "request": {"operation": "CREATE", "name": "x", "time": "2026-11-21T12:00:00.5Z"},
            "user": {"name": "ada"},
        }

    asyncio.run(run())


def test_the_time_of_the_request_is_that_of_the_records_document(url: str) -> None:
    """Who appends need not say it twice."""

    async def run() -> None:
        made = record(1, document=document_of(policy()))
        async with opened(url) as store:
            await store.append([Entry(made, b'{"request":{}}')])
            [[whole]] = await listed(store.recorded())
        assert orjson.loads(whole.document)["request"]["time"] == "2026-11-21T12:00:00Z"

    asyncio.run(run())


def test_equal_documents_are_stored_once(url: str) -> None:
    """A thousand decisions on the same, at other times, keep it once."""

    async def run() -> None:
        text = orjson.dumps({"user": [hashlib.sha256(str(each).encode()).hexdigest() for each in range(2000)]})
        async with opened(url) as store:
            before = await store.size()
            await store.append([entry(record(each), text) for each in range(1000)])
            grown = await store.size() - before
            assert len(text) < grown < 20 * len(text) < 1000 * len(text) / 2
            assert len(await listed(store.decisions(Wanted()))) == 1000

    asyncio.run(run())


def test_what_is_appended_twice_is_there_once(url: str) -> None:
    """A batch whose writer did not hear that it was kept is simply sent again."""

    async def run() -> None:
        batch = [entry(denied(each)) for each in range(10)]
        async with opened(url) as store:
            await store.append(batch)
            await store.append([*batch, *batch])
            assert numbers(await listed(store.decisions(Wanted(rule=DENIED.rule)))) == list(range(9, -1, -1))

    asyncio.run(run())


def test_two_decisions_that_chance_gives_one_id_are_both_kept(url: str) -> None:
    """An id has 21 bits of chance below its millisecond: rarely, and under load some day, two are equal."""

    async def run() -> None:
        # The same millisecond, and the same 21 bits: found by trying.
        seen: dict[int, int] = {}
        number = 0
        while (key := id_of(milliseconds(at(1)), f"decision-{number}")) not in seen:
            seen[key] = number
            number += 1
        pair = [denied(each, time=at(1)) for each in (seen[key], number)]
        async with opened(url) as store:
            await store.append([entry(pair[0])])
            await store.append([entry(each) for each in pair])
            await store.append([entry(pair[1])])
            assert sorted(numbers(await listed(store.decisions(Wanted())))) == sorted([seen[key], number])
            assert len(await listed(store.decisions(Wanted(rule=DENIED.rule)))) == 2

    asyncio.run(run())


def test_a_mutation_that_was_made_is_left_to_the_validation_that_follows(url: str) -> None:
    """One that failed is kept: nothing follows it."""

    async def run() -> None:
        made = [record(1, route="mutate"), record(2, route="mutate", verdict="error", reason="no OPA"), record(3)]
        async with opened(url) as store:
            await store.append([entry(each) for each in made])
            assert numbers(await listed(store.decisions(Wanted()))) == [3, 2]
            assert [numbers(page) for page in await listed(store.recorded())] == [[3]]

    asyncio.run(run())


MANY = [
    record(0),
    denied(1, user="bo"),
    record(2, namespace="refunds-dev", tenants=REFUNDS),
    denied(3, namespace="refunds-dev", tenants=REFUNDS, rules=("a/b", DENIED.rule)),
    record(4, verdict="audit", rules=("a/b",), user="bo"),
    record(5, tenants=(), namespace="nowhere", user="zed"),
    denied(6, namespace="refunds-dev", user="bo", tenants=(*REFUNDS, *VIDEO)),
]
FILTERS: dict[str, tuple[Wanted, list[int]]] = {
    "none": (Wanted(), [6, 5, 4, 3, 2, 1, 0]),
    "namespace": (Wanted(namespace="refunds-dev"), [6, 3, 2]),
    "user": (Wanted(user="bo"), [6, 4, 1]),
    "rule": (Wanted(rule=DENIED.rule), [6, 3, 1]),
    "verdict": (Wanted(verdict="deny"), [6, 3, 1]),
    "since, which is included": (Wanted(since=at(5)), [6, 5]),
    "until, which is not": (Wanted(until=at(2)), [1, 0]),
    "a span": (Wanted(since=at(2), until=at(4)), [3, 2]),
    "a span in another zone": (Wanted(since="2026-11-21T13:00:02+01:00", until="2026-11-21T12:00:04Z"), [3, 2]),
    "a span that ends before it begins": (Wanted(since=at(4), until=at(2)), []),
    "limit": (Wanted(limit=2), [6, 5]),
    "limit of none": (Wanted(limit=0), []),
    "namespace and user": (Wanted(namespace="refunds-dev", user="bo"), [6]),
    "namespace, user and verdict": (Wanted(namespace="checkout-dev", user="bo", verdict="audit"), [4]),
    "user and verdict": (Wanted(user="bo", verdict="deny"), [6, 1]),
    "rule and namespace": (Wanted(rule="a/b", namespace="refunds-dev"), [3]),
    "rule and user": (Wanted(rule="a/b", user="bo"), [4]),
    "rule and verdict": (Wanted(rule="a/b", verdict="deny"), [3]),
    "all of them": (
        Wanted(namespace="refunds-dev", user="bo", rule=DENIED.rule, verdict="deny", since=at(1), until=at(9), limit=5),
        [6],
    ),
    "a quote": (Wanted(user="bo' OR '1'='1"), []),
    "visible to nobody": (Wanted(tenants=frozenset()), []),
    "visible to a workspace": (Wanted(tenants=frozenset({"Workspace/checkout"})), [4, 1, 0]),
    "visible to a project": (Wanted(tenants=frozenset({"Project/payments"})), [6, 4, 3, 2, 1, 0]),
    "visible to the other end of a move": (Wanted(tenants=frozenset({"Workspace/video"})), [6]),
    "visible to two": (Wanted(tenants=frozenset({"Workspace/video", "Workspace/checkout"}), limit=2), [6, 4]),
    "visible to the organization": (
        Wanted(tenants=frozenset({"Organization/acme"}), others=True),
        [6, 5, 4, 3, 2, 1, 0],
    ),
    "visible but not what no tenant has": (Wanted(tenants=frozenset({"Organization/acme"})), [6, 4, 3, 2, 1, 0]),
    "visible and filtered": (Wanted(tenants=frozenset({"Project/media"}), namespace="refunds-dev"), [6]),
    "visible and by rule": (Wanted(tenants=frozenset({"Workspace/refunds"}), rule=DENIED.rule), [6, 3]),
    "invisible though asked for by name": (
        Wanted(tenants=frozenset({"Workspace/video"}), namespace="checkout-dev"),
        [],
    ),
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a history of `MANY`, which nobody writes to."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('many')}/history.db"
    else:
        server: Postgres = request.getfixturevalue("postgres")
        url = server.database()
    asyncio.run(kept(url, MANY, Wanted()))
    return url


@pytest.mark.parametrize(("wanted", "expected"), FILTERS.values(), ids=FILTERS.keys())
def test_a_filter_leaves_what_was_asked_for(many: str, wanted: Wanted, expected: list[int]) -> None:
    """The newest first; and after a cursor the same, oldest first."""

    async def run() -> None:
        async with opened(many, migrate=False) as store:
            assert numbers(await listed(store.decisions(wanted))) == expected
            assert numbers(await listed(store.documented(wanted))) == expected
            if wanted.limit is None and expected:
                again = await listed(store.decisions(replace(wanted, after=-1)))
                assert numbers(again) == expected[::-1]
                later = await listed(store.decisions(replace(wanted, after=again[0].cursor)))
                assert numbers(later) == expected[::-1][1:]

    asyncio.run(run())


def test_pages_are_joined_without_a_gap(url: str) -> None:
    """What is more than a page comes whole, in order, each once."""

    async def run() -> None:
        count = 2 * queries.PAGE
        async with opened(url) as store:
            await store.append([entry(record(each, tenants=(CHECKOUT, VIDEO)[each % 2])) for each in range(count)])
            assert numbers(await listed(store.decisions(Wanted()))) == list(range(count - 1, -1, -1))
            assert (
                numbers(await listed(store.decisions(Wanted(limit=queries.PAGE + 1))))[-1] == count - queries.PAGE - 1
            )
            mine = Wanted(tenants=frozenset({CHECKOUT[0], VIDEO[0]}))
            assert numbers(await listed(store.decisions(mine))) == list(range(count - 1, -1, -1))
            pages = [numbers(page) for page in await listed(store.recorded(since=at(3)))]
            assert [each for page in pages for each in page] == list(range(3, count))

    asyncio.run(run())


def test_a_namespace_that_changed_hands_shows_its_new_owner_nothing_of_before(url: str) -> None:
    """A decision is seen by those under whom it was made."""
    records = [record(1, tenants=CHECKOUT), record(2, tenants=(*CHECKOUT, *VIDEO)), record(3, tenants=VIDEO)]
    assert asyncio.run(kept(url, records, Wanted(tenants=frozenset({"Workspace/video"})))) == [3, 2]


@pytest.mark.parametrize("time", ["yesterday", "2026-11-21T12:00:00"])
def test_a_time_that_is_none_is_refused(url: str, time: str) -> None:
    """Also one without a zone: whose noon?"""
    with pytest.raises(HistoryError, match="is no time"):
        asyncio.run(kept(url, [], Wanted(since=time)))


def test_several_append_at_once(url: str) -> None:
    """Replicas, or connections: nothing is lost, nothing is twice, nobody waits for ever."""

    async def run() -> None:
        shared = b'{"request":{},"shared":true}'
        async with opened(url) as one, opened(url) as two, opened(url) as three:
            batches = [
                store.append([entry(denied(100 * number + each), shared) for each in range(20)])
                for number, store in enumerate([one, two, three] * 4)
            ]
            again = [store.append([entry(denied(each), shared) for each in range(20)]) for store in (one, two, three)]
            seen = [
                store.revise([revision(each, each, policy(each)) for each in range(20)]) for store in (one, two, three)
            ]
            async with asyncio.timeout(60):
                await asyncio.gather(*batches, *again, *seen)
            assert len(await listed(one.decisions(Wanted(rule=DENIED.rule)))) == 240
            [last] = await one.standing("checkout-dev")
            assert last.version == "19"

    asyncio.run(run())


def test_who_reads_does_not_keep_who_writes_waiting(url: str) -> None:
    """A reader that stopped in the middle of what it reads holds nothing that a writer needs."""

    async def run() -> None:
        async with opened(url) as store, opened(url, migrate=False) as reader:
            await store.append([entry(record(each)) for each in range(600)])
            reading = aiter(reader.decisions(Wanted()))
            await anext(reading)
            async with asyncio.timeout(5):
                await store.append([entry(record(each)) for each in range(600, 650)])
            assert len([each async for each in reading]) == 599

    asyncio.run(run())


def test_a_reader_writes_nothing(url: str) -> None:
    """Whatever it is asked to do."""

    async def run() -> None:
        async with opened(url):
            pass
        async with opened(url, migrate=False) as reader:
            with pytest.raises(HistoryError, match="opened to be read"):
                await reader.append([entry(record(1))])
            with pytest.raises(HistoryError, match="opened to be read"):
                await reader.prune(older_than=at(0))

    asyncio.run(run())


def test_a_file_of_sqlite_is_its_owners_alone(tmp_path: Path) -> None:
    """The journal beside it too."""

    def modes() -> dict[str, int]:
        return {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}

    async def run() -> None:
        url = f"sqlite:///{tmp_path}/h.db"
        async with opened(url) as store:
            await store.append([entry(record(1))])
            assert modes() == {"h.db": 0o600, "h.db-wal": 0o600, "h.db-shm": 0o600}

    asyncio.run(run())


def states(found: Sequence[Any]) -> list[tuple[str, str, str | None]]:
    return [(each.version, each.seen, each.until) for each in found]


def test_what_stood_at_a_time(url: str) -> None:
    """Each state from when it was seen until the next was; what was deleted stands no more."""

    async def run() -> None:
        async with opened(url) as store:
            await store.revise([revision(1, 10, policy(1)), revision(2, 20, policy(2))])
            await store.revise([revision(2, 20, policy(2)), revision(3, 30)])
            await store.revise([revision(4, 40, policy(4), uid="u2"), revision(9, 5, policy(9), namespace="other")])
            assert states(await store.standing("checkout-dev", at(9))) == []
            assert states(await store.standing("checkout-dev", at(10))) == [("1", at(10), at(20))]
            assert states(await store.standing("checkout-dev", at(25))) == [("2", at(20), at(30))]
            assert states(await store.standing("checkout-dev", at(35))) == []
            assert states(await store.standing("checkout-dev")) == [("4", at(40), None)]
            [found] = await store.standing("checkout-dev", at(15))
            assert found.content == policy(1)
            assert [each.manager for each in found.writers] == ["kubectl"]
            assert set(found.tenants) == set(CHECKOUT)
            assert [each.namespace for each in await store.standing(None)] == ["checkout-dev", "other"]

    asyncio.run(run())


LET_IN: dict[str, tuple[Record, bool]] = {
    "allowed": (record(9, document=document_of(policy(1))), True),
    "warned of": (record(9, verdict="warn", document=document_of(policy(1))), True),
    "audited": (record(9, verdict="audit", document=document_of(policy(1))), True),
    "denied: told, never stored": (denied(9, document=document_of(policy(1))), False),
    "an error": (record(9, verdict="error", document=document_of(policy(1))), False),
    "dry run": (record(9, dry_run=True, document=document_of(policy(1))), False),
    "mutated": (record(9, route="mutate", verdict="audit", document=document_of(policy(1))), False),
    "later": (record(11, document=document_of(policy(1))), False),
    "another spec": (record(9, document=document_of(policy(2))), False),
    "another label": (record(9, document=document_of(policy(1, a="b"))), False),
    "another name": (record(9, name="x", document=document_of(policy(1))), False),
    "another namespace": (record(9, namespace="x", document=document_of(policy(1))), False),
    "another kind": (record(9, kind="CiliumNetworkPolicy", document=document_of(policy(1))), False),
    "no document": (record(9), False),
}


@pytest.mark.parametrize(("made", "expected"), LET_IN.values(), ids=LET_IN.keys())
def test_the_decision_that_let_a_state_in(url: str, made: Record, expected: bool) -> None:  # noqa: FBT001
    """It is the last allowed one before the state was seen whose object is the same."""

    async def run() -> None:
        async with opened(url) as store:
            before = record(1, document=document_of(policy(5)), user="earlier")
            await store.append([entry(before), entry(made)])
            await store.revise([revision(1, 10, policy(1))])
            [found] = await store.standing("checkout-dev")
            assert (found.admission is not None) == expected
            if found.admission:
                assert (found.admission.decision_id, found.admission.user) == ("decision-9", "ada")

    asyncio.run(run())
