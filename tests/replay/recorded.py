"""Decisions as a history gives them back, and rules that decide otherwise."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import orjson

from tests.conftest import GateOf
from webhook.admission import Gate
from webhook.decision.bundle import Bundle
from webhook.history.record import Record, Verdict
from webhook.replay.deciding import Side

NAMESPACE_POLICY = "portcullis/rules/rbac/namespace_policy/namespace_policy.rego"
LOOSENED = b'\nallowed if input.user.name == "bo"\n'
TIGHTENED = b"""
deny contains result.violation(rego.metadata.chain(), $"{asked.line}: nobody deletes") if {
	endswith(input.request.kind.kind, "Policy")
	input.places.old.namespace
	input.request.operation == "DELETE"
}
"""
UNRELATED = b"\nnever := true\n"


@dataclass(frozen=True)
class Kept:
    """A recorded decision, see `replay.tally.Recorded`."""

    decision_id: str
    time: str
    user: str
    operation: str
    kind: str
    namespace: str
    name: str
    verdict: Verdict
    rules: tuple[str, ...]
    dry_run: bool
    tenants: tuple[str, ...]
    document: bytes


def kept(record: Record) -> Kept:
    """Return a record as the history gives it back."""
    return Kept(
        decision_id=record.decision_id,
        time=record.time,
        user=record.user,
        operation=record.operation,
        kind=record.kind,
        namespace=record.namespace,
        name=record.name,
        verdict=record.verdict,
        rules=record.rules,
        dry_run=record.dry_run,
        tenants=record.tenants,
        document=b"" if record.document is None else orjson.dumps(record.document),
    )


async def batches(records: Iterable[Kept], size: int = 100) -> AsyncIterator[Sequence[Kept]]:
    """Give records in batches."""
    every = list(records)
    for begin in range(0, len(every), size):
        yield every[begin : begin + size]


def changed(bundle: Bundle, added: bytes, name: str = NAMESPACE_POLICY) -> Bundle:
    """Return the bundle with something added to one of its files, as another revision."""
    files = {**bundle.files, name: bundle.files[name] + added}
    revision = sha256(name.encode() + added).hexdigest()
    return Bundle(files, replace(bundle.policies, revision=revision))


def side(gate_of: GateOf, bundle: Bundle, *, reads_time: bool = False) -> Side:
    """Return a side that decides by a bundle on a real OPA."""
    gate: Gate = gate_of(bundle)
    return Side(gate.opa, gate.policies, reads_time)


def silent(_: int) -> None:
    """Hear nothing."""
