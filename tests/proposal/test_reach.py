"""Who can reach whom by the policies of two sides, and what is gained and lost between them."""

from pathlib import Path

import pytest

from webhook.proposal.reach import Landscape, differences, landscape
from webhook.tenancy.manifests import read_manifests

NAMESPACES = "".join(
    f"---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{team: {team}}}}}\n"
    for name, team in (("web", "a"), ("db", "a"), ("ops", "b"))
)
POLICY = """---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}, namespace: web}}
spec: {{podSelector: {{}}, policyTypes: [Ingress], ingress: {ingress}}}
"""


def seen(folder: Path, *ingresses: str) -> Landscape:
    folder.mkdir()
    policies = (POLICY.format(name=f"p{number}", ingress=each) for number, each in enumerate(ingresses))
    (folder / "all.yaml").write_text(NAMESPACES + "".join(policies))
    return landscape(read_manifests(folder).manifests, None)


OF_A = "[{from: [{namespaceSelector: {matchLabels: {team: a}}}]}]"
OF_ALL = "[{from: [{namespaceSelector: {}}]}]"
TEN = "[{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]"
HALF = "[{from: [{ipBlock: {cidr: 10.0.0.0/9}}]}]"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        pytest.param(["[]"], [OF_A], ["from namespaces db, web: gained"], id="some namespaces"),
        pytest.param([OF_A], [OF_ALL], ["from every namespace: gained"], id="every namespace"),
        pytest.param([OF_ALL], [OF_A], ["from every namespace: lost"], id="fewer"),
        pytest.param([HALF], [TEN], ["from 10.128.0.0/9 (0.2% of IPv4): gained"], id="more addresses"),
        pytest.param([OF_A], ["[{}]"], ["from every address and every pod: gained"], id="everybody"),
        pytest.param(["[]"], [], ["from everything (no policy is for it): gained"], id="the last policy goes"),
        pytest.param([], ["[]"], ["from everything (no policy is for it): lost"], id="the first policy comes"),
        pytest.param([OF_A, TEN], [TEN, OF_A], [], id="another order"),
        pytest.param([OF_ALL], [OF_ALL, OF_A], [], id="nothing more"),
    ],
)
def test_what_differs_is_told_by_namespace_and_direction(
    tmp_path: Path, before: list[str], after: list[str], said: list[str]
) -> None:
    """Policies add up, so what one takes away and another gives is no difference."""
    found = differences(seen(tmp_path / "base", *before), seen(tmp_path / "head", *after))
    assert [each.message for each in found] == [f"web: ingress {each}" for each in said]
