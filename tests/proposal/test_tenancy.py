"""What a change to the tree gives, takes and protects, by a real OPA with the shipped rules."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import GateOf, Loop
from webhook.decision.bundle import Bundle
from webhook.decision.catalogue import read_catalogue
from webhook.proposal.part import Part
from webhook.proposal.probes import rights_of
from webhook.proposal.tenancy import Ruled, judge_tenancy
from webhook.settings import bundled_examples
from webhook.tenancy.files import load_tree

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
Change = Callable[[Path], None]
Judge = Callable[[Change], Part]


@pytest.fixture
def judge(loop: Loop, gate_of: GateOf, bundle: Bundle, tmp_path: Path) -> Judge:
    """Say what a change to the example tree does."""
    engine = gate_of(bundle).engine

    def ruled(side: str, *, there: bool = True) -> Ruled:
        root = tmp_path / side
        loading = load_tree(root / "tenancy") if there else None
        return Ruled(engine.opa, engine.policies, read_catalogue(bundle), root, loading)

    def judged(change: Change) -> Part:
        for side in ("base", "head"):
            folder = tmp_path / side / "tenancy"
            folder.mkdir(parents=True)
            for file in bundled_examples().glob("*.yaml"):
                (folder / file.name).write_text(file.read_text())
        change(tmp_path / "head/tenancy")
        return loop.run(judge_tenancy(ruled("base"), ruled("head"), NOW))

    return judged


def replaced(file: str, old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return change


def added(text: str) -> Change:
    def change(folder: Path) -> None:
        (folder / "added.yaml").write_text(text)

    return change


def lines(part: Part) -> list[str]:
    return [f"{each.action}: [{each.rule}] {each.message}" for each in part.remarks]


WHOLE = """
apiVersion: portcullis.dev/v1alpha1
kind: Organization
metadata: {name: acme}
spec: {roles: [{role: OrgAdmin, subjects: [{kind: Group, name: admins}]}]}
---
apiVersion: portcullis.dev/v1alpha1
kind: Project
metadata: {name: project}
spec: {}
"""
WORKSPACE = """
apiVersion: portcullis.dev/v1alpha1
kind: Workspace
metadata: {{name: w-{number}}}
spec:
  project: project
  roles:
    - {{role: WorkspaceAdmin, subjects: [{{kind: Group, name: team-{number}}}{more}]}}
    - {{role: WorkspaceReader, subjects: [{{kind: User, name: user-{number}}}]}}
