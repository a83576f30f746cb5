"""`portcullis uninstall`: the way out, hooks first; what people made stays, and so do their policies."""

import asyncio
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from webhook.cli.options import Kubeconfig
from webhook.errors import ClusterError, SettingsError

if TYPE_CHECKING:
    from webhook.cli.belongings import Belonging, Belongings
    from webhook.cli.removal import Done, Removal

Json = dict[str, Any]

MOST_NAMES = 4
"""Of one kind, that are told in a line; of more, how many."""
ALLOWED = (
    "be in a break-glass group (system:masters, kubeadm:cluster-admins unless changed), or be an administrator who has "
    "deleted the ValidatingAdmissionPolicyBindings of the backstop before"
)


def uninstall(
    *,
    kubeconfig: Kubeconfig = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nothing: needed where there is no terminal.", envvar="PORTCULLIS_YES")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.", envvar="PORTCULLIS_DRY_RUN")
    ] = False,
    output: Annotated[
        Literal["text", "json"],
        typer.Option("--output", "-o", help="How to write it.", envvar="PORTCULLIS_OUTPUT"),
    ] = "text",
) -> None:
    """
    Take Portcullis out of a cluster, its webhook objects first; it works while Portcullis itself is down.

    Namespaces, injected policies and the tree stay, and it says how each of these goes. What is not there any more is
    no error, so it may be run again. Afterwards Kubernetes' RBAC alone says who may do what.

    JSON is one object: server, user, dry_run, done, objects [{kind, namespace, name, outcome (planned, removed,
    released from our finalizer, gone, failed, untouched), why}], left [{what, count, remove (a command)}], warnings.

    Example: portcullis uninstall --kubeconfig ~/.kube/config --dry-run
    """
    if kubeconfig and not kubeconfig.is_file():
        raise SettingsError(f"--kubeconfig {kubeconfig} is no file: give one that kubectl can use")
    if not (yes or dry_run or sys.stdin.isatty()):
        raise SettingsError("there is no terminal to ask at: give --yes, or --dry-run to see what would be done")
    asyncio.run(_Work(output=output, yes=yes, dry_run=dry_run).run(kubeconfig))


class _Work:
    """What was asked for, and what is told of it."""

    def __init__(self, *, output: str, yes: bool, dry_run: bool) -> None:
        self._json = output == "json"
        self._yes = yes
        self._dry_run = dry_run
        self._told: Json = {}

    async def run(self, kubeconfig: Path | None) -> None:
        """Look, say what is to be done, ask, and do it; raises `PortcullisError` for what could not be done."""
        # Kubernetes' client is no burden of the other commands.
        from webhook.cli.belongings import find  # noqa: PLC0415
        from webhook.cli.removal import Removal  # noqa: PLC0415
        from webhook.cluster.client import connected  # noqa: PLC0415

        async with connected(kubeconfig) as cluster:
            try:
                user = await cluster.user()
                found = await find(cluster)
            except ClusterError as error:
                raise ClusterError(f"{error}; nothing was changed: {_way_out(error)}") from error
            self._told = {"server": cluster.server, "user": user, "dry_run": self._dry_run}
            if not self._json:
                _show_plan(self._told, found)
            if self._dry_run or not found.going():
                self._finish(found, None)
                return
            if not self._yes and not typer.confirm("Do it?", err=True):
                raise SettingsError("not confirmed: nothing was changed")
            removal = Removal(cluster, found, _tell)
            try:
                await removal.run()
            except ClusterError as error:
                self._finish(found, removal)
                raise ClusterError(
                    f"{error}; to remove them {ALLOWED}" if error.status == 403 else str(error)
                ) from error
            self._finish(found, removal)
            _raise_for(removal)

    def _finish(self, found: "Belongings", removal: "Removal | None") -> None:
        """Tell what became of each object, and what is left."""
        if self._json:
            sys.stdout.write(f"{json.dumps(self._told | _as_json(found, removal), indent=2, ensure_ascii=False)}\n")
        else:
            _show_end(found, removal, dry_run=self._dry_run)


def _raise_for(removal: "Removal") -> None:
    failed = removal.failed()
    if failed:
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise ClusterError(
            f"the webhook objects are gone, but {failed[0].what} stands{more}: {failed[0].error}; run it again as "
            "somebody who may delete it"
        )


def _way_out(error: ClusterError) -> str:
    match error.status:
        case 401:
            return "give a kubeconfig with a token or certificate that the API server knows"
        case 403:
            return "be an administrator of the cluster"
        case _:
            return "see that the API server of --kubeconfig answers"


def _as_json(found: "Belongings", removal: "Removal | None") -> Json:
    outcomes = {each.what: each for each in removal.done} if removal else {}
    standing = "untouched" if removal else "planned"
    return {
        "done": removal is not None and not removal.failed() and len(outcomes) == len(found.going()),
        "objects": [
            {
                "kind": each.resource.kind,
                "namespace": each.namespace,
                "name": each.name,
                "outcome": outcomes[each].outcome if each in outcomes else standing,
                "why": _why(outcomes.get(each)),
            }
            for each in found.going()
        ],
        "left": [{"what": each.what, "count": each.count, "remove": each.remove} for each in found.left],
        "warnings": removal.warnings if removal else [],
    }


def _why(done: "Done | None") -> str:
    return str(done.error) if done and done.error else ""


def _tell(line: str) -> None:
    sys.stderr.write(f"portcullis: {line}\n")


def _show_plan(told: Json, found: "Belongings") -> None:
    from webhook.cli.page import Page  # noqa: PLC0415 - rich is no burden of the other commands

    page = Page()
    if not found.going():
        page.line(f"There is nothing of Portcullis to remove from {told['server']}.")
        return
    page.line(f"To remove from {told['server']}, as {told['user']}, in this order:", style="bold")
    for title, things in (
        ("The webhook objects: nothing is judged, stamped or refused from then on", found.hooks),
        ("The webhook and the controller; their pods are waited for", found.workloads),
        ("What they had: rights, the roles of the tree, backstop, certificate", found.rest),
        ("Our finalizer, from", found.held),
    ):
        if things:
            page.heading(title)
            page.table(_rows(things))


def _rows(things: "Iterable[Belonging]") -> list[tuple[str, str]]:
    names: dict[str, list[str]] = {}
    for each in things:
        names.setdefault(each.resource.kind, []).append(str(each).removeprefix(f"{each.resource.kind} "))
    return [
        (kind, ", ".join(some) if len(some) <= MOST_NAMES else f"{len(some)} of them") for kind, some in names.items()
    ]


def _show_end(found: "Belongings", removal: "Removal | None", *, dry_run: bool) -> None:
    from webhook.cli.page import Page  # noqa: PLC0415 - rich is no burden of the other commands

    page = Page()
    if removal:
        failed = removal.failed()
        page.heading(f"{len(removal.done) - len(failed)} of {len(found.going())} are gone", "")
        page.table((("failed", str(each.what), str(each.error)) for each in failed), styles={"failed": "red"})
        for warning in removal.warnings:
            page.paragraph(warning, style="yellow")
    if found.left:
        page.heading("Left as it is; to remove it, too:")
        for each in found.left:
            page.line(f"  {each.count} {each.what}" if each.count != 1 else f"  {each.what}")
            page.line(f"      {each.remove}", style="dim")
    if dry_run and found.going():
        page.line()
        page.line("Nothing was changed.")
