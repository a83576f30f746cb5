"""Manifests are read as kubectl reads them: the tables were made by sigs.k8s.io/yaml 1.6.0 and apimachinery 0.36.3."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.tenancy.manifests import MAX_BYTES, Manifest, Reading, read_manifests

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
JSON_HEAD = '"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}'
# Text of a value, and the JSON that kubectl makes of it.
SCALARS = (
    ("1", "1"),
    ("+1", "1"),
    ("-1", "-1"),
    ("0", "0"),
    ("-0", "0"),
    ("00", "0"),
    ("1_000", "1000"),
    ("_1", '"_1"'),
    ("1_", "1"),
    ("0x1F", "31"),
    ("0X1f", "31"),
    ("-0x1f", "-31"),
    ("0x_1F", "31"),
    ("0x", '"0x"'),
    ("0o17", "15"),
    ("0O17", "15"),
    ("0o18", '"0o18"'),
    ("0o", '"0o"'),
    ("017", "15"),
    ("-017", "-15"),
    ("0777", "511"),
    ("08", "8"),
    ("0_8", "8"),
    ("09.5", "9.5"),
    ("0b101", "5"),
    ("0B101", "5"),
    ("-0b11", "-3"),
    ("0b", '"0b"'),
    ("0b12", '"0b12"'),
    ("0b-1", "-1"),
    ("0b+1", "1"),
    ("0B-1", '"0B-1"'),
    ("+0b1", "1"),
    ("-0b-1", '"-0b-1"'),
    ("9223372036854775807", "9223372036854775807"),
    ("-9223372036854775808", "-9223372036854775808"),
    ("0xFFFFFFFFFFFFFFFFF", '"0xFFFFFFFFFFFFFFFFF"'),
    ("1.0", "1"),
    ("1.", "1"),
    (".5", "0.5"),
    ("-.5", "-0.5"),
    ("+.5", "0.5"),
    (".", '"."'),
    ("._5", '"._5"'),
    ("+._5", "0.5"),
    ("1._5", "1.5"),
    ("1e3", "1000"),
    ("1E3", "1000"),
    ("1e+3", "1000"),
    ("1e-3", "0.001"),
    ("1e_3", "1000"),
    ("1e", '"1e"'),
    (".e3", '".e3"'),
    (".5e3", "500"),
    ("1e400", '"1e400"'),
    ("-1e400", '"-1e400"'),
    (".1e400", '".1e400"'),
    ("1e-400", "0"),
    ("1e19", "10000000000000000000"),
    ("1e20", "100000000000000000000"),
    ("1e21", "1e+21"),
    ("1e22", "1e+22"),
    ("1.5e300", "1.5e+300"),
    ("-0.0", "0"),
    ("3.14159265358979", "3.14159265358979"),
    ("1234567890123456768.0", "1234567890123456800"),
    ("9007199254740993", "9007199254740993"),
    ("9007199254740993.0", "9007199254740992"),
    ("123456.789", "123456.789"),
    ("22:22", '"22:22"'),
    ("1:2", '"1:2"'),
    ("190:20:30", '"190:20:30"'),
    ("2001-12-14", '"2001-12-14"'),
    ("2001-1-1", '"2001-1-1"'),
    ("2001-12-14T21:59:43Z", '"2001-12-14T21:59:43Z"'),
    ("2001-12-14t21:59:43.10-05:00", '"2001-12-14t21:59:43.10-05:00"'),
    ("1.2.3", '"1.2.3"'),
    ("1.2.3.4", '"1.2.3.4"'),
    ("10.0.0.0/8", '"10.0.0.0/8"'),
    ("fd00::1", '"fd00::1"'),
    ("1e3m", '"1e3m"'),
    ("100m", '"100m"'),
    ("1Gi", '"1Gi"'),
    ("y", "true"),
    ("Y", "true"),
    ("n", "false"),
    ("N", "false"),
    ("yes", "true"),
    ("Yes", "true"),
    ("YES", "true"),
    ("yES", '"yES"'),
    ("no", "false"),
    ("No", "false"),
    ("NO", "false"),
    ("on", "true"),
    ("On", "true"),
    ("ON", "true"),
    ("oN", '"oN"'),
    ("off", "false"),
    ("Off", "false"),
    ("OFF", "false"),
    ("true", "true"),
    ("True", "true"),
    ("TRUE", "true"),
    ("tRUE", '"tRUE"'),
    ("false", "false"),
    ("False", "false"),
    ("FALSE", "false"),
    ("~", "null"),
    ("null", "null"),
    ("Null", "null"),
    ("NULL", "null"),
    ("nULL", '"nULL"'),
    ("nil", '"nil"'),
    ("None", '"None"'),
    ("inf", '"inf"'),
    (".Inf_", '".Inf_"'),
    ("-.in", '"-.in"'),
    ("nan", '"nan"'),
    ("=", '"="'),
    ("<<", '"<<"'),
    ("abc", '"abc"'),
    ("é", '"é"'),
    ("😀", '"😀"'),
    ("", "null"),
    ("# only a comment", "null"),
    ("1 # one", "1"),
    ("'1'", '"1"'),
    ('"1"', '"1"'),
    ("'yes'", '"yes"'),
    ('"null"', '"null"'),
    ("''", '""'),
    ("'it''s'", '"it\'s"'),
    ('"a\\tb\\x41\\u00e9\\U0001F600"', '"a\\tbAé😀"'),
    ('"\\e\\a\\_\\N"', '"\\u001b\\u0007\xa0\x85"'),
    ("!!str 12", '"12"'),
    ("!!str", '""'),
    ("!!str yes", '"yes"'),
    ("!!str ~", '"~"'),
    ("!!int '3'", "3"),
    ("!!int 0x1F", "31"),
    ("!!float 3", "3"),
    ("!!float '1e3'", "1000"),
    ("!!bool 'yes'", "true"),
    ("!!bool n", "false"),
    ("!!null ''", "null"),
    ("!!null ~", "null"),
    ("!!binary aGk=", '"hi"'),
    ("!foo 12", '"12"'),
    ("!foo", '""'),
    ("!foo {b: 1}", '{"b": 1}'),
    ("!!str {b: 1}", '{"b": 1}'),
    ("!!set {b, c}", '{"b": null, "c": null}'),
    ("!!omap [b: 1]", '[{"b": 1}]'),
    ("! 12", '"12"'),
    ("! '12'", '"12"'),
    ("!!merge x", '"x"'),
    ("!<tag:yaml.org,2002:int> '7'", "7"),
    ("|\n  b\n   c", '"b\\n c\\n"'),
    ("|-\n  b\n", '"b"'),
    ("|+\n  b\n\n", '"b\\n\\n\\n"'),
    (">\n  b\n  c\n\n  d", '"b c\\nd\\n"'),
    (">-\n  b\n    c\n  d\n", '"b\\n  c\\nd"'),
    ("|2\n   b", '" b\\n"'),
    ("b\n  c", '"b c"'),
    ("'b\n  c'", '"b c"'),
    ('"b \\\n  c"', '"b c"'),
    ("[1, yes, ~,]", "[1, true, null]"),
    ("[b: 1]", '[{"b": 1}]'),
    ("{b, c: 1}", '{"b": null, "c": 1}'),
    ("{b: }", '{"b": null}'),
    ("[[], {}]", "[[], {}]"),
    ("\n- 1\n- - 2\n-", "[1, [2], null]"),
    ("\n  ? b\n  : 1", '{"b": 1}'),
    ("http://x:80/?a=b#c", '"http://x:80/?a=b#c"'),
    ("a:b", '"a:b"'),
    ("a#b", '"a#b"'),
    ("-1-", '"-1-"'),
    (".7_5", "0.75"),
    (".5_", '".5_"'),
    (".5__0", '".5__0"'),
    (".5_e3", '".5_e3"'),
    (".5e1_0", "5000000000"),
    (".5e_1", '".5e_1"'),
    ("-.5_0", "-0.5"),
)
KEYS = (
    ("b", '{"b": 1}'),
    ("1", '{"1": 1}'),
    ("01", '{"1": 1}'),
    ("0x10", '{"16": 1}'),
    ("-1", '{"-1": 1}'),
    ("1.5", '{"1.5": 1}'),
    ("1e3", '{"1000": 1}'),
    ("1e5", '{"100000": 1}'),
    ("1e6", '{"1e+06": 1}'),
    ("1e21", '{"1e+21": 1}'),
    ("0.0001", '{"0.0001": 1}'),
    ("0.00001", '{"1e-05": 1}'),
    ("0.12345678901", '{"0.12345679": 1}'),
    ("1.0", '{"1": 1}'),
    ("100000.5", '{"100000.5": 1}'),
    ("16777217.0", '{"1.6777216e+07": 1}'),
    ("1e39", '{".inf": 1}'),
    ("-1e39", '{"-.inf": 1}'),
    (".inf", '{".inf": 1}'),
    ("-.inf", '{"-.inf": 1}'),
    (".nan", '{".nan": 1}'),
    ("yes", '{"true": 1}'),
    ("n", '{"false": 1}'),
    ("true", '{"true": 1}'),
    ("'yes'", '{"yes": 1}'),
    ('"1"', '{"1": 1}'),
    ("2001-12-14", '{"2001-12-14": 1}'),
    ("1_000", '{"1000": 1}'),
    ("!!str 1", '{"1": 1}'),
    ("a/b", '{"a/b": 1}'),
    ("''", '{"": 1}'),
    ("? b\n", '{"b": 1}'),
    ("'<<'", '{"<<": 1}'),
    ("!!binary aGk=", '{"hi": 1}'),
)
# Documents as they stand in one file: ^ is an object's beginning in YAML, $ in JSON; and what each holds besides.
DOCUMENTS = {
    "empty ones are skipped": (
        "---\n---\n# c\n---\n^a: 1\n---\n~\n--- # c\n^b: 2\n---   \nnull\n---\n",
        [{"a": 1}, {"b": 2}],
    ),
    "the mark of an end": ("^a: 1\n...\n# c\n", [{"a": 1}]),
    "Windows lines": ("^a: |\r\n  b\r\n  c\r\n---\r\n^d: 1\r\n", [{"a": "b\nc\n"}, {"d": 1}]),
    "old Mac lines": ("^a: 1\rb: 2\r", [{"a": 1, "b": 2}]),
    "byte order mark": ("\ufeff^a: 1\n", [{"a": 1}]),
    "byte order mark before JSON": ('\ufeff{$, "a": 1}\n', [{"a": 1}]),
    "no newline after a block": ("^a: |\n  b", [{"a": "b\n"}]),
    "kept newlines": ("^a: |+\n  b\n\n---\n^b: |+\n  c\n\n", [{"a": "b\n\n"}, {"b": "c\n\n"}]),
    "JSON": ('{$, "a": [1, 2.0, 1E2, -0, "\\u00e9\\/\\\\", true, null]}', [{"a": [1, 2, 100, 0, "é/\\", True, None]}]),
    "a pair in JSON": ('{$, "a": "\\ud83d\\ude00 \\\\ud83d"}', [{"a": "\U0001f600 \\ud83d"}]),
    "JSON side by side": ('{$, "a": 1}{$, "b": 2}\n {$, "c": 3}\n', [{"a": 1}, {"b": 2}, {"c": 3}]),
    "JSON, then YAML": ('{$, "a": 1}\n---\n^b: 2\n', [{"a": 1}, {"b": 2}]),
    "tabs in JSON": ('{$,\n\t"a":\t1\n}\n', [{"a": 1}]),
    "YAML in braces": ('{$, a: yes, "b": 1e3}\n', [{"a": True, "b": 1000}]),
    "alias": ("^a: &x {b: 1}\nc: *x\nd: [*x]\n", [{"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}]}]),
    "an anchor again": ("^a: &x 1\nb: *x\nc: &x 2\nd: *x\n", [{"a": 1, "b": 1, "c": 2, "d": 2}]),
    "alias as key": ("^a: &x b\n*x : 1\n", [{"a": "b", "b": 1}]),
    "merge": ("^a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\n", [{"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}]),
    "merge of two": (
        "^a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne:\n  <<: [*x, *y]\n",
        [{"a": {"b": 1}, "c": {"b": 2, "d": 3}, "e": {"b": 1, "d": 3}}],
    ),
    "merge in place": ("^a:\n  <<: {b: 1}\n", [{"a": {"b": 1}}]),
    "merge by tag": ("^a: &x {b: 1}\nc:\n  !!merge <<: *x\n", [{"a": {"b": 1}, "c": {"b": 1}}]),
    "no merge in quotes": ("^a: {'<<': {b: 1}}\n", [{"a": {"<<": {"b": 1}}}]),
    "tabs after values": ("^a: 1\t\nb:\t[1,\t2]\n", [{"a": 1, "b": [1, 2]}]),
    "depth that is still read": ("^a: " + "[" * 99 + "]" * 99, None),
}
REFUSALS = {
    "duplicate key": ("a: 1\nb: 2\na: 3\n", (3, 1), 'key "a" is already defined at line 1'),
    "duplicate key below": ("a:\n  b: 1\n  c: {d: 1, e: 2, d: 3}\n", (3, 19), 'key "d" is already defined at line 3'),
    "keys that become the same": ("1: a\n'1': b\n", (2, 1), 'key "1" is already defined at line 1'),
    "duplicate key in a second document": (
        "~\n---\n# c\na: 1\na: 2\n",
        (5, 1),
        'key "a" is already defined at line 4',
    ),
    "duplicate key in JSON": ('{"a": 1,\n "a": 2}', (2, 2), 'key "a" is already defined at line 1'),
    "merge after the key": (
        "x: &x {a: 1}\nb:\n  a: 2\n  <<: *x\n",
        (4, 7),
        'key "a" is already defined at line 3; this `<<`',
    ),
    "two merges": ("x: &x {a: 1}\nb:\n  <<: *x\n  <<: *x\n", (4, 3), 'key "<<" is already defined at line 3'),
    "merge of a number": ("<<: 1\n", (1, 5), "takes a mapping"),
    "merge of numbers": ("<<: [1]\n", (1, 6), "takes a mapping"),
    "tab": ("a:\n\tb: 1\n", (2, 1), "a tab where only spaces may indent"),
    "indentation": ("a:\n  b: 1\n c: 2\n", (3, 2), "did not find expected key"),
    "open bracket": ("a: [1, 2\n", (2, 1), "did not find expected ',' or ']'"),
    "open quote": ("a: 'b\n", (2, 1), "unexpected end of stream"),
    "two colons": ("a: b: c\n", (1, 5), "mapping values are not allowed"),
    "at sign": ("a: @b\n", (1, 4), "cannot start any token"),
    "key of 1,030 characters": ("a" * 1030 + ": 1\n", (1, 1031), "mapping values are not allowed"),
    "text behind a separator": ("--- {a: 1}\n", (1, 4), "only a comment may follow `---`"),
    "directive": ("%YAML 1.1\n---\n", (2, 1), "did not find expected <document start>"),
    "text after the end": ("a: 1\n...\nb: 2\n", (3, 1), "kubectl would ignore"),
    "text after JSON values": ("{$}{$}\nabcdef: 1\n", (2, 1), "not JSON"),
    "unknown anchor": ("a: *x\n", (1, 4), "no anchor 'x'"),
    "anchor in itself": ("a: &x [*x]\n", (1, 8), "'x' contains itself"),
    "null as key": ("~: 1\n", (1, 1), "null cannot be a key"),
    "list as key": ("? [a]\n: 1\n", (1, 3), "cannot be a key"),
    "infinity": ("a: .inf\n", (1, 4), "JSON has no infinity"),
    "not a number": ("a: .nan\n", (1, 4), "JSON has no infinity"),
    "tag that does not fit": ("a: !!int b\n", (1, 4), "the tag !!int does not fit 'b': that is str"),
    "boolean by tag": ("a: !!bool 1\n", (1, 4), "the tag !!bool does not fit '1': that is int"),
    "bad base64": ("a: !!binary '?'\n", (1, 4), "not base64"),
    "base64 of no text": ("a: !!binary /w==\n", (1, 4), "not base64 of UTF-8"),
    "timestamp by tag": ("a: !!timestamp 2001-12-14\n", (1, 4), "in quotes"),
    "64 bits without sign": ("a: 9223372036854775808\n", (1, 4), "does not fit 64 bits"),
    "more than 64 bits": ("a: 123456789012345678901\n", (1, 4), "does not fit 64 bits"),
    "more than 64 bits below zero": ("a: -9223372036854775809\n", (1, 4), "does not fit 64 bits"),
    "5,000 digits": ("a: " + "9" * 5000, (1, 4), "does not fit 64 bits"),
    "more than 64 bits in JSON": ('{"a": 9223372036854775808}', (1, 7), "does not fit 64 bits"),
    "float out of range in JSON": ('{"a": 1e400}', (1, 1), "not the same when read as JSON"),
    "line separator in JSON": ('{"a": "b \u2028 c"}', (1, 1), "not the same when read as JSON"),
    "slash escaped in YAML": ('a: "b\\/"\n', (1, 4), "no escape in YAML"),
    "half a pair": ('a: "\\ud83d"\n', (1, 7), "invalid Unicode character escape"),
    "NUL": ("a: 1\nb: x\0\n", (2, 5), "U+0000"),
    "control character": ("a: \x07\n", (1, 4), "U+0007"),
    "byte order mark inside": ("a: 1\n---\n\ufeffb: 1\n", (3, 1), "U+FEFF"),
    "Latin-1": (b"a: 1\nb: x\xe9\n", (2, 5), "not UTF-8: byte 0xe9"),
    "UTF-16": ("a: 1\n".encode("utf-16-le"), (1, 2), "U+0000"),
    "UTF-16 with its mark": ("\ufeffa: 1\n".encode("utf-16-le"), (1, 1), "not UTF-8"),
    "101 levels": ("a: " + "[" * 101 + "]" * 101, (1, 103), "deeper than 100 levels"),
    "8 MiB and a byte": ("#" * (MAX_BYTES + 1), (0, 0), "larger than 8 MiB"),
    "a list": ("- a\n", (1, 1), "not a Kubernetes object: a list"),
    "a word": ("\nword\n", (2, 1), "not a Kubernetes object: a single value"),
    "no apiVersion": ("\nkind: A\nmetadata: {name: a}\n", (2, 1), "apiVersion is missing"),
    "no kind": ("apiVersion: v1\nmetadata: {name: a}\n", (1, 1), "kind is missing"),
    "kind as number": ("apiVersion: v1\nkind: 1\nmetadata: {name: a}\n", (2, 1), "kind is no string"),
    "no name": ("apiVersion: v1\nkind: A\nmetadata:\n  labels: {}\n", (3, 1), "metadata.name is missing"),
    "empty name": ("apiVersion: v1\nkind: A\nmetadata:\n  name: ''\n", (4, 3), "metadata.name is empty"),
    "boolean name": ("apiVersion: v1\nkind: A\nmetadata: {name: on}\n", (3, 12), "metadata.name is no string"),
    "metadata as text": ("apiVersion: v1\nkind: A\nmetadata: a\n", (3, 1), "metadata.name is missing"),
    "items as text": ("apiVersion: v1\nkind: List\nitems: a\n", (3, 1), "its items are no list"),
    "nothing in a list": ("apiVersion: v1\nkind: List\nitems:\n-\n", (4, 2), "not a Kubernetes object: nothing"),
    "item of a List without kind": (
        "apiVersion: v1\nkind: List\nitems:\n- metadata: {name: a}\n",
        (4, 3),
        "kind is empty",
    ),
}
LIST = """\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Namespace
  metadata:
    name: one
