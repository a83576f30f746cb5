"""The order of what is listed means nothing, the letter case of a name all (contract, section 1)."""

import itertools
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cases.reviews import (
    ADA,
    BASELINE,
    BO,
    IVAN,
    NAMESPACE,
    NETPOL,
    OZ,
    PAM,
    STRANGER,
    TENANTS,
    WORKSPACE,
    Asked,
    Caller,
    Json,
    grant,
    namespace,
    other_policy,
    owned,
    policy,
    tenant,
)
from tests.cases.table import (
    CASES,
    CLUSTER_POLICY,
    EXEMPTION,
    FROM_ANYWHERE,
    LABELS,
    NAMESPACE_POLICY,
    NAMESPACE_RULE,
    TENANCY,
    Case,
    create,
    delete,
    opens,
    update,
)
from tests.conftest import TREE, Loop
from tests.policies.answers import Answer, ask_all, under
from webhook.admission import Gate
from webhook.model import Grant, Policy, Tenant
from webhook.tenancy.files import load_tree
from webhook.tenancy.tree import Holdings, Tree, grow

SHARE = 4
"""Every so manieth case is asked in one example."""
salts, firsts = st.integers(1, 2**32 - 1), st.integers(0, SHARE - 1)
SOME = settings(max_examples=10, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))


def reordered(value: Any, salt: int) -> Any:
    """Return a value with the members of every list in it in another order; equal lists get the same one."""
    match value:
        case dict():
            return {key: reordered(each, salt) for key, each in value.items()}
        case list():
            return sorted((reordered(each, salt) for each in value), key=lambda each: _place(each, salt))
        case _:
            return value


def _place(value: Any, salt: int) -> int:
    return zlib.crc32(json.dumps(value, sort_keys=True).encode(), salt)


def holdings(tree: Tree) -> Holdings:
    """Return what a tree is made of."""
    tenants = tuple(each for each in tree.tenants.values() if each.kind != "Organization")
    policies = tuple(each for name in tree.namespaces for each in tree.policies_in(name))
    return Holdings(
        tree.organization, tenants, tuple(tree.baselines.values()), tuple(tree.namespaces.values()), policies
    )


@pytest.fixture(scope="module")
def answers(gate: Gate, loop: Loop) -> list[Answer]:
    """What the cases of the table are answered as they stand."""
    return ask_all(loop, gate, (case.asked.review() for case in CASES))


@SOME
@given(salt=salts, first=firsts)
def test_the_order_in_a_request_means_nothing(
    salt: int, first: int, answers: list[Answer], gate: Gate, loop: Loop
) -> None:
    """With the members of every list of a request in another order each case of the table is decided the same."""
    reviews = (reordered(case.asked.review(), salt) for case in CASES[first::SHARE])
    assert _differing(ask_all(loop, gate, reviews), answers[first::SHARE], CASES[first::SHARE]) == []


def _files() -> list[Json]:
    return [each for path in sorted(TREE.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text()) if each]


def _file(objects: list[Json], salt: int) -> Json:
    """Return one list of all objects of the tree in another order, and of the members of all that lists people."""
    ours = [{**each, "spec": reordered(each["spec"], salt)} if each["kind"] in TENANTS else each for each in objects]
    return {"apiVersion": "v1", "kind": "List", "items": sorted(ours, key=lambda each: _place(each, salt))}


@SOME
@given(salt=salts, first=firsts)
def test_the_order_in_the_trees_files_means_nothing(
    salt: int, first: int, answers: list[Answer], gate: Gate, loop: Loop, tmp_path: Path
) -> None:
    """However tenants, grants, subjects and what stands are ordered in files, each case is decided the same."""
    path = tmp_path / "tree.json"
    path.write_text(json.dumps(_file(_files(), salt)))
    loading = load_tree(path)
    assert loading.tree, loading.errors
    cases = CASES[first::SHARE]
    found = ask_all(loop, under(gate, loading.tree), (case.asked.review() for case in cases))
    assert _differing(found, answers[first::SHARE], cases) == []


