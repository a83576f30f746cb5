"""
Reads Calico's NetworkPolicy and NetworkSet as far as they mean what a NetworkPolicy means.

Both of `crd.projectcalico.org/v1` and `projectcalico.org/v3`, whose specs are the same. What is not understood could
open anything: it is told by its place, and the rest is read on. `Deny` and `Log` open nothing, `Pass` ends at the
profile, which lets in.
Source: https://docs.tigera.io/calico/latest/reference/resources/networkpolicy
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, TypeAdapter, ValidationError

from webhook.errors import UnreadableError
from webhook.reach.addresses import EVERYWHERE, Addresses, union
from webhook.reach.policy import Direction, Findings, Meaning, Peer, Rule, canonical
from webhook.selector import NAME_LABEL, Requirement, Selector, within_bounds

_CALICO_NAME = "projectcalico.org/name"
"""What Calico puts on a namespace beside Kubernetes' own label of its name."""
_OPENS = frozenset({"Allow", "Pass"})
_CLOSES = frozenset({"Deny", "Log"})
_FURTHER_PEERS = (("services", "name"), ("serviceAccounts", "names"))
"""Fields that stand for peers which are not understood, with what has to be in them so that they stand for any."""
# No more than Calico reads, in any version of it: a selector of namespaces that it cannot read counts as absent there,
# which is every namespace. Its blanks are spaces and tabs, and some versions take a word for an operator anywhere.
_LABEL = r"(?P<key>(?!(?:in|not|contains|starts|ends|has|all|global)\b)[-A-Za-z0-9_./]{1,317})"
_VALUE = r"(?:'[^']*'|\"[^\"]*\")"
_VALUES = rf"[ \t]*{_VALUE}(?:[ \t]*,[ \t]*{_VALUE})*[ \t]*"
_TERMS = tuple(
    re.compile(rf"[ \t]*{pattern}[ \t]*", re.ASCII)
    for pattern in (
        r"all\([ \t]*\)",
        rf"(?P<no>![ \t]*)?has\([ \t]*{_LABEL}[ \t]*\)",
        rf"{_LABEL}[ \t]*(?P<sign>==|!=)[ \t]*(?P<value>{_VALUE})",
        rf"{_LABEL}[ \t]+(?P<out>not[ \t]+)?in[ \t]*\{{(?P<values>{_VALUES})\}}",
    )
)
_AND = re.compile(rf"((?:[^'\"&]|{_VALUE})*)(?:&&|\Z)", re.ASCII)
_LEADING_ZEROS = re.compile(r"(?:[0-9]{1,10}\.){0,3}0[0-9]+(?:\.|/|\Z)", re.ASCII)
_LONGEST = 20_000
"""Characters in a selector."""


class _Model(BaseModel):
    # What is allowed here and has no field is what is not understood.
    model_config = ConfigDict(extra="allow")


class _Entity(_Model):
    nets: tuple[StrictStr, ...] = ()
    notNets: tuple[StrictStr, ...] = ()  # noqa: N815 - as Calico spells it, and those below
    selector: StrictStr = ""
    notSelector: StrictStr = ""  # noqa: N815
    namespaceSelector: StrictStr = ""  # noqa: N815
    ports: tuple[StrictInt | StrictStr, ...] = ()
    notPorts: tuple[StrictInt | StrictStr, ...] = ()  # noqa: N815

    @property
    def selects(self) -> bool:
        """Whether it is about pods; those of the policy's own namespace where it names no namespaces."""
        return bool(self.selector or self.notSelector or self.namespaceSelector)


class _Rule(_Model):
    action: StrictStr
    ipVersion: StrictInt | None = None  # noqa: N815
    protocol: StrictInt | StrictStr | None = None
    notProtocol: StrictInt | StrictStr | None = None  # noqa: N815
    icmp: dict[StrictStr, Any] | None = None
    notICMP: dict[StrictStr, Any] | None = None  # noqa: N815
    http: dict[StrictStr, Any] | None = None
    metadata: dict[StrictStr, Any] | None = None
    source: _Entity = Field(default_factory=_Entity)
    destination: _Entity = Field(default_factory=_Entity)

    def conditions(self, local: _Entity, remote: _Entity) -> dict[str, Any]:
        """Return what it says beside its peers, all of which narrows it."""
        beside = self.model_dump(exclude={"action", "metadata", "source", "destination"}, exclude_defaults=True)
        # Beside a selector the addresses are a further condition on the same pods.
        peers = {"selector", "namespaceSelector"} | (set() if remote.selects else {"nets", "notNets"})
        return beside | {
            key: value
            for key, value in (
                ("local", local.model_dump(exclude_defaults=True)),
                ("remote", remote.model_dump(exclude=peers, exclude_defaults=True)),
            )
            if value
        }


