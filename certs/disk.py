"""Files that are whole or not there, and one writer at a time; every OSError becomes a CertificateError."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

from certs.errors import CertificateError


def read(path: Path) -> bytes | None:
    """Give the content of `path`, or None where nothing is there. Raises CertificateError for any other failure."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CertificateError(
            f"{path} cannot be read ({error.strerror}): make it a file that this process may read"
        ) from error


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """
    Hold `directory` alone, among the threads and processes that ask through here; blocks until it is free.

    The directory is made where missing, 0700. The lock is flock(2)'s, on the file `.lock`, which stays (removing it
    would let two in); the kernel frees the lock when its holder dies. Raises CertificateError.
    """
    with _writing(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with _writing(directory):
            flock(descriptor, LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write(path: Path, content: bytes, *, mode: int) -> None:
    """
    Put `content` at `path`, whole and on the disk, or leave there what was; only under `locked`.

    A file beside it is written, synced and renamed (rename(2) is atomic), then the directory is synced. That file has
    one fixed name, so that a crash leaves no more than one, and the next write takes it away. Raises CertificateError.
    """
    beside = path.with_name(f".{path.name}.new")
    with _writing(path):
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _sync(path.parent)


def remove(path: Path) -> None:
    """Take `path` away, for good, where it is there; only under `locked`. Raises CertificateError."""
    with _writing(path):
        path.unlink(missing_ok=True)
        _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CertificateError(
            f"{path} cannot be written ({error.strerror}): give this process a directory it may write to"
        ) from error
