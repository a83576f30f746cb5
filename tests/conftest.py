"""The real OPA and the tree that the tests share."""

import asyncio
import os
import secrets
import sys
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.controlplane.binaries import find_control_plane
from tests.controlplane.plane import Plane, start_plane
from tests.engines.twin import Compared, DifferentError, Twin
from tests.faults import audit, matrix
from webhook.admission import Gate
from webhook.baseline.cover import cover_at
from webhook.decision.binary import find_opa
from webhook.decision.bundle import Bundle, read_policies
from webhook.decision.opa import Engine, LocalOpa, Opa
from webhook.decision.process import OpaProcess
from webhook.decision.wasm import WasmOpa, compiled
from webhook.errors import PolicyError
from webhook.history.record import Record
from webhook.mend import Gap
from webhook.model import Cover
from webhook.settings import BREAK_GLASS_GROUPS, bundled_policies
from webhook.tenancy.files import load_tree
from webhook.tenancy.tree import Tree

T = TypeVar("T")
COMPARED = pytest.StashKey[Compared]()
"""What a session's engines were asked, both of them."""
TREE = Path(__file__).parent / "cases" / "tree"
PLANES = {"plane": "plane", "guarded_plane": "guarded", "faulted_plane": "faults"}
"""The fixtures that are a real control plane, and the groups of their tests."""


HINDERED: Mapping[str, tuple[str, bool]] = {
    "narrow-dev": ("exceeded quota: none, limited: count/networkpolicies.networking.k8s.io=0", False),
    "slow-dev": ("the API server did not answer within 2.0 s", True),
}
"""Where what lacks cannot be brought: why, and whether that passes. Elsewhere nobody tries."""


class Hindered:
    """Brings nothing."""

    async def cover(self, gap: Gap, *, seconds: float) -> Cover:  # noqa: ARG002 - nothing is waited for
        """Return what lacks, and why it was not brought."""
        tree, place = gap.tree, gap.place
        found = cover_at(place, tree.baselines, tree.former, tree.policies_in(place.namespace))
        why, passing = HINDERED.get(place.namespace, ("", False))
        return replace(found, hindered=(why,), passing=passing) if why else found


