"""The guardrails as a tenant meets them: kubectl is refused what opens too much, in whichever kind it is said."""

from typing import Any

import pytest

from tests.e2e.guarded import Guarded
from tests.e2e.manifests import WORKSPACE, documents, namespace, ours, policy
from tests.e2e.reading import until

Json = dict[str, Any]

NAME = "kubernetes.io/metadata.name"


@pytest.fixture(scope="module")
def fenced(guarded: Guarded) -> str:
    """A namespace of a workspace that does not let its policies leave the project."""
    workspace = ours("Workspace", "fenced", project="payments", guardrails={"crossProject": "Deny"})
    guarded.kubectl("apply", "--filename=-", user="root", stdin=documents(workspace))
    guarded.kubectl("create", "--filename=-", user="olga", stdin=documents(namespace("fenced-dev", "fenced")))
    guarded.await_ready("fenced-dev")
    return "fenced-dev"


def to(*peers: Json, **more: Any) -> Json:
    """Return a spec that lets out to these peers."""
    return {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": list(peers)}], **more}


def block(cidr: str, *without: str) -> Json:
    """Return a peer of addresses."""
    return {"ipBlock": {"cidr": cidr} | ({"except": list(without)} if without else {})}


def selected(**labels: str) -> Json:
    """Return a peer of namespaces by a label; `name` is the one that says its name."""
    return {
        "namespaceSelector": {"matchLabels": {NAME if key == "name" else key: each for key, each in labels.items()}}
    }


def foreign(api: str, kind: str, **spec: Any) -> Json:
    """Return an object of a CNI's kind; the place is filled in."""
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "web", "namespace": ""}, "spec": spec}


def cilium(**spec: Any) -> Json:
    """Return a CiliumNetworkPolicy of all pods."""
    return foreign("cilium.io/v2", "CiliumNetworkPolicy", endpointSelector={}, **spec)


def calico(**side: Any) -> Json:
    """Return a Calico NetworkPolicy that lets in from one source."""
    ingress = [{"action": "Allow", "source": side}]
    return foreign("projectcalico.org/v3", "NetworkPolicy", selector="all()", ingress=ingress)


NARROW = to(block("10.0.0.0/8"))
CASES: dict[str, tuple[Json, Json]] = {
    # rule: what it lets pass, what it refuses
    "guardrail/from-anywhere": (
        policy("", spec={"podSelector": {}, "ingress": [{"from": [block("10.0.0.0/8")]}]}),
        policy("", spec={"podSelector": {}, "ingress": [{}]}),
    ),
    "guardrail/to-anywhere": (
        policy("", spec=NARROW),
        policy("", spec=to(block("0.0.0.0/1"), block("128.0.0.0/1", "169.254.0.0/16"))),
    ),
    "guardrail/all-namespaces": (
        policy("", spec=to(selected(name="refunds"))),
        policy("", spec=to(selected(team="a"))),
    ),
    "guardrail/protected-cidr": (
        policy("", spec=to(block("169.254.0.0/16", "169.254.169.254/32"))),
        policy("", spec=to(block("169.254.0.0/16"))),
    ),
    "guardrail/malformed": (
        cilium(egress=[{"toCIDR": ["10.0.0.0/8"]}]),
        cilium(egress=[{"toCIDR": ["010.0.0.0/8"]}]),
    ),
    "guardrail/not-understood": (calico(nets=["10.0.0.0/8"]), calico(services={"name": "web"})),
}


@pytest.mark.parametrize(("passing", "refused"), CASES.values(), ids=CASES.keys())
def test_a_guardrail_refuses_what_opens_too_much(
    passing: Json, refused: Json, guarded: Guarded, request: pytest.FixtureRequest
) -> None:
    """The owner may write the one and not the other, which is refused by this rule alone."""
    rule = request.node.callspec.id
    place = f"rail-{rule.split('/')[1]}"
    guarded.create(place)
    for each in (passing, refused):
        each["metadata"]["namespace"] = place
    said = guarded.refused("create", "--filename=-", user="wanda", stdin=documents(refused))
    assert f"[{rule}] wanda may not create {refused['kind']} {place}/web: " in said
    assert said.count("[guardrail/") == 1
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=documents(passing))
    # The other one is refused as a change, too, and may go.
    assert f"[{rule}]" in guarded.refused("replace", "--filename=-", user="wanda", stdin=documents(refused)) or (
        passing["kind"] != refused["kind"]
    )
    guarded.kubectl("delete", "--filename=-", user="wanda", stdin=documents(passing))


def test_no_policy_leaves_its_project_where_that_is_refused(guarded: Guarded, fenced: str) -> None:
    """Neither by another project's label nor by a name that nobody has yet; the platform's namespaces pass."""
    for peer in (selected(**{"portcullis.dev/project": "search"}), selected(name="nobody-yet")):
        said = guarded.refused("create", "--filename=-", user="olga", stdin=documents(policy(fenced, spec=to(peer))))
        assert (
            f"[guardrail/cross-project] olga may not create NetworkPolicy {fenced}/web: spec.egress[0].to[0] " in said
        )
    passing = policy(fenced, spec=to(selected(name="kube-system"), selected(**{WORKSPACE: "checkout"})))
    guarded.kubectl("create", "--filename=-", user="olga", stdin=documents(passing))


def test_an_update_that_opens_nothing_more_passes_with_a_warning(guarded: Guarded) -> None:
    """What predates the gate can be narrowed step by step, and each step says what is left."""
    guarded.create("narrowed")
    wide = policy("narrowed", spec=to(block("169.254.0.0/16"), block("10.0.0.0/8")))
    guarded.kubectl("create", "--filename=-", user="root", stdin=documents(wide))
    less = policy("narrowed", spec=to(block("169.254.0.0/16")))
    ran = guarded.plane.kubectl("replace", "--filename=-", user="wanda", stdin=documents(less))
    assert "Warning: [guardrail/protected-cidr]" in ran.stderr
    assert "opens nothing more" in ran.stderr
    guarded.kubectl("delete", "namespace", "narrowed", "--wait=false", user="olga")


def test_what_stands_in_an_adopted_namespace_is_judged_and_told(guarded: Guarded) -> None:
    """An OrgAdmin who takes a namespace into a workspace hears which policies in it undo the default deny."""
    guarded.kubectl("create", "namespace", "found", user="olga")
    standing = policy("found", "old-hole", spec={"podSelector": {}, "ingress": [{}]})
    guarded.kubectl("create", "--filename=-", user="olga", stdin=documents(standing))
    ran = guarded.plane.kubectl("label", "namespace", "found", f"{WORKSPACE}=checkout", user="olga")
    assert "Warning: [guardrail/from-anywhere] NetworkPolicy old-hole, which stands in namespace found," in ran.stderr

    def state() -> str:
        found = guarded.reader.namespace("found")
        assert found
        return str(found["metadata"].get("annotations", {}).get("portcullis.dev/baseline"))

    until(lambda: "Drifted" in state() and "old-hole" in state(), 15)
    guarded.kubectl("delete", "namespace", "found", "--wait=false", user="olga")
