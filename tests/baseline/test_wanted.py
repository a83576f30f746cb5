"""What a namespace gets of its baselines: what keeps one back, what is filled in, and what the namespace carries."""

import base64
import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import jsonpatch
import orjson
import pytest

from tests.cases.reviews import ADA, IVAN, NAMESPACE, WORKSPACE, Asked, Caller, Json, namespace
from tests.cases.table import PENDING
from tests.conftest import Loop
from webhook.admission import Gate
from webhook.baseline.wanted import WantedPolicy, derived_labels, filled, state_of, wanted_at
from webhook.decision.bundle import Bundle
from webhook.model import (
    BASELINE_LABEL,
    GATE_LABEL,
    MANAGED_BY_LABEL,
    ORGANIZATION_LABEL,
    PROJECT_LABEL,
    STATE_ANNOTATION,
    Baseline,
    BaselinePolicy,
    Place,
    Standing,
)
from webhook.tenancy.specs import VARIABLES, read_baseline
from webhook.tenancy.tree import Tree

OWNED = Place(
    "checkout-dev",
    Standing.OWNED,
    workspace="checkout",
    project="payments",
    organization="acme",
    path=("Workspace/checkout", "Project/payments", "Organization/acme"),
    baselines=("mesh", "zero-trust"),
)
UNOWNED = Place("monitoring", Standing.UNOWNED, path=("Organization/acme",), baselines=("zero-trust",))
ORPHANED = dataclasses.replace(UNOWNED, namespace="lost", standing=Standing.ORPHANED, workspace="ghost")
DENY: Json = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
ZERO_TRUST = Baseline("zero-trust", (BaselinePolicy("default-deny", DENY), BaselinePolicy("allow-dns", {})))
MESH = Baseline("mesh", (BaselinePolicy("sidecar", {"podSelector": {}}),), drift="Report")
BOTH = {"zero-trust": ZERO_TRUST, "mesh": MESH}


def baseline_of(*specs: Json, name: str = "zero-trust") -> dict[str, Baseline]:
    """Return a baseline of these specs, its policies called p0, p1 and so on, as `wanted_at` takes them."""
    return {name: Baseline(name, tuple(BaselinePolicy(f"p{index}", spec) for index, spec in enumerate(specs)))}


# What keeps a baseline back.


def test_a_baseline_that_is_not_there_is_a_problem_and_the_others_come() -> None:
    """It is told by name, it is not complete, and what can be brought is."""
    wanted = wanted_at(OWNED, {"zero-trust": ZERO_TRUST})
    assert wanted.problems == ("there is no NetworkBaseline mesh",)
    assert wanted.complete == {"zero-trust"}
    assert [each.name for each in wanted.policies] == ["zero-trust.default-deny", "zero-trust.allow-dns"]


def test_a_baseline_that_cannot_be_read_is_a_problem() -> None:
    """It brings nothing, nothing of it is surplus, and the reason is the one that it was stored with."""
    broken = Baseline("mesh", (), {}, unreadable="NetworkBaseline mesh cannot be read: spec.polices: no such field")
    wanted = wanted_at(OWNED, {**BOTH, "mesh": broken})
    assert wanted.problems == (broken.unreadable,)
    assert wanted.complete == {"zero-trust"}


@pytest.mark.parametrize("place", [UNOWNED, ORPHANED], ids=["unowned", "orphaned"])
@pytest.mark.parametrize("variable", ["workspace", "project", "organization"])
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"podSelector": {"matchLabels": {"w": "$(%s)"}}}, id="a-value"),
        pytest.param({"podSelector": {"matchLabels": {"$(%s)": "w"}}}, id="a-key"),
        pytest.param({"ingress": [{"from": [{"podSelector": {"matchLabels": {"a": "é-$(%s)-b"}}}]}]}, id="deep"),
    ],
)
def test_a_variable_that_is_nothing_is_a_problem(place: Place, variable: str, spec: Json) -> None:
    """An unowned namespace has no workspace, project or organization, and an empty label would select others."""
    written = json.loads(json.dumps(spec) % variable)
    wanted = wanted_at(place, baseline_of(DENY, written))
    assert wanted.problems == (
        f"NetworkBaseline zero-trust: $({variable}) of policy p1 is nothing in an unowned namespace",
    )
    assert (wanted.policies, wanted.complete) == ((), frozenset())


def test_the_namespace_itself_is_filled_in_everywhere() -> None:
    """A baseline that names only the namespace can be brought to an unowned one."""
    spec = {"podSelector": {"matchLabels": {"ns": "$(namespace)"}}}
    wanted = wanted_at(UNOWNED, baseline_of(spec))
    assert wanted.problems == ()
    assert wanted.policies[0].spec["podSelector"] == {"matchLabels": {"ns": "monitoring"}}


