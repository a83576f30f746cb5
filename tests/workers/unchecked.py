"""
`serve --workers` whose workers decide at once, whether or not they know of every change: what must not be.

Tests see by it that they would notice. It takes the flags that they give, and is the program of its own workers.
"""

import asyncio
import sys
from pathlib import Path

import uvloop

from webhook.cli import worker
from webhook.cli.logs import log_to_stderr
from webhook.cli.running import run
from webhook.settings import ServeSettings, bundled_policies
from webhook.workers.following import Following


class Careless:
    """Says that all is known, always."""

    def __init__(self, _: Following) -> None:
        pass

    def behind(self) -> bool:
        """Say that it is not."""
        return False

    async def caught_up(self, *, seconds: float) -> None:
        """Return at once."""


def main() -> None:
    """Be the process that watches, or one of its workers."""
    if sys.argv[1].isdecimal():
        worker.main(Careless)
        return
    flags = dict(each.removeprefix("--").split("=", 1) for each in sys.argv[2:] if "=" in each)
    settings = ServeSettings(
        policies=bundled_policies(),
        cert_dir=Path(flags["cert-dir"]),
        kubeconfig=Path(flags["kubeconfig"]),
        webhook_url=flags["webhook-url"],
        host=flags["host"],
        port=int(flags["port"]),
        workers=int(flags["workers"]),
        controller=False,
    )
    log_to_stderr()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings, program=("-P", __file__)))


if __name__ == "__main__":
    main()
