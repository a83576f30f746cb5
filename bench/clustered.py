"""
What Portcullis costs on a real API server: two control planes of the same kind, one with us and one without, in turns.

The one without gets the very same writes from the benchmark itself: the namespace as it ends up, its policies side by
side, and the change of its annotation.
"""

import asyncio
import json
import os
import socket
import ssl
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import orjson
import psutil

from bench.figures import Figure
from bench.served import MEGABYTE
from tests.controlplane.binaries import find_control_plane
from tests.controlplane.plane import Plane, start_plane

MANIFESTS = Path(__file__).parents[1] / "manifests"
TENANT = "wanda"
"""WorkspaceAdmin of one workspace of the example tree."""
BESIDE = {"PORTCULLIS_HOST": "127.0.0.1", "PORTCULLIS_PORT": "0"}
"""Where a controller says how it goes: two of them share this machine. `serve` is told by its flags."""
POLICIES = ("zero-trust.default-deny", "zero-trust.allow-dns")


class RefusedError(RuntimeError):
    """An answer of an API server that is none: its HTTP status, and what it says."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Api:
    """An API server as one user calls it; `arrived` are the times at which a watch told of a policy."""

    client: aiohttp.ClientSession
    arrived: dict[tuple[str, str], float] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    @asynccontextmanager
    async def of(cls, plane: Plane, user: str) -> AsyncIterator["Api"]:
        """Call `plane` as `user`."""
        config = json.loads(plane.kubeconfig(user).read_text())
        headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(plane.ca)))
        async with aiohttp.ClientSession(plane.url, connector=connector, headers=headers) as client:
            yield cls(client)

    async def send(self, method: str, path: str, body: dict[str, Any], content_type: str = "application/json") -> None:
        """Send one write; an answer that is none is an error."""
        headers = {"content-type": content_type}
        async with self.client.request(method, path, data=orjson.dumps(body), headers=headers) as reply:
            answer = await reply.read()
            if reply.status >= 300:
                raise RefusedError(reply.status, f"{method} {path}: {answer.decode()}")

    async def create(self, name: str, labels: dict[str, str] | None = None) -> None:
        """Create a namespace."""
        metadata = {"name": name, "labels": labels or {}}
        await self.send("POST", "/api/v1/namespaces", {"metadata": metadata})

    async def listen(self) -> None:
        """Note when each policy is told of by a watch, for ever."""
        async with self.client.get(
            "/apis/networking.k8s.io/v1/networkpolicies", params={"watch": "1"}, timeout=aiohttp.ClientTimeout(None)
        ) as reply:
            async for line in reply.content:
                metadata = orjson.loads(line)["object"]["metadata"]
                self.arrived.setdefault((metadata["namespace"], metadata["name"]), time.perf_counter())
                self.news.set()

    async def covered(self, namespace: str) -> float:
        """Return the time at which a namespace had all its policies."""
        async with asyncio.timeout(30):
            while not all((namespace, name) in self.arrived for name in POLICIES):
                self.news.clear()
                await self.news.wait()
        return max(self.arrived[namespace, name] for name in POLICIES)


async def measure_cluster(*, namespaces: int) -> list[Figure]:
    """Return the figures of `namespaces` namespaces made one at a time on each of the two."""
    with ExitStack() as stack:
        bare, guarded = (stack.enter_context(one_plane()) for _ in range(2))
        port = install(guarded)
        serve = stack.enter_context(portcullis(guarded, port, "serve"))
        await gated(guarded, port)
        figures = await _turns(bare, guarded, namespaces)
        figures.append(_memory("webhook with the controller beside it", serve, None, "`portcullis serve` after these"))
        _end(serve)
        stack.enter_context(portcullis(guarded, port, "serve", "--no-controller"))
        controller = stack.enter_context(portcullis(guarded, port, "controller"))
        await gated(guarded, port)
        return [*figures, await _apart(guarded, controller, namespaces)]


async def _turns(bare: Plane, guarded: Plane, namespaces: int) -> list[Figure]:
    """Make namespaces on both in turns, and compare."""
    alone: list[float] = []
    alone_whole: list[float] = []
    ours: list[float] = []
    ours_whole: list[float] = []
    async with Api.of(bare, "root") as without, Api.of(guarded, TENANT) as tenant, Api.of(guarded, "root") as root:
        listening = asyncio.create_task(root.listen())
        for number in range(namespaces + 10):
            name = f"bench-{number}"
            begin = time.perf_counter()
            await without.create(name, LABELS)
            created = time.perf_counter()
            await same_writes(without, name)
            alone_whole.append(time.perf_counter() - begin)
            alone.append(created - begin)
            begin = time.perf_counter()
            await tenant.create(name)
            ours.append(time.perf_counter() - begin)
            ours_whole.append(await root.covered(name) - begin)
        listening.cancel()
    # The first few of both are warm-up.
    return _compared(*(each[10:] for each in (alone, alone_whole, ours, ours_whole)))


def _compared(alone: list[float], alone_whole: list[float], ours: list[float], whole: list[float]) -> list[Figure]:
    count = f"{len(ours)} namespaces, one at a time, in turns with as many on a second API server without us"
    present = f"from sending the create to a watch having told of all policies; {count}"
    same = f"the same writes (namespace, its two policies side by side, its annotation) sent by the benchmark; {count}"
    ratio = statistics.median(ours) / statistics.median(alone)
    return [
        Figure("namespace to all its policies p50", _ms(statistics.median(whole)), "ms", None, present),
        Figure("namespace to all its policies p99", _ms(_p99(whole)), "ms", 200, present),
        Figure("the same writes without us p50", _ms(statistics.median(alone_whole)), "ms", None, same),
        Figure("the same writes without us p99", _ms(_p99(alone_whole)), "ms", None, same),
        Figure("create namespace, as a multiple of without us (p50)", round(ratio, 2), "x", 3, f"the call; {count}"),
        Figure("create namespace p50", _ms(statistics.median(ours)), "ms"),
        Figure("create namespace without us p50", _ms(statistics.median(alone)), "ms"),
    ]


async def _apart(guarded: Plane, controller: psutil.Popen, namespaces: int) -> Figure:
    """Return what the controller alone takes, once it has brought some more baselines."""
    async with Api.of(guarded, TENANT) as tenant, Api.of(guarded, "root") as root:
        listening = asyncio.create_task(root.listen())
        for number in range(50):
            await tenant.create(f"apart-{number}")
        for number in range(50):
            await root.covered(f"apart-{number}")
        listening.cancel()
    how = f"`portcullis controller` with {namespaces + 60} namespaces, after 50 of them in one go"
    return _memory("controller", controller, 100, how)


def _memory(name: str, process: psutil.Popen, bound: float | None, how: str) -> Figure:
    rss = round(process.memory_info().rss / MEGABYTE, 1)
    return Figure(f"{name} memory", rss, "MB", bound, f"{how}, resident set (RSS)")


LABELS = {
    "portcullis.dev/workspace": "checkout",
    "portcullis.dev/project": "payments",
    "portcullis.dev/organization": "acme",
    "portcullis.dev/gate": "enforced",
}


async def same_writes(api: Api, namespace: str) -> None:
    """Write what we do for a namespace: its two policies side by side, then its annotation."""
    path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []}
    query, apply = "fieldManager=bench&force=true", "application/apply-patch+yaml"
    await asyncio.gather(
        *(
            api.send("PATCH", f"{path}/{name}?{query}", {**kind, "metadata": {"name": name}, "spec": spec}, apply)
            for name in POLICIES
        )
    )
    told = {"metadata": {"annotations": {"portcullis.dev/baseline": "{}"}}}
    await api.send("PATCH", f"/api/v1/namespaces/{namespace}", told, "application/merge-patch+json")


def _p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


@contextmanager
def one_plane() -> Iterator[Plane]:
    """Run a control plane of its own."""
    programs = find_control_plane(os.environ, say=tell)
    with TemporaryDirectory(prefix="portcullis-bench-") as folder, start_plane(programs, Path(folder)) as plane:
        yield plane


def tell(line: str) -> None:
    """Say what is going on."""
    sys.stderr.write(f"bench: {line}\n")


def install(plane: Plane) -> int:
    """Install all but the Deployment, as a newcomer would; return a port for the webhook."""
    plane.kubectl("apply", "-k", str(MANIFESTS / "crds"))
    for name in ("namespace", "rbac", "roles", "flowcontrol"):
        plane.kubectl("apply", "-f", str(MANIFESTS / "base" / f"{name}.yaml"))
    for name in ("organization", "tenants"):
        plane.kubectl("apply", "-f", str(MANIFESTS / "examples" / "acme" / f"{name}.yaml"))
    role = "makes-namespaces"
    plane.kubectl("create", "clusterrole", role, "--verb=create", "--resource=namespaces")
    plane.kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", f"--user={TENANT}")
    return _free_port()


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextmanager
def portcullis(plane: Plane, port: int, *arguments: str) -> Iterator[psutil.Popen]:
    """Run a command of ours on `plane` under its own token, and end it."""
    command = [sys.executable, "-c", "from webhook.cli import main; main()", *arguments]
    command += ["--kubeconfig", str(plane.kubeconfig("portcullis"))]
    command += ["--host", "127.0.0.1", "--port", str(port if "serve" in arguments else 0)]
    if "serve" in arguments:
        command += ["--webhook-url", f"https://127.0.0.1:{port}"]
        command += ["--cert-dir", str(plane.folder / "portcullis-certs")]
    with (plane.folder / f"portcullis-{arguments[0]}.log").open("ab") as log:
        process = psutil.Popen(command, stdout=log, stderr=log, env=os.environ | BESIDE)
    try:
        yield process
    finally:
        _end(process)


def _end(process: psutil.Popen) -> None:
    if process.poll() is None:
        process.terminate()
        process.wait(20)


async def gated(plane: Plane, port: int) -> None:
    """Return once the webhook is ready and its objects stand."""
    ca = plane.folder / "portcullis-certs" / "ca.crt"
    async with asyncio.timeout(60):
        while not ca.exists() or not await _ready(port, ca):  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.1)


async def _ready(port: int, ca: Path) -> bool:
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(ca)))
    try:
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.get(f"https://127.0.0.1:{port}/readyz") as reply,
        ):
            state = await reply.json()
    except aiohttp.ClientError:
        return False
    return bool(state["ready"]) and not any("nothing is gated" in note for note in state["notes"])
