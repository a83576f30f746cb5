"""Decisions and states of objects for the tests of the history."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from webhook.decision.document import Document, Kind, Request, User
from webhook.history.record import Record, Revision
from webhook.history.rows import Entry
from webhook.model import Violation, Writer

T = TypeVar("T")
KIND = Kind("networking.k8s.io", "v1", "NetworkPolicy")
CHECKOUT = ("Workspace/checkout", "Project/payments", "Organization/acme")
REFUNDS = ("Workspace/refunds", "Project/payments", "Organization/acme")
VIDEO = ("Workspace/video", "Project/media", "Organization/acme")
DENIED = Violation("rbac/namespace-policy", "high", "bo may not", "enforce")


def at(seconds: float) -> str:
    """Return a time so many seconds after noon."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    return f"2026-11-21T{12 + hours:02d}:{rest // 60:02d}:{rest % 60:02d}.{round((seconds - whole) * 1000):03d}+00:00"


def record(number: int, **fields: Any) -> Record:
    """Return a decision: an allowed creation in checkout-dev, a second after the one before."""
    plain = Record(
        decision_id=f"decision-{number}",
        time=at(number),
        route="validate",
        user="ada",
        operation="CREATE",
        group="networking.k8s.io",
        kind="NetworkPolicy",
        namespace="checkout-dev",
        name="allow-web",
        uid="",
        verdict="allow",
        rules=(),
        ran=("guardrail/from-anywhere", "rbac/namespace-policy"),
        violations=(),
        revision="r1",
        dry_run=False,
        break_glass=False,
        authenticated=True,
        milliseconds=1.5,
        tenants=CHECKOUT,
    )
    return replace(plain, **fields)


def denied(number: int, **fields: Any) -> Record:
    """Return a refusal."""
    return record(number, **{"verdict": "deny", "rules": (DENIED.rule,), "violations": (DENIED,)} | fields)


def entry(made: Record, document: bytes = b'{"request":{"operation":"CREATE"}}') -> Entry:
    """Return a decision to keep, asked for a moment before it."""
    return Entry(made, document, asked="2026-11-21T11:59:59.123456Z")


def document_of(content: dict[str, Any] | None, operation: Any = "CREATE") -> Document:
    """Return a document that has an object (the old one on DELETE)."""
    request = Request(operation, KIND, "", "checkout-dev", "allow-web", dry_run=False, time="2026-11-21T12:00:00Z")
    thing: Any = content
    new, old = (None, thing) if operation == "DELETE" else (thing, None)
    return Document(request, User("ada", ()), new, old, (), tree=True, organization="acme")


def policy(ports: int = 0, **labels: str) -> dict[str, Any]:
    """Return a NetworkPolicy as the watch tells of it."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "allow-web", "namespace": "checkout-dev", "labels": labels, "uid": "u1"},
        "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": ports}]}]},
    }


def revision(version: int, seen: float, content: dict[str, Any] | None = None, **fields: Any) -> Revision:
    """Return a state of a policy in checkout-dev, gone where it has no content."""
    plain = Revision(
        api_version="networking.k8s.io/v1",
        kind="NetworkPolicy",
        namespace="checkout-dev",
        name="allow-web",
        uid="u1",
        version=str(version),
        seen=at(seen),
        gone=content is None,
        content=content,
        writers=(Writer("kubectl", "Update", "2026-11-21T12:00:00Z"),),
        tenants=CHECKOUT,
    )
    return replace(plain, **fields)


async def listed(each: AsyncIterator[T]) -> list[T]:
    """Return all that comes."""
    return [one async for one in each]


def numbers(rows: Sequence[Any]) -> list[int]:
    """Return which decisions they are."""
    return [int(each.decision_id.partition("-")[2]) for each in rows]
