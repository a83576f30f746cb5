"""What the history does not keep: hidden from it, and not from what is decided on it again."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from tests.cases.reviews import ADA, CONTROLLER, NETPOL, POD, Asked, Json, pod, policy
from tests.cases.table import CASES
from tests.conftest import Loop
from webhook.admission import Gate
from webhook.cli.recording import Asking
from webhook.decision.opa import decide
from webhook.errors import NoDecisionError
from webhook.history.mask import (
    HIDDEN,
    HIDDEN_BEFORE,
    MOST_KEYS,
    Cuts,
    Mask,
    Path,
    Shape,
    document_of,
    shape_of,
    without,
)
from webhook.history.record import Record, verdict_of

APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SECRET = "hunter"  # noqa: S105 - what has to go


def annotated(thing: Json | None, value: str) -> Json | None:
    """Return an object with a secret in an annotation of somebody's."""
    metadata = thing.get("metadata") if thing else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("annotations") or {}, dict):
        return thing
    notes = {**(metadata.get("annotations") or {}), APPLIED: value, "example.com/same": SECRET}
    return {**(thing or {}), "metadata": {**metadata, "annotations": notes}}


async def masked(gate: Gate, record: Record) -> bytes:
    """Return the document of a record as it is stored."""
    document = record.document
    kind = document.request.kind
    shape = shape_of(kind.group, kind.kind, document.object, document.old_object)
    (cuts,) = await Mask(Asking(gate)).cuts([shape])
    assert cuts is not None
    return document_of(document, cuts)


async def recorded(gate: Gate, asked: Asked) -> Record:
    records: list[Record] = []
    kept = dataclasses.replace(gate, record=records.append)
    review = asked.review()
    review["request"]["userInfo"]["extra"] = {"example.com/token": [SECRET]}
    await kept.validate(orjson.dumps(review), seconds=30)
    return records[0]


def test_a_masked_document_is_decided_as_the_whole_one_was(gate: Gate, loop: Loop) -> None:
    """Every case of the table, with secrets that changed and that did not: the verdict, what was found, every word."""

    async def both(asked: Asked) -> tuple[Any, Any]:
        new, old = annotated(asked.new, f"{SECRET}-2"), annotated(asked.old, f"{SECRET}-1")
        record = await recorded(gate, dataclasses.replace(asked, new=new, old=old))
        text = await masked(gate, record)
        assert SECRET.encode() not in text
        document = orjson.loads(text)
        document["request"]["time"] = record.document.request.time
        try:
            again: Any = await decide(gate.opa, document, gate.policies, seconds=30)
        except NoDecisionError as error:
            return (record.verdict, record.reason), ("error", str(error))
        return (record.verdict, record.violations, set(record.ran)), (verdict_of(again), again.violations, again.rules)

    outcomes = [loop.run(both(case.asked)) for case in CASES]
    assert [pair for pair in outcomes if pair[0] != pair[1]] == []
    assert len(outcomes) > 700


def test_what_is_kept_of_a_pod(gate: Gate, loop: Loop) -> None:
    """Of its spec what rules read; an environment variable is nobody's business."""
    env = [{"name": "main", "image": "web", "env": [{"name": "PASSWORD", "value": SECRET}]}]
    asked = Asked(ADA, "CREATE", POD, new=pod("checkout-dev", containers=env, hostNetwork=True))
    found = orjson.loads(loop.run(masked(gate, loop.run(recorded(gate, asked)))))
    assert found["object"]["spec"] == {"containers": HIDDEN, "hostNetwork": True}
    assert "time" not in found["request"]


