"""
Who can reach whom by the policies of files, and how that differs between both sides.

For each namespace and direction the policies there, those of its baselines among them, open it to some namespaces and
some addresses, or leave it open because none of them is for that direction. Ports, and which pods of a namespace it is,
are not looked at: a change to them alone is no difference here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from itertools import islice
from typing import get_args

from webhook.baseline.wanted import wanted_at
from webhook.errors import UnreadableError
from webhook.proposal.part import Remark
from webhook.proposal.rights import listed
from webhook.reach.addresses import EVERYWHERE, Addresses
from webhook.reach.kinds import READERS, kind_of
from webhook.reach.policy import Direction, Meaning, Rule
from webhook.selector import NAME_LABEL
from webhook.tenancy.manifests import Manifest
from webhook.tenancy.tree import Tree

RULE = "manifests/reach"
MOST_RANGES = 5
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Opened:
    """
    What a namespace is open to in one direction.

    `closed` says that any policy is for the direction: else everything is let through. `everybody` is a rule without a
    peer, `every_namespace` one for whatever namespace there is; `namespaces` are those known that are named.
    """

    closed: bool = False
    everybody: bool = False
    every_namespace: bool = False
    namespaces: frozenset[str] = frozenset()
    addresses: Addresses = field(default_factory=Addresses)

    def and_also(self, other: "Opened") -> "Opened":
        """Return what both open."""
        return Opened(
            self.closed or other.closed,
            self.everybody or other.everybody,
            self.every_namespace or other.every_namespace,
            self.namespaces | other.namespaces,
            self.addresses | other.addresses,
        )

    def beyond(self, other: "Opened") -> tuple[str, ...]:
        """Say what this opens that `other` does not."""
        if not other.closed or other.everybody:
            return ()
        if not self.closed:
            return ("everything (no policy is for it)",)
        if self.everybody:
            return ("every address and every pod",)
        said = list[str]()
        if self.every_namespace and not other.every_namespace:
            said.append("every namespace")
        elif not other.every_namespace and (names := self.namespaces - other.namespaces):
            said.append(f"{'namespace' if len(names) == 1 else 'namespaces'} {listed(sorted(names))}")
        if ranges := self.addresses - other.addresses:
            said.append("every address" if self.addresses == EVERYWHERE else _shown(ranges))
        return tuple(said)


@dataclass(frozen=True, slots=True)
class Landscape:
    """One side: the labels of the namespaces that are known, and the policies in each."""

    labels: Mapping[str, Labels]
    policies: Mapping[str, Sequence[Meaning]]
    unreadable: tuple[str, ...] = ()

    def opened(self, namespace: str, direction: Direction) -> Opened:
        """Return what a namespace is open to."""
        found = Opened()
        for meaning in self.policies.get(namespace, ()):
            rules = meaning.rules(direction)
            if rules is not None:
                found = found.and_also(self._by(rules, namespace))
        return found

    def _by(self, rules: Iterable[Rule], namespace: str) -> Opened:
        found = Opened(closed=True)
        for rule in rules:
            names, every = set[str](), False
            for peer in rule.peers:
                if peer.namespaces is None:
                    names.add(namespace)
                else:
                    every = every or not peer.namespaces.requirements
                    names |= {name for name, labels in self.labels.items() if peer.namespaces.matches(labels)}
            found = found.and_also(
                Opened(
                    closed=True,
                    everybody=rule.everybody,
                    every_namespace=every,
                    namespaces=frozenset(names),
                    addresses=rule.addresses,
                )
            )
        return found


def landscape(manifests: Iterable[Manifest], tree: Tree | None) -> Landscape:
    """Return what the manifests and the tree of one side come to."""
    labels: dict[str, Labels] = {}
    contents: dict[tuple[str, str, str], object] = {}
    if tree:
        labels = {name: each.labels for name, each in tree.namespaces.items()}
        for name in tree.with_policies():
            contents |= {(each.kind, name, each.name): each.spec for each in tree.policies_in(name)}
    for manifest in manifests:
        data = manifest.data
        metadata = data["metadata"]
        if (data["apiVersion"], data["kind"]) == ("v1", "Namespace"):
            labels[metadata["name"]] = _texts(metadata.get("labels"))
            continue
        kind = kind_of(data["apiVersion"].rpartition("/")[0], data["kind"])
        if kind in READERS:
            namespace = metadata.get("namespace") or "default"
            contents[kind, str(namespace), metadata["name"]] = data.get("spec") if kind == "NetworkPolicy" else data
    if tree:
        contents = {**dict(_brought(tree, labels)), **contents}
    named = {name: {**each, NAME_LABEL: name} for name, each in labels.items()}
    return _read(named, contents)


def _texts(labels: object) -> Labels:
    return {key: each for key, each in labels.items() if isinstance(each, str)} if isinstance(labels, dict) else {}


def _brought(tree: Tree, labels: Mapping[str, Labels]) -> Iterator[tuple[tuple[str, str, str], object]]:
    """Yield the policies that baselines bring."""
    for name in sorted(labels):
        for each in wanted_at(tree.place(name, labels[name]), tree.baselines).policies:
            yield ("NetworkPolicy", name, each.name), each.spec


def _read(labels: Mapping[str, Labels], contents: Mapping[tuple[str, str, str], object]) -> Landscape:
    policies: dict[str, list[Meaning]] = {}
    unreadable = list[str]()
    for (kind, namespace, name), content in sorted(contents.items(), key=lambda each: each[0]):
        try:
            policies.setdefault(namespace, []).append(READERS[kind](content))
        except UnreadableError as error:
            unreadable.append(f"{kind.partition('.')[0]} {namespace}/{name}: {error}")
    return Landscape(labels, policies, tuple(unreadable))


def differences(base: Landscape, head: Landscape) -> Iterator[Remark]:
    """Yield what each namespace is newly open to, and what no longer."""
    everywhere = set(base.policies) | set(head.policies)
    for namespace in sorted(everywhere):
        for direction in get_args(Direction):
            before, after = base.opened(namespace, direction), head.opened(namespace, direction)
            if not before.closed and namespace not in base.labels and namespace not in base.policies:
                # It is new: nothing was open there, for there was nothing.
                before = replace(before, closed=True)
            way = "from" if direction == "ingress" else "to"
            thing = f"{namespace}/Namespace/{namespace}"
            for what in after.beyond(before):
                yield Remark(RULE, "none", f"{namespace}: {direction} {way} {what}: gained", thing)
            for what in before.beyond(after):
                yield Remark(RULE, "none", f"{namespace}: {direction} {way} {what}: lost", thing)


def _shown(ranges: Addresses) -> str:
    blocks = [
        *(str(each) for first, last in ranges.ipv4 for each in _blocks(IPv4Address(first), IPv4Address(last))),
        *(str(each) for first, last in ranges.ipv6 for each in _blocks(IPv6Address(first), IPv6Address(last))),
    ]
    more = " and further ranges" if len(blocks) > MOST_RANGES else ""
    share = f" ({ranges.ipv4_share:.1%} of IPv4)" if ranges.ipv4_share >= 0.001 else ""
    return f"{', '.join(blocks[:MOST_RANGES])}{more}{share}"


def _blocks(first: IPv4Address | IPv6Address, last: IPv4Address | IPv6Address) -> Iterator[object]:
    return islice(summarize_address_range(first, last), MOST_RANGES + 1)
