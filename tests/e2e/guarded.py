"""Portcullis on a control plane: installed as its manifests say, its processes started, stopped and killed."""

import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.controlplane.child import Child
from tests.controlplane.plane import Plane
from tests.e2e.manifests import ACME, BASE, CRDS
from tests.e2e.reading import MUTATING, VALIDATING, Reader, is_ready, until

Json = dict[str, Any]

PROGRAM = Path(sys.executable).parent / "portcullis"
FIRST = "first"
"""The process that the API server calls."""
START_SECONDS = 30
OURSELVES = "system:serviceaccount:portcullis-system:portcullis"
PEOPLE = ("olga", "ivan", "paul", "wanda", "rudi", "rita", "ruth", "stranger", "system:serviceaccount:gitops:argocd")


@dataclass
class Process:
    """One process of Portcullis."""

    child: Child
    port: int
    certs: Path
    read: int = 0
    """How many bytes of its log were asked for already."""
    secure: bool = True
    """Whether it speaks HTTPS: a controller alone speaks plain HTTP."""

    def told(self) -> list[Json]:
        """Return the lines of its log that are whole and were not returned yet."""
        with self.child.log.open("rb") as log:
            log.seek(self.read)
            whole = log.read().rpartition(b"\n")[0]
        self.read += len(whole) + 1 if whole else 0
        return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]

    def ask(self, path: str) -> httpx2.Response | None:
        """Return what it answers to a GET, None where it does not."""
        scheme = "https" if self.secure else "http"
        try:
            trust = self.trust() if self.secure else True
            return httpx2.get(f"{scheme}://127.0.0.1:{self.port}{path}", verify=trust, trust_env=False, timeout=5)
        except (OSError, httpx2.HTTPError):
            return None

    def trust(self) -> ssl.SSLContext:
        """Return what takes its certificate."""
        return ssl.create_default_context(cafile=str(self.certs / "ca.crt"))

    def health(self) -> Json:
        """Return what /readyz says; nothing where nobody answers."""
        answer = self.ask("/readyz")
        return {**answer.json(), "status": answer.status_code} if answer else {}

    def kill(self) -> None:
        """End it without a word."""
        assert self.child.pid
        os.kill(self.child.pid, signal.SIGKILL)
        self.child.stop()


