"""How decisions and states of objects are written: as rows, made beside the event loop, and each thing once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from webhook.history.digest import Thing, let_in, meaning, packed
from webhook.history.engine import LOCK
from webhook.history.moment import grain_after, id_of, milliseconds
from webhook.history.record import Record, Revision
from webhook.history.rows import Entry
from webhook.history.tables import contents, decision_rules, decisions, documents, revisions, set_tenants, volume

Values = dict[str, Any]
ROW_BYTES = 700
"""What a decision takes beside its document, indexes included: 2 million of them by bench/history.py."""
REVISION_BYTES = 700


@dataclass(slots=True)
class Prepared:
    """Entries as rows: what they decided on by digest, and the texts that the sets of names stand for."""

    decisions: list[Values] = field(default_factory=list)
    documents: dict[bytes, Values] = field(default_factory=dict)


def prepared(entries: Iterable[Entry]) -> Prepared:
    """Return entries as rows; what is only mutated is told by the validation that follows."""
    made = Prepared()
    for entry in entries:
        record = entry.record
        if record.route == "mutate" and record.verdict == "allow":
            continue
        time = milliseconds(record.time)
        row = _row(record, time) | {"asked": _asked(entry), "document": None}
        row["meaning"] = entry.let_in or let_in(record)
        if entry.document:
            digest, body = packed(entry.document)
            row["document"] = digest
            last = max(grain_after(time), made.documents.get(digest, {}).get("last", 0))
            made.documents[digest] = {"digest": digest, "body": body, "last": last}
        made.decisions.append(row)
    return made


def _row(record: Record, time: int) -> Values:
    same = ("decision_id", "route", "user", "operation", "group", "kind", "namespace", "name", "uid", "verdict")
    more = ("revision", "dry_run", "break_glass", "authenticated", "milliseconds", "reason", "cause")
    return {each: getattr(record, each) for each in (*same, *more)} | {
        "id": id_of(time, record.decision_id),
        "time": time,
        "rules": _text(record.rules),
        "ran": _text(record.ran),
        "tenant_set": _text(sorted(record.tenants)),
        "violations": _text([asdict(each) for each in record.violations]),
    }


def _asked(entry: Entry) -> str:
    document = entry.record.document
    return entry.asked or (document.request.time if document is not None else "")


def revision_row(revision: Revision) -> tuple[Values, Values | None]:
    """Return a state of an object as a row, and its content as another."""
    group, separator, _ = revision.api_version.rpartition("/")
    thing = Thing(group if separator else "", revision.kind, revision.namespace, revision.name)
    same = ("api_version", "kind", "namespace", "name", "uid", "version", "gone")
    row = {each: getattr(revision, each) for each in same} | {
        "seen": milliseconds(revision.seen),
        "content": None,
        "writers": _text([asdict(each) for each in revision.writers]),
        "tenant_set": _text(sorted(revision.tenants)),
        "meaning": meaning(thing, None if revision.gone else revision.content or {}),
    }
    if revision.content is None or revision.gone:
        return row, None
    digest, body = packed(orjson.dumps(revision.content, option=orjson.OPT_SORT_KEYS))
    return row | {"content": digest}, {"digest": digest, "body": body}


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


async def named(connection: AsyncConnection, table: Table, texts: Iterable[str]) -> Mapping[str, int]:
    """Return the ids of texts, each of which has a row of its own in `table`, from now on if not before."""
    # In one order: two replicas that each wait for a row of the other's would wait for ever.
    wanted = sorted(set(texts))
    column = next(each for each in table.c if each.name != "id")
    found = await _ids(connection, table, wanted)
    missing = [{column.name: each} for each in wanted if each not in found]
    if not missing:
        return found
    await connection.execute(inserting(connection, table).on_conflict_do_nothing(), missing)
    return found | await _ids(connection, table, [each[column.name] for each in missing])


async def _ids(connection: AsyncConnection, table: Table, texts: Sequence[str]) -> dict[str, int]:
    column = next(each for each in table.c if each.name != "id")
    rows = await connection.execute(select(column, table.c.id).where(column.in_(texts)))
    return {key: value for key, value in rows.all()}  # noqa: C416 - a row is no pair to mypy


async def name_tenants(connection: AsyncConnection, ids: Mapping[str, int]) -> None:
    """See that each set of tenants can be found by every tenant in it."""
    rows = [{"tenant": each, "tenant_set": number} for text, number in ids.items() for each in orjson.loads(text)]
    if rows:
        rows.sort(key=lambda each: (each["tenant"], each["tenant_set"]))
        await connection.execute(inserting(connection, set_tenants).on_conflict_do_nothing(), rows)


async def insert_decisions(connection: AsyncConnection, rows: Sequence[Values]) -> int:
    """
    Insert decisions that are not there yet, and return how many were not.

    One whose id is another's already gets the next: a decision that is stored a second time is itself.
    """
    added = 0
    left, waiting = _apart(rows)
    while waiting:
        ids = sorted(waiting)
        before = await _stored(connection, ids)
        fresh = [waiting[each] for each in ids if each not in before]
        if fresh:
            await connection.execute(inserting(connection, decisions).on_conflict_do_nothing(), fresh)
        stored = await _stored(connection, ids)
        kept = [each for each in ids if stored[each] == waiting[each]["decision_id"] and each not in before]
        await _insert_rules(connection, [waiting[each] for each in kept])
        added += len(kept)
        others = [waiting[each] for each in ids if stored[each] != waiting[each]["decision_id"]]
        for row in others:
            row["id"] += 1
        left, waiting = _apart([*others, *left])
    return added


def _apart(rows: Sequence[Values]) -> tuple[list[Values], dict[int, Values]]:
    """Return the rows whose id another of them has, and those that can go together."""
    first: dict[int, Values] = {}
    left = [row for row in rows if first.setdefault(row["id"], row) is not row]
    return left, first


async def _stored(connection: AsyncConnection, ids: Sequence[int]) -> dict[int, str]:
    rows = await connection.execute(select(decisions.c.id, decisions.c.decision_id).where(decisions.c.id.in_(ids)))
    return {key: value for key, value in rows.all()}  # noqa: C416 - a row is no pair to mypy


async def _insert_rules(connection: AsyncConnection, rows: Sequence[Values]) -> None:
    same = ("id", "namespace", "user", "verdict", "tenant_set")
    fired = [{"rule": rule} | {each: row[each] for each in same} for row in rows for rule in orjson.loads(row["rules"])]
    if fired:
        await connection.execute(inserting(connection, decision_rules).on_conflict_do_nothing(), fired)


async def keep_documents(connection: AsyncConnection, rows: Mapping[bytes, Values]) -> int:
    """See that documents are there as long as decisions on them; return the bytes of those that were not."""
    there = select(documents.c.digest).where(documents.c.digest.in_(sorted(rows)))
    before = set((await connection.execute(there)).scalars().all())
    statement = inserting(connection, documents)
    longer = statement.on_conflict_do_update(
        index_elements=["digest"],
        set_={"last": statement.excluded.last},
        where=documents.c.last < statement.excluded.last,
    )
    await connection.execute(longer, [rows[each] for each in sorted(rows)])
    return sum(len(row["body"]) for digest, row in rows.items() if digest not in before)


async def insert_revision(connection: AsyncConnection, row: Values, content: Values | None) -> bool:
    """Insert a state of an object, and say whether it was not there yet."""
    if content:
        await connection.execute(inserting(connection, contents).on_conflict_do_nothing(), [content])
    once = inserting(connection, revisions).on_conflict_do_nothing().returning(revisions.c.id)
    return (await connection.execute(once, row)).first() is not None


async def count(connection: AsyncConnection, more: int) -> None:
    """Note that so many bytes more are kept, less if negative; last in its transaction, for all write this row."""
    await connection.execute(update(volume).values(bytes=volume.c.bytes + more))


def inserting(connection: AsyncConnection, table: Table) -> Any:
    """Return an INSERT that may say what to do about a row that is there already."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def share(connection: Connection) -> None:
    """Keep states of objects from being taken away until the transaction ends: their contents may be another's."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({LOCK})")
