"""
What a decision and the tree cost as the tree grows, and what a large policy costs: one gate, one OPA, in turns.

And what a decision costs in CPU as one thing after the other grows, by both engines, into docs/growth.md.
"""

import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import psutil

from bench.figures import Figure
from bench.served import MEGABYTE
from tests.cases.reviews import ADA, NAMESPACE, NETPOL, Asked, Caller, Json, namespace, owned, policy
from tests.cases.rules import COVERED, copies, with_rules
from tests.cases.rules import KINDS as SPREAD
from webhook.admission import Gate
from webhook.decision.binary import find_opa
from webhook.decision.bundle import Bundle, read_policies
from webhook.decision.opa import Engine, LocalOpa
from webhook.decision.process import OpaProcess
from webhook.decision.wasm import WasmOpa, compiled
from webhook.history.record import Record
from webhook.settings import BREAK_GLASS_GROUPS, bundled_policies
from webhook.tenancy.live import KINDS, LiveTree

DOCS = Path(__file__).parents[1] / "docs"

SIZES = (10, 1_000, 10_000)
PER_WORKSPACE = 10
RANGES = 1_000
BATCH = 40
"""Decisions between two readings of the clock of CPU time, which for another process ticks every 10 ms."""
BASELINE: Json = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@dataclass(frozen=True, slots=True)
class Shape:
    """
    What decisions cost as one thing grows: `costs` are milliseconds of CPU each, by engine, at each of `sizes`.

    `bound` is the most that the last may be as a multiple of the first, None where it grows with what is decided on.
    """

    what: str
    sizes: tuple[int, ...]
    costs: Mapping[str, tuple[float, ...]]
    why: str
    bound: float | None = None

    def ratio(self, engine: str) -> float:
        """Return the cost at the largest size as a multiple of that at the smallest."""
        return self.costs[engine][-1] / self.costs[engine][0]


@dataclass(frozen=True, slots=True)
class Side:
    """A gate on one engine; `pid` is the engine's where it has a process of its own, and `asked` what is asked next."""

    gate: Gate
    asked: Callable[[], Asked]
    pid: int | None = None

    def cpu(self) -> float:
        """Return the seconds of CPU that were spent so far, by us and by the engine."""
        times = psutil.Process(self.pid).cpu_times() if self.pid else None
        return time.process_time() + (times.user + times.system if times else 0)


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


async def measure_shapes(*, rounds: int) -> list[Shape]:
    """Return how the cost of decisions grows, each as the median of so many rounds in turns."""
    bundle = read_policies(bundled_policies())
    found = []
    for what, kinds, why, bound in RULES:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            bundles = {
                size: with_rules(bundle, folder / str(size), copies(bundle, size, kinds)) for size in (10, 100, 1_000)
            }
            sides = {
                size: {
                    name: replace(side, asked=lambda: _policy(0)) for name, side in (await _sides(stack, each)).items()
                }
                for size, each in bundles.items()
            }
            found.append(Shape(what, tuple(sides), await _costs(sides, rounds), why, bound))
    async with AsyncExitStack() as stack:
        both = await _sides(stack, bundle)
        for what, cases, why, bound in THINGS:
            sides = {size: _on(both, live, asked) for size, (live, asked) in cases().items()}
            found.append(Shape(what, tuple(sides), await _costs(sides, rounds), why, bound))
    return found


def _on(both: Mapping[str, Side], live: LiveTree, asked: Callable[[], Asked]) -> dict[str, Side]:
    return {
        name: replace(each, gate=replace(each.gate, tree=_always(live)), asked=asked) for name, each in both.items()
    }


async def _costs(sides: Mapping[int, Mapping[str, Side]], rounds: int) -> dict[str, tuple[float, ...]]:
    """Return milliseconds of CPU by engine, at each size; the first round is thrown away."""
    spent: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds + 1):
        every = [(name, size, side) for size, each in sides.items() for name, side in each.items()]
        for name, size, side in random.sample(every, len(every)):
            bodies = [orjson.dumps(side.asked().review()) for _ in range(BATCH)]
            before = side.cpu()
            replies = [await side.gate.validate(body, seconds=30) for body in bodies]
            spent.setdefault((name, size), []).append((side.cpu() - before) / BATCH * 1000)
            for reply in replies:
                if not (response := orjson.loads(reply)["response"])["allowed"]:
                    raise RuntimeError(response["status"]["message"])
    names = next(iter(sides.values()))
    return {name: tuple(statistics.median(spent[name, size][1:]) for size in sides) for name in names}


async def _sides(stack: AsyncExitStack, bundle: Bundle) -> dict[str, Side]:
    """Start both engines on a bundle, on the smallest tree."""
    binary = find_opa(os.environ, say=print)
    process = await stack.enter_async_context(OpaProcess(binary, bundle.signed(), log=lambda _: None))
    await process.ready()
    socket = await stack.enter_async_context(LocalOpa(socket=process.socket))
    inside = WasmOpa.load(await asyncio.to_thread(compiled, binary, bundle, cache=None), bundle.policies.revision)
    tree = _always(grown(SIZES[0]))
    gates = [Gate(Engine(opa, bundle.policies), tree, BREAK_GLASS_GROUPS, _ignore) for opa in (inside, socket)]
    return {
        "in-process": Side(gates[0], lambda: _policy(0)),
        "OPA": Side(gates[1], lambda: _policy(0), process.pid),
    }


def _policy(number: int, **changes: Any) -> Asked:
    """Return what an owner asks in namespace `number` of `grown`, for a NetworkPolicy of its own."""
    owner = Caller("ada", (f"team-{number // PER_WORKSPACE}",))
    return Asked(owner, "CREATE", NETPOL, new=policy(f"ns-{number}", **changes))


