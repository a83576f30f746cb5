"""An explanation as a page that a tenant's admin takes in at a glance."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TypeVar

from webhook.cli.explanation import Explanation, Permission, Person
from webhook.cli.facts import EffectiveGuardrail, Facts, StandingBaseline
from webhook.cli.judging import Judged
from webhook.cli.page import Page
from webhook.model import Subject
from webhook.review.answer import one_line

T = TypeVar("T", Permission, Judged)

STYLES = {
    "in place": "green",
    "missing": "bold red",
    "differs": "bold yellow",
    "Allow": "yellow",
    "nobody": "dim",
    "nobody yet": "yellow",
    "default": "dim",
}
_OTHERS = {
    "allow": "anybody whom Kubernetes' RBAC lets",
    "warn": "all others are only warned",
    "audit": "all others are only recorded",
    "error": "for all others it cannot be decided, so it is refused",
    "unasked": "Portcullis is not asked: Kubernetes' RBAC alone decides",
}
_SHORT = 40
"""Characters of a revision or a reason that stand in a note."""


def show(found: Explanation, break_glass_groups: Sequence[str]) -> None:
    """Write the page to standard output."""
    page = Page()
    page.line(found.namespace, "bold")
    page.paragraph(_belongs(found))
    if found.person:
        _show_person(page, found.person)
    if found.facts:
        _show_roles(page, found.facts)
    if found.may is not None:
        _show_permissions(page, found.may, break_glass_groups)
    if found.facts:
        _show_facts(page, found.facts)
    page.line()
    page.line(f"As the rules of revision {found.revision[:12]} answer.", "dim")


def _belongs(found: Explanation) -> str:
    facts = found.facts
    if facts is None:
        return {
            "owned": "belongs to another workspace",
            "orphaned": "belongs to a workspace that does not exist or has no project",
        }.get(found.standing, "belongs to no workspace")
    ending = "; it is being deleted" if facts.terminating else ""
    match found.standing:
        case "owned":
            said = f"workspace {facts.workspace} of project {facts.project}, organization {facts.organization}"
        case "orphaned":
            said = f"workspace {facts.workspace}, which does not exist or has no project: an OrgAdmin's alone"
        case "reserved":
            said = "nobody: Kubernetes' own or Portcullis' own, and no baseline applies to it"
        case _:
            said = f"no workspace of organization {facts.organization}"
    return one_line(f"belongs to {said}{ending}")


def _show_person(page: Page, person: Person) -> None:
    page.heading(f"{one_line(person.user)} here", one_line(", ".join(f"Group {each}" for each in person.groups)))
    roles = ", ".join(f"{role} of {key.partition('/')[2]}" for key, role in person.roles)
    page.paragraph(roles or "holds no role, so is told no names", indent=2)
    if may := [each for each in person.actions if each.verdict == "allow"]:
        page.heading("May")
        page.table((title,) for title, _ in _joined(may, lambda each: each.verdict))
    for heading, verdicts in (
        ("May, for the rules are softened or overridden", {"warn", "audit"}),
        ("May not", {"deny", "error", "undone"}),
        ("Is not judged, for Portcullis is not asked here", {"unasked"}),
    ):
        actions = [each for each in person.actions if each.verdict in verdicts]
        if actions:
            page.heading(heading)
        # Those of one reason stand together above it, in the order of the first of each.
        for reasons in dict.fromkeys(map(_reasons, actions)):
            for title, _ in _joined([each for each in actions if _reasons(each) == reasons], _reasons):
                page.line(f"  {title}")
            for reason in reasons:
                page.paragraph(reason, indent=6, style="dim")


def _reasons(judged: Judged) -> tuple[str, ...]:
    """Return why, a line each, without who asks what: that stands above it."""
    lines = judged.message.splitlines() or judged.warnings
    if not lines and judged.verdict == "audit":
        return (f"only recorded: {', '.join(judged.rules)}",)
    return tuple(map(_short, lines))


def _short(line: str) -> str:
    rule, closed, said = line.partition("] ")
    subject, colon, reason = said.partition(": ")
    return f"{rule}{closed}{reason}" if closed and colon and " may not " in subject else line


def _joined(actions: Sequence[T], outcome: Callable[[T], object]) -> Iterator[tuple[str, T]]:
    """Yield the actions, those that differ in their verb alone and have one outcome as one title."""
    for what, group in groupby(actions, key=lambda each: (each.title.partition(" ")[2], outcome(each))):
        every = list(group)
        *most, last = [each.title.partition(" ")[0] for each in every]
        yield f"{', '.join(most)} or {last} {what[0]}" if most else f"{last} {what[0]}", every[0]


def _show_roles(page: Page, facts: Facts) -> None:
    page.heading("Who holds which role")
    page.table(
        (
            (each.role, f"of {each.tenant.partition('/')[2]}", _subjects(each.subjects) or "nobody yet")
            for each in facts.roles
        ),
        styles=STYLES,
    )


def _subjects(subjects: Iterable[Subject]) -> str:
    return one_line(
        ", ".join(f"{each.kind} {f'{each.namespace}/' * bool(each.namespace)}{each.name}" for each in subjects)
    )


def _show_permissions(page: Page, may: Sequence[Permission], break_glass_groups: Sequence[str]) -> None:
    page.heading("Who may")
    rows = _joined(may, lambda each: (each.roles, each.others))
    page.table(((title, _roles(each)) for title, each in rows), styles=STYLES)
    asked = [each for each in may if each.others != "unasked"]
    if asked and all(each.break_glass for each in asked):
        groups = ", ".join(f"Group {each}" for each in break_glass_groups)
        page.paragraph(f"and break-glass, with a warning, all of it: {one_line(groups)}", indent=2, style="dim")


def _roles(permission: Permission) -> str:
    roles, others = ", ".join(permission.roles), _OTHERS.get(permission.others, "")
    if permission.others == "allow":
        return others
    return "; ".join(each for each in (roles, others) if each) or "nobody"


def _show_facts(page: Page, facts: Facts) -> None:
    _show_baselines(page, facts)
    if facts.guardrails:
        page.heading("Guardrails")
        page.table(((each.key, *_guardrail(each)) for each in facts.guardrails), styles=STYLES)
    if facts.enforcement:
        page.heading("Enforcement", f"softened by organization {facts.organization}")
        page.table(facts.enforcement.items())
        if facts.never_softened:
            page.paragraph(f"never softened: {', '.join(facts.never_softened)}", indent=2, style="dim")
    else:
        page.line()
        page.line("Every rule is enforced.")


def _show_baselines(page: Page, facts: Facts) -> None:
    every = [policy.state for each in facts.baselines for policy in each.policies]
    standing = f"{every.count('in place')} of {len(every)} policies in place"
    page.heading("Baselines", "; ".join([standing, *_told(facts.state)]) if facts.baselines else "none applies")
    if facts.exemption:
        until, reason = facts.exemption["until"] or "no end", facts.exemption["reason"] or "no reason"
        page.paragraph(f"exempt until {one_line(until)}: {one_line(reason)}", indent=2, style="yellow")
    for baseline in facts.baselines:
        page.line(f"  {baseline.name}, {_by(baseline)}")
        if baseline.problem:
            page.paragraph(baseline.problem, indent=4, style="bold red")
        rows = (
            (each.name, each.state, f"in {each.differs_in}" if each.differs_in else "") for each in baseline.policies
        )
        page.table(rows, indent=4, styles=STYLES)
    if facts.baselines:
        return
    page.paragraph("so no guardrail is judged, and pods start ungated", indent=2, style="dim")


def _by(baseline: StandingBaseline) -> str:
    if baseline.selected:
        return "which selects it by its labels"
    return f"of {', '.join(key.replace('/', ' ').lower() for key in baseline.named_by)}"


def _told(state: Mapping[str, str] | None) -> Iterator[str]:
    if state is None:
        yield "no state was told yet"
        return
    reason = f" ({one_line(state['reason'], longest=_SHORT * 5)})" if state["reason"] else ""
    yield f"told to be {one_line(state['state'], longest=_SHORT) or 'in no state'}{reason}"


def _guardrail(each: EffectiveGuardrail) -> tuple[str, str]:
    value = each.value if isinstance(each.value, str) else ", ".join(each.value) or "nothing"
    by = [key.replace("/", " ").lower() for key in each.set_by]
    source = " and ".join([*(["the default"] if each.default and by else []), *by])
    return value, f"set by {source}" if by else "default"
