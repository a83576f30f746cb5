"""What a Namespace is stamped with, by the whole way of a request on a real OPA."""

import base64
import copy
from typing import Any

import jsonpatch
import orjson
import pytest

from tests.cases.reviews import (
    ADA,
    BASELINE,
    BO,
    CONTROLLER,
    IVAN,
    NAMESPACE,
    NAMESPACE_CONTROLLER,
    NETPOL,
    OZ,
    PAM,
    RITA,
    ROOT,
    TWO,
    WORKSPACE,
    Asked,
    Caller,
    Json,
    namespace,
    other_policy,
    owned,
    policy,
)
from tests.cases.table import PENDING
from tests.conftest import Loop
from webhook.admission import Gate

STATE = "portcullis.dev/baseline"
STAMPED: Json = {"labels": owned("checkout"), "annotations": {STATE: PENDING}}


def mutate(loop: Loop, gate: Gate, asked: Asked) -> list[Json]:
    """Return the operations of the patch."""
    answer = orjson.loads(loop.run(gate.mutate(orjson.dumps(asked.review()), seconds=10)))["response"]
    assert answer["allowed"], answer
    assert ("patch" in answer) == ("patchType" in answer)
    operations: list[Json] = orjson.loads(base64.b64decode(answer.get("patch", "W10=")))
    return operations


def after(loop: Loop, gate: Gate, asked: Asked) -> Json:
    """Return the labels and annotations of ours after the patch, which must leave nothing to do the second time."""
    assert asked.new
    patched: Json = jsonpatch.apply_patch(copy.deepcopy(asked.new), mutate(loop, gate, asked))
    again = Asked(asked.caller, asked.operation, asked.kind, new=patched, old=asked.old, over=asked.over)
    assert mutate(loop, gate, again) == []
    ours: Json = {"labels": {}, "annotations": {}}
    for kind, found in ours.items():
        every = patched["metadata"].get(kind, {})
        found.update({key: value for key, value in every.items() if key.startswith("portcullis.dev/")})
    return ours


