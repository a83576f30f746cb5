"""A scan of all that stands at one time."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from webhook.model import RESERVED, Namespace, Policy
from webhook.scan.finding import Finding, Thing, importance, namespace_thing
from webhook.scan.judge import Judge
from webhook.scan.unruled import UNKNOWN, found, thing_of, unruled
from webhook.tenancy.tree import Tree

AT_ONCE = 8
"""So many things are asked about side by side."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found, in order, in which of the `things` that were judged; `ending` namespaces are left alone."""

    findings: tuple[Finding, ...]
    things: tuple[Thing, ...]
    ending: tuple[str, ...]

    @property
    def namespaces(self) -> int:
        """How many namespaces were judged."""
        return len({each.namespace for each in self.things if each.kind == "Namespace"})


def own_policies(tree: Tree, namespace: str) -> tuple[Policy, ...]:
    """Return the policies of a namespace that somebody wrote: what is injected is compared with its baseline."""
    return tree.standing_policies(namespace, but="")


def names_to_scan(tree: Tree) -> tuple[str, ...]:
    """Return the namespaces to look at: all but Kubernetes' own and ours, in which no baseline applies."""
    return tuple(sorted((tree.namespaces.keys() | tree.with_policies()) - RESERVED))


async def scan(  # noqa: PLR0913 - who is asked about what, as of when, and who hears of it
    judge: Judge, tree: Tree, names: Iterable[str], now: datetime, *, told: Callable[[int], None]
) -> Scan:
    """
    Return what is found in these namespaces as of `now`, an aware time; `told` hears how many things are judged.

    Raises `NoDecisionError` where OPA cannot be asked.
    """
    known = [tree.namespaces.get(name) or name for name in names]
    ending = [each.name for each in known if isinstance(each, Namespace) and each.terminating]
    work = [each for name in known for each in _work(tree, name)]
    findings: list[Finding] = []
    waiting = iter(work)
    done = 0

    async def ask() -> None:
        nonlocal done
        for each in waiting:
            asking = judge.policy(tree, each, now) if isinstance(each, Policy) else judge.namespace(tree, each, now)
            findings.extend(await asking)
            done += 1
            told(done)

    asking = [asyncio.create_task(ask()) for _ in range(AT_ONCE)]
    try:
        await asyncio.gather(*asking)
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    for each in known:
        findings.extend(_unruled(tree, each))
    things = [thing_of(each) if isinstance(each, Policy) else namespace_thing(each.name) for each in work]
    return Scan(tuple(sorted(findings, key=importance)), tuple(sorted(things)), tuple(ending))


def _work(tree: Tree, namespace: Namespace | str) -> Iterator[Namespace | Policy]:
    """Yield what is asked about in a namespace, or in one that only policies name."""
    if isinstance(namespace, str):
        yield from own_policies(tree, namespace)
    elif not namespace.terminating:
        yield namespace
        yield from own_policies(tree, namespace.name)


def _unruled(tree: Tree, namespace: Namespace | str) -> Iterator[Finding]:
    if isinstance(namespace, str):
        yield found(UNKNOWN, namespace_thing(namespace), "policies stand in it, and there is no such namespace here")
    elif not namespace.terminating:
        yield from unruled(tree, namespace)
