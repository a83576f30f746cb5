"""The policies that a worker decides by: those of now, and the next ones, held ready until all workers are."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any

from webhook.decision.opa import Engine, LocalOpa, Opa, probe
from webhook.errors import NoDecisionError
from webhook.workers.share import Share

PREPARE_SECONDS = 20.0
"""For policies to give a decision here, once they have done so where we are told of them."""
PROBE_SECONDS, AGAIN_SECONDS = 2.0, 0.2
DRAIN_SECONDS = 30.0
"""For the answers that an OPA owes us when another takes its place: no API server waits longer."""


class Held:
    """Policies that can decide, and what has to be closed when they do no more."""

    def __init__(self, share: Share) -> None:
        self.policies = share.policies
        self._share = share
        self._stack = AsyncExitStack()

    async def load(self) -> Opa:
        """Return what decides by them; raises `PolicyError`."""
        if self._share.opa is None:
            # Only who evaluates by itself pays for what evaluates.
            from webhook.decision.wasm import WasmOpa  # noqa: PLC0415

            # Beside the loop: compiling takes a fifth of a second, and requests are answered meanwhile.
            self.opa: Opa = await asyncio.to_thread(WasmOpa.load, self._share.module, self.policies.revision)
        else:
            self.opa = await self._stack.enter_async_context(LocalOpa(**self._share.opa))
        return self.opa

    async def end(self) -> None:
        """Close it, once it owes no answer that anybody waits for; what evaluates here is gone with its last one."""
        if isinstance(self.opa, LocalOpa):
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self.opa.idle()
        await self._stack.aclose()


class Policing:
    """
    What a worker decides by; `tell` is told of the revisions that it holds, and of those that it has let go.

    Which of them decides is said by `demand`, in one row with the changes of the tree.
    """

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self.engine: Engine
        self.begun = asyncio.Event()
        """Set once there is something to decide by."""
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Raises what keeps policies from deciding here."""
        self._tell = tell
        self._held: dict[str, Held] = {}
        self._demanded = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def lacking(self) -> bool:
        """Say whether the policies that are to decide are not here yet."""
        return not self.begun.is_set() or self.engine.policies.revision != self._demanded

    def hold(self, share: Share, *, proven: bool) -> None:
        """Make policies ready; those that are not `proven` have to give a decision first."""
        self._begin(self._hold(share, proven=proven))

    def demand(self, revision: str) -> None:
        """Decide by the policies of a revision from here on."""
        self._demanded = revision
        self._swap()

    async def end(self) -> None:
        """Let all go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for held in self._held.values():
            await held.end()

    async def _hold(self, share: Share, *, proven: bool) -> None:
        held = Held(share)
        opa = await held.load()
        deadline = time.monotonic() + PREPARE_SECONDS
        while not proven:
            try:
                await probe(opa, share.policies, seconds=PROBE_SECONDS)
            except NoDecisionError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                break
        self._held[share.policies.revision] = held
        self._tell("took", share.policies.revision)
        self._swap()

    def _swap(self) -> None:
        """Have those decide that are to, where they are here; the former end when they owe nothing any more."""
        held = self._held.get(self._demanded)
        if held is None:
            return
        if not self.begun.is_set():
            self.engine = Engine(held.opa, held.policies)
            self.begun.set()
        former = self.engine.policies.revision
        self.engine.opa, self.engine.policies = held.opa, held.policies
        if former != self._demanded and former in self._held:
            self._begin(self._end(former))

    async def _end(self, revision: str) -> None:
        await self._held.pop(revision).end()
        self._tell("left", revision)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self.failed.done():
            self.failed.set_exception(error)
