"""Everything that manifests/base brings, applied at once: it changes nothing for those who follow the rules."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.guarded import Guarded
from tests.e2e.manifests import BASE, OPEN, WORKSPACE, ZERO_TRUST, documents, policy
from tests.e2e.reading import VALIDATING, until

DENY = "zero-trust.default-deny"


@pytest.fixture
def based(guarded: Guarded) -> Iterator[Guarded]:
    """The cluster with all of the base on it, the backstop at work; afterwards that is taken away again."""
    guarded.create("founded")
    guarded.kubectl("apply", "--kustomize", str(BASE), user="root")
    label = ("label", "networkpolicy", DENY, "--namespace=founded", "a=b", "--dry-run=server")
    until(lambda: "(backstop)" in guarded.plane.kubectl(*label, user="wanda", check=False).stderr, 10)
    yield guarded
    for each in ("backstop", "deployment", "service", "pdb", "networkpolicy"):
        guarded.kubectl("delete", "--filename", str(BASE / f"{each}.yaml"), user="root")
    until(lambda: "(backstop)" not in guarded.plane.kubectl(*label, user="wanda", check=False).stderr, 10)


def test_all_of_the_base_leaves_a_tenant_and_us_to_our_work(based: Guarded) -> None:
    """Namespaces come, move and end, policies are written, baselines brought and repaired, hooks healed, as without."""
    based.kubectl("delete", "namespace", "founded", "--wait=false", user="wanda")
    found = based.create("grounded")
    assert found["metadata"]["labels"][WORKSPACE] == "checkout"
    assert based.reader.specs("grounded") == ZERO_TRUST
    based.kubectl("apply", "--filename=-", user="wanda", stdin=documents(policy("grounded")))
    assert "[rbac/namespace-policy]" in based.refused(
        "delete", "networkpolicy", "web", "--namespace=grounded", user="rudi"
    )
    based.kubectl("delete", "networkpolicy", "web", "--namespace=grounded", user="wanda")
    move = ("label", "--overwrite", "namespace", "grounded")
    based.kubectl(*move, f"{WORKSPACE}=refunds", user="paul")
    based.kubectl(*move, f"{WORKSPACE}-", user="olga")
    based.kubectl(*move, f"{WORKSPACE}=ranking", user="olga")
    # Break-glass opens it; there is nobody else who could.
    opening = json.dumps({"spec": OPEN})
    patch = ("patch", "networkpolicy", DENY, "--namespace=grounded", "--type=merge", "--patch", opening)
    based.kubectl(*patch, user="root")
    until(lambda: based.reader.specs("grounded") == ZERO_TRUST, 10)
    before = based.reader.read(VALIDATING)["webhooks"]
    wrong = json.dumps([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}])
    hook = ("patch", "validatingwebhookconfiguration", "portcullis", "--type=json", "--patch", wrong)
    assert "(backstop)" in based.refused(*hook, user="olga")
    based.kubectl(*hook, user="root")
    until(lambda: based.reader.read(VALIDATING)["webhooks"] == before, 10)
    until(lambda: based.reader.namespace("founded") is None, 20)
