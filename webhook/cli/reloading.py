"""
Policies that change on disk are those that decide a few seconds later, without a restart and without a wrong answer.

What is found has to stand still first: a folder that is being written to may hold half of the old and half of the new,
or lack a rule for a moment, and would be a policy that nobody wrote. A volume of a ConfigMap, or a symbolic link that
is renamed, changes in one step. What does not pass its checks is told, and the former policies decide on.
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from webhook.app import OpaMetrics
from webhook.cli.engine import Source
from webhook.cli.starting import PROBE_SECONDS
from webhook.decision.bundle import Bundle, read_policies
from webhook.decision.opa import Engine, probe
from webhook.errors import NoDecisionError, OpaError, PolicyError


@dataclass(frozen=True, slots=True)
class Pace:
    """How policies are looked for."""

    look: float = 1.0
    """Seconds between two looks at the folder, and at the engine."""
    still: int = 2
    """So many looks in a row have to find the same."""
    still_without: int = 10
    """The same where a rule is gone: what it refused would be let in."""


class Others(Protocol):
    """Processes that decide by the same policies."""

    async def follow(self, engine: Engine) -> None:
        """Return once all of them decide by other policies."""
        ...

    async def leave(self, revision: str) -> None:
        """Return once none of them needs the former policies any more."""
        ...


class Reloading:
    """Keeps what decides the same as what is on disk."""

    def __init__(  # noqa: PLR0913 - what decides, what it is to decide by, and who has to hear of that
        self,
        source: Source,
        folder: Path,
        metrics: OpaMetrics,
        pace: Pace = Pace(),
        *,
        others: Others | None = None,
    ) -> None:
        self.source = source
        self._others = others
        self._folder = folder
        self._metrics = metrics
        self._pace = pace
        self._found, self._looks = "", 0
        """What the last looks found, a revision or what is wrong, and how many they were."""
        self._refused, self._why, self._again = "", "", 0.0
        """What was found and not taken, the reason, and when it is tried again by the monotonic clock."""
        self._tell()

    def notes(self) -> list[str]:
        """Say why the policies on disk are not those that decide."""
        refused = [f"policies: what is in {self._folder} does not decide: {self._why}"] if self._why else []
        return [*refused, *self.source.notes()]

    async def run(self) -> None:
        """Look after the engine and the folder, for ever."""
        await self.source.ready()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_at_engine())
            tasks.create_task(self._look_at_folder())

    async def _look_at_engine(self) -> None:
        while True:
            engine = self.source.engine
            try:
                await probe(engine.opa, engine.policies, seconds=PROBE_SECONDS)
            except NoDecisionError:
                self._metrics.up.set(0)
            else:
                self._metrics.up.set(1)
            await asyncio.sleep(self._pace.look)

    async def _look_at_folder(self) -> None:
        while True:
            await asyncio.sleep(self._pace.look)
            try:
                bundle = await asyncio.to_thread(read_policies, self._folder)
            except PolicyError as error:
                if self._still(str(error)):
                    self._refuse(str(error), error)
            else:
                await self._consider(bundle)

    async def _consider(self, bundle: Bundle) -> None:
        revision, current = bundle.policies.revision, self.source.engine.policies
        still = self._still(revision, without=bool(current.rules - bundle.policies.rules))
        if revision == current.revision:
            self._refused, self._why = "", ""
            return
        if not still or (revision == self._refused and time.monotonic() < self._again):
            return
        try:
            await self.source.take(bundle)
        except (PolicyError, OpaError, NoDecisionError) as error:
            self._refuse(revision, error)
            return
        if self._others:
            await self._others.follow(self.source.engine)
        self._refused, self._why = "", ""
        self._metrics.reloads.labels("loaded").inc()
        self._tell()
        told = {"revision": revision, "former": current.revision, "rules": len(bundle.policies.rules)}
        structlog.get_logger().info("policies loaded", engine=self.source.name, **told)
        if self._others:
            await self._others.leave(current.revision)
        await self.source.retire()

    def _still(self, found: str, *, without: bool = False) -> bool:
        """Say whether the folder has been found so for long enough."""
        self._looks = self._looks + 1 if found == self._found else 1
        self._found = found
        return self._looks >= (self._pace.still_without if without else self._pace.still)

    def _refuse(self, found: str, error: PolicyError | OpaError | NoDecisionError) -> None:
        self._again = time.monotonic() + self.source.patience
        if (found, str(error)) == (self._refused, self._why):
            return
        if found != self._refused:
            self._metrics.reloads.labels("refused").inc()
        self._refused, self._why = found, str(error)
        structlog.get_logger().error("policies not loaded", found=found, error=str(error))

    def _tell(self) -> None:
        self._metrics.policies.info({"revision": self.source.engine.policies.revision})
        self._metrics.engine.info({"engine": self.source.name})
