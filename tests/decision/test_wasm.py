"""The policies in-process: what they refuse to load, and how an evaluation that goes wrong ends."""

import asyncio
import itertools
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from tests.cases.reviews import Json
from webhook.decision.bundle import Bundle
from webhook.decision.opa import STRICT, decide_many, probe
from webhook.decision.wasm import Bounds, WasmOpa, cache_folder, compiled
from webhook.decision.wasmbuild import _built
from webhook.decision.wasmstrict import strict
from webhook.errors import NoDecisionError, PolicyError
from webhook.model import Policies

ANSWER = "portcullis/validate/decision"
MANIFEST = b'{"roots": ["portcullis"], "rego_version": 1}'
SLOW = "count([1 | some a in numbers; some b in numbers; some c in numbers; some d in numbers; a + b + c + d == 7]) > 0"


def module_of(opa: Path, body: str) -> bytes:
    """Return a policy whose decision is this expression."""
    rego = f"package portcullis.validate\n\nnumbers := {list(range(100))}\n\ndecision := said if said := {body}\n"
    return _built(opa, {".manifest": MANIFEST, "portcullis/validate.rego": rego.encode()}, [ANSWER])


def asked(opa: WasmOpa, document: Any) -> Any:
    return asyncio.run(opa.query_rule(document, "portcullis.validate", "decision", STRICT))


NEEDED: dict[str, tuple[str, str]] = {
    "sprintf": ('sprintf("%s", [input.a])', "sprintf"),
    "the clock": ("time.now_ns()", r"time\.now_ns"),
    "http.send": ('http.send({"method": "GET", "url": input.a})', r"http\.send"),
    "a CIDR": ("net.cidr_contains(input.a, input.b)", r"net\.cidr_contains"),
    "a regular expression": ("regex.match(input.a, input.b)", r"regex\.match"),
    "to_number": ("to_number(input.a)", "to_number"),
    "json.unmarshal": ("json.unmarshal(input.a)", r"json\.unmarshal"),
    "replace": ('replace(input.a, input.b, "")', "replace"),
    "rem": ("input.a % input.b", "rem"),
    "units.parse": ("units.parse(input.a)", r"units\.parse"),
}


@pytest.mark.parametrize(("body", "named"), NEEDED.values(), ids=NEEDED.keys())
def test_policies_that_need_what_is_not_here_are_not_loaded(body: str, named: str, opa_binary: Path) -> None:
    """A builtin that this engine does not have, or that is not the same as OPA's, is named, and so is the way out."""
    with pytest.raises(PolicyError, match=rf"{named}, which only OPA itself evaluates; run with --engine opa"):
        WasmOpa.load(module_of(opa_binary, body), "r1")


@pytest.fixture(scope="module")
def good(opa_binary: Path) -> bytes:
    """A module that answers with what it was asked."""
    return module_of(opa_binary, "input")


