"""An exemption counts when it is whole and for thirty days at most; its end is a time as Go reads RFC 3339."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.exemption import LABEL, LONGEST, NONE, REASON, UNTIL, Exemption, read_exemption, read_time, rfc3339
from webhook.model import RESERVED

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ON = {LABEL: "true"}


def notes(until: datetime | str, reason: str = "moving house") -> dict[str, str]:
    return {REASON: reason, UNTIL: until if isinstance(until, str) else rfc3339(until)}


def read(labels: dict[str, str], annotations: dict[str, str], name: str = "dev") -> Exemption:
    return read_exemption(name, labels, annotations, NOW)


# Times.

TIMES = {
    "2026-12-01T00:00:00Z": datetime(2026, 12, 1, tzinfo=UTC),
    "2026-12-01T02:30:00+02:30": datetime(2026, 12, 1, tzinfo=UTC),
    "2026-11-30T00:01:00-23:59": datetime(2026, 12, 1, tzinfo=UTC),
    "2026-12-01T00:00:00-00:00": datetime(2026, 12, 1, tzinfo=UTC),
    "2026-12-01T00:00:00.5Z": datetime(2026, 12, 1, microsecond=500_000, tzinfo=UTC),
    "2026-12-01T00:00:00.123456789Z": datetime(2026, 12, 1, microsecond=123_456, tzinfo=UTC),
    "2028-02-29T23:59:59Z": datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC),
}


@pytest.mark.parametrize("text", TIMES)
def test_a_time_of_rfc3339_is_read(text: str) -> None:
    """Date, T, time to the second, any fraction of it, Z or an offset."""
    assert read_time(text) == TIMES[text]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("2026-12-01", id="a-day"),
        pytest.param("2026-12-01T00:00:00", id="no-offset"),
        pytest.param("2026-12-01T00:00Z", id="no-seconds"),
        pytest.param("2026-12-01 00:00:00Z", id="a-space-for-the-T"),
        pytest.param("2026-12-01t00:00:00Z", id="a-small-t"),
        pytest.param("2026-12-01T00:00:00z", id="a-small-z"),
        pytest.param("20261201T000000Z", id="the-basic-format"),
        pytest.param("2026-W49-2T00:00:00Z", id="a-week"),
        pytest.param("2026-12-01T1:00:00Z", id="one-digit-of-an-hour"),
        pytest.param("2026-12-01T24:00:00Z", id="hour-24"),
        pytest.param("2026-12-01T00:60:00Z", id="minute-60"),
        pytest.param("2026-12-01T00:00:60Z", id="a-leap-second"),
        pytest.param("2026-12-01T00:00:00,5Z", id="a-comma"),
        pytest.param("2026-12-01T00:00:00.Z", id="a-fraction-of-no-digits"),
        pytest.param("2026-12-01T00:00:00+0200", id="an-offset-without-colon"),
        pytest.param("2026-12-01T00:00:00+02", id="half-an-offset"),
        pytest.param("2026-12-01T00:00:00+24:00", id="an-offset-of-a-day"),
        pytest.param("2026-12-01T00:00:00+02:60", id="an-offset-of-sixty-minutes"),
        pytest.param("2026-12-01T00:00:00+02:00:00", id="an-offset-of-seconds"),
        pytest.param("2026-13-01T00:00:00Z", id="month-13"),
        pytest.param("2026-02-29T00:00:00Z", id="no-such-day"),
        pytest.param("0000-01-01T00:00:00Z", id="year-0"),
        pytest.param("12026-12-01T00:00:00Z", id="a-year-of-five-digits"),
        pytest.param("2026-12-01T00:00:00Z ", id="a-space-behind"),
        pytest.param("2026-12-01T00:00:00Z\n", id="a-newline-behind"),
        pytest.param("٢٠٢٦-12-01T00:00:00Z", id="other-digits"),
        pytest.param("1796083200", id="a-number"),
    ],
)
def test_what_is_no_time_of_rfc3339_is_none(text: str) -> None:
    """Whatever Python's own reader would make of it."""
    assert read_time(text) is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_that_was_written_is_read(time: datetime) -> None:
    """What the document and the state say is the very time that was meant."""
    assert read_time(rfc3339(time)) == time


