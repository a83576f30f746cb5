"""Times as people give them: RFC 3339, or how long ago."""

import re
from datetime import UTC, datetime, timedelta

from webhook.errors import SettingsError

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_AGO = re.compile(r"(?:\d{1,9}[wdhms])+", re.ASCII)


def time_of(flag: str, text: str | None) -> str | None:
    """Return a time as RFC 3339 in UTC, None for none; raises `SettingsError` for a text that is no time."""
    if text is None:
        return None
    if _AGO.fullmatch(text):
        return _ago(flag, text)
    try:
        read = datetime.fromisoformat(text)
        if read.tzinfo is None:
            raise SettingsError(f"{flag} {text} has no zone: add Z for UTC, or +01:00 and the like")
        return read.astimezone(UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError) as error:
        raise SettingsError(
            f"{flag} {text!r} is no time: give 2026-11-21T15:00:00Z, or 2h or 7d for so long ago"
        ) from error


def now() -> str:
    """Return the time of now."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _ago(flag: str, text: str) -> str:
    try:
        spans = [timedelta(**{_UNITS[unit]: int(count)}) for count, unit in re.findall(r"(\d+)(\w)", text)]
        return (datetime.now(UTC) - sum(spans, timedelta())).isoformat(timespec="milliseconds")
    except OverflowError as error:
        raise SettingsError(f"{flag} {text} ago is before all times: give a shorter one") from error
