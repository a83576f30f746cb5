"""A server, and what goes on beside it: when both have begun and when they end."""

import asyncio
from contextlib import suppress
from typing import Protocol

from webhook.errors import SettingsError


async def until_ended(serving: "asyncio.Task[None]", tasks: list["asyncio.Task[None]"]) -> None:
    """Return when the server ends; raise what ends one of the tasks before."""
    waited = {serving, *tasks}
    while not serving.done():
        done, waited = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {serving}:
            # One that has nothing to do is done at once.
            task.result()


class Listens(Protocol):
    """A server, as far as it begins."""

    started: bool


async def listening(server: Listens, serving: "asyncio.Task[None]") -> None:
    """Return once the server listens; raises `SettingsError` where it cannot."""
    while not server.started:
        if serving.done():
            with suppress(asyncio.CancelledError):
                await serving
            raise SettingsError("the server did not start; its log says why")
        await asyncio.sleep(0.01)
