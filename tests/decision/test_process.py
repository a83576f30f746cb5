"""The OPA we start: it answers, comes back when it dies, and is gone when we are gone."""

import asyncio
import os
import resource
import shutil
import signal
import subprocess
import sys
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
from webhook.decision.bundle import signed
from webhook.decision.process import Bounds, End, OpaProcess
from webhook.decision.signing import Signed
from webhook.decision.tether import TETHER
from webhook.errors import OpaError

ROOT = Path(__file__).parents[2]
MANIFEST = b'{"roots": ["portcullis"], "revision": "r1"}'
GOOD = "package portcullis.x\n\nanswer := 42\n"
BROKEN = "package portcullis.x\n\nanswer := no_such_function(1)\n"
# What a caller of ours is: it starts OPA, tells its pid and waits for its end.
PARENT = """
import asyncio, os, sys
from pathlib import Path
from webhook.decision.bundle import signed
from webhook.decision.process import OpaProcess

async def main(opa, manifest, rego):
    bundle = signed({".manifest": manifest.encode(), "portcullis/x.rego": rego.encode()})
    async with OpaProcess(Path(opa), bundle, log=print) as process:
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
def bundle() -> Signed:
    """Return a bundle that loads."""
    return bundle_of(GOOD)


def bundle_of(rego: str) -> Signed:
    """Return a bundle of one Rego file."""
    return signed({".manifest": MANIFEST, "portcullis/x.rego": rego.encode()})


def write_script(path: Path, text: str) -> Path:
    """Write a program of a line or two."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def score(pid: int) -> int:
    """Return how readily the kernel takes a process when memory ends, from -1000 to 1000."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


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
    opa: Path, bundle: Signed, loop: Callable[[], asyncio.AbstractEventLoop] | None
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


LAID: dict[str, Callable[[Path], object]] = {
    "another bundle": lambda home: (home / "bundle.tar.gz").write_bytes(bundle_of(GOOD.replace("42", "43")).content),
    "no bundle": lambda home: (home / "bundle.tar.gz").unlink(),
    "a broken bundle": lambda home: (home / "bundle.tar.gz").write_bytes(b"no tar"),
    "a configuration that verifies nothing": lambda home: (home / "opa.json").write_text("{}"),
    "no folder": shutil.rmtree,
}


@pytest.mark.parametrize("change", LAID.values(), ids=LAID.keys())
def test_a_restart_decides_by_the_same_policy(opa: Path, bundle: Signed, change: Callable[[Path], object]) -> None:
    """Whatever has become of OPA's folder while OPA ran, one that is started again has what the first one had."""

    async def main() -> None:
        async with OpaProcess(opa, bundle, log=print) as process:
            await process.ready()
            change(process.socket.parent)
            await die(process)
            assert await ask(process.socket, "/v1/data/portcullis/x/answer") == {"result": 42}

    run(main())


