"""
The Rego of a module as OPA parses it: its definitions, and where in the text each part of them stands.

OPA counts rows in lines and columns in characters, both from 1. Source of the tree's shape: `opa parse --format json
--json-include locations`, OPA 1.22.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webhook.errors import PolicyError
from webhook.proposal.regotool import RegoTool

Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A part of a module's text, in characters from its beginning."""

    begin: int
    end: int

    def holds(self, other: "Span") -> bool:
        """Say whether all of `other` is in it."""
        return self.begin <= other.begin and other.end <= self.end


@dataclass(frozen=True, slots=True)
class Branch:
    """A head and its body: the first of a definition, or an `else`; `conditions` are empty without an `if`."""

    span: Span
    conditions: tuple[Span, ...]
    tree: Node


@dataclass(frozen=True, slots=True)
class Definition:
    """One definition of a rule, its branches in order; `tree` is how OPA parsed it."""

    name: str
    span: Span
    branches: tuple[Branch, ...]
    tree: Node

    @property
    def default(self) -> bool:
        """Whether it is a `default`."""
        return bool(self.tree.get("default", False))


@dataclass(frozen=True, slots=True)
class Module:
    """A file of Rego, relative to the folder; `imports` are its lines, `uses` the paths below `data` that it names."""

    file: str
    text: str
    package: tuple[str, ...]
    imports: tuple[str, ...]
    uses: frozenset[tuple[str, ...]]
    definitions: tuple[Definition, ...]

    def of(self, span: Span) -> str:
        """Return the text of a part."""
        return self.text[span.begin : span.end]

    def place(self, span: Span) -> tuple[int, int]:
        """Return the line and the column that a part begins at."""
        before = self.text[: span.begin]
        return before.count("\n") + 1, span.begin - (before.rfind("\n") + 1) + 1


async def read_module(tool: RegoTool, folder: Path, file: str) -> Module:
    """Return a module that OPA can parse; raises `PolicyError` where it cannot, or is not understood."""
    said = await tool.run("parse", "--format", "json", "--json-include", "locations,-comments", file, folder=folder)
    if said.status:
        raise said.unreadable()
    tree = said.document()
    try:
        # As it is on the disk: a line that ends with a return and a newline is one character longer.
        text = (folder / file).read_bytes().decode()
        reader = Reader(file, text)
        return Module(
            file,
            text,
            tuple(each["value"] for each in tree["package"]["path"][1:]),
            tuple(reader.line(each) for each in tree.get("imports") or ()),
            frozenset(path for node in nodes(tree) for path in uses(node)),
            tuple(map(reader.definition, tree.get("rules") or ())),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise PolicyError(f"{file}: what opa parse says of it is not understood: {error!r}") from error


class Reader:
    """Finds in the text what OPA gives by row and column."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._text = text
        self._lines = [0, *(at + 1 for at, letter in enumerate(text) if letter == "\n")]

    def span(self, node: Node) -> Span:
        """Return where a node stands; raises `PolicyError` if its text is not there."""
        place = node["location"]
        text = base64.b64decode(place["text"]).decode()
        begin = self._lines[place["row"] - 1] + place["col"] - 1
        # In parentheses OPA counts from the inside and quotes from the outside.
        if text.startswith("(") and self._text.startswith(text, begin - 1):
            begin -= 1
        if not self._text.startswith(text, begin):
            raise PolicyError(
                f"{self._file}:{place['row']}:{place['col']}: OPA sees there what the file has not: {text}"
            )
        return Span(begin, begin + len(text))

    def line(self, node: Node) -> str:
        """Return the whole line that a node begins on."""
        row = node["location"]["row"]
        return self._text[self._lines[row - 1] :].partition("\n")[0].strip()

    def condition(self, expression: Node) -> Span:
        """Return where a condition stands."""
        span = self.span(expression)
        if not re.match(r"else\b", self._text[span.begin : span.end]):
            return span
        # OPA gives the condition of `else := value if condition` the place of all of it.
        inner = min(self.span(node).begin for node in nodes(expression["terms"]) if "location" in node)
        return Span(self._text.rindex(" if ", span.begin, inner) + len(" if "), span.end)

    def _whole(self, tree: Node) -> Span:
        """Return where a definition stands: `f("", _)` without a value or a body ends for OPA before its arguments."""
        span = self.span(tree)
        if not self._text.startswith("(", span.end) or not (arguments := tree["head"].get("args")):
            return span
        return Span(span.begin, self._text.index(")", self.span(arguments[-1]).end) + 1)

    def definition(self, tree: Node) -> Definition:
        """Return a definition with its branches."""
        if tree.get("default"):
            # The place of a default is its first word.
            begin, end = self.span(tree).begin, self.span(tree["head"]).end
            return Definition(tree["head"]["ref"][0]["value"], Span(begin, end), (), tree)
        span = self._whole(tree)
        chain = [tree]
        while "else" in chain[-1]:
            chain.append(chain[-1]["else"])
        begins = [self.span(each).begin for each in chain]
        ends = [*begins[1:], span.end]
        branches = (
            Branch(Span(begin, end), tuple(self.condition(each) for each in written(branch["body"])), branch)
            for branch, begin, end in zip(chain, begins, ends, strict=True)
        )
        return Definition(tree["head"]["ref"][0]["value"], span, tuple(branches), tree)


def written(body: list[Node]) -> list[Node]:
    """Return the conditions of a body that somebody wrote; OPA gives `true` to a rule without any."""
    return [each for each in body if not each.get("generated")]


def nodes(tree: Any) -> Iterator[Node]:
    """Yield every node of a tree, the outer first."""
    if isinstance(tree, Mapping):
        yield tree
        for name, each in tree.items():
            if name not in {"location", "annotations"}:
                yield from nodes(each)
    elif isinstance(tree, list):
        for each in tree:
            yield from nodes(each)


def uses(node: Node) -> Iterator[tuple[str, ...]]:
    """Yield the path below `data` that a node is, as far as it is spelled out; nothing where it is no reference."""
    if node.get("type") != "ref" or not node["value"] or node["value"][0].get("value") != "data":
        return
    path = []
    for each in node["value"][1:]:
        if each["type"] != "string":
            break
        path.append(each["value"])
    yield tuple(path)
