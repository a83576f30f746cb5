"""The real `portcullis serve` as a process of its own, with its OPA, and what they cost."""

import asyncio
import json
import signal
import ssl
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import psutil

from tests.bench.figures import Figure

TREE = Path(__file__).parents[1] / "cases" / "tree"
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Served:
    """A webhook that is ready; `client` trusts its CA."""

    process: psutil.Process
    url: str
    client: aiohttp.ClientSession
    seconds: float
    """From the start of the process to the first 200 of /readyz."""

    @classmethod
    @asynccontextmanager
    async def start(cls, *arguments: str) -> AsyncIterator["Served"]:
        """Start it on any free port, and end it."""
        with TemporaryDirectory(prefix="portcullis-bench-") as folder:
            begin = time.monotonic()
            process, log = _spawn(Path(folder), arguments)
            try:
                url = await _told(log, process)
                trust = ssl.create_default_context(cafile=f"{folder}/certs/ca.crt")
                connector = aiohttp.TCPConnector(ssl=trust, limit=0)
                async with aiohttp.ClientSession(connector=connector) as client:
                    async with client.get(f"{url}/readyz") as reply:
                        reply.raise_for_status()
                    yield cls(process, url, client, time.monotonic() - begin)
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    process.wait(20)

    def memory(self) -> list[Figure]:
        """Return the resident memory of the webhook and of its OPA, if it has one, as it is now."""
        opa = sum(each.memory_info().rss for each in self.process.children())
        how = "resident set (RSS) after the load"
        return [
            Figure("webhook memory", round(self.process.memory_info().rss / MEGABYTE, 1), "MB", 120, how),
            Figure("OPA memory", round(opa / MEGABYTE, 1), "MB", 80, how),
        ]


async def measure_start(*, runs: int) -> Figure:
    """Return the longest of several starts, OPA being on disk."""
    seconds = []
    for _ in range(runs):
        async with Served.start() as served:
            seconds.append(served.seconds)
    median = statistics.median(seconds)
    how = f"process start to the first 200 of /readyz, OPA on disk, slowest of {runs}; median {median:.2f} s"
    return Figure("ready after start", round(max(seconds), 2), "s", 5, how)


def _spawn(folder: Path, arguments: tuple[str, ...]) -> tuple[psutil.Popen, Path]:
    log = folder / "log"
    command = [sys.executable, "-c", "from webhook.cli import main; main()", "serve", "--tenancy", str(TREE)]
    command += ["--host", "127.0.0.1", "--port", "0", "--cert-dir", f"{folder}/certs", *arguments]
    with log.open("wb") as output:
        return psutil.Popen(command, stdout=output, stderr=output), log


async def _told(log: Path, process: psutil.Popen) -> str:
    """Return the address from the log, within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if url := _ready_line(log):
            return url
        await asyncio.sleep(0.01)
    raise RuntimeError(f"the webhook did not get ready, see {log}")


def _ready_line(log: Path) -> str:
    lines = (line for line in log.read_text().splitlines() if '"event": "ready"' in line)
    return next((str(json.loads(line)["url"]) for line in lines), "")
