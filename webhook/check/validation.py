"""
What the API server refuses in a NetworkPolicy or a Namespace that it could decode: problems, each with its path.

Source: Kubernetes 1.36, pkg/apis/networking/validation, pkg/apis/core/validation and
k8s.io/apimachinery/pkg/api/validation.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeAlias

from webhook.check.decoding import Steps
from webhook.errors import UnreadableError
from webhook.reach.addresses import read_cidr, read_spelled

Json = dict[str, Any]
Problem: TypeAlias = tuple[Steps, str]

LARGEST_NOTES = 256 * 1024
"""Bytes of all annotations of an object."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?", re.ASCII)
_ORPHANING = frozenset({"orphan", "foregroundDeletion"})
_STANDARD_FINALIZERS = frozenset({"kubernetes", *_ORPHANING})
_NO_NAME = "has to be made of a-z, 0-9, - and ., and to begin and end with one of a-z and 0-9"
_NO_LABEL_NAME = "has to be made of a-z, 0-9 and -, to begin and end with one of a-z and 0-9, and at most 63 long"
_NO_KEY = "is no name of a label: an optional DNS prefix and a slash, then at most 63 of A-Z, a-z, 0-9, -, _ and ."


def network_policy_problems(policy: Json, known: Collection[str] = ()) -> Iterator[Problem]:
    """Yield what is wrong with a NetworkPolicy; a CIDR that is `known`, for it stands already, may be spelled oddly."""
    yield from _metadata(policy["metadata"], _is_subdomain, _NO_NAME)
    spec = policy["spec"]
    yield from _selector(spec["podSelector"], ("spec", "podSelector"))
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction, ())):
            path: Steps = ("spec", direction, index)
            for each, port in enumerate(rule.get("ports", ())):
                yield from _port(port, (*path, "ports", each))
            for each, peer in enumerate(rule.get(side, ())):
                yield from _peer(peer, (*path, side, each), known)
    types = spec["policyTypes"]
    if len(types) > 2:
        yield ("spec", "policyTypes"), "may not have more than two types"
        return
    for index, each in enumerate(types):
        if each not in {"Ingress", "Egress"}:
            yield ("spec", "policyTypes", index), f"has to be Ingress or Egress, and is {each!r}"


def namespace_problems(namespace: Json) -> Iterator[Problem]:
    """Yield what is wrong with a Namespace."""
    yield from _metadata(namespace["metadata"], _is_label, _NO_LABEL_NAME)
    for index, each in enumerate(namespace["spec"]["finalizers"]):
        if not _is_key(each) or ("/" not in each and each not in _STANDARD_FINALIZERS):
            yield ("spec", "finalizers", index), f"is neither a standard finalizer nor a qualified name: {each!r}"


def _metadata(metadata: Json, is_name: Any, why: str) -> Iterator[Problem]:
    made_from = metadata.get("generateName", "")
    # A name is made by five characters behind this, which may end with a dash then.
    if made_from and not is_name(f"{made_from.removesuffix('-')}a" if made_from.endswith("-") else made_from):
        yield ("metadata", "generateName"), why
    name = metadata.get("name", "")
    if not name and not made_from:
        yield ("metadata", "name"), "is missing"
    elif name and not is_name(name):
        yield ("metadata", "name"), why
    if (namespace := metadata.get("namespace")) and not _is_label(namespace):
        yield ("metadata", "namespace"), _NO_LABEL_NAME
    yield from _labels(metadata.get("labels", {}), ("metadata", "labels"))
    yield from _annotations(metadata.get("annotations", {}))
    yield from _owners(metadata.get("ownerReferences", ()))
    finalizers = metadata.get("finalizers", ())
    for index, each in enumerate(finalizers):
        if not _is_key(each) or ("/" not in each and each not in _STANDARD_FINALIZERS):
            yield ("metadata", "finalizers", index), f"is no finalizer's name: {each!r}"
    if set(finalizers) >= _ORPHANING:
        yield ("metadata", "finalizers"), "orphan and foregroundDeletion exclude each other"


def _annotations(notes: Mapping[str, str]) -> Iterator[Problem]:
    for key in notes:
        if not _is_key(key.lower()):
            yield ("metadata", "annotations", key), _NO_KEY
    if sum(len(key.encode()) + len(value.encode()) for key, value in notes.items()) > LARGEST_NOTES:
        yield ("metadata", "annotations"), f"are longer than {LARGEST_NOTES} bytes"


