"""
What is sent: recorded reviews with the verdict that they have to get, and what others are sent in their place.

Each request has an uid and, where its verdict does not hang on it, a name of its own (`MARK` stands for it), so that no
cache could answer. OPA asked directly gets the very documents that the webhook makes of the reviews.
"""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import orjson

from bench.generator import MARK
from tests.cases.reviews import ADA, BO, NETPOL, Asked, Json, policy
from tests.cases.table import CASES
from tests.conftest import TREE, Hindered
from webhook.admission import Gate
from webhook.cli.child import own_opa
from webhook.decision.binary import find_opa
from webhook.decision.bundle import read_policies
from webhook.decision.opa import Engine, Opa
from webhook.decision.process import OpaProcess
from webhook.history.record import Record
from webhook.settings import BREAK_GLASS_GROUPS, bundled_policies, environment
from webhook.tenancy.files import load_tree

Sort = Literal["mix", "allowed", "denied", "large"]
Asking = Literal["review", "no-op", "echo", "opa"]

LARGE_BYTES = 100_000
SEED = 8
"""Of the order of the mix: the same in every run, and not that of the table, where like stands beside like."""
UID = f"00000000-0000-4000-8000-{MARK}"
OPA_PATH = "/v1/data/portcullis/validate/decision?strict-builtin-errors=true"


@dataclass(frozen=True, slots=True)
class Bodies:
    """What is sent of each sort, and to whom: files of the generator; `about` says how many are allowed and denied."""

    folder: Path
    about: dict[Sort, str] = field(default_factory=dict)

    def file(self, sort: Sort, asking: Asking) -> Path:
        """Return the file of one sort for one way to ask."""
        return self.folder / f"{sort}-{asking}.jsonl"

    async def write(self, sort: Sort, asked: Sequence[tuple[Asked, bool]], heard: "Listening") -> None:
        """Write requests with their verdicts, as each of the targets is asked; each is decided once for that."""
        lines: dict[Asking, list[Json]] = {"review": [], "no-op": [], "echo": [], "opa": []}
        for one, allowed in asked:
            body = orjson.dumps(reviewed(one))
            document = await heard.document(body)
            lines["review"].append(_line("/validate?timeout=10s", body, "review", allowed=allowed))
            lines["echo"].append(_line("/echo", body, "echo"))
            if document:
                lines["opa"].append(_line(OPA_PATH, b'{"input":%s}' % document, "opa", allowed=heard.allowed))
        lines["no-op"].append({**_line("/healthz", b"", "status"), "method": "GET"})
        for asking, each in lines.items():
            self.file(sort, asking).write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in each))
        yes = sum(allowed for _, allowed in asked)
        size = sum(len(line["body"]) for line in lines["review"]) / len(asked) / 1000
        self.about[sort] = (
            f"{len(asked)} reviews ({yes} allowed, {len(asked) - yes} denied) of {size:.1f} kB on average"
        )


def _line(path: str, body: bytes, check: str, *, allowed: bool = False) -> Json:
    return {"method": "POST", "path": path, "body": body.decode(), "check": check, "allowed": allowed}


def every_sort() -> dict[Sort, list[tuple[Asked, bool]]]:
    """Return what is asked, and whether it is allowed."""
    mix = [(case.asked, not case.denied_by) for case in CASES]
    random.Random(SEED).shuffle(mix)  # noqa: S311 - no secret
    own = policy("checkout-dev")
    return {
        "mix": mix,
        "allowed": [(Asked(ADA, "CREATE", NETPOL, new=own), True)],
        "denied": [(Asked(BO, "CREATE", NETPOL, new=own), False)],
        "large": [(Asked(ADA, "CREATE", NETPOL, new=large_policy()), True)],
    }


def large_policy() -> Json:
    """Return a policy of 100 kB as they occur: long annotations, and what the API server notes of field managers."""
    owners: Json = {f"f:label-{each}": {} for each in range(500)}
    managed = [{"manager": "helm", "operation": "Apply", "fieldsV1": {"f:metadata": {"f:labels": owners}}}]
    bare = policy("checkout-dev", annotations={}, managedFields=managed)
    missing = LARGE_BYTES - len(orjson.dumps(bare))
    notes = {f"example.com/note-{each}": "x" * 970 for each in range(missing // 1000)}
    return policy("checkout-dev", annotations=notes, managedFields=managed)


def reviewed(asked: Asked) -> Json:
    """Return the review, with marks where each request has something of its own."""
    review = replace(asked, new=_renamed(asked.new), old=_renamed(asked.old)).review()
    review["request"]["uid"] = UID
    return review


def _renamed(thing: Json | None) -> Json | None:
    """Return a policy of the name that tells nothing under one of its own; whatever else it is, as it is."""
    if thing is None or thing["metadata"].get("name") != "web" or "spec" not in thing:
        return thing
    return {**thing, "metadata": {**thing["metadata"], "name": f"web-{MARK}"}}


@dataclass(slots=True)
class Listening:
    """An OPA that notes what it is asked; `allowed` is what it said last."""

    opa: Opa
    gate: Gate = field(init=False)
    asked: bytes = b""
    allowed: bool = False

    async def query_rule(self, *question: Any) -> Any:
        """Ask, see `Opa`."""
        answer = await self.opa.query_rule(*question)
        if question[1] == "portcullis.validate":
            self.asked = orjson.dumps(question[0])
            self.allowed = answer["result"]["allowed"]
        return answer

    async def document(self, body: bytes) -> bytes:
        """Return the document that the webhook makes of a review; nothing where it asks nobody."""
        self.asked = b""
        await self.gate.validate(body, seconds=10)
        return self.asked


@asynccontextmanager
async def recorded(folder: Path, most: int | None = None) -> AsyncIterator[tuple[Bodies, OpaProcess]]:
    """
    Write what is sent, at `most` so many of a sort, into `folder`.

    Yield that and the OPA that decided on each of them for its document: it can be asked itself.
    """
    opa_said: list[str] = []
    bundle = read_policies(bundled_policies())
    tree = load_tree(TREE).tree
    async with own_opa(find_opa(environment(), say=opa_said.append), bundle, opa_said.append) as (opa, process):
        await process.ready()
        listening = Listening(opa)
        engine = Engine(listening, bundle.policies)
        listening.gate = Gate(engine, lambda: tree, BREAK_GLASS_GROUPS, _ignore, mender=Hindered())
        bodies = Bodies(folder)
        for sort, asked in every_sort().items():
            await bodies.write(sort, asked[:most], listening)
        yield bodies, process


def _ignore(_: Record) -> None:
    """Keep no record."""
