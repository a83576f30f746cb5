"""What policies open, alone and together, compared with counting pod by pod, address by address and port by port."""

import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook.model import Opening, Policy, Reach
from webhook.reach.facts import RANGES, STEPS, reach_of
from webhook.selector import read_selector

# A machine that is busy with something else makes a test slow, not wrong.
THOROUGH = settings(max_examples=200, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
Json = dict[str, Any]
Labels = dict[str, str]

# The world: pods with every map of these labels; of the addresses eight blocks of IPv4 and eight of 2000::/3.
VALUES: dict[str, tuple[str, ...]] = {"app": ("a", "b"), "tier": ("x",)}
PODS: list[Labels] = [
    {key: value for key, value in zip(VALUES, values, strict=True) if value}
    for values in product(*(("", *each, "another") for each in VALUES.values()))
]
IPV4 = [f"{32 * block}.0.0.0/3" for block in range(8)]
IPV6 = [f"{0x2000 + 0x400 * block:x}::/6" for block in range(8)]
EVERY_BLOCK = frozenset([*IPV4, *IPV6, "what is not routed"])
PORTS: list[Json] = [{"port": 80}, {"port": 443, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]
OTHER_PORT = -1
"""Every port that no policy here names."""

keys = st.sampled_from(sorted(VALUES))
requirements = keys.flatmap(
    lambda key: st.one_of(
        st.fixed_dictionaries(
            {
                "key": st.just(key),
                "operator": st.sampled_from(["In", "NotIn"]),
                "values": st.lists(st.sampled_from(VALUES[key]), min_size=1, max_size=2),
            }
        ),
        st.fixed_dictionaries({"key": st.just(key), "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
    )
)
selectors: st.SearchStrategy[Json] = st.one_of(
    st.just({}),
    st.sampled_from(["a", "b"]).map(lambda app: {"matchLabels": {"app": app}}),
    st.lists(requirements, max_size=2).map(lambda each: {"matchExpressions": each}),
)
blocks = st.sampled_from(IPV4 + IPV6)
peers: st.SearchStrategy[Json] = st.one_of(
    blocks.map(lambda cidr: {"ipBlock": {"cidr": cidr}}),
    st.sets(st.sampled_from(IPV4), max_size=7).map(
        lambda without: {"ipBlock": {"cidr": "0.0.0.0/0", "except": sorted(without)}}
    ),
    st.just({"podSelector": {}}),
)


def rules_on(ports: st.SearchStrategy[list[Json]]) -> st.SearchStrategy[list[Json]]:
    """Make lists of ingress rules on such ports."""
    named = st.fixed_dictionaries({"from": st.lists(peers, min_size=1, max_size=3), "ports": ports})
    return st.lists(st.one_of(named, named, named, st.fixed_dictionaries({"ports": ports})), max_size=3)


def specs_of(rules: st.SearchStrategy[list[Json]]) -> st.SearchStrategy[Json]:
    """Make specs of ingress policies."""
    return st.fixed_dictionaries({"podSelector": selectors, "ingress": rules})


any_ports = st.lists(st.sampled_from(PORTS), max_size=2)
one_port = st.lists(st.sampled_from(PORTS), max_size=1)
specs = specs_of(rules_on(any_ports))
narrow_specs = specs_of(st.lists(st.fixed_dictionaries({"from": st.lists(peers, min_size=1, max_size=1)}), max_size=2))


def policies(*specs: Json) -> list[Policy]:
    """Return policies that stand in the namespace: p0, p1, …"""
    return [Policy("checkout-dev", f"p{index}", {}, spec) for index, spec in enumerate(specs)]


def blocks_of(rule: Json) -> frozenset[str]:
    """Return the blocks that a rule opens, by the words of Kubernetes' documentation."""
    if not rule.get("from"):
        return EVERY_BLOCK
    opened: set[str] = set()
    for peer in rule["from"]:
        block = peer.get("ipBlock", {})
        if block.get("cidr") == "0.0.0.0/0":
            opened |= set(IPV4) - set(block.get("except", []))
        elif block:
            opened.add(block["cidr"])
    return frozenset(opened)


def blocks_of_all(spec: Json) -> frozenset[str]:
    """Return the blocks that a policy opens."""
    return frozenset[str]().union(*map(blocks_of, spec["ingress"]))


def selects(spec: Json, pod: Labels) -> bool:
    """Say whether a policy is for the pod; tests/test_selector.py shows that `matches` is right."""
    return read_selector(spec["podSelector"]).matches(pod)


def shares(opened: Iterable[str]) -> tuple[float, float]:
    """Return the shares of IPv4 and of 2000::/3."""
    opened = set(opened)
    return len(opened & set(IPV4)) / 8, len(opened & set(IPV6)) / 8


def joint_shares(spec: Json, standing: Iterable[Json]) -> tuple[float, float]:
    """Return the most that some pod of the policy gets from all policies that select it."""
    alone = blocks_of_all(spec)
    if not alone:
        return 0.0, 0.0
    reached = [shares(alone)]
    reached += [
        shares(alone.union(*(blocks_of_all(each) for each in standing if selects(each, pod))))
        for pod in PODS
        if selects(spec, pod)
    ]
    return max(ipv4 for ipv4, _ in reached), max(ipv6 for _, ipv6 in reached)


def peers_of(rule: Json) -> frozenset[str]:
    """Return the blocks that a rule opens, and whether it opens the pods of its namespace."""
    pods = not rule.get("from") or any("podSelector" in peer for peer in rule["from"])
    return blocks_of(rule) | ({"own pods"} if pods else frozenset())


def packets(spec: Json) -> set[tuple[int, str, str]]:
    """Return every (pod, block or pods, port) that a policy opens."""
    every_port = [str(port) for port in (*PORTS, OTHER_PORT)]
    return {
        (number, block, port)
        for number, pod in enumerate(PODS)
        if selects(spec, pod)
        for rule in spec["ingress"]
        for block in peers_of(rule)
        for port in ([str(each) for each in rule.get("ports", [])] or every_port)
    }


def ingress(spec: object, old: object = None, standing: Iterable[Policy] = ()) -> Opening:
    """Return the facts of the ingress of a policy that can be read."""
    reach = reach_of(spec, old, tuple(standing))
    assert not reach.unreadable
    assert reach.ingress
    return reach.ingress


@THOROUGH
@given(specs)
def test_alone_a_policy_opens_the_sum_of_its_rules(spec: Json) -> None:
    """The shares of the policy itself are those of its blocks, whatever the ports."""
    opening = ingress(spec)
    assert (opening.ipv4, opening.ipv6) == shares(blocks_of_all(spec))
    assert (opening.joint_ipv4, opening.joint_ipv6) == (opening.ipv4, opening.ipv6)
    assert opening.joint_with == ()


@THOROUGH
@given(narrow_specs, st.lists(narrow_specs, max_size=6))
def test_together_policies_open_what_the_most_open_pod_gets(spec: Json, standing: list[Json]) -> None:
    """The joint shares are the largest that any pod of the policy gets from all policies that select it."""
    opening = ingress(spec, standing=policies(*standing))
    assert (opening.joint_ipv4, opening.joint_ipv6) == joint_shares(spec, standing)


@THOROUGH
@given(narrow_specs, st.lists(narrow_specs, max_size=6))
def test_the_policies_that_add_something_are_named(spec: Json, standing: list[Json]) -> None:
    """`joint_with` names, sorted, each policy that opens further addresses for a pod of this one."""
    alone = blocks_of_all(spec)
    expected = [
        f"p{index}"
        for index, each in enumerate(standing)
        if alone and not blocks_of_all(each) <= alone and any(selects(spec, pod) and selects(each, pod) for pod in PODS)
    ]
    assert ingress(spec, standing=policies(*standing)).joint_with == tuple(expected)


@THOROUGH
@given(specs, st.lists(specs, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_standing_policies_does_not_matter(spec: Json, standing: list[Json], random: Random) -> None:
    """However the tree lists them, the facts are the same."""
    listed = policies(*standing)
    shuffled = random.sample(listed, len(listed))
    assert reach_of(spec, None, listed) == reach_of(spec, None, shuffled)


def pairs(count: int) -> list[Json]:
    """Return policies in pairs that exclude each other: 2**count combinations, every one of another /8 each."""
    return [
        {
            "podSelector": {"matchLabels": {f"key{index // 2}": "xy"[index % 2]}},
            "ingress": [opening(f"{index + 1}.0.0.0/8")],
        }
        for index in range(2 * count)
    ]


def opening(cidr: str) -> Json:
    """Return an ingress rule from a block."""
    return {"from": [{"ipBlock": {"cidr": cidr}}]}


def test_a_few_combinations_are_counted_exactly() -> None:
    """Of policies that exclude each other one counts, not both."""
    alone = {"podSelector": {}, "ingress": [opening("200.0.0.0/8")]}
    assert ingress(alone, standing=policies(*pairs(3))).joint_ipv4 == (1 + 3) / 256


def test_too_many_combinations_are_counted_together() -> None:
    """Beyond the bound all standing policies that share a pod with the new one count: too much, never too little."""
    alone = {"podSelector": {}, "ingress": [opening("200.0.0.0/8")]}
    assert STEPS < 2**20
    assert ingress(alone, standing=policies(*pairs(20))).joint_ipv4 == (1 + 40) / 256


@settings(THOROUGH, max_examples=100)
@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from("abcdefghijkl"), min_size=1, max_size=9), st.integers(0, 255)),
        min_size=8,
        max_size=40,
    )
)
def test_many_policies_are_never_counted_too_low(standing: list[tuple[set[str], int]]) -> None:
    """Whether or not the bound is met, no pod gets more than the joint share says, nor all policies together less."""
    listed = policies(
        *(
            {
                "podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": sorted(values)}]},
                "ingress": [opening(f"{octet}.0.0.0/8")],
            }
            for values, octet in standing
        )
    )
    found = ingress({"ingress": [opening("10.0.0.0/8")]}, standing=listed)
    for app in ("", *"abcdefghijkl"):
        octets = {octet for values, octet in standing if app not in values}
        assert found.joint_ipv4 >= len(octets | {10}) / 256
    assert found.joint_ipv4 <= len({octet for _, octet in standing} | {10}) / 256