BLOCKS = ("0.0.0.0/4", "16.0.0.0/4", "32.0.0.0/3")
"""Addresses that are everywhere only together: a quarter of all IPv4."""


def _rules_and_peers() -> Iterator[tuple[Json, frozenset[str]]]:
    """Yield specs with their rules, peers and exceptions in every order, and what refuses them."""
    for blocks in itertools.permutations(BLOCKS):
        yield opens(*blocks), frozenset({FROM_ANYWHERE})
        peers = [{"ipBlock": {"cidr": block}} for block in blocks]
        yield {"podSelector": {}, "ingress": [{"from": peers}]}, frozenset({FROM_ANYWHERE})
        for rest in itertools.permutations(("0.0.0.0/4", "16.0.0.0/5", "32.0.0.0/6")):
            block = {"cidr": "0.0.0.0/1", "except": [*rest, "64.0.0.0/2"]}
            rules = [
                {"from": [{"ipBlock": block}, {"podSelector": {}}]},
                {"from": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]},
            ]
            yield {"podSelector": {}, "ingress": rules}, frozenset()
            yield {"podSelector": {}, "ingress": rules[::-1]}, frozenset()


def test_every_order_of_rules_and_peers_is_the_same(gate: Gate, loop: Loop) -> None:
    """What a policy opens is what all of its rules and peers open, in whichever order."""
    every = list(_rules_and_peers())
    found = ask_all(loop, gate, (create(ADA, policy("refunds-dev", spec=spec)).review() for spec, _ in every))
    # Refunds is not Ada's: that comes on top, and is the same each time.
    wanted = [rules | {NAMESPACE_POLICY} for _, rules in every]
    assert [each.denied_by for each in found] == wanted


def test_every_order_of_standing_policies_is_the_same(gate: Gate, loop: Loop, tree: Tree) -> None:
    """What stands in a namespace adds up, in whichever order it came to stand there."""
    stand = [Policy("checkout-dev", f"p{place}", {}, opens(block)) for place, block in enumerate(BLOCKS[:2])]
    stand.append(Policy("checkout-dev", "p2", {}, opens("10.0.0.0/8", pods={"matchLabels": {"app": "other"}})))
    last = create(ADA, policy("checkout-dev", spec=opens(BLOCKS[2])))
    without = holdings(tree)
    kept = tuple(each for each in without.policies if each.namespace != "checkout-dev")
    for some in itertools.permutations(stand):
        grown = grow(replace(without, policies=(*kept, *some)))
        [found] = ask_all(loop, under(gate, grown), [last.review()])
        assert found.denied_by == {FROM_ANYWHERE}, some


GROUPS = ("acme-audit", "checkout-team", "system:authenticated")


@pytest.mark.parametrize("groups", list(itertools.permutations(GROUPS)), ids=" ".join)
def test_every_order_of_groups_is_the_same(groups: tuple[str, ...], gate: Gate, loop: Loop) -> None:
    """Whichever group comes first, the one that has the role counts, and break-glass as well."""
    caller, root = Caller("eve", groups), Caller("eve", (*groups[:1], "system:masters", *groups[1:]))
    mine, theirs = policy("checkout-dev"), policy("refunds-dev")
    asked = [create(caller, mine), create(caller, theirs), create(root, theirs)]
    found = ask_all(loop, gate, (each.review() for each in asked))
    assert [each.denied_by for each in found] == [set(), {NAMESPACE_POLICY}, set()]


def test_every_order_of_grants_and_subjects_is_the_same(gate: Gate, loop: Loop, tree: Tree) -> None:
    """Whichever grant of a tenant names somebody, and wherever in it, they have the role."""
    workspace = tree.tenants["Workspace/checkout"]
    others = tuple(each for each in tree.tenants.values() if each.kind != "Organization" and each != workspace)
    [admins, *more] = workspace.roles
    stranger = replace(admins.subjects[0], name="nobody-else")
    for subjects in itertools.permutations((*admins.subjects, stranger, replace(stranger, kind="User"))):
        grants = (Grant(admins.role, subjects), Grant(admins.role, (stranger,)), *more)
        for roles in itertools.permutations(grants):
            grown = grow(replace(holdings(tree), tenants=(*others, replace(workspace, roles=roles))))
            asked = [create(caller, policy("checkout-dev")).review() for caller in (ADA, BO)]
            found = ask_all(loop, under(gate, grown), asked)
            assert [each.allowed for each in found] == [True, False]


