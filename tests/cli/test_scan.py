"""`portcullis scan` by files: what stands is judged, whoever reads it: a person, a program, a code host, a CI."""

import json
import os
import pty
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.cli.test_serve import PROGRAM, own
from tests.cli.test_serve import ROOT as CHECKOUT
from webhook.settings import bundled_examples

Json = dict[str, Any]

USED = """
apiVersion: v1
kind: Namespace
metadata: {name: used, labels: {portcullis.dev/workspace: checkout}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: low, namespace: used}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/3}}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: high, namespace: used}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 32.0.0.0/3}}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: open, namespace: used}
spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: lost, labels: {portcullis.dev/workspace: ghost}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: there, namespace: nowhere}
spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: former.deny
  namespace: monitoring
  labels: {app.kubernetes.io/managed-by: portcullis, portcullis.dev/baseline: former}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""
GHOST = "warning: .*: there is no Workspace ghost: the namespace is an OrgAdmin's alone"


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the example tree, of a cluster that was used before."""
    folder = Path(shutil.copytree(bundled_examples(), tmp_path_factory.mktemp("used") / "acme"))
    (folder / "used.yaml").write_text(USED)
    return folder


def run(*arguments: str | Path, **variables: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [PROGRAM, "scan", *arguments],
        cwd=CHECKOUT,
        env=own(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def scanned(used: Path) -> Json:
    """What a program reads of it."""
    done = run("--tenancy", used, "-o", "json")
    assert done.returncode == 1, done.stderr
    assert "there is no Workspace ghost" in done.stderr
    read: Json = json.loads(done.stdout)
    return read


def test_a_program_reads_what_is_found_where(scanned: Json, used: Path) -> None:
    """Each with its rule, what would come of it, those that do it together, and file and line."""
    told = [(each["namespace"], each["name"], each["rule"], each["action"]) for each in scanned["findings"]]
    assert told == [
        ("monitoring", "former.deny", "baseline/managed-policy", "enforce"),
        ("used", "high", "guardrail/to-anywhere", "enforce"),
        ("used", "low", "guardrail/to-anywhere", "enforce"),
        ("used", "open", "guardrail/from-anywhere", "enforce"),
        ("lost", "lost", "scan/orphaned", "none"),
        ("monitoring", "former.deny", "scan/stray-policy", "none"),
        ("nowhere", "nowhere", "scan/unknown-namespace", "none"),
        ("monitoring", "monitoring", "scan/unowned", "none"),
    ]
    high = scanned["findings"][1]
    assert high["policies"] == [{"kind": "NetworkPolicy", "name": "high"}, {"kind": "NetworkPolicy", "name": "low"}]
    assert (high["file"], high["line"]) == (str(used / "used.yaml"), 11)
    assert high["title"] == "No policy lets pods out to everywhere"
    assert high["remediation"]
    assert len({each["fingerprint"] for each in scanned["findings"]}) == len(scanned["findings"])
    assert scanned["summary"] == {"refused": 4, "warned": 0, "audited": 0, "unowned": 1, "orphaned": 1}
    assert (scanned["unowned"], scanned["orphaned"], scanned["ending"]) == (["monitoring"], ["lost"], [])
    assert (scanned["namespaces"], scanned["policies"]) == (6, 5)


def test_a_person_reads_it_by_namespace(used: Path) -> None:
    """A line for each finding and why below it; what nobody owns; how much of what."""
    page = run("--tenancy", used).stdout
    assert "used\n  refused   NetworkPolicy high  guardrail/to-anywhere\n            together with low," in page
    assert "Nobody owns\n  monitoring\n" in page
    assert "Their workspace does not exist\n  lost\n" in page
    said = " ".join(page.split())
    counts = "4 would be refused, 1 owned by nobody, 1 of a workspace that does not exist."
    assert f"6 namespaces and 5 policies judged: {counts} As the rules of revision" in said


def test_nothing_found_is_fine() -> None:
    """Exit code 0, though nobody owns one of the namespaces: no rule says that somebody has to."""
    done = run("--tenancy", bundled_examples())
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 would be refused, 1 owned by nobody. No rule is violated." in " ".join(done.stdout.split())


def test_a_namespace_alone(used: Path) -> None:
    """What is found elsewhere is nobody's affair then."""
    done = run("--tenancy", used, "-n", "used", "-n", "lost", "-o", "json")
    read = json.loads(done.stdout)
    assert {each["namespace"] for each in read["findings"]} == {"used", "lost"}
    assert run("--tenancy", used, "-n", "lost").returncode == 0


@pytest.mark.parametrize(
    ("enforcement", "fail_on", "code", "summary"),
    [
        pytest.param("audit", "audit", 1, "3 would only be recorded, as enforcement is set", id="audit"),
        pytest.param("warn", "enforce", 0, "3 would be warned of", id="warn-below-enforce"),
        pytest.param("enforce", "never", 0, "3 would be refused", id="never"),
    ],
)
def test_the_exit_code_is_of_what_would_come_of_it(
    enforcement: str, fail_on: str, code: int, summary: str, used: Path, tmp_path: Path
) -> None:
    """Softened rules say what they would do; from which action on it fails is asked for."""
    folder = Path(shutil.copytree(used, tmp_path / "acme"))
    organization = folder / "organization.yaml"
    text = organization.read_text()
    assert text.count("\nspec:\n") >= 1
    organization.write_text(text.replace("\nspec:\n", f"\nspec:\n  enforcement: {{'*': {enforcement}}}\n", 1))
    done = run("--tenancy", folder, "-n", "used", "--fail-on", fail_on)
    assert done.returncode == code, done.stderr
    assert summary in " ".join(done.stdout.split())


def test_a_code_host_reads_it(used: Path) -> None:
    """SARIF: rules from their METADATA, both things where two do it, file and line, and what stays the same."""
    log = json.loads(run("--tenancy", used, "-o", "sarif").stdout)
    assert log["version"] == "2.1.0"
    (run_,) = log["runs"]
    rules = run_["tool"]["driver"]["rules"]
    assert [each["id"] for each in rules] == sorted(each["id"] for each in rules)
    by_thing = {each["locations"][0]["logicalLocations"][0]["fullyQualifiedName"]: each for each in run_["results"]}
    high = by_thing["used/NetworkPolicy/high"]
    assert rules[high["ruleIndex"]]["id"] == high["ruleId"] == "guardrail/to-anywhere"
    assert rules[high["ruleIndex"]]["properties"]["security-severity"] == "9.5"
    assert rules[high["ruleIndex"]]["help"]["text"]
    assert high["level"] == "error"
    assert high["message"]["text"].startswith("NetworkPolicy high would be refused today: together with low,")
    (location,) = high["locations"]
    names = [each["fullyQualifiedName"] for each in location["logicalLocations"]]
    assert names == ["used/NetworkPolicy/high", "used/NetworkPolicy/low"]
    physical = location["physicalLocation"]
    assert physical == {
        "artifactLocation": {"uri": (used / "used.yaml").as_uri()},
        "region": {"startLine": 11},
    }
    assert by_thing["lost/Namespace/lost"]["level"] == "note"
    assert len(high["partialFingerprints"]["portcullis/v1"]) == 32


def test_a_ci_reads_it(used: Path) -> None:
    """JUnit: a suite a namespace, a case a thing, a failure where it fails, output where it does not."""
    written = run("--tenancy", used, "-o", "junit").stdout
    root = ET.fromstring(written.encode())  # noqa: S314 - our own
    suites = {each.get("name"): each for each in root}
    assert (root.get("tests"), root.get("failures")) == ("12", "4")
    cases = {each.get("name"): each for each in suites["used"]}
    assert list(cases) == ["Namespace/used", "NetworkPolicy/high", "NetworkPolicy/low", "NetworkPolicy/open"]
    assert len(cases["Namespace/used"]) == 0
    (failure,) = cases["NetworkPolicy/open"]
    assert (failure.tag, failure.get("type")) == ("failure", "guardrail/from-anywhere")
    (lost,) = suites["lost"]
    assert [each.tag for each in lost] == ["system-out"]
    never = run("--tenancy", used, "-o", "junit", "--fail-on", "never").stdout
    assert ET.fromstring(never.encode()).get("failures") == "0"  # noqa: S314 - our own


REFUSALS = {
    "both": (("--tenancy", "x", "--kubeconfig", "y"), "--tenancy reads files and contacts no cluster"),
    "no-kubeconfig": (("--kubeconfig", "/nowhere"), "--kubeconfig /nowhere is no file"),
    "no-cluster": ((), "this is no pod of a cluster"),
    "no-tree": (("--tenancy", "/nowhere"), "/nowhere"),
    "no-namespace": (("--tenancy", str(bundled_examples()), "-n", "chekout-dev"), "there is checkout-dev"),
    "reserved": (("--tenancy", str(bundled_examples()), "-n", "kube-system"), "is Kubernetes' own or ours"),
}


@pytest.mark.parametrize(("arguments", "why"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_done_is_one_line(arguments: tuple[str, ...], why: str) -> None:
    """Exit code 2, and nothing on standard output that somebody could take for a scan."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    *_, line = done.stderr.splitlines()
    assert line.startswith("portcullis: ")
    assert why in line


def test_progress_is_for_a_terminal_alone(used: Path, tmp_path: Path) -> None:
    """It shows how many things are judged, and leaves nothing behind; a file has none of it."""
    folder = Path(shutil.copytree(used, tmp_path / "acme"))
    names = (f"metadata: {{name: many-{index}}}" for index in range(40))
    (folder / "many.yaml").write_text("---\n".join(f"apiVersion: v1\nkind: Namespace\n{each}\n" for each in names))
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0) as terminal:
        done = subprocess.run(
            [PROGRAM, "scan", "--tenancy", folder, "-o", "json"],
            env=own(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=slave,
            check=False,
            timeout=120,
        )
        os.close(slave)
        told = terminal.read(65536)
    assert b"\rportcullis: 25 judged" in told
    assert told.endswith(b"\r\x1b[K")
    assert json.loads(done.stdout)["namespaces"] == 46
