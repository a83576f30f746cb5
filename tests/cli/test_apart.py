"""What a controller that runs apart says of itself: ready when it could work, whoever does."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.cases.reviews import Json
from tests.cluster.world import World, thing
from webhook.cli.apart import _Apart
from webhook.cli.leading import Lead
from webhook.mirror import Mirror


def apart(world: World, *, met: bool = True) -> _Apart:
    """Return a controller in a cluster in memory, which it has reached."""
    cluster: Any = world.memory
    lead = Lead.of(cluster, world.live, CollectorRegistry(), rbac=False)
    return _Apart(cluster, world.live, lead, Mirror(cluster, world.live), met=met)


ACME: Json = thing("acme", {"baselines": ["zero-trust"]})


@pytest.mark.parametrize(
    ("organizations", "missing", "notes"),
    [
        pytest.param([ACME], "", "", id="a-tree"),
        pytest.param([], "", "there is nothing to do: there is no Organization", id="the-first-day"),
        pytest.param([ACME, thing("b", {})], "a cluster belongs to one Organization", "", id="two-trees"),
        pytest.param([thing("acme", {"x": 1})], "Organization acme cannot be read", "cannot be read", id="unreadable"),
    ],
)
def test_it_is_ready_with_a_tree_and_before_there_is_any(organizations: list[Json], missing: str, notes: str) -> None:
    """On the first day a rollout has to end; with two trees it is told to whoever looks at the pods."""
    controller = apart(World(Organization=organizations))
    assert missing in " ".join(controller.missing())
    assert bool(controller.missing()) is bool(missing)
    assert notes in " ".join(controller.notes())
    assert bool(controller.notes()) is bool(notes)


def test_it_is_not_ready_before_it_has_seen_the_cluster() -> None:
    """Neither before the API server has let it begin nor before each kind was told."""
    world = World()
    assert apart(world, met=False).missing() == ["the API server has not let us begin yet; the log says why"]
    world.live._synced.clear()
    (missing,) = apart(world).missing()
    assert missing.startswith("tenant tree: not read from the cluster yet: ")


def test_who_leads_is_said_and_not_asked() -> None:
    """A trouble with the lease is a note."""
    controller = apart(World())
    assert (controller.role(), controller.missing()) == ("standby", [])
    controller.lead.ours.leads = True
    assert (controller.role(), controller.missing()) == ("leader", [])
    controller.lead.ours.trouble = "forbidden"
    assert controller.notes() == ["baselines are not brought by us: forbidden"]
    assert controller.missing() == []
