"""What a decision and the tree cost as the tree grows, and what a large policy costs: one gate, one OPA, in turns."""

import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from bench.figures import Figure
from bench.served import MEGABYTE
from tests.cases.reviews import ADA, NAMESPACE, NETPOL, Asked, Caller, Json, namespace, owned, policy
from webhook.admission import Gate
from webhook.decision.binary import find_opa
from webhook.decision.bundle import read_policies
from webhook.decision.opa import Engine, LocalOpa
from webhook.decision.process import OpaProcess
from webhook.history.record import Record
from webhook.settings import BREAK_GLASS_GROUPS, bundled_policies
from webhook.tenancy.live import KINDS, LiveTree

SIZES = (10, 1_000, 10_000)
PER_WORKSPACE = 10
RANGES = 1_000
BASELINE: Json = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


async def measure_growth(*, rounds: int) -> list[Figure]:
    """Return the figures of `rounds` decisions of each sort on each tree."""
    async with _gate() as gate:
        gates = {size: replace(gate, tree=_always(grown(size))) for size in SIZES}
        latencies = {size: await _decisions(each, 50) and [] for size, each in gates.items()}
        for _ in range(rounds // 20):
            for size, each in random.sample(sorted(gates.items(), key=lambda item: item[0]), len(SIZES)):
                latencies[size] += await _decisions(each, 20)
        medians = {size: statistics.median(each) for size, each in latencies.items()}
        large = await _large(gates[SIZES[0]], 60)
    how = (
        f"{len(latencies[10])} decisions a tree in turns, half of them policies and half namespaces, one at a time; "
        f"the webhook's own code and a real OPA; {PER_WORKSPACE} namespaces in a workspace, 10 workspaces in a project"
    )
    ratio = max(medians.values()) / min(medians.values())
    figures = [
        Figure("decision p50 across trees, the slowest as a multiple of the fastest", round(ratio, 2), "x", 1.3, how)
    ]
    figures += [
        Figure(f"decision with {size:,} namespaces p50", round(median, 2), "ms") for size, median in medians.items()
    ]
    cidrs = f"a NetworkPolicy of {RANGES:,} CIDRs created in a namespace of the smallest tree, 60 times one at a time"
    figures += [
        Figure(f"decision on {RANGES:,} CIDRs p50", round(statistics.median(large), 1), "ms", 50, cidrs),
        Figure(f"decision on {RANGES:,} CIDRs, slowest", round(max(large), 1), "ms", None, cidrs),
    ]
    empty, full, bare = (_memory(*each) for each in ((0, False), (SIZES[-1], True), (SIZES[-1], False)))
    tree = (
        f"resident set of a process with the tree beyond that of one with the empty tree: {SIZES[-1]:,} namespaces in "
    )
    tree += f"{SIZES[-1] // PER_WORKSPACE:,} workspaces, as the watches tell of them"
    figures.append(Figure("tree of 10,000 namespaces memory", round(bare - empty, 1), "MB", 60, tree))
    figures.append(Figure("the same with two injected policies in each", round(full - empty, 1), "MB", None, tree))
    return figures


def grown(size: int, *, policies: bool = True) -> LiveTree:
    """Return a live tree of `size` namespaces, each with two injected policies, as the watches would make it."""
    live = LiveTree()
    for kind in KINDS:
        live.reset(kind, list(_things(kind, size, policies=policies)), "1")
    return live


def _things(kind: str, size: int, *, policies: bool) -> Iterator[Json]:
    match kind:
        case "Namespace":
            yield from (_parsed(_namespace(number)) for number in range(size))
        case "NetworkPolicy" if policies:
            yield from (_injected(f"ns-{number // 2}", f"zero-trust.p{number % 2}") for number in range(2 * size))
        case _:
            yield from _tenants(kind, max(1, size // PER_WORKSPACE))


def _injected(place: str, name: str) -> Json:
    labels = {"app.kubernetes.io/managed-by": "portcullis", "portcullis.dev/baseline": "zero-trust"}
    return _parsed(policy(place, name, BASELINE, labels=labels))


def _tenants(kind: str, workspaces: int) -> Iterator[Json]:
    match kind:
        case "Organization":
            yield _ours("acme", roles=[_role("OrgAdmin", "acme-admins")], baselines=["zero-trust"])
        case "NetworkBaseline":
            yield _ours("zero-trust", policies=[{"name": f"p{each}", "spec": BASELINE} for each in range(2)])
        case "Project":
            for number in range(max(1, workspaces // 10)):
                yield _ours(f"project-{number}", roles=[_role("ProjectAdmin", f"project-admins-{number}")])
        case "Workspace":
            for number in range(workspaces):
                spec = {"project": f"project-{number // 10}", "roles": [_role("WorkspaceAdmin", f"team-{number}")]}
                yield _ours(f"workspace-{number}", **spec)


def _parsed(thing: Json) -> Json:
    """Return it as it comes from the wire: no two objects share a text."""
    thing["metadata"]["resourceVersion"] = "1"
    read: Json = orjson.loads(orjson.dumps(thing))
    return read


def _ours(name: str, **spec: Any) -> Json:
    return _parsed({"metadata": {"name": name}, "spec": spec})


def _role(role: str, group: str) -> Json:
    return {"role": role, "subjects": [{"kind": "Group", "name": group}]}


def _namespace(number: int) -> Json:
    workspace = number // PER_WORKSPACE
    labels = owned(f"workspace-{workspace}", f"project-{workspace // 10}")
    state = {"portcullis.dev/baseline": '{"reason":"","revision":"0123456789ab","state":"Ready"}'}
    return namespace(f"ns-{number}", labels, annotations=state)


def _always(live: LiveTree) -> Any:
    return lambda: live.tree


@asynccontextmanager
async def _gate() -> AsyncIterator[Gate]:
    bundle = read_policies(bundled_policies())
    async with AsyncExitStack() as stack:
        binary = find_opa(os.environ, say=print)
        process = await stack.enter_async_context(OpaProcess(binary, bundle.signed(), log=lambda _: None))
        await process.ready()
        opa = await stack.enter_async_context(LocalOpa(socket=process.socket))
        yield Gate(Engine(opa, bundle.policies), lambda: None, BREAK_GLASS_GROUPS, _ignore)


def _ignore(_: Record) -> None:
    """Keep no record."""


async def _decisions(gate: Gate, count: int) -> list[float]:
    tree = gate.tree()
    assert tree
    found = []
    for _ in range(count // 2):
        # Any namespace: what is asked again and again would be warm in a small tree alone.
        number = random.randrange(len(tree.namespaces))  # noqa: S311 - no secret
        owner = Caller("ada", (f"team-{number // PER_WORKSPACE}",))
        old = _namespace(number)
        new = {**old, "metadata": {**old["metadata"], "labels": {**old["metadata"]["labels"], "a": "b"}}}
        found.append(await _asked(gate, Asked(owner, "CREATE", NETPOL, new=policy(f"ns-{number}"))))
        found.append(await _asked(gate, Asked(owner, "UPDATE", NAMESPACE, new=new, old=old)))
    return found


async def _large(gate: Gate, count: int) -> list[float]:
    blocks = [{"ipBlock": {"cidr": f"10.{each // 256}.{each % 256}.0/25"}} for each in range(RANGES)]
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": blocks}]}
    asked = Asked(Caller("ada", ("team-0", *ADA.groups)), "CREATE", NETPOL, new=policy("ns-0", spec=spec))
    return [await _asked(gate, asked) for _ in range(count + 5)][5:]


async def _asked(gate: Gate, asked: Asked) -> float:
    body = orjson.dumps(asked.review())
    begin = time.perf_counter()
    reply = orjson.loads(await gate.validate(body, seconds=10))
    taken = (time.perf_counter() - begin) * 1000
    if not reply["response"]["allowed"]:
        raise RuntimeError(reply["response"]["status"]["message"])
    return taken


def _memory(size: int, policies: bool) -> float:  # noqa: FBT001 - of a row
    """Return the resident megabytes of a process of its own that holds such a tree."""
    code = (
        "import gc, psutil; from bench.growth import grown; "
        f"tree = grown({size}, policies={policies}); gc.collect(); print(psutil.Process().memory_info().rss)"
    )
    root = Path(__file__).parents[1]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    return int(ran.stdout) / MEGABYTE


if __name__ == "__main__":
    for each in asyncio.run(measure_growth(rounds=1000)):
        sys.stdout.write(f"{each.name}: {each.value} {each.unit} (at most {each.bound})\n")
