"""The routes over real TLS, with a real OPA behind them: what is answered to whom, and how health is told."""

import asyncio
import base64
import dataclasses
import http.client
import re
import socket
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from structlog.testing import capture_logs

import certs
from tests.cases.reviews import ADA, BO, NAMESPACE, NETPOL, ROOT, Asked, Json, injected, namespace, policy
from tests.conftest import Loop
from tests.test_server import HOSTS, certified, client, serving, trusting
from webhook.admission import Gate
from webhook.app import MOST_BYTES, Callers, Metrics, create_app, seconds_left
from webhook.decision.opa import Engine, LocalOpa, Opa
from webhook.errors import OpaError
from webhook.health import Health
from webhook.history.record import Record
from webhook.model import Policies
from webhook.server import AnyCallers, CertifiedCallers, Server

MINE = Asked(ADA, "CREATE", NETPOL, new=policy("checkout-dev"))
THEIRS = Asked(BO, "CREATE", NETPOL, new=policy("checkout-dev"))
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Webhook:
    """A server that runs, what it answers on, and a client of it."""

    server: Server
    ca: Path
    client: httpx2.Client

    def ask(self, asked: Asked, path: str = "/validate") -> Json:
        """Return the `response` to a review."""
        reply = self.client.post(path, json=asked.review())
        assert reply.status_code == 200, reply.text
        response: Json = reply.json()["response"]
        return response


@contextmanager
def webhook_of(
    loop: Loop, gate: Gate, folder: Path, *, callers: Callers | None = None, health: Health | None = None, **tls: Any
) -> Iterator[Webhook]:
    """Serve the app as `serve` does, with metrics of its own."""
    metrics = Metrics()
    served = dataclasses.replace(gate, record=metrics.decided)
    app = create_app(served, health or Health(list), metrics, callers or AnyCallers())
    files = certified(folder / "certs", **tls)
    ca = folder / "certs" / "ca.crt"
    with serving(loop, app, files) as server, client(server, ca) as asking:
        yield Webhook(server, ca, asking)


@pytest.fixture(scope="module")
def webhook(loop: Loop, gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    """The webhook with the shipped rules."""
    with webhook_of(loop, gate, tmp_path_factory.mktemp("webhook")) as running:
        yield running


def told_no_trace(reply: httpx2.Response) -> str:
    """Return the one thing that a refusal says; fail if it holds more, or looks like a yes."""
    assert reply.headers["content-type"] == "application/json"
    body: Json = reply.json()
    assert body.keys() == {"error"}
    assert "Traceback" not in reply.text
    assert not re.search(r'File "|\.py\b|line \d+, in', reply.text)
    return str(body["error"])


def test_a_review_is_answered(webhook: Webhook) -> None:
    """The owner is allowed, the sibling is denied with 403 and the rule; both with the review's own uid."""
    review = MINE.review()
    reply = webhook.client.post("/validate?timeout=10s", json=review)
    assert reply.headers["content-type"] == "application/json"
    answer = reply.json()
    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert answer["response"]["uid"] == review["request"]["uid"]
    assert answer["response"]["allowed"] is True
    assert answer["response"]["auditAnnotations"].keys() == {"decision-id", "policy-revision", "rules"}
    denial = webhook.ask(THEIRS)
    assert denial["allowed"] is False
    assert (denial["status"]["code"], denial["status"]["reason"]) == (403, "Forbidden")
    assert denial["status"]["message"].startswith("[rbac/namespace-policy] bo may not create NetworkPolicy")


def test_a_namespace_is_stamped(webhook: Webhook) -> None:
    """The mutating route answers with a JSON patch, and with none where there is nothing to do."""
    answer = webhook.ask(Asked(ADA, "CREATE", NAMESPACE, new=namespace("checkout-new")), "/mutate")
    assert (answer["allowed"], answer["patchType"]) == (True, "JSONPatch")
    patch = orjson.loads(base64.b64decode(answer["patch"]))
    assert "/metadata/labels/portcullis.dev~1workspace" in {each["path"] for each in patch}
    nothing = webhook.ask(MINE, "/mutate")
    assert nothing["allowed"]
    assert {"patch", "patchType"} & nothing.keys() == set()


@pytest.mark.parametrize("route", ["/validate", "/mutate"])
@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON ;charset=UTF-8"])
def test_a_parameter_of_the_content_type_is_fine(webhook: Webhook, route: str, content_type: str) -> None:
    """JSON is JSON with a charset, and in any letter case."""
    reply = webhook.client.post(route, content=orjson.dumps(MINE.review()), headers={"content-type": content_type})
    assert reply.status_code == 200
    assert reply.json()["response"]["allowed"]


@pytest.mark.parametrize("route", ["/validate", "/mutate"])
@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "application/json-patch+json", "application/jsonx"],
)
def test_another_content_type_is_415(webhook: Webhook, route: str, content_type: str | None) -> None:
    """A review is JSON and says so."""
    headers = {} if content_type is None else {"content-type": content_type}
    reply = webhook.client.post(route, content=orjson.dumps(MINE.review()), headers=headers)
    assert reply.status_code == 415
    assert told_no_trace(reply) == "send an AdmissionReview as application/json"


