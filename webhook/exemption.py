"""
Whether a namespace is exempt from its baseline and the pod gate, as of a time (contract, section 1).

A label says so, and two annotations say why and until when: at most thirty days from then. The end is a time as
https://www.rfc-editor.org/rfc/rfc3339#section-5.6 has it, read no less strictly than Go's `time.RFC3339`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from webhook.model import DOMAIN, RESERVED

LABEL = f"{DOMAIN}/exempt"
REASON = f"{DOMAIN}/exempt-reason"
UNTIL = f"{DOMAIN}/exempt-until"
LONGEST = timedelta(days=30)

# `fromisoformat` reads much more than RFC 3339 (week dates, a space for the T, no offset); it then says whether there
# is such a day. The offset it would let reach 23:99.
_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_EXAMPLE = "2026-12-24T18:00:00Z"


@dataclass(frozen=True, slots=True)
class Exemption:
    """
    What the label and the annotations of a namespace come to.

    `end` is when it ends, None where the namespace is not exempt now; `turns` when that changes by itself, None for
    never. `problem` says what is wrong with what is asked for, empty where it is whole, or where nothing is asked for.
    """

    end: datetime | None = None
    turns: datetime | None = None
    problem: str = ""


NONE = Exemption()


def read_exemption(name: str, labels: Mapping[str, str], annotations: Mapping[str, str], now: datetime) -> Exemption:
    """Return what the namespace `name` with these labels and annotations is exempt from at `now`, an aware time."""
    if LABEL not in labels and REASON not in annotations and UNTIL not in annotations:
        return NONE
    end = read_time(annotations.get(UNTIL, ""))
    problem = _problem(labels, annotations, end, now)
    if name in RESERVED or end is None or end <= now or _half(labels, annotations):
        return Exemption(problem=problem)
    # A longer one was never let in by us; as time goes by it becomes one of thirty days.
    return Exemption(turns=end - LONGEST, problem=problem) if end - now > LONGEST else Exemption(end, end, problem)


def read_time(text: str) -> datetime | None:
    """Return an RFC 3339 time, None for what is none."""
    if not _RFC3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def rfc3339(time: datetime) -> str:
    """Return an aware time as RFC 3339 in UTC, to the second where it is one."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _problem(labels: Mapping[str, str], annotations: Mapping[str, str], end: datetime | None, now: datetime) -> str:
    if half := _half(labels, annotations):
        return half
    until = annotations.get(UNTIL)
    if until is None:
        return f"the annotation {UNTIL} is missing: say when it ends, for example {_EXAMPLE}"
    if end is None:
        return f"the annotation {UNTIL} is {_quoted(until)}, and has to be an RFC 3339 time such as {_EXAMPLE}"
    if end <= now:
        return f"it would have ended before it began: {UNTIL} is {_quoted(until)}, and it is {rfc3339(now)} now"
    if end - now > LONGEST:
        latest = rfc3339((now + LONGEST).replace(microsecond=0))
        return f"it would last longer than {LONGEST.days} days: let {UNTIL} be {latest} at the latest"
    return ""


def _half(labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    """Say what lacks beside the end, empty where nothing does."""
    label = labels.get(LABEL)
    if label != "true":
        said = "missing" if label is None else _quoted(label)
        return f"the label {LABEL} is {said}, and has to be 'true' where an annotation of it stands"
    if not any(each.isprintable() and not each.isspace() for each in annotations.get(REASON, "")):
        return f"the annotation {REASON} says nothing: write why it is needed"
    return ""


def _quoted(text: str) -> str:
    return f"'{text}'" if len(text) <= 60 else f"'{text[:60]}…'"
