"""The URL of a history: what is of no use is refused with what to do, and a password is never told."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.history.postgres import PASSWORD, Postgres
from webhook.errors import HistoryError
from webhook.history.address import read_address
from webhook.history.store import opened

SECRET = "s3cr3t"  # noqa: S105 - of nobody
REFUSED: dict[str, tuple[str, str]] = {
    "no URL": (f"history.db {SECRET}", "not kept in this: give sqlite"),
    "another database": (f"mysql://u:{SECRET}@h/db", "not kept in mysql://"),
    "a driver": (f"postgresql+psycopg2://u:{SECRET}@h/db", "not kept in postgresql"),
    "nothing": ("", "not kept in this"),
    "SQLite without a path": ("sqlite:///", "is a file"),
    "SQLite in memory": ("sqlite:///:memory:", "is a file"),
    "SQLite at a host": ("sqlite://host/path", "is a file"),
    "two slashes": ("sqlite://history.db", "is a file"),
    "SQLite with a setting": ("sqlite:///h.db?mode=ro", "more than a path"),
    "a port that is none": (f"postgresql://u:{SECRET}@h:port/db", "cannot be read"),
    "a setting that is none": (f"postgresql://u:{SECRET}@h/db?sslmod=require", "sslmod in the URL"),
    "a setting without a value": (f"postgresql://u:{SECRET}@h/db?{SECRET}", "cannot be read"),
    "a password that breaks the URL": (f"postgresql://u:[{SECRET}@h/db", "cannot be read"),
}


@pytest.mark.parametrize(("url", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_a_url_that_is_of_no_use_is_refused(url: str, said: str) -> None:
    """With what to give instead."""
    with pytest.raises(HistoryError, match=said) as caught:
        read_address(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("migrate", [True, False], ids=["writing", "reading"])
@pytest.mark.parametrize(
    "query", ["", "&sslmode=disable", "&application_name=x", f"&password={SECRET}"], ids=["none", "ssl", "name", "pw"]
)
def test_a_password_is_never_told(postgres: Postgres, query: str, migrate: bool) -> None:  # noqa: FBT001
    """Whatever the server says of it."""

    async def run() -> None:
        async with opened(postgres.url("d1").replace("p%40ss%2Fword", SECRET) + query, migrate=migrate):
            pass

    with pytest.raises(HistoryError, match="password authentication failed") as caught:
        asyncio.run(run())
    told = f"{caught.value!s} {caught.value.__cause__!r}"
    assert SECRET not in told
    assert PASSWORD not in told
    assert "see that the database" in told


NOT_THERE = {
    "host": "postgresql://u:{}@127.0.0.1:1/db",
    "socket": "postgresql://u:{}@/db?host=/nonexistent",
    "ssl": "postgresql://u:{}@127.0.0.1:1/db?sslmode=verify-full&sslrootcert=/nonexistent",
    "mode": "postgresql://u:{}@127.0.0.1:1/db?sslmode=sure",
}


@pytest.mark.parametrize("url", NOT_THERE.values(), ids=NOT_THERE.keys())
def test_a_server_that_is_not_there_is_an_error_of_ours(url: str) -> None:
    """One line, what and what to do."""

    async def run() -> None:
        async with opened(url.format(SECRET)):
            pass

    with pytest.raises(HistoryError, match=r"the history postgresql://\S* cannot be written: .*; see that") as caught:
        asyncio.run(run())
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def read(url: str) -> None:
    async def run() -> None:
        async with opened(url, migrate=False):
            pass

    asyncio.run(run())


def test_a_reader_makes_no_file(tmp_path: Path) -> None:
    """A path that was mistyped is told, and nothing is left at it."""
    with pytest.raises(HistoryError, match="there is no history at"):
        read(f"sqlite:///{tmp_path}/h.db")
    assert not list(tmp_path.iterdir())


BROKEN: dict[str, tuple[bytes, str]] = {
    "no database": (b"hello, this is no database" * 100, "file is not a database"),
    "nothing": (b"", "none of Portcullis, or nothing was ever written"),
}


@pytest.mark.parametrize(("content", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_is_no_history_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    """And stays what it is."""
    path = tmp_path / "h.db"
    path.write_bytes(content)
    with pytest.raises(HistoryError, match=said):
        read(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_a_folder_is_no_history(tmp_path: Path) -> None:
    """Nor is a file below one that is not there."""
    with pytest.raises(HistoryError, match="is no file"):
        read(f"sqlite:///{tmp_path}")

    async def run() -> None:
        async with opened(f"sqlite:///{tmp_path}/missing/h.db"):
            pass

    with pytest.raises(HistoryError, match="cannot be made: No such file"):
        asyncio.run(run())


def test_a_path_is_taken_as_it_is_written(tmp_path: Path) -> None:
    """With a space, a per cent sign and what else a path may have; relative to where we are."""

    async def run(url: str) -> None:
        async with opened(url):
            pass

    folder = tmp_path / "a b%c"
    folder.mkdir()
    asyncio.run(run(f"sqlite:///{tmp_path}/a b%25c/h.db"))
    asyncio.run(run(f"sqlite:///{os.path.relpath(folder)}/relative.db".replace("%", "%25")))
    assert {each.name for each in folder.iterdir()} >= {"h.db", "relative.db"}
