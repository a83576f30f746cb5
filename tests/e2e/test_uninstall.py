"""`portcullis uninstall`: afterwards nothing is refused, nothing of ours runs, and what was left can be removed."""

import json
import os
import pty
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_serve import own
from tests.controlplane.plane import start_plane
from tests.e2e.guarded import FIRST, PEOPLE, PROGRAM, Guarded
from tests.e2e.manifests import BASE, CRDS, OPEN, ZERO_TRUST, documents, policy
from tests.e2e.reading import HOOKS, LEASE, MUTATING, SECRET, VALIDATING, until

Json = dict[str, Any]

HOME = "portcullis-system"
FINALIZER = "portcullis.dev/baseline"
BASELINES = "/apis/portcullis.dev/v1alpha1/networkbaselines"
ALLOW_ALL = ("clusterrolebinding", "acme-tree", "--clusterrole=portcullis:tree-admin", "--group=acme-admins")


@pytest.fixture
def based(control_plane: Path, opa_binary: Path, tmp_path: Path) -> Iterator[Guarded]:
    """A cluster of its own with all that is shipped, a tenant's namespace, and `serve` started by hand: no node."""
    with ExitStack() as held:
        plane = held.enter_context(start_plane(control_plane, tmp_path))
        guarded = Guarded(plane, opa_binary, tmp_path, held)
        guarded.define()
        guarded.plant()
        guarded.kubectl("apply", "--kustomize", str(BASE), user="root")
        users = [f"--user={each}" for each in PEOPLE]
        guarded.kubectl("create", "clusterrolebinding", "people", "--clusterrole=cluster-admin", *users, user="root")
        guarded.kubectl("create", *ALLOW_ALL, user="root")
        guarded.gate()
        guarded.create("shop")
        until(lambda: guarded.reader.find(rolebindings("shop"))["items"], 15)  # type: ignore[index]
        held_by_us = json.dumps({"metadata": {"finalizers": ["example.org/theirs", FINALIZER]}})
        patch = ("patch", "networkbaseline", "zero-trust", "--type=merge", "--patch", held_by_us)
        guarded.kubectl(*patch, user="root")
        yield guarded


def rolebindings(namespace: str) -> str:
    return f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"


