"""
A burst of namespaces by one tenant: in each a pod is tried from the moment it exists, as kubectl does it.

In some of them the tenant writes a policy of their own, and one that would undo the default deny; some get no pod, so
that nobody but the leader brings their baseline. All of it goes straight to the API server.
"""

import asyncio
import json
import random
import re
import ssl
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import aiohttp
import orjson

from tests.controlplane.plane import Plane
from tests.e2e.manifests import OPEN, Json, policy

TENANT = "wanda"
CLIENT_SECONDS = 7.0
"""For one request: more than any hook of ours may take."""
KUBECTL_WAIT = 0.2
"""Before the next try where nobody says how long to wait."""
OWN_POLICY = "own"
OPENER = "opener"
EACH = 4
"""Every so many namespaces get policies of the tenant's, and so many more get no pod."""
CREATED, EXISTS = 201, 409

_NAMES = re.compile(r"[a-z-]+-\d+|[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request and its answer: times by the monotonic clock, `status` 0 for none."""

    begin: float
    end: float
    what: str
    namespace: str
    status: int
    message: str

    @property
    def allowed(self) -> bool:
        """Whether it went through all of the API server's admission (409 comes after it: an answer was lost)."""
        return self.status == CREATED

    @property
    def outcome(self) -> str:
        """What came of it, in a word."""
        if self.status == 0:
            return "no answer"
        if self.status == 403 and "admission webhook" not in self.message:
            # An API server that has just started refuses everybody until it has read who may do what.
            return "403 of RBAC"
        return f"{self.status}"


@dataclass
class Burst:
    """`size` namespaces called PREFIX-NUMBER, begun over `seconds`; what happens is drawn by `seed`."""

    plane: Plane
    prefix: str
    size: int
    seconds: float
    seed: str
    attempts: list[Attempt] = field(default_factory=list)
    standing: dict[str, float] = field(default_factory=dict)
    """The namespaces that were created, and when that was known."""
    pods: set[str] = field(default_factory=set)
    """The namespaces in which the pod was let in."""
    policies: set[str] = field(default_factory=set)
    """The namespaces in which the tenant's own policy stands."""
    opened: list[str] = field(default_factory=list)
    """The namespaces in which the policy that undoes the default deny was let in."""
    abandoned: bool = False
    """Whether nobody waits for its end any more."""

    def run(self, within: float) -> None:
        """Do all of it; TimeoutError after so many seconds."""

        async def bounded() -> None:
            try:
                await asyncio.wait_for(self._run(), within)
            finally:
                # For the connections that were cut off to be closed, which nothing else waits for.
                await asyncio.sleep(0.25)

        asyncio.run(bounded())

    @property
    def quiet(self) -> list[str]:
        """Name those that get no pod."""
        return [f"{self.prefix}-quiet-{number}" for number in range(self.size // EACH)]

    @property
    def busy(self) -> list[str]:
        """Name those that get one."""
        return [f"{self.prefix}-{number}" for number in range(self.size)]

    def during(self, begin: float, end: float) -> list[Attempt]:
        """Return the attempts that began and ended between these."""
        return [each for each in list(self.attempts) if begin <= each.begin and each.end <= end]

    async def _run(self) -> None:
        drawn = random.Random(self.seed)  # noqa: S311 - no secret
        token = json.loads(self.plane.kubeconfig(TENANT).read_text())["users"][0]["user"]["token"]
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(self.plane.ca)), limit=0)
        async with (
            aiohttp.ClientSession(
                self.plane.url,
                connector=connector,
                headers={"Authorization": f"Bearer {token}"},
                timeout=aiohttp.ClientTimeout(total=CLIENT_SECONDS),
            ) as client,
            asyncio.TaskGroup() as tasks,
        ):
            names = [*self.busy, *self.quiet]
            drawn.shuffle(names)
            for name in names:
                tasks.create_task(self._live(client, name, drawn.uniform(0, self.seconds)))

    async def _live(self, client: aiohttp.ClientSession, name: str, wait: float) -> None:
        await asyncio.sleep(wait)
        await self._until(client, "namespace", name, _namespace(name))
        self.standing[name] = time.monotonic()
        if name in self.quiet:
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pod(client, name))
            if int(name.rpartition("-")[2]) % EACH == 0:
                tasks.create_task(self._own(client, name))
                tasks.create_task(self._open(client, name))

    async def _pod(self, client: aiohttp.ClientSession, name: str) -> None:
        await self._until(client, "pod", name, _pod(name))
        self.pods.add(name)

    async def _own(self, client: aiohttp.ClientSession, name: str) -> None:
        await self._until(client, "policy", name, policy(name, OWN_POLICY))
        self.policies.add(name)

    async def _open(self, client: aiohttp.ClientSession, name: str) -> None:
        """Try to undo the default deny until a rule forbids it."""
        while not self.abandoned:
            attempt, wait = await self._try(client, OPENER, name, policy(name, OPENER, OPEN))
            if attempt.status in {CREATED, EXISTS}:
                self.opened.append(name)
            if attempt.status in {CREATED, EXISTS} or "[guardrail/" in attempt.message:
                return
            await asyncio.sleep(wait)

    async def _until(self, client: aiohttp.ClientSession, what: str, name: str, thing: Json) -> None:
        """Try until it is there."""
        while not self.abandoned:
            attempt, wait = await self._try(client, what, name, thing)
            if attempt.status in {CREATED, EXISTS}:
                return
            await asyncio.sleep(wait)

    async def _try(self, client: aiohttp.ClientSession, what: str, name: str, thing: Json) -> tuple[Attempt, float]:
        """Send it once; return what came of it and how long to wait before the next try."""
        path = {
            "namespace": "/api/v1/namespaces",
            "pod": f"/api/v1/namespaces/{name}/pods",
        }.get(what, f"/apis/networking.k8s.io/v1/namespaces/{name}/networkpolicies")
        begin, status, message, wait = time.monotonic(), 0, "", KUBECTL_WAIT
        try:
            headers = {"content-type": "application/json"}
            async with client.post(path, data=orjson.dumps(thing), headers=headers) as reply:
                told = await reply.read()
                status = reply.status
                wait = float(reply.headers.get("Retry-After", wait))
                message = "" if status == CREATED else str(_read(told).get("message", told))
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError as well
            message = repr(error)
        attempt = Attempt(begin, time.monotonic(), what, name, status, message)
        self.attempts.append(attempt)
        return attempt, wait


def outcomes(attempts: Iterable[Attempt]) -> dict[str, int]:
    """Count the attempts by what was tried and what came of it."""
    found: dict[str, int] = {}
    for each in attempts:
        key = f"{each.what} {each.outcome}"
        found[key] = found.get(key, 0) + 1
    return dict(sorted(found.items()))


def refusals(attempts: Iterable[Attempt]) -> Counter[str]:
    """Count what was said to those who were refused, whatever the names in it."""
    return Counter(
        f"{each.what} {each.status}: {_NAMES.sub('…', each.message)[:500]}" for each in attempts if not each.allowed
    )


def _read(text: bytes) -> Json:
    try:
        told = orjson.loads(text)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _pod(name: str) -> Json:
    containers = [{"name": "main", "image": "example.org/web"}]
    metadata = {"name": "web", "namespace": name}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}
