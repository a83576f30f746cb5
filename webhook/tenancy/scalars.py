"""
The nodes of one YAML document, and each scalar as kubectl reads it.

The rules are those of go.yaml.in/yaml/v2 (`resolve.go`, `decode.go`) and of sigs.k8s.io/yaml, which turns its answer
into JSON: versions 2.4.3 and 1.6.0, those of Kubernetes 1.36. No Python loader follows them: PyYAML gives events only.

A scalar that cannot become JSON raises `ValueError`; whoever knows its place says where.
"""

import base64
import binascii
import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias

import yaml

Scalar: TypeAlias = bool | int | float | str | None

YAML = "tag:yaml.org,2002:"
STR, BINARY, TIMESTAMP = f"{YAML}str", f"{YAML}binary", f"{YAML}timestamp"
WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
# Go's strconv.ParseFloat allows `_` between two digits only; elsewhere goyaml takes every `_` out first.
DOTTED = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
WHOLE = re.compile(r"[-+]?[0-9]+")
# What Go's strconv.ParseInt takes with base 0; a leading 0 alone makes it octal, so `08` is none of these.
INTEGERS = (
    (16, re.compile(r"([-+]?)0[xX]([0-9a-fA-F]+)")),
    (8, re.compile(r"([-+]?)0[oO]([0-7]+)")),
    (2, re.compile(r"([-+]?)0[bB]([01]+)")),
    (8, re.compile(r"([-+]?)(0[0-7]*)")),
    (10, re.compile(r"([-+]?)([1-9][0-9]*)")),
    # goyaml takes its own prefix off and parses again, so that a sign may stand inside.
    (2, re.compile(r"0b([-+])([01]+)")),
)
ESCAPED = re.compile(r"\\(.)")
# goyaml stops at 10,000, Python's stack at a tenth of it; the deepest objects of Kubernetes, CRDs with their schemas,
# need about 50.
DEPTH = 100
# A node takes half a kilobyte here, and 8 MiB could hold 4,000,000; etcd takes no object beyond 1.5 MiB.
MAX_NODES = 1_000_000
# The longest decimal number that may still be of 64 bits; Python itself refuses to read one of 4,300 digits.
DIGITS = 20


@dataclass(frozen=True, slots=True)
class Node:
    """
    One node; `place` is its (line, column), both from 0.

    `tag` and `text` are a scalar's; an empty tag leaves the kind to the text. `items` are the children of a sequence,
    keys and values in turn of a mapping, the one target of an alias.
    """

    kind: Literal["scalar", "sequence", "mapping", "alias"]
    place: tuple[int, int]
    tag: str = ""
    text: str = ""
    items: list["Node"] = field(default_factory=list)

    @property
    def is_merge(self) -> bool:
        """Whether this key is the `<<` of a merge; in quotes it is a key like any other."""
        return self.kind == "scalar" and self.text == "<<" and self.tag in {"", "!", f"{YAML}merge"}


class NodeError(Exception):
    """Text that kubectl cannot read; `place` counts from 0 and `what` is in plain words."""

    def __init__(self, place: tuple[int, int], what: str) -> None:
        self.place = place
        self.what = what
        super().__init__(what)


def compose(text: str) -> Node | None:
    """Return the root of the one document in `text`, None where it has none; raise `NodeError`."""
    events = _events(text)
    next(events)  # StreamStart
    if isinstance(next(events), yaml.StreamEndEvent):
        return None
    root = Node("sequence", (0, 0))
    path, anchors, count = [root], dict[str, Node](), 0
    while path:
        event, count = next(events), count + 1
        if not isinstance(event, yaml.NodeEvent):  # the end of a collection or of the document
            path.pop()
            continue
        node = _node(event, anchors, text)
        if node.kind == "alias" and any(node.items[0] is parent for parent in path):
            raise NodeError(node.place, f"the anchor {event.anchor!r} contains itself")
        path[-1].items.append(node)
        if isinstance(event, yaml.CollectionStartEvent):
            path.append(node)
        if len(path) > DEPTH + 1:
            raise NodeError(node.place, f"nested deeper than {DEPTH} levels")
        if count > MAX_NODES:
            raise NodeError(node.place, f"more than {MAX_NODES} values in one document: split it")
    _expect_end(events)
    return root.items[0]


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line, mark.column) if mark else (0, 0)


def _node(event: yaml.NodeEvent, anchors: dict[str, Node], text: str) -> Node:
    place = _place(event)
    if isinstance(event, yaml.AliasEvent):
        if event.anchor not in anchors:
            raise NodeError(place, f"no anchor {event.anchor!r} stands before this alias")
        return Node("alias", place, items=[anchors[event.anchor]])
    if isinstance(event, yaml.ScalarEvent):
        if event.style == '"' and event.start_mark and event.end_mark:
            _refuse_slash(text[event.start_mark.index : event.end_mark.index], place)
        node = Node("scalar", place, event.tag or ("" if event.implicit[0] else STR), event.value)
    else:
        node = Node("mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence", place)
    if event.anchor:
        anchors[event.anchor] = node
    return node


