"""Both engines on the same documents, also where what the author of an object chooses has another type."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cases.reviews import Json
from tests.cases.table import CASES
from tests.conftest import GateOf, Loop
from webhook.decision.bundle import Bundle
from webhook.decision.opa import STRICT, Opa, decide, masked
from webhook.decision.wasm import WasmOpa, compiled
from webhook.errors import NoDecisionError
from webhook.gather import gather
from webhook.review.envelope import read_review
from webhook.settings import BREAK_GLASS_GROUPS
from webhook.tenancy.tree import Tree

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECONDS = 60


@pytest.fixture(scope="module")
def wasm(opa_binary: Path, bundle: Bundle) -> Iterator[WasmOpa]:
    """The shipped policies in-process."""
    made = WasmOpa.load(compiled(opa_binary, bundle, cache=None), bundle.policies.revision)
    yield made
    made.close()


@pytest.fixture(scope="module")
def opa(gate_of: GateOf, bundle: Bundle) -> Opa:
    """The shipped policies in OPA's server."""
    return gate_of(bundle).opa


@pytest.fixture(scope="module")
def documents(tree: Tree) -> dict[str, Json]:
    """The document of each case."""
    found = {}
    for case in CASES:
        review = read_review(orjson.dumps(case.asked.review()))
        found[case.id] = orjson.loads(orjson.dumps(gather(review, tree, BREAK_GLASS_GROUPS, now=NOW)))
    return found


async def said(opa: Opa, document: Any, path: str = "portcullis.validate/decision") -> Any:
    """Return an engine's raw answer, the sets in it in some order; that it has none is a string."""
    package, _, rule = path.partition("/")
    try:
        return _sorted(await asyncio.wait_for(opa.query_rule(document, package, rule, STRICT), SECONDS))
    except NoDecisionError:
        return "no decision"
    except Exception as error:  # noqa: BLE001 - of whichever engine
        assert getattr(error, "status", None) == 500, error
        return "no decision"


def _sorted(answer: Json) -> Json:
    result = answer.get("result", {})
    if "rules" in result:
        result["rules"].sort()
    return answer


def test_every_case_is_answered_alike(documents: dict[str, Json], opa: Opa, wasm: WasmOpa, loop: Loop) -> None:
    """The whole of both decisions, each violation with all that OPA says of it, in the same order."""

    async def compare() -> None:
        for name, document in documents.items():
            for path in ("portcullis.validate/decision", "portcullis.mutate/decision"):
                theirs = await said(opa, document, path)
                assert await said(wasm, document, path) == theirs, name
                assert theirs != "no decision", name

    loop.run(compare())


OTHERS: tuple[Any, ...] = (
    None,
    True,
    7,
    2.5,
    "text",
    "",
    [],
    ["x", 1],
    {},
    {"names": 7, "group": [], "hostNetwork": []},
)
UNTYPED: tuple[tuple[str, ...], ...] = (
    ("object", "spec"),
    ("old_object", "spec"),
    ("object", "spec", "policies"),
    ("object", "spec", "hostNetwork"),
    ("object", "spec", "group"),
    ("object", "spec", "names"),
    ("old_object", "spec", "names"),
    ("object", "spec", "names", "kind"),
    ("object", "spec", "names", "plural"),
    ("object", "status"),
    ("object", "metadata", "ownerReferences", "0"),
    ("old_object", "metadata", "ownerReferences", "0"),
)
"""Whatever of a document has no type: its value is its author's choice."""


def put(document: Any, path: tuple[str, ...], value: Any) -> Any:
    """Return the document with a value at the path, None where there is no such place."""
    if not path:
        return value
    first, *rest = path
    if isinstance(document, Mapping):
        inner = put(document.get(first, {} if rest else None), tuple(rest), value)
        return None if inner is None and rest else {**document, first: inner}
    if isinstance(document, list):
        return [put(document[0] if document else {}, tuple(rest), value), *document[1:]]
    return None


def kinds(documents: dict[str, Json]) -> list[Json]:
    """Return some documents of each kind, operation and verdict."""
    found: dict[tuple[Any, ...], Json] = {}
    for document in documents.values():
        request = document["request"]
        key = (request["kind"]["kind"], request["kind"]["group"], request["operation"], request["subresource"])
        found.setdefault((*key, document["user"]["name"] == "oz"), document)
    return list(found.values())


def test_what_has_no_type_fails_no_builtin(
    documents: dict[str, Json], opa: Opa, wasm: WasmOpa, loop: Loop, record_property: Any
) -> None:
    """Of any type it is: OPA never answers 500, and both engines say the same."""

    async def compare() -> int:
        count = 0
        for document in kinds(documents):
            for path in UNTYPED:
                for value in OTHERS:
                    asked = put(document, path, value)
                    if asked is None or asked.get("object", {}) == {"spec": value}:
                        continue
                    theirs = await said(opa, asked)
                    assert theirs != "no decision", (path, value, document["request"])
                    assert await said(wasm, asked) == theirs, (path, value, document["request"])
                    count += 1
        return count

    compared = loop.run(compare())
    record_property("compared", compared)
    assert compared > 1000


