"""
The rule book by example: who asks what, and by which rules it is denied.

A denial lists every rule that denies it; without the folder of one of them the others still do, and without the only
one the same request is allowed, or denied by those that had nothing to add. That is how the table shows that a rule is
needed.
"""

from dataclasses import dataclass
from itertools import permutations
from typing import Any

from tests.cases.reviews import (
    ADA,
    API_SERVER,
    ARGOCD,
    AUDITOR,
    AUTHENTICATED,
    BASELINE,
    BO,
    CILIUM,
    CONTROLLER,
    CRD,
    CY,
    FALSE_ARGOCD,
    FROM_PODS,
    GARBAGE_COLLECTOR,
    IVAN,
    NAMESPACE,
    NAMESPACE_CONTROLLER,
    NETPOL,
    NOBODY,
    OZ,
    PAM,
    POD,
    REPLICASETS,
    RITA,
    ROOT,
    SAM,
    STRANGER,
    TENANTS,
    TWO,
    WORKSPACE,
    Asked,
    Caller,
    Json,
    definition,
    exempt,
    grant,
    injected,
    namespace,
    other_policy,
    owned,
    pod,
    policy,
    tenant,
)

NAMESPACE_POLICY = "rbac/namespace-policy"
CLUSTER_POLICY = "rbac/cluster-policy"
NAMESPACE_RULE = "rbac/namespace"
TENANCY = "rbac/tenancy"
MANAGED = "baseline/managed-policy"
LABELS = "baseline/namespace-labels"
FROM_ANYWHERE = "guardrail/from-anywhere"
TO_ANYWHERE = "guardrail/to-anywhere"
ALL_NAMESPACES = "guardrail/all-namespaces"
CROSS_PROJECT = "guardrail/cross-project"
PROTECTED = "guardrail/protected-cidr"
MALFORMED = "guardrail/malformed"
NOT_UNDERSTOOD = "guardrail/not-understood"
EXEMPTION = "baseline/exemption"
POD_GATE = "baseline/pod-gate"
HOST_NETWORK = "guardrail/host-network"

PENDING = '{"reason":"the namespace is new: its baseline policies are not applied yet","revision":"","state":"Pending"}'


@dataclass(frozen=True)
class Case:
    """
    A request and the rules that deny it; none: it is allowed.

    Without its only rule it is denied by `otherwise`; `waits` says that waiting helps.
    """

    id: str
    asked: Asked
    denied_by: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()
    waits: bool = False


def create(caller: Caller, new: Json, kind: tuple[str, str, str, str] = NETPOL, **rest: object) -> Asked:
    """Ask for a new object."""
    return Asked(caller, "CREATE", kind, new=new, **rest)  # type: ignore[arg-type]  # passed through


def update(caller: Caller, old: Json, new: Json, kind: tuple[str, str, str, str] = NETPOL, **rest: object) -> Asked:
    """Ask for a change."""
    return Asked(caller, "UPDATE", kind, new=new, old=old, **rest)  # type: ignore[arg-type]  # passed through


def delete(caller: Caller, old: Json, kind: tuple[str, str, str, str] = NETPOL, **rest: object) -> Asked:
    """Ask for the end of an object."""
    return Asked(caller, "DELETE", kind, old=old, **rest)  # type: ignore[arg-type]  # passed through


def opens(*cidrs: str, pods: Json | None = None) -> Json:
    """Return a spec that lets these addresses in, each by a rule of its own."""
    rules = [{"from": [{"ipBlock": {"cidr": cidr}}]} for cidr in cidrs]
    return {"podSelector": pods or {}, "policyTypes": ["Ingress"], "ingress": rules}


def leads(*cidrs: str, pods: Json | None = None) -> Json:
    """Return a spec that lets pods out to these addresses, each by a rule of its own."""
    rules = [{"to": [{"ipBlock": {"cidr": cidr}}]} for cidr in cidrs]
    return {"podSelector": pods or {}, "policyTypes": ["Egress"], "egress": rules}


def _namespace_policies() -> list[Case]:
    mine, theirs = policy("checkout-dev"), policy("refunds-dev")
    changed = policy("checkout-dev", spec={**FROM_PODS, "podSelector": {}})
    cilium = ("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies")
    calico_set = ("projectcalico.org", "v3", "NetworkSet", "networksets")
    allowed = {
        "workspace-admin-creates": create(ADA, mine),
        "workspace-admin-changes": update(ADA, mine, changed),
        "workspace-admin-deletes": delete(ADA, mine),
        "workspace-admin-deletes-one-of-a-collection": delete(ADA, mine, over={"name": ""}),
        "project-admin-creates": create(PAM, mine),
        "org-admin-creates": create(OZ, mine),
        "generated-name": create(ADA, policy("checkout-dev", "", generateName="web-"), over={"name": ""}),
        "infra-admin-in-unowned": create(IVAN, policy("monitoring")),
        "service-account-infra-admin-in-unowned": create(ARGOCD, policy("monitoring")),
        "org-admin-in-unowned": create(OZ, policy("monitoring")),
        "infra-admin-in-kube-system": create(IVAN, policy("kube-system")),
        "org-admin-in-orphaned": create(OZ, policy("lost")),
        "system-writer": create(CILIUM, mine),
        "namespace-controller-deletes": delete(NAMESPACE_CONTROLLER, mine),
        "garbage-collector-deletes-in-unknown": delete(GARBAGE_COLLECTOR, policy("gone")),
        "garbage-collector-takes-finalizer-off": update(
            GARBAGE_COLLECTOR, policy("checkout-dev", finalizers=["a", "b"]), policy("checkout-dev", finalizers=["b"])
        ),
        "cilium-in-unguarded": create(IVAN, other_policy(cilium, "monitoring"), cilium),
        "calico-set": create(ADA, other_policy(calico_set, "checkout-dev"), calico_set),
        "cilium-status-is-left-alone": update(
            STRANGER,
            other_policy(cilium, "checkout-dev"),
            other_policy(cilium, "checkout-dev"),
            cilium,
            subresource="status",
        ),
    }
    denied = {
        "sibling-creates": create(BO, mine),
        "sibling-deletes": delete(BO, mine),
        "sibling-changes": update(BO, mine, changed),
        "other-project": create(CY, mine),
        "other-project-admin": create(SAM, mine),
        "mine-is-not-theirs": create(ADA, theirs),
        "workspace-reader": create(RITA, mine),
        "org-reader": delete(AUDITOR, mine),
        "infra-admin-in-owned": create(IVAN, mine),
        "stranger": create(STRANGER, mine),
        "stranger-in-unowned": create(STRANGER, policy("monitoring")),
        "workspace-admin-in-unowned": create(ADA, policy("monitoring")),
        "workspace-admin-in-kube-system": create(ADA, policy("kube-system")),
        "infra-admin-in-orphaned": create(IVAN, policy("lost")),
        "unknown-namespace": create(OZ, policy("nowhere")),
        "system-writer-in-unknown": create(CILIUM, policy("nowhere")),
        "empty-name-with-groups": create(NOBODY, mine),
        "service-account-of-the-same-name-elsewhere": create(FALSE_ARGOCD, policy("monitoring")),
        "group-in-other-case": create(Caller("eve", ("Checkout-Team",)), mine),
        "group-by-prefix": create(Caller("eve", ("checkout-team-interns",)), mine),
        "user-named-like-a-group": create(Caller("checkout-team"), mine),
        "request-names-another-namespace": create(ADA, mine, over={"namespace": "refunds-dev"}),
        "object-names-another-namespace": create(ADA, theirs, over={"namespace": "checkout-dev"}),
        "request-names-another-object": delete(ADA, mine, over={"name": "other"}),
        "create-without-object": Asked(ADA, "CREATE", NETPOL, over={"namespace": "checkout-dev", "name": "web"}),
        "delete-without-old-object": Asked(ADA, "DELETE", NETPOL, over={"namespace": "checkout-dev", "name": "web"}),
        "unknown-version": create(ADA, mine, ("networking.k8s.io", "v2", "NetworkPolicy", "networkpolicies")),
        "update-without-old-object": Asked(ADA, "UPDATE", NETPOL, new=mine),
        "update-of-another-object": update(ADA, policy("checkout-dev", "former"), mine),
        "update-from-another-namespace": update(ADA, theirs, mine),
        "controller-in-unknown": create(CONTROLLER, injected("nowhere")),
        "connect": Asked(ADA, "CONNECT", NETPOL, new=mine, old=mine),
        "garbage-collector-creates": create(GARBAGE_COLLECTOR, mine),
        "garbage-collector-adds-finalizer": update(GARBAGE_COLLECTOR, mine, policy("checkout-dev", finalizers=["x"])),
        "garbage-collector-changes-the-spec-too": update(
            GARBAGE_COLLECTOR, policy("checkout-dev", finalizers=["x"]), changed
        ),
        "system-prefix-is-no-system-actor": delete(
            Caller("system:serviceaccount:kube-system:namespace-controller2"), mine
        ),
        "controller-writes-what-is-not-injected": create(CONTROLLER, mine),
        "stranger-changes-cilium": delete(STRANGER, other_policy(cilium, "checkout-dev"), cilium),
        "stranger-changes-calico-set": create(STRANGER, other_policy(calico_set, "checkout-dev"), calico_set),
        "unknown-version-of-calico": create(
            ADA, other_policy(calico_set, "checkout-dev"), ("projectcalico.org", "v4", "NetworkSet", "networksets")
        ),
    }
    return _cases("namespace-policy", allowed, denied, NAMESPACE_POLICY)


