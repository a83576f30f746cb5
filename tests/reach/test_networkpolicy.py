"""The meaning of a NetworkPolicy, read from every way to spell it."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook.errors import UnreadableError
from webhook.reach.addresses import EVERYWHERE, Addresses, read_cidr, union
from webhook.reach.networkpolicy import read_by_schema, read_network_policy
from webhook.reach.plainly import read_plainly
from webhook.reach.policy import Meaning
from webhook.selector import Selector, read_selector

Json = dict[str, Any]

TEN: Json = {"ipBlock": {"cidr": "10.0.0.0/8"}}
PODS: Json = {"podSelector": {}}
EVERY_PEER: Json = {"from": [TEN], "to": [TEN]}


def opened(policy: Meaning) -> tuple[Addresses | None, Addresses | None]:
    """Return the addresses of both directions."""
    return tuple(  # type: ignore[return-value]  # it has two items
        None if rules is None else union(rule.addresses for rule in rules) for rules in (policy.ingress, policy.egress)
    )


@pytest.mark.parametrize(
    ("spec", "ingress", "egress"),
    [
        pytest.param({}, True, False, id="nothing-said-is-ingress"),
        pytest.param(None, True, False, id="null-spec"),
        pytest.param({"policyTypes": None}, True, False, id="null-types"),
        pytest.param({"policyTypes": []}, True, False, id="empty-types"),
        pytest.param({"ingress": [{}]}, True, False, id="ingress-rules"),
        pytest.param({"egress": [{}]}, True, True, id="egress-rules-bring-egress"),
        pytest.param({"egress": [None]}, True, True, id="a-null-rule-is-a-rule"),
        pytest.param({"egress": []}, True, False, id="empty-egress-is-absent"),
        pytest.param({"egress": None}, True, False, id="null-egress-is-absent"),
        pytest.param({"policyTypes": ["Ingress"], "egress": [{}]}, True, False, id="types-leave-egress-out"),
        pytest.param({"policyTypes": ["Egress"], "ingress": [{}]}, False, True, id="types-leave-ingress-out"),
        pytest.param({"policyTypes": ["Egress", "Ingress"]}, True, True, id="both"),
        pytest.param({"policyTypes": ["Egress", "Egress"]}, False, True, id="one-twice"),
    ],
)
def test_policy_types_decide_which_directions_count(spec: object, *, ingress: bool, egress: bool) -> None:
    """A direction that `policyTypes` or its default leaves out is None; another one has its rules, even if none."""
    policy = read_network_policy(spec)
    assert (policy.ingress is not None, policy.egress is not None) == (ingress, egress)
    assert policy.rules("ingress") is policy.ingress
    assert policy.rules("egress") is policy.egress


@pytest.mark.parametrize(
    ("rules", "addresses"),
    [
        pytest.param(None, Addresses(), id="null"),
        pytest.param([], Addresses(), id="no-rules"),
        pytest.param([{}], EVERYWHERE, id="an-empty-rule"),
        pytest.param([None], EVERYWHERE, id="a-null-rule"),
        pytest.param([{"from": []}], EVERYWHERE, id="no-peers"),
        pytest.param([{"from": None}], EVERYWHERE, id="null-peers"),
        pytest.param([{"to": [TEN]}], EVERYWHERE, id="peers-of-the-other-direction"),
        pytest.param([{"ports": [{"port": 80}]}], EVERYWHERE, id="ports-alone"),
        pytest.param([{"from": [PODS]}], Addresses(), id="pods-have-no-addresses"),
        pytest.param([{"from": [{"namespaceSelector": {}}]}], Addresses(), id="namespaces-have-no-addresses"),
        pytest.param([{"from": [{"podSelector": {}, "namespaceSelector": {}}]}], Addresses(), id="both-selectors"),
        pytest.param([{"from": [TEN]}], read_cidr("10.0.0.0/8"), id="a-block"),
        pytest.param([{"from": [{**TEN, "podSelector": None}]}], read_cidr("10.0.0.0/8"), id="null-selector-beside-it"),
        pytest.param([{"from": [{**PODS, "ipBlock": None}]}], Addresses(), id="null-block-beside-a-selector"),
        pytest.param(
            [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": None}}]}], read_cidr("10.0.0.0/8"), id="null-except"
        ),
        pytest.param(
            [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": []}}]}], read_cidr("10.0.0.0/8"), id="empty-except"
        ),
        pytest.param(
            [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.128.0.0/9", "10.128.0.0/10"]}}]}],
            read_cidr("10.0.0.0/9"),
            id="except",
        ),
        pytest.param(
            [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["0.0.0.0/0"]}}]}], Addresses(), id="except-all"
        ),
        pytest.param(
            [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["192.168.0.0/16", "::/0"]}}]}],
            read_cidr("10.0.0.0/8"),
            id="except-elsewhere",
        ),
        pytest.param(
            [{"from": [TEN, PODS]}, {"from": [{"ipBlock": {"cidr": "11.0.0.0/8"}}]}],
            read_cidr("10.0.0.0/7"),
            id="rules-and-peers-add-up",
        ),
        pytest.param([{"from": [TEN]}, {}], EVERYWHERE, id="one-empty-rule-is-enough"),
    ],
)
def test_rules_open_what_they_mean(rules: object, addresses: Addresses) -> None:
    """The same meaning has the same addresses, in both directions."""
    assert opened(read_network_policy({"policyTypes": ["Ingress"], "ingress": rules})) == (addresses, None)
    turned = read_network_policy({"policyTypes": ["Egress"], "egress": swapped(rules)})
    assert opened(turned) == (None, addresses)


def swapped(rules: Any) -> Any:
    """Return ingress rules as egress rules."""
    turn = {"from": "to", "to": "from"}
    return rules and [rule and {turn.get(key, key): value for key, value in rule.items()} for rule in rules]


def test_an_exception_counts_in_its_own_block_alone() -> None:
    """What one block leaves out another one may bring."""
    policy = read_network_policy(
        {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/9"]}}, TEN]}]}
    )
    assert opened(policy)[0] == read_cidr("10.0.0.0/8")


def test_a_rule_knows_where_it_stands_and_whether_it_names_peers() -> None:
    """Paths are those of the spec, so that a person finds the rule."""
    policy = read_network_policy({"ingress": [{"from": [TEN]}, {}], "egress": [{"to": []}]})
    assert [(rule.path, not rule.everybody) for rule in policy.ingress or ()] == [
        ("spec.ingress[0]", True),
        ("spec.ingress[1]", False),
    ]
    assert [(rule.path, not rule.everybody) for rule in policy.egress or ()] == [("spec.egress[0]", False)]


@pytest.mark.parametrize(
    "selector", [{}, {"matchLabels": {"app": "web"}}, {"matchExpressions": [{"key": "app", "operator": "Exists"}]}]
)
def test_the_pods_are_those_of_the_pod_selector(selector: Json) -> None:
    """`podSelector` is read as any selector."""
    assert read_network_policy({"podSelector": selector}).pods == read_selector(selector)


@pytest.mark.parametrize("spec", [None, {}, {"podSelector": None}, {"podSelector": {}}])
def test_without_a_pod_selector_it_is_for_every_pod(spec: object) -> None:
    """Absent, null and empty mean all pods."""
    assert read_network_policy(spec).pods == Selector()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param([{"port": 80}], [{"port": 80, "protocol": "TCP"}], id="tcp-is-the-default"),
        pytest.param([{"port": 80}], [{"port": 80, "protocol": None, "endPort": None}], id="null-is-absent"),
        pytest.param([{"port": 80}], [{"port": 80}, {"port": 80}], id="twice"),
        pytest.param([{"port": 80}, {"port": 443}], [{"port": 443}, {"port": 80}], id="order"),
        pytest.param([None], [{}], id="a-null-port"),
        pytest.param([{}], [{"protocol": "TCP"}], id="every-tcp-port"),
        pytest.param(None, [], id="no-ports"),
    ],
)
def test_the_same_ports_are_equal_however_they_are_spelled(one: object, other: object) -> None:
    """Ports compare by their meaning."""
    assert ports(one) == ports(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param([{"port": 80}], [{"port": 81}], id="numbers"),
        pytest.param([{"port": 80}], [{"port": "80"}], id="a-name-of-digits"),
        pytest.param([{"port": 80}], [{"port": 80, "protocol": "UDP"}], id="protocol"),
        pytest.param([{"port": 80}], [{"port": 80, "endPort": 90}], id="range"),
        pytest.param([{}], [], id="every-tcp-port-is-not-every-port"),
    ],
)
def test_different_ports_differ(one: object, other: object) -> None:
    """What another packet could pass by is another port."""
    assert ports(one) != ports(other)


def ports(raw: object) -> object:
    """Return the ports of the one rule that has these."""
    (rule,) = read_network_policy({"ingress": [{"ports": raw}]}).ingress or ()
    return rule.ports


def with_peer(peer: object) -> Json:
    """Return a spec whose first rule has this peer second."""
    return {"ingress": [{"from": [TEN, peer]}]}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        pytest.param([], "spec cannot be read", id="spec-is-a-list"),
        pytest.param("deny", "spec cannot be read", id="spec-is-a-text"),
        pytest.param(0, "spec cannot be read", id="spec-is-zero"),
        pytest.param({"podSelector": []}, "spec.podSelector", id="pods-are-a-list"),
        pytest.param({"podSelector": {"matchLabels": {"app": 1}}}, "matchLabels.app", id="pods-cannot-be-read"),
        pytest.param({"policyTypes": "Ingress"}, "spec.policyTypes", id="types-are-a-text"),
        pytest.param({"policyTypes": ["ingress"]}, "spec.policyTypes[0]", id="type-in-lower-case"),
        pytest.param({"policyTypes": ["Ingress", None]}, "spec.policyTypes[1]", id="type-is-null"),
        pytest.param({"ingress": {}}, "spec.ingress", id="rules-are-an-object"),
        pytest.param({"ingress": [[]]}, "spec.ingress[0]", id="rule-is-a-list"),
        pytest.param({"ingress": ["all"]}, "spec.ingress[0]", id="rule-is-a-text"),
        pytest.param({"egress": [{}, {"to": {}}]}, "spec.egress[1].to", id="peers-are-an-object"),
        pytest.param({"policyTypes": ["Ingress"], "egress": [3]}, "spec.egress[0]", id="in-a-direction-without-effect"),
        pytest.param({"ingress": [{"ports": {}}]}, "spec.ingress[0].ports", id="ports-are-an-object"),
        pytest.param({"ingress": [{"ports": [80]}]}, "spec.ingress[0].ports[0]", id="port-is-a-number"),
        pytest.param(with_peer(None), "spec.ingress[0].from[1] is not either", id="null-peer"),
        pytest.param(with_peer({}), "spec.ingress[0].from[1] is not either", id="empty-peer"),
        pytest.param(with_peer({"ipBlok": {}}), "spec.ingress[0].from[1] is not either", id="misspelt-peer"),
        pytest.param(with_peer({**TEN, **PODS}), "spec.ingress[0].from[1] is not either", id="block-and-pods"),
        pytest.param(with_peer({**TEN, "namespaceSelector": {}}), "is not either", id="block-and-namespaces"),
        pytest.param(with_peer("10.0.0.0/8"), "spec.ingress[0].from[1]", id="peer-is-a-text"),
        pytest.param(with_peer({"podSelector": []}), "from[1].podSelector", id="peer-pods-are-a-list"),
        pytest.param(with_peer({"podSelector": {"matchLabels": []}}), "matchLabels", id="peer-pods-cannot-be-read"),
        pytest.param(
            with_peer({"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
            "needs values",
            id="peer-namespaces-cannot-be-read",
        ),
        pytest.param(with_peer({"ipBlock": {}}), "from[1].ipBlock.cidr", id="no-cidr"),
        pytest.param(with_peer({"ipBlock": {"cidr": None}}), "from[1].ipBlock.cidr", id="null-cidr"),
        pytest.param(with_peer({"ipBlock": {"cidr": 10}}), "from[1].ipBlock.cidr", id="cidr-is-a-number"),
        pytest.param(with_peer({"ipBlock": {"cidr": "10.0.0.0"}}), "'10.0.0.0' is not a CIDR", id="no-prefix"),
        pytest.param(
            with_peer({"ipBlock": {"cidr": "::/0", "except": "::/1"}}), "ipBlock.except", id="except-is-a-text"
        ),
        pytest.param(with_peer({"ipBlock": {"cidr": "::/0", "except": [None]}}), "except[0]", id="null-in-except"),
        pytest.param(with_peer({"ipBlock": {"cidr": "::/0", "except": ["::"]}}), "'::' is not", id="bad-except"),
    ],
)
def test_what_the_api_server_would_refuse_is_unreadable(spec: object, told: str) -> None:
    """Nothing is guessed: the message says where it stands and what is wrong."""
    with pytest.raises(UnreadableError) as caught:
        read_network_policy(spec)
    assert told in str(caught.value)


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, {}, [], "", "x", "é", "\ud800", 0, 80, True, 1.5, [None], {"a": 1}]
)


def often(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw the usual, and now and then something else."""
    return st.integers(0, 15).flatmap(lambda number: ODD if number == 0 else usual)


