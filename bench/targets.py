"""Who is asked, side by side: the webhook by either engine, and what it is measured against."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.bodies import Asking, Bodies, Sort
from bench.generator import Aim
from bench.served import MEGABYTE, Served
from webhook.decision.process import OpaProcess

SERVE, BY_OPA, NOOP, ECHO, OPA = "serve", "serve --engine opa", "no-op route", "uvicorn echo", "OPA itself (no TLS)"
WHAT = {
    SERVE: "POST /validate over TLS, the webhook as it ships",
    BY_OPA: "the same, each decision asked of an OPA beside it",
    NOOP: "GET /healthz of the first one: the same app, server and TLS, no body",
    ECHO: "POST of the same body to a bare ASGI app by the webhook's own server and TLS, which gives it back",
    OPA: "POST of the documents that the webhook makes of the reviews to OPA's own server, on its Unix socket, no TLS",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A server that can be asked; `process` is all of it, together with its children."""

    name: str
    asking: Asking
    process: psutil.Process
    url: str
    ca: Path | None = None
    socket: Path | None = None

    def aim(self, bodies: Bodies, sort: Sort) -> Aim:
        """Return how to send it requests of a sort."""
        return Aim(self.url, bodies.file(sort, self.asking), self.ca, self.socket)

    def family(self) -> list[psutil.Process]:
        """Return its process and what that has started, workers and an OPA."""
        return [self.process, *self.process.children(recursive=True)]

    def processor(self) -> float:
        """Return the seconds of CPU taken so far, user and system."""
        return sum(sum(each.cpu_times()[:2]) for each in self.family())

    def memory(self) -> float:
        """Return the resident megabytes of now, of all of it."""
        return sum(each.memory_info().rss for each in self.family()) / MEGABYTE


@asynccontextmanager
async def every_target(process: OpaProcess, flags: Sequence[str] = ()) -> AsyncIterator[dict[str, Target]]:
    """Start all of them, `serve` with `flags` after those that each needs, and end them."""
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(Served.start("--engine", "auto", *flags))
        by_opa = await stack.enter_async_context(Served.start("--engine", "opa", *flags))
        url, echo = await stack.enter_async_context(echoing(ours.certificates))
        opa = psutil.Process(process.pid)
        ca = ours.certificates / "ca.crt"
        yield {
            each.name: each
            for each in (
                Target(SERVE, "review", ours.process, ours.url, ca),
                Target(BY_OPA, "review", by_opa.process, by_opa.url, by_opa.certificates / "ca.crt"),
                Target(NOOP, "no-op", ours.process, ours.url, ca),
                Target(ECHO, "echo", echo, url, ca),
                Target(OPA, "opa", opa, "http://opa", None, process.socket),
            )
        }


@asynccontextmanager
async def echoing(certificates: Path) -> AsyncIterator[tuple[str, psutil.Process]]:
    """Run the echo with the key pair in a folder; yield its URL and its process."""
    command = [sys.executable, "-m", "bench.echo", str(certificates)]
    pipe = asyncio.subprocess.PIPE
    running = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[1], stdout=pipe)
    try:
        assert running.stdout
        async with asyncio.timeout(30):
            line = (await running.stdout.readline()).decode().strip()
        if not line:
            raise RuntimeError("the echo did not start")
        yield line, psutil.Process(running.pid)
    finally:
        if running.returncode is None:
            running.terminate()
        await running.wait()
