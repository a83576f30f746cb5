"""What is gathered of policies: of the one under review, and of those that stand in a namespace under review."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from tests.cases.reviews import (
    ADA,
    DENY_ALL,
    NAMESPACE,
    NETPOL,
    OZ,
    PAM,
    WORKSPACE,
    Asked,
    Json,
    namespace,
    other_policy,
    owned,
    policy,
)
from webhook.gather import gather
from webhook.model import (
    BASELINE_LABEL,
    MANAGED_BY_LABEL,
    PROTECTED_CIDRS,
    Baseline,
    BaselinePolicy,
    Namespace,
    Policy,
    PolicyKind,
    Reach,
    Tenant,
)
from webhook.reaches import MOST_STANDING
from webhook.review.envelope import read_review
from webhook.selector import NAME_LABEL
from webhook.tenancy.tree import Holdings, Tree, grow

WIDE: Json = {"podSelector": {}, "ingress": [{}]}
CILIUM = ("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies")
CALICO = ("crd.projectcalico.org", "v1", "NetworkPolicy", "networkpolicies")
CALICO_3 = ("projectcalico.org", "v3", "NetworkPolicy", "networkpolicies")


def tree_of(*policies: Policy, guardrails: dict[str, dict[str, Any]] | None = None, **namespaces: str) -> Tree:
    """Return a tree in which `zero-trust` applies to all that has an owner, and `edge` to every namespace called so."""
    set_by = guardrails or {}
    tenants = {
        "acme": Tenant("Organization", "acme", baselines=("zero-trust",), guardrails=set_by.get("acme", {})),
        "payments": Tenant("Project", "payments", guardrails=set_by.get("payments", {})),
        "checkout": Tenant("Workspace", "checkout", "payments", guardrails=set_by.get("checkout", {})),
        "refunds": Tenant("Workspace", "refunds", "payments", guardrails=set_by.get("refunds", {})),
        "search": Tenant("Project", "search"),
        "ranking": Tenant("Workspace", "ranking", "search"),
    }
    organization, *others = tenants.values()
    standing = {"dev": "checkout", **namespaces}
    return grow(
        Holdings(
            organization,
            tuple(others),
            (
                Baseline("zero-trust", (BaselinePolicy("default-deny", DENY_ALL),), None),
                Baseline("edge", (), {"matchLabels": {"tier": "edge"}}),
            ),
            tuple(Namespace(name, {WORKSPACE: each} if each else {}, {}) for name, each in standing.items()),
            policies,
        )
    )


def standing(name: str, spec: object, kind: PolicyKind = "NetworkPolicy", **labels: str) -> Policy:
    """Return a policy that stands in namespace dev."""
    return Policy("dev", name, {key.replace("_", "."): value for key, value in labels.items()}, spec, kind)


def reaches(tree: Tree, asked: Asked) -> tuple[Reach, ...]:
    """Return what is gathered of a request as the API server sends it."""
    return gather(read_review(orjson.dumps(asked.review())), tree, (), now=datetime(2026, 11, 21, tzinfo=UTC)).reaches


def changed(old: dict[str, str] | None, new: dict[str, str], name: str = "dev") -> Asked:
    """Return the creation of a namespace, or an update of its labels."""
    before = None if old is None else namespace(name, old)
    return Asked(OZ, "CREATE" if before is None else "UPDATE", NAMESPACE, namespace(name, new), before)


# Namespaces.

WEB, NARROW = standing("web", WIDE), standing("narrow", DENY_ALL)
JUDGED = {
    "created with an owner": changed(None, owned("checkout")),
    "created for a baseline that selects it": changed(None, {"tier": "edge"}),
    "adopted": changed({}, owned("checkout")),
    "adopted from nowhere": changed({WORKSPACE: "ghost"}, owned("checkout")),
    "moved to another workspace": changed(owned("refunds"), owned("checkout")),
    "moved to another project": changed(owned("ranking", "search"), owned("checkout")),
    "released into a baseline": changed(owned("checkout"), {"tier": "edge"}),
    "selected by a baseline": changed({}, {"tier": "edge"}),
}


@pytest.mark.parametrize("asked", JUDGED.values(), ids=JUDGED.keys())
def test_what_stands_is_judged_when_a_namespace_changes_hands(asked: Asked) -> None:
    """Created, adopted, moved, or first under a baseline: orphans of a former owner are seen, each by its name."""
    tree = tree_of(WEB, NARROW)
    found = reaches(replace(tree, namespaces={}) if asked.old is None else tree, asked)
    assert [each.policy for each in found] == ["NetworkPolicy web", "NetworkPolicy narrow"]
    wide, narrow = found
    assert wide.ingress
    assert (wide.ingress.ipv4, wide.ingress.unbounded, wide.ingress.widens) == (1, ("spec.ingress[0]",), True)
    assert narrow.ingress
    assert (narrow.ingress.ipv4, narrow.ingress.joint_with) == (0, ())


UNJUDGED = {
    "a label of its own": changed(owned("checkout"), owned("checkout", team="a")),
    "nothing": changed(owned("checkout"), owned("checkout")),
    "another baseline beside the first": changed(owned("checkout"), owned("checkout", tier="edge")),
    "released to nobody": changed(owned("checkout"), {}),
    "created for nobody": changed(None, {}),
    "created for a workspace that is none": changed(None, {WORKSPACE: "ghost"}),
    "still selected": changed({"tier": "edge"}, {"tier": "edge", "a": "b"}),
    "deleted": Asked(OZ, "DELETE", NAMESPACE, None, namespace("dev", owned("checkout"))),
    "another namespace": changed(None, owned("checkout"), "other"),
    "a name to come": Asked(
        OZ, "CREATE", NAMESPACE, {"metadata": {"generateName": "dev", "labels": owned("checkout")}}
    ),
    "kube-system": changed(None, owned("checkout"), "kube-system"),
}


@pytest.mark.parametrize("asked", UNJUDGED.values(), ids=UNJUDGED.keys())
def test_nothing_is_judged_where_the_owner_stays(asked: Asked) -> None:
    """A label more costs nothing, and says nothing of policies that were judged before."""
    assert reaches(tree_of(WEB, NARROW), asked) == ()


def test_policies_that_stand_add_up_with_each_other() -> None:
    """Of two eighths each is told together with the other, and never with itself."""
    halves = [
        standing(
            f"p{index}", {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": f"{64 * index}.0.0.0/3"}}]}]}
        )
        for index in range(2)
    ]
    found = reaches(tree_of(*halves), changed({}, owned("checkout")))
    assert [each.ingress and (each.ingress.joint_ipv4, each.ingress.joint_with) for each in found] == [
        (0.25, ("p1",)),
        (0.25, ("p0",)),
    ]


def test_every_kind_that_stands_is_told() -> None:
    """Two kinds of one name are two policies."""
    tree = tree_of(
        standing("web", {"spec": {"endpointSelector": {}, "x": 1}}, "CiliumNetworkPolicy"),
        standing("web", {"spec": {"nets": ["0.0.0.0/0"]}}, "NetworkSet.projectcalico.org"),
        standing("web", {"spec": []}, "NetworkPolicy.crd.projectcalico.org"),
    )
    cilium, network_set, unreadable = reaches(tree, changed({}, owned("checkout")))
    assert (cilium.policy, network_set.policy, unreadable.policy) == (
        "CiliumNetworkPolicy web",
        "NetworkSet web",
        "NetworkPolicy web",
    )
    for each in (cilium, network_set):
        assert "NetworkPolicy web, which stands in the namespace: spec cannot be read" in each.unreadable_beside[0]
    assert "spec cannot be read" in unreadable.unreadable[0]


def test_more_than_are_judged_are_counted() -> None:
    """What was not looked at is told as unreadable."""
    policies = [standing(f"p{index}", DENY_ALL) for index in range(MOST_STANDING + 3)]
    assert len(reaches(tree_of(*policies[:MOST_STANDING]), changed({}, owned("checkout")))) == MOST_STANDING
    *told, rest = reaches(tree_of(*policies), changed({}, owned("checkout")))
    assert [each.policy for each in told] == [f"NetworkPolicy p{index}" for index in range(MOST_STANDING)]
    assert rest.policy == "3 further policies"
    assert "more policies stand there than are judged at once" in rest.unreadable[0]


INJECTED = {MANAGED_BY_LABEL: "portcullis", BASELINE_LABEL: "zero-trust"}


def test_injected_policies_are_left_out() -> None:
    """Those of a baseline that there is, by labels and name; labels alone make no policy one of ours."""
    tree = tree_of(
        Policy("dev", "zero-trust.default-deny", INJECTED, WIDE),
        Policy("dev", "zero-trust.other", INJECTED, WIDE),
        Policy("dev", "web", INJECTED, WIDE),
        Policy("dev", "zero-trust.default-deny", INJECTED, {"spec": {"nets": []}}, "NetworkSet.projectcalico.org"),
    )
    assert [each.policy for each in reaches(tree, changed({}, owned("checkout")))] == [
        "NetworkPolicy zero-trust.other",
        "NetworkPolicy web",
        "NetworkSet zero-trust.default-deny",
    ]


def test_many_policies_that_stand_are_judged_quickly() -> None:
    """A thousand policies with long selectors, of which fifty are told one by one: no thousand times a thousand."""
    policies = [
        standing(
            f"p{index}",
            {
                "podSelector": {
                    "matchExpressions": [
                        {"key": f"k{number}", "operator": "NotIn", "values": [f"v{index}"]} for number in range(50)
                    ]
                },
                "ingress": [{"from": [{"ipBlock": {"cidr": f"{index % 200}.{index // 200}.0.0/24"}}]}],
            },
        )
        for index in range(1_000)
    ]
    tree, asked = tree_of(*policies), changed({}, owned("checkout"))
    begin = time.process_time()
    assert len(reaches(tree, asked)) == MOST_STANDING + 1
    assert time.process_time() - begin < 5


# The policy under review.


def created(spec: Json, kind: tuple[str, str, str, str] = NETPOL, name: str = "web") -> Asked:
    """Return the creation of a policy in namespace dev."""
    new = policy("dev", name, spec) if kind is NETPOL else other_policy(kind, "dev", name, spec)
    return Asked(ADA, "CREATE", kind, new)


def test_the_policy_under_review_has_no_name() -> None:
    """Whoever asks knows which it is."""
    (reach,) = reaches(tree_of(), created(WIDE))
    assert reach.policy == ""


def test_a_policy_is_judged_beside_all_but_itself() -> None:
    """Itself is the one of its own kind and group and name."""
    eighth = {"nets": ["0.0.0.0/3"]}
    of_calico: dict[PolicyKind, str] = {
        "NetworkPolicy.crd.projectcalico.org": "96.0.0.0/3",
        "NetworkPolicy.projectcalico.org": "128.0.0.0/3",
    }
    tree = tree_of(
        standing("web", {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "32.0.0.0/3"}}]}]}),
        standing(
            "web", {"spec": {"endpointSelector": {}, "ingress": [{"fromCIDR": ["64.0.0.0/3"]}]}}, "CiliumNetworkPolicy"
        ),
        *(
            standing("web", {"spec": {"ingress": [{"action": "Allow", "source": {"nets": [net]}}]}}, kind)
            for kind, net in of_calico.items()
        ),
    )
    mine = {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/3"}}]}]}
    cilium = {"endpointSelector": {}, "ingress": [{"fromCIDR": ["0.0.0.0/3"]}]}
    calico = {"ingress": [{"action": "Allow", "source": eighth}]}
    for kind, spec in ((NETPOL, mine), (CILIUM, cilium), (CALICO, calico), (CALICO_3, calico)):
        (reach,) = reaches(tree, created(spec, kind))
        assert reach.ingress
        assert (reach.ingress.ipv4, reach.ingress.joint_ipv4) == (1 / 8, 4 / 8)
        (reach,) = reaches(tree, created(spec, kind, "other"))
        assert reach.ingress
        assert reach.ingress.joint_ipv4 == 5 / 8


def protected(tree: Tree, cidr: str = "::/0") -> dict[str, str]:
    """Return the ranges that are asked of, and what leads into them."""
    (reach,) = reaches(tree, created({"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": cidr}}]}]}))
    assert reach.egress
    return dict(reach.egress.protected)


def test_ranges_of_all_levels_are_asked_of() -> None:
    """And the defaults always: what counts is Rego's. Those of another workspace are not."""
    of = {"acme": "192.0.2.0/24", "payments": "198.51.100.0/24", "checkout": "2001:db8::/32", "refunds": "10.0.0.0/8"}
    tree = tree_of(guardrails={name: {"protectedCIDRs": (cidr,)} for name, cidr in of.items()})
    assert set(protected(tree)) == {*PROTECTED_CIDRS, *list(of.values())[:3]}
    assert set(protected(tree_of(guardrails={"acme": {"protectedCIDRs": ()}}))) == set(PROTECTED_CIDRS)


