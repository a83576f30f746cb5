"""
Whom the API server trusts, as far as the webhook objects tell: their `caBundle`, and how long it has stood so.

A certificate that it does not trust yet must not be served, and a CA whose certificate may still be served must not be
taken out. Neither is remembered: both follow from what stands.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from cryptography.x509 import Certificate

import certs
from webhook.registration.hooks import bundles

Object = dict[str, Any]

SETTLE_SECONDS = 5.0
"""How long a CA has to have stood in every caBundle before it counts: the API server hears by a watch, as we do."""


class Trusting(Protocol):
    """What has to be known of the API server before another certificate is served."""

    @property
    def known(self) -> bool:
        """Whether it is known how the webhook objects stand."""
        ...

    @property
    def stands(self) -> bool:
        """Whether there is a hook, so that the API server calls us at all."""
        ...

    @property
    def first(self) -> bytes:
        """The CAs that it trusted when it was first known, PEM."""
        ...

    def relies_on(self, chain: bytes, now: datetime) -> bool:
        """Say whether every hook that stands trusts `chain` (PEM, the leaf first), and there is one."""
        ...

    def ready_for(self, chain: bytes, now: datetime) -> bool:
        """Say whether `chain` may be served: every hook that stands has trusted it for long enough."""
        ...

    def heard_of(self, chain: bytes, now: datetime) -> bool:
        """Say whether the API server has heard of a CA of `chain` by now, or had when it was first known."""
        ...

    def anchors(self, chain: bytes) -> bytes:
        """Return the CAs by which the hooks that stand trust `chain`, PEM."""
        ...


class Nobody:
    """No webhook object stands, and never will: whatever is served, nobody relies on it."""

    known = True
    stands = False
    first = b""

    def relies_on(self, chain: bytes, now: datetime) -> bool:  # noqa: ARG002 - the other one looks at it
        """Return False."""
        return False

    def ready_for(self, chain: bytes, now: datetime) -> bool:  # noqa: ARG002 - the other one looks at it
        """Return True."""
        return True

    def heard_of(self, chain: bytes, now: datetime) -> bool:  # noqa: ARG002 - the other one looks at it
        """Return True."""
        return True

    def anchors(self, chain: bytes) -> bytes:  # noqa: ARG002 - the other one looks at it
        """Return none."""
        return b""


@dataclass(slots=True)
class Trust:
    """What the objects of `kinds` tell; seconds are those of `clock`, which no change of the time moves."""

    kinds: tuple[str, ...]
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, frozenset[bytes]] = field(default_factory=dict)
    """The caBundles of all hooks by kind, PEM; none for an object that does not stand."""
    _cut: set[str] = field(default_factory=set)
    _held: dict[Certificate, float] = field(default_factory=dict)
    """The CAs that every hook trusts, and since when."""
    _first: bytes | None = None

    @property
    def known(self) -> bool:
        """Whether it is known how each of them stands."""
        return len(self._seen) == len(self.kinds) and not self._cut

    @property
    def stands(self) -> bool:
        """Whether there is a hook."""
        return bool(self._bundles)

    @property
    def first(self) -> bytes:
        """The CAs that they held when all were first known."""
        return self._first or b""

    @property
    def _bundles(self) -> frozenset[bytes]:
        return frozenset[bytes]().union(*self._seen.values())

    def see(self, kind: str, thing: Object | None) -> None:
        """Take how an object stands, None for not at all."""
        found = bundles(thing) if thing else frozenset[bytes]()
        if self._seen.get(kind) == found:
            return
        self._seen[kind] = found
        now, every = self.clock(), [set(certs.readable(each)) for each in self._bundles]
        self._held = {each: self._held.get(each, now) for each in (set.intersection(*every) if every else ())}
        if self._first is None and len(self._seen) == len(self.kinds):
            self._first = certs.joined(*self._bundles)

    def heard(self, kind: str, *, cut: bool) -> None:
        """Take that the watch of a kind is cut, or goes on: what it has missed comes now."""
        if cut:
            self._cut.add(kind)
        elif kind in self._cut:
            self._cut.remove(kind)
            self._held = dict.fromkeys(self._held, self.clock())

    def relies_on(self, chain: bytes, now: datetime) -> bool:
        """Say whether every hook that stands trusts `chain`, and there is one."""
        return self.known and self.stands and all(certs.anchors(chain, each, now=now) for each in self._bundles)

    def ready_for(self, chain: bytes, now: datetime) -> bool:
        """Say whether `chain` may be served; where nothing stands nobody calls us."""
        if not self.known or not self.stands:
            return self.known
        long = tuple(each for each, since in self._held.items() if self.clock() - since >= SETTLE_SECONDS)
        return bool(certs.anchors(chain, certs.write_bundle(long), now=now))

    def heard_of(self, chain: bytes, now: datetime) -> bool:
        """Say whether the API server has heard of a CA of `chain`; what stood at first does so for longer than we."""
        return self.ready_for(chain, now) or (
            self.relies_on(chain, now) and bool(certs.anchors(chain, self.first, now=now))
        )

    def anchors(self, chain: bytes) -> bytes:
        """Return the CAs by which the hooks that stand trust `chain`."""
        return certs.joined(*(certs.write_bundle(certs.anchors(chain, each)) for each in self._bundles))
