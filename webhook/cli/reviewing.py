"""The way of a review: both sides made ready, and the four questions, one after the other."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

from webhook.cli.logs import log_nothing
from webhook.cli.reviewed import Reviewed, Revisions
from webhook.cli.reviewparts import QUESTIONS, Asked
from webhook.cli.reviewsides import POLICIES, Ready, named, ready
from webhook.decision.bundle import read_policies
from webhook.decision.catalogue import RulePage, read_catalogue
from webhook.errors import PortcullisError
from webhook.proposal.part import FailOn, Part, not_done
from webhook.settings import bundled_policies


async def reviewed(asked: Asked, fail_on: FailOn) -> Reviewed:
    """Return what there is to say; raises `PortcullisError` where nothing can be compared."""
    log_nothing()
    folders = named(asked.here, asked.policies, asked.tenancy, asked.manifests)
    with _progress() as tell:
        async with AsyncExitStack() as stack:
            tell("laying both sides out")
            sides = await ready(asked.here, asked.base, folders, stack)
            answering = _Answering(asked, sides, tell)
            parts = [await answering.part(*each) for each in QUESTIONS]
    homes = {
        "rego": folders.policies or POLICIES,
        "replay": folders.policies or POLICIES,
        "tenancy": folders.tenancy,
        "manifests": next(iter(folders.manifests), ""),
    }
    return Reviewed(_revisions(asked.base, sides), tuple(parts), _catalogue(sides), fail_on, homes)


Question = Callable[[Asked, Ready, Callable[[str], None]], Awaitable[Part]]


@dataclass(frozen=True, slots=True)
class _Answering:
    """Asks one question after the other; what keeps one from being answered does not keep the others."""

    asked: Asked
    sides: Ready
    tell: Callable[[str], None]

    async def part(self, name: str, title: str, question: Question) -> Part:
        """Return the answer to one question."""
        try:
            part = await question(self.asked, self.sides, self.tell)
        except PortcullisError as error:
            part = not_done(name, title, str(error).replace(f"{self.sides.compared.head.root}/", ""))
        return part.with_warnings(tuple(self._warnings(name, part)))

    def _warnings(self, name: str, part: Part) -> Iterator[str]:
        """Yield what of the files of a part is not looked at."""
        folders = self.sides.folders
        own = {"rego": (folders.policies,), "tenancy": (folders.tenancy,), "manifests": folders.manifests}.get(name, ())
        compared = self.sides.compared
        told = [(line, side) for side in (compared.base, compared.head) for line in side.warnings]
        # What was left out before is as it was.
        told += [(line, compared.head) for line in sorted(compared.head.elsewhere - compared.base.elsewhere)]
        for line, side in told:
            if any(line.startswith((f"{each}/", f"{each} ", f"'{each}/")) or each == "." for each in own if each):
                yield f"{line} ({side.name})"
        if self.sides.doubt and name in {"tenancy", "manifests"} and part.state != "not applicable":
            yield f"the rules of the base cannot be asked, so those of the working tree stand in: {self.sides.doubt}"


def _revisions(base: str, sides: Ready) -> Revisions:
    before, after = (each.bundle.policies.revision if each else "" for each in (sides.base, sides.head))
    return Revisions(base, sides.compared.commit, before, after)


def _catalogue(sides: Ready) -> tuple[RulePage, ...]:
    return sides.head.catalogue if sides.head else read_catalogue(read_policies(bundled_policies()))


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show what is being done, on a terminal alone; the line is gone afterwards."""
    shown = sys.stderr.isatty()

    def tell(what: str) -> None:
        if shown:
            sys.stderr.write(f"\r\x1b[Kportcullis: {what}")
            sys.stderr.flush()

    try:
        yield tell
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
