"""`portcullis serve`: the webhook, with an OPA beside it; in a cluster the webhook objects and the controller, too."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from webhook.cli.logs import log_to_stderr
from webhook.cli.options import (
    BreakGlassGroup,
    EngineOption,
    History,
    HistoryKeep,
    HistorySize,
    Kubeconfig,
    NoRbac,
    OpaUrl,
    Policies,
    Reports,
    Tenancy,
)
from webhook.settings import (
    BREAK_GLASS_GROUPS,
    EVERY_ADDRESS,
    KEEP,
    MOST_WORKERS,
    SIZE,
    HistorySettings,
    ServeSettings,
    bundled_policies,
    default_cert_dir,
)


def serve(  # noqa: PLR0913 - a flag each
    *,
    tenancy: Tenancy = None,
    kubeconfig: Kubeconfig = None,
    webhook_url: Annotated[
        str,
        typer.Option(
            help="Base of the URL that the API server calls (https://HOST:PORT), for development and tests.",
            envvar="PORTCULLIS_WEBHOOK_URL",
            show_default="our Service",
        ),
    ] = "",
    no_controller: Annotated[
        bool,
        typer.Option(
            "--no-controller",
            help="Answer reviews alone; `portcullis controller` brings the baselines.",
            envvar="PORTCULLIS_NO_CONTROLLER",
        ),
    ] = False,
    no_pod_gate: Annotated[
        bool,
        typer.Option(
            "--no-pod-gate",
            help="Have no pod judged: one may start before its baseline stands, and on the network of its node.",
            envvar="PORTCULLIS_NO_POD_GATE",
        ),
    ] = False,
    no_rbac: NoRbac = False,
    reports: Reports = "openreports",
    policies: Policies = None,
    engine: EngineOption = "auto",
    opa_url: OpaUrl = None,
    cross_check: Annotated[
        float,
        typer.Option(
            help="Share of the decisions made in-process, 0 to 1, that OPA is asked for, too, and compared.",
            envvar="PORTCULLIS_CROSS_CHECK",
        ),
    ] = 0.0,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on.", envvar="PORTCULLIS_HOST", show_default="0.0.0.0; 127.0.0.1 with --no-tls"
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 for any.", envvar="PORTCULLIS_PORT", min=0, max=65535)
    ] = 8443,
    no_tls: Annotated[
        bool, typer.Option("--no-tls", help="Plain HTTP on 127.0.0.1.", envvar="PORTCULLIS_NO_TLS")
    ] = False,
    workers: Annotated[
        int,
        typer.Option(
            help="Processes that answer, where one core is not enough; one more watches.",
            envvar="PORTCULLIS_WORKERS",
            min=1,
            max=MOST_WORKERS,
        ),
    ] = 1,
    cert_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of tls.crt, tls.key and the CA, made where missing.",
            envvar="PORTCULLIS_CERT_DIR",
            show_default="in the state folder of the user",
        ),
    ] = None,
    break_glass_group: BreakGlassGroup = list(BREAK_GLASS_GROUPS),  # noqa: B006 - typer copies it
    drain: Annotated[
        float,
        typer.Option(
            help="Seconds to go on answering after SIGTERM, told as not ready.", envvar="PORTCULLIS_DRAIN", min=0
        ),
    ] = 0.0,
    client_ca: Annotated[
        Path | None,
        typer.Option(
            help="CA of the API server's client certificate; reviews are then taken from it alone.",
            envvar="PORTCULLIS_CLIENT_CA",
        ),
    ] = None,
    history: History = None,
    history_keep: HistoryKeep = KEEP,
    history_size: HistorySize = SIZE,
) -> None:
    """
    Answer admission reviews on /validate and /mutate, keep the webhook objects and bring every namespace its baselines.

    Example: portcullis serve --kubeconfig ~/.kube/config --webhook-url https://10.0.0.5:8443

    Example, by files: portcullis serve --tenancy manifests/examples/acme --cert-dir /tmp/portcullis-certs

    Example, recorded: portcullis serve --tenancy manifests/examples/acme --history sqlite:////tmp/portcullis.db
    """
    settings = ServeSettings(
        tenancy=tenancy,
        kubeconfig=kubeconfig,
        webhook_url=webhook_url,
        controller=not no_controller,
        pod_gate=not no_pod_gate,
        rbac=not no_rbac,
        reports=reports,
        policies=policies or bundled_policies(),
        cert_dir=cert_dir or default_cert_dir(),
        engine=engine,
        opa_url=opa_url,
        cross_check=cross_check,
        host=host or ("127.0.0.1" if no_tls else EVERY_ADDRESS),
        port=port,
        tls=not no_tls,
        workers=workers,
        client_ca=client_ca,
        drain=drain,
        break_glass_groups=tuple(break_glass_group),
        history=HistorySettings.of(history, history_keep, history_size),
    )
    # FastAPI and OPA's client are no burden of the other commands.
    from webhook.cli.running import run  # noqa: PLC0415

    with log_to_stderr() as lines, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings.check(), lines=lines))
