"""The gate for the Rego: what is wrong is found at its file and line, and nothing else is."""

import asyncio
from pathlib import Path

import pytest

from tests.proposal.small import RULE, TESTS, change, write_small
from webhook.errors import PolicyError
from webhook.proposal.rego import RegoReport, judge_rego, judge_text
from webhook.proposal.regotool import RegoTool

OTHER = "portcullis/rules/demo/other/other.rego"
CONDITION = "\tnot known\n"


def ignore(line: str) -> None:
    """Hear nothing."""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_small(tmp_path / "policies")


def text_of(folder: Path, opa: Path) -> RegoReport:
    return asyncio.run(judge_text(folder, opa, told=ignore))


def places(report: RegoReport) -> list[tuple[str, str, int]]:
    """Return the check, the file and the line of each finding."""
    return [(each.check, each.file, each.line) for each in report.findings]


def test_a_clean_folder_passes(small: Path, opa_binary: Path) -> None:
    """Every check passes, all lines run and every mutant is killed; each check is told as it ends."""
    heard: list[str] = []
    report = asyncio.run(judge_rego(small, opa_binary, told=heard.append))
    assert (report.findings, report.passed, report.coverage) == ((), True, 100)
    assert report.mutants == report.killed > 5
    names = ["format", "check", "metadata", "layout", "tests", "coverage", "mutation"]
    assert [check.name for check in report.checks] == names
    assert [line.partition(":")[0] for line in heard] == names


# What is written in which file instead of what, the check that finds it, where, and what it says.
DEFECTS: dict[str, tuple[str, str, str, tuple[str, str, int], str]] = {
    "badly formatted": (RULE, CONDITION, "\tnot  known\n", ("format", RULE, 13), "not formatted"),
    "a misspelt field": (RULE, "input.user.name in", "input.user.nmae in", ("check", RULE, 17), "input.user.nmae"),
    "http.send": (
        RULE,
        CONDITION,
        '\thttp.send({"method": "GET", "url": input.user.name})\n\tnot known\n',
        ("check", RULE, 13),
        "undefined function http.send",
    ),
    "the clock": (RULE, CONDITION, "\ttime.now_ns() > 0\n\tnot known\n", ("check", RULE, 13), "time.now_ns"),
    "a test that tells a mutant": (
        TESTS,
        "test_allow_known if small.deny == set()",
        "test_deny_any_mutant if not data.mutant.id\n\ntest_allow_known if small.deny == set()",
        ("layout", TESTS, 9),
        "it looks at data.mutant.id",
    ),
    "all data": (
        RULE,
        CONDITION,
        "\tnot data[input.user.name].id\n\tnot known\n",
        ("layout", RULE, 13),
        "it looks at data,",
    ),
    "a test file that adds to a rule": (
        TESTS.replace("small_test", "more_test"),
        "",
        'package portcullis.rules.demo.small\n\nother if input.user.name == "zed"\n',
        ("layout", TESTS.replace("small_test", "more_test"), 0),
        "it adds to package portcullis.rules.demo.small",
    ),
    "a test that calls out": (
        TESTS,
        'by("DELETE", "zed")',
        'http.send({"method": "GET", "url": "http://localhost"})',
        ("check", TESTS, 11),
        "undefined function http.send",
    ),
    "an unused variable": (
        RULE,
        CONDITION,
        "\tunused := input.user.name\n\tnot known\n",
        ("check", RULE, 13),
        "assigned var unused unused",
    ),
    "no Rego": (RULE, CONDITION, "\tnot not\n", ("check", RULE, 13), "rego_parse_error"),
    "a test that does not compile": (TESTS, 'by("DELETE"', 'bye("DELETE"', ("check", TESTS, 11), "bye"),
    "a failing test": (TESTS, '"DELETE", "zed"', '"CREATE", "zed"', ("tests", TESTS, 11), "test_allow_delete fails"),
    "a test that is put off": (TESTS, "test_allow_delete", "todo_test_allow_delete", ("tests", TESTS, 11), "put off"),
    "two tests of one name": (TESTS, "test_allow_known", "test_allow_delete", ("tests", TESTS, 11), "another"),
    "a test that says neither": (TESTS, "test_allow_known", "test_known", ("tests", TESTS, 9), "test_known says"),
    "no test of an empty document": (TESTS, "test_allow_empty_document", "test_allow_x", ("tests", TESTS, 0), "empty"),
    "no test of a denial": (TESTS, "test_deny_unknown", "test_allow_unknown", ("tests", TESTS, 0), "no test_deny_"),
    "an uncovered line": (
        RULE,
        "\nknown if",
        '\nknown if {\n\tinput.user.name == "root"\n\tinput.tree\n}\n\nknown if',
        ("coverage", RULE, 19),
        "run by no test",
    ),
    "no METADATA": (RULE, "# METADATA\n", "# Metadata\n", ("metadata", RULE, 9), "no title"),
    "no remediation": (RULE, "#   remediation: Ask somebody known.\n", "", ("metadata", RULE, 8), "remediation"),
    "no severity": (RULE, "#   severity: high\n", "", ("metadata", RULE, 8), "severity"),
    "a wrong softening": (
        RULE,
        "severity: high",
        "severity: high\n#   softened: often",
        ("metadata", RULE, 10),
        "softened",
    ),
    "another package": (RULE, "rules.demo.small\n", "rules.demo.smal\n", ("layout", RULE, 9), "not the path"),
    "a file of another name": (
        "portcullis/rules/demo/small/more.rego",
        "",
        "# METADATA\n# title: a\n# description: b\npackage portcullis.rules.demo.small\n",
        ("layout", "portcullis/rules/demo/small/more.rego", 0),
        "no part of a rule",
    ),
    "a rule without tests": (
        OTHER,
        "",
        "package portcullis.rules.demo.other\n\ndeny contains 1 if false\n",
        ("tests", OTHER, 0),
        "no tests in its folder",
    ),
    "a rule where none is found": (
        "portcullis/rules/demo/loose.rego",
        "",
        "package portcullis.rules.demo\n",
        ("layout", "portcullis/rules/demo/loose.rego", 0),
        "no rule is found",
    ),
    "Rego that is not served": ("a/b.rego", "", "package a\n", ("layout", "a/b.rego", 0), "not served"),
    "foreign roots": (".manifest", '["portcullis"]', '["portcullis", "x"]', ("layout", ".manifest", 0), "roots"),
    "no manifest that can be read": (".manifest", "", "{", ("layout", ".manifest", 0), "cannot be read"),
}


