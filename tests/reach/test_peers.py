"""What policies open to pods and protected ranges: namespaces, borders, what an update adds, what is not understood."""

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.reach.test_facts import json_values
from webhook.model import Opening, Policy, PolicyKind, Reach
from webhook.reach.addresses import Addresses, read_cidr
from webhook.reach.facts import Meanings, Reading, reach_of
from webhook.reach.kinds import READERS
from webhook.reach.policy import MOST_TOLD
from webhook.selector import Selector, read_selector

# A machine that is busy with something else makes a test slow, not wrong.
THOROUGH = settings(max_examples=300, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
Json = dict[str, Any]
Labels = dict[str, str]

NAME = "kubernetes.io/metadata.name"
KINDS = tuple(READERS)


def facts(spec: Json, old: Json | None = None, reading: Reading | None = None) -> tuple[Opening, Opening]:
    """Return the facts of both directions of a policy that can be read."""
    reach = reach_of({"policyTypes": ["Ingress", "Egress"], **spec}, old, (), reading)
    assert reach.ingress, reach.unreadable
    assert reach.egress
    return reach.ingress, reach.egress


def from_namespaces(*selectors: Json | None) -> Json:
    """Return a policy that lets such namespaces in; None for the pods of its own."""
    peers: list[Json] = [{"podSelector": {}} if each is None else {"namespaceSelector": each} for each in selectors]
    return {"podSelector": {}, "ingress": [{"from": peers}]}


def expression(key: str, operator: str, *values: str) -> Json:
    """Return a selector of one expression."""
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


# Which selectors of namespaces are bounded.

BOUNDING = ["kubernetes.io/metadata.name", "portcullis.dev/workspace", "portcullis.dev/project"]


@pytest.mark.parametrize("key", BOUNDING)
@pytest.mark.parametrize("more", [{}, {"team": "a"}], ids=["alone", "beside-another"])
def test_a_selector_that_names_what_it_selects_is_bounded(key: str, more: Labels) -> None:
    """In `matchLabels` or with `In`, whatever stands beside it."""
    for selector in ({"matchLabels": {key: "x", **more}}, {**expression(key, "In", "x", "y"), "matchLabels": more}):
        assert facts(from_namespaces(selector))[0].open_namespaces == ()


OPEN: dict[str, Json] = {
    "everything": {},
    "null": {"matchLabels": None, "matchExpressions": None},
    "a label of anybody's": {"matchLabels": {"team": "a"}},
    "the organization": {"matchLabels": {"portcullis.dev/organization": "acme"}},
    "the gate": {"matchLabels": {"portcullis.dev/gate": "enforced"}},
    "the name in another case": {"matchLabels": {"Kubernetes.io/metadata.name": "x"}},
    **{
        f"{key} {operator}": expression(key, operator, *values)
        for key in BOUNDING
        for operator, values in {"Exists": (), "DoesNotExist": (), "NotIn": ("x",)}.items()
    },
}


@pytest.mark.parametrize("selector", OPEN.values(), ids=OPEN.keys())
def test_a_selector_that_names_nothing_is_open(selector: Json) -> None:
    """In both directions, told by its place, also beside a podSelector."""
    spec = from_namespaces(None, {"matchLabels": {NAME: "x"}}, selector)
    ingress, egress = facts(spec)
    assert (ingress.open_namespaces, egress.open_namespaces) == (("spec.ingress[0].from[2]",), ())
    out = {"egress": [{"to": [{"podSelector": {"matchLabels": {"app": "a"}}, "namespaceSelector": selector}]}]}
    assert facts(out)[1].open_namespaces == ("spec.egress[0].to[0]",)


def test_pods_of_its_own_namespace_and_addresses_open_no_namespaces() -> None:
    """Nor does a rule that names nobody: that is told as such."""
    ingress, _ = facts({"ingress": [{"from": [{"podSelector": {}}, {"ipBlock": {"cidr": "0.0.0.0/0"}}]}, {}]})
    assert (ingress.open_namespaces, ingress.crossing, ingress.unbounded) == ((), (), ("spec.ingress[1]",))


def test_every_kind_opens_namespaces() -> None:
    """Whichever way it says so."""
    cilium = {"spec": {"endpointSelector": {}, "ingress": [{"fromEntities": ["cluster"]}]}}
    calico = {"spec": {"ingress": [{"action": "Allow", "source": {"namespaceSelector": "all()"}}]}}
    for kind, raw, path in (
        ("CiliumNetworkPolicy", cilium, "spec.ingress[0].fromEntities"),
        ("NetworkPolicy.projectcalico.org", calico, "spec.ingress[0].source"),
    ):
        reach = reach_of(raw, None, (), Reading(kind=READERS[kind]))
        assert reach.ingress
        assert reach.ingress.open_namespaces == (path,)
        assert reach.ingress.crossing


# What leaves the project.


def test_each_selector_is_asked_once_and_told_by_its_place() -> None:
    """Of ten thousand peers with one selector the tree is asked of one; those of the own namespace are not asked of."""
    asked: list[Selector] = []

    def crosses(selector: Selector) -> str:
        asked.append(selector)
        return "leaves" if selector.requirements else ""

    reading = Reading(crosses=crosses)
    one, other = {"matchLabels": {"a": "b"}}, {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}
    ingress, egress = facts(from_namespaces(None, one, other, {}, one), reading=reading)
    assert ingress.crossing == tuple(f"spec.ingress[0].from[{index}] leaves" for index in (1, 2, 4))
    assert egress.crossing == ()
    assert len(asked) == 2


def test_nobody_to_ask_is_no_permission() -> None:
    """Without a tree every selector of namespaces may leave the project."""
    (line,) = facts(from_namespaces({"matchLabels": {NAME: "x"}}))[0].crossing
    assert line == "spec.ingress[0].from[0] can match namespaces that nobody has looked up"


def test_no_more_places_are_told_than_anybody_reads() -> None:
    """However many there are."""
    ingress, _ = facts(from_namespaces(*[{"matchLabels": {"a": str(number)}} for number in range(MOST_TOLD + 5)]))
    assert len(ingress.open_namespaces) == len(ingress.crossing) == MOST_TOLD
    ingress, _ = facts({"ingress": [{}] * (MOST_TOLD + 5)})
    assert len(ingress.unbounded) == MOST_TOLD


# Protected ranges.

METADATA = "169.254.169.254/32"
PROTECTED = {cidr: read_cidr(cidr) for cidr in (METADATA, "fd00:ec2::254/128", "10.0.0.0/24", "10.0.1.0/24")}


def led_into(*rules: Json) -> dict[str, str]:
    """Return the ranges that egress rules lead into, by the path of the first."""
    _, egress = facts({"egress": list(rules)}, reading=Reading(protected=PROTECTED))
    assert list(egress.protected) == list(PROTECTED)
    return {cidr: path for cidr, path in egress.protected.items() if path}


def to_block(cidr: str, *excepted: str) -> Json:
    """Return an egress rule to a block."""
    return {"to": [{"ipBlock": {"cidr": cidr, "except": list(excepted)}}]}


FIRST = "spec.egress[0]"
LEADING: dict[str, tuple[list[Json], dict[str, str]]] = {
    "nothing": ([], {}),
    "pods": ([{"to": [{"namespaceSelector": {}}]}], {}),
    "elsewhere": ([to_block("192.0.2.0/24")], {}),
    "the address": ([to_block(METADATA)], {METADATA: FIRST}),
    "around it": ([to_block("169.254.0.0/16")], {METADATA: FIRST}),
    "but not it": ([to_block("169.254.0.0/16", METADATA)], {}),
    "but not around it": ([to_block("0.0.0.0/0", "169.254.0.0/16", "10.0.0.0/8")], {}),
    "excepted here, not there": ([to_block("169.254.0.0/16", METADATA), to_block("169.254.128.0/17")],
                                 {METADATA: "spec.egress[1]"}),
    "a part of a range": ([to_block("10.0.0.7/32")], {"10.0.0.0/24": FIRST}),
    "a part of one, and all but a part of another": (
        [to_block("10.0.0.0/23", "10.0.0.0/24", "10.0.1.0/25")], {"10.0.1.0/24": FIRST},
    ),
    "two ranges by two rules": ([to_block("192.0.2.0/24"), to_block("10.0.1.0/24"), to_block("10.0.0.0/16")],
                                {"10.0.0.0/24": "spec.egress[2]", "10.0.1.0/24": "spec.egress[1]"}),
    "everybody": ([{}], dict.fromkeys(PROTECTED, FIRST)),
    "everybody on a port": ([{"ports": [{"port": 80}]}], dict.fromkeys(PROTECTED, FIRST)),
    "IPv6": ([to_block("fd00::/8")], {"fd00:ec2::254/128": FIRST}),
    "mapped": ([to_block("::ffff:169.254.169.254/128")], {METADATA: FIRST}),
    "with leading zeros": ([to_block("0169.254.169.254/32")], {METADATA: FIRST}),
}  # fmt: skip


@pytest.mark.parametrize(("rules", "led"), LEADING.values(), ids=LEADING.keys())
def test_egress_into_a_protected_range_is_told(rules: list[Json], led: dict[str, str]) -> None:
    """In part or whole, by the first rule that leads there; every range has its answer."""
    assert led_into(*rules) == led


def test_ingress_leads_nowhere() -> None:
    """Where something comes from is no range that it reaches."""
    ingress, egress = facts({"ingress": [{}]}, reading=Reading(protected=PROTECTED))
    assert (ingress.protected, set(egress.protected.values())) == ({}, {""})


blocks = st.integers(0, 15).map(lambda octet: f"10.0.{octet // 4}.{octet % 4 * 64}/26") | st.sampled_from(
    ["10.0.0.0/23", "10.0.1.0/24", "10.0.2.0/23", "11.0.0.0/8"]
)


@THOROUGH
@given(
    st.lists(st.tuples(blocks, st.lists(blocks, max_size=2)), max_size=5),
    st.dictionaries(blocks, st.none(), max_size=6),
)
def test_every_protected_range_has_the_path_of_the_first_rule_into_it(
    rules: list[tuple[str, list[str]]], protected: dict[str, None]
) -> None:
    """However many lead there."""
    ranges = {cidr: read_cidr(cidr) for cidr in protected}
    spec = {"egress": [to_block(cidr, *excepted) for cidr, excepted in rules]}
    _, egress = facts(spec, reading=Reading(protected=ranges))

    def opened(cidr: str, excepted: list[str]) -> Addresses:
        left = read_cidr(cidr)
        for each in excepted:
            left -= read_cidr(each)
        return left

    for cidr, addresses in ranges.items():
        into = [index for index, rule in enumerate(rules) if opened(*rule) - (opened(*rule) - addresses)]
        assert egress.protected[cidr] == (f"spec.egress[{into[0]}]" if into else "")


def test_many_ranges_and_rules_are_told_quickly() -> None:
    """Who protects 768 ranges and who names 5,000 blocks keep nobody waiting."""
    protected = {f"10.{n >> 8}.{n & 255}.0/32": read_cidr(f"10.{n >> 8}.{n & 255}.0/32") for n in range(768)}
    rules = [to_block(f"11.{n >> 8}.{n & 255}.0/24") for n in range(5_000)]
    begin = time.process_time()
    _, egress = facts({"egress": [*rules, to_block("10.0.0.0/8")]}, reading=Reading(protected=protected))
    assert set(egress.protected.values()) == {"spec.egress[5000]"}
    assert time.process_time() - begin < 2


# What an update opens to pods that the old object did not: every flow from every pod to every pod, block and port.

PODS: list[Labels] = [{}, {"app": "a"}, {"app": "b"}, {"app": "c"}]
NAMESPACES: dict[str, Labels] = {"own": {"team": "a"}, "one": {"team": "a"}, "two": {"team": "b"}, "three": {}}
BLOCKS = ["10.0.0.0/8", "11.0.0.0/8"]
PORTS: list[Json] = [{"port": 80}, {"port": 443}]

pods: st.SearchStrategy[Json] = st.one_of(
    st.just({}),
    st.sampled_from(["a", "b"]).map(lambda app: {"matchLabels": {"app": app}}),
    st.sampled_from(["Exists", "DoesNotExist"]).map(lambda operator: expression("app", operator)),
    st.sampled_from(["In", "NotIn"]).map(lambda operator: expression("app", operator, "a", "b")),
)
of_namespaces: st.SearchStrategy[Json] = st.one_of(
    st.just({}),
    st.sampled_from(["a", "b"]).map(lambda team: {"matchLabels": {"team": team}}),
    st.just(expression("team", "Exists")),
    st.just({"matchLabels": {NAME: "one"}}),
    st.just(expression(NAME, "In", "one", "two")),
)
peers: st.SearchStrategy[Json] = st.one_of(
    pods.map(lambda each: {"podSelector": each}),
    of_namespaces.map(lambda each: {"namespaceSelector": each}),
    st.builds(lambda one, other: {"podSelector": one, "namespaceSelector": other}, pods, of_namespaces),
    st.sampled_from(BLOCKS).map(lambda cidr: {"ipBlock": {"cidr": cidr}}),
)
rules = st.fixed_dictionaries(
    {"from": st.lists(peers, max_size=3), "ports": st.lists(st.sampled_from(PORTS), max_size=2)}
)
specs = st.fixed_dictionaries({"podSelector": pods, "ingress": st.lists(rules, max_size=3)})


def matched(peer: Json) -> set[str]:
    """Return the blocks, or the pods of namespaces, that a peer stands for."""
    if "ipBlock" in peer:
        return {peer["ipBlock"]["cidr"]}
    of = read_selector(peer["namespaceSelector"]) if "namespaceSelector" in peer else None
    selected = read_selector(peer.get("podSelector"))
    return {
        f"{name} {number}"
        for name, labels in NAMESPACES.items()
        if (name == "own" if of is None else of.matches({**labels, NAME: name}))
        for number, pod in enumerate(PODS)
        if selected.matches(pod)
    }


EVERYBODY = {
    *BLOCKS,
    "the rest of the world",
    *(f"{name} {number}" for name in NAMESPACES for number in range(len(PODS))),
}


def flows(spec: Json) -> set[tuple[int, str, str]]:
    """Return all that a policy opens."""
    return {
        (number, source, port)
        for number, pod in enumerate(PODS)
        if read_selector(spec["podSelector"]).matches(pod)
        for rule in spec["ingress"]
        for source in (set[str]().union(*map(matched, rule["from"])) if rule["from"] else EVERYBODY)
        for port in ([str(each) for each in rule["ports"]] or [*map(str, PORTS), "another"])
    }


@settings(THOROUGH, max_examples=600)
@given(specs, specs)
def test_an_update_that_opens_more_to_pods_is_seen(old: Json, new: Json) -> None:
    """Whatever pod, peer and port the new object opens and the old one did not, `widens` is true."""
    if flows(new) - flows(old):
        assert facts(new, old)[0].widens


@settings(THOROUGH, max_examples=600)
@given(specs, st.data())
def test_taking_peers_away_widens_nothing(old: Json, data: st.DataObject) -> None:
    """Fewer rules, peers and ports, and peers that are fewer pods: what predates us can be narrowed step by step."""
    kept = data.draw(st.lists(st.sampled_from(old["ingress"]), max_size=2)) if old["ingress"] else []
    fewer = [{**rule, "from": rule["from"][:1], "ports": rule["ports"][:1]} for rule in kept]
    for rule in fewer:
        for peer in rule["from"]:
            if peer.get("podSelector") == {} and data.draw(st.booleans()):
                rule["from"] = [{**peer, "podSelector": data.draw(pods)}]
    assert not facts({**old, "ingress": fewer}, old)[0].widens
    assert not facts(old, old)[0].widens


UPDATES: dict[str, tuple[Json, Json, bool]] = {
    "more pods": ({"podSelector": {"matchLabels": {"app": "a"}}}, {"podSelector": {}}, True),
    "fewer pods": ({"podSelector": {}}, {"podSelector": {"matchLabels": {"app": "a"}}}, False),
    "its own namespace becomes all": ({"podSelector": {}}, {"namespaceSelector": {}}, True),
    "all become its own": ({"namespaceSelector": {}}, {"podSelector": {}}, True),
    "all become one": ({"namespaceSelector": {}}, {"namespaceSelector": {"matchLabels": {NAME: "x"}}}, False),
    "two become one": (
        {"namespaceSelector": expression(NAME, "In", "a", "b")},
        {"namespaceSelector": {"matchLabels": {NAME: "a"}}},
        False,
    ),
    "addresses are no pods": ({"ipBlock": {"cidr": "0.0.0.0/0"}}, {"podSelector": {}}, True),
    "pods are no addresses": ({"namespaceSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}, True),
}


@pytest.mark.parametrize(("old", "new", "widens"), UPDATES.values(), ids=UPDATES.keys())
def test_peers_are_compared_by_what_they_select(old: Json, new: Json, *, widens: bool) -> None:
    """Pods with pods, addresses with addresses; in doubt it is wider."""
    before, after = ({"podSelector": {}, "ingress": [{"from": [each]}]} for each in (old, new))
    assert facts(after, before)[0].widens == widens


def test_a_rule_that_named_nobody_covers_every_peer() -> None:
    """On its ports."""
    before = {"ingress": [{"ports": [{"port": 80}]}]}
    for ports, widens in (([{"port": 80}], False), ([{"port": 81}], True), ([], True)):
        after = {"ingress": [{"from": [{"namespaceSelector": {}}], "ports": ports}]}
        assert facts(after, before)[0].widens == widens


def test_more_peers_than_are_compared_count_as_wider() -> None:
    """Thousands that are new are not compared one by one; those that stay are known at once."""
    many = from_namespaces(*[{"matchLabels": {"a": str(number)}} for number in range(3_000)])
    fresh = from_namespaces(*[{"matchLabels": {"a": str(number), "b": "c"}} for number in range(3_000)])
    begin = time.process_time()
    assert not facts(many, many)[0].widens
    assert facts(fresh, many)[0].widens
    assert time.process_time() - begin < 5


# What is not understood, in the policy and beside it.

CILIUM = READERS["CiliumNetworkPolicy"]


def cilium(**spec: Any) -> Json:
    """Return a whole CiliumNetworkPolicy."""
    return {"kind": "CiliumNetworkPolicy", "spec": {"endpointSelector": {}, **spec}}


def test_what_is_not_understood_is_told_and_the_rest_is_judged() -> None:
    """A new object says it for the first time, an update as before, or not."""
    names = cilium(egress=[{"toFQDNs": [{"matchName": "x"}]}, {"toEntities": ["world"]}])
    reach = reach_of(names, None, (), Reading(kind=CILIUM))
    assert (reach.not_understood, reach.not_understood_before) == (("spec.egress[0].toFQDNs",), False)
    assert reach.egress
    assert reach.egress.ipv4 == 1
    assert reach_of(names, names, (), Reading(kind=CILIUM)).not_understood_before
    other = cilium(egress=[{"toFQDNs": [{"matchName": "y"}]}])
    assert not reach_of(names, other, (), Reading(kind=CILIUM)).not_understood_before
    assert not reach_of(names, {"spec": []}, (), Reading(kind=CILIUM)).not_understood_before
    many = cilium(**{f"x{number}": 1 for number in range(MOST_TOLD + 5)})
    assert len(reach_of(many, None, (), Reading(kind=CILIUM)).not_understood) == MOST_TOLD


def test_where_everything_is_understood_nothing_was_said_before() -> None:
    """There is nothing to be afraid of, whatever the old object was."""
    before: list[Json | None] = [None, cilium(x=1), {"spec": []}]
    for old in before:
        reach = reach_of(cilium(), old, (), Reading(kind=CILIUM))
        assert (reach.not_understood, reach.not_understood_before) == ((), True)


def test_what_is_not_understood_beside_it_is_told_by_its_policy() -> None:
    """By kind, name and place; no more of it than anybody reads."""
    kinds: list[PolicyKind] = ["CiliumNetworkPolicy", "NetworkPolicy.projectcalico.org", "NetworkSet.projectcalico.org"]
    beside = [
        Policy("dev", f"p{index}", {}, {"spec": {"endpointSelector": {}, "x": 1}}, kind)
        for index, kind in enumerate(kinds)
    ]
    reach = reach_of({"ingress": [{}]}, None, beside)
    assert reach.not_understood_beside == (
        "CiliumNetworkPolicy p0, which stands in the namespace: spec.x",
        "NetworkPolicy p1, which stands in the namespace: spec.endpointSelector",
        "NetworkPolicy p1, which stands in the namespace: spec.x",
        "NetworkSet p2, which stands in the namespace: spec.endpointSelector",
        "NetworkSet p2, which stands in the namespace: spec.x",
    )
    assert reach.ingress
    many = [
        Policy("dev", "p", {}, cilium(**{f"x{number}": 1 for number in range(MOST_TOLD + 5)}), "CiliumNetworkPolicy")
    ]
    assert len(reach_of({}, None, many * 2).not_understood_beside) == MOST_TOLD


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("CiliumNetworkPolicy", cilium(ingress=[{"fromCIDR": ["0.0.0.0/3"]}])),
        ("CiliumNetworkPolicy", {"spec": {"ingress": [{"fromCIDR": ["0.0.0.0/3"]}]}}),
        (
            "NetworkPolicy.crd.projectcalico.org",
            {"spec": {"ingress": [{"action": "Allow", "source": {"nets": ["0.0.0.0/3"]}}]}},
        ),
        (
            "NetworkPolicy.projectcalico.org",
            {"spec": {"selector": "a || b", "ingress": [{"action": "Pass", "source": {"nets": ["0.0.0.0/3"]}}]}},
        ),
        ("NetworkSet.projectcalico.org", {"spec": {"nets": ["0.0.0.0/3"]}}),
    ],
    ids=["cilium", "cilium-for-any-pod", "calico", "calico-for-any-pod", "calico-set"],
)
def test_policies_of_every_kind_add_up(kind: PolicyKind, raw: Json) -> None:
    """With Kubernetes' own, for pods that both can select; one whose pods are not understood is for any."""
    spec = {"podSelector": {"matchLabels": {"app": "a"}}, "ingress": [{"from": [{"ipBlock": {"cidr": "32.0.0.0/3"}}]}]}
    reach = reach_of(spec, None, [Policy("dev", "standing", {}, raw, kind)])
    assert reach.ingress
    assert (reach.ingress.ipv4, reach.ingress.joint_ipv4, reach.ingress.joint_with) == (0.125, 0.25, ("standing",))


# Whatever is sent is a fact.

CNI_FIELDS = (
    "spec", "specs", "endpointSelector", "ingress", "egress", "ingressDeny", "fromEndpoints", "fromCIDR", "fromCIDRSet",
    "fromEntities", "toEndpoints", "toPorts", "icmps", "toFQDNs", "cidr", "except", "matchLabels", "matchExpressions",
    "key", "operator", "values", "selector", "types", "order", "tier", "action", "source", "destination", "nets",
    "notNets", "notSelector", "namespaceSelector", "ports", "protocol", "metadata", "labels", "annotations",
)  # fmt: skip
CNI_WORDS = (
    "Allow",
    "Deny",
    "Pass",
    "all",
    "world",
    "all()",
    "a == 'b'",
    "a || b",
    "10.0.0.0/8",
    "Ingress",
    "k8s:a",
    "In",
)
cni_values = st.recursive(
    json_values | st.sampled_from(CNI_WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(CNI_FIELDS), inner, max_size=4),
    max_leaves=15,
)
cni_rules = st.lists(
    st.fixed_dictionaries(
        {"action": st.sampled_from(["Allow", "Deny", "Pass", "Log"])},
        optional=dict.fromkeys(("source", "destination", "fromEndpoints", "fromEntities", "toPorts", "x"), cni_values),
    ),
    max_size=3,
)
cni_objects = st.fixed_dictionaries(
    {
        "spec": st.fixed_dictionaries(
            {"endpointSelector": st.just({}) | cni_values},
            optional={
                "ingress": cni_rules | cni_values,
                "egress": cni_rules,
                "selector": cni_values,
                "nets": cni_values,
                "types": cni_values,
            },
        )
    },
    optional={"specs": cni_values},
) | st.fixed_dictionaries({"spec": cni_values})


@settings(THOROUGH, max_examples=500)
@given(st.sampled_from(KINDS), cni_objects, st.none() | cni_objects, st.sampled_from(KINDS), cni_objects)
def test_any_object_of_any_kind_gives_facts(
    kind: str, raw: Json, old: Json | None, other: PolicyKind, beside: Json
) -> None:
    """Nothing is raised; and who says the same again opens no more."""
    standing = [Policy("dev", "p", {}, beside, other)]
    reading = Reading(kind=READERS[kind], meanings=Meanings(), protected=PROTECTED)
    assert isinstance(reach_of(raw, old, standing, reading), Reach)
    again = reach_of(raw, raw, (), reading)
    if not again.unreadable:
        assert (again.malformed_before, again.not_understood_before) == (True, True)
        assert not any(opening.widens for opening in (again.ingress, again.egress) if opening)


@pytest.mark.parametrize("count", [1_000])
def test_how_long_a_large_policy_takes(count: int) -> None:
    """Told, not asserted: machines differ, and `make bench` has the bound."""
    cidrs = {"egress": [{"to": [{"ipBlock": {"cidr": f"10.{n >> 8}.{n & 255}.0/24"}} for n in range(count)]}]}
    wide = from_namespaces(*[{"matchLabels": {NAME: f"n{number}"}} for number in range(10 * count)])
    for name, spec, old in (
        ("CIDRs", cidrs, None),
        ("the same CIDRs again", cidrs, cidrs),
        ("peers", wide, None),
        ("the same peers", wide, wide),
    ):
        begin = time.perf_counter()
        facts(spec, old, Reading(protected=PROTECTED))
        print(f"{name}: {(time.perf_counter() - begin) * 1000:.0f} ms")  # noqa: T201 - a figure for people
