"""
The processes that answer in the place of this one, on the port that this one holds: `serve --workers`.

The port is ours, and each connection is handed to whoever has the fewest (`webhook.workers.door`): a worker that died
holds none back, and while all of them start again callers wait rather than fail.
"""

import asyncio
import random
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from webhook.cli.desk import Desk
from webhook.decision.tether import tethered
from webhook.errors import SettingsError
from webhook.server import Stop, Tls
from webhook.settings import ServeSettings
from webhook.workers.channel import Channel, Head, frame, packed
from webhook.workers.door import Door, Place
from webhook.workers.feed import Feed
from webhook.workers.generation import BEAT_SECONDS
from webhook.workers.share import Share

PROGRAM = ("-P", "-m", "webhook.cli.worker")
"""What Python is to run; -P, so that what lies in the current folder is no module of ours."""
FIRST_WAIT, LONGEST_WAIT, CALM_SECONDS = 0.1, 5.0, 10.0
"""Between two starts of a worker, and for how long it has to run for the wait to be the first again."""
START_SECONDS = 60.0
SILENT_SECONDS = 15.0
"""A worker that has said nothing for so long, asked every second, hangs; its connections are nobody's."""
PREPARE_SECONDS = 30.0
GRACE_SECONDS = 40.0
"""For a worker that was told to stop, after it has drained; longer than requests under way may take."""
BACKLOG = 2048


class Figures:
    """The metrics of workers."""

    def __init__(self, registry: CollectorRegistry, lag: Histogram) -> None:
        self.lag = lag
        self.ready = Gauge("portcullis_workers_ready", "Workers that answer.", registry=registry)
        self.ends = Counter("portcullis_worker_ends", "Workers that ended unasked.", registry=registry)
        self.lost = Counter(
            "portcullis_worker_records_lost", "Decisions of workers that were told to nobody.", registry=registry
        )
        self.memory = Gauge(
            "portcullis_worker_resident_bytes", "Resident memory of each worker.", ["worker"], registry=registry
        )


