"""The kinds of portcullis.dev on a real API server: what they refuse, and that the webhook's reader says the same."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from pydantic import ValidationError

from tests.controlplane.plane import Plane
from tests.manifests.built import MANIFESTS, PLURALS, Api, Json
from tests.tenancy import test_specs
from webhook.model import TenantKind
from webhook.tenancy.files import load_tree
from webhook.tenancy.specs import ROLES, is_name, read_baseline, read_tenant

pytestmark = pytest.mark.usefixtures("kinds")

GATE = "portcullis.dev/gate"


def read(kind: str, spec: object) -> bool:
    """Say whether the webhook's reader takes the spec."""
    try:
        if kind == "NetworkBaseline":
            read_baseline("dry", spec)
        else:
            read_tenant(cast("TenantKind", kind), "dry", spec)
    except ValidationError:
        return False
    return True


def subject(**fields: object) -> Json:
    return {"roles": [{"role": "OrgAdmin", "subjects": [fields]}]}


def selecting(**selector: object) -> Json:
    return {"namespaceSelector": selector, "policies": []}


def where(**expression: object) -> Json:
    return selecting(matchExpressions=[expression])


def policies(*items: object) -> Json:
    return {"policies": list(items)}


SUBJECT = "spec.roles[0].subjects[0]"


@pytest.mark.parametrize(
    ("kind", "spec", "told"),
    [
        pytest.param("Organization", {"role": []}, 'unknown field "spec.role"', id="misspelt-field"),
        pytest.param("Organization", {"roles": [{"role": "ProjectAdmin"}]}, "spec.roles[0].role", id="role-of-below"),
        pytest.param(
            "Project", {"roles": [{"role": "OrgAdmin"}]}, '"ProjectAdmin", "ProjectReader"', id="role-of-above"
        ),
        pytest.param("Workspace", {"project": "p", "roles": [{"role": "Boss"}]}, '"WorkspaceAdmin"', id="no-role"),
        pytest.param("Workspace", {}, "spec.project: Required value", id="workspace-without-project"),
        pytest.param("Workspace", {"project": "a.b"}, "spec.project", id="project-with-a-dot"),
        pytest.param("Project", {"enforcement": {}}, 'unknown field "spec.enforcement"', id="enforcement-below"),
        pytest.param("Organization", subject(kind="Robot", name="r"), f"{SUBJECT}.kind", id="kind-of-subject"),
        pytest.param("Organization", subject(kind="User", name=""), f"{SUBJECT}.name", id="empty-name"),
        pytest.param(
            "Organization", subject(kind="User", name="u", apiGroup="v1"), f"{SUBJECT}.apiGroup", id="api-group"
        ),
        pytest.param(
            "Organization",
            subject(kind="ServiceAccount", name="a"),
            f"{SUBJECT}: Invalid value: a ServiceAccount needs its namespace",
            id="account-without-namespace",
        ),
        pytest.param(
            "Organization",
            subject(kind="ServiceAccount", name="a:b", namespace="n"),
            "neither a ServiceAccount's name nor its namespace has a colon",
            id="account-with-a-colon",
        ),
        pytest.param(
            "Organization",
            subject(kind="ServiceAccount", name="a", namespace="n:m"),
            "neither a ServiceAccount's name nor its namespace has a colon",
            id="namespace-with-a-colon",
        ),
        pytest.param(
            "Organization",
            subject(kind="Group", name="g", namespace="n"),
            "only a ServiceAccount has a namespace",
            id="group-with-namespace",
        ),
        pytest.param(
            "Organization",
            subject(kind="User", name="system:serviceaccount:n:a"),
            "write it as kind: ServiceAccount with name and namespace",
            id="account-spelled-as-user",
        ),
        pytest.param("Project", {"baselines": ["zero.trust"]}, "spec.baselines[0]", id="baseline-with-a-dot"),
        pytest.param(
            "Project", {"guardrails": {"toAnywhere": "allow"}}, 'supported values: "Allow", "Deny"', id="lower-case"
        ),
        pytest.param(
            "Project", {"guardrails": {"protectedCIDRs": ["10.0.0.1/8"]}}, "without host bits", id="host-bits"
        ),
        pytest.param(
            "Project", {"guardrails": {"protectedCIDRs": ["10.0.0.1"]}}, "such as 10.0.0.0/8", id="bare-address"
        ),
        pytest.param(
            "Organization", {"enforcement": {"*": "off"}}, '"enforce", "warn", "audit"', id="no-such-enforcement"
        ),
        pytest.param("Organization", {"enforcement": {"*": None}}, "Unsupported value: null", id="null-enforcement"),
        pytest.param("Organization", {"enforcement": {"RBAC/x": "warn"}}, "a key is *, a category", id="no-rule"),
        pytest.param("NetworkBaseline", {}, "spec.policies: Required value", id="no-policies"),
        pytest.param("NetworkBaseline", policies({"name": "a"}), "spec.policies[0].spec: Required", id="no-spec"),
        pytest.param("NetworkBaseline", policies({"name": "a.b", "spec": {}}), "spec.policies[0].name", id="dot"),
        pytest.param(
            "NetworkBaseline",
            policies({"name": "a", "spec": {}}, {"name": "a", "spec": {}}),
            "spec.policies[1]: Duplicate value",
            id="two-of-a-name",
        ),
        pytest.param("NetworkBaseline", policies() | {"drift": "repair"}, '"Repair", "Report"', id="drift"),
        pytest.param("NetworkBaseline", selecting(matchLabel={}), 'unknown field "spec.namesp', id="misspelt-labels"),
        pytest.param(
            "NetworkBaseline", selecting(matchLabels={"tier": None}), "a label needs a value", id="null-label"
        ),
        pytest.param("NetworkBaseline", where(key="t", operator="in"), '"In", "NotIn", "Exists"', id="operator"),
        pytest.param("NetworkBaseline", where(key="t", operator="In"), "In and NotIn need values", id="no-values"),
        pytest.param(
            "NetworkBaseline", where(key="t", operator="Exists", values=["a"]), "DoesNotExist take none", id="values"
        ),
        pytest.param(
            "NetworkBaseline", selecting(matchLabels={GATE: "enforced"}), "follows from the baselines", id="gate"
        ),
        pytest.param(
            "NetworkBaseline", where(key=GATE, operator="Exists"), "follows from the baselines", id="gate-by-expression"
        ),
        pytest.param(
            "NetworkBaseline",
            where(key="t", operator="In", values=[f"v{number}" for number in range(499)])
            | selecting(
                matchLabels={"a": "b"},
                matchExpressions=[{"key": "t", "operator": "In", "values": [f"v{number}" for number in range(499)]}],
            ),
            "more than 500 labels and values",
            id="too-many-conditions",
        ),
    ],
)
def test_a_wrong_spec_is_refused_by_both(api: Api, kind: str, spec: Json, told: str) -> None:
    """The API server says what is wrong before any webhook is asked, and the webhook would say no as well."""
    answer = api.ours(kind, spec)
    assert answer.status in {400, 422}
    assert told in answer.told
    assert not read(kind, spec)