def test_every_variable_that_can_be_written_is_filled_in() -> None:
    """What the reader of baselines lets pass has a value in an owned namespace."""
    labels = {name: f"$({name})" for name in sorted(VARIABLES)}
    spec = {"policies": [{"name": "all", "spec": {"podSelector": {"matchLabels": labels}}}]}
    wanted = wanted_at(OWNED, {"zero-trust": read_baseline("zero-trust", spec), "mesh": MESH})
    assert wanted.problems == ()
    assert wanted.policies[-1].spec["podSelector"]["matchLabels"] == {
        "namespace": "checkout-dev",
        "workspace": "checkout",
        "project": "payments",
        "organization": "acme",
    }


# What is filled in.

VALUES = {"namespace": "dev", "workspace": "checkout", "project": "$(namespace)", "organization": ""}


@pytest.mark.parametrize(
    ("written", "found"),
    [
        pytest.param("$(namespace)", "dev", id="alone"),
        pytest.param("a-$(namespace)-b", "a-dev-b", id="in-a-text"),
        pytest.param("$(namespace)$(workspace)/$(namespace)", "devcheckout/dev", id="several"),
        pytest.param("$(project)", "$(namespace)", id="what-was-filled-in-is-not-looked-at"),
        pytest.param("$(project)$(namespace)", "$(namespace)dev", id="nor-what-stands-before-another"),
        pytest.param("$$(project))", "$$(namespace))", id="nor-with-signs-around-it"),
        pytest.param("$($(namespace))", "$(dev)", id="inside-of-something-like-one"),
        pytest.param("[$(organization)]", "[]", id="an-empty-value"),
        pytest.param("$(x)", "$(x)", id="unknown-is-left"),
        pytest.param("$(x) $(namespace)", "$(x) dev", id="unknown-before-a-known-one"),
        pytest.param("$(Namespace) $(namespace )", "$(Namespace) $(namespace )", id="almost-known"),
        pytest.param("$()", "$()", id="nameless"),
        pytest.param("$(namespace", "$(namespace", id="never-closed"),
        pytest.param("$(namespace $(namespace)", "$(namespace dev", id="closed-the-second-time"),
        pytest.param("$namespace ${namespace} (namespace)", "$namespace ${namespace} (namespace)", id="others-ways"),
        pytest.param("", "", id="empty"),
        pytest.param({"$(namespace)": {"x-$(workspace)": 1}}, {"dev": {"x-checkout": 1}}, id="keys"),
        pytest.param([["$(namespace)"], {"a": ["$(workspace)"]}], [["dev"], {"a": ["checkout"]}], id="nested"),
        pytest.param(("$(namespace)",), ["dev"], id="a-tuple-is-a-list"),
        pytest.param([1, 2.5, True, None], [1, 2.5, True, None], id="no-text"),
    ],
)
def test_variables_are_filled_in_once(written: Any, found: Any) -> None:
    """Each known one in every string, key or value; whatever else looks like one stays as it is."""
    assert filled(written, VALUES) == found


def test_a_baseline_is_not_changed_by_what_is_filled_in() -> None:
    """The same baseline serves the next namespace."""
    spec = {"podSelector": {"matchLabels": {"ns": "$(namespace)"}}, "ingress": [{"from": []}]}
    before = json.dumps(spec)
    wanted_at(UNOWNED, baseline_of(spec))
    assert json.dumps(spec) == before


# What a policy is.


def test_a_policy_is_called_by_its_baseline_and_its_own_name() -> None:
    """It stands in the namespace, carries the two labels and no more, and knows whether a change is repaired."""
    found = {each.name: each for each in wanted_at(OWNED, BOTH).policies}
    assert set(found) == {"mesh.sidecar", "zero-trust.default-deny", "zero-trust.allow-dns"}
    assert {name: each.repairs for name, each in found.items() if each.baseline == "mesh"} == {"mesh.sidecar": False}
    assert found["zero-trust.allow-dns"].repairs
    for each in found.values():
        assert each.namespace == "checkout-dev"
        assert each.labels == {MANAGED_BY_LABEL: "portcullis", BASELINE_LABEL: each.baseline}


