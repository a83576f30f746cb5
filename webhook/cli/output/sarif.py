"""
SARIF 2.1.0, as code hosts and editors read it.

Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from webhook import __version__
from webhook.cli.output import Level, Note, Rule, Spot, legal, relative
from webhook.cli.output.markdown import escaped

Json = dict[str, Any]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT = "portcullis/v1"
ROOT = "%SRCROOT%"
"""Where relative files are from; code hosts know it as the root of the repository."""
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
    run: Json = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(each, index, root) for each in notes],
    }
    if root:
        # Without a URI: where the files were checked out is nobody's business, and a code host knows where it has them.
        run["originalUriBaseIds"] = {ROOT: {"description": {"text": "The folder that the command ran in."}}}
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
        told["help"] = {"text": legal(rule.remediation), "markdown": _help(rule)}
    if rule.address:
        told["helpUri"] = rule.address
    return told


def _help(rule: Rule) -> str:
    """Return what to do, why, and where to read on, as Markdown that holds nothing but text."""
    parts = [f"**{escaped(rule.title)}**" if rule.title else "", escaped(rule.remediation), escaped(rule.description)]
    more = f"[Read on]({quote(rule.address, safe=':/?#[]@!$&*+,;=%~-._')})" if rule.address else ""
    return "\n\n".join(filter(None, (*parts, more)))


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
    physical: Json = {"artifactLocation": _artifact(spot.file, root)}
    if spot.line:
        physical["region"] = {"startLine": spot.line, **({"startColumn": spot.column} if spot.column else {})}
    return physical


def _artifact(file: Path, root: Path | None) -> Json:
    """Return where a file is, from `root` where it is in there."""
    within = relative(file, root)
    if within is None:
        return {"uri": Path(file.absolute()).as_uri()}
    return {"uri": quote(os.fsencode(within.as_posix())), "uriBaseId": ROOT}
