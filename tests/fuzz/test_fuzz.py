"""Whatever bytes come in, the answer is one of a few, and never a yes without a decision."""

import asyncio
import base64
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import jsonpatch
import pytest
from fastapi import FastAPI

from tests.conftest import Loop
from tests.fuzz.inputs import Input, inputs
from webhook.admission import UNFORESEEN, Gate
from webhook.app import Metrics, create_app
from webhook.decision.opa import Engine, Opa
from webhook.health import Health
from webhook.history.record import Record
from webhook.server import AnyCallers

Json = dict[str, Any]
PARTS = 8
"""Tests a route, each with a seed of its own: they can be spread over processes."""
AT_ONCE = 16
MOST_FAILURES = 5

_ANSWERS: ContextVar[list[Any]] = ContextVar("answers")


@dataclass(frozen=True)
class Watched:
    """An OPA whose answers to one request can be seen beside what the webhook makes of them."""

    opa: Opa

    async def query_rule(self, *asked: Any) -> Any:
        answer = await self.opa.query_rule(*asked)
        _ANSWERS.get().append(answer)
        return answer


async def answered(app: FastAPI, route: str, sent: Input) -> tuple[int, bytes]:
    """Return status and body of the answer of the app, called as a server calls it."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": route,
        "raw_path": route.encode(),
        "root_path": "",
        "query_string": b"timeout=30s",
        "headers": [(b"content-type", sent.content_type)],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8443),
    }
    came = iter([{"type": "http.request", "body": sent.body}])
    said: list[Json] = []

    async def receive() -> Json:
        return next(came, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        said.append(message)

    await app(scope, receive, send)
    return said[0]["status"], b"".join(each.get("body", b"") for each in said)


@dataclass
class Fuzzing:
    """A run on its way."""

    app: FastAPI
    route: str
    revision: str
    records: dict[str, Record]
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    async def run(self, every: Iterator[Input]) -> None:
        """Send them all, several at once: whoever is done takes the next."""
        await asyncio.gather(*(self._send(every) for _ in range(AT_ONCE)))

    async def _send(self, every: Iterator[Input]) -> None:
        for each in every:
            answers: list[Any] = []
            _ANSWERS.set(answers)
            try:
                self._judge(each, *await answered(self.app, self.route, each), answers)
            except Exception as error:  # noqa: BLE001 - also what the app lets out is to be told with its input
                self.failures.append(f"{error!r}\n  {each.content_type!r} {len(each.body)} {each.body[:3000]!r}")
            if len(self.failures) >= MOST_FAILURES:
                return

    def _judge(self, sent: Input, status: int, body: bytes, answers: list[Any]) -> None:
        self.counts["inputs"] += 1
        self.counts["asked OPA"] += bool(answers)
        assert status in {200, 400, 413, 415}, status
        assert b"Traceback" not in body
        assert b'File "' not in body
        answer = json.loads(body)
        if status != 200:
            self.counts[f"HTTP {status}"] += 1
            assert answer.keys() == {"error"}
            assert not answers
            return
        request = json.loads(sent.body)["request"]
        assert answer.keys() == {"apiVersion", "kind", "response"}
        assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        response = answer["response"]
        assert response["uid"] == request["uid"]
        record = self.records.pop(response["auditAnnotations"]["decision-id"])
        assert record.reason != UNFORESEEN, record
        assert (record.route, record.revision) == (self.route[1:], self.revision)
        if not response["allowed"]:
            self._judge_refusal(response, record)
            return
        self.counts["allowed"] += 1
        assert response["allowed"] is True
        assert record.verdict not in {"deny", "error"}, record
        assert [each["result"]["revision"] for each in answers] == [self.revision]
        if self.route == "/mutate":
            self._judge_patch(request.get("object"), response)
        else:
            assert answers[0]["result"]["allowed"] is True
            assert response.keys() <= {"uid", "allowed", "auditAnnotations", "warnings"}

    def _judge_refusal(self, response: Json, record: Record) -> None:
        code = response["status"]["code"]
        self.counts["denied" if code == 403 else "undecided"] += 1
        assert response["allowed"] is False
        # What passes by itself is a denial that says so by its code.
        waits = response["status"].get("details") == {"retryAfterSeconds": 1} and record.rules == ("baseline/pod-gate",)
        assert (code, record.verdict) in {(403, "deny"), (500, "deny" if waits else "error")}
        assert record.decision_id in response["status"]["message"]
        # What is sent to OPA may be nested less than what is read. A rule that fails on what somebody sent would be
        # a denial as well, but nobody could tell why, or delete such an object.
        assert code == 403 or waits or record.reason.endswith("Recursion limit reached"), record

    def _judge_patch(self, sent: Any, response: Json) -> None:
        if "patch" not in response:
            assert "patchType" not in response
            return
        self.counts["patched"] += 1
        assert response["patchType"] == "JSONPatch"
        patched = jsonpatch.apply_patch(sent, json.loads(base64.b64decode(response["patch"], validate=True)))
        before, after = sent.get("metadata") or {}, patched.pop("metadata")
        assert patched == {key: value for key, value in sent.items() if key != "metadata"}
        for kind in ("labels", "annotations"):
            every = after.get(kind) or {}
            changed = every.items() ^ (before.get(kind) or {}).items()
            assert all(type(value) is str for value in every.values())
            assert all(key.startswith("portcullis.dev/") for key, _ in changed)
        assert {**after, "labels": 0, "annotations": 0} == {**before, "labels": 0, "annotations": 0}


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("route", ["/validate", "/mutate"])
def test_any_bytes_are_answered_and_only_a_decision_allows(
    route: str, part: int, gate: Gate, loop: Loop, record_property: Any
) -> None:
    """
    The status is 200, 400, 413 or 415, no trace is told, and a review is answered with one that has its uid.

    Who is allowed was allowed by OPA with the shipped revision, and that is recorded; a patch can be applied and
    changes strings of ours alone. `FUZZ_SEED` and `FUZZ_INPUTS` (a route) say what is sent, and the summary tells it.
    """
    records: dict[str, Record] = {}

    def keep(record: Record) -> None:
        records[record.decision_id] = record

    watched = replace(gate, engine=Engine(Watched(gate.opa), gate.policies), record=keep)
    fuzzing = Fuzzing(
        create_app(watched, Health(list), Metrics(), AnyCallers()), route, gate.policies.revision, records
    )
    seed, count = os.environ["FUZZ_SEED"], int(os.environ["FUZZ_INPUTS"]) // PARTS
    begin = time.perf_counter()
    loop.run(fuzzing.run(inputs(f"{seed}{route}/{part}", count, route)), seconds=600)
    record_property(f"fuzzed {route}", {"seconds": time.perf_counter() - begin, **fuzzing.counts})
    assert fuzzing.failures == [], f"FUZZ_SEED={seed}\n" + "\n".join(fuzzing.failures)
    assert records == {}
    assert fuzzing.counts["inputs"] == count
    # Most of it is not stopped at the door: what is tried is what comes after.
    assert fuzzing.counts["asked OPA"] > count / 3


def test_the_same_seed_gives_the_same_inputs() -> None:
    """What failed once can be looked at again."""
    first, again, other = (
        [(each.body, each.content_type) for each in islice(inputs(seed, 500, "/validate"), 500)] for seed in "112"
    )
    assert first == again
    assert first != other
