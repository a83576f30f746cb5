"""
Reads a NetworkPolicy (`networking.k8s.io/v1`) as the API server stores it.

Nulls and empty lists count as absent, a null in a list as an empty object, `policyTypes` by its default. What the API
server would refuse is an `UnreadableError`. Source:
https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, TypeAdapter, ValidationError

from webhook.errors import UnreadableError
from webhook.reach.addresses import EVERYWHERE, Addresses, union
from webhook.reach.plainly import read_plainly
from webhook.reach.policy import Direction, Findings, Meaning, Peer, Rule
from webhook.selector import read_selector


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


def read_network_policy(spec: object) -> Meaning:
    """Return the meaning of a NetworkPolicy's `spec` (None counts as `{}`); raises `UnreadableError`."""
    return read_plainly(spec) or read_by_schema(spec)


def read_by_schema(spec: object) -> Meaning:
    """Return the same of any; slowly, and with words for what is wrong."""
    try:
        read = _SPEC.validate_python(_empty_for_null(spec))
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise UnreadableError(f"spec{where} cannot be read: {first['msg']}") from error
    types = read.policyTypes or (("Ingress", "Egress") if read.egress else ("Ingress",))
    found = Findings()
    ingress = _read_rules("ingress", read.ingress, found) if "Ingress" in types else None
    egress = _read_rules("egress", read.egress, found) if "Egress" in types else None
    return Meaning(read_selector(read.podSelector), ingress, egress, malformed=tuple(found.malformed))


def _read_rules(direction: Direction, rules: tuple[_Rule, ...], found: Findings) -> tuple[Rule, ...]:
    return tuple(_read_rule(f"spec.{direction}[{index}]", direction, rule, found) for index, rule in enumerate(rules))


def _read_rule(path: str, direction: Direction, rule: _Rule, found: Findings) -> Rule:
    side, peers = ("from", rule.sources) if direction == "ingress" else ("to", rule.targets)
    read = [_read_peer(f"{path}.{side}[{index}]", peer, found) for index, peer in enumerate(peers)]
    return Rule(
        path,
        union(each for each in read if isinstance(each, Addresses)) if peers else EVERYWHERE,
        frozenset((port.port, port.endPort, port.protocol or "TCP") for port in rule.ports),
        everybody=not peers,
        peers=tuple(each for each in read if isinstance(each, Peer)),
    )


def _read_peer(path: str, peer: _Peer, found: Findings) -> Addresses | Peer:
    selects = peer.podSelector is not None or peer.namespaceSelector is not None
    if (peer.ipBlock is None) != selects:
        raise UnreadableError(f"{path} is not either an ipBlock or selectors")
    if peer.ipBlock is not None:
        return found.block(f"{path}.ipBlock", peer.ipBlock.cidr, peer.ipBlock.excepted)
    namespaces = None if peer.namespaceSelector is None else read_selector(peer.namespaceSelector)
    return Peer(path, namespaces, read_selector(peer.podSelector))
