"""The meaning of a CiliumNetworkPolicy, field by field, and of an update of one."""

from typing import Any

import pytest

from webhook.errors import UnreadableError
from webhook.reach.addresses import EVERYWHERE, Addresses, read_cidr
from webhook.reach.cilium import read_cilium_policy
from webhook.reach.facts import Reading, reach_of
from webhook.reach.policy import Rule
from webhook.selector import Requirement, Selector, read_selector

Json = dict[str, Any]

NAME = "kubernetes.io/metadata.name"
NAMESPACE = "k8s:io.kubernetes.pod.namespace"
LABELS = "io.cilium.k8s.namespace.labels."
TEN = ["10.0.0.0/8"]
WEB: Json = {"matchLabels": {"app": "web"}}
PORTS: list[Json] = [{"ports": [{"port": "80"}]}]
GET: list[Json] = [{"ports": [{"port": "80"}], "rules": {"http": [{"method": "GET"}]}}]


def policy(**spec: Any) -> Json:
    """Return a whole CiliumNetworkPolicy, for every pod unless it says otherwise."""
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "web", "namespace": "dev"},
        "spec": {"endpointSelector": {}, **spec},
        "status": {"conditions": []},
    }


def ingress_of(*rules: Json) -> tuple[Rule, ...]:
    """Return the ingress of a policy with these rules."""
    return read_cilium_policy(policy(ingress=list(rules))).ingress or ()


def labels(**values: str) -> Json:
    """Return a selector of labels; two underscores stand for a colon, one for a dot."""
    return {"matchLabels": {key.replace("__", ":").replace("_", "."): value for key, value in values.items()}}


def expression(key: str, operator: str, *values: str) -> Json:
    """Return a selector of one expression."""
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


RULES: dict[str, tuple[Json, Addresses, bool] | None] = {
    "an empty rule": None,
    "cidrs": ({"fromCIDR": [*TEN, "2001:db8::/32"]}, read_cidr(*TEN) | read_cidr("2001:db8::/32"), False),
    "an address alone": ({"fromCIDR": ["192.0.2.7"]}, read_cidr("192.0.2.7/32"), False),
    "a set without some": (
        {"fromCIDRSet": [{"cidr": "10.0.0.0/8", "except": ["10.128.0.0/9"]}]}, read_cidr("10.0.0.0/9"), False,
    ),
    "a set and cidrs": (
        {"fromCIDRSet": [{"cidr": "10.0.0.0/9"}], "fromCIDR": ["10.128.0.0/9"]}, read_cidr("10.0.0.0/8"), False,
    ),
    "the world": ({"fromEntities": ["world"]}, EVERYWHERE, False),
    "half the world": ({"fromEntities": ["world-ipv4"]}, Addresses(ipv4=EVERYWHERE.ipv4), False),
    "the other half": ({"fromEntities": ["host", "world-ipv6"]}, Addresses(ipv6=EVERYWHERE.ipv6), False),
    "all": ({"fromEntities": ["all"]}, EVERYWHERE, True),
    "the cluster": ({"fromEntities": ["cluster"]}, Addresses(), False),
    "nodes": ({"fromEntities": ["host", "remote-node", "health", "kube-apiserver", "none"]}, Addresses(), False),
    "endpoints": ({"fromEndpoints": [WEB]}, Addresses(), False),
    "ports alone": ({"toPorts": PORTS}, EVERYWHERE, True),
    "icmp alone": ({"icmps": [{"fields": [{"type": 8}]}]}, EVERYWHERE, True),
    "ports of nobody knows what": ({"toPorts": PORTS, "authentication": {"mode": "required"}}, EVERYWHERE, True),
    "ports and no names": ({"toPorts": PORTS, "toFQDNs": []}, EVERYWHERE, True),
    "no endpoints": ({"fromEndpoints": []}, EVERYWHERE, True),
    "no cidrs beside endpoints": ({"fromEndpoints": [WEB], "fromCIDR": []}, EVERYWHERE, True),
    "no sets": ({"fromCIDRSet": []}, EVERYWHERE, True),
    "no entities": ({"fromEntities": []}, EVERYWHERE, True),
    "null is absent": ({"fromEndpoints": None, "fromCIDR": TEN, "toPorts": None}, read_cidr(*TEN), False),
}  # fmt: skip


