"""A set of manifests is judged as a cluster would that they are applied to, one after the other."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.check.checks import Checks, told
from tests.conftest import Loop
from webhook.admission import Gate
from webhook.check.asking import Caller
from webhook.check.course import WINDOW, Step, windows
from webhook.check.finding import Spot, Thing
from webhook.check.shelf import Shelf
from webhook.check.written import Written
from webhook.decision.bundle import Bundle
from webhook.decision.catalogue import read_catalogue

ADA = Caller("ada", ("checkout-team", "system:authenticated"))
BO = Caller("bo", ("refunds-team", "system:authenticated"))
OZ = Caller("oz", ("acme-admins", "system:authenticated"))
ROOT = Caller("root", ("system:masters",))
AWAY = "guardrail/to-anywhere"
IN = "guardrail/from-anywhere"


@pytest.fixture
def check(gate: Gate, loop: Loop, bundle: Bundle, tmp_path: Path) -> Checks:
    """Checks texts by the shipped rules, on the tree of the cases."""
    return Checks(gate, loop, {each.id: each for each in read_catalogue(bundle)}, tmp_path)


def egress(name: str, *cidrs: str, namespace: str = "refunds-dev") -> str:
    blocks = ", ".join(f"{{ipBlock: {{cidr: {cidr}}}}}" for cidr in cidrs)
    return policy(name, f"{{podSelector: {{}}, policyTypes: [Egress], egress: [{{to: [{blocks}]}}]}}", namespace)


def policy(name: str, spec: str, namespace: str = "refunds-dev") -> str:
    return (
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )


def namespace(name: str, **labels: str) -> str:
    told_of = ", ".join(f"portcullis.dev/{key}: '{value}'" for key, value in labels.items())
    return f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{told_of}}}}}\n---\n"


OPEN = "{podSelector: {}, policyTypes: [Ingress], ingress: [{}]}"
CLOSED = "{podSelector: {}, policyTypes: [Ingress]}"


def test_what_is_fine_is_not_told(check: Checks) -> None:
    """A policy that opens little, and kinds that no rule covers."""
    other = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {anything: [1, 2]}\n"
    assert not check(policy("web", CLOSED) + other)


def test_two_that_open_everything_together_are_refused_at_the_second(check: Checks) -> None:
    """And what is refused does not stand for a third, which alone is fine."""
    files = {
        "a.yaml": egress("low", "0.0.0.0/3"),
        "b.yaml": egress("high", "32.0.0.0/3") + egress("third", "64.0.0.0/4"),
    }
    assert told(check(files)) == [("high", AWAY, "enforce")]


def test_what_stands_beside_counts(check: Checks) -> None:
    """A policy of the tree's files is a neighbour like any other."""
    rest = "policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 32.0.0.0/3}}]}]}"
    assert not check(policy("rest", f"{{podSelector: {{matchLabels: {{app: others}}}}, {rest}", "checkout-dev"))
    (found,) = check(policy("rest", f"{{podSelector: {{matchLabels: {{app: halves}}}}, {rest}", "checkout-dev"))
    assert (found.rule, "together with first-half" in found.message) == (AWAY, True)


def test_a_change_is_judged_as_one_of_what_stands(check: Checks) -> None:
    """What opens nothing more passes with a warning, what opens more is refused, and nothing changes by itself."""
    before = policy("web", OPEN)
    assert told(check(before, against=before)) == [("web", IN, "warn")]
    assert told(check(policy("web", CLOSED), against=before)) == []
    assert told(check(before, against=policy("web", CLOSED))) == [("web", IN, "enforce")]


def test_what_is_written_no_more_is_deleted(check: Checks) -> None:
    """At the line where it was; who may not is told, and so is that a managed policy is the controller's."""
    before = policy("web", CLOSED, "checkout-dev") + policy("zero-trust.extra", CLOSED, "checkout-dev")
    found = check(policy("web", CLOSED, "checkout-dev"), against=before)
    assert [(each.operation, each.rule, each.line) for each in found] == [("DELETE", "baseline/managed-policy", 8)]
    theirs = check(policy("else", CLOSED, "refunds-dev"), against=policy("web", CLOSED, "checkout-dev"), caller=BO)
    assert [(each.thing.name, each.operation, each.rule) for each in theirs] == [
        ("web", "DELETE", "rbac/namespace-policy")
    ]


