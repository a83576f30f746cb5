"""`portcullis scan`: what stands, judged by the rules of today, and what nobody owns."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from webhook.cli.options import Kubeconfig, Policies, Tenancy
from webhook.errors import SettingsError
from webhook.settings import bundled_policies, environment

if TYPE_CHECKING:
    from webhook.cli.scanned import Scanned
    from webhook.cli.trees import Places
    from webhook.tenancy.tree import Tree

READY_SECONDS = 30.0


def scan(  # noqa: PLR0913 - a flag each
    *,
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            "--namespace",
            "-n",
            help="Look at this namespace alone; repeatable.",
            envvar="PORTCULLIS_NAMESPACE",
            show_default="all",
        ),
    ] = None,
    tenancy: Tenancy = None,
    kubeconfig: Kubeconfig = None,
    policies: Policies = None,
    fail_on: Annotated[
        Literal["enforce", "warn", "audit", "never"],
        typer.Option(
            help="Exit code 1 for what would come to this today, or to more; `audit` is every violation.",
            envvar="PORTCULLIS_FAIL_ON",
        ),
    ] = "audit",
    output: Annotated[
        Literal["text", "json", "sarif", "junit"],
        typer.Option("--output", "-o", help="How to write it.", envvar="PORTCULLIS_OUTPUT"),
    ] = "text",
) -> None:
    """
    Judge every policy and namespace that stands by the rules of today: who would be refused, and what nobody owns.

    Each is asked about as if it were written now, beside the others that stand; who writes it is left out (rbac/*).
    Nothing is changed. Exit code 1 where a rule is violated, whatever it is softened to (see --fail-on), 0 where none
    is: that nobody owns a namespace is told and is no violation.

    Example: portcullis scan --kubeconfig ~/.kube/config

    Example, by files: portcullis scan --tenancy manifests/examples/acme -o json

    JSON is one object: revision (of the rules), namespaces and policies (how many were judged), ending (namespaces that
    are being deleted, left alone), summary {refused, warned, audited, unowned, orphaned}, unowned and orphaned (names
    of namespaces) and findings [{rule, title, severity, action (enforce, warn, audit: what would come of it today;
    none: no rule says so), message, namespace, api_version, kind, name, policies [{kind, name}] (those that do it
    together), remediation, fingerprint (the same for as long as the rule finds something there), file, line}].
    """
    if tenancy and kubeconfig:
        raise SettingsError("--tenancy reads files and contacts no cluster: leave --kubeconfig out")
    if kubeconfig and not kubeconfig.is_file():
        raise SettingsError(f"--kubeconfig {kubeconfig} is no file: give one that kubectl can use")
    # What decides is no burden of the other commands.
    from webhook.cli.scanned import written  # noqa: PLC0415

    work = _Work(policies or bundled_policies(), tuple(namespace or ()))
    done = asyncio.run(work.scanned(tenancy, kubeconfig))
    sys.stdout.write(written(done, output, fail_on))
    if output == "text":
        from webhook.cli.scanpage import show  # noqa: PLC0415 - rich is no burden of the others

        show(done)
    raise typer.Exit(int(done.fails(fail_on)))


class _Work:
    """What is asked: which rules, and about which namespaces; none is all."""

    def __init__(self, policies: Path, names: tuple[str, ...]) -> None:
        self._policies = policies
        self._names = names

    async def scanned(self, tenancy: Path | None, kubeconfig: Path | None) -> "Scanned":
        """Return what there is to say; raises `PortcullisError` for what cannot be found out."""
        from webhook.cli.child import own_opa  # noqa: PLC0415
        from webhook.cli.logs import log_nothing  # noqa: PLC0415
        from webhook.cli.progress import progress  # noqa: PLC0415
        from webhook.cli.scanned import Scanned  # noqa: PLC0415
        from webhook.decision.binary import find_opa  # noqa: PLC0415
        from webhook.decision.bundle import read_policies  # noqa: PLC0415
        from webhook.decision.catalogue import read_catalogue  # noqa: PLC0415
        from webhook.scan.judge import Judge, OneOpa  # noqa: PLC0415
        from webhook.scan.whole import scan as judged  # noqa: PLC0415

        bundle = read_policies(self._policies)
        log_nothing()
        tree, places = await self._tree(tenancy, kubeconfig)
        names = self._looked_at(tree)
        catalogue = read_catalogue(bundle)
        binary = await asyncio.to_thread(find_opa, environment(), say=_tell)
        async with own_opa(binary, bundle, _keep_quiet) as (opa, process):
            await process.ready(READY_SECONDS)
            judge = Judge(OneOpa(opa, bundle.policies), {each.id: each.title for each in catalogue})
            with progress() as told:
                found = await judged(judge, tree, names, datetime.now(UTC), told=told)
        return Scanned(found, catalogue, bundle.policies.revision, places)

    async def _tree(self, tenancy: Path | None, kubeconfig: Path | None) -> "tuple[Tree, Places]":
        from webhook.cli.trees import places_in_files, tree_of_cluster  # noqa: PLC0415

        if tenancy:
            return places_in_files(tenancy, _warn)
        only = self._names[0] if len(self._names) == 1 else ""
        return await tree_of_cluster(kubeconfig, only, _warn), {}

    def _looked_at(self, tree: "Tree") -> tuple[str, ...]:
        """Return the namespaces to look at; raises `SettingsError` for one that is not there or is never judged."""
        from webhook.cli.explanation import known  # noqa: PLC0415
        from webhook.model import RESERVED  # noqa: PLC0415
        from webhook.scan.whole import names_to_scan  # noqa: PLC0415

        for name in self._names:
            known(tree, name, tell=True)
            if name in RESERVED:
                raise SettingsError(f"namespace {name} is Kubernetes' own or ours, and nothing in it is judged")
        return tuple(dict.fromkeys(self._names)) or names_to_scan(tree)


def _warn(line: str) -> None:
    _tell(f"warning: {line}")


def _tell(line: str) -> None:
    sys.stderr.write(f"portcullis: {line}\n")


def _keep_quiet(line: str) -> None:
    """Leave out what OPA says as it runs: if it does not start, the error has its last words."""