def changed(**fields: Any) -> bytes:
    """Return a review whose request differs; None takes a field away."""
    review = MINE.review()
    request = {key: value for key, value in (review["request"] | fields).items() if value is not None}
    return orjson.dumps(review | {"request": request})


BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not JSON"),
    "no JSON": (b"allowed: true", "not JSON"),
    "half": (orjson.dumps(MINE.review())[:-5], "not JSON"),
    "no UTF-8": (b'{"apiVersion": "\xff"}', "not JSON"),
    "two documents": (orjson.dumps(MINE.review()) * 2, "not JSON"),
    "not a number": (b'{"request": NaN}', "not JSON"),
    "nested": (b'{"a":' * 5000 + b"1" + b"}" * 5000, "not JSON"),
    "an integer of 65 bits": (changed(object={"spec": {"a": 0}}).replace(b'"a":0', b'"a":%d' % 2**64), "64 bits"),
    "a list": (b"[]", "not an AdmissionReview of admission.k8s.io/v1: the body"),
    "null": (b"null", "not an AdmissionReview"),
    "empty": (b"{}", "apiVersion: Field required"),
    "v1beta1": (orjson.dumps(MINE.review() | {"apiVersion": "admission.k8s.io/v1beta1"}), "apiVersion"),
    "another kind": (orjson.dumps(MINE.review() | {"kind": "TokenReview"}), "kind"),
    "no request": (orjson.dumps({key: each for key, each in MINE.review().items() if key != "request"}), "request"),
    "request null": (orjson.dumps(MINE.review() | {"request": None}), "request"),
    "no uid": (changed(uid=None), "request.uid: Field required"),
    "empty uid": (changed(uid=""), "request.uid"),
    "no kind": (changed(kind=None), "request.kind: Field required"),
    "no operation": (changed(operation=None), "request.operation: Field required"),
    "another operation": (changed(operation="PATCH"), "request.operation"),
    "no user": (changed(userInfo=None), "request.userInfo: Field required"),
    "a user name of another type": (changed(userInfo={"username": 7}), "request.userInfo.username"),
    "an object that is a list": (changed(object=[]), "request.object"),
    "a label that is a number": (changed(object={"metadata": {"labels": {"a": 1}}}), "request.object"),
    "dry run in words": (changed(dryRun="no"), "request.dryRun"),
}


@pytest.mark.parametrize("route", ["/validate", "/mutate"])
@pytest.mark.parametrize(("body", "reason"), BAD.values(), ids=BAD.keys())
def test_what_is_no_review_is_400(webhook: Webhook, route: str, body: bytes, reason: str) -> None:
    """A body that cannot be read as a review is refused with what is wrong, and no trace."""
    reply = webhook.client.post(route, content=body, headers=JSON)
    assert reply.status_code == 400
    assert reason in told_no_trace(reply)
    assert len(reply.content) < 1000


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/validate", 405),
        ("PUT", "/validate", 405),
        ("GET", "/mutate", 405),
        ("POST", "/healthz", 405),
        ("POST", "/readyz", 405),
        ("DELETE", "/metrics", 405),
        ("POST", "/validate/", 404),
        ("POST", "/validate/portcullis", 404),
        ("POST", "/Validate", 404),
        ("POST", "/", 404),
        ("GET", "/", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
    ],
)
def test_there_are_no_other_routes(webhook: Webhook, method: str, path: str, status: int) -> None:
    """Whatever else is asked is no decision, nor a way to one."""
    reply = webhook.client.request(method, path, content=orjson.dumps(MINE.review()), headers=JSON)
    assert reply.status_code == status
    assert "allowed" not in reply.text


