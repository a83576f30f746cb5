"""The four questions of a review, each asked of both sides."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from webhook.cli.replaying import Asked as Recorded
from webhook.cli.replaying import play
from webhook.cli.reviewsides import Ready, Rules
from webhook.errors import PolicyError
from webhook.proposal import flips, gate, tenancy
from webhook.proposal.checking import Checking
from webhook.proposal.git import repository
from webhook.proposal.manifests import NAME as MANIFESTS
from webhook.proposal.manifests import TITLE as MANIFESTS_TITLE
from webhook.proposal.manifests import Written, judge_manifests
from webhook.proposal.part import Part, Remark, judged, not_applicable, not_done
from webhook.proposal.records import rewritten
from webhook.proposal.rego import judge_rego
from webhook.proposal.revisions import Side, changed
from webhook.proposal.tenancy import Ruled, judge_tenancy
from webhook.proposal.watched import lost
from webhook.settings import environment

Tell = Callable[[str], None]
UNCHANGED = "the same on both sides"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: of which folder, against which revision, and what in it is compared."""

    here: Path
    base: str
    policies: Path | None = None
    tenancy: Path | None = None
    manifests: tuple[Path, ...] = ()
    history: str | None = None
    since: str | None = None
    until: str | None = None


def _same(sides: Ready, folder: str) -> bool:
    return not changed(sides.compared.base.root / folder, sides.compared.head.root / folder)


async def rego(_: Asked, sides: Ready, tell: Tell) -> Part:
    """Judge the Rego itself."""
    folder = sides.folders.policies
    if not folder:
        return not_applicable(gate.NAME, gate.TITLE, "the bundled rules, unchanged")
    if _same(sides, folder):
        return not_applicable(gate.NAME, gate.TITLE, UNCHANGED)
    less = tuple(_less(sides))
    if not sides.compared.head.has(folder):
        said = f"{folder} is gone, so the bundled rules count"
        gone = Remark("rego/watched", "warn", said, folder, mark="bundled")
        return Part(gate.NAME, gate.TITLE, judged((gone, *less)), said, (gone, *less))
    tell("judging the Rego")
    before = sides.compared.base.root / folder
    report = await judge_rego(
        sides.compared.head.root / folder,
        sides.opa,
        base=before if before.is_dir() else None,
        told=lambda what: tell(f"judging the Rego: {what}"),
    )
    part = gate.judge_report(report, folder)
    remarks = (*part.remarks, *less)
    return replace(part, remarks=remarks, state=judged(remarks))


def _less(sides: Ready) -> Iterator[Remark]:
    """Yield what the rules look at no more; of a side that cannot be asked another part says so."""
    if sides.base and sides.head:
        before, after = sides.base, sides.head
        yield from lost(before.bundle.policies, after.bundle.policies, (before.catalogue, after.catalogue))


async def replay(asked: Asked, sides: Ready, tell: Tell) -> Part:
    """Decide recorded requests again."""
    if not asked.history:
        return not_applicable(flips.NAME, flips.TITLE, "no --history is given")
    base, head = _rules(sides, sides.compared.base), _rules(sides, sides.compared.head)
    if sides.doubt:
        raise PolicyError(f"the rules of the base cannot be asked: {sides.doubt}")
    wanted = Recorded(asked.history, base.bundle, head.bundle, asked.since, asked.until)
    played = await play(wanted, sides.opa, lambda done: tell(f"{done:,} recorded decisions"))
    if played.skipped:
        return not_applicable(flips.NAME, flips.TITLE, played.skipped)
    if played.replay is None:
        return not_done(flips.NAME, flips.TITLE, played.failed)
    part = flips.judge_replay(played.replay, played.notes, told=played.as_json())
    return await asyncio.to_thread(_trusted, part, asked, sides)


def _trusted(part: Part, asked: Asked, sides: Ready) -> Part:
    """Return a replay with a finding where the change wrote what was replayed."""
    git = repository(asked.here, environment())
    if not asked.history or not rewritten(git, sides.compared.commit, asked.history):
        return part
    said = "the records are part of the change, so who proposes it says what was recorded: have them from elsewhere"
    remarks = (*part.remarks, Remark("replay/records", "warn", said, flips.NAME, mark="changed"))
    return replace(part, remarks=remarks, state=judged(remarks))


async def tree(_: Asked, sides: Ready, tell: Tell) -> Part:
    """Judge what the tenant tree gives and protects."""
    folder = sides.folders.tenancy
    if not folder:
        return not_applicable(tenancy.NAME, tenancy.TITLE, "no --tenancy is given")
    tell("asking who may do what")
    base, head = (_ruled(sides, side) for side in (sides.compared.base, sides.compared.head))
    if _same(sides, folder) and base.policies == head.policies:
        return not_applicable(tenancy.NAME, tenancy.TITLE, UNCHANGED)
    return await judge_tenancy(base, head, datetime.now(UTC))


async def manifests(_: Asked, sides: Ready, tell: Tell) -> Part:
    """Judge the manifests."""
    if not sides.folders.manifests:
        return not_applicable(MANIFESTS, MANIFESTS_TITLE, "no --manifests are given")
    tell("judging the manifests")
    base, head = (_written(sides, side) for side in (sides.compared.base, sides.compared.head))
    return await judge_manifests(base, head)


QUESTIONS = ((gate.NAME, gate.TITLE, rego), (flips.NAME, flips.TITLE, replay), (tenancy.NAME, tenancy.TITLE, tree),
             (MANIFESTS, MANIFESTS_TITLE, manifests))  # fmt: skip
"""Each with its name and its title."""


def _rules(sides: Ready, side: Side) -> Rules:
    """Return the rules of a side; for those of the base that cannot be asked those of the working tree stand in."""
    found = sides.base if side is sides.compared.base else sides.head
    if found or sides.head:
        return found or sides.head  # type: ignore[return-value]
    raise PolicyError(f"the rules of the working tree cannot be asked: {sides.trouble}")


def _ruled(sides: Ready, side: Side) -> Ruled:
    rules = _rules(sides, side)
    return Ruled(rules.opa, rules.bundle.policies, rules.catalogue, side.root, sides.loading(side))


def _written(sides: Ready, side: Side) -> Written:
    loading = sides.loading(side)
    rules = _rules(sides, side)
    pages = {each.id: each for each in rules.catalogue}
    checking = Checking(rules.opa, rules.bundle.policies, pages, loading, side.root, datetime.now(UTC))
    return Written(side.root, sides.folders.manifests, loading.tree if loading else None, checking.check)
