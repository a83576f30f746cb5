"""Manifests that the API server defaults, mends or refuses; each is one change to a plain one."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

LONG = "a" * 64


def policy(spec: Any = None, **fields: Any) -> Json:
    """Return a NetworkPolicy; `fields` are the metadata's."""
    found: Json = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    found["metadata"] = {"name": "web", "namespace": "default", **fields}
    return found if spec is ... else {**found, "spec": {"podSelector": {}} if spec is None else spec}


def namespace(name: str = "fresh", **fields: Any) -> Json:
    """Return a Namespace; `fields` are its own."""
    metadata = {"name": name, **fields.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata, **fields}


def lets(*peers: Any, **rule: Any) -> Json:
    """Return a policy that lets these in."""
    return policy({"podSelector": {}, "ingress": [{"from": list(peers), **rule}]})


def block(cidr: Any, *excepted: Any) -> Json:
    """Return a policy that lets a block in."""
    return lets({"ipBlock": {"cidr": cidr, **({"except": list(excepted)} if excepted else {})}})


def at(**port: Any) -> Json:
    """Return a policy for one port."""
    return policy({"podSelector": {}, "ingress": [{"ports": [port]}]})


def selects(**selector: Any) -> Json:
    """Return a policy for the pods of a selector."""
    return policy({"podSelector": selector})


def where(**expression: Any) -> Json:
    """Return a policy for the pods that meet one expression."""
    return selects(matchExpressions=[expression])


