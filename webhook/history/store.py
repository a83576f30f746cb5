"""The history: what is appended, asked for and taken away, in an SQLite file or a PostgreSQL database."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from webhook.history import appending, pruning, queries
from webhook.history.address import read_address
from webhook.history.engine import Database, connected
from webhook.history.moment import milliseconds
from webhook.history.record import Revision
from webhook.history.rows import Entry, Last, Pruned, Recorded, Row, StoredRevision, Wanted
from webhook.history.schema import demand, migrate
from webhook.history.standing import begins, knows, latest, standing
from webhook.history.tables import rule_sets, tenant_sets

BATCH = 500
"""Decisions of one transaction."""


@asynccontextmanager
async def opened(url: str, *, migrate: bool = True) -> AsyncIterator["Store"]:
    """
    Open the history of a URL, `sqlite:///PATH` or `postgresql://…`, for the length of the context.

    With `migrate` it is made where it is missing, brought to our schema and may be written to; without, it has to be
    there and is only read. Raises `HistoryError` for a URL, a file or a database that is of no use, a schema newer than
    ours, and whatever the database does not do.
    """
    async with connected(read_address(url), writes=migrate) as database:
        await (_migrate if migrate else demand)(database)
        yield Store(database)


_migrate = migrate


class Store:
    """A history that is open; every method raises `HistoryError` for what the database does not do."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entries: Sequence[Entry]) -> None:
        """Keep decisions: each batch whole or not at all, and one that is there already is there once."""
        for start in range(0, len(entries), BATCH):
            # What is compressed and hashed would keep reviews waiting.
            batch = await asyncio.to_thread(appending.prepared, entries[start : start + BATCH])
            await self._append(batch)

    async def _append(self, batch: appending.Prepared) -> None:
        if not batch.decisions:
            return
        async with self._database.writing() as connection:
            tenants = await appending.named(connection, tenant_sets, (row["tenant_set"] for row in batch.decisions))
            await appending.name_tenants(connection, tenants)
            ran = await appending.named(connection, rule_sets, (row["ran"] for row in batch.decisions))
            rows = [row | {"tenant_set": tenants[row["tenant_set"]], "ran": ran[row["ran"]]} for row in batch.decisions]
            size = await appending.keep_documents(connection, batch.documents) if batch.documents else 0
            added = await appending.insert_decisions(connection, rows)
            await appending.count(connection, added * appending.ROW_BYTES + size)

    async def revise(self, revisions: Sequence[Revision]) -> None:
        """Keep states of objects; what two replicas saw, or one twice, is there once."""
        for start in range(0, len(revisions), BATCH):
            rows = await asyncio.to_thread(_revision_rows, revisions[start : start + BATCH])
            async with self._database.writing() as connection:
                await connection.run_sync(appending.share)
                names = await appending.named(connection, tenant_sets, (row["tenant_set"] for row, _ in rows))
                await appending.name_tenants(connection, names)
                size = 0
                for row, content in rows:
                    numbered = row | {"tenant_set": names[row["tenant_set"]]}
                    if await appending.insert_revision(connection, numbered, content):
                        size += appending.REVISION_BYTES + (len(content["body"]) if content else 0)
                await appending.count(connection, size)

    async def decisions(self, wanted: Wanted) -> AsyncIterator[Row]:
        """Yield the decisions that are wanted, the newest first, or the oldest after a cursor."""
        async for page in self._pages(wanted, whole=False):
            for each in page:
                yield queries.read_row(each)

    async def documented(self, wanted: Wanted) -> AsyncIterator[Recorded]:
        """Yield what `decisions` does, each with its document."""
        async for page in self._pages(wanted, whole=True):
            for each in await asyncio.to_thread(_read_whole, page):
                yield each

    async def recorded(self, since: str | None = None, until: str | None = None) -> AsyncIterator[Sequence[Recorded]]:
        """Yield the validations of a span (RFC 3339, the last not included) with their documents, oldest first."""
        async for page in self._pages(Wanted(since=since, until=until, after=-1), whole=True):
            yield [each for each in await asyncio.to_thread(_read_whole, page) if each.route == "validate"]

    async def standing(self, namespace: str | None, at: str | None = None) -> Sequence[StoredRevision]:
        """
        Return what stood in a namespace, empty for what is in none and None for all, at a time; now without one.

        In the order of kind, namespace and name.
        """
        async with self._database.reading() as connection:
            return await standing(connection, namespace, at)

    async def latest(self, api_version: str, kind: str) -> Mapping[str, Last]:
        """Return, by uid, what is known last of each object of a kind, of those that are gone as well."""
        async with self._database.reading() as connection:
            return await latest(connection, api_version, kind)

    async def begins(self) -> str | None:
        """Return when the first state of any object that is kept was seen, None where none is."""
        async with self._database.reading() as connection:
            return await begins(connection)

    async def knows(self, namespace: str) -> bool:
        """Say whether anything is kept of a namespace."""
        async with self._database.reading() as connection:
            return await knows(connection, namespace)

    async def size(self) -> int:
        """Return about how many bytes are kept: of SQLite's file what is in use, of PostgreSQL an estimate."""
        return await pruning.size(self._database)

    async def prune(self, *, older_than: str | None = None, at_most_bytes: int | None = None) -> Pruned:
        """
        Take away what ended before a time (RFC 3339), then the oldest until no more than so many bytes are kept.

        What stands now stays, however much that is. It takes as long as it takes: others read and write in between.
        """
        gone = await pruning.prune_before(self._database, milliseconds(older_than)) if older_than else Pruned()
        if at_most_bytes is None:
            return gone
        more = await pruning.prune_to(self._database, at_most_bytes, milliseconds(datetime.now(UTC).isoformat()))
        return gone + more

    async def _pages(self, wanted: Wanted, *, whole: bool) -> AsyncIterator[Sequence[Any]]:
        span, left = queries.span_of(wanted), wanted.limit
        async with self._database.reading() as connection:
            sets = await queries.visible_sets(connection, wanted)
        while (sets is None or sets) and span.first <= span.last and left != 0:
            size = queries.PAGE if left is None else min(left, queries.PAGE)
            page = queries.rows(queries.ids(wanted, span, sets, limit=size), span, whole=whole)
            # No longer than the query: a transaction that lasts keeps the journal of SQLite from being taken over.
            async with self._database.reading() as connection:
                found = (await connection.execute(page)).all()
            if found:
                yield found
            if len(found) < size:
                return
            last = found[-1].id
            span = replace(span, last=last - 1) if span.newest else replace(span, first=last + 1)
            left = None if left is None else left - len(found)


def _revision_rows(revisions: Sequence[Revision]) -> list[tuple[appending.Values, appending.Values | None]]:
    return [appending.revision_row(each) for each in revisions]


def _read_whole(page: Sequence[Any]) -> list[Recorded]:
    return [queries.read_recorded(each) for each in page]
