"""The recorded decisions that a command is pointed at: a history, or a file of records."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from webhook.errors import HistoryError, SettingsError
from webhook.exemption import read_time
from webhook.history.store import opened
from webhook.replay.file import SUFFIXES, RecordFile


@asynccontextmanager
async def recorded(place: str, since: str | None, until: str | None) -> AsyncIterator[AsyncIterator[Sequence[Any]]]:
    """
    Open the records of `--history`, of a span of time, for the length of the context: oldest first, in batches.

    Raises `SettingsError` for a time that is none, `HistoryError` for what cannot be read.
    """
    span = (_time(since, "--since"), _time(until, "--until"))
    if "://" not in place:
        if Path(place).suffix not in SUFFIXES:
            raise HistoryError(
                f"--history {place!r} is neither a URL (sqlite:///PATH, postgresql://…) nor a file of records, whose"
                f" name ends in {' or '.join(sorted(SUFFIXES))}"
            )
        yield RecordFile(Path(place), since=span[0], until=span[1]).batches()
        return
    async with opened(place, migrate=False) as store:
        yield store.recorded(*(each.isoformat() if each else None for each in span))


def _time(text: str | None, flag: str) -> datetime | None:
    if text is None:
        return None
    found = read_time(text)
    if found is None:
        raise SettingsError(f"{flag} {text!r} is no time: give it as 2026-11-21T12:00:00Z")
    return found
