"""
One leader among the replicas, by a Lease: who holds it works, the others wait.

As in client-go, nobody's clock is compared with anybody else's: a lease is over when it has not changed for its
duration by our own clock. Source: https://kubernetes.io/docs/concepts/architecture/leases/
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
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

    duration: float = 15.0
    """Without a sign of its holder, after which another takes it."""
    renewal: float = 10.0
    """In which the holder has to renew it, or stops working: less than the duration, so that never two work."""
    attempt: float = 2.0
    """Between two tries, of the holder to renew and of the others to take it."""


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
    """When we last asked for it with success, by the loop's clock."""

    async def run(self, work: Work) -> None:
        """Do `work` whenever, and only while, the lease is ours; for ever. It is given back when we are cancelled."""
        log = structlog.get_logger()
        while True:
            while not await self._taken():  # noqa: ASYNC110 - a lease runs out by time alone
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
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._left())):
                    await self._taken()

    def _left(self) -> float:
        """Return the seconds in which the lease has to be renewed."""
        return self.terms.renewal - (asyncio.get_running_loop().time() - self._renewed)

    async def _taken(self) -> bool:
        """Take the lease or renew it; say whether it is ours now."""
        begin = asyncio.get_running_loop().time()
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
            if str(error) != self.trouble:
                self.trouble = str(error)
                structlog.get_logger().warning("lease", error=self.trouble)
            return False
        self.trouble = ""
        # From before the call: for the others it counts from when it is stored.
        self._renewed = begin
        # An answer that took all of the time that it is good for is none.
        return self._left() > 0

    async def _read(self) -> Object | None:
        try:
            return await self.leases.read(LEASES, NAME, HOME)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def _free(self, lease: Object) -> bool:
        """Say whether the lease is nobody's, ours, or has not been renewed for its whole duration."""
        now = asyncio.get_running_loop().time()
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
