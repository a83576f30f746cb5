"""`portcullis check`: what a person, a program, a code host and a CI read of manifests, and how it ends."""

import json
import os
import pty
import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from tests.cli.output.published import sarif_schema
from tests.cli.test_serve import PROGRAM, own
from webhook.settings import bundled_examples

Json = dict[str, Any]

OPEN = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: open
  namespace: checkout-dev
spec:
  podSelector: {}
  ingress:
    - from: [{podSelector: {}}]
    - {}
"""
FINE = OPEN.replace("    - {}\n", "").replace("open", "fine")
TWICE = OPEN.replace("  ingress:", "  podSelector: {}\n  ingress:")
OTHER = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"


def run(
    *arguments: str | Path, cwd: Path | None = None, data: str = "", **variables: str | Path
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [PROGRAM, "check", *arguments],
        cwd=cwd,
        env=own(**variables),
        input=data,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a policy that lets everybody in, one that does not, and a kind that no rule covers."""
    folder = tmp_path_factory.mktemp("checked")
    (folder / "a b").mkdir()
    (folder / "a b" / "open, one.yaml").write_text(OPEN)
    (folder / "fine.yaml").write_text(f"{FINE}---\n{OTHER}")
    return folder


def test_a_person_reads_where_and_why(folder: Path) -> None:
    """A page of what would be refused, exit code 1, and that nobody's rights were judged."""
    done = run(".", "--tenancy", bundled_examples(), cwd=folder)
    assert done.returncode == 1
    assert (
        "a b/open, one.yaml:10:7\n  refused   NetworkPolicy checkout-dev/open  guardrail/from-anywhere\n" in done.stdout
    )
    assert "2 objects judged (1 more of kinds that no rule covers): 1 would be refused." in done.stdout
    assert "no owner assumed: guardrails and baseline only" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_program_reads_it_all(folder: Path) -> None:
    """As JSON, with what it takes to follow a finding."""
    done = run(folder, "--tenancy", bundled_examples(), "-o", "json")
    read: Json = json.loads(done.stdout)
    (found,) = read["findings"]
    assert (found["rule"], found["action"], found["line"], found["column"]) == (
        "guardrail/from-anywhere",
        "enforce",
        10,
        7,
    )
    assert found["file"] == str(folder / "a b" / "open, one.yaml")
    assert (found["operation"], found["kind"], found["name"]) == ("CREATE", "NetworkPolicy", "open")
    assert len(found["fingerprint"]) == 32
    assert found["remediation"]
    assert (read["objects"], read["judged"], read["errors"]) == (3, 2, [])
    assert read["summary"] == {"refused": 1, "warned": 0, "audited": 0}
    assert re.fullmatch("[0-9a-f]{64}", read["revision"])


def test_a_code_host_reads_it(folder: Path) -> None:
    """As SARIF by the published schema, at the line, from where it ran."""
    done = run(".", "--tenancy", bundled_examples(), "-o", "sarif", cwd=folder)
    log = json.loads(done.stdout)
    assert not list(jsonschema.Draft4Validator(sarif_schema(os.environ)).iter_errors(log))
    (result,) = log["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "a%20b/open%2C%20one.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 10, "startColumn": 7},
    }
    rule = log["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert rule["id"] == result["ruleId"] == "guardrail/from-anywhere"
    assert rule["help"]["markdown"]
    assert rule["helpUri"].startswith("https://")


def test_a_workflow_reads_it(folder: Path) -> None:
    """A line for each finding, for the file as GitHub knows it."""
    done = run(".", "--tenancy", bundled_examples(), "-o", "github", cwd=folder)
    (line,) = done.stdout.splitlines()
    assert line.startswith("::error file=a b/open%2C one.yaml,line=10,col=7,title=guardrail/from-anywhere%3A ")


def test_a_ci_reads_it(folder: Path) -> None:
    """A case an object, by file; what would be refused has failed."""
    root = ET.fromstring(run(".", "--tenancy", bundled_examples(), "-o", "junit", cwd=folder).stdout)  # noqa: S314 - our own
    cases = {f"{suite.get('name')}: {case.get('name')}": len(case) for suite in root for case in suite}
    assert cases == {
        "a b/open, one.yaml: checkout-dev/NetworkPolicy/open": 1,
        "fine.yaml: ConfigMap/other": 0,
        "fine.yaml: checkout-dev/NetworkPolicy/fine": 0,
    }


def test_a_pull_request_gets_a_comment(folder: Path) -> None:
    """A short table, the rest folded."""
    text = run(".", "--tenancy", bundled_examples(), "-o", "markdown", cwd=folder).stdout
    assert (
        "| \N{CROSS MARK} error | a b/open, one.yaml:10 | guardrail/from-anywhere | NetworkPolicy checkout-dev/open"
        in text
    )
    assert text.count("<details>") == 1


@pytest.mark.parametrize(
    ("enforcement", "fail_on", "code"),
    [
        pytest.param("enforce", "never", 0, id="never"),
        pytest.param("warn", "enforce", 0, id="warned"),
        pytest.param("audit", "audit", 1, id="recorded-and-asked-for"),
    ],
)
def test_what_fails_is_what_would_be_refused(tmp_path: Path, enforcement: str, fail_on: str, code: int) -> None:
    """Unless the flag asks for less; a softened rule is told with what would come of it."""
    tree = "apiVersion: portcullis.dev/v1alpha1\nkind: {}\nmetadata: {{name: one}}\nspec: {}\n---\n"
    organization = tree.format("Organization", f"{{enforcement: {{'guardrail/*': {enforcement}}}}}")
    baseline = tree.format("NetworkBaseline", "{namespaceSelector: {}, policies: [{name: a, spec: {podSelector: {}}}]}")
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: checkout-dev}\n---\n"
    (tmp_path / "all.yaml").write_text(organization + baseline + namespace + OPEN)
    done = run("all.yaml", "--fail-on", fail_on, "-o", "github", cwd=tmp_path)
    assert done.returncode == code
    assert done.stdout.startswith({"enforce": "::error ", "warn": "::warning ", "audit": "::notice "}[enforcement])