def test_more_than_8_mib_is_413(webhook: Webhook) -> None:
    """One byte too many is refused; the connection goes on."""
    reply = webhook.client.post("/validate", content=b" " * (MOST_BYTES + 1), headers=JSON)
    assert reply.status_code == 413
    assert told_no_trace(reply) == f"the body has {MOST_BYTES + 1} bytes, more than {MOST_BYTES}"
    assert webhook.ask(MINE)["allowed"]


def test_more_than_8_mib_in_chunks_is_413(webhook: Webhook) -> None:
    """A body that does not say its length is counted as it comes."""

    def chunks() -> Iterator[bytes]:
        for _ in range(9):
            yield b" " * (1024 * 1024)

    reply = webhook.client.post("/validate", content=chunks(), headers=JSON)
    assert reply.status_code == 413
    assert told_no_trace(reply) == f"the body has more than {MOST_BYTES} bytes"
    assert webhook.ask(MINE)["allowed"]


@contextmanager
def connected(webhook: Webhook) -> Iterator[http.client.HTTPSConnection]:
    host, port = webhook.server.address()
    connection = http.client.HTTPSConnection(host, port, timeout=20, context=trusting(webhook.ca))
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize("length", [str(MOST_BYTES + 1), "9" * 18])
def test_a_length_that_is_too_much_is_refused_before_the_body_comes(webhook: Webhook, length: str) -> None:
    """Nobody makes us wait for, or keep, what we would not read."""
    with connected(webhook) as connection:
        connection.putrequest("POST", "/validate")
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", length)
        connection.endheaders()
        assert connection.getresponse().status == 413


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "in chunks"])
def test_exactly_8_mib_are_read(webhook: Webhook, chunked: bool) -> None:  # noqa: FBT001
    """The bound itself is allowed: spaces around a review are JSON."""
    body = orjson.dumps(MINE.review())
    body += b" " * (MOST_BYTES - len(body))
    content = iter([body]) if chunked else body
    reply = webhook.client.post("/validate?timeout=30s", content=content, headers=JSON)
    assert reply.status_code == 200
    assert reply.json()["response"]["allowed"]


def managed(size: int) -> Json:
    """Return a policy whose managedFields are so large."""
    return policy("checkout-dev", managedFields=[{"manager": "x" * size}])


def wide(size: int) -> Json:
    """Return a policy whose rules are so large."""
    peer = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "a" * 63}}}
    count = size // len(orjson.dumps(peer))
    return policy("checkout-dev", spec={"podSelector": {}, "ingress": [{"from": [peer] * count}]})


# aiohttp's advice on how to send more than 1 MiB; the document is written in one go, which takes milliseconds.
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
@pytest.mark.parametrize("grown", [managed, wide], ids=["managedFields", "spec"])
def test_the_largest_legal_review_is_answered(webhook: Webhook, grown: Any) -> None:
    """An update of an object at the API server's limit is 5.7 MB, and it is decided like any other."""
    body = orjson.dumps(Asked(ADA, "UPDATE", NETPOL, new=grown(2_850_000), old=grown(2_850_000)).review())
    assert len(body) > 5_690_000
    reply = webhook.client.post("/validate?timeout=30s", content=body, headers=JSON)
    assert reply.status_code == 200
    assert reply.json()["response"]["allowed"], reply.text


@dataclass(frozen=True)
class Broken:
    """An OPA client that fails as nobody foresaw."""

    error: Exception

    async def query_rule(self, *_: Any) -> Any:
        raise self.error


DENIED = "Portcullis failed on this request, so it denies; its log says why"
SECRET = "hunter2"  # noqa: S105 - it must not get out
UNFORESEEN = [RuntimeError(SECRET), KeyError(SECRET), AssertionError(SECRET), OpaError(SECRET), MemoryError(SECRET)]


