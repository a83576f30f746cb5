"""Each builtin that policies may call in-process, beside OPA's own on arguments of every type."""

import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
import wasmtime

from tests.cases.reviews import Json
from webhook.decision.wasmbuild import _built
from webhook.decision.wasmbuiltins import BUILTINS, UNTRIED
from webhook.decision.wasminstance import FOREVER, Instance

VALUES = r"""
	null, true, false,
	0, 1, -1, 2, 3, 7, 10, 1000, 1.5, -5, 0.25, 0.1, 0.3, 2.5, 33.3, 1e3, 1e21, 1e100, 1e-7,
	9007199254740993, 12345678901234567890, 0.3333333333333333, 0.9999999999999999,
	"", "a", "A", "b", "abc", "a:b:c", "ÀÉ", "日本", "ß", "\u0000x", "a/b", "x-y_z", "a%sb", "<&>\"\\",
	[], ["a", "b"], ["b", "a", 1, null], [1, 2, 3], [[1], ["x"], {"k": "v"}], ["a", ["b"]],
	{}, {"a": 1}, {"a": {"b": 2}, "c": 3}, {"b": null}, {"a": {"d": 5}}, {"1": "x"},
	set(), {"a", "b"}, {1, "a"}, {{"a"}, {"b"}}, {"ÀÉ", "z", "日本"}
"""
# Of three arguments there are too many for all of them.
FEW = r'null, -1, 0, 1, 2, 2.5, 1000, "", "a", "abc", "日本", [], ["a", "b", "c"], {"a": 1}, {"b": null}, set(), {"a"}'
WRITTEN = {
    "and": "x & y",
    "div": "x / y",
    "equal": "x == y",
    "gt": "x > y",
    "gte": "x >= y",
    "internal.member_2": "x in y",
    "internal.member_3": "(x, y in z)",
    "internal.template_string": '$"{x}, {y}"',
    "lt": "x < y",
    "lte": "x <= y",
    "minus": "x - y",
    "mul": "x * y",
    "neq": "x != y",
    "or": "x | y",
    "plus": "x + y",
}
"""How those are called that have no name in Rego."""
ONE = {
    *("abs", "array.flatten", "array.reverse", "base64.encode", "base64url.encode", "bits.negate", "count", "floor"),
    *("intersection", "lower", "max", "min", "object.keys", "product", "sort", "strings.reverse", "sum", "trim_space"),
    *("type_name", "union", *(name for name in BUILTINS if name.startswith("is_"))),
}
THREE = {"array.slice", "internal.member_3", "object.get", "substring"}
CHOICES = {"div": '[1, 2, 10, -1, 0.25, null, "a"]'}
"""What the second argument is taken from, where not all will do."""


def rule(number: int, builtin: str) -> str:
    """Return a rule that has what a builtin says of every choice of arguments; what fails is left out."""
    names = ["x"] if builtin in ONE else ["x", "y", "z"] if builtin in THREE else ["x", "y"]
    called = WRITTEN.get(builtin, f"{builtin}({', '.join(names)})")
    drawn = {"y": CHOICES[builtin]} if builtin in CHOICES else {}
    among = "few" if builtin in THREE else "values"
    some = "\n".join(f"\tsome i{name}, {name} in {drawn.get(name, among)}" for name in names)
    told = f"[[{', '.join(f'i{name}' for name in names)}, type_name(said), said] |\n{some}\n\tsaid := {called}\n]"
    return f"of_{number} := {told}\n\n"


@pytest.fixture(scope="module")
def rego() -> str:
    return f"package portcullis.tried\n\nvalues := [{VALUES}]\n\nfew := [{FEW}]\n\n" + "".join(
        rule(number, builtin) for number, builtin in enumerate(BUILTINS)
    )


def canonical(said: list[list[Any]]) -> dict[bytes, Any]:
    """Return what was said by its arguments; a set has no order, nor has one in a text, and numbers 15 digits."""
    return {orjson.dumps(where): (kind, without_order(kind, what)) for *where, kind, what in said}