@pytest.mark.parametrize(("file", "was", "now", "place", "says"), DEFECTS.values(), ids=DEFECTS.keys())
def test_a_defect_is_found_where_it_is(
    file: str, was: str, now: str, place: tuple[str, str, int], says: str, small: Path, opa_binary: Path
) -> None:
    """The check that is for it tells its file and line, and the folder does not pass."""
    change(small, file, was, now)
    report = text_of(small, opa_binary)
    assert place in places(report)
    assert any(says in each.message for each in report.findings if (each.check, each.file, each.line) == place)
    assert not report.passed
    assert all(each.remedy for each in report.findings)


def test_no_check_hides_another(small: Path, opa_binary: Path) -> None:
    """What keeps tests from running keeps nothing else from being told; what rests on them says so, and fails."""
    change(small, RULE, "input.user.name in", "input.user.nmae  in")
    change(small, RULE, "# title: Small\n", "")
    change(small, TESTS, 'by("DELETE"', 'bye("DELETE"')
    report = asyncio.run(judge_rego(small, opa_binary, told=ignore))
    assert [check.name for check in report.checks if check.passed] == ["layout"]
    assert {("format", RULE), ("check", RULE), ("metadata", RULE)} < {
        (each.check, each.file) for each in report.findings
    }
    assert (report.mutants, report.coverage) == (0, 0)


def test_no_test_at_all_fails(small: Path, opa_binary: Path) -> None:
    """A folder whose tests are gone is not one whose tests pass."""
    (small / TESTS).write_text("package portcullis.rules.demo.small_test\n")
    report = asyncio.run(judge_rego(small, opa_binary, told=ignore))
    assert ("tests", "portcullis", 0) in places(report)
    assert not any(check.passed for check in report.checks if check.name in {"tests", "coverage", "mutation"})


def test_less_coverage_is_enough_where_less_is_asked(small: Path, opa_binary: Path) -> None:
    """The threshold is what is asked; 100 % unless something else is."""
    change(small, RULE, "\nknown if", '\nknown if {\n\tinput.user.name == "root"\n\tinput.tree\n}\n\nknown if')
    report = asyncio.run(judge_text(small, opa_binary, told=ignore, threshold=50))
    assert report.passed
    assert 50 < report.coverage < 100


def test_a_folder_without_rules_is_an_error(tmp_path: Path, opa_binary: Path) -> None:
    """Nothing to judge is not nothing wrong."""
    with pytest.raises(PolicyError, match="there is no rule in"):
        text_of(tmp_path, opa_binary)


BROKEN = {
    "crashes": "echo 'panic: runtime error' >&2; exit 2",
    "is killed": "kill -9 $$",
    "says nothing and fails": "exit 1",
    "says what cannot be read": "echo '{\"so'; exit 0",
    "fails without saying why": "echo '[]'; exit 2",
}
TOOLS = ["fmt", "check", "inspect", "test"]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("ending", BROKEN.values(), ids=BROKEN.keys())
def test_an_opa_that_cannot_be_believed_is_an_error(
    ending: str, tool: str, small: Path, opa_binary: Path, tmp_path: Path
) -> None:
    """Whatever OPA does but answer, nothing passes."""
    fake = tmp_path / "opa"
    fake.write_text(f'#!/bin/sh\nif [ "$1" = {tool} ]; then {ending}; fi\nexec {opa_binary} "$@"\n')
    fake.chmod(0o755)
    if tool == "fmt" and "so" in ending:
        change(small, RULE, CONDITION, "\tnot  known\n")
    assert refused(small, fake)


def refused(folder: Path, opa: Path) -> bool:
    """Say whether the gate does not pass a folder, by what it finds or because it cannot tell."""
    try:
        return not text_of(folder, opa).passed
    except PolicyError:
        return True


def test_an_opa_that_is_not_there_or_never_ends_is_an_error(small: Path, tmp_path: Path) -> None:
    """A run has its time, and what does not end within it is ended."""
    with pytest.raises(PolicyError, match="did not run"):
        text_of(small, tmp_path / "no-opa")
    slow = tmp_path / "opa"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    with pytest.raises(PolicyError, match=r"did not end within 0\.2 s"):
        asyncio.run(RegoTool(slow, seconds=0.2).run("test", folder=small))
