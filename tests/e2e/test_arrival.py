"""What `check` believes to arrive at the webhook is what a real API server hands to one."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import certs
from tests.check.arrivals import MANIFESTS
from tests.controlplane.plane import Plane
from tests.e2e.manifests import documents
from tests.e2e.reading import Reader, until
from webhook.check.arrival import ArrivalError, arrived

Json = dict[str, Any]

NAME = "listening"
PATHS = {
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies",
    "Namespace": "/api/v1/namespaces",
}
# As kubectl 1.36 asks.
PARAMETERS = {"dryRun": "All", "fieldManager": "kubectl-create", "fieldValidation": "Strict"}
SYSTEM = ("uid", "creationTimestamp", "generation", "managedFields")


class Listener(ThreadingHTTPServer):
    """A validating webhook that lets everything pass, and keeps the objects that it sees."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Listening)
        self.seen: list[Json] = []


class Listening(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Keep the object, and allow it."""
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))["request"]
        assert isinstance(self.server, Listener)
        self.server.seen.append(request["object"])
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        body = json.dumps({**review, "response": {"uid": request["uid"], "allowed": True}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[tuple[Listener, bytes]]:
    """Serve it; yield it and its CA."""
    pair = certs.ensure(folder, ("127.0.0.1",), now=datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with Listener() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server, pair.ca.read_bytes()
        server.shutdown()


@pytest.fixture
def listener(plane: Plane, tmp_path: Path) -> Iterator[Listener]:
    """The webhook, once the API server asks it; the plane is left as it was."""
    with served(tmp_path) as (server, ca):
        rules = [
            {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]}
            for group, resource in (("", "namespaces"), ("networking.k8s.io", "networkpolicies"))
        ]
        hook = {
            "name": "listening.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": {
                "url": f"https://127.0.0.1:{server.server_address[1]}/",
                "caBundle": base64.b64encode(ca).decode(),
            },
            "rules": rules,
        }
        kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
        plane.kubectl(
            "create", "--filename=-", stdin=documents({**kind, "metadata": {"name": NAME}, "webhooks": [hook]})
        )
        reader = Reader(plane)
        try:
            until(lambda: asked(reader, server, MANIFESTS["namespace"])[1], 10)
            yield server
        finally:
            reader.client.close()
            plane.kubectl("delete", "validatingwebhookconfiguration", NAME)


def asked(reader: Reader, server: Listener, manifest: Json) -> tuple[int, Json | None]:
    """Create a manifest without storing it; return the status of the answer and what arrived."""
    server.seen.clear()
    status = reader.client.post(PATHS[manifest["kind"]], params=PARAMETERS, json=manifest).status_code
    if not server.seen:
        return status, None
    (thing,) = server.seen
    metadata = thing["metadata"]
    for name in SYSTEM:
        metadata.pop(name, None)
    if "generateName" in metadata and not manifest["metadata"].get("name"):
        # The name that was made differs each time.
        label = {"kubernetes.io/metadata.name": metadata.pop("name")}
        assert metadata.pop("labels", label) == label
    return status, thing


def told(manifest: Json) -> tuple[int, Json | None]:
    """Return what we believe: the status, and what arrives."""
    try:
        return 201, arrived(manifest)
    except ArrivalError as error:
        return error.status, None


def test_it_arrives_as_we_say_or_is_refused_as_we_say(plane: Plane, listener: Listener) -> None:
    """Every manifest of the table, defaults and refusals, 400 and 422 apart; both come up many times."""
    reader = Reader(plane)
    try:
        seen = {name: asked(reader, listener, manifest) for name, manifest in MANIFESTS.items()}
    finally:
        reader.client.close()
    believed = {name: told(manifest) for name, manifest in MANIFESTS.items()}
    assert not {name: (each, believed[name]) for name, each in seen.items() if each != believed[name]}
    statuses = [status for status, _ in seen.values()]
    assert min(statuses.count(each) for each in (201, 400, 422)) > 20, statuses
