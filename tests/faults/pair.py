"""Two replicas of ours behind one address, on a real cluster that they reach through a link which can be cut."""

import json
import os
import secrets
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx2
import psutil

from tests.conftest import Loop
from tests.controlplane.child import Child, PlaneError
from tests.controlplane.plane import Plane
from tests.e2e.guarded import PROGRAM, Guarded, Process, _port
from tests.e2e.reading import LEASE, SECRET, until
from tests.faults.audit import AuditLog
from tests.faults.forwarder import Balancer, Forwarder, Link
from tests.faults.store import Store

NAMES = ("left", "right")
WHOLE_SECONDS = 20
NO_BYTES = 0


class Pair(Guarded):
    """
    A cluster with two replicas, `left` and `right`.

    `balancer` is what the API server calls, `link` what both call it by. Whatever a test does to them, `whole` makes
    good again.
    """

    def __init__(self, plane: Plane, opa: Path, folder: Path, held: ExitStack) -> None:
        super().__init__(plane, opa, folder, held)
        self.loop = Loop()
        held.callback(self.loop.close)
        self.ports: Mapping[str, int] = dict(zip(NAMES, (_port(), _port()), strict=True))
        self.balancer = Balancer(self.ports.values())
        self.link = Link(int(plane.url.rpartition(":")[2]))
        for each in (self.balancer, self.link):
            self.loop.run(each.open())
            held.callback(self._close, each)
        self.store = Store(plane.etcd)
        held.callback(self.store.client.close)
        self.audit = AuditLog(plane.folder / "audit.log")
        self.engine = "auto"

    @property
    def url(self) -> str:
        return self.balancer.url

    @property
    def running(self) -> list[str]:
        """Name those that run."""
        return [name for name in NAMES if name in self.processes and self.processes[name].child.pid]

    def leader(self) -> str:
        """Name the one that holds the lease, empty for none that runs."""
        with suppress(httpx2.HTTPError, AssertionError):
            lease = self.reader.find(LEASE)
            holder = (lease or {}).get("spec", {}).get("holderIdentity") or ""
            pids = {str(self.processes[name].child.pid): name for name in self.running}
            return next((pids[part] for part in holder.split("_") if part in pids), "")
        return ""

    def other(self, name: str) -> str:
        """Name the other one."""
        return next(each for each in NAMES if each != name)

    def whole(self) -> None:
        """Return once both run, are healthy and one of them leads; those that do not come to that are begun anew."""
        try:
            self.settle()
        except (AssertionError, PlaneError):
            for name in NAMES:
                if name in self.running:
                    self.processes[name].kill()
                shutil.rmtree(self.processes[name].certs, ignore_errors=True)
            # What an operator does whose certificates are beyond help.
            self.reader.client.delete(SECRET)
            self.settle()

    def begin(self, ready: Callable[[], None] = lambda: None) -> None:
        """Start both, side by side, whichever does not run; `ready` is called when the first one is."""
        first = threading.Lock()

        def start(name: str) -> None:
            self.start(name)
            if first.acquire(blocking=False):
                ready()

        with ThreadPoolExecutor(len(NAMES)) as beside:
            list(beside.map(start, [name for name in NAMES if name not in self.running]))

    def decide_by(self, engine: str) -> None:
        """Have both evaluate the policies by an engine of `serve` from here on."""
        if engine != self.engine:
            for name in self.running:
                self.stop(name)
            self.engine = engine

    def settle(self) -> None:
        """Return once both run, are healthy and one of them leads."""
        self.begin()
        until(lambda: len(self.balancer.healthy) == len(NAMES), WHOLE_SECONDS)
        until(self.leader, WHOLE_SECONDS)

    def cut(self) -> None:
        """End every connection of ours to the API server; they may begin new ones."""
        self.loop.run(self.link.cut())

    def slow(self, seconds: float) -> None:
        """Hold back for so long what we send to the API server."""
        self.loop.run(self.link.delay(seconds))

    def pid(self, name: str) -> int:
        """Return the pid of one that runs."""
        pid = self.processes[name].child.pid
        assert pid, f"{name} does not run"
        return pid

    def opa(self, name: str) -> psutil.Process:
        """Return the OPA of one that runs."""
        until(lambda: _opa_of(self.pid(name)), 5)
        found = _opa_of(self.pid(name))
        assert found, f"{name} has no OPA"
        return found

    def bundle(self, name: str) -> Path:
        """Return the file that the OPA of one has its bundle from."""
        command = self.opa(name).cmdline()
        config = json.loads(Path(command[command.index("--config-file") + 1]).read_text())
        (bundle,) = config["bundles"].values()
        return Path(bundle["resource"].removeprefix("file://"))

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """
        Let neither of them write a byte to any file, nor the programs that they start.

        By RLIMIT_FSIZE, which needs no right: as on a full disk a file can be made, and no byte gets into it. What
        they tell their log goes through a pipe, as in a pod.
        """
        affected = [psutil.Process(self.pid(name)) for name in self.running]
        before = [each.rlimit(psutil.RLIMIT_FSIZE) for each in affected]
        for each, (_, hard) in zip(affected, before, strict=True):
            each.rlimit(psutil.RLIMIT_FSIZE, (NO_BYTES, hard))
        try:
            yield
        finally:
            for each, limits in zip(affected, before, strict=True):
                # What began meanwhile, an OPA, has taken the limit over.
                for one in (each, *each.children(recursive=True)):
                    with suppress(psutil.NoSuchProcess):
                        one.rlimit(psutil.RLIMIT_FSIZE, limits)

    @contextmanager
    def frozen(self, *pids: int) -> Iterator[None]:
        """Stop processes in the middle of whatever they do; they go on afterwards, those that are still there."""
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _process(self, name: str, command: str, flags: tuple[str, ...], *, program: str) -> Process:  # noqa: ARG002 - there is one
        before = self.processes.get(name)
        certs = self.folder / f"{name}-certs"
        arguments = [command, f"--kubeconfig={self._kubeconfig()}", f"--webhook-url={self.url}", "--host=127.0.0.1"]
        arguments += [f"--port={self.ports[name]}", f"--cert-dir={certs}", f"--engine={self.engine}", *flags]
        script = self.folder / name
        # Its log goes through a pipe: a process that cannot write to a disk still has its say.
        script.write_text(f'#!/bin/bash\nPORTCULLIS_OPA={self._opa} exec {PROGRAM} "$@" 2> >(exec cat)\n')
        script.chmod(0o755)
        child = Child([str(script), *arguments], self.folder, self._spawner)
        self._held.callback(child.stop)
        self.processes[name] = Process(child, self.ports[name], certs, before.read if before else 0)
        return self.processes[name]

    def _close(self, forwarder: Forwarder) -> None:
        self.loop.run(forwarder.close())

    def _kubeconfig(self) -> Path:
        """Return the kubeconfig of ours that leads through the link."""
        path = self.folder / "kubeconfig"
        if not path.exists():
            config = json.loads(self.plane.kubeconfig("portcullis").read_text())
            config["clusters"][0]["cluster"]["server"] = self.link.url
            path.write_text(json.dumps(config))
        return path


def _opa_of(pid: int) -> psutil.Process | None:
    """Return the OPA below a process, None while there is none."""
    with suppress(psutil.NoSuchProcess):
        for each in psutil.Process(pid).children():
            with suppress(psutil.NoSuchProcess):
                if each.name().startswith("opa") and "--config-file" in each.cmdline():
                    return each
    return None


def seed() -> str:
    """Return what decides on all that is drawn here."""
    return os.environ.setdefault("FAULTS_SEED", str(secrets.randbelow(10**9)))
