"""The replay of a review: two revisions of the rules, an OPA for each, and what was recorded."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from webhook.cli.child import scratch
from webhook.cli.deciding import unchecked
from webhook.decision.bundle import Bundle, check_policies
from webhook.decision.process import Bounds
from webhook.decision.reads import reads
from webhook.errors import HistoryError, OpaError, PolicyError, SettingsError
from webhook.exemption import read_time
from webhook.history.store import opened
from webhook.replay.deciding import Side, whole
from webhook.replay.file import SUFFIXES, RecordFile
from webhook.replay.replay import MisjudgedError, replayed
from webhook.replay.screen import Screen, screen_of
from webhook.replay.tally import Flip, Recorded, Replay, Unused
from webhook.settings import bundled_policies

MISJUDGED = (
    "a document that the change seemed not to concern is decided otherwise under it, so every one was decided as a "
    "whole: report this, it should not happen"
)
TIME = ("request", "time")
BATCH = "portcullis/batch/batch.rego"
BOUNDS = Bounds(memory=256, silent=30)
"""Batches are larger than a request, and with all cores at work OPA may be slow to say that it is well."""
WORDS: Mapping[Unused, str] = {
    "dry_run": "dry runs",
    "undocumented": "without a document",
    "unreadable": "with a document that cannot be read",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What is to be replayed.

    `history` is a URL, or the path of a file of records. `since` (included) and `until` (not) are RFC 3339, None for
    no bound.
    """

    history: str
    base: Bundle
    head: Bundle
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Played:
    """
    What came of a replay: `replay` where there was one.

    `skipped` says why none was needed, `failed` why there could be none. `notes` are what else has to be known.
    """

    replay: Replay | None = None
    skipped: str = ""
    failed: str = ""
    notes: tuple[str, ...] = ()

    @property
    def opened(self) -> tuple[Flip, ...]:
        """What was refused and passes now: it fails a review, whatever that fails on."""
        return tuple(each for each in self.replay.flips if each.change == "opened") if self.replay else ()

    def as_json(self) -> dict[str, Any]:
        """Return it as `review -o json` has it: `flips` (contract, section 6) and what is told beside them."""
        told: dict[str, Any] = {"skipped": self.skipped, "failed": self.failed, "notes": list(self.notes)}
        if self.replay is None:
            return {**told, "flips": [], "rules_changed": []}
        counts = asdict(self.replay) | {"replayed": self.replay.replayed}
        flips = [_flip(each) for each in self.replay.flips]
        counts.pop("reruled")
        return {**told, **counts, "flips": flips, "rules_changed": [_flip(each) for each in self.replay.reruled]}


def _flip(flip: Flip) -> dict[str, Any]:
    each = asdict(flip)
    return {
        "rule": each["rule"],
        "tenant": each["tenant"],
        "from": each["before"],
        "to": each["after"],
        "change": flip.change,
        "count": each["count"],
        "examples": list(each["examples"]),
    }


async def play(asked: Asked, opa: Path, told: Callable[[int], None]) -> Played:
    """
    Decide what was recorded again, under both revisions; `told` hears how many are done.

    Raises `SettingsError` for a time that is none, `HistoryError` where the records cannot be read, `OpaError` where an
    OPA fails, and either or `PolicyError` where the rules of the base cannot decide; of a head that cannot it is said
    why.
    """
    if asked.head.policies.revision == asked.base.policies.revision:
        return Played(skipped="the rules are the same on both sides, and so is what they decide")
    async with AsyncExitStack() as stack:
        # First, as it is said at once what is wrong with it.
        await stack.enter_async_context(_records(asked))
        before = await stack.enter_async_context(_side(opa, asked.base, "base"))
        try:
            after = await stack.enter_async_context(_head(opa, asked.head))
        except (PolicyError, OpaError) as error:
            return Played(failed=f"the rules of the change cannot decide: {error}")
        screen = await asyncio.to_thread(screen_of, opa, ours(asked.base), ours(asked.head), bundled_policies())
        return await played(asked, Sides(before, after), told, screen=screen)


class Sides(NamedTuple):
    """Both revisions, as they run."""

    base: Side
    head: Side


async def played(asked: Asked, sides: Sides, told: Callable[[int], None], *, screen: Screen | None) -> Played:
    """Replay what is asked for: with a screen, unless that shows to be wrong; raises as `play` does."""
    try:
        return await _played(asked, partial(replayed, base=sides.base, head=sides.head, told=told, screen=screen))
    except MisjudgedError:
        found = await _played(asked, partial(replayed, base=sides.base, head=sides.head, told=told))
        return replace(found, notes=(*found.notes, MISJUDGED))