def test_what_files_refuse_the_api_server_refuses(api: Api) -> None:
    """All that the reader's own tests have refused; a schema cannot look into a spec whose every field is kept."""
    wrong: Any = vars(test_specs.test_a_wrong_spec_is_refused_at_its_place)["pytestmark"][0].args[1]
    assert len(wrong) > 80
    taken = {each.id for each in wrong if api.ours(each.values[0], each.values[1]).status < 400}
    assert taken == {each.id for each in wrong if each.id.startswith("variable-")} != set()


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        pytest.param("Organization", {"roles": None}, id="roles"),
        pytest.param("Organization", {"baselines": None}, id="baselines"),
        pytest.param("Organization", {"guardrails": None}, id="guardrails"),
        pytest.param("Organization", {"enforcement": None}, id="enforcement"),
        pytest.param("Organization", {"roles": [{"role": "OrgAdmin", "subjects": None}]}, id="subjects"),
        pytest.param("Organization", subject(kind="User", name="u", namespace=None), id="namespace"),
        pytest.param("Organization", subject(kind="User", name="u", apiGroup=None), id="api-group"),
        pytest.param("NetworkBaseline", policies() | {"drift": None}, id="drift"),
    ],
)
def test_a_null_is_dropped_where_nothing_means_the_same(api: Api, kind: str, spec: Json) -> None:
    """The API server leaves it out without a word; what it stores is read."""
    answer = api.ours(kind, spec)
    assert answer.status == 201
    assert not read(kind, spec)
    assert read(kind, answer.body.get("spec"))