def without_order(kind: str, what: Any) -> Any:
    match kind:
        case "set":
            return sorted(what, key=orjson.dumps)
        case "string":
            return "".join(sorted(what))
        case "number":
            return f"{round(float(what), 12):.14e}"
        case _:
            return what


@pytest.fixture(scope="module")
def by_opa(rego: str, opa_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Json:
    """What OPA says."""
    file = tmp_path_factory.mktemp("tried") / "tried.rego"
    file.write_text(rego)
    command = [str(opa_binary), "eval", "--format", "json", "-d", str(file), "data.portcullis.tried"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    said: Json = orjson.loads(done.stdout)["result"][0]["expressions"][0]["value"]
    return said


@pytest.fixture(scope="module")
def in_wasm(rego: str, opa_binary: Path) -> Json:
    """What OPA's WebAssembly says, as it is compiled."""
    asked = [f"portcullis/tried/of_{number}" for number in range(len(BUILTINS))]
    manifest = b'{"roots": ["portcullis"], "rego_version": 1}'
    module = _built(opa_binary, {".manifest": manifest, "portcullis/tried.rego": rego.encode()}, asked)
    engine = wasmtime.Engine()
    instance = Instance(engine, wasmtime.Module(engine, module), b"{}", memory=2**30)
    assert instance.builtins == {}
    return {
        path.rpartition("/")[2]: orjson.loads(instance.evaluate(entry, b"{}", FOREVER))[0]["result"]
        for path, entry in instance.entry_points.items()
    }


@pytest.mark.parametrize(("number", "builtin"), tuple(enumerate(BUILTINS)), ids=BUILTINS)
def test_a_builtin_says_and_fails_as_in_opa(number: int, builtin: str, by_opa: Json, in_wasm: Json) -> None:
    """The same result of the same type, and no result where OPA's fails: that is where ours ends the evaluation."""
    theirs, ours = canonical(by_opa[f"of_{number}"]), canonical(in_wasm[f"of_{number}"])
    differing = {
        where: (theirs.get(where), ours.get(where)) for where in theirs | ours if theirs.get(where) != ours.get(where)
    }
    assert differing == {}
    assert len(theirs) >= 2, f"{builtin} was not really tried"


def test_what_is_tried_is_not_called_untried() -> None:
    """A builtin is in one of the two tables."""
    assert not set(BUILTINS) & set(UNTRIED)
    assert not set(BUILTINS.values()) & set(UNTRIED.values())


def test_lower_knows_all_letters_but_the_newest(opa_binary: Path, tmp_path: Path) -> None:
    """Else a rule could be got around by an unusual letter; what differs is told in docs/engines.md."""
    rego = "package portcullis.tried\n\nsaid := [lower(letter) | some letter in input]\n"
    letters = [
        chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000 and chr(code).lower() != chr(code)
    ]
    file, asked = tmp_path / "tried.rego", tmp_path / "letters.json"
    file.write_text(rego)
    asked.write_bytes(orjson.dumps(letters))
    command = [
        str(opa_binary),
        "eval",
        "--format",
        "json",
        "-d",
        str(file),
        "-i",
        str(asked),
        "data.portcullis.tried.said",
    ]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    by_opa = orjson.loads(done.stdout)["result"][0]["expressions"][0]["value"]
    manifest = b'{"roots": ["portcullis"], "rego_version": 1}'
    files = {".manifest": manifest, "portcullis/tried.rego": rego.encode()}
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, _built(opa_binary, files, ["portcullis/tried/said"]))
    instance = Instance(engine, module, b"{}", memory=2**30)
    entry = instance.entry_points["portcullis/tried/said"]
    in_wasm = orjson.loads(instance.evaluate(entry, asked.read_bytes(), FOREVER))[0]["result"]
    differing = [letter for letter, theirs, ours in zip(letters, by_opa, in_wasm, strict=True) if theirs != ours]
    assert len(letters) > 1_300
    assert len(differing) == 43
    assert min(differing) == "\u2c2f"
