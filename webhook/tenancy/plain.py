"""
The quick way through a YAML document that has nothing unusual in it, which is nearly every one.

libyaml composes the nodes, and scalars go the same way as in `documents`. Whatever is not plain here (anchors, tags,
merges, a key twice, great depth or size, anything wrong) is left to the careful reader, which alone says what is wrong.
"""

import re
from functools import lru_cache
from typing import Any, Final

from yaml import MappingNode, Node, ScalarNode, SequenceNode, YAMLError
from yaml._yaml import CParser

from webhook.tenancy.scalars import DEPTH, Scalar, as_json, as_key, resolve

Place = tuple[int, int]

UNUSUAL: Final = object()
"""There is something in the text that the careful reader has to look at."""
# Anchors, aliases, tags, merges, directives, and the escape that Go refuses; in a comment or a string they do no harm,
# and are rare.
_CAREFUL = re.compile(r"[&*!%]|<<|\\/")
# libyaml composes by recursion in C: neither text nor nesting must be able to use up its stack.
_LONGEST = 256 * 1024
_LONGEST_INDENT = re.compile(r"^[ \t?:-]{200}", re.MULTILINE)
_MOST_BRACKETS = 2000
_QUOTED = "quoted"


class _Composer(CParser):
    """Composes nodes whose tag says no more than whether the text alone decides what a scalar is."""

    def resolve(self, kind: type[Node], value: str | None, implicit: Any) -> str:  # noqa: ARG002 - PyYAML's call
        return "" if kind is not ScalarNode or implicit[0] else _QUOTED

    def descend_resolver(self, parent: Node | None, index: Any) -> None:
        """Do nothing: no kind depends on where a thing stands."""

    def ascend_resolver(self) -> None:
        """Do nothing."""


def read_plain(text: str) -> tuple[Any, Place]:
    """
    Return the value of the one document in `text` and the place of its first key, both numbers from 0.

    The value is UNUSUAL where the careful reader has to read it.
    """
    if len(text) > _LONGEST or _CAREFUL.search(text) or _LONGEST_INDENT.search(text):
        return UNUSUAL, (0, 0)
    if text.count("[") + text.count("{") > _MOST_BRACKETS:
        return UNUSUAL, (0, 0)
    try:
        root = _Composer(text).get_single_node()
        if root is None:
            return None, (0, 0)
        first = root.value[0][0] if isinstance(root, MappingNode) and root.value else root
        return _value(root, 0), (first.start_mark.line, first.start_mark.column)
    except (YAMLError, ValueError):
        return UNUSUAL, (0, 0)


def _value(node: Node, depth: int) -> Any:
    if type(node) is ScalarNode:
        return node.value if node.tag else _plain(node.value)
    if depth >= DEPTH:
        raise ValueError("too deep")
    if type(node) is SequenceNode:
        return [_value(each, depth + 1) for each in node.value]
    found: dict[str, Any] = {}
    for key, value in node.value:
        if type(key) is not ScalarNode:
            raise ValueError("a key that is no scalar")
        name = key.value if key.tag else _key(key.value)
        if name in found:
            raise ValueError("a key twice")
        found[name] = _value(value, depth + 1)
    return found


# Manifests say the same few hundred words over and over.
@lru_cache(maxsize=8192)
def _plain(text: str) -> Scalar:
    return as_json(resolve("", text))


@lru_cache(maxsize=8192)
def _key(text: str) -> str:
    return as_key(resolve("", text))