# Exemptions.


@pytest.mark.parametrize("end", [NOW + SECOND, NOW + LONGEST], ids=["a-second", "thirty-days"])
def test_a_whole_one_counts_until_its_end(end: datetime) -> None:
    """Then it turns by itself."""
    assert read(ON, notes(end)) == Exemption(end, end, "")


@pytest.mark.parametrize(
    ("labels", "annotations", "told"),
    [
        pytest.param(ON, notes(NOW), "would have ended before it began", id="ends-now"),
        pytest.param(ON, notes(NOW - SECOND), "and it is 2026-11-21T12:00:00Z now", id="is-over"),
        pytest.param(ON, notes("0001-01-01T00:00:00+23:59"), "ended before it began", id="is-long-over"),
        pytest.param(ON, notes("soon"), "exempt-until is 'soon', and has to be an RFC 3339 time such as", id="no-time"),
        pytest.param(ON, notes("x" * 99), f"is '{'x' * 60}…', and", id="a-long-text"),
        pytest.param(ON, notes(""), "exempt-until is '', and", id="an-empty-time"),
        pytest.param(ON, {REASON: "x"}, "exempt-until is missing", id="no-end"),
        pytest.param(ON, {UNTIL: rfc3339(NOW + SECOND)}, "exempt-reason says nothing", id="no-reason"),
        pytest.param(ON, notes(NOW + SECOND, ""), "exempt-reason says nothing", id="an-empty-reason"),
        pytest.param(ON, notes(NOW + SECOND, " \t\n"), "exempt-reason says nothing", id="a-blank-reason"),
        pytest.param(ON, notes(NOW + SECOND, "\u200b\u00a0"), "says nothing", id="a-reason-that-is-not-seen"),
        pytest.param({}, notes(NOW + SECOND), "the label portcullis.dev/exempt is missing", id="no-label"),
        pytest.param({LABEL: ""}, notes(NOW + SECOND), "exempt is '', and has to be 'true'", id="an-empty-label"),
        pytest.param({LABEL: "True"}, notes(NOW + SECOND), "exempt is 'True', and has to be", id="another-case"),
        pytest.param({LABEL: "false"}, {}, "exempt is 'false', and has to be", id="false"),
        pytest.param({}, {REASON: ""}, "the label portcullis.dev/exempt is missing", id="a-reason-left-over"),
    ],
)
def test_one_that_is_not_whole_counts_for_nothing(
    labels: dict[str, str], annotations: dict[str, str], told: str
) -> None:
    """Neither now nor later, and what lacks is told."""
    found = read(labels, annotations)
    assert (found.end, found.turns) == (None, None)
    assert told in found.problem


def test_a_longer_one_counts_for_nothing_until_it_is_none() -> None:
    """From before our day: it begins to count thirty days before its end, and the latest end is told."""
    end = NOW + LONGEST + SECOND
    found = read(ON, notes(end))
    assert (found.end, found.turns) == (None, NOW + SECOND)
    assert found.problem.endswith(
        "longer than 30 days: let portcullis.dev/exempt-until be 2026-12-21T12:00:00Z at the latest"
    )
    assert read_exemption("dev", ON, notes(end), NOW + SECOND) == Exemption(end, end, "")


def test_one_for_ever_counts_for_nothing() -> None:
    """The last day that there is, with an offset that leads beyond it."""
    assert read(ON, notes("9999-12-31T23:59:59-23:59")).end is None


def test_where_nothing_is_asked_for_there_is_nothing() -> None:
    """Labels and annotations of others are none of it."""
    assert read({"exempt": "true", "portcullis.dev/gate": "enforced"}, {"portcullis.dev/baseline": "x"}) == NONE


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_reserved_namespace_is_never_exempt(name: str) -> None:
    """No baseline applies there anyway."""
    assert read(ON, notes(NOW + SECOND), name) == NONE