def swapped(name: str) -> str:
    return name.swapcase()


def test_a_name_in_another_letter_case_is_a_strangers(answers: list[Answer], gate: Gate, loop: Loop) -> None:
    """Whoever is in the table, system actors and break-glass too, is nobody in another case, as user and in groups."""
    others = [
        replace(
            case.asked, caller=Caller(swapped(case.asked.caller.name), tuple(map(swapped, case.asked.caller.groups)))
        )
        for case in CASES
    ]
    strangers = [
        replace(case.asked, caller=replace(STRANGER, name=STRANGER.name if case.asked.caller.name else ""))
        for case in CASES
    ]
    found, wanted = (ask_all(loop, gate, (each.review() for each in every)) for every in (others, strangers))
    assert _differing(found, wanted, CASES) == []
    assert len(_differing(found, answers, CASES)) > 100


def test_a_subject_in_another_letter_case_is_somebody_else(
    answers: list[Answer], gate: Gate, loop: Loop, tree: Tree
) -> None:
    """In a tree with every subject's name in another case all whom the tree named are strangers."""
    grown = grow(
        replace(
            holdings(tree),
            organization=_in_other_case(tree.organization),
            tenants=tuple(_in_other_case(each) for each in holdings(tree).tenants),
        )
    )
    named = {subject.name for each in tree.tenants.values() for grant in each.roles for subject in grant.subjects}
    cases = [each for each in CASES if {each.asked.caller.name.rpartition(":")[2], *each.asked.caller.groups} & named]
    asked = [each.asked.review() for each in cases if each.asked.caller.name]
    strangers = [replace(each.asked, caller=STRANGER).review() for each in cases if each.asked.caller.name]
    found, wanted = (ask_all(loop, under(gate, grown), every) for every in (asked, strangers))
    assert [each.verdict for each in found] == [each.verdict for each in wanted]
    assert len(found) > len(answers) / 2


def _in_other_case(tenant: Tenant) -> Tenant:
    return replace(
        tenant,
        roles=tuple(
            Grant(each.role, tuple(replace(subject, name=swapped(subject.name)) for subject in each.subjects))
            for each in tenant.roles
        ),
    )


def _differing(some: Sequence[Answer], others: Sequence[Answer], cases: Sequence[Case]) -> list[str]:
    return [case.id for case, one, other in zip(cases, some, others, strict=True) if one.verdict != other.verdict]


