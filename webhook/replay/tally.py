"""What a replay has found, counted by rule and tenant, with a few examples of each."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from webhook.history.record import Verdict
from webhook.replay.outcome import Change, Difference
from webhook.review.answer import one_line

EXAMPLES = 5
"""So many are kept of each group."""
_CHANGES: tuple[Change, ...] = ("opened", "closed", "other", "rules")
_LEVELS = ("Workspace/", "Project/", "Organization/")

Unused = Literal["dry_run", "undocumented", "unreadable"]
"""Why a record is not decided again: nothing was to come of it, it has no document, or none that can be read."""


class Recorded(Protocol):
    """A decision that was made, with the JSON of the document that it was made on; see `history.record.Record`."""

    @property
    def decision_id(self) -> str: ...  # noqa: D102
    @property
    def time(self) -> str: ...  # noqa: D102
    @property
    def user(self) -> str: ...  # noqa: D102
    @property
    def operation(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def namespace(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def verdict(self) -> Verdict: ...  # noqa: D102
    @property
    def rules(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def dry_run(self) -> bool: ...  # noqa: D102
    @property
    def tenants(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def document(self) -> bytes: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Example:
    """A request that is decided otherwise: who would have been met by it, and the words of both revisions."""

    decision_id: str
    time: str
    user: str
    operation: str
    kind: str
    namespace: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Flip:
    """
    Recorded decisions that come out otherwise in the same way.

    `rule` makes the difference, empty where that is none; `tenant` is the key of the tenant nearest to the object,
    empty where it stands under none. Before is under the base, after under the head.
    """

    rule: str
    tenant: str
    before: Verdict
    after: Verdict
    count: int
    examples: tuple[Example, ...]

    @property
    def change(self) -> Change:
        """What it means; `opened` fails every gate."""
        return Difference(self.rule, self.before, self.after).change


@dataclass(frozen=True, slots=True)
class Replay:
    """
    What recorded decisions come to under two revisions.

    Of all `records` those are left out that `unused` counts; the rest was decided again, on `distinct` documents, of
    which `filled` lacked what this version records. `first` and `last` are their times, empty where there is none.
    Of the distinct documents `untouched` are those that no rule that changed looks at, and `screened` those on which
    the ones that did find the same under both: only `sampled` of either were decided as a whole. `otherwise` counts
    those that the base decides in another way than was recorded, `undecided` those on which neither revision decides,
    both among what was decided as a whole. `flips` have another verdict, the `reruled` the same one by other rules.
    """

    base: str
    head: str
    records: int = 0
    unused: dict[Unused, int] = field(default_factory=dict)
    distinct: int = 0
    filled: int = 0
    untouched: int = 0
    screened: int = 0
    sampled: int = 0
    first: str = ""
    last: str = ""
    otherwise: int = 0
    undecided: int = 0
    flips: tuple[Flip, ...] = ()
    reruled: tuple[Flip, ...] = ()

    @property
    def replayed(self) -> int:
        """How many were decided again."""
        return self.records - sum(self.unused.values())


@dataclass(slots=True)
class _Group:
    count: int = 0
    examples: dict[tuple[str, ...], Example] = field(default_factory=dict)


class Tally:
    """Counts; memory grows with the groups that are found, not with the records."""

    def __init__(self) -> None:
        self.records = 0
        self.distinct = 0
        self.filled = 0
        self.untouched = 0
        self.screened = 0
        self.sampled = 0
        self.otherwise = 0
        self.undecided = 0
        self._times = ("", "")
        self._unused: Counter[Unused] = Counter()
        self._groups: defaultdict[tuple[str, Difference], _Group] = defaultdict(_Group)

    def leave(self, why: Unused) -> None:
        """Count a record that is not decided again."""
        self.records += 1
        self._unused[why] += 1

    def keep(self, time: str) -> None:
        """Count a record of that time that is."""
        self.records += 1
        self._times = (min(self._times[0] or time, time), max(self._times[1], time))

    def differs(self, tenant: str, difference: Difference, example: Example | None) -> None:
        """Count a record that comes out otherwise; the same request is no second example."""
        group = self._groups[tenant, difference]
        group.count += 1
        if example and len(group.examples) < EXAMPLES:
            same = (example.user, example.operation, example.kind, example.namespace, example.name)
            group.examples.setdefault(same, example)

    def replay(self, base: str, head: str) -> Replay:
        """Return what was found under two revisions, the most serious first and of those the most frequent."""
        flips = [
            Flip(difference.rule, tenant, difference.before, difference.after, group.count, (*group.examples.values(),))
            for (tenant, difference), group in self._groups.items()
        ]
        flips.sort(key=lambda each: (_CHANGES.index(each.change), -each.count, each.rule, each.tenant, each.after))
        first, last = self._times
        return Replay(
            base=base,
            head=head,
            records=self.records,
            unused=dict(self._unused),
            distinct=self.distinct,
            filled=self.filled,
            untouched=self.untouched,
            screened=self.screened,
            sampled=self.sampled,
            first=first,
            last=last,
            otherwise=self.otherwise,
            undecided=self.undecided,
            flips=tuple(each for each in flips if each.change != "rules"),
            reruled=tuple(each for each in flips if each.change == "rules"),
        )


def tenant_of(tenants: Sequence[str]) -> str:
    """Return the key of the tenant nearest to an object, empty for none."""
    return one_line(min(tenants, key=_level)) if tenants else ""


def example_of(recorded: Recorded, before: str, after: str) -> Example:
    """Return a recorded decision as an example; whoever wrote the record does not forge a line of ours."""
    return Example(
        decision_id=one_line(recorded.decision_id),
        time=one_line(recorded.time),
        user=one_line(recorded.user),
        operation=one_line(recorded.operation),
        kind=one_line(recorded.kind),
        namespace=one_line(recorded.namespace),
        name=one_line(recorded.name),
        before=before,
        after=after,
    )


def _level(key: str) -> int:
    return next((level for level, prefix in enumerate(_LEVELS) if key.startswith(prefix)), len(_LEVELS))
