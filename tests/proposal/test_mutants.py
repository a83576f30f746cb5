"""Mutants of the Rego: which are made, which of them the tests kill, and which a written reason excuses."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.proposal.small import RULE, TESTS, change, write_small
from webhook.errors import PolicyError
from webhook.proposal.changed import touched
from webhook.proposal.equivalents import new_reasons
from webhook.proposal.killing import kill
from webhook.proposal.mutants import Mutant, mutants_of
from webhook.proposal.rego import RegoReport, judge_rego
from webhook.proposal.regotool import RegoTool
from webhook.proposal.source import Module, read_module

MODULE = """package portcullis.kinds.all

import data.portcullis.kinds.other

default open := false

open if {
	input.a == 1 # a comment; with { braces }
	not input.b
	some name in ["x", "y"]
	every each in input.list { each > 2 }
	found := {n | some n in input.names; n != name}
	found == {"é"}
}

size := "small" if input.size < 3 else := "middle" if {
	input.size <= 5
} else := other.name

names contains name if some name in input.names

fixed := {"on": true, "list": [1]}

answers(1, _)

answers(x, y) if y >= x

tagged[name] contains 1 if some name in input.names
"""
NOT_COMPILED = "11:29 condition dropped: each > 2 -> true"
MADE = [
    "5:17 constant swapped: false -> true",
    "8:2 condition dropped: input.a == 1 -> true",
    "8:2 condition negated: input.a == 1 -> not input.a == 1",
    (
        '8:2 body made true: input.a == 1 # a comment; with { braces } not input.b some name in ["x", "y"] every each '
        'in input.list { each > 2 } found := {n | some n in input.names; n != name} found == {"é"} -> true'
    ),
    "8:10 comparison flipped: == -> !=",
    "9:2 condition dropped: not input.b -> true",
    "9:2 condition negated: not input.b -> input.b",
    '10:15 collection emptied: ["x", "y"] -> []',
    "11:2 condition dropped: every each in input.list { each > 2 } -> true",
    (
        "11:2 condition negated: every each in input.list { each > 2 } -> "
        "count([1 | every each in input.list { each > 2 }]) == 0"
    ),
    # OPA refuses the Rego with it: nothing asks for `each` then.
    NOT_COMPILED,
    "11:29 condition negated: each > 2 -> not each > 2",
    "11:34 comparison flipped: > -> >=",
    "11:34 comparison flipped: > -> <=",
    "12:11 collection emptied: {n | some n in input.names; n != name} -> set()",
    "12:39 condition dropped: n != name -> true",
    "12:39 condition negated: n != name -> not n != name",
    "12:41 comparison flipped: != -> ==",
    '13:2 condition dropped: found == {"é"} -> true',
    '13:2 condition negated: found == {"é"} -> not found == {"é"}',
    "13:8 comparison flipped: == -> !=",
    '13:11 collection emptied: {"é"} -> set()',
    "16:20 condition dropped: input.size < 3 -> true",
    "16:20 condition negated: input.size < 3 -> not input.size < 3",
    "16:31 comparison flipped: < -> <=",
    "16:31 comparison flipped: < -> >=",
    '16:35 else dropped: else := "middle" if { input.size <= 5 } -> ',
    "17:2 condition dropped: input.size <= 5 -> true",
    "17:2 condition negated: input.size <= 5 -> not input.size <= 5",
    "17:13 comparison flipped: <= -> <",
    "17:13 comparison flipped: <= -> >",
    "18:3 else dropped: else := other.name -> ",
    '22:10 collection emptied: {"on": true, "list": [1]} -> {}',
    "22:17 constant swapped: true -> false",
    "22:31 collection emptied: [1] -> []",
    "26:18 condition dropped: y >= x -> true",
    "26:18 condition negated: y >= x -> not y >= x",
    "26:20 comparison flipped: >= -> >",
    "26:20 comparison flipped: >= -> <",
]
OTHER = 'package portcullis.kinds.other\n\nname := "large"\n'
FULL = """package portcullis.kinds.all_test

import data.portcullis.kinds.all

good := {"a": 1, "list": [3], "names": ["é", "x"]}

test_open if {
	all.open with input as good
	all.open with input as object.union(good, {"names": ["é"]})
	not all.open with input as {}
}

test_shut[name] if {
	some name, wrong in {
		"a": {"a": 2}, "b": {"b": true}, "list": {"list": [2]}, "either": {"list": [3, 1]}, "names": {"names": []},
	}
	not all.open with input as object.union(good, wrong)
}

test_size if {
	found := [size | some n in [2, 3, 5, 6]; size := all.size with input as {"size": n}]
	found == ["small", "middle", "middle", "large"]
}

test_names if all.names == {"a"} with input as {"names": ["a"]}

test_fixed if all.fixed == {"on": true, "list": [1]}

