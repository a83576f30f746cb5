"""What the status of a baseline says, and when it is written."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.cases.reviews import Json
from tests.cluster.memory import Call, until
from tests.cluster.world import DENY, World, baseline, live_namespace, thing
from webhook.bring import Brought
from webhook.cluster.resource import BASELINES
from webhook.errors import ClusterError
from webhook.model import Baseline
from webhook.telling import status
from webhook.telling.figures import Figures
from webhook.telling.ledger import Found, Ledger, Told
from webhook.telling.status import Keeper, Tally, status_of, tallied

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
BEFORE = "2026-11-21T11:00:00Z"
ZERO_TRUST = Baseline("zero-trust", ())


def stored(**parts: Any) -> Json:
    return {"metadata": {"name": "zero-trust", "generation": 7}, **parts}


def tally(*states: Told, reason: str = "") -> Tally:
    found = [Found(f"n{number}", state, reason, ("zero-trust",)) for number, state in enumerate(states)]
    return tallied(found).get("zero-trust") or Tally(Counter(), {})


def condition(of: Json, kind: str = "Ready") -> Json:
    (found,) = (each for each in of["conditions"] if each["type"] == kind)
    return dict(found)


@pytest.mark.parametrize(
    ("states", "reason", "message"),
    [
        pytest.param(("Ready", "Ready"), "InPlace", "in place in 2 namespaces", id="everywhere"),
        pytest.param(("Ready",), "InPlace", "in place in 1 namespace", id="one"),
        pytest.param((), "NoNamespaces", "it applies to no namespace", id="nowhere"),
        pytest.param(
            ("Ready", "Exempt"),
            "InPlace",
            "in place in 2 namespaces, but for 1 that are exempt for a time",
            id="but-for-an-exempt-one",
        ),
    ],
)
def test_it_is_ready(states: tuple[Told, ...], reason: str, message: str) -> None:
    """When there is no namespace that still waits for it or lacks it."""
    ready = condition(status_of(ZERO_TRUST, tally(*states), stored(), NOON))
    assert (ready["status"], ready["reason"], ready["message"]) == ("True", reason, message)


@pytest.mark.parametrize(
    ("states", "reason", "message"),
    [
        pytest.param(("Ready", "Pending"), "NamespacesPending", "of 2 namespaces, 1 Pending: n1", id="pending"),
        pytest.param(
            ("Drifted", "Pending"), "NamespacesDrifted", "of 2 namespaces, 1 Drifted: n0; 1 Pending: n1", id="drifted"
        ),
        pytest.param(
            ("Pending", "Failed", "Failed", "Failed", "Failed", "Failed"),
            "NamespacesFailed",
            "of 6 namespaces, 5 Failed: n1, n2, n3 and 2 more; 1 Pending: n0",
            id="failed",
        ),
    ],
)
def test_it_is_not_ready(states: tuple[Told, ...], reason: str, message: str) -> None:
    """The worst is the reason; all that is wrong is counted, and a few of each are named."""
    ready = condition(status_of(ZERO_TRUST, tally(*states), stored(), NOON))
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", reason, message)


def test_why_is_told_in_one_line_of_bounded_length() -> None:
    """Whatever an API server or an owner wrote."""
    failed: tuple[Told, ...] = ("Failed",) * 9
    told = status_of(ZERO_TRUST, tally(*failed, reason="exceeded\n quota\t\x1b" * 100), stored(), NOON)
    message = condition(told)["message"]
    assert message.startswith("of 9 namespaces, 9 Failed: n0 (exceeded quota exceeded")
    assert message.endswith(" and 6 more")
    assert len(message) < 1000
    assert message.isprintable()


def test_counts_and_the_generation_are_told() -> None:
    """Every state, so that none is missing where there is none of it."""
    told = status_of(ZERO_TRUST, tally("Ready", "Ready", "Failed", "Exempt"), stored(), NOON)
    assert told["namespaces"] == {"total": 4, "ready": 2, "pending": 0, "drifted": 0, "failed": 1, "exempt": 1}
    assert told["observedGeneration"] == 7
    assert {each["observedGeneration"] for each in told["conditions"]} == {7}
    assert condition(told, "Accepted")["status"] == "True"


def test_one_that_cannot_be_read_is_not_accepted() -> None:
    """Nothing of it is brought, whatever stands from before."""
    unreadable = Baseline("zero-trust", (), unreadable="NetworkBaseline zero-trust cannot be read: spec.policies")
    told = status_of(unreadable, tally("Failed"), stored(), NOON)
    accepted, ready = condition(told, "Accepted"), condition(told)
    assert (accepted["status"], accepted["reason"]) == ("False", "Unreadable")
    assert "spec.policies" in accepted["message"]
    assert (ready["status"], ready["reason"]) == ("False", "NotAccepted")


def test_a_condition_has_the_time_of_its_last_change() -> None:
    """Another message is none; conditions of others stay as they are."""
    theirs = {"type": "Audited", "status": "True", "reason": "x", "message": "", "lastTransitionTime": BEFORE}
    first = status_of(ZERO_TRUST, tally("Ready"), stored(), NOON)
    for each in first["conditions"]:
        assert each["lastTransitionTime"] == "2026-11-21T12:00:00Z"
        each["lastTransitionTime"] = BEFORE
    before = stored(status={**first, "conditions": [*first["conditions"], theirs]})
    second = status_of(ZERO_TRUST, tally("Ready", "Ready"), before, NOON)
    assert condition(second)["lastTransitionTime"] == BEFORE
    assert condition(second, "Audited") == theirs
    third = status_of(ZERO_TRUST, tally("Ready", "Pending"), before, NOON)
    assert condition(third)["lastTransitionTime"] == "2026-11-21T12:00:00Z"
    assert condition(third, "Accepted")["lastTransitionTime"] == BEFORE


# When it is written.


class Kept:
    """A keeper of the statuses in a cluster in memory."""

    def __init__(self, **kinds: list[Json]) -> None:
        made = [{**each, "metadata": {**each["metadata"], "generation": 1, "uid": "u"}} for each in BASELINE]
        self.world = World(**{"NetworkBaseline": made, "Namespace": [live_namespace()], **kinds})
        figures = Figures(CollectorRegistry())
        self.ledger = Ledger(lambda: self.world.live.tree, figures, lambda *_: None)
        self.keeper = Keeper(self.world.memory, self.world.live, self.ledger, figures)

    def told(self, state: Told = "Ready", name: str = "dev") -> None:
        tree = self.world.live.tree
        assert tree
        assert state != "Exempt"
        self.ledger.told(tree.namespaces[name], Brought({}, state=state, baselines=("zero-trust",)))

    def status(self) -> Json:
        found = self.world.memory.find(BASELINES, "zero-trust")
        assert found
        return dict(found.get("status", {}))

    def writes(self) -> int:
        return self.world.writes()["patch_status networkbaselines zero-trust"]


BASELINE = [baseline(default_deny=DENY)]


def test_what_is_as_it_stands_is_not_written() -> None:
    """Neither when somebody looks again nor when our own write is told to us."""
    kept = Kept()
    kept.told()
    for _ in range(3):
        assert asyncio.run(kept.keeper.write())
    assert kept.writes() == 1
    assert kept.status()["namespaces"]["ready"] == 1
    kept.told("Failed")
    assert asyncio.run(kept.keeper.write())
    assert kept.writes() == 2
    assert condition(kept.status())["status"] == "False"


def test_our_own_write_that_the_watch_has_not_told_of_is_known() -> None:
    """It would be written in a version that is old."""
    kept = Kept()
    kept.told()
    kept.world.lagging = True
    assert asyncio.run(kept.keeper.write())
    assert asyncio.run(kept.keeper.write())
    assert kept.writes() == 1
    kept.told("Failed")
    assert asyncio.run(kept.keeper.write())
    assert kept.writes() == 2
    kept.world.catch_up()
    assert asyncio.run(kept.keeper.write())
    assert kept.writes() == 2


def test_a_status_that_somebody_wrote_over_is_put_right() -> None:
    """In the version that the watch tells of."""
    kept = Kept()
    kept.told()
    assert asyncio.run(kept.keeper.write())
    right = kept.status()
    standing = kept.world.memory.find(BASELINES, "zero-trust")
    assert standing
    kept.world.memory.put(BASELINES, {**standing, "status": {"namespaces": {"total": 99}}})
    assert asyncio.run(kept.keeper.write())
    assert kept.status()["namespaces"] == right["namespaces"]


@pytest.mark.parametrize(
    ("code", "left"), [pytest.param(404, False, id="gone"), pytest.param(409, True, id="another wrote it")]
)
def test_what_somebody_did_meanwhile_is_no_trouble(code: int, left: bool) -> None:  # noqa: FBT001 - a case
    """What is gone needs no status; what was changed is looked at again."""
    kept = Kept()
    kept.told()
    kept.world.memory.before = refusing(ClusterError("no", status=code))
    assert asyncio.run(kept.keeper.write()) is not left
    kept.world.memory.before = refusing(None)
    assert asyncio.run(kept.keeper.write())
    assert kept.keeper.trouble == ""
    assert kept.status()["namespaces"]["total"] == 1


def refusing(error: ClusterError | None) -> Callable[[Call], Awaitable[None]]:
    async def refuse(_: Call) -> None:
        if error:
            raise error

    return refuse


def test_what_cannot_be_written_is_told_and_tried_again() -> None:
    """`/readyz` says why, until it can; other baselines are written all the same."""
    other = {**baseline("other", deny=DENY), "metadata": {"name": "other", "generation": 1, "uid": "v"}}
    kept = Kept(NetworkBaseline=[thing("zero-trust", BASELINE[0]["spec"], generation=1, uid="u"), other])
    kept.told()

    async def refuse(call: Call) -> None:
        if call.name == "zero-trust":
            raise ClusterError("forbidden", status=403)

    kept.world.memory.before = refuse
    assert not asyncio.run(kept.keeper.write())
    assert kept.keeper.trouble == "NetworkBaseline zero-trust: forbidden"
    found = kept.world.memory.find(BASELINES, "other")
    assert found
    assert found["status"]["namespaces"]["total"] == 0
    kept.world.memory.before = refusing(None)
    assert asyncio.run(kept.keeper.write())
    assert kept.keeper.trouble == ""


def test_a_burst_is_written_in_one_go() -> None:
    """Two hundred namespaces one after the other, and the status is written a few times."""
    kept = Kept(Namespace=[live_namespace(f"n{number}") for number in range(200)])

    async def main() -> None:
        task = asyncio.create_task(kept.keeper.run())
        for number in range(200):
            kept.told(name=f"n{number}")
            await asyncio.sleep(0.002)
        await until(lambda: kept.writes() > 0 and kept.status()["namespaces"]["ready"] == 200, 10)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert kept.writes() <= 2
    assert status.EVERY_SECONDS >= 2