@pytest.mark.parametrize(
    ("spec", "standing", "joint", "names"),
    [
        pytest.param([opening("0.0.0.0/1")], [opening("128.0.0.0/1")], 1.0, ("p0",), id="two-halves"),
        pytest.param([opening("0.0.0.0/1")], [opening("0.0.0.0/2")], 0.5, (), id="nothing-added"),
        pytest.param([opening("0.0.0.0/1")], [{"from": [{"podSelector": {}}]}], 0.5, (), id="pods-add-no-addresses"),
        pytest.param([opening("0.0.0.0/1")], [{}], 1.0, ("p0",), id="an-empty-rule"),
        pytest.param([{"from": [{"podSelector": {}}]}], [{}], 0.0, (), id="no-addresses-of-its-own"),
        pytest.param([], [{}], 0.0, (), id="a-default-deny"),
    ],
)
def test_what_stands_adds_up_with_what_comes(
    spec: list[Json], standing: list[Json], joint: float, names: tuple[str, ...]
) -> None:
    """A policy that opens no addresses is no part of what others open."""
    found = ingress({"ingress": spec}, standing=policies({"ingress": standing}))
    assert (found.joint_ipv4, found.joint_with) == (joint, names)


def test_a_direction_that_a_standing_policy_leaves_out_adds_nothing() -> None:
    """`policyTypes` counts for standing policies, too."""
    standing = policies({"policyTypes": ["Egress"], "ingress": [{}], "egress": [opening("0.0.0.0/0")]})
    assert ingress({"ingress": [opening("10.0.0.0/8")]}, standing=standing).joint_with == ()


