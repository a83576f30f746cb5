"""The resources that we read or write, and where the API server has them."""

from dataclasses import dataclass
from urllib.parse import quote

from webhook.model import DOMAIN


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of the API server in the version that we speak."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = False

    @property
    def api_version(self) -> str:
        """As it stands in an object: `networking.k8s.io/v1`, or `v1` of the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def definition(self) -> str:
        """The name of the CustomResourceDefinition that would bring it."""
        return f"{self.plural}.{self.group}"

    def path(self, name: str = "", namespace: str = "") -> str:
        """Return the path of one object, or of all (of a namespace) without a name."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        return f"{root}{inside}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


NAMESPACES = Resource("", "v1", "namespaces", "Namespace")
SECRETS = Resource("", "v1", "secrets", "Secret", namespaced=True)
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", namespaced=True)
CILIUM_POLICIES = Resource("cilium.io", "v2", "ciliumnetworkpolicies", "CiliumNetworkPolicy", namespaced=True)
CALICO = tuple(
    Resource(group, version, plural, f"{kind}.{group}", namespaced=True)
    for group, version in (("crd.projectcalico.org", "v1"), ("projectcalico.org", "v3"))
    for plural, kind in (("networkpolicies", "NetworkPolicy"), ("networksets", "NetworkSet"))
)
"""Calico's, in the group that older versions of it store them in and in its own; `kind` as a `PolicyKind`."""
ORGANIZATIONS = Resource(DOMAIN, "v1alpha1", "organizations", "Organization")
PROJECTS = Resource(DOMAIN, "v1alpha1", "projects", "Project")
WORKSPACES = Resource(DOMAIN, "v1alpha1", "workspaces", "Workspace")
BASELINES = Resource(DOMAIN, "v1alpha1", "networkbaselines", "NetworkBaseline")
DEFINITIONS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True)
EVENTS = Resource("events.k8s.io", "v1", "events", "Event", namespaced=True)
REVIEWS = Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", namespaced=True)
CLUSTER_ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding")
VALIDATING = Resource(
    "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration"
)
MUTATING = Resource(
    "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration"
)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", namespaced=True)
PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
INSTALLED = (
    Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding"),
    Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", namespaced=True),
    Resource("rbac.authorization.k8s.io", "v1", "roles", "Role", namespaced=True),
    Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole"),
    Resource(
        "admissionregistration.k8s.io",
        "v1",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
    ),
    Resource("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
    Resource("", "v1", "services", "Service", namespaced=True),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", namespaced=True),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", namespaced=True),
    Resource("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema"),
    Resource("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations", "PriorityLevelConfiguration"),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", namespaced=True),
    Resource("", "v1", "secrets", "Secret", namespaced=True),
    LEASES,
)
"""
What manifests/base brings beside the Deployment, and what `serve` makes in our namespace; in the order in which it can
go: our rights first, so that nobody who still runs makes any of it again.
"""

TREE = (ORGANIZATIONS, PROJECTS, WORKSPACES, BASELINES, NAMESPACES, NETWORK_POLICIES, CILIUM_POLICIES, *CALICO)
"""All that the tenant tree is made of."""
