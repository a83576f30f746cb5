"""Which kinds the webhook is asked about, where they stand, and in which order a set of them is judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from webhook.model import DOMAIN, RESERVED, PolicyKind

CALICO = ("crd.projectcalico.org", "projectcalico.org")
CILIUM = "cilium.io"
HOOKLESS = frozenset({"kube-system", "portcullis-system"})
"""The namespaces that no hook on namespaced objects is called for."""

Live = PolicyKind | Literal["Organization", "Project", "Workspace", "NetworkBaseline", "Namespace"]


@dataclass(frozen=True, slots=True)
class KindPage:
    """What is known of a kind: its plural, whether it stands in a namespace, and what the tree calls it, if it does."""

    plural: str
    namespaced: bool
    live: Live | None = None


COVERED: Mapping[tuple[str, str], KindPage] = {
    ("", "Namespace"): KindPage("namespaces", namespaced=False, live="Namespace"),
    ("", "Pod"): KindPage("pods", namespaced=True),
    ("networking.k8s.io", "NetworkPolicy"): KindPage("networkpolicies", namespaced=True, live="NetworkPolicy"),
    (CILIUM, "CiliumNetworkPolicy"): KindPage("ciliumnetworkpolicies", namespaced=True, live="CiliumNetworkPolicy"),
    (CILIUM, "CiliumLocalRedirectPolicy"): KindPage("ciliumlocalredirectpolicies", namespaced=True),
    ("crd.projectcalico.org", "NetworkPolicy"): KindPage(
        "networkpolicies", namespaced=True, live="NetworkPolicy.crd.projectcalico.org"
    ),
    ("crd.projectcalico.org", "NetworkSet"): KindPage(
        "networksets", namespaced=True, live="NetworkSet.crd.projectcalico.org"
    ),
    ("projectcalico.org", "NetworkPolicy"): KindPage(
        "networkpolicies", namespaced=True, live="NetworkPolicy.projectcalico.org"
    ),
    ("projectcalico.org", "NetworkSet"): KindPage("networksets", namespaced=True, live="NetworkSet.projectcalico.org"),
    ("policy.networking.k8s.io", "ClusterNetworkPolicy"): KindPage("clusternetworkpolicies", namespaced=False),
    ("policy.networking.k8s.io", "AdminNetworkPolicy"): KindPage("adminnetworkpolicies", namespaced=False),
    ("policy.networking.k8s.io", "BaselineAdminNetworkPolicy"): KindPage(
        "baselineadminnetworkpolicies", namespaced=False
    ),
    (CILIUM, "CiliumClusterwideNetworkPolicy"): KindPage("ciliumclusterwidenetworkpolicies", namespaced=False),
    (CILIUM, "CiliumCIDRGroup"): KindPage("ciliumcidrgroups", namespaced=False),
    **{(group, "GlobalNetworkPolicy"): KindPage("globalnetworkpolicies", namespaced=False) for group in CALICO},
    **{(group, "GlobalNetworkSet"): KindPage("globalnetworksets", namespaced=False) for group in CALICO},
    **{(group, "Tier"): KindPage("tiers", namespaced=False) for group in CALICO},
    (DOMAIN, "NetworkBaseline"): KindPage("networkbaselines", namespaced=False, live="NetworkBaseline"),
    (DOMAIN, "Organization"): KindPage("organizations", namespaced=False, live="Organization"),
    (DOMAIN, "Project"): KindPage("projects", namespaced=False, live="Project"),
    (DOMAIN, "Workspace"): KindPage("workspaces", namespaced=False, live="Workspace"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): KindPage("customresourcedefinitions", namespaced=False),
}
"""By group and kind: all that the shipped webhook objects name (a test compares them)."""

TENANCY = ("Organization", "NetworkBaseline", "Project", "Workspace")
"""The tree's own kinds, in the order in which each finds what it names."""
_FIRST = (
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    *((DOMAIN, kind) for kind in TENANCY),
    ("", "Namespace"),
)
LAST = len(_FIRST)


def phase_of(group: str, kind: str) -> int:
    """
    Return when an object is judged: definitions, the tree from the top, Namespaces, and then all others (`LAST`).

    kubectl goes by file, and what fails because it comes before what it needs is applied again; Helm and kustomize sort
    as this does. Within a phase it is file by file, as kubectl reads them.
    """
    return _FIRST.index((group, kind)) if (group, kind) in _FIRST else LAST


def split_version(api_version: str) -> tuple[str, str]:
    """Return group and version of an `apiVersion`; the core group is empty."""
    group, _, version = api_version.rpartition("/")
    return group, version


def hooked(group: str, kind: str, namespace: str) -> bool:
    """Say whether a hook is called for an object of a kind in a namespace, empty for none."""
    page = COVERED.get((group, kind))
    if page is None:
        return False
    # No baseline applies in a reserved namespace, so none is gated.
    return namespace not in (RESERVED if kind == "Pod" else HOOKLESS)
