"""
What a policy opens, alone and together with those that stand in its namespace: the facts that guardrails decide on.

Policies add up for a pod that all of them select (contract, section 4), so the union is taken over policies whose pod
selectors have a common pod.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args
from weakref import WeakKeyDictionary

from webhook.errors import UnreadableError
from webhook.model import Opening, Policy, Reach
from webhook.reach.addresses import Addresses, union
from webhook.reach.networkpolicy import Direction, NetworkPolicy, Rule, read_network_policy
from webhook.selector import Selector

Reader = Callable[[Any], NetworkPolicy]

STEPS = 200
"""How many combinations of standing policies are tried before all of them are counted together, common pod or not."""
RANGES = 20_000
"""How many ranges of addresses may stand beside a policy that opens some: one tenant must not keep the gate busy."""


@dataclass(frozen=True, slots=True)
class _Standing:
    name: str
    pods: Selector
    addresses: Addresses


@dataclass(frozen=True, slots=True)
class Meanings:
    """The policies that stand, each read once: a request costs no more for those that others wrote."""

    _read: WeakKeyDictionary[Policy, NetworkPolicy] = field(default_factory=WeakKeyDictionary)

    def of(self, policy: Policy) -> NetworkPolicy:
        """Return the meaning of a NetworkPolicy that stands; raises `UnreadableError` that names it."""
        if policy not in self._read:
            try:
                self._read[policy] = read_network_policy(policy.spec)
            except UnreadableError as error:
                what = f"NetworkPolicy {policy.name}, which stands in the namespace: {error}"
                raise UnreadableError(what) from error
        return self._read[policy]


@dataclass(frozen=True, slots=True)
class Reading:
    """How policies are read: `kind` gives the meaning of the one under review, `meanings` of those that stand."""

    kind: Reader = read_network_policy
    meanings: Meanings = field(default_factory=Meanings)


def reach_of(
    spec: object, old_spec: object | None, standing: Sequence[Policy], reading: Reading | None = None
) -> Reach:
    """
    Return the facts of a policy with `spec` that replaces one with `old_spec` (None: it is new).

    `standing` are the other NetworkPolicies of its namespace, without the injected ones. Raises nothing: what cannot be
    read, or is too much to be judged, is a fact, too.
    """
    how = reading or Reading()
    try:
        new = how.kind(spec)
        others = [(each.name, how.meanings.of(each)) for each in standing]
        old = None if old_spec is None else _old(old_spec, how.kind)
        openings = {each: _direction(each, new, old, others) for each in get_args(Direction)}
    except UnreadableError as error:
        return Reach(unreadable=(str(error),))
    return Reach((), **openings)


def _old(old_spec: object, read: Reader) -> NetworkPolicy | None:
    """Read the old object; one that cannot be read opened nothing that we could vouch for."""
    try:
        return read(old_spec)
    except UnreadableError:
        return None


def _direction(
    direction: Direction, new: NetworkPolicy, old: NetworkPolicy | None, others: list[tuple[str, NetworkPolicy]]
) -> Opening | None:
    rules = new.rules(direction)
    if rules is None:
        return None
    standing = [_Standing(name, each.pods, _addresses(each.rules(direction) or ())) for name, each in others]
    return _opening(new.pods, rules, standing, covered=_covers(old, new, direction))


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
    if sum(len(each.addresses.ipv4) + len(each.addresses.ipv6) for each in common) > RANGES:
        raise UnreadableError(f"more than {RANGES} ranges of addresses stand in the namespace: remove policies first")
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
        # A step merges all that is left: a tenant's many blocks must not keep everybody waiting.
        self.steps += 1 + sum(len(opened.ipv4) + len(opened.ipv6) for _, opened in self.standing[index:]) // 200
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
    # Port by port, for two rules may have become one; no port stands for every port.
    return all(
        rule.addresses <= _addresses(each for each in before if not each.ports or port in each.ports)
        for rule in rules or ()
        for port in rule.ports or {None}
    )
