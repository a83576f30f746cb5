"""
Reads all the files of a run, by every core where there are many: that is half of the work of a check.

Files know nothing of each other, so what is read of them is the same in whatever process, and comes in their order.
"""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from webhook.check.written import STANDARD_INPUT, Created, Read, Sources, Written
from webhook.errors import ManifestError, SettingsError

MANY = 100
"""Files from which on other processes read with us: to begin them takes as long as to read a few."""
AT_A_TIME = 8
"""Files that one of them reads in one go."""

Found = Read | ManifestError


def every_written(sources: Sources, *, many: int = MANY) -> Iterator[Written | ManifestError]:
    """
    Yield all objects of all files in their order, and what cannot be read.

    From `many` files on they are read side by side. Raises `SettingsError` where there is no room for them.
    """
    for each in _every(sources, many):
        yield sources.kept(each) if isinstance(each, Read) else each


def _every(sources: Sources, many: int) -> Iterator[Found]:
    files = list(sources.files())
    here = [each for each in files if isinstance(each, Path)]
    cores = os.cpu_count() or 1
    # Forked ones have all that they need at once; where that cannot be had one process reads.
    if (
        cores == 1
        or len(here) < many
        or STANDARD_INPUT in here
        or "fork" not in multiprocessing.get_all_start_methods()
    ):
        read = map(partial(_of, Sources(sources.paths, sources.namespace, sources.standard_input)), here)
        yield from _in_order(files, read)
        return
    with ProcessPoolExecutor(cores, multiprocessing.get_context("fork"), _leave_interrupts) as pool:
        asked = partial(_more_of, Sources(sources.paths, sources.namespace))
        try:
            yield from _in_order(files, pool.map(asked, here, chunksize=AT_A_TIME))
        except BrokenProcessPool as error:
            raise SettingsError("a process that read manifests was ended: is there enough memory?") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(files: Sequence[Path | ManifestError], read: Iterator[Sequence[Found]]) -> Iterator[Found]:
    for file in files:
        if isinstance(file, ManifestError):
            yield file
        else:
            yield from next(read)


def _of(sources: Sources, file: Path) -> Sequence[Found]:
    return list(sources.read(file))


def _more_of(sources: Sources, file: Path) -> Sequence[Found]:
    """Return the same, and what would come of each object: who judges them has enough to do."""
    return [
        each._replace(created=Created.of(each.content)) if isinstance(each, Read) and each.content else each
        for each in sources.read(file)
    ]


def _leave_interrupts() -> None:
    """Leave ^C to the process that asked, which ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
