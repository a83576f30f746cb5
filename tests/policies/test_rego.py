"""The Rego itself: its format, its checks, its own tests, and what every rule says of itself."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import orjson
import pytest

from webhook.decision.bundle import FORBIDDEN_BUILTINS, allowed_capabilities, check_policies, read_policies
from webhook.errors import PolicyError
from webhook.proposal.rego import RegoReport, judge_rego
from webhook.proposal.regoreport import CheckName
from webhook.settings import bundled_policies

POLICIES = bundled_policies()
RULES = sorted(path for path in (POLICIES / "portcullis" / "rules").glob("*/*") if path.is_dir())


def opa(binary: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([binary, *arguments], capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def report(opa_binary: Path) -> RegoReport:
    """What the gate for a change to the Rego says of the whole of what is shipped."""
    return asyncio.run(judge_rego(POLICIES, opa_binary, told=print))


# In one process: the mutants take a minute.
@pytest.mark.xdist_group("the gate of the rego")
@pytest.mark.parametrize("name", get_args(CheckName))
def test_the_rego_passes_its_gate(name: str, report: RegoReport) -> None:
    """What `portcullis review` asks of a change holds for what is shipped: one implementation for both."""
    [check] = [each for each in report.checks if each.name == name]
    assert [str(each) for each in check.findings] == []


@pytest.mark.xdist_group("the gate of the rego")
def test_every_mutant_of_the_rules_is_killed(
    report: RegoReport, record_property: Callable[[str, object], None]
) -> None:
    """The mutation score is 100 %: no condition, comparison, branch or constant could change unnoticed."""
    counts = {"mutants": report.mutants, "killed": report.killed, "equivalents": report.equivalents}
    record_property("mutation", counts)
    assert report.survivors == ()
    assert report.killed == report.mutants > 1500
    assert report.coverage == 100
    # Each is a reason that somebody has to believe.
    assert report.equivalents < 20


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the policies to break."""
    return Path(shutil.copytree(POLICIES, tmp_path / "policies"))


def check(opa_binary: Path, folder: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    check_policies(opa_binary, read_policies(folder), scratch)


def test_the_rego_passes_the_checks_of_serve(opa_binary: Path, copied: Path, tmp_path: Path) -> None:
    """What is shipped passes the strict check against the document's schema, without builtins that call out."""
    check(opa_binary, copied, tmp_path)


# A rule that is right but for the line that each case adds.
EXTRA = """# METADATA
# title: Extra
# description: Extra.
package portcullis.rules.extra.extra

import data.portcullis.result

deny contains violation if {
	%s
	violation := result.violation(rego.metadata.chain(), "extra")
}
"""
WRONG: dict[str, tuple[str, str]] = {
    "a field of the input that does not exist": ("input.request.operatoin", "undefined ref: input.request.operatoin"),
    "a field below one that exists": ('input.user.nmae == "a"', "undefined ref: input.user.nmae"),
    "a field of the object": ('input.object.metadata.nmae == "a"', "undefined ref: input.object.metadata.nmae"),
    "a field of the old object": (
        'input.old_object.metdata.name == "a"',
        "undefined ref: input.old_object.metdata.name",
    ),
    "a field of a place": ('input.places.new.workspce == "a"', "undefined ref: input.places.new.workspce"),
    "a field of an opening": ("input.reach.ingress.ipv5 == 1", "undefined ref: input.reach.ingress.ipv5"),
    "http.send": ('http.send({"method": "GET", "url": "http://localhost"})', "undefined function http.send"),
    "opa.runtime": ("opa.runtime().env.HOME", "undefined function opa.runtime"),
    "net.lookup_ip_addr": ('net.lookup_ip_addr("localhost")', "undefined function net.lookup_ip_addr"),
    "an unused variable": ("unused := input.user.name", "assigned var unused unused"),
    "an unknown function": ("no_such_function(input)", "undefined function no_such_function"),
    "no Rego": ("if if", "rego_parse_error"),
}


@pytest.mark.parametrize(("line", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_rule_with_a_mistake_is_refused(
    line: str, reason: str, opa_binary: Path, copied: Path, tmp_path: Path
) -> None:
    """Before anything is served OPA refuses the whole of it, and says where and why."""
    folder = copied / "portcullis" / "rules" / "extra" / "extra"
    folder.mkdir(parents=True)
    (folder / "extra.rego").write_text(EXTRA % line)
    with pytest.raises(PolicyError, match=rf"(?s)portcullis/rules/extra/extra/extra\.rego:9: .*{re.escape(reason)}"):
        check(opa_binary, copied, tmp_path)


def test_the_rule_without_a_mistake_passes(opa_binary: Path, copied: Path, tmp_path: Path) -> None:
    """So each of the mistakes, and nothing else, is what is refused."""
    folder = copied / "portcullis" / "rules" / "extra" / "extra"
    folder.mkdir(parents=True)
    (folder / "extra.rego").write_text(EXTRA % 'input.user.name == "a"')
    check(opa_binary, copied, tmp_path)


def test_a_rule_of_your_own_breaks_no_shipped_test(opa_binary: Path, copied: Path) -> None:
    """Whatever a further rule finds, be it on every request: each shipped test is about the shipped rules."""
    folder = copied / "portcullis" / "rules" / "extra" / "extra"
    folder.mkdir(parents=True)
    (folder / "extra.rego").write_text(EXTRA % "true")
    said = opa(opa_binary, "test", copied / "portcullis")
    assert (said.stdout.splitlines()[-1:], said.stderr) == ([f"PASS: {_tests_in(POLICIES)}/{_tests_in(POLICIES)}"], "")


def _tests_in(folder: Path) -> int:
    return sum(len(re.findall(r"(?m)^test_", path.read_text())) for path in folder.rglob("*_test.rego"))


def test_an_opa_that_does_not_run_is_an_error(copied: Path, tmp_path: Path) -> None:
    """Policies that could not be checked are not served."""
    with pytest.raises(PolicyError, match="did not run"):
        check(tmp_path / "no-opa", copied, tmp_path)


def test_capabilities_leave_out_only_what_is_not_of_the_document(opa_binary: Path) -> None:
    """What calls out, and the clock and chance, are gone; all others stay, and no host may be called."""
    current = orjson.loads(opa(opa_binary, "capabilities", "--current").stdout)
    allowed = orjson.loads(allowed_capabilities(orjson.dumps(current)))
    gone = {each["name"] for each in current["builtins"]} - {each["name"] for each in allowed["builtins"]}
    assert gone == FORBIDDEN_BUILTINS | {each["name"] for each in current["builtins"] if each.get("nondeterministic")}
    assert {"http.send", "opa.runtime", "time.now_ns", "rand.intn", "uuid.rfc4122"} <= gone
    assert allowed["allow_net"] == []


def test_there_are_rules() -> None:
    """None of the above is true for want of rules."""
    assert len(RULES) >= 7
    assert read_policies(POLICIES).policies.rules == {
        f"{folder.parent.name}/{folder.name}".replace("_", "-") for folder in RULES
    }
