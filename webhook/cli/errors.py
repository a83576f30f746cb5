"""Errors on their way to the command line, which tells one of them in one line."""

from collections.abc import Awaitable
from typing import Any


async def unwrapped(work: Awaitable[Any]) -> None:
    """Await `work`; of several errors that ended it the first is raised, which the command line knows how to tell."""
    try:
        await work
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from group