def test_a_file_that_kubectl_could_not_read_hides_nothing(folder: Path, tmp_path: Path) -> None:
    """Exit code 2 with file, line of the second key and column; the others are judged and written all the same."""
    (tmp_path / "twice.yaml").write_text(TWICE)
    (tmp_path / "open.yaml").write_text(OPEN)
    done = run("twice.yaml", "open.yaml", "--tenancy", bundled_examples(), "-o", "json", cwd=tmp_path)
    assert done.returncode == 2
    assert 'portcullis: twice.yaml:8:3: key "podSelector" is already defined at line 7' in done.stderr
    read = json.loads(done.stdout)
    assert [(each["file"], each["line"], each["column"]) for each in read["errors"]] == [("twice.yaml", 8, 3)]
    assert [each["file"] for each in read["findings"]] == ["open.yaml"]
    assert folder.is_dir()


def test_what_is_rendered_is_read_from_standard_input() -> None:
    """`helm template … | portcullis check -`, without a tree: that is told, and guardrails are judged."""
    done = run("-", data=f"# Source: a/b.yaml\n{OPEN}")
    assert done.returncode == 1
    assert "<stdin>:11:7" in done.stdout
    assert "no tenant tree: who owns what" in done.stderr


def test_who_would_apply_it_is_judged_too(folder: Path) -> None:
    """With `--as`, in the webhook's own words."""
    done = run(folder / "fine.yaml", "--tenancy", bundled_examples(), "--as", "bo", "--as-group", "refunds-team")
    assert done.returncode == 1
    assert "rbac/namespace-policy" in done.stdout
    assert "bo may not create NetworkPolicy checkout-dev/fine" in " ".join(done.stdout.split())
    assert "no owner assumed" not in done.stderr


def test_a_change_is_judged_against_what_stands(folder: Path, tmp_path: Path) -> None:
    """What stood and is no worse passes with a warning."""
    (tmp_path / "old.yaml").write_text(OPEN)
    done = run(folder, "--against", tmp_path, "--tenancy", bundled_examples(), "-o", "json")
    assert done.returncode == 0
    (found,) = json.loads(done.stdout)["findings"]
    assert (found["operation"], found["action"]) == ("UPDATE", "warn")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["nowhere.yaml"], "there is no file or folder nowhere.yaml", id="no-file"),
        pytest.param(["-", "--tenancy", "x", "--kubeconfig", "y"], "leave --kubeconfig", id="tree-and-cluster"),
        pytest.param(["-", "--as-group", "g"], "give --as USER", id="group-alone"),
        pytest.param(["-", "--kubeconfig", "nowhere"], "--kubeconfig nowhere is no file", id="no-kubeconfig"),
        pytest.param(["-", "-o", "yaml"], "yaml", id="output"),
        pytest.param([], "PATH", id="nothing"),
    ],
)
def test_what_cannot_be_followed_is_one_line(arguments: list[str], said: str) -> None:
    """And exit code 2."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_terminal_sees_how_far_it_is_and_nothing_of_it_stays(tmp_path: Path) -> None:
    """On standard error alone."""
    policies = [FINE.replace("fine", f"fine-{number}") for number in range(60)]
    (tmp_path / "many.yaml").write_text("---\n".join(policies))
    parent, child = pty.openpty()
    done = subprocess.run(
        [PROGRAM, "check", tmp_path], env=own(), stdout=subprocess.PIPE, stderr=child, check=False, timeout=180
    )
    os.close(child)
    said = os.read(parent, 100_000).decode()
    os.close(parent)
    assert done.returncode == 0
    assert re.search(r"\rportcullis: \d+ judged", said)
    assert said.index("\x1b[K") > said.index("judged")
    assert b"\x1b" not in done.stdout


def test_no_name_reaches_a_terminal_as_more_than_text(tmp_path: Path) -> None:
    """Control characters in a file's name and in an object's are replaced."""
    file = tmp_path / "a\x1b[31m\n::error::b.yaml"
    file.write_text(OPEN.replace("name: open", 'name: "op\\e[31men"'))
    done = run(tmp_path, "--tenancy", bundled_examples())
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert "\n::error" not in done.stdout