def _any_policy(size: int) -> Asked:
    return _policy(random.randrange(size))  # noqa: S311 - no secret


def _namespaces() -> dict[int, tuple[LiveTree, Callable[[], Asked]]]:
    # Any of them: what is asked again and again would be warm in a small tree alone.
    return {size: (grown(size), partial(_any_policy, size)) for size in SIZES}


def _subjects(size: int, at: str) -> tuple[LiveTree, Callable[[], Asked]]:
    """Return a tree with `size` subjects, ten in each workspace or all of them in the first."""
    live = grown(size if at == "each" else SIZES[0], policies=False)
    every = max(1, size // PER_WORKSPACE) if at == "each" else 1
    for number in range(every):
        names = [f"team-{number}", *(f"team-{number}-{each}" for each in range(1, 10 if at == "each" else size))]
        held = [
            {"role": "WorkspaceAdmin", "subjects": [{"kind": "Group", "name": name} for name in part]}
            for part in (names[start : start + 1_000] for start in range(0, len(names), 1_000))
        ]
        live._store_ours(  # noqa: SLF001 - as it is told; `put` makes the tree anew each time
            "Workspace",
            f"workspace-{number}",
            _ours(f"workspace-{number}", project=f"project-{number // 10}", roles=held),
        )
    live.put("Project", _ours("project-0", roles=[_role("ProjectAdmin", "others")]))
    return live, lambda: _policy(random.randrange(every) * PER_WORKSPACE)  # noqa: S311


def _sized(
    sizes: Sequence[int], changes: Callable[[int], dict[str, Any]]
) -> dict[int, tuple[LiveTree, Callable[[], Asked]]]:
    live = grown(SIZES[0])
    return {size: (live, partial(_policy, 0, **changes(size))) for size in sizes}


def _cidrs(size: int) -> dict[str, Any]:
    blocks = [{"ipBlock": {"cidr": f"10.{each // 256}.{each % 256}.0/25"}} for each in range(size)]
    return {"spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": blocks}]}}


def _peers(size: int) -> dict[str, Any]:
    peers = [{"podSelector": {"matchLabels": {"app": f"app-{each}"}}} for each in range(size)]
    return {"spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": peers}]}}


def _annotated(size: int) -> dict[str, Any]:
    return {"annotations": {f"example.com/note-{each}": "x" * 1_000 for each in range(size)}}


RULES: Sequence[tuple[str, Sequence[str], str, float | None]] = (
    (
        "rules more than the shipped ones, spread over kinds",
        SPREAD,
        (
            "Almost flat: a request runs the rules of its own kind, by an index made of their METADATA: of a thousand "
            f"spread over {len(SPREAD)} kinds some {1_000 // len(SPREAD)}."
        ),
        3,
    ),
    (
        "rules more than the shipped ones, all of one kind",
        COVERED[:1],
        "Linear: each of them runs, for each has to. Give rules their kinds, and one rule to one matter.",
        None,
    ),
)
THINGS: Sequence[tuple[str, Callable[[], dict[int, tuple[LiveTree, Callable[[], Asked]]]], str, float | None]] = (
    ("namespaces", _namespaces, "Flat: what stands above a namespace is looked up by its name.", 1.3),
    (
        "subjects, ten in each workspace",
        lambda: {size: _subjects(size, "each") for size in SIZES},
        "Flat: a document has the tenants above the namespace alone, whatever others there are.",
        1.3,
    ),
    (
        "subjects of one workspace",
        lambda: {size: _subjects(size, "one") for size in (10, 100, 1_000)},
        (
            "Linear: a document has all subjects of the tenants above the namespace, so that each decision can be made "
            "again and say who owns the place. Name groups rather than each of their members."
        ),
        None,
    ),
    (
        "CIDRs of a NetworkPolicy",
        lambda: _sized((10, 100, 1_000), _cidrs),
        "Linear: each is compared with each protected range, once.",
        None,
    ),
    (
        "peers of a NetworkPolicy",
        lambda: _sized((10, 100, 1_000), _peers),
        "Linear: each is read and judged, once.",
        None,
    ),
    (
        "kB of annotations",
        lambda: _sized((1, 10, 100), _annotated),
        "Linear and small: nobody looks at them, but they are read, and read again by the engine.",
        None,
    ),
)


def write_shapes(shapes: Sequence[Shape], page: Path) -> None:
    """Write what was found as a page of Markdown."""
    lines = [
        "# Growth",
        "",
        "What a decision costs as one thing grows and the rest stays. Written by `make bench`.",
        "",
        (
            "Milliseconds of CPU of the webhook and its engine together for a review, from its bytes to those of the "
            "answer, without TLS and HTTP: the median of batches in turns. Compare along a line. "
            "`in-process` is the default engine, `OPA` that of `--engine opa`. A NetworkPolicy is created, and allowed."
        ),
    ]
    for each in shapes:
        head = [
            "engine",
            *(f"{size:,}" for size in each.sizes),
            f"ratio, at most {each.bound:g}" if each.bound else "ratio",
        ]
        lines += [
            "",
            f"## {each.what[0].upper()}{each.what[1:]}",
            "",
            each.why,
            "",
            _row(head),
            _row(["---"] * len(head)),
        ]
        for engine, costs in each.costs.items():
            lines.append(_row([engine, *(f"{cost:.2f}" for cost in costs), f"{each.ratio(engine):.2f}"]))
    page.write_text("\n".join(lines) + "\n")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


async def _tree_figures(rounds: int) -> list[Figure]:
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
