"""
The holes of others (docs/holes.md), tried at a real API server: what no review made by hand shows.

By which path a request comes, what the API server makes of a patch, and how large or deep an object may be.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.guarded import Guarded
from tests.e2e.manifests import INSIDE, OPEN, WORKSPACE, ZERO_TRUST, documents, namespace, ours, policy
from tests.e2e.reading import NAMESPACES, TREE, until

Json = dict[str, Any]

LAIR = "lair"
AT = f"--namespace={LAIR}"
POLICIES = f"/apis/networking.k8s.io/v1/namespaces/{LAIR}/networkpolicies"
CILIUM = f"/apis/cilium.io/v2/namespaces/{LAIR}/ciliumnetworkpolicies"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAME = "kubernetes.io/metadata.name"
HELD = ["example.org/held"]
OWNER = {"apiVersion": "v1", "kind": "Namespace", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"}


@pytest.fixture(scope="module")
def lair(guarded: Guarded) -> str:
    """A namespace of workspace checkout in which all is tried."""
    guarded.create(LAIR)
    return LAIR


def labels(guarded: Guarded, name: str) -> Json:
    """Return the labels of a namespace."""
    found: Json = guarded.reader.read(f"{NAMESPACES}/{name}")["metadata"]["labels"]
    return found


def block(*cidrs: str, app: str = "web") -> Json:
    """Return a spec that lets these addresses in, for some pods."""
    peers = [{"ipBlock": {"cidr": cidr}} for cidr in cidrs]
    return {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": ["Ingress"], "ingress": [{"from": peers}]}


def compact(thing: Json) -> str:
    """Return an object without a space in it: kubectl --raw sends it as it is."""
    return json.dumps(thing, separators=(",", ":"))


def raw(path: str) -> tuple[str, ...]:
    """Return the command that sends an object as it is."""
    return ("create", "--raw", path, "--filename=-")


# Whose a namespace is.

BARE = {"metadata": {"labels": None, "annotations": None}}
BARED = {
    "merge patch": ("--type=merge", json.dumps(BARE)),
    "strategic merge patch": ("--type=strategic", json.dumps(BARE)),
    "strategic merge patch that replaces": (
        "--type=strategic",
        json.dumps({"metadata": {"labels": {"$patch": "replace", "team": "a"}}}),
    ),
    "strategic merge patch that deletes": (
        "--type=strategic",
        json.dumps({"metadata": {"labels": {"$patch": "delete"}}}),
    ),
    "JSON patch": ("--type=json", json.dumps([{"op": "remove", "path": "/metadata/labels"}])),
    "merge patch of the status": ("--subresource=status", "--type=merge", json.dumps(BARE)),
}


@pytest.mark.parametrize("how", BARED)
def test_no_patch_takes_ownership_off(guarded: Guarded, lair: str, how: str) -> None:
    """Whoever may patch the namespace leaves it where it is, its derived labels and its state too; others may not."""
    *flags, change = BARED[how]
    before = guarded.await_ready(lair)["metadata"]
    ownership = {key: each for key, each in before["labels"].items() if key != "team"}
    patch = ("patch", "namespace", lair, *flags, "--patch", change)
    for user in ("rudi", "stranger"):
        assert "[rbac/namespace]" in guarded.refused(*patch, user=user)
    for user in ("wanda", "ivan"):
        guarded.kubectl(*patch, user=user)
        after = guarded.reader.read(f"{NAMESPACES}/{lair}")["metadata"]
        assert {key: each for key, each in after["labels"].items() if key != "team"} == ownership
        assert after["annotations"] == before["annotations"]


def test_server_side_apply_takes_no_ownership_off(guarded: Guarded) -> None:
    """Who applied the label and applies without it, which removes what one owns, keeps the namespace as it was."""
    apply = ("apply", "--server-side", "--filename=-")
    guarded.kubectl(*apply, user="wanda", stdin=documents(namespace("applied", "checkout", team="a")))
    before = guarded.await_ready("applied")["metadata"]["labels"]
    guarded.kubectl(*apply, user="wanda", stdin=documents(namespace("applied")))
    assert labels(guarded, "applied") == {key: each for key, each in before.items() if key != "team"}
    for told in (namespace("applied"), namespace("applied", "refunds")):
        said = guarded.refused(*apply, "--force-conflicts", user="rudi", stdin=documents(told))
        assert "[rbac/namespace]" in said
    assert labels(guarded, "applied")[WORKSPACE] == "checkout"


def test_no_namespace_passes_for_another(guarded: Guarded, lair: str) -> None:
    """The hooks leave kube-system out by a label that everybody may send: the API server puts it right, on any path."""
    guarded.kubectl("label", "--overwrite", "namespace", lair, f"{NAME}=kube-system", user="wanda")
    whole = guarded.reader.read(f"{NAMESPACES}/{lair}")
    whole["metadata"]["labels"][NAME] = "kube-system"
    status = ("replace", "--raw", f"{NAMESPACES}/{lair}/status", "--filename=-")
    guarded.kubectl(*status, user="wanda", stdin=json.dumps(whole))
    made = documents(namespace("masked", **{NAME: "kube-system"}))
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=made)
    for place in (lair, "masked"):
        assert labels(guarded, place)[NAME] == place
        assert "[guardrail/from-anywhere]" in guarded.refused(
            "create", "--filename=-", user="wanda", stdin=documents(policy(place, "open", OPEN))
        )


def test_what_ends_is_judged_as_ever(guarded: Guarded) -> None:
    """A namespace and a policy that are held by a finalizer are nobody else's, and opened by nobody."""
    guarded.create("ending")
    held = documents(policy("ending", "held", finalizers=HELD), policy("ending", "kept", finalizers=HELD))
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=held)
    guarded.kubectl("delete", "networkpolicy", "held", "--namespace=ending", "--wait=false", user="wanda")
    guarded.kubectl("delete", "namespace", "ending", "--wait=false", user="wanda")
    # The namespace controller has been there, and waits.
    until(lambda: "zero-trust.default-deny" not in guarded.reader.policies("ending"), 15)
    for name in ("held", "kept"):
        patch = ("patch", "networkpolicy", name, "--namespace=ending", "--type=merge", "--patch")
        assert "[guardrail/from-anywhere]" in guarded.refused(*patch, '{"spec":{"ingress":[{}]}}', user="wanda")
        for change in ('{"spec":{"podSelector":{}}}', '{"metadata":{"finalizers":null}}'):
            assert "[rbac/namespace-policy]" in guarded.refused(*patch, change, user="rudi")
    whole = guarded.reader.read(f"{NAMESPACES}/ending")
    assert whole["status"]["phase"] == "Terminating"
    finalize = ("replace", "--raw", f"{NAMESPACES}/ending/finalize", "--filename=-")
    empty: tuple[Json, ...] = ({"finalizers": []}, {})
    for spec in empty:
        for user in ("wanda", "rudi", "olga", "ivan", "stranger"):
            said = guarded.refused(*finalize, user=user, stdin=json.dumps({**whole, "spec": spec}))
            assert "finalize of a namespace is written by Kubernetes' namespace controller alone" in said
    assert "[rbac/namespace]" in guarded.refused(
        "label", "--overwrite", "namespace", "ending", f"{WORKSPACE}=refunds", user="rudi"
    )
    off = ("patch", "networkpolicy", "--namespace=ending", "--type=merge", '--patch={"metadata":{"finalizers":null}}')
    for name in ("held", "kept"):
        guarded.kubectl(*off, name, user="wanda")


