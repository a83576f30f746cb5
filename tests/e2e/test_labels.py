"""Labels that follow from the tree: whoever changes them after us, another webhook say, does not get them stored."""

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
from tests.e2e.guarded import Guarded
from tests.e2e.manifests import documents
from tests.e2e.reading import until

Json = dict[str, Any]

PROJECT = "portcullis.dev/project"
NAME = "zz-meddling"


class Meddling(BaseHTTPRequestHandler):
    """A mutating webhook of somebody else that says that every namespace is of project `stolen`."""

    def do_POST(self) -> None:
        """Answer with a patch."""
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))["request"]
        patch = [{"op": "add", "path": f"/metadata/labels/{PROJECT.replace('/', '~1')}", "value": "stolen"}]
        response = {
            "uid": request["uid"],
            "allowed": True,
            "patchType": "JSONPatch",
            "patch": base64.b64encode(json.dumps(patch).encode()).decode(),
        }
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(review).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Serve it; yield its URL and its CA."""
    pair = certs.ensure(folder, ("127.0.0.1",), now=datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Meddling) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_address[1]}/", pair.ca.read_bytes()
        server.shutdown()


@pytest.fixture
def meddled(guarded: Guarded, tmp_path: Path) -> Iterator[None]:
    """Another mutating webhook changes namespaces of one name after us, and once more after we have put them right."""
    with served(tmp_path) as (url, ca):
        hook = {
            "name": "zz.meddling.example",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "reinvocationPolicy": "IfNeeded",
            "clientConfig": {"url": url, "caBundle": base64.b64encode(ca).decode()},
            "matchConditions": [{"name": "one-name", "expression": "request.name == 'meddled'"}],
            "rules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["namespaces"]}
            ],
        }
        thing = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
        other = {**thing, "metadata": {"name": NAME}, "webhooks": [hook]}
        guarded.kubectl("create", "--filename=-", user="root", stdin=documents(other))
        try:
            yield
        finally:
            guarded.kubectl("delete", "mutatingwebhookconfiguration", NAME, user="root")


@pytest.mark.usefixtures("meddled")
def test_what_another_webhook_makes_of_our_labels_is_refused(guarded: Guarded) -> None:
    """With the message that says what the label has to be; the namespace beside it is made as ever."""

    def refused() -> bool:
        # The API server hears of a new webhook a moment later.
        probe = ("create", "namespace", "meddled", "--dry-run=server")
        return "[baseline/namespace-labels]" in guarded.plane.kubectl(*probe, user="wanda", check=False).stderr

    until(refused, 10)
    said = guarded.refused("create", "namespace", "meddled", user="wanda")
    assert "wanda may not create Namespace meddled: the label portcullis.dev/project is 'stolen' and has to be" in said
    assert guarded.reader.namespace("meddled") is None
    assert guarded.create("unmeddled")["metadata"]["labels"][PROJECT] == "payments"
