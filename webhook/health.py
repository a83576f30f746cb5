"""
How it goes, over HTTP: `/healthz`, `/readyz` and `/metrics`, which every process of ours that runs on answers.

Of Starlette alone, which the controller has room for where it runs apart.
"""

from collections.abc import Callable
from dataclasses import dataclass

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclass(frozen=True, slots=True)
class Health:
    """What `/readyz` tells beside OPA: what is missing and what an operator has to know, both asked anew each time."""

    missing: Callable[[], list[str]]
    notes: Callable[[], list[str]] = list


def alive() -> Response:
    """Return the answer of `/healthz`."""
    return Response("ok\n", media_type="text/plain")


def readiness(missing: list[str], notes: list[str], **more: str) -> Response:
    """Return the answer of `/readyz`: 503 as long as anything is missing."""
    state = {"ready": not missing, "missing": missing, "notes": notes, **more}
    content = orjson.dumps(state) + b"\n"
    return Response(content, status_code=503 if missing else 200, media_type="application/json")


def figures(registry: CollectorRegistry) -> Response:
    """Return the answer of `/metrics`."""
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def create_health_app(health: Health, role: Callable[[], str], registry: CollectorRegistry) -> Starlette:
    """Return the ASGI app of a controller that runs apart; `role` says whether it leads, which readiness never asks."""

    async def healthz(_: Request) -> Response:
        return alive()

    async def readyz(_: Request) -> Response:
        return readiness(health.missing(), health.notes(), role=role())

    async def metrics(_: Request) -> Response:
        return figures(registry)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])
