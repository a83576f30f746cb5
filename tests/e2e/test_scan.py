"""What stands in a cluster is judged: at once when asked, and again and again beside the controller."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cli.test_serve import own
from tests.e2e.guarded import PROGRAM, Guarded
from tests.e2e.manifests import OPEN, documents, namespace, policy
from tests.e2e.reading import is_ready, state, until

Json = dict[str, Any]

ORGANIZATION = "/apis/portcullis.dev/v1alpha1/organizations/acme"
FORMS = {
    "openreports": ("openreports.io", "v1alpha1", {"Report": "reports", "ClusterReport": "clusterreports"}),
    "wgpolicyk8s": (
        "wgpolicyk8s.io",
        "v1alpha2",
        {"PolicyReport": "policyreports", "ClusterPolicyReport": "clusterpolicyreports"},
    ),
}


def half(place: str, name: str, cidr: str) -> Json:
    """Return a policy that lets pods out to an eighth of all addresses, which is fine but beside another such one."""
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": cidr}}]}]}
    return policy(place, name, spec)


def scan(guarded: Guarded, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run it as root, who may read the cluster."""
    command = [str(PROGRAM), "scan", *arguments, "--kubeconfig", str(guarded.plane.kubeconfig("root"))]
    return subprocess.run(command, env=own(), capture_output=True, text=True, check=False, timeout=120)


def told(guarded: Guarded, *arguments: str) -> tuple[int, Json]:
    """Return its exit code and its JSON."""
    done = scan(guarded, *arguments, "-o", "json")
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def found(scanned: Json, place: str) -> set[tuple[str, str, str]]:
    """Return what is found in a namespace: the name, the rule and what would come of it."""
    return {(each["name"], each["rule"], each["action"]) for each in scanned["findings"] if each["namespace"] == place}


@contextmanager
def away(guarded: Guarded) -> Iterator[None]:
    """Let Portcullis be away for so long, and nothing ask for it."""
    guarded.stop()
    guarded.ungate()
    try:
        yield
    finally:
        guarded.gate()


def apply(guarded: Guarded, *things: Json, user: str = "wanda") -> None:
    guarded.kubectl("apply", "--server-side", "--filename=-", user=user, stdin=documents(*things))


def test_a_cluster_in_use_is_told_who_would_be_refused(guarded: Guarded) -> None:
    """Policies from before our day, each alone or together, and namespaces that nobody owns; by how it is enforced."""
    expected = {
        ("open", "guardrail/from-anywhere"),
        ("dotted.name", "baseline/managed-policy"),
        ("low", "guardrail/to-anywhere"),
        ("high", "guardrail/to-anywhere"),
    }
    with away(guarded):
        places = ("in-use", "in-use-unowned", "in-use-lost")
        workspaces = ("checkout", "", "no-such-workspace")
        apply(guarded, *map(namespace, places, workspaces))
        apply(guarded, half("in-use", "low", "0.0.0.0/3"), half("in-use", "high", "32.0.0.0/3"))
        apply(guarded, policy("in-use", "open", OPEN), policy("in-use", "dotted.name"), policy("in-use", "well"))
        code, scanned = told(guarded)
        assert code == 1
        assert found(scanned, "in-use") == {(*each, "enforce") for each in expected}
        assert "in-use-unowned" in scanned["unowned"]
        assert "in-use-lost" in scanned["orphaned"]
        both = [each["policies"] for each in scanned["findings"] if each["name"] == "low"]
        assert both == [[{"kind": "NetworkPolicy", "name": "low"}, {"kind": "NetworkPolicy", "name": "high"}]]
        soften(guarded, "audit")
        code, softened = told(guarded, "-n", "in-use")
        # A rule that is never softened speaks as it does.
        never = {each for each in expected if each[1].startswith("baseline/")}
        assert found(softened, "in-use") == {(*each, "enforce" if each in never else "audit") for each in expected}
        assert fingerprints(softened) == fingerprints(scanned)
        assert code == 1
        soften(guarded, "enforce")
        guarded.kubectl("delete", "namespace", *places, user="root")


def fingerprints(scanned: Json) -> set[str]:
    """Return what the findings of a namespace are known by."""
    return {each["fingerprint"] for each in scanned["findings"] if each["namespace"] == "in-use"}


def soften(guarded: Guarded, action: str) -> None:
    """Let every rule come to `action`."""
    patch = json.dumps({"spec": {"enforcement": {"*": action}}})
    guarded.kubectl("patch", "organization", "acme", "--type=merge", f"--patch={patch}", user="root")


def test_two_policies_that_were_each_fine_alone_are_found_together(guarded: Guarded) -> None:
    """Written while nobody looked, they are both named in the state of the namespace; one gone, all is well again."""
    with away(guarded):
        apply(guarded, namespace("added-up", "checkout"))
        apply(guarded, half("added-up", "low", "0.0.0.0/3"), half("added-up", "high", "32.0.0.0/3"))
    drifted = until(lambda: drift(guarded, "added-up"), 15)
    assert "NetworkPolicy high and NetworkPolicy low together [guardrail/to-anywhere]" in drifted
    guarded.kubectl("delete", "networkpolicy", "low", "--namespace=added-up", user="wanda")
    until(lambda: is_ready(guarded.reader.namespace("added-up")), 5)


def drift(guarded: Guarded, place: str) -> str:
    """Return why a namespace has drifted, empty where it has not."""
    seen = guarded.reader.namespace(place)
    assert seen
    told = state(seen)
    return str(told["reason"]) if told.get("state") == "Drifted" else ""


