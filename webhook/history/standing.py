"""What stood at a time, until when, and who let it in."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Select, Subquery, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from webhook.history.digest import unpacked
from webhook.history.moment import first_id, milliseconds, told
from webhook.history.queries import LATEST, texts
from webhook.history.rows import Admission, Last, StoredRevision
from webhook.history.tables import contents, decisions, revisions, tenant_sets
from webhook.model import Writer

_WRITERS = TypeAdapter(tuple[Writer, ...])
_OBJECT = (revisions.c.namespace, revisions.c.kind, revisions.c.name, revisions.c.api_version)
_ORDER = (revisions.c.seen, revisions.c.gone, revisions.c.id)


async def standing(connection: AsyncConnection, namespace: str | None, at: str | None) -> Sequence[StoredRevision]:
    """Return what stood in a namespace at a time; see `Store.standing`."""
    time = LATEST if at is None else milliseconds(at)
    mine = [] if namespace is None else [revisions.c.namespace == namespace]
    found = (await connection.execute(_query(mine, time))).all()
    return [_read(each._mapping) for each in found]  # noqa: SLF001 - it is public


async def latest(connection: AsyncConnection, api_version: str, kind: str) -> Mapping[str, Last]:
    """Return what is known last of each object of a kind; see `Store.latest`."""
    order = [revisions.c[each].desc() for each in ("seen", "gone", "id")]
    place = func.row_number().over(partition_by=revisions.c.uid, order_by=order).label("place")
    told_of = [revisions.c[each] for each in ("uid", "namespace", "name", "version", "gone")]
    every = select(*told_of, place).where(revisions.c.api_version == api_version, revisions.c.kind == kind).subquery()
    found = await connection.execute(select(every).where(every.c.place == 1))
    return {uid: Last(namespace, name, version, gone=bool(gone)) for uid, namespace, name, version, gone, _ in found}


async def begins(connection: AsyncConnection) -> str | None:
    """Return when the first state of any object was seen, None where there is none."""
    first = (await connection.execute(select(func.min(revisions.c.seen)))).scalar()
    return None if first is None else told(first)


async def knows(connection: AsyncConnection, namespace: str) -> bool:
    """Say whether a state of an object, or a decision on one, is known in a namespace."""
    for table in (revisions, decisions):
        found = await connection.execute(select(table.c.id).where(table.c.namespace == namespace).limit(1))
        if found.first() is not None:
            return True
    return False


def ended(*mine: ColumnElement[bool]) -> Subquery:
    """Return every state of an object (of `mine`) with `until`, when the next was seen; none for the last."""
    until = func.lead(revisions.c.seen).over(partition_by=_OBJECT, order_by=_ORDER).label("until")
    return select(revisions, until).where(*mine).subquery("ended")


def _query(mine: Sequence[ColumnElement[bool]], time: int) -> Select[Any]:
    every = ended(*mine)
    let_in = (
        select(func.max(decisions.c.id))
        .where(
            decisions.c.meaning == every.c.meaning,
            decisions.c.meaning.is_not(None),
            decisions.c.id < (every.c.seen + 1) * first_id(1),
        )
        .correlate(every)
        .scalar_subquery()
    )
    chosen = (
        select(every, contents.c.body, tenant_sets.c.tenants, let_in.label("let_in"))
        .join(tenant_sets, tenant_sets.c.id == every.c.tenant_set)
        .outerjoin(contents, contents.c.digest == every.c.content)
        .where(every.c.seen <= time, or_(every.c.until.is_(None), every.c.until > time), every.c.gone.is_(False))
        .subquery("chosen")
    )
    by, above = ("decision_id", "user", "time", "break_glass"), tenant_sets.alias("above")
    return (
        select(chosen, *(decisions.c[each].label(f"by_{each}") for each in by), above.c.tenants.label("by_tenants"))
        .outerjoin(decisions, decisions.c.id == chosen.c.let_in)
        .outerjoin(above, above.c.id == decisions.c.tenant_set)
        .order_by(chosen.c.kind, chosen.c.namespace, chosen.c.name, chosen.c.api_version)
    )


def _read(found: Any) -> StoredRevision:
    admission = None
    if found["by_decision_id"] is not None:
        admission = Admission(
            found["by_decision_id"],
            found["by_user"],
            told(found["by_time"]),
            break_glass=bool(found["by_break_glass"]),
            tenants=texts(found["by_tenants"]),
        )
    same = ("api_version", "kind", "namespace", "name", "uid", "version")
    return StoredRevision(
        **{each: found[each] for each in same},
        seen=told(found["seen"]),
        until=None if found["until"] is None else told(found["until"]),
        gone=bool(found["gone"]),
        content=None if found["body"] is None else orjson.loads(unpacked(found["body"])),
        writers=_WRITERS.validate_json(found["writers"]),
        tenants=texts(found["tenants"]),
        admission=admission,
    )
