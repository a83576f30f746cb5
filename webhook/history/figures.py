"""The metrics of the history, in the registry of whoever serves them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Figures:
    """What is recorded and what is not."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = Gauge("portcullis_history_up", "Whether the history can be written: 1 or 0.", registry=registry)
        self.recorded = Counter(
            "portcullis_history_recorded", "Decisions and states of objects written.", ["kind"], registry=registry
        )
        self.lost = Counter(
            "portcullis_history_lost",
            "Decisions, their documents and states of objects that were not written, by reason.",
            ["kind", "reason"],
            registry=registry,
        )
        self.waiting = Gauge(
            "portcullis_history_waiting", "Decisions and states that wait to be written.", ["kind"], registry=registry
        )
        self.waiting_bytes = Gauge(
            "portcullis_history_waiting_bytes", "How much of them is held, in bytes.", registry=registry
        )
        self.write_seconds = Histogram(
            "portcullis_history_write_seconds",
            "How long it takes to write a batch.",
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )
        self.pruned = Counter(
            "portcullis_history_pruned",
            "Decisions, documents and states that were let go.",
            ["kind"],
            registry=registry,
        )
        for kind in ("decision", "revision"):
            self.recorded.labels(kind)
        for kind in ("decision", "document", "revision"):
            self.lost.labels(kind, "full")
