"""What the trees protect namespaces by, and how that differs: baselines, guardrails, enforcement, exemptions."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from webhook.decision.catalogue import RulePage
from webhook.exemption import read_exemption, rfc3339
from webhook.model import Baseline, Tenant
from webhook.proposal.rights import listed, rank, sites_of
from webhook.scan.finding import Action
from webhook.tenancy.tree import Tree

BASELINE, GUARDRAIL, ENFORCEMENT, EXEMPTION = (
    f"tenancy/{each}" for each in ("baseline", "guardrail", "enforcement", "exemption")
)
_STRENGTH = {"enforce": 3, "warn": 2, "audit": 1}
Setting = str | frozenset[str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs: `thing` is the path of what it is told of, `key` the tree's object that says it."""

    rule: str
    action: Action
    message: str
    thing: str
    key: str = ""


def baselines(base: Tree, head: Tree) -> Iterator[Difference]:
    """Yield which baselines apply elsewhere, and which are others than they were."""
    moved: defaultdict[tuple[str, bool], list[str]] = defaultdict(list)
    for name in sorted(set(base.namespaces) & set(head.namespaces)):
        before, after = set(base.place_of(name).baselines), set(head.place_of(name).baselines)
        for each in before - after:
            moved[each, False].append(name)
        for each in after - before:
            moved[each, True].append(name)
    for (each, applies), names in sorted(moved.items()):
        said = f"NetworkBaseline {each} {'now applies' if applies else 'no longer applies'} to {listed(names)}"
        yield Difference(BASELINE, "none" if applies else "warn", said, each, f"NetworkBaseline/{each}")
    for each in sorted(set(base.baselines) & set(head.baselines)):
        for action, said in _changed(base.baselines[each], head.baselines[each]):
            yield Difference(BASELINE, action, f"NetworkBaseline {each}: {said}", each, f"NetworkBaseline/{each}")


def _changed(base: Baseline, head: Baseline) -> Iterator[tuple[Action, str]]:
    before, after = ({each.name: each.spec for each in side.policies} for side in (base, head))
    for name in sorted({*before, *after}):
        if name not in after:
            yield "warn", f"its policy {name} is taken out"
        elif name not in before:
            yield "none", f"its policy {name} is new"
        elif before[name] != after[name]:
            yield "warn", f"its policy {name} says something else"
    if base.drift != head.drift:
        softer = head.drift == "Report"
        yield "warn" if softer else "none", f"what drifts from it is {'only reported' if softer else 'repaired'} now"


def guardrails(base: Tree, head: Tree, catalogue: Sequence[RulePage]) -> Iterator[Difference]:
    """Yield which guardrails count for more or less, and where."""
    defaults = {each.guardrail.key: each.guardrail.default for each in catalogue if each.guardrail}
    sites = sites_of(base), sites_of(head)
    found: defaultdict[tuple[str, str, Action, str], list[str]] = defaultdict(list)
    known: dict[tuple[tuple[str, ...], tuple[str, ...]], list[tuple[str, str, Action, str]]] = {}
    for place in sorted(set(sites[0]) & set(sites[1]), key=lambda each: (-rank(each)[0], each)):
        paths = sites[0][place][1], sites[1][place][1]
        if paths not in known:
            before, after = (_effective(*pair, defaults) for pair in zip((base, head), paths, strict=True))
            setting = next((key for key in paths[1] if _sets(head, key) != _sets(base, key)), "")
            known[paths] = [(key, setting, *each) for key in defaults for each in _widened(before[key], after[key])]
        for change in known[paths]:
            found[change].append(place)
    for (key, setting, action, said), places in found.items():
        yield Difference(GUARDRAIL, action, f"guardrail {key} {said} in {listed(places)}", key, setting)


def _sets(tree: Tree, key: str) -> object:
    return tree.tenants[key].guardrails if key in tree.tenants else None


def _effective(tree: Tree, path: Iterable[str], defaults: Mapping[str, str | tuple[str, ...]]) -> dict[str, Setting]:
    """Return what counts there: the nearest value; lists add up, with the default unless it is dropped."""
    tenants: list[Tenant] = [tree.tenants[key] for key in path]
    effective: dict[str, Setting] = {}
    for key, default in defaults.items():
        setting = [each for each in tenants if key in each.guardrails]
        if isinstance(default, tuple):
            kept = () if any(each.kind == "Organization" for each in setting) else default
            effective[key] = frozenset(chain(kept, *(each.guardrails[key] for each in setting)))
        else:
            effective[key] = str(setting[0].guardrails[key]) if setting else default
    return effective


def _widened(before: Setting, after: Setting) -> Iterator[tuple[Action, str]]:
    if isinstance(before, frozenset) and isinstance(after, frozenset):
        if gone := before - after:
            yield "warn", f"widens: {listed(sorted(gone))} is no longer protected"
        if fresh := after - before:
            yield "none", f"narrows: {listed(sorted(fresh))} is protected now"
    elif before != after:
        wider = after == "Allow"
        yield "warn" if wider else "none", f"{'widens' if wider else 'narrows'} from {before} to {after}"


def enforcement(base: Tree, head: Tree, catalogue: Sequence[RulePage]) -> Iterator[Difference]:
    """Yield which rules the Organization softens, and which it hardens."""
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for page in catalogue:
        before, after = (_setting(each.organization, page.id) for each in (base, head))
        if page.softened != "never" and before != after:
            found[before, after].append(page.id)
    for (before, after), rules in sorted(found.items()):
        softer = _STRENGTH[after] < _STRENGTH[before]
        said = f"enforcement {'softens' if softer else 'hardens'} from {before} to {after} for {', '.join(rules)}"
        yield Difference(ENFORCEMENT, "warn" if softer else "none", said, f"{before}-{after}", head.organization.key)


def _setting(organization: Tenant, rule: str) -> str:
    keys = (rule, f"{rule.partition('/')[0]}/*", "*")
    found = next((organization.enforcement[key] for key in keys if key in organization.enforcement), "enforce")
    return found if found in _STRENGTH else "enforce"


def exemptions(base: Tree, head: Tree, now: datetime) -> Iterator[Difference]:
    """Yield the namespaces that ask for an exemption, and those that no longer do."""
    for name in sorted(head.namespaces):
        before, after = _exempt(base, name, now), _exempt(head, name, now)
        if after and after != before:
            said = f"namespace {name} is exempt from its baselines until {after}"
            yield Difference(EXEMPTION, "warn", said, f"{name}/Namespace/{name}", f"Namespace/{name}")


def _exempt(tree: Tree, name: str, now: datetime) -> str:
    known = tree.namespaces.get(name)
    end = read_exemption(name, known.labels, known.annotations, now).end if known else None
    return rfc3339(end) if end else ""
