"""
The folder in which compiled policies are kept from one start to the next.

A file is named by what it was made of and by its own SHA-256, so a broken one is no harm; one that somebody else
could have written is not read. That nothing can be kept is no error: it only takes longer.
"""

import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

MOST = 16
"""So many files are kept, those that were used last: a fleet has few revisions, a test suite many."""
LARGEST = 64 * 2**20


def cache_folder(environment: Mapping[str, str]) -> Path | None:
    """Return where compiled policies are kept (`$XDG_CACHE_HOME`, else `~/.cache`); None without a home."""
    base = Path(environment.get("XDG_CACHE_HOME", ""))
    # The XDG specification has a relative path ignored.
    if not base.is_absolute():
        home = Path(environment.get("HOME", ""))
        if not home.is_absolute():
            return None
        base = home / ".cache"
    return base / "portcullis" / "wasm"


@dataclass(frozen=True, slots=True)
class Cache:
    """Compiled policies by what they were made of."""

    folder: Path

    def read(self, made_of: str) -> bytes | None:
        """Return what was kept under this digest, None where there is nothing that is whole and our own."""
        with suppress(OSError):
            for path in self.folder.glob(f"{made_of}-*.wasm"):
                content = _own(path)
                if content is not None and path.name == _name(made_of, content):
                    os.utime(path)
                    return content
        return None

    def keep(self, made_of: str, content: bytes) -> None:
        """Keep it in one step, if there is room for it; the files used longest ago go."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with NamedTemporaryFile(dir=self.folder, prefix=".", suffix=".wasm") as file:
                file.write(content)
                file.flush()
                os.link(file.name, linked := self.folder / f"{Path(file.name).name}.new")
            linked.replace(self.folder / _name(made_of, content))
            self._bound()

    def _bound(self) -> None:
        files = [path for path in self.folder.iterdir() if path.suffix in {".wasm", ".new"}]
        for path in sorted(files, key=lambda each: each.stat().st_mtime, reverse=True)[MOST:]:
            path.unlink(missing_ok=True)


def _name(made_of: str, content: bytes) -> str:
    return f"{made_of}-{hashlib.sha256(content).hexdigest()}.wasm"


def _own(path: Path) -> bytes | None:
    """Return what is in a file that nobody but us can have written; raises OSError."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        found = os.fstat(file.fileno())
        ours = found.st_uid == os.geteuid() and not found.st_mode & 0o022
        if not ours or not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
            return None
        return file.read()