@pytest.mark.parametrize("route", ["/validate", "/mutate"])
@pytest.mark.parametrize("error", UNFORESEEN, ids=lambda error: type(error).__name__)
def test_what_nobody_foresaw_is_no_decision_and_no_yes(
    loop: Loop, gate: Gate, tmp_path: Path, error: Exception, route: str
) -> None:
    """A review that fails as nobody foresaw is denied and counted; the error's words are the log's alone."""
    broken, review = dataclasses.replace(gate, engine=Engine(Broken(error), gate.policies)), MINE.review()
    with capture_logs() as logs, webhook_of(loop, broken, tmp_path) as webhook:
        reply = webhook.client.post(route, json=review)
        counted = f'portcullis_decisions_total{{route="{route[1:]}",verdict="error"}} 1.0'
        assert counted in webhook.client.get("/metrics").text
    assert (reply.status_code, SECRET in reply.text) == (200, False)
    response = reply.json()["response"]
    assert (response["uid"], response["allowed"]) == (review["request"]["uid"], False)
    assert (response["status"]["code"], response["status"]["reason"]) == (500, "InternalError")
    assert "details" not in response["status"]
    assert "failed as nobody foresaw, and the log says why. Decision " in response["status"]["message"]
    assert [(each["event"], each["route"], each["exc_info"]) for each in logs] == [("review failed", route[1:], error)]


@dataclass(frozen=True)
class Forgetful:
    """What keeps records, and fails at it."""

    error: Exception

    def __call__(self, _: Record) -> None:
        raise self.error


@pytest.mark.parametrize("route", ["/validate", "/mutate"])
@pytest.mark.parametrize("error", UNFORESEEN, ids=lambda error: type(error).__name__)
def test_what_cannot_be_answered_at_all_is_500_and_no_yes(
    loop: Loop, gate: Gate, tmp_path: Path, error: Exception, route: str
) -> None:
    """Where saying so fails too it is HTTP 500, which is no admission; the log has the words, and we go on."""
    app = create_app(dataclasses.replace(gate, record=Forgetful(error)), Health(list), Metrics(), AnyCallers())
    files = certified(tmp_path / "certs")
    with capture_logs() as logs, serving(loop, app, files) as server, ExitStack() as stack:
        webhook = Webhook(
            server, tmp_path / "certs" / "ca.crt", stack.enter_context(client(server, tmp_path / "certs" / "ca.crt"))
        )
        connection = stack.enter_context(connected(webhook))
        for _ in range(2):
            connection.request("POST", route, orjson.dumps(MINE.review()), JSON)
            first = connection.sock
            reply = connection.getresponse()
            body = reply.read()
            assert (reply.status, orjson.loads(body)) == (500, {"error": DENIED})
            # It is the same connection: closing it would lose the API server's next review.
            assert connection.sock is first
        assert webhook.client.get("/healthz").status_code == 200
        assert 'portcullis_bad_requests_total{status="500"} 2.0' in webhook.client.get("/metrics").text
    assert [each["event"] for each in logs] == ["review failed", "request failed"] * 2
    assert logs[0]["exc_info"] is logs[1]["exc_info"].__cause__ is error


TIMEOUTS: dict[str | None, float] = {
    None: 8,
    "": 8,
    "10s": 8,
    "30s": 24,
    "5s": 4,
    "2s": 1.6,
    "1s": 0.8,
    "9999s": 24,
    "0s": -0.2,
    "99999s": 8,
    "10": 8,
    "1m": 8,
    "-1s": 8,
    "1.5s": 8,
    "10s\n": 8,
    "\u0661s": 8,
    "infs": 8,
}


@pytest.mark.parametrize(("parameter", "seconds"), TIMEOUTS.items(), ids=map(repr, TIMEOUTS))
def test_the_answer_has_to_be_back_before_the_api_server_gives_up(parameter: str | None, seconds: float) -> None:
    """A fifth of what it says, and at least 0.2 s, is kept back; what cannot be read counts as 10 s."""
    assert seconds_left(parameter) == pytest.approx(seconds)


class Silent:
    """An OPA that never answers."""

    async def query_rule(self, *_: Any) -> Any:
        await asyncio.Event().wait()


