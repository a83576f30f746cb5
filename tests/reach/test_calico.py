"""The meaning of Calico's NetworkPolicy and NetworkSet, field by field, and of an update of one."""

import time
from typing import Any

import pytest

from webhook.errors import UnreadableError
from webhook.model import Reach
from webhook.reach.addresses import EVERYWHERE, Addresses, read_cidr, union
from webhook.reach.calico import read_calico_policy, read_calico_set, read_nothing
from webhook.reach.facts import Reading, reach_of
from webhook.reach.kinds import READERS, kind_of
from webhook.reach.policy import Meaning, Rule
from webhook.selector import Requirement, Selector, read_selector

Json = dict[str, Any]

TEN: Json = {"nets": ["10.0.0.0/8"]}
OWN_PODS: Json = {"selector": "app == 'web'"}
NAME = "kubernetes.io/metadata.name"


def policy(**spec: Any) -> Json:
    """Return a whole Calico NetworkPolicy."""
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": "web", "namespace": "dev"},
        "spec": spec,
    }


def network_set(*nets: str, **more: Any) -> Json:
    """Return a whole Calico NetworkSet."""
    return {"kind": "NetworkSet", "metadata": {"name": "partners"}, "spec": {"nets": list(nets), **more}}


def allow(source: Json | None = None, **more: Any) -> Json:
    """Return an ingress rule that lets in."""
    return {"action": "Allow", **({} if source is None else {"source": source}), **more}


def deny(source: Json | None = None) -> Json:
    """Return an ingress rule that keeps out."""
    return allow(source, action="Deny")


def ingress_of(*rules: Json) -> tuple[Rule, ...]:
    """Return the ingress of a policy with these rules."""
    return read_calico_policy(policy(types=["Ingress"], ingress=list(rules))).ingress or ()


def opened(meaning: Meaning) -> tuple[Addresses | None, Addresses | None]:
    """Return the addresses of both directions."""
    return tuple(  # type: ignore[return-value]  # it has two items
        None if rules is None else union(rule.addresses for rule in rules)
        for rules in (meaning.ingress, meaning.egress)
    )


def selector(**labels: str) -> Selector:
    """Return a selector of these labels."""
    return read_selector({"matchLabels": labels})


# Which objects are read, and how.


@pytest.mark.parametrize("group", ["crd.projectcalico.org", "projectcalico.org"])
def test_both_groups_are_read(group: str) -> None:
    """The one that older versions store them in, and Calico's own."""
    assert READERS[kind_of(group, "NetworkPolicy")] is read_calico_policy
    assert READERS[kind_of(group, "NetworkSet")] is read_calico_set
    assert kind_of("networking.k8s.io", "NetworkPolicy") == "NetworkPolicy"
    assert kind_of(group, "GlobalNetworkPolicy") not in READERS


@pytest.mark.parametrize(
    ("spec", "ingress", "egress"),
    [
        pytest.param({}, True, True, id="nothing-said-is-both"),
        pytest.param({"types": []}, True, True, id="empty-types"),
        pytest.param({"egress": [allow()]}, True, True, id="egress-rules-leave-ingress"),
        pytest.param({"ingress": [allow()]}, True, True, id="ingress-rules-leave-egress"),
        pytest.param({"types": ["Ingress"], "egress": [allow()]}, True, False, id="types-leave-egress-out"),
        pytest.param({"types": ["Egress"], "ingress": [allow()]}, False, True, id="types-leave-ingress-out"),
        pytest.param({"types": ["egress", "INGRESS"]}, True, True, id="calico-takes-any-case"),
    ],
)
def test_types_decide_which_directions_count(spec: Json, *, ingress: bool, egress: bool) -> None:
    """Without types it is for both: nothing that counts in the cluster is left out here."""
    read = read_calico_policy(policy(**spec))
    assert (read.ingress is not None, read.egress is not None) == (ingress, egress)
    assert read.not_understood == {}


