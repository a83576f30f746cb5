"""
What the rules look at: a rule that goes, or that looks at fewer kinds, refuses nothing there any more.

Neither tests nor mutants tell of it, for the tests go with the rule; and what is replayed may hold none of the kind.
"""

from collections.abc import Iterator, Mapping, Sequence

from webhook.decision.catalogue import RulePage
from webhook.model import Policies
from webhook.proposal.part import Remark

RULE = "rego/watched"
_SOFTENED = ("never", "partly", "fully")


def lost(base: Policies, head: Policies, pages: tuple[Sequence[RulePage], Sequence[RulePage]]) -> Iterator[Remark]:
    """Yield what the rules of `base` look at and those of `head` do not; `pages` are the catalogues of both."""
    for rule in sorted(base.rules - head.rules):
        yield Remark(RULE, "warn", f"{rule} is gone: what it refused is refused no more", rule, mark="gone")
    for rule in sorted(base.rules & head.rules):
        after = head.kinds.get(rule)
        if after is None:
            continue
        before = base.kinds.get(rule)
        kinds = "every other kind" if before is None else ", ".join(sorted(before - after))
        if kinds:
            yield Remark(RULE, "warn", f"{rule} does not look at {kinds} any more", rule, mark=f"kinds {kinds}")
    yield from _softer(*({page.id: page for page in each} for each in pages))


def _softer(base: Mapping[str, RulePage], head: Mapping[str, RulePage]) -> Iterator[Remark]:
    """Yield which rules may be softened further, and which guardrails have another default or key."""
    for rule in sorted(base.keys() & head.keys()):
        before, after = base[rule], head[rule]
        if _SOFTENED.index(after.softened) > _SOFTENED.index(before.softened):
            said = f"{rule} may be softened {after.softened}, and was {before.softened}"
            yield Remark(RULE, "warn", said, rule, mark=f"softened {after.softened}")
        if before.guardrail and before.guardrail != after.guardrail:
            now = f"{after.guardrail.key} = {after.guardrail.default!r}" if after.guardrail else "none"
            said = f"{rule} has another guardrail: {before.guardrail.key} = {before.guardrail.default!r}, now {now}"
            yield Remark(RULE, "warn", said, rule, mark=f"guardrail {now}")
