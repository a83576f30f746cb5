"""The command line: one file a command, exit code 0 = fine, 1 = violations found, 2 = it could not be done."""

import sys
from pathlib import Path
from typing import NoReturn

from webhook.errors import PortcullisError


def main() -> None:
    """Run the command line; an error of ours is one line on standard error and exit code 2."""
    import typer  # noqa: PLC0415 - costs a tenth of a second, and tests import from `webhook.cli` without it

    from webhook.cli.commands import app  # noqa: PLC0415

    try:
        code = app(args=sys.argv[1:] or ["--help"], prog_name=_called(), standalone_mode=False)
    except typer.TyperException as error:
        # The public base class has no way to name the option; the private one that is raised has.
        said = getattr(error, "format_message", error.__str__)()
        _fail(f"{said if said.endswith(('.', '?')) else f'{said}.'} See portcullis --help")
    except (typer.Abort, KeyboardInterrupt):
        _fail("interrupted")
    except PortcullisError as error:
        _fail(str(error))
    else:
        sys.exit(code or 0)


def _called() -> str:
    """Return what the user types: kubectl runs a program of that name for its plugin."""
    return "kubectl portcullis" if Path(sys.argv[0]).name == "kubectl-portcullis" else "portcullis"


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"portcullis: {message}\n")
    sys.exit(2)
