"""
`serve --workers` whose workers hear of each change late; `careless` ones decide without looking whether they have.

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
from webhook.workers.channel import Head
from webhook.workers.following import Following

LATE_SECONDS = 0.2


class Late(Following):
    """Hears of each change a moment later."""

    def hear(self, head: Head, body: bytes) -> None:
        """Take a frame, later where it is no state of all."""
        if head["do"] == "state":
            super().hear(head, body)
        else:
            asyncio.get_running_loop().call_later(LATE_SECONDS, super().hear, head, body)


class Careless(Late):
    """And says that all is known, always."""

    def behind(self) -> bool:
        """Say that it is not."""
        return False


def main() -> None:
    """Be the process that watches, or one of its workers."""
    how, *arguments = sys.argv[1:]
    if arguments[0].isdecimal():
        sys.argv[1:] = arguments
        worker.main(Careless if how == "careless" else Late)
        return
    flags = dict(each.removeprefix("--").split("=", 1) for each in arguments if "=" in each)
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
        runner.run(run(settings, program=("-P", __file__, how)))


if __name__ == "__main__":
    main()