def test_what_is_no_module_of_opas_is_not_loaded(good: bytes) -> None:
    """Nothing, something else, cut short anywhere, or without the names by which builtins are found."""
    without_names = good[: good.index(b"\x04name") - 4]
    for content in (b"", b"\0asm", b"\0asm\x01\0\0\0", b"x" * 100, good[:-1000], good[: len(good) // 2], without_names):
        with pytest.raises(PolicyError, match="the compiled policies"):
            WasmOpa.load(content, "r1")


FAILING: dict[str, tuple[str, Json]] = {
    "a number has no letters": ("lower(input.a)", {"a": 7}),
    "a number has no length": ("count(input.a)", {"a": 7}),
    "an object has no parts": ('split(input.a, "/")', {"a": {}}),
    "a list of numbers is no list of names": ('concat(", ", input.a)', {"a": ["x", 7]}),
    "null is no object": ('object.remove(input.a, {"x"})', {"a": None}),
    "a text is no object": ('object.get(object.union(input.a, {}), "x", 1)', {"a": "text"}),
    "divided by nothing": ("input.a / input.b", {"a": 1, "b": 0}),
    "two answers": ("input.a[_]", {"a": [1, 2]}),
}


@pytest.mark.parametrize(("body", "document"), FAILING.values(), ids=FAILING.keys())
def test_a_builtin_that_fails_is_no_decision(body: str, document: Json, opa_binary: Path) -> None:
    """Nothing is undefined by it, as in OPA's WebAssembly: a rule that would have refused would be silent."""
    opa = WasmOpa.load(module_of(opa_binary, body), "r1")
    for _ in range(2):
        with pytest.raises(NoDecisionError, match="the policies failed") as refused:
            asked(opa, document)
        assert (refused.value.retry, refused.value.cause) == (False, "failed")
    opa.close()


def test_what_runs_for_ever_is_late(opa_binary: Path) -> None:
    """It is cut short, and the next one is answered."""
    opa = WasmOpa.load(module_of(opa_binary, f"[1 | input.slow; {SLOW}]"), "r1", bounds=Bounds(seconds=0.3))
    begin = time.monotonic()
    with pytest.raises(NoDecisionError, match=r"did not end within 0\.3 s") as late:
        asked(opa, {"slow": True})
    assert time.monotonic() - begin < 10
    assert (late.value.retry, late.value.cause) == (False, "late")
    assert asked(opa, {}) == {"result": []}
    opa.close()


@pytest.fixture(scope="module")
def echo(good: bytes) -> Iterator[WasmOpa]:
    """Policies that answer with what they were asked."""
    opa = WasmOpa.load(good, "r1")
    yield opa
    opa.close()


DEEP = (200, 5_000, 10_000, 100_000)


@pytest.mark.parametrize("depth", DEEP)
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
def test_what_is_nested_deeply_ends_no_process(begin: str, end: str, depth: int, echo: WasmOpa) -> None:
    """It comes back whole, or is no decision; the next one is answered."""
    document = begin * depth + ("1" if end == "}" else "") + end * depth
    try:
        answer = asked(echo, orjson.Fragment(document))
    except NoDecisionError as error:
        if depth == 200 or error.cause != "failed":
            raise
    else:
        assert orjson.dumps(answer["result"]) == document.encode()
    assert asked(echo, {"a": 1}) == {"result": {"a": 1}}


WHOLE: dict[str, Any] = {
    "nothing": None,
    "texts": ["", "\0", "a\0b", "\U0001f512 日本 ÀÉß", '\x7f\u2028"\\/\b\f\n\r\t', "x" * 100_000],
    "numbers": [0, -1, 2**53, 2**63 - 1, -(2**63), 0.5, 1e300, -1e-300, 1.7976931348623157e308],
    "keys": {"": 1, "\0": 2, "a" * 3000: {}, "日本": []},
}


@pytest.mark.parametrize("document", WHOLE.values(), ids=WHOLE.keys())
def test_a_document_is_what_was_handed_over(document: Any, echo: WasmOpa) -> None:
    """Bytes, digits and keys come back as they went."""
    assert asked(echo, document) == {"result": document}
    assert asked(echo, orjson.Fragment(orjson.dumps(document))) == {"result": document}


@pytest.mark.parametrize("text", ["", "{", '{"a":}', "[1,", '"\\ud800', "nul", "\0", "[1" * 50])
def test_what_is_no_json_is_no_decision(text: str, echo: WasmOpa) -> None:
    """A fragment is passed on unread; OPA's WebAssembly minds what is cut short, though not each further comma."""
    assert asked(echo, orjson.Fragment(text)) == {}, "undefined is no decision"
    assert asked(echo, [1]) == {"result": [1]}


def test_of_two_values_of_a_key_the_last_counts(echo: WasmOpa) -> None:
    """As in orjson, which reads what others send, and in OPA."""
    for text in ('{"a":1,"a":2}', '{"a":2,"b":{"c":1,"c":3},"b":{"c":4},"a":7}', r'{"a":1,"\u0061":2}'):
        assert asked(echo, orjson.Fragment(text)) == {"result": orjson.loads(text)}


def test_what_takes_more_memory_than_there_is_is_no_decision(good: bytes) -> None:
    """Neither the document nor what is made of it goes beyond the bound."""
    opa = WasmOpa.load(good, "r1", bounds=Bounds(memory=4 * 2**20))
    for size in (1, 2, 4, 8):
        with pytest.raises(NoDecisionError, match="the policies failed"):
            asked(opa, ["x" * 10] * size * 2**17)
        assert asked(opa, 1) == {"result": 1}
    opa.close()


def test_memory_is_given_back(good: bytes) -> None:
    """After large documents the process is as large as before."""
    opa = WasmOpa.load(good, "r1")
    asked(opa, ["x" * 10] * 2**17)
    before = psutil.Process().memory_info().rss
    for _ in range(3):
        asked(opa, ["x" * 10] * 2**18)
    assert psutil.Process().memory_info().rss - before < 60 * 2**20
    opa.close()


def test_others_are_answered_beside_a_large_document(good: bytes) -> None:
    """A small one does not wait for it."""
    opa = WasmOpa.load(good, "r1")

    async def both() -> int:
        large = asyncio.create_task(opa.query_rule([{"a": 1}] * 100_000, "portcullis.validate", "decision", STRICT))
        await asyncio.sleep(0)
        small = 0
        while not large.done():
            assert await opa.query_rule(small, "portcullis.validate", "decision", STRICT) == {"result": small}
            small += 1
            await asyncio.sleep(0)
        assert len((await large)["result"]) == 100_000
        return small

    assert asyncio.run(both()) > 10
    opa.close()


def colliding(count: int) -> list[str]:
    """Return so many keys that one list of OPA's maps has to hold (FNV-1 of 32 bits; the lower 17 are alike)."""
    mask, prime = 2**17 - 1, 0x01000193
    back, letters = pow(prime, -1, 2**17), b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    # From both ends: four letters lead to a state from which two more lead to the one that all share.
    ends = {((((1 ^ last) * back) ^ first) * back) & mask: (first, last) for first in letters for last in letters}
    found = []
    for beginning in itertools.product(letters, repeat=4):
        state = 0x811C9DC5 & mask
        for letter in beginning:
            state = (state * prime & mask) ^ letter
        if state in ends:
            found.append(bytes((*beginning, *ends[state])).decode())
            if len(found) == count:
                break
    return found


def test_others_are_answered_beside_keys_that_collide(good: bytes) -> None:
    """Whoever chooses the keys of a map has it take the square of its size; nobody else waits for that."""
    # Other large ones do not wait either, and one of them is large enough to be looked at in a thread.
    usual, large = {"a": 1}, ["x" * 10] * 2**17
    keys = colliding(9_000)

    async def all_of_them(opa: WasmOpa) -> list[str]:
        ended = []

        async def ask(name: str, document: Any) -> None:
            try:
                await opa.query_rule(document, "portcullis.validate", "decision", STRICT)
                ended.append(name)
            except NoDecisionError as error:
                ended.append(f"{name} {error.cause}")

        names = ("colliding", "colliding as well", "large", "usual")
        documents = (dict.fromkeys(keys, ""), [{"a": dict.fromkeys(keys, 1)}], large, usual)
        async with asyncio.TaskGroup() as group:
            for name, document in zip(names, documents, strict=True):
                group.create_task(ask(name, document))
        return ended

    opa = WasmOpa.load(good, "r1", bounds=Bounds(seconds=1))
    ended = asyncio.run(all_of_them(opa))
    assert ended[0] == "usual"
    assert ended[1] == "large"
    assert set(ended[2:]) == {"colliding late", "colliding as well late"}
    assert asked(opa, {"a": 1}) == {"result": {"a": 1}}
    # As many keys as they come are nothing to mind.
    assert asked(opa, many := {f"key-{number}": "" for number in range(9_000)}) == {"result": many}
    opa.close()


def test_what_is_asked_of_closed_policies_is_no_decision(good: bytes) -> None:
    """A large document after the end has no thread to go to."""
    opa = WasmOpa.load(good, "r1")
    opa.close()
    with pytest.raises(NoDecisionError, match="other policies are being loaded"):
        asked(opa, ["x" * 10] * 2**17)


def test_what_is_nowhere_is_undefined(echo: WasmOpa) -> None:
    """As OPA answers: without a result."""
    for package, rule in (
        ("portcullis.mutate", "decision"),
        ("portcullis.validate", "else"),
        ("", ""),
        ("a/b", "../c"),
    ):
        assert asyncio.run(echo.query_rule({}, package, rule, STRICT)) == {}


def test_the_shipped_policies_are_whole(opa_binary: Path, bundle: Bundle) -> None:
    """They are of the shipped revision, and of no other."""
    opa = WasmOpa.load(compiled(opa_binary, bundle, cache=None), bundle.policies.revision)
    asyncio.run(probe(opa, bundle.policies, seconds=10))
    with pytest.raises(NoDecisionError, match="another revision"):
        asyncio.run(probe(opa, Policies("r2", bundle.policies.rules), seconds=10))
    opa.close()


def test_many_documents_let_others_have_their_turn(opa_binary: Path, bundle: Bundle) -> None:
    """Between two of them the loop is free; each has an answer of its own, an undefined one too."""
    opa = WasmOpa.load(compiled(opa_binary, bundle, cache=None), bundle.policies.revision)

    async def many() -> tuple[list[str], int]:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(others())
        answers = await decide_many(opa, [{}] * 20, bundle.policies, seconds=20)
        beside.cancel()
        return [str(each) for each in answers], turns

    answers, turns = asyncio.run(many())
    assert answers == ["OPA's decision is undefined"] * 20
    assert turns >= 20
    opa.close()


@pytest.fixture
def small() -> Bundle:
    """Policies that are compiled in no time."""
    rego = b"package portcullis.validate\n\ndecision := input\n"
    return Bundle({"portcullis/validate/validate.rego": rego}, Policies("r1", frozenset({"a/b"})))


def test_what_is_compiled_is_kept(opa_binary: Path, small: Bundle, tmp_path: Path) -> None:
    """It is taken from the folder without an OPA; what is broken there, or could be somebody else's, is made anew."""
    nowhere = tmp_path / "no-opa"
    cache = tmp_path / "cache"
    module = compiled(opa_binary, small, cache=cache)
    [kept] = cache.iterdir()
    assert compiled(nowhere, small, cache=cache) == module
    for spoil in (_cut, _changed, _open_to_others, _a_link):
        spoil(kept)
        with pytest.raises(PolicyError, match="cannot be compiled"):
            compiled(nowhere, small, cache=cache)
        assert compiled(opa_binary, small, cache=cache) == module
        assert compiled(nowhere, small, cache=cache) == module
    other = Bundle({**small.files, "portcullis/x/x.rego": b"package portcullis.x\n"}, small.policies)
    with pytest.raises(PolicyError, match="cannot be compiled"):
        compiled(nowhere, other, cache=cache)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _changed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"opa_eval", b"opa_evil", 1))


