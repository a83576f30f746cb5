"""`portcullis explain` in a cluster: it says what the API server then does."""

import json
import subprocess
from typing import Any

from tests.cli.test_serve import own
from tests.e2e.guarded import PROGRAM, Guarded
from tests.e2e.manifests import documents, policy

Json = dict[str, Any]


def explain(guarded: Guarded, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run it as root, who may read the cluster."""
    command = [str(PROGRAM), "explain", *arguments, "--kubeconfig", str(guarded.plane.kubeconfig("root"))]
    return subprocess.run(command, env=own(), capture_output=True, text=True, check=False, timeout=60)


def told(guarded: Guarded, *arguments: str) -> Json:
    """Return its JSON."""
    done = explain(guarded, *arguments, "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    read: Json = json.loads(done.stdout)
    return read


def test_it_tells_how_a_namespace_stands_and_what_the_gate_will_say(guarded: Guarded) -> None:
    """Owner, state and policies as they are in the cluster; who may, does, and who may not, is refused so."""
    guarded.create("explained")
    facts = told(guarded, "explained")
    assert (facts["standing"], facts["workspace"], facts["project"]) == ("owned", "checkout", "payments")
    assert facts["state"]["state"] == "Ready"
    policies = [each for baseline in facts["baselines"] for each in baseline["policies"]]
    assert [each["state"] for each in policies] == ["in place", "in place"]
    for user, groups in (("wanda", ["checkout-team"]), ("rudi", ["refunds-team"])):
        person = told(guarded, "explained", "--as", user, *(f"--as-group={each}" for each in groups))["as"]
        answers = {each["action"]: each for each in person["actions"]}
        write = ("create", "--filename=-")
        manifest = documents(policy("explained", f"of-{user}"))
        if answers["create-policy"]["verdict"] == "allow":
            guarded.kubectl(*write, user=user, stdin=manifest)
        else:
            said = guarded.refused(*write, user=user, stdin=manifest)
            rule = answers["create-policy"]["rules"][0]
            assert f"[{rule}]" in said
            assert answers["create-policy"]["message"].partition(": ")[2] in said
    assert set(guarded.reader.policies("explained")) == {"zero-trust.allow-dns", "zero-trust.default-deny", "of-wanda"}
    page = explain(guarded, "explained").stdout
    assert "Baselines  2 of 2 policies in place; told to be Ready\n" in page


def test_what_cannot_be_told_is_one_line(guarded: Guarded) -> None:
    """A namespace that is not there: exit code 2, why, and the nearest one."""
    guarded.create("explained-again")
    done = explain(guarded, "explained-agian")
    assert (done.returncode, done.stdout) == (2, "")
    said = "portcullis: there is no namespace 'explained-agian' here; there is explained-again"
    (line,) = done.stderr.splitlines()
    assert line.startswith(said)
