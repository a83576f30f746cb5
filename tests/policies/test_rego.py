"""The Rego itself: its format, its checks, its own tests, and what every rule says of itself."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from webhook.decision.bundle import FORBIDDEN_BUILTINS, allowed_capabilities, check_policies, read_policies
from webhook.errors import PolicyError
from webhook.settings import bundled_policies

Json = dict[str, Any]
POLICIES = bundled_policies()
RULES = sorted(path for path in (POLICIES / "portcullis" / "rules").glob("*/*") if path.is_dir())
MODULES = sorted(path for path in POLICIES.rglob("*.rego") if not path.name.endswith("_test.rego"))


def opa(binary: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([binary, *arguments], capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def described(opa_binary: Path) -> dict[Path, Json]:
    """What `opa inspect` finds in the METADATA of each package, by the package's file."""
    done = opa(opa_binary, "inspect", "--annotations", "--format", "json", POLICIES)
    assert done.returncode == 0, done.stderr
    every = orjson.loads(done.stdout)["annotations"]
    return {Path(each["location"]["file"]): each for each in every if each["annotations"]["scope"] == "package"}


def test_the_rego_is_formatted(opa_binary: Path) -> None:
    """`opa fmt` would change no file; `make format` lets it."""
    done = opa(opa_binary, "fmt", "--list", POLICIES)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), "run `make format`"


def test_the_regos_own_tests_pass(opa_binary: Path) -> None:
    """`opa test` runs tests of every folder, all of them pass, and none is put off."""
    done = opa(opa_binary, "test", "--format", "json", POLICIES)
    assert done.returncode == 0, done.stdout + done.stderr
    ran = orjson.loads(done.stdout)
    assert [each["name"] for each in ran if {"fail", "error", "skip"} & each.keys()] == []
    folders = {Path(each["location"]["file"]).parent for each in ran}
    assert {path.parent for path in MODULES} <= folders


def test_the_regos_own_tests_run_every_line(opa_binary: Path) -> None:
    """Coverage is 100 %: a line that no test runs fails here, named by OPA."""
    done = opa(opa_binary, "test", "--coverage", "--threshold", "100", "--format", "json", POLICIES)
    uncovered = orjson.loads(done.stdout).get("files", {}) if done.stdout.startswith("{") else {}
    missed = {name: each["not_covered"] for name, each in uncovered.items() if each.get("not_covered")}
    assert (done.returncode, missed) == (0, {}), done.stderr


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


@pytest.mark.parametrize("folder", RULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_rule_is_a_folder_of_its_own(folder: Path) -> None:
    """A rule is its Rego and its tests, named like its folder, and nothing else has to change when it goes."""
    assert {path.name for path in folder.iterdir()} == {f"{folder.name}.rego", f"{folder.name}_test.rego"}


@pytest.mark.parametrize("folder", RULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_rule_describes_itself(folder: Path, described: dict[Path, Json]) -> None:
    """Its METADATA says what it is for, how bad a violation is, what to do about one, and where to read on."""
    found = described[folder / f"{folder.name}.rego"]["annotations"]
    assert found["title"].strip()
    assert found["description"].strip()
    assert [each for each in found["related_resources"] if not each["ref"].startswith("https://")] == []
    assert found["related_resources"]
    assert found["custom"]["severity"] in {"critical", "high", "medium", "low"}
    assert found["custom"]["remediation"].strip()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_every_module_has_a_title_and_is_found_at_its_path(module: Path, described: dict[Path, Json]) -> None:
    """A package's name is its folder, and its METADATA says what is in it."""
    found = described[module]
    assert found["annotations"]["title"].strip()
    assert found["annotations"]["description"].strip()
    package = [each["value"] for each in found["path"][1:]]
    assert package == list(module.parent.relative_to(POLICIES).parts)


@pytest.mark.parametrize("folder", RULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_rule_is_tested_both_ways(folder: Path) -> None:
    """Its tests show what it allows, what it denies and what it does about an empty document."""
    text = (folder / f"{folder.name}_test.rego").read_text()
    names = re.findall(r"^(test_\w+)", text, re.MULTILINE)
    assert any(name.startswith("test_allow_") for name in names)
    assert any(name.startswith("test_deny_") for name in names)
    assert [name for name in names if not name.startswith(("test_allow_", "test_deny_"))] == []
    assert [test for test in bodies(text) if "empty_document" in test and "with input as {}" in test]


def bodies(text: str) -> Iterator[str]:
    """Yield the text of each test."""
    yield from re.split(r"^(?=test_)", text, flags=re.MULTILINE)[1:]


def test_there_are_rules() -> None:
    """None of the above is true for want of rules."""
    assert len(RULES) >= 7
    assert read_policies(POLICIES).policies.rules == {
        f"{folder.parent.name}/{folder.name}".replace("_", "-") for folder in RULES
    }
