"""`portcullis explain`: whose a namespace is, who may change what, what applies to it, and how it stands."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from webhook.cli.options import BreakGlassGroup, Kubeconfig, Policies, Tenancy
from webhook.errors import SettingsError
from webhook.settings import BREAK_GLASS_GROUPS, bundled_policies, bundled_webhooks, environment

if TYPE_CHECKING:
    from webhook.cli.explanation import Explanation
    from webhook.cli.judging import Caller
    from webhook.tenancy.tree import Tree

READY_SECONDS = 30.0


def explain(  # noqa: PLR0913 - a flag each
    namespace: Annotated[str, typer.Argument(help="The namespace.")],
    *,
    as_user: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="Tell what this user may do there, as the gate would answer it, and only what they may see.",
            envvar="PORTCULLIS_AS",
            show_default="what each role may do",
        ),
    ] = None,
    as_group: Annotated[
        list[str] | None,
        typer.Option("--as-group", help="A group of that user; repeatable.", envvar="PORTCULLIS_AS_GROUP"),
    ] = None,
    tenancy: Tenancy = None,
    kubeconfig: Kubeconfig = None,
    policies: Policies = None,
    break_glass_group: BreakGlassGroup = list(BREAK_GLASS_GROUPS),  # noqa: B006 - typer copies it
    output: Annotated[
        Literal["text", "json"],
        typer.Option("--output", "-o", help="How to write it.", envvar="PORTCULLIS_OUTPUT"),
    ] = "text",
) -> None:
    """
    Tell whose a namespace is, who may change what, which baselines and guardrails apply, and how it stands.

    The shipped rules answer, asked as the API server asks them; nothing is changed. Exit code 0, whatever they answer.

    Example: portcullis explain checkout-dev --tenancy manifests/examples/acme

    Example, in a cluster: portcullis explain checkout-dev --kubeconfig ~/.kube/config --as ada --as-group checkout-team

    JSON is one object: namespace, standing (owned, unowned, orphaned, reserved), workspace, project, organization,
    terminating, roles [{tenant, role, subjects}], baselines [{name, named_by, selected, problem, policies [{name,
    state (in place, missing, differs), differs_in}]}], guardrails [{key, value, set_by, default, rule}], state (of the
    annotation: state, revision, reason), exemption {until, reason}, enforcement and never_softened (where anything is
    softened), revision (of the rules). Without --as, may [{action, title, roles, others, break_glass}] has for each
    action the roles that may do it and the verdict on all others. With --as, as {user, groups, roles, sees, actions
    [{action, title, verdict, rules, message, warnings, break_glass}]}; what the user may not see is null. A verdict is
    allow, warn, audit, deny, error, undone (put back by Portcullis) or unasked (Kubernetes' RBAC alone decides).
    """
    if tenancy and kubeconfig:
        raise SettingsError("--tenancy reads files and contacts no cluster: leave --kubeconfig out")
    if kubeconfig and not kubeconfig.is_file():
        raise SettingsError(f"--kubeconfig {kubeconfig} is no file: give one that kubectl can use")
    if as_group and as_user is None:
        raise SettingsError("--as-group says in which groups a user is: give --as USER as well")
    # What decides is no burden of the other commands.
    from webhook.cli.explanation import impersonated  # noqa: PLC0415

    caller = None if as_user is None else impersonated(as_user, as_group or ())
    work = _Work(namespace, caller, policies or bundled_policies(), tuple(break_glass_group))
    found = asyncio.run(work.explanation(tenancy, kubeconfig))
    # They name what not everybody sees.
    for warning in () if caller else work.warnings:
        _tell(f"warning: {warning}")
    if output == "json":
        sys.stdout.write(f"{json.dumps(found.as_json(), indent=2, ensure_ascii=False)}\n")
        return
    from webhook.cli.explained import show  # noqa: PLC0415

    show(found, tuple(break_glass_group))


class _Work:
    """What is asked, and how it is answered: a tree, an OPA of our own, and the gate between them."""

    def __init__(
        self, namespace: str, caller: "Caller | None", policies: Path, break_glass_groups: tuple[str, ...]
    ) -> None:
        self._namespace = namespace
        self._caller = caller
        self._policies = policies
        self._break_glass_groups = break_glass_groups
        self.warnings: list[str] = []

    async def explanation(self, tenancy: Path | None, kubeconfig: Path | None) -> "Explanation":
        """Return what there is to say; raises `PortcullisError` for what cannot be found out."""
        from webhook.cli.child import own_opa  # noqa: PLC0415
        from webhook.cli.explanation import Asked, explain, known  # noqa: PLC0415
        from webhook.cli.judging import Judge  # noqa: PLC0415
        from webhook.decision.binary import find_opa  # noqa: PLC0415
        from webhook.decision.bundle import read_policies  # noqa: PLC0415
        from webhook.decision.catalogue import read_catalogue  # noqa: PLC0415
        from webhook.registration.hooks import read_shipped  # noqa: PLC0415

        bundle = read_policies(self._policies)
        asked = Asked(await self._tree(tenancy, kubeconfig), self._caller, read_catalogue(bundle))
        namespace = known(asked.tree, self._namespace, tell=self._caller is None)
        hooks = read_shipped(bundled_webhooks().read_text(encoding="utf-8"))
        opa_binary = await asyncio.to_thread(find_opa, environment(), say=_tell)
        async with own_opa(opa_binary, bundle, _keep_quiet) as (opa, process):
            await process.ready(READY_SECONDS)
            judge = Judge(opa, bundle.policies, self._break_glass_groups, hooks, namespace)
            return await explain(asked, judge)

    async def _tree(self, tenancy: Path | None, kubeconfig: Path | None) -> "Tree":
        from webhook.cli.logs import log_nothing  # noqa: PLC0415
        from webhook.cli.trees import tree_of_cluster, tree_of_files  # noqa: PLC0415

        log_nothing()
        if tenancy:
            return tree_of_files(tenancy, self.warnings.append)
        return await tree_of_cluster(kubeconfig, self._namespace, self.warnings.append)


def _tell(line: str) -> None:
    sys.stderr.write(f"portcullis: {line}\n")


def _keep_quiet(line: str) -> None:
    """Leave out what OPA says as it runs: if it does not start, the error has its last words."""
