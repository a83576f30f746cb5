"""No pod starts before the baseline of its namespace stands, and none gets around it by the network of its node."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.guarded import FIRST, Guarded
from tests.e2e.manifests import DEFAULT_DENY, OPEN, ZERO_TRUST, documents, namespace, ours
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
    """Nobody leads: only reviews are answered."""
    guarded.stop()
    guarded.start(FIRST, "--no-controller")
    guarded.await_gate()
    yield
    guarded.stop()
    guarded.gate()


@pytest.mark.usefixtures("idle")
def test_a_pod_brings_what_lacks(guarded: Guarded, wanda: Reader) -> None:
    """Whoever is asked brings the baseline and admits at once; nobody had to lead, and nobody to try again."""
    guarded.kubectl("create", "namespace", "early", user="wanda")
    assert guarded.reader.policies("early") == {}
    assert answer(wanda, pod("early", "web-")) == (201, "", None)
    assert guarded.reader.specs("early") == ZERO_TRUST
    started = guarded.reader.read(f"{NAMESPACES}/early/pods")["items"]
    for each in guarded.reader.policies("early").values():
        assert int(each["metadata"]["resourceVersion"]) < int(started[0]["metadata"]["resourceVersion"])
    guarded.kubectl("create", "namespace", "earlier", user="wanda")
    guarded.kubectl(*run("earlier"), user="wanda")
    assert guarded.reader.specs("earlier") == ZERO_TRUST


def created(guarded: Guarded) -> int:
    """Return how often a policy was to be created so far."""
    return guarded.reader.writes().get("networkpolicies POST", 0)


@pytest.mark.usefixtures("idle")
def test_pods_that_come_at_once_write_each_policy_once(guarded: Guarded, plane_of_wanda: list[Reader]) -> None:
    """The others wait for the same work."""
    guarded.kubectl("create", "namespace", "busy", user="wanda")
    before = created(guarded)
    with ThreadPoolExecutor(20) as beside:
        told = list(beside.map(answer, plane_of_wanda, [pod("busy", f"web-{number}") for number in range(20)]))
    assert {code for code, _, _ in told} == {201}, told
    assert guarded.reader.specs("busy") == ZERO_TRUST
    assert created(guarded) - before == len(ZERO_TRUST)


@pytest.mark.usefixtures("idle")
def test_a_burst_of_pods_in_new_namespaces_is_not_starved(guarded: Guarded, plane_of_wanda: list[Reader]) -> None:
    """Each waits in a seat at the API server for us, who write there: we have seats of our own."""
    names = [f"burst-{number}" for number in range(30)]
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=documents(*(namespace(each) for each in names)))
    begin = time.monotonic()
    with ThreadPoolExecutor(30) as beside:
        told = list(beside.map(answer, plane_of_wanda, map(pod, names)))
    assert {code for code, _, _ in told} == {201}, told
    assert time.monotonic() - begin < 5
    for each in names:
        assert guarded.reader.specs(each) == ZERO_TRUST


@pytest.fixture(scope="module")
def plane_of_wanda(guarded: Guarded) -> Iterator[list[Reader]]:
    """Thirty of a tenant's clients: one for each request, so that none waits for another's connection."""
    readers = [Reader(guarded.plane, "wanda") for _ in range(30)]
    yield readers
    for each in readers:
        each.client.close()


@pytest.mark.usefixtures("idle")
def test_a_pod_of_a_dry_run_stores_nothing(guarded: Guarded) -> None:
    """It is told that it would start, for what lacks would be brought."""
    guarded.kubectl("create", "namespace", "tried", user="wanda")
    guarded.kubectl(*run("tried"), "--dry-run=server", user="wanda")
    assert guarded.reader.policies("tried") == {}
    assert guarded.reader.read(f"{NAMESPACES}/tried/pods")["items"] == []


@pytest.mark.usefixtures("idle")
def test_a_policy_that_somebody_opened_is_replaced_before_a_pod_starts(guarded: Guarded, wanda: Reader) -> None:
    """By whom it was opened does not matter; what stands when the pod starts is the baseline."""
    guarded.kubectl("create", "namespace", "opened", user="wanda")
    guarded.kubectl(*run("opened", "first"), user="wanda")
    opening = ("patch", "networkpolicy", "zero-trust.default-deny", "--namespace=opened", "--type=merge")
    guarded.kubectl(*opening, "--patch", json.dumps({"spec": OPEN}), user="root")
    code, said, wait = answer(wanda, pod("opened", "second"))
    # Before our watch has told, the copy is as it was, which nobody can help.
    assert (code, wait) == (201, None), said
    until(lambda: answer(wanda, pod("opened", "later-"))[0] == 201 and guarded.reader.specs("opened") == ZERO_TRUST, 5)


@pytest.mark.usefixtures("idle")
def test_what_forbids_the_baseline_is_told(guarded: Guarded, wanda: Reader) -> None:
    """A quota that has no room for it: no pod starts, and who starts one reads why; once it is gone the pod starts."""
    guarded.kubectl("create", "namespace", "narrow", user="wanda")
    hard = {"count/networkpolicies.networking.k8s.io": "0"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": "narrow"}}
    guarded.kubectl("create", "--filename=-", user="root", stdin=documents({**quota, "spec": {"hard": hard}}))
    status = ("patch", "resourcequota", "none", "--namespace=narrow", "--subresource=status", "--type=merge")
    # As the controller of quotas would, which does not run here.
    guarded.kubectl(*status, "--patch", json.dumps({"status": {"hard": hard, "used": hard}}), user="root")

    def refused() -> str:
        code, said, wait = answer(wanda, pod("narrow", "web-"))
        assert (code, wait) == (403, None), said
        return said

    # Until the API server has heard of its status it says that it does not know it.
    until(lambda: "exceeded quota" in refused(), 10)
    said = refused()
    assert "[baseline/pod-gate] wanda may not create Pod narrow/web-" in said
    assert "zero-trust.default-deny is missing; zero-trust.allow-dns is missing" in said
    assert "exceeded quota: none, requested: count/networkpolicies.networking.k8s.io=1" in said
    assert guarded.reader.policies("narrow") == {}
    guarded.kubectl("delete", "resourcequota", "none", "--namespace=narrow", user="root")
    until(lambda: answer(wanda, pod("narrow", "web-"))[0] == 201, 10)
    assert guarded.reader.specs("narrow") == ZERO_TRUST


@pytest.mark.usefixtures("idle")
def test_a_right_that_is_missing_is_told(guarded: Guarded, wanda: Reader) -> None:
    """Without the right to write policies no pod starts in a new namespace; where they stand one does."""
    guarded.kubectl("create", "namespace", "rightful", user="wanda")
    guarded.kubectl(*run("rightful"), user="wanda")
    guarded.kubectl("create", "namespace", "rightless", user="wanda")
    rules = guarded.reader.read("/apis/rbac.authorization.k8s.io/v1/clusterroles/portcullis")["rules"]
    taken = [
        {**each, "verbs": ["get", "list", "watch"]} if "networkpolicies" in each["resources"] else each
        for each in rules
    ]

    def give(rights: list[Json]) -> None:
        patch = ("patch", "clusterrole", "portcullis", "--type=merge", "--patch", json.dumps({"rules": rights}))
        guarded.kubectl(*patch, user="root")

    give(taken)
    try:
        # The API server hears of it a moment later; until then it is as before.
        def kept() -> bool:
            place = f"rightless-{time.monotonic_ns()}"
            guarded.kubectl("create", "namespace", place, user="wanda")
            return answer(wanda, pod(place))[0] == 403

        until(kept, 10)
        code, said, wait = answer(wanda, pod("rightless"))
        assert (code, wait) == (403, None)
        assert 'cannot create resource "networkpolicies" in API group "networking.k8s.io"' in said
        assert answer(wanda, pod("rightful", "second"))[0] == 201
    finally:
        give(rules)
    until(lambda: answer(wanda, pod("rightless", "web-"))[0] == 201, 10)


@pytest.mark.usefixtures("idle")
def test_what_nobody_can_bring_is_not_tried(guarded: Guarded, wanda: Reader) -> None:
    """Of a baseline that does not exist: the others of the namespace are not brought for a pod that cannot start."""
    broken = ours("Workspace", "shattered", project="payments", baselines=["nowhere"])
    guarded.kubectl("create", "--filename=-", user="root", stdin=documents(broken))
    told = documents(namespace("splintered", "shattered"))
    until(lambda: not guarded.plane.kubectl("create", "-f-", user="olga", stdin=told, check=False).returncode, 5)
    try:
        code, said, wait = answer(wanda, pod("splintered"))
        assert (code, wait) == (403, None)
        assert "there is no NetworkBaseline nowhere. Only an InfraAdmin or OrgAdmin mends that" in said
        assert guarded.reader.policies("splintered") == {}
    finally:
        guarded.kubectl("delete", "namespace", "splintered", user="olga")
        until(
            lambda: not guarded.plane.kubectl("delete", "workspace", "shattered", user="root", check=False).returncode,
            20,
        )


@pytest.mark.usefixtures("idle")
def test_an_exempt_namespace_gets_nothing_by_its_pods(guarded: Guarded) -> None:
    """Its pods start, and no policy comes with them."""
    guarded.kubectl("create", "namespace", "excused", user="wanda")
    until_when = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds")
    notes = {"portcullis.dev/exempt-reason": "moving house", "portcullis.dev/exempt-until": until_when}
    change = json.dumps({"metadata": {"labels": {"portcullis.dev/exempt": "true"}, "annotations": notes}})
    guarded.kubectl("patch", "namespace", "excused", "--type=merge", "--patch", change, user="ivan")
    guarded.kubectl(*run("excused"), user="wanda")
    assert guarded.reader.policies("excused") == {}


@pytest.mark.usefixtures("idle")
def test_pods_go_on_while_a_changed_baseline_rolls_out(guarded: Guarded, wanda: Reader) -> None:
    """What stood there before the change counts, and is left; a namespace that is new gets all of the new one."""

    def change(**policies: Json) -> None:
        listed = [{"name": name, "spec": spec} for name, spec in policies.items()]
        selector = {"matchLabels": {"tier": "rolling"}}
        made = ours("NetworkBaseline", "rolling", namespaceSelector=selector, policies=listed)
        guarded.kubectl("apply", "--filename=-", user="ivan", stdin=documents(made))

    inside: Json = {"podSelector": {}, "policyTypes": ["Ingress"]}
    change(first=inside)
    try:
        told = documents(namespace("rolled", tier="rolling"))
        guarded.kubectl("create", "--filename=-", user="wanda", stdin=told)
        assert answer(wanda, pod("rolled", "before"))[0] == 201
        until(lambda: set(guarded.reader.specs("rolled")) == {*ZERO_TRUST, "rolling.first"}, 1)
        change(first=DEFAULT_DENY, second=DEFAULT_DENY)
        assert answer(wanda, pod("rolled", "meanwhile"))[0] == 201
        assert guarded.reader.specs("rolled") == {**ZERO_TRUST, "rolling.first": inside}
        told = documents(namespace("unrolled", tier="rolling"))
        guarded.kubectl("create", "--filename=-", user="wanda", stdin=told)
        assert answer(wanda, pod("unrolled"))[0] == 201
        new = {"rolling.first": DEFAULT_DENY, "rolling.second": DEFAULT_DENY}
        assert guarded.reader.specs("unrolled") == {**ZERO_TRUST, **new}
    finally:
        guarded.kubectl("delete", "namespace", "rolled", "unrolled", user="wanda")
        guarded.kubectl("delete", "networkbaseline", "rolling", user="ivan")
