"""What the Rego's own tests say: that they pass, that there are enough of them, and which lines they run."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from webhook.errors import PolicyError
from webhook.proposal.compiled import modules_of
from webhook.proposal.regoreport import RegoFinding
from webhook.proposal.regotool import RegoTool, Said

Results = Sequence[Mapping[str, Any]]
FAILED = frozenset({"fail", "error", "skip"})
"""What OPA says of a test that did not pass; `skip` of one that is put off by its name."""
_WAYS = ("test_allow_", "test_deny_")


async def run_tests(tool: RegoTool, folder: Path) -> Results:
    """Return what OPA says of each test, none if there is none; raises `PolicyError` if they could not be run."""
    said = await tool.run("test", "--format", "json", *ONLY_REGO, "portcullis", folder=folder)
    return results_of(said)


# Data beside the rules is no part of what is served, so no test may rest on it.
ONLY_REGO = ("--ignore", "*.json", "--ignore", "*.yaml", "--ignore", "*.yml")


def results_of(said: Said) -> Results:
    """Return what `opa test` printed; raises `PolicyError` where that is no list of tests."""
    # Without any test OPA prints nothing at all, or null.
    results = said.document() if said.out.strip() else None
    if said.status not in {0, 2} or not (results is None or isinstance(results, list)):
        raise said.unreadable()
    if said.status == 2 and not any(FAILED & each.keys() for each in results or ()):
        raise said.unreadable()
    return results or []


def test_findings(folder: Path, results: Results) -> list[RegoFinding]:
    """Return what is wrong with the tests of a folder: what fails, is put off, missing or cannot be told apart."""
    if not any("skip" not in each for each in results):
        return [_finding("portcullis", 0, "no test was run", "write tests beside the rules, in NAME_test.rego")]
    return [*_unpassed(results), *_untested(folder, results), *_one_sided(folder)]


def _unpassed(results: Results) -> Iterator[RegoFinding]:
    for each in results:
        place, name = each["location"], each["name"]
        if "skip" in each:
            what, remedy = f"{name} is put off and was not run", "take `todo_` from its name and make it pass"
        elif "error" in each:
            what, remedy = f"{name} ends in an error: {each['error'].get('message', '')}", "mend the rule or the test"
        elif "fail" in each:
            what, remedy = f"{name} fails", "mend the rule, or the test if it asks for the wrong thing"
        elif "#" in name:
            what, remedy = f"there is another {name.partition('#')[0]}", "give each test a name of its own"
        else:
            continue
        yield _finding(place["file"], place["row"], what, remedy)


def _untested(folder: Path, results: Results) -> Iterator[RegoFinding]:
    tested = {PurePosixPath(each["location"]["file"]).parent for each in results if "skip" not in each}
    for file in modules_of(folder):
        if PurePosixPath(file).parent not in tested:
            test = f"{file.removesuffix('.rego')}_test.rego"
            yield _finding(file, 0, "it has no tests in its folder", f"write them in {PurePosixPath(test).name}")


def _one_sided(folder: Path) -> Iterator[RegoFinding]:
    """Yield what the tests of a rule leave out: what it allows, what it denies, and a document with nothing in it."""
    for file in modules_of(folder, tests=True):
        if not PurePosixPath(file).match("portcullis/rules/*/*/*_test.rego"):
            continue
        text = _read(folder / file)
        tests = [*_tests(text)]
        for _, name, line in tests:
            if not name.startswith(_WAYS):
                what = f"{name} says neither that something is allowed nor that it is denied"
                yield _finding(file, line, what, "name it test_allow_… or test_deny_…")
        for way in _WAYS:
            if not any(name.startswith(way) for _, name, _ in tests):
                yield _finding(file, 0, f"there is no {way}… among its tests", "show what passes and what is refused")
        if not any("empty_document" in name and "with input as {}" in body for body, name, _ in tests):
            remedy = "write test_allow_empty_document or test_deny_empty_document, `with input as {}`"
            yield _finding(file, 0, "no test says what the rule makes of an empty document", remedy)


def _tests(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield the text, the name and the line of each test."""
    begins = [match.start() for match in re.finditer(r"^test_", text, re.MULTILINE)]
    for begin, end in pairwise([*begins, len(text)]):
        body = text[begin:end]
        yield body, body[: re.search(r"\W|$", body).start()], text.count("\n", 0, begin) + 1  # type: ignore[union-attr]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"cannot read {path}: {error}") from error


def _finding(file: str, line: int, what: str, remedy: str) -> RegoFinding:
    return RegoFinding("tests", file, line, 0, what, remedy)


async def coverage_findings(tool: RegoTool, folder: Path, *, threshold: float) -> tuple[float, list[RegoFinding]]:
    """Return how much of the Rego its tests run, in percent, and where they do not if that is less than `threshold`."""
    arguments = ("--coverage", "--coverage-runs", "", "--format", "json", *ONLY_REGO)
    said = await tool.run("test", *arguments, "portcullis", folder=folder)
    answer = said.document()
    try:
        coverage, files = float(answer["coverage"]), dict(answer["files"])
    except (KeyError, TypeError, ValueError) as error:
        raise said.unreadable() from error
    if coverage >= threshold:
        return coverage, []
    remedy = "write a test that needs these lines, or take them out"
    found = []
    for file, each in sorted(files.items()):
        for part in each.get("not_covered") or ():
            first, last = part["start"]["row"], part["end"]["row"]
            lines = f"line {first} is" if first == last else f"lines {first} to {last} are"
            found.append(RegoFinding("coverage", file, first, 0, f"{lines} run by no test", remedy))
    if not found:
        raise said.unreadable()
    return coverage, found