@pytest.mark.parametrize("route", ["/validate", "/mutate"])
def test_an_opa_that_hangs_is_answered_for_in_time(loop: Loop, gate: Gate, tmp_path: Path, route: str) -> None:
    """The denial is there before the API server's own deadline, and says that asking again may help."""
    with webhook_of(loop, dataclasses.replace(gate, engine=Engine(Silent(), gate.policies)), tmp_path) as webhook:
        webhook.client.get("/healthz")
        begin = time.monotonic()
        response = webhook.client.post(f"{route}?timeout=1s", json=MINE.review()).json()["response"]
        assert time.monotonic() - begin < 1
        assert not response["allowed"]
        assert (response["status"]["code"], response["status"]["reason"]) == (500, "InternalError")
        assert response["status"]["details"] == {"retryAfterSeconds": 1}


def test_it_is_alive_and_ready(webhook: Webhook) -> None:
    """Ready means that OPA has decided something by the shipped revision just now."""
    assert webhook.client.get("/healthz").text == "ok\n"
    reply = webhook.client.get("/readyz")
    assert reply.status_code == 200
    state = reply.json()
    assert (state["ready"], state["missing"]) == (True, [])
    assert re.fullmatch(r"[0-9a-f]{64}", state["revision"])


def unready(loop: Loop, gate: Gate, folder: Path, health: Health | None = None) -> Json:
    """Return what /readyz says where something is missing; it lives all the same."""
    with webhook_of(loop, gate, folder, health=health) as webhook:
        assert webhook.client.get("/healthz").status_code == 200
        reply = webhook.client.get("/readyz")
        assert reply.status_code == 503
        state: Json = reply.json()
        assert state["ready"] is False
        return state


def test_it_is_not_ready_without_opa(loop: Loop, gate: Gate, tmp_path: Path) -> None:
    """Without OPA there is no decision, and that is what is missing."""
    with opened(loop, LocalOpa(socket=tmp_path / "none.sock")) as opa:
        state = unready(loop, dataclasses.replace(gate, engine=Engine(opa, gate.policies)), tmp_path)
    assert state["missing"] == ["policies: OPA cannot be reached"]


@contextmanager
def opened(loop: Loop, opa: LocalOpa) -> Iterator[Opa]:
    loop.run(opa.__aenter__())
    try:
        yield opa
    finally:
        loop.run(opa.__aexit__(None, None, None))


def test_it_is_not_ready_with_other_policies(loop: Loop, gate: Gate, tmp_path: Path) -> None:
    """An OPA of another revision decides nothing here."""
    other = dataclasses.replace(gate, engine=Engine(gate.opa, Policies("0" * 64, gate.policies.rules)))
    state = unready(loop, other, tmp_path)
    assert state["missing"] == ["policies: OPA has another revision of the policies than the one shipped"]
    assert state["revision"] == "0" * 64


def test_it_is_not_ready_with_an_expired_certificate(loop: Loop, gate: Gate, tmp_path: Path) -> None:
    """A certificate that no client accepts any more is named, with its file and what to do."""
    then = datetime.now(UTC) - timedelta(days=200)
    (tmp_path / "old").mkdir()
    path = tmp_path / "old" / "tls.crt"
    path.write_bytes(certs.issue_serving(certs.issue_authority(now=then), HOSTS, now=then).certificate)
    health = Health(lambda: [f"certificate: {certs.problem(path, now=datetime.now(UTC))}"])
    state = unready(loop, gate, tmp_path, health)
    assert len(state["missing"]) == 1
    assert re.fullmatch(rf"certificate: {re.escape(str(path))} expired at .*Z: renew it", state["missing"][0])


def test_everything_that_is_missing_is_told_at_once(loop: Loop, gate: Gate, tmp_path: Path) -> None:
    """What is wrong is not told one by one, and notes do not make it unready."""
    health = Health(lambda: ["one", "two"], notes=lambda: ["a note"])
    state = unready(
        loop, dataclasses.replace(gate, engine=Engine(Broken(ValueError("no")), gate.policies)), tmp_path, health
    )
    assert state["missing"][:2] == ["one", "two"]
    assert state["missing"][2].startswith("policies: ")
    assert state["notes"] == ["a note"]


