"""Whether a policy stands as it is wanted: compared by meaning in a table, and with what a real API server stores."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases.reviews import Json
from tests.controlplane.plane import Plane
from webhook.baseline.difference import difference, surplus
from webhook.baseline.wanted import WantedPolicy, wanted_at
from webhook.cluster.client import connected
from webhook.cluster.resource import NETWORK_POLICIES
from webhook.errors import ClusterError
from webhook.model import BASELINE_LABEL, MANAGED_BY_LABEL, Baseline, BaselinePolicy, Place, Policy, Standing
from webhook.tenancy.live import LiveTree

LABELS = {MANAGED_BY_LABEL: "portcullis", BASELINE_LABEL: "zt"}
DENY: Json = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
WEB: Json = {"matchLabels": {"app": "web"}}


def wanted_of(spec: Json, namespace: str = "dev") -> WantedPolicy:
    """Return the policy zt.p of a baseline with this spec."""
    place = Place(namespace, Standing.UNOWNED, baselines=("zt",))
    return wanted_at(place, {"zt": Baseline("zt", (BaselinePolicy("p", spec),))}).policies[0]


def stored_of(spec: Any, **more: Any) -> Policy:
    """Return the policy as the API server has it."""
    return Policy("dev", "zt.p", more.pop("labels", LABELS), spec, **more)


def ingress(*rules: Json) -> Json:
    """Return a spec with these rules."""
    return {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": list(rules)}


# What differs, and in what.
DIFFERENT: dict[str, tuple[Json, Any, str]] = {
    "an empty rule that somebody added": (DENY, {**DENY, "ingress": [{}]}, "ingress"),
    "an empty egress rule that somebody added": (DENY, {**DENY, "egress": [{}]}, "egress"),
    "a rule more": (ingress({"ports": [{"port": 80}]}), ingress({"ports": [{"port": 80}]}, {}), "ingress"),
    "a rule less": (ingress({"ports": [{"port": 80}]}, {}), ingress({"ports": [{"port": 80}]}), "ingress"),
    "no rule left": (ingress({}), {"podSelector": {}, "policyTypes": ["Ingress"]}, "ingress"),
    "another port": (ingress({"ports": [{"port": 80}]}), ingress({"ports": [{"port": 81}]}), "ingress"),
    "a port by name": (ingress({"ports": [{"port": 80}]}), ingress({"ports": [{"port": "80"}]}), "ingress"),
    "no port any more": (ingress({"ports": [{"port": 80}]}), ingress({"ports": [{"protocol": "TCP"}]}), "ingress"),
    "an end of ports": (
        ingress({"ports": [{"port": 80}]}), ingress({"ports": [{"port": 80, "endPort": 90}]}), "ingress",
    ),
    "another protocol": (
        ingress({"ports": [{"port": 53}]}), ingress({"ports": [{"port": 53, "protocol": "UDP"}]}), "ingress",
    ),
    "all ports": (ingress({"ports": [{"port": 53}]}), ingress({}), "ingress"),
    "another peer": (
        ingress({"from": [{"podSelector": WEB}]}), ingress({"from": [{"namespaceSelector": WEB}]}), "ingress",
    ),
    "every pod instead of some": (
        ingress({"from": [{"podSelector": WEB}]}), ingress({"from": [{"podSelector": {}}]}), "ingress",
    ),
    "an empty selector is one": (
        ingress({"from": [{"podSelector": WEB, "namespaceSelector": {}}]}),
        ingress({"from": [{"podSelector": WEB}]}),
        "ingress",
    ),
    "everywhere instead of a peer": (ingress({"from": [{"podSelector": {}}]}), ingress({}), "ingress"),
    "an exception less": (
        ingress({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}),
        ingress({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}),
        "ingress",
    ),
    "another order of rules": (
        ingress({"ports": [{"port": 1}]}, {"ports": [{"port": 2}]}),
        ingress({"ports": [{"port": 2}]}, {"ports": [{"port": 1}]}),
        "ingress",
    ),
    "a type less": (DENY, {"podSelector": {}, "policyTypes": ["Ingress"]}, "policyTypes"),
    "a type more": (ingress(), DENY, "policyTypes"),
    "no types": (DENY, {"podSelector": {}}, "policyTypes"),
    "some pods instead of all": (DENY, {**DENY, "podSelector": WEB}, "podSelector"),
    "all pods instead of some": ({**DENY, "podSelector": WEB}, DENY, "podSelector"),
    "an expression more": (
        {**DENY, "podSelector": WEB},
        {**DENY, "podSelector": {**WEB, "matchExpressions": [{"key": "x", "operator": "Exists"}]}},
        "podSelector",
    ),
    "a label of a selector that is empty": (
        {**DENY, "podSelector": {"matchLabels": {"app": "web"}}},
        {**DENY, "podSelector": {"matchLabels": {"app": ""}}},
        "podSelector",
    ),
    "a field that we do not know": (DENY, {**DENY, "podSelektor": {}}, "spec"),
    "several fields": (
        DENY, {"podSelector": WEB, "policyTypes": ["Ingress"], "ingress": [{}]}, "podSelector, policyTypes, ingress",
    ),
    "no spec": (DENY, None, "podSelector, policyTypes, spec"),
    "a spec that is none": (DENY, "x", "podSelector, policyTypes, spec"),
}  # fmt: skip


@pytest.mark.parametrize(("wanted", "stored", "told"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_differs_is_told(wanted: Json, stored: Any, told: str) -> None:
    """By the fields that do, in one line."""
    assert difference(wanted_of(wanted), stored_of(stored)) == told


EQUAL: dict[str, tuple[Json, Json]] = {
    "nothing to fill in": (DENY, DENY),
    "empty lists are left out": ({**DENY, "ingress": [], "egress": []}, DENY),
    "empty lists are there": (DENY, {**DENY, "ingress": [], "egress": []}),
    "nulls are left out": ({**DENY, "ingress": None, "egress": None}, DENY),
    "no type is ingress": ({"podSelector": {}}, {"podSelector": {}, "policyTypes": ["Ingress"]}),
    "egress rules are a type": (
        {"egress": [{}]}, {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{}]},
    ),
    "TCP is filled in": (
        ingress({"ports": [{"port": 80}]}), ingress({"ports": [{"port": 80, "protocol": "TCP"}]}),
    ),
    "TCP for no port": (ingress({"ports": [{}]}), ingress({"ports": [{"protocol": "TCP"}]})),
    "TCP for a null": (
        ingress({"ports": [{"port": 80, "protocol": None}]}), ingress({"ports": [{"port": 80, "protocol": "TCP"}]}),
    ),
    "empty matchLabels of pods": ({"podSelector": {"matchLabels": {}}}, ingress()),
    "empty matchLabels of a peer": (
        ingress({"from": [{"podSelector": {"matchLabels": {}}}]}), ingress({"from": [{"podSelector": {}}]}),
    ),
    "empty matchExpressions": (
        ingress({"from": [{"podSelector": {"matchExpressions": []}}]}), ingress({"from": [{"podSelector": {}}]}),
    ),
    "empty from and ports": (ingress({"from": [], "ports": []}), ingress({})),
    "an empty except": (
        ingress({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": []}}]}),
        ingress({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}),
    ),
    "a null peer beside another": (
        ingress({"from": [{"podSelector": WEB, "namespaceSelector": None, "ipBlock": None}]}),
        ingress({"from": [{"podSelector": WEB}]}),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("wanted", "stored"), EQUAL.values(), ids=EQUAL.keys())
def test_what_the_api_server_fills_in_or_leaves_out_is_no_difference(wanted: Json, stored: Json) -> None:
    """The same policy, spelled otherwise."""
    assert difference(wanted_of(wanted), stored_of(stored)) == ""


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({}, id="none"),
        pytest.param({MANAGED_BY_LABEL: "portcullis"}, id="one-missing"),
        pytest.param({**LABELS, "team": "x"}, id="one-more"),
        pytest.param({**LABELS, BASELINE_LABEL: "mesh"}, id="another-baselines"),
        pytest.param({**LABELS, MANAGED_BY_LABEL: "Helm"}, id="another-manager"),
    ],
)
def test_the_labels_are_those_of_ours_alone(labels: dict[str, str]) -> None:
    """By a label more a selector of somebody's, a pruning GitOps tool's say, would find it."""
    assert difference(wanted_of(DENY), stored_of(DENY, labels=labels)) == "labels"


@pytest.mark.parametrize("what", ["annotations", "finalizers", "ownerReferences"])
def test_what_somebody_attached_is_a_difference(what: str) -> None:
    """An owner that goes would take it along, and an annotation may speak to a CNI."""
    thing = {"metadata": {"name": "zt.p", "namespace": "dev", "labels": LABELS, what: ["x"]}, "spec": DENY}
    live = LiveTree()
    live.put("NetworkPolicy", thing)
    policy = only(live)
    assert difference(wanted_of(DENY), policy) == what


def only(live: LiveTree) -> Policy:
    """Return the one policy that a tree without tenants holds."""
    ((policy,),) = live._policies.values()
    return policy


def test_everything_that_differs_is_told_at_once() -> None:
    """Spec, labels and what is attached."""
    stored = stored_of({**DENY, "ingress": [{}]}, labels={}, attached=("annotations", "finalizers"))
    assert difference(wanted_of(DENY), stored) == "ingress, labels, annotations, finalizers"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "TCP"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "ports", "matchLabels"]), inner),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(json_values, json_values)
def test_whatever_stands_can_be_compared(one: Any, other: Any) -> None:
    """Nothing that can be stored makes it fail; a policy is never different from itself, and it goes both ways."""
    left, right = {**DENY, "ingress": one or [{}]}, {**DENY, "ingress": other or [{}]}
    assert difference(raw(left), stored_of(left)) == ""
    assert difference(raw(left), stored_of(right)) == difference(raw(right), stored_of(left))


def raw(spec: Mapping[str, Any]) -> WantedPolicy:
    """Return a policy whose spec is as it is given."""
    return WantedPolicy("dev", "zt.p", "zt", spec, repairs=True)


# What a baseline no longer has.

INJECTED = stored_of(DENY)
SURPLUS: dict[str, tuple[Policy, set[str], set[str], bool]] = {
    "of a whole baseline and not wanted": (INJECTED, {"zt"}, {"zt.other"}, True),
    "the baseline has no policy left": (INJECTED, {"zt"}, set(), True),
    "wanted": (INJECTED, {"zt"}, {"zt.p"}, False),
    "its baseline is not there or does not apply": (INJECTED, set(), set(), False),
    "another baseline is whole": (INJECTED, {"mesh"}, {"mesh.p"}, False),
    "not managed by us": (stored_of(DENY, labels={BASELINE_LABEL: "zt"}), {"zt"}, set(), False),
    "managed by another": (stored_of(DENY, labels={**LABELS, MANAGED_BY_LABEL: "Helm"}), {"zt"}, set(), False),
    "of no baseline": (stored_of(DENY, labels={MANAGED_BY_LABEL: "portcullis"}), {"zt"}, set(), False),
    "labelled as another baseline's": (
        stored_of(DENY, labels={**LABELS, BASELINE_LABEL: "mesh"}), {"mesh"}, set(), False,
    ),
    "without the baseline in its name": (Policy("dev", "p", LABELS, DENY), {"zt"}, set(), False),
    "of a baseline that is called longer": (Policy("dev", "zt-2.p", LABELS, DENY), {"zt"}, set(), False),
    "an empty baseline": (Policy("dev", ".p", {**LABELS, BASELINE_LABEL: ""}, DENY), {"zt"}, set(), False),
    "of another kind": (stored_of(DENY, kind="CiliumNetworkPolicy"), {"zt"}, set(), False),
}  # fmt: skip


@pytest.mark.parametrize(("stored", "complete", "wanted", "gone"), SURPLUS.values(), ids=SURPLUS.keys())
def test_only_what_is_ours_and_of_a_whole_baseline_is_surplus(
    stored: Policy, complete: set[str], wanted: set[str], *, gone: bool
) -> None:
    """What is merely not there, a baseline above all, is never a reason to delete."""
    assert surplus(stored, frozenset(complete), frozenset(wanted)) == gone


def test_what_a_missing_baseline_brought_stays() -> None:
    """A baseline that is gone, or cannot be read, leaves its policies; one that lost a policy does not."""
    place = Place("dev", Standing.UNOWNED, baselines=("zt",))
    names = frozenset[str]()
    for known in ({}, {"zt": Baseline("zt", (), unreadable="NetworkBaseline zt cannot be read")}):
        assert not surplus(INJECTED, wanted_at(place, known).complete, names)
    assert surplus(INJECTED, wanted_at(place, {"zt": Baseline("zt", ())}).complete, names)


# What a real API server makes of it.

ROUND: dict[str, Json] = {
    "deny": DENY,
    "nothing-said": {},
    "nulls": {"podSelector": None, "policyTypes": None, "ingress": None, "egress": None},
    "empty-rules": {"podSelector": {}, "ingress": [{}], "egress": [{}]},
    "empty-parts": {
        "podSelector": {"matchLabels": {}, "matchExpressions": []},
        "ingress": [{"from": [], "ports": []}, {"from": None, "ports": None}],
        "egress": [{"to": [{"podSelector": {"matchLabels": {}}, "namespaceSelector": {}}]}],
    },
    "dns": {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [
            {
                "to": [
                    {
                        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
                    }
                ],
                "ports": [{"protocol": "UDP", "port": 53}, {"port": 53}],
            }
        ],
    },
    "ports": {
        "ingress": [
            {"ports": [{}, {"port": "http"}, {"port": 1, "endPort": 9}, {"protocol": None}, {"protocol": "SCTP"}]}
        ]
    },
    "addresses": {
        "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.0.0/16"]}}]}],
        "egress": [
            {"to": [{"ipBlock": {"cidr": "2001:db8::/32", "except": []}}, {"ipBlock": {"cidr": "0:0::/0"}}]},
        ],
    },
    "expressions": {
        "podSelector": {
            "matchLabels": {"a": "", "b": "c"},
            "matchExpressions": [
                {"key": "x", "operator": "In", "values": ["2", "1"]},
                {"key": "y", "operator": "Exists", "values": []},
                {"key": "z", "operator": "DoesNotExist", "values": None},
            ],
        }
    },
    "order": {"policyTypes": ["Egress", "Ingress"], "ingress": [{"ports": [{"port": 2}, {"port": 1}]}, {}]},
    "types-without-rules": {"policyTypes": ["Ingress"], "egress": [{"to": [{"podSelector": WEB}]}]},
    "a-null-label": {"podSelector": {"matchLabels": {"a": None, "b": "c"}}},
    "a-null-rule": {"podSelector": {}, "ingress": [None]},
    "a-null-peer-and-port": {"podSelector": {}, "ingress": [{"ports": [None]}]},
}  # fmt: skip


@pytest.fixture(scope="module")
def namespace(plane: Plane) -> Iterator[str]:
    """Make a namespace for the policies of this module."""
    plane.kubectl("create", "namespace", "difference")
    yield "difference"
    plane.kubectl("delete", "namespace", "difference", "--wait=false")


@pytest.mark.parametrize("spec", ROUND.values(), ids=ROUND.keys())
def test_what_was_applied_does_not_differ(spec: Json, plane: Plane, namespace: str) -> None:
    """What a real API server stores of a policy is equal to what it was sent, or it refuses to store it."""
    wanted = wanted_of(spec, namespace)
    stored = applied(plane, wanted)
    if stored is not None:
        assert difference(wanted, stored) == ""


def applied(plane: Plane, wanted: WantedPolicy) -> Policy | None:
    """Apply a policy as the controller does, and replace it so, too; None where the API server refuses it."""

    async def main() -> Json | None:
        async with connected(plane.kubeconfig("root")) as cluster:
            try:
                first = await cluster.apply(NETWORK_POLICIES, wanted.manifest())
            except ClusterError as error:
                assert error.status in {400, 422, 500}, error  # noqa: PT017 - any other is no refusal
                return None
            version = first["metadata"]["resourceVersion"]
            again = await cluster.replace(NETWORK_POLICIES, wanted.manifest(version))
            assert again["spec"] == first["spec"]
            await cluster.delete(
                NETWORK_POLICIES, wanted.name, wanted.namespace, version=again["metadata"]["resourceVersion"]
            )
            return again

    stored = asyncio.run(main())
    if stored is None:
        return None
    live = LiveTree()
    live.put("NetworkPolicy", stored)
    return only(live)


def test_the_specs_of_the_shipped_tree_do_not_differ(plane: Plane, namespace: str) -> None:
    """Nor do they when kubectl, not we, applied them: who sent it does not count."""
    for spec in (ROUND["deny"], ROUND["dns"]):
        wanted = wanted_of(spec, namespace)
        plane.kubectl("create", "--filename=-", stdin=json.dumps(wanted.manifest()))
        found = json.loads(plane.kubectl("get", "networkpolicy", wanted.name, "-n", namespace, "-o", "json").stdout)
        plane.kubectl("delete", "networkpolicy", wanted.name, "-n", namespace)
        live = LiveTree()
        live.put("NetworkPolicy", found)
        assert difference(wanted, only(live)) == ""