def test_directions_are_told_apart() -> None:
    """What ingress opens is no fact of egress; a direction without effect has no facts."""
    egress = {"to": [{"ipBlock": {"cidr": "0.0.0.0/2"}}]}
    reach = reach_of({"ingress": [{}], "egress": [egress]}, None, ())
    assert reach.ingress
    assert reach.egress
    assert (reach.ingress.ipv4, reach.ingress.unbounded) == (1.0, ("spec.ingress[0]",))
    assert (reach.egress.ipv4, reach.egress.unbounded) == (0.25, ())
    assert reach_of({"policyTypes": ["Ingress"], "egress": [{}]}, None, ()).egress is None
    assert reach_of({"policyTypes": ["Egress"], "ingress": [{}]}, None, ()).ingress is None


# What an update opens that the old object did not.


@THOROUGH
@given(specs, specs)
def test_an_update_that_opens_more_is_seen(old: Json, new: Json) -> None:
    """Whatever pod, address and port the new object opens and the old one did not, `widens` is true."""
    if packets(new) - packets(old):
        assert ingress(new, old).widens


@THOROUGH
@given(specs_of(rules_on(one_port)), specs_of(rules_on(one_port)))
def test_an_update_that_opens_nothing_more_is_seen(old: Json, new: Json) -> None:
    """With a port at most in each rule `widens` is exact: a policy that predates us can be narrowed step by step."""
    if any(selects(new, pod) for pod in PODS):
        assert ingress(new, old).widens == bool(packets(new) - packets(old))


