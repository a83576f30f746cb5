"""Whether a policy stands as it is wanted, by what the API server stores and not by how it is spelled."""

import json
from collections.abc import Mapping
from typing import Any

from webhook.baseline.wanted import WantedPolicy
from webhook.model import BASELINE_LABEL, MANAGED_BY_LABEL, Policy

_PARTS = ("podSelector", "policyTypes", "ingress", "egress")
# A map that means the same absent and empty; an empty podSelector means everything, an absent one nothing.
_EMPTY_IS_ABSENT = "matchLabels"


def difference(wanted: WantedPolicy, stored: Policy) -> str:
    """Say what of a policy that stands differs from the wanted one, empty where nothing does."""
    differing = [key for key in _PARTS if not _agree(wanted, stored, key)]
    if not isinstance(stored.spec, Mapping) or set(stored.spec) - set(wanted.spec):
        differing.append("spec")
    if dict(stored.labels) != wanted.labels:
        differing.append("labels")
    return ", ".join([*differing, *stored.attached])


def injected_by(stored: Policy) -> str:
    """Return the baseline that a policy was injected for, by its labels and its name alike; empty for none."""
    baseline = stored.labels.get(BASELINE_LABEL, "")
    ours = stored.kind == "NetworkPolicy" and stored.labels.get(MANAGED_BY_LABEL) == "portcullis"
    return baseline if ours and baseline and stored.name.startswith(f"{baseline}.") else ""


def surplus(stored: Policy, complete: frozenset[str], wanted: frozenset[str]) -> bool:
    """
    Say whether an injected policy is one that its baseline no longer has.

    Only where that baseline applies and is whole (`complete`): what is merely not there is never a reason to delete.
    """
    return injected_by(stored) in complete and stored.name not in wanted


def fingerprint(spec: Any) -> int:
    """Return a number for what a spec means; it is another one in another process."""
    parts = [_canonical(spec.get(key)) for key in _PARTS] if isinstance(spec, Mapping) else spec
    return hash(json.dumps(parts, sort_keys=True))


def _agree(wanted: WantedPolicy, stored: Policy, key: str) -> bool:
    spec = stored.spec if isinstance(stored.spec, Mapping) else {}
    return bool(_canonical(wanted.spec.get(key)) == _canonical(spec.get(key)))


def _canonical(value: Any, at: str = "") -> Any:
    """Return what stands at the key `at` without what the API server leaves out and with what it fills in."""
    match value:
        case None | []:
            return None
        case Mapping():
            kept = {key: _canonical(each, key) for key, each in value.items()}
            return {key: each for key, each in kept.items() if each is not None and not _absent(key, each)}
        case list() | tuple() if at == "ports":
            return [{"protocol": "TCP", **_canonical(each)} if isinstance(each, Mapping) else each for each in value]
        case list() | tuple():
            return [_canonical(each) for each in value]
        case _:
            return value


def _absent(key: str, value: Any) -> bool:
    return key == _EMPTY_IS_ABSENT and value == {}
