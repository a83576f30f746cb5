"""All commands of `portcullis`."""

from typing import Annotated

import typer

from webhook import __version__
from webhook.cli.bundle import bundle
from webhook.cli.controller import controller
from webhook.cli.demo import demo
from webhook.cli.explain import explain
from webhook.cli.history import history
from webhook.cli.rules import rules
from webhook.cli.scan import scan
from webhook.cli.serve import serve
from webhook.cli.uninstall import uninstall

app = typer.Typer(
    name="portcullis",
    help="An admission webhook and policy-as-code gate for Kubernetes network policy.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer passes it so
    if asked:
        typer.echo(f"portcullis {__version__}")
        raise typer.Exit


@app.callback()
def portcullis(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Make a cluster default-deny from day 0, and keep it so."""


app.command()(serve)
app.command()(controller)
app.command()(bundle)
app.command()(demo)
app.command()(explain)
app.add_typer(history)
app.command()(rules)
app.command()(scan)
app.command()(uninstall)
