"""Where people meet the gate: the Action, the hooks of pre-commit, a job of GitLab and the shell's completion."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.test_review import SHOP, WEB, WIDE, edit
from tests.cli.test_serve import PROGRAM, ROOT, own
from tests.proposal.repositories import NAMED, Repository, new_repository
from webhook.settings import bundled_examples

SCRIPTS = Path(sys.executable).parent
PAGE = (ROOT / "docs/pull-request.md").read_text()


@pytest.fixture
def made(tmp_path: Path) -> Repository:
    """A repository with the example tree and a manifest."""
    repository = new_repository(tmp_path / "repository", dict(os.environ))
    shutil.copytree(bundled_examples(), repository.folder / "tenancy")
    repository.write(deploy__web_yaml=WEB)
    repository.commit()
    return repository


def ran(*command: str | Path, cwd: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=cwd,
        env=own(PATH=path, **variables) | NAMED,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_action_is_one_by_the_schema_of_actions() -> None:
    """As GitHub reads it; no input is a part of a script."""
    done = ran("check-jsonschema", "--builtin-schema", "vendor.github-actions", "action.yml", cwd=ROOT)
    assert done.returncode == 0, done.stdout
    action: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    for step in action["runs"]["steps"]:
        assert "${{" not in step["run"]


def test_the_steps_of_the_action_review_a_pull_request(made: Repository, tmp_path: Path) -> None:
    """Run as a runner does, in a shallow clone that lacks the base: annotations, the comment and the SARIF."""
    made.git("branch", "base")
    edit(made, "tenancy/tenants.yaml", *SHOP)
    made.write(deploy__wide_yaml=WIDE)
    made.commit()
    made.git("clone", "-q", "--depth=1", f"file://{made.folder}", str(tmp_path / "clone"))
    summary = tmp_path / "summary.md"
    given = {"base": "origin/base", "tenancy": "tenancy", "manifests": "deploy\n"}
    action: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    values = {name: given.get(name, each.get("default", "")) for name, each in action["inputs"].items()}
    runner = {"RUNNER_TEMP": str(tmp_path), "GITHUB_PATH": str(tmp_path / "path"), "GITHUB_STEP_SUMMARY": str(summary)}
    for step in action["runs"]["steps"]:
        told = {
            key: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: values[found[1]], value)
            for key, value in step["env"].items()
        }
        done = ran("bash", "-c", step["run"], cwd=tmp_path / "clone", **runner, **told)
    assert done.returncode == 1, done.stderr
    assert {each.partition(" ")[0] for each in done.stdout.splitlines()} == {"::warning", "::error", "::notice"}
    assert summary.read_text().startswith("### :x: Portcullis: 2 findings to look at")
    assert (tmp_path / "clone/portcullis.sarif").is_file()


def test_the_action_installs_itself_by_the_hashes_of_its_lock_file(tmp_path: Path) -> None:
    """Into an environment of its own; what is locked is there already, for a test asks no package index."""
    packages = tmp_path / f"portcullis/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    packages.mkdir(parents=True)
    (packages / "here.pth").write_text(sysconfig.get_path("purelib"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    install = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"][0]["run"]
    runner = {"RUNNER_TEMP": str(tmp_path), "GITHUB_PATH": str(tmp_path / "path"), "ACTION": str(ROOT)}
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.defpath}"
    done = subprocess.run(
        ["bash", "-c", install],
        cwd=tmp_path,
        env=own(PATH=path, PIP_NO_INDEX="1", **runner),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    program = Path((tmp_path / "path").read_text().strip()) / "portcullis"
    assert ran(program, "--version", cwd=tmp_path).stdout.startswith("portcullis ")
    assert (packages / "webhook").is_dir()


def test_the_job_for_gitlab_is_one_by_its_schema() -> None:
    """As GitLab reads it."""
    done = ran("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", "docs/gitlab-ci.yml", cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_the_workflow_of_the_docs_is_one_by_its_schema(tmp_path: Path) -> None:
    """As GitHub reads it; what it gives the action are inputs of the action."""
    (block,) = re.findall(r"^```yaml github\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "workflow.yaml").write_text(block)
    done = ran("check-jsonschema", "--builtin-schema", "vendor.github-workflows", "workflow.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    (step,) = [each for each in yaml.safe_load(block)["jobs"]["portcullis"]["steps"] if each.get("id") == "portcullis"]
    assert step["with"].keys() <= action["inputs"].keys()


def test_the_hook_runs_in_the_real_pre_commit(made: Repository) -> None:
    """As a local hook of the same entry: to install it as others do takes a package index."""
    (hook,) = [each for each in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text()) if "check" in each["id"]]
    local = {**hook, "language": "system", "args": ["--tenancy", "tenancy"], "files": "^deploy/"}
    made.put(".pre-commit-config.yaml", yaml.safe_dump({"repos": [{"repo": "local", "hooks": [local]}]}))
    made.write(deploy__wide_yaml=WIDE)
    made.git("add", "-A")
    done = ran("pre-commit", "run", "--all-files", cwd=made.folder, PRE_COMMIT_HOME=str(made.folder.parent / "cache"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "guardrail/all-namespaces" in done.stdout
    made.put("deploy/wide.yaml", WEB.replace("name: web", "name: narrow"))
    made.git("add", "-A")
    assert (
        ran(
            "pre-commit", "run", "--all-files", cwd=made.folder, PRE_COMMIT_HOME=str(made.folder.parent / "cache")
        ).returncode
        == 0
    )


def test_the_hooks_are_hooks_by_pre_commit() -> None:
    """As pre-commit itself reads them."""
    done = ran("pre-commit", "validate-manifest", ".pre-commit-hooks.yaml", cwd=ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_its_completion(shell: str, tmp_path: Path) -> None:
    """What it prints names the program that asks for completions."""
    done = ran(PROGRAM, "--show-completion", shell, cwd=tmp_path)
    assert (done.returncode, "_PORTCULLIS_COMPLETE" in done.stdout) == (0, True), done.stderr
