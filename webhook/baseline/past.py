"""
What is remembered of one namespace from one visit to the next: who fights over which policy, and what stood there.

A policy that was put right four times within two minutes and is wrong again is fought over: it is put right ever less
often, minutes apart in the end, until it has been left alone for two minutes. Times are seconds of a clock that only
goes forward.
"""

import random
from dataclasses import dataclass, field

from webhook.baseline.difference import fingerprint
from webhook.baseline.wanted import WantedPolicy

REPAIRS = 4
"""So many repairs of one policy are nobody's fight yet."""
CALM_SECONDS = 120.0
"""Within which they count, and after which, left alone, a fight is over."""
FIRST_REST, LONGEST_REST = 15.0, 300.0
"""Between two repairs of what is fought over, the longest after ever longer ones; a part of it is random."""

SETTLE_SECONDS = 2.0
"""What does not apply any more goes after so long: of two changes to the tree the later one may be told first."""


@dataclass(slots=True)
class _Bout:
    """How it goes with one policy; `due` is 0 as long as it is no fight."""

    content: int
    times: list[float] = field(default_factory=list)
    rests: int = 0
    due: float = 0.0
    who: str = ""
    wrong: bool = False

    def begin_or_go_on(self, now: float) -> None:
        """Let it rest, ever longer."""
        rest = min(FIRST_REST * 2.0 ** min(self.rests, 10), LONGEST_REST)
        self.due = now + rest * random.uniform(0.75, 1)  # noqa: S311 - no secret
        self.rests += 1


@dataclass(slots=True)
class Past:
    """
    What is remembered of a namespace; a new one remembers nothing, and nothing follows from that.

    `stood` is the content of policies that are only reported on, as they were right last; `told` what was
    noted for how it goes on, by reason the names of the policies.
    """

    stood: dict[str, int] = field(default_factory=dict)
    told: dict[str, frozenset[str]] = field(default_factory=dict)
    _bouts: dict[str, _Bout] = field(default_factory=dict)
    _left: dict[str, float] = field(default_factory=dict)
    """Since when policies stand that do not apply any more."""

    def settled(self, names: frozenset[str], now: float) -> frozenset[str]:
        """Take these for the policies that do not apply any more; return those that have not for a while."""
        self._left = {name: self._left.get(name, now) for name in names}
        return frozenset(name for name, since in self._left.items() if now - since >= SETTLE_SECONDS)

    def may_repair(self, wanted: WantedPolicy, who: str, now: float) -> bool:
        """Say whether a policy that `who` made wrong may be put right now."""
        bout = self._bouts.get(wanted.name)
        if bout is None or bout.content != fingerprint(wanted.spec):
            return True
        bout.wrong = True
        if not bout.due:
            bout.times = [each for each in bout.times if now - each < CALM_SECONDS]
            if len(bout.times) < REPAIRS:
                return True
            bout.who = who
            bout.begin_or_go_on(now)
        return bout.due <= now

    def repaired(self, wanted: WantedPolicy, now: float) -> None:
        """Count a repair."""
        content = fingerprint(wanted.spec)
        bout = self._bouts.get(wanted.name)
        if bout is None or bout.content != content:
            bout = self._bouts[wanted.name] = _Bout(content)
        bout.times.append(now)
        bout.wrong = False
        if bout.due:
            bout.begin_or_go_on(now)

    def right(self, wanted: WantedPolicy, now: float) -> None:
        """Hear that a policy is right: left alone for long enough nobody fights over it any more."""
        if not wanted.repairs:
            self.stood[wanted.name] = fingerprint(wanted.spec)
        if bout := self._bouts.get(wanted.name):
            bout.wrong = False
            if now - bout.times[-1] >= CALM_SECONDS:
                del self._bouts[wanted.name]

    def keep(self, names: frozenset[str]) -> None:
        """Forget all policies but these."""
        for known in (self.stood, self._bouts):
            for name in known.keys() - names:
                del known[name]

    def fights(self) -> dict[str, str]:
        """Return what is fought over, and a sentence that says with whom."""
        return {
            name: f"fight detected: {name} is {bout.who} again and again, so it is put back ever less often until"
            " that stops"
            for name, bout in self._bouts.items()
            if bout.due
        }

    @property
    def wrong(self) -> bool:
        """Whether a policy that is fought over is wrong at the moment, and rests."""
        return any(bout.due and bout.wrong for bout in self._bouts.values())

    def again(self, now: float) -> float | None:
        """Return in how many seconds to look again whatever happens meanwhile, None for never."""
        times = [bout.due if bout.wrong else bout.times[-1] + CALM_SECONDS for bout in self._bouts.values() if bout.due]
        # What is settled and stands all the same waits for something else.
        times += [since + SETTLE_SECONDS for since in self._left.values() if now - since < SETTLE_SECONDS]
        return max(min(times) - now, 0.0) if times else None