def test_namespaces_come_first_whatever_file_they_are_in(check: Checks) -> None:
    """As Helm and kustomize apply them: what stands in one is judged by the baselines that it gets."""
    files = {"a.yaml": policy("web", OPEN, "new-dev"), "z.yaml": namespace("new-dev", workspace="checkout")}
    (found,) = check(files)
    assert (found.file.name, found.rule) == ("a.yaml", IN)
    assert told(check(files, caller=ADA)) == [("web", IN, "enforce")]


def test_a_namespace_is_stamped_before_it_is_judged(check: Checks) -> None:
    """Without the derived labels it is fine, and a wrong one is replaced, as the webhook does."""
    assert not check(namespace("new-dev", workspace="checkout", project="search"), caller=ADA)


def test_who_applies_it_is_judged_where_somebody_is_named(check: Checks) -> None:
    """In the webhook's own words; without anybody only what is written is judged."""
    theirs = policy("web", CLOSED, "checkout-dev")
    assert not check(theirs)
    assert not check(theirs, caller=ADA)
    (found,) = check(theirs, caller=BO)
    assert found.rule == "rbac/namespace-policy"
    assert found.message.startswith(
        "bo may not create NetworkPolicy checkout-dev/web: the namespace belongs to another"
    )
    assert (found.thing.called, found.line) == ("NetworkPolicy checkout-dev/web", 3)


def test_break_glass_passes_with_a_warning(check: Checks) -> None:
    """As it does in the cluster, which tells the caller."""
    rules = [IN, "rbac/namespace-policy"]
    assert told(check(policy("web", OPEN), caller=ROOT)) == [("web", rule, "warn") for rule in rules]


def test_in_a_namespace_that_is_not_known_nothing_can_be_written(check: Checks) -> None:
    """Whoever asks: the finding points at the name of the namespace."""
    text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: web\n  namespace: nowhere\n"
    (found,) = check(f"{text}spec: {{podSelector: {{}}}}\n")
    assert (found.rule, found.line, found.action) == ("rbac/namespace-policy", 5, "enforce")


def test_no_hook_is_called_in_kube_system(check: Checks) -> None:
    """So nothing there is refused, whatever it opens."""
    assert not check(policy("web", OPEN, "kube-system"), caller=BO)


def test_without_a_tree_every_guardrail_is_judged_at_its_default(check: Checks) -> None:
    """In every namespace, declared or not, and an owner that nobody knows of keeps none from it."""
    text = policy("web", OPEN, "somewhere") + namespace("mine", workspace="ghost") + policy("web", OPEN, "mine")
    assert [each.rule for each in check(text, tenancy=None)] == [IN, IN]


def test_a_tree_among_the_manifests_is_the_one_that_counts(check: Checks) -> None:
    """It stands already: its own objects are not created, and its settings hold for what comes with it."""
    tree = """
apiVersion: portcullis.dev/v1alpha1
kind: Organization
metadata: {name: acme}
spec:
  enforcement: {'guardrail/*': warn}
  baselines: [zero]
  roles: [{role: OrgAdmin, subjects: [{kind: User, name: oz}]}]
---
apiVersion: portcullis.dev/v1alpha1
kind: NetworkBaseline
metadata: {name: zero}
spec: {policies: [{name: deny, spec: {podSelector: {}}}]}
---
apiVersion: portcullis.dev/v1alpha1
kind: Project
metadata: {name: shop}
---
apiVersion: portcullis.dev/v1alpha1
kind: Workspace
metadata: {name: till}
spec: {project: shop}
---
"""
    text = tree + namespace("till-dev", workspace="till") + policy("web", OPEN, "till-dev")
    assert told(check(text, tenancy=None)) == [("web", IN, "warn")]
    assert told(check(text, tenancy=None, caller=Caller("oz"))) == [("web", IN, "warn")]


