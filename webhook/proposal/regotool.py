"""
Runs OPA's own tools on a folder.

Fails closed: an OPA that does not run, crashes, takes too long or prints what nobody can read is a `PolicyError`. That
it finds something wrong is its answer.
"""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from webhook.errors import PolicyError

# Most of what OPA does in these runs is to collect garbage; there is memory for more, but not without end.
_ENVIRONMENT = {**os.environ, "GOGC": "400", "GOMEMLIMIT": "600MiB"}


@dataclass(frozen=True, slots=True)
class Said:
    """How a run of OPA ended (its exit status) and what it printed."""

    what: str
    status: int
    out: bytes
    err: bytes

    def document(self) -> Any:
        """Return the JSON that it printed; raises `PolicyError` where that is none."""
        try:
            return orjson.loads(self.out)
        except orjson.JSONDecodeError as error:
            raise self.unreadable() from error

    def unreadable(self) -> PolicyError:
        """Return the error for an answer that cannot be understood."""
        words = " ".join((self.err or self.out).decode(errors="replace").split())[:500] or "nothing"
        return PolicyError(f"{self.what} ended with {self.status} and said what cannot be read: {words}")


@dataclass(frozen=True, slots=True)
class RegoTool:
    """
    An OPA binary; `seconds` is how long one run may take.

    `capabilities` are all that the Rego may call where it is compiled: who proposes a change may be anybody, and what
    their tests call would be called here, with what this machine may reach.
    """

    binary: Path
    capabilities: Path | None = None
    seconds: float = 1200

    async def run(self, *arguments: str, folder: Path) -> Said:
        """Return what `opa ARGUMENTS` said in `folder`; raises `PolicyError` where it did not end by itself."""
        what = f"opa {arguments[0]}"
        if self.capabilities and arguments[0] in {"check", "test"} and "--capabilities" not in arguments:
            arguments = (arguments[0], "--capabilities", str(self.capabilities.absolute()), *arguments[1:])
        try:
            # A group of its own: what it may have started ends with it.
            process = await asyncio.create_subprocess_exec(
                self.binary.absolute(), *arguments,
                stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd=folder, env=_ENVIRONMENT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise PolicyError(f"{what} did not run: {error}") from error
        try:
            out, err = await asyncio.wait_for(process.communicate(), self.seconds)
        except TimeoutError as error:
            raise PolicyError(f"{what} did not end within {self.seconds:g} s") from error
        finally:
            await _end(process)
        said = Said(what, process.returncode or 0, out, err)
        # A crash of Go ends with 2 as well as a failed test does.
        if said.status < 0 or err.startswith((b"panic:", b"fatal error:", b"runtime:")):
            raise said.unreadable()
        return said


async def _end(process: Process) -> None:
    """Kill what still runs, on a cancellation too."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
