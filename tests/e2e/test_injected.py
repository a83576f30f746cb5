"""What Portcullis has injected stands as it is, whoever tries, with whatever of kubectl's verbs."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from functools import partial

import pytest

from tests.e2e.guarded import Guarded
from tests.e2e.manifests import OPEN, ZERO_TRUST, documents, policy
from tests.e2e.reading import until

DENY = "zero-trust.default-deny"
LABELS = {"app.kubernetes.io/managed-by": "portcullis", "portcullis.dev/baseline": "zero-trust"}
MIGHTY = ("wanda", "paul", "olga", "ivan")
VAULT = "vault"
AT = f"--namespace={VAULT}"
COLLECTION = f"/apis/networking.k8s.io/v1/namespaces/{VAULT}/networkpolicies"
OPENED = documents(policy(VAULT, DENY, OPEN, labels=LABELS))
BARED = json.dumps({"metadata": {"labels": dict.fromkeys(LABELS)}})
OPENING = json.dumps({"spec": {"ingress": [{}]}})
ITEM = json.dumps([{"op": "add", "path": "/spec/ingress", "value": [{}]}])

ATTEMPTS = {
    "delete": (("delete", "networkpolicy", DENY, AT), ""),
    "delete at once": (("delete", "networkpolicy", DENY, AT, "--force", "--grace-period=0"), ""),
    "delete and leave what is owned": (("delete", "networkpolicy", DENY, AT, "--cascade=orphan"), ""),
    "delete all": (("delete", "networkpolicy", "--all", AT), ""),
    "delete by label": (("delete", "networkpolicy", "--selector=portcullis.dev/baseline", AT), ""),
    "deletecollection": (("delete", "--raw", COLLECTION), ""),
    "deletecollection by field": (("delete", "--raw", f"{COLLECTION}?fieldSelector=metadata.name%3D{DENY}"), ""),
    "label": (("label", "networkpolicy", DENY, AT, "a=b"), ""),
    "unlabel": (("label", "networkpolicy", DENY, AT, "portcullis.dev/baseline-"), ""),
    "annotate": (("annotate", "networkpolicy", DENY, AT, "a=b"), ""),
    "merge patch": (("patch", "networkpolicy", DENY, AT, "--type=merge", "--patch", OPENING), ""),
    "strategic patch": (("patch", "networkpolicy", DENY, AT, "--patch", OPENING), ""),
    "JSON patch": (("patch", "networkpolicy", DENY, AT, "--type=json", "--patch", ITEM), ""),
    "patch off the labels": (("patch", "networkpolicy", DENY, AT, "--type=merge", "--patch", BARED), ""),
    "replace": (("replace", "--filename=-"), OPENED),
    "apply": (("apply", "--filename=-"), OPENED),
    "apply server-side": (("apply", "--server-side", "--force-conflicts", "--filename=-"), OPENED),
    "apply as portcullis": (
        ("apply", "--server-side", "--force-conflicts", "--field-manager=portcullis", "--filename=-"),
        OPENED,
    ),
    "one more of that name": (("create", "--filename=-"), documents(policy(VAULT, "zero-trust.more"))),
    "one more of that label": (("create", "--filename=-"), documents(policy(VAULT, "more", labels=LABELS))),
}


@pytest.fixture(scope="module")
def vault(guarded: Guarded) -> str:
    """A namespace whose injected policies are tried at."""
    guarded.create(VAULT)
    return VAULT


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_nobody_changes_an_injected_policy(guarded: Guarded, vault: str, attempt: str) -> None:
    """Neither who owns the namespace nor who runs the platform, and nothing of it is stored."""
    arguments, stdin = ATTEMPTS[attempt]
    before = guarded.reader.versions(state=False)
    for user in MIGHTY:
        said = guarded.refused(*arguments, user=user, stdin=stdin)
        assert "(Forbidden)" in said
        assert "[baseline/managed-policy]" in said
        assert "Change the NetworkBaseline" in said
    assert guarded.reader.specs(vault) == ZERO_TRUST
    assert guarded.reader.versions(state=False) == before


def test_nobody_edits_an_injected_policy(guarded: Guarded, vault: str) -> None:
    """`kubectl edit` is refused as well, though it tells so in a file."""
    edited = subprocess.run(
        ["kubectl", "--kubeconfig", guarded.plane.kubeconfig("wanda"), "edit", "networkpolicy", DENY, AT],
        env={"PATH": os.environ["PATH"], "HOME": str(guarded.folder), "KUBE_EDITOR": "sed -i s/Ingress/Egress/"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert edited.returncode != 0
    assert "[baseline/managed-policy]" in edited.stderr
    assert guarded.reader.specs(vault) == ZERO_TRUST


def test_a_namespace_with_injected_policies_is_deleted_by_its_owner(guarded: Guarded) -> None:
    """What nobody may delete ends with its namespace, by the hand of Kubernetes' own controller."""
    guarded.create("leaving")
    guarded.kubectl("delete", "namespace", "leaving", user="wanda")
    assert guarded.reader.namespace("leaving") is None
    assert guarded.reader.policies("leaving") == {}