def test_of_a_kind_that_no_rule_covers_only_its_metadata_is_kept(gate: Gate, loop: Loop) -> None:
    """A hook of somebody else's that sends Secrets here does not make the history hold them."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "d"}, "data": {"k": SECRET}}
    asked = Asked(ADA, "CREATE", ("", "v1", "Secret", "secrets"), new=secret)
    found = orjson.loads(loop.run(masked(gate, loop.run(recorded(gate, asked)))))
    assert (found["object"]["data"], found["object"]["metadata"]["name"]) == (HIDDEN, "s")


def test_who_asks_is_kept_without_extra(gate: Gate, loop: Loop) -> None:
    """What an authenticator adds to a user never enters the document."""
    record = loop.run(recorded(gate, Asked(CONTROLLER, "CREATE", NETPOL, new=policy("checkout-dev"))))
    assert {each.name for each in dataclasses.fields(record.document.user)} == {"name", "groups"}
    assert SECRET.encode() not in orjson.dumps(record.document)


HIDES: dict[str, tuple[Path, Any, Any, Any, Any]] = {
    "the same": (("a", "b"), {"a": {"b": 1}}, {"a": {"b": 1}}, {"a": {"b": HIDDEN}}, {"a": {"b": HIDDEN}}),
    "another": (("a",), {"a": 1}, {"a": 2}, {"a": HIDDEN}, {"a": HIDDEN_BEFORE}),
    "only new": (("a",), {"a": 1}, {}, {"a": HIDDEN}, {}),
    "only old": (("a",), {}, {"a": 1}, {}, {"a": HIDDEN}),
    "no object": (("a",), None, {"a": 1}, None, {"a": HIDDEN}),
    "nowhere": (("a", "b"), {"a": 1}, {"a": [1]}, {"a": 1}, {"a": [1]}),
    "every element": (("a", "*", "b"), {"a": [{"b": 1}, {"c": 2}]}, None, {"a": [{"b": HIDDEN}, {"c": 2}]}, None),
    "every key": (("a", "*"), {"a": {"b": 1, "c": 2}}, {"a": {}}, {"a": dict.fromkeys("bc", HIDDEN)}, {"a": {}}),
}  # fmt: skip


@dataclasses.dataclass
class Request:
    name: str = "x"
    time: str = "now"


@dataclasses.dataclass
class Document:
    object: Any
    old_object: Any
    request: Request = dataclasses.field(default_factory=Request)


@pytest.mark.parametrize(("path", "new", "old", "hidden", "before"), HIDES.values(), ids=HIDES.keys())
def test_what_is_hidden_says_whether_it_changed(path: Path, new: Any, old: Any, hidden: Any, before: Any) -> None:
    """And nothing else of it; what was handed over is left as it was."""
    text = orjson.dumps([new, old])
    found = orjson.loads(document_of(Document(new, old), Cuts.of([path])))
    assert found == {"request": {"name": "x"}, "object": hidden, "old_object": before}
    assert orjson.dumps([new, old]) == text


TAKES: dict[str, tuple[Sequence[Path], Any]] = {
    "nothing": ([], {"a": {"b": 1, "c": [{"d": 2}, 3]}}),
    "a field": ([("a", "b")], {"a": {"c": [{"d": 2}, 3]}}),
    "more of the same": ([("a", "b"), ("a",)], {}),
    "of every element": ([("a", "c", "*", "d")], {"a": {"b": 1, "c": [{}, 3]}}),
    "every element": ([("a", "c", "*")], {"a": {"b": 1, "c": []}}),
    "every key": ([("a", "*")], {"a": {}}),
    "what is not there": ([("x", "y"), ("a", "b", "z")], {"a": {"b": 1, "c": [{"d": 2}, 3]}}),
    "no path": ([()], {"a": {"b": 1, "c": [{"d": 2}, 3]}}),
}


@pytest.mark.parametrize(("paths", "left"), TAKES.values(), ids=TAKES.keys())
def test_what_is_taken_out_of_a_state(paths: Sequence[Path], left: Any) -> None:
    """It is gone, so that the rest can be applied."""
    thing = {"a": {"b": 1, "c": [{"d": 2}, 3]}}
    assert without(thing, Cuts.of(paths)) == left
    assert thing == {"a": {"b": 1, "c": [{"d": 2}, 3]}}


class Says:
    """Rego, by hand."""

    def __init__(self) -> None:
        self.revision = "one"
        self.asked: list[Sequence[Shape]] = []
        self.dead = False

    async def paths(self, shapes: Sequence[Shape]) -> Sequence[Sequence[Path]]:
        """Return the annotations, or nothing at all."""
        self.asked.append(shapes)
        if self.dead:
            raise NoDecisionError("none", retry=True)
        return [[("metadata", "annotations", key) for key in shape.annotations] for shape in shapes]


def test_a_shape_is_asked_for_once(loop: Loop) -> None:
    """Until other policies are loaded; of many annotations, and where there was no answer, each time."""
    says = Says()
    mask = Mask(says)
    one, many = Shape("", "A", ("a",)), Shape("", "B", tuple(map(str, range(MOST_KEYS + 1))))

    async def main() -> None:
        assert await mask.cuts([one, one]) == [{"metadata": {"annotations": {"a": {}}}}] * 2
        assert await mask.cuts([one]) == [{"metadata": {"annotations": {"a": {}}}}]
        assert says.asked == [[one]]
        says.revision = "two"
        await mask.cuts([one, many])
        await mask.cuts([one, many])
        assert says.asked[1:] == [[one, many], [many]]
        says.dead = True
        assert await mask.cuts([Shape("", "C"), one]) == [None, {"metadata": {"annotations": {"a": {}}}}]

    loop.run(main())


def test_a_shape_holds_no_value() -> None:
    """Rego is sent names alone."""
    thing = {"metadata": {"annotations": {"b": SECRET}}, "spec": {"c": SECRET}, "data": SECRET, "kind": "X"}
    found = shape_of("g", "K", None, thing, {"metadata": {"annotations": {"a": SECRET}}, "spec": []})
    assert found == Shape("g", "K", ("a", "b"), ("data", "spec"), ("c",))
