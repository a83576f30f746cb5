"""
What Rego may refer to, so that its tests judge what is served and nothing else.

A test file in the package of a module would give it rules that nobody serves, and whatever looks at data beside the
policies may tell a run of the gate from a decision: the mutants are numbered there.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from webhook.proposal.compiled import modules_of
from webhook.proposal.regoreport import RegoFinding
from webhook.proposal.regotool import RegoTool
from webhook.proposal.source import nodes, uses

SERVED = (("portcullis",), ("system", "bundles"))
"""The data that there is where OPA decides: the policies, and what it knows of their bundle."""

Packages = Mapping[str, tuple[str, ...]]


async def isolation_findings(tool: RegoTool, folder: Path) -> list[RegoFinding]:
    """Return what looks at data that is not served, and tests in the packages of others; all of it has to parse."""
    modules, tests = list(modules_of(folder)), list(modules_of(folder, tests=True))
    trees = {file: await _tree(tool, folder, file) for file in (*modules, *tests)}
    packages = {file: _package(tree) for file, tree in trees.items()}
    strays = [_stray(file, *each) for file, tree in trees.items() for each in _strays(tree)]
    return [*strays, *_intruders({each: packages[each] for each in modules}, {each: packages[each] for each in tests})]


async def _tree(tool: RegoTool, folder: Path, file: str) -> Mapping[str, Any]:
    said = await tool.run("parse", "--format", "json", "--json-include", "locations,-comments", file, folder=folder)
    tree = said.document() if said.status == 0 else None
    if not isinstance(tree, dict):
        raise said.unreadable()
    return tree


def _package(tree: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(each["value"]) for each in tree["package"]["path"][1:])


def _strays(tree: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield the line and the path of each reference to data that is not served."""
    for node in nodes(tree):
        for path in uses(node):
            if not any(path[: len(each)] == each for each in SERVED):
                yield node["location"]["row"], ".".join(("data", *path))


def _stray(file: str, line: int, path: str) -> RegoFinding:
    what = f"it looks at {path}, which is not served"
    return RegoFinding("layout", file, line, 0, what, "decide on the document, and name what is in data.portcullis")


def _intruders(modules: Packages, tests: Packages) -> Iterator[RegoFinding]:
    for file, package in tests.items():
        if any(_within(package, each) for each in modules.values()):
            what = f"it adds to package {'.'.join(package)}, which is served without it"
            yield RegoFinding("layout", file, 0, 0, what, "give the tests a package of their own, NAME_test")


def _within(one: Sequence[str], other: Sequence[str]) -> bool:
    return all(mine == theirs for mine, theirs in zip(one, other, strict=False))