def _owners(owners: Any) -> Iterator[Problem]:
    controllers = 0
    for index, each in enumerate(owners):
        path: Steps = ("metadata", "ownerReferences", index)
        for name in ("apiVersion", "kind", "name", "uid"):
            if not each[name] or (name == "apiVersion" and each[name].endswith("/")):
                yield (*path, name), "may not be empty"
        if (each["apiVersion"], each["kind"]) == ("v1", "Event"):
            yield path, "an Event owns nothing"
        controllers += each.get("controller", False)
    if controllers > 1:
        yield ("metadata", "ownerReferences"), "only one of them can have controller: true"


def _selector(selector: Json, path: Steps) -> Iterator[Problem]:
    yield from _labels(selector.get("matchLabels", {}), (*path, "matchLabels"))
    for index, each in enumerate(selector.get("matchExpressions", ())):
        at = (*path, "matchExpressions", index)
        values = each.get("values", ())
        if each["operator"] not in {"In", "NotIn", "Exists", "DoesNotExist"}:
            yield (*at, "operator"), f"has to be In, NotIn, Exists or DoesNotExist, and is {each['operator']!r}"
        elif (each["operator"] in {"In", "NotIn"}) != bool(values):
            yield (*at, "values"), f"{'may not' if values else 'have to'} be given with {each['operator']}"
        if not _is_key(each["key"]):
            yield (*at, "key"), _NO_KEY
        for number, value in enumerate(values):
            if not _is_value(value):
                yield (*at, "values", number), f"is no value of a label: {value!r}"


def _labels(labels: Mapping[str, str], path: Steps) -> Iterator[Problem]:
    for key, value in labels.items():
        if not _is_key(key):
            yield (*path, key), _NO_KEY
        if not _is_value(value):
            yield (*path, key), f"is no value of a label: {value!r}"


def _port(port: Json, path: Steps) -> Iterator[Problem]:
    if port["protocol"] not in {"TCP", "UDP", "SCTP"}:
        yield (*path, "protocol"), f"has to be TCP, UDP or SCTP, and is {port['protocol']!r}"
    first, last = port.get("port"), port.get("endPort")
    if isinstance(first, str):
        if not _PORT_NAME.fullmatch(first) or "--" in first:
            yield (*path, "port"), f"is no name of a port: {first!r}"
    elif first is not None and not 1 <= first <= 65535:
        yield (*path, "port"), f"has to be from 1 to 65535, and is {first}"
    if last is None:
        return
    if not isinstance(first, int):
        yield (*path, "endPort"), "may be given beside the number of a port only"
    elif not max(first, 1) <= last <= 65535:
        yield (*path, "endPort"), f"has to be from port to 65535, and is {last}"


def _peer(peer: Json, path: Steps, known: Collection[str]) -> Iterator[Problem]:
    for name in ("podSelector", "namespaceSelector"):
        yield from _selector(peer.get(name, {}), (*path, name))
    if not peer:
        yield path, "has to name a peer: an ipBlock, or selectors"
    elif "ipBlock" in peer:
        yield from _block(peer["ipBlock"], (*path, "ipBlock"), known)
        if len(peer) > 1:
            yield path, "may not have an ipBlock and selectors"


def _block(block: Json, path: Steps, known: Collection[str]) -> Iterator[Problem]:
    if not block["cidr"] or block["cidr"] not in known:
        yield from _cidr(block["cidr"], (*path, "cidr"))
    for index, each in enumerate(block.get("except", ())):
        at = (*path, "except", index)
        wrong = () if each in known else tuple(_cidr(each, at))
        yield from wrong
        try:
            inside = read_cidr(each) < read_cidr(block["cidr"])
        except UnreadableError:
            continue
        if not inside and not wrong:
            yield at, f"has to be a part of {block['cidr']}, and is {each}"


def _cidr(text: str, path: Steps) -> Iterator[Problem]:
    try:
        _, odd = read_spelled(text)
    except UnreadableError:
        yield path, f"has to be a CIDR such as 10.9.8.0/24 or 2001:db8::/64, and is {text!r}"
    else:
        if odd:
            yield path, f"{text} {odd}"


def _is_label(text: str) -> bool:
    return bool(_LABEL.fullmatch(text))


def _is_subdomain(text: str) -> bool:
    return len(text) <= 253 and bool(_SUBDOMAIN.fullmatch(text))


def _is_key(text: str) -> bool:
    prefix, slash, name = text.rpartition("/")
    return (not slash or _is_subdomain(prefix)) and bool(_WORD.fullmatch(name))


def _is_value(text: str) -> bool:
    return not text or bool(_WORD.fullmatch(text))
