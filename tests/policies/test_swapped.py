"""Old and new swapped: what is decided on a change and on the change back (contract, sections 1, 2 and 4)."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.cases.reviews import (
    ADA,
    BASELINE,
    BO,
    CILIUM,
    CONTROLLER,
    CRD,
    FROM_PODS,
    GARBAGE_COLLECTOR,
    IVAN,
    NAMESPACE,
    NAMESPACE_CONTROLLER,
    NETPOL,
    OZ,
    PAM,
    SAM,
    STRANGER,
    TENANTS,
    TWO,
    WORKSPACE,
    Caller,
    Json,
    definition,
    exempt,
    grant,
    injected,
    namespace,
    other_policy,
    owned,
    policy,
    tenant,
)
from tests.cases.table import (
    ALL_NAMESPACES,
    CLUSTER_POLICY,
    CROSS_PROJECT,
    EXEMPTION,
    FROM_ANYWHERE,
    LABELS,
    MALFORMED,
    MANAGED,
    NAMESPACE_POLICY,
    NAMESPACE_RULE,
    NOT_UNDERSTOOD,
    PENDING,
    PROTECTED,
    TENANCY,
    TO_ANYWHERE,
    leads,
    opens,
    update,
)
from tests.conftest import Loop
from tests.policies.answers import ask_all
from webhook.admission import Gate

BOTH = Caller("both", ("payments-admins", "search-admins"))
FINE: tuple[str, ...] = ()


@dataclass(frozen=True)
class Swap:
    """A change, the rules that deny it, and those that deny the change back."""

    caller: Caller
    old: Json
    new: Json
    there: tuple[str, ...] = FINE
    back: tuple[str, ...] = FINE
    kind: tuple[str, str, str, str] = NETPOL
    subresource: str = ""


def _ownership() -> dict[str, Swap]:
    mine, theirs, afar = (
        namespace("checkout-dev", owned(*place)) for place in (("checkout",), ("refunds",), ("ranking", "search"))
    )
    bare, ghost = namespace("checkout-dev"), namespace("checkout-dev", {WORKSPACE: "ghost"})
    system, claimed = namespace("kube-system"), namespace("kube-system", {WORKSPACE: "checkout"})
    no = (NAMESPACE_RULE,)
    found = {
        "adopted-by-an-org-admin-and-released": (OZ, bare, mine, FINE, FINE),
        "adopted-by-a-workspace-admin-and-released": (ADA, bare, mine, no, no),
        "adopted-by-a-project-admin-and-released": (PAM, bare, mine, no, no),
        "adopted-by-an-infra-admin-and-released": (IVAN, bare, mine, no, no),
        "adopted-by-a-system-writer-and-released": (CILIUM, bare, mine, no, no),
        "given-away-and-stolen": (ADA, mine, theirs, no, no),
        "stolen-and-given-away": (BO, mine, theirs, no, no),
        "moved-by-who-owns-both-workspaces": (TWO, mine, theirs, FINE, FINE),
        "moved-within-the-project": (PAM, mine, theirs, FINE, FINE),
        "moved-out-of-the-project-and-in": (PAM, mine, afar, no, no),
        "moved-into-the-project-and-out": (SAM, mine, afar, no, no),
        "moved-by-who-owns-both-projects": (BOTH, mine, afar, FINE, FINE),
        "moved-by-an-infra-admin": (IVAN, mine, theirs, no, no),
        "mended-and-orphaned": (OZ, ghost, mine, FINE, no),
        "released-from-nowhere-and-orphaned": (OZ, ghost, bare, FINE, no),
        "mended-by-its-next-owner": (ADA, ghost, mine, no, no),
        "kube-system-freed-and-claimed": (IVAN, claimed, system, FINE, no),
        "kube-system-freed-by-a-tenant": (ADA, claimed, system, no, no),
    }
    return {name: Swap(*swap, kind=NAMESPACE) for name, swap in found.items()}


def _labels() -> dict[str, Swap]:
    def mine(notes: dict[str, str] | None = None, /, **labels: str) -> Json:
        return namespace("checkout-dev", owned("checkout") | labels, annotations=notes or {})

    def exempted(days: float, reason: str = "moving house") -> Json:
        label, notes = exempt(days, reason)
        return namespace("checkout-dev", owned("checkout") | label, annotations=notes)

    plain, ghost = mine(), namespace("lost", {WORKSPACE: "ghost"})
    gateless = {key: value for key, value in owned("checkout").items() if key != "portcullis.dev/gate"}
    state = "portcullis.dev/baseline"
    no = (NAMESPACE_RULE,)
    found = {
        "labelled-by-its-owner": (ADA, plain, mine(team="a"), FINE, FINE),
        "labelled-by-an-infra-admin": (IVAN, plain, mine(team="a"), FINE, FINE),
        "labelled-by-a-sibling": (BO, plain, mine(team="a"), no, no),
        "orphan-labelled-by-an-infra-admin": (IVAN, ghost, namespace("lost", {WORKSPACE: "ghost", "a": "b"}), no, no),
        "label-of-ours-by-an-infra-admin": (IVAN, plain, mine(**{"portcullis.dev/any": "x"}), no, no),
        "label-of-ours-by-a-system-writer": (CILIUM, plain, mine(**{"portcullis.dev/any": "x"}), no, no),
        "label-by-the-controller": (CONTROLLER, plain, mine(team="a"), no, no),
        "gate-put-on-and-taken-off": (ADA, namespace("checkout-dev", gateless), plain, FINE, (LABELS,)),
        "gate-put-on-and-taken-off-by-the-controller": (
            CONTROLLER, namespace("checkout-dev", gateless), plain, FINE, (LABELS,),
        ),
        "project-mended-and-forged": (
            ADA, namespace("checkout-dev", owned("checkout", "search")), plain, FINE, (LABELS,),
        ),
        "state-left-out-and-forged": (ADA, mine({state: "{}"}), plain, FINE, (LABELS,)),
        "state-told-by-the-controller": (CONTROLLER, mine({state: PENDING}), mine({state: "{}"}), FINE, FINE),
        "exempted-by-an-infra-admin": (IVAN, plain, exempted(20), FINE, FINE),
        "exempted-by-an-org-admin": (OZ, plain, exempted(20), FINE, FINE),
        "exempted-by-its-owner": (ADA, plain, exempted(20), (EXEMPTION,), (EXEMPTION,)),
        "exempted-by-a-sibling": (BO, plain, exempted(20), (EXEMPTION, *no), (EXEMPTION, *no)),
        "prolonged-and-shortened": (IVAN, exempted(20), exempted(29), FINE, FINE),
        "shortened-and-prolonged-beyond-30-days": (IVAN, exempted(40), exempted(20), FINE, (EXEMPTION,)),
        "taken-off-and-put-on-beyond-30-days": (IVAN, exempted(40), plain, FINE, (EXEMPTION,)),
        "taken-off-and-put-on-when-it-is-over": (IVAN, exempted(-1), plain, FINE, (EXEMPTION,)),
        "reason-given-and-taken": (IVAN, exempted(20, " "), exempted(20), FINE, (EXEMPTION,)),
        "finalizer-by-its-owner": (ADA, plain, _held(plain), FINE, FINE),
        "finalizer-by-an-infra-admin": (IVAN, plain, _held(plain), no, no),
        "finalizer-off-and-on-by-a-system-actor": (NAMESPACE_CONTROLLER, _held(plain), plain, FINE, no),
    }  # fmt: skip
    return {name: Swap(*swap, kind=NAMESPACE) for name, swap in found.items()}


def _held(each: Json, by: str = "example.com/a") -> Json:
    return {**each, "metadata": {**each["metadata"], "finalizers": [by]}}


def _policies() -> dict[str, Swap]:
    def mine(spec: Json) -> Json:
        return policy("checkout-dev", spec=spec)

    def towards(selector: Json, where: str = "checkout-dev") -> Json:
        peers = [{"namespaceSelector": selector}]
        return policy(where, spec={"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": peers}]})

    def named(name: str) -> Json:
        return {"matchLabels": {"kubernetes.io/metadata.name": name}}

    web, all_pods = mine(FROM_PODS), mine({**FROM_PODS, "podSelector": {}})
    plain, labelled = policy("checkout-dev"), policy("checkout-dev", labels={"portcullis.dev/baseline": ""})
    deny, widened = injected("checkout-dev"), injected("checkout-dev", spec={"podSelector": {}, "ingress": [{}]})
    no, whole = (NAMESPACE_POLICY,), {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
    halves, shut = {"matchLabels": {"app": "halves"}}, "shut-dev"
    return {
        "changed-by-its-owner": Swap(ADA, web, all_pods),
        "changed-by-a-sibling": Swap(BO, web, all_pods, no, no),
        "nothing-changed": Swap(ADA, web, web),
        "nothing-changed-by-a-sibling": Swap(BO, web, web, no, no),
        "moved-between-namespaces": Swap(PAM, policy("checkout-dev"), policy("refunds-dev"), no, no),
        "renamed": Swap(ADA, policy("checkout-dev", "a"), policy("checkout-dev", "b"), no, no),
        "finalizer-off-and-on-by-the-garbage-collector": Swap(GARBAGE_COLLECTOR, _held(web), web, FINE, no),
        "our-label-on-and-off": Swap(ADA, plain, labelled, (MANAGED,), (MANAGED,)),
        "our-label-on-and-off-by-an-org-admin": Swap(OZ, plain, labelled, (MANAGED,), (MANAGED,)),
        "injected-one-widened": Swap(ADA, deny, widened, (MANAGED, FROM_ANYWHERE), (MANAGED,)),
        "injected-one-repaired": Swap(CONTROLLER, widened, deny),
        "ingress-narrowed-and-widened": Swap(ADA, mine(whole), mine(opens("0.0.0.0/1")), FINE, (FROM_ANYWHERE,)),
        "ingress-narrowed-by-a-wider-except": Swap(
            ADA, mine(opens("0.0.0.0/0")), mine(opens("10.0.0.0/8")), FINE, (FROM_ANYWHERE,)
        ),
        "ingress-for-fewer-pods-and-more": Swap(
            ADA, mine(whole), mine({**whole, "podSelector": halves}), FINE, (FROM_ANYWHERE,)
        ),
        "ingress-as-wide-in-other-words": Swap(
            ADA, mine(opens("0.0.0.0/0")), mine(opens("0.0.0.0/1", "128.0.0.0/1")), FINE, FINE
        ),
        "direction-without-effect-and-with": Swap(
            ADA, mine(whole), mine({**whole, "policyTypes": ["Egress"]}), FINE, (FROM_ANYWHERE,)
        ),
        "egress-narrowed-and-widened": Swap(
            ADA, mine(leads("0.0.0.0/0")), mine(leads("10.0.0.0/8")), FINE, (TO_ANYWHERE, PROTECTED)
        ),
        "away-from-a-protected-range-and-into-it": Swap(
            ADA, mine(leads("169.254.0.0/16")), mine(leads("169.254.0.0/17")), FINE, (PROTECTED,)
        ),
        "protected-range-narrowed-and-widened": Swap(
            ADA, mine(leads("169.254.0.0/16")), mine(leads("169.254.169.254/32")), FINE, (PROTECTED,)
        ),
        "selector-bounded-and-unbounded": Swap(
            ADA, towards({}), towards(named("refunds-dev")), FINE, (ALL_NAMESPACES,)
        ),
        "within-the-project-and-out": Swap(
            OZ, towards(named("checkout-dev"), shut), towards(named(shut), shut), FINE, (CROSS_PROJECT,)
        ),
        "respelled-and-misspelt": Swap(ADA, mine(leads("010.0.0.0/8")), mine(leads("10.0.0.0/8")), FINE, (MALFORMED,)),
        **_cilium_policies(),
    }  # fmt: skip


def _cilium_policies() -> dict[str, Swap]:
    kind = ("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies")

    def mine(**spec: object) -> Json:
        return other_policy(kind, "checkout-dev", spec={"endpointSelector": {}, **spec})

    plain, fqdn = mine(egress=[{"toCIDR": ["10.0.0.0/8"]}]), mine(egress=[{"toFQDNs": [{"matchPattern": "*"}]}])
    world, one = mine(ingress=[{"fromEntities": ["world"]}]), mine(ingress=[{"fromEntities": ["world-ipv4"]}])
    return {
        "cilium-understood-and-not": Swap(ADA, fqdn, plain, FINE, (NOT_UNDERSTOOD,), kind),
        "cilium-narrowed-and-widened": Swap(ADA, world, one, FINE, (FROM_ANYWHERE,), kind),
        "cilium-by-a-sibling": Swap(BO, plain, plain, (NAMESPACE_POLICY,), (NAMESPACE_POLICY,), kind),
    }


def _tenants() -> dict[str, Swap]:
    team, olga = grant("WorkspaceAdmin", "checkout-team"), grant("OrgAdmin", "acme-admins")
    below = {"kind": "ServiceAccount", "namespace": "checkout-dev"}

    def workspace(project: str = "payments", *roles: Json, **guardrails: str) -> Json:
        spec = {"project": project, "roles": [team, *roles], "guardrails": guardrails}
        return tenant("Workspace", "checkout", spec)

    def project(*roles: Json) -> Json:
        return tenant("Project", "payments", {"roles": [grant("ProjectAdmin", "payments-admins"), *roles]})

    def organization(*roles: Json) -> Json:
        return tenant("Organization", "acme", {"roles": list(roles)})

    ending = {**workspace(), "metadata": {"name": "checkout", "deletionTimestamp": "2026-11-01T00:00:00Z"}}
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"}
    adopted = {**workspace(), "metadata": {"name": "checkout", "ownerReferences": [owner]}}
    readers, ada = grant("WorkspaceReader", "x"), grant("WorkspaceAdmin", "ada", kind="User")
    account, everybody = grant("ProjectAdmin", "ci", **below), grant("WorkspaceAdmin", "system:authenticated")
    misread = workspace("payments", grant("OrgAdmin", "checkout-team"))
    no = (TENANCY,)
    found = {
        "pushed-upon-another-project-and-stolen-back": (PAM, workspace(), workspace("search"), no, no),
        "stolen-and-pushed-back": (SAM, workspace(), workspace("search"), no, no),
        "moved-by-its-own-admin": (ADA, workspace(), workspace("search"), no, no),
        "moved-by-the-admin-of-both": (BOTH, workspace(), workspace("search"), FINE, FINE),
        "moved-by-an-org-admin": (OZ, workspace(), workspace("search"), FINE, FINE),
        "moved-to-nowhere-by-the-admin-of-both": (BOTH, workspace(), workspace("ghost"), no, no),
        "granted-and-revoked-from-above": (PAM, workspace(), workspace("payments", readers), FINE, FINE),
        "granted-to-oneself-and-revoked": (ADA, workspace(), workspace("payments", ada), no, no),
        "narrowed-and-widened": (PAM, workspace(fromAnywhere="Allow"), workspace(), FINE, no),
        "widened-by-an-org-admin": (OZ, workspace(fromAnywhere="Allow"), workspace(), FINE, FINE),
        "denied-and-widened": (PAM, workspace(toAnywhere="Allow"), workspace(toAnywhere="Deny"), FINE, no),
        "denied-and-left-as-above": (PAM, workspace(crossProject="Allow"), workspace(crossProject="Deny"), FINE, FINE),
        "moved-with-what-is-wider": (
            BOTH, workspace(hostNetwork="Allow"), workspace("search", hostNetwork="Allow"), no, no,
        ),
        "owner-reference-off-and-on": (PAM, adopted, workspace(), FINE, no),
        "last-finalizer-on-and-off": (PAM, ending, _held(ending), FINE, no),
        "everybody-out-and-in": (PAM, workspace("payments", everybody), workspace(), FINE, no),
        "mended-and-broken": (OZ, misread, workspace(), FINE, no),
        "account-of-a-namespace-below-out-and-in": (OZ, project(account), project(), FINE, no),
        "account-by-a-project-admin": (PAM, project(account), project(), no, no),
        "last-org-admin-in-and-out": (OZ, organization(), organization(olga), FINE, no),
        "organization-by-an-infra-admin": (IVAN, organization(), organization(olga), no, no),
    }  # fmt: skip
    return {name: Swap(*swap, kind=TENANTS[swap[1]["kind"]]) for name, swap in found.items()}


def _cluster_objects() -> dict[str, Swap]:
    def baseline(name: str, *policies: Json) -> Json:
        return {**other_policy(BASELINE, name=name), "spec": {"policies": list(policies)}}

    one, other = {"name": "a", "spec": {}}, {"name": "b", "spec": {}}
    wrong = {"name": "a", "spec": {"podSelector": {"matchLabels": {"at": "$(tenant)"}}}}
    filled, referred = baseline("zero-trust", one), baseline("edge", one)
    referred["metadata"] = {"name": "edge", "ownerReferences": [{"uid": "1"}]}
    foreign = definition("example.com", "Widget")
    ours, ciliums = (
        {**foreign, "spec": definition(*of)["spec"]}
        for of in (("portcullis.dev", "X"), ("cilium.io", "CiliumNetworkPolicy"))
    )
    no = (CLUSTER_POLICY,)
    found = {
        "baseline-changed": (IVAN, filled, baseline("zero-trust", other), FINE, FINE),
        "baseline-changed-by-a-tenant": (ADA, filled, baseline("zero-trust", other), no, no),
        "named-baseline-filled-and-emptied": (OZ, baseline("zero-trust"), filled, FINE, no),
        "unnamed-baseline-filled-and-emptied": (OZ, baseline("edge2"), baseline("edge2", one), FINE, FINE),
        "baseline-mended-and-broken": (IVAN, baseline("edge", wrong), baseline("edge", one), FINE, no),
        "baselines-owner-off-and-on": (OZ, referred, baseline("edge", one), FINE, no),
        "finalizer-of-the-controller": (CONTROLLER, filled, _held(filled, "portcullis.dev/baseline"), FINE, FINE),
        "finalizer-of-another-by-the-controller": (CONTROLLER, filled, _held(filled), no, no),
        "finalizer-of-the-controller-by-a-system-actor": (GARBAGE_COLLECTOR, _held(filled), filled, FINE, no),
    }
    definitions = {
        "definition-becomes-a-covered-kinds": (STRANGER, foreign, ciliums, no, no),
        "definition-becomes-ours": (STRANGER, foreign, ours, no, no),
        "definition-becomes-ours-by-a-system-writer": (CILIUM, ciliums, ours, no, no),
        "definition-becomes-a-covered-kinds-by-a-system-writer": (CILIUM, foreign, ciliums, FINE, FINE),
    }
    return {
        **{name: Swap(*swap, kind=BASELINE) for name, swap in found.items()},
        **{name: Swap(*swap, kind=CRD) for name, swap in definitions.items()},
    }


SWAPS: Mapping[str, Swap] = {
    **_ownership(),
    **_labels(),
    **_policies(),
    **_tenants(),
    **_cluster_objects(),
}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS.keys())
def test_a_change_and_the_change_back(swap: Swap, gate: Gate, loop: Loop) -> None:
    """What a change is denied by and what the change back is are as the table says: old and new are never confused."""
    asked = (
        update(swap.caller, old, new, swap.kind, subresource=swap.subresource)
        for old, new in ((swap.old, swap.new), (swap.new, swap.old))
    )
    there, back = ask_all(loop, gate, (each.review() for each in asked))
    assert there.denied_by == set(swap.there), there.lines
    assert back.denied_by == set(swap.back), back.lines
    assert (there.allowed, back.allowed) == (not swap.there, not swap.back)


def test_the_order_matters_in_many_and_not_in_others() -> None:
    """The table has both sorts: pairs that differ when they are swapped, and pairs that do not, allowed and denied."""
    differing = {name for name, swap in SWAPS.items() if swap.there != swap.back}
    allowed = {name for name, swap in SWAPS.items() if not swap.there and not swap.back}
    assert min(len(differing), len(allowed), len(SWAPS) - len(differing) - len(allowed)) > 15
