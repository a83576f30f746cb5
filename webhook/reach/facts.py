"""
What a policy opens, alone and together with those that stand in its namespace: the facts that guardrails decide on.

Policies add up for a pod that all of them select (contract, section 4), so the union is taken over policies whose pod
selectors have a common pod.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import get_args
from weakref import WeakKeyDictionary

from webhook.errors import UnreadableError
from webhook.model import PROJECT_LABEL, WORKSPACE_LABEL, Opening, Policy, Reach
from webhook.reach.addresses import Addresses, union
from webhook.reach.kinds import READERS
from webhook.reach.networkpolicy import read_network_policy
from webhook.reach.policy import MOST_TOLD, Direction, Meaning, Peer, Reader, Rule
from webhook.selector import NAME_LABEL, Selector

Beside = tuple[str, Selector, Addresses]
"""The name, the pods and the addresses of a policy that stands, in one direction."""
Crosses = Callable[[Selector], str]
"""Says how a selector of namespaces leaves the project, empty where it cannot match a namespace of another one."""

STEPS = 200
"""How many combinations of standing policies are tried before all of them are counted together, common pod or not."""
COMPARED = 200_000
"""How many rules and ranges, times ports, are compared with the old object's before it counts as wider."""
RANGES = 20_000
"""How many ranges of addresses may stand beside a policy that opens some: one tenant must not keep the gate busy."""
_OF_RULES = ("spec.ingress[", "spec.egress[")
_BOUNDING = frozenset({NAME_LABEL, WORKSPACE_LABEL, PROJECT_LABEL})
"""The labels of which one has to be named for a selector of namespaces to be bounded (contract, section 4)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a policy that stands means: the pods that it selects and what it opens in each direction."""

    name: str
    pods: Selector
    ingress: Addresses
    egress: Addresses
    not_understood: tuple[str, ...]

    def addresses(self, direction: Direction) -> Addresses:
        """Return what it opens in one direction."""
        return self.ingress if direction == "ingress" else self.egress


@dataclass(frozen=True, slots=True)
class Meanings:
    """The policies that stand, each read once: a request costs little for those that others wrote."""

    _read: WeakKeyDictionary[Policy, Standing | UnreadableError] = field(default_factory=WeakKeyDictionary)
    _last: list[tuple[object, Reader, Meaning]] = field(default_factory=list)
    """What was read last as new, if anything: where the same object stands then, it is not read again."""

    def read_new(self, spec: object, kind: Reader) -> Meaning:
        """Read what is under review; raises `UnreadableError`."""
        found = kind(spec)
        # Whole at once, for reviews are read in threads, too.
        self._last[:] = [(spec, kind, found)]
        return found

    def of(self, policy: Policy) -> Standing:
        """Return the meaning of a policy that stands; raises `UnreadableError` that names it."""
        found = self._read.get(policy)
        if found is None:
            found = self._read[policy] = _standing(policy, self._reread)
        if isinstance(found, UnreadableError):
            raise UnreadableError(str(found))
        return found

    def _reread(self, policy: Policy) -> Meaning:
        kind = READERS[policy.kind]
        for spec, known, found in self._last:
            if spec is policy.spec and known is kind:
                return found
        return kind(policy.spec)


def _standing(policy: Policy, read_policy: Callable[[Policy], Meaning]) -> Standing | UnreadableError:
    called = f"{policy.kind.partition('.')[0]} {policy.name}"
    try:
        read = read_policy(policy)
    except UnreadableError as error:
        return UnreadableError(f"{called}, which stands in the namespace: {error}")
    unknown = tuple(f"{called}, which stands in the namespace: {path}" for path in read.not_understood)
    addresses = (_addresses(read.ingress or ()), _addresses(read.egress or ()))
    # Whichever pods it is for, they may be the same.
    return Standing(policy.name, read.pods or Selector(), *addresses, not_understood=unknown[:MOST_TOLD])


def _unasked(_: Selector) -> str:
    return "can match namespaces that nobody has looked up"


@dataclass(frozen=True, slots=True)
class Reading:
    """
    How policies are read: `kind` gives the meaning of the one under review, `meanings` of those that stand.

    `protected` are the ranges, by their CIDR, of which it is told whether egress leads into them.
    """

    kind: Reader = read_network_policy
    meanings: Meanings = field(default_factory=Meanings)
    crosses: Crosses = _unasked
    protected: Mapping[str, Addresses] = field(default_factory=lambda: MappingProxyType({}))


