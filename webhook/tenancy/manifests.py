"""
Manifest files as kubectl reads them, and where in them each thing stands.

kubectl cuts a file at its `---` lines (k8s.io/apimachinery's `YAMLOrJSONDecoder`), reads each piece by goyaml.v2 and
turns it into JSON. The same text must give the same object here, or the gate would judge another one than the cluster
stores. What kubectl leaves to chance or drops in silence (a key twice, text after `...`) is refused.
"""

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from webhook.errors import ManifestError
from webhook.tenancy.documents import Steps, read_document
from webhook.tenancy.pieces import BOM, Place, pieces
from webhook.tenancy.scalars import NodeError

MAX_BYTES = 8 * 1024 * 1024
# Of one file; 8 MiB could hold millions of things that are wrong.
MAX_ERRORS = 100
SUFFIXES = frozenset({".yaml", ".yml", ".json"})
# What `kubectl apply -k` reads; it is no object of a cluster.
KUSTOMIZATIONS = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Manifest:
    """
    One object of a file; `data` holds JSON values only.

    `place` is the line and column, both from 1, of its first key, and `positions` has those of the key or list item at
    each path; what an alias or a merge brings stands where it is written, at the anchor.
    """

    file: Path
    place: Place
    data: dict[str, Any]
    positions: Mapping[Steps, Place]

    @property
    def line(self) -> int:
        """The line of its first key."""
        return self.place[0]

    def error(self, path: Steps, what: str) -> ManifestError:
        """Return the error that points at `path`, or at the nearest thing around it that is there."""
        return _error(self.file, self.positions, path, what)


class Value(NamedTuple):
    """The JSON value of one document, the position of its first key, and those of everything in it."""

    data: Any
    place: Place
    positions: Mapping[Steps, Place]


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
    for file in files_of(path):
        if isinstance(file, ManifestError):
            found.append(file)
        else:
            found.extend(_all_read(file, partial(_bytes, file, regular=file != path)))
    return _reading(found)


def _reading(found: Iterable[Manifest | ManifestError]) -> Reading:
    every = tuple(found)
    return Reading(
        tuple(one for one in every if isinstance(one, Manifest)),
        tuple(one for one in every if isinstance(one, ManifestError)),
    )


def files_of(path: Path) -> list[Path | ManifestError]:
    """Return the files that `read_manifests` reads, in its order, and why those cannot be read that are not there."""
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


def read_file(file: Path) -> Reading:
    """Read one file of a folder, which has to be a regular one: opening a pipe waits for ever."""
    return _reading(_all_read(file, partial(_bytes, file, regular=True)))


def read_bytes(file: Path, data: bytes) -> Reading:
    """Read what stands in `data`, as if it were that of `file`: standard input, say, or another revision's."""
    return _reading(_all_read(file, lambda: data))


def read_values(file: Path, data: bytes) -> Iterator[Value | ManifestError]:
    """Yield each document that is not null as JSON, be it an object of Kubernetes or not."""
    for piece in pieces(file, _text(file, data)):
        if isinstance(piece, ManifestError):
            yield piece
            continue
        try:
            value = Value(*read_document(piece))
        except NodeError as error:
            yield ManifestError(file, *piece.position(error.place), error.what)
        else:
            if value.data is not None:
                yield value


def _all_read(file: Path, load: Callable[[], bytes]) -> Iterator[Manifest | ManifestError]:
    wrong = 0
    try:
        for value in read_values(file, load()):
            for one in [value] if isinstance(value, ManifestError) else _objects(file, value):
                wrong += isinstance(one, ManifestError)
                yield one
                if wrong == MAX_ERRORS:
                    what = f"{MAX_ERRORS} things are wrong in this file; the rest of it is not read"
                    raise ManifestError(file, 0, 0, what)  # noqa: TRY301 - the one way out of both loops
    except ManifestError as error:
        yield error


def _bytes(file: Path, *, regular: bool) -> bytes:
    try:
        if regular and not stat.S_ISREG(file.stat().st_mode):
            # Opening a pipe waits for ever.
            raise ManifestError(file, 0, 0, "not a regular file")
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ManifestError(file, 0, 0, f"cannot be read: {error.strerror}") from error


def _text(file: Path, data: bytes) -> str:
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


def _objects(file: Path, value: Value) -> Iterator[Manifest | ManifestError]:
    """Yield an object, or the objects of a list; for kubectl a list is whatever has `items`."""
    data, place, positions = value
    if isinstance(data, dict) and "items" in data and _is_name(data.get("kind")):
        yield from _items(file, data, positions)
    elif isinstance(data, dict):
        wrong = _what_is_wrong(data)
        yield _error(file, positions, *wrong) if wrong else Manifest(file, place, data, positions)
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
        yield from _objects(file, Value({**item, **implied} if bare else item, share[()], share))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _what_is_wrong(data: dict[str, Any]) -> tuple[Steps, str] | None:
    metadata = data.get("metadata")
    found = (
        (("apiVersion",), data.get("apiVersion")),
        (("kind",), data.get("kind")),
        (("metadata", "name"), _name(metadata) if isinstance(metadata, dict) else None),
    )
    for path, value in found:
        if not _is_name(value):
            problem = "is missing" if value is None else "is empty" if value == "" else "is no string"
            return path, f"not a Kubernetes object: {'.'.join(path)} {problem}"
    return None


def _name(metadata: dict[str, Any]) -> Any:
    """Return the name, or the prefix that `kubectl create` has the API server make one of."""
    name = metadata.get("name")
    return metadata.get("generateName", name) if name is None or name == "" else name


def _error(file: Path, positions: Mapping[Steps, Place], path: Steps, what: str) -> ManifestError:
    while path not in positions:
        path = path[:-1]
    return ManifestError(file, *positions[path], what)
