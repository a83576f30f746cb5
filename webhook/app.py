"""The routes: HTTP in, HTTP out, health and metrics; no logic."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from webhook.admission import Gate
from webhook.errors import NoDecisionError, PortcullisError, ReviewError
from webhook.health import Health, alive, figures, readiness
from webhook.history.record import Record, Route, Verdict

MOST_BYTES = 8 * 1024 * 1024
"""Legal reviews reach 5.7 MB: two objects of the API server's limit and what JSON adds."""
DEFAULT_SECONDS = 10.0
"""What the API server gives a webhook that does not say."""

_TIMEOUT = re.compile(r"([0-9]{1,4})s", re.ASCII)


class OpaMetrics:
    """The figures that tell of OPA and of the policies in it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.engine = Info(
            "portcullis_engine", "What evaluates the policies: opa, or wasm in-process.", registry=registry
        )
        self.up = Gauge(
            "portcullis_opa_up", "Whether the engine decides: 1 or 0, looked at every second.", registry=registry
        )
        self.restarts = Gauge("portcullis_opa_restarts", "How often OPA was started again.", registry=registry)
        self.ends = Counter(
            "portcullis_opa_ends", "OPAs that died, and that hung and were killed.", ["cause"], registry=registry
        )
        self.undecided = Counter(
            "portcullis_undecided", "Denials for want of a decision, by cause.", ["cause"], registry=registry
        )
        self.policies = Info("portcullis_policies", "The policies that decide.", registry=registry)
        self.reloads = Counter(
            "portcullis_policy_reloads",
            "Other policies found: loaded, or refused while the older ones decide on.",
            ["outcome"],
            registry=registry,
        )
        for cause in ("died", "hung"):
            self.ends.labels(cause)
        for outcome in ("loaded", "refused"):
            self.reloads.labels(outcome)


class Metrics:
    """The figures of `/metrics`, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._decisions = Counter(
            "portcullis_decisions", "Decisions by route and verdict.", ["route", "verdict"], registry=self.registry
        )
        self._seconds = Histogram(
            "portcullis_decision_seconds",
            "From the review read to the decision.",
            ["route"],
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self._of: dict[tuple[Route, Verdict], tuple[Counter, Histogram]] = {}
        self._refused = Counter(
            "portcullis_bad_requests",
            "Requests that were no AdmissionReview, by status.",
            ["status"],
            registry=self.registry,
        )
        self.certificate_expiry = Gauge(
            "portcullis_certificate_expiry_seconds",
            "How long what is served is valid: the certificate (leaf) and the CA that vouches for it (ca).",
            ["certificate"],
            registry=self.registry,
        )
        self.lag = Histogram(
            "portcullis_event_loop_lag_seconds",
            "By how much a timer of the event loop comes late; `worker` 0 is the process that watches.",
            ["worker"],
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
            registry=self.registry,
        )
        self.opa = OpaMetrics(self.registry)

    def decided(self, record: Record) -> None:
        """Count a decision, or that there was none."""
        if record.cause:
            self.opa.undecided.labels(record.cause).inc()
        found = self._of.get((record.route, record.verdict))
        if found is None:
            # Looked up once each: that takes longer than counting does.
            found = self._decisions.labels(record.route, record.verdict), self._seconds.labels(record.route)
            self._of[record.route, record.verdict] = found
        found[0].inc()
        found[1].observe(record.milliseconds / 1000)

    def refused(self, status: int) -> None:
        """Count a request that was refused before there was anything to decide."""
        self._refused.labels(str(status)).inc()


class Callers(Protocol):
    """Says whether the peer of a request may ask at all."""

    def known(self, request: Request) -> bool:
        """Return whether the peer showed a certificate of the client CA, or need not."""
        ...


@dataclass(frozen=True, slots=True)
class Reviews:
    """The two routes of the API server."""

    gate: Gate
    callers: Callers

    async def validate(self, request: Request) -> Response:
        """Answer POST /validate."""
        return await self._answer(request, "validate")

    async def mutate(self, request: Request) -> Response:
        """Answer POST /mutate."""
        return await self._answer(request, "mutate")

    async def _answer(self, request: Request, route: Route) -> Response:
        begin = time.monotonic()
        seconds = _seconds_of(request.scope["query_string"])
        if not self.callers.known(request):
            raise ReviewError(403, "show the API server's client certificate: reviews are taken from nobody else")
        try:
            async with asyncio.timeout(seconds):
                body = await read_body(request)
        except ClientDisconnect as error:
            raise ReviewError(400, "the caller hung up before the end of the body") from error
        except TimeoutError as error:
            raise ReviewError(408, f"the body did not arrive within {seconds:g} s") from error
        left = max(0.0, seconds - (time.monotonic() - begin))
        return _json(await self._decided(route, body, left))

    async def _decided(self, route: Route, body: bytes, seconds: float) -> bytes:
        """Return the answer to a review; whatever nobody foresaw is answered with a denial, its words are the log's."""
        answer = self.gate.validate if route == "validate" else self.gate.mutate
        try:
            return await answer(body, seconds=seconds)
        except ReviewError:
            raise
        except Exception as error:  # noqa: BLE001 - nothing that we did not foresee may look like a yes
            structlog.get_logger().error("review failed", route=route, exc_info=error)
            try:
                return self.gate.failed(route, body)
            except Exception as again:
                # Left as it is, uvicorn would close the connection after the answer, and lose the next review with it.
                raise PortcullisError("a review failed, and so did the answer that says so") from again


@dataclass(frozen=True, slots=True)
class _Straight:
    """
    Leads what the API server asks past FastAPI's layers and its router, which have nothing to do there.

    What it asks otherwise than by POST goes on to them, and whatever nobody foresaw to the layers around this one.
    """

    app: ASGIApp
    ways: Mapping[str, Callable[[Request], Awaitable[Response]]]
    """By path."""
    handlers: Mapping[Any, Callable[[Request, Any], Any]]
    """By the kind of error."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        way = self.ways.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if way is None:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await way(request)
        except PortcullisError as error:
            handle = next(self.handlers[kind] for kind in type(error).__mro__ if kind in self.handlers)
            response = await handle(request, error)
        await response(scope, receive, send)


class Pages(Protocol):
    """Says how it goes."""

    async def page(self, path: str) -> Response:
        """Return the answer of /healthz, /readyz or /metrics."""
        ...


@dataclass(frozen=True, slots=True)
class OwnPages:
    """Says how it goes here."""

    gate: Gate
    health: Health
    metrics: Metrics

    async def page(self, path: str) -> Response:
        """Return the answer."""
        if path == "/metrics":
            return figures(self.metrics.registry)
        return await self._readiness() if path == "/readyz" else alive()

    async def _readiness(self) -> Response:
        missing = self.health.missing()
        try:
            await self.gate.probe(seconds=2)
        except NoDecisionError as error:
            missing.append(f"policies: {error}")
        return readiness(missing, self.health.notes(), revision=self.gate.policies.revision)


class Refusals(Protocol):
    """Hears of requests that there was nothing to decide on."""

    def refused(self, status: int) -> None:
        """Count one."""
        ...


def create_app(gate: Gate, health: Health, metrics: Metrics, callers: Callers) -> FastAPI:
    """Return the ASGI app of the webhook."""
    return app_of(gate, callers, OwnPages(gate, health, metrics), metrics)


def app_of(gate: Gate, callers: Callers, pages: Pages, metrics: Refusals) -> FastAPI:
    """Return the ASGI app of a webhook whose `pages` and `metrics` may be another process's."""
    app = FastAPI(
        title="Portcullis",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # Whether anybody has set it up would be asked anew for every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    reviews = Reviews(gate, callers)
    ways = {"/validate": reviews.validate, "/mutate": reviews.mutate}
    for path, way in ways.items():
        app.add_route(path, way, methods=["POST"])

    @app.get("/healthz")
    async def healthz() -> Response:
        return await pages.page("/healthz")

    @app.get("/readyz")
    async def readyz() -> Response:
        return await pages.page("/readyz")

    @app.get("/metrics")
    async def scrape() -> Response:
        return await pages.page("/metrics")

    _answer_errors(app, metrics)
    app.add_middleware(_Straight, ways=ways, handlers=app.exception_handlers)
    return app


def _answer_errors(app: FastAPI, metrics: Refusals) -> None:
    @app.exception_handler(ReviewError)
    async def bad_review(_: Request, error: ReviewError) -> Response:
        metrics.refused(error.status)
        return _json(orjson.dumps({"error": str(error)}), status=error.status)

    # Nothing that we did not foresee may look like a yes, or tell a trace to the caller; the log has it whole.
    @app.exception_handler(PortcullisError)
    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        structlog.get_logger().error("request failed", path=request.url.path, exc_info=error)
        metrics.refused(500)
        return _json(b'{"error":"Portcullis failed on this request, so it denies; its log says why"}', status=500)


def seconds_left(timeout: str | None) -> float:
    """
    Return the seconds that a decision may take under the API server's `timeout` parameter (`10s`).

    The parameter is rounded up, and the answer has to travel: the larger of 0.2 s and a fifth is kept back.
    """
    match = _TIMEOUT.fullmatch(timeout or "")
    whole = min(float(match[1]), 30.0) if match else DEFAULT_SECONDS
    return whole - max(0.2, whole / 5)


@lru_cache(maxsize=64)
def _seconds_of(query: bytes) -> float:
    """Return the same of a query, which is one for each of our hooks."""
    return seconds_left(QueryParams(query).get("timeout"))


async def read_body(request: Request) -> bytes:
    """Return the body of a request; raises `ReviewError` for another type than JSON and for more than 8 MiB."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise ReviewError(415, "send an AdmissionReview as application/json")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and len(declared) < 20 and int(declared) > MOST_BYTES:
        raise ReviewError(413, f"the body has {declared} bytes, more than {MOST_BYTES}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise ReviewError(413, f"the body has more than {MOST_BYTES} bytes")
    return bytes(body)


def _json(content: bytes, *, status: int = 200) -> Response:
    return Response(content, status_code=status, media_type="application/json")
