"""What rules have in common: what each says of itself, and where it lies, which is how it is found."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from webhook.decision.bundle import Bundle, rule_of
from webhook.decision.catalogue import read_catalogue
from webhook.errors import PolicyError
from webhook.model import Policies
from webhook.proposal.compiled import modules_of
from webhook.proposal.regoreport import RegoFinding
from webhook.proposal.regotool import RegoTool, Said

SEVERITIES = frozenset({"critical", "high", "medium", "low"})
_TOLD = re.compile(r"(portcullis/\S+\.rego):(\d+): (rego_\w+: .*)")
_DESCRIBE = "write it into the METADATA above `package`; docs/ and `portcullis rules` show an example"


async def metadata_findings(tool: RegoTool, folder: Path, bundle: Bundle) -> list[RegoFinding]:
    """Return what is missing in what the modules and rules say of themselves."""
    said = await tool.run("inspect", "--annotations", "--format", "json", "portcullis", folder=folder)
    if said.status:
        return [*_contradictions(said)]
    described: dict[str, Mapping[str, Any]] = {}
    for each in said.document().get("annotations") or ():
        if each["annotations"]["scope"] == "package":
            described[each["location"]["file"]] = each["annotations"]
    found = []
    for file in modules_of(folder):
        missing = [*_missing(described.get(file, {}), rule=rule_of(file) is not None)]
        found += [_of_metadata(file, _package_line(bundle, file), each) for each in missing]
    return [*found, *_unreadable(bundle)]


def _contradictions(said: Said) -> Iterator[RegoFinding]:
    """Yield what keeps OPA from reading any METADATA, as it tells it."""
    told = _TOLD.findall(said.err.decode(errors="replace"))
    if not told:
        raise said.unreadable()
    for file, line, what in told:
        yield _of_metadata(file, int(line), what)


def _missing(said: Mapping[str, Any], *, rule: bool) -> Iterator[str]:
    """Yield what a module has to say of itself and does not; a rule more than others."""
    for word in ("title", "description"):
        if not str(said.get(word) or "").strip():
            yield f"its METADATA has no {word}"
    if not rule:
        return
    custom = said.get("custom") or {}
    if custom.get("severity") not in SEVERITIES:
        yield f"its METADATA has no custom.severity that is one of {', '.join(sorted(SEVERITIES))}"
    if not str(custom.get("remediation") or "").strip():
        yield "its METADATA has no custom.remediation: what to do about a violation"
    resources = said.get("related_resources") or []
    if not resources or any(not each["ref"].startswith("https://") for each in resources):
        yield "its METADATA has no related_resources, or one that is no https:// address"


def _unreadable(bundle: Bundle) -> Iterator[RegoFinding]:
    """Yield the rules whose METADATA the catalogue cannot read, as `portcullis rules` would."""
    for rule in sorted(bundle.policies.rules):
        files = {name: content for name, content in bundle.files.items() if rule_of(name) == rule}
        try:
            read_catalogue(Bundle(files, Policies(bundle.policies.revision, frozenset({rule}))))
        except PolicyError as error:
            file = next(iter(files))
            yield _of_metadata(file, _package_line(bundle, file), str(error))


def _package_line(bundle: Bundle, file: str) -> int:
    before = re.search(rb"^package\s", bundle.files[file], re.MULTILINE)
    return bundle.files[file].count(b"\n", 0, before.start()) + 1 if before else 0


def layout_findings(folder: Path, bundle: Bundle) -> list[RegoFinding]:
    """Return what does not lie where it is looked for, and what the manifest of the bundle says otherwise."""
    found = [*_manifest(folder), *_outside(folder)]
    for place in sorted({PurePosixPath(file).parent for file in bundle.files if rule_of(file)}):
        expected = {f"{place.name}.rego", f"{place.name}_test.rego"}
        there = {path.name for path in (folder / place).iterdir()}
        remedy = f"a rule is {place.name}.rego and {place.name}_test.rego in a folder of its own, and no more"
        for name in sorted(expected ^ there):
            what = f"{name} is missing" if name in expected else f"{name} is no part of a rule"
            found.append(_of_layout((place / name).as_posix(), what, remedy))
    for file, content in bundle.files.items():
        expected_name = ".".join(PurePosixPath(file).parent.parts)
        if not re.search(rb"^package %s\s*(#.*)?$" % re.escape(expected_name.encode()), content, re.MULTILINE):
            remedy = f"write `package {expected_name}`: what is not found by its folder is not run"
            what = "its package is not the path of its folder"
            found.append(RegoFinding("layout", file, _package_line(bundle, file), 0, what, remedy))
    return found


def _outside(folder: Path) -> Iterator[RegoFinding]:
    for path in sorted(folder.rglob("*.rego")):
        file = path.relative_to(folder)
        if file.parts[0] != "portcullis":
            yield _of_layout(file.as_posix(), "it is outside portcullis/ and is not served", "move it")
        elif file.parts[1] == "rules" and len(file.parts) != 5:
            remedy = "a rule lies in portcullis/rules/CATEGORY/RULE/"
            yield _of_layout(file.as_posix(), "it lies where no rule is found", remedy)


def _manifest(folder: Path) -> Iterator[RegoFinding]:
    remedy = 'write {"roots": ["portcullis"], "rego_version": 1}'
    try:
        said = orjson.loads((folder / ".manifest").read_bytes())
    except FileNotFoundError:
        yield _of_layout(".manifest", "it is missing, so OPA would take foreign packages", remedy)
        return
    except (OSError, orjson.JSONDecodeError) as error:
        yield _of_layout(".manifest", f"it cannot be read: {error}", remedy)
        return
    if not isinstance(said, dict) or said.get("roots") != ["portcullis"] or said.get("rego_version") != 1:
        yield _of_layout(".manifest", "its roots are not portcullis alone, or its rego_version not 1", remedy)


def _of_metadata(file: str, line: int, what: str) -> RegoFinding:
    return RegoFinding("metadata", file, line, 0, what, _DESCRIBE)


def _of_layout(file: str, what: str, remedy: str) -> RegoFinding:
    return RegoFinding("layout", file, 0, 0, what, remedy)
