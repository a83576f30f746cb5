"""What a namespace gets: its baselines' policies with the variables filled in, and what it carries (contract, 1)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from webhook.model import (
    BASELINE_LABEL,
    GATE_LABEL,
    MANAGED_BY_LABEL,
    ORGANIZATION_LABEL,
    PROJECT_LABEL,
    Baseline,
    BaselinePolicy,
    Place,
    Standing,
)

State = Literal["Ready", "Pending", "Drifted", "Failed"]
Labels = Mapping[str, str | None]
"""What has to stand at each key, None for nothing."""


@dataclass(frozen=True, slots=True)
class WantedPolicy:
    """A policy as it has to stand; `repairs` says whether one that differs is replaced or only told of."""

    namespace: str
    name: str
    baseline: str
    spec: Mapping[str, Any]
    repairs: bool

    @property
    def labels(self) -> dict[str, str]:
        """The labels it carries, and no others."""
        return {MANAGED_BY_LABEL: "portcullis", BASELINE_LABEL: self.baseline}

    def manifest(self, version: str = "") -> dict[str, Any]:
        """Return the object to apply, or, with the resourceVersion `version`, to replace that one with."""
        metadata = {"name": self.name, "namespace": self.namespace, "labels": self.labels}
        if version:
            metadata["resourceVersion"] = version
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": dict(self.spec),
        }


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What a namespace gets.

    `problems` say which baselines cannot be brought; `complete` are the baselines whose policies are all here. `labels`
    are the derived ones. `revision` changes with the policies and nothing else, and is empty where none are brought.
    """

    policies: tuple[WantedPolicy, ...]
    problems: tuple[str, ...]
    complete: frozenset[str]
    labels: Labels
    revision: str


def wanted_at(place: Place, baselines: Mapping[str, Baseline]) -> Wanted:
    """
    Return what the namespace at `place` gets of the `baselines` that there are, by name.

    An exempt one gets no policy, so that all of theirs are surplus; of one that cannot be brought back none is taken.
    """
    policies: list[WantedPolicy] = []
    problems: list[str] = []
    complete: set[str] = set()
    for name in place.baselines:
        brought, problem = policies_of(name, baselines.get(name), place)
        if problem:
            problems.append(problem)
            continue
        complete.add(name)
        policies += brought
    found = () if place.exempt else tuple(policies)
    return Wanted(found, tuple(problems), frozenset(complete), derived_labels(place), _revision(found, place))


def policies_of(name: str, baseline: Baseline | None, place: Place) -> tuple[tuple[WantedPolicy, ...], str]:
    """Return the policies of the baseline `name` at a place, or why it cannot be brought there."""
    problem = _problem(name, baseline, place)
    if baseline is None or problem:
        return (), problem
    return tuple(_filled_in(baseline, each, place) for each in baseline.policies), ""


def derived_labels(place: Place) -> Labels:
    """Return the labels that follow from the tree: what `derived.rego` says, for when the tree changes."""
    owned = place.standing is Standing.OWNED
    return {
        PROJECT_LABEL: place.project if owned else None,
        ORGANIZATION_LABEL: place.organization if owned else None,
        GATE_LABEL: "enforced" if place.baselines else None,
    }


def state_of(state: State, revision: str, reason: str, since: str = "") -> str:
    """
    Return the value of the annotation, key for key as the mutating webhook writes the first one.

    `since` (RFC 3339) is when the state began, which the webhook leaves out: at the namespace's creation.
    """
    told = {"reason": reason, "revision": revision, **({"since": since} if since else {}), "state": state}
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False)


def told_in(annotation: str | None) -> Mapping[str, str]:
    """Return what the annotation says, nothing where somebody else wrote it: nothing else is made of it."""
    try:
        told = json.loads(annotation or "")
    except (ValueError, RecursionError):
        return {}
    return {key: each for key, each in told.items() if isinstance(each, str)} if isinstance(told, dict) else {}


def _problem(name: str, baseline: Baseline | None, place: Place) -> str:
    """Say why a baseline cannot be brought to a place, empty where it can."""
    if baseline is None:
        return f"there is no NetworkBaseline {name}"
    if baseline.unreadable:
        return baseline.unreadable
    unfilled = {variable for variable, value in _values(place).items() if not value}
    for policy in baseline.policies if unfilled else ():
        text = json.dumps(policy.spec)
        if missing := sorted(each for each in unfilled if f"$({each})" in text):
            return f"NetworkBaseline {name}: $({missing[0]}) of policy {policy.name} is nothing in an unowned namespace"
    return ""


def _values(place: Place) -> dict[str, str]:
    owned = place.standing is Standing.OWNED
    return {
        "namespace": place.namespace,
        "workspace": place.workspace if owned else "",
        "project": place.project,
        "organization": place.organization,
    }


def _filled_in(baseline: Baseline, policy: BaselinePolicy, place: Place) -> WantedPolicy:
    spec = _whole(_decoded(filled(policy.spec, _values(place))))
    name = f"{baseline.name}.{policy.name}"
    return WantedPolicy(place.namespace, name, baseline.name, spec, baseline.drift == "Repair")


def filled(value: Any, values: Mapping[str, str]) -> Any:
    """Return `value` with every `$(NAME)` in its strings, keys too, replaced; what was filled in is not looked at."""
    match value:
        case str():
            first, *rest = value.split("$(")
            return first + "".join(_variable(part, values) for part in rest)
        case Mapping():
            return {filled(key, values): filled(each, values) for key, each in value.items()}
        case list() | tuple():
            return [filled(each, values) for each in value]
        case _:
            return value


def _decoded(value: Any, at: str = "") -> Any:
    """Return what Go makes of the nulls at the key `at`: nothing in an object, an empty item in a list or a label."""
    match value:
        case dict() if at == "matchLabels":
            return {key: "" if each is None else each for key, each in value.items()}
        case dict():
            return {key: _decoded(each, key) for key, each in value.items() if each is not None}
        case list():
            return [{} if each is None else _decoded(each) for each in value]
        case _:
            return value


def _variable(part: str, values: Mapping[str, str]) -> str:
    name, closed, rest = part.partition(")")
    return values[name] + rest if closed and name in values else f"$({part}"


def _whole(spec: Mapping[str, Any]) -> dict[str, Any]:
    """
    Name every field of a policy's spec, empty lists included: applied, it then owns what others might add to.

    The default of policyTypes is the API server's (https://kubernetes.io/docs/concepts/services-networking/
    network-policies/): Ingress always, Egress where there are egress rules.
    """
    egress = spec.get("egress") or []
    return {
        **spec,
        "podSelector": spec.get("podSelector") or {},
        "policyTypes": spec.get("policyTypes") or (["Ingress", "Egress"] if egress else ["Ingress"]),
        "ingress": spec.get("ingress") or [],
        "egress": egress,
    }


def _revision(policies: tuple[WantedPolicy, ...], place: Place) -> str:
    if not place.baselines or place.exempt:
        return ""
    text = json.dumps([[each.name, each.spec] for each in policies], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