@pytest.mark.parametrize(
    ("spec", "whole"),
    [
        pytest.param({}, ({}, ["Ingress"], [], []), id="nothing-said"),
        pytest.param(
            {"podSelector": None, "policyTypes": None, "ingress": None, "egress": None},
            ({}, ["Ingress"], [], []),
            id="nulls",
        ),
        pytest.param({"policyTypes": []}, ({}, ["Ingress"], [], []), id="no-types"),
        pytest.param({"ingress": [{}]}, ({}, ["Ingress"], [{}], []), id="ingress"),
        pytest.param({"egress": [{}]}, ({}, ["Ingress", "Egress"], [], [{}]), id="egress-is-a-type"),
        pytest.param({"egress": []}, ({}, ["Ingress"], [], []), id="no-egress-rule-is-none"),
        pytest.param({"policyTypes": ["Egress"]}, ({}, ["Egress"], [], []), id="types-that-are-named"),
        pytest.param(
            {"policyTypes": ["Ingress"], "egress": [{}]}, ({}, ["Ingress"], [], [{}]), id="types-against-the-rules"
        ),
        pytest.param(
            {"podSelector": {"matchLabels": {"a": "b"}}},
            ({"matchLabels": {"a": "b"}}, ["Ingress"], [], []),
            id="some-pods",
        ),
    ],
)
def test_every_field_is_named(spec: Json, whole: tuple[Json, list[str], list[Json], list[Json]]) -> None:
    """Empty lists too, so that an apply owns what others might add to; policyTypes default as in the API server."""
    wanted = wanted_at(UNOWNED, baseline_of(spec)).policies[0]
    assert wanted.spec == dict(zip(("podSelector", "policyTypes", "ingress", "egress"), whole, strict=True))


def test_a_field_that_we_do_not_know_is_sent() -> None:
    """The API server refuses it where somebody sees it; dropped in silence the policy would mean something else."""
    wanted = wanted_at(UNOWNED, baseline_of({"podSelektor": {}})).policies[0]
    assert wanted.spec["podSelektor"] == {}


def test_a_manifest_is_what_the_api_server_takes() -> None:
    """Whole for an apply; with a resourceVersion it replaces that version and no other."""
    wanted = WantedPolicy("dev", "b.p", "b", DENY, repairs=True)
    labels = {MANAGED_BY_LABEL: "portcullis", BASELINE_LABEL: "b"}
    manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "b.p", "namespace": "dev", "labels": labels},
        "spec": DENY,
    }
    assert wanted.manifest() == manifest
    assert wanted.manifest("7")["metadata"] == {"name": "b.p", "namespace": "dev", "labels": labels} | {
        "resourceVersion": "7"
    }


# The revision.


def test_the_revision_is_of_the_policies_and_nothing_else() -> None:
    """Where the namespace stands, how it was found, drift and the order of keys do not count."""
    revision = wanted_at(OWNED, BOTH).revision
    others = [
        wanted_at(dataclasses.replace(OWNED, workspace="refunds", project="search", namespace="other"), BOTH),
        wanted_at(OWNED, {**BOTH, "mesh": dataclasses.replace(MESH, drift="Repair", selector={})}),
        wanted_at(OWNED, {**BOTH, "unrelated": Baseline("unrelated", (BaselinePolicy("p", {}),))}),
        wanted_at(
            OWNED,
            {
                "mesh": MESH,
                "zero-trust": Baseline(
                    "zero-trust",
                    (
                        BaselinePolicy("default-deny", dict(reversed(DENY.items()))),
                        BaselinePolicy("allow-dns", {"egress": None, "ingress": []}),
                    ),
                ),
            },
        ),
    ]
    assert {each.revision for each in others} == {revision}


@pytest.mark.parametrize(
    ("place", "baselines"),
    [
        pytest.param(OWNED, {**BOTH, "mesh": Baseline("mesh", (BaselinePolicy("x", {}),))}, id="another-name"),
        pytest.param(OWNED, {**BOTH, "mesh": Baseline("mesh", (BaselinePolicy("sidecar", DENY),))}, id="another-spec"),
        pytest.param(OWNED, {"zero-trust": ZERO_TRUST}, id="one-less"),
        pytest.param(dataclasses.replace(OWNED, baselines=("mesh",)), BOTH, id="one-that-does-not-apply-any-more"),
    ],
)
def test_the_revision_changes_with_the_policies(place: Place, baselines: dict[str, Baseline]) -> None:
    """A name, a spec, one more or less is another revision."""
    assert wanted_at(place, baselines).revision != wanted_at(OWNED, BOTH).revision


def test_the_revision_changes_with_what_is_filled_in() -> None:
    """Two namespaces get different policies of one baseline that names the namespace."""
    spec = {"podSelector": {"matchLabels": {"ns": "$(namespace)"}}}
    one, two = (
        wanted_at(dataclasses.replace(UNOWNED, namespace=name), baseline_of(spec)).revision for name in ("a", "b")
    )
    assert one != two


