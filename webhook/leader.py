"""
One leader among the replicas, by a Lease: who holds it works, the others wait.

As in client-go, nobody's clock is compared with anybody else's: a lease is over when it has not changed for its
duration by our own clock. Source: https://kubernetes.io/docs/concepts/architecture/leases/

What comes of `TERMS`, in seconds:

- A leader that is killed just after it renewed is followed after at most 1.2 (until the others see that version, for
  they look every 0.8 to 1.2) + 7 (its duration) + 1.2 (until they look again) = 9.4, and the time of two calls.
- Two do not lead at once: a holder counts its 5 from before it sent what renewed the lease, the others their 7 from
  after that was stored. So it has stopped 2 before another may begin, however slow the calls were.
- An API server that takes longer than 2.5 for a try costs the lease, and nothing else: what is done follows from what
  stands. Its own seats (manifests/base/flowcontrol.yaml) keep our other calls from being the reason.
- A process that is stopped (SIGSTOP, a machine that sleeps) does not notice when its time is up. So whatever writes as
  the leader asks `holds` before each request, by a clock that goes on meanwhile (`Cluster.only_while`): once it is
  awake it sends nothing more. What it had handed to the kernel before may still arrive: one write for each call under
  way, at most. Such a write names the version that it replaces, or says what the new leader says as well.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from webhook.cluster.resource import LEASES, Resource
from webhook.errors import ClusterError
from webhook.model import HOME

Object = dict[str, Any]
Work = Callable[[], Coroutine[Any, Any, None]]

NAME = "portcullis-controller"
GOODBYE_SECONDS = 3.0
"""For giving the lease back; a stop does not wait for an API server that does not answer."""


class Leases(Protocol):
    """The calls on a cluster that it takes."""

    async def read(self, resource: Resource, name: str, namespace: str, /) -> Object:
        """Return the lease."""
        ...

    async def create(self, resource: Resource, thing: Object, /) -> Object:
        """Create the lease."""
        ...

    async def replace(self, resource: Resource, thing: Object, /) -> Object:
        """Replace the lease in the version that was read."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a lease lasts, in seconds."""

    duration: float = 7.0
    """Without a sign of its holder, after which another takes it."""
    renewal: float = 5.0
    """In which the holder has to renew it, or stops working: less than the duration, so that never two work."""
    attempt: float = 1.0
    """Between two tries, of the holder to renew and of the others to take it (of these up to a fifth more or less)."""

    @property
    def call(self) -> float:
        """For one try: who waits for a connection that is dead has time for another one."""
        return self.renewal / 2


TERMS = Terms()


@dataclass(slots=True)
class Leadership:
    """The part of one replica, called `identity`; `leads` says whether it holds the lease."""

    leases: Leases
    identity: str
    terms: Terms = TERMS
    leads: bool = False
    trouble: str = ""
    """Why the lease could not be read or written the last time, empty where it could."""
    _seen: Object | None = None
    _since: float = 0.0
    _renewed: float = 0.0
    """When we last asked for it with success, by `_now`."""

    def holds(self) -> bool:
        """Say whether we may write as the leader, at this very moment."""
        return self.leads and self._left() > 0

    async def run(self, work: Work) -> None:
        """Do `work` whenever, and only while, the lease is ours; for ever. It is given back when we are cancelled."""
        log = structlog.get_logger()
        while True:
            while not await self._tried(self.terms.call):  # noqa: ASYNC110 - a lease runs out by time alone
                # A part of it random: replicas that wait for the same lease do not all try at one moment.
                await asyncio.sleep(self.terms.attempt * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
            self.leads = True
            log.info("leading", identity=self.identity)
            try:
                await self._work(work)
            finally:
                self.leads = False
                await self._given_back()
            log.warning("no longer leading", identity=self.identity)

    async def _work(self, work: Work) -> None:
        """Work until the lease could not be renewed in time."""
        task = asyncio.create_task(work())
        keeping = asyncio.create_task(self._keep())
        try:
            await asyncio.wait({task, keeping}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
        finally:
            for each in (task, keeping):
                each.cancel()
            await asyncio.gather(task, keeping, return_exceptions=True)

    async def _keep(self) -> None:
        """Renew the lease until it could not be renewed in time."""
        while self._left() > 0:
            await asyncio.sleep(self.terms.attempt)
            if (left := self._left()) > 0:
                await self._tried(min(self.terms.call, left))

    def _left(self) -> float:
        """Return the seconds in which the lease has to be renewed."""
        return self.terms.renewal - (_now() - self._renewed)

    async def _tried(self, seconds: float) -> bool:
        """Try for so long to take the lease or renew it; say whether it is ours now."""
        try:
            async with asyncio.timeout(seconds):
                return await self._taken()
        except TimeoutError:
            self._hindered(f"the API server does not answer about the lease within {seconds:.1f} s")
            return False

    async def _taken(self) -> bool:
        """Take the lease or renew it; say whether it is ours now."""
        begin = _now()
        try:
            lease = await self._read()
            if lease is None:
                self._seen = await self.leases.create(LEASES, self._lease(None))
            elif not self._free(lease):
                self.trouble = ""
                return False
            else:
                self._seen = await self.leases.replace(LEASES, self._lease(lease))
        except ClusterError as error:
            # A conflict is another who was faster.
            if error.status == 409:
                return False
            self._hindered(str(error))
            return False
        self.trouble = ""
        # From before the call: for the others it counts from when it is stored.
        self._renewed = begin
        # An answer that took all of the time that it is good for is none.
        return self._left() > 0

    def _hindered(self, why: str) -> None:
        if why != self.trouble:
            structlog.get_logger().warning("lease", error=why)
        self.trouble = why

    async def _read(self) -> Object | None:
        try:
            return await self.leases.read(LEASES, NAME, HOME)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def _free(self, lease: Object) -> bool:
        """Say whether the lease is nobody's, ours, or has not been renewed for its whole duration."""
        now = _now()
        if self._seen is None or self._seen["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"]:
            self._seen, self._since = lease, now
        holder = lease.get("spec", {}).get("holderIdentity") or ""
        return holder in {"", self.identity} or now - self._since > self.terms.duration

    def _lease(self, before: Object | None, holder: str | None = None) -> Object:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = (before or {}).get("spec", {})
        changes = holder is not None or spec.get("holderIdentity") != self.identity
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": (before or {}).get("metadata") or {"name": NAME, "namespace": HOME},
            "spec": {
                "holderIdentity": self.identity if holder is None else holder,
                "leaseDurationSeconds": max(1, round(self.terms.duration)),
                "acquireTime": now if changes else spec.get("acquireTime", now),
                "renewTime": now,
                # An int32; whoever put the largest there must not stop us.
                "leaseTransitions": (spec.get("leaseTransitions", 0) + bool(changes and before)) % 2**31,
            },
        }

    async def _given_back(self) -> None:
        """Let another have it at once; one that we cannot give back runs out."""
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                lease = await self._read()
                if lease and lease.get("spec", {}).get("holderIdentity") == self.identity:
                    await self.leases.replace(LEASES, self._lease(lease, ""))
        except (ClusterError, TimeoutError) as error:
            structlog.get_logger().info("lease not given back", error=repr(error))


def _now() -> float:
    """Return the seconds of a clock that nobody sets, and that goes on while the process or its machine is stopped."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
