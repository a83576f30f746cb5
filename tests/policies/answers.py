"""What a real gate answers to many requests, so that answers can be compared."""

import asyncio
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

import orjson

from tests.cases.reviews import Json
from tests.conftest import Loop
from tests.policies.test_messages import masked
from webhook.admission import Gate
from webhook.tenancy.tree import Tree

AT_ONCE = 16


@dataclass(frozen=True)
class Answer:
    """
    What came of a request: what is allowed, the ids of the rules that refuse and of those that warn.

    `lines` are what the caller reads, without what differs every time; they count where answers are compared.
    """

    allowed: bool
    code: int
    denied_by: frozenset[str]
    warned_by: frozenset[str]
    lines: tuple[str, ...] = field(repr=False)

    @property
    def verdict(self) -> tuple[bool, int, frozenset[str], frozenset[str]]:
        """What it comes to, whatever it says."""
        return self.allowed, self.code, self.denied_by, self.warned_by


def under(gate: Gate, tree: Tree) -> Gate:
    """Return a gate that decides by another tree."""
    return replace(gate, tree=lambda: tree)


def ask_all(loop: Loop, gate: Gate, reviews: Iterable[Json]) -> list[Answer]:
    """Ask the gate all of it, some at once, and return the answers in the order of the reviews."""
    asking = iter(reviews)

    async def some() -> list[Answer]:
        return await asyncio.gather(*(_ask(gate, review) for review in islice(asking, AT_ONCE)))

    return list(_flat(iter(lambda: loop.run(some()), [])))


def _flat(batches: Iterable[list[Answer]]) -> Iterator[Answer]:
    for batch in batches:
        yield from batch


async def _ask(gate: Gate, review: Json) -> Answer:
    response = orjson.loads(await gate.validate(orjson.dumps(review), seconds=30))["response"]
    decision = response["auditAnnotations"]["decision-id"]
    status = response.get("status", {"code": 200, "message": ""})
    refused = [] if response["allowed"] else status["message"].splitlines()
    assert "could not decide" not in status.get("message", ""), status
    warned = response.get("warnings", [])
    return Answer(
        allowed=response["allowed"],
        code=status["code"],
        denied_by=_rules(refused),
        warned_by=_rules(warned),
        lines=tuple(masked(line, decision) for line in (*refused, *warned)),
    )


def _rules(lines: list[str]) -> frozenset[str]:
    return frozenset(match[1] for line in lines if (match := re.match(r"\[([a-z/-]+)\] ", line)))