test_answers if {
	all.answers(1, 0)
	all.answers(2, 2)
	all.answers(2, 3)
	not all.answers(2, 1)
}
"""


def policies(folder: Path, tests: str) -> Path:
    """Write the module that has all there is to change, and tests of it."""
    for name, text in {"all/all": MODULE, "other/other": OTHER, "all/all_test": tests}.items():
        change(folder, f"portcullis/kinds/{name}.rego", "", text)
    return folder


async def modules_in(tool: RegoTool, folder: Path, files: Iterable[str]) -> list[Module]:
    return [await read_module(tool, folder, file) for file in files]


FILES = ["portcullis/kinds/all/all.rego", "portcullis/kinds/other/other.rego"]


def told(mutant: Mutant) -> str:
    line, column = mutant.module.place(mutant.span)
    return f"{line}:{column} {mutant.kind}: {mutant.was} -> {mutant.now}"


def killed(folder: Path, opa: Path) -> tuple[list[str], list[str]]:
    """Return the mutants that the tests kill, and those that survive."""

    async def main() -> tuple[list[str], list[str]]:
        tool = RegoTool(opa)
        killing = await kill(tool, folder, await modules_in(tool, folder, FILES), FILES)
        return [told(each) for each in killing.killed], [told(each) for each in killing.survivors]

    return asyncio.run(main())


def test_a_mutant_is_made_of_everything_that_decides(tmp_path: Path, opa_binary: Path) -> None:
    """Each of them once, in the order of the text; what nothing compiles without is left alone."""
    folder = policies(tmp_path, FULL)
    modules = asyncio.run(modules_in(RegoTool(opa_binary), folder, FILES))
    assert [told(each) for module in modules for each in mutants_of(module)] == MADE


# By what is taken from the tests, what they do not notice any more.
WEAKER = {
    "nothing": ("", "", []),
    "a case": ('"b": {"b": true}, ', "", ["9:2 condition dropped: not input.b -> true"]),
    "a boundary": ("\tall.answers(2, 2)\n", "", ["26:20 comparison flipped: >= -> >"]),
    "a value of the default": ("\tnot all.open with input as {}\n", "", []),
    "the last branch": (
        '[2, 3, 5, 6]; size := all.size with input as {"size": n}]\n\tfound == ["small", "middle", "middle", "large"]',
        '[2, 3, 5]; size := all.size with input as {"size": n}]\n\tfound == ["small", "middle", "middle"]',
        ["17:2 condition dropped: input.size <= 5 -> true", "18:3 else dropped: else := other.name -> "],
    ),
    "a constant": (
        'test_fixed if all.fixed == {"on": true, "list": [1]}',
        "test_fixed if all.fixed.list == [1]",
        ["22:17 constant swapped: true -> false"],
    ),
}


@pytest.mark.parametrize(("was", "now", "survivors"), WEAKER.values(), ids=WEAKER.keys())
def test_what_no_test_notices_survives(
    was: str, now: str, survivors: list[str], tmp_path: Path, opa_binary: Path
) -> None:
    """With all tests every mutant is killed; with a weaker test exactly what only that one noticed survives."""
    folder = policies(tmp_path, FULL)
    if was:
        change(folder, "portcullis/kinds/all/all_test.rego", was, now)
    dead, living = killed(folder, opa_binary)
    assert living == survivors
    assert sorted([*dead, *living, NOT_COMPILED]) == sorted(MADE)


TWO = """
who := "a" if input.x == 1

who := "b" if input.x == 2
"""


def test_an_error_kills_its_mutant_and_no_other(tmp_path: Path, opa_binary: Path) -> None:
    """Two values for one rule end all that OPA was asked with it; what was asked beside it is asked again."""
    tests = FULL.replace("\tall.answers(2, 2)\n", "")
    folder = policies(tmp_path, tests + '\ntest_who if data.portcullis.kinds.other.who == "a" with input as {"x": 1}\n')
    change(folder, FILES[1], "", OTHER + TWO)
    dead, living = killed(folder, opa_binary)
    assert "7:15 condition dropped: input.x == 2 -> true" in dead
    assert "26:20 comparison flipped: >= -> >" in living
    assert sorted(set(MADE) - {NOT_COMPILED}) == sorted(set(MADE) & {*dead, *living})


def judged(folder: Path, opa: Path) -> RegoReport:
    return asyncio.run(judge_rego(folder, opa, told=lambda _: None))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A clean folder whose tests lack one that bo is known, too, and with it nothing that a mutant would need."""
    return write_small(tmp_path / "policies")


LAX = ("\tnot known\n", '\tnot known\n\tinput.user.name != "root"\n')
ENTRY = """equivalents:
  - file: portcullis/rules/demo/small/small.rego
    rule: deny
    was: input.user.name != "root"
    now: "true"
    reason: root is never asked about in these tests, say.
"""


