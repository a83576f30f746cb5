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
    signing_key: Annotated[
        Path | None,
        typer.Option(
            help="Sign it with this private key (PEM, P-256).",
            envvar="PORTCULLIS_SIGNING_KEY",
            show_default="one made for this bundle, and thrown away",
        ),
    ] = None,
    verification_key_out: Annotated[
        Path | None,
        typer.Option(
            help="Sign it, and write here the public key that OPA verifies it by.",
            envvar="PORTCULLIS_VERIFICATION_KEY_OUT",
            show_default="not signed without one of the two",
        ),
    ] = None,
) -> None:
    """
    Check the policies and write them as an OPA bundle, for `serve --opa-url`.

    Example: portcullis bundle portcullis.tar.gz --verification-key-out portcullis.pem

    OPA then takes no other bundle, with: opa run --server --set bundles.portcullis.resource=file:///PATH.tar.gz --set
    bundles.portcullis.signing.keyid=portcullis --set keys.portcullis.algorithm=ES256 --set-file
    keys.portcullis.key=PATH.pem
    """
    # What reads policies is no burden of the other commands.
    from webhook.decision.binary import find_opa  # noqa: PLC0415
    from webhook.decision.bundle import check_policies, read_policies  # noqa: PLC0415
    from webhook.decision.signing import SigningKey  # noqa: PLC0415

    key = SigningKey.of(_read(signing_key)) if signing_key else SigningKey.new() if verification_key_out else None
    read = read_policies(policies or bundled_policies())
    opa = find_opa(environment(), say=lambda line: typer.echo(line, err=True))
    with TemporaryDirectory(prefix="portcullis-") as scratch:
        check_policies(opa, read, Path(scratch))
    if key and verification_key_out:
        _write(verification_key_out, key.public().encode())
    _write(target, read.packed(key))
    how = "signed" if key else "not signed"
    typer.echo(f"{target}: {len(read.policies.rules)} rules, revision {read.policies.revision}, {how}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read --signing-key {path}: {error.strerror}") from error


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}") from error
