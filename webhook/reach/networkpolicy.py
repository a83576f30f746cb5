"""
Reads a NetworkPolicy (`networking.k8s.io/v1`) as the API server stores it.

Nulls and empty lists count as absent, a null in a list as an empty object, `policyTypes` by its default. What the API
server would refuse is an `UnreadableError`. Source:
https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, TypeAdapter, ValidationError

from webhook.errors import UnreadableError
from webhook.reach.addresses import EVERYWHERE, Addresses, read_cidr, union
from webhook.selector import Selector, read_selector

Direction = Literal["ingress", "egress"]
Ports = frozenset[Hashable]
"""What each entry of a rule's ports says; empty means every port."""


@dataclass(frozen=True, slots=True)
class Rule:
    """
    The addresses that one rule opens (selectors of pods open none) on `ports`; `path` is where it stands.

    `everybody` says that it names no peers: it opens every pod of the cluster, too.
    """

    path: str
    addresses: Addresses
    ports: Ports
    everybody: bool


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """
    Which pods it selects and what it opens; a direction without effect is None.

    `denials` is what a CNI's kind closes besides, in words that are the same for the same denials.
    """

    pods: Selector
    ingress: tuple[Rule, ...] | None
    egress: tuple[Rule, ...] | None
    denials: bytes = b""

    def rules(self, direction: Direction) -> tuple[Rule, ...] | None:
        """Return the rules of one direction, None where it has no effect."""
        return self.ingress if direction == "ingress" else self.egress


def _empty_for_null(value: Any) -> Any:
    return {} if value is None else value


def _list(value: Any) -> Any:
    return () if value is None else value


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _IPBlock(_Model):
    cidr: StrictStr
    excepted: Annotated[tuple[StrictStr, ...], BeforeValidator(_list), Field(alias="except")] = ()


class _Peer(_Model):
    ipBlock: _IPBlock | None = None  # noqa: N815 - as Kubernetes spells it
    podSelector: dict[StrictStr, Any] | None = None  # noqa: N815 - as Kubernetes spells it
    namespaceSelector: dict[StrictStr, Any] | None = None  # noqa: N815 - as Kubernetes spells it


_Peers = Annotated[tuple[Annotated[_Peer, BeforeValidator(_empty_for_null)], ...], BeforeValidator(_list)]


class _Port(_Model):
    port: StrictInt | StrictStr | None = None
    endPort: StrictInt | None = None  # noqa: N815 - as Kubernetes spells it
    protocol: StrictStr | None = None


class _Rule(_Model):
    sources: Annotated[_Peers, Field(alias="from")] = ()
    targets: Annotated[_Peers, Field(alias="to")] = ()
    ports: Annotated[tuple[Annotated[_Port, BeforeValidator(_empty_for_null)], ...], BeforeValidator(_list)] = ()


_Rules = Annotated[tuple[Annotated[_Rule, BeforeValidator(_empty_for_null)], ...], BeforeValidator(_list)]


class _Spec(_Model):
    podSelector: dict[StrictStr, Any] | None = None  # noqa: N815 - as Kubernetes spells it
    policyTypes: Annotated[tuple[Literal["Ingress", "Egress"], ...], BeforeValidator(_list)] = ()  # noqa: N815
    ingress: _Rules = ()
    egress: _Rules = ()


_SPEC = TypeAdapter(_Spec)


def read_network_policy(spec: object) -> NetworkPolicy:
    """Return the meaning of a NetworkPolicy's `spec` (None counts as `{}`); raises `UnreadableError`."""
    try:
        read = _SPEC.validate_python(_empty_for_null(spec))
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise UnreadableError(f"spec{where} cannot be read: {first['msg']}") from error
    types = read.policyTypes or (("Ingress", "Egress") if read.egress else ("Ingress",))
    return NetworkPolicy(
        pods=read_selector(read.podSelector),
        ingress=_read_rules("ingress", read.ingress) if "Ingress" in types else None,
        egress=_read_rules("egress", read.egress) if "Egress" in types else None,
    )


def _read_rules(direction: Direction, rules: tuple[_Rule, ...]) -> tuple[Rule, ...]:
    return tuple(_read_rule(f"spec.{direction}[{index}]", direction, rule) for index, rule in enumerate(rules))


def _read_rule(path: str, direction: Direction, rule: _Rule) -> Rule:
    peers = rule.sources if direction == "ingress" else rule.targets
    addresses = union(_read_peer(path, peer) for peer in peers) if peers else EVERYWHERE
    return Rule(
        path,
        addresses,
        frozenset((port.port, port.endPort, port.protocol or "TCP") for port in rule.ports),
        everybody=not peers,
    )


def _read_peer(path: str, peer: _Peer) -> Addresses:
    selects = peer.podSelector is not None or peer.namespaceSelector is not None
    if (peer.ipBlock is None) != selects:
        raise UnreadableError(f"{path} has a peer that is not either an ipBlock or selectors")
    if peer.ipBlock is None:
        # Judged by other rules, but what cannot be read is refused here already.
        read_selector(peer.podSelector)
        read_selector(peer.namespaceSelector)
        return Addresses()
    return read_cidr(peer.ipBlock.cidr) - union(read_cidr(each) for each in peer.ipBlock.excepted)
