"""
A burst of namespaces as fast as the API server takes them, the leader killed in the middle of it.

Before it and after it the same namespaces, policies and changes of namespaces are written to an API server without us,
by as many clients: what the machine does meanwhile hits both.
"""

import asyncio
import os
import random
import ssl
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
import psutil

from bench.clustered import (
    LABELS,
    POLICIES,
    TENANT,
    Api,
    RefusedError,
    gated,
    install,
    one_plane,
    portcullis,
    same_writes,
    tell,
)
from bench.figures import Figure
from tests.cases.reviews import NETPOL, Asked, Caller, policy
from tests.controlplane.plane import Plane

CLIENTS = 16
"""How many write at the same time, on both."""
ALIKE = ("--no-rbac",)
"""The bindings of roles, up to six in a namespace, have no counterpart in what is written without us."""
REVIEWS_A_SECOND = 20
IDLE_SECONDS = 20.0
AGAIN_SECONDS = 0.2
LOST_SECONDS = 60.0
"""A namespace without its baseline for so long after the burst is lost."""
LEASE = "/apis/coordination.k8s.io/v1/namespaces/portcullis-system/leases/portcullis-controller"
WANDA = Caller(TENANT, ("checkout-team", "system:authenticated"))


@dataclass
class Seen:
    """What a burst was like: seconds in all and of each namespace to its baseline, and the reviews meanwhile."""

    whole: float = 0.0
    covered: list[float] = field(default_factory=list)
    lost: int = 0
    refused: int = 0
    idle: list[float] = field(default_factory=list)
    reviews: list[float] = field(default_factory=list)


async def measure_burst(*, namespaces: int) -> list[Figure]:
    """Return the figures of a burst of so many namespaces."""
    with ExitStack() as stack:
        bare, guarded = (stack.enter_context(one_plane()) for _ in range(2))
        port = install(guarded)
        stack.enter_context(portcullis(guarded, port, "serve", "--no-controller", *ALIKE))
        controllers = [stack.enter_context(portcullis(guarded, port, "controller", *ALIKE)) for _ in range(2)]
        await gated(guarded, port)
        tell(f"a burst of {namespaces} namespaces without us")
        before = await _written(bare, "before", namespaces)
        tell(f"a burst of {namespaces} namespaces with us, the leader killed in the middle; {before:.1f} s without us")
        seen = await _burst(guarded, port, controllers, namespaces)
        tell(f"a burst of {namespaces} namespaces without us, again; {seen.whole:.1f} s with us")
        after = await _written(bare, "after", namespaces)
    return _figures(seen, [before, after], namespaces)


async def _written(bare: Plane, prefix: str, count: int) -> float:
    """Write to an API server without us all that becomes of so many namespaces; return the seconds it takes."""
    async with Api.of(bare, "root") as api:

        async def one(number: int) -> None:
            await api.create(f"{prefix}-{number}", LABELS)
            await same_writes(api, f"{prefix}-{number}")

        begin = time.perf_counter()
        await side_by_side(count, one)
        return time.perf_counter() - begin


async def side_by_side(count: int, one: Callable[[int], Awaitable[None]]) -> None:
    """Do it for each number below `count`, by as many clients as there are."""
    numbers = iter(range(count))

    async def client() -> None:
        for number in numbers:
            await one(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CLIENTS):
            tasks.create_task(client())


async def _burst(guarded: Plane, port: int, controllers: Sequence[psutil.Popen], count: int) -> Seen:
    seen = Seen()
    begun: dict[str, float] = {}
    async with (
        Api.of(guarded, TENANT) as tenant,
        Api.of(guarded, "root") as root,
        _trickle(guarded, port, seen) as (idle, busy),
    ):
        listening = asyncio.create_task(root.listen())
        await tenant.create("first")
        await root.covered("first")
        idle.set()
        await asyncio.sleep(IDLE_SECONDS)
        idle.clear()

        async def one(number: int) -> None:
            if number == count // 2:
                await _kill_leader(root, controllers)
            begun[f"burst-{number}"] = time.perf_counter()
            await _create(tenant, f"burst-{number}", seen)

        busy.set()
        begin = time.perf_counter()
        await side_by_side(count, one)
        tell(f"all {count} created after {time.perf_counter() - begin:.1f} s")
        seen.lost = await _settled(root, begun)
        seen.whole = time.perf_counter() - begin
        busy.clear()
        for name, at in begun.items():
            arrived = [root.arrived[name, each] for each in POLICIES if (name, each) in root.arrived]
            if len(arrived) == len(POLICIES):
                seen.covered.append(max(arrived) - at)
        listening.cancel()
    return seen


async def _create(tenant: Api, name: str, seen: Seen) -> None:
    """Create a namespace, again where it is refused for want of an answer."""
    while True:
        try:
            await tenant.create(name)
        except RefusedError as error:
            if error.status == 409:
                return
            if error.status < 500 and error.status != 429:
                raise
            seen.refused += 1
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return