@pytest.mark.parametrize("raw", [{}, {"spec": None}, {"spec": {}}], ids=["no-spec", "null-spec", "empty-spec"])
def test_without_a_spec_it_opens_nothing(raw: Json) -> None:
    """It is a default deny of every pod."""
    read = read_calico_policy(raw)
    assert (read.pods, read.ingress, read.egress) == (Selector(), (), ())
    assert opened(read_calico_set(raw)) == (Addresses(), Addresses())


EXCEPT_TEN = EVERYWHERE - read_cidr("10.0.0.0/8")
RULES: dict[str, tuple[Json, Addresses, bool]] = {
    "no source": (allow(), EVERYWHERE, True),
    "an empty source": (allow({}), EVERYWHERE, True),
    "no nets": (allow({"nets": []}), EVERYWHERE, True),
    "nets": (allow(TEN), read_cidr("10.0.0.0/8"), False),
    "zeros that everybody reads": (allow({"nets": ["0064:ff9b::/96", "0.0.0.0/32"]}),
                                   read_cidr("64:ff9b::/96") | read_cidr("0.0.0.0/32"), False),
    "an address alone": (allow({"nets": ["192.0.2.7", "2001:db8::1"]}),
                         read_cidr("192.0.2.7/32") | read_cidr("2001:db8::1/128"), False),
    "notNets alone": (allow({"notNets": ["10.0.0.0/8"]}), EXCEPT_TEN, False),
    "nets without notNets": (allow({"nets": ["10.0.0.0/8"], "notNets": ["10.128.0.0/9"]}),
                             read_cidr("10.0.0.0/9"), False),
    "notNets of everything": (allow({"nets": ["10.0.0.0/8"], "notNets": ["0.0.0.0/0"]}), Addresses(), False),
    "notNets of the other family": (allow({"notNets": ["0.0.0.0/0"]}), Addresses(ipv6=EVERYWHERE.ipv6), False),
    "pods alone": (allow(OWN_PODS), Addresses(), False),
    "pods by what they are not": (allow({"notSelector": "app == 'web'"}), Addresses(), False),
    "pods of namespaces": (allow({"namespaceSelector": "team == 'a'"}), Addresses(), False),
    "nets that are pods of a kind": (allow({**TEN, **OWN_PODS}), read_cidr("10.0.0.0/8"), False),
    "the local end says nothing of the other": (allow(destination=TEN), EVERYWHERE, True),
    "ports": (allow({"ports": [80]}), EVERYWHERE, True),
    "a protocol": (allow(protocol="TCP", notProtocol=17, ipVersion=4), EVERYWHERE, True),
    "icmp": (allow(icmp={"type": 8}, notICMP={"code": 1}), EVERYWHERE, True),
    "http": (allow(http={"methods": ["GET"]}), EVERYWHERE, True),
    "Pass ends at the profile": (allow(action="Pass"), EVERYWHERE, True),
    "an action in another case": (allow(action="allow"), EVERYWHERE, True),
    "services that are not there": (allow({"services": {}}), EVERYWHERE, True),
    "services without a name": (allow({"services": {"namespace": "x", "name": ""}}), EVERYWHERE, True),
    "no accounts": (allow({"serviceAccounts": {"names": []}}), EVERYWHERE, True),
    "accounts by what Calico may not read": (allow({"serviceAccounts": {"selector": "x"}}), EVERYWHERE, True),
    "services that are none": (allow({"services": ["x"], "serviceAccounts": None}), EVERYWHERE, True),
    "a field that Calico would not know": (allow({"netz": ["10.0.0.0/8"]}), EVERYWHERE, True),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "addresses", "everybody"), RULES.values(), ids=RULES.keys())
