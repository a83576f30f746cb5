"""Takes Portcullis out of a cluster: the hooks first, so that nothing is refused, whatever comes of the rest."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from webhook.cli.belongings import HOOKS, Belonging, Belongings, Cluster, listed, others_of
from webhook.cluster.resource import BASELINES, PODS
from webhook.errors import ClusterError
from webhook.model import HOME

Outcome = Literal["removed", "released", "gone", "failed"]
"""`released`: our finalizer was taken off; `gone`: somebody else was faster; `failed`: it stands."""

CALLS = 16
"""At once: there may be seven RoleBindings in each of ten thousand namespaces."""
_AGAIN = 5


@dataclass(frozen=True, slots=True)
class Waits:
    """How long is waited, in seconds."""

    pods: float = 90.0
    """For our pods, which have 45 s to end; one of a node that is lost never does, and has no rights after this."""
    still: float = 3.0
    """Without the hooks coming back: a process that runs puts them back within a second."""
    look: float = 0.5
    """Between two looks."""


WAITS = Waits()


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one object."""

    what: Belonging
    outcome: Outcome
    error: ClusterError | None = None
    """Why it failed."""


class Removal:
    """Does it; `tell` hears what is waited for."""

    def __init__(
        self, cluster: Cluster, found: Belongings, tell: Callable[[str], None], *, waits: Waits = WAITS
    ) -> None:
        self._waits = waits
        self._cluster = cluster
        self._found = found
        self._tell = tell
        self._calls = asyncio.Semaphore(CALLS)
        self.done: list[Done] = []
        self.warnings: list[str] = []

    async def run(self) -> None:
        """
        Remove everything in its order.

        Raises `ClusterError` where the hooks stand or come back; then nothing after them was touched, or they are made
        again by somebody. What else could not be removed is `failed` in `done`.
        """
        await self._each(self._found.hooks, self._remove)
        self._halt_unless_gone()
        await self._each(self._found.workloads, self._remove)
        await self._end_of_pods()
        for _, group in groupby(self._found.rest, key=lambda each: each.resource):
            await self._each(group, self._remove)
        await self._each(self._found.held, self._release)
        await self._still_away()

    def failed(self) -> list[Done]:
        """Return what stands against our will."""
        return [each for each in self.done if each.outcome == "failed"]

    def _halt_unless_gone(self) -> None:
        for each in self.failed():
            status = each.error.status if each.error else 0
            raise ClusterError(f"{each.what} stands, so nothing else was removed: {each.error}", status=status)

    async def _each(
        self, things: Iterable[Belonging], work: Callable[[Belonging], Coroutine[Any, Any, Outcome]]
    ) -> None:
        async def one(thing: Belonging) -> Done:
            async with self._calls:
                try:
                    return Done(thing, await work(thing))
                except ClusterError as error:
                    if error.status == 404:
                        return Done(thing, "gone")
                    return Done(thing, "failed", error)

        self.done += await asyncio.gather(*map(one, things))

    async def _remove(self, thing: Belonging) -> Outcome:
        await self._cluster.remove(thing.resource, thing.name, thing.namespace)
        return "removed"

    async def _release(self, thing: Belonging) -> Outcome:
        """Take our finalizer off, and leave those of others."""
        for left in reversed(range(_AGAIN)):
            metadata = (await self._cluster.read(BASELINES, thing.name))["metadata"]
            patch = {"resourceVersion": metadata["resourceVersion"], "finalizers": others_of(metadata)}
            try:
                await self._cluster.patch(BASELINES, thing.name, {"metadata": patch})
            except ClusterError as error:
                if error.status != 409 or not left:
                    raise
            else:
                break
        return "released"

    async def _end_of_pods(self) -> None:
        """Return when our pods have ended; until then they put the hooks back, and these are removed each time."""
        clock = asyncio.get_running_loop().time
        end = clock() + self._waits.pods
        told = False
        while names := [each["name"] for each in await self._pods()]:
            if not told:
                self._tell(f"waiting for pods to end: {', '.join(sorted(names))}")
                told = True
            if clock() > end:
                self.warnings.append(f"pods that do not end: {', '.join(sorted(names))}; they have no rights any more")
                return
            await self._sweep()
            await asyncio.sleep(self._waits.look)

    async def _pods(self) -> list[dict[str, Any]]:
        return await listed(self._cluster, PODS, HOME, labelSelector="app.kubernetes.io/name=portcullis")

    async def _sweep(self) -> bool:
        """Remove the hooks that have come back; say whether there was one."""
        found = False
        for each in HOOKS:
            try:
                await self._cluster.remove(each.resource, each.name)
                found = True
            except ClusterError as error:
                if error.status != 404:
                    raise
        return found

    async def _still_away(self) -> None:
        """Return once the hooks have stayed away; raises `ClusterError` where somebody makes them again and again."""
        clock = asyncio.get_running_loop().time
        begin = since = clock()
        while clock() - since < self._waits.still:
            if await self._sweep():
                since = clock()
            if clock() - begin > 5 * self._waits.still:
                who = f" (the lease was last held by {self._found.holder})" if self._found.holder else ""
                raise ClusterError(
                    f"somebody makes the webhook objects again: a portcullis serve that runs elsewhere{who}. Stop it, "
                    "and run this again"
                )
            await asyncio.sleep(self._waits.look)
