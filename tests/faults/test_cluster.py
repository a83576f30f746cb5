"""A cluster that goes away, comes back, forgets, forbids or takes its time: nothing gets in, nothing is lost."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from tests.e2e.manifests import BASE, ZERO_TRUST, documents, policy
from tests.e2e.reading import NAMESPACES, until
from tests.faults.pair import Pair
from tests.faults.rows import LONGEST_SECONDS
from tests.faults.trial import Trial, hold

Json = dict[str, Any]

AWAY_SECONDS = 4.0


def test_api_server_restarted(trial: Trial) -> None:
    """The watches are taken up, the lease is kept or taken again, and nobody starts anything."""
    with trial.burst():
        trial.pair.plane.stop_api_server()
        trial.strikes()
        hold(1)
        trial.ends()
        trial.pair.plane.start_api_server()


def test_etcd_stopped(trial: Trial) -> None:
    """Without its store the API server takes nothing, and we do not give up."""
    with trial.burst():
        trial.pair.plane.stop_etcd()
        trial.strikes()
        hold(10)
        trial.ends()
        trial.pair.plane.start_etcd()


def test_watches_cut(trial: Trial) -> None:
    """They go on where they were."""
    with trial.burst():
        for _ in range(3):
            trial.pair.cut()
            hold(2)


def test_watches_too_old(trial: Trial) -> None:
    """What they had last heard of is forgotten: they begin anew, and find what came and went meanwhile."""
    pair = trial.pair
    before = pair.reader.read(NAMESPACES)["metadata"]["resourceVersion"]
    with trial.burst():
        pair.link.down = True
        pair.cut()
        trial.strikes()
        hold(2)
        until(lambda: int(pair.reader.read(NAMESPACES)["metadata"]["resourceVersion"]) > int(before), 5)
        pair.store.compact()
        pair.plane.restart_api_server()
        assert expired(pair, before)
        trial.ends()
        pair.link.down = False


def expired(pair: Pair, version: str) -> bool:
    """Say whether a watch from `version` on is told that this is too old."""
    query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "2"}
    reply = pair.reader.client.get(NAMESPACES, params=query)
    told: Json = json.loads(reply.text.splitlines()[0])
    return bool(told.get("object", told).get("code") == 410)


def test_rbac_taken_away(trial: Trial) -> None:
    """We may write nothing, not even the lease: no pod starts without its baseline, and what lacks is made up for."""
    with trial.burst(seconds=10), without_rights(trial):
        hold(AWAY_SECONDS)


@contextmanager
def without_rights(trial: Trial) -> Iterator[None]:
    """Take our rights away, and give them back."""
    names = ("clusterrolebinding", "portcullis"), ("rolebinding", "portcullis", "--namespace=portcullis-system")
    for each in names:
        trial.pair.kubectl("delete", *each, user="root")
    trial.strikes()
    try:
        yield
    finally:
        trial.ends()
        trial.pair.kubectl("apply", "--filename", str(BASE / "rbac.yaml"), user="root")


def test_quota_forbids_policies(trial: Trial) -> None:
    """Where none can be made no pod starts; everywhere else nobody notices, and when it is gone they are made."""
    pair = trial.pair
    with trial.burst(seconds=20) as burst:
        until(lambda: len(burst.standing.keys() & set(burst.quiet)) >= 3, 10)
        places = [name for name in burst.quiet if name in burst.standing][:3]
        for place in places:
            until(partial(covered, pair, place), 20)
            forbid(pair, place)
            pair.kubectl("delete", "networkpolicy", *ZERO_TRUST, f"--namespace={place}", user="root")
        trial.strikes()
        hold(2)
        for place in places:
            run = ("run", "early", "--image=example.org/web", f"--namespace={place}")
            said = pair.plane.kubectl(*run, user="wanda", check=False).stderr
            assert "[baseline/pod-gate]" in said, said
        trial.ends()
        for place in places:
            pair.kubectl("delete", "resourcequota", "no-policies", f"--namespace={place}", user="root")
        for place in places:
            until(partial(covered, pair, place), LONGEST_SECONDS)
            pair.kubectl("run", "late", "--image=example.org/web", f"--namespace={place}", user="wanda")


def covered(pair: Pair, place: str) -> bool:
    """Say whether the baseline of a namespace stands."""
    return pair.reader.specs(place) == ZERO_TRUST


def forbid(pair: Pair, place: str) -> None:
    """Let no NetworkPolicy be made in a namespace; return once the API server has heard of it."""
    hard = {"count/networkpolicies.networking.k8s.io": "0"}
    quota: Json = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-policies"}}
    thing = documents(quota | {"spec": {"hard": hard}})
    pair.kubectl("create", "--filename=-", f"--namespace={place}", user="root", stdin=thing)
    # The controller that fills this in is none of those that run here.
    status = json.dumps({"status": {"hard": hard, "used": {"count/networkpolicies.networking.k8s.io": "2"}}})
    at = ("--subresource=status", "--type=merge", "--patch", status, f"--namespace={place}")
    pair.kubectl("patch", "resourcequota", "no-policies", *at, user="root")
    probe = documents(policy(place, "probe"))
    more = ("create", "--filename=-", "--dry-run=server")
    until(lambda: "exceeded quota" in pair.plane.kubectl(*more, user="root", stdin=probe, check=False).stderr, 10)


def test_api_server_slow(trial: Trial) -> None:
    """What would take longer than there is time is refused with the time to try again, and nothing is let through."""
    with trial.burst():
        trial.pair.slow(10)
        trial.strikes()
        hold(12)
        trial.ends()
        trial.pair.slow(0)
    assert time.monotonic() > trial.ended
