"""The backstop on an API server that no hook of ours stands on: what holds while Portcullis is away."""

import json
import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from tests.controlplane.plane import Plane
from tests.manifests.built import MANIFESTS, Api, Json, built

BASE = MANIFESTS / "base"
KEPT = {"kustomization", "webhooks", "namespace", "rbac", "roles"}
"""What is not taken away: no object of the base, or what other modules need."""
DENIED = "Portcullis (backstop): "
SYSTEM = "system:serviceaccount:kube-system:generic-garbage-collector"
WORKSPACE, PROJECT, ORGANIZATION, GATE = (
    f"portcullis.dev/{name}" for name in ("workspace", "project", "organization", "gate")
)
STAMP = (f"{WORKSPACE}=checkout", f"{PROJECT}=payments", f"{ORGANIZATION}=acme", f"{GATE}=enforced")
MOVED = (f"{WORKSPACE}=ranking", f"{PROJECT}=search", f"{ORGANIZATION}=acme")
RELEASED = (f"{WORKSPACE}-", f"{PROJECT}-", f"{ORGANIZATION}-", f"{GATE}-")
INJECTED = {"app.kubernetes.io/managed-by": "portcullis", "portcullis.dev/baseline": "zero-trust"}

RIGHTS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: backstop-stranger}
rules:
  - apiGroups: [networking.k8s.io]
    resources: [networkpolicies]
    verbs: [get, list, create, update, patch, delete, deletecollection]
  - apiGroups: [""]
    resources: [namespaces, namespaces/status, namespaces/finalize]
    verbs: [get, list, create, update, patch, delete]
  - apiGroups: [admissionregistration.k8s.io]
    resources: [validatingwebhookconfigurations, mutatingwebhookconfigurations]
    verbs: [get, list, create, update, patch, delete]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: backstop-stranger}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: backstop-stranger}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: stranger}]
"""
"""What Kubernetes' own RBAC gives a user who should be stopped all the same."""

Namespaces = Callable[..., str]


def policy(name: str, labels: dict[str, str] | None = None) -> Json:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }


def hooks(kind: str, name: str) -> Json:
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "webhooks": []}


def until(what: Callable[[], bool], told: str) -> None:
    """Ask again and again, for half a minute."""
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end, told


@pytest.fixture(scope="module")
def installed(plane: Plane, home: None, kinds: None) -> Iterator[None]:  # noqa: ARG001 - what comes before
    """All of the base, and a stranger with rights; taken away again, for the plane is shared."""

    def stopped(*command: str, thing: Json | None = None) -> bool:
        dry = [*command, "--dry-run=server"]
        ran = plane.kubectl(*dry, user="stranger", stdin=json.dumps(thing) if thing else "", check=False)
        return DENIED in ran.stderr

    def policies() -> bool:
        return stopped("create", "-n", "default", "-f", "-", thing=policy("probe.x"))

    def labels() -> bool:
        return stopped("label", "namespace", "default", f"{WORKSPACE}=probe")

    assert not plane.kubectl("get", "validatingwebhookconfigurations,mutatingwebhookconfigurations", "-o=name").stdout
    plane.kubectl("apply", "-f", "-", stdin=RIGHTS)
    try:
        plane.kubectl("apply", "-k", str(BASE))
        until(lambda: policies() and labels(), "the policies do not become active")
        yield
    finally:
        rest = [str(path) for path in sorted(BASE.glob("*.yaml")) if path.stem not in KEPT]
        plane.kubectl("delete", "--ignore-not-found", *(f"--filename={path}" for path in rest))
        until(lambda: not policies() and not labels(), "the policies do not go")
        plane.kubectl("delete", "-f", "-", stdin=RIGHTS)


pytestmark = pytest.mark.usefixtures("installed")


@pytest.fixture(scope="module")
def namespace(plane: Plane) -> Iterator[Namespaces]:
    """Make namespaces with the labels that they are given, as nobody but root could."""
    numbers = count()
    made: list[str] = []

    def make(*labels: str) -> str:
        name = f"backstop-{next(numbers)}"
        plane.kubectl("create", "namespace", name)
        made.append(name)
        if labels:
            plane.kubectl("label", "namespace", name, *labels)
        return name

    yield make
    plane.kubectl("delete", "namespace", *made, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="module")