def owner(uid: str, **fields: Any) -> Json:
    """Return an owner's reference."""
    return {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": uid, **fields}


MANIFESTS: Mapping[str, Json] = {
    "plain": policy(),
    "no spec": policy(...),
    "empty spec": policy({}),
    "null spec": {**policy(), "spec": None},
    "spec as text": policy("x"),
    "spec as list": policy([]),
    "unknown field": policy({"podSelectors": {}}),
    "unknown field at the top": {**policy(), "polices": []},
    "status": {**policy(), "status": {}},
    "letter case": policy({"podselector": {}}),
    "null selector": policy({"podSelector": None}),
    "null ingress": policy({"podSelector": {}, "ingress": None, "egress": None, "policyTypes": None}),
    "empty ingress": policy({"podSelector": {}, "ingress": [], "egress": [], "policyTypes": []}),
    "empty rule": policy({"podSelector": {}, "ingress": [{}], "egress": [{}]}),
    "null rule": policy({"podSelector": {}, "ingress": [None], "egress": [None]}),
    "rule as text": policy({"podSelector": {}, "ingress": ["x"]}),
    "empty peers": policy({"podSelector": {}, "ingress": [{"from": []}], "egress": [{"to": [], "ports": []}]}),
    "null peers": policy({"podSelector": {}, "egress": [{"to": None, "ports": None}]}),
    "null peer": policy({"podSelector": {}, "egress": [{"to": [None]}]}),
    "empty peer": lets({}),
    "peers of the other side": policy({"podSelector": {}, "ingress": [{"to": []}]}),
    "pod peer": lets({"podSelector": {}}),
    "null pod peer": lets({"podSelector": None, "namespaceSelector": {}}),
    "both selectors": lets({"podSelector": {"matchLabels": {}}, "namespaceSelector": {"matchExpressions": []}}),
    "block and selector": lets({"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}),
    "types ingress": policy({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{}]}),
    "types twice": policy({"podSelector": {}, "policyTypes": ["Ingress", "Ingress"]}),
    "three types": policy({"podSelector": {}, "policyTypes": ["Ingress", "Egress", "Ingress"]}),
    "unknown type": policy({"podSelector": {}, "policyTypes": ["ingress"]}),
    "null type": policy({"podSelector": {}, "policyTypes": [None]}),
    "type as number": policy({"podSelector": {}, "policyTypes": [1]}),
    "types as text": policy({"podSelector": {}, "policyTypes": "Ingress"}),
    "cidr": block("10.0.0.0/8"),
    "ipv6": block("2001:db8::/32"),
    "ipv6 spelled out": block("2001:0DB8:0:0:0:0:0:0/32"),
    "everything": block("0.0.0.0/0", "10.0.0.0/8", "192.168.0.0/16"),
    "empty excepts": lets({"ipBlock": {"cidr": "10.0.0.0/8", "except": []}}),
    "null except": block("10.0.0.0/8", None),
    "no cidr": lets({"ipBlock": {}}),
    "null cidr": lets({"ipBlock": {"cidr": None}}),
    "empty cidr": block(""),
    "cidr as number": block(10),
    "address": block("10.0.0.1"),
    "host bits": block("10.0.0.1/8"),
    "leading zeros": block("010.0.0.0/8"),
    "leading zero in prefix": block("10.0.0.0/08"),
    "mapped": block("::ffff:10.0.0.0/104"),
    "prefix too long": block("10.0.0.0/33"),
    "zone": block("fe80::1%eth0/64"),
    "spaces": block(" 10.0.0.0/8"),
    "except outside": block("10.0.0.0/8", "11.0.0.0/16"),
    "except the same": block("10.0.0.0/8", "10.0.0.0/8"),
    "except wider": block("10.0.0.0/8", "0.0.0.0/0"),
    "except of the other family": block("10.0.0.0/8", "2001:db8::/32"),
    "except with host bits": block("10.0.0.0/8", "10.1.0.1/16"),
    "except that is none": block("10.0.0.0/8", "x"),
    "port": at(port=80),
    "port with protocol": at(port=80, protocol="UDP"),
    "port by name": at(port="http"),
    "range": at(port=80, endPort=90),
    "protocol alone": at(protocol="SCTP"),
    "empty port": at(),
    "null port": at(port=None, protocol=None, endPort=None),
    "null in ports": policy({"podSelector": {}, "ingress": [{"ports": [None]}]}),
    "port 0": at(port=0),
    "port 65535": at(port=65535),
    "port 65536": at(port=65536),
    "port below zero": at(port=-1),
    "port as digits": at(port="80"),
    "empty name of a port": at(port=""),
    "name of a port with dashes": at(port="a--b"),
    "name of a port with capitals": at(port="HTTP"),
    "longest name of a port": at(port="abcdefghijklmno"),
    "name of a port too long": at(port="abcdefghijklmnop"),
    "name of a port ends with a dash": at(port="a-"),
    "port as fraction": at(port=80.5),
    "port as boolean": at(port=True),
    "port of 64 bits": at(port=2**40),
    "port as list": at(port=[80]),
    "range backwards": at(port=90, endPort=80),
    "range of one": at(port=80, endPort=80),
    "range too far": at(port=80, endPort=70000),
    "range by name": at(port="http", endPort=90),
    "range without begin": at(endPort=90),
    "end as text": at(port=80, endPort="90"),
    "end of zero": at(port=80, endPort=0),
    "unknown protocol": at(protocol="ICMP"),
    "protocol in small letters": at(protocol="tcp"),
    "empty protocol": at(protocol=""),
    "protocol as number": at(protocol=6),
    "unknown field of a port": at(name="http"),
    "labels selected": selects(matchLabels={"app": "web", "a.b/c": ""}),
    "null label selected": selects(matchLabels={"app": None}),
    "label as number": selects(matchLabels={"app": 1}),
    "labels as list": selects(matchLabels=["app"]),
    "label's value too long": selects(matchLabels={"app": LONG}),
    "label's value with a slash": selects(matchLabels={"app": "a/b"}),
    "label's key with two slashes": selects(matchLabels={"a/b/c": "x"}),
    "label's key empty": selects(matchLabels={"": "x"}),
    "label's prefix empty": selects(matchLabels={"/a": "x"}),
    "label's prefix with capitals": selects(matchLabels={"A.b/c": "x"}),
    "label's name with capitals": selects(matchLabels={"a.b/C_d.E": "X_y.Z"}),
    "unknown field of a selector": selects(matchLabel={}),
    "in": where(key="app", operator="In", values=["a", ""]),
    "in nothing": where(key="app", operator="In", values=[]),
    "exists": where(key="app", operator="Exists"),
    "exists with no values": where(key="app", operator="Exists", values=[]),
    "exists with values": where(key="app", operator="Exists", values=["a"]),
    "not in bad values": where(key="app", operator="NotIn", values=["a b"]),
    "null value": where(key="app", operator="In", values=[None]),
    "unknown operator": where(key="app", operator="in", values=["a"]),
    "no operator": where(key="app"),
    "no key": where(operator="Exists"),
    "null expression": selects(matchExpressions=[None]),
    "labels": policy(labels={"a": "b", "c": ""}),
    "null label": policy(labels={"a": None}),
    "null labels": policy(labels=None, annotations=None, finalizers=None, ownerReferences=None),
    "empty labels": policy(labels={}, annotations={}, finalizers=[], ownerReferences=[]),
    "label as boolean": policy(labels={"a": True}),
    "bad label": policy(labels={"a": "-b"}),
    "bad key": policy(labels={"a_": "b"}),
    "annotations": policy(annotations={"A.B/c": "anything at all\n"}),
    "annotation as map": policy(annotations={"a": {}}),
    "bad key of an annotation": policy(annotations={"a b": ""}),
    "annotations too long": policy(annotations={"a": "x" * 256 * 1024}),
    "finalizer": policy(finalizers=["example.com/a"]),
    "bare finalizer": policy(finalizers=["foo"]),
    "standard finalizer": policy(finalizers=["foregroundDeletion"]),
    "finalizers that exclude each other": policy(finalizers=["foregroundDeletion", "orphan"]),
    "null finalizer": policy(finalizers=[None]),
    "owner": policy(
        ownerReferences=[{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b", "controller": False}]
    ),
    "owner without uid": policy(ownerReferences=[{"apiVersion": "v1", "kind": "Pod", "name": "a"}]),
    "owner without version": policy(ownerReferences=[{"apiVersion": "a/", "kind": "Pod", "name": "a", "uid": "b"}]),
    "the same owner twice": policy(ownerReferences=[owner("a"), owner("b"), owner("a"), owner("a", name="b")]),
    "two controllers": policy(ownerReferences=[owner("a", controller=True), owner("b", controller=True)]),
    "event as owner": policy(ownerReferences=[{"apiVersion": "v1", "kind": "Event", "name": "a", "uid": "b"}]),
    "as kubectl get shows it": policy(
        uid="x", generation=7, creationTimestamp="2026-01-01T00:00:00Z", selfLink="/x", deletionGracePeriodSeconds=3
    ),
    "null creation": policy(creationTimestamp=None),
    "bad creation": policy(creationTimestamp="yesterday"),
    "empty creation": policy(creationTimestamp=""),
    "generation as text": policy(generation="7"),
    "unknown field of the metadata": policy(label={}),
    "name with capitals": policy(name="Web"),
    "name with a dot": policy(name="a.b"),
    "name with a slash": policy(name="a/b"),
    "name too long": policy(name="a" * 254),
    "long name": policy(name=".".join(["a" * 60] * 4)),
    "empty name": policy(name=""),
    "name as number": policy(name=1),
    "generated name": policy(name="", generateName="web-"),
    "bad generated name": policy(name="", generateName="Web-"),
    "generated name with dashes": policy(name="", generateName="web--"),
    "generated name with a dot": policy(name="", generateName="web."),
    "name and what it is made from": policy(generateName="web-"),
    "metadata as text": {**policy(), "metadata": "x"},
    "namespace": namespace(),
    "namespace with labels": namespace(metadata={"labels": {"a": "b", "kubernetes.io/metadata.name": "other"}}),
    "namespace with null labels": namespace(metadata={"labels": None}),
    "namespace with a bad label": namespace(metadata={"labels": {"a": "b c"}}),
    "namespace in one": namespace(metadata={"namespace": "default"}),
    "namespace with a dot": namespace("a.b"),
    "namespace too long": namespace(LONG),
    "namespace with a dash at the end": namespace("a-"),
    "namespace with status": namespace(status={"phase": "Terminating", "conditions": []}),
    "namespace with finalizers": namespace(spec={"finalizers": ["example.com/a"]}),
    "namespace with its finalizer": namespace(spec={"finalizers": ["kubernetes"]}),
    "namespace with a bare finalizer": namespace(spec={"finalizers": ["foo"]}),
    "namespace with an unknown field": namespace(specs={}),
    "namespace with null spec": namespace(spec=None),
    "namespace with a generated name": {**namespace(), "metadata": {"generateName": "fresh-"}},
}
