"""Replicas that die, are stopped, or lead both at once: what is asked meanwhile is answered by the other, or denied."""

import json

from tests.e2e.reading import LEASE, until
from tests.faults.pair import NAMES
from tests.faults.trial import Trial, hold

DOWN_SECONDS = 4.0


def test_webhook_killed(trial: Trial) -> None:
    """What it was asked at that moment fails; everything after that is answered by the other."""
    victim = trial.pair.other(trial.pair.leader())
    with trial.burst():
        trial.pair.processes[victim].kill()
        trial.strikes()
        hold(DOWN_SECONDS)


def test_leader_killed(trial: Trial) -> None:
    """The other answers at once, and leads within the time that is promised."""
    victim = trial.pair.leader()
    with trial.burst():
        trial.pair.processes[victim].kill()
        trial.strikes()
        hold(DOWN_SECONDS)
    assert trial.pair.leader() == trial.pair.other(victim)


def test_both_down(trial: Trial) -> None:
    """Nothing that is guarded is written until one of them is back."""
    with trial.burst():
        for name in NAMES:
            trial.pair.processes[name].kill()
        trial.strikes()
        hold(DOWN_SECONDS)
        trial.ends()
        for name in NAMES:
            trial.pair.start(name)


def test_two_leaders(trial: Trial) -> None:
    """Both bring baselines for a while, and neither undoes what the other does."""
    first = trial.pair.leader()
    second = trial.pair.other(first)
    trial.pair.look()
    with trial.burst():
        with trial.pair.frozen(trial.pair.pid(first)):
            lease = trial.pair.reader.read(LEASE)
            given = {
                "spec": {"holderIdentity": ""},
                "metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]},
            }
            at = ("--namespace=portcullis-system", "--type=merge", "--patch", json.dumps(given))
            trial.pair.kubectl("patch", "lease", "portcullis-controller", *at, user="root")
            until(lambda: trial.pair.leader() == second, 10)
        trial.strikes()
        hold(DOWN_SECONDS)
    lines = [line for line in trial.pair.look() if line.get("event") == "no longer leading"]
    # It had not known: it led on until it could not renew what was the other's.
    assert lines