class Loop:
    """An event loop in a thread of its own: a session's OPA outlives the tests that ask it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], *, seconds: float = 120) -> T:
        """Return what `work` returns within `seconds`."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(timeout=seconds)

    def close(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    """The loop that the session's OPAs live on."""
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def opa_binary() -> Path:
    """The real OPA; a missing one is built."""
    return find_opa(os.environ, say=print)


@pytest.fixture(scope="session")
def tree() -> Tree:
    """The tree of the cases."""
    loading = load_tree(TREE)
    assert loading.tree, loading.errors
    return loading.tree


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """The Rego that is shipped."""
    return read_policies(bundled_policies())


GateOf = Callable[[Bundle], Gate]


@pytest.fixture(scope="session")
def gate_of(loop: Loop, opa_binary: Path, tree: Tree, pytestconfig: pytest.Config) -> Iterator[GateOf]:
    """Make a gate on a bundle, one per revision: with a real OPA, and with the policies in-process beside it."""
    stack = AsyncExitStack()
    gates: dict[str, Gate] = {}

    async def start(bundle: Bundle) -> Gate:
        process = await stack.enter_async_context(OpaProcess(opa_binary, bundle.signed(), log=lambda _: None))
        await process.ready()
        opa = await stack.enter_async_context(LocalOpa(socket=process.socket))
        engine: Opa = opa
        # What only OPA can evaluate, as a bundle with a builtin that nobody tried beside it, is OPA's alone.
        with suppress(PolicyError):
            wasm = await asyncio.to_thread(in_process, opa_binary, bundle)
            stack.callback(wasm.close)
            engine = Twin(opa, wasm, pytestconfig.stash[COMPARED])
        return Gate(Engine(engine, bundle.policies), lambda: tree, BREAK_GLASS_GROUPS, _ignore, mender=Hindered())

    def gate_of(bundle: Bundle) -> Gate:
        if bundle.policies.revision not in gates:
            gates[bundle.policies.revision] = loop.run(start(bundle))
        return gates[bundle.policies.revision]

    yield gate_of
    loop.run(stack.aclose())


def in_process(opa: Path, bundle: Bundle) -> WasmOpa:
    """Return the policies of a bundle as they are evaluated in this process."""
    return WasmOpa.load(compiled(opa, bundle, cache=None), bundle.policies.revision)


@pytest.fixture(scope="session")
def gate(gate_of: GateOf, bundle: Bundle) -> Gate:
    """The gate with the shipped rules, which both engines evaluate."""
    gate = gate_of(bundle)
    assert isinstance(gate.opa, Twin)
    return gate


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the one flag that rewrites golden files; `git diff` shows what changed."""
    parser.addoption("--rewrite-golden", action="store_true", help="rewrite golden files by what is found")
    parser.addoption(
        "--write-matrix", action="store_true", help="write docs/failure-matrix.md by what tests/faults saw"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose what the fuzzer sends, here and not in its tests: processes started later take it over with the rest."""
    config.stash[COMPARED] = Compared()
    os.environ.setdefault("FAULTS_SEED", str(secrets.randbelow(10**9)))
    os.environ.setdefault("FUZZ_SEED", str(secrets.randbelow(10**9)))
    os.environ.setdefault("FUZZ_INPUTS", "100000")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Count what was put to both engines by the test, or since the one before; where they differed it has failed."""
    try:
        yield
    finally:
        counts, different = item.config.stash[COMPARED].taken()
        if counts:
            item.user_properties.append(("both engines", dict(counts)))
        if different:
            # Whatever the test made of it: the webhook denies on what it did not foresee.
            raise DifferentError("\n\n".join(different[:3]))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell what came of fuzzing, how many mutants were killed, verdicts and answers compared, and of each fault."""
    outcomes = [(each, outcome) for outcome in ("passed", "failed") for each in terminalreporter.getreports(outcome)]
    for line in matrix.told(outcomes):
        terminalreporter.write_line(line)
    if config.getoption("--write-matrix"):
        matrix.write(outcomes)
    totals: dict[str, Counter[str]] = {}
    for report in (each for outcome in ("passed", "failed") for each in terminalreporter.getreports(outcome)):
        for what, counts in getattr(report, "user_properties", ()):
            if what.startswith(("fuzzed", "mutation", "verdicts", "both engines")):
                totals.setdefault(what, Counter()).update(counts)
    if any(what.startswith(("fuzzed", "both engines, odd")) for what in totals):
        terminalreporter.write_line(f"FUZZ_SEED={os.environ['FUZZ_SEED']}")
    for what, counts in sorted(totals.items()):
        told = ", ".join(f"{value:,.0f} {key}" for key, value in counts.most_common())
        terminalreporter.write_line(f"{what}: {told}")


@pytest.hookimpl(tryfirst=True)  # `-m` and xdist read the marks in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests on a real API server, and keep those of one plane on one worker: each worker is a session."""
    for item in items:
        wanted = set(getattr(item, "fixturenames", ()))
        if "control_plane" in wanted:
            item.add_marker(pytest.mark.e2e)
        for plane in sorted(PLANES.keys() & wanted):
            item.add_marker(pytest.mark.xdist_group(PLANES[plane]))
            if config.getoption("loadgroup", default=False):
                # xdist 3.8 tells its scheduler of a group by item._nodeid, which pytest 9.2 does not read any more:
                # the groups would be ignored without a word (pytest-xdist issue 1386).
                item._id = item.id.parse(f"{item.nodeid}@{PLANES[plane]}")


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> Path:
    """The folder with etcd, kube-apiserver and kube-controller-manager; missing ones are built."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        # A build takes minutes: what it says must be read now, not when the test ends.
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    return find_control_plane(os.environ, say=say)


@pytest.fixture(scope="session")
def plane(control_plane: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A bare control plane: no hook of Portcullis ever stands on it."""
    with start_plane(control_plane, tmp_path_factory.mktemp("plane")) as plane:
        yield plane


@pytest.fixture(scope="session")
def guarded_plane(control_plane: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """Another control plane: the one that Portcullis is installed on."""
    with start_plane(control_plane, tmp_path_factory.mktemp("guarded")) as plane:
        yield plane


@pytest.fixture(scope="session")
def faulted_plane(control_plane: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A control plane that bad things happen to; its API server notes every write that Portcullis guards."""
    folder = tmp_path_factory.mktemp("faulted")
    (folder / "audit.json").write_text(audit.POLICY)
    with start_plane(control_plane, folder, *audit.FLAGS) as plane:
        yield plane


def _ignore(_: Record) -> None:
    """Keep no record."""
