"""One verdict everywhere: the live webhook, `check`, `scan` and `replay` say the same of the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

import orjson
import pytest

from tests.cases.reviews import NETPOL, OZ
from tests.cases.table import CASES
from tests.conftest import TREE, GateOf, Loop
from tests.replay.recorded import side
from tests.verdicts.compared import Case, Comparison, Way, compare
from tests.verdicts.generated import Reviews
from tests.verdicts.ways import Check, Replay, Scan, Webhook
from webhook.decision.bundle import Bundle
from webhook.decision.catalogue import read_catalogue
from webhook.model import Enforcement
from webhook.tenancy.files import Loading, load_tree
from webhook.tenancy.manifests import read_manifests

SEED = 20261121
GENERATED = 10_000
SETTINGS: Mapping[str, Mapping[str, Enforcement]] = {
    "enforced": {},
    "softened": {"*": "warn", "guardrail/to-anywhere": "audit"},
    "mixed": {"guardrail/*": "audit", "guardrail/from-anywhere": "enforce", "rbac/namespace-policy": "warn"},
}
"""The worlds: the tree of the cases with its rules set otherwise."""
NAMES = ("webhook", "check", "scan", "replay")
RULE = "portcullis/rules/guardrail/from_anywhere/from_anywhere.rego"
Recorder = Callable[[str, object], None]


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


def test_every_way_says_the_same(ways_of: WaysOf, cases: Sequence[Case], record_property: Recorder) -> None:
    """Verdict, rules and messages, on the part that each way judges; the summary tells how many were compared."""
    comparison = compare(ways_of({}), cases)
    for name, counts in comparison.counts.items():
        record_property(f"verdicts, webhook and {name}", {"compared": counts.total(), **counts})
    assert not comparison.different, _told(comparison)
    assert comparison.counts["replay"].total() == len(cases)
    assert comparison.counts["check"].total() > GENERATED * 0.8
    # A scan judges what is created where it may stand, and nothing else.
    assert comparison.counts["scan"].total() > GENERATED * 0.01
    for counts in comparison.counts.values():
        assert min(counts[each] for each in ("allow", "deny", "warn", "audit")) > 2, counts


LOOSENED = (b"deny contains violation if {\n", b'deny contains violation if {\n\tinput.object.metadata.name != "web"\n')
REWORDED = (b'"ingress", "source"', b'"ingress", "origin"')


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *(pytest.param(name, LOOSENED, id=f"{name}-loosened") for name in NAMES),
        *(pytest.param(name, REWORDED, id=f"{name}-reworded") for name in NAMES),
    ],
)
def test_one_rule_changed_in_one_way_alone_is_found(
    name: str, change: tuple[bytes, bytes], ways_of: WaysOf, cases: Sequence[Case], bundle: Bundle
) -> None:
    """One condition more, or other words: that way differs where the rule speaks, and no other does."""
    before = bundle.files[RULE]
    after = before.replace(*change)
    assert after != before
    other = Bundle({**bundle.files, RULE: after}, replace(bundle.policies, revision=sha256(after).hexdigest()))
    few = [case for case in cases if case.asked.kind == NETPOL and case.asked.caller == OZ][:80]
    comparison = compare(ways_of({name: other}), few)
    found = {each.partition(",")[0] for each in comparison.different}
    assert found == (set(NAMES) - {"webhook"} if name == "webhook" else {name})
    assert len(comparison.different) < sum(counts.total() for counts in comparison.counts.values())


def _told(comparison: Comparison) -> str:
    return "\n".join([f"{len(comparison.different)} differ", *comparison.different[:20]])
