"""The four questions of a review, each asked of both sides."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from webhook.cli.reviewsides import Ready, Rules
from webhook.errors import PolicyError, ProposalError
from webhook.proposal import tenancy
from webhook.proposal.manifests import NAME as MANIFESTS
from webhook.proposal.manifests import TITLE as MANIFESTS_TITLE
from webhook.proposal.manifests import Written, judge_manifests
from webhook.proposal.part import Part, not_applicable
from webhook.proposal.revisions import Side, changed
from webhook.proposal.tenancy import Ruled, judge_tenancy

Tell = Callable[[str], None]
REGO, REGO_TITLE = "rego", "The Rego"
REPLAY, REPLAY_TITLE = "replay", "Replay of recorded decisions"
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


async def rego(asked: Asked, sides: Ready, tell: Tell) -> Part:
    """Judge the Rego itself."""
    folder = sides.folders.policies
    if not folder:
        return not_applicable(REGO, REGO_TITLE, "the bundled rules, unchanged")
    if _same(sides, folder):
        return not_applicable(REGO, REGO_TITLE, UNCHANGED)
    if not sides.compared.head.has(folder):
        return not_applicable(REGO, REGO_TITLE, f"{folder} is gone, so the bundled rules count")
    raise ProposalError(f"no gate yet {asked} {tell}")


async def replay(asked: Asked, sides: Ready, tell: Tell) -> Part:
    """Decide recorded requests again."""
    if not asked.history:
        return not_applicable(REPLAY, REPLAY_TITLE, "no --history is given")
    base, head = _rules(sides, sides.compared.base), _rules(sides, sides.compared.head)
    if base.bundle.policies == head.bundle.policies:
        return not_applicable(REPLAY, REPLAY_TITLE, "the rules are the same, so no decision could come out otherwise")
    raise ProposalError(f"no replay yet {tell}")


async def tree(asked: Asked, sides: Ready, tell: Tell) -> Part:
    """Judge what the tenant tree gives and protects."""
    folder = sides.folders.tenancy
    if not folder:
        return not_applicable(tenancy.NAME, tenancy.TITLE, "no --tenancy is given")
    tell("asking who may do what")
    base, head = (_ruled(sides, side) for side in (sides.compared.base, sides.compared.head))
    if _same(sides, folder) and base.policies == head.policies:
        return not_applicable(tenancy.NAME, tenancy.TITLE, UNCHANGED)
    return await judge_tenancy(base, head, datetime.now(UTC))


async def manifests(asked: Asked, sides: Ready, tell: Tell) -> Part:
    """Judge the manifests."""
    if not sides.folders.manifests:
        return not_applicable(MANIFESTS, MANIFESTS_TITLE, "no --manifests are given")
    tell("judging the manifests")
    base, head = (_written(sides, side) for side in (sides.compared.base, sides.compared.head))
    return await judge_manifests(base, head)


QUESTIONS = ((REGO, REGO_TITLE, rego), (REPLAY, REPLAY_TITLE, replay), (tenancy.NAME, tenancy.TITLE, tree),
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
    from webhook.cli.manifestcheck import check_by  # noqa: PLC0415

    check = check_by(_rules(sides, side), loading, side.root)
    return Written(side.root, sides.folders.manifests, loading.tree if loading else None, check)
