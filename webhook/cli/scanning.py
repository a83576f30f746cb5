"""The scan that goes on beside the controller: an OPA to ask, reports where they are wanted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from webhook.admission import Gate
from webhook.bring import Seen, see
from webhook.cli.child import own_opa
from webhook.cli.engine import remote
from webhook.cluster.client import Cluster
from webhook.decision.binary import find_opa
from webhook.decision.bundle import Bundle, read_policies
from webhook.decision.catalogue import read_catalogue
from webhook.decision.opa import LocalOpa, Opa
from webhook.errors import NoDecisionError, OpaError, PolicyError
from webhook.model import Namespace, Policies
from webhook.scan.judge import Judge, OneOpa
from webhook.scan.report import FORMS
from webhook.scan.reports import Reports
from webhook.scan.scanner import Scanner
from webhook.settings import environment
from webhook.tenancy.live import LiveTree
from webhook.tenancy.tree import Tree

AGAIN_SECONDS = 60.0
"""After so long an OPA is looked for again that could not be had."""


class Scanning:
    """A scan for as long as `run` runs; `reports` is a key of `FORMS`, or none. One at a time may run in a cluster."""

    def __init__(self, cluster: Cluster, live: LiveTree, judge: Judge, reports: str) -> None:
        form = FORMS.get(reports)
        self._reports = Reports(cluster, form) if form else None
        self._scanner = Scanner(live, judge, self._reports)
        # A state that says who outvotes a baseline is the controller's to write, which these wake.
        self._scanner.changed.append(live.touch)

    def see(self, tree: Tree, namespace: Namespace) -> Seen:
        """Look at a namespace as the controller does, and at who outvotes its baselines."""
        return see(tree, namespace, self._scanner.outvoted(namespace.name))

    async def run(self, pressed: Callable[[], bool]) -> None:
        """Scan, for ever; while `pressed` says that namespaces wait for their baselines those go first."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._scanner.run(pressed))
            if self._reports:
                tasks.create_task(self._reports.run())


def judge_of(gate: Gate, policies: Path) -> Judge:
    """Return who asks what a gate asks, by the same rules, which are described in the folder `policies`."""
    return Judge(gate, _titles(read_policies(policies)), gate.meanings)


class OpaApart:
    """
    An OPA for the scan alone, had and started beside what else is done: what is brought must not wait for it.

    With `url` it is one that runs already.

    While there is none, nothing is decided, and the scan waits.
    """

    def __init__(self, policies: Path, url: str | None = None) -> None:
        self._folder = policies
        self._url = url
        self._running: OneOpa | None = None
        self._titles: dict[str, str] = {}

    @property
    def opa(self) -> Opa:
        """The OPA; raises `NoDecisionError` while there is none."""
        if self._running is None:
            raise NoDecisionError("there is no OPA for the scan yet", retry=True)
        return self._running.opa

    @property
    def policies(self) -> Policies:
        """Its policies, none while there is no OPA."""
        return self._running.policies if self._running else Policies("", frozenset())

    @property
    def judge(self) -> Judge:
        """Who asks it."""
        return Judge(self, self._titles)

    async def run(self) -> None:
        """Have it, for ever; that it cannot be had is told, and tried again."""
        log = structlog.get_logger()
        while True:
            try:
                bundle = read_policies(self._folder)
                self._titles |= _titles(bundle)
                async with self._opa(bundle) as opa:
                    self._running = OneOpa(opa, bundle.policies)
                    await asyncio.Event().wait()
            except (OpaError, PolicyError) as error:
                log.warning("no scan", error=str(error))
            finally:
                self._running = None
            await asyncio.sleep(AGAIN_SECONDS)

    @asynccontextmanager
    async def _opa(self, bundle: Bundle) -> AsyncIterator[LocalOpa]:
        if self._url:
            async with remote(self._url) as opa:
                yield opa
            return
        log = structlog.get_logger()
        binary = await asyncio.to_thread(find_opa, environment(), say=lambda line: log.info("opa", progress=line))
        async with own_opa(binary, bundle, lambda line: log.warning("opa", line=line)) as (opa, _):
            yield opa


def _titles(bundle: Bundle) -> dict[str, str]:
    return {each.id: each.title for each in read_catalogue(bundle)}