TEXTS = ("nul \0 inside", "日本 ÀÉß", "\U0001f512", "\x7f\x80\u2028", '"\\/', "long" * 30, "<b>&amp;", "%s %d", "{x}")


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_text_is_the_same_text_in_both(
    text: str, documents: dict[str, Json], opa: Opa, wasm: WasmOpa, loop: Loop
) -> None:
    """Names are quoted in messages, byte for byte."""
    document = next(each for name, each in documents.items() if each["request"]["kind"]["kind"] == "NetworkPolicy")
    for path in (("user", "name"), ("object", "metadata", "name"), ("request", "kind", "kind"), ("organization",)):
        asked = put(document, path, text)
        theirs = loop.run(said(opa, asked))
        assert loop.run(said(wasm, asked)) == theirs, path


def test_shares_are_told_alike(documents: dict[str, Json], opa: Opa, wasm: WasmOpa, loop: Loop) -> None:
    """What a policy opens of all addresses is the same percentage in both, to the digit, and the same verdict."""
    document = next(
        each
        for each in documents.values()
        if each["reaches"]
        and each["request"]["kind"]["kind"] == "NetworkPolicy"
        and each["request"]["operation"] == "CREATE"
    )
    reach = document["reaches"][0]
    shares = [0, 1, 0.25, 0.24999999999999997, 0.2500000000000001, 1 / 3, 0.1 + 0.2, 0.999999, 1e-9, 2**-32, 0.5]
    shares += [number / 997 for number in range(0, 997, 13)]

    async def compare() -> None:
        for share in shares:
            one = {
                "ipv4": share,
                "ipv6": share,
                "joint_ipv4": share,
                "joint_ipv6": share,
                "joint_with": [],
                "unbounded": [],
                "open_namespaces": [],
                "crossing": [],
                "protected": {},
                "widens": True,
            }
            asked = {**document, "reaches": [{**reach, "ingress": {**(reach["ingress"] or {}), **one}, "egress": one}]}
            theirs = await said(opa, asked)
            assert theirs != "no decision", share
            assert await said(wasm, asked) == theirs, share

    loop.run(compare())


def test_other_answers_are_alike(
    documents: dict[str, Json], opa: Opa, wasm: WasmOpa, loop: Loop, bundle: Bundle
) -> None:
    """Roles, the history's readers, the mask and what rules find for a replay are the same in both."""
    some = list(documents.values())[::7]
    rules = [["rbac", "namespace_policy"], ["guardrail", "to_anywhere"], ["rbac", "gone"]]
    denials = {"documents": some, "rules": [rules] * len(some)}
    shapes = [
        {
            "group": "",
            "kind": kind,
            "annotations": ["z", "a", "portcullis.dev/x", "m"],
            "fields": ["data", "b"],
            "spec": ["d", "c"],
        }
        for kind in ("Pod", "Namespace", "Secret")
    ]

    async def compare() -> None:
        assert await said(wasm, denials, "portcullis.batch/denials") == await said(
            opa, denials, "portcullis.batch/denials"
        )
        batch = {"documents": [*some, {}, 7, None]}
        theirs, ours = [await said(each, batch, "portcullis.batch/decisions") for each in (opa, wasm)]
        assert {key: _sorted({"result": each}) for key, each in theirs["result"].items()} == {
            key: _sorted({"result": each}) for key, each in ours["result"].items()
        }
        theirs, ours = [await masked(each, shapes, bundle.policies, seconds=SECONDS) for each in (opa, wasm)]
        assert ours == theirs
        for document in some:
            for path in ("portcullis.roles/held", "portcullis.history/visible"):
                theirs, ours = [(await said(each, document, path))["result"] for each in (opa, wasm)]
                assert without_order(ours) == without_order(theirs)

    loop.run(compare())


def without_order(answer: Any) -> Any:
    match answer:
        case dict():
            return {key: without_order(value) for key, value in answer.items()}
        case list():
            return sorted(answer)
        case _:
            return answer


def test_a_decision_is_read_alike(
    documents: dict[str, Json], opa: Opa, wasm: WasmOpa, loop: Loop, bundle: Bundle
) -> None:
    """What callers get is the same noun from both."""
    document = next(iter(documents.values()))
    ours, theirs = [loop.run(decide(each, document, bundle.policies, seconds=SECONDS)) for each in (wasm, opa)]
    assert ours == theirs
