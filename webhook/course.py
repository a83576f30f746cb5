"""How it goes with one namespace: what was seen when it was right, what is awaited, and when it is looked at again."""

import asyncio
import random
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from webhook.baseline.past import Past
from webhook.bring import Brought

Sight = tuple[object, ...]
"""What is looked at, the tree first; where every part is the same object as before, nothing has changed."""

RESYNC_SECONDS = (480, 720)
"""Between these, each namespace is compared anew, whether or not anything seems to have changed."""
PATIENT_ROUNDS = 8
"""So many rounds of writes a namespace gets without a wait; more of them, and somebody writes against us."""
EXPECTED_SECONDS = 10.0
"""In which a watch tells of what we wrote, or of what made our copy old; after that we look again."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
SOON_SECONDS = 10.0
"""The longest wait after a failure where few fail; so what hindered them is over for all soon after it is over."""
TRIES = 50.0
"""So many namespaces that fail are tried in a second, all together."""
CALM_SECONDS = 120.0
"""Right for so long, and a namespace is patiently treated again."""


class Urgency(IntEnum):
    """What goes first."""

    NEW = 0
    """It never had what it has to have."""
    WRONG = 1
    """Something in it has changed."""
    ROUTINE = 2
    """The tree has changed, or it is compared once in a while."""


@dataclass(slots=True)
class Course:
    """How it goes; times are of the loop's clock, 0 for none."""

    fresh: bool
    """Whether it is known to be new."""
    came: float
    past: Past = field(default_factory=Past)
    right: Sight | None = None
    """As it was when nothing had to be done."""
    busy: bool = False
    queued: Urgency | None = None
    timer: float = 0.0
    """When it is looked at, the next time that was asked for."""
    awaited: dict[str, str] = field(default_factory=dict)
    """The resourceVersion of our last write, by kind."""
    again: float = 0.0
    """When it is looked at again whatever the watches have told: they were expected to tell by then."""
    turns: datetime | None = None
    """When another thing is right though nothing was told: an exemption ends."""
    compared: float = 0.0
    """When it is compared anew."""
    visits: int = 0
    rounds: int = 0
    last: float = 0.0
    due: float = 0.0
    failing: bool = False
    _routine: bool = False
    _tree: int = 0
    """Which tree was written by last, by its identity: former trees are not kept."""

    def same(self, seen: Sight) -> bool:
        """Say whether nothing changed since nothing had to be done, but for the time."""
        return self.right is not None and all(mine is theirs for mine, theirs in zip(seen, self.right, strict=True))

    def urgency(self, seen: Sight) -> Urgency:
        """Say how urgent it is that it is visited, which is due."""
        if not self.visits:
            return Urgency.NEW if self.fresh else Urgency.ROUTINE
        if self._routine:
            return Urgency.ROUTINE
        lasting = self.right is not None and all(
            mine is theirs for mine, theirs in zip(seen[1:], self.right[1:], strict=True)
        )
        return Urgency.ROUTINE if lasting and not self.again else Urgency.WRONG

    def age(self, now: float, today: datetime) -> None:
        """Let time go by: what an exemption's end, or a long time, makes worth a look is right no longer."""
        if self.turns and self.turns <= today:
            self.right = self.turns = None
        if self.right and self.compared <= now:
            self.right, self._routine = None, True

    def next(self, now: float, today: datetime, begins: float | None) -> float:
        """Return when to look again at one whose visit `begins` then, None for never by itself."""
        times = [each for each in (begins, self.compared if self.right else None) if each is not None]
        if self.turns:
            times.append(now + (self.turns - today).total_seconds())
        return min(times, default=0.0)

    def begins(self, *, rests: bool) -> float | None:
        """Return when it is to be visited, None for not by itself; `rests` says that nothing is known to be amiss."""
        if rests:
            return self.again or None
        return self.due

    def calm(self, now: float) -> None:
        """Forget former rounds if the last one is long ago."""
        if now - self.last > CALM_SECONDS:
            self.rounds = 0

    def visited(self, seen: Sight, brought: Brought, failing: int) -> None:
        """Keep what came of a visit, with so many namespaces `failing`."""
        self.visits += 1
        self.awaited, self.turns, self.failing = brought.written, brought.turns, brought.failed
        waits = [EXPECTED_SECONDS] if brought.written or brought.stale else []
        if brought.again is not None:
            waits.append(brought.again)
        self.again = _now() + min(waits) if waits else 0.0
        self.right, self._routine = None, False
        if brought.failed:
            self._wait(min(max(SOON_SECONDS, failing / TRIES), LONGEST_WAIT))
        elif brought.written:
            self._wrote(seen, brought)
        else:
            self.right = seen
            self.compared = _now() + random.uniform(*RESYNC_SECONDS)  # noqa: S311 - no secret

    def _wrote(self, seen: Sight, brought: Brought) -> None:
        """Count a round of writes, and wait if there were many; what another tree brings first is nobody's doing."""
        before, self._tree = self._tree, id(seen[0])
        if brought.limited or before != self._tree:
            return
        if self.rounds >= PATIENT_ROUNDS:
            self._wait(LONGEST_WAIT)
            return
        self.last = _now()
        self.rounds += 1

    def _wait(self, longest: float) -> None:
        """Let it rest, ever longer, a part of it random."""
        wait = min(FIRST_WAIT * 2.0 ** min(self.rounds, 10), longest)
        self.last = _now()
        self.due = self.last + wait * random.uniform(0.5, 1)  # noqa: S311 - no secret
        self.rounds += 1


def _now() -> float:
    return asyncio.get_running_loop().time()
