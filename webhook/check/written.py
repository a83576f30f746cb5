"""The objects of manifest files, each in as little room as it takes until it is judged."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

import orjson

from webhook.check.arriving import Arrival, arriving
from webhook.check.finding import Spot, Thing
from webhook.check.kinds import COVERED, KindPage, split_version
from webhook.check.shelf import Held, Shelf
from webhook.check.validation import Problem
from webhook.errors import ManifestError
from webhook.tenancy.manifests import Manifest, Reading, files_of, read_bytes, read_file, read_manifests

DEFAULT_NAMESPACE = "default"
STANDARD_INPUT = Path("<stdin>")
"""What standard input is called."""


@dataclass(frozen=True, slots=True)
class Written:
    """One object: who it is, where it stands, and what it says as JSON, nothing where nobody is asked of it."""

    thing: Thing
    spot: Spot
    shelf: Shelf
    held: Held | None = None
    created: tuple[Held | None, tuple[Problem, ...]] | None = None
    """`Created`, where that is known already."""

    @property
    def covered(self) -> bool:
        """Whether the webhook is asked about such objects."""
        return self.thing.identity[:2] in COVERED

    def read(self) -> dict[str, Any]:
        """Return the object."""
        thing: dict[str, Any] = orjson.loads(self.shelf.content(self.held)) if self.held else {}
        return thing

    def arrival(self) -> Arrival:
        """Return it as it reaches the hook where nothing of its name stands."""
        if self.created is None:
            return arriving(self.read())
        held, problems = self.created
        return Arrival(orjson.loads(self.shelf.content(held)) if held else None, problems)


class Read(NamedTuple):
    """An object as it was read: who it is, where it stands, and what it says as JSON, None where nobody is asked."""

    thing: Thing
    spot: Spot
    content: bytes | None = None
    created: "Created | None" = None


class Created(NamedTuple):
    """What would reach the hook if it were created, as JSON, None where it cannot be decoded, and what is wrong."""

    content: bytes | None
    problems: tuple[Problem, ...]

    @classmethod
    def of(cls, read: bytes) -> "Created":
        """Return that of an object as it was read."""
        thing, problems = arriving(orjson.loads(read))
        return cls(None if thing is None else orjson.dumps(thing), problems)


@dataclass(slots=True)
class Sources:
    """
    Where manifests are read from: files and folders, and the bytes of standard input where `-` is one of them.

    `namespace` is kubectl's own, for what stands in one and does not name it.
    """

    paths: tuple[Path, ...]
    namespace: str = DEFAULT_NAMESPACE
    standard_input: bytes = b""
    shelf: Shelf = field(default_factory=Shelf)

    def files(self) -> Iterator[Path | ManifestError]:
        """Yield each file once, in the order in which kubectl reads them."""
        seen = set[Path]()
        for path in self.paths:
            for file in [STANDARD_INPUT] if path == STANDARD_INPUT else files_of(path):
                if isinstance(file, ManifestError):
                    yield file
                elif file not in seen:
                    seen.add(file)
                    yield file

    def manifests(self, file: Path) -> Reading:
        """Read one of the files."""
        if file == STANDARD_INPUT:
            return read_bytes(file, self.standard_input)
        return read_manifests(file) if file in self.paths else read_file(file)

    def read(self, file: Path) -> Iterator[Read | ManifestError]:
        """Yield the objects of one of the files, and what cannot be read there; nothing of it is kept."""
        reading = self.manifests(file)
        yield from reading.errors
        for index, manifest in enumerate(reading.manifests):
            yield self._read(manifest, index)

    def kept(self, read: Read) -> Written:
        """Return an object once what it says lies on the shelf."""
        thing = read.thing
        # Most of these are the same in thousands of objects.
        own = Thing(intern(thing.namespace), intern(thing.kind), thing.name, intern(thing.api_version))
        held, created = self._held(read.content), read.created
        known = (self._held(created.content), created.problems) if created else None
        return Written(own, read.spot, self.shelf, held, known)

    def _held(self, content: bytes | None) -> Held | None:
        return None if content is None else self.shelf.put(content)

    def written(self, file: Path) -> Iterator[Written | ManifestError]:
        """Yield the objects of one of the files, and what cannot be read there."""
        for each in self.read(file):
            yield each if isinstance(each, ManifestError) else self.kept(each)

    def _read(self, manifest: Manifest, index: int) -> Read | ManifestError:
        data, metadata = manifest.data, manifest.data["metadata"]
        group, _ = split_version(data["apiVersion"])
        page = COVERED.get((group, data["kind"]))
        namespace = self._namespace(manifest, page) if page is None or page.namespaced else ""
        if isinstance(namespace, ManifestError):
            return namespace
        name = metadata.get("name") or f"{metadata['generateName']}*"
        thing = Thing(namespace, data["kind"], name, data["apiVersion"])
        spot = Spot(manifest.file, index, manifest.line, manifest.place[1])
        if page is None:
            return Read(thing, spot)
        # As kubectl and the API server do: they put in what is missing, and take out what has no place there.
        kept = {key: value for key, value in metadata.items() if key != "namespace"}
        whole = {**data, "metadata": {**kept, "namespace": namespace} if namespace else kept}
        try:
            return Read(thing, spot, orjson.dumps(whole))
        except TypeError as error:
            return manifest.error((), f"it cannot be JSON: {error}")

    def _namespace(self, manifest: Manifest, page: KindPage | None) -> str | ManifestError:
        namespace = manifest.data["metadata"].get("namespace")
        if namespace is None or namespace == "":
            # Of another kind nobody here knows whether it stands in one.
            return self.namespace if page else ""
        if not isinstance(namespace, str):
            return manifest.error(("metadata", "namespace"), "metadata.namespace is no string: quote it")
        return namespace


def parted(found: Iterable[Written | ManifestError]) -> tuple[list[Written], list[ManifestError]]:
    """Return what could be read and what could not, each in order."""
    written: list[Written] = []
    errors: list[ManifestError] = []
    for each in found:
        if isinstance(each, Written):
            written.append(each)
        else:
            errors.append(each)
    return written, errors
