"""What a decision costs in CPU as one thing after the other grows, by both engines, into docs/growth.md."""

import asyncio
import os
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import psutil

from bench.figures import about
from bench.trees import PER_WORKSPACE, SIZES, always, granted, grown, ours
from tests.cases.reviews import NETPOL, Asked, Caller, policy
from tests.cases.rules import COVERED, copies, with_rules
from tests.cases.rules import KINDS as SPREAD
from webhook.admission import Gate
from webhook.decision.binary import find_opa
from webhook.decision.bundle import Bundle, read_policies
from webhook.decision.opa import Engine, LocalOpa
from webhook.decision.process import OpaProcess
from webhook.decision.wasm import WasmOpa, compiled
from webhook.settings import BREAK_GLASS_GROUPS, bundled_policies
from webhook.tenancy.live import LiveTree

BATCH = 40
"""Decisions between two readings of the clock of CPU time, which for another process ticks every 10 ms."""


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
    return {name: replace(each, gate=replace(each.gate, tree=always(live)), asked=asked) for name, each in both.items()}


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
    tree = always(grown(SIZES[0]))
    gates = [Gate(Engine(opa, bundle.policies), tree, BREAK_GLASS_GROUPS, lambda _: None) for opa in (inside, socket)]
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
            ours(f"workspace-{number}", project=f"project-{number // 10}", roles=held),
        )
    live.put("Project", ours("project-0", roles=[granted("ProjectAdmin", "others")]))
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
            "Almost flat: an index made of the rules' METADATA finds those of a request's kind, of a thousand spread "
            f"over {len(SPREAD)} kinds some {1_000 // len(SPREAD)}, and no others run."
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
        "annotations of 1 kB each",
        lambda: _sized((1, 10, 100), _annotated),
        "Linear and small: nobody looks at them, but they are read, and read again by the engine.",
        None,
    ),
)


def write_shapes(shapes: Sequence[Shape], page: Path) -> None:
    """Write what was found as a page of Markdown."""
    run = about()
    lines = [
        "# Growth",
        "",
        "What a decision costs as one thing grows and the rest stays. Written by `make bench SCENARIO=growth`:",
        f"{run['measured']}, commit {run['commit']}, Python {run['python']}, {run['machine']}, {run['cpu']}.",
        "",
        (
            "Milliseconds of CPU of the webhook and its engine together for a review, from its bytes to those of the "
            "answer, without TLS and HTTP: the median of batches in turns. Compare along a line; what stands in "
            "another table was measured at another time. `in-process` is the default engine, "
            "`OPA` that of `--engine opa`. A NetworkPolicy is created, and allowed."
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