@pytest.mark.parametrize(
    ("kind", "spec", "told"),
    [
        # Go's address parser, by which the API server reads a CIDR, takes neither; Python's takes both.
        pytest.param("Project", {"guardrails": {"protectedCIDRs": ["::ffff:10.0.0.0/104"]}}, "CIDR", id="ipv4-mapped"),
        pytest.param("Project", {"guardrails": {"protectedCIDRs": ["10.0.0.0/08"]}}, "CIDR", id="prefix-08"),
        # Bounds, by which the API server estimates what a rule may cost; in files there is nobody to protect.
        pytest.param("Project", {"baselines": ["a"] * 65}, "at most 64", id="baselines"),
        pytest.param("Project", {"roles": [{"role": "ProjectAdmin"}] * 33}, "at most 32", id="roles"),
        pytest.param(
            "Organization",
            {"roles": [{"role": "OrgAdmin", "subjects": [{"kind": "User", "name": "u"}] * 1001}]},
            "at most 1000",
            id="subjects",
        ),
        pytest.param("Organization", subject(kind="User", name="u" * 513), "more than 512", id="length-of-a-name"),
        pytest.param("Project", {"guardrails": {"protectedCIDRs": ["::/0"] * 257}}, "at most 256", id="ranges"),
        pytest.param(
            "Organization",
            {"enforcement": {f"rbac/{'a' * (1 + number)}": "warn" for number in range(129)}},
            "at most 128",
            id="enforcement",
        ),
        pytest.param(
            "NetworkBaseline",
            policies(*({"name": f"p{number}", "spec": {}} for number in range(101))),
            "at most 100",
            id="policies",
        ),
    ],
)
def test_what_the_api_server_alone_refuses(api: Api, kind: str, spec: Json, told: str) -> None:
    """A cluster never holds what the reader would not take; the other way round these are all that is known."""
    answer = api.ours(kind, spec)
    assert answer.status == 422
    assert told in answer.told
    assert read(kind, spec)


SELECTOR = {
    "matchLabels": {"tier": "edge", "empty": ""},
    "matchExpressions": [
        {"key": "a", "operator": "In", "values": ["b", ""]},
        {"key": "c", "operator": "NotIn", "values": ["d"]},
        {"key": "e", "operator": "Exists"},
        {"key": "f", "operator": "DoesNotExist", "values": []},
    ],
}
SUBJECTS = [
    {"kind": "Group", "name": "oidc:acme-admins", "apiGroup": "rbac.authorization.k8s.io"},
    {"kind": "User", "name": "https://issuer.example#ada", "apiGroup": ""},
    {"kind": "ServiceAccount", "name": "argocd", "namespace": "gitops"},
    {"kind": "User", "name": "u", "namespace": ""},
]
ANYTHING = {
    "podSelector": {"matchLabels": {"$(namespace)": "$(workspace)"}},
    "policyTypes": ["Ingress"],
    "ingress": [{"from": [{"ipBlock": {"cidr": "$(project)"}}], "ports": "$(organization)"}],
    "later": {"than": [{"kubernetes": "knows"}, 1, True, 1.5]},
}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        pytest.param("Organization", {}, id="organization-of-nothing"),
        pytest.param(
            "Organization",
            {
                "roles": [{"role": role, "subjects": SUBJECTS} for role in sorted(ROLES["Organization"])] * 2,
                "baselines": ["a" * 63, "0"],
                "guardrails": test_specs.EVERY_GUARDRAIL,
                "enforcement": {"*": "audit", "rbac/*": "warn", "guardrail/from-anywhere": "enforce"},
            },
            id="organization",
        ),
        pytest.param(
            "Project",
            {
                "roles": [{"role": "ProjectAdmin"}, {"role": "ProjectReader", "subjects": []}],
                "guardrails": {"protectedCIDRs": ["::/0", "0.0.0.0/0", "64:ff9b::10.0.0.0/120", "FD00::/8"]},
            },
            id="project",
        ),
        pytest.param("Workspace", {"project": "p", "roles": [{"role": "WorkspaceReader"}]}, id="workspace"),
        pytest.param("NetworkBaseline", policies(), id="baseline-of-nothing"),
        pytest.param("NetworkBaseline", policies() | {"namespaceSelector": {}}, id="baseline-for-all"),
        pytest.param(
            "NetworkBaseline",
            policies({"name": "a", "spec": ANYTHING}, {"name": "b", "spec": {}})
            | {"drift": "Report", "namespaceSelector": SELECTOR},
            id="baseline",
        ),
    ],
)
def test_a_right_spec_is_taken_and_kept_by_both(api: Api, kind: str, spec: Json) -> None:
    """Nothing is added to it and nothing left out, so that tools which compare it with its file agree."""
    answer = api.ours(kind, spec)
    assert answer.told == ""
    assert answer.body["spec"] == spec
    assert read(kind, spec)


