"""Whether the Rego of a folder is formatted and compiles: strict, by the document's schema, without what calls out."""

import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from webhook.decision.bundle import FORBIDDEN_BUILTINS, Bundle, lay_for_check
from webhook.errors import PolicyError
from webhook.proposal.regoreport import RegoFinding
from webhook.proposal.regotool import RegoTool, Said

FORMAT = "run `opa fmt --write` on it"


async def format_findings(tool: RegoTool, folder: Path) -> list[RegoFinding]:
    """Return a finding for each file that `opa fmt` would change, at the first line that it would."""
    said = await tool.run("fmt", "--list", "portcullis", folder=folder)
    if said.status == 0 and not said.out.strip():
        return []
    found = []
    for path in sorted((folder / "portcullis").rglob("*.rego")):
        file = path.relative_to(folder).as_posix()
        done = await tool.run("fmt", file, folder=folder)
        # What cannot be parsed is told by the check.
        if done.status == 0 and (line := _first_difference(_read(path), done.out)):
            found.append(RegoFinding("format", file, line, 0, "it is not formatted as `opa fmt` does", FORMAT))
    if not found and b"rego_parse_error" not in said.err + said.out:
        raise said.unreadable()
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PolicyError(f"cannot read {path}: {error.strerror}") from error


def _first_difference(mine: bytes, theirs: bytes) -> int:
    """Return the number of the first line that differs, from 1; 0 where none does."""
    if mine == theirs:
        return 0
    pairs = zip_longest(mine.split(b"\n"), theirs.split(b"\n"))
    return next(number for number, (one, other) in enumerate(pairs, 1) if one != other)


async def check_findings(tool: RegoTool, folder: Path, bundle: Bundle) -> list[RegoFinding]:
    """Return what `opa check` says of the rules as `serve` would check them, and of their tests."""
    with TemporaryDirectory(prefix="portcullis-") as scratch:
        options = lay_for_check(tool.binary, bundle, Path(scratch))
        rules = await tool.run("check", "--format", "json", "--max-errors", "0", *options, folder=Path(scratch))
    found = _said_of(rules, bundle)
    # The tests are no part of what is served, and do not compile without it.
    whole = await tool.run("check", "--format", "json", "--max-errors", "0", "portcullis", folder=folder)
    of_tests = _said_of(whole, bundle)
    return [*found, *(each for each in of_tests if not found or each.file.endswith("_test.rego"))]


def _said_of(said: Said, bundle: Bundle) -> list[RegoFinding]:
    if said.status == 0 and not said.err and said.out.strip() in {b"", b"{}"}:
        return []
    unique = {}
    for error in errors_of(said):
        finding = _finding(error, bundle)
        unique[finding.file, finding.line, finding.column, finding.message] = finding
    return list(unique.values())


def _finding(error: Mapping[str, Any], bundle: Bundle) -> RegoFinding:
    place = error.get("location") or {}
    code, message = str(error.get("code", "")), str(error.get("message", ""))
    file = str(place.get("file", "")) or _place_of(message, bundle)
    return RegoFinding(
        "check", file, int(place.get("row", 0)), int(place.get("col", 0)), f"{code}: {message}", _remedy(message)
    )


def _place_of(message: str, bundle: Bundle) -> str:
    """Return the only file that has the variable of which OPA says no place; empty where there are more."""
    if not (named := re.match(r"var (\w+) is undeclared", message)):
        return ""
    word = re.compile(rb"\b%s\b" % named[1].encode())
    files = [name for name, content in bundle.files.items() if word.search(content)]
    return files[0] if len(files) == 1 else ""


def _remedy(message: str) -> str:
    builtin = re.search(r"undefined function ([\w.]+)", message)
    if builtin and (builtin[1] in FORBIDDEN_BUILTINS or builtin[1].startswith(("time.", "rand.", "uuid."))):
        return "decide on the document alone: what calls out, the clock and chance are closed to rules"
    if "undefined ref: input" in message:
        return "name a field that schemas/input.json has"
    return "mend it: `opa check --strict` says the same"


def errors_of(said: Said) -> list[dict[str, Any]]:
    """Return the errors that OPA printed as JSON, on whichever of its outputs; at least one."""
    for text in (said.err, said.out):
        try:
            errors = orjson.loads(text)["errors"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            continue
        if isinstance(errors, list) and errors and all(isinstance(each, dict) for each in errors):
            return errors
    raise said.unreadable()


def modules_of(folder: Path, *, tests: bool = False) -> Iterator[str]:
    """Yield the paths of the modules, or of the test files, relative to the folder, in order."""
    for path in sorted((folder / "portcullis").rglob("*.rego")):
        if path.name.endswith("_test.rego") == tests:
            yield path.relative_to(folder).as_posix()
