"""`portcullis explain`: the answer is the gate's, and nobody is told more than they may see."""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cases.reviews import (
    ADA,
    AUDITOR,
    BO,
    CY,
    IVAN,
    NAMESPACE,
    NETPOL,
    OZ,
    PAM,
    RITA,
    ROOT,
    SAM,
    STRANGER,
    WORKSPACE,
    policy,
)
from tests.cases.reviews import (
    Asked as Review,
)
from tests.cases.reviews import (
    Caller as Person,
)
from tests.cases.reviews import (
    namespace as review_namespace,
)
from tests.cli.test_serve import PROGRAM, own, refused
from tests.cli.test_serve import ROOT as CHECKOUT
from tests.conftest import Loop
from webhook.admission import Gate
from webhook.cli.explanation import Asked, Explanation, explain, impersonated, known
from webhook.cli.judging import Caller, Judge
from webhook.decision.bundle import Bundle
from webhook.decision.catalogue import read_catalogue
from webhook.errors import SettingsError
from webhook.model import DOMAIN, Namespace
from webhook.registration.hooks import read_shipped
from webhook.settings import bundled_examples, bundled_webhooks
from webhook.tenancy.files import load_tree
from webhook.tenancy.tree import Tree

Json = dict[str, Any]
HOOKS = read_shipped(bundled_webhooks().read_text())
ACME = bundled_examples()
MORE = """
apiVersion: v1
kind: Namespace
metadata: {name: lost, labels: {portcullis.dev/workspace: ghost}}
---
apiVersion: v1
kind: Namespace
metadata: {name: edge, labels: {tier: edge, portcullis.dev/gate: enforced}}
---
apiVersion: portcullis.dev/v1alpha1
kind: NetworkBaseline
metadata: {name: edge}
spec:
  namespaceSelector: {matchLabels: {tier: edge}}
  policies:
    - {name: default-deny, spec: {podSelector: {}, policyTypes: [Ingress]}}
---
apiVersion: portcullis.dev/v1alpha1
kind: Workspace
metadata: {name: open}
spec:
  project: search
  guardrails: {fromAnywhere: Allow}
  roles:
    - {role: WorkspaceAdmin, subjects: [{kind: ServiceAccount, name: deployer, namespace: ci}]}
---
apiVersion: v1
kind: Namespace
metadata:
  name: open-dev
  labels:
    portcullis.dev/workspace: open
    portcullis.dev/project: search
    portcullis.dev/organization: acme
    portcullis.dev/gate: enforced
"""
"""What is asked about beyond the example tree."""
NAMESPACES = ("checkout-dev", "refunds-dev", "ranking-dev", "open-dev", "monitoring", "kube-system", "lost", "edge")