# What a policy opens.

OPENINGS = {
    "JSON patch that removes the sources": ("--type=json", '[{"op": "remove", "path": "/spec/ingress/0/from"}]'),
    "JSON patch that adds a rule": ("--type=json", '[{"op": "add", "path": "/spec/ingress/-", "value": {}}]'),
    "merge patch": ("--type=merge", '{"spec": {"ingress": [{}]}}'),
    "strategic merge patch": ("--type=strategic", '{"spec": {"ingress": [{"from": null}]}}'),
    "merge patch with a null": ("--type=merge", '{"spec": {"ingress": [null]}}'),
    "strategic merge patch that replaces": (
        "--type=strategic",
        '{"spec": {"$patch": "replace", "podSelector": {}, "ingress": [{"ports": [{"port": 443}]}]}}',
    ),
}


@pytest.fixture
def closed(guarded: Guarded, lair: str) -> Iterator[str]:
    """A policy that no guardrail minds."""
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=documents(policy(lair, "closed")))
    yield "closed"
    guarded.kubectl("delete", "networkpolicy", "closed", AT, user="wanda")


@pytest.mark.parametrize("how", OPENINGS)
def test_no_patch_opens_a_policy(guarded: Guarded, closed: str, how: str) -> None:
    """What the API server makes of the patch is judged, not what it says."""
    kind, change = OPENINGS[how]
    said = guarded.refused("patch", "networkpolicy", closed, AT, kind, "--patch", change, user="wanda")
    assert "[guardrail/from-anywhere]" in said
    assert guarded.reader.specs(LAIR)[closed] == INSIDE


