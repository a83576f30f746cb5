"""The schema of a history: made, brought up and down, and left alone where it is newer than ours."""

import asyncio
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from tests.history.made import denied, entry, listed, numbers
from webhook.errors import HistoryError
from webhook.history.address import read_address
from webhook.history.engine import connected
from webhook.history.rows import Wanted
from webhook.history.schema import migrate, to_revision
from webhook.history.store import opened
from webhook.history.tables import metadata


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def test_the_migrations_make_the_tables_that_we_ask(url: str) -> None:
    """Alembic finds no difference between what they made and `tables`."""

    def compared(connection: Connection) -> list[Any]:
        # SQLite tells of no expression in an index.
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async def run() -> None:
        async with connected(read_address(url), writes=True) as database:
            await migrate(database)
            async with database.reading() as connection:
                assert await connection.run_sync(compared) == []
                assert await connection.run_sync(tables) == {*metadata.tables, "alembic_version"}

    asyncio.run(run())


def test_the_migrations_go_down_and_up_again(url: str) -> None:
    """Nothing of ours is left, and what comes up works."""

    async def run() -> None:
        async with connected(read_address(url), writes=True) as database:
            await migrate(database)
            async with database.writing() as connection:
                await connection.run_sync(to_revision, "base")
            async with database.reading() as connection:
                assert await connection.run_sync(tables) <= {"alembic_version"}
        async with opened(url) as store:
            await store.append([entry(denied(1))])
            assert numbers(await listed(store.decisions(Wanted()))) == [1]

    asyncio.run(run())


@pytest.mark.parametrize("migrates", [True, False], ids=["writing", "reading"])
def test_a_newer_schema_is_left_alone(url: str, migrates: bool) -> None:  # noqa: FBT001
    """What we do not know we neither read nor change, and say which version is needed."""

    async def run() -> None:
        async with connected(read_address(url), writes=True) as database:
            await migrate(database)
            async with database.writing() as connection:
                await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(HistoryError, match=r"newer version of Portcullis \(schema 9999, we know 0001\): use that"):
            async with opened(url, migrate=migrates):
                pass

    asyncio.run(run())


def test_replicas_that_start_at_once_make_it_once(url: str) -> None:
    """They wait for one another; each finds it made."""

    async def start(number: int) -> None:
        async with opened(url) as store:
            await store.append([entry(denied(number))])

    async def run() -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(*(start(number) for number in range(4)))
        async with opened(url, migrate=False) as store:
            assert sorted(numbers(await listed(store.decisions(Wanted())))) == [0, 1, 2, 3]

    asyncio.run(run())
