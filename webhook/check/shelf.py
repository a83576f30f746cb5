"""Where objects lie until they are judged: a file without a name, so that thousands take no more room than one."""

import os
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import IO, NamedTuple

from webhook.errors import SettingsError


class Held(NamedTuple):
    """Where something lies: its first byte, and how many there are."""

    at: int
    size: int


@dataclass(slots=True)
class Shelf:
    """Takes bytes and gives them back; gone with the process."""

    _file: IO[bytes] | None = None
    _end: int = field(default=0)

    def put(self, content: bytes) -> Held:
        """Take some bytes; raises `SettingsError` where there is no room for them."""
        try:
            if self._file is None:
                # Not closed: it is to be there for as long as this is.
                self._file = TemporaryFile(prefix="portcullis-", buffering=0)  # noqa: SIM115
            at = self._end
            self._end += os.pwrite(self._file.fileno(), content, at)
        except OSError as error:
            raise SettingsError(
                f"there is no room for the manifests: {error}; set TMPDIR to a larger folder"
            ) from error
        if self._end - at != len(content):
            raise SettingsError("there is no room for the manifests: set TMPDIR to a larger folder")
        return Held(at, len(content))

    def content(self, held: Held) -> bytes:
        """Give back what was put there."""
        return os.pread(self._file.fileno(), held.size, held.at) if self._file else b""
