"""How it stands, where people and their tools look: on the baseline, in the namespace, in metrics, on a port."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.guarded import FIRST, Guarded, Process
from tests.e2e.manifests import DEFAULT_DENY, OPEN, documents, namespace, ours
from tests.e2e.reading import steady, until

Json = dict[str, Any]

TOLD_SECONDS = 20.0
"""A status is written some seconds after the last one."""
BASELINE = "witnessed"
PATH = f"/apis/portcullis.dev/v1alpha1/networkbaselines/{BASELINE}"
TIER = {"tier": "witnessed"}


@pytest.fixture(scope="module")
def controller(guarded: Guarded) -> Iterator[Process]:
    """A controller that runs apart and leads; afterwards the first process does all by itself again."""
    guarded.stop()
    guarded.start(FIRST, "--no-controller")
    guarded.await_gate()
    controller = guarded.start("apart", command="controller")
    until(lambda: controller.health().get("role") == "leader", TOLD_SECONDS)
    yield controller
    guarded.stop("apart")
    guarded.stop()
    guarded.gate()


@pytest.fixture(scope="module")
def witnessed(guarded: Guarded, controller: Process) -> Iterator[Process]:
    """A baseline of its own, so that what other tests leave behind does not count."""
    made = ours(
        "NetworkBaseline",
        BASELINE,
        namespaceSelector={"matchLabels": TIER},
        policies=[{"name": "deny", "spec": DEFAULT_DENY}],
    )
    guarded.kubectl("apply", "--filename=-", user="ivan", stdin=documents(made))
    yield controller
    guarded.kubectl("delete", "networkbaseline", BASELINE, user="ivan")


def counts(guarded: Guarded) -> Json:
    """Return the counts in the status of the baseline that are not nothing."""
    told = guarded.reader.read(PATH).get("status", {}).get("namespaces", {})
    return {key: each for key, each in told.items() if each}


def condition(guarded: Guarded, kind: str = "Ready") -> Json:
    found = guarded.reader.read(PATH).get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == kind), {})


def made(guarded: Guarded, name: str) -> None:
    """Create a namespace that the baseline applies to, and await its state."""
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=documents(namespace(name, **TIER)))
    guarded.await_ready(name)


def wait(guarded: Guarded, *, status: str = "True", baseline: str = BASELINE) -> None:
    """Wait as people do."""
    flags = (f"--for=condition=Ready={status}", f"--timeout={TOLD_SECONDS:g}s")
    guarded.kubectl("wait", *flags, f"networkbaseline/{baseline}", user="ivan")


def figures(process: Process) -> dict[str, float]:
    """Return the metrics of a process by name and labels, as Prometheus reads them."""
    answer = process.ask("/metrics")
    assert answer
    assert answer.status_code == 200
    lines = [line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


@pytest.mark.usefixtures("witnessed")
def test_a_baseline_says_where_it_is_in_place(guarded: Guarded) -> None:
    """Counts, the conditions and the generation that they speak of; `kubectl wait` returns."""
    made(guarded, "seen-one")
    made(guarded, "seen-two")
    until(lambda: counts(guarded) == {"total": 2, "ready": 2}, TOLD_SECONDS)
    wait(guarded)
    stored = guarded.reader.read(PATH)
    assert stored["status"]["observedGeneration"] == stored["metadata"]["generation"]
    ready, accepted = condition(guarded), condition(guarded, "Accepted")
    assert (ready["status"], ready["reason"]) == ("True", "InPlace")
    assert ready["message"] == "in place in 2 namespaces"
    assert ready["observedGeneration"] == stored["metadata"]["generation"]
    assert (accepted["status"], accepted["reason"]) == ("True", "Readable")
    head, row = guarded.kubectl("get", "nb", BASELINE, user="ivan").splitlines()
    assert head.split() == ["NAME", "DRIFT", "READY", "NAMESPACES", "AGE"]
    assert row.split()[:3] == [BASELINE, "True", "2"]


@pytest.mark.usefixtures("witnessed")
def test_a_baseline_that_changes_is_ready_when_it_is_rolled_out(guarded: Guarded) -> None:
    """Whoever waits after an apply is not told of what was before it."""
    made(guarded, "seen-three")
    wait(guarded)
    patch = json.dumps({"spec": {"policies": [{"name": "none", "spec": DEFAULT_DENY}]}})
    guarded.kubectl("patch", "networkbaseline", BASELINE, "--type=merge", "--patch", patch, user="ivan")
    wait(guarded)
    assert f"{BASELINE}.none" in guarded.reader.policies("seen-three")
    assert f"{BASELINE}.deny" not in guarded.reader.policies("seen-three")


@pytest.mark.usefixtures("witnessed")
def test_the_baseline_of_the_tree_is_ready_too(guarded: Guarded) -> None:
    """What `kubectl get nb zero-trust -o yaml` is read for; in namespaces of other tests it may be told of drift."""
    guarded.create("seen-four")

    def settled() -> Json | None:
        status: Json = guarded.reader.read(PATH.replace(BASELINE, "zero-trust"))["status"]
        return status if not status["namespaces"]["pending"] else None

    status = until(settled, TOLD_SECONDS)
    assert status
    told = status["namespaces"]
    (ready,) = [each for each in status["conditions"] if each["type"] == "Ready"]
    assert "seen-four" not in ready["message"]
    assert told["total"] == sum(count for state, count in told.items() if state != "total") >= 1
    assert (ready["status"] == "True") is (told["total"] == told["ready"] + told["exempt"])
    assert set(told) == {"total", "ready", "pending", "drifted", "failed", "exempt"}


@pytest.mark.usefixtures("witnessed")
def test_a_baseline_names_where_it_failed(guarded: Guarded) -> None:
    """A ResourceQuota that forbids its policies: False, which namespace and why; True again once that is gone."""
    patch = json.dumps({"spec": {"policies": [{"name": "deny", "spec": DEFAULT_DENY}]}})
    guarded.kubectl("patch", "networkbaseline", BASELINE, "--type=merge", "--patch", patch, user="ivan")
    name, hard = "seen-failed", {"count/networkpolicies.networking.k8s.io": "0"}
    guarded.kubectl("create", "namespace", name, user="wanda")
    guarded.await_ready(name)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": name}}
    guarded.kubectl("create", "--filename=-", user="root", stdin=documents({**quota, "spec": {"hard": hard}}))
    told = json.dumps({"status": {"hard": hard, "used": hard}})
    target = ("resourcequota", "none", f"--namespace={name}")
    # No controller of quotas runs here; it would write the same.
    guarded.kubectl("patch", *target, "--subresource=status", "--type=merge", "--patch", told, user="root")
    try:
        guarded.kubectl("label", "namespace", name, "tier=witnessed", user="wanda")
        wait(guarded, status="False")
        until(lambda: counts(guarded).get("failed") == 1, TOLD_SECONDS)
        ready = condition(guarded)
        assert ready["reason"] == "NamespacesFailed"
        assert re.match(rf"of \d namespaces, 1 Failed: {name} \({BASELINE}\.deny: .*exceeded quota", ready["message"])
        row = guarded.kubectl("get", "nb", BASELINE, "--no-headers", user="ivan").split()
        assert row[1] == "False"
    finally:
        guarded.kubectl("delete", *target, user="root")
    wait_long = ("wait", "--for=condition=Ready", "--timeout=90s", f"networkbaseline/{BASELINE}")
    guarded.kubectl(*wait_long, user="ivan")
    assert "failed" not in counts(guarded)


def test_a_repair_is_an_event_beside_the_policy(guarded: Guarded, witnessed: Process) -> None:
    """`kubectl get events` in the namespace says what was overwritten, for its owner to read."""
    guarded.create("repaired")
    before = figures(witnessed)
    opening = json.dumps({"spec": OPEN})
    policy = ("networkpolicy", "zero-trust.default-deny", "--namespace=repaired")
    guarded.kubectl("patch", *policy, "--type=merge", "--patch", opening, user="root")

    def events() -> list[str]:
        return [
            line
            for line in guarded.kubectl("get", "events", "--namespace=repaired", user="wanda").splitlines()
            if "BaselineRepaired" in line
        ]

    (line,) = until(events, TOLD_SECONDS)
    assert "networkpolicy/zero-trust.default-deny" in line
    assert "Warning" in line
    after = figures(witnessed)
    key = 'portcullis_occurrences_total{reason="BaselineRepaired"}'
    assert after[key] == before.get(key, 0) + 1
    assert after["portcullis_events_total"] > before["portcullis_events_total"]
    assert after["portcullis_events_dropped_total"] == 0


def test_a_controller_tells_how_it_goes(guarded: Guarded, witnessed: Process) -> None:
    """Time to baseline, the states of namespaces, and that it leads."""
    before = figures(witnessed)
    guarded.create("measured")
    after = figures(witnessed)
    count = "portcullis_time_to_baseline_seconds_count"
    total = "portcullis_time_to_baseline_seconds_sum"
    assert after[count] == before[count] + 1
    assert 0 < after[total] - before[total] < 15
    assert after["portcullis_leader"] == 1
    assert after['portcullis_namespaces{state="Ready"}'] == before['portcullis_namespaces{state="Ready"}'] + 1
    assert after['portcullis_namespaces{state="Failed"}'] == 0
    assert after["portcullis_oldest_pending_seconds"] == 0


def test_readiness_does_not_depend_on_leading(guarded: Guarded, controller: Process) -> None:
    """One that waits for the lease is ready, says so, and counts no namespaces: the sum over all is right."""
    guarded.create("led-by-one")
    for name, command in (("waiting", "controller"), ("answering-too", "serve")):
        other = guarded.start(name, command=command)
        try:
            until(lambda each=other: each.health().get("ready"), TOLD_SECONDS)  # type: ignore[misc]  # bound now
            assert other.health()["status"] == 200
            found = figures(other)
            assert found["portcullis_leader"] == 0
            assert not [key for key in found if key.startswith("portcullis_namespaces")]
            if command == "controller":
                assert other.health()["role"] == "standby"
                answer = other.ask("/healthz")
                assert answer
                assert (answer.status_code, answer.text) == (200, "ok\n")
        finally:
            guarded.stop(name)
    assert controller.health()["role"] == "leader"


def test_the_status_does_not_write_itself(guarded: Guarded, witnessed: Process) -> None:
    """What we write is told to us by our own watch; nothing comes of it, neither a write nor a visit."""
    guarded.create("still")
    wait(guarded)
    time.sleep(8)
    assert steady(lambda: figures(witnessed)["portcullis_status_writes_total"], 8) > 0