@pytest.mark.parametrize("wanted", RULES.values(), ids=RULES.keys())
def test_rules_open_what_they_mean(wanted: tuple[Json, Addresses, bool] | None) -> None:
    """The same in both directions; an empty rule only turns the default deny on."""
    rule, addresses, everybody = wanted or ({}, Addresses(), False)
    expected = [("spec.ingress[0]", addresses, everybody)] if wanted else []
    assert [(read.path, read.addresses, read.everybody) for read in ingress_of(rule)] == expected
    turned = {key.replace("from", "to") if key.startswith("from") else key: value for key, value in rule.items()}
    expected = [(path.replace("in", "e", 1), *rest) for path, *rest in expected]  # type: ignore[misc]  # the same three
    read = read_cilium_policy(policy(egress=[turned])).egress or ()
    assert [(each.path, each.addresses, each.everybody) for each in read] == expected


@pytest.mark.parametrize("field", ["toFQDNs", "toServices", "toGroups", "toNodes"])
def test_a_peer_that_is_not_understood_is_not_everybody(field: str) -> None:
    """It is told of; on its ports the rule does not count as open besides."""
    read = read_cilium_policy(policy(egress=[{"toPorts": PORTS, field: [{"x": "y"}]}]))
    assert (read.egress, list(read.not_understood)) == ((), [f"spec.egress[0].{field}"])


def test_both_directions_count() -> None:
    """Where nothing is said nothing is opened; a denial opens nothing either."""
    read = read_cilium_policy(policy(ingressDeny=[{"fromEntities": ["all"]}]))
    assert (read.pods, read.ingress, read.egress, read.not_understood) == (Selector(), (), (), {})