class _Spec(_Model):
    tier: StrictStr = "default"
    order: StrictInt | StrictFloat | None = None
    selector: StrictStr = ""
    types: tuple[StrictStr, ...] = ()
    ingress: tuple[_Rule, ...] = ()
    egress: tuple[_Rule, ...] = ()
    performanceHints: tuple[StrictStr, ...] = ()  # noqa: N815


class _Set(_Model):
    nets: tuple[StrictStr, ...] = ()


_SPEC = TypeAdapter(_Spec)
_SET = TypeAdapter(_Set)


def read_calico_policy(raw: Mapping[str, Any]) -> Meaning:
    """Return the meaning of a Calico NetworkPolicy, the whole object; raises `UnreadableError`."""
    spec = _validated(_SPEC, raw)
    found = Findings()
    _unknown("spec.", spec, found)
    if spec.tier != "default":
        # Another tier is asked before the namespace's other policies.
        found.unknown("spec.tier", spec.tier)
    types = {each.casefold() for each in spec.types} or {"ingress", "egress"}
    for each in sorted(types - {"ingress", "egress"}):
        found.unknown("spec.types", each)
    ingress = tuple(_rules("ingress", spec.ingress, found)) if "ingress" in types else None
    egress = tuple(_rules("egress", spec.egress, found)) if "egress" in types else None
    found.around = b""
    rules = (*spec.ingress, *spec.egress)
    return Meaning(
        pods=_selector("spec.selector", spec.selector, found),
        ingress=ingress,
        egress=egress,
        # They are asked in order, so what a denial closes depends on every rule.
        denials=canonical([each.model_dump() for each in rules]) if _closing(rules) else b"",
        # It may come before a denial of another policy now.
        rank=canonical(spec.order),
        malformed=tuple(found.malformed),
        not_understood=found.not_understood,
    )


def _closing(rules: Iterable[_Rule]) -> bool:
    return any(each.action in _CLOSES for each in rules)


def read_calico_set(raw: Mapping[str, Any]) -> Meaning:
    """
    Return what a Calico NetworkSet opens, the whole object; raises `UnreadableError`.

    Any policy of the namespace may select it by labels, so it counts for every pod and in both directions.
    """
    spec, found = _validated(_SET, raw), Findings()
    _unknown("spec.", spec, found)
    nets = union(_net("spec.nets", each, found) for each in spec.nets)
    rules = (Rule("spec.nets", nets, frozenset(), everybody=False),)
    return Meaning(
        Selector(),
        rules,
        rules,
        rank=canonical(_labels(raw)),
        malformed=tuple(found.malformed),
        not_understood=found.not_understood,
    )


def _labels(raw: Mapping[str, Any]) -> Any:
    """Return what policies may select an object by: in Calico's older group the labels may stand in an annotation."""
    metadata = raw.get("metadata") or {}
    return [metadata.get("labels"), (metadata.get("annotations") or {}).get("projectcalico.org/metadata")]


def read_nothing(raw: Mapping[str, Any]) -> Meaning:
    """Return the meaning of a kind of which no field is understood."""
    found = Findings()
    for key, value in raw.items():
        if key not in {"apiVersion", "kind", "metadata", "status"}:
            found.unknown(key, value)
    return Meaning(None, None, None, not_understood=found.not_understood)


def _validated(model: TypeAdapter[Any], raw: Mapping[str, Any]) -> Any:
    try:
        spec = raw.get("spec")
        return model.validate_python({} if spec is None else spec)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise UnreadableError(f"spec{where} cannot be read: {first['msg']}") from error


def _unknown(path: str, model: _Model, found: Findings) -> None:
    for name, value in (model.model_extra or {}).items():
        found.unknown(f"{path}{name}", value)


