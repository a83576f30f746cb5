"""The OPA we start: it answers, comes back when it dies, and is gone when we are gone."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import psutil
import pytest
import uvloop

from webhook.decision.binary import find_opa
from webhook.decision.process import TETHER, Bounds, OpaProcess
from webhook.errors import OpaError

ROOT = Path(__file__).parents[2]
GOOD = "package portcullis.x\n\nanswer := 42\n"
BROKEN = "package portcullis.x\n\nanswer := no_such_function(1)\n"
# What a caller of ours is: it starts OPA, tells its pid and waits for its end.
PARENT = """
import asyncio, os, sys
from pathlib import Path
from webhook.decision.process import OpaProcess

async def main(opa, bundle):
    async with OpaProcess(Path(opa), Path(bundle), log=print) as process:
        await process.ready()
        print("pid", process.pid, flush=True)
        order = (await asyncio.to_thread(sys.stdin.readline)).strip()
        if order == "exit without a word":
            os._exit(0)
        if order == "fail":
            raise RuntimeError("as asked")

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def opa() -> Path:
    """Find the real OPA, or build it where there is none."""
    return find_opa(os.environ, say=print)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Write a bundle that loads."""
    return write_bundle(tmp_path / "bundle.tar.gz", GOOD)


def write_bundle(path: Path, rego: str) -> Path:
    """Write a bundle of one Rego file."""
    manifest = json.dumps({"roots": ["portcullis"], "revision": "r1"})
    with tarfile.open(path, "w:gz") as bundle:
        for name, text in ((".manifest", manifest), ("portcullis/x.rego", rego)):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            bundle.addfile(entry, io.BytesIO(text.encode()))
    return path


def write_script(path: Path, text: str) -> Path:
    """Write a program of a line or two."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def is_alive(pid: int | None) -> bool:
    """Tell whether a process runs; one that is dead and not yet reaped does not."""
    try:
        return pid is not None and bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_for_end(pid: int) -> None:
    """Fail unless a process is gone within 5 s."""
    deadline = time.monotonic() + 5
    while is_alive(pid):
        assert time.monotonic() < deadline, f"{pid} still runs: {psutil.Process(pid).cmdline()}"
        time.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    """Return once it holds; TimeoutError after 10 s."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  what is waited for is another process
            await asyncio.sleep(0.01)


async def die(process: OpaProcess) -> None:
    """Kill OPA and wait until its successor is healthy."""
    dead, restarts = process.pid, process.restarts
    assert dead is not None
    os.kill(dead, signal.SIGKILL)
    await until(lambda: process.restarts == restarts + 1 and process.pid not in {None, dead})
    await process.ready()


async def ask(socket: Path, path: str) -> Any:
    """Ask OPA over its socket."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session,
        session.get(f"http://opa{path}") as answer,
    ):
        return await answer.json()


