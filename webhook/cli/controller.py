"""`portcullis controller`: what `serve` does beside answering reviews, on its own."""

import asyncio
import signal
from pathlib import Path

import structlog
import uvloop

from webhook.cli.errors import unwrapped
from webhook.cli.logs import log_to_stderr
from webhook.cli.options import Kubeconfig, NoRbac, Policies, Reports
from webhook.errors import SettingsError
from webhook.settings import bundled_policies


def controller(
    *,
    kubeconfig: Kubeconfig = None,
    no_rbac: NoRbac = False,
    reports: Reports = "openreports",
    policies: Policies = None,
) -> None:
    """
    Bring every namespace its baselines and its roles' bindings and keep them, without answering reviews.

    Of several that run, `serve` without --no-controller among them, one works at a time.

    Example: portcullis controller --kubeconfig ~/.kube/config
    """
    if kubeconfig and not kubeconfig.is_file():
        raise SettingsError(f"--kubeconfig {kubeconfig} is no file: give one that kubectl can use")
    log_to_stderr()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(kubeconfig, rbac=not no_rbac, reports=reports, policies=policies or bundled_policies()))


async def _run(kubeconfig: Path | None, *, rbac: bool, reports: str, policies: Path) -> None:
    """Work until SIGTERM or Ctrl-C, and give the lease back."""
    # Kubernetes' client takes a third of a second to import, which the other commands need not wait for.
    from webhook.cli.leading import lead, leadership, reached  # noqa: PLC0415
    from webhook.cli.scanning import OpaApart, Scanning  # noqa: PLC0415
    from webhook.cluster.client import connected  # noqa: PLC0415
    from webhook.mirror import Mirror  # noqa: PLC0415
    from webhook.rights.keep import Rights  # noqa: PLC0415
    from webhook.tenancy.live import LiveTree  # noqa: PLC0415

    live = LiveTree()
    apart = OpaApart(policies)
    async with connected(kubeconfig) as cluster:
        rights = Rights(cluster, live) if rbac else None
        scanning = Scanning(cluster, live, apart.judge, reports)
        await reached(cluster)
        structlog.get_logger().info("ready")
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        waited = [
            asyncio.create_task(each)
            for each in (
                stopped.wait(),
                Mirror(cluster, live).run(),
                apart.run(),
                lead(cluster, live, leadership(cluster), rights, scanning=scanning),
            )
        ]
        try:
            done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Each is waited for: the lease is given back while there is a connection to do so.
            for task in waited:
                task.cancel()
            await asyncio.gather(*waited, return_exceptions=True)
        for task in done:
            await unwrapped(task)