def _labels() -> dict[str, tuple[Asked, tuple[str, ...]]]:
    """Names, keys and values that are ours but for the letter case, and which rules deny what they are in."""
    mine = namespace("checkout-dev", owned("checkout"))
    upper = WORKSPACE.upper()

    def labelled(**labels: str) -> Json:
        return namespace("checkout-dev", owned("checkout") | labels)

    def workspace(**spec: Any) -> Json:
        return tenant("Workspace", "spare", {"project": "payments", **spec})

    filled = {**other_policy(BASELINE, name="Zero-Trust"), "spec": {"policies": [{"name": "a", "spec": {}}]}}
    acme = tenant("Organization", "Acme", {"roles": [grant("OrgAdmin", "acme-admins")]})
    wrong_project = {**owned("checkout"), "portcullis.dev/project": "Payments"}
    wrong_gate = {**owned("checkout"), "portcullis.dev/gate": "Enforced"}
    return {
        "workspace-of-a-new-namespace": (
            create(OZ, namespace("fresh", {WORKSPACE: "Checkout"}), NAMESPACE), (NAMESPACE_RULE,)
        ),
        "workspace-of-a-namespace-that-moves": (
            update(OZ, mine, namespace("checkout-dev", {WORKSPACE: "Checkout"}), NAMESPACE), (NAMESPACE_RULE,),
        ),
        "key-of-ownership-is-no-ownership": (
            create(ADA, namespace("fresh", {upper: "checkout"}), NAMESPACE), (NAMESPACE_RULE,)
        ),
        "key-of-ownership-is-a-label-like-any": (create(IVAN, namespace("fresh", {upper: "checkout"}), NAMESPACE), ()),
        "domain-of-ours-is-not-ours": (update(IVAN, mine, labelled(**{"Portcullis.dev/any": "x"}), NAMESPACE), ()),
        "key-in-our-domain-stays-ours": (
            update(IVAN, mine, labelled(**{"portcullis.dev/EXEMPT": "true"}), NAMESPACE), (NAMESPACE_RULE,)
        ),
        "exemption-by-another-key-is-none": (
            update(ADA, mine, labelled(**{"Portcullis.dev/exempt": "true"}), NAMESPACE), ()
        ),
        "exemption-of-another-value": (
            update(IVAN, mine, labelled(**{"portcullis.dev/exempt": "TRUE"}), NAMESPACE), (EXEMPTION,)
        ),
        "project-in-the-derived-label": (
            update(ADA, mine, namespace("checkout-dev", wrong_project), NAMESPACE), (LABELS,)
        ),
        "gate-in-the-derived-label": (update(ADA, mine, namespace("checkout-dev", wrong_gate), NAMESPACE), (LABELS,)),
        "namespace-of-a-policy": (create(OZ, policy("Checkout-Dev")), (NAMESPACE_POLICY,)),
        "namespace-in-the-request": (
            create(ADA, policy("checkout-dev"), over={"namespace": "Checkout-dev"}), (NAMESPACE_POLICY,)
        ),
        "manager-of-a-policy-is-another": (
            create(ADA, policy("checkout-dev", labels={"app.kubernetes.io/managed-by": "Portcullis"})), ()
        ),
        "key-of-a-policys-baseline": (
            create(ADA, policy("checkout-dev", labels={"portcullis.dev/Baseline": "zero-trust"})), ()
        ),
        "subresource": (update(OZ, mine, mine, NAMESPACE, subresource="Status"), (NAMESPACE_RULE,)),
        "version-of-a-covered-kind": (
            create(ADA, policy("checkout-dev"), (NETPOL[0], "V1", *NETPOL[2:])), (NAMESPACE_POLICY,)
        ),
        "baseline-that-nobody-names": (delete(OZ, filled, BASELINE), ()),
        "baseline-by-a-tenant": (delete(ADA, filled, BASELINE), (CLUSTER_POLICY,)),
        "organization": (update(OZ, acme, acme, TENANTS["Organization"]), (TENANCY,)),
        "project-of-a-workspace": (create(OZ, workspace(project="Payments"), TENANTS["Workspace"]), (TENANCY,)),
        "role": (create(PAM, workspace(roles=[grant("workspaceadmin", "x")]), TENANTS["Workspace"]), (TENANCY,)),
        "kind-of-a-subject": (
            create(PAM, workspace(roles=[grant("WorkspaceAdmin", "x", kind="group")]), TENANTS["Workspace"]), (TENANCY,)
        ),
        "value-of-a-guardrail": (
            create(OZ, workspace(guardrails={"toAnywhere": "allow"}), TENANTS["Workspace"]), (TENANCY,)
        ),
    }  # fmt: skip


@pytest.mark.parametrize(("asked", "rules"), _labels().values(), ids=_labels().keys())
def test_a_name_in_another_letter_case_is_another_name(
    asked: Asked, rules: tuple[str, ...], gate: Gate, loop: Loop
) -> None:
    """A label, a key, a tenant or a word in another letter case is not ours, whatever is so called is not either."""
    [found] = ask_all(loop, gate, [asked.review()])
    assert found.denied_by == set(rules), found.lines
    assert found.allowed == (not rules)