def _cluster_policies() -> list[Case]:
    admin = ("policy.networking.k8s.io", "v1alpha1", "AdminNetworkPolicy", "adminnetworkpolicies")
    cluster = ("policy.networking.k8s.io", "v1alpha2", "ClusterNetworkPolicy", "clusternetworkpolicies")
    ccnp = ("cilium.io", "v2", "CiliumClusterwideNetworkPolicy", "ciliumclusterwidenetworkpolicies")
    tier = ("crd.projectcalico.org", "v1", "Tier", "tiers")
    base = {**other_policy(BASELINE, name="edge"), "spec": {"policies": [{"name": "a", "spec": {}}]}}
    named = {**base, "metadata": {"name": "zero-trust"}}
    with_finalizer = {**named, "metadata": {"name": "zero-trust", "finalizers": ["portcullis.dev/baseline"]}}
    ending = {**named, "metadata": {**named["metadata"], "deletionTimestamp": "2026-11-01T00:00:00Z"}}
    ending_held = {**ending, "metadata": {**ending["metadata"], "finalizers": ["portcullis.dev/baseline"]}}
    edge_ending = {**base, "metadata": {**ending["metadata"], "name": "edge"}}
    edge_held = {**base, "metadata": {**ending_held["metadata"], "name": "edge"}}
    empty = {**named, "spec": {"policies": []}}
    misspelt = {
        **base,
        "spec": {"policies": [{"name": "a", "spec": {"podSelector": {"matchLabels": {"at": "$(tenant)"}}}}]},
    }
    ours = definition("portcullis.dev", "Workspace")
    ours_converted = {**ours, "spec": {**ours["spec"], "conversion": {"strategy": "Webhook"}}}
    ciliums = definition("cilium.io", "CiliumNetworkPolicy")
    ciliums_adopted = {**ciliums, "metadata": {**ciliums["metadata"], "ownerReferences": [{"uid": "1"}]}}
    baselines = definition("portcullis.dev", "NetworkBaseline")
    allowed = {
        "infra-admin": create(IVAN, other_policy(admin), admin),
        "infra-admin-service-account": create(ARGOCD, other_policy(cluster), cluster),
        "org-admin": delete(OZ, other_policy(ccnp), ccnp),
        "system-writer": create(CILIUM, other_policy(tier), tier),
        "infra-admin-changes-a-baseline": update(
            IVAN, named, {**named, "spec": {"policies": [{"name": "b", "spec": {}}]}}, BASELINE
        ),
        "infra-admin-deletes-an-unnamed-baseline": delete(IVAN, base, BASELINE),
        "controller-sets-its-finalizer": update(CONTROLLER, named, with_finalizer, BASELINE),
        "controller-lets-a-named-baseline-go": update(CONTROLLER, ending_held, ending, BASELINE),
        "infra-admin-replaces-a-baseline-without-its-finalizer": update(IVAN, with_finalizer, named, BASELINE),
        "garbage-collector-takes-finalizer-off": update(GARBAGE_COLLECTOR, with_finalizer, named, BASELINE),
        "unreadable-baseline-loses-a-finalizer": update(
            IVAN, {**misspelt, "metadata": {"name": "edge", "finalizers": ["x"]}}, misspelt, BASELINE
        ),
        "baseline-status-is-left-alone": update(STRANGER, named, named, BASELINE, subresource="status"),
        "infra-admin-installs-crd": create(IVAN, ours, CRD),
        "system-writer-updates-cilium-crd": update(CILIUM, ciliums, ciliums, CRD),
        "infra-admin-labels-our-crd": update(
            IVAN, ours, {**ours, "metadata": {**ours["metadata"], "labels": {"a": "b"}}}, CRD
        ),
        "infra-admin-changes-the-crd-of-baselines": update(
            IVAN, baselines, {**baselines, "spec": {**baselines["spec"], "versions": []}}, CRD
        ),
        "org-admin-changes-our-crd": update(OZ, ours, ours_converted, CRD),
        "owner-of-a-crd-taken-off": update(IVAN, ciliums_adopted, ciliums, CRD),
        "anybody-whom-rbac-lets-defines-foreign-kinds": create(STRANGER, definition("example.com", "Widget"), CRD),
        "foreign-crd-deleted": delete(STRANGER, definition("example.com", "Widget"), CRD),
        "api-server-establishes-a-covered-crd": update(API_SERVER, ciliums, ciliums, CRD, subresource="status"),
        "kind-of-the-same-name-in-a-foreign-group": create(STRANGER, definition("example.com", "NetworkPolicy"), CRD),
    }
    denied = {
        "tenant": create(ADA, other_policy(admin), admin),
        "project-admin": create(PAM, other_policy(cluster), cluster),
        "org-reader": create(AUDITOR, other_policy(ccnp), ccnp),
        "tenant-deletes": delete(ADA, other_policy(tier), tier),
        "empty-name": create(NOBODY, other_policy(admin), admin),
        "unknown-version": create(
            IVAN, other_policy(admin), ("policy.networking.k8s.io", "v9", "AdminNetworkPolicy", "x")
        ),
        "without-object": Asked(IVAN, "CREATE", admin),
        "update-of-another-object": update(IVAN, other_policy(admin, name="former"), other_policy(admin), admin),
        "baseline-with-an-owner": update(
            OZ, base, {**base, "metadata": {"name": "edge", "ownerReferences": [{"uid": "1"}]}}, BASELINE
        ),
        "tenant-changes-a-baseline": update(ADA, base, base, BASELINE),
        "system-writer-changes-a-baseline": update(CILIUM, base, base, BASELINE),
        "baseline-with-an-unknown-variable": create(IVAN, misspelt, BASELINE),
        "baseline-becomes-unreadable": update(IVAN, base, misspelt, BASELINE),
        "named-baseline-deleted": delete(OZ, named, BASELINE),
        "named-baseline-emptied": update(OZ, named, empty, BASELINE),
        "named-baseline-loses-its-policies": update(OZ, named, {**named, "spec": {}}, BASELINE),
        "controller-changes-a-baseline": update(
            CONTROLLER, named, {**named, "spec": {"policies": [{"name": "x"}]}}, BASELINE
        ),
        "controller-labels-a-baseline": update(
            CONTROLLER, base, {**base, "metadata": {**base["metadata"], "labels": {"a": "b"}}}, BASELINE
        ),
        "infra-admin-takes-the-finalizer-off-what-ends": update(IVAN, edge_held, edge_ending, BASELINE),
        "tenant-installs-crd": create(ADA, ours, CRD),
        "system-writer-changes-our-crd": update(CILIUM, ours, ours, CRD),
        "infra-admin-has-the-tree-converted": update(IVAN, ours, ours_converted, CRD),
        "infra-admin-has-the-garbage-collector-delete-a-crd": update(IVAN, ciliums, ciliums_adopted, CRD),
        "system-writer-has-the-garbage-collector-delete-a-crd": update(CILIUM, ciliums, ciliums_adopted, CRD),
        "crd-created-with-an-owner": create(OZ, ciliums_adopted, CRD),
        "our-crd-deleted-by-org-admin": delete(OZ, ours, CRD),
        "covered-crd-deleted-by-infra-admin": delete(IVAN, ciliums, CRD),
        "covered-crd-deleted-by-garbage-collector": delete(GARBAGE_COLLECTOR, ciliums, CRD),
        "crd-status-by-a-stranger": update(STRANGER, ciliums, ciliums, CRD, subresource="status"),
        "crd-that-takes-a-covered-plural": create(
            STRANGER,
            {**ciliums, "spec": {"group": "cilium.io", "names": {"kind": "Foo", "plural": "ciliumnetworkpolicies"}}},
            CRD,
        ),
        "crd-that-cannot-be-read": create(STRANGER, {**ours, "spec": {"group": 7}}, CRD),
        "crd-deleted-without-old-object": Asked(STRANGER, "DELETE", CRD, over={"name": "workspaces.portcullis.dev"}),
    }
    return _cases("cluster-policy", allowed, denied, CLUSTER_POLICY)


