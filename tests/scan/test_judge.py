"""What stands is judged by the very rules of admission, and in their words."""

import asyncio
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.cases.reviews import CONTROLLER, FROM_PODS, ROOT, Json
from tests.cases.table import CASES, Case, leads, opens
from tests.conftest import Loop
from webhook.admission import Gate
from webhook.decision.bundle import Bundle
from webhook.decision.catalogue import read_catalogue
from webhook.errors import NoDecisionError
from webhook.model import BASELINE_LABEL, MANAGED_BY_LABEL, Enforcement, Namespace, Policies, Policy
from webhook.reach.kinds import READERS, kind_of
from webhook.scan.asking import ASKER, KINDS
from webhook.scan.finding import LONGEST, Finding, Thing
from webhook.scan.judge import Judge, OneOpa
from webhook.tenancy.tree import Tree

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
INJECTED = {MANAGED_BY_LABEL: "portcullis", BASELINE_LABEL: "zero-trust"}
THIRD = "0.0.0.0/3"


@pytest.fixture(scope="module")
def judge(gate: Gate, bundle: Bundle) -> Judge:
    """Who asks the real OPA."""
    return Judge(gate, {each.id: each.title for each in read_catalogue(bundle)})


def standing(tree: Tree, *policies: Policy, enforcement: Mapping[str, Enforcement] | None = None) -> Tree:
    """Return the tree in which these policies stand, too."""
    by_namespace: dict[str, tuple[Policy, ...]] = {}
    for each in policies:
        by_namespace[each.namespace] = (*by_namespace.get(each.namespace, tree.policies_in(each.namespace)), each)
    known: Any = tree._policies
    organization = replace(tree.organization, enforcement=enforcement or {})
    tenants = {**tree.tenants, organization.key: organization}
    return replace(tree, _policies=ChainMap(by_namespace, known), organization=organization, tenants=tenants)


def of(name: str, spec: Json, place: str = "refunds-dev", **labels: str) -> Policy:
    return Policy(place, name, labels, spec)


def rules(found: tuple[Finding, ...]) -> set[str]:
    return {each.rule for each in found}


def created(case: Case) -> bool:
    """Say whether a case is the creation of a policy that could stand so."""
    asked, new = case.asked, case.asked.new
    known = kind_of(asked.kind[0], asked.kind[2]) in KINDS
    if asked.operation != "CREATE" or asked.subresource or asked.over or new is None or not known:
        return False
    group, version = KINDS[kind_of(asked.kind[0], asked.kind[2])]  # type: ignore[index]  # it is one, as said above
    return (group, version) == asked.kind[:2] and bool(new["metadata"].get("name") and new["metadata"]["namespace"])


CREATED = [case for case in CASES if created(case)]


def test_the_table_has_enough_of_it() -> None:
    """Policies of all kinds are created in it, and many of them refused by guardrails."""
    assert len(CREATED) > 100
    assert sum(any(rule.startswith("guardrail/") for rule in case.denied_by) for case in CREATED) > 40
    assert {kind_of(case.asked.kind[0], case.asked.kind[2]) for case in CREATED} >= READERS.keys() - {
        "CiliumLocalRedirectPolicy"
    }


@pytest.mark.parametrize("case", CREATED, ids=lambda case: case.id)
def test_what_stands_is_refused_as_it_would_be_at_the_gate(case: Case, judge: Judge, tree: Tree, loop: Loop) -> None:
    """Every rule that refuses its creation, but for those on who may do it, finds the same where it stands already."""
    new = case.asked.new or {}
    kind = kind_of(case.asked.kind[0], case.asked.kind[2])
    metadata = new["metadata"]
    content = new.get("spec") if kind == "NetworkPolicy" else new
    policy = Policy(metadata["namespace"], metadata["name"], metadata.get("labels") or {}, content, kind)  # type: ignore[arg-type]
    known = standing(tree, policy)
    if policy not in known.standing_policies(policy.namespace, but=""):
        # The controller's own, compared with its baseline and never judged.
        return
    found = loop.run(judge.policy(known, policy, NOW))
    refused = {each.rule for each in found if each.action == "enforce"}
    expected = {rule for rule in case.denied_by if not rule.startswith("rbac/")}
    # Whom rules let pass for who it is does not count here.
    assert refused >= expected if case.asked.caller in {CONTROLLER, ROOT} else refused == expected


