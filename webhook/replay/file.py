"""
A file of records: JSON lines as `portcullis history decisions -o json --documents` writes them.

It is read as it is replayed, so memory does not grow with it. Whoever can write to it says what was recorded.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, StrictBool, StrictStr, ValidationError, field_validator

from webhook.errors import HistoryError
from webhook.history.record import Route, Verdict
from webhook.replay.tally import Recorded

SUFFIXES = frozenset({".jsonl", ".ndjson"})
LINES = 256
"""Records that are read at a time."""
BYTES = 1024 * 1024
"""The same by size."""
LONGEST = 64 * 1024 * 1024
"""Bytes of a line: no review is as large."""


class _Line(BaseModel):
    """A record as it stands in a file, see `Recorded`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    decision_id: StrictStr
    time: StrictStr
    user: StrictStr
    operation: StrictStr
    kind: StrictStr
    namespace: StrictStr = ""
    name: StrictStr = ""
    verdict: Verdict
    rules: tuple[StrictStr, ...] = ()
    dry_run: StrictBool = False
    tenants: tuple[StrictStr, ...] = ()
    route: Route = "validate"
    document: bytes = b""

    @field_validator("document", mode="before")
    @classmethod
    def _json(cls, document: Any) -> bytes:
        """Take a document as JSON: what is in it is read once it is decided on."""
        return b"" if document is None else orjson.dumps(document)


class RecordFile:
    """
    The records of a file, oldest first if they stand so; `since` (included) and `until` (not) are aware times.

    `unfinished` says after reading that the last line is not whole: somebody is writing it.
    """

    def __init__(self, path: Path, *, since: datetime | None = None, until: datetime | None = None) -> None:
        self.unfinished = False
        self._path = path
        self._since = since or datetime.min.replace(tzinfo=UTC)
        self._until = until or datetime.max.replace(tzinfo=UTC)

    async def batches(self) -> AsyncIterator[Sequence[Recorded]]:
        """Read the records; raises `HistoryError` with the line of what is none."""
        number = 0
        try:
            with self._path.open("rb") as file:
                while lines := await asyncio.to_thread(_lines, file):
                    yield [each for each in self._records(lines, number) if each]
                    number += len(lines)
        except OSError as error:
            raise HistoryError(f"the records in {self._path} cannot be read: {error.strerror}") from error

    def _records(self, lines: Sequence[bytes], before: int) -> list[_Line | None]:
        return [self._record(line, number) for number, line in enumerate(lines, before + 1)]

    def _record(self, line: bytes, number: int) -> _Line | None:
        """Return the record of a line, None for what is not asked for."""
        if not line.strip():
            return None
        try:
            record = _Line.model_validate(orjson.loads(line))
            time = datetime.fromisoformat(record.time).astimezone(UTC)
        except orjson.JSONDecodeError as error:
            if not line.endswith(b"\n") and len(line) < LONGEST:
                self.unfinished = True
                return None
            raise self._wrong(number, f"no JSON: {error}") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise self._wrong(number, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        except (ValueError, OverflowError) as error:
            raise self._wrong(number, f"time: {error}") from error
        wanted = record.route == "validate" and self._since <= time < self._until
        return record if wanted else None

    def _wrong(self, number: int, what: str) -> HistoryError:
        return HistoryError(
            f"{self._path}:{number}: no record ({what}): write the file by "
            "`portcullis history decisions -o json --documents`"
        )


def _lines(file: BufferedReader) -> list[bytes]:
    """Read some lines, none at the end of the file."""
    lines: list[bytes] = []
    size = 0
    while len(lines) < LINES and size < BYTES and (line := file.readline(LONGEST)):
        lines.append(line)
        size += len(line)
    return lines
