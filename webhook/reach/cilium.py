"""
Reads a CiliumNetworkPolicy (`cilium.io/v2`) as far as it means what a NetworkPolicy means.

What is not understood could open anything: it is told by its place, and the rest is read on. Denials (`ingressDeny`)
open nothing. Source: https://docs.cilium.io/en/stable/security/policy/language/
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictStr, TypeAdapter, ValidationError

from webhook.errors import UnreadableError
from webhook.reach.addresses import EVERYWHERE, Addresses, union
from webhook.reach.policy import Direction, Findings, Meaning, Peer, Ports, Rule, canonical
from webhook.selector import NAME_LABEL, Requirement, Selector, read_selector

# Sources of labels that are a pod's own. Others select addresses, in each of Cilium's spellings: reserved:, reserved.
# and the short $.
_POD_SOURCES = ("k8s:", "any:")
_FOREIGN = ("reserved.", "$")
# Cilium adds the policy's own namespace (and cluster) to a peer unless the peer speaks of it; one that speaks of it by
# NotIn or DoesNotExist selects what has no namespace, which is the world.
_NAMESPACE = "io.kubernetes.pod.namespace"
_NAMESPACE_LABELS = "io.cilium.k8s.namespace.labels."
_PLACE = (_NAMESPACE, _NAMESPACE_LABELS, "io.cilium.k8s.policy.")
_WORLD: Mapping[str, Addresses] = {
    "world": EVERYWHERE,
    "world-ipv4": Addresses(ipv4=EVERYWHERE.ipv4),
    "world-ipv6": Addresses(ipv6=EVERYWHERE.ipv6),
    "all": EVERYWHERE,
}
_EVERY_POD = frozenset({"all", "cluster"})
_SOME_PODS = frozenset({"unmanaged", "init"})
"""Entities that pods of any namespace can be, at times."""
_FURTHER_PEERS = ("fromNodes", "fromGroups", "toNodes", "toGroups", "toFQDNs", "toServices")
_NODES = frozenset({"host", "remote-node", "health", "kube-apiserver", "none"})


class _Model(BaseModel):
    # What is allowed here and has no field is what is not understood.
    model_config = ConfigDict(extra="allow")


class _CidrRule(_Model):
    cidr: StrictStr | None = None
    excepted: Annotated[tuple[StrictStr, ...], Field(alias="except")] = ()


class _Rule(_Model):
    """The peers of one rule; None where the field is absent, which is not the same as empty."""

    fromEndpoints: tuple[dict[StrictStr, Any], ...] | None = None  # noqa: N815 - as Cilium spells it, and those below
    fromCIDR: tuple[StrictStr, ...] | None = None  # noqa: N815
    fromCIDRSet: tuple[_CidrRule, ...] | None = None  # noqa: N815
    fromEntities: tuple[StrictStr, ...] | None = None  # noqa: N815
    toEndpoints: tuple[dict[StrictStr, Any], ...] | None = None  # noqa: N815
    toCIDR: tuple[StrictStr, ...] | None = None  # noqa: N815
    toCIDRSet: tuple[_CidrRule, ...] | None = None  # noqa: N815
    toEntities: tuple[StrictStr, ...] | None = None  # noqa: N815
    toPorts: tuple[dict[StrictStr, Any], ...] | None = None  # noqa: N815
    icmps: tuple[dict[StrictStr, Any], ...] | None = None


class _Spec(_Model):
    endpointSelector: dict[StrictStr, Any] | None = None  # noqa: N815
    ingress: tuple[_Rule, ...] = ()
    egress: tuple[_Rule, ...] = ()
    ingressDeny: tuple[Any, ...] = ()  # noqa: N815
    egressDeny: tuple[Any, ...] = ()  # noqa: N815
    description: StrictStr = ""


class _Object(_Model):
    """What stands beside metadata: `specs` may hold more than one policy and is not understood."""

    spec: _Spec = Field(default_factory=_Spec)


_OBJECT = TypeAdapter(_Object)


def read_cilium_policy(raw: Mapping[str, Any]) -> Meaning:
    """Return the meaning of a CiliumNetworkPolicy, the whole object; raises `UnreadableError`."""
    content = {key: value for key, value in raw.items() if key not in {"apiVersion", "kind", "metadata", "status"}}
    try:
        read = _OBJECT.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        raise UnreadableError(f"{where} cannot be read: {first['msg']}") from error
    spec, found = read.spec, Findings()
    _unknown("", read, found)
    _unknown("spec.", spec, found)
    return Meaning(
        pods=_subject(spec.endpointSelector, found),
        ingress=tuple(_rules("ingress", spec.ingress, found)),
        egress=tuple(_rules("egress", spec.egress, found)),
        denials=canonical([spec.ingressDeny, spec.egressDeny]) if spec.ingressDeny or spec.egressDeny else b"",
        malformed=tuple(found.malformed),
        not_understood=found.not_understood,
    )


def _unknown(path: str, model: _Model, found: Findings) -> None:
    for name, value in (model.model_extra or {}).items():
        found.unknown(f"{path}{name}", value)


def _subject(raw: Mapping[str, Any] | None, found: Findings) -> Selector | None:
    """Return the pods that a policy is for, which are those of its own namespace; None where it is not understood."""
    path = "spec.endpointSelector"
    if raw is None:
        # `nodeSelector` in its place is for nodes.
        found.unknown(path, None)
        return None
    pods = _labels(path, raw, found)
    if pods is not None and any(each.key.startswith(_PLACE) for each in pods):
        # Cilium puts the policy's namespace in its place: taken as said, two policies would seem to have no common pod.
        found.unknown(path, raw)
        return None
    return None if pods is None else Selector(frozenset(pods))


def _labels(path: str, raw: Mapping[str, Any], found: Findings) -> list[Requirement] | None:
    """Return the requirements of a selector on pods' own labels, None where it speaks of others."""
    read = []
    for each in read_selector(raw).requirements:
        key = next((each.key.removeprefix(source) for source in _POD_SOURCES if each.key.startswith(source)), each.key)
        # Cilium cuts a key at an equals sign.
        if ":" in key or "=" in key or key.startswith(_FOREIGN):
            found.unknown(path, raw)
            return None
        read.append(Requirement(key, each.operator, each.values))
    return read