def guarded(plane: Plane, namespace: Namespaces) -> str:
    """A namespace with an injected policy, and a tenant's own beside it."""
    name = namespace(*STAMP)
    for thing in (policy("zero-trust.default-deny", INJECTED), policy("web")):
        plane.kubectl("create", "-n", name, "-f", "-", stdin=json.dumps(thing), user="portcullis")
    return name


def refused(plane: Plane, *command: str, thing: Json | None = None, user: str = "stranger") -> str:
    """Return why the backstop refused it."""
    ran = plane.kubectl(*command, user=user, stdin=json.dumps(thing) if thing else "", check=False)
    assert ran.returncode != 0, ran.stdout
    assert DENIED in ran.stderr, ran.stderr
    return ran.stderr.partition(DENIED)[2]


def test_it_stands_as_written(plane: Plane) -> None:
    """Applied again nothing changes: what the API server fills in does not count."""
    assert plane.kubectl("diff", "-k", str(BASE)).stdout == ""


def test_its_expressions_type_check(plane: Plane) -> None:
    """The API server has looked at each and has no warning."""
    names = [each["metadata"]["name"] for each in built("base") if each["kind"] == "ValidatingAdmissionPolicy"]
    assert len(names) == 2
    for name in names:
        read = ("get", "validatingadmissionpolicy", name, "-o=jsonpath={.status}")
        until(lambda read=read: "typeChecking" in plane.kubectl(*read).stdout, "nobody looked at the policy")  # type: ignore[misc]
        status = json.loads(plane.kubectl(*read).stdout)
        assert not status["typeChecking"].get("expressionWarnings")


def test_our_requests_have_seats_of_their_own(plane: Plane) -> None:
    """Not those of all ServiceAccounts, which a burst of pods takes."""
    uid = plane.kubectl("get", "prioritylevelconfiguration", "portcullis", "-o=jsonpath={.metadata.uid}").stdout
    ours = Api(plane, "portcullis")
    until(lambda: ours.level("/api/v1/namespaces/default") == uid, "another level has our requests")
    ours.close()


def test_what_the_gate_writes_has_seats_apart_from_the_rest(plane: Plane) -> None:
    """What it creates, and what it reads in one namespace; our watches and the controller's writes are the rest."""

    def uid(kind: str, name: str) -> str:
        return plane.kubectl("get", kind, name, "-o=jsonpath={.metadata.uid}").stdout

    gate, rest = uid("flowschema", "portcullis-gate"), uid("flowschema", "portcullis")
    ours, root = Api(plane, "portcullis"), Api(plane)
    every = "/apis/networking.k8s.io/v1/networkpolicies"
    inside = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"
    until(
        lambda: ours.schema(inside, policy("zero-trust.seated", INJECTED)) == gate, "another has what the gate writes"
    )
    for path in (inside, f"{inside}/zero-trust.seated"):
        assert ours.schema(path) == gate
        assert root.schema(path) not in {gate, rest}
    assert root.schema(inside, policy("seated")) not in {gate, rest}
    for path in (every, "/api/v1/namespaces/default", "/apis/portcullis.dev/v1alpha1/networkbaselines/a"):
        assert ours.schema(path) == rest
    assert ours.level(inside) == uid("prioritylevelconfiguration", "portcullis-gate")
    for each in (ours, root):
        each.close()


def test_who_leads_has_a_seat_whatever_else_we_ask(plane: Plane) -> None:
    """That of Kubernetes' own leaders, for the leases in our namespace alone."""
    uid = plane.kubectl("get", "prioritylevelconfiguration", "leader-election", "-o=jsonpath={.metadata.uid}").stdout
    ours = Api(plane, "portcullis")
    path = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/portcullis-controller"
    until(lambda: ours.level(path.format("portcullis-system")) == uid, "another level has our lease")
    assert ours.level(path.format("kube-system")) != uid
    ours.close()


