"""Where a history is, by a URL as users write it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from webhook.errors import HistoryError

SHAPES = "sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
# What asyncpg does by itself, as libpq does. What else stands in a URL it would send to the server as a setting.
LIBPQ = frozenset(
    {
        *("host", "port", "user", "password", "passfile", "dbname", "database", "service", "servicefile"),
        *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version", "target_session_attrs", "krbsrvname", "gsslib"),
    }
)
SETTINGS = frozenset({"application_name", "options", "search_path", "statement_timeout", "lock_timeout"})


@dataclass(frozen=True, slots=True)
class Address:
    """
    A history's place: the `path` of an SQLite file, or else the `dsn` of a PostgreSQL database.

    `shown` is what may be said of it: it has no password.
    """

    shown: str
    path: Path | None = None
    dsn: str = ""
    secrets: tuple[str, ...] = ()

    def hidden(self, text: str) -> str:
        """Return the text on one line and without the secrets of the URL."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())


def read_address(url: str) -> Address:
    """Return where the history of `url` is; raises `HistoryError` for a URL that is of no use."""
    scheme, separator, rest = url.partition("://")
    match scheme:
        case "sqlite" if separator:
            return _sqlite(rest)
        case "postgresql" | "postgres" if separator:
            return _postgresql(rest)
    # Whatever it is, a password may stand in it.
    said = f"{scheme}://…" if separator and re.fullmatch(r"[\w+.-]{1,32}", scheme) else "this"
    raise HistoryError(f"a history is not kept in {said}: give {SHAPES}")


def _sqlite(rest: str) -> Address:
    host, separator, path = rest.partition("/")
    if host or not separator or path in {"", ":memory:"}:
        raise HistoryError(
            "a history in SQLite is a file: give sqlite:///PATH, with four slashes if it begins with one"
        )
    if "?" in path or "#" in path:
        raise HistoryError(f"sqlite:///{path} has more than a path: leave out what comes after it")
    return Address(f"sqlite:///{path}", Path(unquote(path)))


def _postgresql(rest: str) -> Address:
    dsn = f"postgresql://{rest}"
    try:
        parts = urlsplit(dsn)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        _ = parts.port
    except ValueError as error:
        # What it quotes may be the password.
        raise HistoryError(
            f"the URL of the PostgreSQL history cannot be read: give {SHAPES}; write special characters of a password "
            "as %40 and the like"
        ) from error
    unknown = sorted({key for key, _ in query} - LIBPQ - SETTINGS)
    if unknown:
        raise HistoryError(
            f"{', '.join(unknown)} in the URL of the history means nothing here: there may be "
            f"{', '.join(sorted(LIBPQ | SETTINGS))}"
        )
    secret = [parts.password or "", *(value for key, value in query if key in {"password", "sslpassword"})]
    secrets = {form for each in secret if each for form in (each, unquote(each))}
    named = parts.netloc.rpartition("@")[2]
    return Address(f"postgresql://{named}{parts.path}", None, dsn, tuple(sorted(secrets, key=len, reverse=True)))


def lay(path: Path, *, create: bool) -> None:
    """
    See that an SQLite file is there, readable by its owner alone if it is made here.

    Raises `HistoryError` where it is not there and nobody asked to `create` it, or where it cannot be.
    """
    if path.is_file():
        return
    if path.exists():
        raise HistoryError(f"the history {path} is no file: give the path of one")
    if not create:
        raise HistoryError(f"there is no history at {path}: give the one that `portcullis serve --history` writes")
    try:
        # Its journal gets the same mode from SQLite.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise HistoryError(
            f"the history {path} cannot be made: {error.strerror}; give a file in a folder that may be written to"
        ) from error