def test_rules_open_what_they_mean(rule: Json, addresses: Addresses, *, everybody: bool) -> None:
    """The same in both directions; whatever narrows a rule beside its peers is not looked at."""
    (read,) = ingress_of(rule)
    assert (read.path, read.addresses, read.everybody) == ("spec.ingress[0]", addresses, everybody)
    turn = {"source": "destination", "destination": "source"}
    turned = {turn.get(key, key): value for key, value in rule.items()}
    (read,) = read_calico_policy(policy(types=["Egress"], egress=[turned])).egress or ()
    assert (read.path, read.addresses, read.everybody) == ("spec.egress[0]", addresses, everybody)


@pytest.mark.parametrize("action", ["Deny", "Log"])
def test_what_closes_opens_nothing(action: str) -> None:
    """It is no rule, and those after it keep their place."""
    (rule,) = ingress_of(allow(action=action), allow(TEN))
    assert (rule.path, rule.addresses) == ("spec.ingress[1]", read_cidr("10.0.0.0/8"))


PEERS: dict[str, tuple[Json, Selector | None, Selector]] = {
    "pods of its own namespace": (OWN_PODS, None, selector(app="web")),
    "all of them": ({"selector": "all()"}, None, Selector()),
    "all but some": ({"notSelector": "app == 'web'"}, None, Selector()),
    "of namespaces": ({"namespaceSelector": "team == 'a'"}, selector(team="a"), Selector()),
    "of a namespace by Calico's name": ({"namespaceSelector": "projectcalico.org/name == 'ops'"},
                                        selector(**{NAME: "ops"}), Selector()),
    "pods of namespaces": ({"namespaceSelector": "all()", **OWN_PODS}, Selector(), selector(app="web")),
    "beside nets": ({**TEN, **OWN_PODS}, None, selector(app="web")),
}  # fmt: skip


@pytest.mark.parametrize(("source", "namespaces", "pods"), PEERS.values(), ids=PEERS.keys())
def test_peers_are_pods_by_selectors(source: Json, namespaces: Selector | None, pods: Selector) -> None:
    """Without a namespaceSelector they are of the policy's own namespace, those by notSelector, too."""
    (rule,) = ingress_of(allow(source))
    assert [(peer.path, peer.namespaces, peer.pods) for peer in rule.peers] == [
        ("spec.ingress[0].source", namespaces, pods)
    ]


def test_without_selectors_there_are_no_peers() -> None:
    """Who names everybody or addresses names no pods."""
    assert [rule.peers for rule in ingress_of(allow(), allow(TEN), allow({"ports": [80]}))] == [(), (), ()]


# Selectors.

READ: dict[str, tuple[str, list[Requirement]]] = {
    "nothing": ("", []),
    "blank": ("  \t", []),
    "all": (" all( ) ", []),
    "equal": ("a == 'b'", [Requirement("a", "In", frozenset("b"))]),
    "without blanks": ("a=='b'", [Requirement("a", "In", frozenset("b"))]),
    "double quotes": ('a == "b"', [Requirement("a", "In", frozenset("b"))]),
    "a quote in quotes": ("a == \"it's\"", [Requirement("a", "In", frozenset({"it's"}))]),
    "an empty value": ("a == ''", [Requirement("a", "In", frozenset({""}))]),
    "not equal": ("a != 'b'", [Requirement("a", "NotIn", frozenset("b"))]),
    "has": ("has(a)", [Requirement("a", "Exists")]),
    "has not": ("! has( a )", [Requirement("a", "DoesNotExist")]),
    "in": ("a in {'b', \"c\"}", [Requirement("a", "In", frozenset("bc"))]),
    "in without blanks": ("a in{'b','c'}", [Requirement("a", "In", frozenset("bc"))]),
    "not in": ("a not  in { 'b' }", [Requirement("a", "NotIn", frozenset("b"))]),
    "tabs": ("\ta\t==\t'b'\t", [Requirement("a", "In", frozenset("b"))]),
    "a newline within quotes": ("a == 'b\n'", [Requirement("a", "In", frozenset({"b\n"}))]),
    "a key that begins like a word": ("instance == 'b'", [Requirement("instance", "In", frozenset("b"))]),
    "a key with a word in it": ("x.in == 'b'", [Requirement("x.in", "In", frozenset("b"))]),
    "the longest key": (f"{'a' * 317} == 'b'", [Requirement("a" * 317, "In", frozenset("b"))]),
    "a key with a domain": ("x.io/a-b_c == '1'", [Requirement("x.io/a-b_c", "In", frozenset("1"))]),
    "and": ("a == 'b' && has(c)", [Requirement("a", "In", frozenset("b")), Requirement("c", "Exists")]),
    "and within quotes": ("a == 'b && c' && has(d)",
                          [Requirement("a", "In", frozenset({"b && c"})), Requirement("d", "Exists")]),
    "or within quotes": ("a == 'b || all()'", [Requirement("a", "In", frozenset({"b || all()"}))]),
    "a brace within quotes": ("a in {'}', ','}", [Requirement("a", "In", frozenset({"}", ","}))]),
    "all and one": ("all() && a == 'b'", [Requirement("a", "In", frozenset("b"))]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "requirements"), READ.values(), ids=READ.keys())
