"""Times as numbers, and the ids of decisions made of them."""

import hashlib
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BITS = 21
"""Of an id, below the milliseconds: 63 bits last until the year 2109."""
GRAIN = 300_000
"""Milliseconds: a document that is decided on again and again is noted as used once in so long."""


def milliseconds(time: str) -> int:
    """Return RFC 3339 as milliseconds since 1970; raises `ValueError` for what is none, or has no zone."""
    read = datetime.fromisoformat(time)
    if read.tzinfo is None:
        raise ValueError(f"{time} has no zone")
    return (read - EPOCH) // timedelta(milliseconds=1)


def told(time: int) -> str:
    """Return milliseconds since 1970 as RFC 3339 in UTC."""
    return (EPOCH + timedelta(milliseconds=time)).isoformat(timespec="milliseconds")


def first_id(time: int) -> int:
    """Return the least id that a decision of that time may have."""
    return time << BITS


def id_of(time: int, decision_id: str) -> int:
    """Return the id of a decision: the same whenever it is stored, and rarely another's (see `Store.append`)."""
    chance = int.from_bytes(hashlib.sha256(decision_id.encode()).digest()[:4], "big")
    return first_id(time) | chance & ((1 << BITS) - 1)


def grain_after(time: int) -> int:
    """Return the end of the grain that a time is in, both in milliseconds."""
    return time - time % GRAIN + GRAIN
