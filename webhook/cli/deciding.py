"""What a command decides with: the policies in this process where they can be, an OPA beside it where they cannot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from webhook.cli.child import scratch
from webhook.decision.bundle import Bundle, check_policies
from webhook.decision.opa import LocalOpa, Opa
from webhook.decision.process import Bounds, OpaProcess
from webhook.decision.wasm import Bounds as WasmBounds
from webhook.decision.wasm import WasmOpa, compiled
from webhook.errors import PolicyError

READY_SECONDS = 30.0
MANY = WasmBounds(seconds=60, large_seconds=60, kept=256 * 2**20)
"""For batches, which are larger than a request; nobody waits for one but who waits for all of them."""


@asynccontextmanager
async def deciding(binary: Path, bundle: Bundle, bounds: Bounds) -> AsyncIterator[Opa]:
    """
    Yield what decides by the policies of `bundle`, once they have passed their checks; `bounds` are those of an OPA.

    Raises `OpaError` or `PolicyError`.
    """
    with scratch() as folder:
        await asyncio.to_thread(check_policies, binary, bundle, folder)
    async with unchecked(binary, bundle, bounds) as opa:
        yield opa


@asynccontextmanager
async def unchecked(binary: Path, bundle: Bundle, bounds: Bounds) -> AsyncIterator[Opa]:
    """Yield the same for policies that passed their checks once, by a document of then."""
    if own := await asyncio.to_thread(_in_process, binary, bundle):
        yield own
        return
    complaints: list[str] = []
    async with (
        OpaProcess(binary, bundle.signed(), log=complaints.append, bounds=bounds) as process,
        LocalOpa(socket=process.socket) as opa,
    ):
        await process.ready(READY_SECONDS)
        yield opa


def _in_process(binary: Path, bundle: Bundle) -> WasmOpa | None:
    """Return the policies in this process, None where they need what only OPA has: both decide the same."""
    try:
        return WasmOpa.load(compiled(binary, bundle, cache=None), bundle.policies.revision, bounds=MANY)
    except PolicyError:
        return None
