"""A share of the decisions made in-process is put to OPA: what differs is told, and nobody waits for it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest
import uvloop
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tests.cases.reviews import ADA, BO, NETPOL, Asked, Json, policy
from webhook.admission import Gate
from webhook.cli.crosscheck import MOST, CrossCheck
from webhook.cli.engine import Own
from webhook.cli.starting import Running, Start, start_of, start_of_opa
from webhook.decision.bundle import Bundle
from webhook.errors import OpaError
from webhook.history.record import Record
from webhook.settings import BREAK_GLASS_GROUPS
from webhook.tenancy.tree import Tree

MINE = Asked(ADA, "CREATE", NETPOL, new=policy("checkout-dev"))
THEIRS = Asked(BO, "CREATE", NETPOL, new=policy("checkout-dev"))


@dataclass(frozen=True)
class World:
    """A gate that decides in-process, and what compares that."""

    gate: Gate
    check: CrossCheck
    registry: CollectorRegistry
    records: list[Record]

    async def ask(self, asked: Asked, *, mutate: bool = False) -> Json:
        """Return the response to a review, which is offered to be compared."""
        answer = self.gate.mutate if mutate else self.gate.validate
        response: Json = orjson.loads(await answer(orjson.dumps(asked.review()), seconds=20))["response"]
        self.check.offer(self.records[-1])
        return response

    def counts(self) -> dict[str, float]:
        """Return what came of the comparisons so far."""
        outcomes = ("same", "different", "undecided")
        found = {
            each: self.registry.get_sample_value("portcullis_cross_checks_total", {"outcome": each}) or 0
            for each in outcomes
        }
        return {each: count for each, count in found.items() if count}

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once it holds; TimeoutError after a while."""
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - what is waited for is another process
                await asyncio.sleep(0.01)


@asynccontextmanager
async def world(decides: Bundle, tree: Tree, compared: Start, share: float = 1.0) -> AsyncIterator[World]:
    """Decide in-process by a bundle, and compare for the length of the context."""
    own, registry, records = Own(start_of("wasm", None)), CollectorRegistry(), list[Record]()
    await own.begin(decides)
    try:
        gate = Gate(own.engine, lambda: tree, BREAK_GLASS_GROUPS, records.append)
        check = CrossCheck(own, share, compared, registry)
        task = asyncio.create_task(check.run())
        try:
            yield World(gate, check, registry, records)
        finally:
            assert not task.done(), "it is to go on for ever"
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    finally:
        await own.end()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test on the loop of `serve`."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def changed(bundle: Bundle) -> Bundle:
    """Return a bundle of another wording, under the revision of the former: a compiler that makes mistakes."""
    name = "portcullis/rules/rbac/namespace_policy/namespace_policy.rego"
    content = bundle.files[name]
    assert b". Allowed: " in content
    return replace(bundle, files={**bundle.files, name: content.replace(b". Allowed: ", b". Only: ")})


def test_what_is_decided_is_decided_by_opa_too(bundle: Bundle, tree: Tree) -> None:
    """Of both routes, allowed and denied: the same, and nothing is told of it."""

    async def main() -> None:
        async with world(bundle, tree, start_of_opa(None)) as asked:
            assert asked.check.notes() == ["cross-check: nothing is compared: OPA is not ready yet"]
            assert (await asked.ask(MINE))["allowed"]
            assert not (await asked.ask(THEIRS))["allowed"]
            assert (await asked.ask(MINE, mutate=True))["allowed"]
            await asked.until(lambda: asked.counts() == {"same": 3})
            assert asked.check.notes() == []

    run(main())


def test_a_difference_is_told(bundle: Bundle, tree: Tree) -> None:
    """In the log as an error with the id of the decision, in a note of /readyz, and by the metric."""

    async def main() -> None:
        async with world(changed(bundle), tree, lambda _: start_of_opa(None)(bundle)) as asked:
            await asked.ask(MINE)
            await asked.ask(THEIRS)
            await asked.until(lambda: asked.counts() == {"same": 1, "different": 1})
            (note,) = asked.check.notes()
            assert f"OPA decides 1 of 2 compared differently, the last {asked.records[-1].decision_id}" in note

    with capture_logs() as logs:
        run(main())
    (line,) = [each for each in logs if each["event"] == "the engines differ"]
    assert (line["log_level"], line["route"], line["differing"]) == ("error", "validate", ["violations"])
    assert ". Only: " in line["in_process"]["violations"]
    assert ". Allowed: " in line["opa"]["violations"]


@asynccontextmanager
async def none(bundle: Bundle) -> AsyncIterator[Running]:
    """Start no OPA."""
    if bundle.files:
        raise OpaError("there is no OPA")
    yield  # type: ignore[misc]  # never


def test_without_an_opa_nothing_waits(bundle: Bundle, tree: Tree) -> None:
    """Some decisions are kept for it, the rest is counted, and every answer comes as it does without."""

    async def main() -> None:
        async with world(bundle, tree, none) as asked:
            begin = time.process_time()
            for _ in range(MOST + 5):
                assert (await asked.ask(MINE))["allowed"]
            assert time.process_time() - begin < 10
            assert asked.counts() == {"undecided": 5}
            await asyncio.sleep(0.01)
            assert asked.check.notes() == ["cross-check: nothing is compared: there is no OPA"]

    run(main())


def test_a_share_is_a_share(bundle: Bundle, tree: Tree) -> None:
    """Of many decisions about as many are taken as was asked for."""

    async def main() -> None:
        async with world(bundle, tree, none, share=0.1) as asked:
            await asked.ask(MINE)
            for _ in range(5000):
                asked.check.offer(asked.records[-1])
            assert 350 < asked.counts()["undecided"] + MOST < 650

    run(main())


def test_what_was_decided_by_other_policies_is_not_compared(bundle: Bundle, tree: Tree) -> None:
    """Right after a reload, or where the OPA of others has other policies: that is no difference."""

    async def main() -> None:
        async with world(bundle, tree, start_of_opa(None)) as asked:
            await asked.ask(THEIRS)
            asked.check.offer(replace(asked.records[-1], revision="0" * 64))
            await asked.until(lambda: asked.counts() == {"same": 1, "undecided": 1})

    run(main())


@pytest.mark.parametrize("cause", ["failed", "late"])
def test_an_engine_that_failed_is_no_difference(bundle: Bundle, tree: Tree, cause: Any) -> None:
    """It denied, which is told elsewhere; what OPA says beside that proves nothing."""

    async def main() -> None:
        async with world(bundle, tree, start_of_opa(None)) as asked:
            await asked.ask(MINE)
            asked.check.offer(replace(asked.records[-1], verdict="error", cause=cause))
            await asked.until(lambda: asked.counts() == {"same": 1, "undecided": 1})

    run(main())
