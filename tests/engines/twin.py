"""Two engines as one: asked the same, and their answers compared to the letter."""

from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from webhook.decision.opa import Opa
from webhook.errors import PortcullisError

FAILURES = (aiohttp.ClientError, TimeoutError, TypeError, ValueError, PortcullisError)
"""What an engine raises that has no answer."""
SETS: Mapping[str, Sequence[tuple[str, ...]]] = {
    "validate/decision": [("rules",)],
    "batch/decisions": [("*", "rules")],
    "roles/held": [("*",)],
    "history/visible": [("tenants",)],
}
"""What is read as a set, by entry point: JSON has none, so its members may come in any order, and nothing else may."""


class DifferentError(AssertionError):
    """The engines do not say the same."""


@dataclass
class Compared:
    """How much was compared since somebody `took` it, by entry point, and what was different."""

    counts: Counter[str] = field(default_factory=Counter)
    different: list[str] = field(default_factory=list)

    def taken(self) -> tuple[Counter[str], list[str]]:
        """Return both, and begin anew."""
        found = self.counts, self.different
        self.counts, self.different = Counter(), []
        return found


@dataclass(frozen=True)
class Twin:
    """
    OPA, and the same policies in this process: whoever asks is asking both, and has the answer of the latter.

    That one of them has no answer and the other one has is a difference as well. What is different is raised, and kept
    in `compared`, for the webhook denies on whatever is raised.
    """

    opa: Opa
    wasm: Opa
    compared: Compared

    async def query_rule(self, *question: Any) -> Any:
        """Return what both say, or raise what OPA raised where neither says anything; else `DifferentError`."""
        document, package, rule, _ = question
        theirs, ours = await _answer(self.opa.query_rule(*question)), await _answer(self.wasm.query_rule(*question))
        path = f"{package.removeprefix('portcullis.')}/{rule}"
        if comparable(theirs, path) != comparable(ours, path):
            told = _told(document, path, theirs, ours)
            self.compared.different.append(told)
            raise DifferentError(told)
        self.compared.counts["compared"] += 1
        self.compared.counts[path] += 1
        if isinstance(theirs, Exception):
            self.compared.counts["without an answer"] += 1
            raise theirs
        return ours


async def _answer(asked: Awaitable[Any]) -> Any:
    try:
        return await asked
    except FAILURES as error:
        return error


def comparable(answer: Any, path: str) -> bytes:
    """Return what says of two answers of an entry point whether they are the same: `true` is not 1, and 1 not 1.0."""
    if isinstance(answer, Exception):
        return b"failed"
    if "result" not in answer:
        return b"undefined"
    result = answer["result"]
    for where in SETS.get(path, ()):
        result = _sorted(result, where)
    return orjson.dumps(result, option=orjson.OPT_SORT_KEYS)


def _sorted(value: Any, where: tuple[str, ...]) -> Any:
    """Return `value` with the set that stands at `where` in one order; where there is none, that is a difference."""
    if not where:
        return sorted(value, key=_written) if isinstance(value, list) else value
    if not isinstance(value, dict):
        return value
    head, *rest = where
    keys = [key for key in value if head in {"*", key}]
    return {**value, **{key: _sorted(value[key], tuple(rest)) for key in keys}}


def _written(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _told(document: Any, path: str, theirs: Any, ours: Any) -> str:
    answers = (each if isinstance(each, Exception) else _written(each).decode() for each in (theirs, ours))
    said = "\n".join(f"{name}: {answer!s}" for name, answer in zip(("OPA", "in-process"), answers, strict=True))
    return f"the engines differ on {path}\n{said}\ndocument: {orjson.dumps(document).decode()}"