def test_a_selector_of_conditions_is_read(text: str, requirements: list[Requirement]) -> None:
    """As Calico reads it, for the policy's own pods and for peers."""
    read = read_calico_policy(policy(selector=text))
    assert (read.pods, read.not_understood) == (Selector(frozenset(requirements)), {})


STRANGE = [
    "a", "a == b", "a = 'b'", "a == 'b", "a == 'b' c", "a == 'b' || c == 'd'", "(a == 'b')", "!all()", "!(has(a))",
    "!!has(a)", "global()", "a contains 'b'", "a starts with 'b'", "a ends with 'b'", "a in {}", "a in {'b'",
    "a in 'b'", "a notin {'b'}", "a == 'b' &&", "&& a == 'b'", "a == 'b' && && has(c)", "a == 'b' & has(c)", "has()",
    "has(a b)", "has('a')", "'a' == 'b'", "a == 'b')||(all()", "ä == 'b'", "a == '\\'' || all()", "all() all()",
    "a == 'b'\x00", "a == 'b' //", "x" * 20_001,
    # A selector of namespaces that some version of Calico cannot read counts as absent there.
    "a == 'b'\n", "\na == 'b'", "a ==\n'b'", "a == 'b' &&\r\nhas(c)", "\n", "a\fin {'b'}", f"{'a' * 318} == 'b'",
    "in == 'b'", "in.x == 'b'", "not == 'b'", "has(all)", "contains-x != 'b'", "global in {'b'}",
    "a\u00a0== 'b'",
]  # fmt: skip


@pytest.mark.parametrize("text", STRANGE, ids=[ascii(each)[:30] for each in STRANGE])
def test_what_is_no_list_of_conditions_is_not_understood(text: str) -> None:
    """Wherever it stands: it may select anything, so it is told and counts as any pod."""
    read = read_calico_policy(policy(selector=text))
    assert (read.pods, list(read.not_understood)) == (None, ["spec.selector"])
    for field in ("selector", "namespaceSelector"):
        read = read_calico_policy(policy(ingress=[allow({field: text})]))
        assert list(read.not_understood) == [f"spec.ingress[0].source.{field}"]
        assert [rule.everybody for rule in read.ingress or ()] == [False]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a" * 20_000, id="a-key"),
        pytest.param(" " * 19_999 + "x", id="blanks"),
        pytest.param("a" + " " * 19_998 + "x", id="blanks-within"),
        pytest.param("a in {" + "'b'," * 4_990, id="values-without-an-end"),
        pytest.param("a in {" + "'b' , " * 3_300, id="values-and-blanks"),
        pytest.param("'" * 19_999, id="quotes"),
        pytest.param("\"'" * 9_999, id="two-sorts-of-quotes"),
        pytest.param("a&&" * 6_666, id="conditions"),
        pytest.param("has(a)&&" * 2_499 + "x", id="one-condition-again-and-again"),
        pytest.param("&" * 20_000, id="ampersands"),
        pytest.param("!" * 20_000, id="negations"),
        pytest.param("(" * 20_000, id="brackets"),
        pytest.param("all(" + " " * 19_990, id="all-without-an-end"),
        pytest.param("has(" + "a" * 19_990, id="has-without-an-end"),
        pytest.param("a not " * 3_333, id="not"),
    ],
)
def test_a_long_selector_is_read_quickly(text: str) -> None:
    """No text of 20,000 characters keeps everybody waiting."""
    begin = time.process_time()
    read = read_calico_policy(policy(selector=text))
    assert time.process_time() - begin < 1
    assert list(read.not_understood) == ["spec.selector"]