def _rules(direction: Direction, rules: tuple[_Rule, ...], found: Findings) -> Iterator[Rule]:
    for index, rule in enumerate(rules):
        path = f"spec.{direction}[{index}]"
        found.around = canonical(rule.model_dump())
        side, local = ("source", rule.destination) if direction == "ingress" else ("destination", rule.source)
        remote: _Entity = getattr(rule, side)
        _unknown(f"{path}.", rule, found)
        _unknown(f"{path}.source.", rule.source, found)
        _unknown(f"{path}.destination.", rule.destination, found)
        if rule.action not in _OPENS | _CLOSES:
            found.unknown(f"{path}.action", rule.action)
        if rule.action in _CLOSES:
            continue
        conditions = rule.conditions(local, remote)
        ports = frozenset({canonical(conditions)}) if conditions else frozenset[bytes]()
        addresses, peers = _peer(f"{path}.{side}", remote, found)
        everybody = addresses == EVERYWHERE and not remote.nets and not remote.notNets
        if everybody and _names_others(remote):
            # Nobody knows whom these stand for, but not for everybody.
            continue
        yield Rule(path, addresses, ports, everybody=everybody, peers=peers)


def _peer(path: str, entity: _Entity, found: Findings) -> tuple[Addresses, tuple[Peer, ...]]:
    """Return the addresses and the pods that an entity selects; what it excludes by selector selects nothing."""
    without = union(_net(f"{path}.notNets", each, found) for each in entity.notNets)
    nets = union(_net(f"{path}.nets", each, found) for each in entity.nets)
    if not entity.selects:
        return (nets if entity.nets else EVERYWHERE) - without, ()
    namespaces = None
    if entity.namespaceSelector:
        read = _selector(f"{path}.namespaceSelector", entity.namespaceSelector, found)
        namespaces = read and Selector(frozenset(_of_namespace(each) for each in read.requirements))
        if namespaces is None:
            return nets - without, ()
    pods = _selector(f"{path}.selector", entity.selector, found)
    return nets - without, (Peer(path, namespaces, pods),) if pods is not None else ()


def _names_others(remote: _Entity) -> bool:
    """Say whether it names peers that are not understood."""
    extra = remote.model_extra or {}
    further = [(extra.get(field), name) for field, name in _FURTHER_PEERS]
    return any(isinstance(value, Mapping) and bool(value.get(name)) for value, name in further)


def _of_namespace(each: Requirement) -> Requirement:
    return Requirement(NAME_LABEL, each.operator, each.values) if each.key == _CALICO_NAME else each


def _net(path: str, text: str, found: Findings) -> Addresses:
    """Return the addresses of a CIDR or, as Calico also takes it, of an address alone; raises `UnreadableError`."""
    if _LEADING_ZEROS.match(text):
        # Calico leaves out what it cannot read, and a rule without nets is for everybody.
        raise UnreadableError(f"{path}: {text} has leading zeros, which Calico does not read")
    return found.cidr(path, text if "/" in text else f"{text}/{128 if ':' in text else 32}")


def _selector(path: str, text: str, found: Findings) -> Selector | None:
    """Return what a selector expression of conditions joined by `&&` selects, None where it is not understood."""
    requirements: list[Requirement] = []
    terms = list(_terms(text)) if len(text) <= _LONGEST else [None]
    for term in terms:
        if term is None:
            found.unknown(path, text)
            return None
        requirements += term
    return within_bounds(Selector(frozenset(requirements)))


def _terms(text: str) -> Iterator[list[Requirement] | None]:
    """Yield the requirements of each term, None for one that is not understood; an empty text is `all()`."""
    if not text.strip(" \t"):
        return
    at = 0
    while at <= len(text):
        part = _AND.match(text, at)
        if part is None:
            yield None
            return
        yield _term(part[1])
        if part.end() == len(text) and not part[0].endswith("&&"):
            return
        at = part.end()


def _term(text: str) -> list[Requirement] | None:
    for pattern in _TERMS:
        if match := pattern.fullmatch(text):
            return _requirement(match.groupdict())
    return None


def _requirement(said: Mapping[str, str | None]) -> list[Requirement]:
    match said:
        case {"key": str(key), "sign": str(sign), "value": str(value)}:
            return [Requirement(key, "In" if sign == "==" else "NotIn", frozenset({value[1:-1]}))]
        case {"key": str(key), "values": str(values)}:
            named = frozenset(each[1:-1] for each in re.findall(_VALUE, values))
            return [Requirement(key, "NotIn" if said["out"] else "In", named)]
        case {"key": str(key)}:
            return [Requirement(key, "DoesNotExist" if said["no"] else "Exists")]
        case _:
            return []