def maps(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return often(st.fixed_dictionaries({}, optional={key: often(each) for key, each in fields.items()}))


CIDRS = st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "010.0.0.0/8", "10.0.0.1/8", "::/0", "::ffff:1.2.3.4/128", "no"])
EXPRESSIONS = st.sampled_from([{"key": "a", "operator": "Exists"}, {"key": "a", "operator": "In", "values": ["b"]}])
SELECTORS = maps(matchLabels=maps(a=st.just("b")), matchExpressions=st.lists(often(EXPRESSIONS), max_size=2))
BLOCKS = maps(cidr=CIDRS, **{"except": st.lists(often(CIDRS), max_size=2)})
ONE_PEER = (
    st.fixed_dictionaries({"ipBlock": BLOCKS})
    | st.fixed_dictionaries({"podSelector": SELECTORS}, optional={"namespaceSelector": SELECTORS})
    | maps(ipBlock=BLOCKS, podSelector=SELECTORS, namespaceSelector=SELECTORS)
)
PEERS = st.lists(often(ONE_PEER), max_size=3)
PORTS = st.lists(
    maps(port=st.sampled_from([80, "http"]), endPort=st.just(90), protocol=st.sampled_from(["TCP", "UDP"])), max_size=2
)
SPECS = maps(
    podSelector=SELECTORS,
    policyTypes=st.lists(often(st.sampled_from(["Ingress", "Egress"])), max_size=2),
    ingress=st.lists(maps(**{"from": PEERS, "ports": PORTS}) | maps(to=PEERS), max_size=2),
    egress=st.lists(maps(to=PEERS, ports=PORTS), max_size=2),
)


@settings(max_examples=400, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
@given(SPECS)
def test_what_is_read_plainly_means_what_its_schema_says(spec: Any) -> None:
    """The quick reader reads nothing that the schema refuses, and nothing as something else."""
    read = read_plainly(spec)
    if read is not None:
        assert read == read_by_schema(spec)


def test_what_is_usual_is_read_plainly() -> None:
    """The schema costs three times as much, and what is written by hand need not pay it."""
    usual = {
        "podSelector": {"matchLabels": {"app": "web"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": {}, "namespaceSelector": {"matchLabels": {"a": "b"}}}]}],
        "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 80}]}],
    }
    assert read_plainly(usual) == read_by_schema(usual)
    assert read_plainly(usual) is not None
