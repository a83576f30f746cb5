"""
Reviews that nobody wrote: the objects of the case table put together anew, by anybody, anywhere, to any end.

Each object is one of the table's with parts of another of its kind, so that every kind, rule and field that the table
knows comes up in combinations that it does not have. The same seed gives the same reviews.
"""

from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

from tests.cases.reviews import NAMESPACE, NETPOL, POD, Asked, Caller, Json
from tests.cases.table import CASES
from webhook.check.kinds import COVERED
from webhook.selector import NAME_LABEL

Kind = tuple[str, str, str, str]

MORE: dict[Kind, int] = {
    NETPOL: 12,
    NAMESPACE: 6,
    POD: 2,
    ("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies"): 4,
}
"""How much more often than others a kind comes."""
OPERATIONS = ("CREATE", "CREATE", "CREATE", "UPDATE", "UPDATE", "DELETE")
CIDRS = (
    "0.0.0.0/0",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "10.0.0.0/8",
    "169.254.0.0/16",
    "169.254.169.254/32",
    "::/0",
    "2000::/4",
)
NAMES = ("web", "api", "deny", "zero-trust.default-deny", "web.dns", "x")


class Reviews:
    """Draws them."""

    def __init__(self, seed: int, namespaces: tuple[str, ...]) -> None:
        self._chance = Random(seed)  # noqa: S311 - it has to be the same again, not a secret
        self._namespaces = (*namespaces, "nowhere")
        self._objects: defaultdict[Kind, list[Json]] = defaultdict(list)
        callers: dict[Caller, None] = {}
        for case in CASES:
            asked = case.asked
            callers[asked.caller] = None
            if (asked.kind[0], asked.kind[2]) in COVERED:
                self._objects[asked.kind] += [deepcopy(each) for each in (asked.new, asked.old) if each]
        self._callers = list(callers)
        self._kinds = [kind for kind in self._objects for _ in range(MORE.get(kind, 1))]

    def draw(self, count: int) -> Iterator[Asked]:
        """Yield so many."""
        for _ in range(count):
            kind = self._chance.choice(self._kinds)
            caller, operation = self._chance.choice(self._callers), self._chance.choice(OPERATIONS)
            new = self._object(kind)
            old = self._before(kind, new)
            yield Asked(
                caller,
                operation,
                kind,
                new=new if operation != "DELETE" else None,
                old=old if operation != "CREATE" else None,
                subresource=self._part(kind, operation),
            )

    def _object(self, kind: Kind) -> Json:
        chance = self._chance
        thing, other = deepcopy(chance.choice(self._objects[kind])), chance.choice(self._objects[kind])
        thing |= {"apiVersion": f"{kind[0]}/{kind[1]}".removeprefix("/"), "kind": kind[2]}
        metadata = thing["metadata"] = dict(thing.get("metadata") or {})
        for key, value in (other.get("metadata") or {}).items():
            if chance.random() < 0.3:
                metadata[key] = deepcopy(value)
        if COVERED[kind[0], kind[2]].namespaced:
            metadata["namespace"] = chance.choice(self._namespaces)
            metadata["name"] = chance.choice(NAMES)
        elif kind == NAMESPACE:
            self._name(metadata)
        if isinstance(spec := thing.get("spec"), dict) and isinstance(other.get("spec"), dict):
            self._mix(spec, other["spec"])
        return thing

    def _name(self, metadata: Json) -> None:
        metadata["name"] = name = self._chance.choice((*self._namespaces, "fresh", "fresh"))
        metadata["labels"] = {**(metadata.get("labels") or {}), NAME_LABEL: name}

    def _mix(self, spec: Json, other: Json) -> None:
        chance = self._chance
        for key, value in other.items():
            what = chance.random()
            if what < 0.2:
                spec[key] = deepcopy(value)
            elif what < 0.4 and isinstance(value, list) and isinstance(spec.get(key), list):
                spec[key] = [*spec[key], *deepcopy(value)][:20]
        if chance.random() < 0.3:
            self._move(spec)

    def _move(self, value: Any) -> None:
        """Change the blocks of addresses in it."""
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(each, dict | list):
                self._move(each)
            elif isinstance(each, str) and "/" in each and each[:1].isdigit() and self._chance.random() < 0.5:
                value[key] = self._chance.choice(CIDRS)

    def _before(self, kind: Kind, new: Json) -> Json:
        """Return how an object was: all the same, another one, or but for its spec or its metadata."""
        what, other = self._chance.random(), self._object(kind)
        kept = {key: new["metadata"][key] for key in ("name", "namespace") if key in new["metadata"]}
        about = {**other["metadata"], **kept}
        if kind == NAMESPACE:
            about["labels"] = {**about["labels"], NAME_LABEL: kept["name"]}
        if what < 0.2:
            return deepcopy(new)
        if what < 0.5:
            return {**other, "metadata": deepcopy(new["metadata"])}
        return {**(deepcopy(new) if what < 0.7 else other), "metadata": about}

    def _part(self, kind: Kind, operation: str) -> str:
        if operation != "UPDATE" or kind not in {NAMESPACE, POD}:
            return ""
        return self._chance.choice(("", "", "", "", "status", "finalize" if kind == NAMESPACE else "resize"))