def _nameless(beginning: str) -> Json:
    """Return a Namespace whose name is not made yet, as no validating hook sees one."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": beginning}, "spec": {}}


def _namespaces() -> list[Case]:
    mine = namespace("checkout-dev", owned("checkout"))
    theirs = namespace("refunds-dev", owned("refunds"))
    free = namespace("monitoring")
    lost = namespace("lost", {WORKSPACE: "ghost"})
    tagged = namespace("checkout-dev", owned("checkout", team="a"))
    moved = namespace("checkout-dev", owned("refunds"))
    afar = namespace("checkout-dev", owned("ranking", "search"))
    exempted = _exempted("checkout-dev", owned("checkout"), *exempt(20))
    finalized = {**mine, "spec": {"finalizers": []}}
    fresh = namespace("checkout-new", owned("checkout"), annotations={"portcullis.dev/baseline": PENDING})
    system = namespace("kube-system")
    open_to_all, open_to_all_moved = (
        namespace("plaza-dev", labels) for labels in (owned("plaza", "search"), owned("refunds"))
    )
    allowed = {
        "workspace-admin-creates": create(ADA, fresh, NAMESPACE),
        "project-admin-creates": create(PAM, fresh, NAMESPACE),
        "org-admin-creates": create(OZ, fresh, NAMESPACE),
        "infra-admin-creates-unowned": create(IVAN, namespace("tools"), NAMESPACE),
        "workspace-admin-labels": update(ADA, mine, tagged, NAMESPACE),
        "workspace-admin-deletes": delete(ADA, mine, NAMESPACE),
        "infra-admin-labels": update(IVAN, mine, tagged, NAMESPACE),
        "infra-admin-exempts": update(IVAN, mine, exempted, NAMESPACE),
        "infra-admin-labels-kube-system": update(IVAN, system, namespace("kube-system", {"team": "a"}), NAMESPACE),
        "infra-admin-takes-a-label-off-kube-system": update(
            IVAN, namespace("kube-system", {WORKSPACE: "checkout"}), system, NAMESPACE
        ),
        "project-admin-moves-within": update(PAM, mine, moved, NAMESPACE),
        "org-admin-moves": update(OZ, mine, afar, NAMESPACE),
        "org-admin-moves-one-with-an-open-policy": update(OZ, open_to_all, open_to_all_moved, NAMESPACE),
        "name-that-is-taken-which-fails-by-itself": create(BO, open_to_all_moved, NAMESPACE),
        "org-admin-adopts": update(OZ, free, namespace("monitoring", owned("checkout")), NAMESPACE),
        "org-admin-releases": update(OZ, mine, namespace("checkout-dev"), NAMESPACE),
        "org-admin-mends-an-orphan": update(OZ, lost, namespace("lost", owned("checkout")), NAMESPACE),
        "org-admin-deletes-an-orphan": delete(OZ, lost, NAMESPACE),
        "system-writer-labels": update(CILIUM, mine, tagged, NAMESPACE),
        "system-writer-creates-unowned": create(CILIUM, namespace("tools"), NAMESPACE),
        "controller-restores-derived-labels": update(
            CONTROLLER, namespace("checkout-dev", {WORKSPACE: "checkout"}), mine, NAMESPACE
        ),
        "controller-reports": update(
            CONTROLLER,
            mine,
            namespace("checkout-dev", owned("checkout"), annotations={"portcullis.dev/baseline": "{}"}),
            NAMESPACE,
        ),
        "namespace-controller-finalizes": update(
            NAMESPACE_CONTROLLER, mine, finalized, NAMESPACE, subresource="finalize"
        ),
        "namespace-controller-deletes": delete(NAMESPACE_CONTROLLER, lost, NAMESPACE),
        "api-server-creates-kubernetes-own": create(API_SERVER, namespace("kube-node-lease"), NAMESPACE),
        "org-admin-creates-where-an-account-lives": create(OZ, namespace("gitops"), NAMESPACE),
        "project-admin-creates-where-a-workspace-account-lives": create(
            SAM,
            namespace("ci", owned("ranking", "search"), annotations={"portcullis.dev/baseline": PENDING}),
            NAMESPACE,
        ),
    }
    denied = {
        "sibling-creates": create(BO, fresh, NAMESPACE),
        "stranger-creates-unowned": create(STRANGER, namespace("tools"), NAMESPACE),
        "workspace-admin-creates-unowned": create(TWO, namespace("tools"), NAMESPACE),
        "unknown-workspace": create(OZ, namespace("new", {WORKSPACE: "ghost"}), NAMESPACE),
        "reader-deletes": delete(RITA, mine, NAMESPACE),
        "sibling-deletes": delete(BO, mine, NAMESPACE),
        "infra-admin-deletes-owned": delete(IVAN, mine, NAMESPACE),
        "infra-admin-creates-owned": create(IVAN, fresh, NAMESPACE),
        "infra-admin-deletes-orphan": delete(IVAN, lost, NAMESPACE),
        "infra-admin-labels-orphan": update(IVAN, lost, namespace("lost", {WORKSPACE: "ghost", "a": "b"}), NAMESPACE),
        "without-a-name": create(IVAN, _nameless("tools-"), NAMESPACE),
        "update-of-another-object": update(OZ, free, namespace("tools"), NAMESPACE),
        "workspace-admin-steals": update(BO, mine, moved, NAMESPACE),
        "workspace-admin-steals-one-with-an-open-policy": update(BO, open_to_all, open_to_all_moved, NAMESPACE),
        "workspace-admin-gives-away": update(ADA, mine, moved, NAMESPACE),
        "project-admin-moves-across": update(PAM, mine, afar, NAMESPACE),
        "workspace-admin-adopts": update(ADA, free, namespace("monitoring", owned("checkout")), NAMESPACE),
        "infra-admin-adopts": update(IVAN, free, namespace("monitoring", owned("checkout")), NAMESPACE),
        "workspace-admin-releases": update(ADA, mine, namespace("checkout-dev"), NAMESPACE),
        "workspace-admin-empties-the-label": update(ADA, mine, namespace("checkout-dev", {WORKSPACE: ""}), NAMESPACE),
        "org-admin-adopts-kube-system": update(
            OZ, system, namespace("kube-system", {WORKSPACE: "checkout"}), NAMESPACE
        ),
        "org-admin-creates-ours-owned": create(OZ, namespace("portcullis-system", {WORKSPACE: "checkout"}), NAMESPACE),
        "org-admin-moves-to-nowhere": update(OZ, mine, namespace("checkout-dev", {WORKSPACE: "ghost"}), NAMESPACE),
        "workspace-admin-labels-an-orphan": update(
            ADA, lost, namespace("lost", {WORKSPACE: "ghost", "a": "b"}), NAMESPACE
        ),
        "status-takes-ownership": update(BO, mine, moved, NAMESPACE, subresource="status"),
        "finalize-by-the-owner": update(ADA, mine, finalized, NAMESPACE, subresource="finalize"),
        "finalize-by-org-admin": update(OZ, mine, finalized, NAMESPACE, subresource="finalize"),
        "finalize-by-system-writer": update(CILIUM, mine, finalized, NAMESPACE, subresource="finalize"),
        "infra-admin-takes-finalizers-off": update(
            IVAN, {**mine, "spec": {"finalizers": ["kubernetes"]}}, {**mine, "spec": {}}, NAMESPACE
        ),
        "namespace-controller-relabels": update(NAMESPACE_CONTROLLER, mine, moved, NAMESPACE),
        "namespace-controller-relabels-by-finalize": update(
            NAMESPACE_CONTROLLER, mine, moved, NAMESPACE, subresource="finalize"
        ),
        "garbage-collector-creates-a-tenants": create(GARBAGE_COLLECTOR, namespace("tools"), NAMESPACE),
        "system-writer-takes-over": update(CILIUM, mine, moved, NAMESPACE),
        "system-writer-creates-owned": create(CILIUM, fresh, NAMESPACE),
        "controller-moves": update(CONTROLLER, mine, moved, NAMESPACE),
        "controller-labels": update(CONTROLLER, mine, tagged, NAMESPACE),
        "infra-admin-creates-where-an-infra-account-lives": create(IVAN, namespace("gitops"), NAMESPACE),
        "workspace-admin-creates-where-an-account-lives": create(
            ADA, namespace("gitops", owned("checkout"), annotations={"portcullis.dev/baseline": PENDING}), NAMESPACE
        ),
        "infra-admin-creates-where-all-accounts-have-a-role": create(IVAN, namespace("runners"), NAMESPACE),
        "other-project-admin-creates-where-an-account-lives": create(
            PAM, namespace("ci", owned("checkout"), annotations={"portcullis.dev/baseline": PENDING}), NAMESPACE
        ),
        "unknown-version": update(ADA, mine, tagged, ("", "v2", "Namespace", "namespaces")),
        "unknown-subresource": update(ADA, mine, tagged, NAMESPACE, subresource="resize"),
        "delete-without-old-object": Asked(ADA, "DELETE", NAMESPACE, over={"name": "checkout-dev"}),
        "request-names-another": update(ADA, mine, tagged, NAMESPACE, over={"name": "refunds-dev"}),
        "mine-is-not-theirs": update(ADA, theirs, theirs, NAMESPACE),
    }
    return _cases("namespace", allowed, denied, NAMESPACE_RULE)


def _managed_policies() -> list[Case]:
    deny, widened = injected("checkout-dev"), injected("checkout-dev", spec={"podSelector": {}, "ingress": [{}]})
    labelled = policy("checkout-dev", labels={"app.kubernetes.io/managed-by": "portcullis"})
    claimed = policy("checkout-dev", labels={"portcullis.dev/baseline": ""})
    allowed = {
        "controller-injects": create(CONTROLLER, deny),
        "controller-replaces-what-somebody-widened": update(CONTROLLER, widened, deny),
        "controller-injects-an-allow-all-of-the-baseline": create(CONTROLLER, widened),
        "controller-deletes": delete(CONTROLLER, deny),
        "namespace-controller-deletes": delete(NAMESPACE_CONTROLLER, deny),
        "other-managers-label": create(ADA, policy("checkout-dev", labels={"app.kubernetes.io/managed-by": "Helm"})),
    }
    denied = {
        "owner-deletes": delete(ADA, deny),
        "org-admin-deletes": delete(OZ, deny),
        "owner-deletes-one-of-a-collection": delete(ADA, deny, over={"name": ""}),
        "owner-takes-the-label-off": update(ADA, labelled, policy("checkout-dev")),
        "owner-claims-the-managed-by-label": create(ADA, labelled),
        "owner-claims-the-baseline-label": create(ADA, claimed),
        "owner-squats-a-dotted-name": create(ADA, policy("checkout-dev", "zero-trust.default-deny")),
        "owner-generates-a-dotted-name": create(
            ADA, policy("checkout-dev", "", generateName="a.b-"), over={"name": ""}
        ),
        "owner-changes": update(ADA, deny, injected("checkout-dev", spec=FROM_PODS)),
    }
    cases = _cases("managed-policy", allowed, denied, MANAGED)
    stranger = {
        "infra-admin-deletes-in-owned": delete(IVAN, deny),
        "stranger-deletes": delete(STRANGER, deny),
        "garbage-collector-changes": update(GARBAGE_COLLECTOR, deny, injected("checkout-dev", spec=FROM_PODS)),
    }
    return cases + [
        Case(f"managed-policy/deny-{name}", asked, (MANAGED, NAMESPACE_POLICY)) for name, asked in stranger.items()
    ]


def _namespace_labels() -> list[Case]:
    mine = namespace("checkout-dev", owned("checkout"))
    baseline = "portcullis.dev/baseline"
    stale = namespace("checkout-dev", {WORKSPACE: "checkout", "portcullis.dev/project": "former"})
    told = namespace("checkout-dev", owned("checkout"), annotations={baseline: '{"state":"Ready"}'})
    without_gate = {key: value for key, value in owned("checkout").items() if key != "portcullis.dev/gate"}
    selected = namespace("checkout-dev", owned("checkout", tier="edge"))
    free_and_selected = namespace("edge", {"tier": "edge", "portcullis.dev/gate": "enforced"})
    moved = namespace("checkout-dev", owned("refunds"))
    allowed = {
        "owner-takes-a-baseline-on": update(ADA, mine, selected, NAMESPACE),
        "infra-admin-takes-a-baseline-off": update(IVAN, selected, mine, NAMESPACE),
        "org-admin-takes-a-baseline-off": update(OZ, selected, mine, NAMESPACE),
        "infra-admin-takes-the-last-baseline-off": update(IVAN, free_and_selected, namespace("edge"), NAMESPACE),
        "project-admin-moves-what-a-baseline-selects": update(
            PAM, selected, namespace("checkout-dev", owned("refunds", tier="edge")), NAMESPACE
        ),
        "stale-labels-that-the-request-leaves": update(
            ADA, stale, namespace("checkout-dev", {**stale["metadata"]["labels"], "a": "b"}), NAMESPACE
        ),
        "annotation-left-out": update(ADA, told, mine, NAMESPACE),
        "annotation-kept": update(ADA, told, told, NAMESPACE),
        "unowned-of-a-baseline": create(
            IVAN,
            namespace("edge2", {"tier": "edge", "portcullis.dev/gate": "enforced"}, annotations={baseline: PENDING}),
            NAMESPACE,
        ),
        "new-without-annotation": create(ADA, namespace("checkout-new", owned("checkout")), NAMESPACE),
    }
    denied = {
        "created-without": create(ADA, namespace("checkout-new", {WORKSPACE: "checkout"}), NAMESPACE),
        "created-without-gate": create(ADA, namespace("checkout-new", without_gate), NAMESPACE),
        "gate-taken-off": update(ADA, mine, namespace("checkout-dev", without_gate), NAMESPACE),
        "owner-takes-a-baseline-off": update(ADA, selected, mine, NAMESPACE),
        "owner-takes-a-baseline-off-by-another-value": update(
            ADA, selected, namespace("checkout-dev", owned("checkout", tier="core")), NAMESPACE
        ),
        "owner-takes-a-baseline-off-through-the-status": update(ADA, selected, mine, NAMESPACE, subresource="status"),
        "project-admin-takes-a-baseline-off-while-moving": update(PAM, selected, moved, NAMESPACE),
        "system-writer-takes-a-baseline-off": update(CILIUM, free_and_selected, namespace("edge"), NAMESPACE),
        "wrong-project": update(ADA, mine, namespace("checkout-dev", owned("checkout", "search")), NAMESPACE),
        "left-over-after-release": update(
            OZ, mine, namespace("checkout-dev", {"portcullis.dev/project": "payments"}), NAMESPACE
        ),
        "empty-left-over": create(IVAN, namespace("tools", {"portcullis.dev/project": ""}), NAMESPACE),
        "a-label-selects-a-baseline-and-the-gate-stays-off": update(
            IVAN, namespace("monitoring"), namespace("monitoring", {"tier": "edge"}), NAMESPACE
        ),
        "unowned-with-project": create(IVAN, namespace("tools", {"portcullis.dev/project": "payments"}), NAMESPACE),
        "state-forged-at-creation": create(
            ADA, namespace("checkout-new", owned("checkout"), annotations={baseline: '{"state":"Ready"}'}), NAMESPACE
        ),
        "state-forged-later": update(ADA, mine, told, NAMESPACE),
        "state-changed": update(
            ADA, told, namespace("checkout-dev", owned("checkout"), annotations={baseline: "{}"}), NAMESPACE
        ),
        "state-where-no-baseline-applies": create(IVAN, namespace("tools", annotations={baseline: PENDING}), NAMESPACE),
        "controller-stamps-a-wrong-project": update(
            CONTROLLER, mine, namespace("checkout-dev", owned("checkout", "search")), NAMESPACE
        ),
    }
    return _cases("namespace-labels", allowed, denied, LABELS)


UNREAD = (FROM_ANYWHERE, TO_ANYWHERE, ALL_NAMESPACES, PROTECTED)
"""The guardrails that refuse by default what cannot be read, if nobody else does."""
_ODD = frozenset({"ipv4-mapped", "leading-zeros-and-host-bits"})
_PAST_METADATA = frozenset(
    {
        "exactly-a-quarter",
        "a-quarter-of-global-ipv6",
        "together-with-what-stands",
        "together-by-selecting-all-pods",
    }
)


def _also(rule: str, name: str) -> tuple[str, ...]:
    """Return the rules that deny a case as well: egress to everywhere leads to the metadata service, too."""
    protected = (PROTECTED,) if rule == TO_ANYWHERE and name not in _PAST_METADATA else ()
    return protected + ((MALFORMED,) if name in _ODD else ())


def _guardrails() -> list[Case]:
    halves = {"matchLabels": {"app": "halves"}}
    elsewhere = {"matchLabels": {"app": "elsewhere"}}
    allow_all: Json = {"podSelector": {}, "ingress": [{}]}
    cases: list[Case] = []
    for rule, field, peers, spec in (
        (FROM_ANYWHERE, "ingress", "from", opens),
        (TO_ANYWHERE, "egress", "to", leads),
    ):
        types = [field.capitalize()]
        whole: Json = {"podSelector": {}, "policyTypes": types, field: [{}]}
        standing = policy("checkout-dev", spec=whole)
        allowed = {
            "small-block": create(ADA, policy("checkout-dev", spec=spec("10.0.0.0/8"))),
            "just-under-a-quarter": create(
                ADA, policy("checkout-dev", spec=spec("0.0.0.0/3", "32.0.0.0/4", "48.0.0.0/5"))
            ),
            "direction-without-effect": create(
                ADA,
                policy("checkout-dev", spec={**whole, "policyTypes": ["Egress" if field == "ingress" else "Ingress"]}),
            ),
            "where-no-baseline-applies": create(IVAN, policy("monitoring", spec=whole)),
            "other-pods-than-those-that-stand": create(
                ADA, policy("checkout-dev", spec=spec("32.0.0.0/3", pods=elsewhere))
            ),
            "update-that-narrows": update(ADA, standing, policy("checkout-dev", spec=spec("0.0.0.0/1"))),
            "deletion": delete(ADA, standing),
        }
        denied = {
            "empty-rule": create(ADA, policy("checkout-dev", spec=whole)),
            "null-rule": create(ADA, policy("checkout-dev", spec={**whole, field: [None]})),
            "empty-peers": create(ADA, policy("checkout-dev", spec={**whole, field: [{peers: []}]})),
            "only-ports": create(ADA, policy("checkout-dev", spec={**whole, field: [{"ports": [{"port": 443}]}]})),
            "everything": create(ADA, policy("checkout-dev", spec=spec("0.0.0.0/0"))),
            "two-halves-in-two-rules": create(ADA, policy("checkout-dev", spec=spec("0.0.0.0/1", "128.0.0.0/1"))),
            "exactly-a-quarter": create(ADA, policy("checkout-dev", spec=spec("0.0.0.0/2"))),
            "tiny-except": create(
                ADA,
                policy(
                    "checkout-dev",
                    spec={**whole, field: [{peers: [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}]},
                ),
            ),
            "all-of-ipv6": create(ADA, policy("checkout-dev", spec=spec("::/0"))),
            "a-quarter-of-global-ipv6": create(ADA, policy("checkout-dev", spec=spec("2000::/5"))),
            "ipv4-mapped": create(ADA, policy("checkout-dev", spec=spec("::ffff:0:0/96"))),
            "leading-zeros-and-host-bits": create(ADA, policy("checkout-dev", spec=spec("001.2.3.4/0"))),
            "together-with-what-stands": create(ADA, policy("checkout-dev", spec=spec("32.0.0.0/3", pods=halves))),
            "together-by-selecting-all-pods": create(ADA, policy("checkout-dev", spec=spec("32.0.0.0/3"))),
            "org-admin": create(OZ, policy("checkout-dev", spec=whole)),
            "infra-admin-in-unowned-of-a-baseline": create(IVAN, policy("edge", spec=whole)),
            "system-writer": create(CILIUM, policy("checkout-dev", spec=whole)),
            "update-that-widens": update(ADA, policy("checkout-dev", spec=spec("0.0.0.0/1")), standing),
            "update-that-selects-more-pods": update(
                ADA, policy("checkout-dev", spec={**whole, "podSelector": halves}), standing
            ),
            "update-that-opens-more-ports": update(
                ADA, policy("checkout-dev", spec={**whole, field: [{"ports": [{"port": 443}]}]}), standing
            ),
            "update-from-all-addresses-to-everybody": update(
                ADA, policy("checkout-dev", spec=spec("0.0.0.0/0", "::/0")), standing
            ),
            "old-and-new-swapped": update(ADA, policy("checkout-dev", spec=spec("10.0.0.0/8")), standing),
        }
        topic = rule.split("/")[1]
        cases += [Case(f"{topic}/allow-{name}", asked) for name, asked in allowed.items()]
        cases += [Case(f"{topic}/deny-{name}", asked, (rule, *_also(rule, name))) for name, asked in denied.items()]
        unreadable: Json = {**whole, field: [{peers: [{"ipBlock": {"cidr": "10.0.0.0"}}]}]}
        mixed: Json = {**whole, field: [{peers: [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]}
        for name, each in {
            "address-that-is-none": unreadable,
            "peer-of-two-sorts": mixed,
            "spec-that-is-a-list": [1],
        }.items():
            asked = create(ADA, policy("checkout-dev", spec=each))  # type: ignore[arg-type]  # wrong on purpose
            cases.append(Case(f"{topic}/deny-{name}", asked, (MALFORMED,), UNREAD))
    cases.append(
        Case("from-anywhere/allow-where-the-workspace-says-so", create(OZ, policy("plaza-dev", spec=allow_all)))
    )
    return cases


def _cilium() -> list[Case]:
    kind = ("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies")
    redirect = ("cilium.io", "v2", "CiliumLocalRedirectPolicy", "ciliumlocalredirectpolicies")

    def of(**spec: object) -> Asked:
        return create(ADA, other_policy(kind, "checkout-dev", spec={"endpointSelector": {}, **spec}), kind)

    def changed(before: Json, after: Json) -> Asked:
        old, new = (
            other_policy(kind, "checkout-dev", spec={"endpointSelector": {}, **spec}) for spec in (before, after)
        )
        return update(ADA, old, new, kind)

    def peer(key: str, operator: str, *values: str) -> Json:
        expression = {"key": key, "operator": operator} | ({"values": list(values)} if values else {})
        return {"fromEndpoints": [{"matchExpressions": [expression]}]}

    world: Json = {"ingress": [{"fromEntities": ["world"]}]}
    closed: Json = {"ingressDeny": [{"fromCIDRSet": [{"cidr": "0.0.0.0/0", "except": ["203.0.113.0/24"]}]}]}
    port = [{"ports": [{"port": "443", "protocol": "TCP"}]}]
    halves = {"endpointSelector": {"matchLabels": {"k8s:app": "halves"}}}
    allowed = {
        "own-pods": of(ingress=[{"fromEndpoints": [{"matchLabels": {"app": "web"}}], "toPorts": port}]),
        "small-block": of(egress=[{"toCIDR": ["10.0.0.0/8"]}, {"toCIDRSet": [{"cidr": "192.168.0.0/16"}]}]),
        "an-empty-rule-opens-nothing": of(ingress=[{}], egress=[{}]),
        "node-entities": of(egress=[{"toEntities": ["kube-apiserver", "host", "remote-node"]}]),
        "denials": of(egressDeny=[{"toEntities": ["world"]}]),
        "own-namespace-by-name": of(ingress=[peer("k8s:io.kubernetes.pod.namespace", "In", "checkout-dev")]),
        "update-that-keeps-its-denials": changed({**world, **closed}, {**world, **closed, "description": "x"}),
        "update-that-narrows": changed(world, {"ingress": [{"fromEntities": ["world-ipv4"]}]}),
    }
    all_namespaces = {
        "cluster-entity": of(egress=[{"toEntities": ["kube-apiserver", "cluster"]}]),
        "pods-of-whatever-namespace": of(ingress=[peer("k8s:io.kubernetes.pod.namespace", "Exists")]),
        "namespaces-by-a-label": of(ingress=[peer("k8s:io.cilium.k8s.namespace.labels.team", "In", "a")]),
    }
    from_anywhere = {
        "world": of(ingress=[{"fromEntities": ["world"]}]),
        "only-ports": of(ingress=[{"toPorts": port}]),
        "empty-list-of-peers": of(ingress=[{"fromEndpoints": []}]),
        "everything": of(ingress=[{"fromCIDR": ["0.0.0.0/0"]}]),
        "halves": of(ingress=[{"fromCIDR": ["0.0.0.0/1"]}, {"fromCIDRSet": [{"cidr": "128.0.0.0/1"}]}]),
        "update-that-drops-a-denial": changed({**world, **closed}, world),
        "update-from-one-family-to-both": changed({"ingress": [{"fromEntities": ["world-ipv4"]}]}, world),
        "update-from-icmp-to-ports": changed({"ingress": [{"icmps": [{}]}]}, {"ingress": [{"toPorts": [{}]}]}),
        "together-with-one-of-its-own-kind": of(
            ingress=[{"fromCIDR": ["32.0.0.0/3"]}], endpointSelector={"matchLabels": {"any:app": "cilium"}}
        ),
        "network-policy-together-with-cilium": create(
            ADA, policy("checkout-dev", spec=opens("32.0.0.0/3", pods={"matchLabels": {"app": "cilium"}}))
        ),
        "together-with-a-network-policy": of(ingress=[{"fromCIDR": ["32.0.0.0/3"]}], **halves),
    }
    to_anywhere = {
        "world": of(egress=[{"toEntities": ["world-ipv4"]}]),
        "tiny-except": of(egress=[{"toCIDRSet": [{"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}]}]),
        "only-icmp": of(egress=[{"icmps": [{"fields": [{"type": 8}]}]}]),
    }
    not_understood = {
        "names": of(egress=[{"toFQDNs": [{"matchPattern": "*"}]}]),
        "several-specs": create(ADA, {**other_policy(kind, "checkout-dev"), "specs": [{}]}, kind),
        "without-a-selector": create(ADA, other_policy(kind, "checkout-dev"), kind),
        "reserved-labels": of(ingress=[{"fromEndpoints": [{"matchLabels": {"reserved:world": ""}}]}]),
        "labels-that-are-addresses": of(ingress=[{"fromEndpoints": [{"matchLabels": {"cidr:0.0.0.0/0": ""}}]}]),
        "group-of-addresses": of(ingress=[{"fromCIDRSet": [{"cidrGroupRef": "any"}]}]),
        "reserved-by-a-dot": of(egress=[{"toEndpoints": [{"matchLabels": {"reserved.world": ""}}]}]),
        "reserved-by-a-dollar": of(ingress=[{"fromEndpoints": [{"matchLabels": {"$world": ""}}]}]),
        "reserved-in-an-expression": of(ingress=[peer("reserved.world", "Exists")]),
        "not-the-reserved-ones": of(ingress=[peer("reserved.nope", "DoesNotExist")]),
        "whatever-has-no-namespace": of(ingress=[peer("k8s:io.kubernetes.pod.namespace", "DoesNotExist")]),
        "whatever-is-not-in-a-namespace": of(ingress=[peer("io.kubernetes.pod.namespace", "NotIn", "nope")]),
        "whatever-is-in-no-cluster": of(ingress=[peer("any:io.cilium.k8s.policy.cluster", "DoesNotExist")]),
        "whatever-has-no-label-of-a-namespace": of(
            ingress=[peer("io.cilium.k8s.namespace.labels.team", "DoesNotExist")]
        ),
        "endpoints-of-a-namespace": of(
            ingress=[{"fromCIDR": ["0.0.0.0/3"]}],
            endpointSelector={"matchLabels": {"k8s:io.kubernetes.pod.namespace": "x"}},
        ),
        "a-key-with-an-equals-sign": of(endpointSelector={"matchLabels": {"app": "a", "app=1": "b"}}),
        "reserved-endpoints": create(
            ADA,
            other_policy(kind, "checkout-dev", spec={"endpointSelector": {"matchLabels": {"reserved.init": ""}}}),
            kind,
        ),
        "peers-of-the-other-direction": of(ingress=[{"toEntities": ["world"]}]),
        "local-redirects": create(ADA, other_policy(redirect, "checkout-dev", spec={"redirectBackend": {}}), redirect),
        "an-entity-of-tomorrow": of(ingress=[{"fromEntities": ["moon"]}]),
    }
    several = {
        "all": (of(ingress=[{"fromEntities": ["cluster", "all"]}]), (FROM_ANYWHERE, ALL_NAMESPACES)),
        "update-from-the-world-to-all": (
            changed(world, {"ingress": [{"fromEntities": ["all"]}]}),
            (FROM_ANYWHERE, ALL_NAMESPACES),
        ),
        "a-selector-that-is-a-list": (of(endpointSelector=[]), (MALFORMED,)),
        "leading-zeros": (of(egress=[{"toCIDR": ["010.0.0.0/8"]}]), (MALFORMED,)),
        "metadata": (of(egress=[{"toCIDR": ["169.254.169.254"]}]), (PROTECTED,)),
    }
    return [
        *_cases("cilium", allowed, from_anywhere, FROM_ANYWHERE),
        *_cases("cilium-namespaces", {}, all_namespaces, ALL_NAMESPACES),
        *(Case(f"cilium-egress/deny-{name}", asked, (TO_ANYWHERE, PROTECTED)) for name, asked in to_anywhere.items()),
        *(
            Case(f"cilium/deny-not-understood-{name}", asked, (NOT_UNDERSTOOD,))
            for name, asked in not_understood.items()
        ),
        *(
            Case(f"cilium/deny-{name}", asked, rules, UNREAD if rules == (MALFORMED,) and "list" in name else ())
            for name, (asked, rules) in several.items()
        ),
    ]


def _calico() -> list[Case]:
    cases: list[Case] = []
    for group, version in (("crd.projectcalico.org", "v1"), ("projectcalico.org", "v3")):
        kind = (group, version, "NetworkPolicy", "networkpolicies")
        sets = (group, version, "NetworkSet", "networksets")
        topic = f"calico-{version}"

        def of(side: Json, kind: tuple[str, str, str, str] = kind, field: str = "ingress", **rest: object) -> Asked:
            peer = "source" if field == "ingress" else "destination"
            rule = {"action": rest.pop("action", "Allow"), peer: side}
            return create(
                ADA, other_policy(kind, "checkout-dev", spec={"selector": "all()", field: [rule], **rest}), kind
            )

        def nets(*cidrs: str, kind: tuple[str, str, str, str] = sets) -> Asked:
            return create(ADA, other_policy(kind, "checkout-dev", "nets", {"nets": list(cidrs)}), kind)

        allowed = {
            "own-pods": of({"selector": "app == 'web' && has(tier)"}),
            "small-block": of({"nets": ["10.0.0.0/8"]}, field="egress"),
            "namespace-by-name": of({"namespaceSelector": "projectcalico.org/name == 'refunds-dev'"}),
            # Of its own namespace, as long as it names no other.
            "all-but-some-pods": of({"notSelector": "app == 'web'"}),
            "denial": of({}, action="Deny"),
            "small-set": nets("10.0.0.0/8"),
        }
        denied = {
            "no-source": (of({}), (FROM_ANYWHERE,)),
            "pass": (of({}, action="Pass"), (FROM_ANYWHERE,)),
            "all-but-some": (of({"notNets": ["10.0.0.0/8"]}), (FROM_ANYWHERE,)),
            "halves": (of({"nets": ["0.0.0.0/1", "128.0.0.0/1"]}), (FROM_ANYWHERE,)),
            "no-destination": (of({}, field="egress"), (TO_ANYWHERE, PROTECTED)),
            "metadata": (of({"nets": ["169.254.0.0/16"]}, field="egress"), (PROTECTED,)),
            "set-of-everywhere": (nets("0.0.0.0/0"), (FROM_ANYWHERE, TO_ANYWHERE, PROTECTED)),
            "all-namespaces": (of({"namespaceSelector": "all()"}), (ALL_NAMESPACES,)),
            "namespaces-by-a-label": (of({"namespaceSelector": "team == 'a'"}), (ALL_NAMESPACES,)),
            "malformed": (of({"nets": ["10.0.0.1/8"]}), (MALFORMED,)),
            "global": (of({"namespaceSelector": "global()"}), (NOT_UNDERSTOOD,)),
            "either": (of({"selector": "a == 'b' || all()"}), (NOT_UNDERSTOOD,)),
            "services": (of({"services": {"name": "web"}}, field="egress"), (NOT_UNDERSTOOD,)),
            "another-tier": (of({"nets": ["10.0.0.0/8"]}, tier="security"), (NOT_UNDERSTOOD,)),
            "an-action-of-tomorrow": (of({"nets": ["10.0.0.0/8"]}, action="Teleport"), (NOT_UNDERSTOOD,)),
        }
        cases += [Case(f"{topic}/allow-{name}", asked) for name, asked in allowed.items()]
        cases += [Case(f"{topic}/deny-{name}", asked, rules) for name, (asked, rules) in denied.items()]
    return cases


def _selectors() -> list[Case]:
    """The guardrails on who is selected: all-namespaces and cross-project, which workspace `shut` refuses."""

    def of(namespaces: Json | None, where: str = "checkout-dev", **peer: object) -> Asked:
        selector = {} if namespaces is None else {"namespaceSelector": namespaces}
        spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{**selector, **peer}]}]}
        return create(OZ, policy(where, spec=spec))

    def by(key: str, *values: str) -> Json:
        if len(values) == 1:
            return {"matchLabels": {key: values[0]}}
        return {"matchExpressions": [{"key": key, "operator": "In", "values": list(values)}]}

    def on(key: str, operator: str, *values: str) -> Json:
        return {"matchExpressions": [{"key": key, "operator": operator} | ({"values": list(values)} if values else {})]}

    name, project = "kubernetes.io/metadata.name", "portcullis.dev/project"
    both = {"matchLabels": {project: "payments", "team": "a"}}
    bounded = {
        "own-namespace": of(None, podSelector={}),
        "by-name": of(by(name, "refunds-dev")),
        "by-names": of(by(name, "refunds-dev", "ranking-dev")),
        "by-workspace": of(by(WORKSPACE, "refunds")),
        "by-project-of-others": of(by(project, "search"), podSelector={"matchLabels": {"app": "web"}}),
        "by-project-and-more": of(both),
        "where-no-baseline-applies": of({}, where="monitoring"),
    }
    unbounded = {
        "all": of({}),
        "all-with-pods": of({}, podSelector={"matchLabels": {"app": "web"}}),
        "by-a-label-of-anybody": of(by("team", "a")),
        "by-the-organization": of(by("portcullis.dev/organization", "acme")),
        "name-exists": of(on(name, "Exists")),
        "not-a-name": of(on(name, "NotIn", "kube-system")),
        "no-workspace": of(on(WORKSPACE, "DoesNotExist")),
        "not-a-project": of(on(project, "NotIn", "search")),
        "key-in-other-case": of(by("portcullis.dev/Project", "payments")),
    }
    staying = {
        "own-project": of(by(project, "search"), where="shut-dev"),
        "own-namespace-of-another-workspace": of(by(name, "ranking-dev"), where="shut-dev"),
        "the-platforms": of(by(name, "kube-system", "monitoring"), where="shut-dev"),
        "own-workspace": of(by(WORKSPACE, "ranking"), where="shut-dev"),
        "addresses": of(None, where="shut-dev", ipBlock={"cidr": "172.16.0.0/12"}),
        "a-name-that-cannot-be-both": of({"matchLabels": {name: "checkout-dev", project: "search"}}, where="shut-dev"),
        "from-elsewhere-into-it": of(by(name, "shut-dev")),
    }
    leaving = {
        "another-project": of(by(project, "payments"), where="shut-dev"),
        "own-and-another": of(by(project, "search", "payments"), where="shut-dev"),
        "a-namespace-of-another": of(by(name, "checkout-dev"), where="shut-dev"),
        "a-workspace-of-another": of(by(WORKSPACE, "checkout"), where="shut-dev"),
        "a-name-that-nobody-has": of(by(name, "not-yet"), where="shut-dev"),
        "a-workspace-that-nobody-has": of(by(WORKSPACE, "not-yet"), where="shut-dev"),
        "an-orphan": of(by(name, "lost"), where="shut-dev"),
        "a-project-that-is-not-yet": of(by(project, "not-yet"), where="shut-dev"),
    }
    return [
        *_cases("all-namespaces", bounded, unbounded, ALL_NAMESPACES),
        *_cases("cross-project", staying, leaving, CROSS_PROJECT),
        Case("cross-project/deny-all-namespaces", of({}, where="shut-dev"), (ALL_NAMESPACES, CROSS_PROJECT)),
    ]


def _addresses() -> list[Case]:
    """The guardrails on addresses: protected-cidr and malformed."""

    def egress(block: Json, where: str = "checkout-dev") -> Asked:
        spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": block}]}]}
        return create(OZ, policy(where, spec=spec))

    whole, part = {"cidr": "169.254.0.0/16"}, {"cidr": "169.254.169.254/32"}
    standing = policy("checkout-dev", spec=leads("169.254.0.0/16"))
    spared = {
        "excepted": egress({**whole, "except": ["169.254.169.254/32"]}),
        "around-it": egress({"cidr": "169.254.169.255/32"}),
        "ingress": create(ADA, policy("checkout-dev", spec=opens("169.254.169.254/32"))),
        "narrowed": update(ADA, standing, policy("checkout-dev", spec=leads("169.254.169.0/24"))),
    }
    touched = {
        "whole": egress(part),
        "in-part": egress(whole),
        "ipv6": egress({"cidr": "fd00:ec2::/32"}),
        "by-nat64": egress({"cidr": "64:ff9b::/96"}),
        "excepted-in-part": egress({"cidr": "169.254.169.254/31", "except": ["169.254.169.255/32"]}),
        "what-the-workspace-adds": egress({"cidr": "10.9.8.0/24"}, where="shut-dev"),
        "widened": update(ADA, policy("checkout-dev", spec=leads("169.254.169.0/24")), standing),
    }
    odd = {
        "leading-zeros": egress({"cidr": "010.0.0.0/8"}),
        "host-bits": egress({"cidr": "10.0.0.1/8"}),
        "ipv4-mapped": egress({"cidr": "::ffff:10.0.0.0/104"}),
        "except-outside": egress({"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}),
        "except-is-the-block": egress({"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}),
        "prefix-with-zeros": egress({"cidr": "10.0.0.0/08"}),
        "an-update-that-spells-it-so": update(
            ADA, policy("checkout-dev", spec=leads("10.0.0.0/8")), policy("checkout-dev", spec=leads("010.0.0.0/8"))
        ),
    }
    old = policy("checkout-dev", spec=leads("010.0.0.0/8"))
    mended = {
        "left-as-it-was": update(ADA, old, old),
        "written-as-it-is-read": update(ADA, old, policy("checkout-dev", spec=leads("10.0.0.0/8"))),
    }
    return [*_cases("protected-cidr", spared, touched, PROTECTED), *_cases("malformed", mended, odd, MALFORMED)]


def _exempted(name: str, labels: dict[str, str], label: dict[str, str], notes: dict[str, str]) -> Json:
    return namespace(name, {**labels, **label}, annotations=notes)


def _exemptions() -> list[Case]:
    def mine(*exemption: dict[str, str], **more: str) -> Json:
        return _exempted("checkout-dev", owned("checkout", **more), *exemption)

    none: tuple[dict[str, str], dict[str, str]] = ({}, {})
    on, longer, over = exempt(20), exempt(29), exempt(-1)
    plain, (label, notes) = mine(*none), on
    until = "portcullis.dev/exempt-until"
    tools = _exempted("tools", {}, *on)

    def ending(text: str) -> Asked:
        return update(IVAN, plain, mine(label, notes | {until: text}), NAMESPACE)

    allowed = {
        "infra-admin-puts-it-on": update(IVAN, plain, mine(*on), NAMESPACE),
        "service-account-infra-admin-puts-it-on": update(ARGOCD, plain, mine(*on), NAMESPACE),
        "org-admin-puts-it-on": update(OZ, plain, mine(*on), NAMESPACE),
        "infra-admin-prolongs": update(IVAN, mine(*on), mine(*longer), NAMESPACE),
        "infra-admin-takes-it-off": update(IVAN, mine(*on), plain, NAMESPACE),
        "infra-admin-takes-off-half-of-one": update(IVAN, mine(label, {}), plain, NAMESPACE),
        "infra-admin-through-the-status": update(IVAN, plain, mine(*on), NAMESPACE, subresource="status"),
        "infra-admin-creates-unowned": create(IVAN, tools, NAMESPACE),
        "infra-admin-in-unowned": update(IVAN, namespace("monitoring"), _exempted("monitoring", {}, *on), NAMESPACE),
        "a-time-with-an-offset": ending(on[1][until].replace("Z", ".5+02:00")),
        "owner-leaves-it": update(ADA, mine(*on), mine(*on, team="a"), NAMESPACE),
        "owner-leaves-one-that-is-over": update(ADA, mine(*over), mine(*over, team="a"), NAMESPACE),
        "infra-admin-leaves-one-of-before-our-day": update(
            IVAN, mine(*exempt(99)), mine(*exempt(99), team="a"), NAMESPACE
        ),
        "owner-deletes-the-namespace": delete(ADA, mine(*on), NAMESPACE),
    }
    denied = {
        "owner-puts-it-on": update(ADA, plain, mine(*on), NAMESPACE),
        "project-admin-puts-it-on": update(PAM, plain, mine(*on), NAMESPACE),
        "owner-prolongs": update(ADA, mine(*on), mine(*longer), NAMESPACE),
        "owner-changes-the-reason": update(ADA, mine(*on), mine(label, exempt(20, "because")[1]), NAMESPACE),
        "owner-takes-it-off": update(ADA, mine(*on), plain, NAMESPACE),
        "owner-takes-one-off-that-is-over": update(ADA, mine(*over), plain, NAMESPACE),
        "owner-puts-the-end-alone": update(ADA, plain, mine({}, {until: notes[until]}), NAMESPACE),
        "owner-through-the-status": update(ADA, plain, mine(*on), NAMESPACE, subresource="status"),
        "owner-creates": create(ADA, _exempted("checkout-new", owned("checkout"), *on), NAMESPACE),
        "31-days": update(IVAN, plain, mine(*exempt(31)), NAMESPACE),
        "31-days-by-org-admin": update(OZ, plain, mine(*exempt(31)), NAMESPACE),
        "an-end-that-is-past": update(IVAN, plain, mine(*over), NAMESPACE),
        "no-reason": update(IVAN, plain, mine(label, {until: notes[until]}), NAMESPACE),
        "a-blank-reason": update(IVAN, plain, mine(*exempt(20, " \t\u200b")), NAMESPACE),
        "no-end": update(IVAN, plain, mine(*exempt(20)[:1], {"portcullis.dev/exempt-reason": "x"}), NAMESPACE),
        "the-label-alone": update(IVAN, plain, mine(label, {}), NAMESPACE),
        "annotations-alone": update(IVAN, plain, mine({}, notes), NAMESPACE),
        "a-reason-left-over": update(IVAN, mine(*on), mine({}, {"portcullis.dev/exempt-reason": "x"}), NAMESPACE),
        "another-label": update(IVAN, plain, mine(*exempt(20, label="True")), NAMESPACE),
        "an-empty-label": update(IVAN, plain, mine({"portcullis.dev/exempt": ""}, {}), NAMESPACE),
        "a-time-without-offset": ending(notes[until].removesuffix("Z")),
        "a-day": ending(notes[until][:10]),
        "created-by-infra-admin-for-31-days": create(IVAN, _exempted("tools", {}, *exempt(31)), NAMESPACE),
        "on-kube-system-for-31-days": update(
            IVAN, namespace("kube-system"), _exempted("kube-system", {}, *exempt(31)), NAMESPACE
        ),
    }
    strangers = {
        "sibling-puts-it-on": update(BO, plain, mine(*on), NAMESPACE),
        "stranger-creates-unowned": create(STRANGER, tools, NAMESPACE),
        "system-writer-puts-it-on": update(CILIUM, plain, mine(*on), NAMESPACE),
        "controller-takes-it-off": update(CONTROLLER, mine(*over), plain, NAMESPACE),
        "namespace-controller-puts-it-on": update(
            NAMESPACE_CONTROLLER, plain, mine(*on), NAMESPACE, subresource="status"
        ),
        "empty-name-puts-it-on": update(NOBODY, plain, mine(*on), NAMESPACE),
    }
    cases = _cases("exemption", allowed, denied, EXEMPTION)
    return cases + [
        Case(f"exemption/deny-{name}", asked, (EXEMPTION, NAMESPACE_RULE)) for name, asked in strangers.items()
    ]


def _pods() -> list[Case]:
    web = pod("ready-dev")
    hosted: Json = {"hostNetwork": True}
    generated: Json = {"generateName": "web-"}
    binding = ("", "v1", "Binding", "pods")
    allowed = {
        "owner-in-place": create(ADA, web, POD),
        "controller-in-place": create(REPLICASETS, web, POD),
        "generated-name": create(REPLICASETS, pod("ready-dev", "", generated), POD, over={"name": ""}),
        "where-no-baseline-applies": create(STRANGER, pod("monitoring"), POD),
        "in-kube-system": create(STRANGER, pod("kube-system"), POD),
        "ephemeral-container": update(
            ADA, pod("checkout-dev"), pod("checkout-dev"), POD, subresource="ephemeralcontainers"
        ),
        "binding": create(STRANGER, pod("checkout-dev"), binding, subresource="binding"),
        "status": update(STRANGER, pod("checkout-dev"), pod("checkout-dev"), POD, subresource="status"),
        "deletion": delete(ADA, pod("checkout-dev"), POD),
    }
    waiting = {
        "owner-before-all-is-in-place": create(ADA, pod("checkout-dev"), POD),
        "org-admin": create(OZ, pod("checkout-dev"), POD),
        "controller": create(REPLICASETS, pod("checkout-dev", "", generated), POD, over={"name": ""}),
        "system-actor": create(NAMESPACE_CONTROLLER, pod("checkout-dev"), POD),
        "portcullis-itself": create(CONTROLLER, pod("checkout-dev"), POD),
        "a-policy-that-differs": create(ADA, pod("drifted-dev"), POD),
        "a-baseline-by-selector": create(IVAN, pod("edge"), POD),
        "hindered-for-a-moment": create(SAM, pod("slow-dev"), POD),
    }
    denied = {
        "a-baseline-that-does-not-exist": create(SAM, pod("broken-dev"), POD),
        "hindered-by-a-quota": create(SAM, pod("narrow-dev"), POD),
        "unknown-namespace": create(OZ, pod("nowhere"), POD),
        "without-object": Asked(ADA, "CREATE", POD, over={"namespace": "ready-dev", "name": "web"}),
        "request-names-another-namespace": create(ADA, web, POD, over={"namespace": "monitoring"}),
        "object-names-another-namespace": create(ADA, pod("monitoring"), POD, over={"namespace": "ready-dev"}),
        "object-names-no-namespace": create(ADA, pod(""), POD, over={"namespace": "ready-dev"}),
        "unknown-version": create(ADA, web, ("", "v2", "Pod", "pods")),
    }
    on_the_host = {
        "owner": create(ADA, pod("ready-dev", **hosted), POD),
        "org-admin": create(OZ, pod("ready-dev", **hosted), POD),
        "controller": create(REPLICASETS, pod("ready-dev", "", generated, **hosted), POD, over={"name": ""}),
        "system-writer": create(CILIUM, pod("ready-dev", **hosted), POD),
        "system-actor": create(NAMESPACE_CONTROLLER, pod("ready-dev", **hosted), POD),
    }
    on_its_own = {
        "false": create(ADA, pod("ready-dev", hostNetwork=False), POD),
        "where-the-workspace-says-so": create(SAM, pod("hosting-dev", **hosted), POD),
        "where-no-baseline-applies": create(IVAN, pod("monitoring", **hosted), POD),
    }
    both = create(ADA, pod("checkout-dev", **hosted), POD)
    return [
        *_cases("pod-gate", allowed, denied, POD_GATE),
        *(Case(f"pod-gate/deny-{name}", asked, (POD_GATE,), waits=True) for name, asked in waiting.items()),
        *_cases("host-network", on_its_own, on_the_host, HOST_NETWORK),
        Case("host-network/deny-before-all-is-in-place", both, (HOST_NETWORK, POD_GATE)),
    ]


def _sided(*, caller: Caller, old: Json | None = None, new: Json | None = None, **rest: object) -> Asked:
    """Ask for a tenant to come, to change or to go, by which of the objects are there."""
    operation = "UPDATE" if old and new else "CREATE" if new else "DELETE"
    return Asked(caller, operation, TENANTS[(new or old or {})["kind"]], new=new, old=old, **rest)  # type: ignore[arg-type]  # passed through


def _workspaces() -> list[Case]:
    def of(project: str = "payments", *roles: Json, name: str = "checkout", **guardrails: str) -> Json:
        return tenant("Workspace", name, {"project": project, "roles": list(roles), "guardrails": guardrails})

    team, readers = grant("WorkspaceAdmin", "checkout-team"), grant("WorkspaceReader", "rita", kind="User")
    mine, spare = of("payments", team, readers), of(name="spare")
    held = {**mine, "metadata": {"name": "checkout", "finalizers": ["a"]}}
    ending = {"name": "checkout", "deletionTimestamp": "2026-11-01T00:00:00Z"}
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"}
    adopted = {**mine, "metadata": {"name": "checkout", "ownerReferences": [owner]}}
    account = grant("WorkspaceAdmin", "ci", kind="ServiceAccount", namespace="checkout-dev")
    opened, wide = of("payments", team, fromAnywhere="Allow"), of("search", name="plaza", fromAnywhere="Allow")
    odd = tenant("Workspace", "checkout", {"project": "payments", "roles": [grant("OrgAdmin", "checkout-team")]})
    both = Caller("both", ("payments-admins", "search-admins"))
    allowed = {
        "project-admin-creates": _sided(caller=PAM, new=spare),
        "org-admin-creates": _sided(caller=OZ, new=spare),
        "generated-name": _sided(caller=PAM, new=of(name="spare-x7"), over={"name": ""}),
        "project-admin-grants": _sided(caller=PAM, old=spare, new=of("payments", team, name="spare")),
        "project-admin-takes-roles": _sided(caller=PAM, old=mine, new=of()),
        "project-admin-deletes-an-empty-one": _sided(caller=PAM, old=spare),
        "project-admin-deletes-one-of-a-collection": _sided(caller=PAM, old=spare, over={"name": ""}),
        "org-admin-creates-in-no-project-with-a-warning": _sided(caller=OZ, new=of("ghost", name="spare")),
        "org-admin-moves": _sided(caller=OZ, old=mine, new=of("search", team, readers)),
        "project-admin-of-both-moves": _sided(caller=both, old=mine, new=of("search", team, readers)),
        "org-admin-moves-what-an-account-lives-in": _sided(
            caller=OZ, old=of("search", name="dock"), new=of("payments", name="dock")
        ),
        "project-admin-changes-what-an-account-lives-in": _sided(
            caller=SAM, old=of("search", name="dock"), new=of("search", team, name="dock")
        ),
        "account-at-the-very-place": _sided(caller=PAM, old=mine, new=of("payments", team, account)),
        "account-of-nobodys-namespace": _sided(
            caller=PAM,
            old=mine,
            new=of("payments", grant("WorkspaceAdmin", "ci", kind="ServiceAccount", namespace="tools")),
        ),
        "readers-are-everybody": _sided(
            caller=PAM, old=spare, new=of("payments", grant("WorkspaceReader", AUTHENTICATED), name="spare")
        ),
        "wider-value-stays": _sided(
            caller=SAM,
            old=wide,
            new=of("search", team, name="plaza", fromAnywhere="Allow"),
        ),
        "wider-value-goes": _sided(caller=SAM, old=wide, new=of("search", name="plaza")),
        "org-admin-widens": _sided(caller=OZ, old=mine, new=opened),
        "narrowed": _sided(caller=PAM, old=mine, new=of("payments", team, readers, crossProject="Deny")),
        "as-wide-as-above": _sided(caller=PAM, old=mine, new=of("payments", team, readers, crossProject="Allow")),
        "org-admin-takes-a-name-that-namespaces-carry": _sided(caller=OZ, new=of(name="ghost")),
        "baseline-that-is-not-there-with-a-warning": _sided(
            caller=PAM, new=tenant("Workspace", "spare", {"project": "payments", "baselines": ["nothing"]})
        ),
        "garbage-collector-deletes": _sided(caller=GARBAGE_COLLECTOR, old=mine),
        "garbage-collector-takes-an-owner-off": _sided(caller=GARBAGE_COLLECTOR, old=adopted, new=mine),
        "owner-taken-off": _sided(caller=PAM, old=adopted, new=mine),
        "finalizer-of-an-empty-one-that-ends": _sided(
            caller=PAM,
            old={**spare, "metadata": {**ending, "name": "spare", "finalizers": ["a"]}},
            new={**spare, "metadata": {**ending, "name": "spare"}},
        ),
        "one-of-two-finalizers-of-one-that-ends": _sided(
            caller=PAM,
            old={**mine, "metadata": {**ending, "finalizers": ["a", "b"]}},
            new={**mine, "metadata": {**ending, "finalizers": ["b"]}},
        ),
        "status-is-left-alone": _sided(caller=STRANGER, old=mine, new=mine, subresource="status"),
        "unreadable-one-is-labelled": _sided(
            caller=OZ, old=odd, new={**odd, "metadata": {"name": "checkout", "labels": {"a": "b"}}}
        ),
        "unreadable-one-is-mended": _sided(caller=OZ, old=odd, new=mine),
        "break-glass-deletes": _sided(caller=ROOT, old=mine),
        "kind-of-the-same-name-elsewhere": create(
            STRANGER, {**spare, "apiVersion": "example.com/v1"}, ("example.com", "v1", "Workspace", "workspaces")
        ),
    }
    taken = of("payments", grant("WorkspaceAdmin", "eve"), name="ranking")
    denied = {
        **{
            f"{who}-{what}": _sided(caller=caller, **sides)
            for who, caller in {
                "workspace-admin": ADA,
                "workspace-reader": RITA,
                "sibling": BO,
                "admin-of-another-project": SAM,
                "infra-admin": IVAN,
                "org-reader": AUDITOR,
                "system-writer": CILIUM,
                "controller": CONTROLLER,
                "stranger": STRANGER,
                "empty-name": NOBODY,
                "group-in-another-case": Caller("eve", ("Payments-Admins",)),
                "group-by-prefix": Caller("eve", ("payments-admins-2",)),
                "user-called-like-a-group": Caller("payments-admins"),
            }.items()
            for what, sides in {
                "creates": {"new": spare},
                "changes": {"old": mine, "new": mine},
                "deletes": {"old": spare},
            }.items()
        },
        "self-grant": _sided(
            caller=ADA, old=mine, new=of("payments", team, grant("WorkspaceAdmin", "ada", kind="User"))
        ),
        "garbage-collector-creates": _sided(caller=GARBAGE_COLLECTOR, new=spare),
        "garbage-collector-adds-an-owner": _sided(caller=GARBAGE_COLLECTOR, old=mine, new=adopted),
        "stolen-from-its-project": _sided(caller=SAM, old=mine, new=of("search", team, readers)),
        "moved-with-what-an-account-lives-in": _sided(
            caller=both, old=of("search", name="dock"), new=of("payments", name="dock")
        ),
        "pushed-upon-another-project": _sided(caller=PAM, old=mine, new=of("search", team, readers)),
        "stolen-by-its-own-admin": _sided(caller=ADA, old=mine, new=of("search", team, readers)),
        "stolen-back": _sided(caller=PAM, old=of("search", team, readers), new=mine),
        "pushed-upon-a-project-that-is-not-there": _sided(caller=PAM, old=mine, new=of("ghost", team, readers)),
        "created-in-a-project-that-is-not-there": _sided(caller=PAM, new=of("ghost", name="spare")),
        "created-in-a-project-of-another-case": _sided(caller=PAM, new=of("Payments", name="spare")),
        "name-that-namespaces-carry": _sided(caller=PAM, new=of(name="ghost")),
        "name-of-another-projects": _sided(caller=PAM, new=taken),
        "owns-a-namespace": _sided(caller=PAM, old=mine),
        "owns-a-namespace-org-admin": _sided(caller=OZ, old=mine),
        "last-finalizer-of-one-that-owns": _sided(
            caller=PAM, old={**mine, "metadata": {**ending, "finalizers": ["a"]}}, new={**mine, "metadata": ending}
        ),
        "owner-reference": _sided(caller=PAM, old=mine, new=adopted),
        "owner-reference-by-an-org-admin": _sided(caller=OZ, old=held, new=adopted),
        "created-with-an-owner": _sided(
            caller=OZ, new={**spare, "metadata": {"name": "spare", "ownerReferences": [owner]}}
        ),
        "widened": _sided(caller=PAM, old=mine, new=opened),
        "created-wider": _sided(caller=PAM, new=of(name="spare", hostNetwork="Allow")),
        "moved-with-what-is-wider": _sided(
            caller=both,
            old=wide,
            new=of(name="plaza", fromAnywhere="Allow"),
        ),
        "widened-elsewhere-too": _sided(
            caller=SAM, old=wide, new=of("search", name="plaza", fromAnywhere="Allow", toAnywhere="Allow")
        ),
        "everybody-is-admin": _sided(
            caller=OZ, old=mine, new=of("payments", team, grant("WorkspaceAdmin", AUTHENTICATED))
        ),
        "role-of-another-level": _sided(caller=OZ, old=mine, new=odd),
        "account-as-a-user": _sided(
            caller=OZ,
            new=of("payments", grant("WorkspaceAdmin", "system:serviceaccount:a:b", kind="User"), name="spare"),
        ),
        "unknown-field": _sided(caller=OZ, new=tenant("Workspace", "spare", {"project": "payments", "role": []})),
        "name-that-is-no-label": _sided(caller=OZ, new=of(name="Spare")),
        "unreadable-one-is-labelled-by-its-project": _sided(
            caller=PAM, old=odd, new={**odd, "metadata": {"name": "checkout", "labels": {"a": "b"}}}
        ),
        "without-a-name": _sided(caller=OZ, new=tenant("Workspace", "", {"project": "payments"}, generateName="s-")),
        "without-object": Asked(OZ, "CREATE", TENANTS["Workspace"], over={"name": "spare"}),
        "update-without-object": Asked(OZ, "UPDATE", TENANTS["Workspace"], old=mine, over={"name": "checkout"}),
        "update-without-old-object": Asked(OZ, "UPDATE", TENANTS["Workspace"], new=mine),
        "delete-without-old-object": Asked(OZ, "DELETE", TENANTS["Workspace"], over={"name": "spare"}),
        "delete-speaks-of-the-new-object": Asked(OZ, "DELETE", TENANTS["Workspace"], new=spare),
        "request-names-another": _sided(caller=OZ, old=spare, over={"name": "other"}),
        "renamed": _sided(caller=OZ, old=of(name="other"), new=spare),
        "in-a-namespace": _sided(caller=OZ, new=spare, over={"namespace": "checkout-dev"}),
        "unknown-version": create(OZ, spare, ("portcullis.dev", "v1", "Workspace", "workspaces")),
        "scaled": _sided(caller=OZ, old=spare, new=spare, subresource="scale"),
        "connect": Asked(OZ, "CONNECT", TENANTS["Workspace"], new=spare, old=spare),
    }
    return _cases("workspace", allowed, denied, TENANCY)


def _projects_and_organizations() -> list[Case]:
    def project(*roles: Json, name: str = "payments", **guardrails: str) -> Json:
        return tenant("Project", name, {"roles": list(roles), "guardrails": guardrails})

    def organization(*roles: Json, name: str = "acme", **spec: Any) -> Json:
        return tenant("Organization", name, {"roles": list(roles), **spec})

    admins = grant("ProjectAdmin", "payments-admins")
    olga, ivan = grant("OrgAdmin", "acme-admins"), grant("InfraAdmin", "ivan", kind="User")
    acme = organization(olga, ivan)
    below = {"kind": "ServiceAccount", "namespace": "checkout-dev"}
    strangers = {
        "project-admin": PAM,
        "admin-of-another-project": SAM,
        "workspace-admin": ADA,
        "infra-admin": IVAN,
        "org-reader": AUDITOR,
        "system-writer": CILIUM,
        "controller": CONTROLLER,
        "stranger": STRANGER,
        "empty-name": NOBODY,
    }
    allowed = {
        "org-admin-creates-a-project": _sided(caller=OZ, new=project(admins, name="fresh")),
        "org-admin-changes-a-project": _sided(caller=OZ, old=project(), new=project(admins, fromAnywhere="Allow")),
        "org-admin-deletes-an-empty-project": _sided(caller=OZ, old=project(name="fresh")),
        "account-of-another-project": _sided(
            caller=OZ,
            old=project(admins),
            new=project(grant("ProjectAdmin", "ci", kind="ServiceAccount", namespace="ranking-dev")),
        ),
        "account-that-has-the-role-already": _sided(
            caller=OZ,
            old=project(grant("ProjectAdmin", "ci", **below)),
            new=project(grant("ProjectAdmin", "ci", **below), admins),
        ),
        "org-admin-updates-the-organization": _sided(
            caller=OZ, old=acme, new=organization(olga, enforcement={"*": "audit"}, guardrails={"toAnywhere": "Allow"})
        ),
        "org-admin-is-another": _sided(caller=OZ, old=acme, new=organization(grant("OrgAdmin", "olga", kind="User"))),
        "account-of-an-unowned-namespace": _sided(
            caller=OZ,
            old=acme,
            new=organization(grant("OrgAdmin", "ci", kind="ServiceAccount", namespace="monitoring")),
        ),
        "organization-is-labelled": _sided(
            caller=OZ, old=acme, new={**acme, "metadata": {"name": "acme", "labels": {"a": "b"}}}
        ),
        "organization-status-is-left-alone": _sided(caller=STRANGER, old=acme, new=acme, subresource="status"),
        "break-glass-creates-a-second": _sided(caller=ROOT, new=organization(olga, name="umbrella")),
        "break-glass-deletes-the-organization": _sided(caller=ROOT, old=acme),
        "garbage-collector-deletes-the-organization": _sided(caller=GARBAGE_COLLECTOR, old=acme),
    }
    denied = {
        **{
            f"{who}-{what}": _sided(caller=caller, **sides)
            for who, caller in strangers.items()
            for what, sides in {
                "creates-a-project": {"new": project(name="fresh")},
                "changes-a-project": {"old": project(), "new": project(admins)},
                "deletes-a-project": {"old": project(name="fresh")},
                "changes-the-organization": {"old": acme, "new": organization(olga)},
                "deletes-the-organization": {"old": acme},
            }.items()
        },
        "project-self-grant": _sided(
            caller=PAM, old=project(admins), new=project(admins, grant("ProjectAdmin", "pam", kind="User"))
        ),
        "project-owns-workspaces": _sided(caller=OZ, old=project(admins)),
        "project-role-of-the-organizations": _sided(caller=OZ, old=project(), new=project(olga)),
        "account-of-a-namespace-below-the-project": _sided(
            caller=OZ, old=project(admins), new=project(admins, grant("ProjectAdmin", "ci", **below))
        ),
        "all-accounts-of-a-namespace-below-the-project": _sided(
            caller=OZ,
            old=project(admins),
            new=project(admins, grant("ProjectAdmin", "system:serviceaccounts:checkout-dev")),
        ),
        "another-account-of-the-same-namespace": _sided(
            caller=OZ,
            old=project(grant("ProjectAdmin", "ci", **below)),
            new=project(grant("ProjectAdmin", "cd", **below)),
        ),
        "another-role-of-the-same-account": _sided(
            caller=OZ,
            old=project(grant("ProjectReader", "ci", **below)),
            new=project(grant("ProjectAdmin", "ci", **below)),
        ),
        "account-of-a-namespace-below-the-organization": _sided(
            caller=OZ, old=acme, new=organization(olga, grant("SystemWriter", "ci", **below))
        ),
        "account-of-an-orphaned-namespace": _sided(
            caller=OZ,
            old=acme,
            new=organization(olga, grant("InfraAdmin", "ci", kind="ServiceAccount", namespace="lost")),
        ),
        **{
            f"infra-admin-is-{name.replace(':', '-')}": _sided(
                caller=OZ, old=acme, new=organization(olga, grant("InfraAdmin", name, kind=kind))
            )
            for kind, name in (
                ("Group", "system:serviceaccounts"),
                ("Group", AUTHENTICATED),
                ("Group", "system:unauthenticated"),
                ("User", "system:anonymous"),
            )
        },
        "second-organization": _sided(caller=OZ, new=organization(olga, name="umbrella")),
        "the-same-organization-again": _sided(caller=OZ, new=acme),
        "organization-deleted": _sided(caller=OZ, old=acme),
        "last-org-admin": _sided(caller=OZ, old=acme, new=organization(ivan)),
        "last-org-admin-has-no-subjects": _sided(caller=OZ, old=acme, new=organization(grant("OrgAdmin"), ivan)),
        "last-org-admin-without-roles": _sided(caller=OZ, old=acme, new=organization()),
        "last-org-admin-is-nobody": _sided(
            caller=OZ, old=acme, new=organization(grant("OrgAdmin", "ci", kind="ServiceAccount", namespace="nowhere"))
        ),
        "another-organization-changed": _sided(
            caller=OZ, old=organization(olga, name="umbrella"), new=organization(olga, name="umbrella")
        ),
        "organization-with-an-owner": _sided(
            caller=OZ, old=acme, new={**acme, "metadata": {"name": "acme", "ownerReferences": [{"uid": "1"}]}}
        ),
        "organization-becomes-unreadable": _sided(
            caller=OZ, old=acme, new=organization(olga, enforcement={"*": "off"})
        ),
    }
    return _cases("tenancy", allowed, denied, TENANCY)


def _break_glass() -> list[Case]:
    return [
        Case("break-glass/allow-deletes-an-injected-policy", delete(ROOT, injected("checkout-dev"))),
        Case("break-glass/allow-opens-everything", create(ROOT, policy("checkout-dev", spec={"ingress": [{}]}))),
        Case(
            "break-glass/allow-finalizes",
            update(ROOT, namespace("lost"), namespace("lost"), NAMESPACE, subresource="finalize"),
        ),
        Case("break-glass/allow-deletes-our-crd", delete(ROOT, definition("portcullis.dev", "Workspace"), CRD)),
        Case("break-glass/allow-starts-a-pod", create(ROOT, pod("checkout-dev", hostNetwork=True), POD)),
        Case("break-glass/deny-without-a-name", delete(NOBODY, injected("checkout-dev")), (MANAGED, NAMESPACE_POLICY)),
    ]


def _holes() -> list[Case]:
    """What docs/holes.md tells of and no rule's own cases show."""
    cilium = ("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies")
    ending: Json = {"deletionTimestamp": "2026-11-01T00:00:00Z"}
    held: Json = {**ending, "finalizers": ["example.com/a"]}
    opened: Json = {"podSelector": {}, "ingress": [{}]}
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": "gone", "uid": "1"}
    ciliums, ours = definition("cilium.io", "CiliumNetworkPolicy"), definition("portcullis.dev", "Workspace")
    base = {**other_policy(BASELINE, name="zero-trust"), "spec": {"policies": [{"name": "a", "spec": {}}]}}
    others = tenant("Workspace", "ranking", {"project": "search"})
    crowd = tuple(f"Group-{number}" if number % 2 else f"group-{number}" for number in range(999))

    def adopted(each: Json) -> Json:
        return {**each, "metadata": {**each["metadata"], "ownerReferences": [owner]}}

    def of(**spec: object) -> Asked:
        return create(ADA, other_policy(cilium, "checkout-dev", spec={"endpointSelector": {}, **spec}), cilium)

    cases = {
        "a-collection-of-a-siblings": (
            NAMESPACE_POLICY,
            delete(BO, policy("checkout-dev", "first-half"), over={"name": ""}),
        ),
        "a-collection-of-workspaces": (TENANCY, _sided(caller=BO, old=others, over={"name": ""})),
        "what-ends-is-opened": (
            FROM_ANYWHERE,
            update(ADA, policy("checkout-dev", **held), policy("checkout-dev", spec=opened, **held)),
        ),
        "what-ends-is-changed-by-a-sibling": (
            NAMESPACE_POLICY,
            update(BO, policy("checkout-dev", **held), policy("checkout-dev", **ending)),
        ),
        "a-namespace-that-ends-is-moved": (
            NAMESPACE_RULE,
            update(
                BO,
                namespace("checkout-dev", owned("checkout"), **ending),
                namespace("checkout-dev", owned("refunds"), **ending),
                NAMESPACE,
            ),
        ),
        "a-definition-with-an-owner": (CLUSTER_POLICY, update(IVAN, ours, adopted(ours), CRD)),
        "a-definition-with-an-owner-by-system-writer": (CLUSTER_POLICY, update(CILIUM, ciliums, adopted(ciliums), CRD)),
        "a-definition-with-an-owner-through-its-status": (
            CLUSTER_POLICY,
            update(IVAN, ciliums, adopted(ciliums), CRD, subresource="status"),
        ),
        "a-definition-of-a-covered-kind-in-another-case": (
            CLUSTER_POLICY,
            create(STRANGER, definition("cilium.io", "ciliumNetworkPOLICY"), CRD),
        ),
        "a-named-baseline-that-ends-by-its-last-finalizer": (
            CLUSTER_POLICY,
            update(
                IVAN,
                {**base, "metadata": {"name": "zero-trust", **held}},
                {**base, "metadata": {"name": "zero-trust", **ending}},
                BASELINE,
            ),
        ),
        "a-thousand-groups": (
            NAMESPACE_POLICY,
            create(Caller("eve", (*crowd, "Checkout-Team")), policy("checkout-dev")),
        ),
        "a-name-that-forges-a-line": (
            NAMESPACE_POLICY,
            create(Caller("eve\n[baseline/exemption] eve\u2028[rbac/tenancy] eve"), policy("checkout-dev")),
        ),
        "endpoints-that-are-not-starting": (
            NOT_UNDERSTOOD,
            of(endpointSelector={"matchExpressions": [{"key": "reserved:init", "operator": "DoesNotExist"}]}),
        ),
        "nodes-by-their-labels": (NOT_UNDERSTOOD, of(ingress=[{"fromNodes": [{"matchLabels": {"a": "b"}}]}])),
        **{
            f"a-protected-range-wherever-it-stands-{index}": (
                PROTECTED,
                create(ADA, policy("checkout-dev", spec=leads(*cidrs))),
            )
            for index, cidrs in enumerate(permutations(("FD00:EC2::254/128", "10.0.0.0/8", "2001:DB8::/32")))
        },
    }
    passing = {
        "allow-one-of-a-thousand-groups": create(
            Caller("eve", (*crowd[:500], "checkout-team", *crowd[500:])), policy("checkout-dev")
        ),
        "allow-a-collection-of-ones-own": delete(ADA, policy("checkout-dev", "first-half"), over={"name": ""}),
        "allow-a-definition-loses-its-owner": update(IVAN, adopted(ours), ours, CRD),
    }
    return [
        *(Case(f"hole/{name}", asked) for name, asked in passing.items()),
        *(Case(f"hole/deny-{name}", asked, (rule,)) for name, (rule, asked) in cases.items()),
    ]


def _cases(topic: str, allowed: dict[str, Asked], denied: dict[str, Asked], rule: str) -> list[Case]:
    return [Case(f"{topic}/allow-{name}", asked) for name, asked in allowed.items()] + [
        Case(f"{topic}/deny-{name}", asked, (rule,)) for name, asked in denied.items()
    ]


CASES = (
    *_namespace_policies(),
    *_cluster_policies(),
    *_namespaces(),
    *_managed_policies(),
    *_namespace_labels(),
    *_guardrails(),
    *_selectors(),
    *_addresses(),
    *_cilium(),
    *_calico(),
    *_exemptions(),
    *_pods(),
    *_break_glass(),
    *_workspaces(),
    *_projects_and_organizations(),
    *_holes(),
)
DENIALS = tuple(case for case in CASES if case.denied_by)
