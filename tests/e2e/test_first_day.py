"""The order of the first day, and clusters of which it is not clear whose they are."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.plane import Plane, start_plane
from tests.e2e.guarded import FIRST, Guarded
from tests.e2e.manifests import ACME, ZERO_TRUST, documents, grant, organization
from tests.e2e.reading import MUTATING, NAMESPACES, VALIDATING, Reader, until

Json = dict[str, Any]

OLGA = grant("OrgAdmin", "Group", "acme-admins")
IVAN = grant("InfraAdmin", "User", "ivan")


@pytest.fixture
def fresh(
    control_plane: Path, guarded_plane: Plane, opa_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    """A cluster of its own on which nothing of Portcullis is but what it needs to start."""
    # The other plane is asked for so that these tests are of its group, hence of one worker.
    assert guarded_plane.pids
    with ExitStack() as held:
        plane = held.enter_context(start_plane(control_plane, tmp_path_factory.mktemp("fresh")))
        fresh = Guarded(plane, opa_binary, tmp_path_factory.mktemp("portcullis"), held)
        fresh.install()
        yield fresh


def notes(fresh: Guarded) -> str:
    """Return what /readyz says of the gate: that, and why, nothing is gated; it is ready all the while."""
    health = fresh.processes[FIRST].health()
    assert (health.get("status"), health.get("missing")) == (200, [])
    return next((each for each in health["notes"] if each.startswith("nothing is gated")), "")


def hooks(guarded: Guarded) -> list[Json]:
    """Return the webhook objects that stand."""
    return [each for each in (guarded.reader.find(MUTATING), guarded.reader.find(VALIDATING)) if each]


def test_the_gate_closes_once_there_is_who_can_open_it(fresh: Guarded) -> None:
    """Ready without definitions, tree and OrgAdmin; says so, gates nothing, and begins with the OrgAdmin."""
    first = fresh.start()
    until(lambda: "kubectl apply -k manifests/crds" in notes(fresh), 10)
    assert hooks(fresh) == []
    fresh.kubectl("create", "namespace", "early", user="stranger")
    fresh.define()
    until(lambda: "there is no Organization" in notes(fresh), 10)
    assert hooks(fresh) == []
    fresh.kubectl("apply", "--filename", str(ACME / "tenants.yaml"), user="root")
    fresh.kubectl("apply", "--filename=-", user="root", stdin=documents(organization("acme", IVAN)))
    until(lambda: "the Organization has no OrgAdmin subject" in notes(fresh), 10)
    assert hooks(fresh) == []
    fresh.kubectl("create", "namespace", "earlier", user="stranger")
    fresh.plant()
    fresh.await_gate()
    until(lambda: notes(fresh) == "", 10)
    assert fresh.create("in-time")["metadata"]["labels"]["portcullis.dev/workspace"] == "checkout"
    assert fresh.reader.specs("in-time") == ZERO_TRUST
    # Who came before belongs to nobody, and nothing was brought there.
    assert fresh.reader.policies("early") == {}
    assert "[rbac/namespace]" in fresh.refused("delete", "namespace", "early", user="stranger")
    assert first.child.pid


@pytest.fixture
def unclear(guarded: Guarded) -> Iterator[Guarded]:
    """The cluster of all tests, on which the tree stands again afterwards."""
    yield guarded
    guarded.kubectl("delete", "organization", "initech", "--ignore-not-found", user="root")
    guarded.plant()
    guarded.await_gate()


SECOND = documents(organization("initech", OLGA))


@pytest.mark.parametrize("others", ["two", "none"])
def test_a_cluster_of_two_organizations_or_none_denies(unclear: Guarded, others: str) -> None:
    """Once it is gated, 500 to everybody but break-glass; kubectl waits, and passes when it is clear again."""
    unclear.create(f"before-{others}")
    if others == "two":
        unclear.kubectl("apply", "--filename=-", user="root", stdin=SECOND)
        why = "a cluster belongs to one Organization, and there are acme, initech"
    else:
        unclear.kubectl("delete", "organization", "acme", user="root")
        why = "there is no Organization"
    until(lambda: unclear.processes[FIRST].health().get("status") == 503, 10)
    assert why in str(unclear.processes[FIRST].health()["missing"])
    for user in ("wanda", "olga", "ivan"):
        refusal = posted(unclear, user)
        assert (refusal["code"], refusal["reason"]) == (500, "InternalError")
        assert "Portcullis could not decide, so it denies" in refusal["message"]
        assert refusal["details"]["retryAfterSeconds"] == 1
    unclear.kubectl("create", "namespace", f"broken-glass-{others}", user="root")
    assert len(hooks(unclear)) == 2
    patient = f"patient-{others}"
    with ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(unclear.kubectl, "create", "namespace", patient, user="wanda")
        until(lambda: [each for each in judged(unclear) if (each["name"], each["verdict"]) == (patient, "error")], 10)
        if others == "two":
            unclear.kubectl("delete", "organization", "initech", user="root")
        else:
            unclear.plant()
        waiting.result()
    unclear.await_ready(patient)
    assert unclear.reader.specs(patient) == ZERO_TRUST
    assert unclear.reader.specs(f"before-{others}") == ZERO_TRUST


def posted(guarded: Guarded, user: str) -> Json:
    """Return the Status that the API server answers to a new namespace; kubectl would ask again and again."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"of-{user}"}}
    client = Reader(guarded.plane, user).client
    with client:
        answer: Json = client.post(
            NAMESPACES, content=json.dumps(body), headers={"Content-Type": "application/json"}
        ).json()
    return answer


def judged(guarded: Guarded) -> list[Json]:
    """Return all decisions so far."""
    guarded.look()
    return guarded.decisions
