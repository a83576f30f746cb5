"""The real OPA and the tree that the tests share."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

from webhook.admission import Gate, Record
from webhook.decision.binary import find_opa
from webhook.decision.bundle import Bundle, read_policies
from webhook.decision.opa import LocalOpa
from webhook.decision.process import OpaProcess
from webhook.settings import BREAK_GLASS_GROUPS, bundled_policies
from webhook.tenancy.files import load_tree
from webhook.tenancy.tree import Tree

T = TypeVar("T")
TREE = Path(__file__).parent / "cases" / "tree"


class Loop:
    """An event loop in a thread of its own: a session's OPA outlives the tests that ask it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(timeout=120)

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
def gate_of(loop: Loop, opa_binary: Path, tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateOf]:
    """Make a gate with a real OPA on a bundle, one per revision."""
    stack = AsyncExitStack()
    gates: dict[str, Gate] = {}

    async def start(bundle: Bundle) -> Gate:
        path = tmp_path_factory.mktemp("bundle") / "bundle.tar.gz"
        bundle.write(path)
        process = await stack.enter_async_context(OpaProcess(opa_binary, path, log=lambda _: None))
        await process.ready()
        opa = await stack.enter_async_context(LocalOpa(socket=process.socket))
        return Gate(opa, bundle.policies, lambda: tree, BREAK_GLASS_GROUPS, _ignore)

    def gate_of(bundle: Bundle) -> Gate:
        if bundle.policies.revision not in gates:
            gates[bundle.policies.revision] = loop.run(start(bundle))
        return gates[bundle.policies.revision]

    yield gate_of
    loop.run(stack.aclose())


@pytest.fixture(scope="session")
def gate(gate_of: GateOf, bundle: Bundle) -> Gate:
    """The gate with the shipped rules."""
    return gate_of(bundle)


def _ignore(_: Record) -> None:
    """Keep no record."""
