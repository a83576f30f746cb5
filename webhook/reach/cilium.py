"""
Reads a CiliumNetworkPolicy (`cilium.io/v2`) as far as it means what a NetworkPolicy means.

A field that is not understood is an `UnreadableError`, for it could open anything. Denials (`ingressDeny`)
open nothing. Source: https://docs.cilium.io/en/stable/security/policy/language/
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictStr, TypeAdapter, ValidationError

from webhook.errors import UnreadableError
from webhook.reach.addresses import EVERYWHERE, Addresses, read_cidr, union
from webhook.reach.networkpolicy import Direction, NetworkPolicy, Ports, Rule
from webhook.selector import Requirement, Selector, read_selector

# Sources of labels that are a pod's own; reserved: and cidr: select addresses.
_POD_SOURCES = ("k8s:", "any:")
_Entity = Literal["world", "world-ipv4", "world-ipv6", "all", "cluster", "host", "remote-node", "init", "health",
                  "unmanaged", "kube-apiserver", "none"]  # fmt: skip
_WORLD = frozenset({"world", "world-ipv4", "world-ipv6", "all"})


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _CidrRule(_Model):
    cidr: StrictStr
    excepted: Annotated[tuple[StrictStr, ...], Field(alias="except")] = ()


class _Rule(_Model):
    """The peers of one rule; None where the field is absent, which is not the same as empty."""

    fromEndpoints: tuple[dict[StrictStr, Any], ...] | None = None  # noqa: N815 - as Cilium spells it, and those below
    fromCIDR: tuple[StrictStr, ...] | None = None  # noqa: N815
    fromCIDRSet: tuple[_CidrRule, ...] | None = None  # noqa: N815
    fromEntities: tuple[_Entity, ...] | None = None  # noqa: N815
    toEndpoints: tuple[dict[StrictStr, Any], ...] | None = None  # noqa: N815
    toCIDR: tuple[StrictStr, ...] | None = None  # noqa: N815
    toCIDRSet: tuple[_CidrRule, ...] | None = None  # noqa: N815
    toEntities: tuple[_Entity, ...] | None = None  # noqa: N815
    toPorts: tuple[dict[StrictStr, Any], ...] | None = None  # noqa: N815
    icmps: tuple[dict[StrictStr, Any], ...] | None = None


class _Spec(_Model):
    endpointSelector: dict[StrictStr, Any]  # noqa: N815
    ingress: tuple[_Rule, ...] = ()
    egress: tuple[_Rule, ...] = ()
    ingressDeny: tuple[Any, ...] = ()  # noqa: N815
    egressDeny: tuple[Any, ...] = ()  # noqa: N815
    description: StrictStr = ""


class _Object(BaseModel):
    """What stands beside metadata: `specs` may hold more than one policy and is not understood."""

    model_config = ConfigDict(extra="forbid")
    spec: _Spec


_OBJECT = TypeAdapter(_Object)


def read_cilium_policy(raw: Mapping[str, Any]) -> NetworkPolicy:
    """Return the meaning of a CiliumNetworkPolicy, the whole object; raises `UnreadableError`."""
    content = {key: value for key, value in raw.items() if key not in {"apiVersion", "kind", "metadata", "status"}}
    try:
        spec = _OBJECT.validate_python(content).spec
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        what = "is not understood" if first["type"] == "extra_forbidden" else f"cannot be read: {first['msg']}"
        raise UnreadableError(f"{where} {what}") from error
    return NetworkPolicy(
        pods=_pods(spec.endpointSelector),
        ingress=tuple(_rules("ingress", spec.ingress)),
        egress=tuple(_rules("egress", spec.egress)),
    )


def _pods(raw: Mapping[str, Any]) -> Selector:
    return Selector(
        frozenset(Requirement(_own(each.key), each.operator, each.values) for each in read_selector(raw).requirements)
    )


def _own(key: str) -> str:
    for source in _POD_SOURCES:
        if key.startswith(source):
            return key.removeprefix(source)
    if ":" in key:
        raise UnreadableError(f"the label {key!r} may select addresses and is not understood")
    return key


def _rules(direction: Direction, rules: tuple[_Rule, ...]) -> Iterator[Rule]:
    for index, rule in enumerate(rules):
        read = _read(f"spec.{direction}[{index}]", direction, rule)
        # An empty rule only turns the default deny on: it opens nothing.
        if read is not None:
            yield read


def _read(path: str, direction: Direction, rule: _Rule) -> Rule | None:
    inward = (rule.fromEndpoints, rule.fromCIDR, rule.fromCIDRSet, rule.fromEntities)
    outward = (rule.toEndpoints, rule.toCIDR, rule.toCIDRSet, rule.toEntities)
    peers, others = (inward, outward) if direction == "ingress" else (outward, inward)
    if any(each is not None for each in others):
        raise UnreadableError(f"{path} names the peers of the other direction")
    narrowed = [*(rule.toPorts or ()), *(rule.icmps or ())]
    if all(each is None for each in peers):
        return Rule(path, EVERYWHERE, _ports(narrowed), names_peers=False) if narrowed else None
    # Whether an empty list of peers means none or all was Cilium's own doubt once: count it as all.
    if any(each is not None and not each for each in peers):
        return Rule(path, EVERYWHERE, _ports(narrowed), names_peers=False)
    endpoints, cidrs, sets, entities = peers
    for each in endpoints or ():
        _pods(each)
    addresses = [EVERYWHERE for entity in entities or () if entity in _WORLD]
    addresses += [read_cidr(_with_prefix(cidr)) for cidr in cidrs or ()]
    addresses += [_cidr_rule(each) for each in sets or ()]
    return Rule(path, union(addresses), _ports(narrowed), names_peers=True)


def _cidr_rule(rule: _CidrRule) -> Addresses:
    return read_cidr(_with_prefix(rule.cidr)) - union(read_cidr(_with_prefix(each)) for each in rule.excepted)


def _with_prefix(cidr: str) -> str:
    """Return the CIDR of what Cilium also takes for one: an address alone."""
    return cidr if "/" in cidr else f"{cidr}/{128 if ':' in cidr else 32}"


def _ports(narrowed: list[dict[str, Any]]) -> Ports:
    try:
        return frozenset(orjson.dumps(each, option=orjson.OPT_SORT_KEYS) for each in narrowed)
    except TypeError as error:
        raise UnreadableError(f"ports cannot be read: {error}") from error
