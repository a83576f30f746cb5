"""Replicas that die, are stopped, or lead both at once: what is asked meanwhile is answered by the other, or denied."""

import json

from tests.e2e.reading import LEASE, Reader, until
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
        trial.mends()
        trial.pair.begin(trial.ends)


def test_two_leaders(trial: Trial) -> None:
    """Both bring baselines for a while, and neither undoes what the other does."""
    first = trial.pair.leader()
    second = trial.pair.other(first)
    trial.pair.look()
    with trial.burst(seconds=10):
        with trial.pair.frozen(trial.pair.pid(first)):
            give_away(trial.pair.reader)
            until(lambda: trial.pair.leader() == second, 10)
        trial.strikes()
        hold(DOWN_SECONDS)
    # It had not known, and led on until it looked again.
    assert [line for line in trial.pair.look() if line.get("event") == "no longer leading"]


def give_away(reader: Reader) -> None:
    """Have the lease be nobody's."""
    nobody = {"spec": {"holderIdentity": ""}}
    headers = {"content-type": "application/merge-patch+json"}
    assert reader.client.patch(LEASE, content=json.dumps(nobody), headers=headers).status_code == 200
