"""
The load generator: a small Go program of ours (`bench/load`), built once into the cache.

Not Python: a generator that takes as much of a processor as what it measures, and stops for its own garbage, would
measure itself.
"""

import asyncio
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import orjson

from webhook.decision.binary import FOREIGN

MODULE = Path(__file__).parent / "load"
FLAGS = ("-trimpath", "-mod=readonly", "-ldflags", "-s -w")
MARK = "benchmarking"
"""Replaced in a body by twelve hexadecimal digits, other ones for every request."""

Connections = Literal["kept", "new", "resumed"]


class LoadError(RuntimeError):
    """A load that measured nothing: an answer was wrong, or there was none; the message says which."""


def find_generator(environment: Mapping[str, str]) -> Path:
    """Return the program from the cache, or build it into that by the Go on PATH: half a minute, once."""
    cache = Path(environment.get("XDG_CACHE_HOME") or Path(environment["HOME"], ".cache")) / "portcullis" / "bin"
    program = cache / f"load-{_fingerprint()}"
    if os.access(program, os.X_OK):
        return program
    go = shutil.which("go", path=environment.get("PATH", ""))
    if go is None:
        raise LoadError("there is no Go on PATH to build the load generator with: install Go 1.26 or newer")
    cache.mkdir(parents=True, exist_ok=True)
    # Another process may build the same meanwhile: each takes the place whole.
    built = program.with_name(f"{program.name}.{os.getpid()}")
    kept = {name: value for name, value in environment.items() if name not in FOREIGN}
    ours = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GO111MODULE": "on", "GOWORK": "off"}
    command = [go, "build", *FLAGS, "-o", str(built), "."]
    done = subprocess.run(command, cwd=MODULE, env=kept | ours, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LoadError(f"Go could not build the load generator: {done.stderr.strip()[-500:]}")
    built.replace(program)
    return program


def _fingerprint() -> str:
    made_of = hashlib.sha256(" ".join(FLAGS).encode())
    for source in sorted([MODULE / "go.mod", *MODULE.glob("*.go")]):
        made_of.update(source.name.encode() + hashlib.sha256(source.read_bytes()).digest())
    return made_of.hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Aim:
    """Whereto: the base of a URL, the CA of its certificate or a Unix socket, and the file of what to send."""

    url: str
    requests: Path
    ca: Path | None = None
    socket: Path | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """How: `rate` requests a second, as fast as it goes for 0; times in seconds."""

    rate: float
    seconds: float
    warmup: float = 0.5
    lanes: int = 32
    connections: Connections = "kept"


@dataclass(frozen=True, slots=True)
class Shot:
    """
    What one run of the generator found: latencies in milliseconds, counted from when each request was due.

    `late` were sent a millisecond or more after that; `processor` are the seconds that the generator itself took. In
    the `histogram` each bucket, 1 % wide, has its upper end. `unsent` had to wait until the end of the run and beyond,
    and count with that.
    """

    count: int
    errors: int
    faults: list[str] | None
    unsent: int
    warmed: int
    seconds: float
    processor: float
    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    late: int
    late_p99: float
    late_max: float
    opened: int
    resumed: int
    histogram: list[tuple[float, int]] = field(repr=False)

    @property
    def per_second(self) -> float:
        """Return the answers a second."""
        return (self.count - self.unsent) / self.seconds if self.seconds else 0.0


async def fire(program: Path, aim: Aim, load: Load, *, first: int = 0) -> Shot:
    """Send `load` to `aim`, from the request numbered `first` on; raises `LoadError` for a wrong answer, or none."""
    command = ["-url", aim.url, "-requests", str(aim.requests), "-first", str(first)]
    command += ["-rate", str(load.rate), "-length", f"{load.seconds}s", "-warmup", f"{load.warmup}s"]
    command += ["-lanes", str(load.lanes), "-connections", load.connections]
    command += ["-ca", str(aim.ca)] if aim.ca else []
    command += ["-socket", str(aim.socket)] if aim.socket else []
    pipe = asyncio.subprocess.PIPE
    running = await asyncio.create_subprocess_exec(program, *command, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(2 * (load.warmup + load.seconds) + 60):
            out, complaint = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    if running.returncode != 0:
        raise LoadError(complaint.decode(errors="replace").strip() or f"the generator ended with {running.returncode}")
    shot = Shot(**orjson.loads(out))
    if shot.errors or not shot.count:
        total = shot.count + shot.warmed
        raise LoadError(f"{aim.url}: {shot.errors} of {total} answers were wrong: {'; '.join((shot.faults or [])[:3])}")
    return shot
