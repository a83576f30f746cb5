"""Where in a file it stands what a finding speaks of: the field that its message names, else the object's name."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from webhook.check.finding import CheckedFinding, Spot
from webhook.tenancy.manifests import Manifest, Reading

Steps = tuple[str | int, ...]

_FIELD = re.compile(r"(?<![\w./-])(?:specs?|metadata)(?:\[\d+\]|\.[A-Za-z][A-Za-z0-9]*)+")
_STEP = re.compile(r"\[(\d+)\]|([A-Za-z][A-Za-z0-9]*)")
_LABELLED = re.compile(r"\b(label|annotation) ([A-Za-z0-9][\w./-]*)")
_NAME: Steps = ("metadata", "name")
_UNKNOWN = "no such namespace is known"
_USUAL: Mapping[str, Steps] = {
    "guardrail/from-anywhere": ("spec", "ingress"),
    "guardrail/to-anywhere": ("spec", "egress"),
    "guardrail/protected-cidr": ("spec", "egress"),
    "guardrail/cross-project": ("spec",),
    "guardrail/all-namespaces": ("spec",),
    "guardrail/host-network": ("spec", "hostNetwork"),
}
"""What a rule is about where its message names no field."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A finding, at the beginning of its object so far; `path` is the field at fault where that is known."""

    finding: CheckedFinding
    path: Steps = ()


def paths_of(fault: Fault) -> Iterator[Steps]:
    """Yield the fields that a finding may be about, the most telling first."""
    if fault.path:
        yield fault.path
    finding = fault.finding
    for named in _FIELD.findall(finding.message):
        yield tuple(int(number) if number else name for number, name in _STEP.findall(named))
    for kind, key in _LABELLED.findall(finding.message):
        yield ("metadata", f"{kind}s", key.rstrip(".:"))
    if _UNKNOWN in finding.message:
        yield ("metadata", "namespace")
    yield _USUAL.get(finding.rule, _NAME)
    yield _NAME


def placed(faults: Iterable[Fault], read: Callable[[Path], Reading]) -> Iterator[CheckedFinding]:
    """
    Yield the findings by file and object, at the lines that they speak of; `read` reads a file.

    A file at a time is read once more, so that of those in which nothing is found no line has to be remembered.
    """
    ordered = sorted(faults, key=lambda each: (str(each.finding.file), each.finding.spot.index))
    for file, every in groupby(ordered, key=lambda each: each.finding.file):
        manifests = read(file).manifests
        for fault in every:
            index = fault.finding.spot.index
            yield _placed(fault, manifests[index] if index < len(manifests) else None)


def _placed(fault: Fault, manifest: Manifest | None) -> CheckedFinding:
    spot = fault.finding.spot
    # Somebody may have written to the file meanwhile.
    if manifest is None or manifest.line != spot.line:
        return fault.finding
    line, column = _place(manifest, fault)
    return replace(fault.finding, spot=Spot(spot.file, spot.index, line, column))


def _place(manifest: Manifest, fault: Fault) -> tuple[int, int]:
    for path in paths_of(fault):
        # A field that was left out is told where what it belongs to stands; what is none of the object's is not.
        for end in range(len(path), 0, -1):
            if (found := manifest.positions.get(path[:end])) and (end > 1 or path[:1] == ("spec",)):
                return found
    return manifest.place
