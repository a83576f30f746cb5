"""
Reads a NetworkPolicy that is spelled as nearly all are, at a fraction of the cost of checking it against its schema.

What is in any way odd, wrong included, is left to `networkpolicy`: here nothing is refused, and what is read means
there what it means here.
"""

from typing import Any

from webhook.errors import UnreadableError
from webhook.reach.addresses import EVERYWHERE, Addresses, union
from webhook.reach.policy import Direction, Findings, Meaning, Peer, Ports, Rule
from webhook.selector import read_selector

_SIDES: dict[Direction, tuple[str, str]] = {"ingress": ("from", "to"), "egress": ("to", "from")}
_TYPES: dict[Direction, str] = {"ingress": "Ingress", "egress": "Egress"}


class _OddError(Exception):
    """Raised for what has to be looked at more closely."""


def read_plainly(spec: object) -> Meaning | None:
    """Return the meaning of a NetworkPolicy's `spec`, None for one that has to be read by its schema."""
    try:
        if type(spec) is not dict:
            return None
        types = _types(spec)
        found = Findings()
        ingress = _rules("ingress", spec, types, found)
        egress = _rules("egress", spec, types, found)
        pods = read_selector(_map(spec.get("podSelector")))
    except (_OddError, UnreadableError):
        return None
    return Meaning(pods, ingress, egress, malformed=tuple(found.malformed))


def _types(spec: dict[Any, Any]) -> tuple[str, ...]:
    types = tuple(map(_text, _list(spec.get("policyTypes"))))
    if not {"Ingress", "Egress"}.issuperset(types):
        raise _OddError
    return types or (("Ingress", "Egress") if spec.get("egress") else ("Ingress",))


def _rules(
    direction: Direction, spec: dict[Any, Any], types: tuple[str, ...], found: Findings
) -> tuple[Rule, ...] | None:
    rules = _list(spec.get(direction))
    if _TYPES[direction] in types:
        return tuple([_rule(f"spec.{direction}[{index}]", direction, rule, found) for index, rule in enumerate(rules)])
    if rules:
        # Without effect, and yet it may be wrong.
        raise _OddError
    return None


def _rule(path: str, direction: Direction, raw: object, found: Findings) -> Rule:
    rule = _map(raw)
    side, other = _SIDES[direction]
    if rule.get(other) is not None:
        raise _OddError
    peers = _list(rule.get(side))
    read = [_peer(f"{path}.{side}[{index}]", each, found) for index, each in enumerate(peers)]
    return Rule(
        path,
        union(each for each in read if isinstance(each, Addresses)) if peers else EVERYWHERE,
        _ports(rule.get("ports")),
        everybody=not peers,
        peers=tuple([each for each in read if isinstance(each, Peer)]),
    )


def _ports(raw: object) -> Ports:
    return frozenset([_port(_map(each)) for each in _list(raw)])


def _port(raw: dict[Any, Any]) -> tuple[int | str | None, int | None, str]:
    port, end, protocol = raw.get("port"), raw.get("endPort"), raw.get("protocol")
    if port is not None and type(port) is not int:
        port = _text(port)
    if end is not None and type(end) is not int:
        raise _OddError
    return port, end, (protocol if protocol is None else _text(protocol)) or "TCP"


def _peer(path: str, raw: object, found: Findings) -> Addresses | Peer:
    peer = _map(raw)
    block, pods, namespaces = peer.get("ipBlock"), peer.get("podSelector"), peer.get("namespaceSelector")
    if (block is None) != (pods is not None or namespaces is not None):
        raise _OddError
    if block is not None:
        excepted = _list(_map(block).get("except"))
        return found.block(f"{path}.ipBlock", _text(block.get("cidr")), map(_text, excepted))
    return Peer(path, None if namespaces is None else read_selector(_map(namespaces)), read_selector(_map(pods)))


def _map(value: object) -> dict[Any, Any]:
    """Return a map; null counts as an empty one."""
    if value is None:
        return {}
    if type(value) is not dict:
        raise _OddError
    return value


def _list(value: object) -> list[Any]:
    """Return a list; null counts as an empty one."""
    if value is None:
        return []
    if type(value) is not list:
        raise _OddError
    return value


def _text(value: object) -> str:
    # Letters beyond ASCII may be halves of a character, which are no text.
    if type(value) is not str or not value.isascii():
        raise _OddError
    return value
