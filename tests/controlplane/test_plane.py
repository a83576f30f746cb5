"""The control plane of the tests behaves as one of a cluster does, and leaves nothing behind."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.controlplane.child import PlaneError
from tests.controlplane.plane import USERS, Plane, start_plane

# Runs a plane until it is killed; a process of its own, since the kernel is to see it die.
KILLED = """
import json, sys, time
from pathlib import Path
from tests.controlplane.plane import start_plane
with start_plane(Path(sys.argv[1]), Path(sys.argv[2])) as plane:
    print(json.dumps(plane.pids), flush=True)
    time.sleep(600)
"""

# Lets only the namespace controller, as its own ServiceAccount, delete a ConfigMap of the namespace "ends".
ONLY_THE_CONTROLLER = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: ends}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ends}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [DELETE], resources: [configmaps]}]
  validations:
  - expression: request.userInfo.username == "system:serviceaccount:kube-system:namespace-controller"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: ends}
spec: {policyName: ends, validationActions: [Deny]}
"""


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Return once it holds; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    """Tell whether no process of that pid runs; one that is dead and only not waited for is gone."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_it_is_the_version_that_its_program_says(control_plane: Path, plane: Plane) -> None:
    """What answers is the API server of the folder that was found."""
    program = subprocess.run(
        [control_plane / "kube-apiserver", "--version"], capture_output=True, text=True, check=True
    )
    served = json.loads(plane.kubectl("version", "-o", "json").stdout)["serverVersion"]["gitVersion"]
    assert program.stdout == f"Kubernetes {served}\n"


@pytest.mark.parametrize("user", [user for user in USERS if user != "controller"])
def test_each_user_is_who_the_table_says(plane: Plane, user: str) -> None:
    """A token means a name and its groups, to which the API server adds that they are authenticated."""
    review = json.loads(plane.kubectl("auth", "whoami", "-o", "json", user=user).stdout)["status"]["userInfo"]
    name, groups = USERS[user]
    assert (review["username"], set(review["groups"])) == (name, {*groups, "system:authenticated"})


def test_rbac_says_who_may(plane: Plane) -> None:
    """Root may list nodes; a stranger may not, and with `check` that is an error that says why."""
    plane.kubectl("get", "nodes")
    assert "cannot list resource" in plane.kubectl("get", "nodes", user="stranger", check=False).stderr
    with pytest.raises(subprocess.CalledProcessError) as refused:
        plane.kubectl("get", "nodes", user="stranger")
    assert "cannot list resource" in refused.value.__notes__[0]


def test_a_deleted_namespace_ends_by_the_hand_of_its_controller(plane: Plane) -> None:
    """What is in it is deleted by system:serviceaccount:kube-system:namespace-controller, then it is gone."""
    plane.kubectl("create", "namespace", "ends")
    plane.kubectl("create", "configmap", "content", "--namespace=ends")
    plane.kubectl("apply", "--filename=-", stdin=ONLY_THE_CONTROLLER)
    try:
        mine = ("delete", "configmap", "content", "--namespace=ends", "--dry-run=server")
        until(lambda: "denied request" in plane.kubectl(*mine, check=False).stderr)
        plane.kubectl("delete", "namespace", "ends")
    finally:
        plane.kubectl("delete", "--filename=-", stdin=ONLY_THE_CONTROLLER)
    assert "NotFound" in plane.kubectl("get", "namespace", "ends", check=False).stderr


def test_what_an_owner_owned_is_collected(plane: Plane) -> None:
    """The garbage collector works."""
    plane.kubectl("create", "configmap", "owner")
    owner = json.loads(plane.kubectl("get", "configmap", "owner", "-o", "json").stdout)["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner}
    owned = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned", "ownerReferences": [reference]}}
    plane.kubectl("create", "--filename=-", stdin=json.dumps(owned))
    plane.kubectl("delete", "configmap", "owner")
    until(lambda: plane.kubectl("get", "configmap", "owned", check=False).returncode != 0)


def test_the_api_server_starts_again_with_its_data(plane: Plane) -> None:
    """It is on the same address, whichever thread started it, and also when that thread has ended."""
    plane.kubectl("create", "configmap", "kept")
    before = plane.pids
    plane.stop_api_server()
    assert plane.pids == before | {"kube-apiserver": None}
    assert plane.kubectl("get", "configmap", "kept", check=False).returncode != 0
    starter = threading.Thread(target=plane.restart_api_server)
    starter.start()
    starter.join()
    plane.kubectl("delete", "configmap", "kept")
    # The controllers are the same ones and have found it again.
    assert plane.pids["kube-controller-manager"] == before["kube-controller-manager"]
    plane.kubectl("create", "namespace", "after")
    account = ("get", "serviceaccount", "default", "--namespace=after")
    until(lambda: plane.kubectl(*account, check=False).returncode == 0)


def test_tests_of_one_plane_are_one_group(request: pytest.FixtureRequest, plane: Plane) -> None:
    """Each worker of pytest is a session with a plane of its own, so one worker is to get all of them."""
    assert plane.folder.is_dir()
    assert [mark.args for mark in request.node.iter_markers("xdist_group")] == [("plane",)]
    assert request.node.get_closest_marker("e2e")
    if request.config.getoption("loadgroup", default=False):
        assert request.node.nodeid.endswith("@plane")


def test_nothing_is_left_when_it_ends(control_plane: Path, tmp_path: Path) -> None:
    """The three processes and etcd's data are gone; the logs stay."""
    with start_plane(control_plane, tmp_path) as plane:
        pids = [pid for pid in plane.pids.values() if pid]
        assert len(pids) == 3
    assert all(map(gone, pids))
    assert sorted(path.stem for path in tmp_path.glob("*.log")) == sorted(plane.pids)
    assert not (tmp_path / "etcd").exists()


def test_nothing_is_left_when_the_tests_are_killed(control_plane: Path, tmp_path: Path) -> None:
    """SIGKILL leaves nobody to clean up, and still no process stays."""
    command = [sys.executable, "-c", KILLED, str(control_plane), str(tmp_path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": "."}) as tests:
        assert tests.stdout
        pids = json.loads(tests.stdout.readline())
        assert len(pids) == 3
        assert not any(map(gone, pids.values()))
        tests.kill()
    until(lambda: all(map(gone, pids.values())))


def test_a_program_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    """The error holds the end of the log."""
    (tmp_path / "etcd").write_text("#!/bin/sh\necho the disk is full\nexit 3\n")
    (tmp_path / "etcd").chmod(0o755)
    (tmp_path / "plane").mkdir()
    with (
        pytest.raises(PlaneError, match=r"^etcd ended with 3:\nthe disk is full$"),
        start_plane(tmp_path, tmp_path / "plane"),
    ):
        pytest.fail("it started")
