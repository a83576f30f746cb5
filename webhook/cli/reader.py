"""Who reads the history, and what of it they may see: as Rego says, by the tenant tree of today."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from webhook.cli.child import own_opa
from webhook.cli.judging import Caller
from webhook.cli.logs import log_nothing
from webhook.cli.trees import tree_of_cluster, tree_of_files
from webhook.decision.binary import find_opa
from webhook.decision.bundle import read_policies
from webhook.decision.document import User
from webhook.decision.opa import readable
from webhook.history.rows import Wanted, seen_of
from webhook.history.store import Store, opened
from webhook.settings import environment
from webhook.tenancy.tree import Tree

READY_SECONDS = 30.0
ASK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Clearance:
    """Whose records may be seen: None for all `tenants`; `under` is as in `Wanted`, `others` are those of none."""

    tenants: frozenset[str] | None = None
    under: Mapping[str, str] = field(default_factory=dict)
    others: bool = True

    def of(self, wanted: Wanted) -> Wanted:
        """Return what is wanted as far as it may be seen."""
        return replace(wanted, tenants=self.tenants, under=self.under, others=self.others)

    def sees(self, tenants: tuple[str, ...]) -> bool:
        """Say whether what stood under these tenants may be seen."""
        if self.tenants is None:
            return True
        return bool(self.mine(tenants)) if tenants else self.others

    def mine(self, tenants: Iterable[str]) -> set[str]:
        """Return those of the tenants that something stood under by which it may be seen."""
        return set(tenants) if self.tenants is None else seen_of(tenants, self.tenants, self.under)

    def sees_all_of(self, tenants: tuple[str, ...]) -> bool:
        """
        Say whether each workspace that something stood under may be seen, or what is above all of them.

        A move has two, and what was said of it may name both.
        """
        if self.tenants is None or self.others or not tenants:
            return self.sees(tenants)
        kinds = [[each for each in tenants if each.startswith(kind)] for kind in ("Workspace/", "Project/")]
        mine = self.mine(tenants)
        return any(some and mine.issuperset(some) for some in kinds) and len(kinds[1]) < 2


@dataclass(frozen=True, slots=True)
class Reader:
    """What is read: the history of a URL, by `caller` if not by whoever has the database."""

    url: str
    caller: Caller | None
    tenancy: Path | None
    kubeconfig: Path | None
    policies: Path

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[tuple[Store, Clearance]]:
        """Open the history, and find out what of it may be seen; raises `PortcullisError`."""
        async with opened(self.url, migrate=False) as store:
            yield store, Clearance() if self.caller is None else await self._clearance(self.caller)

    async def _clearance(self, caller: Caller) -> Clearance:
        log_nothing()
        bundle = read_policies(self.policies)
        tree = await self._tree()
        binary = await asyncio.to_thread(find_opa, environment(), say=tell)
        async with own_opa(binary, bundle, _keep_quiet) as (opa, process):
            await process.ready(READY_SECONDS)
            found = await readable(opa, User(caller.user, caller.groups), tree.tenants, seconds=ASK_SECONDS)
        return Clearance(found["tenants"], found["under"], found["others"])

    async def _tree(self) -> Tree:
        # What it warns of names what not everybody sees, and the caller is somebody else.
        if self.tenancy:
            return tree_of_files(self.tenancy, _keep_quiet)
        return await tree_of_cluster(self.kubeconfig, "", _keep_quiet)


def tell(line: str) -> None:
    """Say something that is no part of the answer."""
    sys.stderr.write(f"portcullis: {line}\n")


def _keep_quiet(line: str) -> None:
    """Leave it out."""
