"""How late an event loop is: what every answer waits for, whatever it is an answer to."""

import asyncio
from collections.abc import Callable

PERIOD = 0.1


async def measure_lag(tell: Callable[[float], object]) -> None:
    """Tell ten times a second by how many seconds a timer comes late, to the millisecond, for ever."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + PERIOD
        await asyncio.sleep(PERIOD)
        tell(max(0.0, clock() - due))
