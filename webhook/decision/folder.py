"""The private folder of an OPA of ours: its socket, its bundle and the configuration that names both."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from webhook.decision.signing import Signed
from webhook.errors import OpaError

SOCKET = "opa.sock"
CONFIGURATION = "opa.json"


@contextmanager
def private_folder() -> Iterator[Path]:
    """
    Make a folder that only our user can enter, and remove it.

    Raises `OpaError` where there is no place for one, or none whose path leaves room for that of a socket.
    """
    try:
        folder = TemporaryDirectory(prefix="portcullis-", ignore_cleanup_errors=True)
    except OSError as error:
        raise OpaError(f"there is no place for OPA's socket: {error}; set TMPDIR to a folder we may write") from error
    with folder as name:
        socket = Path(name, SOCKET)
        if len(os.fsencode(socket)) > 107:  # sun_path, its closing zero left out
            raise OpaError(f"{socket} is too long for a Unix socket; set TMPDIR to a shorter path")
        yield Path(name)


def furnish(folder: Path, bundle: Signed) -> None:
    """Lay `bundle` and the configuration that has it verified into `folder`, as before each start; raises OSError."""
    # Whoever cleans up old temporary files may have taken it, and somebody else may have made one of that name.
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not our own any more")
    file = folder / "bundle.tar.gz"
    file.write_bytes(bundle.content)
    (folder / CONFIGURATION).write_text(json.dumps(bundle.configuration(file.as_uri())))
