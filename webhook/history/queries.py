"""
The questions that are asked of the history, so that an index answers each.

Ids are found first, within one index, and rows are read for those alone: whatever the filters leave out costs an entry
of an index and no row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Select, Table, select, union_all
from sqlalchemy import Row as Found
from sqlalchemy.ext.asyncio import AsyncConnection

from webhook.errors import HistoryError
from webhook.history.digest import unpacked
from webhook.history.moment import first_id, milliseconds, told
from webhook.history.rows import Recorded, Row, Wanted, seen_of
from webhook.history.tables import decision_rules, decisions, documents, rule_sets, set_tenants, tenant_sets
from webhook.model import Violation

PAGE = 500
"""Decisions of one query: what is read in pages keeps no writer waiting and is in no memory as a whole."""
APART = 64
"""Up to so many sets of tenants are looked through one by one; with more, they are much of the history."""
LATEST = 2**63 - 1
BEGIN = b'{"request":{'
"""How a document begins that was written in the order of its fields."""

_VIOLATIONS = TypeAdapter(tuple[Violation, ...])


@dataclass(frozen=True, slots=True)
class Span:
    """The ids in question, first and last included, and which of them come first."""

    first: int
    last: int
    newest: bool = True


def span_of(wanted: Wanted) -> Span:
    """Return the ids that may be wanted; raises `HistoryError` for a time that is none."""
    first = first_id(_time(wanted.since, "since")) if wanted.since else 0
    last = first_id(_time(wanted.until, "until")) - 1 if wanted.until else LATEST
    if wanted.after is not None:
        return Span(max(first, wanted.after + 1), last, newest=False)
    return Span(first, last)


def _time(time: str, what: str) -> int:
    try:
        return milliseconds(time)
    except ValueError as error:
        raise HistoryError(f"{what} {time!r} is no time: write it like 2026-11-21T15:00:00Z") from error


async def visible_sets(connection: AsyncConnection, wanted: Wanted) -> tuple[int, ...] | None:
    """Return the sets of tenants whose decisions may be seen, None for all of them."""
    if wanted.tenants is None:
        return None
    mine = select(set_tenants.c.tenant_set).where(set_tenants.c.tenant.in_(sorted(wanted.tenants)))
    asked = select(tenant_sets.c.id, tenant_sets.c.tenants).where(tenant_sets.c.id.in_(mine))
    found = [
        number
        for number, named in await connection.execute(asked)
        if seen_of(orjson.loads(named), wanted.tenants, wanted.under)
    ]
    if wanted.others:
        empty = select(tenant_sets.c.id).where(tenant_sets.c.tenants == "[]")
        found += [number for (number,) in await connection.execute(empty)]
    return tuple(sorted(found))


def ids(wanted: Wanted, span: Span, sets: Sequence[int] | None, *, limit: int) -> Select[Any]:
    """Return the query for the ids of one page of decisions, in the order of the span."""
    table = decisions if wanted.rule is None else decision_rules
    if sets is None or len(sets) > APART:
        return _page(_filtered(wanted, table, span, sets), table.c.id, span).limit(limit)
    # One index has each set in order; together they are not, and would be sorted as a whole.
    each = [_page(_filtered(wanted, table, span, (one,)), table.c.id, span).limit(limit).subquery() for one in sets]
    every = union_all(*(select(one.c.id) for one in each)).subquery()
    return _page(select(every.c.id), every.c.id, span).limit(limit)


def _filtered(wanted: Wanted, table: Table, span: Span, sets: Sequence[int] | None) -> Select[Any]:
    asked = {"rule": wanted.rule, "namespace": wanted.namespace, "user": wanted.user, "verdict": wanted.verdict}
    query = select(table.c.id).where(*(table.c[key] == value for key, value in asked.items() if value is not None))
    if span.first:
        query = query.where(table.c.id >= span.first)
    if span.last != LATEST:
        query = query.where(table.c.id <= span.last)
    if sets is None:
        return query
    if len(sets) == 1:
        return query.where(table.c.tenant_set == sets[0])
    # A sum is in no index: they are gone through in the order of another, which ends with the page.
    return query.where((table.c.tenant_set + 0).in_(sets))


def _page(query: Select[Any], column: Any, span: Span) -> Select[Any]:
    return query.order_by(column.desc() if span.newest else column)


def rows(page: Select[Any], span: Span, *, whole: bool) -> Select[Any]:
    """Return the query for the decisions of these ids, with their documents if `whole`."""
    chosen = page.subquery()
    columns: list[ColumnElement[Any]] = [*decisions.c, tenant_sets.c.tenants, rule_sets.c.rules.label("ran_rules")]
    joined = (
        chosen.join(decisions, decisions.c.id == chosen.c.id)
        .join(tenant_sets, tenant_sets.c.id == decisions.c.tenant_set)
        .join(rule_sets, rule_sets.c.id == decisions.c.ran)
    )
    if whole:
        columns.append(documents.c.body)
        joined = joined.outerjoin(documents, documents.c.digest == decisions.c.document)
    return _page(select(*columns).select_from(joined), decisions.c.id, span)


def read_row(found: Found[Any]) -> Row:
    """Return a decision of `rows`."""
    return Row(**_values(found._mapping))  # noqa: SLF001 - it is public


def read_recorded(found: Found[Any]) -> Recorded:
    """Return a decision of `rows` with its document."""
    values = found._mapping  # noqa: SLF001 - it is public
    return Recorded(**_values(values), document=_document(values))


_SAME = (
    *("decision_id", "route", "user", "operation", "group", "kind", "namespace", "name", "uid", "verdict", "revision"),
    *("dry_run", "break_glass", "authenticated", "milliseconds", "reason", "cause"),
)


def _values(found: Mapping[Any, Any]) -> dict[str, Any]:
    return {each: found[each] for each in _SAME} | {
        "cursor": found["id"],
        "time": told(found["time"]),
        "rules": texts(found["rules"]),
        "ran": texts(found["ran_rules"]),
        "violations": () if found["violations"] == "[]" else _VIOLATIONS.validate_json(found["violations"]),
        "tenants": texts(found["tenants"]),
    }


def texts(written: str) -> tuple[str, ...]:
    """Return texts that were written as JSON."""
    return tuple(orjson.loads(written))


def _document(found: Mapping[Any, Any]) -> bytes:
    """Return a document as it was: the time of its request is in its row."""
    if found["body"] is None:
        return b""
    text = unpacked(found["body"])
    if not found["asked"]:
        return text
    # As it was written, without reading it: a replay has many.
    if text.startswith(BEGIN) and not text.startswith(BEGIN + b"}"):
        return b'%b"time":%b,%b' % (BEGIN, orjson.dumps(found["asked"]), text.removeprefix(BEGIN))
    document = orjson.loads(text)
    document["request"] = document.get("request", {}) | {"time": found["asked"]}
    return orjson.dumps(document)