CREATED: dict[str, tuple[Caller, Json, Json]] = {
    "the-only-workspace-of-its-admin": (ADA, namespace("new"), STAMPED),
    "an-empty-label-is-none": (ADA, namespace("new", {WORKSPACE: ""}), STAMPED),
    "a-workspace-that-is-named": (PAM, namespace("new", {WORKSPACE: "checkout"}), STAMPED),
    "named-by-one-who-may-not": (BO, namespace("new", {WORKSPACE: "checkout"}), STAMPED),
    "nothing-for-an-admin-of-two": (TWO, namespace("new"), {}),
    "nothing-for-a-project-admin": (PAM, namespace("new"), {}),
    "nothing-for-an-admin-who-is-infra-admin-too": (Caller("ivan", ("checkout-team",)), namespace("new"), {}),
    "nothing-for-an-admin-who-is-project-admin-elsewhere": (
        Caller("x", ("checkout-team", "search-admins")), namespace("new"), {},
    ),
    "nothing-for-a-reader": (RITA, namespace("new"), {}),
    "nothing-without-a-name": (Caller("", ("checkout-team",)), namespace("new"), {}),
    "nothing-on-kube-system": (ADA, namespace("kube-system"), {}),
    "forged-labels-are-replaced": (
        ADA, namespace("new", owned("checkout", "search"), annotations={STATE: '{"state":"Ready"}'}), STAMPED,
    ),
    "left-over-labels-go": (
        IVAN, namespace("tools", {"portcullis.dev/project": "x", "portcullis.dev/gate": ""}, annotations={STATE: "x"}), {},
    ),
    "a-baseline-by-selector": (
        IVAN,
        namespace("edge2", {"tier": "edge"}),
        {"labels": {"portcullis.dev/gate": "enforced"}, "annotations": {STATE: PENDING}},
    ),
    "derived-labels-do-not-stay-with-an-unknown-workspace": (
        OZ, namespace("new", owned("ghost")), {"labels": {WORKSPACE: "ghost"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("caller", "sent", "wanted"), CREATED.values(), ids=CREATED.keys())
def test_a_new_namespace_is_stamped(caller: Caller, sent: Json, wanted: Json, gate: Gate, loop: Loop) -> None:
    """Ownership is filled in where there is one answer, and derived labels and state are as the tree says."""
    found = after(loop, gate, Asked(caller, "CREATE", NAMESPACE, new=sent))
    assert found == {"labels": {}, "annotations": {}} | wanted


READY = {STATE: '{"state":"Ready"}'}
MINE = namespace("checkout-dev", owned("checkout"), annotations=READY)
KEPT: Json = {"labels": owned("checkout"), "annotations": READY}
UPDATED: dict[str, tuple[Caller, Json, Json, Json]] = {
    "replace-that-drops-all-labels": (ADA, MINE, namespace("checkout-dev"), KEPT),
    "replace-that-drops-the-label-maps": (
        ADA, MINE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "checkout-dev"}}, KEPT,
    ),
    "null-label-maps": (
        ADA, MINE, {"metadata": {"name": "checkout-dev", "labels": None, "annotations": None}}, KEPT,
    ),
    "a-sibling-cannot-drop-it-either": (BO, MINE, namespace("checkout-dev"), KEPT),
    "an-org-admin-releases": (OZ, MINE, namespace("checkout-dev"), {"annotations": READY}),
    "break-glass-releases": (ROOT, MINE, namespace("checkout-dev"), {"annotations": READY}),
    "gate-put-back": (ADA, MINE, namespace("checkout-dev", {WORKSPACE: "checkout"}, annotations=READY), KEPT),
    "state-put-back": (ADA, MINE, namespace("checkout-dev", owned("checkout"), annotations={STATE: "{}"}), KEPT),
    "state-of-the-controller-stays": (
        CONTROLLER, MINE, namespace("checkout-dev", owned("checkout"), annotations={STATE: "{}"}), KEPT | {"annotations": {STATE: "{}"}},
    ),
    "a-move-takes-the-new-owners-labels": (
        OZ, MINE, namespace("checkout-dev", {WORKSPACE: "ranking"}), {"labels": owned("ranking", "search"), "annotations": READY},
    ),
    "labels-on-kube-system-mean-nothing": (OZ, namespace("kube-system"), namespace("kube-system", owned("checkout")), {
        "labels": {WORKSPACE: "checkout"},
    }),
    "a-label-goes-off-kube-system": (
        IVAN, namespace("kube-system", {WORKSPACE: "checkout"}), namespace("kube-system"), {},
    ),
    "stale-labels-follow-the-tree": (
        ADA,
        namespace("checkout-dev", owned("checkout", "former")),
        namespace("checkout-dev", owned("checkout", "former", team="a")),
        {"labels": owned("checkout")},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("caller", "old", "sent", "wanted"), UPDATED.values(), ids=UPDATED.keys())
def test_an_update_keeps_what_is_not_the_callers_to_change(
    caller: Caller, old: Json, sent: Json, wanted: Json, gate: Gate, loop: Loop
) -> None:
    """What a `kubectl replace` drops is put back, and what the tree derives is derived again."""
    found = after(loop, gate, Asked(caller, "UPDATE", NAMESPACE, new=sent, old=old))
    assert found == {"labels": {}, "annotations": {}} | wanted


def test_a_generated_name_is_no_hindrance(gate: Gate, loop: Loop) -> None:
    """With generateName the mutating hook sees neither a name nor a map of labels."""
    sent: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "ci-"}}
    asked = Asked(ADA, "CREATE", NAMESPACE, new=sent, over={"name": "", "namespace": None})
    assert after(loop, gate, asked) == STAMPED


STALE = namespace("checkout-dev", {WORKSPACE: "checkout", "portcullis.dev/gate": "x"})
UNTOUCHED: dict[str, Asked] = {
    "finalize-by-the-namespace-controller": Asked(
        NAMESPACE_CONTROLLER, "UPDATE", NAMESPACE, new=STALE, old=STALE, subresource="finalize"
    ),
    "status-by-the-namespace-controller": Asked(
        NAMESPACE_CONTROLLER, "UPDATE", NAMESPACE, new=STALE, old=STALE, subresource="status"
    ),
    "deletion": Asked(ADA, "DELETE", NAMESPACE, old=MINE),
    "policy": Asked(ADA, "CREATE", NETPOL, new=policy("checkout-dev")),
    "baseline": Asked(IVAN, "CREATE", BASELINE, new=other_policy(BASELINE)),
    "create-without-object": Asked(ADA, "CREATE", NAMESPACE),
    "namespace-of-a-foreign-group": Asked(
        ADA, "CREATE", ("example.com", "v1", "Namespace", "namespaces"), new=namespace("x")
    ),
}


@pytest.mark.parametrize("asked", UNTOUCHED.values(), ids=UNTOUCHED.keys())
def test_nothing_else_is_touched(asked: Asked, gate: Gate, loop: Loop) -> None:
    """Only a Namespace that is created or updated is stamped."""
    assert mutate(loop, gate, asked) == []


def test_a_patch_names_only_what_differs(gate: Gate, loop: Loop) -> None:
    """One label that is wrong is one operation."""
    sent = namespace("checkout-dev", {**owned("checkout"), "portcullis.dev/project": "x"}, annotations=READY)
    operations: list[Any] = mutate(loop, gate, Asked(ADA, "UPDATE", NAMESPACE, new=sent, old=MINE))
    assert operations == [{"op": "replace", "path": "/metadata/labels/portcullis.dev~1project", "value": "payments"}]
