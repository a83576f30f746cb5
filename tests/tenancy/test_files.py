"""The tree from files: what is wrong in them is told with its line and with what to write instead."""

import copy
import json
import random
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import TREE
from webhook.model import WORKSPACE_LABEL, Namespace, Policy, Standing, Subject
from webhook.tenancy.files import Loading, load_tree
from webhook.tenancy.manifests import read_manifests
from webhook.tenancy.tree import Tree

# A machine that is busy with something else makes a test slow, not wrong.
THOROUGH = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
HERE = re.compile(r"# <-")
ORGANIZATION = dedent("""\
    apiVersion: portcullis.dev/v1alpha1
    kind: Organization
    metadata: {name: acme}
    spec: {roles: [{role: OrgAdmin, subjects: [{kind: Group, name: acme-admins}]}]}
    """)


def ours(kind: str, spec: str, name: str = "payments") -> str:
    """Return a manifest of ours; `spec` is a block of YAML."""
    head = f"apiVersion: portcullis.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n"
    return head + "".join(f"  {line}\n" for line in dedent(spec).strip().splitlines())


def load(folder: Path, *texts: str) -> Loading:
    """Load the tree of a folder of an Organization and these manifests, each in a file of its own."""
    (folder / "0.yaml").write_text(ORGANIZATION)
    for number, text in enumerate(texts, 1):
        (folder / f"{number}.yaml").write_text(text)
    return load_tree(folder)


def marked(text: str) -> int:
    """Return the line that has the mark."""
    (line,) = (number for number, line in enumerate(text.splitlines(), 1) if HERE.search(line))
    return line


def test_the_example_is_a_tree(tree: Tree) -> None:
    """Every kind of manifest in the folder of the cases arrives where it belongs."""
    assert tree.organization.name == "acme"
    assert {"Project/payments", "Project/search", "Workspace/checkout", "Workspace/plaza"} <= set(tree.tenants)
    assert set(tree.baselines) == {"zero-trust", "edge"}
    assert tree.place_of("checkout-dev").path == ("Workspace/checkout", "Project/payments", "Organization/acme")
    assert tree.place_of("lost").standing == Standing.ORPHANED
    assert tree.naming([Subject("User", "rita")]) == ("Workspace/checkout",)
    assert [each.name for each in tree.standing_policies("checkout-dev", but="")] == ["first-half", "third"]