def _refuse_slash(quoted: str, place: tuple[int, int]) -> None:
    if "/" in ESCAPED.findall(quoted):
        raise NodeError(
            place, "`\\/` is no escape in YAML for kubectl: write `/` (only a file that is JSON may have it)"
        )


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line, mark.column) if mark else (0, 0)
        tab = error.context == "while scanning for the next token" and _at(text, place) == "\t"
        why = "a tab where only spaces may indent" if tab else ", ".join(filter(None, (error.problem, error.context)))
        raise NodeError(place, f"not valid YAML: {why}") from error
    except yaml.YAMLError as error:
        raise NodeError((0, 0), f"not valid YAML: {error}") from error


def _at(text: str, place: tuple[int, int]) -> str:
    lines = text.split("\n")
    return lines[place[0]][place[1] : place[1] + 1] if place[0] < len(lines) else ""


def _expect_end(events: Iterator[yaml.Event]) -> None:
    """Refuse what stands behind the document: kubectl drops it without a word."""
    try:
        event = next(events)
    except NodeError as error:
        place = error.place
    else:
        if isinstance(event, yaml.StreamEndEvent):
            return
        place = _place(event)
    what = "kubectl would ignore what follows the end of the document: begin another one with a line of `---`"
    raise NodeError(place, what)


def resolve(tag: str, text: str) -> Scalar:
    """Return the Go value of a scalar; `tag` is a whole one, or empty where the text alone decides."""
    if tag == BINARY:
        return _binary(text)
    if tag == TIMESTAMP:
        # Go checks the date and then keeps the text, so the tag adds nothing that quotes would not.
        raise ValueError(f"the tag !!timestamp is not supported: write {text!r} in quotes instead")
    if tag and tag not in {f"{YAML}bool", f"{YAML}int", f"{YAML}float", f"{YAML}null"}:
        return text  # `!!str`, and every tag that Go does not know
    value = _implicit(text)
    if tag == f"{YAML}float" and type(value) is int:
        return float(value)
    if tag and tag != YAML + _kind(value):
        raise ValueError(f"the tag !!{tag.removeprefix(YAML)} does not fit {text!r}: that is {_kind(value)}")
    return value


def as_json(value: Scalar) -> Scalar:
    """Return the value that the API server finds in the JSON that Go writes for `value`."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise ValueError("JSON has no infinity and no not-a-number: kubectl refuses it too")
    if value.is_integer() and abs(value) < 2**63:
        # Go writes the shortest digits and fills up with zeros, so 1234567890123456768.0 becomes …800.
        return int(Decimal(repr(value)))
    return value


def as_key(value: Scalar) -> str:
    """Return the JSON key that sigs.k8s.io/yaml makes of a scalar."""
    if value is None:
        raise ValueError("null cannot be a key: kubectl refuses it too")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_key(value)
    return str(value)


def _implicit(text: str) -> Scalar:
    if text in WORDS:
        return WORDS[text]
    if text[0] == ".":
        return _finite(text.replace("_", ""), text) if DOTTED.fullmatch(text) else text
    return _number(text) if text[0] in "+-0123456789" else text


def _number(text: str) -> Scalar:
    plain = text.replace("_", "")
    for base, pattern in INTEGERS:
        match = pattern.fullmatch(plain)
        if match and (base != 10 or len(match[2]) <= DIGITS):
            value = int(match[1] + match[2], base)
            if -(2**63) <= value < 2**63:
                return value
            if not match[1] and value < 2**64:
                raise ValueError(_too_big(text))
    if not FLOAT.fullmatch(plain):
        return text
    value_or_text = _finite(plain, text)
    if WHOLE.fullmatch(plain) and (isinstance(value_or_text, str) or abs(value_or_text) >= 2**63):
        raise ValueError(_too_big(text))
    return value_or_text


def _finite(plain: str, text: str) -> float | str:
    """Return the float, or the text where Go says that it is out of range (`1e400` is a string)."""
    value = float(plain)
    return value if math.isfinite(value) else text


def _too_big(text: str) -> str:
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    return f"the integer {shown} does not fit 64 bits, so Kubernetes would round it to a float: write it in quotes"


def _kind(value: Scalar) -> str:
    kinds = {type(None): "null", bool: "bool", int: "int", float: "float", str: "str"}
    return kinds[type(value)]


def _binary(text: str) -> str:
    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise ValueError("the !!binary value is not base64 of UTF-8 text, and JSON holds nothing else") from error


def _float_key(value: float) -> str:
    """Write a float as Go's `FormatFloat(value, 'g', -1, 32)` does: the fewest digits that give the same 32 bits."""
    short = _float32(value)
    if not math.isfinite(short):
        return ".nan" if math.isnan(short) else ".inf" if short > 0 else "-.inf"
    fewest = next(text for digits in range(9) if _float32(float(text := f"{short:.{digits}e}")) == short)
    mantissa, exponent = fewest.split("e")
    return f"{Decimal(fewest):f}" if -4 <= int(exponent) < 6 else f"{mantissa}e{exponent}"


def _float32(value: float) -> float:
    try:
        rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return rounded