def told(*arguments: str | Path, errors: str = "", **variables: str | Path) -> str:
    """Return what it prints; it has to succeed, and complains of nothing but `errors`."""
    done = subprocess.run(
        [PROGRAM, "explain", *arguments],
        cwd=CHECKOUT,
        env=own(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(errors, done.stderr), done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the example tree with more."""
    folder = Path(shutil.copytree(ACME, tmp_path_factory.mktemp("grown") / "acme"))
    (folder / "more.yaml").write_text(MORE)
    return folder


@pytest.fixture(scope="module")
def grown_tree(grown: Path) -> Tree:
    """The same as a tree."""
    loading = load_tree(grown)
    assert loading.tree, loading.errors
    return loading.tree


class Explainer:
    """The command without its process: many questions to one OPA."""

    def __init__(self, loop: Loop, gate: Gate, bundle: Bundle, tree: Tree) -> None:
        self._loop = loop
        self._gate = gate
        self._catalogue = read_catalogue(bundle)
        self.tree = tree

    def explain(self, namespace: str, person: Person | None = None, tree: Tree | None = None) -> Explanation:
        """Return what the command shows."""
        tree = tree or self.tree
        caller = None if person is None else Caller(person.name, person.groups)
        asked = Asked(tree, caller, self._catalogue)
        gate = self._gate
        found = known(tree, namespace, tell=True)
        judge = Judge(gate.opa, gate.policies, gate.break_glass_groups, HOOKS, found)
        return self._loop.run(explain(asked, judge))

    def may(self, namespace: str, tree: Tree | None = None) -> dict[str, tuple[str, ...]]:
        """Return the roles that may do each action, by the action's words."""
        may = self.explain(namespace, tree=tree).may
        assert may is not None
        return {each.title: each.roles for each in may}

    def verdicts(self, namespace: str, person: Person, tree: Tree | None = None) -> dict[str, str]:
        """Return the verdict on each action, by the action's words."""
        found = self.explain(namespace, person, tree).person
        assert found
        return {each.title: each.verdict for each in found.actions}


@pytest.fixture(scope="module")
def explainer(loop: Loop, gate: Gate, bundle: Bundle, grown_tree: Tree) -> Explainer:
    """Ask the shipped rules."""
    return Explainer(loop, gate, bundle, grown_tree)


@pytest.fixture(scope="module")
def acme() -> str:
    """The page of the example tree."""
    return told("checkout-dev", "--tenancy", bundled_examples())


def test_a_page_says_whose_it_is_and_how_it_stands(acme: str) -> None:
    """Owner, roles, who may what, baselines, guardrails, enforcement and revision: at a glance, in so many lines."""
    lines = acme.splitlines()
    assert lines[:2] == ["checkout-dev", "belongs to workspace checkout of project payments, organization acme"]
    for line in (
        "  WorkspaceAdmin   of checkout  Group checkout-team",
        "  WorkspaceReader  of checkout  User rita",
        "  InfraAdmin       of acme      User ivan, ServiceAccount gitops/argocd",
        "Baselines  1 of 2 policies in place; no state was told yet",
        "  zero-trust, of organization acme",
        "    zero-trust.default-deny  in place",
        "    zero-trust.allow-dns     missing",
        "Every rule is enforced.",
    ):
        assert line in lines
    assert re.search(
        r"^  create, change or delete a NetworkPolicy +WorkspaceAdmin, ProjectAdmin, OrgAdmin, ", acme, re.MULTILINE
    )
    assert re.search(r"^  change or delete a policy of its baseline +nobody$", acme, re.MULTILINE)
    assert re.search(r"^  fromAnywhere +Deny +default$", acme, re.MULTILINE)
    assert "Group system:masters" in acme
    assert len(lines) < 50
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in acme


def test_with_as_it_says_what_a_person_may_and_why_not() -> None:
    """By the gate's own words, each once, without who asks what."""
    page = told("checkout-dev", "--tenancy", ACME, "--as", "bo", "--as-group", "refunds-team")
    assert page.splitlines()[:6] == [
        "checkout-dev",
        "belongs to another workspace",
        "",
        "bo here  Group refunds-team, Group system:authenticated",
        "  holds no role, so is told no names",
        "",
    ]
    assert "\nMay\n" not in page
    reason = "[rbac/namespace-policy] the namespace belongs to another workspace. Allowed: an admin of that\n"
    assert f"  create, change or delete a NetworkPolicy\n      {reason}" in page
    assert "may not create" not in page
    mine = told("checkout-dev", PORTCULLIS_TENANCY=ACME, PORTCULLIS_AS="ada", PORTCULLIS_AS_GROUP="checkout-team")
    assert "ada here  Group checkout-team, Group system:authenticated\n  WorkspaceAdmin of checkout\n" in mine
    assert "\nMay\n  create, change or delete a NetworkPolicy\n" in mine


TOP = (
    "namespace", "standing", "workspace", "project", "organization", "terminating", "roles", "baselines", "guardrails",
    "state", "exemption", "enforcement", "never_softened", "may", "as", "revision",
)  # fmt: skip


def test_json_is_stable() -> None:
    """The fields that --help names, of every form; without --as `may`, with it `as`."""
    read = orjson.loads(told("checkout-dev", "--tenancy", ACME, "-o", "json"))
    assert set(read) == set(TOP)
    assert (read["standing"], read["workspace"], read["project"]) == ("owned", "checkout", "payments")
    assert read["roles"][0] == {
        "tenant": "Workspace/checkout",
        "role": "WorkspaceAdmin",
        "subjects": [{"kind": "Group", "name": "checkout-team", "namespace": ""}],
    }
    assert read["baselines"] == [
        {
            "name": "zero-trust",
            "named_by": ["Organization/acme"],
            "selected": False,
            "problem": "",
            "policies": [
                {"name": "zero-trust.default-deny", "state": "in place", "differs_in": ""},
                {"name": "zero-trust.allow-dns", "state": "missing", "differs_in": ""},
            ],
        }
    ]
    guardrail = {
        "key": "fromAnywhere",
        "value": "Deny",
        "set_by": [],
        "default": True,
        "rule": "guardrail/from-anywhere",
    }
    assert guardrail in read["guardrails"]
    assert (read["state"], read["exemption"], read["enforcement"], read["as"]) == (None, None, {}, None)
    (creation,) = [each for each in read["may"] if each["action"] == "create-policy"]
    assert set(creation) == {"action", "title", "roles", "others", "break_glass"}
    assert (creation["others"], creation["break_glass"]) == ("deny", True)
    assert {"WorkspaceAdmin", "ProjectAdmin", "OrgAdmin"} <= set(creation["roles"])


def test_json_of_a_stranger_tells_nothing_else() -> None:
    """What may not be seen is null; the answers are there."""
    read = orjson.loads(told("checkout-dev", "--tenancy", ACME, "-o", "json", "--as", "zed"))
    assert set(read) == set(TOP)
    hidden = set(TOP) - {"namespace", "standing", "as", "revision"}
    assert {key for key in TOP if read[key] is None} == hidden
    person = read["as"]
    assert (person["user"], person["groups"], person["roles"], person["sees"]) == (
        "zed",
        ["system:authenticated"],
        [],
        False,
    )
    action = person["actions"][0]
    assert set(action) == {"action", "title", "verdict", "rules", "message", "warnings", "break_glass"}
    assert (action["verdict"], action["rules"]) == ("deny", ["rbac/namespace-policy"])
    assert re.match(r"\[rbac/namespace-policy\] zed may not create NetworkPolicy checkout-dev/\S+: ", action["message"])
    assert "Decision" not in action["message"]


def names_of(tree: Tree, namespace: str) -> set[str]:
    """Return every name that the tree tells of the place of a namespace: tenants and subjects."""
    place = tree.place_of(namespace)
    tenants = [tree.tenants[key] for key in place.path]
    subjects = {subject.name for each in tenants for grant in each.roles for subject in grant.subjects}
    return {each.name for each in tenants} | subjects | ({place.workspace} - {""})


OUTSIDERS: dict[str, tuple[Person, tuple[str, ...]]] = {
    "somebody else": (STRANGER, NAMESPACES),
    "a sibling workspace's admin": (BO, ("checkout-dev", "ranking-dev", "open-dev")),
    "another project's admin": (SAM, ("checkout-dev", "refunds-dev")),
    "another project's workspace": (CY, ("checkout-dev", "refunds-dev", "open-dev", "monitoring", "lost")),
    "who owns nothing that is unowned": (ADA, ("monitoring", "edge", "lost", "kube-system")),
}


@pytest.mark.parametrize(("person", "namespaces"), OUTSIDERS.values(), ids=OUTSIDERS.keys())
def test_who_holds_no_role_reads_no_name(person: Person, namespaces: tuple[str, ...], explainer: Explainer) -> None:
    """No tenant and no subject of a place shows, in no field, unless the person sees it elsewhere."""
    seen = seen_by(explainer, person)
    for namespace in namespaces:
        found = explainer.explain(namespace, person)
        assert found.person
        assert not found.person.sees
        text = orjson.dumps(found.as_json()).decode()
        # The namespace's own name was asked for, and groups are the person's own.
        for each in (namespace, person.name, *person.groups):
            text = text.replace(each, "-")
        told = {
            name for name in names_of(explainer.tree, namespace) - seen if re.search(rf"\b{re.escape(name)}\b", text)
        }
        assert told == set(), namespace


def seen_by(explainer: Explainer, person: Person) -> set[str]:
    """Return the names that a person sees because of a role somewhere else."""
    return {
        name
        for namespace in NAMESPACES
        if (found := explainer.explain(namespace, person).person) and found.sees
        for name in names_of(explainer.tree, namespace)
    }


INSIDERS: dict[str, tuple[Person, str, tuple[tuple[str, str], ...]]] = {
    "WorkspaceAdmin": (ADA, "checkout-dev", (("Workspace/checkout", "WorkspaceAdmin"),)),
    "WorkspaceReader": (RITA, "checkout-dev", (("Workspace/checkout", "WorkspaceReader"),)),
    "ProjectAdmin": (PAM, "refunds-dev", (("Project/payments", "ProjectAdmin"),)),
    "OrgReader": (AUDITOR, "ranking-dev", (("Organization/acme", "OrgReader"),)),
    "InfraAdmin": (IVAN, "monitoring", (("Organization/acme", "InfraAdmin"),)),
    "OrgAdmin": (OZ, "lost", (("Organization/acme", "OrgAdmin"),)),
}


@pytest.mark.parametrize(("person", "namespace", "roles"), INSIDERS.values(), ids=INSIDERS.keys())
def test_who_holds_a_role_is_told_all(
    person: Person, namespace: str, roles: tuple[tuple[str, str], ...], explainer: Explainer
) -> None:
    """A reader, too; the role that counts is named."""
    found = explainer.explain(namespace, person)
    assert found.person
    assert (found.person.roles, found.person.sees) == (roles, True)
    assert found.facts


MAY: dict[tuple[str, str], set[str]] = {
    ("checkout-dev", "create a NetworkPolicy"): {"WorkspaceAdmin", "ProjectAdmin", "OrgAdmin", "SystemWriter"},
    ("checkout-dev", "delete a NetworkPolicy"): {"WorkspaceAdmin", "ProjectAdmin", "OrgAdmin", "SystemWriter"},
    ("checkout-dev", "change a policy of its baseline"): set(),
    ("checkout-dev", "delete a policy of its baseline"): set(),
    ("checkout-dev", "label the namespace"): {
        "WorkspaceAdmin",
        "ProjectAdmin",
        "OrgAdmin",
        "InfraAdmin",
        "SystemWriter",
    },
    ("checkout-dev", "move it into workspace refunds"): {"ProjectAdmin", "OrgAdmin"},
    ("checkout-dev", "move it into workspace open"): {"OrgAdmin"},
    ("checkout-dev", "take it out of its workspace"): {"OrgAdmin"},
    ("checkout-dev", "delete the namespace"): {"WorkspaceAdmin", "ProjectAdmin", "OrgAdmin", "SystemWriter"},
    ("monitoring", "create a NetworkPolicy"): {"OrgAdmin", "InfraAdmin", "SystemWriter"},
    ("monitoring", "put it into workspace checkout"): {"OrgAdmin"},
    ("lost", "delete the namespace"): {"OrgAdmin", "SystemWriter"},
    ("lost", "move it into workspace checkout"): {"OrgAdmin"},
}


@pytest.mark.parametrize(("namespace", "action"), MAY, ids=lambda each: each.replace(" ", "-"))
def test_roles_may_what_the_contract_says(namespace: str, action: str, explainer: Explainer) -> None:
    """The table of section 2, as found by asking the gate in the name of each role."""
    assert set(explainer.may(namespace)[action]) == MAY[namespace, action]


@pytest.mark.parametrize(
    "person", [ADA, BO, CY, PAM, SAM, OZ, IVAN, RITA, AUDITOR, STRANGER, ROOT], ids=lambda each: each.name
)
@pytest.mark.parametrize("namespace", ["checkout-dev", "monitoring", "lost"])
def test_the_answer_is_the_gates(namespace: str, person: Person, explainer: Explainer, gate: Gate, loop: Loop) -> None:
    """Who may is whom the gate lets do the same thing in a review of our own making."""
    found = explainer.verdicts(namespace, person)
    gate = replace(gate, tree=lambda: explainer.tree)
    labels = dict(explainer.tree.namespaces[namespace].labels)
    thing = review_namespace(namespace, labels)
    for title, review in {
        "create a NetworkPolicy": Review(person, "CREATE", NETPOL, new=policy(namespace)),
        "delete a NetworkPolicy": Review(person, "DELETE", NETPOL, old=policy(namespace)),
        "label the namespace": Review(
            person, "UPDATE", NAMESPACE, new=review_namespace(namespace, {**labels, "team": "x"}), old=thing
        ),
        "delete the namespace": Review(person, "DELETE", NAMESPACE, old=thing),
    }.items():
        answer = orjson.loads(loop.run(gate.validate(orjson.dumps(review.review()), seconds=10)))
        assert (found[title] in {"allow", "warn", "audit"}) == answer["response"]["allowed"], title


def test_what_the_mutation_puts_back_is_no_permission(explainer: Explainer) -> None:
    """An owner may send a namespace without its workspace, and it stays where it is: that is said."""
    release = "take it out of its workspace"
    assert explainer.verdicts("checkout-dev", ADA)[release] == "undone"
    assert explainer.verdicts("checkout-dev", OZ)[release] == "allow"
    assert explainer.verdicts("checkout-dev", BO)[release] == "deny"
    found = explainer.explain("checkout-dev", ADA).person
    assert found
    (message,) = [each.message for each in found.actions if each.title == release]
    assert message == f"Portcullis puts the label {WORKSPACE} back"


def test_where_no_webhook_is_asked_kubernetes_rbac_decides(explainer: Explainer) -> None:
    """Policies in kube-system are left out by the shipped hooks, the Namespace itself is not."""
    found = explainer.verdicts("kube-system", STRANGER)
    assert (found["create a NetworkPolicy"], found["delete the namespace"]) == ("unasked", "deny")
    assert not [title for title in found if title.startswith(("move", "put"))]


def test_break_glass_may_do_all_of_it(explainer: Explainer) -> None:
    """With a warning that says which rule was overridden."""
    found = explainer.explain("checkout-dev", ROOT).person
    assert found
    refused_to_others = [each for each in found.actions if each.title == "delete a policy of its baseline"]
    assert [(each.verdict, each.break_glass) for each in refused_to_others] == [("warn", True)]
    assert refused_to_others[0].warnings[0].startswith("break-glass: allowed against [baseline/managed-policy]")


def softened(tree: Tree, **enforcement: Any) -> Tree:
    organization = replace(tree.organization, enforcement=enforcement["of"])
    return replace(tree, organization=organization, tenants={**tree.tenants, organization.key: organization})


@pytest.mark.parametrize("setting", ["warn", "audit"])
def test_a_softened_rule_lets_others_pass_and_that_is_said(setting: str, explainer: Explainer) -> None:
    """Roles are told as before; all others are warned or recorded, and what is never softened is not."""
    tree = softened(explainer.tree, of={"rbac/*": setting})
    found = explainer.explain("checkout-dev", tree=tree)
    assert found.may
    assert found.facts
    by_title = {each.title: each for each in found.may}
    creation = by_title["create a NetworkPolicy"]
    assert (creation.others, set(creation.roles)) == (setting, MAY["checkout-dev", "create a NetworkPolicy"])
    assert (by_title["delete a policy of its baseline"].others, by_title["delete a policy of its baseline"].roles) == (
        "deny",
        (),
    )
    assert found.facts.enforcement == {"rbac/*": setting}
    assert "baseline/managed-policy" in found.facts.never_softened
    assert explainer.verdicts("checkout-dev", STRANGER, tree)["create a NetworkPolicy"] == setting


def test_the_page_says_that_rules_are_softened(tmp_path: Path) -> None:
    """Who may by role, who only because nothing is enforced, by which setting, and what is enforced all the same."""
    folder = Path(shutil.copytree(bundled_examples(), tmp_path / "tree"))
    file = folder / "organization.yaml"
    soft = "  baselines: [zero-trust]\n  enforcement: {'rbac/*': warn, 'guardrail/*': audit}\n"
    file.write_text(file.read_text().replace("  baselines: [zero-trust]\n", soft))
    page = " ".join(told("checkout-dev", "--tenancy", folder).split())
    assert "WorkspaceAdmin, ProjectAdmin, OrgAdmin, SystemWriter; all others are only warned" in page
    assert "Enforcement softened by organization acme guardrail/* audit rbac/* warn never softened: baseline/" in page
    assert "Every rule is enforced" not in page
    stranger = told("checkout-dev", "--tenancy", folder, "--as", "zed")
    assert "\nMay, for the rules are softened or overridden\n  create, change or delete a NetworkPolicy\n" in stranger
    assert "Enforcement" not in stranger


def test_what_is_wrong_in_the_tree_is_told_beside_the_page_but_not_to_a_person(grown: Path) -> None:
    """A warning has file, line and names; somebody whom we speak for may not see these."""
    told("lost", "--tenancy", grown, errors="portcullis: warning: .*more.yaml:4:33: there is no Workspace ghost: .*\n")
    told("lost", "--tenancy", grown, "--as", "zed")


def test_enforced_alone_is_no_softening(explainer: Explainer) -> None:
    """A setting that only repeats the default is not told."""
    found = explainer.explain("checkout-dev", tree=softened(explainer.tree, of={"*": "enforce"}))
    assert found.facts
    assert (found.facts.enforcement, found.facts.never_softened) == ({}, ())


def with_namespace(tree: Tree, namespace: Namespace) -> Tree:
    return replace(tree, namespaces={**tree.namespaces, namespace.name: namespace})


STATES: dict[str, tuple[str, Json]] = {
    "as we write it": (
        '{"state":"Failed","revision":"abc","reason":"why"}',
        {"state": "Failed", "revision": "abc", "reason": "why"},
    ),
    "something else": ("[1]", {"state": "", "revision": "", "reason": "[1]"}),
    "no JSON": ("{", {"state": "", "revision": "", "reason": "{"}),
    "other types": ('{"state": 1}', {"state": "1", "revision": "", "reason": ""}),
}


@pytest.mark.parametrize(("annotation", "state"), STATES.values(), ids=STATES.keys())
def test_the_annotation_is_told_and_not_trusted(annotation: str, state: Json, explainer: Explainer) -> None:
    """Whatever stands there."""
    there = explainer.tree.namespaces["checkout-dev"]
    changed = replace(there, annotations={f"{DOMAIN}/baseline": annotation}, terminating=True)
    facts = explainer.explain("checkout-dev", tree=with_namespace(explainer.tree, changed)).facts
    assert facts
    assert (facts.state, facts.terminating) == (state, True)


def test_an_exemption_is_told(explainer: Explainer) -> None:
    """Until when and why."""
    there = explainer.tree.namespaces["checkout-dev"]
    labels = {**there.labels, f"{DOMAIN}/exempt": "true"}
    annotations = {f"{DOMAIN}/exempt-until": "2026-12-01T00:00:00Z", f"{DOMAIN}/exempt-reason": "moving in"}
    changed = replace(there, labels=labels, annotations=annotations)
    facts = explainer.explain("checkout-dev", tree=with_namespace(explainer.tree, changed)).facts
    assert facts
    assert facts.exemption == {"until": "2026-12-01T00:00:00Z", "reason": "moving in"}


def test_the_nearest_guardrail_counts_and_says_where_it_is_set(explainer: Explainer) -> None:
    """The workspace's over the organization's, the default where nobody sets one; none where none is judged."""
    tree = explainer.tree
    organization = replace(tree.organization, guardrails={"fromAnywhere": "Deny", "toAnywhere": "Allow"})
    tree = replace(tree, organization=organization, tenants={**tree.tenants, organization.key: organization})
    facts = explainer.explain("open-dev", tree=tree).facts
    assert facts
    values = {each.key: (each.value, each.set_by, each.default) for each in facts.guardrails}
    assert values["fromAnywhere"] == ("Allow", ("Workspace/open",), False)
    assert values["toAnywhere"] == ("Allow", ("Organization/acme",), False)
    unowned = explainer.explain("monitoring", tree=tree).facts
    assert unowned
    assert unowned.guardrails == ()


def test_a_guardrail_of_a_list_adds_up(explainer: Explainer) -> None:
    """Outermost first; only the organization drops the default."""
    tree = explainer.tree
    tenants = {
        key: replace(tree.tenants[key], guardrails={"protectedCIDRs": (cidr,)})
        for key, cidr in (("Workspace/open", "10.0.0.0/8"), ("Project/search", "192.168.0.0/16"))
    }
    facts = explainer.explain("open-dev", tree=replace(tree, tenants={**tree.tenants, **tenants})).facts
    assert facts
    (found,) = [each for each in facts.guardrails if each.key == "protectedCIDRs"]
    assert found.value[-2:] == ("192.168.0.0/16", "10.0.0.0/8")
    assert found.set_by == ("Workspace/open", "Project/search")


def test_a_baseline_that_cannot_be_brought_says_why(explainer: Explainer) -> None:
    """And one that a selector brings says so."""
    tree = explainer.tree
    facts = explainer.explain("edge").facts
    assert facts
    assert [(each.name, each.selected, each.named_by) for each in facts.baselines] == [("edge", True, ())]
    facts = explainer.explain("checkout-dev", tree=replace(tree, baselines={})).facts
    assert facts
    assert [(each.problem, each.policies) for each in facts.baselines] == [
        ("there is no NetworkBaseline zero-trust", ())
    ]


def test_a_policy_that_differs_says_in_what(tmp_path: Path) -> None:
    """The page shows how each policy of the baseline stands."""
    folder = Path(shutil.copytree(bundled_examples(), tmp_path / "tree"))
    file = folder / "namespaces.yaml"
    changed = file.read_text().replace("policyTypes: [Ingress, Egress]", "policyTypes: [Ingress]")
    file.write_text(changed)
    page = told("checkout-dev", "--tenancy", folder)
    assert re.search(r"^    zero-trust\.default-deny +differs +in policyTypes$", page, re.MULTILINE)


PEOPLE: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "a user": ("ada", (), ("system:authenticated",)),
    "a user with groups": ("ada", ("a", "a"), ("a", "system:authenticated")),
    "a ServiceAccount": (
        "system:serviceaccount:ci:deployer",
        (),
        ("system:serviceaccounts", "system:serviceaccounts:ci", "system:authenticated"),
    ),
    "a ServiceAccount with groups": ("system:serviceaccount:ci:deployer", ("a",), ("a", "system:authenticated")),
}


@pytest.mark.parametrize(("user", "groups", "taken"), PEOPLE.values(), ids=PEOPLE.keys())
def test_a_person_is_whom_the_api_server_would_take_them_for(
    user: str, groups: tuple[str, ...], taken: tuple[str, ...]
) -> None:
    """`--as` and `--as-group` mean what they mean to kubectl."""
    assert impersonated(user, groups) == Caller(user, taken)


def test_nearest_namespaces_are_named_to_those_who_may_be_told(grown_tree: Tree) -> None:
    """Not to a person that the command speaks for."""
    with pytest.raises(SettingsError, match="there is no namespace 'checkout-dve' here; there is checkout-dev"):
        known(grown_tree, "checkout-dve", tell=True)
    with pytest.raises(SettingsError, match="there is no namespace 'checkout-dve' here: name one that exists"):
        known(grown_tree, "checkout-dve", tell=False)


KUBECONFIG = """apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: u, user: {}}]
"""
REFUSED: dict[str, tuple[list[str], str]] = {
    "no such namespace": (["nope", "--tenancy", "TREE"], "there is no namespace 'nope' here: name one that exists"),
    "a misspelt one": (["checkout-dve", "--tenancy", "TREE"], "there is no namespace .*; there is checkout-dev: "),
    "a misspelt one by a stranger": (
        ["checkout-dve", "--tenancy", "TREE", "--as", "zed"],
        "there is no namespace 'checkout-dve' here: name one that exists$",
    ),
    "no namespace": ([], "[Mm]issing.*namespace.*See portcullis --help"),
    "a group of nobody": (["x", "--as-group", "g"], "--as-group says in which groups a user is: give --as USER"),
    "an empty user": (["x", "--tenancy", "TREE", "--as", ""], "--as is empty: name a user"),
    "files and a cluster": (
        ["x", "--tenancy", "TREE", "--kubeconfig", "FILE"],
        "--tenancy reads files and contacts no cluster: leave --kubeconfig out",
    ),
    "no tree": (["x"], "this is no pod of a cluster: give --kubeconfig FILE, or --tenancy PATH"),
    "a tenancy that is not there": (["x", "--tenancy", "/none"], "/none: cannot be read: No such file"),
    "a kubeconfig that is not there": (["x", "--kubeconfig", "/none"], "--kubeconfig /none is no file"),
    "a cluster that does not answer": (
        ["x", "--kubeconfig", "FILE"],
        "GET /\\S+: the API server does not answer: .*; see that the API server of --kubeconfig answers, or",
    ),
    "no policies": (["checkout-dev", "--tenancy", "TREE", "--policies", "/none"], "there is no rule in /none"),
    "an unknown form": (["x", "-o", "markdown"], "--output.*markdown.*See portcullis --help"),
}


@pytest.mark.parametrize(("arguments", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_told_is_one_line_and_exit_code_2(arguments: list[str], reason: str, tmp_path: Path) -> None:
    """What, why, and what to do instead; no trace of ours."""
    (tmp_path / "FILE").write_text(KUBECONFIG)
    names = {"TREE": ACME, "FILE": tmp_path / "FILE"}
    lines = refused("explain", *[names.get(each, each) for each in arguments])
    assert len(lines) == 1, lines
    assert re.match(f"portcullis: .*{reason}", lines[0]), lines


@contextmanager
def refusing(status: int) -> Iterator[int]:
    """An API server that answers everything so; yields its port."""

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = orjson.dumps({"kind": "Status", "message": "it says no", "reason": "Forbidden", "code": status})
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


WAYS_OUT = {
    401: "give a kubeconfig with a token or certificate that the API server knows",
    403: "you have to be allowed to list the tenant tree, namespaces and network policies",
    404: "see that the API server of --kubeconfig answers, or read files by --tenancy",
    500: "see that the API server of --kubeconfig answers, or read files by --tenancy",
}


@pytest.mark.parametrize("status", WAYS_OUT)
def test_an_api_server_that_says_no_is_an_error(status: int, tmp_path: Path) -> None:
    """In its own words, and with what to do; never a smaller tree."""
    with refusing(status) as port:
        (tmp_path / "config").write_text(KUBECONFIG.replace("127.0.0.1:1", f"127.0.0.1:{port}"))
        (line,) = refused("explain", "checkout-dev", "--kubeconfig", tmp_path / "config")
    assert re.fullmatch(rf"portcullis: GET /\S+: it says no; {re.escape(WAYS_OUT[status])}", line), line


def test_the_help_names_every_field_of_the_json() -> None:
    """So that a script can be written by it."""
    done = subprocess.run([PROGRAM, "explain", "--help"], capture_output=True, text=True, check=True, env=own())
    words = set(re.findall(r"\w+", done.stdout))
    assert set(TOP) <= words
    assert {"action", "title", "verdict", "unasked", "undone", "break_glass", "set_by", "differs_in"} <= words
    assert done.stdout.count("Example") == 2


def test_a_name_forges_no_line(tmp_path: Path) -> None:
    """What others have named is said in one line, on a terminal too."""
    folder = Path(shutil.copytree(bundled_examples(), tmp_path / "tree"))
    text = f"""
---
apiVersion: v1
kind: Namespace
metadata:
  name: forged
  labels: {{{DOMAIN}/workspace: checkout, {DOMAIN}/exempt: "true"}}
  annotations: {{{DOMAIN}/exempt-reason: "a\\nEvery rule\\e[31m is off.", {DOMAIN}/exempt-until: "b\\rc"}}
"""
    file = folder / "namespaces.yaml"
    file.write_text(file.read_text() + text)
    page = told("forged", "--tenancy", folder)
    assert "exempt until b\N{REPLACEMENT CHARACTER}c: a\N{REPLACEMENT CHARACTER}Every rule" in page
    assert not re.search(r"\x1b|\r|^Every rule.* is off", page, re.MULTILINE)