def test_a_finding_says_where_what_and_why(judge: Judge, tree: Tree, loop: Loop) -> None:
    """In the words of the rule, without who asked; its title and severity are the rule's."""
    policy = of("open", {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]})
    (found,) = loop.run(judge.policy(standing(tree, policy), policy, NOW))
    assert found.message.startswith("spec.ingress[0] names no source, which means every address (")
    assert ASKER not in found.message
    assert (found.title, found.severity) == ("No policy lets everybody in", "critical")
    assert found.thing == Thing("refunds-dev", "NetworkPolicy", "open", "networking.k8s.io/v1")
    assert found.policies == (found.thing,)
    assert found.action == "enforce"


@pytest.mark.parametrize("action", ["enforce", "warn", "audit"])
def test_what_comes_of_it_is_what_the_organization_has_set(
    action: Enforcement, judge: Judge, tree: Tree, loop: Loop
) -> None:
    """Softened rules say what they would do; one that is never softened refuses."""
    policy = of("open.to-all", {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]})
    known = standing(tree, policy, enforcement={"*": action})
    found = {each.rule: each.action for each in loop.run(judge.policy(known, policy, NOW))}
    assert found == {"guardrail/from-anywhere": action, "baseline/managed-policy": "enforce"}


def test_two_that_add_up_are_both_named(judge: Judge, tree: Tree, loop: Loop) -> None:
    """Each finds it with the other; in the direction in which they do, and not with those that add nothing."""
    one, other = of("one", leads(THIRD)), of("other", leads("32.0.0.0/3"))
    beside = of("beside", opens(THIRD))
    known = standing(tree, one, other, beside, of("within", leads("0.0.0.0/4")))
    for policy, also in ((one, "other"), (other, "one")):
        (found,) = loop.run(judge.policy(known, policy, NOW))
        assert found.rule == "guardrail/to-anywhere"
        assert also in [each.name for each in found.policies[1:]]
        assert found.policies[0].name == policy.name
        assert "beside" not in [each.name for each in found.policies]
        assert also in found.message
    assert loop.run(judge.policy(known, beside, NOW)) == ()


def test_one_that_opens_everything_alone_needs_no_other(judge: Judge, tree: Tree, loop: Loop) -> None:
    """It is named alone, though others add to it; they are named with it."""
    whole, half = of("whole", leads("0.0.0.0/1")), of("half", leads("128.0.0.0/3"))
    known = standing(tree, whole, half)
    (found,) = loop.run(judge.policy(known, whole, NOW))
    assert [each.name for each in found.policies] == ["whole"]
    (found,) = loop.run(judge.policy(known, half, NOW))
    assert [each.name for each in found.policies] == ["half", "whole"]


def test_of_two_kinds_of_one_name_both_are_named(judge: Judge, tree: Tree, loop: Loop) -> None:
    """A CNI's policy adds up with Kubernetes' own, and may have its name."""
    one = of("same", leads(THIRD))
    spec = {"endpointSelector": {}, "egress": [{"toCIDR": ["32.0.0.0/3"]}]}
    whole = {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "same"}, "spec": spec}
    other = Policy("refunds-dev", "same", {}, whole, "CiliumNetworkPolicy")
    (found,) = loop.run(judge.policy(standing(tree, one, other), one, NOW))
    assert [each.kind for each in found.policies] == ["NetworkPolicy", "CiliumNetworkPolicy"]


def test_what_one_rule_finds_in_many_places_is_one_finding(judge: Judge, tree: Tree, loop: Loop) -> None:
    """With all the places, as far as they fit."""
    spec = {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}] * 50,
    }
    policy = of("odd", spec)
    (found,) = loop.run(judge.policy(standing(tree, policy), policy, NOW))
    assert found.rule == "guardrail/malformed"
    assert "spec.egress[0]" in found.message
    assert "; " in found.message
    assert len(found.message) <= LONGEST