@THOROUGH
@given(specs, st.data())
def test_taking_something_away_widens_nothing(old: Json, data: st.DataObject) -> None:
    """Without some of its rules or peers, or for fewer pods, a policy opens no more than before."""
    kept = data.draw(st.lists(st.sampled_from(old["ingress"]), max_size=3)) if old["ingress"] else []
    fewer = [{**rule, "from": rule["from"][:1]} if rule.get("from") else rule for rule in kept]
    expressions = [*old["podSelector"].get("matchExpressions", []), data.draw(requirements)]
    new = {"podSelector": {**old["podSelector"], "matchExpressions": expressions}, "ingress": fewer}
    assert not ingress(new, old).widens
    assert not ingress(old, old).widens


@THOROUGH
@given(specs)
def test_a_new_policy_widens_when_it_opens_anything(spec: Json) -> None:
    """There is no old object that it could be narrower than."""
    assert ingress(spec).widens == any(peers_of(rule) for rule in spec["ingress"])


@pytest.mark.parametrize(
    ("old", "new", "widens"),
    [
        pytest.param({"ingress": [{}]}, {"ingress": [opening("0.0.0.0/0")]}, False, id="spelled-out-without-ipv6"),
        pytest.param({"ingress": [opening("0.0.0.0/0")]}, {"ingress": [{}]}, True, id="ipv6-comes-in"),
        pytest.param(
            {"ingress": [opening("0.0.0.0/1"), opening("128.0.0.0/1")]},
            {"ingress": [opening("0.0.0.0/0")]},
            False,
            id="two-halves-become-one",
        ),
        pytest.param(
            {"policyTypes": ["Egress"], "ingress": [{}]}, {"ingress": [{}]}, True, id="ingress-had-no-effect-before"
        ),
        pytest.param(
            {"podSelector": {"matchLabels": {"app": "a"}}, "ingress": [{}]},
            {"podSelector": {}, "ingress": [opening("10.0.0.0/8")]},
            True,
            id="more-pods-fewer-addresses",
        ),
        pytest.param({"ingress": [{"ports": [{"port": 80}]}]}, {"ingress": [{}]}, True, id="every-port"),
        pytest.param({"ingress": [{}]}, {"ingress": [{"ports": [{"port": 80}]}]}, False, id="one-port"),
        pytest.param({"ingress": [{"from": [3]}]}, {"ingress": [{}]}, True, id="the-old-one-cannot-be-read"),
        pytest.param({"ingress": [{"from": [3]}]}, {"ingress": []}, False, id="unreadable-becomes-default-deny"),
        pytest.param({}, {"ingress": [{}]}, True, id="a-default-deny-is-opened"),
        pytest.param(
            {"ingress": [{"ports": [{"port": 80}]}, {"ports": [{"port": 443}]}]},
            {"ingress": [{"ports": [{"port": 80}, {"port": 443}]}]},
            False,
            id="two-rules-become-one-with-both-ports",
        ),
    ],
)
def test_widening_is_judged_by_meaning(old: Json, new: Json, *, widens: bool) -> None:
    """An update that opens nothing which the old object did not open passes, however either is spelled."""
    assert ingress(new, old).widens == widens