async def _settled(root: Api, begun: dict[str, float]) -> int:
    """Return how many have no baseline, once all have, and are told so, or nothing comes any more."""
    deadline = time.monotonic() + LOST_SECONDS
    before = lacking = -1
    while lacking and time.monotonic() < deadline:
        bare = sum(any((name, each) not in root.arrived for each in POLICIES) for name in begun)
        # A list is heavy, and asked for when it may be the last one.
        lacking = bare or await _untold(root)
        if lacking != before:
            before, deadline = lacking, time.monotonic() + LOST_SECONDS
        await asyncio.sleep(0.05 if bare else 0.2)
    return max(0, lacking)


async def _untold(root: Api) -> int:
    """Return how many namespaces of the burst do not say that their baseline is in place."""
    async with root.client.get("/api/v1/namespaces") as reply:
        found = orjson.loads(await reply.read())["items"]
    told = (each["metadata"] for each in found if each["metadata"]["name"].startswith("burst-"))
    return sum('"Ready"' not in (each.get("annotations") or {}).get("portcullis.dev/baseline", "") for each in told)


async def _kill_leader(root: Api, controllers: Sequence[psutil.Popen]) -> None:
    async with root.client.get(LEASE) as reply:
        holder = orjson.loads(await reply.read())["spec"]["holderIdentity"].split("_")
    (leader,) = [each for each in controllers if str(each.pid) in holder]
    leader.kill()
    covered = sum(all((name, each) in root.arrived for each in POLICIES) for name, _ in list(root.arrived))
    tell(f"leader {leader.pid} killed; {covered // len(POLICIES)} namespaces had their baseline")


@asynccontextmanager
async def _trickle(guarded: Plane, port: int, seen: Seen) -> AsyncIterator[tuple[asyncio.Event, asyncio.Event]]:
    """Send reviews straight to the webhook at fixed times; the events say which of the two the latencies are of."""
    idle, busy = asyncio.Event(), asyncio.Event()
    trust = ssl.create_default_context(cafile=str(guarded.folder / "portcullis-certs" / "ca.crt"))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, limit=0)) as client:

        async def one(due: float, kept: list[float] | None) -> None:
            body = orjson.dumps(Asked(WANDA, "CREATE", NETPOL, new=policy("first")).review())
            headers = {"content-type": "application/json"}
            url = f"https://127.0.0.1:{port}/validate?timeout=10s"
            async with client.post(url, data=body, headers=headers) as reply:
                response: dict[str, Any] = orjson.loads(await reply.read())["response"]
            if kept is not None:
                if not response["allowed"]:
                    raise RuntimeError(response["status"]["message"])
                kept.append(time.perf_counter() - due)

        async def send() -> None:
            async with asyncio.TaskGroup() as tasks:
                due = time.perf_counter()
                while True:
                    due += random.uniform(0.5, 1.5) / REVIEWS_A_SECOND  # noqa: S311 - no secret
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                    kept = seen.idle if idle.is_set() else seen.reviews if busy.is_set() else None
                    tasks.create_task(one(due, kept))

        sending = asyncio.create_task(send())
        try:
            yield idle, busy
        finally:
            sending.cancel()
            ended = await asyncio.gather(sending, return_exceptions=True)
        for each in ended:
            if isinstance(each, BaseExceptionGroup):
                raise each


def _figures(seen: Seen, without: Sequence[float], count: int) -> list[Figure]:
    mean = statistics.mean(without)
    burst = (
        f"{count} namespaces created by {CLIENTS} clients, two `portcullis controller --no-rbac` beside `portcullis "
        "serve --no-controller --no-rbac`, the leader killed (-9) when half of them were sent; "
        f"{seen.refused} requests got no answer of ours in time, and were sent again"
    )
    same = (
        f"{count} creations, {count * 2} policy writes and {count} namespace updates sent by {CLIENTS} clients to an "
        f"API server without us, once before and once after: {', '.join(f'{each:.1f} s' for each in without)}"
    )
    idle, busy = _p99(seen.idle), _p99(seen.reviews)
    reviews = (
        f"{REVIEWS_A_SECOND} reviews/s straight to the webhook: {len(seen.reviews)} during the burst, {len(seen.idle)} "
        "before it, counted from when each was due"
    )
    whole = f"from the first create to the last namespace that says Ready; {burst}; against {same}"
    return [
        Figure("burst: namespaces lost", seen.lost, "", 0, burst),
        Figure("burst: namespace to its baseline p50", _s(statistics.median(seen.covered)), "s", None, burst),
        Figure("burst: namespace to its baseline p99", _s(_p99(seen.covered)), "s", None, burst),
        Figure("burst: the whole, as a multiple of the same writes without us", _s(seen.whole / mean), "x", 2, whole),
        Figure("burst: the whole", _s(seen.whole), "s", None, burst),
        Figure("burst: the same writes without us", _s(mean), "s", None, same),
        Figure("webhook p99 during the burst, as a multiple of idle", _s(busy / idle), "x", 3, reviews),
        Figure("webhook p99 during the burst", _s(busy * 1000), "ms"),
        Figure("webhook p99 before the burst", _s(idle * 1000), "ms"),
    ]


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def _s(value: float) -> float:
    return round(value, 2)


if __name__ == "__main__":
    for figure in asyncio.run(measure_burst(namespaces=int(os.environ.get("BENCH_BURST", "2000")))):
        sys.stdout.write(f"{figure.name}: {figure.value} {figure.unit} (at most {figure.bound})\n  {figure.how}\n")
