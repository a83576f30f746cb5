"""One fault in the middle of a burst: what was answered meanwhile, how long it took to recover, what is left of it."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

import httpx2

from tests.e2e.manifests import ZERO_TRUST
from tests.e2e.reading import POLICIES, until
from tests.faults.burst import OPENER, OWN_POLICY, Attempt, Burst, outcomes, refusals
from tests.faults.pair import Pair
from tests.faults.rows import LONGEST_SECONDS, Row, Verdict

SIZE = int(os.environ.get("FAULTS_NAMESPACES", "40"))
"""Namespaces of a burst that get a pod; a quarter as many more get none."""
SPREAD_SECONDS = 4.0
BURST_SECONDS = 60.0
LATE_SECONDS = 2.0
"""A namespace that has waited longer for its baseline has felt the fault."""
LOOK_SECONDS = 0.1
NEVER = 999.0


@dataclass(frozen=True, slots=True)
class Counts:
    """The invariants, each of which has to be 0; `objects` is how many were looked at."""

    early: int
    """Pods that were made before a policy of their namespace's baseline."""
    bare: int
    """Namespaces without their baseline."""
    undecided: int
    """Requests that were allowed without a decision, or let in what undoes the default deny."""
    touched: int
    """Policies of the tenant's that were changed or deleted by us."""
    objects: int

    @property
    def kept(self) -> bool:
        """Whether all of them hold."""
        return self.early == self.bare == self.undecided == self.touched == 0


class Coverage:
    """Watches when each namespace of a burst has got its baseline, by what etcd holds; the times are monotonic."""

    def __init__(self, pair: Pair, prefix: str) -> None:
        self.since: dict[str, float] = {}
        self._pair = pair
        self._prefix = prefix
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with suppress(httpx2.HTTPError):
                found: dict[str, set[str]] = {}
                for namespace, name in self._pair.store.revisions("networkpolicies", self._prefix):
                    found.setdefault(namespace, set()).add(name)
                now = time.monotonic()
                for namespace, names in found.items():
                    if names >= ZERO_TRUST.keys():
                        self.since.setdefault(namespace, now)


