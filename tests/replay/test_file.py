"""A file of records: what is none is said with its line, and one that is being written ends where it ends."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from webhook.errors import HistoryError
from webhook.replay.file import RecordFile
from webhook.replay.tally import Recorded

Json = dict[str, Any]
RECORD: Json = {
    "decision_id": "d1",
    "time": "2026-11-21T12:00:00.000+00:00",
    "user": "ada",
    "operation": "CREATE",
    "kind": "NetworkPolicy",
    "namespace": "checkout-dev",
    "name": "web",
    "verdict": "deny",
    "rules": ["rbac/namespace-policy"],
    "revision": "r1",
    "dry_run": False,
    "break_glass": False,
    "tenants": ["Workspace/checkout"],
    "document": {"request": {"operation": "CREATE"}},
}


def line(**over: Any) -> bytes:
    return orjson.dumps({**RECORD, **over}) + b"\n"


def read(path: Path, content: bytes, **span: datetime) -> tuple[RecordFile, list[Recorded]]:
    path = path / "records.jsonl"
    path.write_bytes(content)
    file = RecordFile(path, **span)

    async def every() -> Sequence[Recorded]:
        return [each async for batch in file.batches() for each in batch]

    return file, list(asyncio.run(every()))


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """With its document as JSON; what else stands in it is left alone."""
    file, (record,) = read(tmp_path, line())
    assert not file.unfinished
    assert orjson.loads(record.document) == RECORD["document"]
    for each in ("decision_id", "time", "user", "operation", "kind", "namespace", "name", "verdict", "dry_run"):
        assert getattr(record, each) == RECORD[each]
    assert (tuple(record.rules), tuple(record.tenants)) == (("rbac/namespace-policy",), ("Workspace/checkout",))


@pytest.mark.parametrize("document", [{"document": None}, {"document": {}}], ids=["null", "empty"])
def test_a_record_may_have_no_document(document: Json, tmp_path: Path) -> None:
    """It is counted then, elsewhere."""
    _, (record,) = read(tmp_path, line(**document))
    assert record.document in {b"", b"{}"}


def test_mutations_and_empty_lines_are_passed_over(tmp_path: Path) -> None:
    """A mutation says nothing about who may do what."""
    _, records = read(tmp_path, line(route="mutate") + b"\n" + line(decision_id="d2"))
    assert [each.decision_id for each in records] == ["d2"]


def test_a_file_is_read_in_batches(tmp_path: Path) -> None:
    """All of it, in its order."""
    _, records = read(tmp_path, b"".join(line(decision_id=str(number)) for number in range(1000)))
    assert [each.decision_id for each in records] == [str(number) for number in range(1000)]


@pytest.mark.parametrize("cut", [1, 20, 300])
def test_a_last_line_that_is_being_written_is_told(cut: int, tmp_path: Path) -> None:
    """What is whole counts; one that lacks its end of line alone is whole."""
    file, records = read(tmp_path, line() + line()[:-cut])
    assert (file.unfinished, len(records)) == ((True, 1) if cut > 1 else (False, 2))


WRONG: dict[str, tuple[bytes, str]] = {
    "garbage": (b"garbage\n", "no JSON"),
    "no-object": (b"[]\n", "valid dictionary"),
    "no-user": (orjson.dumps({key: value for key, value in RECORD.items() if key != "user"}) + b"\n", "user: Field"),
    "unknown-verdict": (line(verdict="maybe"), "verdict"),
    "no-time": (line(time="yesterday"), "time: "),
    "a-number-for-a-name": (line(name=7), "name: "),
}


@pytest.mark.parametrize(("wrong", "why"), WRONG.values(), ids=WRONG)
def test_what_is_no_record_is_told_with_its_line(wrong: bytes, why: str, tmp_path: Path) -> None:
    """In the middle nothing is being written, so nothing is left out either."""
    with pytest.raises(HistoryError, match=rf"records\.jsonl:3: no record \(.*{why}"):
        read(tmp_path, line() + line() + wrong + line())


def test_a_span_of_time_leaves_out_the_rest(tmp_path: Path) -> None:
    """The first moment is in it, the last is not; a time without a zone is UTC."""
    times = ["2026-11-21T11:59:59Z", "2026-11-21T13:00:00+01:00", "2026-11-21T12:30:00Z", "2026-11-21T13:00:00Z"]
    span = {"since": datetime(2026, 11, 21, 12, tzinfo=UTC), "until": datetime(2026, 11, 21, 13, tzinfo=UTC)}
    _, records = read(tmp_path, b"".join(line(time=each) for each in times), **span)
    assert [each.time for each in records] == times[1:3]


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """It says which, and why."""

    async def every() -> None:
        async for _ in RecordFile(tmp_path / "none.jsonl").batches():
            pass

    with pytest.raises(HistoryError, match=r"none\.jsonl cannot be read: No such file"):
        asyncio.run(every())
