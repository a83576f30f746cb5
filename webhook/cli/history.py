"""`portcullis history`: what was decided, which policies stood at a time, and what changed between two times."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from webhook.cli.options import Kubeconfig, Policies, Tenancy
from webhook.errors import SettingsError

if TYPE_CHECKING:
    from webhook.cli.reader import Reader

Source: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--history",
        help="The history that `serve` records: sqlite:///PATH, postgresql://USER:PASSWORD@HOST/DATABASE.",
        envvar="PORTCULLIS_HISTORY",
        show_default="needed",
    ),
]
AsUser: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--as",
        help="Tell only what this user may see, by the tenant tree of --tenancy or the cluster.",
        envvar="PORTCULLIS_AS",
        show_default="everything",
    ),
]
AsGroup: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--as-group", help="A group of that user; repeatable.", envvar="PORTCULLIS_AS_GROUP"),
]
TextOrJson: TypeAlias = Annotated[
    Literal["text", "json"],
    typer.Option("--output", "-o", help="How to write it.", envvar="PORTCULLIS_OUTPUT"),
]

history = typer.Typer(
    name="history",
    help="What was decided, which policies stood at a time, and what changed: by what `serve --history` records.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@history.command()
def decisions(  # noqa: PLR0913 - a flag each
    *,
    source: Source = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Of objects in this namespace.")] = None,
    user: Annotated[str | None, typer.Option(help="Asked for by this user.")] = None,
    rule: Annotated[str | None, typer.Option(help="In which this rule fired, rbac/namespace-policy say.")] = None,
    verdict: Annotated[
        Literal["allow", "deny", "warn", "audit", "error"] | None, typer.Option(help="That came to this.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="From this time on: 2026-11-21T15:00:00Z, or 2h or 7d ago.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time.")] = None,
    limit: Annotated[int | None, typer.Option(help="No more than so many, the newest.", min=0)] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Oldest first (the last 10, or --limit), then what comes; until ^C.")
    ] = False,
    documents: Annotated[
        bool, typer.Option("--documents", help="With -o json: what each was decided on as well, for a replay.")
    ] = False,
    as_user: AsUser = None,
    as_group: AsGroup = None,
    tenancy: Tenancy = None,
    kubeconfig: Kubeconfig = None,
    policies: Policies = None,
    output: TextOrJson = "text",
) -> None:
    """
    List what was decided, the newest first.

    Example: portcullis history decisions --history sqlite:///history.db -n checkout-dev --verdict deny --since 2h

    Example, a file of records for a replay: portcullis history decisions -o json --documents > records.jsonl

    JSON is one object a line: decision_id, time, user, operation, group, kind, namespace, name, uid, verdict (allow,
    deny, warn, audit, error), rules (fired), revision (of the rules), dry_run, break_glass, authenticated,
    milliseconds, route, ran (rules), messages, reason and cause (of an error), tenants (that it stood under), and with
    --documents the document. All that match unless --limit. Exit code 0, also if there are none.
    """
    # What reads a database is no burden of the other commands.
    from webhook.cli.historylist import Listing, listed  # noqa: PLC0415
    from webhook.cli.historytime import time_of  # noqa: PLC0415
    from webhook.history.rows import Wanted  # noqa: PLC0415

    if documents and output != "json":
        raise SettingsError("--documents is for -o json: a document has no place in a line of text")
    wanted = Wanted(namespace, user, rule, verdict, time_of("--since", since), time_of("--until", until), limit)
    reader = _reader(source, (as_user, as_group), (tenancy, kubeconfig), policies)
    listing = Listing(wanted, json=output == "json", documents=documents, follow=follow)
    try:
        asyncio.run(listed(reader, listing))
    except KeyboardInterrupt:
        if not follow:
            raise


@history.command(name="policies")
def policies_at(  # noqa: PLR0913 - a flag each
    namespace: Annotated[str, typer.Argument(help="The namespace.")],
    *,
    source: Source = None,
    at: Annotated[
        str | None,
        typer.Option(help="The time: 2026-11-21T15:00:00Z, or 2h or 7d ago.", show_default="now"),
    ] = None,
    as_user: AsUser = None,
    as_group: AsGroup = None,
    tenancy: Tenancy = None,
    kubeconfig: Kubeconfig = None,
    policies: Policies = None,
    output: Annotated[
        Literal["text", "yaml", "json"],
        typer.Option("--output", "-o", help="How to write it; text is YAML.", envvar="PORTCULLIS_OUTPUT"),
    ] = "text",
) -> None:
    """
    Tell which policies stood in a namespace at a time, as YAML that kubectl takes.

    Example: portcullis history policies checkout-dev --at 2h --history sqlite:///history.db | kubectl apply -f -

    Comments say since when each stood, until when, and who let it in. What the API server fills in (uid,
    resourceVersion, status and so on) is left out. JSON is one object a line: api_version, kind, namespace, name, seen,
    until (null: it stands), writers [{manager, operation, time}], decision (that let it in: decision_id, user, time,
    break_glass; null: none is known) and object (as in YAML). Exit code 0, also if there were none.
    """
    from webhook.cli.historystood import stood  # noqa: PLC0415
    from webhook.cli.historytime import time_of  # noqa: PLC0415

    reader = _reader(source, (as_user, as_group), (tenancy, kubeconfig), policies)
    asyncio.run(stood(reader, namespace, time_of("--at", at), json=output == "json"))


@history.command()
def diff(  # noqa: PLR0913 - a flag each
    namespace: Annotated[str, typer.Argument(help="The namespace.")],
    *,
    source: Source = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", help="The earlier time: 2026-11-21T15:00:00Z, or 2h or 7d ago.", show_default="needed"),
    ] = None,
    to: Annotated[str | None, typer.Option(help="The later time.", show_default="now")] = None,
    as_user: AsUser = None,
    as_group: AsGroup = None,
    tenancy: Tenancy = None,
    kubeconfig: Kubeconfig = None,
    policies: Policies = None,
    output: TextOrJson = "text",
) -> None:
    """
    Tell how the policies of a namespace differ between two times, as a unified diff for each.

    Example: portcullis history diff checkout-dev --from 7d --history sqlite:///history.db

    JSON is one object a line: api_version, kind, namespace, name, change (added, removed, changed), before and after
    (as in `policies -o json`; null where it did not stand) and diff. Exit code 0, whether or not they differ.
    """
    from webhook.cli.historystood import differed  # noqa: PLC0415
    from webhook.cli.historytime import now, time_of  # noqa: PLC0415

    begin = time_of("--from", from_)
    if begin is None:
        raise SettingsError("--from is needed: the earlier time, 2026-11-21T15:00:00Z, or 7d ago")
    reader = _reader(source, (as_user, as_group), (tenancy, kubeconfig), policies)
    asyncio.run(differed(reader, namespace, (begin, time_of("--to", to) or now()), json=output == "json"))


def _reader(
    source: str | None,
    who: tuple[str | None, list[str] | None],
    tree: tuple[Path | None, Path | None],
    policies: Path | None,
) -> "Reader":
    """Return who reads what; raises `SettingsError` for flags that cannot be followed."""
    from webhook.cli.explanation import impersonated  # noqa: PLC0415
    from webhook.cli.reader import Reader  # noqa: PLC0415
    from webhook.settings import bundled_policies  # noqa: PLC0415

    user, groups = who
    tenancy, kubeconfig = tree
    if not source:
        raise SettingsError("--history is needed: the URL that `portcullis serve --history` was given")
    if tenancy and kubeconfig:
        raise SettingsError("--tenancy reads files and contacts no cluster: leave --kubeconfig out")
    if kubeconfig and not kubeconfig.is_file():
        raise SettingsError(f"--kubeconfig {kubeconfig} is no file: give one that kubectl can use")
    if groups and user is None:
        raise SettingsError("--as-group says in which groups a user is: give --as USER as well")
    caller = None if user is None else impersonated(user, groups or ())
    return Reader(source, caller, tenancy, kubeconfig, policies or bundled_policies())
