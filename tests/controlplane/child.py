"""One program of a control plane as our child: started, stopped, started again, gone when we are gone."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path

# Becomes the program after asking the kernel to kill it when the thread dies that forked it; see
# `webhook.decision.process`, which does the same for OPA.
TETHER = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL)) != 0:
    sys.exit("it cannot be tied to the life of the tests: prctl failed")
if os.getppid() != int(sys.argv[1]):
    sys.exit("the tests died before it began")
os.execv(sys.argv[2], sys.argv[2:])
"""


class PlaneError(Exception):
    """A control plane did not do what it was started for."""


class Child:
    """
    One program with its arguments; its output is in `folder`, in a file of its name.

    `spawner` has one thread, which lives as long as the plane: the kernel's "parent" is the thread that forked, and a
    test may start an API server again from a thread that ends before it does.
    """

    def __init__(self, command: Sequence[str], folder: Path, spawner: Executor) -> None:
        self.name = Path(command[0]).name
        self.log = folder / f"{self.name}.log"
        self._command = tuple(command)
        self._folder = folder
        self._spawner = spawner
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The pid of the program, None while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, ready: Callable[[], bool], *, within: float) -> None:
        """Start it and return once it is `ready`; PlaneError with its last words if it ends, or takes too long."""
        if self.pid is not None:
            raise PlaneError(f"{self.name} runs already")
        self._process = self._spawner.submit(self._spawn).result()
        self.wait(ready, within=within)

    def wait(self, ready: Callable[[], bool], *, within: float) -> None:
        """Return once `ready` says so, which is asked every 50 ms while the program runs."""
        process = self._process
        until = time.monotonic() + within
        while time.monotonic() < until:
            if ready():
                return
            if process is None:
                raise PlaneError(f"{self.name} was not started")
            with suppress(subprocess.TimeoutExpired):
                raise PlaneError(f"{self.name} ended with {process.wait(0.05)}:\n{self._last_words()}")
        raise PlaneError(f"{self.name} was not ready within {within:g} s:\n{self._last_words()}")

    def stop(self, *, grace: float = 15) -> None:
        """End it: SIGTERM, `grace` seconds, SIGKILL. Nothing happens where it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", TETHER, str(os.getpid()), *self._command],
                cwd=self._folder,
                # Ours is not passed on: a proxy named there would stand between the API server and a webhook.
                env={"PATH": os.defpath, "HOME": str(self._folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # So that a Ctrl-C at the terminal reaches us alone, and the three end in their order.
                start_new_session=True,
            )

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
