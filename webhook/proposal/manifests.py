"""
What a change to manifests does: what the rules find in them that they did not find before, and who reaches whom.

Each side is judged by its own rules, beside its own tree, so that what a changed rule finds in manifests that nobody
touched is new as well.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from webhook.errors import ManifestError, PortcullisError
from webhook.proposal.part import Part, Remark, judged, not_done
from webhook.proposal.reach import Landscape, differences, landscape
from webhook.proposal.revisions import changed
from webhook.tenancy.manifests import read_manifests
from webhook.tenancy.tree import Tree

NAME, TITLE = "manifests", "The manifests"


@dataclass(frozen=True, slots=True)
class Checked:
    """What is found in the manifests of one side, with how many objects there are, and what could not be read."""

    found: tuple[Remark, ...]
    objects: int
    unreadable: tuple[ManifestError, ...] = ()


Check = Callable[[Sequence[Path], Sequence[Path]], Awaitable[Checked]]
"""Judges the manifests of folders: as new, or as changes to those of other folders."""


@dataclass(frozen=True, slots=True)
class Written:
    """The manifests of one side: `folders` in `root`, the tree beside them, and how they are judged."""

    root: Path
    folders: tuple[str, ...]
    tree: Tree | None
    check: Check

    def paths(self) -> list[Path]:
        """Return the folders that there are."""
        return [path for each in self.folders if (path := self.root / each).exists()]

    async def checked(self, against: Sequence[Path] = ()) -> Checked:
        """Return what is found; raises `PortcullisError`."""
        paths = self.paths()
        return await self.check(paths, against) if paths else Checked((), 0)

    def landscape(self) -> Landscape:
        """Return who can reach whom."""
        manifests = (each for path in self.paths() for each in read_manifests(path).manifests)
        return landscape(manifests, self.tree)


async def judge_manifests(base: Written, head: Written) -> Part:
    """Return what the manifests of `head` change; what of either cannot be read is told."""
    try:
        after = await head.checked()
        before, told = await _before(base)
        fresh = await _fresh(before, after, base, head)
    except PortcullisError as error:
        return not_done(NAME, TITLE, f"they cannot be judged: {error}")
    known = {each.fingerprint for each in before.found}
    found = {each.fingerprint for each in after.found}
    unreadable = tuple(_of_error(each, head.root) for each in after.unreadable)
    # Of a file that cannot be read nobody knows whom it lets through.
    reach = () if unreadable else tuple(_reach(base, head))
    remarks = (*unreadable, *told, *fresh, *reach)
    summary = f"{len(fresh)} new {'finding' if len(fresh) == 1 else 'findings'} in {after.objects} objects"
    if unreadable:
        return replace(not_done(NAME, TITLE, f"{len(unreadable)} cannot be read; {summary}", remarks), told={})
    kept, gone = len(after.found) - len(fresh), len(known - found)
    summary += f", {kept} known, unchanged" * bool(kept) + f", {gone} fixed" * bool(gone)
    return Part(
        NAME,
        TITLE,
        judged(remarks),
        summary,
        remarks,
        known=kept,
        fixed=gone,
        told={"reach": [r.message for r in reach]},
    )


async def _fresh(before: Checked, after: Checked, base: Written, head: Written) -> tuple[Remark, ...]:
    """
    Return what was not found before.

    What is found of the same thing again is new where the rules would refuse the change from the one to the other: what
    violates a rule may be narrowed, and not widened. The words need not tell: they say nothing of ports, say.
    """
    known = {each.fingerprint for each in before.found}
    worse = set[tuple[str, str]]()
    if any(each.fingerprint in known for each in after.found) and _differ(base, head):
        change = await head.checked(base.paths())
        worse = {(each.rule, each.thing) for each in change.found if each.action == "enforce"}
    return tuple(each for each in after.found if each.fingerprint not in known or (each.rule, each.thing) in worse)


def _differ(base: Written, head: Written) -> bool:
    return any(changed(base.root / each, head.root / each) for each in head.folders)


async def _before(base: Written) -> tuple[Checked, tuple[Remark, ...]]:
    """Return what was found before; where that cannot be said, nothing was, so that all that is found is new."""
    try:
        before = await base.checked()
    except PortcullisError as error:
        said = f"those of the base cannot be judged, so all that is found counts as new: {error}"
        return Checked((), 0), (Remark("manifests/base", "warn", said, NAME, mark="base"),)
    said = "some of the base cannot be read, so what is found in them counts as new"
    return before, (Remark("manifests/base", "none", said, NAME, mark="some"),) if before.unreadable else ()


def _reach(base: Written, head: Written) -> Iterator[Remark]:
    before, after = base.landscape(), head.landscape()
    yield from differences(before, after)
    yield from _not_looked_at(after.unreadable)


def _not_looked_at(lines: Iterable[str]) -> Iterator[Remark]:
    for line in lines:
        yield Remark("manifests/reach", "none", f"who it lets through is not known: {line}", NAME, mark=line)


def _of_error(error: ManifestError, root: Path) -> Remark:
    file = error.file.relative_to(root).as_posix() if error.file.is_relative_to(root) else error.file.as_posix()
    what = error.what.replace(f"{root}/", "")
    return Remark("manifests/unreadable", "enforce", what, file, file, error.line, error.column, mark=what)
