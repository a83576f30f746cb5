"""What a policy means, whichever kind says it: the pods it selects and what each of its rules opens to them."""

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import orjson

from webhook.errors import UnreadableError
from webhook.reach.addresses import Addresses, read_spelled, union
from webhook.selector import Selector

Direction = Literal["ingress", "egress"]
Ports = frozenset[Hashable]
"""What a rule says beside its peers: ports, protocols, ICMP types. Empty means all."""

_INDEX = re.compile(r"\[[0-9]+\]", re.ASCII)

MOST_TOLD = 20
"""Lines of one sort about one policy; whoever mends these is told the rest then."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Pods that a rule opens to, by selectors; `namespaces` is None for the policy's own namespace."""

    path: str
    namespaces: Selector | None
    pods: Selector


@dataclass(frozen=True, slots=True)
class Rule:
    """
    What one rule opens on `ports`: addresses and pods; `path` is where it stands.

    `everybody` says that it names no peers: it opens every address and every pod of the cluster.
    """

    path: str
    addresses: Addresses
    ports: Ports
    everybody: bool
    peers: tuple[Peer, ...] = ()


@dataclass(frozen=True, slots=True)
class Meaning:
    """
    Which pods a policy selects and what it opens; a direction without effect is None.

    `pods` are None where it is not understood which they are, so it may be any. `denials` is what a CNI's kind closes
    besides, in words that are the same for the same denials, `rank` what decides when it counts among others.
    `malformed` are lines on what the API server refuses or
    tools read differently, and that counts as Go reads it. `not_understood` is what a CNI's kind says and we do not
    understand: what it says, by where it stands.
    """

    pods: Selector | None
    ingress: tuple[Rule, ...] | None
    egress: tuple[Rule, ...] | None
    denials: bytes = b""
    rank: bytes = b""
    malformed: tuple[str, ...] = ()
    not_understood: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))

    def rules(self, direction: Direction) -> tuple[Rule, ...] | None:
        """Return the rules of one direction, None where it has no effect."""
        return self.ingress if direction == "ingress" else self.egress


Reader = Callable[[Any], Meaning]
"""Reads a policy: a NetworkPolicy's spec, of another kind the whole object; raises `UnreadableError`."""


@dataclass(slots=True)
class Findings:
    """What a reader comes upon that does not keep it from reading on."""

    malformed: list[str] = field(default_factory=list)
    not_understood: dict[str, bytes] = field(default_factory=dict)
    around: bytes = b""
    """The rule that is being read: what is not understood means something else in another one."""

    def block(self, path: str, cidr: str, excepted: Iterable[str] = ()) -> Addresses:
        """Return the addresses of a block without the excepted ones; raises `UnreadableError`."""
        whole, without = self.cidr(path, cidr), [(each, self.cidr(path, each)) for each in excepted]
        for text, part in without:
            if not part < whole:
                self._malformed(f"{path}: except {text} is not inside {cidr}")
        return whole - union(part for _, part in without) if without else whole

    def cidr(self, path: str, text: str) -> Addresses:
        """Return the addresses of a CIDR; raises `UnreadableError`."""
        try:
            read, odd = read_spelled(text)
        except UnreadableError as error:
            raise UnreadableError(f"{path}: {error}") from error
        if odd:
            self._malformed(f"{path}: {text} {odd}")
        return read

    def unknown(self, path: str, value: object) -> None:
        """Take note of something that is not understood; which rule of its direction it stands in does not matter."""
        self.not_understood[path] = b"%s %s %s" % (_INDEX.sub("", path).encode(), canonical(value), self.around)

    def _malformed(self, line: str) -> None:
        if len(self.malformed) < MOST_TOLD:
            self.malformed.append(line)


def canonical(value: Any) -> bytes:
    """Return words that are the same for the same JSON value; raises `UnreadableError` for what is none."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise UnreadableError(f"{error}") from error
