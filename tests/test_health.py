"""How it goes, over plain HTTP: the listener of a controller that runs apart."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
from prometheus_client import CollectorRegistry, Counter

from tests.conftest import Loop
from tests.test_server import serving
from webhook.health import Health, create_health_app


@contextmanager
def listener(loop: Loop, health: Health, role: str = "leader") -> Iterator[httpx2.Client]:
    """Serve it without TLS, with a counter in its metrics."""
    registry = CollectorRegistry()
    Counter("portcullis_things", "Things.", registry=registry).inc(3)
    with serving(loop, create_health_app(health, lambda: role, registry), None) as server:
        _, port = server.address()
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client


def test_it_is_alive_whatever_is_missing(loop: Loop) -> None:
    """Starting it again would not bring what is missing."""
    with listener(loop, Health(lambda: ["watch of Namespace: cut"])) as client:
        assert client.get("/healthz").text == "ok\n"
        answer = client.get("/readyz")
    assert answer.status_code == 503
    told = {"ready": False, "missing": ["watch of Namespace: cut"], "notes": [], "role": "leader"}
    assert answer.json() == told


@pytest.mark.parametrize("role", ["leader", "standby"])
def test_it_is_ready_whether_or_not_it_leads(loop: Loop, role: str) -> None:
    """It says which, and what an operator has to know."""
    with listener(loop, Health(list, lambda: ["a note"]), role) as client:
        answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "missing": [], "notes": ["a note"], "role": role}


def test_metrics_are_told(loop: Loop) -> None:
    """In the format of Prometheus."""
    with listener(loop, Health(list)) as client:
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "portcullis_things_total 3.0\n" in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/readyz", 405), ("GET", "/validate", 404), ("POST", "/validate", 404), ("GET", "/", 404)],
)
def test_nothing_else_is_answered(loop: Loop, method: str, path: str, status: int) -> None:
    """No review, above all."""
    with listener(loop, Health(list)) as client:
        assert client.request(method, path).status_code == status
