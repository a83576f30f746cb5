"""
What is taken away: the oldest first, in small batches, so that those who write wait for one of them at most.

What stands now is never taken away: a state of an object goes once the next was seen long enough ago.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from sqlalchemy import and_, bindparam, delete, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from webhook.history.appending import REVISION_BYTES, ROW_BYTES, count
from webhook.history.engine import Database, lock
from webhook.history.moment import first_id
from webhook.history.rows import Pruned
from webhook.history.standing import ended
from webhook.history.tables import contents, decision_rules, decisions, documents, revisions, volume

BATCH = 500
STRIDE = 5_000
"""Decisions between two looks at how much is left."""
PAGES = 2_000
"""Of SQLite's file, given back at a time."""


BREATH = 0.12
"""Seconds between two batches: who waits for SQLite's lock looks 100 ms apart, and would find it taken each time."""


async def prune_before(database: Database, cut: int) -> Pruned:
    """Take away what ended before a time (milliseconds), and return how much that was."""
    gone = [0, 0, 0]
    for number, batches in enumerate((_decisions, _documents, _revisions)):
        async for some in batches(database, cut):
            gone[number] += some
            await give_back(database)
            await asyncio.sleep(BREATH)
    return Pruned(*gone)


async def prune_to(database: Database, most: int, now: int) -> Pruned:
    """Take away the oldest until no more than `most` bytes are kept, or only what stands is left at the time `now`."""
    whole = Pruned()
    while await size(database) > most:
        cut = await _next_cut(database)
        some = await prune_before(database, now if cut is None else cut)
        whole += some
        if cut is None:
            break
    return whole


async def size(database: Database) -> int:
    """Return about how many bytes are kept."""
    async with database.reading() as connection:
        if not database.sqlite:
            return int((await connection.execute(select(volume.c.bytes))).scalar_one())
        pages, free, each = [
            int((await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one())
            for name in ("page_count", "freelist_count", "page_size")
        ]
        return (pages - free) * each


async def give_back(database: Database) -> None:
    """Let the file shrink by what is free in it; PostgreSQL uses it again by itself."""
    if database.sqlite:
        async with database.writing() as connection:
            (await connection.exec_driver_sql(f"PRAGMA incremental_vacuum({PAGES})")).close()


async def _next_cut(database: Database) -> int | None:
    """Return the time of a decision not far from the oldest, None where there are few."""
    async with database.reading() as connection:
        query = select(decisions.c.time).order_by(decisions.c.id).limit(1).offset(STRIDE)
        return (await connection.execute(query)).scalar()


async def _decisions(database: Database, cut: int) -> AsyncIterator[int]:
    query = select(decisions.c.id, decisions.c.rules).where(decisions.c.id < first_id(cut))
    while True:
        async with database.writing() as connection:
            found = (await connection.execute(query.order_by(decisions.c.id).limit(BATCH))).all()
            if not found:
                return
            fired = [{"r": rule, "i": each.id} for each in found for rule in orjson.loads(each.rules)]
            if fired:
                await connection.execute(_one_rule(), fired)
            await connection.execute(delete(decisions).where(decisions.c.id.in_([each.id for each in found])))
            await count(connection, -len(found) * ROW_BYTES)
        yield len(found)


def _one_rule() -> Any:
    return delete(decision_rules).where(decision_rules.c.rule == bindparam("r"), decision_rules.c.id == bindparam("i"))


async def _documents(database: Database, cut: int) -> AsyncIterator[int]:
    """Take away documents; one that a new decision is on while we do so is kept, or is stored again by it."""
    old = select(documents.c.digest).where(documents.c.last <= cut).order_by(documents.c.last).limit(BATCH)
    while True:
        async with database.writing() as connection:
            going = delete(documents).where(documents.c.digest.in_(old), documents.c.last <= cut)
            sizes = (await connection.execute(going.returning(func.length(documents.c.body)))).scalars().all()
            await count(connection, -sum(sizes))
        if not sizes:
            return
        yield len(sizes)


async def _revisions(database: Database, cut: int) -> AsyncIterator[int]:
    async with database.reading() as connection:
        known = ended()
        past = or_(known.c.until <= cut, and_(known.c.until.is_(None), known.c.gone, known.c.seen <= cut))
        # Of one object the oldest first: a deletion goes after what was deleted.
        query = select(known.c.id).where(past).order_by(known.c.seen, known.c.id)
        every = (await connection.execute(query)).scalars().all()
    for start in range(0, len(every), BATCH):
        async with database.writing() as connection:
            await connection.run_sync(lock)
            taken = await _take(connection, every[start : start + BATCH])
        yield taken


async def _take(connection: AsyncConnection, going: Sequence[int]) -> int:
    taken = delete(revisions).where(revisions.c.id.in_(going)).returning(revisions.c.content)
    digests = (await connection.execute(taken)).scalars().all()
    held = {each for each in digests if each is not None}
    unused = delete(contents).where(
        contents.c.digest.in_(sorted(held)), ~exists().where(revisions.c.content == contents.c.digest)
    )
    sizes = (await connection.execute(unused.returning(func.length(contents.c.body)))).scalars().all()
    await count(connection, -sum(sizes) - len(digests) * REVISION_BYTES)
    return len(digests)
