"""The log, whose reader may be slow or gone."""

import os
import time

import orjson
import structlog

from webhook.cli.lines import AT_ONCE, MOST, Lines


def test_nobody_waits_for_a_slow_reader_and_what_is_lost_is_told() -> None:
    """With a pipe that nobody reads a line costs no time; once it is read all come that fitted, in their order."""
    reading, writing = os.pipe()
    lines = Lines(writing)
    lines.put(b"0\n" * AT_ONCE * 32)
    time.sleep(0.1)
    begin = time.monotonic()
    for number in range(MOST + 10):
        lines.put(b"%d\n" % number)
    assert time.monotonic() - begin < 5
    read = b""
    while b"log lost" not in read or not read.endswith(b"\n"):
        read += os.read(reading, 65536)
    *told, lost = read.removeprefix(b"0\n" * AT_ONCE * 32).splitlines()
    # The one that is being written counts among those that wait.
    assert told == [b"%d" % number for number in range(MOST - 1)]
    assert orjson.loads(lost)["lines"] == 11
    lines.finish()


def test_all_is_written_at_the_end() -> None:
    """What was told last is what somebody wants to know."""
    reading, writing = os.pipe()
    lines = Lines(writing)
    lines.write("one\n")
    lines.put(b"two\n")
    lines.finish()
    assert os.read(reading, 100) == b"one\ntwo\n"


def test_a_reader_that_is_gone_stops_nobody() -> None:
    """Lines that nobody can read any more are let go."""
    reading, writing = os.pipe()
    os.close(reading)
    lines = Lines(writing)
    lines.write("one\n")
    begin = time.monotonic()
    lines.finish()
    assert time.monotonic() - begin < 2


def test_structlog_writes_to_them() -> None:
    """They are a file to the log, which wants to refer to its file weakly."""
    reading, writing = os.pipe()
    lines = Lines(writing)
    structlog.WriteLogger(lines).info("one")  # type: ignore[arg-type]  # it writes and flushes, no more
    lines.finish()
    assert os.read(reading, 100) == b"one\n"
