"""`portcullis check`: manifests judged as the webhook would judge them, before they are applied."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from webhook.cli.options import BreakGlassGroup, Kubeconfig, Policies
from webhook.errors import SettingsError
from webhook.settings import BREAK_GLASS_GROUPS, bundled_policies


def check(  # noqa: PLR0913 - a flag each
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, folders, or - for standard input.")],
    *,
    as_user: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="Who would apply them: judges as well who may.",
            envvar="PORTCULLIS_AS",
            show_default="no owner assumed: guardrails and baseline only",
        ),
    ] = None,
    as_group: Annotated[
        list[str] | None,
        typer.Option("--as-group", help="A group of that user; repeatable.", envvar="PORTCULLIS_AS_GROUP"),
    ] = None,
    tenancy: Annotated[
        Path | None,
        typer.Option(
            help="File or folder of the tenant tree, with the Namespaces and policies that stand beside.",
            envvar="PORTCULLIS_TENANCY",
            show_default="the tree among PATH, else the cluster's",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="What stands, a file or folder or `cluster`: what is there is updated, and what a folder has and PATH "
            "has not is deleted.",
            envvar="PORTCULLIS_AGAINST",
            metavar="PATH|cluster",
            show_default="nothing: all is created",
        ),
    ] = None,
    namespace: Annotated[
        str,
        typer.Option(
            "--namespace",
            "-n",
            help="Where a manifest goes that names no namespace, as with kubectl.",
            envvar="PORTCULLIS_NAMESPACE",
        ),
    ] = "default",
    kubeconfig: Kubeconfig = None,
    policies: Policies = None,
    break_glass_group: BreakGlassGroup = list(BREAK_GLASS_GROUPS),  # noqa: B006 - typer copies it
    fail_on: Annotated[
        Literal["enforce", "warn", "audit", "never"],
        typer.Option(
            help="Exit code 1 for what would come to this, or to more; `enforce` is what would be refused.",
            envvar="PORTCULLIS_FAIL_ON",
        ),
    ] = "enforce",
    output: Annotated[
        Literal["text", "json", "sarif", "junit", "github", "markdown"],
        typer.Option("--output", "-o", help="How to write it.", envvar="PORTCULLIS_OUTPUT"),
    ] = "text",
) -> None:
    """
    Judge manifests as the webhook would: what would be refused, warned of or recorded, with file and line.

    They are judged as if they were applied: CustomResourceDefinitions first, then the tenant tree, Namespaces and all
    else, file by file, each beside those before it that would be let in. Nothing is applied, and a cluster is read only
    with --kubeconfig or --against cluster. Exit code 1 where something would be refused (see --fail-on), 2 where a file
    cannot be read as kubectl reads it; the other files are judged all the same. Kinds that no rule covers pass.

    Example: portcullis check manifests/ --tenancy tenancy/

    Example, rendered: helm template chart | portcullis check - --tenancy tenancy/ -o github

    Example, a change: portcullis check new/ --against old/ --as bo --as-group checkout-team

    JSON is one object: revision (of the rules), objects (how many were read), judged (how many a rule covers), summary
    {refused, warned, audited} (objects), notes (what to know of the answer), errors [{file, line, column, message}] and
    findings [{rule, title, severity, action (enforce, warn, audit), message, operation (CREATE, UPDATE, DELETE), file,
    line, column, api_version, kind, namespace, name, remediation, fingerprint (the same for as long as the rule finds
    something in the object, whatever its line)}].
    """
    _check_flags(tenancy, kubeconfig, against)
    if as_group and as_user is None:
        raise SettingsError("--as-group says in which groups a user is: give --as USER as well")
    # What decides is no burden of the other commands.
    from webhook.cli.checked import written  # noqa: PLC0415
    from webhook.cli.checking import Work, caller_of  # noqa: PLC0415

    work = Work(
        paths=tuple(paths),
        caller=None if as_user is None else caller_of(as_user, as_group or ()),
        policies=policies or bundled_policies(),
        namespace=namespace,
        break_glass_groups=tuple(break_glass_group),
        tenancy=tenancy,
        against=against,
        kubeconfig=kubeconfig,
    )
    done = asyncio.run(work.checked())
    sys.stdout.write(written(done, output, fail_on))
    if output == "text":
        from webhook.cli.checkpage import show  # noqa: PLC0415 - rich is no burden of the others

        show(done)
    for error in done.errors:
        sys.stderr.write(f"portcullis: {error}\n")
    raise typer.Exit(2 if done.errors else int(done.fails(fail_on)))


def _check_flags(tenancy: Path | None, kubeconfig: Path | None, against: str | None) -> None:
    """Raise `SettingsError` for what does not go together."""
    if tenancy and (kubeconfig or against == "cluster"):
        raise SettingsError("--tenancy reads files and contacts no cluster: leave --kubeconfig, --against cluster out")
    if kubeconfig and not kubeconfig.is_file():
        raise SettingsError(f"--kubeconfig {kubeconfig} is no file: give one that kubectl can use")