def test_a_folder_that_is_somebody_elses_is_not_used(opa: Path, bundle: Signed, tmp_path: Path) -> None:
    """Where somebody put theirs in the place of ours, nothing is read from it and nothing written to it."""
    told: list[str] = []

    async def main() -> None:
        async with OpaProcess(opa, bundle, log=told.append) as process:
            await process.ready()
            home = process.socket.parent
            shutil.rmtree(home)
            home.symlink_to(tmp_path)
            os.kill(process.pid or 0, signal.SIGKILL)
            await until(lambda: "is not our own any more" in process.trouble)
            home.unlink()
            await until(lambda: process.trouble == "")
            assert await ask(process.socket, "/v1/data/portcullis/x/answer") == {"result": 42}

    run(main())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("calm", "waits"), [(60, ["0.01", "0.02", "0.03"]), (0, ["0.01", "0.01", "0.01"])], ids=["early", "late"]
)
def test_the_wait_before_a_restart_doubles_until_opa_was_healthy_for_long(
    opa: Path, bundle: Signed, calm: float, waits: list[str]
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
def test_a_bundle_that_does_not_load_is_named_at_once(opa: Path, rego: str, reason: str) -> None:
    """The first start fails with OPA's own words, without OPA's ten seconds of waiting and without a second start."""
    begin = time.monotonic()

    async def main() -> None:
        async with OpaProcess(opa, bundle_of(rego), log=print) as process:
            with pytest.raises(OpaError, match=reason):
                await process.ready()
            assert (process.restarts, process.pid) == (0, None)

    run(main())
    assert time.monotonic() - begin < 8


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
def test_an_opa_that_never_gets_healthy_is_an_error(
    bundle: Signed, tmp_path: Path, script: str, within: float, reason: str
) -> None:
    """A first start that fails or takes too long is told with what OPA said, and is not tried for ever."""
    binary = write_script(tmp_path / "opa", script)

    async def main() -> None:
        async with OpaProcess(binary, bundle, log=print) as process:
            with pytest.raises(OpaError, match=f"^{reason}$"):
                await process.ready(within)
            assert process.restarts == 0

    run(main())


def test_a_socket_path_that_no_system_takes_is_refused(opa: Path, tmp_path: Path) -> None:
    """Where the folder for temporary files is too deep, the error says what to set."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    command = [sys.executable, "-c", PARENT, str(opa), MANIFEST.decode(), GOOD]
    ended = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"TMPDIR": str(deep)}, capture_output=True, text=True, check=False
    )
    assert "too long for a Unix socket; set TMPDIR to a shorter path" in ended.stderr
    assert list(deep.iterdir()) == []


def test_a_binary_that_vanished_is_an_error(tmp_path: Path, bundle: Signed) -> None:
    """What keeps OPA from being executed is told."""

    async def main() -> None:
        async with OpaProcess(tmp_path / "nothing", bundle, log=print) as process:
            with pytest.raises(OpaError, match="No such file or directory"):
                await process.ready()

    run(main())


def test_stopping_leaves_neither_process_nor_folder(opa: Path, bundle: Signed) -> None:
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


NIMBLE = Bounds(beat=0.1, answer=0.3)


@pytest.mark.parametrize("fault", ["stopped", "its socket deleted"])
def test_an_opa_that_does_not_answer_is_replaced(opa: Path, bundle: Signed, fault: str) -> None:
    """Alive, but nobody can ask it: it is killed, said to have hung, and the next one decides."""
    told: list[str] = []
    ends: list[End] = []

    async def main() -> None:
        async with OpaProcess(opa, bundle, log=told.append, ended=ends.append, bounds=NIMBLE) as process:
            await process.ready()
            await until(lambda: process.trouble == "")
            hung = process.pid or 0
            if fault == "stopped":
                os.kill(hung, signal.SIGSTOP)
            else:
                process.socket.unlink()
            await until(lambda: process.trouble == "it does not answer")
            await until(lambda: process.restarts == 1 and process.trouble == "")
            assert not is_alive(hung)
            assert await ask(process.socket, "/v1/data/portcullis/x/answer") == {"result": 42}

    run(main())
    assert ends == ["hung"]
    assert "OPA hung: it lived and did not answer; it ended with -9; it is started again within 0.1 s" in told


SLOW = """package portcullis.x

many := numbers.range(1, 2500)

answer := count([1 | some i in many; some j in many])
"""


def test_a_long_evaluation_is_no_hang(opa: Path) -> None:
    """While OPA works for long it answers to looks at its health all the same, and is left alone."""
    ends: list[End] = []

    async def main() -> None:
        bounds = Bounds(beat=0.1, answer=1, silent=2)
        async with OpaProcess(opa, bundle_of(SLOW), log=print, ended=ends.append, bounds=bounds) as process:
            await process.ready()
            begin = time.monotonic()
            assert await ask(process.socket, "/v1/data/portcullis/x/answer") == {"result": 6_250_000}
            assert time.monotonic() - begin > 2, "it was not long enough to tell"
            assert process.trouble == ""

    run(main())
    assert ends == []


def test_an_opa_that_hangs_while_it_starts_is_replaced(opa: Path, bundle: Signed, tmp_path: Path) -> None:
    """An OPA that was started again and never gets healthy is not waited for for ever."""
    binary = write_script(tmp_path / "opa", f'[ -e {tmp_path}/hang ] && exec sleep 60\nexec {opa} "$@"')

    async def main() -> None:
        bounds = Bounds(first_wait=0.01, answer=0.2, load=1)
        ends: list[End] = []
        async with OpaProcess(binary, bundle, log=print, ended=ends.append, bounds=bounds) as process:
            await process.ready()
            (tmp_path / "hang").touch()
            os.kill(process.pid or 0, signal.SIGKILL)
            await until(lambda: ends == ["died", "hung"])
            (tmp_path / "hang").unlink()
            await until(lambda: process.trouble == "")

    run(main())


def test_a_full_disk_is_told_and_waited_for(opa: Path, bundle: Signed) -> None:
    """Where the bundle finds no place OPA is not started, the reason is told, and it is tried again."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def main() -> None:
        # What pytest captures goes into a file, so nothing is printed.
        async with OpaProcess(opa, bundle, log=lambda _: None, bounds=Bounds(longest_wait=0.2)) as process:
            await process.ready()
            # The nearest to a full disk that needs no rights: no file of ours may grow beyond so many bytes.
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
            try:
                os.kill(process.pid or 0, signal.SIGKILL)
                await until(lambda: "it cannot be started: [Errno 27] File too large" in process.trouble)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            await until(lambda: process.trouble == "")

    run(main())


def test_an_opa_that_does_not_react_is_killed(opa: Path, bundle: Signed) -> None:
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
def test_opa_is_gone_when_its_parent_is(opa: Path, end: str) -> None:
    """However the process that started OPA ends, kill -9 included, OPA ends with it."""
    command = [sys.executable, "-c", PARENT, str(opa), MANIFEST.decode(), GOOD]
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
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "its parent died before it began\n")


def test_opa_is_small_and_is_told_no_secrets(opa: Path, bundle: Signed) -> None:
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
            assert score(child.pid) == 500 > score(os.getpid()), "where memory ends the kernel is to take OPA first"

    run(main())
