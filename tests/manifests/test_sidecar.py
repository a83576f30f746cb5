"""OPA as the deployment starts it, with the paths and the port of a test."""

import gzip
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import httpx2
import pytest

from tests.manifests.built import Json, one
from webhook.decision.bundle import Bundle

BUNDLE = "bundle.tar.gz"


def first() -> Json:
    """Return the container that makes the bundle, as the deployment has it."""
    return dict(one("base", "Deployment")["spec"]["template"]["spec"]["initContainers"][0])


def written() -> Json:
    """Return the container as the deployment has it."""
    return dict(one("base", "Deployment")["spec"]["template"]["spec"]["initContainers"][1])


@dataclass(frozen=True)
class Sidecar:
    """An OPA that runs: its socket, and its address for the kubelet."""

    process: "subprocess.Popen[bytes]"
    socket: Path
    diagnostics: str

    def probed(self, name: str) -> bool:
        """Say whether the kubelet's probe of that name succeeds."""
        probe = written()[name]
        return status(f"{self.diagnostics}{probe['httpGet']['path']}", seconds=probe["timeoutSeconds"]) == 200


@contextmanager
def started(opa_binary: Path, folder: Path) -> Iterator[Sidecar]:
    """Start it by the deployment's own arguments and environment, on the bundle and the key in `folder`."""
    container = written()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    # A short path of its own: that of a socket has few bytes.
    run = Path(mkdtemp())
    moved = {"/run/opa": str(run), "/bundle/": f"{folder}/", "0.0.0.0:8282": address}
    arguments = list(container["args"])
    for before, after in moved.items():
        assert any(before in each for each in arguments)
        arguments = [each.replace(before, after) for each in arguments]
    env = {"PATH": os.defpath} | {each["name"]: each["value"] for each in container["env"]}
    process = subprocess.Popen([opa_binary, *arguments], cwd="/", env=env, stderr=subprocess.PIPE)
    try:
        yield Sidecar(process, run / "opa.sock", f"http://{address}")
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(run)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the init container writes, by its own arguments."""
    folder = tmp_path_factory.mktemp("bundle")
    arguments = [each.replace("/bundle/", f"{folder}/") for each in first()["args"]]
    program = Path(sys.executable).parent / "portcullis"
    subprocess.run([program, *arguments], check=True, capture_output=True, timeout=60)
    return folder


@pytest.fixture(scope="module")
def sidecar(opa_binary: Path, signed: Path) -> Iterator[Sidecar]:
    """Ready by its startup probe."""
    with started(opa_binary, signed) as sidecar:
        probe = written()["startupProbe"]
        for _ in range(probe["failureThreshold"] * 20):
            if sidecar.probed("startupProbe"):
                break
            time.sleep(probe["periodSeconds"] / 20)
        yield sidecar


def status(url: str, *, seconds: float = 5) -> int:
    """Return the HTTP status, 0 while nobody answers."""
    try:
        return httpx2.get(url, trust_env=False, timeout=seconds).status_code
    except httpx2.TransportError:
        return 0


def test_it_is_alive_and_ready_by_its_probes(sidecar: Sidecar) -> None:
    """Both ask the address that the kubelet can reach."""
    container = written()
    for name in ("startupProbe", "livenessProbe"):
        assert container[name]["httpGet"]["port"] == container["ports"][0]["name"]
        assert sidecar.probed(name)


def test_one_that_hangs_is_started_again_within_15_seconds(sidecar: Sidecar) -> None:
    """Stopped, it answers no liveness probe; the probe's numbers say when it is killed, and that it is not asked."""
    probe = written()["livenessProbe"]
    sidecar.process.send_signal(signal.SIGSTOP)
    try:
        assert not sidecar.probed("livenessProbe")
    finally:
        sidecar.process.send_signal(signal.SIGCONT)
    assert sidecar.probed("livenessProbe")
    failed = probe["failureThreshold"] * max(probe["periodSeconds"], probe["timeoutSeconds"]) + probe["timeoutSeconds"]
    # A process that is stopped takes no SIGTERM: without a grace of the probe's own the pod's would be waited for.
    assert failed + probe["terminationGracePeriodSeconds"] <= 10, "and some seconds to start"


TAMPERED: dict[str, Callable[[Path, Bundle], object]] = {
    "a bundle of somebody else": lambda folder, bundle: (folder / BUNDLE).write_bytes(bundle.signed().content),
    "a bundle that is not signed": lambda folder, bundle: bundle.write(folder / BUNDLE),
    "a byte": lambda folder, _: flip(folder / BUNDLE),
}


def flip(path: Path) -> None:
    """Change one byte of a Rego file in a .tar.gz."""
    content = gzip.decompress(path.read_bytes())
    at = content.index(b"package portcullis") + 1
    path.write_bytes(gzip.compress(content[:at] + b"A" + content[at + 1 :]))


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED.keys())
def test_a_bundle_of_nobody_who_held_the_key_is_not_loaded(
    tamper: Callable[[Path, Bundle], object], opa_binary: Path, bundle: Bundle, signed: Path, tmp_path: Path
) -> None:
    """It never gets ready with another bundle than that of the init container, says why, and ends by itself."""
    folder = Path(shutil.copytree(signed, tmp_path / "bundle"))
    tamper(folder, bundle)
    with started(opa_binary, folder) as sidecar:
        for _ in range(20):
            assert not sidecar.probed("startupProbe")
            time.sleep(0.1)
        said = sidecar.process.communicate(timeout=30)[1].decode()
    assert sidecar.process.returncode not in {0, -signal.SIGKILL}
    assert "Bundle load failed" in said


def test_the_private_key_is_nowhere(signed: Path) -> None:
    """What the init container leaves behind verifies, and signs nothing."""
    assert {each.name for each in signed.iterdir()} == {BUNDLE, "bundle.pem"}
    assert b"PRIVATE" not in (signed / "bundle.pem").read_bytes()


def test_only_health_and_metrics_are_on_that_address(sidecar: Sidecar) -> None:
    """Whoever reaches the pod's address reads no policy, asks for no decision and changes neither."""
    with httpx2.Client(base_url=sidecar.diagnostics, trust_env=False) as client:
        assert client.get("/metrics").status_code == 200
        for path in ("/v1/data", "/v1/policies", "/v1/config", "/v1/status", "/v1/compile", "/v0/data", "/"):
            for method in ("GET", "POST", "PUT", "DELETE"):
                assert client.request(method, path, content=b"{}").status_code in {404, 405}


def test_decisions_are_on_the_socket_of_its_user_alone(sidecar: Sidecar) -> None:
    """With the bundle active, by which `serve` knows that it asks the policies that it read."""
    assert stat.S_IMODE(sidecar.socket.stat().st_mode) == 0o600
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(sidecar.socket))) as client:
        bundles = client.get("http://opa/v1/data/system/bundles").json()
    assert bundles["result"]["portcullis"]["manifest"]["roots"] == ["portcullis"]
