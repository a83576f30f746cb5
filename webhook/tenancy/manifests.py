"""
Manifest files as kubectl reads them, and where in them each thing stands.

kubectl cuts a file at its `---` lines (k8s.io/apimachinery's `YAMLOrJSONDecoder`), reads each piece by goyaml.v2 and
turns it into JSON. The same text must give the same object here, or the gate would judge another one than the cluster
stores. What kubectl leaves to chance or drops in silence (a key twice, text after `...`) is refused.
"""

import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeAlias

from webhook.errors import ManifestError
from webhook.tenancy.scalars import DEPTH, Node, NodeError, Scalar, as_json, as_key, compose, resolve

Place: TypeAlias = tuple[int, int]
Steps: TypeAlias = tuple[str | int, ...]

MAX_BYTES = 8 * 1024 * 1024
# Of one file; 8 MiB could hold millions of things that are wrong.
MAX_ERRORS = 100
SUFFIXES = frozenset({".yaml", ".yml", ".json"})
# What `kubectl apply -k` reads; it is no object of a cluster.
KUSTOMIZATIONS = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
BOM = "\ufeff"
UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
# What JSON writes and YAML does not know: a character beyond 16 bits as a pair, and `\/`; the backslash may be escaped.
JSON_ESCAPE = re.compile(r"\\\\|\\/|\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
JSON_SPACE = re.compile(r"[ \t\n\r]*")
TO_LINE_END = re.compile(r"[^\S\n]*\n?")


@dataclass(frozen=True, slots=True)
class Manifest:
    """
    One object of a file; `data` holds JSON values only.

    `line` is that of its first key. `positions` has the line and column, both from 1, of the key or list item at each
    path; what an alias or a merge brings stands where it is written, at the anchor.
    """

    file: Path
    line: int
    data: dict[str, Any]
    positions: Mapping[Steps, Place]

    def error(self, path: Steps, what: str) -> ManifestError:
        """Return the error that points at `path`, or at the nearest thing around it that is there."""
        return _error(self.file, self.positions, path, what)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read and what could not be; the one never hides the other."""

    manifests: tuple[Manifest, ...]
    errors: tuple[ManifestError, ...]


def read_manifests(path: Path) -> Reading:
    """
    Read a file, or every *.yaml, *.yml and *.json in a folder and the folders in it, in sorted order.

    Hidden files and folders and kustomizations are left out. As with kubectl, links to files are followed, links to
    folders are not.
    """
    found: list[Manifest | ManifestError] = []
    for file in _files(path):
        found.extend([file] if isinstance(file, ManifestError) else _read(file, regular=file != path))
    return Reading(
        tuple(one for one in found if isinstance(one, Manifest)),
        tuple(one for one in found if isinstance(one, ManifestError)),
    )


def _files(path: Path) -> list[Path | ManifestError]:
    if not path.is_dir():
        return [] if path.name in KUSTOMIZATIONS else [path]
    files: list[Path] = []
    failed: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=failed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files.extend(Path(folder, name) for name in names if not name.startswith(".") and name not in KUSTOMIZATIONS)
    errors = [ManifestError(Path(e.filename), 0, 0, f"the folder cannot be read: {e.strerror}") for e in failed]
    files = sorted(file for file in files if file.suffix in SUFFIXES)
    if not files and not errors:
        return [ManifestError(path, 0, 0, "the folder has no manifest in it: no *.yaml, *.yml or *.json")]
    return [*files, *errors]


def _read(file: Path, *, regular: bool) -> Iterator[Manifest | ManifestError]:
    wrong = 0
    try:
        for piece in _pieces(file, _text(file, regular=regular)):
            for one in [piece] if isinstance(piece, ManifestError) else _read_piece(file, piece):
                wrong += isinstance(one, ManifestError)
                yield one
                if wrong == MAX_ERRORS:
                    what = f"{MAX_ERRORS} things are wrong in this file; the rest of it is not read"
                    raise ManifestError(file, 0, 0, what)  # noqa: TRY301 - the one way out of both loops
    except ManifestError as error:
        yield error


def _read_piece(file: Path, piece: "_Piece") -> Iterator[Manifest | ManifestError]:
    try:
        data, positions = _Document(piece).read()
    except NodeError as error:
        yield ManifestError(file, *piece.position(error.place), error.what)
    else:
        if data is not None:
            yield from _objects(file, data, positions)


def _text(file: Path, *, regular: bool) -> str:
    try:
        if regular and not stat.S_ISREG(file.stat().st_mode):
            # Opening a pipe waits for ever.
            raise ManifestError(file, 0, 0, "not a regular file")
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ManifestError(file, 0, 0, f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ManifestError(file, 0, 0, f"larger than {MAX_BYTES // 1024**2} MiB: split it")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        place = _after(data[: error.start].decode())
        raise ManifestError(file, *place, f"not UTF-8: byte 0x{data[error.start]:02x}") from error
    text = text.replace("\r\n", "\n")
    if bad := UNPRINTABLE.search(text, text.startswith(BOM)):
        raise ManifestError(file, *_after(text[: bad.start()]), f"the character U+{ord(bad[0]):04X} is not allowed")
    return text


def _after(text: str) -> Place:
    return text.count("\n") + 1, len(text) - text.rfind("\n")


class _Piece(NamedTuple):
    """The text of a document, the place of its first character (from 0), and its value if kubectl reads it as JSON."""

    text: str
    start: Place
    json: tuple[Any, ...] = ()

    def position(self, place: Place) -> Place:
        line, column = place
        return self.start[0] + line + 1, column + 1 + (0 if line else self.start[1])


def _pieces(file: Path, text: str) -> Iterator[_Piece | ManifestError]:
    """Cut a file as kubectl does: JSON values side by side if it begins with one, and pieces between lines of `---`."""
    at, place = 0, (0, 0)
    if text.startswith(BOM):  # with which kubectl takes nothing for JSON
        yield from _yaml_pieces(file, text[1:], place)
        return
    values = _json_values(text) if text.lstrip().startswith("{") else iter(())
    count = 0
    for count, (start, end, value) in enumerate(values, 1):  # noqa: B007 - counted
        place = _moved(place, text[at:start])
        yield _Piece(JSON_ESCAPE.sub(_character, text[start:end]), place, (value,))
        place, at = _moved(place, text[start:end]), end
    # kubectl goes on in YAML, on the next line if this one is over.
    if count and (skipped := TO_LINE_END.match(text, at)):
        place, at = _moved(place, skipped[0]), skipped.end()
    if count > 1 and text[at:].strip():
        yield ManifestError(file, place[0] + 1, place[1] + 1, "not JSON, as what stands before it is")
    else:
        yield from _yaml_pieces(file, text[at:], place)


def _json_values(text: str) -> Iterator[tuple[int, int, Any]]:
    """Yield start, end and value of the JSON values at the beginning of `text`."""
    decoder, end = json.JSONDecoder(parse_constant=_refuse, parse_float=_float), 0
    while (space := JSON_SPACE.match(text, end)) and space.end() < len(text):
        try:
            value, end = decoder.raw_decode(text, space.end())
        except (ValueError, RecursionError):
            return
        yield space.end(), end, value


def _float(text: str) -> Scalar:
    value = float(text)
    return as_json(value) if math.isfinite(value) else value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _character(escape: re.Match[str]) -> str:
    if not escape[1]:
        return escape[0].replace("\\/", "/")
    return f"\\U{0x10000 + ((int(escape[1], 16) - 0xD800) << 10) + int(escape[2], 16) - 0xDC00:08x}"


def _moved(place: Place, text: str) -> Place:
    lines = text.count("\n")
    return (place[0] + lines, len(text) - text.rfind("\n") - 1) if lines else (place[0], place[1] + len(text))


def _yaml_pieces(file: Path, text: str, start: Place) -> Iterator[_Piece | ManifestError]:
    lines: list[str] = []
    begin = start
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start[0]):
        behind = line[3:].strip() if line.startswith("---") else ""
        if behind and not behind.startswith("#"):
            what = f"not a separator that kubectl takes: only a comment may follow `---`, not {behind[:40]!r}"
            yield ManifestError(file, number + 1, 4, what)
        # The `---` before a first document belongs to it.
        elif not line.startswith("---") or not lines:
            lines.append(f"{line}\n")
            continue
        yield _Piece("".join(lines), begin)
        lines, begin = [], (number + 1, 0)
    yield _Piece("".join(lines), begin)


class _Entry(NamedTuple):
    """What stands at a key or list item; `own` is false where a merge brought it."""

    place: Place
    node: Node
    aliased: bool
    own: bool = True


class _Document:
    """The JSON value of one document, and the position of each thing in it."""

    def __init__(self, piece: _Piece) -> None:
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


def _objects(file: Path, data: Any, positions: Mapping[Steps, Place]) -> Iterator[Manifest | ManifestError]:
    """Yield an object, or the objects of a list; for kubectl a list is whatever has `items`."""
    if isinstance(data, dict) and "items" in data and _is_name(data.get("kind")):
        yield from _items(file, data, positions)
    elif isinstance(data, dict):
        wrong = _what_is_wrong(data)
        yield _error(file, positions, *wrong) if wrong else Manifest(file, positions[()][0], data, positions)
    else:
        kind = "a list" if isinstance(data, list) else "nothing" if data is None else "a single value"
        yield _error(file, positions, (), f"not a Kubernetes object: {kind} stands here")


def _items(file: Path, data: dict[str, Any], positions: Mapping[Steps, Place]) -> Iterator[Manifest | ManifestError]:
    items = data["items"]
    if items is None:
        return
    if not isinstance(items, list):
        yield _error(file, positions, ("items",), "not a Kubernetes list: its items are no list")
        return
    shares: list[dict[Steps, Place]] = [{} for _ in items]
    for path, place in positions.items():
        if path[:1] == ("items",) and len(path) > 1:
            shares[int(path[1])][path[2:]] = place
    # The items of a NetworkPolicyList need not say what they are.
    implied = {"apiVersion": data.get("apiVersion"), "kind": data["kind"].removesuffix("List")}
    for item, share in zip(items, shares, strict=True):
        bare = isinstance(item, dict) and not item.get("apiVersion") and not item.get("kind")
        yield from _objects(file, {**item, **implied} if bare else item, share)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _what_is_wrong(data: dict[str, Any]) -> tuple[Steps, str] | None:
    metadata = data.get("metadata")
    found = (
        (("apiVersion",), data.get("apiVersion")),
        (("kind",), data.get("kind")),
        (("metadata", "name"), metadata.get("name") if isinstance(metadata, dict) else None),
    )
    for path, value in found:
        if not _is_name(value):
            problem = "is missing" if value is None else "is empty" if value == "" else "is no string"
            return path, f"not a Kubernetes object: {'.'.join(path)} {problem}"
    return None


def _error(file: Path, positions: Mapping[Steps, Place], path: Steps, what: str) -> ManifestError:
    while path not in positions:
        path = path[:-1]
    return ManifestError(file, *positions[path], what)
