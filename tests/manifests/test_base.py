"""Portcullis as it is installed, on a real API server: taken as it is, confined, and with no right too many."""

import json
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from itertools import product
from typing import Any

import pytest

from tests.controlplane.plane import Plane
from tests.manifests.built import INSTALLED, MANIFESTS, Api, Json, built, one
from webhook.model import CONTROLLER, HOME
from webhook.rights.wanted import CREATOR, NAMES

pytestmark = pytest.mark.usefixtures("home", "kinds")

ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
FOREIGN = {
    "cilium.io",
    "policy.networking.k8s.io",
    "crd.projectcalico.org",
    "projectcalico.org",
    "openreports.io",
    "wgpolicyk8s.io",
}
"""The groups that others bring."""


@pytest.mark.parametrize("folder", ["crds", *INSTALLED])
def test_the_api_server_takes_it(plane: Plane, folder: str) -> None:
    """Every object of every overlay, without a warning."""
    ran = plane.kubectl("apply", "--dry-run=server", "-k", str(MANIFESTS / folder))
    assert len(ran.stdout.splitlines()) == len(built(folder))
    assert not [line for line in ran.stderr.splitlines() if "version difference" not in line]


def test_the_api_server_takes_the_example(plane: Plane) -> None:
    """Once the kinds are there, and also file by file."""
    folder = MANIFESTS / "examples" / "acme"
    plane.kubectl("apply", "--dry-run=server", "-k", str(folder))
    files = [str(folder / name) for name in ("organization.yaml", "tenants.yaml")]
    ran = plane.kubectl("apply", "--dry-run=server", "-f", files[0], "-f", files[1])
    assert len(ran.stdout.splitlines()) == len(built("examples/acme")) == 7


@pytest.fixture(scope="module")
def restricted(plane: Plane) -> Iterator[str]:
    """A namespace that Pod Security guards as it does ours."""
    name = "pods-restricted"
    plane.kubectl("create", "namespace", name)
    plane.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")


