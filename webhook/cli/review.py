"""`portcullis review`: what a change to the rules, the tenant tree or the manifests would do, before it merges."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from webhook.errors import SettingsError

if TYPE_CHECKING:
    from webhook.cli.reviewed import Reviewed

Format = Literal["text", "markdown", "json", "sarif", "junit", "github"]


def review(  # noqa: PLR0913 - a flag each
    *,
    base: Annotated[
        str,
        typer.Option(help="The revision to compare with, as it is given: origin/main, say.", envvar="PORTCULLIS_BASE"),
    ],
    policies: Annotated[
        Path | None,
        typer.Option(
            help="Folder here that holds portcullis/, the Rego.",
            envvar="PORTCULLIS_POLICIES",
            show_default="policies_rego where there is one, else the bundled rules",
        ),
    ] = None,
    tenancy: Annotated[
        Path | None,
        typer.Option(
            help="File or folder here of the tenant tree.", envvar="PORTCULLIS_TENANCY", show_default="none is compared"
        ),
    ] = None,
    manifests: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder here of manifests; repeatable.",
            envvar="PORTCULLIS_MANIFESTS",
            show_default="none are compared",
        ),
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(
            help="The recorded decisions to make again: sqlite:///PATH, postgresql://…, or a file of records (.jsonl).",
            envvar="PORTCULLIS_HISTORY",
            show_default="nothing is replayed",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Replay what was decided from then on (RFC 3339).", envvar="PORTCULLIS_SINCE"),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help="Replay what was decided before then (RFC 3339).", envvar="PORTCULLIS_UNTIL"),
    ] = None,
    fail_on: Annotated[
        Literal["enforce", "warn", "audit", "never"],
        typer.Option(
            help="Exit code 1 for findings that would come to this in the cluster, or to more: `warn` is"
            " what protects less, too. What was refused and would be allowed fails always.",
            envvar="PORTCULLIS_FAIL_ON",
        ),
    ] = "warn",
    output: Annotated[
        Format, typer.Option("--output", "-o", help="How to write it.", envvar="PORTCULLIS_OUTPUT")
    ] = "text",
    output_file: Annotated[
        list[str] | None,
        typer.Option(
            help="Write it there as well, as FORMAT=FILE; repeatable. Without FORMAT= it is the form of -o, and"
            " standard output is left empty.",
            envvar="PORTCULLIS_OUTPUT_FILE",
        ),
    ] = None,
) -> None:
    """
    Judge what the working tree of this folder changes against a revision, before it merges.

    Four questions. Does the Rego hold: format, checks, tests, coverage, mutants. Which recorded decisions would come
    out otherwise. Who gains and who loses which right, and what protects less. What do the rules find in the manifests
    that they did not find before, and who can reach whom. A part that cannot be done is told, the others are done, and
    the exit code is 2.

    Exit code 1 for findings (see --fail-on): an error of the gate, a decision that flips, a new finding in a manifest
    (each enforce, or what the rule comes to), rights that are gained and what protects less (warn). What is only told,
    such as rights that are lost, fails never.

    Example: portcullis review --base origin/main --tenancy tenancy --manifests deploy

    Example, in CI: portcullis review --base origin/main --history sqlite:///history.db --output-file sarif=review.sarif

    JSON is one object: base, commit, revisions {base, head} (of the rules), verdict (a line), exit_code, flips [{rule,
    tenant, from, to, count, change, examples [{decision_id, time, user, operation, kind, namespace, name, before,
    after}]}], rights [{subject, change (gains, loses), by, rights [{right, places}]}], reach (lines), and parts {rego,
    replay, tenancy, manifests}: each {title, state (ok, findings, not applicable, not done), summary, known, fixed,
    findings [{rule, action (enforce, warn, audit, none), level, fails, message, thing, file, line, column,
    fingerprint}]}.
    """
    wanted = _files(output_file or (), output)
    # What decides is no burden of the other commands.
    from webhook.cli.reviewing import reviewed  # noqa: PLC0415
    from webhook.cli.reviewparts import Asked  # noqa: PLC0415
    from webhook.review.answer import one_line  # noqa: PLC0415

    asked = Asked(Path.cwd(), base, policies, tenancy, tuple(manifests or ()), history, since, until)
    done = asyncio.run(reviewed(asked, fail_on))
    for form, file in wanted:
        _write(file, _written(done, form))
    if not any(plain for plain in (output_file or ()) if _split(plain)[0] is None):
        sys.stdout.write(_written(done, output, terminal=sys.stdout.isatty()))
    for each in done.undone:
        sys.stderr.write(f"portcullis: {one_line(f'{each.title} could not be judged: {each.summary}', longest=1000)}\n")
    raise typer.Exit(done.code)


def _files(given: "tuple[str, ...] | list[str]", output: Format) -> list[tuple[Format, Path]]:
    found: list[tuple[Format, Path]] = []
    for each in given:
        form, name = _split(each)
        if not name:
            raise SettingsError(f"--output-file {each!r} names no file: give FORMAT=FILE")
        found.append((form or output, Path(name)))
    return found


def _split(given: str) -> tuple[Format | None, str]:
    form, equals, name = given.partition("=")
    known = next((each for each in get_args(Format) if each == form), None)
    return (known, name) if equals and known else (None, given)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--output-file {file} cannot be written: {error.strerror}") from error


def _written(done: "Reviewed", form: Format, *, terminal: bool = False) -> str:
    from webhook.cli import reviewed, reviewpage  # noqa: PLC0415 - rich is no burden of the others

    match form:
        case "json":
            return reviewed.as_json(done)
        case "sarif":
            return reviewed.as_sarif(done)
        case "junit":
            return reviewed.as_junit(done)
        case "markdown":
            return reviewpage.markdown(done)
        case "github":
            return reviewpage.annotations(done)
        case "text":
            return reviewpage.text(done, terminal=terminal)