PEERS: dict[str, tuple[Json, Selector | None, Selector]] = {
    "everybody of its namespace": ({}, None, Selector()),
    "some of its namespace": (WEB, None, read_selector(WEB)),
    "with Kubernetes' source": (labels(k8s__app="web"), None, read_selector(WEB)),
    "with any source": (labels(any__app="web"), None, read_selector(WEB)),
    "of a namespace": ({"matchLabels": {NAMESPACE: "ops"}}, read_selector({"matchLabels": {NAME: "ops"}}), Selector()),
    "of a namespace without a source": (
        {"matchLabels": {"io.kubernetes.pod.namespace": "ops", "app": "web"}},
        read_selector({"matchLabels": {NAME: "ops"}}),
        read_selector(WEB),
    ),
    "of any namespace": (expression(NAMESPACE, "Exists"), read_selector(expression(NAME, "Exists")), Selector()),
    "of two": (expression(NAMESPACE, "In", "a", "b"), read_selector(expression(NAME, "In", "a", "b")), Selector()),
    "by labels of namespaces": (
        {"matchLabels": {f"k8s:{LABELS}team": "a"}}, read_selector({"matchLabels": {"team": "a"}}), Selector(),
    ),
    "by the workspace": (
        {"matchLabels": {f"{LABELS}portcullis.dev/workspace": "a"}},
        read_selector({"matchLabels": {"portcullis.dev/workspace": "a"}}),
        Selector(),
    ),
    "an account of its namespace": (
        labels(io_cilium_k8s_policy_serviceaccount="x"), None,
        read_selector(labels(io_cilium_k8s_policy_serviceaccount="x")),
    ),
    "a label that only begins like the namespace's": (
        {"matchLabels": {"io.kubernetes.pod.namespaces": "ops"}}, None,
        read_selector({"matchLabels": {"io.kubernetes.pod.namespaces": "ops"}}),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("peer", "namespaces", "pods"), PEERS.values(), ids=PEERS.keys())
def test_endpoints_are_pods_by_selectors(peer: Json, namespaces: Selector | None, pods: Selector) -> None:
    """Of the policy's own namespace, unless they speak of namespaces."""
    (rule,) = ingress_of({"fromEndpoints": [peer]})
    assert [(each.path, each.namespaces, each.pods) for each in rule.peers] == [
        ("spec.ingress[0].fromEndpoints[0]", namespaces, pods)
    ]


@pytest.mark.parametrize("entity", ["all", "cluster"])
def test_entities_that_are_every_pod(entity: str) -> None:
    """Of any namespace."""
    (rule,) = ingress_of({"fromEntities": [entity]})
    assert [(each.namespaces, each.pods) for each in rule.peers] == [(Selector(), Selector())]


@pytest.mark.parametrize("entity", ["init", "unmanaged"])
def test_entities_that_are_some_pods(entity: str) -> None:
    """Of any namespace, and fewer than all."""
    (rule,) = ingress_of({"fromEntities": [entity]})
    pods = Selector(frozenset({Requirement(f"reserved:{entity}", "Exists")}))
    assert [(each.namespaces, each.pods) for each in rule.peers] == [(Selector(), pods)]


@pytest.mark.parametrize("entity", ["host", "remote-node", "health", "kube-apiserver", "world", "none"])
def test_entities_that_are_no_pods(entity: str) -> None:
    """Nodes and what is outside of the cluster."""
    assert [rule.peers for rule in ingress_of({"fromEntities": [entity]})] == [()]


STRANGE = {
    "a reserved label": labels(reserved__world=""),
    "in its dotted spelling": labels(reserved_world=""),
    "in its short spelling": {"matchLabels": {"$world": ""}},
    "behind a source": {"matchLabels": {"any:$world": ""}},
    "dotted, behind a source": {"matchLabels": {"any:reserved.world": ""}},
    "another source": labels(cidr__x=""),
    "two sources": {"matchLabels": {"k8s:k8s:app": "web"}},
    "a key that Cilium cuts": {"matchLabels": {"app=x": "web"}},
    "what is reserved and absent": expression("reserved:host", "DoesNotExist"),
    "what has no namespace": expression(NAMESPACE, "DoesNotExist"),
    "what has another namespace": expression(NAMESPACE, "NotIn", "dev"),
    "what has no label of its namespace": expression(f"{LABELS}team", "DoesNotExist"),
    "what has another label of its namespace": expression(f"any:{LABELS}team", "NotIn", "a"),
    "another cluster": expression("io.cilium.k8s.policy.cluster", "NotIn", "a"),
}


@pytest.mark.parametrize("selector", STRANGE.values(), ids=STRANGE.keys())
def test_endpoints_that_may_be_more_than_pods_are_not_understood(selector: Json) -> None:
    """They could select the world; each is told by its place, and opens nothing that we could vouch for."""
    read = read_cilium_policy(policy(ingress=[{"fromEndpoints": [WEB, selector]}]))
    assert list(read.not_understood) == ["spec.ingress[0].fromEndpoints[1]"]
    assert [[peer.pods for peer in rule.peers] for rule in read.ingress or ()] == [[read_selector(WEB)]]
    read = read_cilium_policy(policy(endpointSelector=selector))
    assert (read.pods, list(read.not_understood)) == (None, ["spec.endpointSelector"])


def test_the_pods_are_those_of_the_endpoint_selector() -> None:
    """In any spelling; one that speaks of namespaces is not understood: Cilium puts the policy's own in its place."""
    assert read_cilium_policy(policy(endpointSelector=labels(k8s__app="web"))).pods == read_selector(WEB)
    read = read_cilium_policy(policy(endpointSelector={"matchLabels": {NAMESPACE: "dev"}}))
    assert (read.pods, list(read.not_understood)) == (None, ["spec.endpointSelector"])


UNKNOWN: dict[str, tuple[Json, list[str]]] = {
    "no spec": ({"kind": "CiliumNetworkPolicy", "metadata": {}}, ["spec.endpointSelector"]),
    "specs": ({**policy(), "specs": [{"ingress": [{"fromEntities": ["all"]}]}]}, ["specs"]),
    "nodes": (policy(endpointSelector=None, nodeSelector={}), ["spec.nodeSelector", "spec.endpointSelector"]),
    "no default deny": (policy(enableDefaultDeny={"ingress": False}), ["spec.enableDefaultDeny"]),
    "what it requires": (policy(ingress=[{"fromRequires": [WEB]}]), ["spec.ingress[0].fromRequires"]),
    "who has to prove it": (policy(ingress=[{}, {"authentication": {}}]), ["spec.ingress[1].authentication"]),
    "names": (policy(egress=[{"toFQDNs": [{"matchName": "x"}]}]), ["spec.egress[0].toFQDNs"]),
    "a group of cidrs": (
        policy(egress=[{"toCIDRSet": [{"cidrGroupRef": "x"}]}]),
        ["spec.egress[0].toCIDRSet[0].cidrGroupRef"],
    ),
    "an entity": (policy(ingress=[{"fromEntities": ["ingress"]}]), ["spec.ingress[0].fromEntities"]),
    "an entity in another case": (policy(ingress=[{"fromEntities": ["World"]}]), ["spec.ingress[0].fromEntities"]),
    "peers of the other direction": (
        policy(ingress=[{"toEndpoints": [{}], "toCIDR": TEN, "toEntities": ["all"], "toCIDRSet": []}]),
        [f"spec.ingress[0].to{each}" for each in ("Endpoints", "CIDR", "CIDRSet", "Entities")],
    ),
}


@pytest.mark.parametrize(("raw", "told"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_is_not_understood_is_told_by_its_place(raw: Json, told: list[str]) -> None:
    """The rest is read on."""
    assert list(read_cilium_policy(raw).not_understood) == told


BAD: dict[str, tuple[Json, str]] = {
    "spec is a list": ({"spec": []}, "spec cannot be read"),
    "spec is null": ({"spec": None}, "spec cannot be read"),
    "rules are an object": (policy(ingress={}), "spec.ingress cannot be read"),
    "a rule is null": (policy(ingress=[None]), "spec.ingress[0] cannot be read"),
    "endpoints are an object": (
        policy(ingress=[{"fromEndpoints": {}}]),
        "spec.ingress[0].fromEndpoints cannot be read",
    ),
    "a selector is a text": (policy(ingress=[{"fromEndpoints": ["x"]}]), "fromEndpoints[0] cannot be read"),
    "a selector cannot be read": (policy(endpointSelector={"matchLabels": []}), "matchLabels"),
    "a bad cidr": (policy(ingress=[{"fromCIDR": ["x"]}]), "spec.ingress[0].fromCIDR: 'x/32' is not a CIDR"),
    "a bad except": (
        policy(egress=[{"toCIDRSet": [{"cidr": "::/0", "except": ["::/129"]}]}]),
        "spec.egress[0].toCIDRSet[0]: '::/129'",
    ),
}


@pytest.mark.parametrize(("raw", "told"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_read_is_told(raw: Json, told: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(UnreadableError) as caught:
        read_cilium_policy(raw)
    assert told in str(caught.value)


def test_odd_addresses_are_told() -> None:
    """And an `except` outside of its block."""
    rule = {"fromCIDR": ["::ffff:10.0.0.0/104"], "fromCIDRSet": [{"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8"]}]}
    assert read_cilium_policy(policy(ingress=[rule])).malformed == (
        "spec.ingress[0].fromCIDR: ::ffff:10.0.0.0/104 is an IPv4-mapped IPv6 address, which some tools read as IPv6",
        "spec.ingress[0].fromCIDRSet[0]: except 11.0.0.0/8 is not inside 10.0.0.0/8",
    )


@pytest.mark.parametrize("depth", [300, 900])
def test_a_deep_object_is_a_fact(depth: int) -> None:
    """As deep as the envelope takes it, it is unreadable, not an error."""
    deep: Json = {}
    for _ in range(depth):
        deep = {"a": deep}
    for raw in (
        policy(x=deep),
        policy(ingress=[{"x": deep}]),
        policy(ingress=[{"toPorts": [deep]}]),
        policy(ingress=[{"fromEndpoints": [deep]}]),
        policy(ingressDeny=[deep]),
        {**policy(), "specs": deep},
    ):
        assert reach_of(raw, raw, (), Reading(kind=read_cilium_policy)).unreadable


# Updates.


def widens(old: Json, new: Json) -> bool:
    """Say whether an update opens more, or says more of what is not understood."""
    reach = reach_of(new, old, (), Reading(kind=read_cilium_policy))
    assert not reach.unreadable
    assert reach.ingress
    assert reach.egress
    return reach.ingress.widens or reach.egress.widens or not reach.not_understood_before


def of(*rules: Json, **more: Any) -> Json:
    """Return a policy of these ingress rules."""
    return policy(ingress=list(rules), **more)


NOBODY: Json = {"fromEndpoints": []}
CLUSTER: Json = {"fromEntities": ["cluster"]}
WORLD: Json = {"fromEntities": ["world"]}
EVERY_POD: Json = {"fromEndpoints": [expression(NAMESPACE, "Exists")]}
NAMES: Json = {"toFQDNs": [{"matchName": "x"}]}
WIDENED: dict[str, tuple[Json, Json]] = {
    "an empty rule opened nothing": (of({}), of(WORLD)),
    "an empty list opened nothing": (of(NOBODY), of({"fromEntities": ["all"]})),
    "an empty list on a port": (of({**NOBODY, "toPorts": PORTS}), of({"toPorts": PORTS})),
    "its own namespace became all": (of({"fromEndpoints": [{}]}), of(EVERY_POD)),
    "pods without labels yet became all": (of({"fromEntities": ["init"]}), of(CLUSTER)),
    "pods without Cilium became all": (of({"fromEntities": ["unmanaged"]}), of(EVERY_POD)),
    "the cluster became all": (of(CLUSTER), of({"fromEntities": ["all"]})),
    "the world became all": (of(WORLD), of({"fromEntities": ["all"]})),
    "half the world": (of({"fromEntities": ["world-ipv4"]}), of(WORLD)),
    "a port less is every port": (of({**WORLD, "toPorts": PORTS}), of(WORLD)),
    "another path": (of({**WORLD, "toPorts": GET}), of({**WORLD, "toPorts": PORTS})),
    "a denial less": (of(WORLD, ingressDeny=[{"fromCIDR": TEN}]), of(WORLD)),
    "another denial": (of(WORLD, egressDeny=[{"toCIDR": TEN}]), of(WORLD, egressDeny=[{"toCIDR": ["10.0.0.0/9"]}])),
    "what was required": (of({**CLUSTER, "fromRequires": [WEB]}), of(CLUSTER)),
    "who had to prove it": (of({**CLUSTER, "authentication": {"mode": "required"}}), of(CLUSTER)),
    "a field of a set": (of({"fromCIDRSet": [{"cidr": "10.0.0.0/8", "x": 1}]}), of({"fromCIDR": TEN})),
    "nodes that it was for": (policy(endpointSelector=None, ingress=[WORLD]), of(WORLD)),
    "no default deny": (of(WORLD, enableDefaultDeny={"ingress": True}), of(WORLD)),
    "names for more pods": (
        policy(endpointSelector=WEB, egress=[NAMES]), policy(egress=[NAMES]),
    ),
    "names on more ports": (policy(egress=[{**NAMES, "toPorts": PORTS}]), policy(egress=[NAMES])),
    "names behind a denial": (policy(egress=[NAMES], egressDeny=[{}]), policy(egress=[NAMES])),
    "names that were peers": (policy(egress=[{"toEntities": ["all"]}]), policy(egress=[NAMES])),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), WIDENED.values(), ids=WIDENED.keys())
def test_an_update_that_may_open_more_is_seen(old: Json, new: Json) -> None:
    """Never told to open nothing more."""
    assert widens(old, new)


NARROWED: dict[str, tuple[Json, Json]] = {
    "all becomes the cluster": (of({"fromEntities": ["all"]}), of(CLUSTER)),
    "all becomes the world": (of({"fromEntities": ["all"]}), of(WORLD)),
    "the cluster becomes pods": (of(CLUSTER), of({"fromEndpoints": [expression(NAMESPACE, "Exists")]})),
    "the cluster becomes new pods": (of(CLUSTER), of({"fromEntities": ["init"]})),
    "the world becomes addresses": (of(WORLD), of({"fromCIDR": TEN})),
    "a port": (of(WORLD), of({**WORLD, "toPorts": PORTS})),
    "a denial": (of(WORLD), of(WORLD, ingressDeny=[{"fromCIDR": TEN}])),
    "fewer pods": (of(WORLD), of(WORLD, endpointSelector=WEB)),
    "an empty list stays": (of(NOBODY, WORLD), of(NOBODY)),
    "names go": (policy(egress=[NAMES, {"toCIDR": TEN}]), policy(egress=[{"toCIDR": TEN}])),
    "names stay": (policy(egress=[{"toCIDR": TEN}, NAMES]), policy(egress=[NAMES])),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), NARROWED.values(), ids=NARROWED.keys())
def test_an_update_that_opens_no_more_is_seen(old: Json, new: Json) -> None:
    """What predates us can be narrowed step by step, and left as it is."""
    assert not widens(old, new)
    assert not widens(new, new)
    assert not widens(old, old)
