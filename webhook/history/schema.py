"""The schema of the database: brought to what we know, and never touched where it is newer."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from webhook.errors import HistoryError
from webhook.history.engine import Database, lock

FOLDER = Path(__file__).parent / "migrations"


async def migrate(database: Database) -> None:
    """Bring the schema to ours, one replica at a time; raises `HistoryError`, and then nothing has changed."""
    async with database.writing() as connection:
        await connection.run_sync(lock)
        found = await connection.run_sync(_found)
        if found != _ours():
            _demand_known(database, found)
            await connection.run_sync(to_revision, "head")


async def demand(database: Database) -> None:
    """Raise `HistoryError` unless the schema is ours."""
    async with database.reading() as connection:
        found = await connection.run_sync(_found)
    if found == _ours():
        return
    _demand_known(database, found)
    what = "is of an older version" if found else "is none of Portcullis, or nothing was ever written to it"
    raise HistoryError(
        f"the history {database.address.shown} {what}: start `portcullis serve --history` of this version on it first"
    )


def to_revision(connection: Connection, revision: str) -> None:
    """Go to a revision of the schema, `head` for ours and `base` for none, within the transaction of `connection`."""
    config = _config()
    config.attributes["connection"] = connection
    current = _found(connection)
    order = [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()]
    older = revision == "base" or (
        current in order and revision in order and order.index(revision) > order.index(current)
    )
    (command.downgrade if older else command.upgrade)(config, revision)


def _demand_known(database: Database, found: str | None) -> None:
    known = {each.revision for each in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise HistoryError(
            f"the history {database.address.shown} was written by a newer version of Portcullis (schema {found}, "
            f"we know {_ours()}): use that version, or another --history"
        )


def _found(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _ours() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise HistoryError(f"the migrations of the history are missing from {FOLDER}: install Portcullis again")
    return head


def _config() -> Config:
    config = Config()
    # A per cent sign begins a variable there.
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
