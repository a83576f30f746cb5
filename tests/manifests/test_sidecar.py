"""OPA as the deployment starts it, with the paths and the port of a test."""

import os
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.manifests.built import Json, one
from webhook.decision.bundle import Bundle


def written() -> Json:
    """Return the container as the deployment has it."""
    return dict(one("base", "Deployment")["spec"]["template"]["spec"]["initContainers"][1])


@dataclass(frozen=True)
class Sidecar:
    """An OPA that runs: its socket, and its address for the kubelet."""

    socket: Path
    diagnostics: str


@pytest.fixture(scope="module")
def sidecar(opa_binary: Path, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """Started by the deployment's own arguments and environment, ready by its startup probe."""
    folder, container = tmp_path_factory.mktemp("opa"), written()
    bundle.write(folder / "bundle.tar.gz")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    moved = {"/run/opa": str(folder), "/bundle/": f"{folder}/", "0.0.0.0:8282": address}
    arguments = list(container["args"])
    for before, after in moved.items():
        assert any(before in each for each in arguments)
        arguments = [each.replace(before, after) for each in arguments]
    env = {"PATH": os.defpath} | {each["name"]: each["value"] for each in container["env"]}
    process = subprocess.Popen([opa_binary, *arguments], cwd="/", env=env, stderr=subprocess.DEVNULL)
    try:
        diagnostics, probe = f"http://{address}", container["startupProbe"]
        for _ in range(probe["failureThreshold"] * 20):
            if process.poll() is None and status(f"{diagnostics}{probe['httpGet']['path']}") == 200:
                break
            time.sleep(probe["periodSeconds"] / 20)
        yield Sidecar(folder / "opa.sock", diagnostics)
    finally:
        process.terminate()
        process.wait(10)


def status(url: str) -> int:
    """Return the HTTP status, 0 while nobody answers."""
    try:
        return httpx2.get(url, trust_env=False).status_code
    except httpx2.TransportError:
        return 0


def test_it_is_alive_and_ready_by_its_probes(sidecar: Sidecar) -> None:
    """Both ask the address that the kubelet can reach."""
    container = written()
    for name in ("startupProbe", "livenessProbe"):
        asked = container[name]["httpGet"]
        assert asked["port"] == container["ports"][0]["name"]
        assert status(f"{sidecar.diagnostics}{asked['path']}") == 200


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
