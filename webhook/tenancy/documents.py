"""The JSON value of one document as sigs.k8s.io/yaml makes it of YAML, and where each thing in it stands."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from webhook.tenancy.pieces import Piece, Place
from webhook.tenancy.plain import UNUSUAL, read_plain
from webhook.tenancy.scalars import DEPTH, Node, NodeError, Scalar, as_json, as_key, compose, resolve

Steps: TypeAlias = tuple[str | int, ...]


def read_document(piece: Piece) -> tuple[Any, Place, Mapping[Steps, Place]]:
    """
    Return the value of a document, the position of its first key, and those of everything in it.

    Raises `NodeError`. What is nothing stands nowhere.
    """
    value, place = read_plain(piece.text)
    if value is None:
        return None, place, {}
    if value is UNUSUAL or (piece.json and piece.json[0] != value):
        value, positions = Document(piece).read()
        return value, positions.get((), place), positions
    return value, piece.position(place), Positions(piece)


class Positions(Mapping[Steps, Place]):
    """The positions in a document, looked for when the first is asked for: most never are, and they take longest."""

    def __init__(self, piece: Piece) -> None:
        self._piece = piece
        self._found: dict[Steps, Place] = {}

    def __getitem__(self, path: Steps) -> Place:
        return self._positions[path]

    def __iter__(self) -> Iterator[Steps]:
        return iter(self._positions)

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def _positions(self) -> dict[Steps, Place]:
        if not self._found:
            _, self._found = Document(self._piece).read()
        return self._found


class _Entry(NamedTuple):
    """What stands at a key or list item; `own` is false where a merge brought it."""

    place: Place
    node: Node
    aliased: bool
    own: bool = True


class Document:
    """The JSON value of one document, and the position of each thing in it."""

    def __init__(self, piece: Piece) -> None:
        self.piece = piece
        self.positions: dict[Steps, Place] = {}
        self.steps = 0
        self.aliased_steps = 0

    def read(self) -> tuple[Any, dict[Steps, Place]]:
        """Return value and positions; raise `NodeError`."""
        root = compose(self.piece.text)
        if root is None:
            return None, {}
        first = root.items[0] if root.kind == "mapping" and root.items else root
        self.positions[()] = self.piece.position(first.place)
        value = self._value(_Entry(root.place, root, aliased=False), ())
        if self.piece.json and self.piece.json[0] != value:
            # A number out of range, or a line separator in a string, which YAML folds.
            raise NodeError(root.place, "not the same when read as JSON, as kubectl does, and as YAML")
        return value, self.positions

    def _value(self, entry: _Entry, path: Steps) -> Any:
        node, aliased = self._target(entry.node, aliased=entry.aliased)
        if node.kind == "scalar":
            return self._scalar(node, key=False)
        if len(path) >= DEPTH:
            raise NodeError(node.place, f"nested deeper than {DEPTH} levels by aliases")
        if node.kind == "sequence":
            return [self._placed(_Entry(at.place, at, aliased), (*path, i)) for i, at in enumerate(node.items)]
        entries = self._entries(node, len(path), aliased=aliased)
        return {name: self._placed(at, (*path, name)) for name, at in entries.items()}

    def _placed(self, entry: _Entry, path: Steps) -> Any:
        self.positions[path] = self.piece.position(entry.place)
        return self._value(entry, path)

    def _entries(self, mapping: Node, depth: int, *, aliased: bool) -> dict[str, _Entry]:
        """Return what stands at each key. As in Go a key after a merge replaces what that brought."""
        entries: dict[str, _Entry] = {}
        merge: Place | None = None
        for key, node in zip(mapping.items[::2], mapping.items[1::2], strict=True):
            if key.is_merge:
                self._refuse_second(key, merge, "<<")
                merge = key.place
                self._merge(entries, node, depth, aliased=aliased)
                continue
            name = self._key(key, aliased=aliased)
            known = entries.get(name)
            self._refuse_second(key, known.place if known and known.own else None, name)
            entries[name] = _Entry(key.place, node, aliased)
        return entries

    def _merge(self, entries: dict[str, _Entry], value: Node, depth: int, *, aliased: bool) -> None:
        """Put what a `<<` brings into `entries`; of several mappings the first wins."""
        if depth >= DEPTH:
            raise NodeError(value.place, f"merges nested deeper than {DEPTH} levels")
        for source in reversed(value.items if value.kind == "sequence" else [value]):
            node, within = self._target(source, aliased=aliased)
            if node.kind != "mapping":
                raise NodeError(source.place, "`<<` takes a mapping or a list of mappings")
            for name, brought in self._entries(node, depth + 1, aliased=within).items():
                known = entries.get(name)
                if known and known.own:
                    what = "this `<<` brings it again, which kubectl takes and other tools do not: put `<<` first"
                    raise NodeError(source.place, f"{self._defined(name, known.place)}; {what}")
                entries[name] = brought._replace(own=False)

    def _refuse_second(self, key: Node, first: Place | None, name: str) -> None:
        if first:
            raise NodeError(key.place, self._defined(name, first))

    def _defined(self, name: str, place: Place) -> str:
        return f"key {json.dumps(name, ensure_ascii=False)} is already defined at line {self.piece.position(place)[0]}"

    def _key(self, key: Node, *, aliased: bool) -> str:
        node, _ = self._target(key, aliased=aliased)
        if node.kind != "scalar":
            raise NodeError(key.place, "a list or a mapping cannot be a key")
        return str(self._scalar(node, key=True))

    def _scalar(self, node: Node, *, key: bool) -> Scalar:
        try:
            value = resolve(node.tag, node.text)
            return as_key(value) if key else as_json(value)
        except ValueError as error:
            raise NodeError(node.place, str(error)) from error

    def _target(self, node: Node, *, aliased: bool) -> tuple[Node, bool]:
        """Follow an alias, and count the steps as goyaml does: a small text must not become a huge object."""
        self.steps += 1
        self.aliased_steps += aliased
        # 99 of 100 steps may come from aliases up to 400,000, then ever fewer, down to 10 at 4,000,000.
        share = 0.99 - 0.89 * min(max((self.steps - 400_000) / 3_600_000, 0), 1)
        if self.aliased_steps > 100 and self.steps > 1000 and self.aliased_steps > share * self.steps:
            raise NodeError(node.place, "too much of this document comes from aliases: kubectl refuses it too")
        return self._target(node.items[0], aliased=True) if node.kind == "alias" else (node, aliased)
