"""The engines on documents that nobody gathers: they say the same of those, too."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter, ValidationError

from tests.conftest import Loop
from tests.engines.documents import Documents
from tests.engines.twin import FAILURES, Twin, comparable
from webhook.admission import Gate
from webhook.decision.document import Document
from webhook.decision.opa import STRICT, Opa

PARTS = 4
"""Tests, each with a seed of its own: they can be spread over processes."""
DOCUMENTS = 20_000
AT_ONCE = 100
AT_ONCE_BYTES = 1_000_000
"""Above that its client warns of itself."""
FEW = 5
VALIDATE = "validate/decision"
WELL_FORMED = TypeAdapter(Document)


@dataclass
class Comparing:
    """A comparison on its way: each document alone in-process, and many at once in OPA, unless there is no answer."""

    twin: Twin
    counts: Counter[str] = field(default_factory=Counter)
    different: list[str] = field(default_factory=list)

    async def run(self, documents: Iterator[bytes]) -> None:
        """Compare them all."""
        while some := list(islice(documents, AT_ONCE)):
            ours = [await _answer(self.twin.wasm, each) for each in some]
            answered = [not isinstance(each, Exception) for each in ours]
            batch = await _batch(self.twin.opa, [each for each, has in zip(some, answered, strict=True) if has])
            for document, answer, has in zip(some, ours, answered, strict=True):
                theirs = batch.pop(0) if has and batch else await _answer(self.twin.opa, document)
                self._compare(document, theirs, answer)

    def _compare(self, document: bytes, theirs: Any, ours: Any) -> None:
        written = comparable(ours, VALIDATE)
        self.counts["compared"] += 1
        self.counts[_kind(theirs)] += 1
        if comparable(theirs, VALIDATE) == written:
            return
        # What should be a text and is an object or a list is told in Go's words, or in those of JSON.
        if not _well_formed(document) and _loosely(theirs) == _loosely(ours):
            self.counts["told otherwise"] += 1
            return
        self.different.append(f"OPA: {theirs!r}\nin-process: {ours!r}\ndocument: {document.decode()}")


async def _answer(opa: Opa, document: bytes) -> Any:
    try:
        return await opa.query_rule(orjson.Fragment(document), "portcullis.validate", "decision", STRICT)
    except FAILURES as error:
        return error


async def _batch(opa: Opa, documents: Sequence[bytes]) -> list[Any]:
    """Return OPA's answers to many; none where it has none as a whole: they are large, or a builtin fails on one."""
    if sum(map(len, documents)) > AT_ONCE_BYTES:
        return []
    asked = {"documents": [orjson.Fragment(each) for each in documents]}
    try:
        found = (await opa.query_rule(asked, "portcullis.batch", "decisions", STRICT))["result"]
    except FAILURES:
        return []
    return [{"result": found[str(index)]} if str(index) in found else {} for index in range(len(documents))]


def _kind(answer: Any) -> str:
    if isinstance(answer, Exception):
        return "without an answer"
    if "result" not in answer:
        return "undefined"
    return "allowed" if answer["result"]["allowed"] else "denied"


def _well_formed(document: bytes) -> bool:
    """Say whether the document is one that `gather` may return."""
    try:
        WELL_FORMED.validate_json(document, strict=True)
    except ValidationError:
        return False
    return True


def _loosely(answer: Any) -> bytes:
    """Return an answer without its messages."""
    if isinstance(answer, Exception) or "result" not in answer:
        return comparable(answer, VALIDATE)
    violations = [{**each, "message": ""} for each in answer["result"]["violations"]]
    # In an order that is not that of the fields, which each engine writes in its own.
    violations.sort(key=lambda each: orjson.dumps(each, option=orjson.OPT_SORT_KEYS))
    return comparable({"result": {**answer["result"], "violations": violations}}, VALIDATE)


@pytest.mark.parametrize("part", range(PARTS))
def test_the_engines_decide_the_same_on_any_document(
    part: int, documents: Sequence[Document], gate: Gate, loop: Loop, record_property: Any
) -> None:
    """
    Odd texts and numbers, what is missing, too much or of another type, in all fields and at any depth.

    To the letter; where a builtin of OPA fails the other engine has no answer either. `FUZZ_SEED` says which documents.
    """
    assert isinstance(gate.opa, Twin)
    seed = os.environ["FUZZ_SEED"]
    comparing, real = Comparing(gate.opa), [orjson.dumps(each) for each in documents]
    loop.run(comparing.run(Documents(f"{seed}/{part}", real).draw(DOCUMENTS // PARTS)), seconds=600)
    record_property("both engines, odd documents", dict(comparing.counts))
    assert comparing.different == [], f"FUZZ_SEED={seed}\n" + "\n\n".join(comparing.different[:3])
    assert comparing.counts["compared"] == DOCUMENTS // PARTS
    # They are neither all refused nor all nonsense.
    assert min(comparing.counts[each] for each in ("allowed", "denied", "undefined", "without an answer")) > FEW
    assert comparing.counts["told otherwise"] < DOCUMENTS // PARTS // 100
