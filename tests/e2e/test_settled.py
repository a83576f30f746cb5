"""Many namespaces, two processes, then silence: what is right is not written again, nor by a process that starts."""

import json
from typing import Any

from tests.e2e.guarded import FIRST, Guarded
from tests.e2e.manifests import ZERO_TRUST, documents, namespace
from tests.e2e.reading import MUTATING, NAMESPACES, SECRET, VALIDATING, is_ready, steady, until

Json = dict[str, Any]

MANY = 50
NAMES = [f"many-{number}" for number in range(MANY)]
QUIET_SECONDS = 30
SWEPT_SECONDS = 5


def test_fifty_namespaces_settle_under_two_processes(guarded: Guarded) -> None:
    """Each has its policies; 30 s later no resourceVersion has changed, ours included, and we are their one manager."""
    guarded.start("second")
    try:
        guarded.kubectl("create", "--filename=-", user="wanda", stdin=documents(*map(namespace, NAMES)))
        until(lambda: ready(guarded) >= set(NAMES), 30)
        everything = (MUTATING, VALIDATING, SECRET)
        steady(lambda: guarded.reader.versions(*everything), QUIET_SECONDS)
    finally:
        guarded.stop("second")
    for name in NAMES:
        policies = guarded.reader.policies(name)
        assert {key: each["spec"] for key, each in policies.items()} == ZERO_TRUST
        for each in policies.values():
            assert {entry["manager"] for entry in each["metadata"]["managedFields"]} == {"portcullis"}
        assert owners(guarded.reader.namespace(name) or {}) == {"portcullis"}


def test_a_process_that_starts_on_what_is_right_writes_nothing(guarded: Guarded) -> None:
    """Not one request of the API server's own count; a namespace that comes then takes just the writes it needs."""
    guarded.create("already-right")
    guarded.stop()
    before, versions = guarded.reader.writes(), guarded.reader.versions(MUTATING, VALIDATING, SECRET)
    first = guarded.start()
    until(lambda: any(line.get("event") == "leading" for line in guarded.look()), 20)
    assert steady(guarded.reader.writes, SWEPT_SECONDS) == before
    assert guarded.reader.versions(MUTATING, VALIDATING, SECRET) == versions
    # It is the leader and does its work: it was not for being idle that nothing was written.
    guarded.create("then-new")
    after = guarded.reader.writes()
    new = {key: count - before.get(key, 0) for key, count in after.items() if count != before.get(key, 0)}
    assert new == {"namespaces POST": 1, "networkpolicies APPLY": 2, "namespaces PATCH": 1}
    assert first.health()["missing"] == []


def test_what_is_counted_is_what_was_decided(guarded: Guarded) -> None:
    """The figures of /metrics grow with each decision, by route and verdict."""
    before = counted(guarded)
    guarded.kubectl("create", "namespace", "counted", "--dry-run=server", user="wanda")
    guarded.refused("create", "namespace", "counted", "--dry-run=server", user="stranger")
    until(lambda: counted(guarded) != before, 2)
    after = counted(guarded)
    new = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}
    assert new == {"mutate allow": 2, "validate allow": 1, "validate deny": 1}


def ready(guarded: Guarded) -> set[str]:
    """Return the names of all namespaces whose baseline is in place."""
    return {each["metadata"]["name"] for each in guarded.reader.read(NAMESPACES)["items"] if is_ready(each)}


def counted(guarded: Guarded) -> dict[str, int]:
    """Return the decisions that /metrics of the first process tells of."""
    answer = guarded.processes[FIRST].ask("/metrics")
    assert answer
    found = {}
    for line in answer.text.splitlines():
        if line.startswith("portcullis_decisions_total{"):
            labels, _, count = line.removeprefix("portcullis_decisions_total{").rpartition("} ")
            told = dict(each.split("=", 1) for each in labels.split(","))
            found[json.loads(told["route"]) + " " + json.loads(told["verdict"])] = int(float(count))
    return found


def owners(found: Json) -> set[str]:
    """Return the managers of the annotation with the state."""
    return {
        entry["manager"]
        for entry in found["metadata"]["managedFields"]
        if "f:portcullis.dev/baseline" in entry["fieldsV1"]["f:metadata"].get("f:annotations", {})
    }
