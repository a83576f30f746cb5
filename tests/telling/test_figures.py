"""Metrics as Prometheus reads them: bounded, and of all replicas they add up."""

import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, generate_latest

from webhook.telling.figures import Figures, Standing


class Counted:
    """How it stands, by hand."""

    def __init__(self, states: Mapping[str, int], waits: float | None = None) -> None:
        self.told = states
        self.waits = waits

    def states(self) -> Mapping[str, int]:
        return self.told

    def oldest_pending(self) -> float | None:
        return self.waits


def test_the_leader_says_how_it_stands() -> None:
    """States, and how long the first waits."""
    registry = CollectorRegistry()
    registry.register(Standing(Counted({"Ready": 3, "Exempt": 1}, time.time() - 60), lambda: True))
    assert registry.get_sample_value("portcullis_leader") == 1
    assert registry.get_sample_value("portcullis_namespaces", {"state": "Ready"}) == 3
    assert registry.get_sample_value("portcullis_namespaces", {"state": "Exempt"}) == 1
    assert 59 < (registry.get_sample_value("portcullis_oldest_pending_seconds") or 0) < 70


def test_others_say_that_they_do_not_lead() -> None:
    """What they know may be long ago, and would be counted twice."""
    registry = CollectorRegistry()
    registry.register(Standing(Counted({"Ready": 3}, time.time()), lambda: False))
    assert registry.get_sample_value("portcullis_leader") == 0
    assert registry.get_sample_value("portcullis_namespaces", {"state": "Ready"}) is None
    assert registry.get_sample_value("portcullis_oldest_pending_seconds") is None


def test_nobody_waits() -> None:
    """It is nothing then, not missing: an alert on it goes out."""
    registry = CollectorRegistry()
    registry.register(Standing(Counted({}), lambda: True))
    assert registry.get_sample_value("portcullis_oldest_pending_seconds") == 0


def test_every_metric_is_ours_and_explained() -> None:
    """By its prefix, with a help text."""
    registry = CollectorRegistry()
    Figures(registry)
    registry.register(Standing(Counted({}), lambda: True))
    helps = [line for line in generate_latest(registry).decode().splitlines() if line.startswith("# HELP ")]
    assert len(helps) >= 8
    for line in helps:
        _, _, name, told = line.split(" ", 3)
        assert name.startswith("portcullis_")
        assert told
