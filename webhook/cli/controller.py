"""`portcullis controller`: what `serve` does beside answering reviews, on its own."""

import asyncio
from typing import Annotated

import typer
import uvloop

from webhook.cli.logs import log_to_stderr
from webhook.cli.options import (
    EngineOption,
    History,
    HistoryKeep,
    HistorySize,
    Kubeconfig,
    NoRbac,
    OpaUrl,
    Policies,
    Reports,
)
from webhook.settings import EVERY_ADDRESS, KEEP, SIZE, ControllerSettings, HistorySettings, bundled_policies


def controller(  # noqa: PLR0913 - a flag each
    *,
    kubeconfig: Kubeconfig = None,
    no_rbac: NoRbac = False,
    host: Annotated[
        str, typer.Option(help="Address to say on how it goes, over plain HTTP.", envvar="PORTCULLIS_HOST")
    ] = EVERY_ADDRESS,
    port: Annotated[
        int,
        typer.Option(
            help="Port of /healthz, /readyz and /metrics; 0 for any.", envvar="PORTCULLIS_PORT", min=0, max=65535
        ),
    ] = 8080,
    reports: Reports = "openreports",
    policies: Policies = None,
    engine: EngineOption = "auto",
    opa_url: OpaUrl = None,
    history: History = None,
    history_keep: HistoryKeep = KEEP,
    history_size: HistorySize = SIZE,
) -> None:
    """
    Bring every namespace its baselines and its roles' bindings and keep them, without answering reviews.

    Of several that run, `serve` without --no-controller among them, one works at a time.

    Example: portcullis controller --kubeconfig ~/.kube/config --host 127.0.0.1
    """
    settings = ControllerSettings(
        kubeconfig=kubeconfig,
        rbac=not no_rbac,
        host=host,
        port=port,
        reports=reports,
        policies=policies or bundled_policies(),
        engine=engine,
        opa_url=opa_url,
        history=HistorySettings.of(history, history_keep, history_size),
    ).check()
    # Kubernetes' client takes a third of a second to import, which the other commands need not wait for.
    from webhook.cli.apart import run  # noqa: PLC0415

    with log_to_stderr(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings))
