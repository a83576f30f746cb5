"""
Asks a revision about documents, as many as there are.

Of an OPA that fails there is nothing: what was not decided must not look like what did not change.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webhook.decision.opa import Opa, decide_many, denied, probe
from webhook.errors import NoDecisionError, OpaError
from webhook.model import Decision, Policies
from webhook.replay.outcome import Outcome, outcome_of

BATCH = 64
"""Documents that OPA decides on at a time."""
SECONDS = 60.0
"""For a batch, and for one document alone: nobody waits for an admission."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Side:
    """A revision of the rules: an OPA that has it, what its answers have to show, and whether a rule reads the time."""

    opa: Opa
    policies: Policies
    reads_time: bool = True


async def alike(base: Side, head: Side, documents: Sequence[tuple[Json, Sequence[str]]]) -> list[bool]:
    """Say of each document whether the rules beside it find the same under both; not where that cannot be told."""
    if not documents:
        return []
    before, after = await asyncio.gather(_denied(base, documents), _denied(head, documents))
    return [one is not None and one == other for one, other in zip(before, after, strict=True)]


async def _denied(side: Side, documents: Sequence[tuple[Json, Sequence[str]]]) -> Sequence[tuple[str, ...] | None]:
    try:
        return await denied(side.opa, documents, side.policies, seconds=SECONDS)
    except NoDecisionError:
        # Whoever decides on them as a whole is told why, by document.
        return [None] * len(documents)


async def decided(side: Side, name: str, documents: Sequence[Any]) -> list[Outcome]:
    """Return what a side, `base` or `head`, says of each document; raises `OpaError` where it is in trouble."""
    outcomes: list[Outcome] = []
    for begin in range(0, len(documents), BATCH):
        batch = documents[begin : begin + BATCH]
        answers = await decide_many(side.opa, batch, side.policies, seconds=SECONDS)
        outcomes += [outcome_of(await _sure(side, name, *each)) for each in zip(batch, answers, strict=True)]
    return outcomes


async def _sure(side: Side, name: str, document: Any, answer: Decision | NoDecisionError) -> Decision | NoDecisionError:
    """Return an answer that is about the document and not about its OPA; raises `OpaError` where that is in trouble."""
    if isinstance(answer, NoDecisionError) and answer.cause == "revision" and answer.retry:
        # Undefined for this document, or by an OPA that has just come back without its rules: asked again, with them.
        await whole(side, name)
        (answer,) = await decide_many(side.opa, [document], side.policies, seconds=SECONDS)
    if isinstance(answer, NoDecisionError) and answer.cause in {"unreachable", "late"}:
        raise _unsure(name, answer)
    return answer


async def whole(side: Side, name: str) -> None:
    """Make sure that an OPA has all of its rules; raises `OpaError`."""
    try:
        await probe(side.opa, side.policies, seconds=SECONDS)
    except NoDecisionError as error:
        raise _unsure(name, error) from error


def _unsure(name: str, error: NoDecisionError) -> OpaError:
    return OpaError(f"the {name} revision could not decide all that was recorded: {error}; there is no replay")
