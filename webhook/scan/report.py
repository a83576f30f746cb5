"""
Findings as a report, in the form of OpenReports or, before it, of Kubernetes' working group on policy.

Source: https://github.com/openreports/reports-api (`openreports.io/v1alpha1`) and
https://github.com/kubernetes-sigs/wg-policy-prototypes (`wgpolicyk8s.io/v1alpha2`). Only fields that both have are
written; their severities differ, and the older one knows no `critical`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from webhook.cluster.resource import Resource
from webhook.model import DOMAIN, MANAGED_BY_LABEL
from webhook.scan.finding import Action, Finding, Thing
from webhook.scan.unruled import UNDECIDED

Object = dict[str, Any]

NAME = "portcullis"
"""What every report of ours is called; there is one a namespace."""
MOST_RESULTS = 200
"""So many results stand in a report, the worst first; the others are counted."""
MOST_RESOURCES = 20
LEFT_OUT = f"{DOMAIN}/left-out"
"""The annotation that says how many results are left out."""
RESULTS = ("pass", "fail", "warn", "error", "skip")

# Whoever may write reports may write anything there.
_COUNT = re.compile("[0-9]{1,9}")
_RESULTS: Mapping[Action, str] = {"enforce": "fail", "warn": "warn", "audit": "warn", "none": "warn"}


@dataclass(frozen=True, slots=True)
class Form:
    """The kinds of one API of reports, and the severities that it knows, by ours."""

    namespaced: Resource
    cluster: Resource
    severities: Mapping[str, str]


OPENREPORTS = Form(
    Resource("openreports.io", "v1alpha1", "reports", "Report", namespaced=True),
    Resource("openreports.io", "v1alpha1", "clusterreports", "ClusterReport"),
    {each: each for each in ("critical", "high", "medium", "low", "info")},
)
WGPOLICYK8S = Form(
    Resource("wgpolicyk8s.io", "v1alpha2", "policyreports", "PolicyReport", namespaced=True),
    Resource("wgpolicyk8s.io", "v1alpha2", "clusterpolicyreports", "ClusterPolicyReport"),
    {"critical": "high", **{each: each for each in ("high", "medium", "low")}},
)
FORMS: Mapping[str, Form] = {"openreports": OPENREPORTS, "wgpolicyk8s": WGPOLICYK8S}


@dataclass(frozen=True, slots=True)
class Content:
    """What a report says, `results` by fingerprint and in order."""

    summary: Mapping[str, int]
    results: Mapping[str, Object]
    left_out: int

    def says(self, other: "Content | None") -> bool:
        """Say whether it says the same as another one, whenever that was found."""
        return other is not None and _untimed(self) == _untimed(other)

    def dated(self, before: "Content | None", now: datetime) -> "Content":
        """Return it with the time at which each result was found: what was found `before`, then, and else now."""
        fresh = {"seconds": int(now.timestamp()), "nanos": 0}
        known = before.results if before else {}
        results = {
            fingerprint: {**each, "timestamp": known.get(fingerprint, {}).get("timestamp") or fresh}
            for fingerprint, each in self.results.items()
        }
        return replace(self, results=results)


def _untimed(content: Content) -> Content:
    # As pairs: the order counts as well.
    results = [(fingerprint, {**each, "timestamp": None}) for fingerprint, each in content.results.items()]
    return replace(content, results={"": {"all": results}})


def content_of(form: Form, findings: Sequence[Finding], clean: int) -> Content:
    """Return what a report on these findings says, the worst first; `clean` things were judged and are well."""
    counts = Counter(_result(each) for each in findings)
    kept = findings[:MOST_RESULTS]
    return Content(
        summary={each: counts[each] + (clean if each == "pass" else 0) for each in RESULTS},
        results={each.fingerprint: _told(form, each) for each in kept},
        left_out=len(findings) - len(kept),
    )


def read_content(report: Object) -> Content:
    """Return what a report that stands says; what is not of our making says nothing."""
    annotations = report["metadata"].get("annotations") or {}
    left_out = str(annotations.get(LEFT_OUT, "0"))
    results: dict[str, Object] = {}
    for each in report.get("results") or ():
        fingerprint = (each.get("properties") or {}).get("fingerprint", "")
        # A result that we did not write makes the report say something else.
        results[fingerprint or f"foreign {len(results)}"] = each
    return Content(report.get("summary") or {}, results, int(left_out) if _COUNT.fullmatch(left_out) else -1)


def manifest(resource: Resource, namespace: str, content: Content) -> Object:
    """Return the report to apply."""
    metadata: Object = {"name": NAME, "labels": {MANAGED_BY_LABEL: NAME}}
    if namespace:
        metadata["namespace"] = namespace
    if content.left_out:
        metadata["annotations"] = {LEFT_OUT: str(content.left_out)}
    report: Object = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": metadata,
        "summary": dict(content.summary),
        "results": list(content.results.values()),
    }
    if namespace:
        report["scope"] = {"apiVersion": "v1", "kind": "Namespace", "name": namespace}
    return report


def _told(form: Form, finding: Finding) -> Object:
    told: Object = {
        "source": NAME,
        "policy": finding.rule,
        "rule": finding.rule.rpartition("/")[2],
        "category": finding.rule.partition("/")[0],
        "result": _result(finding),
        "scored": finding.action == "enforce",
        "message": finding.message,
        "resources": [_reference(each) for each in _things(finding)],
        "properties": {
            "fingerprint": finding.fingerprint,
            "action": finding.action,
            "severity": finding.severity,
            "title": finding.title,
        },
    }
    if severity := form.severities.get(finding.severity):
        told["severity"] = severity
    return told


def _result(finding: Finding) -> str:
    return "error" if finding.rule == UNDECIDED else _RESULTS[finding.action]


def _things(finding: Finding) -> Iterable[Thing]:
    return (finding.policies or (finding.thing,))[:MOST_RESOURCES]


def _reference(thing: Thing) -> Object:
    reference = {"apiVersion": thing.api_version, "kind": thing.kind, "name": thing.name}
    return reference if thing.kind == "Namespace" else {**reference, "namespace": thing.namespace}
