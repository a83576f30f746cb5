"""What Portcullis itself brings is not judged once more; what stands next to it is, and nobody else can use that."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.e2e.guarded import FIRST, OURSELVES, Guarded
from tests.e2e.manifests import BASELINE, DEFAULT_DENY, OPEN, WORKSPACE, namespace, policy
from tests.e2e.reading import NAMESPACES, Reader, until

Json = dict[str, Any]

HOME = "mirrored"
"""The namespace that is written in."""
IN_IT = f"/apis/networking.k8s.io/v1/namespaces/{HOME}/networkpolicies"
CILIUM = f"/apis/cilium.io/v2/namespaces/{HOME}/ciliumnetworkpolicies"
OURS = {"app.kubernetes.io/managed-by": "portcullis", BASELINE: "mine"}
MERGE = {"Content-Type": "application/merge-patch+json"}
DRY = {"dryRun": "All"}
MATES = "system:serviceaccounts:portcullis-system"
"""The group of the ServiceAccounts of our namespace."""


class Write(NamedTuple):
    """A request; `body` is merged into what stands where the method is PATCH."""

    method: str
    path: str
    body: Json | None = None


def made(name: str = "mine.new", **metadata: Any) -> Write:
    return Write("POST", IN_IT, policy(HOME, name, DEFAULT_DENY, **{"labels": OURS, **metadata}))


def patched(path: str, **body: Json) -> Write:
    return Write("PATCH", path, body)


def noted(**metadata: Any) -> Write:
    """Return a change of the namespace, that of the state with it."""
    state = {BASELINE: json.dumps({"state": "Pending", "revision": "", "reason": "changed"})}
    annotations = {**state, **metadata.pop("annotations", {})}
    return patched(f"{NAMESPACES}/{HOME}", metadata={"annotations": annotations, **metadata})


@pytest.fixture(scope="module")
def mirrored(guarded: Guarded) -> Iterator[Guarded]:
    """A namespace with policies of ours and of others; nobody brings anything, and RBAC lets us do everything."""
    guarded.stop()
    guarded.start(FIRST, "--no-controller")
    guarded.await_gate()
    binding = ("clusterrolebinding", "mirrored")
    guarded.kubectl("create", *binding, "--clusterrole=cluster-admin", f"--group={MATES}", user="root")
    root = guarded.reader.client
    assert root.post(NAMESPACES, json=namespace(HOME, "checkout", kept="yes")).status_code == 201
    for name, labels in (("mine.stands", OURS), ("web", {}), ("mine.bare", {}), ("marked", OURS)):
        thing = policy(HOME, name, DEFAULT_DENY, labels=labels)
        assert root.post(IN_IT, json=thing).status_code == 201
    yield guarded
    guarded.kubectl("delete", *binding, user="root")
    guarded.kubectl("delete", "namespace", HOME, "--wait=false", user="root")
    guarded.stop()
    guarded.gate()


@pytest.fixture(scope="module")
def ourselves(mirrored: Guarded) -> Iterator[Reader]:
    """Our ServiceAccount."""
    reader = Reader(mirrored.plane, "portcullis")
    yield reader
    reader.client.close()


class Judge:
    """Makes writes that are not stored, and counts the reviews that come of them."""

    def __init__(self, guarded: Guarded, ourselves: Reader) -> None:
        self.guarded = guarded
        self.ourselves = ourselves

    def __call__(self, write: Write, **headers: str) -> tuple[int, int]:
        """Write as ourselves, or as who is named by the headers; return the status and how many reviews there were."""
        self.guarded.look()
        client = self.guarded.reader.client if headers else self.ourselves.client
        headers |= MERGE if write.method == "PATCH" else {}
        reply = client.request(write.method, write.path, params=DRY, json=write.body, headers=headers)
        # Decisions are told of in turn: after that on somebody else, all of ours have been.
        probe = self.guarded.plane.kubectl(
            "create", "namespace", "probe", "--dry-run=server", user="stranger", check=False
        )
        assert "[rbac/namespace]" in probe.stderr
        lines: list[Json] = []

        def over() -> bool:
            lines.extend(line for line in self.guarded.look() if line.get("event") == "decision")
            return {"mutate", "validate"} == {line["route"] for line in lines if line["user"] == "stranger"}

        until(over, 5)
        who = headers.get("Impersonate-User", OURSELVES)
        return reply.status_code, sum(line["user"] == who for line in lines)


@pytest.fixture
def judged(mirrored: Guarded, ourselves: Reader) -> Judge:
    """Who counts."""
    return Judge(mirrored, ourselves)


UNJUDGED = {
    "a policy of a baseline": made(),
    "its spec": patched(f"{IN_IT}/mine.stands", spec=OPEN),
    "its end": Write("DELETE", f"{IN_IT}/mine.stands"),
    "the state": noted(),
    "the state taken off": noted(annotations={BASELINE: None}),
}
JUDGED = {
    "a policy without a dot": made("mine"),
    "a policy without labels": made(labels={}),
    "a policy with one label": made(labels={"app.kubernetes.io/managed-by": "portcullis"}),
    "a policy with the other label": made(labels={BASELINE: "mine"}),
    "a policy of somebody else": made(labels={**OURS, "app.kubernetes.io/managed-by": "Helm"}),
    "a policy of another baseline": made(labels={**OURS, BASELINE: "other"}),
    "a policy of half a baseline": made(labels={**OURS, BASELINE: "min"}),
    "a policy of no baseline": made("a.b", labels={**OURS, BASELINE: ""}),
    "a policy whose name is generated": made("", generateName="web-"),
    "a tenant's policy": patched(f"{IN_IT}/web", spec=OPEN),
    "a tenant's policy marked as ours": patched(f"{IN_IT}/web", metadata={"labels": OURS}),
    "a tenant's policy's end": Write("DELETE", f"{IN_IT}/web"),
    "a bare policy marked as ours": patched(f"{IN_IT}/mine.bare", metadata={"labels": OURS}),
    "a marked policy without a dot": patched(f"{IN_IT}/marked", spec=OPEN),
    "the labels taken off": patched(f"{IN_IT}/mine.stands", metadata={"labels": dict.fromkeys(OURS)}),
    "a policy of a CNI": Write(
        "POST",
        CILIUM,
        {
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumNetworkPolicy",
            "metadata": {"name": "mine.new", "namespace": HOME, "labels": OURS},
            "spec": {"endpointSelector": {}},
        },
    ),
    "a label beside the state": noted(labels={"a": "b"}),
    "another value of a label beside the state": noted(labels={"kept": "no"}),
    "a label taken off beside the state": noted(labels={"kept": None}),
    "the workspace beside the state": noted(labels={WORKSPACE: "refunds"}),
    "another annotation beside the state": noted(annotations={"a": "b"}),
    "a finalizer beside the state": noted(finalizers=["example.com/x"]),
    "an owner beside the state": noted(
        ownerReferences=[{"apiVersion": "v1", "kind": "Namespace", "name": "default", "uid": "x"}]
    ),
    "a namespace": Write("POST", NAMESPACES, namespace("mirrored-other", "checkout")),
    "a namespace's end": Write("DELETE", f"{NAMESPACES}/{HOME}"),
    "the state through the status": Write(
        "PATCH", f"{NAMESPACES}/{HOME}/status", {"metadata": {"annotations": {BASELINE: "{}"}}}
    ),
}


@pytest.mark.parametrize("write", UNJUDGED.values(), ids=UNJUDGED.keys())
def test_what_we_bring_is_not_judged(judged: Judge, write: Write) -> None:
    """It is let do, and nobody is asked."""
    status, reviews = judged(write)
    assert status in {200, 201}
    assert reviews == 0


@pytest.mark.parametrize("write", JUDGED.values(), ids=JUDGED.keys())
def test_what_stands_next_to_it_is_judged(judged: Judge, write: Write) -> None:
    """By our own rules, whatever comes of it: no expression fails on it, which would be a refusal of another kind."""
    status, reviews = judged(write)
    assert status in {200, 201, 403}
    assert reviews > 0


@pytest.mark.parametrize(
    "who",
    [
        "system:serviceaccount:portcullis-system:portcullis2",
        "system:serviceaccount:portcullis-system:Portcullis",
        "system:serviceaccount:portcullis-system2:portcullis",
        "system:serviceaccount:mirrored:portcullis",
        "portcullis",
        "wanda",
        "olga",
    ],
)
def test_nobody_else_goes_unjudged(judged: Judge, who: str) -> None:
    """However like ours a name is, and in our group."""
    for name, write in UNJUDGED.items():
        status, reviews = judged(write, **{"Impersonate-User": who, "Impersonate-Group": MATES})
        assert reviews > 0, name
        assert status == 403, name


def test_a_namespace_full_of_annotations_is_judged_and_not_refused(mirrored: Guarded, judged: Judge) -> None:
    """To compare them would cost more than an expression may, which would refuse us the labels as well."""
    many = {f"x/{number}": "" for number in range(20_000)}
    path = f"{NAMESPACES}/{HOME}"
    change = {"metadata": {"annotations": many}}
    assert mirrored.reader.client.patch(path, json=change, headers=MERGE).status_code == 200
    try:
        status, reviews = judged(noted())
        assert (status, reviews > 0) == (200, True)
        status, reviews = judged(noted(labels={"portcullis.dev/gate": "enforced"}))
        assert status == 200
    finally:
        gone = {"metadata": {"annotations": dict.fromkeys(many)}}
        assert mirrored.reader.client.patch(path, json=gone, headers=MERGE).status_code == 200
    assert judged(noted()) == (200, 0)