def test_server_side_apply_opens_no_policy(guarded: Guarded, closed: str) -> None:
    """Another manager's part of an object is judged with the rest of it."""
    part = documents(policy(LAIR, closed, {"ingress": [{}]}))
    apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=other", "--filename=-")
    assert "[guardrail/from-anywhere]" in guarded.refused(*apply, user="wanda", stdin=part)
    assert guarded.reader.specs(LAIR)[closed] == INSIDE


def test_a_direction_that_had_no_effect_is_judged_once_it_has(guarded: Guarded, closed: str) -> None:
    """An open rule may lie idle under `policyTypes: [Egress]`, but is woken in no way."""
    patch = ("patch", "networkpolicy", closed, AT)
    idle = '{"spec": {"policyTypes": ["Egress"], "ingress": [{}]}}'
    guarded.kubectl(*patch, "--type=merge", "--patch", idle, user="wanda")
    for kind, change in (
        ("--type=merge", '{"spec": {"policyTypes": ["Egress", "Ingress"]}}'),
        ("--type=merge", '{"spec": {"policyTypes": null}}'),
        ("--type=json", '[{"op": "remove", "path": "/spec/policyTypes"}]'),
    ):
        assert "[guardrail/from-anywhere]" in guarded.refused(*patch, kind, "--patch", change, user="wanda")


def test_a_policy_in_disguise_counts(guarded: Guarded) -> None:
    """A CNI's policy that wears name and labels of an injected one is counted beside others like any other."""
    guarded.create("carnival")
    worn = {"app.kubernetes.io/managed-by": "portcullis", "portcullis.dev/baseline": "zero-trust"}
    told = {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "zero-trust.default-deny", "namespace": "carnival", "labels": worn},
        "spec": {"endpointSelector": {}, "ingress": [{"fromCIDR": ["0.0.0.0/3"]}]},
    }
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=documents(told))
    beside = documents(policy("carnival", "beside", block("32.0.0.0/3")))
    create = ("create", "--dry-run=server", "--filename=-")
    said = until(lambda: guarded.plane.kubectl(*create, user="wanda", stdin=beside, check=False).stderr, 5)
    assert "[guardrail/from-anywhere]" in said
    assert "together with zero-trust.default-deny" in said


# Names.


def test_a_generated_name_is_judged_by_what_it_becomes(guarded: Guarded, lair: str) -> None:
    """The API server makes it up: a dotted one is reserved, and a namespace is whose its label or creator says."""
    create = ("create", "--filename=-", "--output=name")

    def generated(prefix: str) -> str:
        return documents({**policy(lair), "metadata": {"generateName": prefix, "namespace": lair}})

    assert "[baseline/managed-policy]" in guarded.refused(*create, user="wanda", stdin=generated("zero-trust.deny-"))
    assert "[rbac/namespace-policy]" in guarded.refused(*create, user="rudi", stdin=generated("web-"))
    made = guarded.kubectl(*create, user="wanda", stdin=generated("web-")).strip()
    guarded.kubectl("delete", made, AT, user="wanda")

    def nameless(**owned: str) -> str:
        return documents(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "gen-", "labels": owned}}
        )

    assert "[rbac/namespace]" in guarded.refused(*create, user="rudi", stdin=nameless(**{WORKSPACE: "checkout"}))
    assert "[rbac/namespace]" in guarded.refused(*create, user="stranger", stdin=nameless())
    name = guarded.kubectl(*create, user="wanda", stdin=nameless()).strip().removeprefix("namespace/")
    assert guarded.await_ready(name)["metadata"]["labels"][WORKSPACE] == "checkout"
    assert guarded.reader.specs(name) == ZERO_TRUST


def test_a_collection_tells_a_stranger_no_name(guarded: Guarded, lair: str) -> None:
    """Refused at the first object of it, which the request does not name; its owner reads which."""
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=documents(policy(lair, "aaa-secret")))
    for user in ("rudi", "stranger"):
        said = guarded.refused("delete", "--raw", POLICIES, user=user)
        assert f"[rbac/namespace-policy] {user} may not delete NetworkPolicy {lair}/*: " in said
        assert "aaa-secret" not in said
    assert f"{lair}/aaa-secret" in guarded.refused("delete", "--raw", POLICIES, user="rita")
    said = guarded.refused("delete", "--raw", "/apis/portcullis.dev/v1alpha1/workspaces", user="stranger")
    assert "[rbac/tenancy] stranger may not delete Workspace *: " in said
    assert "checkout" not in said
    guarded.kubectl("delete", "networkpolicy", "aaa-secret", AT, user="wanda")


