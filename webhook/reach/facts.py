"""
What a policy opens, alone and together with those that stand in its namespace: the facts that guardrails decide on.

Policies add up for a pod that all of them select (contract, section 4), so the union is taken over policies whose pod
selectors have a common pod.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from webhook.errors import UnreadableError
from webhook.model import Opening, Policy, Reach
from webhook.reach.addresses import Addresses, union
from webhook.reach.networkpolicy import Direction, NetworkPolicy, Rule, read_network_policy
from webhook.selector import Selector

Reader = Callable[[Any], NetworkPolicy]

STEPS = 200
"""How many combinations of standing policies are tried before all of them are counted together, common pod or not."""


@dataclass(frozen=True, slots=True)
class _Standing:
    name: str
    pods: Selector
    addresses: Addresses


def reach_of(
    spec: object, old_spec: object | None, standing: Sequence[Policy], *, read: Reader = read_network_policy
) -> Reach:
    """
    Return the facts of a policy with `spec` that replaces one with `old_spec` (None: it is new).

    `standing` are the other NetworkPolicies of its namespace, without the injected ones; `read` gives the meaning of
    the policy's own kind. Raises nothing: what cannot be read is a fact, too.
    """
    try:
        new = read(spec)
        others = [(each, _standing_policy(each)) for each in standing]
    except UnreadableError as error:
        return Reach(unreadable=(str(error),))
    old = None if old_spec is None else _old(old_spec, read)
    openings: dict[Direction, Opening | None] = {}
    for direction in get_args(Direction):
        rules = new.rules(direction)
        if rules is None:
            openings[direction] = None
            continue
        candidates = [
            _Standing(policy.name, read.pods, _addresses(read.rules(direction) or ())) for policy, read in others
        ]
        openings[direction] = _opening(new.pods, rules, candidates, covered=_covers(old, new, direction))
    return Reach((), openings["ingress"], openings["egress"])


def _standing_policy(policy: Policy) -> NetworkPolicy:
    try:
        return read_network_policy(policy.spec)
    except UnreadableError as error:
        raise UnreadableError(f"NetworkPolicy {policy.name}, which stands in the namespace: {error}") from error


def _old(old_spec: object, read: Reader) -> NetworkPolicy | None:
    """Read the old object; one that cannot be read opened nothing that we could vouch for."""
    try:
        return read(old_spec)
    except UnreadableError:
        return None


def _addresses(rules: Iterable[Rule]) -> Addresses:
    return union(rule.addresses for rule in rules)


def _opening(pods: Selector, rules: tuple[Rule, ...], standing: list[_Standing], *, covered: bool) -> Opening:
    alone = _addresses(rules)
    ipv4, ipv6, names = _joint(pods, alone, standing) if alone else (0.0, 0.0, ())
    return Opening(
        ipv4=alone.ipv4_share,
        ipv6=alone.ipv6_share,
        joint_ipv4=ipv4,
        joint_ipv6=ipv6,
        joint_with=names,
        unbounded=tuple(rule.path for rule in rules if not rule.names_peers),
        widens=not covered,
    )


def _joint(pods: Selector, alone: Addresses, standing: list[_Standing]) -> tuple[float, float, tuple[str, ...]]:
    """Return the largest shares that some pod gets, and the names of the policies that add to them."""
    common = [each for each in standing if not each.addresses <= alone and pods.joined(each.pods).satisfiable()]
    names = tuple(sorted(each.name for each in common))
    by_pods: dict[Selector, list[Addresses]] = {}
    for each in common:
        by_pods.setdefault(each.pods, []).append(each.addresses)
    search = _Search(tuple((selected, union(opened)) for selected, opened in by_pods.items()))
    search.extend(0, pods, alone)
    if search.steps > STEPS:
        # Too many combinations: counting them all together can only refuse too much, never too little.
        whole = union([alone, *(each.addresses for each in common)])
        return whole.ipv4_share, whole.ipv6_share, names
    return search.ipv4, search.ipv6, names


@dataclass(slots=True)
class _Search:
    """Tries the sets of standing policies that have a common pod, largest first."""

    standing: tuple[tuple[Selector, Addresses], ...]
    ipv4: float = 0.0
    ipv6: float = 0.0
    steps: int = 0

    def extend(self, index: int, pods: Selector, addresses: Addresses) -> None:
        self.steps += 1
        if self.steps > STEPS:
            return
        self.ipv4 = max(self.ipv4, addresses.ipv4_share)
        self.ipv6 = max(self.ipv6, addresses.ipv6_share)
        best = union([addresses, *(opened for _, opened in self.standing[index:])])
        if best.ipv4_share <= self.ipv4 and best.ipv6_share <= self.ipv6:
            return
        selected, opened = self.standing[index]
        both = pods.joined(selected)
        if both.satisfiable():
            self.extend(index + 1, both, addresses | opened)
        if not pods.implies(selected):
            self.extend(index + 1, pods, addresses)


def _covers(old: NetworkPolicy | None, new: NetworkPolicy, direction: Direction) -> bool:
    """Say whether the old object opened all that the new one opens: for the same pods, on the same ports."""
    rules = new.rules(direction)
    before = old.rules(direction) if old else None
    if old is None or before is None or not new.pods.implies(old.pods):
        return not _addresses(rules or ())
    return all(rule.addresses <= _addresses(each for each in before if _same_ports(each, rule)) for rule in rules or ())


def _same_ports(old: Rule, new: Rule) -> bool:
    return not old.ports or (bool(new.ports) and new.ports <= old.ports)
