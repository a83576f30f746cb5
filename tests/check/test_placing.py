"""A finding points at the line that is at fault, however the file is put together."""

from pathlib import Path

import pytest

from tests.check.checks import Checks
from tests.conftest import Loop
from webhook.admission import Gate
from webhook.decision.bundle import Bundle
from webhook.decision.catalogue import read_catalogue

HELM = """---
# Source: shop/templates/policies.yaml
# A comment of the chart
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  # another one
  name: web
  namespace: refunds-dev
spec:
  podSelector: {}
  policyTypes:
    - Ingress
  ingress:
    - from:
        - podSelector: {}
    # everybody
    - ports: [{port: 80}]
---
# Source: shop/templates/empty.yaml
---
# Source: shop/templates/more.yaml
apiVersion: v1
kind: List
items:
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {name: fine, namespace: refunds-dev}
  spec: {podSelector: {}, policyTypes: [Ingress]}
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata:
    name: with.dot
    namespace: refunds-dev
  spec:
    podSelector: {}
    policyTypes: [Egress]
    egress:
    - to:
      - ipBlock:
          cidr: 0.0.0.0/0
"""


@pytest.fixture
def check(gate: Gate, loop: Loop, bundle: Bundle, tmp_path: Path) -> Checks:
    """Checks texts by the shipped rules, on the tree of the cases."""
    return Checks(gate, loop, {each.id: each for each in read_catalogue(bundle)}, tmp_path)


def test_lines_are_right_in_a_rendering_and_in_a_list(check: Checks) -> None:
    """The rule that lets everybody in; of a name its line; of addresses that add up the direction."""
    lines = HELM.splitlines()
    found = {(each.thing.name, each.rule): lines[each.line - 1][each.column - 1 :] for each in check(HELM)}
    assert found == {
        ("web", "guardrail/from-anywhere"): "ports: [{port: 80}]",
        ("with.dot", "baseline/managed-policy"): "name: with.dot",
        ("with.dot", "guardrail/protected-cidr"): "to:",
        ("with.dot", "guardrail/to-anywhere"): "egress:",
    }