def replaced(guarded: Guarded, name: str) -> None:
    """Put the open spec in with a PUT."""
    guarded.kubectl(
        "replace", "--filename=-", user="stranger", stdin=documents(policy(name, DENY, OPEN, labels=LABELS))
    )


def added(guarded: Guarded, name: str) -> None:
    """Add the open rule by server-side apply, so that it belongs to another manager: an apply of ours would keep it."""
    rule = documents(policy(name, DENY, {"ingress": [{}]}))
    command = ("apply", "--server-side", "--force-conflicts", "--field-manager=helm", "--filename=-")
    guarded.kubectl(*command, user="stranger", stdin=rule)


def hung(guarded: Guarded, name: str) -> None:
    """Hang a finalizer, an annotation and a label on it, which would hold its namespace up or hide it."""
    hanging = {"finalizers": ["example.org/held"], "annotations": {"a": "b"}, "labels": {"c": "d"}}
    patch = json.dumps({"metadata": hanging})
    command = ("patch", "networkpolicy", DENY, f"--namespace={name}", "--type=merge", "--patch", patch)
    guarded.kubectl(*command, user="stranger")


UNDOINGS: dict[str, tuple[Callable[[Guarded, str], None], str]] = {
    "replaced": (replaced, "differed in policyTypes, ingress and was replaced whole"),
    "added": (added, "differed in ingress and was replaced whole"),
    "hung": (hung, "differed in labels, annotations, finalizers and was replaced whole"),
}


def test_what_was_opened_while_the_hooks_were_away_is_closed(guarded: Guarded) -> None:
    """The spec stands whole again under our one manager, and an Event in the namespace says what was overwritten."""
    for name in UNDOINGS:
        guarded.create(f"undone-{name}")
    guarded.create("undone-deleted")
    guarded.stop()
    guarded.ungate()
    try:
        for name, (undo, _) in UNDOINGS.items():
            undo(guarded, f"undone-{name}")
        guarded.kubectl("delete", "networkpolicy", "--all", "--namespace=undone-deleted", user="stranger")
        assert guarded.reader.policies("undone-deleted") == {}
    finally:
        guarded.gate()
    until(lambda: guarded.reader.specs("undone-deleted") == ZERO_TRUST, 15)
    for name, (_, note) in UNDOINGS.items():
        place = f"undone-{name}"
        assert until(partial(repairs, guarded, place), 15) == [f"{DENY} {note}"]
        assert guarded.reader.specs(place) == ZERO_TRUST
        for each in guarded.reader.policies(place).values():
            assert {entry["manager"] for entry in each["metadata"]["managedFields"]} == {"portcullis"}
            assert each["metadata"]["labels"] == LABELS
            assert not {"annotations", "finalizers"} & each["metadata"].keys()


def repairs(guarded: Guarded, namespace: str) -> list[str]:
    """Return what the Events of a namespace say of repairs."""
    events = guarded.reader.read(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")["items"]
    notes = [each["note"] for each in events if each["reason"] == "BaselineRepaired"]
    assert all("(written by kubectl" in each or "(written by helm, Apply at" in each for each in notes)
    return [re.sub(r" \(written by [^)]*\)", "", each) for each in notes]


def test_labels_lost_while_the_hooks_were_away_are_put_back(guarded: Guarded) -> None:
    """Derived labels that went, or say what is not so, are as the tree has them again."""
    before = guarded.create("unstamped")["metadata"]["labels"]
    guarded.stop()
    guarded.ungate()
    try:
        wrong = ("portcullis.dev/gate-", "portcullis.dev/project=search")
        guarded.kubectl("label", "--overwrite", "namespace", "unstamped", *wrong, user="stranger")
    finally:
        guarded.gate()
    until(lambda: (guarded.reader.namespace("unstamped") or {})["metadata"]["labels"] == before, 15)