def test_a_name_forges_nothing_in_a_message(guarded: Guarded, lair: str) -> None:
    """What turns the direction of text and what ends a line is replaced, in the name of who asks, too."""
    told = documents(policy(lair, "web"))
    # Kubernetes' RBAC is asked first, and knows nobody of that name.
    everybody = ("create", "clusterrolebinding", "everybody", "--clusterrole=cluster-admin", "--group=crowd")
    guarded.kubectl(*everybody, user="root")
    try:
        said = guarded.refused(
            "create", "--filename=-", "--as=eve\u202e\u2028[x]", "--as-group=crowd", user="root", stdin=told
        )
    finally:
        guarded.kubectl("delete", "clusterrolebinding", "everybody", user="root")
    assert "[rbac/namespace-policy] eve\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[x] may not create" in said


def test_a_thousand_groups_are_looked_through(guarded: Guarded, lair: str) -> None:
    """The one that counts is found among them, and none that is only like it."""
    crowd = [f"--as-group=crowd-{number}" for number in range(998)]
    told = documents(policy(lair, "web"))
    guarded.kubectl(
        "create", "clusterrolebinding", "crowd", "--clusterrole=cluster-admin", "--group=crowd-0", user="root"
    )
    create = ("create", "--dry-run=server", "--filename=-", "--as=eve", *crowd)
    try:
        near = ("--as-group=Checkout-Team", "--as-group=checkout-teams")
        assert "[rbac/namespace-policy]" in guarded.refused(*create, *near, user="root", stdin=told)
        guarded.kubectl(*create, "--as-group=checkout-team", user="root", stdin=told)
    finally:
        guarded.kubectl("delete", "clusterrolebinding", "crowd", user="root")


# Large and deep.


def test_ten_thousand_peers_are_judged(guarded: Guarded, lair: str) -> None:
    """All of them, within the deadline: the last one counts like the first."""
    cidrs = [f"10.{number >> 7}.{number * 2 & 255}.0/24" for number in range(10_000)]
    guarded.kubectl(*raw(POLICIES), user="wanda", stdin=compact(policy(lair, "many", block(*cidrs, app="many"))))
    guarded.kubectl("delete", "networkpolicy", "many", AT, user="wanda")
    opened = compact(policy(lair, "many", block(*cidrs[1:], "0.0.0.0/1", app="many")))
    assert "[guardrail/from-anywhere]" in guarded.refused(*raw(POLICIES), user="wanda", stdin=opened)
    by_name = [{"namespaceSelector": {"matchLabels": {NAME: f"n-{number}"}}} for number in range(9_999)]
    peers = [*by_name, {"namespaceSelector": {"matchLabels": {"team": "a"}}}]
    unbounded = compact(policy(lair, "many", {**block(app="many"), "ingress": [{"from": peers}]}))
    said = guarded.refused(*raw(POLICIES), user="wanda", stdin=unbounded)
    assert "[guardrail/all-namespaces]" in said
    assert "spec.ingress[0].from[9999]" in said


def filled(place: str, count: int, *rules: Json) -> str:
    """Return a policy of `count` peers of some 90 bytes each, and more rules at its end."""
    peers = [{"podSelector": {"matchLabels": {"app": f"{number:063}"}}} for number in range(count)]
    spec = {**block(app="large"), "ingress": [{"from": peers}, *rules]}
    return compact(policy(place, "large", spec))


def test_objects_of_3_mib_are_judged(guarded: Guarded, lair: str) -> None:
    """Up to the limit of the API server none is too large to be refused; what etcd takes is stored."""
    stored = filled(lair, 13_000)
    assert 1_200_000 < len(stored) < 1_500_000
    guarded.kubectl(*raw(POLICIES), user="wanda", stdin=stored)
    # Both sides of an update are sent to us.
    put = ("replace", "--raw", f"{POLICIES}/large", "--filename=-")
    guarded.kubectl(*put, user="wanda", stdin=stored)
    assert "[guardrail/from-anywhere]" in guarded.refused(*put, user="wanda", stdin=filled(lair, 13_000, {}))
    assert "[rbac/namespace-policy]" in guarded.refused(*put, user="rudi", stdin=stored)
    guarded.kubectl("delete", "networkpolicy", "large", AT, user="wanda")
    largest = filled(lair, 28_900, {})
    assert 2_900_000 < len(largest) < 3 * 1024 * 1024
    # Refused by a rule or for want of time, never stored.
    said = guarded.refused(*raw(POLICIES), user="wanda", stdin=largest)
    assert "denied the request: " in said or "failed calling webhook" in said
    assert "limit is 3145728" in guarded.refused(*raw(POLICIES), user="wanda", stdin=filled(lair, 33_000))
    assert guarded.reader.specs(lair).keys() == ZERO_TRUST.keys()