class Worker:
    """One process, and our end of what goes between us."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it is put together of
        self, number: int, process: Process, place: Place, hear: Callable[["Worker", Head, bytes], None], feed: Feed
    ) -> None:
        self.number = number
        self.process = process
        self.ready = False
        self.place = place
        self.heard = time.monotonic()
        self.holds: set[str] = set()
        """The revisions of policies that it holds."""
        self.moved = asyncio.Event()
        """Set when it holds others."""
        self._feed = feed
        self._hear = hear
        self._missed = False
        self.channel = Channel(self._heard, self._resumed)

    def tell(self, sent: bytes) -> None:
        """Pass on a frame of the feed; one that is too slow is told all that stands when it reads again."""
        if self.channel.slow:
            self._missed = True
        else:
            self.channel.pass_on(sent)

    def _resumed(self) -> None:
        if self._missed:
            self._missed = False
            self.channel.pass_on(self._feed.state())

    def _heard(self, head: Head, body: bytes) -> None:
        self.heard = time.monotonic()
        match head["do"]:
            case "pong":
                self.place.heard(head["has"], head["took"])
                self._hear(self, head, body)
            case "ready":
                self.ready = True
            case "took":
                self.holds.add(head["revision"])
            case "left":
                self.holds.discard(head["revision"])
            case _:
                self._hear(self, head, body)
        self.moved.set()

    def kill(self) -> None:
        """End it now."""
        with suppress(ProcessLookupError):
            self.process.kill()


class Crew:
    """
    All of them; stands where a `Server` stands.

    `share` says what decides, `program` what Python runs as a worker.
    """

    def __init__(
        self, settings: ServeSettings, feed: Feed, figures: Figures, *, program: tuple[str, ...] = PROGRAM
    ) -> None:
        self.started = False
        self.stop = Stop(settings.drain)
        self._settings = settings
        self._feed = feed
        self._figures = figures
        self._program = program
        self._workers: dict[int, Worker] = {}
        self._share: Share
        self._next: Share | None = None
        self._asked = asyncio.Event()
        self._forced = asyncio.Event()
        self._door: Door
        self._sockets: list[socket.socket] = []

    def begin(self, desk: Desk, share: Share) -> None:
        """Hear what there is to answer with; raises `SettingsError` for files that nobody can serve with."""
        self._desk, self._share = desk, share
        self._feed.revision = share.policies.revision
        settings = self._settings
        if settings.tls:
            Tls(settings.cert_dir / "tls.crt", settings.cert_dir / "tls.key", settings.client_ca).context()

    @property
    def should_exit(self) -> bool:
        """Whether it was asked to stop."""
        return self._asked.is_set()

    @should_exit.setter
    def should_exit(self, asked: bool) -> None:
        if asked:
            self._asked.set()

    @property
    def ready(self) -> int:
        """How many answer."""
        return sum(each.ready for each in self._workers.values())

    def missing(self) -> list[str]:
        """Say what keeps us from being ready: that nobody answers."""
        return [] if self.ready else ["workers: none answers; each is started again, the log says why"]

    def notes(self) -> list[str]:
        """Say what an operator has to know."""
        wanted = self._settings.workers
        return [f"workers: {self.ready} of {wanted} answer"] if self.ready < wanted else []

    def address(self) -> tuple[str, int]:
        """Return the host and port that are listened on."""
        host, port = self._sockets[0].getsockname()[:2]
        return host, port

    async def keep_certificate(self, tls: Tls) -> None:
        """Do nothing: each worker loads what is new by itself."""

    async def serve(self) -> None:
        """Have workers answer until asked to stop; raises `SettingsError` where that cannot begin."""
        self._sockets = _listening(self._settings.host, self._settings.port)
        self._door = Door(self._sockets, lambda: [each.place for each in self._workers.values() if each.ready])
        self._door.open()
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._keep(number)) for number in range(1, self._settings.workers + 1)
        ]
        tasks += [asyncio.create_task(self._beat()), asyncio.create_task(self._asked.wait())]
        try:
            with self._signals():
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                self._asked.set()
                self.stop.asked.set()
                await self._drain()
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._door.close()

    async def decide_by(self, share: Share) -> None:
        """
        Have all workers decide by other policies.

        Each holds them ready first; then all change in one step: no decision that begins after that is by the former.
        """
        revision = share.policies.revision
        self._next = share
        for each in self._workers.values():
            self._tell_policies(each, share, proven=False)
        await self._until(lambda each: revision in each.holds, PREPARE_SECONDS)
        self._share, self._next = share, None
        self._feed.swap(revision)

    async def let_go(self, revision: str) -> None:
        """Return once no worker waits for an answer by policies that do not decide any more."""
        await self._until(lambda each: revision not in each.holds, PREPARE_SECONDS)

    async def _until(self, condition: Callable[[Worker], bool], seconds: float) -> None:
        """Return when it holds for each worker of now; one for which it does not in time is started again."""
        waited = list(self._workers.values())
        deadline = time.monotonic() + seconds
        for each in waited:
            while each.process.returncode is None and not condition(each):
                left = deadline - time.monotonic()
                if left <= 0:
                    each.kill()
                    break
                each.moved.clear()
                with suppress(TimeoutError):
                    # It may die meanwhile, of which nothing is heard here.
                    async with asyncio.timeout(min(left, 0.2)):
                        await each.moved.wait()

    async def _keep(self, number: int) -> None:
        """Have a worker, for ever; raises `SettingsError` where the first does not come to answer."""
        wait, proven = FIRST_WAIT, False
        while not self._asked.is_set():
            begin = time.monotonic()
            proven = await self._live(number) or proven
            if self._asked.is_set():
                return
            if not proven:
                raise SettingsError(f"worker {number} did not start; its log says why")
            self._figures.ends.inc()
            wait = FIRST_WAIT if time.monotonic() - begin > CALM_SECONDS else min(wait * 2, LONGEST_WAIT)
            structlog.get_logger().error("worker ended", number=number, again_within=wait)
            # Half of it random: those that died of one cause do not all come back at one moment.
            await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - no secret

    async def _live(self, number: int) -> bool:
        """Run a worker from its start to its death, and say whether it ever answered."""
        (ours, theirs), place = socket.socketpair(), Place()
        with theirs, place.far:
            fds = (theirs.fileno(), place.far.fileno(), self._feed.generation.fd)
            command = tethered(Path(sys.executable), [*self._program, *map(str, fds)])
            # Of a session of its own: Ctrl-C is ours to hear, and it answers until we say.
            process = await asyncio.create_subprocess_exec(*command, pass_fds=fds, start_new_session=True)
        worker = Worker(number, process, place, self._hear, self._feed)
        looking = asyncio.create_task(self._look_after(worker))
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: worker.channel, sock=ours)
            self._join(worker)
            await process.wait()
            # What it told last.
            await worker.channel.gone
        finally:
            looking.cancel()
            place.close()
            self._part(worker)
            worker.kill()
            await process.wait()
        return worker.ready

    def _join(self, worker: Worker) -> None:
        """Tell a worker all that it needs to begin."""
        worker.channel.send({"do": "begin", "worker": worker.number}, packed(self._settings))
        self._tell_policies(worker, self._share, proven=True)
        if self._next:
            self._tell_policies(worker, self._next, proven=False)
        worker.channel.pass_on(self._feed.state())
        self._workers[worker.number] = worker
        self._feed.followers.append(worker)

    def _part(self, worker: Worker) -> None:
        if worker in self._feed.followers:
            self._feed.followers.remove(worker)
        if self._workers.get(worker.number) is worker:
            del self._workers[worker.number]
        self._figures.ready.set(self.ready)

    def _tell_policies(self, worker: Worker, share: Share, *, proven: bool) -> None:
        worker.channel.pass_on(frame({"do": "policies", "proven": proven}, packed(share)))

    def _hear(self, worker: Worker, head: Head, body: bytes) -> None:
        match head["do"]:
            case "pong":
                for each in head["late"]:
                    self._figures.lag.labels(str(worker.number)).observe(each)
            case "lost":
                self._figures.lost.inc(head["count"])
                structlog.get_logger().error("decisions of a worker lost", number=worker.number, count=head["count"])
            case _:
                self._desk.hear(worker.channel, head, body)

    async def _look_after(self, worker: Worker) -> None:
        """Ask a worker for a sign of life every second, and end one that gives none."""
        begin = time.monotonic()
        while True:
            await asyncio.sleep(1 if worker.ready else 0.05)
            self._figures.ready.set(self.ready)
            self.started = self.started or self.ready == self._settings.workers
            now = time.monotonic()
            if worker.ready:
                worker.channel.send({"do": "ping"})
                self._figures.memory.labels(str(worker.number)).set(_resident(worker.process.pid))
            if now - (worker.heard if worker.ready else begin) > (SILENT_SECONDS if worker.ready else START_SECONDS):
                structlog.get_logger().error("worker hangs", number=worker.number)
                worker.kill()
                return

    async def _beat(self) -> None:
        while True:
            self._feed.generation.beat()
            await asyncio.sleep(BEAT_SECONDS)

    async def _drain(self) -> None:
        """Have all workers stop as one process would, and end those that do not."""
        for each in self._workers.values():
            each.channel.send({"do": "stop"})
        with suppress(TimeoutError):
            async with asyncio.timeout(self.stop.seconds):
                await self._forced.wait()
        self._door.close()
        for each in self._workers.values():
            each.channel.send({"do": "finish"})
        end = time.monotonic() + GRACE_SECONDS
        while self._workers and time.monotonic() < end and not self._forced.is_set():  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.02)
        for each in self._workers.values():
            each.kill()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Stop at the first signal; a second Ctrl-C cuts requests off."""
        loop = asyncio.get_running_loop()

        def stop(number: int) -> None:
            if self._asked.is_set() and number == signal.SIGINT:
                self._forced.set()
            self._asked.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def _listening(host: str, port: int) -> list[socket.socket]:
    """Listen; raises `SettingsError` where that cannot be."""
    found = list[socket.socket]()
    try:
        for family, _, _, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            each = socket.socket(family, socket.SOCK_STREAM)
            found.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind(address)
            each.listen(BACKLOG)
            each.setblocking(False)  # noqa: FBT003 - the socket's own
    except OSError as error:
        for each in found:
            each.close()
        why = error.strerror or error
        raise SettingsError(f"cannot listen on {host}:{port}: {why}; give another --host or --port") from error
    return found


def _resident(pid: int) -> int:
    """Return the bytes of memory that a process has, 0 where it is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * 4096
