"""The log: JSON lines on standard error, or lines for people where that is a terminal."""

import logging
import sys
from dataclasses import fields

import structlog
from structlog.typing import Processor

from webhook.history.record import Record

# Without the values of variables: those are the tree and whole requests.
_TRACES = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


# What the history holds and a line of the log would be too long for.
_UNTOLD = frozenset({"document", "ran", "violations", "tenants", "size"})


def log_to_stderr() -> None:
    """Log as JSON lines, for people where there is a terminal."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    people = sys.stderr.isatty()
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer = console if people else structlog.processors.JSONRenderer()
    final: list[Processor] = [renderer] if people else [_TRACES, renderer]
    structlog.configure(
        processors=[*shared, *final],
        # A line at once, which `print` does not do everywhere: several processes may write to one log.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def log_decision(record: Record) -> None:
    """Tell of a decision."""
    told = (each.name for each in fields(record) if each.name not in _UNTOLD)
    structlog.get_logger().info("decision", **{name: getattr(record, name) for name in told})


def log_nothing() -> None:
    """Leave standard output and standard error to the command: what it has to say it says itself."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
