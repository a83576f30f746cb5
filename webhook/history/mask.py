"""
Takes out of an object what the history does not keep; what that is Rego says (`policies_rego/portcullis/mask/`).

Rego sees the shape of an object and answers with paths. A cluster has few shapes, so the answers are remembered.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Protocol

import orjson

from webhook.errors import NoDecisionError

Path = tuple[str, ...]
"""The names on the way to a field; `*` stands for every element or key."""

HIDDEN = "masked"
HIDDEN_BEFORE = "masked, and another value than now"
"""What stands for a value of an old object that the new one has another of: rules ask whether something changed."""

REMEMBERED = 512
"""Shapes of which the answer is remembered."""
MOST_KEYS = 32
"""Annotations of a shape that is remembered: whoever writes many of them fills no memory of ours."""

_METADATA = frozenset({"apiVersion", "kind", "metadata"})
_ABSENT = object()


class Shape(NamedTuple):
    """What Rego sees of an object: names, no values."""

    group: str
    kind: str
    annotations: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    spec: tuple[str, ...] = ()

    def as_input(self) -> dict[str, Any]:
        """Return it as Rego's input has it."""
        return self._asdict()


def shape_of(group: str, kind: str, *things: Any) -> Shape:
    """Return the shape of an object, of its old and its new state together; None is no state."""
    objects = [thing for thing in things if isinstance(thing, Mapping)]
    metadata = [_map(thing, "metadata") for thing in objects]
    return Shape(
        group,
        kind,
        _keys(_map(each, "annotations") for each in metadata),
        tuple(key for key in _keys(objects) if key not in _METADATA),
        _keys(_map(thing, "spec") for thing in objects),
    )


def _map(thing: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = thing.get(key)
    return found if isinstance(found, Mapping) else {}


def _keys(maps: "Sequence[Mapping[str, Any]] | Iterator[Mapping[str, Any]]") -> tuple[str, ...]:
    return tuple(sorted({key for each in maps for key in each}))


class Cuts(dict[str, "Cuts"]):
    """Paths as a tree: a name leads to what is cut below it, and where that is empty all of it is."""

    @classmethod
    def of(cls, paths: Sequence[Path]) -> "Cuts":
        """Return the tree of paths; one that leads through another's end is part of that."""
        root = cls()
        for path in sorted(paths, key=len):
            at = root
            for depth, name in enumerate(path):
                if name in at and not at[name]:
                    break
                at = at.setdefault(name, cls())
                if depth == len(path) - 1:
                    at.clear()
        return root


class Says(Protocol):
    """Asks Rego."""

    @property
    def revision(self) -> str:
        """The policies that answer."""
        ...

    async def paths(self, shapes: Sequence[Shape]) -> Sequence[Sequence[Path]]:
        """Return the paths to take out of each; raises `NoDecisionError`."""
        ...


@dataclass(slots=True)
class Mask:
    """What to take out of an object, asked of Rego once a shape."""

    says: Says
    _known: dict[Shape, Cuts] = field(default_factory=dict)
    _revision: str = ""

    async def cuts(self, shapes: Sequence[Shape]) -> Sequence[Cuts | None]:
        """Return what to take out of each, None where Rego does not say; one question for all that are new."""
        if self._revision != self.says.revision:
            self._known, self._revision = {}, self.says.revision
        fresh = [shape for shape in dict.fromkeys(shapes) if shape not in self._known]
        found = await self._asked(fresh) if fresh else {}
        return [self._known.get(shape) if shape in self._known else found.get(shape) for shape in shapes]

    async def _asked(self, shapes: Sequence[Shape]) -> Mapping[Shape, Cuts]:
        try:
            answer = await self.says.paths(shapes)
        except NoDecisionError:
            return {}
        found = dict(zip(shapes, map(Cuts.of, answer), strict=True))
        if len(self._known) + len(found) > REMEMBERED:
            self._known.clear()
        small = {shape: each for shape, each in found.items() if len(shape.annotations) <= MOST_KEYS}
        self._known.update(list(small.items())[:REMEMBERED])
        return found


def without(thing: Mapping[str, Any], cuts: Cuts) -> dict[str, Any]:
    """Return a state of an object without what is cut: it can be applied."""
    kept: dict[str, Any] = _without(thing, cuts)
    return kept


def _without(value: Any, cuts: Cuts) -> Any:
    match value:
        case Mapping():
            kept = dict(value)
            for name, below in cuts.items():
                for key in list(kept) if name == "*" else [name] if name in kept else []:
                    if below:
                        kept[key] = _without(kept[key], below)
                    else:
                        del kept[key]
            return kept
        case list() if every := cuts.get("*"):
            return [_without(each, every) for each in value]
        case list() if "*" in cuts:
            return []
        case _:
            return value


def document_of(document: Any, cuts: Cuts) -> bytes:
    """
    Return a decision's document as JSON, without `request.time` and with what is cut hidden.

    What is hidden is still there and says whether it is the same in the old and the new object: a rule that compares
    them decides as it did. Raises `TypeError` for what is no JSON (too deep, say).
    """
    new, old = _hidden(document.object, document.old_object, cuts)
    whole = {each.name: getattr(document, each.name) for each in fields(document)}
    request = {each.name: getattr(document.request, each.name) for each in fields(document.request)}
    del request["time"]
    return orjson.dumps(whole | {"request": request, "object": new, "old_object": old})


def _hidden(new: Any, old: Any, cuts: Cuts) -> tuple[Any, Any]:
    """Return both values with what is cut hidden."""
    if not cuts:
        return new, old
    sides = _copied(new), _copied(old)
    for name, below in cuts.items():
        for key in _places(sides, name):
            new_value, old_value = (_at(side, key) for side in sides)
            hidden = _hidden(new_value, old_value, below) if below else _marks(new_value, old_value)
            for side, value in zip(sides, hidden, strict=True):
                if value is not _ABSENT:
                    side[key] = value
    return sides


def _marks(new: Any, old: Any) -> tuple[Any, Any]:
    same = new is _ABSENT or new == old
    return (
        _ABSENT if new is _ABSENT else HIDDEN,
        _ABSENT if old is _ABSENT else HIDDEN if same else HIDDEN_BEFORE,
    )


def _copied(value: Any) -> Any:
    match value:
        case Mapping():
            return dict(value)
        case list():
            return list(value)
        case _:
            return value


def _places(sides: tuple[Any, Any], name: str) -> list[Any]:
    """Return the keys and indices that a name of a path stands for."""
    found: list[Any] = []
    for side in sides:
        match side:
            case dict():
                found += side if name == "*" else [name] if name in side else []
            case list() if name == "*":
                found += range(len(side))
            case _:
                pass
    return list(dict.fromkeys(found))


def _at(side: Any, key: Any) -> Any:
    match side:
        case dict():
            return side.get(key, _ABSENT)
        case list() if isinstance(key, int) and key < len(side):
            return side[key]
        case _:
            return _ABSENT
