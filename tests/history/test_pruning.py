"""What is taken away: the oldest, in batches; never what stands now, nor what is still referred to."""

import asyncio

from sqlalchemy import func, select

from tests.history.made import at, denied, entry, listed, numbers, policy, revision
from webhook.history import pruning
from webhook.history.rows import Pruned, Wanted
from webhook.history.store import Store, opened
from webhook.history.tables import contents, decision_rules, documents, revisions

HOUR = 3600


async def counted(store: Store) -> dict[str, int]:
    async with store._database.reading() as connection:
        return {
            table.name: (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in (documents, decision_rules, contents, revisions)
        }


def test_what_is_old_goes(url: str) -> None:
    """With its documents and what fired, unless a newer decision is on the same."""

    async def run() -> None:
        async with opened(url) as store:
            old = [entry(denied(each), b'{"request":{},"n":%d}' % each) for each in range(3)]
            new = [entry(denied(2 * HOUR + each), b'{"request":{},"n":%d}' % (each + 2)) for each in range(3)]
            await store.append([*old, *new])
            assert await counted(store) | {"documents": 5, "decision_rules": 6} == await counted(store)
            assert await store.prune(older_than=at(HOUR)) == Pruned(decisions=3, documents=2)
            assert await counted(store) | {"documents": 3, "decision_rules": 3} == await counted(store)
            assert numbers(await listed(store.decisions(Wanted()))) == [2 * HOUR + each for each in (2, 1, 0)]
            assert numbers(await listed(store.decisions(Wanted(rule="rbac/namespace-policy")))) == [
                2 * HOUR + each for each in (2, 1, 0)
            ]
            assert all(each.document for page in await listed(store.recorded()) for each in page)
            assert await store.prune(older_than=at(HOUR)) == Pruned()

    asyncio.run(run())


def test_what_stands_stays_however_old(url: str) -> None:
    """A state goes once the next was seen long enough ago, and a deletion once nothing stands before it."""

    async def run() -> None:
        async with opened(url) as store:
            await store.revise([revision(1, 0, policy(1)), revision(2, 1, policy(2))])
            await store.revise(
                [revision(1, 0, policy(3), name="gone", uid="u3"), revision(2, 1, name="gone", uid="u3")]
            )
            await store.revise([revision(1, 0, policy(1), name="long", uid="u4")])
            await store.revise([revision(2, 2 * HOUR, policy(4), name="long", uid="u4")])
            assert await store.prune(older_than=at(HOUR)) == Pruned(revisions=3)
            assert [(each.name, each.version) for each in await store.standing("checkout-dev")] == [
                ("allow-web", "2"),
                ("long", "2"),
            ]
            [still] = [each for each in await store.standing("checkout-dev", at(HOUR)) if each.name == "long"]
            assert (still.version, still.content) == ("1", policy(1))
            assert await counted(store) | {"contents": 3, "revisions": 3} == await counted(store)

    asyncio.run(run())


def test_size_is_kept_below_what_is_given(url: str) -> None:
    """The oldest go first; what is left is the newest, and much of the room is used."""

    async def run() -> None:
        async with opened(url) as store:
            count = 3 * pruning.STRIDE
            for start in range(0, count, 5000):
                await store.append([entry(denied(each)) for each in range(start, start + 5000)])
            full = await store.size()
            most = full * 3 // 4
            gone = await store.prune(at_most_bytes=most)
            assert 0 < gone.decisions < count
            assert most // 2 < await store.size() <= most
            [first] = await listed(store.decisions(Wanted(limit=1)))
            assert numbers([first]) == [count - 1]
            assert await store.prune(at_most_bytes=most) == Pruned()

    asyncio.run(run())


def test_no_size_is_too_small_for_what_stands(url: str) -> None:
    """When nothing else is left it is over."""

    async def run() -> None:
        async with opened(url) as store:
            await store.append([entry(denied(each)) for each in range(10)])
            await store.revise([revision(1, 0, policy(1)), revision(2, 1, policy(2))])
            gone = await store.prune(at_most_bytes=1)
            assert gone == Pruned(decisions=10, documents=1, revisions=1)
            assert [each.version for each in await store.standing("checkout-dev")] == ["2"]

    asyncio.run(run())


def test_who_writes_is_not_kept_waiting(url: str) -> None:
    """Between two batches, of 500 each, another's write goes on."""

    async def run() -> None:
        async with opened(url) as store, opened(url) as other:
            await store.append([entry(denied(each)) for each in range(4000)])
            pruning_all = asyncio.create_task(store.prune(older_than=at(2 * HOUR)))
            written = 0
            while not pruning_all.done():
                await other.append([entry(denied(5 * HOUR + written))])
                written += 1
            assert (await pruning_all).decisions == 4000
            assert written >= 2
            assert len(await listed(other.decisions(Wanted()))) == written

    asyncio.run(run())