def reach_of(
    spec: object, old_spec: object | None, standing: Sequence[Policy], reading: Reading | None = None
) -> Reach:
    """
    Return the facts of a policy with `spec` that replaces one with `old_spec` (None: it is new).

    `standing` are the other policies of its namespace, without the injected ones. Raises nothing: what cannot be
    read, or is too much to be judged, is a fact, too.
    """
    how = reading or Reading()
    try:
        others = [how.meanings.of(each) for each in standing]
    except UnreadableError as error:
        return Reach(unreadable_beside=(str(error),))
    try:
        new = how.meanings.read_new(spec, how.kind)
        old = None if old_spec is None else _old(old_spec, how.kind)
        ingress, egress = (_direction(each, (new, old), others, how) for each in get_args(Direction))
    except UnreadableError as error:
        return Reach(unreadable=(str(error),))
    return Reach(
        malformed=new.malformed,
        malformed_before=_sayings(old).issuperset(_sayings(new)),
        not_understood=tuple(new.not_understood)[:MOST_TOLD],
        not_understood_before=_understood_no_less(old, new),
        not_understood_beside=tuple(line for each in others for line in each.not_understood)[:MOST_TOLD],
        ingress=ingress,
        egress=egress,
    )


def _sayings(read: Meaning | None) -> set[str]:
    """Return what is malformed, wherever it stands."""
    return {line.partition(": ")[2] for line in read.malformed} if read else set()


def _understood_no_less(old: Meaning | None, new: Meaning) -> bool:
    """Say whether the old object said all that is not understood, and meant no less by it."""
    said = set(old.not_understood.values()) if old else set()
    return not new.not_understood or (_comparable(old, new) and said.issuperset(new.not_understood.values()))


def _old(old_spec: object, read: Reader) -> Meaning | None:
    """Read the old object; one that cannot be read opened nothing that we could vouch for."""
    try:
        return read(old_spec)
    except UnreadableError:
        return None


def _direction(
    direction: Direction, sides: tuple[Meaning, Meaning | None], others: list[Standing], how: Reading
) -> Opening | None:
    new, old = sides
    rules = new.rules(direction)
    if rules is None:
        return None
    beside = [(each.name, each.pods, each.addresses(direction)) for each in others]
    alone = _addresses(rules)
    ipv4, ipv6, names = _joint(new.pods or Selector(), alone, beside) if alone else (0.0, 0.0, ())
    of_namespaces = [
        (peer.path, peer.namespaces) for rule in rules for peer in rule.peers if peer.namespaces is not None
    ]
    return Opening(
        ipv4=alone.ipv4_share,
        ipv6=alone.ipv6_share,
        joint_ipv4=ipv4,
        joint_ipv6=ipv6,
        joint_with=names,
        unbounded=tuple(rule.path for rule in rules if rule.everybody)[:MOST_TOLD],
        open_namespaces=tuple(path for path, selector in of_namespaces if not _bounded(selector))[:MOST_TOLD],
        crossing=tuple(_crossing(of_namespaces, how.crosses))[:MOST_TOLD],
        protected=_touched(rules, alone, how.protected) if direction == "egress" else {},
        widens=not _covers(old, new, direction),
    )


def _bounded(selector: Selector) -> bool:
    return any(each.key in _BOUNDING and each.operator == "In" for each in selector.requirements)


def _crossing(selectors: Iterable[tuple[str, Selector]], crosses: Crosses) -> Iterable[str]:
    answers: dict[Selector, str] = {}
    for path, selector in selectors:
        if selector not in answers:
            answers[selector] = crosses(selector)
        if answers[selector]:
            yield f"{path} {answers[selector]}"


def _touched(rules: Iterable[Rule], alone: Addresses, protected: Mapping[str, Addresses]) -> dict[str, str]:
    """Return, by protected range, the path of a rule that leads into it, empty where none does."""
    paths = dict.fromkeys(protected, "")
    wanted = {cidr for cidr, addresses in protected.items() if alone.meets(addresses)}
    whole = union(protected[cidr] for cidr in wanted)
    for rule in rules:
        # Most rules lead into none, and there may be thousands of both.
        if rule.addresses.meets(whole):
            found = {cidr for cidr in wanted if rule.addresses.meets(protected[cidr])}
            paths |= dict.fromkeys(found, rule.path)
            if found:
                wanted -= found
                whole = union(protected[cidr] for cidr in wanted)
    return paths


def _addresses(rules: Iterable[Rule]) -> Addresses:
    return union(rule.addresses for rule in rules)