@pytest.mark.parametrize("depth", [200, 900, 3_000, 9_000])
def test_deep_objects_are_refused(guarded: Guarded, lair: str, depth: int) -> None:
    """However deep the API server reads an object of a CNI's kind: what we cannot read is never stored."""
    deep = '{"a":' * depth + "1" + "}" * depth
    metadata = f'{{"name":"deep","namespace":"{lair}"}}'
    told = (
        '{"apiVersion":"cilium.io/v2","kind":"CiliumNetworkPolicy","metadata":%s,"spec":{"endpointSelector":{},"x":%s}}'
    )
    said = guarded.refused(*raw(CILIUM), user="wanda", stdin=told % (metadata, deep))
    assert "denied the request: " in said or "failed calling webhook" in said
    assert guarded.reader.find(f"{CILIUM}/deep") is None
    # Who is judged at any depth is the next.
    assert "[rbac/namespace-policy]" in guarded.refused(*raw(CILIUM), user="rudi", stdin=told % (metadata, "1"))


# What others would end for whoever asks.


@pytest.mark.parametrize("name", ["ciliumcidrgroups.cilium.io", "networkbaselines.portcullis.dev"])
def test_no_definition_is_left_to_the_garbage_collector(guarded: Guarded, name: str) -> None:
    """Its objects would go with it unseen: nobody hangs an owner that is gone on one, through the status neither."""
    uid = guarded.reader.read(f"{DEFINITIONS}/{name}")["metadata"]["uid"]
    change = ("patch", "customresourcedefinition", name, "--type=merge")
    owned = ("--patch", json.dumps({"metadata": {"ownerReferences": [OWNER]}}))
    for user in ("ivan", "olga", "stranger"):
        for how in ((), ("--subresource=status",)):
            assert "[rbac/cluster-policy]" in guarded.refused(*change, *how, *owned, user=user)
    assert guarded.reader.read(f"{DEFINITIONS}/{name}")["metadata"]["uid"] == uid


def test_a_named_baseline_does_not_end_by_its_last_finalizer(guarded: Guarded) -> None:
    """Deleted while nobody names it and held until somebody does, it stays until nobody does."""
    made = ours("NetworkBaseline", "limbo", policies=[{"name": "a", "spec": {"podSelector": {}}}])
    made["metadata"]["finalizers"] = HELD
    guarded.kubectl("create", "--filename=-", user="ivan", stdin=documents(made))
    guarded.kubectl("delete", "networkbaseline", "limbo", "--wait=false", user="ivan")
    # Ours goes by itself, for it has no policy anywhere.
    limbo = f"{TREE[-1]}/limbo"
    until(lambda: guarded.reader.read(limbo)["metadata"]["finalizers"] == HELD, 5)
    naming = ("patch", "workspace", "ranking", "--type=merge", "--patch")
    guarded.kubectl(*naming, '{"spec":{"baselines":["limbo"]}}', user="olga")
    free = ("patch", "networkbaseline", "limbo", "--type=merge", '--patch={"metadata":{"finalizers":null}}')
    try:
        dry = ("--dry-run=server",)
        said = until(lambda: guarded.plane.kubectl(*free, *dry, user="ivan", check=False).stderr, 5)
        assert "the tree names this baseline (Workspace/ranking)" in said
        assert "[rbac/cluster-policy]" in guarded.refused(*free, user="ivan")
    finally:
        guarded.kubectl(*naming, '{"spec":{"baselines":null}}', user="olga")
    until(lambda: guarded.plane.kubectl(*free, user="ivan", check=False).returncode == 0, 5)


def test_a_baseline_brings_network_policies_alone(guarded: Guarded) -> None:
    """Who writes a baseline makes Portcullis write neither another kind nor into another namespace."""
    listed = [
        {"name": "a", "kind": "ClusterRole", "metadata": {"namespace": "kube-system"}, "spec": {"podSelector": {}}}
    ]
    told = documents(ours("NetworkBaseline", "template", policies=listed))
    create = ("create", "--filename=-")
    said = guarded.refused(*create, user="ivan", stdin=told)
    assert 'unknown field "spec.policies[0].kind"' in said
    shown = guarded.kubectl(*create, "--dry-run=server", "--validate=false", "--output=json", user="ivan", stdin=told)
    assert json.loads(shown)["spec"] == {"policies": [{"name": "a", "spec": {"podSelector": {}}}]}