def definition(group: str, version: str, kind: str, plural: str, *, severities: Sequence[str]) -> Json:
    """Return a definition that stands in for theirs: of the fields that we write, and of no others."""
    text, number = {"type": "string"}, {"type": "integer"}
    reference = {"type": "object", "properties": dict.fromkeys(("apiVersion", "kind", "namespace", "name"), text)}
    result = {
        "type": "object",
        "required": ["policy"],
        "properties": {
            **dict.fromkeys(("source", "policy", "rule", "category", "message"), text),
            "severity": {"type": "string", "enum": list(severities)},
            "result": {"type": "string", "enum": ["pass", "fail", "warn", "error", "skip"]},
            "scored": {"type": "boolean"},
            "resources": {"type": "array", "items": reference},
            "properties": {"type": "object", "additionalProperties": text},
            "timestamp": {
                "type": "object",
                "required": ["seconds", "nanos"],
                "properties": {"seconds": number, "nanos": number},
            },
        },
    }
    report = {
        "scope": reference,
        "summary": {
            "type": "object",
            "properties": dict.fromkeys(("pass", "fail", "warn", "error", "skip"), number),
        },
        "results": {"type": "array", "items": result},
    }
    scope = "Cluster" if kind.startswith("Cluster") else "Namespaced"
    schema = {"openAPIV3Schema": {"type": "object", "properties": report}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


@pytest.fixture(params=["openreports", "wgpolicyk8s"])
def reporting(guarded: Guarded, request: pytest.FixtureRequest) -> Iterator[tuple[Guarded, str, str]]:
    """The cluster with the definitions of a form of reports, which Portcullis is told to write; without afterwards."""
    group, version, kinds = FORMS[request.param]
    severities = ("critical", "high", "medium", "low", "info")[request.param == "wgpolicyk8s" :]
    guarded.stop()
    guarded.start("first", f"--reports={request.param}")
    apply(
        guarded,
        *(definition(group, version, kind, plural, severities=severities) for kind, plural in kinds.items()),
        user="root",
    )
    one, every = kinds.values()
    yield guarded, f"/apis/{group}/{version}/namespaces/%s/{one}/portcullis", f"/apis/{group}/{version}/{every}"
    names = [f"{plural}.{group}" for plural in kinds.values()]
    guarded.kubectl("delete", "customresourcedefinition", *names, user="root")
    guarded.stop()
    guarded.gate()


def test_reports_come_change_and_go(reporting: tuple[Guarded, str, str]) -> None:
    """One a namespace that has something to tell, and one on all; written when it changes, gone when it is well."""
    guarded, at, every = reporting
    place = f"reported-{'old' if 'wgpolicy' in at else 'new'}"
    guarded.create(place)
    # Break-glass passes everything.
    apply(guarded, policy(place, "open", OPEN), policy(place, "well"), user="root")
    until(lambda: guarded.reader.find(at % place), 20)
    report = guarded.reader.read(at % place)
    assert report["summary"] == {"pass": 1, "fail": 1, "warn": 0, "error": 0, "skip": 0}
    (result,) = report["results"]
    assert (result["policy"], result["result"], result["category"]) == ("guardrail/from-anywhere", "fail", "guardrail")
    assert result["resources"] == [
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "namespace": place, "name": "open"}
    ]
    first = result["timestamp"]
    apply(guarded, policy(place, "open-too", OPEN), user="root")
    until(lambda: guarded.reader.read(at % place)["summary"]["fail"] == 2, 10)
    changed = guarded.reader.read(at % place)
    of = {each["resources"][0]["name"]: each for each in changed["results"]}
    assert of["open"] == result
    assert of["open"]["timestamp"] == first
    # What changes nothing of it writes nothing.
    apply(guarded, policy(place, "well", labels={"a": "b"}), user="wanda")
    guarded.kubectl("delete", "networkpolicy", "open-too", f"--namespace={place}", user="wanda")
    until(lambda: guarded.reader.read(at % place)["summary"]["fail"] == 1, 10)
    apply(guarded, namespace(f"{place}-unowned"), user="ivan")
    about = {"apiVersion": "v1", "kind": "Namespace", "name": f"{place}-unowned"}

    def unowned() -> bool:
        whole = guarded.reader.find(f"{every}/portcullis")
        return whole is not None and [about] in [each["resources"] for each in whole["results"]]

    until(unowned, 20)
    guarded.kubectl("delete", "networkpolicy", "open", f"--namespace={place}", user="wanda")
    until(lambda: guarded.reader.find(at % place) is None, 10)
    guarded.kubectl("delete", "namespace", place, f"{place}-unowned", user="root")
    until(lambda: not unowned(), 20)


def test_the_controller_on_its_own_finds_it_too(guarded: Guarded) -> None:
    """`portcullis controller` has an OPA of its own to ask."""
    guarded.create("alone-apart")
    guarded.stop()
    guarded.start("first", "--no-controller")
    guarded.start("apart", command="controller")
    try:
        apply(guarded, policy("alone-apart", "open", OPEN), user="root")
        drifted = until(lambda: drift(guarded, "alone-apart"), 30)
        assert "NetworkPolicy open [guardrail/from-anywhere]: spec.ingress[0] names no source" in drifted
        guarded.kubectl("delete", "networkpolicy", "open", "--namespace=alone-apart", user="wanda")
        guarded.await_ready("alone-apart")
    finally:
        guarded.stop("apart")
        guarded.stop()
        guarded.gate()
