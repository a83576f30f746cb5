"""The finalizer of every baseline: put on, put back, taken off once its policies are gone, or with its definition."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.cases.reviews import Json
from tests.cluster.memory import Event, until
from tests.cluster.world import (
    DENY,
    STANDING,
    World,
    baseline,
    failing,
    injected,
    live_namespace,
    thing,
    with_metadata,
    working,
)
from webhook import retire
from webhook.baseline import past
from webhook.cluster.resource import BASELINES, DEFINITIONS, NAMESPACES, NETWORK_POLICIES
from webhook.errors import ClusterError
from webhook.model import BASELINE_FINALIZER, WORKSPACE_LABEL
from webhook.retire import Finalizers, let_go

ENDING = "2026-11-21T00:00:00Z"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the waits be short."""
    monkeypatch.setattr(retire, "SETTLE_SECONDS", 0.005)
    monkeypatch.setattr(retire, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(past, "SETTLE_SECONDS", 0.05)


def of_the_edge() -> World:
    """Return a world with a baseline that selects by a label, and a namespace that it has its policy in."""
    edge = baseline("edge", wall=DENY)
    edge["spec"]["namespaceSelector"] = {"matchLabels": {"tier": "edge"}}
    world = World(
        Organization=[thing("acme", {})],
        NetworkBaseline=[*STANDING["NetworkBaseline"], edge],
        Namespace=[live_namespace("dev", {"tier": "edge"})],
        NetworkPolicy=[injected("edge.wall", DENY)],
    )
    world.memory.put(DEFINITIONS, thing(BASELINES.definition))

    def collect(event: Event) -> None:
        metadata = event.thing["metadata"]
        released = event.plural == BASELINES.plural and "deletionTimestamp" in metadata
        if released and not metadata.get("finalizers") and world.memory.find(BASELINES, metadata["name"]):
            world.memory.remove(BASELINES, metadata["name"])

    world.memory.listeners.append(collect)
    return world


def finalizers(world: World, name: str = "edge") -> list[str] | None:
    """Return the finalizers of a baseline, None where it is gone."""
    found = world.memory.find(BASELINES, name)
    return None if found is None else found["metadata"].get("finalizers", [])


def changed(world: World, name: str = "edge", **metadata: object) -> None:
    """Have somebody change a baseline's metadata."""
    found = world.memory.find(BASELINES, name)
    assert found
    world.memory.put(BASELINES, with_metadata(found, **metadata))


def keeping(world: World, script: Callable[[], Awaitable[None]], *, controller: bool = False) -> None:
    """Do something while the finalizers are kept."""

    async def main() -> None:
        task = asyncio.create_task(Finalizers(world.live, world.memory).run())
        try:
            async with working(*([world] if controller else [])):
                await script()
            assert not task.done(), task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert world.live.changed == []

    asyncio.run(main())


def test_every_baseline_has_the_finalizer() -> None:
    """Beside those of others, also who comes later; and whoever drops it has it put back."""
    world = of_the_edge()

    async def script() -> None:
        changed(world, finalizers=["x"])
        await until(lambda: finalizers(world) == ["x", BASELINE_FINALIZER])
        await until(lambda: finalizers(world, "zero-trust") == [BASELINE_FINALIZER])
        world.memory.put(BASELINES, baseline("late", wall=DENY))
        await until(lambda: finalizers(world, "late") == [BASELINE_FINALIZER])
        changed(world, finalizers=[])
        await until(lambda: finalizers(world) == [BASELINE_FINALIZER])
        made = len(world.memory.calls)
        await asyncio.sleep(0.05)
        assert len(world.memory.calls) == made

    keeping(world, script)


def test_a_baseline_goes_once_its_policies_are_gone() -> None:
    """The controller removes them; the finalizer of another stays on."""
    world = of_the_edge()

    async def script() -> None:
        await until(lambda: finalizers(world) == [BASELINE_FINALIZER])
        changed(world, finalizers=["x", BASELINE_FINALIZER], deletionTimestamp=ENDING)
        await until(lambda: finalizers(world) == ["x"])
        assert world.policies() == {}
        changed(world, finalizers=[])
        assert finalizers(world) is None

    keeping(world, script, controller=True)


def test_as_long_as_a_policy_stands_the_baseline_does() -> None:
    """Nobody removes it here; what an orphan keeps is waited for as well, until its owner is known again."""
    world = of_the_edge()

    async def script() -> None:
        await until(lambda: finalizers(world) == [BASELINE_FINALIZER])
        changed(world, deletionTimestamp=ENDING)
        world.memory.put(NAMESPACES, live_namespace("dev", {WORKSPACE_LABEL: "ghost"}))
        await asyncio.sleep(0.1)
        assert finalizers(world) == [BASELINE_FINALIZER]
        world.memory.remove(NETWORK_POLICIES, "edge.wall", "dev")
        await until(lambda: finalizers(world) is None)

    keeping(world, script)


def test_what_still_applies_or_ends_by_itself_is_not_waited_for() -> None:
    """A tenant names it, or the namespace is being deleted."""
    world = of_the_edge()
    world.memory.put(NAMESPACES, live_namespace("dev", {"tier": "edge"}, deletionTimestamp=ENDING))
    world.memory.put(NAMESPACES, live_namespace("mine"))
    world.memory.put(NETWORK_POLICIES, injected("zero-trust.default-deny", DENY, "mine"))
    workspace = {"project": "payments", "baselines": ["zero-trust"]}
    world.live.put("Workspace", thing("checkout", workspace, resourceVersion="999"))

    async def script() -> None:
        for name in ("edge", "zero-trust"):
            changed(world, name, deletionTimestamp=ENDING, finalizers=[BASELINE_FINALIZER])
            await until(lambda name=name: finalizers(world, name) is None)  # type: ignore[misc]  # bound now

    keeping(world, script)
    assert "zero-trust.default-deny" in world.policies("mine")


@pytest.mark.parametrize("definition", ["ends", "is gone"])
def test_with_its_definition_it_goes_at_once(definition: str) -> None:
    """Though its policies stand: they stay, and the definition must not wait for ever."""
    world = of_the_edge()

    async def script() -> None:
        await until(lambda: finalizers(world) == [BASELINE_FINALIZER])
        if definition == "ends":
            world.memory.put(DEFINITIONS, thing(BASELINES.definition, deletionTimestamp=ENDING))
        else:
            world.memory.remove(DEFINITIONS, BASELINES.definition)
        changed(world, deletionTimestamp=ENDING)
        await until(lambda: finalizers(world) is None)

    keeping(world, script, controller=True)
    assert "edge.wall" in world.policies()


@pytest.mark.parametrize("status", [409, 403, 0])
def test_what_is_refused_is_tried_again(status: int) -> None:
    """By itself, without any event."""
    world = of_the_edge()
    world.memory.before = failing("patch networkbaselines", error=ClusterError("no", status=status))

    async def script() -> None:
        await until(lambda: world.writes()["patch networkbaselines edge"] >= 2)
        world.memory.before = failing()
        await until(lambda: finalizers(world) == [BASELINE_FINALIZER])

    keeping(world, script)


def test_without_a_tree_nothing_is_done() -> None:
    """Nobody knows what a policy is for."""
    world = World(Organization=[])

    async def script() -> None:
        await asyncio.sleep(0.03)
        assert world.memory.calls == []

    keeping(world, script)


def test_who_leaves_takes_his_finalizer_along() -> None:
    """Whatever stands, and nothing else changes."""
    world = of_the_edge()
    changed(world, finalizers=["x", BASELINE_FINALIZER])

    async def leave() -> None:
        for _ in range(2):
            await let_go(world.memory, "edge")

    asyncio.run(leave())
    assert finalizers(world) == ["x"]
    assert world.writes()["patch networkbaselines edge"] == 1
    found: Json | None = world.memory.find(BASELINES, "edge")
    assert found
    assert found["spec"]["policies"]
