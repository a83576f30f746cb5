"""What changes in the tree is so a moment later: roles, and what a baseline brings."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.guarded import Guarded
from tests.e2e.manifests import DEFAULT_DENY, INSIDE, ZERO_TRUST, documents, namespace, ours, policy
from tests.e2e.reading import state, until

Json = dict[str, Any]

WATCHED_SECONDS = 2.0
"""In which the watch has told; its own way is a few milliseconds, kubectl's a tenth of a second."""
EDGE: Json = {"podSelector": {}, "policyTypes": ["Ingress"]}


def granted(guarded: Guarded, workspace: str, group: str) -> None:
    """Make a group the only one that administers a workspace; nobody for an empty one."""
    subjects = [{"kind": "Group", "name": group}] if group else []
    patch = json.dumps({"spec": {"roles": [{"role": "WorkspaceAdmin", "subjects": subjects}]}})
    guarded.kubectl("patch", "workspace", workspace, "--type=merge", "--patch", patch, user="olga")


def test_a_role_that_is_revoked_stops_working_and_given_back_works(guarded: Guarded) -> None:
    """Without being started again, in about the time that a person needs to type the next command."""
    guarded.create("revoked", user="ruth")
    probe = ("create", "--dry-run=server", "--filename=-")
    told = documents(policy("revoked"))

    def may() -> bool:
        return guarded.plane.kubectl(*probe, user="ruth", stdin=told, check=False).returncode == 0

    assert may()
    try:
        granted(guarded, "ranking", "")
        until(lambda: not may(), WATCHED_SECONDS)
        said = guarded.refused(*probe, user="ruth", stdin=told)
        assert "[rbac/namespace-policy]" in said
        assert "another workspace" in said
        assert "[rbac/namespace]" in guarded.refused("create", "namespace", "again", user="ruth")
    finally:
        granted(guarded, "ranking", "ranking-team")
    until(may, WATCHED_SECONDS)
    guarded.kubectl("create", "--filename=-", user="ruth", stdin=told)


@pytest.fixture
def edge(guarded: Guarded) -> Iterator[Callable[..., None]]:
    """A baseline for the namespaces with the label tier: edge; called with its policies it changes to these."""

    def change(**policies: Json) -> None:
        listed = [{"name": name, "spec": spec} for name, spec in policies.items()]
        selector = {"matchLabels": {"tier": "edge"}}
        made = ours("NetworkBaseline", "edge", namespaceSelector=selector, policies=listed)
        guarded.kubectl("apply", "--filename=-", user="ivan", stdin=documents(made))

    change(first=EDGE)
    yield change
    guarded.kubectl("delete", "networkbaseline", "edge", "--ignore-not-found", user="ivan")


def test_what_a_baseline_gains_and_loses_comes_and_goes(guarded: Guarded, edge: Callable[..., None]) -> None:
    """A policy that is added comes, one that changes is replaced, one that is dropped goes; people's own stay."""
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=documents(namespace("frontier", tier="edge")))
    guarded.kubectl("create", "--filename=-", user="olga", stdin=documents(namespace("outpost", tier="edge")))
    own = documents(policy("frontier", "edge-of-our-own"))
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=own)
    mine = {"edge-of-our-own": INSIDE}

    def both(**expected: Json) -> None:
        injected = {f"edge.{name}": spec for name, spec in expected.items()}
        until(lambda: guarded.reader.specs("frontier") == {**ZERO_TRUST, **injected, **mine}, 10)
        # Unowned: only what selects it.
        until(lambda: guarded.reader.specs("outpost") == injected, 10)
        for name in ("frontier", "outpost"):
            guarded.await_ready(name)

    both(first=EDGE)
    revision = state(guarded.await_ready("frontier"))["revision"]
    edge(first=EDGE, second=DEFAULT_DENY)
    both(first=EDGE, second=DEFAULT_DENY)
    until(lambda: state(guarded.await_ready("frontier"))["revision"] != revision, 5)
    edge(first={**EDGE, **INSIDE}, second=DEFAULT_DENY)
    both(first={**EDGE, **INSIDE}, second=DEFAULT_DENY)
    edge(second=DEFAULT_DENY)
    both(second=DEFAULT_DENY)


def test_variables_are_filled_in(guarded: Guarded, edge: Callable[..., None]) -> None:
    """Each namespace reads its own name in what it gets."""
    edge(named={**EDGE, "podSelector": {"matchLabels": {"place": "$(namespace)"}}})
    told = [namespace(name, tier="edge") for name in ("harbour", "station")]
    guarded.kubectl("create", "--filename=-", user="wanda", stdin=documents(*told))
    for name in ("harbour", "station"):
        guarded.await_ready(name)
        assert guarded.reader.specs(name)["edge.named"]["podSelector"] == {"matchLabels": {"place": name}}


def test_a_label_that_selects_a_baseline_brings_it(guarded: Guarded, edge: Callable[..., None]) -> None:
    """An unowned namespace that is labelled later gets the policies and the mark of a gated one."""
    edge(first=EDGE)
    guarded.kubectl("create", "namespace", "hamlet", user="olga")
    assert guarded.reader.policies("hamlet") == {}
    guarded.kubectl("label", "namespace", "hamlet", "tier=edge", user="olga")
    found = guarded.await_ready("hamlet")
    assert found["metadata"]["labels"]["portcullis.dev/gate"] == "enforced"
    assert guarded.reader.specs("hamlet") == {"edge.first": EDGE}


def test_a_baseline_that_the_tree_names_is_not_deleted(guarded: Guarded) -> None:
    """Neither by who runs the platform nor by an OrgAdmin: the namespaces would be left without."""
    for user in ("ivan", "olga"):
        said = guarded.refused("delete", "networkbaseline", "zero-trust", user=user)
        assert "[rbac/cluster-policy]" in said
        assert "the tree names this baseline" in said
        emptied = json.dumps({"spec": {"policies": []}})
        said = guarded.refused("patch", "networkbaseline", "zero-trust", "--type=merge", "--patch", emptied, user=user)
        assert "the tree names this baseline" in said
