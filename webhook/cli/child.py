"""An OPA of our own beside a command, with policies that have passed their checks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from webhook.decision.bundle import Bundle, check_policies
from webhook.decision.opa import LocalOpa
from webhook.decision.process import OpaProcess


@asynccontextmanager
async def own_opa(
    binary: Path, bundle: Bundle, tell: Callable[[str], None]
) -> AsyncIterator[tuple[LocalOpa, OpaProcess]]:
    """
    Run an OPA for the length of the context; `tell` hears what it complains of.

    It may not answer yet: see `OpaProcess.ready`. Raises `OpaError` or `PolicyError`.
    """
    with TemporaryDirectory(prefix="portcullis-") as scratch:
        await asyncio.to_thread(check_policies, binary, bundle, Path(scratch))
        bundle.write(Path(scratch, "bundle.tar.gz"))
        async with (
            OpaProcess(binary, Path(scratch, "bundle.tar.gz"), log=tell) as process,
            LocalOpa(socket=process.socket) as opa,
        ):
            yield opa, process
