"""One verdict everywhere: the live webhook, `check`, `scan` and `replay` say the same of the same."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import orjson
import pytest

from tests.cases.table import CASES
from tests.conftest import TREE, GateOf, Loop
from tests.replay.recorded import LOOSENED, changed, side
from tests.verdicts.compared import Case, Comparison, Way, compare
from tests.verdicts.generated import Reviews
from tests.verdicts.ways import Check, Replay, Scan, Webhook
from webhook.decision.bundle import Bundle
from webhook.decision.catalogue import read_catalogue
from webhook.model import Enforcement
from webhook.tenancy.files import Loading, load_tree
from webhook.tenancy.manifests import read_manifests

SEED = 20261121
GENERATED = int(os.environ.get("G", "10000"))
SETTINGS: Mapping[str, Mapping[str, Enforcement]] = {
    "enforced": {},
    "softened": {"*": "warn", "guardrail/to-anywhere": "audit"},
    "mixed": {"guardrail/*": "audit", "guardrail/from-anywhere": "enforce", "rbac/namespace-policy": "warn"},
}
"""The worlds: the tree of the cases with its rules set otherwise."""
NAMES = ("webhook", "check", "scan", "replay")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Loading]:
    """The trees, read from files."""
    found = {}
    for name, enforcement in SETTINGS.items():
        things = [each.data for each in read_manifests(TREE).manifests]
        for each in things:
            if each["kind"] == "Organization":
                each["spec"] = {**each["spec"], "enforcement": enforcement}
        file = tmp_path_factory.mktemp("world") / f"{name}.json"
        file.write_bytes(b"\n".join(orjson.dumps(each) for each in things))
        found[name] = load_tree(file)
        assert found[name].tree, found[name].errors
    return found


@pytest.fixture(scope="module")
def cases(worlds: Mapping[str, Loading]) -> Sequence[Case]:
    """The whole table, and ten thousand that nobody wrote."""
    table = [Case(each.id, "enforced", each.asked) for each in CASES]
    tree = worlds["enforced"].tree
    assert tree
    drawn = Reviews(SEED, tuple(sorted(tree.namespaces))).draw(GENERATED)
    names = tuple(SETTINGS)
    return table + [Case(f"{SEED}/{number}", names[number % len(names)], each) for number, each in enumerate(drawn)]


WaysOf = Callable[[Mapping[str, Bundle]], Mapping[str, Way]]


@pytest.fixture(scope="module")
def ways_of(worlds: Mapping[str, Loading], gate_of: GateOf, bundle: Bundle, loop: Loop) -> WaysOf:
    """Make the ways, each with the shipped rules or with others."""

    def ways_of(others: Mapping[str, Bundle]) -> Mapping[str, Way]:
        bundles = {name: others.get(name, bundle) for name in NAMES}
        gates = {name: gate_of(each) for name, each in bundles.items()}
        pages = {each.id: each for each in read_catalogue(bundle)}
        webhook = Webhook(gates["webhook"], worlds, loop)
        return {
            "webhook": webhook,
            "replay": Replay(side(gate_of, bundles["replay"]), webhook, loop),
            "check": Check(gates["check"], pages, worlds, loop),
            "scan": Scan(gates["scan"], {rule: page.title for rule, page in pages.items()}, worlds, loop),
        }

    return ways_of


def test_every_way_says_the_same(
    ways_of: WaysOf, cases: Sequence[Case], record_property: Callable[[str, object], None]
) -> None:
    """Verdict, rules and messages, on the part that each way judges; the numbers compared are told in the summary."""
    comparison = compare(ways_of({}), cases)
    record_property("verdicts", comparison.counts)
    for line in comparison.lines():
        print(line)
    assert not comparison.different, _told(comparison)
    assert comparison.compared["replay"] > GENERATED
    assert comparison.compared["check"] > GENERATED / 2
    assert comparison.compared["scan"] > 500
    for counts in comparison.counts.values():
        assert min(counts[each] for each in ("allow", "deny", "warn", "audit")) > 10, counts


def _told(comparison: Comparison) -> str:
    return "\n".join([f"{len(comparison.different)} differ", *comparison.different[:20]])
