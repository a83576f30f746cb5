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

# Sources of labels that are a pod's own. Others select addresses, in each of Cilium's spellings: reserved:, reserved.
# and the short $.
_POD_SOURCES = ("k8s:", "any:")
_FOREIGN = ("reserved.", "$")
# Cilium adds the policy's own namespace (and cluster) to a peer unless the peer speaks of it; one that speaks of it by
# NotIn or DoesNotExist selects what has no namespace, which is the world.
_PLACE = ("io.kubernetes.pod.namespace", "io.cilium.k8s.policy.", "io.cilium.k8s.namespace.labels.")
_Entity = Literal["world", "world-ipv4", "world-ipv6", "all", "cluster", "host", "remote-node", "init", "health",
                  "unmanaged", "kube-apiserver", "none"]  # fmt: skip
_WORLD: Mapping[str, Addresses] = {
    "world": EVERYWHERE,
    "world-ipv4": Addresses(ipv4=EVERYWHERE.ipv4),
    "world-ipv6": Addresses(ipv6=EVERYWHERE.ipv6),
    "all": EVERYWHERE,
}


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
        pods=_subject(spec.endpointSelector),
        ingress=tuple(_rules("ingress", spec.ingress)),
        egress=tuple(_rules("egress", spec.egress)),
        denials=_canonical([spec.ingressDeny, spec.egressDeny]) if spec.ingressDeny or spec.egressDeny else b"",
    )


def _pods(raw: Mapping[str, Any]) -> Selector:
    return Selector(
        frozenset(Requirement(_own(each.key), each.operator, each.values) for each in read_selector(raw).requirements)
    )


def _subject(raw: Mapping[str, Any]) -> Selector:
    """Return the pods that a policy is for, which are those of its own namespace whatever it says of namespaces."""
    pods = _pods(raw)
    if any(each.key.startswith(_PLACE) for each in pods.requirements):
        # Cilium puts the policy's namespace in its place: taken as said, two policies would seem to have no common pod.
        raise UnreadableError("endpointSelector speaks of a namespace, which Cilium does not heed: leave that out")
    return pods


def _own(key: str) -> str:
    own = next((key.removeprefix(source) for source in _POD_SOURCES if key.startswith(source)), key)
    # Cilium cuts a key at an equals sign.
    if ":" in own or "=" in own or own.startswith(_FOREIGN):
        raise UnreadableError(f"the label {key!r} may select addresses and is not understood")
    return own


def _check_peer(raw: Mapping[str, Any]) -> None:
    """Raise `UnreadableError` for a peer that may select more than pods."""
    for each in _pods(raw).requirements:
        if each.key.startswith(_PLACE) and each.operator not in {"In", "Exists"}:
            raise UnreadableError(f"{each.operator} on {each.key} selects what has no namespace, too")


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
    ports = _ports(rule)
    if all(each is None for each in peers):
        return Rule(path, EVERYWHERE, ports, everybody=True) if ports else None
    # Whether an empty list of peers means none or all was Cilium's own doubt once: count it as all.
    if any(each is not None and not each for each in peers):
        return Rule(path, EVERYWHERE, ports, everybody=True)
    endpoints, cidrs, sets, entities = peers
    for each in endpoints or ():
        _check_peer(each)
    addresses = [_WORLD[entity] for entity in entities or () if entity in _WORLD]
    addresses += [read_cidr(_with_prefix(cidr)) for cidr in cidrs or ()]
    addresses += [_cidr_rule(each) for each in sets or ()]
    return Rule(path, union(addresses), ports, everybody="all" in (entities or ()))


def _cidr_rule(rule: _CidrRule) -> Addresses:
    return read_cidr(_with_prefix(rule.cidr)) - union(read_cidr(_with_prefix(each)) for each in rule.excepted)


def _with_prefix(cidr: str) -> str:
    """Return the CIDR of what Cilium also takes for one: an address alone."""
    return cidr if "/" in cidr else f"{cidr}/{128 if ':' in cidr else 32}"


def _ports(rule: _Rule) -> Ports:
    said = {"toPorts": rule.toPorts or (), "icmps": rule.icmps or ()}
    return frozenset((field, _canonical(each)) for field, entries in said.items() for each in entries)


def _canonical(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise UnreadableError(f"{error}") from error