def test_without_a_baseline_there_is_no_revision() -> None:
    """A namespace that gets nothing has nothing to be of a revision; one whose baseline is empty has."""
    nothing = wanted_at(dataclasses.replace(UNOWNED, baselines=()), BOTH)
    assert (nothing.revision, nothing.policies, nothing.problems) == ("", (), ())
    assert wanted_at(UNOWNED, baseline_of()).revision


# What the namespace carries: as the Rego says, which is asked.

PLACES = {
    "owned": OWNED,
    "owned-without-baseline": dataclasses.replace(OWNED, baselines=()),
    "unowned": dataclasses.replace(UNOWNED, baselines=()),
    "unowned-with-baseline": UNOWNED,
    "orphaned": dataclasses.replace(ORPHANED, baselines=()),
    "orphaned-with-baseline": ORPHANED,
    "reserved": Place("kube-system", Standing.RESERVED, workspace="checkout", path=("Organization/acme",)),
    "unknown": Place("nowhere", Standing.UNKNOWN, path=("Organization/acme",)),
}


def test_every_standing_is_compared() -> None:
    """A new one has to be thought of here."""
    assert {each.standing for each in PLACES.values()} == set(Standing)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_the_derived_labels_are_those_of_the_rego(
    place: Place, bundle: Bundle, opa_binary: Path, tmp_path: Path
) -> None:
    """What the controller writes is what the webhook stamps and a rule checks; nothing is None."""
    said = evaluated(opa_binary, bundle, tmp_path, f"data.portcullis.derived.labels({as_json(place)})")
    keys = {PROJECT_LABEL, ORGANIZATION_LABEL, GATE_LABEL}
    assert derived_labels(place) == {key: said.get(key) for key in keys}


def as_json(place: Place) -> str:
    return orjson.dumps(place).decode()


def evaluated(opa: Path, bundle: Bundle, scratch: Path, query: str) -> Any:
    """Return what the shipped Rego says to a query."""
    path = scratch / "bundle.tar.gz"
    bundle.write(path)
    command = [str(opa), "eval", "--bundle", str(path), "--format", "json", query]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)["result"][0]["expressions"][0]["value"]


STAMPED: dict[str, tuple[Caller, str, dict[str, str]]] = {
    "owned": (ADA, "new", {WORKSPACE: "checkout"}),
    "owned, of another project": (ADA, "new", {WORKSPACE: "ranking"}),
    "unowned": (IVAN, "new", {}),
    "unowned, by a selector": (IVAN, "new", {"tier": "edge"}),
    "orphaned": (IVAN, "new", {WORKSPACE: "ghost"}),
    "orphaned, by a selector": (IVAN, "new", {WORKSPACE: "ghost", "tier": "edge"}),
    "reserved": (IVAN, "kube-public", {}),
}


@pytest.mark.parametrize(("caller", "name", "labels"), STAMPED.values(), ids=STAMPED.keys())
def test_what_was_stamped_is_right(
    caller: Caller, name: str, labels: dict[str, str], gate: Gate, loop: Loop, tree: Tree
) -> None:
    """After the webhook's mutation the controller finds no label to change."""
    asked = Asked(caller, "CREATE", NAMESPACE, new=namespace(name, labels))
    answer = orjson.loads(loop.run(gate.mutate(orjson.dumps(asked.review()), seconds=10)))["response"]
    stamped = jsonpatch.apply_patch(asked.new, orjson.loads(base64.b64decode(answer.get("patch", "W10="))))
    carried = stamped["metadata"]["labels"]
    wanted = derived_labels(tree.place(name, carried))
    assert {key: carried.get(key) for key in wanted} == wanted


def test_the_annotation_is_written_as_the_webhook_writes_it() -> None:
    """Key for key, so that telling the same again is no change; what a person wrote stays legible."""
    first = json.loads(PENDING)
    assert state_of("Pending", first["revision"], first["reason"]) == PENDING
    assert state_of("Failed", "", 'größer "x"') == '{"reason":"größer \\"x\\"","revision":"","state":"Failed"}'


def test_the_webhook_writes_the_annotation_of_the_table(bundle: Bundle, opa_binary: Path, tmp_path: Path) -> None:
    """The Rego's own JSON is the text that the controller would write for it."""
    said = evaluated(opa_binary, bundle, tmp_path, f"data.portcullis.derived.pending({as_json(OWNED)})")
    told = json.loads(said[STATE_ANNOTATION])
    assert said == {STATE_ANNOTATION: state_of(told["state"], told["revision"], told["reason"])}
