"""Portcullis as two replicas on a control plane that bad things happen to."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.controlplane.plane import Plane
from tests.faults.matrix import PROPERTY
from tests.faults.pair import Pair, seed
from tests.faults.rows import BY_NAME
from tests.faults.trial import Trial


@pytest.fixture(scope="session")
def pair(faulted_plane: Plane, opa_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A cluster with definitions, tree and two replicas, which are asked already."""
    with ExitStack() as held:
        pair = Pair(faulted_plane, opa_binary, tmp_path_factory.mktemp("pair"), held)
        pair.install()
        pair.define()
        pair.plant()
        pair.begin()
        pair.await_gate()
        # What passed before anybody was asked had no decision.
        pair.audit.undecided()
        yield pair


@pytest.fixture
def trial(request: pytest.FixtureRequest, pair: Pair) -> Trial:
    """The row that the test is called by, with both replicas as they have to be."""
    row = BY_NAME[request.node.name.removeprefix("test_")]
    pair.decide_by("opa" if row.opa else "auto")
    pair.whole()
    return Trial(pair, row, seed(), lambda seen: request.node.user_properties.append((PROPERTY, seen)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of both replicas beside a failure."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for each in item.funcargs.values():
            if isinstance(each, Trial):
                report.sections.append(("portcullis", each.pair.last_words()))
    return report
