"""The metrics of the controller, in the registry of whoever serves them."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

TIME_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300)
"""Seconds from a namespace to its baseline: a tenth in an idle cluster, 15 after a leader was killed."""


class Figures:
    """
    What is counted as it happens.

    Of what is so now (`portcullis_namespaces` and so on) see `Standing`. No label holds what a tenant could choose.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.baseline_seconds = Histogram(
            "portcullis_time_to_baseline_seconds",
            "From the creation of a namespace, or from when a baseline applied to it, to its baselines being in place.",
            buckets=TIME_BUCKETS,
            registry=registry,
        )
        self.errors = Counter(
            "portcullis_reconcile_errors", "Visits to a namespace that have to be tried again.", registry=registry
        )
        self.repairs = Counter(
            "portcullis_repairs", "Policies that were put back or replaced, by cause.", ["cause"], registry=registry
        )
        self.occurrences = Counter(
            "portcullis_occurrences",
            "What happened to baselines that is worth an Event, by its reason.",
            ["reason"],
            registry=registry,
        )
        self.events = Counter("portcullis_events", "Events written.", registry=registry)
        self.events_dropped = Counter(
            "portcullis_events_dropped",
            "Events that were not written: too many at once, or the API server did not take them.",
            registry=registry,
        )
        self.statuses = Counter(
            "portcullis_status_writes", "Times that the status of a baseline was written.", registry=registry
        )


class Counts(Protocol):
    """Who knows how it stands."""

    def states(self) -> Mapping[str, int]:
        """Return how many namespaces are in each state."""
        ...

    def oldest_pending(self) -> float | None:
        """Return since when the first namespace waits for its baseline, in Unix time; None where none does."""
        ...


class Standing(Collector):
    """What is so now; of the namespaces the leader alone knows it, so that figures of all replicas add up."""

    def __init__(self, counts: Counts, leads: Callable[[], bool]) -> None:
        self._counts = counts
        self._leads = leads

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        leads = self._leads()
        yield GaugeMetricFamily("portcullis_leader", "1 where this process brings the baselines.", value=int(leads))
        if not leads:
            return
        states = GaugeMetricFamily(
            "portcullis_namespaces", "Namespaces that a baseline applies to, by state.", labels=["state"]
        )
        for state, count in self._counts.states().items():
            states.add_metric([state], count)
        yield states
        since = self._counts.oldest_pending()
        yield GaugeMetricFamily(
            "portcullis_oldest_pending_seconds",
            "How long the first of the namespaces that wait for their baseline has waited; 0 where none waits.",
            value=0 if since is None else max(0.0, time.time() - since),
        )