def test_metrics_count_what_was_decided(loop: Loop, gate: Gate, tmp_path: Path) -> None:
    """Decisions are counted by route and verdict, refusals by status; nothing that a caller chose becomes a label."""
    with webhook_of(loop, gate, tmp_path) as webhook:
        webhook.ask(MINE)
        webhook.ask(MINE)
        webhook.ask(THEIRS)
        webhook.ask(MINE, "/mutate")
        webhook.ask(Asked(ROOT, "DELETE", NETPOL, old=injected("checkout-dev")))
        webhook.client.post("/validate", content=b"", headers=JSON)
        webhook.client.post("/mutate", content=b"")
        reply = webhook.client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    lines = set(reply.text.splitlines())
    assert {
        'portcullis_decisions_total{route="validate",verdict="allow"} 2.0',
        'portcullis_decisions_total{route="validate",verdict="deny"} 1.0',
        'portcullis_decisions_total{route="validate",verdict="warn"} 1.0',
        'portcullis_decisions_total{route="mutate",verdict="allow"} 1.0',
        'portcullis_decision_seconds_count{route="validate"} 4.0',
        'portcullis_bad_requests_total{status="400"} 1.0',
        'portcullis_bad_requests_total{status="415"} 1.0',
        "portcullis_opa_restarts 0.0",
    } <= lines
    assert "checkout" not in reply.text


def test_what_keeps_a_decision_away_is_counted_by_cause(loop: Loop, gate: Gate, tmp_path: Path) -> None:
    """A word for each cause, never one of the request's own."""
    other = Policies("0" * 64, gate.policies.rules)
    with opened(loop, LocalOpa(socket=tmp_path / "none.sock")) as none:
        faults = {
            "unreachable": dataclasses.replace(gate, engine=Engine(none, gate.policies)),
            "late": dataclasses.replace(gate, engine=Engine(Silent(), gate.policies)),
            "revision": dataclasses.replace(gate, engine=Engine(gate.opa, other)),
            "failed": dataclasses.replace(gate, engine=Engine(Broken(ValueError("no")), gate.policies)),
            "undecided": dataclasses.replace(gate, tree=lambda: None),
            "unforeseen": dataclasses.replace(gate, engine=Engine(Broken(RuntimeError("no")), gate.policies)),
        }
        for cause, faulty in faults.items():
            with webhook_of(loop, faulty, tmp_path) as webhook:
                assert webhook.client.post("/validate?timeout=1s", json=MINE.review()).status_code == 200
                lines = set(webhook.client.get("/metrics").text.splitlines())
            assert {each for each in lines if each.startswith("portcullis_undecided_total")} == {
                f'portcullis_undecided_total{{cause="{cause}"}} 1.0'
            }


def test_one_connection_carries_many_reviews(webhook: Webhook) -> None:
    """A connection is kept after an answer, a refusal included: the API server need not shake hands each time."""
    with connected(webhook) as connection:
        connection.connect()
        first = connection.sock
        for body, status in ((orjson.dumps(MINE.review()), 200), (b"", 400), (orjson.dumps(THEIRS.review()), 200)):
            connection.request("POST", "/validate", body, JSON)
            reply = connection.getresponse()
            assert (reply.status, reply.read() != b"") == (status, True)
            assert connection.sock is first


