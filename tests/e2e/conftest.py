"""Portcullis as it is in a cluster, on a real API server: started once for all tests of this folder."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.controlplane.plane import Plane
from tests.e2e.guarded import Guarded
from tests.e2e.manifests import covered, documents, stand_ins
from tests.e2e.reading import until


@pytest.fixture(scope="session")
def guarded(guarded_plane: Plane, opa_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A cluster on its first day: definitions, tree, `serve`; and the kinds of CNIs, which stand in for theirs."""
    with ExitStack() as held:
        guarded = Guarded(guarded_plane, opa_binary, tmp_path_factory.mktemp("portcullis"), held)
        guarded.install()
        foreign = documents(*stand_ins(covered(opa_binary)))
        guarded.kubectl("apply", "--server-side", "--filename=-", user="root", stdin=foreign)
        guarded.define()
        guarded.plant()
        guarded.gate()
        yield guarded


@pytest.fixture(autouse=True)
def _portcullis_takes_part(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test passes without Portcullis: somebody was judged in each; and it was refused nothing by RBAC."""
    if "guarded" not in request.fixturenames:
        yield
        return
    guarded: Guarded = request.getfixturevalue("guarded")
    lines = guarded.look()
    before = len(guarded.decisions)
    yield

    def decided() -> bool:
        lines.extend(guarded.look())
        return len(guarded.decisions) > before

    # It is told of once the answer is on its way.
    until(decided, 2)
    wrong = [
        line for line in lines if "is forbidden: User" in str(line) or "exception" in line or "Traceback" in str(line)
    ]
    # What a test takes away on purpose is told of by the gate, in the API server's words.
    expected = {"decision", "baseline not brought for a pod"}
    assert not [line for line in wrong if line.get("event") not in expected]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of Portcullis beside a failure."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for each in item.funcargs.values():
            if isinstance(each, Guarded):
                report.sections.append(("portcullis", each.last_words()))
    return report