"""
NAMESPACE = """---
apiVersion: v1
kind: Namespace
metadata: {{name: ns-{number}-{each}, labels: {{portcullis.dev/workspace: w-{number}}}}}
"""
OWNED = "change network policies, change the namespace in"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            replaced("tenants.yaml", "name: checkout-team}]", "name: checkout-team}, {kind: Group, name: shop-devs}]"),
            [
                f"warn: [tenancy/rights] Group shop-devs gains: {OWNED} checkout-dev; create namespaces in it in Workspace checkout (WorkspaceAdmin of checkout)"
            ],
            id="an admin more",
        ),
        pytest.param(
            replaced("tenants.yaml", "{kind: User, name: rita}", "{kind: User, name: rob}"),
            [
                "warn: [tenancy/rights] User rob gains: read who owns it and who may change it in checkout-dev, Workspace checkout (WorkspaceReader of checkout)",
                "none: [tenancy/rights] User rita loses: read who owns it and who may change it in checkout-dev, Workspace checkout (WorkspaceReader of checkout)",
            ],
            id="another reader",
        ),
        pytest.param(
            replaced("tenants.yaml", "name: payments-admins}", "name: search-admins}"),
            [
                f"warn: [tenancy/rights] Group search-admins gains: {OWNED} checkout-dev, refunds-dev; create namespaces in it, change it and who holds its roles in Workspace checkout, Workspace refunds; create workspaces in it in Project payments (ProjectAdmin of payments)",
                f"none: [tenancy/rights] Group payments-admins loses: {OWNED} checkout-dev, refunds-dev; create namespaces in it, change it and who holds its roles in Workspace checkout, Workspace refunds; create workspaces in it in Project payments (ProjectAdmin of payments)",
            ],
            id="another project admin",
        ),
        pytest.param(
            replaced("namespaces.yaml", "portcullis.dev/workspace: checkout", "portcullis.dev/workspace: refunds"),
            [
                f"warn: [tenancy/rights] Group refunds-team gains: {OWNED} checkout-dev (WorkspaceAdmin of refunds)",
                f"none: [tenancy/rights] Group checkout-team loses: {OWNED} checkout-dev (WorkspaceAdmin of checkout)",
                "none: [tenancy/rights] User rita loses: read who owns it and who may change it in checkout-dev (WorkspaceReader of checkout)",
                "warn: [tenancy/owner] namespace checkout-dev changes hands: from workspace checkout of project payments to workspace refunds of project payments",
            ],
            id="a namespace moves",
        ),
        pytest.param(
            replaced("tenants.yaml", "project: search", "project: payments"),
            [
                f"warn: [tenancy/rights] Group payments-admins gains: {OWNED} ranking-dev; create namespaces in it, change it and who holds its roles in Workspace ranking (ProjectAdmin of payments)",
                f"none: [tenancy/rights] Group search-admins loses: {OWNED} ranking-dev; create namespaces in it, change it and who holds its roles in Workspace ranking (ProjectAdmin of search)",
                "warn: [tenancy/owner] namespace ranking-dev changes hands: from workspace ranking of project search to workspace ranking of project payments",
                "warn: [tenancy/tenant] Workspace ranking moves from project search to project payments",
            ],
            id="a workspace moves",
        ),
        pytest.param(
            replaced("organization.yaml", "baselines: [zero-trust]", "baselines: []"),
            [
                "warn: [tenancy/baseline] NetworkBaseline zero-trust no longer applies to checkout-dev, ranking-dev, refunds-dev"
            ],
            id="a baseline goes",
        ),
        pytest.param(
            replaced("organization.yaml", "policyTypes: [Ingress, Egress]", "policyTypes: [Ingress]"),
            ["warn: [tenancy/baseline] NetworkBaseline zero-trust: its policy default-deny says something else"],
            id="a baseline says less",
        ),
        pytest.param(
            replaced("tenants.yaml", "  project: payments", "  project: payments\n  guardrails: {fromAnywhere: Allow}"),
            ["warn: [tenancy/guardrail] guardrail fromAnywhere widens from Deny to Allow in Workspace checkout, checkout-dev"],
            id="a guardrail widens",
        ),
        pytest.param(
            replaced("organization.yaml", "  baselines:", "  guardrails: {protectedCIDRs: [10.0.0.0/8]}\n  baselines:"),
            [
                "warn: [tenancy/guardrail] guardrail protectedCIDRs widens: 169.254.169.254/32, fd00:ec2::254/128 is no longer protected in Organization acme, Project payments, Project search, Workspace checkout, Workspace ranking, Workspace refunds, checkout-dev, kube-system and 3 more",
                "none: [tenancy/guardrail] guardrail protectedCIDRs narrows: 10.0.0.0/8 is protected now in Organization acme, Project payments, Project search, Workspace checkout, Workspace ranking, Workspace refunds, checkout-dev, kube-system and 3 more",
            ],
            id="the defaults are dropped",
        ),
        pytest.param(
            replaced("organization.yaml", "  baselines:", "  enforcement: {guardrail/to-anywhere: audit}\n  baselines:"),
            ["warn: [tenancy/enforcement] enforcement softens from enforce to audit for guardrail/to-anywhere"],
            id="a rule softens",
        ),
        pytest.param(
            replaced("organization.yaml", "  baselines:", "  enforcement: {rbac/tenancy: audit}\n  baselines:"),
            [],
            id="a rule that never softens",
        ),
        pytest.param(
            replaced(
                "namespaces.yaml",
                "  name: checkout-dev\n  labels:",
                "  name: checkout-dev\n  annotations: {portcullis.dev/exempt-reason: move, portcullis.dev/exempt-until: "
                '"2026-11-30T00:00:00Z"}\n  labels:\n    portcullis.dev/exempt: "true"',
            ),
            [
                "warn: [tenancy/exemption] namespace checkout-dev is exempt from its baselines until 2026-11-30T00:00:00Z"
            ],
            id="an exemption",
        ),
        pytest.param(
            added("apiVersion: v1\nkind: Namespace\nmetadata: {name: refunds-prod, labels: {portcullis.dev/workspace: refunds}}"),
            ["none: [tenancy/owner] namespace refunds-prod is new and belongs to workspace refunds of project payments"],
            id="a namespace comes",
        ),
        pytest.param(
            added(
                "apiVersion: portcullis.dev/v1alpha1\nkind: Workspace\nmetadata: {name: shop}\nspec: {project: payments, roles: [{role: WorkspaceAdmin, subjects: [{kind: Group, name: shop-devs}]}]}"
            ),
            [
                "warn: [tenancy/rights] Group shop-devs gains: create namespaces in it in Workspace shop (WorkspaceAdmin of shop)",
                "none: [tenancy/tenant] Workspace shop is new in project payments",
            ],
            id="a workspace comes",
        ),
        pytest.param(lambda _: None, [], id="nothing"),
    ],
)  # fmt: skip
def test_a_change_is_told_by_what_it_does(judge: Judge, change: Change, said: list[str]) -> None:
    """Who gains, who loses, whose a namespace is and what protects it less: each in a line, and nothing else."""
    part = judge(change)
    assert lines(part) == said
    assert part.state == ("findings" if any(each.startswith("warn") for each in said) else "ok")


def test_a_tree_that_is_new_gives_all_that_it_gives(judge: Judge, tmp_path: Path) -> None:
    """Without a tree before it nobody had anything."""

    def emptied(_: Path) -> None:
        for each in (tmp_path / "base/tenancy").glob("*.yaml"):
            each.write_text("")

    part = judge(emptied)
    said = lines(part)
    assert said[0].startswith("warn: [tenancy/tree] the tree of the base cannot be read, so all that this one gives")
    assert any("Group acme-admins gains: change network policies" in each for each in said)


def test_a_tree_that_cannot_be_read_is_told_with_its_lines(judge: Judge) -> None:
    """Every error, with file and line; there is nothing to compare then."""
    part = judge(replaced("tenants.yaml", "project: payments", "projekt: payments"))
    assert part.state == "not done"
    told = {(each.action, each.file, each.line, each.message) for each in part.remarks}
    assert ("enforce", "tenancy/tenants.yaml", 12, "spec.projekt: unknown field 'projekt'") in told


def test_what_newly_names_nothing_is_told(judge: Judge) -> None:
    """A warning of the tree is one of the review, once it is new."""
    part = judge(replaced("organization.yaml", "baselines: [zero-trust]", "baselines: [zero-trust, none]"))
    (told,) = [each for each in part.remarks if each.rule == "tenancy/tree"]
    assert (told.file, told.line) == ("tenancy/organization.yaml", 14)
    assert told.message.startswith("there is no NetworkBaseline none")


def test_the_rules_say_which_role_may_what(loop: Loop, gate_of: GateOf, bundle: Bundle) -> None:
    """The table of the contract (section 2), as the gate answers it on a tree of our own."""
    engine = gate_of(bundle).engine
    owners = frozenset({"WorkspaceAdmin", "ProjectAdmin", "OrgAdmin"})
    platform, writer = frozenset({"InfraAdmin", "OrgAdmin"}), frozenset({"SystemWriter"})
    top = frozenset({"OrgAdmin"})
    assert loop.run(rights_of(engine.opa, engine.policies)) == {
        "owned: change network policies": owners | writer,
        "owned: change the namespace": owners | writer,
        "owned: exempt it from its baselines": platform,
        "unowned: change network policies": platform | writer,
        "unowned: change the namespace": platform | writer,
        "unowned: exempt it from its baselines": platform,
        "orphaned: change network policies": top | writer,
        "orphaned: change the namespace": top | writer,
        "reserved: change network policies": platform | writer,
        "reserved: change the namespace": platform | writer,
        "Workspace: create namespaces in it": owners,
        "Workspace: change it and who holds its roles": frozenset({"ProjectAdmin", "OrgAdmin"}),
        "Project: create workspaces in it": frozenset({"ProjectAdmin", "OrgAdmin"}),
        "Project: change it and who holds its roles": top,
        "Organization: create projects": top,
        "Organization: change it and who holds its roles": top,
        "Organization: change cluster-wide policies and baselines": platform | writer,
    }


def test_a_rule_that_gives_a_role_more_is_a_gain_of_all_who_hold_it(
    loop: Loop, gate_of: GateOf, bundle: Bundle, tmp_path: Path
) -> None:
    """The tree is the same on both sides: it is the rules that give."""
    name = "portcullis/roles/roles.rego"
    softer = bundle.files[name].replace(
        b'"owned": ["WorkspaceAdmin",', b'"owned": ["WorkspaceReader", "WorkspaceAdmin",'
    )
    assert softer != bundle.files[name]
    policies = replace(bundle.policies, revision="softer")
    files = {**bundle.files, name: softer}
    other = gate_of(Bundle(files, policies)).engine
    engine, loading = gate_of(bundle).engine, load_tree(bundled_examples())
    pages = read_catalogue(bundle)
    base = Ruled(engine.opa, engine.policies, pages, tmp_path, loading)
    part = loop.run(judge_tenancy(base, Ruled(other.opa, other.policies, pages, tmp_path, loading), NOW))
    assert lines(part) == [
        "warn: [tenancy/rules] by the changed rules WorkspaceReader may create namespaces in it at Workspace",
        "warn: [tenancy/rules] by the changed rules WorkspaceReader may change network policies in a namespace that is owned",
        "warn: [tenancy/rules] by the changed rules WorkspaceReader may change the namespace in a namespace that is owned",
        f"warn: [tenancy/rights] User rita gains: {OWNED} checkout-dev; create namespaces in it in Workspace checkout (WorkspaceReader of checkout)",
    ]


TICKET = b"""
package portcullis.rules.house.ticket