EDITS = [
    pytest.param(("label", "networkpolicy", "zero-trust.default-deny", "a=b"), id="label"),
    pytest.param(("label", "networkpolicy", "zero-trust.default-deny", *(f"{key}-" for key in INJECTED)), id="unmark"),
    pytest.param(
        ("patch", "networkpolicy", "zero-trust.default-deny", "--type=merge", '-p={"spec":{"ingress":[{}]}}'), id="open"
    ),
    pytest.param(("delete", "networkpolicy", "zero-trust.default-deny"), id="delete"),
    pytest.param(("delete", "networkpolicy", "--all"), id="delete-all"),
    pytest.param(("label", "networkpolicy", "web", "app.kubernetes.io/managed-by=portcullis"), id="mark"),
    pytest.param(("label", "networkpolicy", "web", "portcullis.dev/baseline="), id="mark-by-baseline"),
]


@pytest.mark.parametrize("command", EDITS)
def test_nobody_edits_an_injected_policy(plane: Plane, guarded: str, command: tuple[str, ...]) -> None:
    """Neither it nor one's own into such a one."""
    told = refused(plane, *command, "-n", guarded, "--dry-run=server")
    assert told.startswith("[baseline/managed-policy]")
    assert "Change the NetworkBaseline" in told


@pytest.mark.parametrize(
    "thing", [policy("a.b"), policy("a", INJECTED), policy("a", {"portcullis.dev/baseline": "x"})], ids=str
)
def test_nobody_creates_what_looks_injected(plane: Plane, guarded: str, thing: Json) -> None:
    """By either label, or by a dot."""
    assert "a name without a dot" in refused(plane, "create", "-n", guarded, "-f", "-", thing=thing)


def test_a_raw_deletecollection_is_refused(plane: Plane, guarded: str) -> None:
    """It names no object; each that it would delete is asked for."""
    refused(plane, "delete", "--raw", f"/apis/networking.k8s.io/v1/namespaces/{guarded}/networkpolicies")
    assert "zero-trust.default-deny" in plane.kubectl("get", "networkpolicy", "-n", guarded).stdout


@pytest.mark.parametrize("user", ["portcullis", "root"])
def test_the_controller_and_break_glass_pass(plane: Plane, guarded: str, user: str) -> None:
    """They mend what went wrong."""
    for command in EDITS[:4]:
        plane.kubectl(*command.values[0], "-n", guarded, "--dry-run=server", user=user)  # type: ignore[misc]
    thing = json.dumps(policy("zero-trust.allow-dns", INJECTED))
    plane.kubectl("create", "-n", guarded, "--dry-run=server", "-f", "-", stdin=thing, user=user)


def test_a_policy_of_ones_own_is_left_alone(plane: Plane, guarded: str) -> None:
    """Kubernetes' RBAC alone says who may, while Portcullis is away."""
    thing = json.dumps(policy("own", {"app.kubernetes.io/managed-by": "helm"}))
    plane.kubectl("create", "-n", guarded, "-f", "-", stdin=thing, user="stranger")
    plane.kubectl("label", "networkpolicy", "own", "-n", guarded, "a=b", user="stranger")
    plane.kubectl("delete", "networkpolicy", "own", "-n", guarded, user="stranger")


def test_as_with_the_hooks_two_namespaces_are_left_out(plane: Plane) -> None:
    """Nothing is injected there, so a dot is only a dot."""
    for name in ("kube-system", "portcullis-system"):
        thing = json.dumps(policy("a.b"))
        plane.kubectl("create", "-n", name, "--dry-run=server", "-f", "-", stdin=thing, user="stranger")
    refused(plane, "create", "-n", "kube-public", "--dry-run=server", "-f", "-", thing=policy("a.b"))


def test_kubernetes_own_controllers_delete_and_release_and_change_nothing(plane: Plane, namespace: Namespaces) -> None:
    """The garbage collector, which RBAC lets patch whatever there is."""
    name, finalizer = namespace(*STAMP), {"metadata": {"finalizers": ["example.com/hold"]}}
    thing = policy("zero-trust.held", INJECTED)
    thing["metadata"] |= finalizer["metadata"]
    plane.kubectl("create", "-n", name, "-f", "-", stdin=json.dumps(thing))
    asked = ("patch", "networkpolicy", "zero-trust.held", "-n", name, "--type=merge", f"--as={SYSTEM}")
    refused(plane, *asked, '-p={"spec":{"ingress":[{}]}}', user="root")
    refused(plane, *asked, '-p={"metadata":{"labels":{"portcullis.dev/baseline":null}}}', user="root")
    plane.kubectl("delete", "networkpolicy", "zero-trust.held", "-n", name, f"--as={SYSTEM}", "--wait=false")
    plane.kubectl(*asked, '-p={"metadata":{"finalizers":null}}')
    assert not plane.kubectl("get", "networkpolicy", "-n", name, "-o=name").stdout