def test_a_selector_of_more_conditions_than_are_compared_is_unreadable() -> None:
    """As in a NetworkPolicy."""
    with pytest.raises(UnreadableError, match="a selector of more than"):
        read_calico_policy(policy(selector=" && ".join(f"has(a{number})" for number in range(501))))


# What is not understood.

UNKNOWN: dict[str, tuple[Json, list[str]]] = {
    "a tier": (policy(tier="security"), ["spec.tier"]),
    "accounts that it is for": (policy(serviceAccountSelector="all()"), ["spec.serviceAccountSelector"]),
    "a type": (policy(types=["Ingress", "Forward"]), ["spec.types"]),
    "an action": (policy(ingress=[allow(action="Jump")]), ["spec.ingress[0].action"]),
    "a field of a rule": (policy(ingress=[deny(), allow(x=1)]), ["spec.ingress[1].x"]),
    "services": (
        policy(egress=[allow(destination={"services": {"name": "x"}})]),
        ["spec.egress[0].destination.services"],
    ),
    "accounts": (
        policy(ingress=[allow({"serviceAccounts": {"names": ["x"]}})]),
        ["spec.ingress[0].source.serviceAccounts"],
    ),
    "of the local end": (
        policy(ingress=[allow(TEN, destination={"domains": ["x"]})]),
        ["spec.ingress[0].destination.domains"],
    ),
    "of a rule that closes": (policy(ingress=[{**deny(), "x": 1}]), ["spec.ingress[0].x"]),
}


