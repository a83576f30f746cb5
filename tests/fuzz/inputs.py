"""
What the fuzzer sends: any bytes, mostly real reviews with something wrong in them.

The same seed gives the same inputs.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from tests.cases.table import CASES
from webhook.app import MOST_BYTES

JSON = b"application/json"
_OTHER_TYPES = (b"", b"text/plain", b"application/jsonx", b"application/yaml", b"\xff\xfe", b"application/json\x00")
_SAME_TYPES = (b"application/json; charset=utf-8", b"Application/JSON", b"application/json;;;=")
_KEY = re.compile(rb'"([A-Za-z0-9_./-]+)": ')

_ODD_TEXTS = (
    "", " ", "\x00", "a\nb", "\x1b[31m", "\u202eevil", "\ud800", "\U0001f4a9", "e\u0301", "\u212a", "\u0130",
    "*", ".", "..", "/", "~0~1", "$(namespace)", "{}", "%s", "'\";--", "-1", "null", "true", "0x10", "1e3", "010.0.0.1",
    "kube-system", "portcullis-system", "checkout-dev", "monitoring", "nowhere", "lost", "edge", "web.dns",
    "zero-trust.default-deny", "status", "finalize", "scale", "eviction", "ephemeralcontainers", "v1", "v1beta1", "v2",
    "Namespace", "namespaces", "NetworkPolicy", "networkpolicy", "CiliumNetworkPolicy", "Pod", "Workspace",
    "Organization", "networking.k8s.io", "cilium.io", "portcullis.dev", "crd.projectcalico.org", "CREATE", "create",
    "UPDATE", "DELETE", "CONNECT", "PATCH", "system:masters", "system:apiserver", "acme-admins", "checkout-team",
    "system:serviceaccount:", "system:serviceaccount:gitops:argocd", "0.0.0.0/0", "0.0.0.0/33", "::/0", "1.2.3.4",
    "::ffff:0.0.0.0/96", "10.0.0.0/8/8", "Ingress", "egress", "2026-01-01T00:00:00Z", "2026-13-41T99:99:99+99:99",
    "Exists", "NotIn", "portcullis.dev/workspace", "checkout", "refunds", "a" * 64, "b" * 300, "c" * 5000,
)  # fmt: skip
_ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, 10**400, 1.5, -0.0, 1e308, float("inf"),
    float("nan"), [], {}, [None], [[]], [{}], {"": ""}, {"a": None}, [""], ["a", 1, None, {}],
)  # fmt: skip
_ODD_KEYS = (
    "", "metadata", "name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences",
    "deletionTimestamp", "spec", "status", "uid", "object", "oldObject", "userInfo", "username", "groups", "dryRun",
    "subResource", "operation", "kind", "podSelector", "matchLabels", "matchExpressions", "ingress", "egress", "from",
    "to", "ipBlock", "cidr", "except", "policyTypes", "namespaceSelector", "hostNetwork", "roles", "subjects",
    "portcullis.dev/workspace", "portcullis.dev/exempt", "portcullis.dev/exempt-until", "portcullis.dev/gate",
    "portcullis.dev/baseline", "app.kubernetes.io/managed-by", "kubernetes.io/metadata.name", "\ud800", "İ",
)  # fmt: skip
_LARGE = 0.002
"""How many of the reviews are large: one costs as much as a hundred others."""


@dataclass(frozen=True, slots=True)
class Input:
    """One request: its body and its content type."""

    body: bytes
    content_type: bytes = JSON


def inputs(seed: str, count: int, route: str) -> Iterator[Input]:
    """Yield `count` inputs for a route."""
    maker = _Maker(Random(seed), _reviews(route))  # noqa: S311 - it has to be the same again, not a secret
    for number in range(count):
        yield maker.input(f"{seed}-{number}")


def _reviews(route: str) -> Sequence[bytes]:
    """Return the real reviews to begin with; for the mutating route the Namespaces come again and again."""
    every = [orjson.dumps(case.asked.review()) for case in CASES]
    stamped = [body for case, body in zip(CASES, every, strict=True) if case.asked.kind[2] == "Namespace"]
    return [*every, *stamped * (2 * len(every) // len(stamped))] if route == "/mutate" else every


class _Maker:
    """Makes inputs by chance."""

    def __init__(self, chance: Random, reviews: Sequence[bytes]) -> None:
        self._chance = chance
        self._reviews = reviews
        self._damages: tuple[Callable[[bytes], bytes], ...] = (
            self._cut,
            self._flipped,
            self._without_a_slice,
            self._with_a_slice_twice,
            self._with_noise,
            self._deep,
        )

    def input(self, uid: str) -> Input:
        """Return the next one; a review in it has this uid, unless that is what is wrong with it."""
        share = self._chance.random()
        if share < 0.10:
            return Input(self._noise())
        review = self._review(uid)
        if share < 0.30:
            return Input(self._chance.choice(self._damages)(json.dumps(review).encode()))
        body = self._odd_review(review)
        if share < 0.33:
            return Input(body, self._chance.choice(_OTHER_TYPES))
        return Input(body, self._chance.choice(_SAME_TYPES) if share < 0.34 else JSON)

    def _review(self, uid: str) -> Any:
        review = orjson.loads(self._chance.choice(self._reviews))
        review["request"]["uid"] = uid
        return review

    def _noise(self) -> bytes:
        if self._chance.random() < 0.3:
            return json.dumps(self._odd_value()).encode()
        return self._chance.randbytes(self._chance.randrange(300))

    # What is no JSON any more, or another one.

    def _place(self, body: bytes) -> int:
        return self._chance.randrange(len(body) + 1)

    def _cut(self, body: bytes) -> bytes:
        return body[: self._place(body)]

    def _flipped(self, body: bytes) -> bytes:
        changed = bytearray(body)
        for _ in range(self._chance.randint(1, 4)):
            changed[self._chance.randrange(len(changed))] = self._chance.randrange(256)
        return bytes(changed)

    def _without_a_slice(self, body: bytes) -> bytes:
        begin = self._place(body)
        return body[:begin] + body[begin + self._chance.randrange(40) :]

    def _with_a_slice_twice(self, body: bytes) -> bytes:
        begin = self._place(body)
        end = begin + self._chance.randrange(80)
        return body[:end] + body[begin:]

    def _with_noise(self, body: bytes) -> bytes:
        begin = self._place(body)
        return body[:begin] + self._chance.randbytes(self._chance.randint(1, 8)) + body[begin:]

    def _deep(self, body: bytes) -> bytes:
        levels = self._chance.choice((500, 1023, 1024, 20_000))
        return body.replace(b"null", b"[" * levels + b"]" * levels)

    # What is JSON, and mostly a review.

    def _odd_review(self, review: Any) -> bytes:
        chance = self._chance
        if chance.random() < 0.1:
            self._mix(review)
        for _ in range(chance.choice((0, 1, 1, 1, 1, 1, 2, 2, 3, 5))):
            self._change(review)
        if chance.random() < _LARGE:
            return self._large(review)
        body = json.dumps(review).encode()
        return self._with_a_key_twice(body) if chance.random() < 0.05 else body

    def _mix(self, review: Any) -> None:
        """Put a part of another review in."""
        part = self._chance.choice(("userInfo", "userInfo", "object", "oldObject", "operation", "kind", "subResource"))
        other = orjson.loads(self._chance.choice(self._reviews))["request"]
        review["request"][part] = other.get(part)

    def _change(self, review: Any) -> None:
        """Change one thing, at any depth; mostly in an object, for the envelope is soon no envelope any more."""
        chance = self._chance
        holder: Any = review
        key: Any = chance.choice(("apiVersion", "kind", "request"))
        request = review.get("request")
        if isinstance(request, dict) and request and chance.random() < 0.98:
            objects = [each for each in ("object", "oldObject") if isinstance(request.get(each), dict)]
            holder, key = request, chance.choice(objects if objects and chance.random() < 0.7 else list(request))
        if key not in holder:
            return
        while chance.random() < 0.85:
            below = holder[key]
            if isinstance(below, dict) and below:
                holder, key = below, chance.choice(list(below))
            elif isinstance(below, list) and below:
                holder, key = below, chance.randrange(len(below))
            else:
                break
        self._change_at(holder, key)

    def _change_at(self, holder: Any, key: Any) -> None:
        value, what = holder[key], self._chance.random()
        if what < 0.15:
            del holder[key]
        elif what < 0.25:
            holder[key] = None
        elif what < 0.45:
            holder[key] = self._odd_value()
        elif isinstance(value, str):
            holder[key] = self._odd_text(value)
        elif isinstance(value, dict):
            self._change_map(value)
        elif isinstance(value, list):
            self._change_list(value)
        else:
            holder[key] = self._odd_value()

    def _change_map(self, value: Any) -> None:
        chance = self._chance
        key = chance.choice(list(value)) if value and chance.random() < 0.6 else chance.choice(_ODD_KEYS)
        held = value.get(key)
        match chance.randrange(4):
            case 0:
                value[self._odd_text(key)] = held
            case 1:
                value[key.swapcase()] = value.pop(key, None)
            case 2:
                value[chance.choice(_ODD_KEYS)] = self._odd_value() if held is None else held
            case _:
                value[key] = self._odd_value()

    def _change_list(self, value: Any) -> None:
        match self._chance.randrange(4):
            case 0:
                value.append(self._odd_value())
            case 1:
                value.extend(value[:50])
            case 2:
                value.reverse()
            case _:
                value.insert(0, value[-1] if value else {})

    def _odd_value(self) -> Any:
        what = self._chance.random()
        if what < 0.45:
            return self._chance.choice(_ODD_TEXTS)
        if what < 0.98:
            # A fresh one: what is changed in it later must not change the next.
            return deepcopy(self._chance.choice(_ODD_VALUES))
        nested: Any = {}
        for _ in range(self._chance.choice((10, 100, 300))):
            nested = [nested] if self._chance.random() < 0.5 else {"spec": nested}
        return nested

    def _odd_text(self, text: str) -> str:
        chance = self._chance
        place = chance.randrange(len(text) + 1)
        before, after = text[:place], text[place:]
        return chance.choice(
            (
                text.swapcase(),
                text.upper(),
                before,
                text + chance.choice(_ODD_TEXTS),
                before + chance.choice(_ODD_TEXTS) + after,
                before + chr(chance.randrange(0x110000)) + after,
                chance.choice(_ODD_TEXTS),
            )
        )

    def _large(self, review: Any) -> bytes:
        """Return it as large as an attacker may make it: mostly many groups, now and then many peers, or too much."""
        what, request = self._chance.random(), review.get("request")
        request = request if isinstance(request, dict) else {}
        if what < 0.05 and isinstance(each := request.get("object"), dict):
            peers = [{"ipBlock": {"cidr": f"10.{n >> 8}.{n & 255}.0/24"}} for n in range(10_000)]
            each["spec"] = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": peers}]}
        elif isinstance(user := request.get("userInfo"), dict):
            user["groups"] = [f"group-{number}" for number in range(1000)]
        body = json.dumps(review).encode()
        return body + b" " * MOST_BYTES if what > 0.98 else body

    def _with_a_key_twice(self, body: bytes) -> bytes:
        found = list(_KEY.finditer(body))
        if not found:
            return body
        key = self._chance.choice(found)
        again = json.dumps(self._odd_value()).encode()
        return body[: key.start()] + key[0] + again + b", " + body[key.start() :]
