"""
OPA as our child: started, watched, started again when it dies or hangs, gone when we are gone.

OPA reads its bundle once, at its start. So the bundle is kept in memory and laid into the private folder of the process
before each start: an OPA that is started again decides by the same revision, whatever has become of the folder since.
"""

import asyncio
import json
import os
import random
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import aiohttp

from webhook.decision.folder import CONFIGURATION, SOCKET, furnish, private_folder
from webhook.decision.signing import Signed
from webhook.decision.tether import tethered
from webhook.errors import OpaError

End = Literal["died", "hung"]
"""How an OPA came to its end: by itself, or by us because it lived and did not answer."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What OPA is allowed; times in seconds."""

    first_wait: float = 0.1
    """Before OPA is started again; doubled each time up to `longest_wait`, less a random part up to half of it."""
    longest_wait: float = 5
    calm: float = 10
    """Healthy for so long, and the next wait is the first again."""
    probe: float = 0.05
    """Between two looks at its health until it is healthy."""
    beat: float = 1
    """From one look at its health to the next from then on; at once, where the answer took as long."""
    answer: float = 2
    """For an answer to such a look. OPA answers it beside evaluations, however long those take."""
    silent: int = 3
    """So many looks in a row without an answer, and it hangs: it is killed."""
    grace: float = 3
    """From SIGTERM to SIGKILL."""
    load: int = 10
    """For the bundle, before OPA gives up by itself; a second more for each 10 kB of a large one."""
    growth: int = 400
    """Percent by which the heap may grow between two collections (GOGC); most of it is small, so more costs little."""
    memory: int = 40
    """
    MiB, a soft limit of OPA's Go heap; one more for each 1.5 kB of a large bundle.

    Its RSS is the heap and up to 35 MiB of the program itself.
    """

    def allowing(self, size: int) -> "Bounds":
        """
        Return them for a bundle of so many bytes; they are meant for the shipped one, which has 30 kB.

        A heap that may hardly be larger than what lives in it is collected all the time: a thousand rules under the
        limit of the shipped ones took six times as long for each decision, and so long to load that OPA gave up.
        """
        over = max(0, size - 30_000)
        return replace(self, load=self.load + over // 10_000, memory=self.memory + over // 1_500)


BOUNDS = Bounds()
BATCH = Bounds(memory=96, growth=100)
"""For many decisions asked at once (`decide_many`): a batch fills 40 MiB by itself, and more gains no time."""


class OpaProcess:
    """
    One OPA on a Unix socket of its own, within `async with`.

    `log` is told every line of OPA's standard error (JSON; of one above 64 KiB only the end) and, as plain text, each
    restart; `ended` is told how each OPA that we did not want to end came to its end. Both are called in the loop's
    thread and must not raise. `socket` is there once entered; no caller but our own user can reach it. `restarts`
    counts how often OPA was started again; `trouble` says what is wrong with it now, empty while nothing is.
    """

    socket: Path

    def __init__(  # noqa: PLR0913 - two of them are who is told
        self,
        binary: Path,
        bundle: Signed,
        *,
        log: Callable[[str], None],
        ended: Callable[[End], None] = lambda _: None,
        bounds: Bounds = BOUNDS,
    ) -> None:
        self.restarts = 0
        self.trouble = "it is not ready yet"
        self._binary = binary.absolute()
        self._bundle = bundle
        self._log = log
        self._ended = ended
        self._bounds, self._usual = bounds.allowing(len(bundle.content)), bounds.load
        self._process: Process | None = None
        self._healthy_since: float | None = None
        self._last_words: deque[str] = deque(maxlen=5)

    @property
    def pid(self) -> int | None:
        """The pid of OPA, None while there is none."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._home = stack.enter_context(private_folder())
            self.socket = self._home / SOCKET
            # A connection each: a kept one would be to an OPA that is dead since.
            connector = aiohttp.UnixConnector(str(self.socket), force_close=True)
            session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(self._bounds.answer))
            self._http = await stack.enter_async_context(session)
            self._watch = asyncio.create_task(self._keep_alive())
            stack.push_async_callback(_cancel, self._watch)
            self._held = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._held.aclose()

    async def ready(self, within: float = 15) -> None:
        """
        Return once OPA answers and the bundle is active.

        Raises OpaError with OPA's last words if that takes longer than `within` seconds (more for a large bundle), and
        at once if its first start failed.
        """
        within += self._bounds.load - self._usual
        try:
            async with asyncio.timeout(within):
                while not await self._healthy():
                    if self._watch.done():
                        await self._watch
                    await asyncio.sleep(self._bounds.probe)
        except TimeoutError as error:
            raise OpaError(f"OPA was not ready within {within:g} s: {self._reason()}") from error

    async def _keep_alive(self) -> None:
        """Run OPA for ever; OpaError if it ends before it was healthy for the first time."""
        wait, proven = self._bounds.first_wait, False
        while True:
            how = await self._live()
            since = self._healthy_since
            proven = proven or since is not None
            if not proven:
                raise OpaError(f"OPA does not start: {self._reason()}")
            if since is not None and time.monotonic() - since >= self._bounds.calm:
                wait = self._bounds.first_wait
            self.trouble = f"it {how}: {self._reason()}"
            self._log(f"OPA {how}: {self._reason()}; it is started again within {wait:g} s")
            self._ended(how)
            # Half of it random: replicas that died of one cause do not all come back at one moment.
            await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311  no secret
            wait = min(wait * 2, self._bounds.longest_wait)
            self.restarts += 1

    async def _live(self) -> End:
        """Run OPA from its start to its death; however we leave here, it is dead."""
        self._healthy_since = None
        self._last_words.clear()
        try:
            furnish(self._home, self._bundle)
            process = self._process = await self._start()
        except OSError as error:
            self._last_words.append(f"it cannot be started: {error}")
            return "died"
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(process))
            # One that is waited for again and again: each wait of its own would stay with the process to its end.
            dead = tasks.create_task(process.wait())
            try:
                how = await self._until_dead(process, dead)
            finally:
                await self._end(process)
        self._last_words.append(f"it ended with {process.returncode}")
        return how

    async def _until_dead(self, process: Process, dead: "asyncio.Task[int]") -> End:
        """Look after OPA until it is dead, or does not answer and is killed for that."""
        bounds, begin, silent = self._bounds, time.monotonic(), 0
        while not dead.done():
            asked = time.monotonic()
            if await self._healthy():
                silent = 0
            elif self._healthy_since is not None:
                # Where we ourselves stood still meanwhile, the silence may be ours.
                silent += time.monotonic() - asked < 2 * bounds.answer
                self.trouble = "it does not answer"
            elif asked - begin > bounds.load + bounds.answer:
                silent = bounds.silent  # by itself it gives up before
            if silent >= bounds.silent:
                self._last_words.append("it lived and did not answer")
                _kill(process)
                await dead
                return "hung"
            pause = bounds.probe if self._healthy_since is None else bounds.beat
            await asyncio.wait({dead}, timeout=max(0, pause - (time.monotonic() - asked)))
        return "died"

    async def _start(self) -> Process:
        """Start OPA by way of the tether; its pid is OPA's."""
        arguments = ["run", "--server", "--skip-version-check", "--log-level", "error"]
        arguments += ["--config-file", str(self._home / CONFIGURATION), "--ready-timeout", str(self._bounds.load)]
        arguments += ["--addr", f"unix://{self.socket}", "--unix-socket-perm", "600"]
        return await asyncio.create_subprocess_exec(
            *tethered(self._binary, arguments),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            cwd=self._home,
            # Ours is not passed on: it may hold secrets, and what OPA reads of it would change its ways.
            env={
                "PATH": os.defpath,
                "HOME": str(self._home),
                "GOMEMLIMIT": f"{self._bounds.memory}MiB",
                "GOGC": str(self._bounds.growth),
            },
            # So that a Ctrl-C at the terminal reaches us alone, and OPA answers until we have drained.
            start_new_session=True,
        )

    async def _listen(self, process: Process) -> None:
        """Pass on what OPA says, to its end: a pipe that nobody reads would block it."""
        while process.stderr is not None:
            try:
                line = await process.stderr.readline()
            except ValueError:
                continue  # longer than 64 KiB; readline has dropped what it holds of it
            if not line:
                return
            if text := line.decode(errors="replace").strip():
                self._log(text)
                self._weigh(text, process)

    def _weigh(self, line: str, process: Process) -> None:
        """Keep an error for the message of ours; end an OPA whose bundle does not load, for it reads it only once."""
        entry: Any = None
        with suppress(ValueError):
            entry = json.loads(line)
        if not isinstance(entry, dict):  # a panic, or the tether's last words
            entry = {"level": "error", "msg": line}
        if entry.get("level") != "error":
            return
        words = [str(entry[key]) for key in ("msg", "err") if key in entry]
        self._last_words.append(" ".join(": ".join(words).split())[:1000])
        if entry.get("plugin") == "bundle" and self._healthy_since is None:
            _kill(process)

    async def _healthy(self) -> bool:
        """Tell whether OPA answers, with its bundle active; remember the first time, whoever asked."""
        asked = {"bundles": "true", "plugins": "true"}
        try:
            async with self._http.get("http://opa/health", params=asked) as answer:
                healthy = answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False
        if healthy:
            self.trouble = ""
            self._healthy_since = self._healthy_since or time.monotonic()
        return healthy

    async def _end(self, process: Process) -> None:
        """SIGTERM, some grace, SIGKILL; the last also when we are cancelled a second time."""
        try:
            with suppress(ProcessLookupError):
                process.terminate()
            async with asyncio.timeout(self._bounds.grace):
                await process.wait()
        except TimeoutError:
            self._log(f"OPA did not end within {self._bounds.grace:g} s and is killed")
        finally:
            _kill(process)
            await process.wait()

    def _reason(self) -> str:
        """Return what OPA said and how it ended, in one line."""
        return "; ".join(self._last_words) or "it said nothing"


async def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has cleaned up; how it ended was told elsewhere."""
    task.cancel()
    # If we are cancelled as well, gather passes that on: grace ends and OPA is killed, yet we still wait for it.
    await asyncio.gather(task, return_exceptions=True)


def _kill(process: Process) -> None:
    """End the group of OPA now."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