@pytest.mark.parametrize(("raw", "told"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_is_not_understood_is_told_by_its_place(raw: Json, told: list[str]) -> None:
    """The rest is read on."""
    assert list(read_calico_policy(raw).not_understood) == told


def test_everything_that_is_understood_is_silent() -> None:
    """Every field of a rule and of a policy that has a meaning here."""
    entity = {**TEN, **OWN_PODS, "notNets": [], "notSelector": "", "namespaceSelector": "all()", "ports": [80, "a"]}
    rule = allow(
        {**entity, "notPorts": ["1:2"]},
        ipVersion=4,
        protocol="TCP",
        notProtocol=17,
        icmp={},
        notICMP={},
        http={},
        metadata={"annotations": {"a": "b"}},
        destination=entity,
    )
    raw = policy(tier="default", order=1.5, selector="all()", types=["Ingress"], ingress=[rule], performanceHints=["x"])
    read = read_calico_policy(raw)
    assert (read.not_understood, read.malformed) == ({}, ())


def test_a_peer_that_is_not_understood_is_not_everybody() -> None:
    """Services and accounts are told of; the rule does not count as open besides."""
    assert ingress_of(allow({"services": {"name": "x"}}), allow({"serviceAccounts": {"names": ["x"]}})) == ()


BAD: dict[str, tuple[Json, str]] = {
    "spec is a list": ({"spec": []}, "spec cannot be read"),
    "spec is a text": ({"spec": "x"}, "spec cannot be read"),
    "rules are an object": (policy(ingress={}), "spec.ingress cannot be read"),
    "a rule is null": (policy(ingress=[None]), "spec.ingress[0] cannot be read"),
    "no action": (policy(ingress=[{}]), "spec.ingress[0].action cannot be read"),
    "a net is a number": (policy(ingress=[allow({"nets": [1]})]), "spec.ingress[0].source.nets[0] cannot be read"),
    "a bad net": (policy(ingress=[allow({"nets": ["x"]})]), "spec.ingress[0].source.nets: 'x/32' is not a CIDR"),
    "leading zeros": (policy(ingress=[allow({"nets": ["10.0.0.0/8", "010.0.0.0/8"]})]), "which Calico does not read"),
    "leading zeros of an address alone": (policy(ingress=[allow({"notNets": ["10.0.0.00"]})]), "has leading zeros"),
    "a bad net in notNets": (policy(egress=[allow(destination={"notNets": ["1.2.3.4/33"]})]), "destination.notNets"),
    "a selector is an object": (policy(selector={}), "spec.selector cannot be read"),
    "order is a text": (policy(order="1"), "spec.order"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "told"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_read_is_told(raw: Json, told: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(UnreadableError) as caught:
        read_calico_policy(raw)
    assert told in str(caught.value)


def test_odd_addresses_are_told() -> None:
    """And count as Go reads them."""
    read = read_calico_policy(policy(ingress=[allow({"nets": ["10.0.0.0/08"], "notNets": ["10.1.2.3/16"]})]))
    assert [line.partition(": ")[0] for line in read.malformed] == [
        "spec.ingress[0].source.notNets",
        "spec.ingress[0].source.nets",
    ]
    assert opened(read)[0] == read_cidr("10.0.0.0/8") - read_cidr("10.1.0.0/16")


@pytest.mark.parametrize("depth", [300, 900])
def test_a_deep_object_is_a_fact(depth: int) -> None:
    """As deep as the envelope takes it, it is unreadable, not an error."""
    deep: Json = {}
    for _ in range(depth):
        deep = {"a": deep}
    for raw in (
        policy(x=deep),
        policy(ingress=[allow(http=deep)]),
        policy(ingress=[allow({"x": deep})]),
        policy(ingress=[deny({"x": deep})]),
    ):
        assert reach_of(raw, raw, (), Reading(kind=read_calico_policy)).unreadable
    assert reach_of({"x": deep}, None, (), Reading(kind=read_nothing)).unreadable
    assert reach_of(network_set(x=deep), None, (), Reading(kind=read_calico_set)).unreadable


# NetworkSets, and kinds of which nothing is understood.


def test_a_network_set_opens_for_every_pod_in_both_directions() -> None:
    """Any policy of the namespace may select it."""
    read = read_calico_set(network_set("0.0.0.0/1", "2001:db8::1"))
    assert read.pods == Selector()
    assert opened(read) == (read_cidr("0.0.0.0/1") | read_cidr("2001:db8::1/128"),) * 2
    assert read.not_understood == {}


def test_what_is_strange_in_a_network_set_is_told() -> None:
    """Fields, addresses, and what is no list."""
    read = read_calico_set(network_set("10.0.0.1/8", allowedEgressDomains=["x"]))
    assert list(read.not_understood) == ["spec.allowedEgressDomains"]
    assert read.malformed == ("spec.nets: 10.0.0.1/8 has bits set beyond its prefix",)
    with pytest.raises(UnreadableError, match=r"spec\.nets: 'x/32' is not a CIDR"):
        read_calico_set(network_set("x"))
    with pytest.raises(UnreadableError, match=r"spec\.nets cannot be read"):
        read_calico_set({"spec": {"nets": {}}})


def test_of_another_kind_nothing_is_understood() -> None:
    """Whatever stands beside its name, by its place; it may be for any pod."""
    read = read_nothing({"apiVersion": "a", "kind": "b", "metadata": {}, "status": {}, "spec": {"x": 1}, "data": None})
    assert list(read.not_understood) == ["spec", "data"]
    assert (read.pods, read.ingress, read.egress) == (None, None, None)


# Updates.


def updated(old: Json, new: Json) -> Reach:
    """Return the facts of an update of a NetworkPolicy or a NetworkSet."""
    kind = read_calico_set if new.get("kind") == "NetworkSet" else read_calico_policy
    reach = reach_of(new, old, (), Reading(kind=kind))
    assert not reach.unreadable
    return reach


def widens(old: Json, new: Json) -> bool:
    """Say whether an update opens more, or says more of what is not understood."""
    reach = updated(old, new)
    assert reach.ingress
    return reach.ingress.widens or not reach.not_understood_before


def of(*rules: Json, **more: Any) -> Json:
    """Return a policy of these ingress rules."""
    return policy(types=["Ingress"], ingress=list(rules), **more)


SERVICE: Json = {"services": {"name": "x"}}
ALL: Json = {"nets": ["0.0.0.0/0", "::/0"]}
WIDENED: dict[str, tuple[Json, Json]] = {
    "a rule more": (of(allow(TEN)), of(allow(TEN), allow(OWN_PODS))),
    "a condition less": (of(allow({**TEN, "ports": [80]})), of(allow(TEN))),
    "another port": (of(allow({**TEN, "ports": [80]})), of(allow({**TEN, "ports": [81]}))),
    "a local condition less": (of(allow(TEN, destination=OWN_PODS)), of(allow(TEN))),
    "fewer pods are let out of a denial": (of(deny(TEN), allow()), of(allow())),
    "a denial comes later": (of(deny(TEN), allow()), of(allow(), deny(TEN))),
    "a denial of less": (of(deny(TEN), allow()), of(deny({"nets": ["10.0.0.0/9"]}), allow())),
    "a denial becomes an Allow": (of(deny(TEN)), of(allow(TEN))),
    "Log becomes Allow": (of(allow(TEN, action="Log")), of(allow(TEN))),
    "it is asked earlier": (of(allow(), order=200), of(allow(), order=100)),
    "its denial is asked later": (of(deny(TEN), allow(), order=100), of(deny(TEN), allow(), order=200)),
    "it was asked last": (of(allow()), of(allow(), order=1)),
    "ingress had no effect": (policy(types=["Egress"], ingress=[allow()]), policy(ingress=[allow()])),
    "more pods": (of(allow(), selector="app == 'a'"), of(allow(), selector="all()")),
    "pods that were not understood": (of(allow(), selector="a || b"), of(allow(), selector="a || c")),
    "accounts that it was for": (of(allow(), serviceAccountSelector="x"), of(allow())),
    "a tier less": (of(allow(), tier="x"), of(allow())),
    "nets that pods had to have": (of(allow({**ALL, **OWN_PODS})), of(allow(ALL))),
    "nets that pods need not have": (of(allow({**TEN, **OWN_PODS})), of(allow(OWN_PODS))),
    "nets that pods must not have": (of(allow({"notNets": ["10.0.0.0/8"], **OWN_PODS})), of(allow(OWN_PODS))),
    "pods of its own became those of all": (
        of(allow({"notSelector": "app == 'a'"})),
        of(allow({"notSelector": "app == 'a'", "namespaceSelector": "all()"})),
    ),
    "pods of its own became everybody": (of(allow({"notSelector": "app == 'a'"})), of(allow())),
    "another exclusion": (of(allow({"notSelector": "app == 'a'"})), of(allow({"notSelector": "app == 'b'"}))),
    "namespaces": (of(allow({"namespaceSelector": "a == 'b'"})), of(allow({"namespaceSelector": "has(a)"}))),
    "services": (of(allow(SERVICE)), of(allow({"services": {"name": "y"}}))),
    "services in place of pods": (of(allow(OWN_PODS)), of(allow(SERVICE))),
    "services of another end": (of(allow(SERVICE)), of(allow(destination=SERVICE))),
    "services for more pods": (of(allow(SERVICE), selector="app == 'a'"), of(allow(SERVICE))),
    "services behind a denial": (of(deny(TEN), allow(SERVICE)), of(allow(SERVICE))),
    "no services": (of(allow(SERVICE)), of(allow())),
}


@pytest.mark.parametrize(("old", "new"), WIDENED.values(), ids=WIDENED.keys())
def test_an_update_that_may_open_more_is_seen(old: Json, new: Json) -> None:
    """Never told to open nothing more."""
    assert widens(old, new)


NARROWED: dict[str, tuple[Json, Json]] = {
    "a rule less": (of(allow(), allow(TEN)), of(allow(TEN))),
    "addresses": (of(allow(ALL)), of(allow(TEN))),
    "everybody becomes addresses": (of(allow()), of(allow(ALL))),
    "everybody becomes pods": (of(allow()), of(allow(OWN_PODS))),
    "a port": (of(allow()), of(allow({"ports": [80]}))),
    "a condition of the local end": (of(allow(TEN)), of(allow(TEN, destination=OWN_PODS))),
    "a denial before it": (of(allow()), of(deny(TEN), allow())),
    "fewer pods": (of(allow()), of(allow(), selector="app == 'a'")),
    "the same order": (of(allow(), order=1), of(allow(TEN), order=1)),
    "an exclusion": (
        of(allow({"namespaceSelector": "all()"})),
        of(allow({"namespaceSelector": "all()", "notNets": ["10.0.0.0/8"]})),
    ),
    "only ingress": (policy(ingress=[allow(TEN)], egress=[allow()]), of(allow(TEN))),
    "what is not understood goes": (of(allow(SERVICE), allow(TEN)), of(allow(TEN))),
    "what is not understood moves": (
        of(deny(TEN), allow(TEN), allow(SERVICE)),
        of(deny(TEN), allow(TEN), allow(SERVICE)),
    ),
}


@pytest.mark.parametrize(("old", "new"), NARROWED.values(), ids=NARROWED.keys())
def test_an_update_that_opens_no_more_is_seen(old: Json, new: Json) -> None:
    """What predates us can be narrowed step by step, and left as it is."""
    assert not widens(old, new)
    assert not widens(new, new)


def test_what_is_not_understood_counts_by_its_direction() -> None:
    """The same words in another direction, or in another field, mean something else."""
    rule = allow(destination=SERVICE)
    assert not updated(policy(ingress=[rule]), policy(egress=[rule])).not_understood_before
    assert not updated(policy(x="a"), policy(y="a")).not_understood_before
    assert updated(policy(egress=[rule]), policy(egress=[rule, rule])).not_understood_before
    assert not reach_of(policy(x="a"), None, (), Reading(kind=read_calico_policy)).not_understood_before


def labelled(*nets: str, **metadata: Any) -> Json:
    """Return a NetworkSet with other metadata."""
    return {**network_set(*nets), "metadata": metadata}


@pytest.mark.parametrize(
    ("old", "new", "more"),
    [
        pytest.param(network_set("10.0.0.0/8"), network_set("10.0.0.0/9"), False, id="fewer-nets"),
        pytest.param(network_set("10.0.0.0/9"), network_set("10.0.0.0/8"), True, id="more-nets"),
        pytest.param(labelled("10.0.0.0/8"), labelled("10.0.0.0/8", labels={"a": "b"}), True, id="other-labels"),
        pytest.param(
            labelled("10.0.0.0/8", labels={"a": "b"}),
            labelled("10.0.0.0/8", labels={"a": "b"}, name="x", resourceVersion="2"),
            False,
            id="the-same-labels",
        ),
        pytest.param(
            labelled("10.0.0.0/8"),
            labelled("10.0.0.0/8", annotations={"projectcalico.org/metadata": '{"labels":{"a":"b"}}'}),
            True,
            id="labels-in-the-annotation",
        ),
    ],
)
def test_an_update_of_a_network_set(old: Json, new: Json, *, more: bool) -> None:
    """By other labels other policies may open it."""
    assert widens(old, new) == more