# How a policy is spelled changes no fact.


def respelled(value: Any, random: Random, key: str = "") -> Any:
    """Return the same JSON with the members of each list shuffled and repeated, and with nulls for what is absent."""
    if isinstance(value, dict):
        more = (
            {"from": None, "ports": None}
            if not value.get("from") and not value.get("ports") and key == "ingress"
            else {}
        )
        return more | {name: respelled(each, random, name) for name, each in value.items()}
    if isinstance(value, list) and key != "policyTypes":  # of which the API server takes two
        members = [respelled(each, random, key) for each in value]
        members += random.choices(members, k=random.randrange(3)) if members else []
        return random.sample(members, len(members))
    return value


def comparable(reach: Reach) -> Reach:
    """Return the facts without the places of rules, which are where somebody wrote them."""
    assert reach.ingress
    return replace(reach, ingress=replace(reach.ingress, unbounded=("some",) if reach.ingress.unbounded else ()))


@THOROUGH
@given(specs, specs, st.lists(specs, max_size=3), st.randoms(use_true_random=False))
def test_order_and_repetition_change_no_fact(spec: Json, old: Json, standing: list[Json], random: Random) -> None:
    """Rules, peers, ports, exceptions and requirements are sets: order and duplicates make no difference."""
    again = reach_of(
        respelled(spec, random), respelled(old, random), policies(*(respelled(s, random) for s in standing))
    )
    assert comparable(again) == comparable(reach_of(spec, old, policies(*standing)))


# What cannot be read is a fact.


def test_a_standing_policy_that_cannot_be_read_is_named() -> None:
    """Nothing is decided on a sum of which a part is unknown."""
    reach = reach_of({"ingress": [{}]}, None, policies({"ingress": [{"from": [{"ipBlock": {"cidr": "x"}}]}]}))
    (why,) = reach.unreadable_beside
    assert why.startswith("NetworkPolicy p0, which stands in the namespace: ")
    assert "'x' is not a CIDR" in why
    assert reach.ingress is None
    assert reach.egress is None


FIELDS = (
    "podSelector", "namespaceSelector", "ipBlock", "cidr", "except", "policyTypes", "ingress", "egress", "from", "to",
    "ports", "port", "endPort", "protocol", "matchLabels", "matchExpressions", "key", "operator", "values",
)  # fmt: skip
WORDS = ("Ingress", "Egress", "In", "NotIn", "Exists", "TCP", "10.0.0.0/8", "::/0", "10.0.0.0/99", "app", "")
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.sampled_from(WORDS) | st.text()
)
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@st.composite
def spoiled_specs(draw: st.DrawFn) -> Any:
    """Make a sound spec in which one thing is replaced by any JSON."""
    spec = draw(specs)
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key, each in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
            places.append((value, key))
            if isinstance(each, dict | list):
                walk(each)

    spec = respelled(spec, Random(0))  # noqa: S311 - a copy, not a secret
    walk(spec)
    parent, key = draw(st.sampled_from(places))
    parent[key] = draw(json_values)
    return spec


