"""No pod starts before the baseline of its namespace stands, and none gets around it by the network of its node."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.guarded import FIRST, Guarded
from tests.e2e.manifests import DEFAULT_DENY, ZERO_TRUST, documents, namespace, ours
from tests.e2e.reading import NAMESPACES, VALIDATING, Reader, until

Json = dict[str, Any]

REPLICASETS = "--as=system:serviceaccount:kube-system:replicaset-controller"


def pod(place: str, name: str = "web", **spec: Any) -> Json:
    """Return a Pod; with a name that ends in a dash, one whose name is generated."""
    named = {"generateName": name} if name.endswith("-") else {"name": name}
    containers = [{"name": "main", "image": "example.org/web"}]
    metadata = {**named, "namespace": place}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}}


def run(place: str, name: str = "web") -> tuple[str, ...]:
    """Return the command that starts a pod."""
    return ("run", name, "--image=example.org/web", f"--namespace={place}")


@pytest.fixture(scope="module")
def wanda(guarded: Guarded) -> Iterator[Reader]:
    """A tenant whose requests are sent once: kubectl follows what it is told, and tries again."""
    reader = Reader(guarded.plane, "wanda")
    yield reader
    reader.client.close()


def answer(wanda: Reader, thing: Json) -> tuple[int, str, str | None]:
    """Return the code, the message and the wait that a tenant is told who creates a pod."""
    reply = wanda.client.post(f"{NAMESPACES}/{thing['metadata']['namespace']}/pods", json=thing)
    return reply.status_code, str(reply.json().get("message", "")), reply.headers.get("Retry-After")


# With a controller.


def test_a_pod_starts_right_after_its_namespace(guarded: Guarded) -> None:
    """Nobody waits by hand: kubectl does, until the policies stand, and they stand when the pod does."""
    for number in range(3):
        name = f"prompt-{number}"
        guarded.kubectl("create", "namespace", name, user="wanda")
        guarded.kubectl(*run(name), user="wanda")
        assert guarded.reader.specs(name) == ZERO_TRUST


def test_many_pods_that_come_at_once_with_their_namespace_all_start(guarded: Guarded) -> None:
    """A manifest of a namespace and what runs in it is applied in one go."""
    pods = [pod("crowded", f"web-{number}") for number in range(20)]
    told = documents(namespace("crowded", "checkout"), *pods)
    guarded.kubectl("apply", "--filename=-", user="wanda", stdin=told)
    assert guarded.reader.specs("crowded") == ZERO_TRUST


def test_whoever_creates_a_pod_on_its_nodes_network_is_refused(guarded: Guarded) -> None:
    """Its owner, an OrgAdmin and Kubernetes' own controller, whatever the pod will be called."""
    guarded.create("hosted")
    for user, who, name in (
        ("wanda", (), "web"),
        ("olga", (), "web"),
        ("root", (REPLICASETS,), "web-"),
        ("root", ("--as=system:kube-controller-manager",), "web"),
    ):
        told = documents(pod("hosted", name, hostNetwork=True))
        said = guarded.refused("create", "--filename=-", *who, user=user, stdin=told)
        if "[guardrail/host-network]" not in said:
            # Not every one of them may create pods at all.
            assert "cannot create resource" in said
            assert user == "root"
    told = documents(pod("hosted", "web-"))
    guarded.kubectl("create", "--filename=-", REPLICASETS, user="root", stdin=told)


def test_a_workspace_may_be_let_on_its_nodes_network(guarded: Guarded) -> None:
    """By the guardrail that an OrgAdmin sets on it; next to it all is as before."""
    guarded.create("anchored", user="rudi")
    told = documents(pod("anchored", hostNetwork=True))

    def let(setting: str | None) -> None:
        guardrails = json.dumps({"spec": {"guardrails": {"hostNetwork": setting}}})
        guarded.kubectl("patch", "workspace", "refunds", "--type=merge", "--patch", guardrails, user="olga")

    assert "[guardrail/host-network]" in guarded.refused("create", "--filename=-", user="rudi", stdin=told)
    let("Allow")
    try:
        until(lambda: not guarded.plane.kubectl("create", "-f-", user="rudi", stdin=told, check=False).returncode, 5)
    finally:
        let(None)
    assert guarded.reader.read(f"{NAMESPACES}/anchored/pods/web")["spec"]["hostNetwork"] is True


