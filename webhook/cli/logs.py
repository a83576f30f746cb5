"""The log: JSON lines on standard error, or lines for people where that is a terminal."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_RICH = "rich"
if _RICH not in sys.modules:
    # structlog loads all of it where it is installed, a tenth of a second and 9 MB, for tracebacks that we never show.
    sys.modules[_RICH] = None  # type: ignore[assignment]  # what makes an import fail
    import structlog

    del sys.modules[_RICH]
else:
    import structlog

from structlog.typing import Processor  # noqa: E402 - after the one above

from webhook.cli.lines import Lines  # noqa: E402 - after the one above

# Without the values of variables: those are the tree and whole requests.
_TRACES = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


@contextmanager
def log_to_stderr() -> Iterator[Lines | None]:
    """Log as JSON lines that nobody waits for, and return what takes them; for people, where there is a terminal."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    lines = None if sys.stderr.isatty() else Lines(sys.stderr.fileno())
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    final: list[Processor] = [_TRACES, structlog.processors.JSONRenderer()] if lines else [console]
    file = lines or sys.stderr
    structlog.configure(
        processors=[*shared, *final],
        # Each line in one piece.
        logger_factory=structlog.WriteLoggerFactory(file),  # type: ignore[arg-type]  # it writes and flushes, no more
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final]
    )
    handler = logging.StreamHandler(file)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    try:
        yield lines
    finally:
        if lines:
            lines.finish()


def log_nothing() -> None:
    """Leave standard output and standard error to the command: what it has to say it says itself."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
