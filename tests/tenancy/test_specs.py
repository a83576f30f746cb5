"""The four kinds of ours: the nouns that come of them, and what is refused where."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from webhook.model import Baseline, BaselinePolicy, Grant, Subject, Tenant, TenantKind
from webhook.tenancy.specs import KINDS, ROLES, is_name, read_baseline, read_tenant

# A machine that is busy with something else makes a test slow, not wrong.
THOROUGH = settings(max_examples=200, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
Json = dict[str, Any]
EVERY_GUARDRAIL: Json = {
    "fromAnywhere": "Allow",
    "toAnywhere": "Deny",
    "allNamespaces": "Allow",
    "protectedCIDRs": ["10.0.0.0/8", "fd00::/8"],
    "crossProject": "Deny",
    "hostNetwork": "Allow",
    "notUnderstood": "Allow",
}


def test_an_organization_becomes_a_noun() -> None:
    """Every field of the contract's example arrives."""
    spec = {
        "roles": [
            {"role": "OrgAdmin", "subjects": [{"kind": "Group", "name": "acme-admins"}]},
            {
                "role": "InfraAdmin",
                "subjects": [
                    {"kind": "User", "name": "ivan", "apiGroup": "rbac.authorization.k8s.io"},
                    {"kind": "ServiceAccount", "name": "argocd", "namespace": "gitops"},
                ],
            },
        ],
        "baselines": ["zero-trust"],
        "guardrails": EVERY_GUARDRAIL,
        "enforcement": {"*": "audit", "rbac/*": "warn", "guardrail/from-anywhere": "enforce"},
    }
    assert read_tenant("Organization", "acme", spec) == Tenant(
        kind="Organization",
        name="acme",
        roles=(
            Grant("OrgAdmin", (Subject("Group", "acme-admins"),)),
            Grant("InfraAdmin", (Subject("User", "ivan"), Subject("ServiceAccount", "argocd", "gitops"))),
        ),
        baselines=("zero-trust",),
        guardrails={**EVERY_GUARDRAIL, "protectedCIDRs": ("10.0.0.0/8", "fd00::/8")},
        enforcement={"*": "audit", "rbac/*": "warn", "guardrail/from-anywhere": "enforce"},
    )


def test_a_workspace_knows_its_project() -> None:
    """The parent is part of the noun, the key is what the document calls it."""
    workspace = read_tenant("Workspace", "checkout", {"project": "payments"})
    assert workspace == Tenant("Workspace", "checkout", project="payments")
    assert workspace.key == "Workspace/checkout"


@pytest.mark.parametrize(
    "spec", [None, {}, {"roles": [], "baselines": [], "guardrails": {}}], ids=["null", "empty", "fields"]
)
@pytest.mark.parametrize("kind", ["Organization", "Project"])
def test_a_spec_may_say_nothing(kind: TenantKind, spec: object) -> None:
    """An Organization or Project need not have anything."""
    assert read_tenant(kind, "acme", spec) == Tenant(kind, "acme")