class Guarded:
    """A control plane that Portcullis is on, and the processes of Portcullis by name."""

    def __init__(self, plane: Plane, opa: Path, folder: Path, held: ExitStack) -> None:
        self.plane = plane
        self.folder = folder
        self.processes: dict[str, Process] = {}
        self.reader = Reader(plane)
        self.decisions: list[Json] = []
        """What was decided so far for others than Portcullis itself; `look` brings it up to date."""
        self._opa = opa
        self._held = held
        self._spawner = held.enter_context(ThreadPoolExecutor(1))
        held.callback(self.reader.client.close)

    # What people do.

    def kubectl(self, *arguments: str, user: str, stdin: str = "") -> str:
        """Run kubectl as `user`, which has to succeed; return what it prints."""
        return self.plane.kubectl(*arguments, user=user, stdin=stdin).stdout

    def refused(self, *arguments: str, user: str, stdin: str = "") -> str:
        """Run kubectl as `user`, which has to fail; return what it complains of."""
        ran = self.plane.kubectl(*arguments, user=user, stdin=stdin, check=False)
        assert ran.returncode != 0, f"{user} was let do {arguments}: {ran.stdout}"
        return ran.stderr

    def create(self, namespace: str, user: str = "wanda") -> Json:
        """Create a namespace as `user`, and return it as it is once its baseline is in place."""
        self.kubectl("create", "namespace", namespace, user=user)
        return self.await_ready(namespace)

    def await_ready(self, namespace: str, seconds: float = 15) -> Json:
        """Return a namespace once its baseline is in place."""
        until(lambda: is_ready(self.reader.namespace(namespace)), seconds)
        found = self.reader.namespace(namespace)
        assert found
        return found

    # What an operator does.

    def install(self) -> None:
        """Apply what Portcullis needs before it starts, and let everybody do everything as far as RBAC goes."""
        for each in ("namespace.yaml", "rbac.yaml", "roles.yaml", "flowcontrol.yaml"):
            self.kubectl("apply", "--filename", str(BASE / each), user="root")
        users = [f"--user={each}" for each in PEOPLE]
        self.kubectl("create", "clusterrolebinding", "people", "--clusterrole=cluster-admin", *users, user="root")

    def define(self) -> None:
        """Apply the definitions of the tree's kinds; return once they are served."""
        self.kubectl("apply", "--kustomize", str(CRDS), user="root")
        self.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all", user="root")

    def plant(self) -> None:
        """Apply the example tree."""
        self.kubectl("apply", "--kustomize", str(ACME), user="root")

    def start(self, name: str = FIRST, *flags: str, command: str = "serve", program: str = str(PROGRAM)) -> Process:
        """Start a process, or one again that had stopped, of another `program` perhaps; return once it is ready."""
        process = self._process(name, command, flags, program=program)
        since = process.child.log.stat().st_size if process.child.log.exists() else 0

        def ready() -> bool:
            if command != "serve":
                return b'"event": "ready"' in process.child.log.read_bytes()[since:]
            return bool(process.health().get("ready"))

        process.child.start(ready, within=START_SECONDS)
        return process

    def gate(self) -> None:
        """Start the first process and return once the API server asks it."""
        self.start()
        self.await_gate()

    def await_gate(self) -> None:
        """Return once both webhook objects stand and the API server has heard of them."""
        until(lambda: self.reader.find(MUTATING) and self.reader.find(VALIDATING), START_SECONDS)
        probe = ("create", "namespace", "probe", "--dry-run=server")
        until(lambda: "[rbac/namespace]" in self.plane.kubectl(*probe, user="stranger", check=False).stderr, 10)
        # Allowed, and stamped: the mutating hook is asked, too.
        shown = ("create", "namespace", "probe", "--dry-run=server", "-o", "json")
        until(lambda: "portcullis.dev/gate" in self.kubectl(*shown, user="wanda"), 10)

    def stop(self, name: str = FIRST) -> None:
        """Stop a process as Kubernetes does; it ends by itself, and well."""
        child = self.processes[name].child
        assert child.pid, f"{name} had ended by itself"
        child.stop(grace=40)
        assert child._process
        assert child._process.returncode == 0

    def ungate(self) -> None:
        """Delete both webhook objects as root; return once the API server asks nobody any more."""
        for kind in ("mutatingwebhookconfiguration", "validatingwebhookconfiguration"):
            self.kubectl("delete", kind, "portcullis", user="root")
        probe = ("create", "namespace", "probe", "--dry-run=server")
        until(lambda: self.plane.kubectl(*probe, user="stranger", check=False).returncode == 0, 10)

    def look(self) -> list[Json]:
        """Read on in all logs; return the lines that are new."""
        lines = [line for each in self.processes.values() if each.child.log.exists() for line in each.told()]
        self.decisions += [line for line in lines if line.get("event") == "decision" and line.get("user") != OURSELVES]
        return lines

    def last_words(self) -> str:
        """Return the end of each log, a line of it for a decision."""
        told = []
        for name, each in self.processes.items():
            told.append(f"--- {name}, pid {each.child.pid}")
            told += map(_shortened, each.child.log.read_text(errors="replace").splitlines()[-15:])
        return "\n".join(told)

    @property
    def url(self) -> str:
        """The base of what the API server calls."""
        return f"https://127.0.0.1:{self.processes[FIRST].port}"

    def _process(self, name: str, command: str, flags: tuple[str, ...], *, program: str) -> Process:
        before = self.processes.get(name)
        port = before.port if before else _port()
        certs = before.certs if before else self.folder / f"{name}-certs"
        # What the webhook objects call is one process: with another URL each would heal them to its own.
        url = f"https://127.0.0.1:{port}" if name == FIRST else self.url
        arguments = [f"--kubeconfig={self.plane.kubeconfig('portcullis')}"]
        arguments += ["--host=127.0.0.1", f"--port={port}"]
        if command == "serve":
            arguments += [f"--webhook-url={url}", f"--cert-dir={certs}"]
        # A child is called by its program, and its log is; OPA is found as the tests have found it.
        script = self.folder / name
        script.write_text(f'#!/bin/sh\nPORTCULLIS_OPA={self._opa} exec {program} "$@"\n')
        script.chmod(0o755)
        child = Child([str(script), command, *arguments, *flags], self.folder, self._spawner)
        self._held.callback(child.stop)
        self.processes[name] = Process(child, port, certs, before.read if before else 0, command == "serve")
        return self.processes[name]


def refuses_to_start(*arguments: str, home: Path) -> tuple[int, list[str]]:
    """Run portcullis, which has to end by itself; return its exit code and the lines that are no log."""
    done = subprocess.run(
        [PROGRAM, *arguments],
        env={"PATH": os.defpath, "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    return done.returncode, [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("{")]


def _shortened(line: str) -> str:
    told = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
    if told.get("event") != "decision":
        return line
    keys = ("timestamp", "verdict", "route", "user", "operation", "kind", "namespace", "name", "rules", "reason")
    return " ".join(str(told[key]) for key in keys if told[key])


def _port() -> int:
    """Return a free port that no outgoing connection is given while its server is away."""
    while True:
        port = random.randint(20_000, 32_000)  # noqa: S311 - no secret
        with socket.socket() as taken:
            if taken.connect_ex(("127.0.0.1", port)) != 0:
                return port
