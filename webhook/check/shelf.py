"""Where objects lie until they are judged: a file without a name, so that thousands take no more room than one."""

import os
import weakref
from pathlib import Path
from tempfile import mkstemp
from typing import NamedTuple

from webhook.errors import SettingsError


class Held(NamedTuple):
    """Where something lies: its first byte, and how many there are."""

    at: int
    size: int


class Shelf:
    """Takes bytes and gives them back; what lies there goes with it."""

    def __init__(self) -> None:
        self._file = -1
        self._end = 0

    def put(self, content: bytes) -> Held:
        """Take some bytes; raises `SettingsError` where there is no room for them."""
        try:
            if self._file < 0:
                self._file, name = mkstemp(prefix="portcullis-")
                weakref.finalize(self, os.close, self._file)
                Path(name).unlink()
            written = os.pwrite(self._file, content, self._end)
        except OSError as error:
            raise SettingsError(f"there is no room for manifests: {error}; set TMPDIR to a larger folder") from error
        if written != len(content):
            raise SettingsError("there is no room for the manifests: set TMPDIR to a larger folder")
        held = Held(self._end, written)
        self._end += written
        return held

    def content(self, held: Held) -> bytes:
        """Give back what was put there."""
        return os.pread(self._file, held.size, held.at)
