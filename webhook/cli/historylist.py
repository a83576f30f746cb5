"""Decisions of the history, listed: a line each, for people or as JSON."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from webhook.cli.page import Page
from webhook.cli.reader import Clearance, Reader, tell
from webhook.errors import SettingsError
from webhook.history.moment import BITS
from webhook.history.rows import Recorded, Row, Wanted
from webhook.history.store import Store
from webhook.review.answer import one_line

POLL_SECONDS = 1.0
LATE_MILLISECONDS = 15_000
"""A replica writes in batches, so what is new may have a time before what is there: so far back is looked again."""
LAST = 10
STYLES = {"deny": "red", "error": "bold red", "warn": "yellow", "audit": "cyan"}


@dataclass(frozen=True, slots=True)
class Listing:
    """What is to be listed, and how."""

    wanted: Wanted
    json: bool
    documents: bool
    follow: bool


async def listed(reader: Reader, listing: Listing) -> None:
    """List decisions on standard output; raises `PortcullisError`."""
    async with reader.reading() as (store, clearance):
        if listing.documents and not (clearance.tenants is None or clearance.others):
            raise SettingsError(
                "a document tells of more tenants than its record stands under: --documents is for those who read the "
                "whole organization"
            )
        wanted = clearance.of(listing.wanted)
        each = _follow(store, wanted, listing) if listing.follow else _asked(store, wanted, listing)
        write = _json_line(clearance) if listing.json else _text_line(clearance)
        count = 0
        async for row in each:
            write(row)
            count += 1
    if not count and not listing.json:
        tell(
            "no decision in the history is of this kind"
            + (" and may be seen by that user" if clearance.tenants is not None else "")
        )


def _asked(store: Store, wanted: Wanted, listing: Listing) -> AsyncIterator[Row]:
    return store.documented(wanted) if listing.documents else store.decisions(wanted)


async def _follow(store: Store, wanted: Wanted, listing: Listing) -> AsyncIterator[Row]:
    """Yield the last decisions, oldest first, and then those that come, for ever."""
    last = replace(wanted, limit=LAST if wanted.limit is None else wanted.limit)
    before = [row async for row in _asked(store, last, listing)]
    told: dict[str, int] = {}
    for row in reversed(before):
        told[row.decision_id] = row.cursor
        yield row
    # What was there when we began and was not among the last is not new.
    newest = max(told.values(), default=None)
    begin = newest if newest is not None else await _newest(store, wanted)
    cursor = begin
    while True:
        back = max(begin, cursor - (LATE_MILLISECONDS << BITS))
        async for row in _asked(store, replace(wanted, limit=None, after=back), listing):
            if row.decision_id in told:
                continue
            told[row.decision_id] = row.cursor
            cursor = max(cursor, row.cursor)
            yield row
        told = {key: each for key, each in told.items() if each > cursor - (LATE_MILLISECONDS << BITS)}
        sys.stdout.flush()
        await asyncio.sleep(POLL_SECONDS)


async def _newest(store: Store, wanted: Wanted) -> int:
    rows = [row async for row in store.decisions(replace(wanted, limit=1))]
    return rows[0].cursor if rows else -1


def _json_line(clearance: Clearance) -> Callable[[Row], None]:
    def write(row: Row) -> None:
        sys.stdout.buffer.write(orjson.dumps(as_json(row, clearance)) + b"\n")

    return write


def as_json(row: Row, clearance: Clearance) -> dict[str, Any]:
    """Return a decision as an object; its document is JSON already."""
    same = ("decision_id", "time", "user", "operation", "group", "kind", "namespace", "name", "uid", "verdict", "rules")
    more = ("revision", "dry_run", "break_glass", "authenticated", "milliseconds", "route", "ran")
    whole, mine = clearance.sees_all_of(row.tenants), clearance.mine(row.tenants)
    told = {each: getattr(row, each) for each in (*same, *more)} | {
        "messages": [each.message for each in row.violations] if whole else [],
        "reason": row.reason if whole else "",
        "cause": row.cause,
        "tenants": [each for each in row.tenants if whole or each in mine],
    }
    if isinstance(row, Recorded):
        told["document"] = orjson.Fragment(row.document) if row.document else None
    return told


def _text_line(clearance: Clearance) -> Callable[[Row], None]:
    page = Page()

    def write(row: Row) -> None:
        page.line(_line(row, whole=clearance.sees_all_of(row.tenants)), STYLES.get(row.verdict, ""))

    return write


def _line(row: Row, *, whole: bool) -> str:
    place = f"{row.namespace}/{row.name}" if row.namespace else row.name
    notes = [", ".join(row.rules)]
    notes += [word for word, said in (("dry run", row.dry_run), ("break-glass", row.break_glass)) if said]
    # As in JSON: it may name what only some of its tenants may see.
    notes += [row.reason] if row.reason and whole else []
    said = "; ".join(each for each in notes if each)
    line = f"{row.time[:23]}Z  {row.verdict:5}  {row.user}  {row.operation} {row.kind} {place}"
    return one_line(f"{line}  {said}  {row.decision_id}".replace("    ", "  "))