NAMESPACES: dict[str, tuple[Namespace, set[str]]] = {
    "owned, not stamped yet": (Namespace("new-dev", {"portcullis.dev/workspace": "checkout"}), set()),
    "owned, stamped otherwise": (
        Namespace("new-dev", {"portcullis.dev/workspace": "checkout", "portcullis.dev/project": "search"}),
        set(),
    ),
    "ready": (
        Namespace(
            "new-dev", {"portcullis.dev/workspace": "checkout"}, {"portcullis.dev/baseline": '{"state":"Ready"}'}
        ),
        set(),
    ),
    "unowned": (Namespace("new-dev"), set()),
    "where a role's account lives": (Namespace("gitops"), set()),
    "exempt as it has to be": (
        Namespace(
            "new-dev",
            {"portcullis.dev/workspace": "checkout", "portcullis.dev/exempt": "true"},
            {"portcullis.dev/exempt-reason": "moving", "portcullis.dev/exempt-until": "2026-12-01T00:00:00Z"},
        ),
        set(),
    ),
    "exempt for ever": (
        Namespace("new-dev", {"portcullis.dev/exempt": "true"}, {"portcullis.dev/exempt-reason": "moving"}),
        {"baseline/exemption"},
    ),
    "exempt no more": (
        Namespace(
            "new-dev",
            {"portcullis.dev/exempt": "true"},
            {"portcullis.dev/exempt-reason": "moving", "portcullis.dev/exempt-until": "2026-11-01T00:00:00Z"},
        ),
        {"baseline/exemption"},
    ),
}


@pytest.mark.parametrize(("namespace", "expected"), NAMESPACES.values(), ids=NAMESPACES)
def test_a_namespace_is_judged_once_it_is_stamped(
    namespace: Namespace, expected: set[str], judge: Judge, tree: Tree, loop: Loop
) -> None:
    """What the mutation fills in is nothing to complain of, nor whose the namespace is; an exemption without end is."""
    assert rules(loop.run(judge.namespace(tree, namespace, NOW))) == expected


def test_no_decision_at_all_is_no_finding(gate: Gate, tree: Tree, loop: Loop) -> None:
    """Where OPA has other rules it is not said that all is well; it may have ours in a moment."""
    stale = Judge(OneOpa(gate.opa, Policies("another", gate.policies.rules)), {})
    policy = of("open", {"podSelector": {}, "ingress": [{}]})
    with pytest.raises(NoDecisionError):
        loop.run(stale.policy(standing(tree, policy), policy, NOW))


def test_what_cannot_be_decided_for_good_is_found(gate: Gate, tree: Tree, loop: Loop) -> None:
    """A rule that did not run refuses everybody at the gate, and whatever else stands is judged all the same."""
    demanded = replace(gate.policies, rules=gate.policies.rules | {"guardrail/lost"})
    lacking = Judge(OneOpa(gate.opa, demanded), {})
    policy = of("well", FROM_PODS)
    (found,) = loop.run(lacking.policy(standing(tree, policy), policy, NOW))
    assert (found.rule, found.action) == ("scan/undecided", "enforce")
    assert found.message == "OPA did not run guardrail/lost"


def test_many_policies_do_not_hold_up_the_loop(judge: Judge, tree: Tree, loop: Loop) -> None:
    """Their facts are gathered in a thread: what else is to be done goes on."""
    many = [
        of(f"p{index}", opens(f"10.{index}.0.0/16", pods={"matchLabels": {"a": str(index)}})) for index in range(60)
    ]
    known = standing(tree, *many)

    async def beside() -> int:
        asking = asyncio.create_task(judge.policy(known, many[0], NOW))
        ticks = 0
        while not asking.done():
            ticks += 1
            await asyncio.sleep(0)
        assert await asking == ()
        return ticks

    assert loop.run(beside()) > 1
