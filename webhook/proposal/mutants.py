"""
Mutants of the Rego: one small change each to one definition of a rule, as a careless hand might make it.

A test that notices a change kills the mutant. One that nobody notices is a condition, a branch or an element that the
tests would let go.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from webhook.proposal.source import Branch, Definition, Module, Node, Reader, Span, nodes, written

Kind = Literal[
    "condition dropped",
    "condition negated",
    "comparison flipped",
    "body made true",
    "collection emptied",
    "constant swapped",
    "else dropped",
]

FLIPPED = {
    "equal": ("==", ("!=",)),
    "neq": ("!=", ("==",)),
    "lt": ("<", ("<=", ">=")),
    "lte": ("<=", ("<", ">")),
    "gt": (">", (">=", "<=")),
    "gte": (">=", (">", "<")),
}
"""By OPA's name of a comparison how it is written, and what instead: beyond the boundary, and the other way round."""
# OPA's type checker refuses to look into a literal `[]`: these are as empty, and not seen through.
_NO_ARRAY, _NO_OBJECT = "array.slice([0], 1, 1)", "object.filter({0: 0}, [])"
EMPTY = {
    "set": "set()",
    "array": _NO_ARRAY,
    "object": _NO_OBJECT,
    "setcomprehension": "set()",
    "arraycomprehension": _NO_ARRAY,
    "objectcomprehension": _NO_OBJECT,
}
_SHOWN = {_NO_ARRAY: "[]", _NO_OBJECT: "{}"}
SWAPPED = {"true": "false", "false": "true"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change to `definition` of a module: `instead` is written at `span`."""

    module: Module
    definition: Definition
    kind: Kind
    span: Span
    instead: str

    @property
    def was(self) -> str:
        """What stands there now, on one line."""
        return " ".join(self.module.of(self.span).split())

    @property
    def now(self) -> str:
        """What would stand there, on one line."""
        return _SHOWN.get(self.instead, " ".join(self.instead.split()))


def mutants_of(module: Module) -> tuple[Mutant, ...]:
    """Return every mutant of a module, in the order of the text, none of them twice."""
    reader = Reader(module.file, module.text)
    found: dict[tuple[Span, str], Mutant] = {}
    for definition in module.definitions:
        for kind, span, instead in _changes(module, reader, definition):
            # Which of two names a change has is the same to the tests.
            found.setdefault((span, " ".join(instead.split())), Mutant(module, definition, kind, span, instead))
    return tuple(sorted(found.values(), key=lambda each: (each.span.begin, each.span.end)))


Change = tuple[Kind, Span, str]


def _changes(module: Module, reader: Reader, definition: Definition) -> Iterator[Change]:
    if not definition.default:
        yield from _conditions(module, reader, definition)
        yield from _branches(definition)
    binding = {id(each) for node in nodes(definition.tree) for each in _patterns(node)}
    for node in nodes(definition.tree):
        if flip := _comparison(node):
            operator, instead = flip
            for other in FLIPPED[operator][1]:
                yield "comparison flipped", reader.span(instead), other
        elif node.get("type") in EMPTY and "location" in node and id(node) not in binding:
            yield from _emptied(module, reader.span(node), node)
        elif node.get("type") == "boolean" and "location" in node:
            span = reader.span(node)
            # Of what somebody left out OPA says the place of something else.
            if module.of(span) in SWAPPED:
                yield "constant swapped", span, SWAPPED[module.of(span)]


def _conditions(module: Module, reader: Reader, definition: Definition) -> Iterator[Change]:
    for node in nodes(definition.tree):
        body = [each for each in node.get("body") or () if "terms" in each]
        for expression in written(body):
            span = reader.condition(expression)
            if module.of(span) == "true" or _needed([expression], _scope(node, body, expression)):
                continue
            yield "condition dropped", span, "true"
            if negated := _negated(module.of(span), expression):
                yield "condition negated", span, negated


def _scope(node: Node, body: list[Node], expression: Node) -> list[Any]:
    """Return all that can see what a condition of a body binds, itself left out."""
    return [*(each for each in body if each is not expression), node.get("head"), node.get("term"), node.get("key")]


def _needed(expressions: list[Node], scope: list[Any]) -> bool:
    """Say whether nothing compiles without some conditions, for they bind a variable that others use."""
    bound = {name for each in expressions for name in declared(each)}
    for part in scope:
        inside = list(nodes(part))
        # What binds the name anew may mean its own.
        anew = {name for each in inside for name in declared(each)}
        if any(each.get("type") == "var" and each["value"] in bound - anew for each in inside):
            return True
    return False


def declared(expression: Node) -> Iterator[str]:
    """Yield the names of the variables that a condition binds by `some` or `:=`."""
    for pattern in _patterns(expression):
        # What stands in a reference is looked up and not bound.
        yield from (each["value"] for each in nodes(pattern) if each.get("type") == "var")


def _patterns(expression: Node) -> list[Node]:
    """Return what a condition binds variables by."""
    match expression.get("terms"):
        case {"symbols": [{"type": "call", "value": [_, *patterns, _]}]}:
            return patterns
        case {"symbols": [*symbols]}:
            return symbols
        case [{"value": [{"value": "assign"}]}, pattern, _]:
            return [pattern]
    return []


def _negated(text: str, expression: Node) -> str | None:
    """Return the opposite of a condition, None for one that only binds a variable."""
    if positive := re.match(r"not\s+", text):
        return text[positive.end() :]
    match expression["terms"]:
        case {"symbols": _} | {"domain": _}:
            # Rego has no `not every`.
            return f"count([1 | {text}]) == 0"
        case [{"value": [{"value": "assign"}]}, *_]:
            return None
    return f"not {text}"


def _branches(definition: Definition) -> Iterator[Change]:
    for number, branch in enumerate(definition.branches):
        if len(branch.conditions) > 1 and not _needed(branch.tree["body"], [branch.tree["head"]]):
            yield "body made true", body_of(branch), "true"
        if number:
            yield "else dropped", branch.span, ""


def body_of(branch: Branch) -> Span:
    """Return from where to where the conditions of a branch stand; it has some."""
    return Span(min(each.begin for each in branch.conditions), max(each.end for each in branch.conditions))


def _comparison(node: Node) -> tuple[str, Node] | None:
    """Return OPA's name of the comparison that a node is, and where its sign stands."""
    terms = node["value"] if node.get("type") == "call" else node.get("terms")
    match terms:
        case [{"type": "ref", "value": [{"value": str(name)}]} as sign, *_] if name in FLIPPED:
            return name, sign
    return None


def _emptied(module: Module, span: Span, node: Node) -> Iterator[Change]:
    text = module.of(span)
    if text.startswith(("{", "[")) and node["value"]:
        yield "collection emptied", span, EMPTY[node["type"]]