async def _played(asked: Asked, replay: Callable[[AsyncIterator[Sequence[Recorded]]], Awaitable[Replay]]) -> Played:
    async with _records(asked) as records:
        return _sure(await replay(records.batches), records.notes())


def _sure(replay: Replay, notes: tuple[str, ...]) -> Played:
    meant = replay.records - replay.unused.get("dry_run", 0)
    if meant and not replay.replayed:
        raise HistoryError(
            f"none of the {meant:,} decisions in the history can be made again "
            f"({', '.join(_unused(replay))}): have `portcullis serve --history` record them"
        )
    return Played(replay, notes=(*_remarkable(replay), *notes))


@asynccontextmanager
async def _head(opa: Path, bundle: Bundle) -> AsyncIterator[Side]:
    """Run an OPA with rules that nobody has looked at yet, once they have passed the checks that `serve` makes."""
    with scratch() as folder:
        await asyncio.to_thread(check_policies, opa, bundle, folder)
    async with _side(opa, bundle, "head") as side:
        yield side


@asynccontextmanager
async def _side(opa: Path, bundle: Bundle, name: str) -> AsyncIterator[Side]:
    """
    Run a revision; raises `OpaError` or `PolicyError` where it cannot decide.

    The base passed its checks when it came: today's document may have lost a field that it reads.
    """
    reads_time = await asyncio.to_thread(reads, opa, bundle, TIME)
    async with unchecked(opa, ours(bundle), BOUNDS) as decides:
        side = Side(decides, bundle.policies, reads_time)
        await whole(side, name)
        yield side


def ours(bundle: Bundle) -> Bundle:
    """Return a bundle in which many documents are decided on by the way that is ours, not by one that comes with it."""
    return replace(bundle, files={**bundle.files, BATCH: (bundled_policies() / BATCH).read_bytes()})


@dataclass(frozen=True, slots=True)
class _Records:
    """What was recorded, in batches, and what is to be said of it once it has been read."""

    batches: AsyncIterator[Sequence[Recorded]]
    notes: Callable[[], tuple[str, ...]]


@asynccontextmanager
async def _records(asked: Asked) -> AsyncIterator[_Records]:
    """Open what was recorded."""
    since, until = _time(asked.since, "--since"), _time(asked.until, "--until")
    if "://" in asked.history:
        async with opened(asked.history, migrate=False) as store:
            span = (each.isoformat() if each else None for each in (since, until))
            yield _Records(store.recorded(*span), tuple)
        return
    path = Path(asked.history)
    if path.suffix not in SUFFIXES:
        raise HistoryError(
            f"--history {asked.history!r} is neither a URL (sqlite:///PATH, postgresql://…) nor a file of records, "
            f"whose name ends in {' or '.join(sorted(SUFFIXES))}"
        )
    file = RecordFile(path, since=since, until=until)
    yield _Records(file.batches(), partial(_of_file, file, path))


def _time(text: str | None, flag: str) -> datetime | None:
    if text is None:
        return None
    found = read_time(text)
    if found is None:
        raise SettingsError(f"{flag} {text!r} is no time: give it as 2026-11-21T12:00:00Z")
    return found


def _of_file(file: RecordFile, path: Path) -> tuple[str, ...]:
    whole = f"the records are those of {path}: whoever can write to that file says what was recorded"
    unfinished = f"the last line of {path} is not whole and is left out: it is being written, or was cut off"
    return (whole, unfinished) if file.unfinished else (whole,)


def _remarkable(replay: Replay) -> Iterator[str]:
    """Say what else has to be known of a replay."""
    if not replay.replayed:
        yield "there is no decision in the history: nothing was decided again, and this says nothing of the change"
    if unused := _unused(replay):
        yield f"not decided again: {', '.join(unused)}"
    if replay.filled:
        yield f"{replay.filled:,} documents are of another version: what they lack counts as not known"
    if replay.otherwise:
        among = " of those decided as a whole" if replay.untouched or replay.screened else ""
        yield (
            f"{replay.otherwise:,}{among} were recorded otherwise than the base decides: by other rules than the "
            "base's, or while there was no decision"
        )
    if replay.undecided:
        yield f"{replay.undecided:,} are undecided under both revisions, as while the tree is not loaded"


def _unused(replay: Replay) -> list[str]:
    return [f"{count:,} {WORDS[why]}" for why, count in sorted(replay.unused.items())]