def test_the_example_warns_of_the_names_that_are_not_there() -> None:
    """Nothing else in the folder of the cases is worth a word."""
    baseline, workspace = load_tree(TREE).warnings
    assert "there is no NetworkBaseline nowhere: until there is, no pod starts in these namespaces" in baseline
    assert "more.yaml:4:" in workspace
    assert "there is no Workspace ghost" in workspace


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(ours("Project", "rolez: []  # <-"), "spec.rolez: unknown field 'rolez'", id="unknown-field"),
        pytest.param(
            ours("Project", "roles:\n  - role: ProjectAdmin\n    subject: []  # <-"),
            "spec.roles.0.subject: unknown field 'subject'",
            id="unknown-field-of-a-grant",
        ),
        pytest.param(
            ours("Project", "guardrails:\n  fromAnywhere: Deny\n  fromAnywere: Deny  # <-"),
            "unknown field 'fromAnywere'",
            id="unknown-guardrail",
        ),
        pytest.param(
            ours("Project", "guardrails:\n  fromAnywhere: No  # <-"),
            "'Allow' or 'Deny'",
            id="guardrail-that-yaml-makes-false",
        ),
        pytest.param(
            ours("Project", "guardrails:\n  protectedCIDRs:\n    - 10.0.0.0/8\n    - 10.0.0.1/8  # <-"),
            "'10.0.0.1/8' is not a CIDR such as 10.0.0.0/8",
            id="bad-cidr",
        ),
        pytest.param(
            ours("Project", "enforcement: {'*': audit}  # <-"), "unknown field 'enforcement'", id="enforcement"
        ),
        pytest.param(
            ours("Project", "roles:\n  - {role: ProjectReader}\n  - {role: OrgAdmin}  # <-"),
            "'OrgAdmin' is no role of a Project; it has ProjectAdmin, ProjectReader",
            id="role-of-another-kind",
        ),
        pytest.param(
            ours(
                "Project",
                """
                roles:
                  - role: ProjectAdmin
                    subjects:
                      - {kind: User, name: ada}
                      - {kind: ServiceAccount, name: argocd}  # <-
                """,
            ),
            "a ServiceAccount needs its namespace",
            id="account-without-namespace",
        ),
        pytest.param(
            ours(
                "Project",
                """
                roles:
                  - role: ProjectAdmin
                    subjects:
                      - kind: User  # <-
                        name: system:serviceaccount:gitops:argocd
                """,
            ),
            "write it as kind: ServiceAccount with name and namespace",
            id="account-spelled-as-a-user",
        ),
        pytest.param(
            ours("Project", "roles:\n  - role: ProjectAdmin\n    subjects: [{kind: Robot, name: r}]  # <-"),
            "'User', 'Group' or 'ServiceAccount'",
            id="unknown-kind-of-subject",
        ),
        pytest.param(
            ours("Workspace", "roles: []").replace("spec:", "spec:  # <-"), "spec.project: is missing", id="no-project"
        ),
        pytest.param(ours("Workspace", "project: Payments  # <-"), "spec.project: ", id="project-in-upper-case"),
        pytest.param(
            ours("NetworkBaseline", "drift: Repair").replace("spec:", "spec:  # <-"),
            "spec.policies: is missing and has to be there",
            id="no-policies",
        ),
        pytest.param(
            ours("NetworkBaseline", "policies: []\ndrift: Ignore  # <-"), "'Repair' or 'Report'", id="bad-drift"
        ),
        pytest.param(
            ours("NetworkBaseline", "policies: []\nnamespaceSelector:  # <-\n  matchLabels: {tier: 1}"),
            "matchLabels.tier",
            id="selector-that-cannot-be-read",
        ),
        pytest.param(
            ours(
                "NetworkBaseline",
                "policies: []\nnamespaceSelector:  # <-\n  matchLabels: {portcullis.dev/gate: enforced}",
            ),
            "portcullis.dev/gate follows from the baselines, so it cannot select them",
            id="selector-on-the-gate",
        ),
        pytest.param(
            ours(
                "NetworkBaseline",
                """
                policies:
                  - {name: a, spec: {}}
                  - name: b  # <-
                    spec: {x: $(namspace)}
                """,
            ),
            "$(namspace) is no variable; there are namespace, organization, project, workspace",
            id="unknown-variable",
        ),
        pytest.param(
            ours("NetworkBaseline", "policies:\n  - {name: a, spec: {}}\n  - {name: a, spec: {}}").replace(
                "spec:\n", "spec:  # <-\n", 1
            ),
            "two policies are named a",
            id="two-policies-of-one-name",
        ),
        pytest.param(
            ours("NetworkBaseline", "policies:\n  - name: a.b  # <-\n    spec: {}"),
            "spec.policies.0.name: ",
            id="policy-with-a-dot",
        ),
        pytest.param(
            ours("Project", "{}", name="pay.ments").replace("}\n", "}  # <-\n", 1),
            "'pay.ments' cannot be a name: up to 63 of a-z, 0-9 and -",
            id="name-with-a-dot",
        ),
        pytest.param(
            ours("Project", "{}", name="Payments").replace("}\n", "}  # <-\n", 1),
            "'Payments' cannot be a name",
            id="upper-case",
        ),
        pytest.param(
            ours("Project", "{}", name="a" * 64).replace("}\n", "}  # <-\n", 1),
            "cannot be a name",
            id="name-of-64-characters",
        ),
        pytest.param(
            "apiVersion: portcullis.dev/v1alpha1\nkind: Project\nmetadata:\n  name: payments\n  namespace: x  # <-\n",
            "a Project is cluster-scoped: leave the namespace out",
            id="namespace-on-ours",
        ),
        pytest.param(
            "apiVersion: portcullis.dev/v1alpha1\nkind: Project\nmetadata:\n  name: payments\n  label: {}  # <-\n",
            "unknown field 'label' in metadata",
            id="unknown-field-in-metadata",
        ),
        pytest.param(
            "apiVersion: portcullis.dev/v1alpha1\nkind: Project\nmetadata: {name: payments}\nroles: []  # <-\n",
            "unknown field 'roles'; there are apiVersion, kind, metadata, spec, status",
            id="unknown-field-at-the-top",
        ),
        pytest.param(
            "apiVersion: portcullis.dev/v1beta1  # <-\nkind: Project\nmetadata: {name: payments}\n",
            "Project is known as portcullis.dev/v1alpha1",
            id="unknown-version",
        ),
        pytest.param(
            "apiVersion: portcullis.dev  # <-\nkind: Project\nmetadata: {name: payments}\n",
            "Project is known as portcullis.dev/v1alpha1",
            id="no-version",
        ),
        pytest.param(
            "apiVersion: portcullis.dev/v1alpha1\nkind: Team  # <-\nmetadata: {name: payments}\n",
            "'Team' is no kind of portcullis.dev; there are NetworkBaseline, Organization, Project, Workspace",
            id="unknown-kind",
        ),
        pytest.param(
            "apiVersion: portcullis.dev/v1alpha1\nkind: Organization  # <-\nmetadata: {name: umbrella}\n",
            "a cluster belongs to one Organization, and ",
            id="second-organization",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labels:  # <-\n    tier: 1\n",
            "labels have to be texts: quote a number or a yes/no",
            id="label-of-a-namespace-is-a-number",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  annotations: [x]  # <-\n",
            "annotations have to be texts",
            id="annotations-of-a-namespace-are-a-list",
        ),
        pytest.param(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: web  # <-\n",
            "needs metadata.namespace",
            id="policy-without-namespace",
        ),
    ],
)
def test_a_wrong_manifest_is_refused_at_its_line(tmp_path: Path, text: str, told: str) -> None:
    """There is one error, at the exact line, which says what to write instead; and there is no tree."""
    loading = load(tmp_path, text)
    assert loading.tree is None
    (error,) = loading.errors
    assert told in error.what
    assert (error.file, error.line) == (tmp_path / "1.yaml", marked(text))
    assert str(error).startswith(f"{tmp_path / '1.yaml'}:{marked(text)}:")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        pytest.param("enforcement: {'*': deny}", "spec.enforcement.*: ", id="bad-value"),
        pytest.param("enforcement: {rbac: warn}", "spec.enforcement.rbac: ", id="bad-key"),
        pytest.param("enforcement: {'*': off}", "'enforce', 'warn' or 'audit'", id="off-is-false-in-yaml"),
        pytest.param("roles: [{role: ProjectAdmin}]", "'ProjectAdmin' is no role of a Organization", id="bad-role"),
        pytest.param("project: payments", "unknown field 'project'", id="unknown-field"),
    ],
)
def test_a_wrong_organization_is_refused_at_its_line(tmp_path: Path, line: str, told: str) -> None:
    """A wrong Organization is not told as a missing one, too."""
    file = tmp_path / "tree.yaml"
    file.write_text(ours("Organization", line, name="acme"))
    loading = load_tree(file)
    (error,) = loading.errors
    assert loading.tree is None
    assert told in error.what
    assert error.line == 5