def test_a_namespace_ends_with_an_injected_policy_inside(plane: Plane, namespace: Namespaces) -> None:
    """Deleted by whoever may; the namespace controller takes what is in it."""
    name = namespace(*STAMP)
    plane.kubectl("create", "-n", name, "-f", "-", stdin=json.dumps(policy("zero-trust.default-deny", INJECTED)))
    plane.kubectl("delete", "namespace", name, "--wait=false", user="stranger")
    plane.kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=50s")


@pytest.mark.parametrize("kind", ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"])
def test_our_hooks_are_ours(plane: Plane, kind: str) -> None:
    """A stranger with every right on webhook configurations neither makes, changes nor removes them."""
    ours = ("-f", "-")
    told = refused(plane, "create", *ours, thing=hooks(kind, "portcullis"))
    assert told.startswith("the webhook configurations named portcullis")
    plane.kubectl("create", *ours, stdin=json.dumps(hooks(kind, "portcullis")), user="portcullis")
    try:
        refused(plane, "label", kind, "portcullis", "a=b")
        refused(plane, "patch", kind, "portcullis", "--type=merge", '-p={"webhooks":[]}')
        refused(plane, "delete", kind, "portcullis")
        refused(plane, "delete", kind, "--all")
        # Replaced whole, as `serve` heals them: it has no right to patch.
        plane.kubectl("replace", *ours, stdin=json.dumps(hooks(kind, "portcullis")), user="portcullis")
        # Somebody else's is not ours to guard.
        plane.kubectl("create", *ours, stdin=json.dumps(hooks(kind, "another")), user="stranger")
        plane.kubectl("delete", kind, "another", user="stranger")
    finally:
        # The way out of an emergency.
        plane.kubectl("delete", kind, "portcullis")


@pytest.mark.parametrize(
    ("before", "command", "told"),
    [
        pytest.param((), ("label", STAMP[0]), "has not seen this request", id="claim"),
        pytest.param((), ("label", STAMP[1]), "has not seen this request", id="project-of-an-unowned-one"),
        pytest.param((), ("label", STAMP[0], STAMP[1]), "has not seen this request", id="half-a-stamp"),
        pytest.param((), ("label", STAMP[0], STAMP[1], f"{ORGANIZATION}="), "has not seen", id="empty-organization"),
        pytest.param(STAMP, ("label", f"{WORKSPACE}-"), "has not seen this request", id="release"),
        pytest.param(STAMP, ("label", f"{PROJECT}-"), "has not seen this request", id="take-the-project-off"),
        pytest.param(STAMP, ("label", f"{PROJECT}=search"), "follow from the workspace", id="forge-the-project"),
        pytest.param(STAMP, ("label", f"{ORGANIZATION}=b"), "follow from the workspace", id="forge-the-organization"),
        pytest.param(STAMP, ("label", f"{PROJECT}=search", "a=b"), "follow from the workspace", id="and-another-label"),
        pytest.param(STAMP, ("label", f"{GATE}-"), "follows from the baselines", id="open-the-gate"),
        pytest.param(STAMP, ("label", f"{GATE}=no"), "follows from the baselines", id="forge-the-gate"),
        pytest.param(STAMP, ("annotate", "portcullis.dev/baseline=x"), "written by Portcullis", id="state"),
    ],
)
def test_nobody_relabels_a_namespace(
    plane: Plane, namespace: Namespaces, before: tuple[str, ...], command: tuple[str, ...], told: str
) -> None:
    """What follows from the tree does not follow from a request; ours and break-glass pass."""
    name = namespace(*before)
    verb, *changes = command
    full = (verb, "namespace", name, *changes, "--overwrite", "--dry-run=server")
    assert told in " ".join(refused(plane, *full).split())
    for user in ("portcullis", "root"):
        plane.kubectl(*full, user=user)


@pytest.mark.parametrize(
    ("before", "command"),
    [
        pytest.param((), ("label", *STAMP), id="adopted"),
        pytest.param((), ("label", f"{GATE}=enforced"), id="a-baseline-selects-it-now"),
        pytest.param(
            (f"{GATE}=enforced", "tier=edge"), ("label", f"{GATE}-", "tier-"), id="a-baseline-selects-it-no-more"
        ),
        pytest.param(STAMP, ("label", *MOVED), id="moved"),
        pytest.param(STAMP, ("label", *RELEASED), id="released"),
        pytest.param(STAMP[:1], ("label", *STAMP[1:3]), id="stamped-for-the-first-time"),
        pytest.param(STAMP[1:3], ("label", f"{PROJECT}-", f"{ORGANIZATION}-"), id="left-over-taken-off"),
        pytest.param(STAMP[:1], ("label", f"{WORKSPACE}-"), id="orphan-released"),
        pytest.param(STAMP[:1], ("label", *MOVED), id="orphan-mended"),
        pytest.param(STAMP, ("label", "tier=edge", "portcullis.dev/exempt=true"), id="other-labels"),
        pytest.param(STAMP, ("annotate", "portcullis.dev/exempt-reason=x", "a=b"), id="other-annotations"),
        pytest.param(STAMP, ("annotate", "a=b"), id="nothing-of-ours"),
    ],
)
def test_what_a_running_portcullis_lets_through_passes(
    plane: Plane, namespace: Namespaces, before: tuple[str, ...], command: tuple[str, ...]
) -> None:
    """The request as the mutating hook has stamped it, of a user with no rights but RBAC's."""
    name = namespace(*before)
    verb, *changes = command
    plane.kubectl(verb, "namespace", name, *changes, "--overwrite", user="stranger")


def test_at_creation_the_stamp_is_whole_or_there_is_none(plane: Plane) -> None:
    """The state of the baseline is what the mutating hook has put there."""

    def created(labels: dict[str, str], user: str) -> str:
        metadata = {"name": "backstop-new", "labels": labels, "annotations": {"portcullis.dev/baseline": "{}"}}
        thing = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        ran = plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=thing, user=user, check=False)
        return ran.stderr.partition(DENIED)[2]

    whole = dict(label.split("=") for label in STAMP)
    assert created({}, "stranger") == created(whole, "stranger") == created({GATE: "enforced"}, "stranger") == ""
    for key in (WORKSPACE, PROJECT, ORGANIZATION):
        half = {name: value for name, value in whole.items() if name != key}
        assert "has not seen this request" in " ".join(created(half, "stranger").split())
        assert created(half, "root") == ""