def test_pods_of_namespaces_without_a_baseline_are_nobodys_business(guarded: Guarded) -> None:
    """Unowned ones and Kubernetes' own, on the network of the node too."""
    guarded.kubectl("create", "namespace", "wild", user="olga")
    for place in ("wild", "kube-system", "default"):
        told = documents(pod(place, "free", hostNetwork=True))
        guarded.kubectl("create", "--filename=-", user="stranger", stdin=told)
        guarded.kubectl("delete", "pod", "free", f"--namespace={place}", "--now", user="stranger")
    # Who is judged in this test is the next pod.
    guarded.create("tame")
    guarded.kubectl(*run("tame"), user="wanda")


def test_what_is_done_to_a_pod_that_runs_is_not_gated(guarded: Guarded) -> None:
    """It is bound, gets an ephemeral container, is evicted and deleted, whatever stands around it."""
    guarded.create("running")
    guarded.kubectl(*run("running"), user="wanda")
    at = f"{NAMESPACES}/running/pods/web"
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "nowhere"}}
    guarded.kubectl("create", "--filename=-", user="root", stdin=documents(node))
    target = {"kind": "Node", "name": "nowhere"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "web"}, "target": target}
    guarded.kubectl("create", "--raw", f"{at}/binding", "--filename=-", user="wanda", stdin=json.dumps(binding))
    guarded.kubectl("delete", "node", "nowhere", user="root")
    debugger = {"spec": {"ephemeralContainers": [{"name": "debugger", "image": "example.org/debug"}]}}
    patch = ("patch", "pod", "web", "--namespace=running", "--subresource=ephemeralcontainers")
    guarded.kubectl(*patch, "--patch", json.dumps(debugger), user="wanda")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web", "namespace": "running"}}
    guarded.kubectl("create", "--raw", f"{at}/eviction", "--filename=-", user="wanda", stdin=json.dumps(eviction))


def test_a_baseline_that_does_not_exist_keeps_the_gate_shut(guarded: Guarded, wanda: Reader) -> None:
    """Nobody waits for what does not come; who can mend it is told."""
    roles = [{"role": "WorkspaceAdmin", "subjects": [{"kind": "User", "name": "wanda"}]}]
    broken = ours("Workspace", "broken", project="payments", roles=roles, baselines=["nowhere"])
    guarded.kubectl("create", "--filename=-", user="root", stdin=documents(broken))
    told = documents(namespace("cracked", "broken"))
    until(lambda: not guarded.plane.kubectl("create", "-f-", user="olga", stdin=told, check=False).returncode, 5)
    try:
        until(lambda: guarded.reader.specs("cracked") == ZERO_TRUST, 10)
        code, said, wait = answer(wanda, pod("cracked"))
        assert (code, wait) == (403, None)
        assert "[baseline/pod-gate]" in said
        assert "there is no NetworkBaseline nowhere. Only an InfraAdmin or OrgAdmin mends that" in said
    finally:
        guarded.kubectl("delete", "namespace", "cracked", user="olga")
        guarded.kubectl("delete", "workspace", "broken", user="root")


