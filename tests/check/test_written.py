"""Manifests are taken as kubectl takes them, and the kinds that are judged are those that the hooks name."""

from pathlib import Path

import pytest
import yaml

from webhook.check.finding import CheckedFinding, Spot, Thing
from webhook.check.kinds import COVERED, LAST, hooked, phase_of
from webhook.check.placing import Fault, paths_of
from webhook.check.reading import every_written
from webhook.check.written import STANDARD_INPUT, Sources, parted
from webhook.settings import bundled_webhooks


def things(text: str, **given: str) -> list[tuple[str, str, str]]:
    sources = Sources((STANDARD_INPUT,), standard_input=text.encode(), **given)  # type: ignore[arg-type]  # a namespace
    written, errors = parted(every_written(sources))
    assert not errors
    return [(each.thing.namespace, each.thing.kind, each.thing.name) for each in written]


def test_the_kinds_are_those_of_the_hooks() -> None:
    """Every resource that a shipped hook names, and no other; with its scope."""
    objects = list(yaml.safe_load_all(bundled_webhooks().read_text()))
    rules = [rule for each in objects for hook in each["webhooks"] for rule in hook["rules"]]
    named = {
        (group, resource.partition("/")[0], rule["scope"])
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    scopes = {True: "Namespaced", False: "Cluster"}
    assert named == {(group, page.plural, scopes[page.namespaced]) for (group, _), page in COVERED.items()}


def test_the_order_is_from_what_others_need() -> None:
    """Definitions, the tree from the top, Namespaces, all others."""
    order = ["CustomResourceDefinition", "Organization", "NetworkBaseline", "Project", "Workspace", "Namespace"]
    found = sorted(COVERED, key=lambda each: phase_of(*each))
    assert [kind for _, kind in found[: len(order)]] == order
    assert all(phase_of(*each) == LAST for each in found[len(order) :])


@pytest.mark.parametrize(
    ("kind", "namespace", "called"),
    [
        pytest.param(("networking.k8s.io", "NetworkPolicy"), "dev", True, id="policy"),
        pytest.param(("networking.k8s.io", "NetworkPolicy"), "kube-system", False, id="kube-system"),
        pytest.param(("networking.k8s.io", "NetworkPolicy"), "kube-public", True, id="kube-public"),
        pytest.param(("", "Pod"), "kube-public", False, id="pod-in-kube-public"),
        pytest.param(("", "Namespace"), "", True, id="namespace"),
        pytest.param(("apps", "Deployment"), "dev", False, id="deployment"),
    ],
)
def test_hooks_are_called_where_they_are_registered(kind: tuple[str, str], namespace: str, *, called: bool) -> None:
    """By their namespaceSelectors."""
    assert hooked(*kind, namespace) is called


POLICY = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web}\n"


def test_what_names_no_namespace_goes_where_kubectl_would_put_it() -> None:
    """`default`, or the one of the flag; what stands in none is in none, whatever it says."""
    assert things(POLICY) == [("default", "NetworkPolicy", "web")]
    assert things(POLICY, namespace="mine") == [("mine", "NetworkPolicy", "web")]
    scoped = "apiVersion: v1\nkind: Namespace\nmetadata: {name: web, namespace: else}\n"
    assert things(scoped, namespace="mine") == [("", "Namespace", "web")]


def test_a_generated_name_is_told_as_what_it_begins_with() -> None:
    """`kubectl create` takes such a manifest."""
    assert things(POLICY.replace("name:", "generateName:")) == [("default", "NetworkPolicy", "web*")]


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    """In a folder and by itself."""
    file = tmp_path / "a.yaml"
    file.write_text(POLICY)
    written, _ = parted(every_written(Sources((tmp_path, file))))
    assert len(written) == 1


def test_what_cannot_be_read_hides_nothing_else(tmp_path: Path) -> None:
    """Its place is told, to the column, and the other objects are there."""
    (tmp_path / "a.yaml").write_text(POLICY + "kind: Again\n")
    (tmp_path / "b.yaml").write_text(POLICY)
    written, errors = parted(every_written(Sources((tmp_path,))))
    assert [each.spot.file.name for each in written] == ["b.yaml"]
    assert [(each.file.name, each.line, each.column) for each in errors] == [("a.yaml", 4, 1)]


@pytest.mark.parametrize(
    ("rule", "message", "path"),
    [
        pytest.param("a/b", "spec.ingress[0].from[1] is too much", ("spec", "ingress", 0, "from", 1), id="field"),
        pytest.param("a/b", "its specs[2].egress", ("specs", 2, "egress"), id="specs"),
        pytest.param("a/b", "the label x.dev/gate is", ("metadata", "labels", "x.dev/gate"), id="label"),
        pytest.param("guardrail/to-anywhere", "together with low", ("spec", "egress"), id="usual"),
        pytest.param("a/b", "no such namespace is known", ("metadata", "namespace"), id="namespace"),
        pytest.param("a/b", "my.spec.ingress is no field", ("metadata", "name"), id="no-field"),
    ],
)
def test_a_message_tells_its_field(rule: str, message: str, path: tuple[str | int, ...]) -> None:
    """The first that it names; else what the rule is about, else the name."""
    thing = Thing("dev", "NetworkPolicy", "web", "networking.k8s.io/v1")
    found = CheckedFinding(rule, "", "high", "enforce", message, "CREATE", thing, Spot(Path("a")))
    assert next(paths_of(Fault(found))) == path
