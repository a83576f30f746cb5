"""
SARIF 2.1.0, as code hosts and editors read it.

Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from webhook import __version__
from webhook.cli.output import Level, Note, Rule, Spot, legal

Json = dict[str, Any]

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
FINGERPRINT = "portcullis/v1"
_SCORES: Mapping[str, str] = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0"}
"""What GitHub ranks by: https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning"""
_LEVELS: Mapping[str, Level] = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}


def sarif(notes: Sequence[Note], rules: Iterable[Rule], *, root: Path | None = None) -> str:
    """Return the log of one run: every rule that there is, and what was found; files are told relative to `root`."""
    every = sorted({each.id: each for each in rules}.values(), key=lambda each: each.id)
    index = {each.id: number for number, each in enumerate(every)}
    driver = {
        "name": "portcullis",
        "version": __version__,
        "rules": [_rule(each) for each in every],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(each, index, root) for each in notes],
    }
    return f"{json.dumps({'$schema': SCHEMA, 'version': '2.1.0', 'runs': [run]}, indent=2)}\n"


def _rule(rule: Rule) -> Json:
    properties: Json = {"tags": ["security", rule.id.partition("/")[0]]}
    if rule.severity in _SCORES:
        properties |= {"severity": rule.severity, "security-severity": _SCORES[rule.severity]}
    told: Json = {
        "id": rule.id,
        "name": rule.id,
        "shortDescription": {"text": legal(rule.title or rule.id)},
        "fullDescription": {"text": legal(rule.description or rule.title or rule.id)},
        "defaultConfiguration": {"level": _LEVELS.get(rule.severity, "warning")},
        "properties": properties,
    }
    if rule.remediation:
        told["help"] = {"text": legal(rule.remediation)}
    if rule.address:
        told["helpUri"] = rule.address
    return told


def _result(note: Note, index: Mapping[str, int], root: Path | None) -> Json:
    told: Json = {
        "ruleId": note.rule,
        "level": note.level,
        "message": {"text": legal(note.message)},
        "locations": [_location(note, root)],
    }
    if note.rule in index:
        told["ruleIndex"] = index[note.rule]
    if note.fingerprint:
        told["partialFingerprints"] = {FINGERPRINT: note.fingerprint}
    return told


def _location(note: Note, root: Path | None) -> Json:
    """Return where it is: one place, of which a file is a part where there is one."""
    location: Json = {"logicalLocations": [_logical(each) for each in note.things]}
    if note.spot:
        location["physicalLocation"] = _physical(note.spot, root)
    return location


def _logical(path: str) -> Json:
    return {"name": path.rpartition("/")[2], "fullyQualifiedName": path, "kind": "resource"}


def _physical(spot: Spot, root: Path | None) -> Json:
    physical: Json = {"artifactLocation": {"uri": _uri(spot.file, root)}}
    if spot.line:
        physical["region"] = {"startLine": spot.line, **({"startColumn": spot.column} if spot.column else {})}
    return physical


def _uri(file: Path, root: Path | None) -> str:
    """Return a file's place relative to `root`, where it is in there."""
    whole = file.absolute()
    within = whole.relative_to(root.absolute()) if root and whole.is_relative_to(root.absolute()) else None
    return quote(within.as_posix()) if within else whole.as_uri()
