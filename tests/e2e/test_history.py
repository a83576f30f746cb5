"""What stood is in the history: as the watch told of it, and what changed while nobody watched."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.guarded import Guarded
from tests.e2e.manifests import INSIDE, documents, policy
from tests.e2e.reading import until
from webhook.history.rows import StoredRevision
from webhook.history.store import opened

NAME = "chronicler"
SPACE = "chronicle"


@pytest.fixture
def recorded(guarded: Guarded, tmp_path: Path) -> Iterator[str]:
    """The URL of a history that a process beside the others writes, which stands by and answers nobody."""
    url = f"sqlite:///{tmp_path}/history.db"
    guarded.create(SPACE)
    guarded.start(NAME, f"--history={url}", command="controller")
    yield url
    if guarded.processes[NAME].child.pid:
        guarded.stop(NAME)
    guarded.kubectl("delete", "namespace", SPACE, "--wait=false", user="wanda")


def standing(url: str) -> dict[str, StoredRevision]:
    """Return what stands in the namespace, by name."""

    async def main() -> dict[str, StoredRevision]:
        async with opened(url) as store:
            return {each.name: each for each in await store.standing(SPACE)}

    return asyncio.run(main())


def applied(guarded: Guarded, name: str, *, note: str) -> None:
    """Apply a policy as kubectl does, which writes all of it into an annotation."""
    thing = policy(SPACE, name, INSIDE)
    thing["metadata"]["annotations"] = {"example.com/note": note}
    guarded.kubectl("apply", "--filename=-", user="wanda", stdin=documents(thing))


def stands(url: str, guarded: Guarded) -> Callable[[], bool]:
    """Say whether the history has what stands in the namespace, each in the version that it has there."""

    def same() -> bool:
        there = {name: each["metadata"]["resourceVersion"] for name, each in guarded.reader.policies(SPACE).items()}
        return {name: each.version for name, each in standing(url).items()} == there

    return same


def test_what_stood_is_kept_whoever_watched(guarded: Guarded, recorded: str) -> None:
    """What stood before, what is written, with who wrote it, and what changed and went while the process was away."""
    until(stands(recorded, guarded), 60)
    assert "zero-trust.default-deny" in standing(recorded)
    applied(guarded, "mine", note="hunter2")
    applied(guarded, "other", note="hunter2")
    until(stands(recorded, guarded), 30)
    mine = standing(recorded)["mine"]
    assert mine.content
    assert mine.content["spec"] == guarded.reader.specs(SPACE)["mine"]
    assert not mine.content["metadata"].get("annotations")
    assert [each.manager for each in mine.writers] == ["kubectl-client-side-apply"]
    assert set(mine.tenants) == {"Workspace/checkout", "Project/payments", "Organization/acme"}
    guarded.stop(NAME)
    guarded.kubectl("annotate", "networkpolicy", "mine", "a=b", "--namespace", SPACE, user="wanda")
    guarded.kubectl("delete", "networkpolicy", "other", "--namespace", SPACE, user="wanda")
    guarded.start(NAME, f"--history={recorded}", command="controller")
    until(stands(recorded, guarded), 60)
    assert "other" not in standing(recorded)
