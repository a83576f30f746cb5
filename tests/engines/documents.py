"""
Documents that nobody gathers: those of the case table with things changed anywhere in them, the same by the same seed.

What the webhook itself would never write is among them: an engine has to read it as the other does all the same.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import orjson

Json = dict[str, Any]

TEXTS = (
    "", " ", "\x00", "a\x00b", "\x7f", "a\nb", "\t", "\\", '"', "'", "\x1b[31m", "\u2028", "\ufeff", "\ufffd",
    "\uffff", "\u202eevil", "\U0001f4a9", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "e\u0301", "\u00e9", "\u212a",
    "\u0130", "\u0131", "\u00df", "\u1e9e", "\u03a3", "\u01c5", "\U00010400", "\U0010ffff", "*", ".", "..", "/", "//",
    "a/b", "guardrail/*", "~0~1", "{}", "{input.user.name}", "%s", "%d", "%!v(MISSING)", "-1", "0", "1", "1.0",
    "null", "true", "false", "kube-system", "checkout-dev", "CREATE", "create", "UPDATE", "DELETE", "CONNECT", "Pod",
    "Namespace", "NetworkPolicy", "Organization", "Workspace", "Workspace/checkout", "Project/payments", "v1",
    "v1alpha1", "networking.k8s.io", "portcullis.dev", "status", "owned", "unowned", "reserved", "orphaned",
    "unknown", "warn", "audit", "enforce", "Allow", "Deny", "system:serviceaccount:",
    "system:serviceaccount:gitops:argocd", "system:serviceaccount:a:b:c", "system:apiserver",
    "system:serviceaccount:portcullis-system:portcullis", "169.254.169.254/32", "acme-admins", "checkout-team",
    "OrgAdmin", "SystemWriter", "2026-01-01T00:00:00Z", "a" * 300, "\u00e4" * 5000, "\U0001f4a9" * 2000,
)  # fmt: skip
NUMBERS = (
    "0", "-0", "-0.0", "0.0", "1", "1.0", "1e0", "10e-1", "100e-2", "-1", "2", "0.25", "0.250",
    "0.2500000000000000001", "0.24999999999999999", "0.2499999999999999999999", "0.24999999", "0.2", "0.3", "0.1",
    "0.30000000000000004", "0.7", "1e-7", "1e-320", "5e-324", "1e-400", "1e308", "1.7976931348623157e308",
    "9007199254740992", "9007199254740993", "9007199254740992.0", "2147483647", "2147483648", "-2147483649",
    "4294967296", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "18446744073709551615", "18446744073709551616", "1e18", "1e19", "123456789012345678901234567890", "1E2", "1e+2",
    "100", "100.0", "3.14159265358979323846264338327950288",
)  # fmt: skip
"""Numbers as they are written: one value in several ways among them, and what no double or 64-bit integer holds."""
SHARES = (
    0.0,
    -0.0,
    0.25,
    0.24999999,
    0.2499999999999998,
    0.25000000000000006,
    0.3,
    0.30000000000000004,
    0.504,
    1e-7,
    2.0**-52,
    1.0,
)
KEYS = (
    "", "metadata", "name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences",
    "deletionTimestamp", "spec", "request", "user", "object", "old_object", "kind", "group", "version", "operation",
    "places", "new", "old", "kept", "workspace", "path", "roles", "subjects", "tenants", "reaches", "ingress",
    "egress", "protected", "0", "1", "a/b", "a.b", "\x00", "\U0001f4a9", "portcullis.dev/workspace",
    "portcullis.dev/project", "portcullis.dev/baseline", "portcullis.dev/organization", "*", "guardrail/*",
)  # fmt: skip


class Documents:
    """Makes documents by chance of `real` ones, each as JSON."""

    def __init__(self, seed: int | str, real: Sequence[bytes]) -> None:
        self._chance = Random(seed)  # noqa: S311 - it has to be the same again, not a secret
        self._real = real

    def draw(self, count: int) -> Iterator[bytes]:
        """Yield `count` of them."""
        for _ in range(count):
            document = orjson.loads(self._chance.choice(self._real))
            for _ in range(self._chance.choice((1, 1, 2, 2, 3, 5, 8))):
                self._change(document)
            yield orjson.dumps(document)

    def _change(self, document: Json) -> None:
        """Change one thing, at any depth."""
        chance = self._chance
        holder: Any = document
        key: Any = chance.choice(list(document))
        while chance.random() < 0.8:
            below = holder[key]
            if isinstance(below, dict) and below:
                holder, key = below, chance.choice(list(below))
            elif isinstance(below, list) and below:
                holder, key = below, chance.randrange(len(below))
            else:
                break
        if holder is document and chance.random() < 0.7:
            return
        self._change_at(document, holder, key)

    def _change_at(self, document: Json, holder: Any, key: Any) -> None:
        chance, value = self._chance, holder[key]
        match chance.randrange(8):
            case 0:
                del holder[key]
            case 1:
                holder[key] = self._value()
            case 2:
                holder[key] = self._another(document)
            case _:
                holder[key] = self._changed(value)

    def _changed(self, value: Any) -> Any:
        """Return what is like `value`, and is not."""
        chance = self._chance
        match value:
            case str():
                return self._text(value)
            case dict():
                return self._map(value)
            case list():
                return self._list(value)
            case float():
                # Shares of all addresses, which are never more than all.
                return chance.choice((chance.random(), chance.choice(SHARES), chance.randrange(1001) / 1000))
        numbers = (orjson.Fragment(each.encode()) for each in NUMBERS)
        return chance.choice((not value, None, "true", *numbers)) if value is not None else self._value()

    def _text(self, text: str) -> str:
        chance = self._chance
        place = chance.randrange(len(text) + 1)
        odd = chance.choice(TEXTS)
        return chance.choice(
            (
                text.swapcase(),
                text[:place],
                text + odd,
                text[:place] + odd + text[place:],
                odd,
                text[:place] + _any(chance),
            )
        )

    def _map(self, value: Json) -> Json:
        chance = self._chance
        keys = list(value)
        if keys and chance.random() < 0.3:
            value[self._text(chance.choice(keys))] = value[chance.choice(keys)]
        elif chance.random() < 0.3:
            # The order of an object's members means nothing.
            chance.shuffle(keys)
            return {key: value[key] for key in keys}
        else:
            value[chance.choice(KEYS)] = value[chance.choice(keys)] if keys and chance.random() < 0.5 else self._value()
        return value

    def _list(self, value: list[Any]) -> list[Any]:
        chance = self._chance
        match chance.randrange(5):
            case 0:
                return value[::-1]
            case 1:
                return value * chance.choice((2, 2, 2, 50))
            case 2:
                return [*value, self._value()]
            case 3:
                return [self._value(), *value[1:]]
            case _:
                return chance.sample(value, len(value))

    def _another(self, document: Json) -> Any:
        """Return something that stands elsewhere in the document, or in another one."""
        found: Any = document if self._chance.random() < 0.5 else orjson.loads(self._chance.choice(self._real))
        for _ in range(self._chance.randint(1, 6)):
            if isinstance(found, dict) and found:
                found = found[self._chance.choice(list(found))]
            elif isinstance(found, list) and found:
                found = self._chance.choice(found)
        # As it is written: what is changed in one place must not change in the other.
        return orjson.Fragment(orjson.dumps(found)) if isinstance(found, dict | list) else found

    def _value(self) -> Any:
        chance = self._chance
        match chance.randrange(20):
            case 0 | 1 | 2 | 3 | 4 | 5:
                return chance.choice(TEXTS)
            case 6 | 7 | 8 | 9:
                return orjson.Fragment(chance.choice(NUMBERS).encode())
            case 10:
                return self._nested()
            case 11:
                return [chance.choice(TEXTS) for _ in range(chance.choice((3, 30, 300)))]
            case _:
                return chance.choice(
                    (None, True, False, [], {}, [None], [[]], [{}], {"": ""}, {"a": None}, [""], ["a", 1, None, {}])
                )

    def _nested(self) -> Any:
        nested: Any = {}
        for _ in range(self._chance.choice((5, 20, 100))):
            nested = [nested] if self._chance.random() < 0.5 else {"spec": nested}
        return nested


def _any(chance: Random) -> str:
    """Return any character but half of one."""
    point = chance.randrange(0x110000 - 0x800)
    return chr(point if point < 0xD800 else point + 0x800)