def test_a_change_of_the_tree_holds_for_what_comes_after(check: Checks) -> None:
    """A workspace that lets everybody in lets its policies do so, if whoever applies it may set that."""
    change = """
apiVersion: portcullis.dev/v1alpha1
kind: Workspace
metadata: {name: checkout}
spec:
  project: payments
  guardrails: {fromAnywhere: Allow}
  roles: [{role: WorkspaceAdmin, subjects: [{kind: Group, name: checkout-team}]}]
---
"""
    text = change + policy("web", OPEN, "checkout-dev")
    assert told(check(text, caller=OZ)) == []
    refused = dict.fromkeys(each.rule for each in check(text, caller=ADA))
    assert list(refused) == ["rbac/tenancy", IN]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        pytest.param(policy("web", "{podSelector: {}, ingres: []}"), 4, "ingres", id="unknown-field"),
        pytest.param(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labels: {x: 1}\n", 5, "labels", id="label"
        ),
    ],
)
def test_what_the_api_server_refuses_is_told(check: Checks, text: str, line: int, said: str) -> None:
    """At the field, and it stands for nobody after it."""
    (found,) = check(text)
    assert (found.rule, found.line, found.operation) == ("check/invalid", line, "CREATE")
    assert said in found.message


def test_a_malformed_address_is_told_by_its_rule(check: Checks) -> None:
    """The contract has it so: the API server is first in a cluster, and here the rule speaks."""
    found = check(egress("web", "10.0.0.1/8"))
    assert [each.rule for each in found] == ["guardrail/malformed"]


def test_a_pod_is_judged_as_if_its_baseline_were_brought(check: Checks) -> None:
    """Which the webhook does while the pod waits; on the network of its node it does not start."""
    metadata = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: refunds-dev}\n"
    pod = f"{metadata}spec: {{containers: [{{name: a, image: a}}]"
    assert not check(f"{pod}}}\n")
    assert told(check(f"{pod}, hostNetwork: true}}\n")) == [("web", "guardrail/host-network", "enforce")]


def test_all_at_once_is_as_one_by_one(check: Checks) -> None:
    """Policies that open a part each, in an order that chance has made: those are refused that a cluster refuses."""
    chance = random.Random(7)  # noqa: S311 - any order will do
    blocks = [f"{first}.0.0.0/5" for first in range(0, 160, 8)] * 2
    chance.shuffle(blocks)
    text = "".join(egress(f"p{number}", block) for number, block in enumerate(blocks))
    standing, expected = set[str](), []
    for number, block in enumerate(blocks):
        # Eight of them are a quarter of all addresses.
        if len(standing | {block}) == 8:
            expected.append(f"p{number}")
        else:
            standing.add(block)
    assert [each.thing.name for each in check(text)] == expected


def test_every_finding_has_a_fingerprint_that_its_line_is_not_in(check: Checks) -> None:
    """So that what is new can be told from what was moved."""
    text = egress("low", "169.254.169.254/32", "0.0.0.0/1")
    before, after = check(text), check(f"# moved\n\n{text}")
    assert [each.line for each in before] != [each.line for each in after]
    assert [each.fingerprint for each in before] == [each.fingerprint for each in after]
    assert len({each.fingerprint for each in before}) == len(before) == 2


def test_windows_hold_whole_rooms() -> None:
    """Those of one namespace are in one, for they have to wait for each other."""
    steps = [
        Step(Written(Thing(f"n{number % 7}", "NetworkPolicy", "a", "networking.k8s.io/v1"), Spot(Path("a")), Shelf()))
        for number in range(WINDOW * 2)
    ]
    found = list(windows(steps))
    rooms = [room for window in found for room in window]
    assert len(rooms) == len(set(rooms)) == 7
    assert sum(len(each) for each in flat(found)) == len(steps)


def flat(found: list[dict[str, list[Step]]]) -> Iterator[list[Step]]:
    for window in found:
        yield from window.values()
