"""What a decision and the tree cost as the tree grows, and what a large policy costs: one gate, in turns."""

import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import orjson

from bench.figures import Figure
from bench.served import MEGABYTE
from bench.shapes import measure_shapes, write_shapes
from bench.trees import PER_WORKSPACE, SIZES, always, grown, grown_namespace
from tests.cases.reviews import ADA, NAMESPACE, NETPOL, Asked, Caller, policy
from webhook.admission import Gate
from webhook.decision.binary import find_opa
from webhook.decision.bundle import read_policies
from webhook.decision.opa import Engine
from webhook.decision.wasm import WasmOpa, compiled
from webhook.settings import BREAK_GLASS_GROUPS, bundled_policies

DOCS = Path(__file__).parents[1] / "docs"
RANGES = 1_000


async def measure_growth(*, rounds: int) -> list[Figure]:
    """Return the figures of `rounds` decisions of each sort on each tree; writes docs/growth.md."""
    shapes = await measure_shapes(rounds=max(1, rounds // 100))
    write_shapes(shapes, DOCS / "growth.md")
    how = "docs/growth.md: milliseconds of CPU a decision, of the webhook and its engine"
    return await _tree_figures(rounds) + [
        Figure(
            f"{each.what}, {engine}: {each.sizes[-1]:,} as a multiple of {each.sizes[0]:,}",
            round(each.ratio(engine), 2),
            "x",
            each.bound,
            how,
        )
        for each in shapes
        for engine in each.costs
    ]


async def _tree_figures(rounds: int) -> list[Figure]:
    gate = await _gate()
    gates = {size: replace(gate, tree=always(grown(size))) for size in SIZES}
    latencies = {size: await _decisions(each, 50) and [] for size, each in gates.items()}
    for _ in range(rounds // 20):
        for size, each in random.sample(sorted(gates.items(), key=lambda item: item[0]), len(SIZES)):
            latencies[size] += await _decisions(each, 20)
    medians = {size: statistics.median(each) for size, each in latencies.items()}
    large = await _large(gates[SIZES[0]], 60)
    how = (
        f"{len(latencies[10])} decisions a tree in turns, half of them policies and half namespaces, one at a time; "
        f"by the default engine, without HTTP; {PER_WORKSPACE} namespaces in a workspace, 10 workspaces in a project"
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


async def _gate() -> Gate:
    """Return a gate on the shipped policies, decided in-process as they are by default."""
    bundle = read_policies(bundled_policies())
    module = await asyncio.to_thread(compiled, find_opa(os.environ, say=print), bundle, cache=None)
    engine = Engine(WasmOpa.load(module, bundle.policies.revision), bundle.policies)
    return Gate(engine, lambda: None, BREAK_GLASS_GROUPS, lambda _: None)


async def _decisions(gate: Gate, count: int) -> list[float]:
    tree = gate.tree()
    assert tree
    found = []
    for _ in range(count // 2):
        # Any namespace: what is asked again and again would be warm in a small tree alone.
        number = random.randrange(len(tree.namespaces))  # noqa: S311 - no secret
        owner = Caller("ada", (f"team-{number // PER_WORKSPACE}",))
        old = grown_namespace(number)
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
        "import gc, psutil; from bench.trees import grown; "
        f"tree = grown({size}, policies={policies}); gc.collect(); print(psutil.Process().memory_info().rss)"
    )
    root = Path(__file__).parents[1]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    return int(ran.stdout) / MEGABYTE