def pod_of(folder: str, namespace: str) -> Json:
    template: Json = deepcopy(one(folder, "Deployment")["spec"]["template"])
    labels = template["metadata"]["labels"]
    metadata = {"name": "dry", "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


@pytest.mark.parametrize("folder", INSTALLED)
def test_a_pod_of_ours_is_restricted(api: Api, restricted: str, folder: str) -> None:
    """Pod Security lets it in, at the level that our namespace enforces."""
    assert api.create(f"/api/v1/namespaces/{restricted}/pods", pod_of(folder, restricted)).told == ""
    assert one(folder, "Namespace", HOME)["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("at", [("initContainers", 0), ("initContainers", 1), ("containers", 0)])
def test_pod_security_is_really_asked(api: Api, restricted: str, at: tuple[str, int]) -> None:
    """Each container by itself: one that keeps its capabilities is refused."""
    kind, number = at
    thing = pod_of("base", restricted)
    del thing["spec"][kind][number]["securityContext"]["capabilities"]
    answer = api.create(f"/api/v1/namespaces/{restricted}/pods", thing)
    assert answer.status == 403
    assert 'violates PodSecurity "restricted:latest"' in answer.told


def test_no_container_can_write_to_its_image() -> None:
    """Pod Security does not ask for it."""
    spec = one("base", "Deployment")["spec"]["template"]["spec"]
    for each in (*spec["initContainers"], *spec["containers"]):
        assert each["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["securityContext"]["runAsUser"] == 65532


def rules() -> list[tuple[str, Json]]:
    """Return each rule of our ServiceAccount with the namespace that it holds in."""
    found = [one("base", kind) for kind in ("ClusterRole", "Role")]
    return [(each["metadata"].get("namespace", ""), rule) for each in found for rule in each["rules"]]


def roles() -> dict[str, list[Json]]:
    """Return the rules of each ClusterRole that is for others."""
    found = [
        each for each in built("base") if each["kind"] == "ClusterRole" and each["metadata"]["name"] != "portcullis"
    ]
    return {each["metadata"]["name"]: each["rules"] for each in found}


def may(api: Api, namespace: str, verb: str, what: str, name: str = "") -> bool:
    """Ask whether our ServiceAccount may; `what` is RESOURCE or RESOURCE.GROUP, /SUBRESOURCE after the resource."""
    resource, _, group = what.partition(".")
    resource, _, part = resource.partition("/")
    wish = {"namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": part}
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{HOME}", "system:authenticated"]
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
    spec = {"user": CONTROLLER, "groups": groups, "resourceAttributes": {**wish, "name": name}}
    answer = api.create(ACCESS, {**review, "spec": spec})
    assert answer.status == 201, answer.told
    return bool(answer.body["status"]["allowed"])


def test_every_right_is_one_of_something_that_exists(api: Api) -> None:
    """A singular or misspelt resource would grant nothing, in silence."""
    for rule in (*(rule for _, rule in rules()), *(rule for each in roles().values() for rule in each)):
        for group in set(rule["apiGroups"]) - FOREIGN:
            for resource in rule["resources"]:
                # To bind is asked for where a binding is written; it is no verb of the resource.
                assert set(rule["verbs"]) - {"bind"} <= verbs_of(api, group, resource), resource


def verbs_of(api: Api, group: str, resource: str) -> set[str]:
    """Return the verbs that the API server serves of a resource, none where there is no such one."""
    root = "/api/v1"
    if group:
        root = f"/apis/{api.read(f'/apis/{group}')['preferredVersion']['groupVersion']}"
    served: dict[str, Any] = {each["name"]: each["verbs"] for each in api.read(root)["resources"]}
    return set(served.get(resource, ()))


def test_our_service_account_may_do_what_is_listed(api: Api) -> None:
    """The bindings hold: every verb on every resource, in the namespace and by the name that the rule says."""
    asked = 0
    for namespace, rule in rules():
        for resource, group in product(rule["resources"], rule["apiGroups"]):
            what = f"{resource}.{group}"
            for name in rule.get("resourceNames", [""]):
                for verb in rule["verbs"]:
                    asked += 1
                    assert may(api, namespace, verb, what, name), (namespace, verb, what, name)
    assert asked > 40


@pytest.mark.parametrize(
    ("namespace", "verb", "what", "name"),
    [
        ("", "create", "namespaces", ""),
        ("", "delete", "namespaces", ""),
        ("", "update", "namespaces/finalize", "a"),
        ("", "update", "namespaces/status", "a"),
        ("kube-system", "get", "secrets", "portcullis-tls"),
        ("kube-system", "create", "secrets", ""),
        (HOME, "list", "secrets", ""),
        (HOME, "get", "secrets", "another"),
        (HOME, "delete", "secrets", "portcullis-tls"),
        (HOME, "update", "leases.coordination.k8s.io", "another"),
        ("kube-system", "create", "leases.coordination.k8s.io", ""),
        (HOME, "create", "pods", ""),
        (HOME, "create", "pods/exec", "a"),
        (HOME, "create", "serviceaccounts/token", "portcullis"),
        (HOME, "get", "configmaps", "a"),
        ("", "create", "networkbaselines.portcullis.dev", ""),
        ("", "update", "networkbaselines.portcullis.dev", "a"),
        ("", "patch", "workspaces.portcullis.dev", "a"),
        ("", "delete", "networkbaselines.portcullis.dev", "a"),
        ("", "update", "networkbaselines/status.portcullis.dev", "a"),
        ("", "patch", "organizations/status.portcullis.dev", "a"),
        ("", "patch", "events.events.k8s.io", "a"),
        ("", "list", "events.events.k8s.io", ""),
        ("", "update", "organizations.portcullis.dev", "a"),
        ("", "update", "workspaces.portcullis.dev", "a"),
        ("", "update", "customresourcedefinitions.apiextensions.k8s.io", "a"),
        ("", "list", "validatingwebhookconfigurations.admissionregistration.k8s.io", ""),
        ("", "update", "validatingwebhookconfigurations.admissionregistration.k8s.io", "another"),
        ("", "delete", "validatingwebhookconfigurations.admissionregistration.k8s.io", "portcullis"),
        ("", "update", "validatingadmissionpolicies.admissionregistration.k8s.io", "portcullis-namespace-labels"),
        ("", "deletecollection", "networkpolicies.networking.k8s.io", ""),
        ("", "update", "ciliumnetworkpolicies.cilium.io", "a"),
        ("", "create", "clusterroles.rbac.authorization.k8s.io", ""),
        ("", "bind", "clusterroles.rbac.authorization.k8s.io", "cluster-admin"),
        ("", "bind", "clusterroles.rbac.authorization.k8s.io", "edit"),
        ("", "bind", "clusterroles.rbac.authorization.k8s.io", "portcullis:tree-admin"),
        ("", "bind", "clusterroles.rbac.authorization.k8s.io", "portcullis:platform-admin"),
        ("a", "bind", "clusterroles.rbac.authorization.k8s.io", ""),
        ("a", "bind", "roles.rbac.authorization.k8s.io", "portcullis:workspace-admin"),
        ("", "escalate", "clusterroles.rbac.authorization.k8s.io", "portcullis"),
        ("", "update", "clusterroles.rbac.authorization.k8s.io", "portcullis"),
        ("", "list", "rolebindings.rbac.authorization.k8s.io", ""),
        ("a", "watch", "rolebindings.rbac.authorization.k8s.io", "another"),
        ("a", "patch", "rolebindings.rbac.authorization.k8s.io", "another"),
        ("a", "delete", "rolebindings.rbac.authorization.k8s.io", "another"),
        ("a", "deletecollection", "rolebindings.rbac.authorization.k8s.io", ""),
        ("", "create", "clusterrolebindings.rbac.authorization.k8s.io", ""),
        ("", "list", "clusterrolebindings.rbac.authorization.k8s.io", ""),
        ("", "patch", "clusterrolebindings.rbac.authorization.k8s.io", "cluster-admin"),
        ("", "patch", "clusterrolebindings.rbac.authorization.k8s.io", "portcullis"),
        ("", "delete", "clusterrolebindings.rbac.authorization.k8s.io", "portcullis:namespace-creator"),
        ("a", "create", "roles.rbac.authorization.k8s.io", ""),
        ("", "impersonate", "users", "root"),
    ],
)
def test_our_service_account_may_do_nothing_else(api: Api, namespace: str, verb: str, what: str, name: str) -> None:
    """Whoever takes it over cannot go further by it."""
    assert not may(api, namespace, verb, what, name)


def test_kubectl_says_the_same_of_our_service_account(plane: Plane) -> None:
    """As an operator would ask."""

    def can(*arguments: str) -> subprocess.CompletedProcess[str]:
        return plane.kubectl("auth", "can-i", *arguments, f"--as={CONTROLLER}", check=False)

    assert can("patch", "namespaces").stdout.strip() == "yes"
    assert can("delete", "namespaces").stdout.strip() == "no"
    assert can("get", "secret/portcullis-tls", "-n", HOME).stdout.strip() == "yes"
    assert can("get", "secrets", "-n", "kube-system").stdout.strip() == "no"


# The roles of others.

NAMESPACED = {"networkpolicies", "networksets", "ciliumnetworkpolicies", "ciliumlocalredirectpolicies"}
READS = {"get", "list", "watch"}
OWNERS = ("portcullis:workspace-admin", "portcullis:project-admin", "portcullis:org-admin")
READERS = ("portcullis:workspace-reader", "portcullis:project-reader", "portcullis:org-reader")
BY_HAND = {"portcullis:tree-admin", "portcullis:tree-reader", "portcullis:platform-admin"}


def test_our_service_account_binds_what_the_tree_asks_for_and_nothing_by_hand() -> None:
    """By the very names that the controller uses; a name more would be a right more."""
    named = {
        (rule["resources"][0], verb): set(rule["resourceNames"])
        for _, rule in rules()
        for verb in rule["verbs"]
        if rule["apiGroups"] == ["rbac.authorization.k8s.io"] and "resourceNames" in rule
    }
    bound = set(NAMES) | {CREATOR}
    assert named.pop(("clusterroles", "bind")) == bound
    assert named == {
        **{("rolebindings", verb): set(NAMES) for verb in ("list", "watch", "patch", "delete")},
        **{("clusterrolebindings", verb): {CREATOR} for verb in ("list", "watch", "patch")},
    }
    assert roles().keys() == bound | BY_HAND


def test_no_role_is_given_more_than_the_rules_judge() -> None:
    """In a namespace, its policies and the Namespace itself: nothing that Portcullis has no word on."""
    for name in NAMES:
        held = {resource: set(rule["verbs"]) for rule in roles()[name] for resource in rule["resources"]}
        assert held.keys() == {*NAMESPACED, "namespaces"}, name
        assert held["namespaces"] <= {"get", "update", "patch", "delete"}
    assert roles()[CREATOR] == [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create"]}]
    text = str(roles())
    for word in ("*", "bind", "escalate", "impersonate", "rolebindings", "finalize", "status"):
        assert word not in text


def test_owners_hold_the_same_and_readers_read() -> None:
    """A role above is worth no less than one below; nobody but owners writes policies, InfraAdmin neither."""
    assert len({str(roles()[name]) for name in OWNERS}) == 1
    assert len({str(roles()[name]) for name in READERS}) == 1
    for name in (*READERS, "portcullis:infra-admin"):
        for rule in roles()[name]:
            changes = set() if name in READERS or "namespaces" not in rule["resources"] else {"update", "patch"}
            assert set(rule["verbs"]) <= READS | changes


def test_nobody_writes_by_an_api_server_that_calls_no_webhook() -> None:
    """Calico's own serves projectcalico.org; a right to write there would go past every rule."""
    for name, each in roles().items():
        for rule in each:
            if "projectcalico.org" in rule["apiGroups"]:
                assert set(rule["verbs"]) <= READS, name


def test_the_cluster_role_binding_binds_nobody_until_the_tree_says_whom(plane: Plane) -> None:
    """Applied again it keeps the subjects that the controller has put there, as `kubectl apply` does."""
    shipped = one("base", "ClusterRoleBinding", CREATOR)
    assert "subjects" not in shipped
    path = str(MANIFESTS / "base" / "roles.yaml")
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "wanda"}
    patch = ("patch", "clusterrolebinding", CREATOR, "--type=merge")
    plane.kubectl(*patch, f"--patch={json.dumps({'subjects': [subject]})}")
    try:
        for how in ([], ["--server-side", "--force-conflicts"]):
            plane.kubectl("apply", *how, "--filename", path)
            stored = json.loads(plane.kubectl("get", "clusterrolebinding", CREATOR, "--output=json").stdout)
            assert stored["subjects"] == [subject]
    finally:
        plane.kubectl(*patch, '--patch={"subjects": null}')