def test_a_workspace_needs_a_spec_and_the_tree_above_does_not(api: Api) -> None:
    """As the reader has it for a manifest without one."""
    taken = {kind for kind in PLURALS if api.ours(kind, None).status == 201}
    assert taken == {kind for kind in PLURALS if read(kind, None)} == {"Organization", "Project"}


@pytest.mark.parametrize("name", ["a.b", "a" * 64, "a" * 63, "0", "a-b"])
@pytest.mark.parametrize("kind", sorted(PLURALS))
def test_a_name_can_stand_in_a_label(api: Api, kind: str, name: str) -> None:
    """Kubernetes itself would take dots and 253 characters."""
    spec = {"Workspace": {"project": "p"}, "NetworkBaseline": policies()}.get(kind, {})
    answer = api.ours(kind, spec, name)
    assert (answer.status == 201) == is_name(name)
    if not is_name(name):
        assert "metadata.name: Invalid value: the name has to be up to 63 of a-z, 0-9 and -" in answer.told


@pytest.fixture(scope="module")
def tree(plane: Plane, kinds: None) -> Iterator[None]:  # noqa: ARG001 - the kinds come first
    """The example tree, stored."""
    folder = str(MANIFESTS / "examples" / "acme")
    plane.kubectl("apply", "-k", folder)
    yield
    plane.kubectl("delete", "-k", folder)


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("named", "columns", "row"),
    [
        ("org", ["NAME", "BASELINES", "AGE"], ["acme", '["zero-trust"]']),
        ("proj", ["NAME", "BASELINES", "AGE"], ["payments"]),
        ("ws", ["NAME", "PROJECT", "BASELINES", "AGE"], ["checkout", "payments"]),
        ("nb", ["NAME", "DRIFT", "READY", "NAMESPACES", "AGE"], ["zero-trust"]),
    ],
)
def test_a_list_shows_what_matters(plane: Plane, named: str, columns: list[str], row: list[str]) -> None:
    """By the short name, with the place in the tree."""
    head, *rows = plane.kubectl("get", named).stdout.splitlines()
    assert head.split() == columns
    assert any(each.split()[: len(row)] == row for each in rows)


@pytest.mark.usefixtures("tree")
def test_the_example_is_the_same_in_a_cluster_and_in_files(plane: Plane) -> None:
    """`kubectl apply -k` brings the whole tree, its category lists it, and the files are read without a warning."""
    listed = plane.kubectl("get", "portcullis", "-o", "name").stdout.split()
    loading = load_tree(MANIFESTS / "examples" / "acme")
    assert loading.tree
    assert not loading.warnings
    assert {"organization.portcullis.dev/acme", "workspace.portcullis.dev/ranking"} <= set(listed)
    assert len(listed) >= 7


@pytest.mark.usefixtures("tree")
def test_the_readiness_of_a_baseline_is_shown(plane: Plane) -> None:
    """Its status is written apart from its spec, and the column Ready follows."""
    condition = {"type": "Ready", "status": "True", "reason": "Applied", "message": "everywhere"}
    status = {"observedGeneration": 1, "conditions": [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    patch = f'{{"status": {str(status).replace(chr(39), chr(34))}}}'
    plane.kubectl("patch", "nb", "zero-trust", "--subresource=status", "--type=merge", "-p", patch)
    _, *rows = plane.kubectl("get", "nb", "zero-trust").stdout.splitlines()
    assert rows[0].split()[:2] == ["zero-trust", "True"]


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("organization", "The top of the tenant tree"),
        ("organization.spec.enforcement", "enforce refuses, warn warns"),
        ("project.spec.guardrails.protectedCIDRs", "Ranges that no egress may reach"),
        ("workspace.spec.project", "Name of the Project"),
        ("workspace.spec.roles.subjects.namespace", "Where a ServiceAccount lives"),
        ("networkbaseline.spec.policies.spec", "The spec of a NetworkPolicy"),
        ("networkbaseline.status.conditions", "What is true of it"),
    ],
)
def test_explain_has_an_answer(plane: Plane, field: str, told: str) -> None:
    """`kubectl explain` is where people look first."""
    assert told in " ".join(plane.kubectl("explain", field).stdout.split())
