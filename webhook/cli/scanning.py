"""The scan that goes on beside the controller: an engine to ask, reports where they are wanted."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from webhook.admission import Gate
from webhook.bring import Seen, see
from webhook.cli.garbage import let_lie
from webhook.cli.starting import Start
from webhook.cluster.client import Cluster
from webhook.decision.bundle import Bundle, read_policies
from webhook.decision.catalogue import read_catalogue
from webhook.decision.opa import Opa
from webhook.errors import NoDecisionError, OpaError, PolicyError
from webhook.model import Namespace, Policies
from webhook.scan.judge import Judge, OneOpa
from webhook.scan.report import FORMS
from webhook.scan.reports import Reports
from webhook.scan.scanner import Scanner
from webhook.tenancy.live import LiveTree
from webhook.tenancy.tree import Tree

AGAIN_SECONDS = 60.0
"""After so long an engine is looked for again that could not be had."""


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


class EngineApart:
    """
    An engine for the scan alone, had and started beside what else is done: what is brought must not wait for it.

    While there is none, nothing is decided, and the scan waits.
    """

    def __init__(self, policies: Path, start: Start) -> None:
        self._folder = policies
        self._start = start
        self._running: OneOpa | None = None
        self._titles: dict[str, str] = {}

    @property
    def opa(self) -> Opa:
        """The engine; raises `NoDecisionError` while there is none."""
        if self._running is None:
            raise NoDecisionError("there is no engine for the scan yet", retry=True)
        return self._running.opa

    @property
    def policies(self) -> Policies:
        """Its policies, none while there is no engine."""
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
                async with self._start(bundle) as running:
                    self._running = OneOpa(running.opa, bundle.policies)
                    let_lie()
                    await asyncio.Event().wait()
            except (OpaError, PolicyError) as error:
                log.warning("no scan", error=str(error))
            finally:
                self._running = None
            await asyncio.sleep(AGAIN_SECONDS)


def _titles(bundle: Bundle) -> dict[str, str]:
    return {each.id: each.title for each in read_catalogue(bundle)}
