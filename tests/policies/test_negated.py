"""Each single condition of each rule, negated, fails a test."""

from pathlib import Path
from typing import Any

import pytest

from tests.policies.negated import judge
from webhook.settings import bundled_policies

POLICIES = bundled_policies()
MODULES = sorted(path for path in POLICIES.rglob("*.rego") if not path.name.endswith("_test.rego"))
NAMES = [path.parent.relative_to(POLICIES / "portcullis").as_posix() for path in MODULES]


@pytest.mark.parametrize("module", MODULES, ids=NAMES)
def test_every_condition_is_needed(module: Path, opa_binary: Path, tmp_path: Path, record_property: Any) -> None:
    """
    With one condition of a module negated, whichever, the Rego's own tests do not pass.

    What binds a variable cannot be negated, so it is dropped; where nothing compiles without it, it is only counted.
    """
    judged = judge(opa_binary, POLICIES, module, tmp_path)
    counts = {"negated": judged.negated, "dropped": judged.dropped, "bound": len(judged.bound)}
    record_property("conditions", counts)
    assert [str(each) for each in judged.survivors] == []


MODULE = """package portcullis.small

import data.portcullis.fixtures

tested if {
	input.one # …
	not input.two
	every each in input.list { each > 1 }
}

untested if {
	input.loose
	not input.free
	some name in input.list
	name
	input.items[index]
	count([each | some each in input.list; each != 3]) == 1
	found := input.found
	found == fixtures.found
}

elsewhere if input.elsewhere

default lines := "none"

lines := "two" if {
	is_string(
		input.two,
	)
} else := $"{input.one} if " if not input.one == 2
"""
TESTS = """package portcullis.small_test

import data.portcullis.fixtures
import data.portcullis.small

test_tested if small.tested with input as {"one": fixtures.found, "list": [2]}

test_not_tested if {
	not small.tested with input as {"list": [2]}
	not small.tested with input as {"one": true, "two": true, "list": [2]}
	not small.tested with input as {"one": true, "list": [2, 1]}
}

test_untested if not small.untested with input as {}
"""
SURVIVORS = [
    "12: input.loose",
    "13: not input.free",
    "15: name",
    "16: input.items[index]",
    "17: count([each | some each in input.list; each != 3]) == 1",
    "19: found == fixtures.found",
    "17: each != 3",
    "30: not input.one == 2",
]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Policies of which one test is enough for some conditions, and none tells of others."""
    files = {
        "small/small.rego": MODULE,
        "small/small_test.rego": TESTS,
        "fixtures_test.rego": "package portcullis.fixtures\n\nfound := 1\n",
        "other/other_test.rego": (
            "package portcullis.other_test\n\nimport data.portcullis.small\n\n"
            'test_elsewhere if small.elsewhere with input as {"elsewhere": true}\n\n'
            'test_two if small.lines == "two" with input as {"two": "x"}\n'
        ),
    }
    for name, content in files.items():
        path = tmp_path / "policies" / "portcullis" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "policies"


def test_conditions_that_no_test_needs_are_told(small: Path, opa_binary: Path, tmp_path: Path) -> None:
    """What is found is what a test needs, here or in another folder, and the rest is told by its line."""
    (tmp_path / "scratch").mkdir()
    judged = judge(opa_binary, small, small / "portcullis" / "small" / "small.rego", tmp_path / "scratch")
    assert [str(each) for each in judged.survivors] == [f"portcullis/small/small.rego:{each}" for each in SURVIVORS]
    assert (judged.negated, judged.dropped) == (13, 1)
    assert [str(each).partition(": ")[2] for each in judged.bound] == [
        "some name in input.list",
        "found := input.found",
        "some each in input.list",
    ]