def test_without_an_organization_there_is_no_tree(tmp_path: Path) -> None:
    """The error is of the whole folder and says what to add."""
    (tmp_path / "a.yaml").write_text(ours("Project", "{}"))
    loading = load_tree(tmp_path)
    assert loading.tree is None
    (error,) = loading.errors
    assert (error.file, error.line) == (tmp_path, 0)
    assert error.what == "there is no Organization: add one with an OrgAdmin to its roles"


@pytest.mark.parametrize("name", ["nowhere", "nowhere.yaml"])
def test_a_path_that_is_not_there_is_an_error(tmp_path: Path, name: str) -> None:
    """It is told as such, not as an empty tree."""
    loading = load_tree(tmp_path / name)
    assert loading.tree is None
    assert loading.errors[0].file == tmp_path / name


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        pytest.param(ours("Project", "{}"), ours("Project", "roles: []"), "Project payments", id="projects"),
        pytest.param(
            ours("Workspace", "project: p"), ours("Workspace", "project: q"), "Workspace payments", id="workspaces"
        ),
        pytest.param(
            ours("NetworkBaseline", "policies: []"),
            ours("NetworkBaseline", "policies: []"),
            "NetworkBaseline payments",
            id="baselines",
        ),
        pytest.param(ours("Project", "{}"), ORGANIZATION, "Organization acme", id="organizations"),
        pytest.param(
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
            "Namespace a",
            id="namespaces",
        ),
        pytest.param(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: a}\n",
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: a}\n",
            "NetworkPolicy web",
            id="policies",
        ),
    ],
)
def test_a_name_is_defined_once_over_all_files(tmp_path: Path, first: str, second: str, what: str) -> None:
    """The second one is the error, and it says where the first one is."""
    loading = load(tmp_path, first, second)
    before = "0.yaml" if what.startswith("Organization") else "1.yaml"
    (error,) = loading.errors
    assert (error.file, error.line) == (tmp_path / "2.yaml", 3)
    assert error.what.startswith(f"{what} is already defined at {tmp_path / before}:1;")


