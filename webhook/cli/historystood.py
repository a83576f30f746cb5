"""What stood in a namespace at a time, and how two times differ."""

import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import orjson

from webhook.cli.manifest import yaml_of
from webhook.cli.page import Page
from webhook.cli.reader import Clearance, Reader, tell
from webhook.errors import HistoryError
from webhook.history.moment import milliseconds
from webhook.history.rows import Admission, StoredRevision
from webhook.history.store import Store
from webhook.review.answer import one_line

# The API server fills these in; a manifest with them is refused, or overwrites nothing.
FILLED_IN = frozenset(
    {
        *("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "selfLink"),
        *("deletionTimestamp", "deletionGracePeriodSeconds"),
    }
)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
STYLES = {"+": "green", "-": "red", "@": "cyan"}

Key = tuple[str, str, str]


async def stood(reader: Reader, namespace: str, at: str | None, *, json: bool) -> None:
    """Write what stood at a time (now without one) to standard output; raises `PortcullisError`."""
    async with reader.reading() as (store, clearance):
        found = await _visible(store, clearance, namespace, at)
        if not found:
            tell(await _why_nothing(store, clearance, namespace, at))
    if json:
        for each in found:
            _write_json(as_json(each))
        return
    sys.stdout.write("".join(_documents(found)))


async def differed(reader: Reader, namespace: str, times: tuple[str, str], *, json: bool) -> None:
    """Write how what stood differs between two times; raises `PortcullisError`."""
    begin, end = times
    if milliseconds(begin) > milliseconds(end):
        raise HistoryError(f"--from {begin} is after --to {end}: give the earlier time first")
    async with reader.reading() as (store, clearance):
        before = await _visible(store, clearance, namespace, begin)
        after = await _visible(store, clearance, namespace, end)
        if not before:
            # All that is there would seem to have been added.
            tell(await _why_nothing(store, clearance, namespace, begin))
    page = Page()
    for old, new in _pairs(before, after):
        lines = _diff(old, new, times)
        if not lines:
            continue
        if json:
            _write_json(_change(old, new, lines))
            continue
        for line in lines:
            page.line(line, "bold" if line.startswith(("---", "+++")) else STYLES.get(line[:1], ""))


async def _visible(store: Store, clearance: Clearance, namespace: str, at: str | None) -> Sequence[StoredRevision]:
    found = [each for each in await store.standing(namespace, at) if clearance.sees(each.tenants)]
    # The same words may have been let in for the namespace's former owner.
    return [
        replace(each, admission=None) if each.admission and not clearance.sees(each.admission.tenants) else each
        for each in found
    ]


async def _why_nothing(store: Store, clearance: Clearance, namespace: str, at: str | None) -> str:
    """Say why nothing stood: none did, or we would not know."""
    begins = await store.begins()
    when = f"at {at}" if at else "now"
    if begins is None:
        return "the history holds no state of any object: is it the one that `portcullis serve --history` writes?"
    if at and milliseconds(at) < milliseconds(begins):
        return f"nothing is known of {when}: the history begins at {begins}"
    if clearance.tenants is not None:
        return f"no policy that this user may see stood in namespace {namespace} {when}"
    if not await store.knows(namespace):
        return f"nothing was ever recorded of namespace {namespace}: see that its name is right"
    return f"no policy stood in namespace {namespace} {when}"


def manifest(each: StoredRevision) -> Mapping[str, Any]:
    """Return a state as a manifest that kubectl takes."""
    content = dict(each.content or {})
    content.pop("status", None)
    metadata = {key: value for key, value in (content.get("metadata") or {}).items() if key not in FILLED_IN}
    annotations = {
        key: value for key, value in (metadata.pop("annotations", None) or {}).items() if key != LAST_APPLIED
    }
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": each.api_version, "kind": each.kind} | content | {"metadata": metadata}


def as_json(each: StoredRevision) -> dict[str, Any]:
    """Return a state as an object of `-o json`."""
    same = ("api_version", "kind", "namespace", "name", "seen", "until")
    return {key: getattr(each, key) for key in same} | {
        "writers": [asdict(one) for one in each.writers],
        "decision": _decision(each.admission) if each.admission else None,
        "object": manifest(each),
    }


def _decision(admission: Admission) -> dict[str, Any]:
    return {key: getattr(admission, key) for key in ("decision_id", "user", "time", "break_glass")}


def _documents(found: Sequence[StoredRevision]) -> Iterator[str]:
    for each in found:
        yield f"---\n# {one_line(_said(each))}\n{yaml_of(manifest(each))}"


def _said(each: StoredRevision) -> str:
    until = f"until {each.until}" if each.until else "and stands"
    if each.admission:
        broken = " by break-glass" if each.admission.break_glass else ""
        who = f"let in for {each.admission.user}{broken} by decision {each.admission.decision_id}"
    else:
        who = "no decision is known that let it in"
    managers = ", ".join(sorted({one.manager for one in each.writers}))
    return f"since {each.seen} {until}; {who}" + (f"; written by {managers}" if managers else "")


def _pairs(
    before: Sequence[StoredRevision], after: Sequence[StoredRevision]
) -> Iterator[tuple[StoredRevision | None, StoredRevision | None]]:
    old, new = ({_key(each): each for each in some} for some in (before, after))
    for key in sorted(old.keys() | new.keys()):
        yield old.get(key), new.get(key)


def _key(each: StoredRevision) -> Key:
    return each.kind, each.name, each.api_version


def _diff(old: StoredRevision | None, new: StoredRevision | None, times: tuple[str, str]) -> list[str]:
    known = old or new
    assert known  # noqa: S101 - one of them stood
    path = f"{known.namespace}/{known.kind}/{known.name}"
    before, after = (yaml_of(manifest(each)).splitlines() if each else [] for each in (old, new))
    left, right = (f"{path}\t{time}" if each else "/dev/null" for each, time in zip((old, new), times, strict=True))
    return list(difflib.unified_diff(before, after, left, right, lineterm=""))


def _change(old: StoredRevision | None, new: StoredRevision | None, lines: Sequence[str]) -> dict[str, Any]:
    known = old or new
    same = ("api_version", "kind", "namespace", "name")
    return {key: getattr(known, key) for key in same} | {
        "change": "changed" if old and new else "added" if new else "removed",
        "before": as_json(old) if old else None,
        "after": as_json(new) if new else None,
        "diff": "\n".join(lines) + "\n",
    }


def _write_json(each: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(each) + b"\n")
