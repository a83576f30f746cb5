"""What a change to the tenant tree does: who may do what afterwards, whose things are, and what protects them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from webhook.decision.catalogue import RulePage
from webhook.decision.opa import Opa
from webhook.errors import NoDecisionError
from webhook.model import Policies
from webhook.proposal.holding import Holding, held_by_each
from webhook.proposal.ownership import owners, tenants
from webhook.proposal.part import Part, Remark, judged, not_done
from webhook.proposal.probes import rights_of
from webhook.proposal.protection import Difference, baselines, enforcement, exemptions, guardrails
from webhook.proposal.rights import RightChange, View, by_the_rules, called, changes_between
from webhook.scan.finding import Action
from webhook.tenancy.files import Loading
from webhook.tenancy.specs import ROLES
from webhook.tenancy.tree import Tree

NAME, TITLE = "tenancy", "The tenant tree"
RIGHTS, RULES, TREE = "tenancy/rights", "tenancy/rules", "tenancy/tree"
_PLACED = re.compile(r"^(?P<file>.*?):(?P<line>\d+)(?::(?P<column>\d+))?: (?P<what>.*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Ruled:
    """
    A tree of files that lie under `root`, with the rules that count for it, and an OPA that has these.

    `loading` is None where there are no files.
    """

    opa: Opa
    policies: Policies
    catalogue: Sequence[RulePage]
    root: Path
    loading: Loading | None


async def judge_tenancy(base: Ruled, head: Ruled, now: datetime) -> Part:
    """Return what the tree of `head` changes; what of either cannot be read is told."""
    before, after = base.loading, head.loading
    if after is None or after.tree is None:
        errors = tuple(_of_error(each, head.root) for each in after.errors) if after else ()
        why = f"the tree cannot be read: {len(errors)} errors" if errors else "the tree is gone from the working tree"
        return not_done(NAME, TITLE, why, errors)
    told = list(_told_before(before, base))
    old = before.tree if before else None
    try:
        changes, by_rules = await _rights(base, head, old, after.tree)
    except NoDecisionError as error:
        return not_done(NAME, TITLE, f"the rules do not say who may what: {error}", tuple(told))
    where = _Where(after, head.root)
    told += [_by_rule(*each) for each in by_rules]
    told += [_of_change(each, where) for each in changes]
    told += [where.remark(each) for each in _differences(old, after.tree, head, now)]
    told += list(_dangling(before, after, base.root, head.root))
    remarks = tuple(told)
    return Part(
        NAME,
        TITLE,
        judged(remarks),
        _summary(changes, remarks),
        remarks,
        told={"rights": [c.as_json() for c in changes]},
    )


def _told_before(before: Loading | None, base: Ruled) -> Iterator[Remark]:
    if before is None:
        yield Remark(TREE, "none", "the tree is new: all that it gives is told as gained", NAME)
    elif before.tree is None:
        first = _of_error(before.errors[0], base.root)
        said = f"the tree of the base cannot be read, so all that this one gives is told as gained: {first.message}"
        yield Remark(TREE, "warn", said, NAME)


async def _rights(
    base: Ruled, head: Ruled, old: Tree | None, new: Tree
) -> tuple[tuple[RightChange, ...], tuple[tuple[bool, str, str], ...]]:
    same = base.policies == head.policies
    after = await rights_of(head.opa, head.policies)
    before = after if same or old is None else await rights_of(base.opa, base.policies)
    sides = Holding(base.opa, old), Holding(head.opa, new)
    held = await held_by_each(*sides, same_rules=same)
    views = (View(side.sites, rights, each) for side, rights, each in zip(sides, (before, after), held, strict=True))
    return changes_between(*views), tuple(by_the_rules(before, after))


def _differences(old: Tree | None, new: Tree, head: Ruled, now: datetime) -> Iterator[Difference]:
    yield from owners(old, new)
    yield from tenants(old, new)
    if old is None:
        return
    yield from baselines(old, new)
    yield from guardrails(old, new, head.catalogue)
    yield from enforcement(old, new, head.catalogue)
    yield from exemptions(old, new, now)


@dataclass(frozen=True, slots=True)
class _Where:
    """Where things stand in the files of the head."""

    loading: Loading
    root: Path

    def remark(self, each: Difference) -> Remark:
        """Return what is told of a difference."""
        return self.at(Remark(each.rule, each.action, each.message, each.thing, mark=each.message), each.key)

    def at(self, remark: Remark, key: str, *steps: str) -> Remark:
        """Return a remark with where the tree's object `key` stands, or a part of it."""
        kind, _, name = key.partition("/")
        manifest = self.loading.places.get((kind, "", name))
        if manifest is None:
            return remark
        error = manifest.error(steps, "")
        return replace(remark, file=_relative(error.file, self.root), line=error.line, column=error.column)


def _of_change(change: RightChange, where: _Where) -> Remark:
    action: Action = "warn" if change.gained else "none"
    role, _, name = change.by[0].partition(" of ")
    remark = Remark(RIGHTS, action, change.message, called(change.subject), mark=f"{change.gained} {change.by}")
    kind = next(kind for kind, roles in ROLES.items() if role in roles)
    return where.at(remark, f"{kind}/{name}", "spec", "roles")


def _by_rule(gained: bool, role: str, name: str) -> Remark:  # noqa: FBT001 - as `by_the_rules` yields it
    place, _, right = name.partition(": ")
    where = f"at {place}" if place[0].isupper() else f"in a namespace that is {place}"
    said = f"by the changed rules {role} {'may' if gained else 'may no longer'} {right} {where}"
    everybody = gained and role == "anybody"
    return Remark(RULES, "enforce" if everybody else "warn" if gained else "none", said, name)


def _dangling(before: Loading | None, after: Loading, base: Path, head: Path) -> Iterator[Remark]:
    """Yield what is newly wrong with a tree that can be read."""
    known = {_of_line(each, base).message for each in before.warnings} if before else set()
    yield from (each for each in (_of_line(line, head) for line in after.warnings) if each.message not in known)


def _of_line(line: str, root: Path) -> Remark:
    found = _PLACED.match(line)
    if found is None:
        return Remark(TREE, "warn", line, NAME)
    file = _relative(Path(found["file"]), root)
    return Remark(TREE, "warn", found["what"], NAME, file, int(found["line"]), int(found["column"] or 0))


def _of_error(error: Exception, root: Path) -> Remark:
    return replace(_of_line(str(error).replace(f"{root}/", ""), root), action="enforce")


def _relative(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()


def _summary(changes: Sequence[RightChange], remarks: Iterable[Remark]) -> str:
    gaining = {each.subject for each in changes if each.gained}
    losing = {each.subject for each in changes if not each.gained}
    others = [each for each in remarks if each.rule not in {RIGHTS, TREE}]
    if not changes and not others:
        return "nobody gains or loses a right, and nothing protects less"
    who = [f"{_count(len(gaining), 'subject')} gaining", f"{len(losing)} losing rights"]
    return ", ".join([*who, _count(len(others), "further change")])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