def test_a_survivor_fails_the_gate_at_its_line(small: Path, opa_binary: Path) -> None:
    """It is told with what was changed and what to do, and counted."""
    change(small, RULE, *LAX)
    report = judged(small, opa_binary)
    assert [check.name for check in report.checks if not check.passed] == ["mutation"]
    [survivor] = report.survivors
    assert (survivor.file, survivor.line, survivor.column, survivor.rule) == (RULE, 14, 2, "deny")
    assert (survivor.kind, survivor.was, survivor.now) == ("condition dropped", 'input.user.name != "root"', "true")
    [finding] = report.findings
    assert (finding.check, finding.file, finding.line, finding.column) == ("mutation", RULE, 14, 2)
    assert report.mutants == report.killed + 1


def test_a_reason_excuses_a_survivor(small: Path, opa_binary: Path) -> None:
    """One that is listed with its reason counts neither way."""
    change(small, RULE, *LAX)
    change(small, "equivalent.yaml", "", ENTRY)
    report = judged(small, opa_binary)
    assert (report.findings, report.survivors, report.equivalents) == ((), (), 1)
    assert report.mutants == report.killed


def test_a_new_reason_is_told(small: Path, tmp_path: Path, opa_binary: Path) -> None:
    """Who reviews a change reads what it excuses; what the base excuses already is not told again."""
    base = write_small(tmp_path / "base")
    change(small, RULE, *LAX)
    change(small, "equivalent.yaml", "", ENTRY)
    [reason] = asyncio.run(judge_rego(small, opa_binary, base=base, told=lambda _: None)).excuses
    assert reason.endswith("for: root is never asked about in these tests, say.")
    change(base, "equivalent.yaml", "", ENTRY)
    assert new_reasons(small, base) == ()


STALE = {
    "killed": ('was: input.user.name != "root"', "was: not known", "but a test kills it"),
    "not made any more": ('"root"', '"toor"', "but it is not made"),
    "of another rule": ("rule: deny", "rule: known", "but it is not made"),
    "of a file that is gone": ("small/small.rego", "small/gone.rego", "which is not there"),
    "beyond those alike": ("    rule: deny", "    nth: 2\n    rule: deny", "but it is not made"),
}


@pytest.mark.parametrize(("was", "now", "says"), STALE.values(), ids=STALE.keys())
def test_a_reason_for_nothing_fails(was: str, now: str, says: str, small: Path, opa_binary: Path) -> None:
    """A list that speaks of another rule than the one that is there is refused, and excuses nothing."""
    change(small, RULE, *LAX)
    change(small, "equivalent.yaml", "", ENTRY)
    change(small, "equivalent.yaml", was, now)
    report = judged(small, opa_binary)
    assert len(report.survivors) == 1
    assert [each for each in report.findings if says in each.message]


UNREADABLE = {
    "no YAML": ("equivalents:", "equivalents: ["),
    "no reason": ("    reason: root is never asked about in these tests, say.\n", ""),
    "a short reason": ("root is never asked about in these tests, say.", "because"),
    "an unknown word": ("reason:", "because: it is\n    reason:"),
}


@pytest.mark.parametrize(("was", "now"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_list_that_cannot_be_read_is_an_error(was: str, now: str, small: Path, opa_binary: Path) -> None:
    """No survivor is excused by what nobody can read."""
    change(small, "equivalent.yaml", "", ENTRY)
    change(small, "equivalent.yaml", was, now)
    with pytest.raises(PolicyError, match="equivalent"):
        judged(small, opa_binary)


def test_with_a_base_only_what_it_touches_is_tried(tmp_path: Path, opa_binary: Path) -> None:
    """A module that differs or whose tests do, and what rests on it; all where something that tests share differs."""
    base, folder = policies(tmp_path / "base", FULL), policies(tmp_path / "head", FULL)
    everything = frozenset(FILES)

    def changed() -> frozenset[str]:
        modules = asyncio.run(modules_in(RegoTool(opa_binary), folder, FILES))
        return touched(modules, folder, base)

    assert changed() == frozenset()
    change(folder, FILES[0], "input.a == 1", "input.a == 2")
    assert changed() == {FILES[0]}
    policies(folder, FULL + "\n# more\n")
    assert changed() == {FILES[0]}
    policies(folder, FULL)
    change(folder, FILES[1], '"large"', '"huge"')
    assert changed() == everything
    policies(folder, FULL)
    change(folder, "portcullis/shared_test.rego", "", "package portcullis.shared\n")
    assert changed() == everything


def test_mutants_need_tests_that_pass(small: Path, opa_binary: Path) -> None:
    """Where a test fails as it is, that it fails with a mutant says nothing."""
    change(small, TESTS, '"DELETE", "zed"', '"CREATE", "zed"')
    report = judged(small, opa_binary)
    assert (report.mutants, report.killed) == (0, 0)
    assert [check.name for check in report.checks if not check.passed] == ["tests", "coverage", "mutation"]