def shaken(webhook: Webhook, trust: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(webhook.server.address(), timeout=10)
    try:
        return trust.wrap_socket(plain, server_hostname="localhost")
    except BaseException:
        plain.close()
        raise


def test_it_speaks_http_1_1_alone(webhook: Webhook) -> None:
    """Whoever offers HTTP/2 first is given HTTP/1.1, by TLS 1.3 or 1.2."""
    for most in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        trust = trusting(webhook.ca)
        trust.maximum_version = most
        trust.set_alpn_protocols(["h2", "http/1.1"])
        with shaken(webhook, trust) as secure:
            assert secure.selected_alpn_protocol() == "http/1.1"
            assert secure.version() == {"TLSv1_3": "TLSv1.3", "TLSv1_2": "TLSv1.2"}[most.name]


def test_tls_1_1_is_refused(webhook: Webhook) -> None:
    """It is the server that refuses: the client offers it, with ciphers of that time, and is heard with 1.2."""
    trust = trusting(webhook.ca)
    trust.set_ciphers("ALL:@SECLEVEL=0")
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        trust.minimum_version = ssl.TLSVersion.TLSv1_1
    with shaken(webhook, trust) as secure:
        assert secure.version() == "TLSv1.2"
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        trust.maximum_version = ssl.TLSVersion.TLSv1_1
    # asyncio hangs up before the alert is out; "no protocols available" would be the client's own refusal.
    with pytest.raises(ssl.SSLError, match=r"UNEXPECTED_EOF_WHILE_READING|(?i:alert protocol version)"):
        shaken(webhook, trust)


def client_certificate(authority: certs.Pair, folder: Path) -> tuple[Path, Path]:
    """Issue what the API server would show: a client's certificate, and where it and its key are."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    key = generate_private_key(SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(certs.authority.issuer_of(authority, now=now)[1], SHA256())
    )
    name = uuid.uuid4().hex
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


@pytest.fixture(scope="module")
def authority() -> certs.Pair:
    """The CA of the API server's client certificate."""
    return certs.issue_authority(now=datetime.now(UTC))


@pytest.fixture(scope="module")
def guarded(
    loop: Loop, gate: Gate, authority: certs.Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Webhook]:
    """The webhook that takes reviews from the API server alone."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "client-ca.crt").write_bytes(authority.certificate)
    callers = CertifiedCallers()
    with webhook_of(loop, gate, folder, callers=callers, client_ca=folder / "client-ca.crt") as running:
        yield running


def showing(webhook: Webhook, shown: tuple[Path, Path]) -> httpx2.Client:
    trust = trusting(webhook.ca)
    trust.load_cert_chain(*shown)
    return client(webhook.server, webhook.ca, trust=trust)


@pytest.mark.parametrize("route", ["/validate", "/mutate"])
def test_without_a_client_certificate_nobody_is_answered(guarded: Webhook, route: str) -> None:
    """With --client-ca a review of anybody is 403 whatever is in it; the kubelet's probes have no certificate."""
    for body in (orjson.dumps(MINE.review()), b"", b" " * (MOST_BYTES + 1)):
        reply = guarded.client.post(route, content=body, headers=JSON)
        assert reply.status_code == 403
        assert "client certificate" in told_no_trace(reply)
    assert guarded.client.get("/healthz").status_code == 200
    assert guarded.client.get("/readyz").status_code == 200


@pytest.mark.parametrize("route", ["/validate", "/mutate"])
def test_with_a_certificate_of_the_client_ca_reviews_are_answered(
    guarded: Webhook, authority: certs.Pair, tmp_path: Path, route: str
) -> None:
    """The API server is who has a certificate of that CA."""
    with showing(guarded, client_certificate(authority, tmp_path)) as trusted:
        assert trusted.post(route, json=MINE.review()).json()["response"]["allowed"]


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2], ids=lambda most: most.name)
def test_a_certificate_of_another_ca_does_not_even_connect(
    guarded: Webhook, tmp_path: Path, most: ssl.TLSVersion
) -> None:
    """A certificate that somebody else issued, by whatever name, ends the handshake."""
    stranger = client_certificate(certs.issue_authority(now=datetime.now(UTC)), tmp_path)
    trust = trusting(guarded.ca)
    trust.maximum_version = most
    trust.load_cert_chain(*stranger)
    with client(guarded.server, guarded.ca, trust=trust) as asking, pytest.raises(httpx2.TransportError):
        asking.post("/validate", json=MINE.review())


def test_a_servers_certificate_is_no_clients(guarded: Webhook, authority: certs.Pair, tmp_path: Path) -> None:
    """What the same CA issued for a server does not make its holder the API server."""
    pair = certs.issue_serving(authority, HOSTS, now=datetime.now(UTC))
    (tmp_path / "tls.crt").write_bytes(pair.certificate)
    (tmp_path / "tls.key").write_bytes(pair.key)
    with showing(guarded, (tmp_path / "tls.crt", tmp_path / "tls.key")) as asking, pytest.raises(httpx2.TransportError):
        asking.post("/validate", json=MINE.review())


def test_a_connection_does_not_pass_its_certificate_on(guarded: Webhook, authority: certs.Pair, tmp_path: Path) -> None:
    """Who showed a certificate is known by connection: beside the API server's everybody else's stays a stranger's."""
    with ExitStack() as stack:
        trusted = stack.enter_context(showing(guarded, client_certificate(authority, tmp_path)))
        stranger = stack.enter_context(client(guarded.server, guarded.ca))
        for _ in range(3):
            assert trusted.post("/validate", json=MINE.review()).status_code == 200
            assert stranger.post("/validate", json=MINE.review()).status_code == 403