@settings(THOROUGH, max_examples=300)
@given(json_values | spoiled_specs(), st.none() | spoiled_specs(), st.lists(json_values | spoiled_specs(), max_size=2))
def test_any_json_gives_facts(spec: Any, old: Any, standing: list[Any]) -> None:
    """`reach_of` raises nothing: there is a reason why it could not be read, or there are facts."""
    reach = reach_of(spec, old, policies(*standing))
    if reach.unreadable:
        assert reach == Reach(unreadable=reach.unreadable)
        assert all(len(why) < 2000 for why in reach.unreadable)
    for opening in (reach.ingress, reach.egress):
        if opening:
            assert 0 <= opening.ipv4 <= opening.joint_ipv4 <= 1
            assert 0 <= opening.ipv6 <= opening.joint_ipv6 <= 1


def nested(depth: int) -> Any:
    """Return a list in a list in a list."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "port",
    [
        pytest.param({"port": nested(900)}, id="a-port-900-deep"),
        pytest.param({"port": 2**64}, id="a-port-beyond-64-bits"),
        pytest.param({"protocol": "\ud800"}, id="half-a-character"),
    ],
)
def test_a_strange_port_raises_nothing(port: Json) -> None:
    """What JSON can hold or a caller can hand over is a fact at worst, for ports too."""
    assert isinstance(reach_of({"ingress": [{"ports": [port]}]}, None, ()), Reach)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"podSelector": nested(900)}, id="pods"),
        pytest.param({"ingress": nested(900)}, id="rules"),
        pytest.param({"ingress": [{"from": nested(900)}]}, id="peers"),
        pytest.param({"podSelector": {"matchLabels": {"app": nested(900)}}}, id="label"),
        pytest.param(nested(900), id="all"),
    ],
)
def test_a_deep_spec_raises_nothing(spec: object) -> None:
    """As deep as the envelope takes it, it is unreadable, not an error."""
    assert reach_of(spec, None, ()).unreadable


def test_a_tenant_cannot_keep_the_gate_busy() -> None:
    """Forty policies of 500 blocks each in one namespace, 1 MB in all, take a fraction of a webhook's ten seconds."""
    standing = policies(
        *(
            {
                "podSelector": {"matchLabels": {f"key{index // 2}": "xy"[index % 2]}},
                "ingress": [
                    {"from": [{"ipBlock": {"cidr": f"{11 + index}.{n >> 7}.{2 * n % 256}.0/24"}} for n in range(500)]}
                ],
            }
            for index in range(40)
        )
    )
    begin = time.process_time()
    ingress({"ingress": [opening("200.0.0.0/8")]}, standing=standing)
    assert time.process_time() - begin < 2


def test_more_addresses_than_are_judged_are_refused() -> None:
    """One tenant's blocks never keep everybody waiting: beyond the bound they are not added up, which denies."""
    blocks = [
        {"ipBlock": {"cidr": f"{10 + n // 65536}.{n // 256 % 256}.{n % 256}.0/25"}} for n in range(RANGES // 2 + 1)
    ]
    half = {"podSelector": {}, "ingress": [{"from": blocks}]}
    other = {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "2001:db8::/32"}}]}]}
    standing = policies(half, {**half, "ingress": [{"from": [*blocks, {"ipBlock": {"cidr": "192.0.2.1/32"}}]}]})
    assert "ranges of addresses stand" in reach_of(other, None, standing).unreadable[0]
    assert not reach_of({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}, None, standing).unreadable


def test_more_ports_than_are_compared_count_as_wider() -> None:
    """An update of thousands of ports and rules is not waved through unjudged, nor does it keep everybody waiting."""
    ports = [{"port": number} for number in range(1, 1001)]
    spec = {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": ports}] * 200}
    reach = reach_of(spec, spec, ())
    assert reach.ingress
    assert reach.ingress.widens
    assert reach.ingress.ipv4 < 0.25
