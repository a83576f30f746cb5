"""What time it is, as whoever needs to know is told: a test runs years ahead by handing in another clock."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the time of now, aware."""


def utc() -> datetime:
    """Return the machine's time; it may jump, so it is asked anew for each thing that depends on it."""
    return datetime.now(UTC)