@dataclass
class Trial:
    """A row on trial; `record` is told what was seen."""

    pair: Pair
    row: Row
    seed: str
    record: Callable[[dict[str, Any]], None]
    struck: float = 0.0
    mended: float = 0.0
    ended: float = 0.0
    seen: dict[str, int] = field(default_factory=dict)
    _running: "Future[None] | None" = None

    def strikes(self) -> None:
        """Say that the fault has begun, unless it begins with its block."""
        self.struck = time.monotonic()

    def mends(self) -> None:
        """Say that somebody begins to mend the fault, unless that is when it ends: its verdict is the one until now."""
        self.mended = time.monotonic()

    def ends(self) -> None:
        """Say that the fault has ended, unless it ends with its block."""
        self.ended = time.monotonic()

    def wait(self) -> None:
        """Return once the burst has ended, however: before its block does."""
        assert self._running
        with suppress(TimeoutError):
            self._running.exception()

    @contextmanager
    def burst(self, seconds: float = SPREAD_SECONDS) -> Iterator[Burst]:
        """
        Run a burst that begins over so many seconds, with the block in the middle of it.

        Then wait for recovery, and fail unless all was as promised. The verdict is that of the requests within the
        fault; where it heals by itself, of those until it had.
        """
        prefix = f"{self.row.name.replace('_', '-')}"
        burst = Burst(self.pair.plane, prefix, SIZE, seconds, f"{self.seed}/{self.row.name}")
        with ThreadPoolExecutor(1) as beside, Coverage(self.pair, f"{prefix}-") as coverage:
            running = self._running = beside.submit(burst.run, BURST_SECONDS)
            try:
                until(lambda: len(burst.standing) >= SIZE // 3, 30)
                self.strikes()
                yield burst
            except BaseException:
                burst.abandoned = True
                raise
            self.ended = self.ended or time.monotonic()
            self._finish(burst, running, coverage)

    def _finish(self, burst: Burst, running: "Future[None]", coverage: Coverage) -> None:
        why = []
        try:
            running.result()
        except TimeoutError:
            last = burst.attempts[-1]
            why.append(f"the burst did not end; the last answer was {last.status}: {last.message}")
        with suppress(AssertionError):
            until(lambda: coverage.since.keys() >= burst.standing.keys(), LONGEST_SECONDS)
        recovered = NEVER if why else self._recovered(burst, coverage)
        end = self._begin + recovered if self.row.verdict == Verdict.HEALS else self.mended or self.ended
        meanwhile = burst.during(self.struck, end)
        self.seen = outcomes(meanwhile)
        counts = self.counts(burst)
        why += self._objections(meanwhile)
        if recovered > self.row.seconds:
            why.append(f"recovery took {recovered:.1f} s")
        if not counts.kept:
            why.append(f"invariants: {counts}")
        self.record(
            {
                "row": self.row.name,
                "seed": self.seed,
                "seen": self.seen,
                "seconds": round(recovered, 1),
                "early": counts.early,
                "bare": counts.bare,
                "undecided": counts.undecided,
                "touched": counts.touched,
                "objects": counts.objects,
            }
        )
        for said, count in refusals(burst.attempts).most_common(12):
            print(f"{count} times: {said}")  # noqa: T201 - shown beside the failure
        assert not why, "; ".join(why)

    def counts(self, burst: Burst) -> Counts:
        """Count the invariants over every object of the burst that etcd holds."""
        begin = f"{burst.prefix}-"
        namespaces = [path[0] for path in self.pair.store.revisions("namespaces", begin)]
        policies = self.pair.store.revisions("networkpolicies", begin)
        pods = self.pair.store.revisions("pods", begin)
        baseline = {
            place: [policies.get((place, name)) for name in ZERO_TRUST]
            for place in {*namespaces, *(p for p, _ in pods)}
        }
        early = sum(
            any(policy is None or policy.created > pod.created for policy in baseline[place])
            for (place, _), pod in pods.items()
        )
        specs = self._specs()
        bare = sum(specs.get(place) != ZERO_TRUST for place in namespaces)
        undecided = self.pair.audit.undecided()
        stored = [("namespaces", "", place) for place in namespaces] + [("pods", *path) for path in pods]
        unknown = [each for each in stored if not self.pair.audit.decided(*each)]
        owned = [policies.get((place, OWN_POLICY)) for place in burst.policies]
        touched = sum(policy is None or policy.writes != 1 for policy in owned)
        opened = [path for path in policies if path[1] == OPENER]
        for each in (*undecided, *unknown, *opened):
            print(f"allowed without a decision: {each}")  # noqa: T201 - shown beside the failure
        return Counts(
            early,
            bare,
            len(undecided) + len(unknown) + len(opened),
            touched,
            len(namespaces) + len(policies) + len(pods),
        )

    def _specs(self) -> dict[str, dict[str, Any]]:
        """Return the specs of the baseline's policies that stand, by namespace and name."""
        found: dict[str, dict[str, Any]] = {}
        for each in self.pair.reader.read(POLICIES)["items"]:
            if each["metadata"]["name"] in ZERO_TRUST:
                found.setdefault(each["metadata"]["namespace"], {})[each["metadata"]["name"]] = each["spec"]
        return found

    def _recovered(self, burst: Burst, coverage: Coverage) -> float:
        """Return the seconds from the end of the fault until nothing was wrong any more."""
        begin = self._begin
        wrong = [each.end for each in burst.attempts if self._wrong(each, burst)]
        covered = {place: coverage.since.get(place, begin + NEVER) for place in burst.standing}
        late = [at for place, at in covered.items() if at - burst.standing[place] > LATE_SECONDS]
        return max([0.0, *(at - begin for at in (*wrong, *late))])

    @property
    def _begin(self) -> float:
        """When recovery began."""
        return self.ended if self.row.mends else self.struck

    def _wrong(self, attempt: Attempt, burst: Burst) -> bool:
        """Say whether an attempt was refused that should have passed; a pod may have to wait for a moment."""
        if attempt.status in {201, 409} or (attempt.what == OPENER and attempt.status == 403):
            return False
        return not _waits(attempt) or attempt.begin - burst.standing.get(attempt.namespace, 0) > LATE_SECONDS

    def _objections(self, meanwhile: list[Attempt]) -> list[str]:
        """Say in what the answers were not as promised."""
        allowed = {what: sum(each.allowed and each.what == what for each in meanwhile) for what in ("namespace", "pod")}
        denied = [each for each in meanwhile if each.status >= 500]
        odd = [
            each for each in meanwhile if each.status in {400, 403, 404, 422} and "admission webhook" in each.message
        ]
        odd = [each for each in odd if each.what != OPENER and not _waits(each)]
        why = [f"{each.what} {each.namespace} got {each.status}: {each.message}" for each in odd[:3]]
        match self.row.verdict:
            case Verdict.ANSWERED | Verdict.ANSWERED_ALL | Verdict.ELSEWHERE:
                lacks = not (allowed["namespace"] and allowed["pod"])
            case Verdict.HELD:
                refused = denied + [each for each in meanwhile if _waits(each)]
                lacks = not (allowed["namespace"] and any(each.what == "pod" for each in refused))
            case Verdict.DENIED:
                lacks = any(each.allowed for each in meanwhile) or not denied
            case Verdict.HEALS:
                lacks = not denied
            case Verdict.AWAY:
                lacks = any(each.allowed for each in meanwhile)
        return [*why, *([f"promised {self.row.verdict}, seen {self.seen}"] if lacks else [])]


def _waits(attempt: Attempt) -> bool:
    """Say whether the pod gate has refused a pod."""
    return attempt.what == "pod" and "[baseline/pod-gate]" in attempt.message


def hold(seconds: float) -> None:
    """Let a fault last."""
    time.sleep(seconds)
