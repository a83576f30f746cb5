"""`portcullis bundle`: the policies as a file that an OPA of your own loads."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from webhook.cli.options import Policies
from webhook.errors import SettingsError
from webhook.settings import bundled_policies, environment


def bundle(
    target: Annotated[Path, typer.Argument(help="The file to write, a .tar.gz.")],
    policies: Policies = None,
) -> None:
    """
    Check the policies and write them as an OPA bundle, for `serve --opa-url`.

    Example: portcullis bundle portcullis.tar.gz
    """
    # What reads policies is no burden of the other commands.
    from webhook.decision.binary import find_opa  # noqa: PLC0415
    from webhook.decision.bundle import check_policies, read_policies  # noqa: PLC0415

    read = read_policies(policies or bundled_policies())
    opa = find_opa(environment(), say=lambda line: typer.echo(line, err=True))
    with TemporaryDirectory(prefix="portcullis-") as scratch:
        check_policies(opa, read, Path(scratch))
    try:
        read.write(target)
    except OSError as error:
        raise SettingsError(f"cannot write {target}: {error.strerror}") from error
    typer.echo(f"{target}: {len(read.policies.rules)} rules, revision {read.policies.revision}")
