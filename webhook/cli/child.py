"""An OPA of our own beside a command, with policies that have passed their checks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from webhook.decision.bundle import Bundle, check_policies
from webhook.decision.opa import LocalOpa
from webhook.decision.process import BOUNDS, Bounds, End, OpaProcess
from webhook.errors import PolicyError


@asynccontextmanager
async def own_opa(  # noqa: PLR0913 - what runs, who is told, and how much it may take
    binary: Path,
    bundle: Bundle,
    tell: Callable[[str], None],
    *,
    ended: Callable[[End], None] = lambda _: None,
    bounds: Bounds = BOUNDS,
) -> AsyncIterator[tuple[LocalOpa, OpaProcess]]:
    """
    Run an OPA for the length of the context; `tell` hears what it complains of, `ended` how it ended unasked.

    It may not answer yet: see `OpaProcess.ready`. It verifies the bundle by a key that is made here, in memory, and
    whose private half is gone by the time OPA starts. Raises `OpaError` or `PolicyError`.
    """
    with scratch() as folder:
        await asyncio.to_thread(check_policies, binary, bundle, folder)
    async with (
        OpaProcess(binary, bundle.signed(), log=tell, ended=ended, bounds=bounds) as process,
        LocalOpa(socket=process.socket) as opa,
    ):
        yield opa, process


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder to check policies in, and remove it; raises `PolicyError` where there is no place for one."""
    try:
        folder = TemporaryDirectory(prefix="portcullis-", ignore_cleanup_errors=True)
    except OSError as error:
        raise PolicyError(f"there is no place to check the policies in: {error}") from error
    with folder as name:
        yield Path(name)
