"""`portcullis rules`: the catalogue of rules, from what each says of itself."""

import difflib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from webhook.cli.options import Policies
from webhook.errors import SettingsError
from webhook.settings import bundled_policies

if TYPE_CHECKING:
    from webhook.decision.catalogue import RulePage

STYLES = {"critical": "bold red", "high": "red", "medium": "yellow"}
_INTRODUCTION = (
    (
        "Every request is judged by those of these rules that look at its kind, each a folder of "
        "`policies_rego/portcullis/rules/`. What one "
        "of them refuses is refused, unless the Organization softens that rule by `spec.enforcement` (rule id, "
        "`category/*` or `*`, each `enforce`, `warn` or `audit`; the nearest counts)."
    ),
    "Written by `portcullis rules -o markdown > docs/rules.md` from the METADATA of the rules; a test keeps it fresh.",
)
_SOFTENED = {
    "fully": "spec.enforcement softens it to warn or audit.",
    "partly": "spec.enforcement softens a part of it to warn or audit; the rest is always refused.",
    "never": "It is never softened: spec.enforcement does not reach it.",
}


def rules(
    rule: Annotated[str | None, typer.Argument(help="One rule, by its id.", show_default="all of them")] = None,
    *,
    policies: Policies = None,
    output: Annotated[
        Literal["text", "json", "markdown"],
        typer.Option("--output", "-o", help="How to write it.", envvar="PORTCULLIS_OUTPUT"),
    ] = "text",
) -> None:
    """
    Show the rules: what each refuses, how bad that is, what to do about it, and whether it can be softened.

    JSON is {"revision", "rules": [...]}, or the one rule asked for; each has id, title, description, severity,
    remediation, softened (fully, partly or never, by spec.enforcement), guardrail (its key in spec.guardrails and the
    default, or null) and related_resources (addresses to read on at).

    Example: portcullis rules rbac/namespace-policy

    Example, the page of all rules: portcullis rules -o markdown
    """
    # What reads policies is no burden of the other commands.
    from webhook.decision.bundle import read_policies  # noqa: PLC0415
    from webhook.decision.catalogue import read_catalogue  # noqa: PLC0415

    bundle = read_policies(policies or bundled_policies())
    catalogue = read_catalogue(bundle)
    if rule is not None:
        _show_one(_named(rule, catalogue), output)
        return
    match output:
        case "json":
            _write_json({"revision": bundle.policies.revision, "rules": [as_json(each) for each in catalogue]})
        case "markdown":
            sys.stdout.write(markdown(catalogue))
        case "text":
            _list(catalogue)


def _named(rule: str, catalogue: Sequence["RulePage"]) -> "RulePage":
    ids = [each.id for each in catalogue]
    if rule in ids:
        return catalogue[ids.index(rule)]
    (nearest,) = difflib.get_close_matches(rule, ids, n=1, cutoff=0)
    raise SettingsError(f"there is no rule {rule!r}: the nearest is {nearest}, and `portcullis rules` shows all")


def _show_one(page: "RulePage", output: str) -> None:
    match output:
        case "json":
            _write_json(as_json(page))
        case "markdown":
            sys.stdout.write("\n".join(_section(page, level=1)))
        case _:
            _show(page)


def as_json(page: "RulePage") -> dict[str, Any]:
    """Return a rule as `-o json` writes it."""
    guardrail = page.guardrail
    return {
        "id": page.id,
        "title": page.title,
        "description": page.description,
        "severity": page.severity,
        "remediation": page.remediation,
        "softened": page.softened,
        "guardrail": {"key": guardrail.key, "default": guardrail.default} if guardrail else None,
        "related_resources": list(page.related_resources),
    }


def _write_json(value: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(value, indent=2, ensure_ascii=False)}\n")


def _list(catalogue: Sequence["RulePage"]) -> None:
    from webhook.cli.page import Page  # noqa: PLC0415 - rich is no burden of the other commands

    page = Page()
    page.table(((each.id, each.severity, each.title) for each in catalogue), indent=0, styles=STYLES)
    page.line()
    page.line(f"{len(catalogue)} rules; portcullis rules RULE says more of one.", style="dim")


def _show(rule: "RulePage") -> None:
    from webhook.cli.page import Page  # noqa: PLC0415 - rich is no burden of the other commands

    page = Page()
    page.table([(rule.id, rule.severity)], indent=0, styles={rule.id: "bold", **STYLES})
    page.paragraph(rule.title)
    page.line()
    page.paragraph(rule.description)
    page.line()
    facts = [("Do", rule.remediation), ("Softened", _SOFTENED[rule.softened])]
    if rule.guardrail:
        facts.append(("Guardrail", f"spec.guardrails.{rule.guardrail.key}; {_default(rule)} where no level sets it."))
    page.table([*facts, *(("See", each) for each in rule.related_resources)], indent=0, styles={"See": "dim"})


def _default(rule: "RulePage") -> str:
    default = rule.guardrail.default if rule.guardrail else ""
    return default if isinstance(default, str) else ", ".join(default) or "empty"


def markdown(catalogue: Sequence["RulePage"]) -> str:
    """Return the page of all rules."""
    table = [
        "| rule | severity | softened | what it says |",
        "|---|---|---|---|",
        *(
            f"| [`{each.id}`](#{each.id.replace('/', '')}) | {each.severity} | {each.softened} | {_cell(each.title)} |"
            for each in catalogue
        ),
    ]
    head = ["# Rules", "", *(line for each in _INTRODUCTION for line in (each, "")), *table, ""]
    return "\n".join([*head, *(line for each in catalogue for line in _section(each, level=2))])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _section(rule: "RulePage", *, level: int) -> Iterator[str]:
    yield from (f"{'#' * level} {rule.id}", "", f"**{rule.title}** ({rule.severity})", "")
    yield from (rule.description.strip(), "")
    yield f"- **Do**: {rule.remediation}"
    yield f"- **Softened**: {_SOFTENED[rule.softened].replace('spec.enforcement', '`spec.enforcement`')}"
    if rule.guardrail:
        yield f"- **Guardrail**: `spec.guardrails.{rule.guardrail.key}`; {_default(rule)} where no level sets it."
    yield from (f"- See <{each}>" for each in rule.related_resources)
    yield ""