def _joint(pods: Selector, alone: Addresses, beside: list[Beside]) -> tuple[float, float, tuple[str, ...]]:
    """Return the largest shares that some pod gets, and the names of the policies that add to them."""
    reached = [each for each in beside if each[2] and pods.joined(each[1]).satisfiable()]
    if sum(len(opened.ipv4) + len(opened.ipv6) for _, _, opened in reached) > RANGES:
        raise UnreadableError(f"more than {RANGES} ranges of addresses stand in the namespace: remove policies first")
    common = [each for each in reached if not each[2] <= alone]
    if not common:
        return alone.ipv4_share, alone.ipv6_share, ()
    names = tuple(sorted(name for name, _, _ in common))
    by_pods: dict[Selector, list[Addresses]] = {}
    for _, selected, opened in common:
        by_pods.setdefault(selected, []).append(opened)
    search = _Search(tuple((selected, union(opened)) for selected, opened in by_pods.items()))
    search.extend(0, pods, alone)
    if search.steps > STEPS:
        # Too many combinations: counting them all together can only refuse too much, never too little.
        whole = union([alone, *(opened for _, _, opened in common)])
        return whole.ipv4_share, whole.ipv6_share, names
    return search.ipv4, search.ipv6, names


@dataclass(slots=True)
class _Search:
    """Tries the sets of standing policies that have a common pod, with each before without it."""

    standing: tuple[tuple[Selector, Addresses], ...]
    ipv4: float = 0.0
    ipv6: float = 0.0
    steps: int = 0

    def extend(self, index: int, pods: Selector, addresses: Addresses) -> None:
        # A step merges all that is left: a tenant's many blocks and labels must not keep everybody waiting.
        ranges = sum(len(opened.ipv4) + len(opened.ipv6) for _, opened in self.standing[index:])
        self.steps += 1 + (ranges + len(pods.requirements)) // 200
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


def _covers(old: Meaning | None, new: Meaning, direction: Direction) -> bool:
    """Say whether the old object opened all that the new one opens: for the same pods, on the same ports."""
    rules = new.rules(direction) or ()
    before = old.rules(direction) if old else None
    if before is None or not _comparable(old, new):
        return not _addresses(rules) and not any(rule.peers for rule in rules)
    # Port by port, for two rules may have become one; no port stands for every port.
    ports = {port for rule in rules for port in rule.ports or {None}}
    if len(ports) * (_size(rules) + _size(before)) > COMPARED:
        return False
    return _covers_peers(before, rules) and all(
        _covers_port(
            [rule for rule in before if not rule.ports or port in rule.ports],
            [rule for rule in rules if (port in rule.ports if port is not None else not rule.ports)],
        )
        for port in ports
    )


def _comparable(old: Meaning | None, new: Meaning) -> bool:
    """Say whether nothing but the rules decides what the new one opens more than the old one."""
    if old is None or not _same_pods(old, new):
        return False
    # What stood beside the rules and is not understood may have narrowed them.
    besides = {said for path, said in old.not_understood.items() if not path.startswith(_OF_RULES)}
    return old.denials in {b"", new.denials} and old.rank == new.rank and besides.issubset(new.not_understood.values())


def _same_pods(old: Meaning, new: Meaning) -> bool:
    """Say whether the new one is for pods of the old one alone."""
    if old.pods is None or new.pods is None:
        return old.pods == new.pods and old.not_understood == new.not_understood
    return new.pods.implies(old.pods)


def _covers_port(before: list[Rule], rules: list[Rule]) -> bool:
    everybody = any(rule.everybody for rule in rules)
    return (not everybody or any(rule.everybody for rule in before)) and _addresses(rules) <= _addresses(before)


def _covers_peers(before: Sequence[Rule], rules: Sequence[Rule]) -> bool:
    """Say whether each peer by selectors is within one that stood on its ports."""
    known = {(peer.namespaces, peer.pods, rule.ports) for rule in before for peer in rule.peers}
    fresh = [(rule, peer) for rule in rules for peer in rule.peers]
    fresh = [(rule, peer) for rule, peer in fresh if (peer.namespaces, peer.pods, rule.ports) not in known]
    if len(fresh) * _size(before) > COMPARED // 10:
        return False
    return all(any(_opened(was, rule, peer) for was in before) for rule, peer in fresh)


def _opened(was: Rule, rule: Rule, peer: Peer) -> bool:
    """Say whether a former rule opened what `rule` opens to `peer`."""
    on_its_ports = not was.ports or (bool(rule.ports) and rule.ports <= was.ports)
    return on_its_ports and (was.everybody or any(_within(peer, each) for each in was.peers))


def _within(peer: Peer, other: Peer) -> bool:
    if peer.namespaces is None or other.namespaces is None:
        return peer.namespaces is other.namespaces and peer.pods.implies(other.pods)
    return peer.namespaces.implies(other.namespaces) and peer.pods.implies(other.pods)


def _size(rules: Iterable[Rule]) -> int:
    return sum(1 + len(rule.addresses.ipv4) + len(rule.addresses.ipv6) + len(rule.peers) for rule in rules)
