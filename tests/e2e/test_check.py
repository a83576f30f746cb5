"""Manifests are checked against a cluster: what stands there beside them and under their names, and its own verdict."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.cli.test_serve import own
from tests.e2e.guarded import PROGRAM, Guarded
from tests.e2e.manifests import OPEN, documents, policy

Json = dict[str, Any]

PLACE = "check-dev"


def eighth(name: str, cidr: str) -> Json:
    """Return a policy that lets pods out to an eighth of all addresses, which is fine but beside another such one."""
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": cidr}}]}]}
    return policy(PLACE, name, spec)


def check(guarded: Guarded, folder: Path, *things: Json, user: str = "wanda") -> set[tuple[str, str, str, str]]:
    """Return what is found in things that a user would apply: name, operation, rule and what would come of it."""
    (folder / "things.yaml").write_text(documents(*things))
    given: list[str | Path] = [
        "--kubeconfig",
        guarded.plane.kubeconfig("root"),
        "--as",
        user,
        "--as-group",
        "checkout-team",
    ]
    command: list[str | Path] = [PROGRAM, "check", folder, "--against", "cluster", *given, "-o", "json"]
    done = subprocess.run(command, env=own(), capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode in {0, 1}, done.stderr
    found = json.loads(done.stdout)["findings"]
    return {(each["name"], each["operation"], each["rule"], each["action"]) for each in found}


def test_a_check_against_a_cluster_says_what_the_cluster_does(guarded: Guarded, tmp_path: Path) -> None:
    """Neighbours that stand there count, what stands is updated, and who may not is told so; then it is tried."""
    namespace = guarded.create(PLACE)
    guarded.await_ready(PLACE)
    low, high = eighth("low", "0.0.0.0/3"), eighth("high", "32.0.0.0/3")
    guarded.kubectl("apply", "--filename=-", user="wanda", stdin=documents(low))

    beside = ("high", "CREATE", "guardrail/to-anywhere", "enforce")
    assert check(guarded, tmp_path, low, high) == {beside}
    assert "guardrail/to-anywhere" in guarded.refused("apply", "--filename=-", user="wanda", stdin=documents(high))

    wider = policy(PLACE, "low", OPEN)
    assert ("low", "UPDATE", "guardrail/from-anywhere", "enforce") in check(guarded, tmp_path, wider)
    assert "guardrail/from-anywhere" in guarded.refused("apply", "--filename=-", user="wanda", stdin=documents(wider))

    # Applied again it says nothing of what Portcullis has written there, and so changes nothing of it.
    again = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}}
    assert namespace["metadata"]["labels"]["portcullis.dev/workspace"]
    assert check(guarded, tmp_path, again) == set()
    guarded.kubectl("apply", "--server-side", "--filename=-", user="wanda", stdin=documents(again))
    guarded.kubectl("delete", "networkpolicy", "low", "--namespace", PLACE, user="wanda")