def test_one_name_may_stand_for_objects_of_different_kinds_and_namespaces(tmp_path: Path) -> None:
    """A project, a workspace, a baseline and a namespace of one name, and its policy in two namespaces."""
    policies = [
        f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: x, namespace: {namespace}}}\n"
        for namespace in ("x", "other")
    ]
    namespaces = [f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n" for name in ("x", "other")]
    tenants = [
        ours("Project", "{}", "x"),
        ours("Workspace", "project: x", "x"),
        ours("NetworkBaseline", "policies: []", "x"),
    ]
    loading = load(tmp_path, *tenants, *namespaces, *policies)
    assert not loading.errors
    assert loading.tree


def test_every_error_of_every_file_is_told_at_once(tmp_path: Path) -> None:
    """Specs, names, kinds, duplicates and broken YAML: whoever mends one need not come back for the next."""
    loading = load(
        tmp_path,
        ours("Project", "roles: [{role: Boss}]\nguardrails: {fromAnywhere: x}"),
        f"{ours('Workspace', 'project: P', 'w')}---\n{ours('Team', '{}')}---\n{ours('Project', '{}', 'A')}",
        "a: [",
        ours("NetworkBaseline", "policies: []") + "---\n" + ours("NetworkBaseline", "policies: []"),
    )
    assert loading.tree is None
    assert sorted((error.file.name, error.line) for error in loading.errors) == sorted(
        [
            ("1.yaml", 5),
            ("1.yaml", 6),
            ("2.yaml", 5),
            ("2.yaml", 8),
            ("2.yaml", 15),
            ("3.yaml", next(error.line for error in loading.errors if error.file.name == "3.yaml")),
            ("4.yaml", 9),
        ]
    )


def test_every_error_of_one_manifest_is_told_at_once(tmp_path: Path) -> None:
    """What is wrong at the top, in the metadata, in the name and in the spec of one object."""
    loading = load(
        tmp_path,
        dedent("""\
            apiVersion: portcullis.dev/v1alpha1
            kind: Project
            metadata:
              name: Payments
              namespace: default
              label: {}
            roles: []
            baselines: []
            spec: {rolez: []}
            """),
    )
    assert sorted(error.line for error in loading.errors) == [4, 5, 6, 7, 8, 9]


# What does not exist (yet) is a warning.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(
            ours("Workspace", "roles: []\nproject: gone  # <-"),
            "there is no Project gone: until there is, ",
            id="project",
        ),
        pytest.param(
            ours("Project", "baselines:\n  - there\n  - gone  # <-\n")
            + "---\n"
            + ours("NetworkBaseline", "policies: []", "there"),
            "there is no NetworkBaseline gone: until there is, no pod starts in these namespaces",
            id="baseline",
        ),
        pytest.param(
            f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labels:\n    {WORKSPACE_LABEL}: gone  # <-\n",
            "there is no Workspace gone: the namespace is an OrgAdmin's alone",
            id="workspace",
        ),
        pytest.param(
            "apiVersion: apps/v1  # <-\nkind: Deployment\nmetadata: {name: web, namespace: a}\n",
            "Deployment of apps/v1 is no part of the tree",
            id="another-kind",
        ),
        pytest.param(
            "apiVersion: v1  # <-\nkind: ConfigMap\nmetadata: {name: web}\n",
            "ConfigMap of v1 is no part of the tree",
            id="another-kind-of-the-core",
        ),
    ],
)
def test_what_does_not_exist_is_a_warning_at_its_line(tmp_path: Path, text: str, told: str) -> None:
    """The tree is there, and one line says what it means for whom."""
    loading = load(tmp_path, text)
    assert not loading.errors
    assert loading.tree
    (warning,) = loading.warnings
    assert warning.startswith(f"{tmp_path / '1.yaml'}:{marked(text)}:")
    assert told in warning