@pytest.mark.parametrize(
    ("cidr", "leads"),
    [
        pytest.param("64:ff9b::/96", True, id="all-of-nat64"),
        pytest.param("64:ff9b::a9fe:a9fe/128", True, id="the-address-by-nat64"),
        pytest.param("64:ff9b::a9fe:a9ff/128", False, id="its-neighbour-by-nat64"),
        pytest.param("64:ff9b:1::/48", False, id="another-prefix"),
        pytest.param("::/1", True, id="around-nat64"),
        pytest.param("8000::/1", False, id="the-other-half"),
        pytest.param("2000::/3", False, id="the-internet"),
    ],
)
def test_nat64_leads_into_ipv4(cidr: str, *, leads: bool) -> None:
    """64:ff9b::/96 is all of IPv4 (RFC 6052)."""
    assert bool(protected(tree_of(), cidr)["169.254.169.254/32"]) == leads


def test_borders_are_those_of_the_project_of_the_namespace() -> None:
    """The place of the policy, whoever asks."""
    peers = [{"namespaceSelector": {"matchLabels": {NAME_LABEL: each}}} for each in ("dev", "theirs", "nowhere")]
    tree = tree_of(theirs="ranking")
    (reach,) = reaches(tree, created({"podSelector": {}, "ingress": [{"from": peers}]}))
    assert reach.ingress
    assert [line.partition(" names")[0] for line in reach.ingress.crossing] == [
        "spec.ingress[0].from[1]",
        "spec.ingress[0].from[2]",
    ]
    asked = Asked(PAM, "CREATE", NETPOL, policy("theirs", "web", {"podSelector": {}, "ingress": [{"from": peers}]}))
    (reach,) = reaches(tree, asked)
    assert reach.ingress
    assert [line.partition(" names")[0] for line in reach.ingress.crossing] == [
        "spec.ingress[0].from[0]",
        "spec.ingress[0].from[2]",
    ]