def run(main: Coroutine[Any, Any, None], loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> None:
    """Run a test to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main)


@pytest.mark.parametrize("loop", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_opa_answers_and_comes_back_when_killed(
    opa: Path, bundle: Path, loop: Callable[[], asyncio.AbstractEventLoop] | None
) -> None:
    """Once ready OPA decides over its socket, and again after it was killed, on the loop of serve too."""

    async def main() -> None:
        async with OpaProcess(opa, bundle, log=print) as process:
            await process.ready()
            assert await ask(process.socket, "/v1/data/portcullis/x/answer") == {"result": 42}
            assert process.restarts == 0
            await die(process)
            assert await ask(process.socket, "/v1/data/portcullis/x/answer") == {"result": 42}
            assert process.restarts == 1

    run(main(), loop)


def test_a_restart_decides_by_the_same_policy(opa: Path, bundle: Path) -> None:
    """A bundle that is replaced or removed while OPA runs changes nothing, not even after OPA died."""

    async def main() -> None:
        async with OpaProcess(opa, bundle, log=print) as process:
            await process.ready()
            write_bundle(bundle, GOOD.replace("42", "43"))
            await die(process)
            assert await ask(process.socket, "/v1/data/portcullis/x/answer") == {"result": 42}

    run(main())


@pytest.mark.parametrize(
    ("calm", "waits"), [(60, ["0.01", "0.02", "0.03"]), (0, ["0.01", "0.01", "0.01"])], ids=["early", "late"]
)
def test_the_wait_before_a_restart_doubles_until_opa_was_healthy_for_long(
    opa: Path, bundle: Path, calm: float, waits: list[str]
) -> None:
    """An OPA that dies again and again is started ever more rarely, up to a bound; after a calm time at once."""
    told: list[str] = []

    async def main() -> None:
        bounds = Bounds(first_wait=0.01, longest_wait=0.03, calm=calm)
        async with OpaProcess(opa, bundle, log=told.append, bounds=bounds) as process:
            await process.ready()
            for _ in waits:
                await die(process)

    run(main())
    deaths = [line for line in told if line.startswith("OPA died")]
    assert deaths == [f"OPA died: it ended with -9; it is started again within {wait} s" for wait in waits]


@pytest.mark.parametrize(
    ("rego", "reason"),
    [
        (BROKEN, r"does not start: .*portcullis/x.rego:3: rego_type_error: undefined function no_such_function"),
        ("package elsewhere\n", r"does not start: .*manifest roots \[portcullis\] do not permit"),
    ],
    ids=["no Rego", "outside its roots"],
)
def test_a_bundle_that_does_not_load_is_named_at_once(opa: Path, tmp_path: Path, rego: str, reason: str) -> None:
    """The first start fails with OPA's own words, without OPA's ten seconds of waiting and without a second start."""
    begin = time.monotonic()

    async def main() -> None:
        async with OpaProcess(opa, write_bundle(tmp_path / "broken.tar.gz", rego), log=print) as process:
            with pytest.raises(OpaError, match=reason):
                await process.ready()
            assert (process.restarts, process.pid) == (0, None)

    run(main())
    assert time.monotonic() - begin < 8


def test_a_missing_bundle_is_refused_before_anything_starts(opa: Path, tmp_path: Path) -> None:
    """A bundle that is not there is an OpaError naming it."""

    async def main() -> None:
        async with OpaProcess(opa, tmp_path / "none.tar.gz", log=print):
            pytest.fail("there is nothing to start with")

    with pytest.raises(OpaError, match=r"none\.tar\.gz"):
        run(main())


@pytest.mark.parametrize(
    ("script", "within", "reason"),
    [
        ("echo out of luck >&2; exit 3", 10, "OPA does not start: out of luck; it ended with 3"),
        (
            "head -c 200000 /dev/zero | tr '\\0' x >&2; echo >&2; echo at last >&2; exit 3",
            10,
            "OPA does not start: (x{1,1000}; )*at last; it ended with 3",
        ),
        ("exec sleep 60", 0.3, "OPA was not ready within 0.3 s: it said nothing"),
    ],
    ids=["dies", "babbles", "hangs"],
)
def test_an_opa_that_never_gets_healthy_is_an_error(bundle: Path, script: str, within: float, reason: str) -> None:
    """A first start that fails or takes too long is told with what OPA said, and is not tried for ever."""
    binary = write_script(bundle.with_name("opa"), script)

    async def main() -> None:
        async with OpaProcess(binary, bundle, log=print) as process:
            with pytest.raises(OpaError, match=f"^{reason}$"):
                await process.ready(within)
            assert process.restarts == 0

    run(main())


def test_a_socket_path_that_no_system_takes_is_refused(opa: Path, bundle: Path) -> None:
    """Where the folder for temporary files is too deep, the error says what to set."""
    deep = bundle.with_name("d" * 100)
    deep.mkdir()
    command = [sys.executable, "-c", PARENT, str(opa), str(bundle)]
    ended = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"TMPDIR": str(deep)}, capture_output=True, text=True, check=False
    )
    assert "too long for a Unix socket; set TMPDIR to a shorter path" in ended.stderr
    assert list(deep.iterdir()) == []


def test_a_binary_that_vanished_is_an_error(tmp_path: Path, bundle: Path) -> None:
    """What keeps OPA from being executed is told."""

    async def main() -> None:
        async with OpaProcess(tmp_path / "nothing", bundle, log=print) as process:
            with pytest.raises(OpaError, match="No such file or directory"):
                await process.ready()

    run(main())


def test_stopping_leaves_neither_process_nor_folder(opa: Path, bundle: Path) -> None:
    """After the block OPA is dead and its private folder removed, when the block raised too."""
    left: list[tuple[int | None, Path]] = []

    async def main(error: Exception | None) -> None:
        async with OpaProcess(opa, bundle, log=print) as process:
            await process.ready()
            left.append((process.pid, process.socket.parent))
            assert is_alive(process.pid)
            assert process.socket.parent.stat().st_mode & 0o777 == 0o700
            assert process.socket.stat().st_mode & 0o777 == 0o600
            if error:
                raise error

    run(main(None))
    with pytest.raises(ValueError, match="as asked"):
        run(main(ValueError("as asked")))
    assert [(is_alive(pid), folder.exists()) for pid, folder in left] == [(False, False)] * 2


def test_an_opa_that_does_not_react_is_killed(opa: Path, bundle: Path) -> None:
    """SIGTERM is given some grace and no more."""
    told: list[str] = []
    pids: list[int | None] = []

    async def main() -> None:
        async with OpaProcess(opa, bundle, log=told.append, bounds=Bounds(grace=0.2)) as process:
            await process.ready()
            pids.append(process.pid)
            os.kill(process.pid or 0, signal.SIGSTOP)

    run(main())
    assert told[-1] == "OPA did not end within 0.2 s and is killed"
    assert not is_alive(pids[0])


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "SIGINT", "exit without a word", "fail", "return"])
def test_opa_is_gone_when_its_parent_is(opa: Path, bundle: Path, end: str) -> None:
    """However the process that started OPA ends, kill -9 included, OPA ends with it."""
    command = [sys.executable, "-c", PARENT, str(opa), str(bundle)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    # Not tmp_path: its length could exceed that of a socket. A parent that is killed leaves its folder behind.
    with (
        TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=ROOT, env=os.environ | {"TMPDIR": folder}, text=True, **pipes) as parent,
    ):
        assert parent.stdin is not None
        assert parent.stdout is not None
        pid = next(int(line.split()[1]) for line in parent.stdout if line.startswith("pid"))
        assert psutil.Process(pid).exe() == str(opa.resolve())
        if end.startswith("SIG"):
            parent.send_signal(signal.Signals[end])
        else:
            parent.stdin.write(f"{end}\n")
        parent.stdin.close()
        parent.wait(10)
        wait_for_end(pid)


def test_opa_does_not_begin_without_its_parent(tmp_path: Path) -> None:
    """A parent that died before the tether was fastened would leave OPA behind, so then there is none."""
    binary = write_script(tmp_path / "opa", "echo began")
    command = [sys.executable, "-I", "-S", "-c", TETHER, "0", str(binary)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "the parent of OPA died before OPA began\n")


def test_opa_is_small_and_is_told_no_secrets(opa: Path, bundle: Path) -> None:
    """OPA stays below 80 MB, and none of our variables reach it."""

    async def main() -> None:
        async with OpaProcess(opa, bundle, log=print) as process:
            await process.ready()
            child = psutil.Process(process.pid)
            assert child.memory_info().rss < 80 * 1000 * 1000
            # Python adds LC_CTYPE by itself where there is no locale (PEP 538).
            assert set(child.environ()) - {"LC_CTYPE"} == {"PATH", "HOME", "GOMEMLIMIT", "GOGC"}
            assert child.cwd() == str(process.socket.parent)
            assert os.getsid(child.pid) == child.pid

    run(main())