deny contains {"rule": "house/ticket", "severity": "low", "message": "no ticket", "level": "enforce", "fixed": false} if {
	input.request.kind.kind == "NetworkPolicy"
}
"""


def test_a_rule_on_what_a_policy_says_takes_no_right_from_anybody(
    loop: Loop, gate_of: GateOf, bundle: Bundle, tmp_path: Path
) -> None:
    """It refuses what is tried, whoever tries it: who may change policies is as it was."""
    rules = bundle.policies.rules | {"house/ticket"}
    files = {**bundle.files, "portcullis/rules/house/ticket/ticket.rego": TICKET}
    other = gate_of(Bundle(files, replace(bundle.policies, revision="ticket", rules=rules))).engine
    engine, loading, pages = gate_of(bundle).engine, load_tree(bundled_examples()), read_catalogue(bundle)
    base = Ruled(engine.opa, engine.policies, pages, tmp_path, loading)
    part = loop.run(judge_tenancy(base, Ruled(other.opa, other.policies, pages, tmp_path, loading), NOW))
    assert lines(part) == []


def test_thousands_of_namespaces_take_seconds(loop: Loop, gate_of: GateOf, bundle: Bundle, tmp_path: Path) -> None:
    """Of 3,000 namespaces in 300 workspaces with 600 subjects: what one grant changes is found in seconds."""
    engine, pages = gate_of(bundle).engine, read_catalogue(bundle)

    def ruled(grants: str) -> Ruled:
        text = ["---", *WHOLE.splitlines()]
        for number in range(300):
            more = grants if number == 7 else ""
            text += ["---", WORKSPACE.format(number=number, more=more)]
            text += ["---", *(NAMESPACE.format(number=number, each=each) for each in range(10))]
        folder = tmp_path / (grants or "base")
        folder.mkdir()
        (folder / "tree.yaml").write_text("\n".join(text))
        return Ruled(engine.opa, engine.policies, pages, tmp_path, load_tree(folder))

    base, head = ruled(""), ruled(", {kind: Group, name: new}")
    started = time.monotonic()
    part = loop.run(judge_tenancy(base, head, NOW))
    took = time.monotonic() - started
    (told,) = lines(part)
    assert told.startswith(
        "warn: [tenancy/rights] Group new gains: change network policies, change the namespace in ns-7-0"
    )
    assert took < 60
