"""An object as YAML that every reader reads alike, whatever version of YAML it follows."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

# Letters and what holds names together; whatever a reader may take for a number, a time or nothing gets quotes.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[./_-][A-Za-z0-9]+)*", re.ASCII)
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "nan"})
_FIRST = {"apiVersion": 0, "kind": 1, "metadata": 2, "name": 3, "namespace": 4}


class _Writer(yaml.SafeDumper):
    """Writes no anchor: two equal parts are two."""

    def ignore_aliases(self, data: Any) -> bool:
        """Say yes of everything."""
        del data
        return True


def _text(writer: _Writer, text: str) -> yaml.Node:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Writer.add_representer(str, _text)


def yaml_of(thing: Mapping[str, Any]) -> str:
    """Return an object as YAML, its identity first and the rest in the order of the alphabet."""
    return yaml.dump(_ordered(thing), Dumper=_Writer, sort_keys=False, allow_unicode=False, width=4096)


def _ordered(each: Any) -> Any:
    match each:
        case Mapping():
            return {key: _ordered(each[key]) for key in sorted(each, key=lambda key: (_FIRST.get(key, 9), key))}
        case list() | tuple():
            return [_ordered(one) for one in each]
        case _:
            return each