def test_no_pod_starts_while_nobody_answers(guarded: Guarded, wanda: Reader) -> None:
    """In gated namespaces; elsewhere pods start as ever, and those that stand can be deleted."""
    guarded.create("silent")
    guarded.kubectl(*run("silent", "stands"), user="wanda")
    assert "pods.validate.portcullis.dev" in {each["name"] for each in guarded.reader.read(VALIDATING)["webhooks"]}
    guarded.stop()
    try:
        code, said, _ = answer(wanda, pod("silent"))
        assert (code, "failed calling webhook" in said) == (500, True)
        guarded.kubectl(*run("default", "lives"), user="wanda")
        guarded.kubectl("delete", "pod", "lives", "--namespace=default", "--now", user="wanda")
        guarded.kubectl("delete", "pod", "stands", "--namespace=silent", "--now", user="wanda")
    finally:
        guarded.gate()
    guarded.kubectl(*run("silent"), user="wanda")


# Without one.


@pytest.fixture(scope="module")
def idle(guarded: Guarded) -> Iterator[None]:
    """Nobody brings anything: only reviews are answered."""
    guarded.stop()
    guarded.start(FIRST, "--no-controller")
    guarded.await_gate()
    yield
    guarded.stop()
    guarded.gate()


@pytest.mark.usefixtures("idle")
def test_no_pod_starts_before_its_baseline(guarded: Guarded, wanda: Reader) -> None:
    """What lacks is told, and to try again; once a controller comes, kubectl has waited and the pod starts."""
    guarded.kubectl("create", "namespace", "early", user="wanda")
    for thing in (pod("early"), pod("early", "web-")):
        code, said, wait = answer(wanda, thing)
        assert (code, wait) == (500, "1")
        assert "[baseline/pod-gate] wanda may not create Pod early/web" in said
        assert "zero-trust.default-deny is missing; zero-trust.allow-dns is missing" in said
    with ThreadPoolExecutor(1) as beside:
        running = beside.submit(guarded.plane.kubectl, *run("early"), user="wanda")
        until(lambda: sum(each["kind"] == "Pod" for each in decided(guarded, "early")) >= 4, 10)
        guarded.start("late", command="controller")
        try:
            running.result()
            assert guarded.reader.specs("early") == ZERO_TRUST
        finally:
            guarded.stop("late")


def decided(guarded: Guarded, place: str) -> list[Json]:
    """Return what was decided in a namespace so far."""
    guarded.look()
    return [each for each in guarded.decisions if each["namespace"] == place]


@pytest.mark.usefixtures("idle")
def test_pods_go_on_while_a_changed_baseline_rolls_out(guarded: Guarded, wanda: Reader) -> None:
    """What stood there before the change counts; a namespace that is new waits for all of the new one."""

    def change(**policies: Json) -> None:
        listed = [{"name": name, "spec": spec} for name, spec in policies.items()]
        selector = {"matchLabels": {"tier": "rolling"}}
        made = ours("NetworkBaseline", "rolling", namespaceSelector=selector, policies=listed)
        guarded.kubectl("apply", "--filename=-", user="ivan", stdin=documents(made))

    inside: Json = {"podSelector": {}, "policyTypes": ["Ingress"]}
    change(first=inside)
    guarded.start("worker", command="controller")
    try:
        told = documents(namespace("rolled", tier="rolling"))
        guarded.kubectl("create", "--filename=-", user="wanda", stdin=told)
        guarded.await_ready("rolled")
        assert set(guarded.reader.specs("rolled")) == {*ZERO_TRUST, "rolling.first"}
        assert answer(wanda, pod("rolled", "before"))[0] == 201
    finally:
        guarded.stop("worker")
    try:
        change(first=DEFAULT_DENY, second=DEFAULT_DENY)
        assert answer(wanda, pod("rolled", "meanwhile"))[0] == 201
        told = documents(namespace("unrolled", tier="rolling"))
        guarded.kubectl("create", "--filename=-", user="wanda", stdin=told)
        code, said, _ = answer(wanda, pod("unrolled"))
        assert code == 500
        assert "rolling.first is missing; rolling.second is missing" in said
    finally:
        guarded.kubectl("delete", "namespace", "rolled", "unrolled", user="wanda")
        guarded.kubectl("delete", "networkbaseline", "rolling", user="ivan")
