"""
What in the Rego of a revision something rests on, so that two revisions can be compared by it.

OPA parses the files and says which paths below `data` they name; whoever names more than it is known to name, by a
variable or as a whole, rests on all of it. Names are looked for in what is written, so an alias hides nothing; of a
package all files count, and those of packages that it lies in, or that lie in it, as they may define parts of it.
"""

import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from webhook.errors import PolicyError

Where = tuple[str, ...]
"""A path below `data`."""

OURS = "portcullis"
"""What the rules are below; beside it there is only what OPA itself knows of the bundle, as its revision."""
SECONDS = 60
_PARSED = "[rego.parse_module(name, text) | some [name, text] in input]"


@dataclass(frozen=True, slots=True)
class Module:
    """A file of Rego: what its `package` is, and what it names below `data`, as far as that is spelled out."""

    name: str
    content: bytes
    package: Where
    uses: frozenset[Where]


class Ground:
    """All the Rego of one revision."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self._modules = tuple(modules)

    def under(self, where: Where) -> tuple[Module, ...]:
        """Return the files that may define something at or below a path, or what it stands in."""
        return tuple(each for each in self._modules if _meet(each.package, where))

    def digest(self, *wheres: Where) -> bytes | None:
        """
        Return what stands for all that these paths rest on: where it is the same they are, as far as `input` is.

        None where they may rest on more than the Rego, as on the revision itself.
        """
        found: dict[str, Module] = {}
        left = list(wheres)
        while left:
            where = left.pop()
            if where and where[0] != OURS:
                return None
            for each in self.under(where):
                if each.name not in found:
                    found[each.name] = each
                    left += (each.package, *each.uses)
        digest = sha256()
        for name, each in sorted(found.items()):
            # Lengths first, so that no bytes can move from one file into the next.
            digest.update(f"{len(name)} {len(each.content)} {name}".encode() + each.content)
        return digest.digest()


def grounds(opa: Path, *revisions: Mapping[str, bytes]) -> tuple[Ground, ...]:
    """Read the files of each revision, by name; raises `PolicyError` where OPA cannot parse one."""
    files = dict.fromkeys((name, text) for files in revisions for name, text in files.items() if name.endswith(".rego"))
    read = dict(zip(files, map(_module, files, _parsed(opa, files)), strict=True))
    return tuple(Ground(read[each] for each in files.items() if each in read) for files in revisions)


def _parsed(opa: Path, files: Iterable[tuple[str, bytes]]) -> list[Any]:
    """Return how OPA parses each of the files."""
    command = [str(opa), "eval", "--format", "json", "--stdin-input", "--strict-builtin-errors", _PARSED]
    try:
        asked = orjson.dumps([(name, text.decode()) for name, text in files])
        done = subprocess.run(command, input=asked, capture_output=True, check=False, timeout=SECONDS)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise PolicyError(f"the policies cannot be parsed: {error}") from error
    try:
        parsed: list[Any] = orjson.loads(done.stdout)["result"][0]["expressions"][0]["value"]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise PolicyError(f"opa eval cannot parse the policies: {done.stdout.decode(errors='replace')}") from error
    return parsed


def _module(file: tuple[str, bytes], tree: Any) -> Module:
    try:
        package = tuple(each["value"] for each in tree["package"]["path"][1:])
        rest = {key: value for key, value in tree.items() if key != "package"}
        return Module(*file, package, frozenset(_uses(rest)))
    except (KeyError, TypeError, IndexError) as error:
        raise PolicyError(f"{file[0]}: what OPA says of it is not understood: {error!r}") from error


def _uses(tree: Any) -> Iterator[Where]:
    """Yield what a tree names below `data`; the path of `data` as a whole is empty."""
    match tree:
        case {"type": "ref", "value": [{"type": "var", "value": "data"}, *rest]}:
            yield tuple(_constant(rest))
            yield from _uses(rest)
        case {"type": "var", "value": "data"}:
            yield ()
        case dict():
            for each in tree.values():
                yield from _uses(each)
        case list():
            for each in tree:
                yield from _uses(each)


def _constant(path: Iterable[Any]) -> Iterator[str]:
    for each in path:
        if each["type"] != "string":
            return
        yield each["value"]


def _meet(one: Where, other: Where) -> bool:
    """Say whether one of two paths leads to the other."""
    return all(a == b for a, b in zip(one, other, strict=False))