def _open_to_others(path: Path) -> None:
    path.chmod(0o666)


def _a_link(path: Path) -> None:
    elsewhere = path.rename(path.with_name("elsewhere"))
    path.symlink_to(elsewhere)


def test_a_folder_that_cannot_be_written_is_no_error(opa_binary: Path, small: Bundle, tmp_path: Path) -> None:
    """It is compiled each time."""
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        assert compiled(opa_binary, small, cache=folder).startswith(b"\0asm")


def test_the_folder_is_bounded(opa_binary: Path, small: Bundle, tmp_path: Path) -> None:
    """What was used longest ago goes."""
    for number in range(20):
        (tmp_path / f"{number:02}.wasm").write_bytes(b"")
        os.utime(tmp_path / f"{number:02}.wasm", (number, number))
    compiled(opa_binary, small, cache=tmp_path)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == 16
    assert "04.wasm" not in left
    assert "05.wasm" in left


FOLDERS: dict[str, tuple[Mapping[str, str], Path | None]] = {
    "XDG": ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, Path("/c/portcullis/wasm")),
    "a relative one": ({"XDG_CACHE_HOME": "c", "HOME": "/h"}, Path("/h/.cache/portcullis/wasm")),
    "home": ({"HOME": "/h"}, Path("/h/.cache/portcullis/wasm")),
    "none": ({}, None),
    "a relative home": ({"HOME": "h"}, None),
}


@pytest.mark.parametrize(("environment", "folder"), FOLDERS.values(), ids=FOLDERS.keys())
def test_the_folder_is_where_caches_are(environment: Mapping[str, str], folder: Path | None) -> None:
    """As the XDG specification has it; without a home there is none."""
    assert cache_folder(environment) == folder


def test_rego_that_opa_refuses_is_not_compiled(opa_binary: Path, small: Bundle) -> None:
    """What OPA says of it is told."""
    broken = Bundle(
        {**small.files, "portcullis/x/x.rego": b"package portcullis.x\n\na := no_such(1)\n"}, small.policies
    )
    with pytest.raises(PolicyError, match=r"(?s)opa build found:.*no_such"):
        compiled(opa_binary, broken, cache=None)


def test_strictness_changes_nothing_else(opa_binary: Path) -> None:
    """A module made strict is one of the same functions and some more; made so twice it still answers the same."""
    good = module_of(opa_binary, "lower(input.a)")
    once = strict(good)
    assert len(once) > len(good)
    opa = WasmOpa.load(once, "r1")
    assert asked(opa, {"a": "A"}) == {"result": "a"}
    opa.close()