- {apiVersion: v1, kind: NetworkPolicyList, items: [
    {metadata: {name: two}, spec: {egress: []}}]}
"""


def read(folder: Path, text: str | bytes) -> Reading:
    """Read `text` as the file a.yaml."""
    file = folder / "a.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_manifests(file)


def only(reading: Reading) -> Manifest:
    """Return the one manifest of a reading without errors."""
    assert not reading.errors
    (manifest,) = reading.manifests
    return manifest


def paths(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every value in `value`."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, child in below for path in paths(child, (*at, key)))]


@pytest.mark.parametrize(("text", "expected"), SCALARS)
def test_a_value_is_what_kubectl_makes_of_it(tmp_path: Path, text: str, expected: str) -> None:
    """The object judged is the object stored, down to `yes`, `017` and `1e3`."""
    value = only(read(tmp_path, f"{HEAD}value: {text}\n")).data["value"]
    assert value == json.loads(expected)
    assert isinstance(value, bool) == (expected in {"true", "false"})


@pytest.mark.parametrize(("text", "expected"), KEYS)
def test_a_key_is_what_kubectl_makes_of_it(tmp_path: Path, text: str, expected: str) -> None:
    """Keys that are no strings become those of sigs.k8s.io/yaml."""
    document = f"{HEAD}value: {{{text}: 1}}\n" if not text.startswith("?") else f"{HEAD}value:\n  {text}  : 1\n"
    assert only(read(tmp_path, document)).data["value"] == json.loads(expected)


@pytest.mark.parametrize(("text", "expected"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_documents_are_cut_and_joined_as_kubectl_does(
    tmp_path: Path, text: str, expected: list[dict[str, Any]] | None
) -> None:
    """Separators, JSON, line ends, aliases and merges give the same objects as in kubectl."""
    reading = read(tmp_path, text.replace("^", HEAD).replace("$", JSON_HEAD))
    assert not reading.errors
    head = {"apiVersion", "kind", "metadata"}
    found = [{key: value for key, value in one.data.items() if key not in head} for one in reading.manifests]
    assert expected is None or found == expected
    for manifest in reading.manifests:
        assert set(manifest.positions) == set(paths(manifest.data))


@pytest.mark.parametrize(("text", "place", "words"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_read_is_refused_at_its_place(
    tmp_path: Path, text: str | bytes, place: tuple[int, int], words: str
) -> None:
    """One error, with the line and column of what is wrong and the reason in words."""
    (error,) = read(tmp_path, text.replace("$", JSON_HEAD) if isinstance(text, str) else text).errors
    assert (error.line, error.column) == place
    assert words in error.what
    assert error.file == tmp_path / "a.yaml"


def test_every_key_and_item_has_its_position(tmp_path: Path) -> None:
    """Lines and columns count from 1, over documents and in them."""
    manifest = read(tmp_path, f"# c\n{HEAD}---\n# c\n{HEAD}spec:\n  list:\n  - a: 1\n    b: [x, y]\n").manifests[1]
    assert manifest.line == 7
    assert manifest.positions == {
        (): (7, 1),
        ("apiVersion",): (7, 1),
        ("kind",): (8, 1),
        ("metadata",): (9, 1),
        ("metadata", "name"): (9, 12),
        ("spec",): (10, 1),
        ("spec", "list"): (11, 3),
        ("spec", "list", 0): (12, 5),
        ("spec", "list", 0, "a"): (12, 5),
        ("spec", "list", 0, "b"): (13, 5),
        ("spec", "list", 0, "b", 0): (13, 9),
        ("spec", "list", 0, "b", 1): (13, 12),
    }


def test_an_error_points_at_the_nearest_thing_that_is_there(tmp_path: Path) -> None:
    """What is missing is shown at what should hold it."""
    manifest = only(read(tmp_path, f"{HEAD}spec:\n  a: 1\n"))
    assert str(manifest.error(("spec", "a"), "wrong")) == f"{tmp_path / 'a.yaml'}:5:3: wrong"
    assert manifest.error(("spec", "b", 3, "c"), "missing").line == 4
    assert manifest.error(("status",), "missing").line == 1


def test_positions_in_json_side_by_side_are_those_of_the_file(tmp_path: Path) -> None:
    """A second value on the same line begins where it begins."""
    second = read(tmp_path, '{$}  {$,\n "a": 1}'.replace("$", JSON_HEAD)).manifests[1]
    assert second.positions["apiVersion",] == (1, len(JSON_HEAD) + 6)
    assert second.positions["a",] == (2, 2)


def test_the_items_of_lists_are_objects_of_their_own(tmp_path: Path) -> None:
    """Nobody hides a policy in a list, nor in a list of lists; items of a typed list need no kind."""
    reading = read(tmp_path, LIST)
    assert not reading.errors
    one, two = reading.manifests
    assert (one.data["kind"], one.line, one.positions["metadata", "name"]) == ("Namespace", 4, (7, 5))
    assert two.data == {
        "apiVersion": "v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "two"},
        "spec": {"egress": []},
    }
    assert two.positions["spec", "egress"] == (9, 36)
    assert two.error(("kind",), "x").line == 9


def test_a_list_of_nothing_is_nothing(tmp_path: Path) -> None:
    """Empty lists and `items: null` are neither objects nor errors."""
    text = "apiVersion: v1\nkind: List\nitems: []\n---\napiVersion: v1\nkind: List\nitems:\n"
    assert read(tmp_path, text) == Reading((), ())


def test_what_cannot_be_read_hides_nothing_else(tmp_path: Path) -> None:
    """The other documents and files are still judged."""
    (tmp_path / "a.yaml").write_text(f"a: [\n---\n{HEAD}---\nb: @\n")
    (tmp_path / "b.json").write_text("{" + JSON_HEAD + "}")
    (tmp_path / "c.yml").write_bytes(b"\xff")
    reading = read_manifests(tmp_path)
    assert [one.file.name for one in reading.manifests] == ["a.yaml", "b.json"]
    assert [(one.file.name, one.line) for one in reading.errors] == [("a.yaml", 2), ("a.yaml", 7), ("c.yml", 1)]


def test_a_folder_is_read_in_order_without_what_is_hidden(tmp_path: Path) -> None:
    """Folders in it count, hidden things, kustomizations and other files do not."""
    names = ("b/c/z.yml", "b/a.json", "a.yaml", ".hidden.yaml", ".git/a.yaml", "b/kustomization.yaml", "b/README.md")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(HEAD)
    reading = read_manifests(tmp_path)
    assert not reading.errors
    assert [str(one.file.relative_to(tmp_path)) for one in reading.manifests] == ["a.yaml", "b/a.json", "b/c/z.yml"]


def test_a_file_that_is_named_is_read_whatever_its_name(tmp_path: Path) -> None:
    """Only a kustomization is left out even then: it is no object of a cluster."""
    (tmp_path / ".hidden").write_text(HEAD)
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\n")
    assert only(read_manifests(tmp_path / ".hidden")).line == 1
    assert read_manifests(tmp_path / "kustomization.yaml") == Reading((), ())


def test_a_path_with_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    """A misspelt path must not look like a clean one."""
    for path, words in ((tmp_path, "no manifest in it"), (tmp_path / "none.yaml", "No such file")):
        (error,) = read_manifests(path).errors
        assert (error.file, error.line, error.column) == (path, 0, 0)
        assert words in error.what


def test_links_and_pipes_do_not_hang(tmp_path: Path) -> None:
    """Links to files are followed, links to folders are not, and nobody waits for a pipe."""
    (tmp_path / "a.yaml").write_text(HEAD)
    (tmp_path / "folder").symlink_to(tmp_path)
    (tmp_path / "link.yaml").symlink_to(tmp_path / "a.yaml")
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    reading = read_manifests(tmp_path)
    assert [one.file.name for one in reading.manifests] == ["a.yaml", "link.yaml"]
    assert [one.file.name for one in reading.errors] == ["loop.yaml", "pipe.yaml"]


@pytest.mark.parametrize("grown", ["[{0}]", "{{<<: [{0}]}}"])
def test_a_small_text_does_not_become_a_huge_object(tmp_path: Path, grown: str) -> None:
    """A billion laughs end as they do in kubectl."""
    lines = [f"a{n}: &a{n} " + grown.format(", ".join([f"*a{n - 1}"] * 10)) for n in range(1, 20)]
    (error,) = read(tmp_path, "a0: &a0 {x: 1}\n" + "\n".join(lines)).errors
    assert "too much of this document comes from aliases" in error.what


@pytest.mark.parametrize("link", ["[[[*a{0}]]]", "{{<<: *a{0}}}"])
def test_aliases_do_not_nest_for_ever(tmp_path: Path, link: str) -> None:
    """The depth that counts is the depth of the object, not of its text."""
    lines = [f"a{n}: &a{n} {link.format(n - 1)}" for n in range(1, 120)]
    (error,) = read(tmp_path, "a0: &a0 {x: 1}\n" + "\n".join(lines)).errors
    assert "deeper than 100 levels" in error.what


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "- " * 100_000, "? " * 100_000])
def test_depth_ends_in_an_error(tmp_path: Path, text: str) -> None:
    """Nothing recurses to death."""
    (error,) = read(tmp_path, text).errors
    assert "deeper than 100 levels" in error.what


def test_a_document_of_a_million_values_is_refused(tmp_path: Path) -> None:
    """8 MiB of digits would take gigabytes."""
    (error,) = read(tmp_path, "a: [" + "0," * 1_000_001 + "]").errors
    assert "more than 1000000 values" in error.what


def test_a_file_of_errors_only_is_left_after_a_hundred(tmp_path: Path) -> None:
    """Its last error says so."""
    errors = read(tmp_path, "a\n---\n" * 1000).errors
    assert len(errors) == 101
    assert "the rest of it is not read" in errors[-1].what


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e6, 1e6) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@given(value=JSON, indent=st.sampled_from([None, 2, "\t"]))
@settings(max_examples=150, deadline=None)
def test_json_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, value: Any, indent: Any) -> None:
    """Whatever a program writes as JSON is read back, with a position for everything in it."""
    data = {"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}, "value": value}
    manifest = only(read(tmp_path_factory.mktemp("json"), json.dumps(data, indent=indent)))
    assert manifest.data == data
    assert set(manifest.positions) == set(paths(data))


@given(seed=st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Any text gives manifests or errors, never another exception; every error has a place in the file."""
    pieces = (
        "a",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "&a ",
        "*a",
        "<<: ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "'",
        '"',
        "|",
        ">",
        "#",
        "!!int ",
        "1",
        "\n---\n",
        "\r",
    )
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    text = HEAD + "".join(chance.choices(pieces, k=chance.randint(1, 25)))
    for error in read(tmp_path_factory.mktemp("text"), text).errors:
        assert 1 <= error.line <= text.count("\n") + text.count("\r") + 2
        assert error.column >= 1
