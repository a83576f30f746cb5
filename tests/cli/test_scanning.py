"""The scan's own engine is had beside what else is done, and nobody waits for it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from webhook.cli.scanning import EngineApart
from webhook.cli.starting import EngineName, start_of
from webhook.errors import NoDecisionError
from webhook.model import Namespace
from webhook.settings import bundled_policies
from webhook.tenancy.tree import Tree

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_without_policies_the_scan_waits(tree: Tree, tmp_path: Path) -> None:
    """What keeps it from having an engine ends nothing; whoever asks is told to ask again."""

    async def main() -> None:
        apart = EngineApart(tmp_path / "nowhere", start_of("auto", None))
        running = asyncio.create_task(apart.run())
        await asyncio.sleep(0.1)
        assert not running.done()
        with pytest.raises(NoDecisionError, match="no engine for the scan yet") as caught:
            await apart.judge.namespace(tree, Namespace("new"), NOW)
        assert caught.value.retry
        assert apart.judge.revision == ""
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["opa", "wasm"])
def test_once_it_is_there_it_is_asked(tree: Tree, opa_binary: Path, engine: EngineName) -> None:
    """By whoever was given out before, with the titles of its rules."""
    assert opa_binary.is_file()

    async def main() -> None:
        apart = EngineApart(bundled_policies(), start_of(engine, None))
        judge = apart.judge
        running = asyncio.create_task(apart.run())
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await judge.namespace(tree, Namespace("new"), NOW) == ()
                    break
                except NoDecisionError:
                    await asyncio.sleep(0.1)
        assert judge.revision
        assert judge.titles["guardrail/from-anywhere"] == "No policy lets everybody in"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert judge.revision == ""

    asyncio.run(main())
