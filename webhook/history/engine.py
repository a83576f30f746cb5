"""The database behind a history: an engine of SQLAlchemy, its connections, its schema."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiosqlite
import asyncpg  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy import AsyncAdaptedQueuePool, Connection, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from webhook.errors import HistoryError
from webhook.history.address import Address, lay

BUSY_MILLISECONDS = 10_000
"""How long SQLite waits for another's write, of another process say."""
CONNECT_SECONDS = 10.0
LOCK = 0x706F7274
"""Of PostgreSQL's advisory locks: one at a time changes the schema, or takes away states of objects."""

POOL: Mapping[str, Any] = {"poolclass": AsyncAdaptedQueuePool, "pool_size": 4, "max_overflow": 0}

FOREIGN = (SQLAlchemyError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, sqlite3.Error)


class Database:
    """The database of an address; `writes` says whether it may be written to."""

    def __init__(self, address: Address, engine: AsyncEngine, *, writes: bool) -> None:
        self.address = address
        self.writes = writes
        self._engine = engine
        self._turn = asyncio.Lock()

    @property
    def sqlite(self) -> bool:
        """Whether it is an SQLite file."""
        return self.address.path is not None

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection in a transaction that is kept at the end; SQLite has one of them at a time."""
        if not self.writes:
            raise HistoryError(f"the history {self.address.shown} was opened to be read")
        with self.spoken("written"):
            if not self.sqlite:
                async with self._engine.begin() as connection:
                    yield connection
                return
            # A transaction that read first and then writes would fail at once if another wrote in between.
            async with self._turn, self._engine.connect() as connection:
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
                await connection.commit()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection to read by."""
        with self.spoken("read"):
            async with self._engine.connect() as connection:
                yield connection

    @contextmanager
    def spoken(self, done: str) -> Iterator[None]:
        """Make an error of the database ours."""
        try:
            yield
        except FOREIGN as error:
            raise HistoryError(self._said(error, done)) from None

    def _said(self, error: BaseException, done: str) -> str:
        said = self.address.hidden(_cause(error))
        return f"the history {self.address.shown} cannot be {done}: {said}; {self._way_out(said)}"

    def _way_out(self, said: str) -> str:
        if not self.sqlite:
            return "see that the database of --history answers, and that its user may create and change tables there"
        if "full" in said:
            return "make room on its disk"
        return "see that it is a file of `portcullis serve --history`, and that it and its folder may be written to"


def _cause(error: BaseException) -> str:
    """Return what the driver said: SQLAlchemy adds the statement and all that was written by it."""
    origin = getattr(error, "orig", None) or error
    said = str(origin).removeprefix(f"{type(origin)}: ") or type(origin).__name__
    return said.strip()


@asynccontextmanager
async def connected(address: Address, *, writes: bool) -> AsyncIterator[Database]:
    """Give the database of an address; its connections are closed at the end, or the exit would wait for them."""
    if address.path:
        lay(address.path, create=writes)
        engine = _sqlite(address.path, writes=writes)
    else:
        engine = _postgresql(address, writes=writes)
    try:
        yield Database(address, engine, writes=writes)
    finally:
        await engine.dispose()


def _sqlite(path: Path, *, writes: bool) -> AsyncEngine:
    # Who reads opens it read-only: SQLite itself then refuses every write.
    uri = f"file:{quote(str(path.absolute()))}?mode={'rw' if writes else 'ro'}"

    async def connect() -> aiosqlite.Connection:
        return await aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=BUSY_MILLISECONDS / 1000)

    engine = create_async_engine("sqlite+aiosqlite://", async_creator=connect, **POOL)

    def prepare(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for line in _pragmas(writes=writes):
            cursor.execute(line)
        cursor.close()

    event.listen(engine.sync_engine, "connect", prepare)
    return engine


def _pragmas(*, writes: bool) -> Iterator[str]:
    yield f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}"
    if writes:
        # Before there is a table, or it changes nothing: what is deleted gives its place back.
        yield "PRAGMA auto_vacuum = INCREMENTAL"
        yield "PRAGMA journal_mode = WAL"
        # A crash of the machine may take the last batch, never more; of the process nothing.
        yield "PRAGMA synchronous = NORMAL"
    yield "PRAGMA temp_store = MEMORY"
    yield "PRAGMA mmap_size = 268435456"


def _postgresql(address: Address, *, writes: bool) -> AsyncEngine:
    settings = {"application_name": "portcullis"}
    if not writes:
        settings["default_transaction_read_only"] = "on"

    async def connect() -> Any:
        return await asyncpg.connect(address.dsn, timeout=CONNECT_SECONDS, server_settings=settings)

    return create_async_engine("postgresql+asyncpg://", async_creator=connect, **POOL)


def lock(connection: Connection) -> None:
    """Wait until no other replica holds the lock; it is held to the end of the transaction. SQLite has one writer."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
