"""The replay of a review: two revisions of the rules, an OPA for each, and what was recorded."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from webhook.decision.bundle import Bundle, check_policies, read_policies
from webhook.decision.opa import LocalOpa
from webhook.decision.process import Bounds, OpaProcess
from webhook.decision.reads import reads
from webhook.errors import HistoryError, OpaError, PolicyError
from webhook.replay.file import SUFFIXES, RecordFile
from webhook.replay.replay import Side, replayed, whole
from webhook.replay.tally import Flip, Recorded, Replay, Unused
from webhook.settings import bundled_policies

READY_SECONDS = 30.0
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

    `history` is a URL, or the path of a file of records; `base` and `head` are folders that hold `portcullis/`.
    `since` (included) and `until` (not) are aware times.
    """

    history: str
    base: Path
    head: Path
    since: datetime | None = None
    until: datetime | None = None


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

    Raises `HistoryError` where the records cannot be read, `OpaError` where an OPA fails, and `PolicyError` or
    `OpaError` where the rules of the base cannot decide; of a head that cannot it is said why.
    """
    base = read_policies(asked.base)
    async with AsyncExitStack() as stack:
        try:
            head = read_policies(asked.head)
            if head.policies.revision == base.policies.revision:
                return Played(skipped="the rules are the same on both sides, and so is what they decide")
            after = await stack.enter_async_context(_head(opa, head))
        except (PolicyError, OpaError) as error:
            return Played(failed=f"the rules of the change cannot decide: {error}")
        before = await stack.enter_async_context(_side(opa, base, "base"))
        return await _played(asked, before, after, told)


async def _played(asked: Asked, base: Side, head: Side, told: Callable[[int], None]) -> Played:
    async with _records(asked) as (batches, notes):
        replay = await replayed(batches, base, head, told)
    if replay.records and not replay.replayed:
        raise HistoryError(
            f"none of the {replay.records:,} decisions in {asked.history} can be replayed "
            f"({', '.join(_unused(replay))}): record their documents, as `portcullis serve --history` does"
        )
    return Played(replay, notes=(*_remarkable(replay), *notes()))


@asynccontextmanager
async def _head(opa: Path, bundle: Bundle) -> AsyncIterator[Side]:
    """Run an OPA with rules that nobody has looked at yet, once they have passed the checks that `serve` makes."""
    with TemporaryDirectory(prefix="portcullis-", ignore_cleanup_errors=True) as scratch:
        await asyncio.to_thread(check_policies, opa, bundle, Path(scratch))
    async with _side(opa, bundle, "head") as side:
        yield side


@asynccontextmanager
async def _side(opa: Path, bundle: Bundle, name: str) -> AsyncIterator[Side]:
    """
    Run an OPA with a revision; raises `OpaError` or `PolicyError` where it cannot decide.

    The base passed its checks when it came: today's document may have lost a field that it reads.
    """
    reads_time = await asyncio.to_thread(reads, opa, bundle, TIME)
    # Many documents are decided on by the way that is ours, not by one that comes with the change.
    ours = replace(bundle, files={**bundle.files, BATCH: (bundled_policies() / BATCH).read_bytes()})
    complaints: list[str] = []
    async with (
        OpaProcess(opa, ours.signed(), log=complaints.append, bounds=BOUNDS) as process,
        LocalOpa(socket=process.socket) as client,
    ):
        await process.ready(READY_SECONDS)
        side = Side(client, bundle.policies, reads_time)
        await whole(side, name)
        yield side


@asynccontextmanager
async def _records(
    asked: Asked,
) -> AsyncIterator[tuple[AsyncIterator[Sequence[Recorded]], Callable[[], tuple[str, ...]]]]:
    """Open what was recorded; with it comes what is to be said of it once it has been read."""
    path = Path(asked.history)
    if path.suffix in SUFFIXES:
        file = RecordFile(path, since=asked.since, until=asked.until)
        yield file.batches(), partial(_of_file, file, path)
        return
    raise HistoryError("no store yet")


def _of_file(file: RecordFile, path: Path) -> tuple[str, ...]:
    whole = f"{path} is a file: whoever can write to it says what was recorded; a history that `serve` keeps is surer"
    unfinished = f"the last line of {path} is not whole and was left out: it is being written, or was cut off"
    return (whole, unfinished) if file.unfinished else (whole,)


def _remarkable(replay: Replay) -> Iterator[str]:
    """Say what else has to be known of a replay."""
    if not replay.records:
        yield "there is no decision in the history: nothing was decided again, so this says nothing about the change"
        return
    if unused := _unused(replay):
        yield f"not decided again: {', '.join(unused)}"
    if replay.filled:
        yield f"{replay.filled:,} documents are of another version: what they lack counts as not known"
    if replay.otherwise:
        yield (
            f"{replay.otherwise:,} were recorded otherwise than the base decides: by other rules than the base's, or "
            "while there was no decision"
        )
    if replay.undecided:
        yield f"{replay.undecided:,} are undecided under both revisions, as while the tree is not loaded"


def _unused(replay: Replay) -> list[str]:
    return [f"{count:,} {WORDS[why]}" for why, count in sorted(replay.unused.items())]