def uninstall(guarded: Guarded, *flags: str, user: str = "root") -> "subprocess.CompletedProcess[str]":
    """Run it; nobody can be asked."""
    command = [str(PROGRAM), "uninstall", "--kubeconfig", str(guarded.plane.kubeconfig(user)), *flags]
    return subprocess.run(
        command, env=own(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=150
    )


def decline(guarded: Guarded) -> None:
    """Run it where somebody can be asked, who says no."""
    leader, follower = pty.openpty()
    with os.fdopen(leader, "r+b", buffering=0) as terminal:
        command = [str(PROGRAM), "uninstall", "--kubeconfig", str(guarded.plane.kubeconfig("root"))]
        process = subprocess.Popen(command, env=own(), stdin=follower, stdout=follower, stderr=follower)
        os.close(follower)
        terminal.write(b"n\n")
        shown = b""
        with suppress(OSError):  # how Linux says that the other end is closed
            while more := terminal.read(4096):
                shown += more
        assert process.wait(60) == 2
    assert b"Do it? [y/N]" in shown
    assert b"portcullis: not confirmed: nothing was changed" in shown


def told(done: "subprocess.CompletedProcess[str]") -> Json:
    read: Json = json.loads(done.stdout)
    return read


def outcomes(report: Json) -> dict[str, str]:
    """Return what became of each object."""
    found = {f"{each['kind']} {each['namespace']}/{each['name']}": each["outcome"] for each in report["objects"]}
    assert len(found) == len(report["objects"])
    return found


def standing(guarded: Guarded) -> set[str]:
    """Return all that the base brought and that stands, but for the namespace."""
    built = guarded.kubectl("kustomize", str(BASE), user="root")
    names = guarded.kubectl("get", "--filename=-", "--ignore-not-found", "--output=name", user="root", stdin=built)
    return set(names.split()) - {"namespace/portcullis-system"}


def end_a_namespace(guarded: Guarded) -> None:
    """End one that holds an injected policy, as somebody who holds no role in the tree."""
    guarded.kubectl("create", "namespace", "ending", user="stranger")
    injected = {"app.kubernetes.io/managed-by": "portcullis", "portcullis.dev/baseline": "zero-trust"}
    stamped = policy("ending", "zero-trust.default-deny", labels=injected)
    guarded.kubectl("create", "--filename=-", user="stranger", stdin=documents(stamped))
    guarded.kubectl("delete", "namespace", "ending", user="stranger")


def test_it_takes_portcullis_out_and_leaves_what_people_made(based: Guarded) -> None:
    """
    First it says what it would do; then it does that while nobody answers for the hooks, and again finds nothing to do.

    Afterwards everybody may what RBAC lets them, a namespace with injected policies ends, and each command that it
    prints works: the definitions go although the baselines carried our finalizer.
    """
    based.stop()
    assert "failed calling webhook" in based.refused("create", "namespace", "later", user="wanda")
    before = standing(based)
    assert len(before) > 20
    plan = uninstall(based, "--dry-run")
    assert (plan.returncode, plan.stderr) == (0, "")
    assert plan.stdout.splitlines()[-1] == "Nothing was changed."
    assert "portcullis:workspace-admin" in plan.stdout or "RoleBinding" in plan.stdout
    assert standing(based) == before
    assert based.reader.find(VALIDATING)
    refusal = uninstall(based)
    assert (refusal.returncode, refusal.stdout) == (2, "")
    assert "give --yes" in refusal.stderr

    decline(based)
    assert standing(based) == before

    done = uninstall(based, "--yes", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    report = told(done)
    assert (report["done"], report["dry_run"], report["user"]) == (True, False, "root")
    assert [each["kind"] for each in report["objects"]][:3] == [
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "Deployment",
    ]
    found = outcomes(report)
    assert found.pop("NetworkBaseline /zero-trust") == "released"
    assert set(found.values()) == {"removed"}
    assert {"Secret portcullis-system/portcullis-tls", "RoleBinding shop/portcullis:workspace-admin"} <= set(found)
    assert standing(based) == set()
    for path in (MUTATING, VALIDATING, SECRET):
        assert based.reader.find(path) is None
    assert based.reader.read(rolebindings("shop"))["items"] == []
    (baseline,) = based.reader.read(BASELINES)["items"]
    assert baseline["metadata"]["finalizers"] == ["example.org/theirs"]
    assert based.reader.specs("shop") == ZERO_TRUST

    assert {each["what"].split()[0]: each["count"] for each in report["left"]} == {
        "injected": 2,
        "namespaces": 1,
        "annotations": 1,
        "objects": 7,
        "ClusterRoleBindings": 1,
        "our": 1,
    }
    # Nobody is asked any more, the backstop neither.
    based.kubectl("create", "namespace", "later", user="stranger")
    opened = policy("shop", "zero-trust.open", OPEN)
    based.kubectl("create", "--filename=-", user="stranger", stdin=documents(opened))
    again = uninstall(based, "--yes")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith("There is nothing of Portcullis to remove")

    end_a_namespace(based)
    release = json.dumps({"metadata": {"finalizers": None}})
    based.kubectl("patch", "networkbaseline", "zero-trust", "--type=merge", "--patch", release, user="stranger")
    for each in report["left"]:
        based.kubectl(*each["remove"].split()[1:], user="root")
    assert not any(name.startswith("zero-trust.default") for name in based.reader.policies("shop"))
    shop = based.reader.namespace("shop")
    assert shop
    assert not [label for label in shop["metadata"]["labels"] if "portcullis" in label]
    until(lambda: based.reader.find(BASELINES) is None, 15)
    assert based.kubectl("delete", "--kustomize", str(CRDS), "--ignore-not-found", user="root") == ""
    until(lambda: based.reader.namespace("portcullis-system") is None, 20)


def running_pod() -> Json:
    """Return a pod as our Deployment's are; no node runs it, and it is there until it is deleted."""
    metadata = {"name": "portcullis-1", "namespace": HOME, "labels": {"app.kubernetes.io/name": "portcullis"}}
    locked: Json = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    containers = [{"name": "portcullis", "image": "none", "securityContext": locked}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}


def test_a_portcullis_that_runs_is_waited_for_and_left_without_rights(based: Guarded) -> None:
    """
    Until its pods have ended it puts its hooks back, each time to have them removed again.

    Whatever runs on has no rights any more, so that they stay away.
    """
    assert based.reader.find(VALIDATING)
    based.kubectl("create", "--filename=-", user="root", stdin=documents(running_pod()))
    with ThreadPoolExecutor(1) as beside:
        doing = beside.submit(uninstall, based, "--yes")
        until(lambda: based.reader.find(f"/apis/apps/v1/namespaces/{HOME}/deployments/portcullis") is None, 20)
        time.sleep(2)
        assert not doing.done()
        # What it needs to end well is there for as long as it runs.
        assert based.reader.find(SECRET)
        based.kubectl("delete", "pod", "portcullis-1", "--namespace", HOME, "--force", user="root")
        done = doing.result()
    assert (done.returncode, done.stderr) == (0, "portcullis: waiting for pods to end: portcullis-1\n")
    assert " are gone\n" in done.stdout
    assert "Left as it is; to remove it, too:\n" in done.stdout
    for path in (MUTATING, VALIDATING):
        assert based.reader.find(path) is None
    based.kubectl("create", "namespace", "free", user="stranger")
    based.stop()


def test_a_portcullis_that_runs_elsewhere_as_an_administrator_is_told_of(based: Guarded) -> None:
    """It would put the hooks back for ever: whoever stops it finds it by the holder of the lease."""
    based.stop()
    based.start(FIRST, f"--kubeconfig={based.plane.kubeconfig('root')}")
    until(lambda: (based.reader.find(LEASE) or {"spec": {}})["spec"].get("holderIdentity"), 15)
    done = uninstall(based, "--yes")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "portcullis: somebody makes the webhook objects again: a portcullis serve that runs elsewhere"
    )
    assert f"_{based.processes[FIRST].child.pid}_" in line
    based.stop()
    again = uninstall(based, "--yes")
    assert (again.returncode, again.stderr) == (0, "")
    based.kubectl("create", "namespace", "free", user="stranger")


def test_whoever_may_not_is_told_so_and_nothing_else_is_touched(based: Guarded) -> None:
    """An administrator outside break-glass meets the backstop; who may list nothing is told before anything is done."""
    before = standing(based)
    done = uninstall(based, "--yes", "-o", "json", user="ivan")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "portcullis: ValidatingWebhookConfiguration portcullis stands, so nothing else was removed: "
    )
    assert "(backstop)" in line
    assert "break-glass group" in line
    report = told(done)
    assert not report["done"]
    assert {name for name, outcome in outcomes(report).items() if outcome == "failed"} == {
        "ValidatingWebhookConfiguration /portcullis",
        "MutatingWebhookConfiguration /portcullis",
    }
    assert set(outcomes(report).values()) == {"failed", "untouched"}
    assert standing(based) == before
    assert based.reader.find(f"{HOOKS}/validatingwebhookconfigurations/portcullis")
    based.kubectl("delete", "clusterrolebinding", "people", user="root")
    until(lambda: based.plane.kubectl("get", "secrets", user="stranger", check=False).returncode, 5)
    done = uninstall(based, "--yes", user="stranger")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("portcullis: GET ")
    assert line.endswith("; nothing was changed: be an administrator of the cluster")
