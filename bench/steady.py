"""
What `portcullis controller` takes in a large cluster in which nothing happens.

The namespaces and policies are written by the benchmark, as the controller itself had left one of each: bringing ten
thousand baselines is not what is measured here.
"""

import asyncio
import os
import sys
import time
from contextlib import ExitStack
from typing import Any

import orjson
import psutil

from bench.burst import side_by_side
from bench.clustered import POLICIES, Api, gated, install, one_plane, portcullis, tell
from bench.figures import Figure
from bench.served import MEGABYTE
from tests.controlplane.plane import Plane
from webhook.course import RESYNC_SECONDS

Json = dict[str, Any]

MODEL = "model"
SETTLED_SECONDS = 5.0
IDLE_SECONDS = 20.0
PROJECT = "/apis/portcullis.dev/v1alpha1/projects/search"
"""Of none of the namespaces; who is its admin makes the tree another one, and every namespace is looked at anew."""
KEPT = ("labels", "annotations")


async def measure_steady(*, namespaces: int) -> list[Figure]:
    """Return what the controller takes with so many namespaces."""
    with ExitStack() as stack:
        plane = stack.enter_context(one_plane())
        port = install(plane)
        await _made(plane, port, namespaces)
        controller = stack.enter_context(portcullis(plane, port, "controller", "--no-rbac"))
        async with Api.of(plane, "root") as root:
            tell(f"the controller with {namespaces} namespaces")
            await _calm(controller, 300)
            idle = await _cpu(controller, IDLE_SECONDS) / IDLE_SECONDS
            whole = await _compared(root, controller)
        own, *others = (each.memory_info().rss / MEGABYTE for each in _family(controller))
    share = idle + whole / RESYNC_SECONDS[0]
    what = (
        f"`portcullis controller --no-rbac` with {namespaces:,} namespaces and {namespaces * 2:,} policies, "
        "all as they have to be"
    )
    how = (
        f"{what}: {whole:.2f} s of CPU to compare all of them anew, forced by a change of the tree, spread over the "
        f"shortest time between two resyncs ({RESYNC_SECONDS[0]} s), and {idle * 100:.2f} % while nothing happens"
    )
    return [
        Figure("steady: resync, share of a core", round(share * 100, 2), "%", 5, how),
        Figure("steady: controller memory", round(own, 1), "MB", 200, f"{what}, resident set (RSS) after a comparison"),
        Figure("steady: what the controller starts, memory", round(sum(others), 1), "MB", None, "the OPA of its scan"),
    ]


async def _made(plane: Plane, port: int, count: int) -> None:
    """Write the namespaces, with what one of them has got from us, while nobody is asked any more."""
    with ExitStack() as stack:
        stack.enter_context(portcullis(plane, port, "serve", "--no-rbac"))
        await gated(plane, port)
        async with Api.of(plane, "wanda") as tenant:
            await tenant.create(MODEL)
        async with Api.of(plane, "root") as root:
            model = await _told(root)
    for kind in ("mutating", "validating"):
        plane.kubectl("delete", f"{kind}webhookconfiguration", "portcullis")
    async with Api.of(plane, "root") as root:
        policies = [await _read(root, f"{_policies(MODEL)}/{name}") for name in POLICIES]

        async def one(number: int) -> None:
            name = f"steady-{number}"
            await root.send("POST", "/api/v1/namespaces", _copy(model, name))
            for each in policies:
                copy = _copy(each, each["metadata"]["name"]) | {"spec": each["spec"]}
                await root.send("POST", f"{_policies(name)}?fieldManager=portcullis", copy)
            if number % 2000 == 0:
                tell(f"{number} of {count} namespaces written")

        await side_by_side(count, one)


def _policies(namespace: str) -> str:
    return f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"


def _copy(thing: Json, name: str) -> Json:
    """Return an object as it was written by whoever made it, under another name."""
    kept = {key: thing["metadata"][key] for key in KEPT if key in thing["metadata"]}
    if "labels" in kept:
        kept["labels"] = {key: each for key, each in kept["labels"].items() if key != "kubernetes.io/metadata.name"}
    return {"metadata": {**kept, "name": name}}


async def _told(root: Api) -> Json:
    """Return the model once it says that its baseline is in place."""
    async with asyncio.timeout(30):
        while True:
            found = await _read(root, f"/api/v1/namespaces/{MODEL}")
            if '"Ready"' in found["metadata"].get("annotations", {}).get("portcullis.dev/baseline", ""):
                return found
            await asyncio.sleep(0.1)


async def _read(root: Api, path: str) -> Json:
    async with root.client.get(path) as reply:
        reply.raise_for_status()
        found: Json = orjson.loads(await reply.read())
        return found


async def _compared(root: Api, controller: psutil.Popen) -> float:
    """Return the seconds of CPU that it takes to compare every namespace anew."""
    begin = _used(controller)
    roles = [{"role": "ProjectAdmin", "subjects": [{"kind": "Group", "name": "bench"}]}]
    await root.send("PATCH", PROJECT, {"spec": {"roles": roles}}, "application/merge-patch+json")
    await _calm(controller, 120)
    return _used(controller) - begin


async def _calm(controller: psutil.Popen, seconds: float) -> None:
    """Return once it has had next to nothing to do for a while."""
    deadline = time.monotonic() + seconds
    while await _cpu(controller, SETTLED_SECONDS) > SETTLED_SECONDS / 50:
        if time.monotonic() > deadline:
            raise RuntimeError("the controller does not come to rest")


async def _cpu(controller: psutil.Popen, seconds: float) -> float:
    begin = _used(controller)
    await asyncio.sleep(seconds)
    return _used(controller) - begin


def _used(controller: psutil.Popen) -> float:
    """Return the seconds of CPU that it and its OPA have taken so far."""
    return sum(each.cpu_times().user + each.cpu_times().system for each in _family(controller))


def _family(controller: psutil.Popen) -> list[psutil.Process]:
    """Return it and what it has started."""
    return [psutil.Process(controller.pid), *controller.children(recursive=True)]


if __name__ == "__main__":
    for figure in asyncio.run(measure_steady(namespaces=int(os.environ.get("BENCH_STEADY", "10000")))):
        sys.stdout.write(f"{figure.name}: {figure.value} {figure.unit} (at most {figure.bound})\n  {figure.how}\n")
