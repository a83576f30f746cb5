"""Several processes that answer: none of them by what is past, whatever happens to any of them."""

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cases.reviews import NETPOL, Asked, Caller, policy
from tests.e2e.guarded import FIRST, Guarded, Process
from tests.e2e.reading import until
from tests.workers.crowd import Answer, Crowd, generation_of

Tell = Callable[[str, object], None]
"""Tells of a figure beside the outcome of a test."""

LAGGING = Path(__file__).parents[1] / "workers" / "lagging.py"
WORKERS = 4
SECONDS = 20
MALLORY = Caller("mallory", ("system:authenticated",))
ASKED = Asked(MALLORY, "CREATE", NETPOL, new=policy("crowd")).review()
TREE = """
apiVersion: portcullis.dev/v1alpha1
kind: Workspace
metadata: {name: %s}
spec: {project: payments, roles: [{role: WorkspaceAdmin, subjects: [{kind: User, name: %s}]}]}
"""
NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: crowd, labels: {portcullis.dev/workspace: crowd-hers}}
"""


@pytest.fixture(scope="module")
def quiet(guarded: Guarded) -> Iterator[Guarded]:
    """Nobody writes to the cluster beside the tests: each of their changes is one event. `mallory` owns a namespace."""
    guarded.stop()
    guarded.start(FIRST, "--no-controller")
    guarded.await_gate()
    guarded.kubectl("apply", "--filename=-", user="root", stdin=TREE % ("crowd-hers", "mallory"))
    guarded.kubectl("apply", "--filename=-", user="root", stdin=TREE % ("crowd-other", "nobody"))
    guarded.kubectl("apply", "--filename=-", user="root", stdin=NAMESPACE)
    yield guarded
    guarded.kubectl("delete", "namespace", "crowd", user="root")
    guarded.kubectl("delete", "workspace", "crowd-hers", "crowd-other", user="root")
    guarded.stop()
    guarded.gate()


@pytest.fixture(scope="module")
def workers(quiet: Guarded) -> Iterator[Process]:
    """A process with workers, which nobody calls but the tests."""
    process = quiet.start("workers", f"--workers={WORKERS}", "--no-controller")
    yield process
    quiet.stop("workers")


def take_role(guarded: Guarded) -> None:
    """Have `mallory` be no WorkspaceAdmin any more."""
    guarded.kubectl("apply", "--filename=-", user="root", stdin=TREE % ("crowd-hers", "nobody"))


def give_role(guarded: Guarded) -> None:
    guarded.kubectl("apply", "--filename=-", user="root", stdin=TREE % ("crowd-hers", "mallory"))


def take_namespace(guarded: Guarded) -> None:
    """Have the namespace be another workspace's."""
    guarded.kubectl("label", "--overwrite", "namespace", "crowd", "portcullis.dev/workspace=crowd-other", user="root")


def give_namespace(guarded: Guarded) -> None:
    guarded.kubectl("label", "--overwrite", "namespace", "crowd", "portcullis.dev/workspace=crowd-hers", user="root")


REVOKES = ((take_role, give_role), (take_namespace, give_namespace))


def crowd_of(process: Process) -> Crowd:
    assert process.child.pid
    return Crowd(process.port, ASKED, generation_of(process.child.pid), process.trust())


def revoked(guarded: Guarded, crowd: Crowd, chance: random.Random) -> tuple[list[Answer], float]:
    """Revoke and grant again; return what was allowed of what was sent after, and how long the first refusal took."""
    take, give = chance.choice(REVOKES)
    begin, before = len(crowd.answers), crowd.generation.number
    until(lambda: any(each.allowed for each in crowd.answers[begin:]), SECONDS)
    time.sleep(chance.uniform(0.05, 0.3))
    take(guarded)

    def after(*, allowed: bool) -> list[Answer]:
        return [each for each in crowd.answers[begin:] if each.number > before and each.allowed == allowed]

    refused = until(lambda: after(allowed=False), SECONDS)
    # No other change came, by whose time this one would be taken for an earlier one.
    assert crowd.generation.number == before + 1
    raised = crowd.generation.raised_at
    # Who was asked last has its turn as well.
    time.sleep(0.3)
    found = after(allowed=True)
    give(guarded)
    until(lambda: crowd.generation.number == before + 2, SECONDS)
    return found, (min(each.came for each in refused) - raised) / 1e6


ROUNDS = 6


def storm(guarded: Guarded, process: Process, chance: random.Random) -> tuple[Crowd, list[tuple[list[Answer], float]]]:
    """Revoke and grant again while many ask; return them, and what came of each time."""
    with crowd_of(process) as crowd:
        found = [revoked(guarded, crowd, chance) for _ in range(ROUNDS)]
    return crowd, found


def test_nobody_is_let_in_by_what_was_revoked(quiet: Guarded, workers: Process, record_property: Tell) -> None:
    """From the moment that the watch tells of it no worker allows what is asked, however many ask meanwhile."""
    chance = random.Random(int(os.environ["FAULTS_SEED"]))  # noqa: S311 - no secret
    quiet.look()
    crowd, found = storm(quiet, workers, chance)
    told = Counter(line.get("worker") for line in quiet.look() if line.get("user") == MALLORY.name)
    record_property("asked", len(crowd.answers))
    record_property("first refusal after", f"{max(seconds for _, seconds in found):.1f} ms")
    assert [allowed for allowed, _ in found] == [[]] * ROUNDS
    # All of them were asked, about equally often, and nobody was turned away.
    assert set(told) == set(range(1, WORKERS + 1))
    assert {each.code for each in crowd.answers} == {200, 403}
    assert not crowd.failures


@pytest.fixture
def lagging(quiet: Guarded, request: pytest.FixtureRequest) -> Iterator[Process]:
    """A process whose workers hear of each change late."""
    how = request.param
    flags = (f"--workers={WORKERS}", "--no-controller")
    yield quiet.start(how, *flags, program=f"{sys.executable} {LAGGING} {how}")
    quiet.stop(how)


@pytest.mark.parametrize("lagging", ["late"], indirect=True)
def test_who_hears_of_it_late_waits(quiet: Guarded, lagging: Process) -> None:
    """Nor does one that is told of a change only a while after it came: what is asked meanwhile waits for that."""
    chance = random.Random(int(os.environ["FAULTS_SEED"]))  # noqa: S311 - no secret
    crowd, found = storm(quiet, lagging, chance)
    assert [allowed for allowed, _ in found] == [[]] * ROUNDS
    assert {each.code for each in crowd.answers} == {200, 403}


@pytest.mark.parametrize("lagging", ["careless"], indirect=True)
def test_who_does_not_look_lets_somebody_in(quiet: Guarded, lagging: Process) -> None:
    """Without the look at what was told somebody is let in: what was seen above is owed to it."""
    chance = random.Random(int(os.environ["FAULTS_SEED"]))  # noqa: S311 - no secret
    _, found = storm(quiet, lagging, chance)
    assert any(allowed for allowed, _ in found)