@pytest.mark.parametrize(
    "spec",
    [
        "{}",
        "roles: []",
        "roles: [{role: OrgAdmin}]",
        "roles: [{role: InfraAdmin, subjects: [{kind: User, name: ivan}]}]",
    ],
)
def test_an_organization_without_an_admin_is_a_warning(tmp_path: Path, spec: str) -> None:
    """Somebody has to be able to change the tree."""
    file = tmp_path / "tree.yaml"
    file.write_text(ours("Organization", spec, "acme"))
    (warning,) = load_tree(file).warnings
    assert "nobody is OrgAdmin: only break-glass can change the tree" in warning
    assert warning.startswith(f"{file}:")


def test_names_may_come_in_any_order(tmp_path: Path) -> None:
    """A workspace before its project, a namespace before its workspace: nothing dangles that stands further below."""
    texts = [
        f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: dev, labels: {{{WORKSPACE_LABEL}: w}}}}\n",
        ours("Workspace", "project: p\nbaselines: [b]", "w"),
        ours("Project", "{}", "p"),
        ours("NetworkBaseline", "policies: []", "b"),
    ]
    loading = load(tmp_path, "---\n".join(texts))
    assert (loading.errors, loading.warnings) == ((), ())
    assert loading.tree
    assert loading.tree.place_of("dev").baselines == ("b",)


@pytest.mark.parametrize(
    ("api_version", "kind", "named"),
    [
        ("cilium.io/v2", "CiliumNetworkPolicy", "CiliumNetworkPolicy"),
        ("crd.projectcalico.org/v1", "NetworkPolicy", "NetworkPolicy.crd.projectcalico.org"),
        ("crd.projectcalico.org/v1", "NetworkSet", "NetworkSet.crd.projectcalico.org"),
        ("projectcalico.org/v3", "NetworkPolicy", "NetworkPolicy.projectcalico.org"),
        ("projectcalico.org/v3", "NetworkSet", "NetworkSet.projectcalico.org"),
    ],
)
def test_a_cnis_policy_is_state_of_its_own_kind(tmp_path: Path, api_version: str, kind: str, named: str) -> None:
    """It is kept whole, beside one of Kubernetes with its name; two of one kind and name are two."""
    text = f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: web, namespace: a}}\nspec: {{x: 1}}\n"
    ours = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: a}\nspec: {}\n"
    loading = load(tmp_path, f"{text}---\n{ours}")
    assert loading.tree, loading.errors
    assert [(each.kind, each.name) for each in loading.tree.policies_in("a")] == [
        (named, "web"),
        ("NetworkPolicy", "web"),
    ]
    assert loading.tree.policies_in("a")[0].spec == {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "web", "namespace": "a"},
        "spec": {"x": 1},
    }
    (error,) = load(tmp_path, f"{text}---\n{text}").errors
    assert "web" in str(error)
    (error,) = load(tmp_path, f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: web}}\n").errors
    assert f"a {kind} that stands for one in the cluster needs metadata.namespace" in str(error)


def test_namespaces_and_policies_are_taken_as_they_are(tmp_path: Path) -> None:
    """They are state: unknown fields, odd names and specs that nobody can read are loaded and judged."""
    loading = load(
        tmp_path,
        dedent("""\
            apiVersion: v1
            kind: Namespace
            metadata: {name: kube.odd, labels: {a: b}, annotations: {c: d}, whatever: 1}
            status: {phase: Terminating}
            more: true
            ---
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicy
            metadata: {name: zero-trust.web, namespace: kube.odd, labels: {e: f}}
            spec: {podSelector: 7}
            ---
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicy
            metadata: {name: no-spec, namespace: kube.odd}
            """),
    )
    assert (loading.errors, loading.warnings) == ((), ())
    assert loading.tree
    assert loading.tree.namespaces["kube.odd"] == Namespace("kube.odd", {"a": "b"}, {"c": "d"})
    assert loading.tree.standing_policies("kube.odd", but="") == (
        Policy("kube.odd", "zero-trust.web", {"e": "f"}, {"podSelector": 7}),
        Policy("kube.odd", "no-spec", {}, None),
    )


def test_what_kubectl_shows_can_be_put_into_a_file(tmp_path: Path) -> None:
    """Metadata and status that the API server adds are no unknown fields."""
    loading = load(
        tmp_path,
        dedent("""\
            apiVersion: portcullis.dev/v1alpha1
            kind: Project
            metadata:
              annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
              creationTimestamp: "2026-11-01T00:00:00Z"
              finalizers: [portcullis.dev/tenancy]
              generation: 3
              labels: {a: b}
              managedFields: []
              name: payments
              ownerReferences: []
              resourceVersion: "7"
              uid: 0f0f
            spec: {}
            status: {}
            """),
    )
    assert not loading.errors
    assert loading.tree
    assert "Project/payments" in loading.tree.tenants