@pytest.mark.parametrize("name", ["kube-system", "kube-public", "kube-node-lease", "portcullis-system"])
def test_a_reserved_namespace_is_nobodys(plane: Plane, name: str) -> None:
    """Not even by a whole stamp; its other labels are not ours."""
    told = refused(plane, "label", "namespace", name, *STAMP, "--dry-run=server")
    assert told.startswith("[rbac/namespace]")
    plane.kubectl("label", "namespace", name, "tier=core", "--dry-run=server", user="stranger")


@pytest.mark.parametrize("part", ["status", "finalize"])
def test_ownership_is_not_taken_through_a_subresource(plane: Plane, namespace: Namespaces, part: str) -> None:
    """Not even by what would pass on the namespace itself; the rest of it is Kubernetes' own affair."""
    path = f"/api/v1/namespaces/{namespace(*STAMP)}"
    before = json.loads(plane.kubectl("get", "--raw", path).stdout)
    forged = {**before, "metadata": {**before["metadata"], "labels": dict(label.split("=") for label in MOVED)}}
    noted = {**before, "metadata": {**before["metadata"], "annotations": {"portcullis.dev/exempt-until": "2099"}}}
    other = {**before, "metadata": {**before["metadata"], "annotations": {"a": "b"}}}
    for thing in (forged, noted):
        told = refused(plane, "replace", "--raw", f"{path}/{part}", "-f", "-", thing=thing)
        assert "namespaces/status or namespaces/finalize" in " ".join(told.split())
    plane.kubectl("replace", "--raw", f"{path}/{part}", "-f", "-", stdin=json.dumps(other), user="stranger")
    after = json.loads(plane.kubectl("get", "--raw", path).stdout)["metadata"]
    assert after["labels"] == before["metadata"]["labels"]
