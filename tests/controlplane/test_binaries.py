"""Where the control plane comes from: the setting, PATH, the cache, a build by Go; in that order."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.controlplane.binaries import VERSION, NoControlPlaneError, find_control_plane

NAMES = ("etcd", "kube-apiserver", "kube-controller-manager")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Make a machine with nothing: PATH is one folder of our own, empty like the home."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "home").mkdir()
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")}


def write_program(path: Path, text: str) -> None:
    """Write a program for the shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{text}\n")
    path.chmod(0o755)


def write_programs(folder: Path, etcd: str = "3.6.8", server: str = VERSION, controllers: str = VERSION) -> Path:
    """Write three programs that say which version they are."""
    write_program(folder / "etcd", f"echo 'etcd Version: {etcd}'\necho 'Git SHA: Not provided'")
    write_program(folder / "kube-apiserver", f"echo 'Kubernetes v{server}'")
    write_program(folder / "kube-controller-manager", f"echo 'Kubernetes v{controllers}'")
    return folder


def write_go(tmp_path: Path, *, first: str = "true", version: str = VERSION) -> None:
    """Write a Go that notes how it was called and, after the line `first`, builds programs that say a version."""
    made = write_programs(tmp_path / "made", server=version, controllers=version)
    write_program(
        tmp_path / "bin/go",
        f"{first}\n"
        'while [ "$1" != -o ]; do begun="$begun $1"; shift; done\n'
        f'echo "$3 CGO_ENABLED=$CGO_ENABLED GOFLAGS=$GOFLAGS GOOS=$GOOS GOPROXY=$GOPROXY$begun" >>{tmp_path}/calls\n'
        f'cp {made}/$3 "$2"',
    )


def silent(line: str) -> None:
    """Fail: nothing was to be said."""
    raise AssertionError(line)


def test_the_folder_that_somebody_set_comes_before_path(tmp_path: Path, environment: dict[str, str]) -> None:
    """KUBEBUILDER_ASSETS is what is used where it has all three."""
    write_programs(tmp_path / "bin")
    assets = write_programs(tmp_path / "assets")
    assert find_control_plane(environment | {"KUBEBUILDER_ASSETS": str(assets)}, say=silent) == assets


def test_assets_without_a_controller_manager_are_passed_over_aloud(tmp_path: Path, environment: dict[str, str]) -> None:
    """What envtest downloads has no controller manager; then PATH is asked, and it is said why."""
    on_path, assets = write_programs(tmp_path / "bin"), write_programs(tmp_path / "assets")
    (assets / "kube-controller-manager").unlink()
    said: list[str] = []
    assert find_control_plane(environment | {"KUBEBUILDER_ASSETS": str(assets)}, say=said.append) == on_path
    assert said == [f"KUBEBUILDER_ASSETS is passed over: there is no program {assets}/kube-controller-manager"]


@pytest.mark.parametrize(
    "versions",
    [
        pytest.param({"etcd": "3.4.30"}, id="etcd of Debian"),
        pytest.param({"server": "1.31.9", "controllers": "1.31.9"}, id="Kubernetes too old"),
        pytest.param({"controllers": "1.36.2"}, id="two versions of Kubernetes"),
        pytest.param({"etcd": "unknown"}, id="etcd that names no version"),
    ],
)
def test_programs_that_will_not_do_on_path_are_passed_over(
    tmp_path: Path, environment: dict[str, str], versions: dict[str, str]
) -> None:
    """The next folder of PATH that has all three in versions that will do is used."""
    wrong, right = write_programs(tmp_path / "bin", **versions), write_programs(tmp_path / "next", server="1.36.3")
    path = os.pathsep.join(["relative", "", str(wrong), str(right)])
    assert find_control_plane(environment | {"PATH": path}, say=silent) == right


def test_without_go_the_error_says_what_to_do(tmp_path: Path, environment: dict[str, str]) -> None:
    """Where nothing is found and Go is missing, the error names the ways out."""
    write_programs(tmp_path / "bin", etcd="3.4.30")
    with pytest.raises(NoControlPlaneError, match=r"no Go on PATH.*install Go .*KUBEBUILDER_ASSETS.*make test-fast"):
        find_control_plane(environment, say=silent)


def test_it_is_built_once_and_then_found_in_the_cache(tmp_path: Path, environment: dict[str, str]) -> None:
    """The build tells each program, builds for this machine as the flags say, and is never done twice."""
    write_go(tmp_path)
    said: list[str] = []
    foreign = {"GOOS": "plan9", "GOFLAGS": "-mod=vendor", "GOPROXY": "theirs"}
    folder = find_control_plane(environment | foreign, say=said.append)
    assert folder.parent == tmp_path / "home/.cache/portcullis/controlplane"
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    assert "16 minutes" in said[0]
    assert [re.sub(r"\d+ s", "0 s", line) for line in said[1:]] == [
        line for name in NAMES for line in (f"building {name}", f"built {name} in 0 s")
    ]
    calls = (tmp_path / "calls").read_text().splitlines()
    begun = "CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOOS= GOPROXY=theirs build -trimpath -mod=readonly"
    assert [call.split(" -ldflags")[0] for call in calls] == [f"./{name} {begun}" for name in NAMES]
    assert find_control_plane(environment, say=silent) == folder


def test_an_interrupted_build_goes_on_where_it_ended(tmp_path: Path, environment: dict[str, str]) -> None:
    """What was built before stays, so that minutes of it are not spent again."""
    write_go(tmp_path, first='case "$*" in *controller*) echo no modules; exit 1;; esac')
    with pytest.raises(NoControlPlaneError, match="could not build kube-controller-manager: no modules; give Go a way"):
        find_control_plane(environment, say=lambda _: None)
    write_go(tmp_path)
    find_control_plane(environment, say=lambda _: None)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[0] for call in calls] == [f"./{name}" for name in NAMES]


def test_a_build_of_another_version_is_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    """A build is asked for its version before anybody relies on it."""
    write_go(tmp_path, version="0.0.0")
    with pytest.raises(NoControlPlaneError, match=r"kube-apiserver is 0\.0\.0, 1\.32 is needed"):
        find_control_plane(environment, say=lambda _: None)


def test_two_that_want_it_at_once_build_it_once(tmp_path: Path, environment: dict[str, str]) -> None:
    """The second waits for the first, says so, and finds what it built; the first says that it still builds."""
    write_go(tmp_path, first="sleep 0.2")
    said: list[list[str]] = [[], []]
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda s=s: found.append(find_control_plane(environment, say=s.append, beat=0.05)))
        for s in said
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert len((tmp_path / "calls").read_text().splitlines()) == len(NAMES)
    waiting, building = sorted(said, key=len)
    assert waiting == ["waiting: the control plane is being built by another process"]
    assert "building etcd: 0 s so far" in building


def test_as_a_command_it_prints_the_folder_alone(tmp_path: Path, environment: dict[str, str]) -> None:
    """Standard output is the folder and nothing else, or the error ends the command."""
    command = [sys.executable, "-m", "tests.controlplane.binaries"]
    environment |= {"PYTHONPATH": str(Path(__file__).parents[2])}
    without = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (without.returncode, without.stdout, "install Go" in without.stderr) == (1, "", True)
    write_programs(tmp_path / "bin")
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == (f"{tmp_path}/bin\n", "")