def test_a_single_file_is_a_tree(tmp_path: Path) -> None:
    """The whole tree may stand in one file, whatever it is called."""
    file = tmp_path / "tree.txt"
    file.write_text(ORGANIZATION)
    loading = load_tree(file)
    assert loading.tree
    assert loading.tree.organization.roles[0].subjects == (Subject("Group", "acme-admins"),)


@settings(THOROUGH, max_examples=30)
@given(st.randoms(use_true_random=False))
def test_the_order_of_files_and_documents_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, order: random.Random
) -> None:
    """However the folder is cut into files, every namespace stands at the same place."""
    documents = [each for file in sorted(TREE.glob("*.yaml")) for each in file.read_text().split("\n---\n")]
    order.shuffle(documents)
    folder = tmp_path_factory.mktemp("tree")
    for number, document in enumerate(documents):
        (folder / f"{order.randrange(3)}-{number}.yaml").write_text(document)
    expected, found = load_tree(TREE).tree, load_tree(folder).tree
    assert expected
    assert found
    for name in (*expected.namespaces, "unknown"):
        assert found.place_of(name) == expected.place_of(name)
        assert len(found.standing_policies(name, but="")) == len(expected.standing_policies(name, but=""))


@pytest.mark.parametrize("written", ["default", "null", "''"])
def test_a_namespace_may_say_that_it_is_in_a_namespace(tmp_path: Path, written: str) -> None:
    """The API server clears that, so it is taken as it is: its workspace is looked up and its name counts once."""
    metadata = f"{{name: dev, namespace: {written}, labels: {{{WORKSPACE_LABEL}: gone}}}}"
    text = f"apiVersion: v1\nkind: Namespace\nmetadata: {metadata}\n"
    loading = load(tmp_path, text)
    assert loading.tree
    assert loading.tree.place_of("dev").standing == Standing.ORPHANED
    (warning,) = loading.warnings
    assert "there is no Workspace gone" in warning
    again = load(tmp_path, text, "apiVersion: v1\nkind: Namespace\nmetadata: {name: dev}\n")
    assert ["already defined" in error.what for error in again.errors] == [True]


EXAMPLE = [manifest.data for manifest in read_manifests(TREE).manifests]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-9, 2**40)
    | st.sampled_from(["", "acme", "checkout", "a.b", "$(x)", "\u202e"])
)
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "kind", "role", "x"]), inner, max_size=2)
    ),
    max_leaves=5,
)


@settings(THOROUGH, max_examples=150)
@given(st.data())
def test_any_manifest_is_loaded_or_refused_at_a_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """With any JSON at any place of the example there is a tree, or there are errors with file and line."""
    documents = copy.deepcopy(EXAMPLE)
    value: Any = data.draw(st.sampled_from(documents))
    while True:
        key = data.draw(
            st.sampled_from([*value, "namespace"]) if isinstance(value, dict) else st.integers(0, len(value) - 1)
        )
        deeper = value.get(key) if isinstance(value, dict) else value[key]
        if not isinstance(deeper, dict | list) or not deeper or data.draw(st.booleans()):
            break
        value = deeper
    value[key] = data.draw(junk)
    file = tmp_path_factory.mktemp("tree") / "tree.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}, indent=1))
    loading = load_tree(file)
    assert (loading.tree is None) == bool(loading.errors)
    for error in loading.errors:
        assert error.file == file
        assert error.line or "there is no Organization" in error.what
        assert error.what


def test_where_each_thing_stands_is_known(tmp_path: Path) -> None:
    """By kind, namespace and name: whoever tells of it can point at its line; policies may stand where nothing does."""
    file = tmp_path / "tree.yaml"
    file.write_text(
        "apiVersion: portcullis.dev/v1alpha1\nkind: Organization\nmetadata: {name: acme}\nspec: {}\n---\n"
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: dev}\nspec: {}\n"
    )
    loading = load_tree(file)
    places = {key: (each.file, each.line) for key, each in loading.places.items()}
    assert places == {("Organization", "", "acme"): (file, 1), ("NetworkPolicy", "dev", "web"): (file, 6)}
    assert loading.tree
    assert loading.tree.with_policies() == {"dev"}