def _endpoints(path: str, raw: Mapping[str, Any], found: Findings) -> Peer | None:
    """Return a peer, None where it may select more than pods and is not understood."""
    labels = _labels(path, raw, found)
    if labels is None:
        return None
    if any(each.key.startswith(_PLACE) and each.operator not in {"In", "Exists"} for each in labels):
        # It selects what has no namespace, too.
        found.unknown(path, raw)
        return None
    of_namespace = [each for each in labels if each.key == _NAMESPACE or each.key.startswith(_NAMESPACE_LABELS)]
    return Peer(
        path,
        Selector(frozenset(_of_namespace(each) for each in of_namespace)) if of_namespace else None,
        Selector(frozenset(each for each in labels if each not in of_namespace)),
    )


def _of_namespace(each: Requirement) -> Requirement:
    """Return what a condition on a pod's namespace says of the Namespace object."""
    key = NAME_LABEL if each.key == _NAMESPACE else each.key.removeprefix(_NAMESPACE_LABELS)
    return Requirement(key, each.operator, each.values)


def _rules(direction: Direction, rules: tuple[_Rule, ...], found: Findings) -> Iterator[Rule]:
    for index, rule in enumerate(rules):
        read = _rule(f"spec.{direction}[{index}]", direction, rule, found)
        # An empty rule only turns the default deny on: it opens nothing.
        if read is not None:
            yield read


def _rule(path: str, direction: Direction, rule: _Rule, found: Findings) -> Rule | None:
    found.around = canonical(rule.model_dump())
    _unknown(f"{path}.", rule, found)
    side, other = ("from", "to") if direction == "ingress" else ("to", "from")
    for name in ("Endpoints", "CIDR", "CIDRSet", "Entities"):
        if (foreign := getattr(rule, f"{other}{name}")) is not None:
            found.unknown(f"{path}.{other}{name}", len(foreign))
    ports = _ports(rule, found)
    endpoints, cidrs, sets, entities = (
        getattr(rule, f"{side}{name}") for name in ("Endpoints", "CIDR", "CIDRSet", "Entities")
    )
    if endpoints is cidrs is sets is entities is None:
        # With a peer that is not understood it opens to that one alone.
        further = any(map((rule.model_extra or {}).get, _FURTHER_PEERS))
        says = (rule.toPorts or rule.icmps) and not further
        return Rule(path, EVERYWHERE, ports, everybody=True) if says else None
    # Whether an empty list of peers means none or all was Cilium's own doubt once: it counts as all, and as something
    # else than all when an update is compared with it.
    if any(each is not None and not each for each in (endpoints, cidrs, sets, entities)):
        return Rule(path, EVERYWHERE, frozenset({("empty", found.around)}), everybody=True)
    addresses = [found.cidr(f"{path}.{side}CIDR", _with_prefix(each)) for each in cidrs or ()]
    addresses += [_cidr_rule(f"{path}.{side}CIDRSet[{index}]", each, found) for index, each in enumerate(sets or ())]
    addresses += [_WORLD[each] for each in entities or () if each in _WORLD]
    peers = [_endpoints(f"{path}.{side}Endpoints[{index}]", each, found) for index, each in enumerate(endpoints or ())]
    peers += [_entity(f"{path}.{side}Entities", each, found) for each in entities or ()]
    everybody = "all" in (entities or ())
    return Rule(path, union(addresses), ports, everybody=everybody, peers=tuple(each for each in peers if each))


def _entity(path: str, entity: str, found: Findings) -> Peer | None:
    """Return the pods that an entity stands for, None for none."""
    if entity in _EVERY_POD:
        return Peer(path, Selector(), Selector())
    if entity in _SOME_PODS:
        return Peer(path, Selector(), Selector(frozenset({Requirement(f"reserved:{entity}", "Exists")})))
    if entity not in _NODES and entity not in _WORLD:
        found.unknown(path, entity)
    return None


def _cidr_rule(path: str, rule: _CidrRule, found: Findings) -> Addresses:
    _unknown(f"{path}.", rule, found)
    if rule.cidr is None:
        return Addresses()
    return found.block(path, _with_prefix(rule.cidr), [_with_prefix(each) for each in rule.excepted])


def _with_prefix(cidr: str) -> str:
    """Return the CIDR of what Cilium also takes for one: an address alone."""
    return cidr if "/" in cidr else f"{cidr}/{128 if ':' in cidr else 32}"


def _ports(rule: _Rule, found: Findings) -> Ports:
    if rule.model_extra or any(each.model_extra for each in (*(rule.fromCIDRSet or ()), *(rule.toCIDRSet or ()))):
        # What is not understood may narrow the rule: only the same rule opens no more.
        return frozenset({("whole", found.around)})
    said = {"toPorts": rule.toPorts or (), "icmps": rule.icmps or ()}
    return frozenset((field, canonical(each)) for field, entries in said.items() for each in entries)