def test_a_baseline_becomes_a_noun() -> None:
    """Policies keep their order and their variables, the selector is kept as written."""
    selector = {"matchLabels": {"tier": "edge"}}
    spec: Json = {
        "namespaceSelector": selector,
        "drift": "Report",
        "policies": [
            {"name": "default-deny", "spec": {"podSelector": {}}},
            {
                "name": "same",
                "spec": {"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"n": "$(namespace)"}}}]}]},
            },
        ],
    }
    assert read_baseline("edge", spec) == Baseline(
        "edge", tuple(BaselinePolicy(each["name"], each["spec"]) for each in spec["policies"]), selector, "Report"
    )


def test_a_baseline_without_a_selector_is_for_those_who_name_it() -> None:
    """No selector selects nothing, an empty one everything; drift is repaired unless it says otherwise."""
    assert read_baseline("b", {"policies": []}) == Baseline("b", (), None, "Repair")
    assert read_baseline("b", {"policies": [], "namespaceSelector": {}}).selector == {}


ALL_ROLES = sorted({role for roles in ROLES.values() for role in roles})


@pytest.mark.parametrize("role", ALL_ROLES)
@pytest.mark.parametrize("kind", ["Organization", "Project", "Workspace"])
def test_each_kind_has_its_own_roles(kind: TenantKind, role: str) -> None:
    """A role of another level is refused, with those that there are."""
    spec = {"roles": [{"role": role}], **({"project": "p"} if kind == "Workspace" else {})}
    if role in ROLES[kind]:
        assert read_tenant(kind, "acme", spec).roles == (Grant(role, ()),)
        return
    wrong = errors_of(kind, spec)
    assert list(wrong) == ["roles.0"]
    assert f"'{role}' is no role of a {kind}" in wrong["roles.0"]
    assert all(each in wrong["roles.0"] for each in ROLES[kind])


def read_noun(kind: str, spec: object) -> Tenant | Baseline:
    """Return what a spec of this kind describes."""
    if kind == "NetworkBaseline":
        return read_baseline("name", spec)
    return read_tenant(kind, "name", spec)  # type: ignore[arg-type]  # parametrized by text


def errors_of(kind: str, spec: object) -> dict[str, str]:
    """Return the errors of a spec by their path; there has to be one."""
    with pytest.raises(ValidationError) as caught:
        read_noun(kind, spec)
    return {".".join(str(part) for part in each["loc"]): each["msg"] for each in caught.value.errors()}


def subject(**fields: Any) -> Json:
    """Return the spec of an Organization with this subject."""
    return {"roles": [{"role": "OrgAdmin", "subjects": [fields]}]}


def baseline(**fields: Any) -> Json:
    """Return the spec of a NetworkBaseline."""
    return {"policies": [], **fields}


AT_SUBJECT = "roles.0.subjects.0"


@pytest.mark.parametrize(
    ("kind", "spec", "path", "told"),
    [
        pytest.param("Organization", [], "", "", id="a-list"),
        pytest.param("Organization", "roles", "", "", id="a-text"),
        pytest.param("Organization", {"role": []}, "role", "", id="misspelt-roles"),
        pytest.param("Organization", {"baseline": ["zero-trust"]}, "baseline", "", id="misspelt-baselines"),
        pytest.param("Organization", {"project": "p"}, "project", "", id="an-organization-has-no-project"),
        pytest.param("Project", {"enforcement": {}}, "enforcement", "", id="enforcement-on-a-project"),
        pytest.param(
            "Workspace", {"project": "p", "enforcement": {}}, "enforcement", "", id="enforcement-on-a-workspace"
        ),
        pytest.param("Workspace", {}, "project", "", id="a-workspace-without-project"),
        pytest.param("Workspace", None, "project", "", id="a-workspace-without-spec"),
        pytest.param("Workspace", {"project": "Payments"}, "project", "", id="project-with-upper-case"),
        pytest.param("Workspace", {"project": 7}, "project", "", id="project-is-a-number"),
        pytest.param("Project", {"roles": {}}, "roles", "", id="roles-are-an-object"),
        pytest.param("Project", {"roles": [{}]}, "roles.0.role", "", id="a-grant-of-nothing"),
        pytest.param(
            "Project", {"roles": [{"role": "ProjectAdmin", "subject": []}]}, "roles.0.subject", "", id="subject"
        ),
        pytest.param("Organization", subject(kind="Robot", name="r"), f"{AT_SUBJECT}.kind", "'Group'", id="kind"),
        pytest.param("Organization", subject(kind="user", name="u"), f"{AT_SUBJECT}.kind", "'User'", id="lower-case"),
        pytest.param("Organization", subject(kind="User"), f"{AT_SUBJECT}.name", "", id="no-name"),
        pytest.param("Organization", subject(kind="User", name=""), f"{AT_SUBJECT}.name", "", id="empty-name"),
        pytest.param("Organization", subject(kind="User", name=7), f"{AT_SUBJECT}.name", "", id="name-is-a-number"),
        pytest.param(
            "Organization", subject(kind="User", name="u", nme=1), f"{AT_SUBJECT}.nme", "", id="unknown-field"
        ),
        pytest.param(
            "Organization", subject(kind="User", name="u", apiGroup="v1"), f"{AT_SUBJECT}.apiGroup", "", id="api-group"
        ),
        pytest.param(
            "Organization",
            subject(kind="ServiceAccount", name="argocd"),
            AT_SUBJECT,
            "a ServiceAccount needs its namespace",
            id="account-without-namespace",
        ),
        pytest.param(
            "Organization",
            subject(kind="ServiceAccount", name="argocd", namespace=""),
            AT_SUBJECT,
            "a ServiceAccount needs its namespace",
            id="account-with-empty-namespace",
        ),
        pytest.param(
            "Organization",
            subject(kind="ServiceAccount", name="a:b", namespace="gitops"),
            AT_SUBJECT,
            "has a colon",
            id="account-with-a-colon",
        ),
        pytest.param(
            "Organization",
            subject(kind="ServiceAccount", name="b", namespace="gitops:a"),
            AT_SUBJECT,
            "has a colon",
            id="account-namespace-with-a-colon",
        ),
        pytest.param(
            "Organization",
            subject(kind="User", name="system:serviceaccount:gitops:argocd"),
            AT_SUBJECT,
            "write it as kind: ServiceAccount with name and namespace",
            id="account-spelled-as-user",
        ),
        pytest.param(
            "Organization",
            subject(kind="User", name="u", namespace="gitops"),
            AT_SUBJECT,
            "a User has no namespace",
            id="user-with-namespace",
        ),
        pytest.param(
            "Organization",
            subject(kind="Group", name="g", namespace="gitops"),
            AT_SUBJECT,
            "a Group has no namespace",
            id="group-with-namespace",
        ),
        pytest.param("Project", {"baselines": "zero-trust"}, "baselines", "", id="baselines-are-a-text"),
        pytest.param("Project", {"baselines": ["zero.trust"]}, "baselines.0", "", id="baseline-with-a-dot"),
        pytest.param("Project", {"baselines": ["a", None]}, "baselines.1", "", id="null-baseline"),
        pytest.param("Project", {"guardrails": []}, "guardrails", "", id="guardrails-are-a-list"),
        pytest.param("Project", {"guardrails": {"fromAnywere": "Deny"}}, "guardrails.fromAnywere", "", id="misspelt"),
        pytest.param(
            "Project", {"guardrails": {"fromAnywhere": "allow"}}, "guardrails.fromAnywhere", "'Allow'", id="allow"
        ),
        pytest.param(
            "Project", {"guardrails": {"fromAnywhere": True}}, "guardrails.fromAnywhere", "'Allow'", id="true"
        ),
        *(
            pytest.param(
                "Project",
                {"guardrails": {"protectedCIDRs": ["::/0", cidr]}},
                "guardrails.protectedCIDRs.1",
                f"'{cidr}' is not a CIDR such as 10.0.0.0/8",
                id=f"cidr-{name}",
            )
            for name, cidr in {
                "empty": "",
                "a-name": "metadata",
                "prefix-33": "10.0.0.0/33",
                "host-bits": "10.0.0.1/8",
                "leading-zero": "010.0.0.0/8",
                "no-prefix": "10.0.0.1",
                "ipv6-without-prefix": "fd00:ec2::254",
                "netmask": "10.0.0.0/255.0.0.0",
                "hostmask": "10.0.0.0/0.255.255.255",
                "zone": "fe80::%eth0/64",
            }.items()
        ),
        pytest.param(
            "Project", {"guardrails": {"protectedCIDRs": [7]}}, "guardrails.protectedCIDRs.0", "", id="cidr-is-7"
        ),
        *(
            pytest.param(
                "Organization", {"enforcement": {key: "warn"}}, f"enforcement.{key}.[key]", "", id=f"rule-{key}"
            )
            for key in (
                "",
                "**",
                "rbac",
                "rbac/",
                "/x",
                "*/x",
                "RBAC/x",
                "rbac/name_space",
                "rbac/a-",
                "rbac/-a",
                "a/b/c",
                "a/b\n",
            )
        ),
        pytest.param("Organization", {"enforcement": {"*": "deny"}}, "enforcement.*", "'enforce'", id="deny"),
        pytest.param("Organization", {"enforcement": {"*": False}}, "enforcement.*", "'enforce'", id="off"),
        pytest.param("Organization", {"enforcement": {"*": None}}, "enforcement.*", "'enforce'", id="null-enforcement"),
        pytest.param("NetworkBaseline", {}, "policies", "", id="no-policies"),
        pytest.param("NetworkBaseline", None, "policies", "", id="no-spec"),
        pytest.param("NetworkBaseline", {"policies": None}, "policies", "", id="null-policies"),
        pytest.param("NetworkBaseline", baseline(drift="repair"), "drift", "'Repair'", id="drift-in-lower-case"),
        pytest.param("NetworkBaseline", baseline(roles=[]), "roles", "", id="roles-of-a-baseline"),
        pytest.param(
            "NetworkBaseline", baseline(namespaceSelector=[]), "namespaceSelector", "", id="selector-is-a-list"
        ),
        pytest.param(
            "NetworkBaseline",
            baseline(namespaceSelector={"matchLabels": {"tier": 1}}),
            "namespaceSelector",
            "matchLabels.tier",
            id="selector-cannot-be-read",
        ),
        pytest.param(
            "NetworkBaseline",
            baseline(namespaceSelector={"matchExpressions": [{"key": "tier", "operator": "In"}]}),
            "namespaceSelector",
            "In on tier needs values",
            id="in-without-values",
        ),
        pytest.param(
            "NetworkBaseline",
            baseline(namespaceSelector={"matchLabel": {"tier": "edge"}}),
            "namespaceSelector",
            "matchLabel",
            id="misspelt-match-labels-would-select-every-namespace",
        ),
        pytest.param(
            "NetworkBaseline",
            baseline(namespaceSelector={"matchLabels": {"portcullis.dev/gate": "enforced"}}),
            "namespaceSelector",
            "portcullis.dev/gate follows from the baselines",
            id="selects-by-gate",
        ),
        pytest.param(
            "NetworkBaseline",
            baseline(
                namespaceSelector={"matchExpressions": [{"key": "portcullis.dev/gate", "operator": "DoesNotExist"}]}
            ),
            "namespaceSelector",
            "portcullis.dev/gate follows from the baselines",
            id="selects-by-no-gate",
        ),
        pytest.param("NetworkBaseline", {"policies": [{"spec": {}}]}, "policies.0.name", "", id="policy-without-name"),
        pytest.param("NetworkBaseline", {"policies": [{"name": "a"}]}, "policies.0.spec", "", id="policy-without-spec"),
        pytest.param("NetworkBaseline", {"policies": [{"name": "a.b", "spec": {}}]}, "policies.0.name", "", id="dot"),
        pytest.param(
            "NetworkBaseline", {"policies": [{"name": "a", "spec": []}]}, "policies.0.spec", "", id="spec-list"
        ),
        pytest.param(
            "NetworkBaseline",
            {"policies": [{"name": "a", "spec": {}, "metadata": {}}]},
            "policies.0.metadata",
            "",
            id="policy-with-metadata",
        ),
        pytest.param(
            "NetworkBaseline",
            {"policies": [{"name": "a", "spec": {}}, {"name": "b", "spec": {}}, {"name": "a", "spec": {}}]},
            "",
            "two policies are named a",
            id="two-policies-of-one-name",
        ),
        *(
            pytest.param(
                "NetworkBaseline",
                {"policies": [{"name": "a", "spec": spec}]},
                "policies.0",
                f"$({variable}) is no variable; there are namespace, organization, project, workspace",
                id=f"variable-{name}",
            )
            for name, variable, spec in (
                ("misspelt", "namspace", {"x": "$(namspace)"}),
                ("in-upper-case", "Namespace", {"x": "$(Namespace)"}),
                ("empty", "", {"x": "$()"}),
                ("with-a-space", " namespace", {"x": "$( namespace)"}),
                ("in-a-list", "env", {"x": [{"y": ["a-$(env)-b"]}]}),
                ("in-a-key", "env", {"x": {"$(env)": "y"}}),
                ("beside-a-known-one", "env", {"x": "$(namespace)-$(env)"}),
            )
        ),
    ],
)
def test_a_wrong_spec_is_refused_at_its_place(kind: str, spec: object, path: str, told: str) -> None:
    """There is exactly one error, at the field that is wrong, with what it has to be."""
    wrong = errors_of(kind, spec)
    assert list(wrong) == [path]
    assert told in wrong[path]


def test_every_error_of_a_spec_is_told() -> None:
    """Whoever mends one need not come back for the next."""
    spec = {
        "rolez": [],
        "roles": [{"role": "Boss"}, {"role": "OrgAdmin", "subjects": [{"kind": "ServiceAccount", "name": "x"}]}],
        "guardrails": {"fromAnywhere": "No", "protectedCIDRs": ["x"]},
        "enforcement": {"*": "off", "everything": "warn"},
    }
    assert set(errors_of("Organization", spec)) == {
        "rolez",
        "roles.0",
        "roles.1.subjects.0",
        "guardrails.fromAnywhere",
        "guardrails.protectedCIDRs.0",
        "enforcement.*",
        "enforcement.everything.[key]",
    }


@pytest.mark.parametrize(
    "key", ["*", "rbac/*", "rbac/namespace-policy", "guardrail/protected-cidr", "baseline/pod-gate", "rbac/namespace"]
)
def test_rules_can_be_named_in_three_ways(key: str) -> None:
    """All of them, a category, or one (contract, section 1)."""
    assert read_tenant("Organization", "acme", {"enforcement": {key: "warn"}}).enforcement == {key: "warn"}


@pytest.mark.parametrize(
    "text", ["$(namespace)", "a-$(workspace)-$(project)", "$(organization)", "$namespace", "$(", "(x)"]
)
def test_known_variables_may_stand_anywhere(text: str) -> None:
    """In keys, values and lists; what is no variable is text."""
    spec = {"podSelector": {"matchLabels": {text: text}}, "more": [text, {"deep": [text]}]}
    assert read_baseline("b", {"policies": [{"name": "a", "spec": spec}]}).policies[0].spec == spec


@pytest.mark.parametrize(
    ("text", "good"),
    [
        pytest.param("a", True, id="one-letter"),
        pytest.param("0", True, id="one-digit"),
        pytest.param("a-b-9", True, id="dashes"),
        pytest.param("a--b", True, id="two-dashes"),
        pytest.param("a" * 63, True, id="63-characters"),
        pytest.param("a" * 64, False, id="64-characters"),
        pytest.param("", False, id="empty"),
        pytest.param("-a", False, id="dash-first"),
        pytest.param("a-", False, id="dash-last"),
        pytest.param("A", False, id="upper-case"),
        pytest.param("a.b", False, id="dot"),
        pytest.param("a_b", False, id="underscore"),
        pytest.param("a/b", False, id="slash"),
        pytest.param("a b", False, id="space"),
        pytest.param("a\n", False, id="newline-last"),
        pytest.param("\u00e4", False, id="umlaut"),
        pytest.param("\u0661", False, id="arabic-digit"),
    ],
)
def test_a_name_can_stand_in_a_label(text: str, *, good: bool) -> None:
    """Names are DNS labels, wherever they are written."""
    assert is_name(text) == good
    if not good:
        assert "project" in errors_of("Workspace", {"project": text})
        return
    assert read_tenant("Workspace", "w", {"project": text}).project == text


@THOROUGH
@given(st.text(alphabet="aZ0-._\n ", max_size=66))
def test_a_name_and_its_mention_obey_the_same_rule(text: str) -> None:
    """What cannot be the name of a project cannot be a workspace's project, and the other way round."""
    try:
        read_tenant("Workspace", "w", {"project": text})
    except ValidationError:
        assert not is_name(text)
    else:
        assert is_name(text)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["User", "*", "warn"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "roles",
                    "role",
                    "subjects",
                    "kind",
                    "name",
                    "policies",
                    "spec",
                    "project",
                    "enforcement",
                    "guardrails",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@THOROUGH
@given(st.sampled_from(sorted(KINDS)), json_values)
def test_any_spec_is_read_or_refused(kind: str, spec: Any) -> None:
    """Nothing but pydantic's error leaves, and it knows where."""
    try:
        noun = read_noun(kind, spec)
    except ValidationError as error:
        told = bool(error.errors())
    else:
        told = noun.name == "name"
    assert told
