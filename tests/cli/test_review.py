"""`portcullis review` in real git repositories: what a change does is told, whoever reads it, and nothing else."""

import json
import os
import shutil
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import orjson
import pytest

from tests.cases.reviews import BO, NETPOL, Asked, policy
from tests.cli.test_serve import PROGRAM, own
from tests.conftest import Loop
from tests.proposal.repositories import NAMED, Repository, new_repository
from webhook.admission import Gate
from webhook.history.record import Record
from webhook.settings import bundled_examples, bundled_policies

Json = dict[str, Any]

WEB = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: checkout-dev}
spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}
"""
OLD = WEB.replace("name: web", "name: old").replace("{podSelector: {}}]}", "{ipBlock: {cidr: 0.0.0.0/1}}]}")
WIDE = WEB.replace("name: web", "name: wide").replace("{podSelector: {}}]}", "{namespaceSelector: {}}]}")
FOLDERS = ("--tenancy", "tenancy", "--manifests", "deploy")
SHOP = ("name: checkout-team}]", "name: checkout-team}, {kind: Group, name: shop-devs}]")


@pytest.fixture
def made(tmp_path: Path) -> Repository:
    """A repository with the example tree and manifests, of which one violates a guardrail already."""
    repository = new_repository(tmp_path / "repository", dict(os.environ))
    shutil.copytree(bundled_examples(), repository.folder / "tenancy")
    repository.write(deploy__web_yaml=WEB, deploy__old_yaml=OLD)
    repository.commit()
    return repository


def review(made: Repository, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [PROGRAM, "review", *arguments],
        cwd=made.folder,
        env=own() | NAMED,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def edit(made: Repository, file: str, old: str, new: str) -> None:
    text = (made.folder / file).read_text()
    assert old in text
    (made.folder / file).write_text(text.replace(old, new, 1))


def told(done: "subprocess.CompletedProcess[str]", part: str) -> list[str]:
    """Return what is told of a part, each by its action and rule."""
    found: Json = json.loads(done.stdout)["parts"][part]
    return [f"{each['action']} {each['rule']}" for each in found["findings"]]


def test_a_change_that_does_nothing_passes(made: Repository) -> None:
    """What violates a rule already is counted, and stops nobody."""
    edit(made, "deploy/web.yaml", "spec:", "# of the shop\nspec:")
    done = review(made, "--base", "HEAD", *FOLDERS)
    assert (done.returncode, done.stderr) == (0, "")
    assert "The Rego                      -   the bundled rules, unchanged" in done.stdout
    assert "The tenant tree               -   the same on both sides" in done.stdout
    assert "The manifests                 ok  0 new findings in 2 objects, 1 known, unchanged" in done.stdout
    assert done.stdout.endswith("Nothing to object to.\n")


def test_a_change_is_told_in_every_form_at_once(made: Repository, tmp_path: Path) -> None:
    """One run gives the comment, the SARIF and all others; what is new is told with its line, and fails."""
    edit(made, "tenancy/tenants.yaml", *SHOP)
    made.write(deploy__wide_yaml=WIDE)
    forms = ("json", "sarif", "junit", "markdown", "github")
    files = {form: tmp_path / f"review.{form}" for form in forms}
    done = review(made, "--base", "HEAD", *FOLDERS, *(f"--output-file={form}={file}" for form, file in files.items()))
    assert (done.returncode, done.stderr) == (1, "")
    gains = "Group shop-devs gains: change network policies, change the namespace in checkout-dev"
    for text in (done.stdout, *(file.read_text() for file in files.values())):
        assert gains in " ".join(text.split())
    _check_json(json.loads(files["json"].read_text()), made)
    _check_sarif(json.loads(files["sarif"].read_text()))
    root = ET.fromstring(files["junit"].read_text())  # noqa: S314 - it is ours
    assert (root.get("failures"), [each.get("name") for each in root]) == ("2", ["manifests", "tenancy"])
    assert (
        files["github"]
        .read_text()
        .startswith(
            "::warning file=tenancy/tenants.yaml,line=13,col=3,title=tenancy/rights%3A A subject gains or loses "
        )
    )
    comment = files["markdown"].read_text()
    assert comment.startswith("### :x: Portcullis: 2 findings to look at\n")
    assert comment.count("<details>") == comment.count("</details>") == 2


def _check_json(found: Json, made: Repository) -> None:
    assert (found["base"], found["commit"], found["exit_code"]) == ("HEAD", made.git("rev-parse", "HEAD"), 1)
    assert (found["flips"], set(found["parts"])) == ([], {"rego", "replay", "tenancy", "manifests"})
    (change,) = found["rights"]
    assert (change["change"], change["subject"]["name"], change["by"]) == (
        "gains",
        "shop-devs",
        ["WorkspaceAdmin of checkout"],
    )
    assert {"right": "change network policies", "places": ["checkout-dev"]} in change["rights"]
    assert found["reach"] == ["checkout-dev: ingress from every namespace: gained"]
    (wide,) = [each for each in found["parts"]["manifests"]["findings"] if each["fails"]]
    assert (wide["rule"], wide["file"], wide["line"]) == ("guardrail/all-namespaces", "deploy/wide.yaml", 5)
    assert found["parts"]["manifests"]["known"] == 1


def _check_sarif(found: Json) -> None:
    (run,) = found["runs"]
    known = {each["id"] for each in run["tool"]["driver"]["rules"]}
    spots = [each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in run["results"]]
    assert spots == ["tenancy/tenants.yaml", "deploy/wide.yaml"]
    assert {each["ruleId"] for each in run["results"]} <= known


def test_who_gains_rights_is_a_warning(made: Repository) -> None:
    """So it fails by default, and with --fail-on enforce it is told alone."""
    edit(made, "tenancy/tenants.yaml", *SHOP)
    done = review(made, "--base", "HEAD", "--tenancy", "tenancy", "--fail-on", "enforce", "-o", "json")
    assert (done.returncode, told(done, "tenancy")) == (0, ["warn tenancy/rights"])


def test_what_violates_a_rule_already_is_narrowed_and_not_widened(made: Repository) -> None:
    """A finding in other words is new where the rules would refuse the change."""
    edit(made, "deploy/old.yaml", "0.0.0.0/1", "0.0.0.0/2")
    narrowed = review(made, "--base", "HEAD", "--manifests", "deploy", "-o", "json")
    edit(made, "deploy/old.yaml", "0.0.0.0/2", "0.0.0.0/0")
    widened = review(made, "--base", "HEAD", "--manifests", "deploy", "-o", "json")
    assert (narrowed.returncode, widened.returncode) == (0, 1)
    assert "enforce guardrail/from-anywhere" in told(widened, "manifests")


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        pytest.param("0.0.0.0/1}}], ports: [{port: 80}]}", "0.0.0.0/1}}]}", id="ports"),
        pytest.param("spec: {podSelector: {matchLabels: {app: web}},", "spec: {podSelector: {},", id="pods"),
    ],
)
def test_what_is_widened_in_the_same_words_is_new(made: Repository, narrow: str, wide: str) -> None:
    """What the message does not tell of, the ports say, counts as well."""
    made.write(deploy__old_yaml=OLD.replace(wide, narrow))
    assert narrow in (made.folder / "deploy/old.yaml").read_text()
    made.commit()
    made.write(deploy__old_yaml=OLD)
    done = review(made, "--base", "HEAD", "--manifests", "deploy", "-o", "json")
    assert (done.returncode, told(done, "manifests")[:1]) == (1, ["enforce guardrail/from-anywhere"])


def test_a_part_that_cannot_be_done_hides_no_other(made: Repository) -> None:
    """A manifest that kubectl does not read is told with its line, and all else is judged."""
    edit(made, "tenancy/tenants.yaml", *SHOP)
    made.write(deploy__wide_yaml=WIDE, deploy__bad_yaml="kind: A\nkind: B\n")
    done = review(made, "--base", "HEAD", *FOLDERS, "-o", "json")
    assert done.returncode == 2
    (bad,) = [each for each in json.loads(done.stdout)["parts"]["manifests"]["findings"] if "bad" in each["thing"]]
    assert (bad["file"], bad["line"], bad["rule"]) == ("deploy/bad.yaml", 2, "manifests/unreadable")
    assert "enforce guardrail/all-namespaces" in told(done, "manifests")
    assert told(done, "tenancy") == ["warn tenancy/rights"]
    assert (
        done.stderr == "portcullis: The manifests could not be judged: 1 cannot be read; 1 new finding in 3 objects\n"
    )


def test_a_base_that_is_broken_hides_nothing(made: Repository) -> None:
    """What mends it is judged whole, as if nothing had been there."""
    edit(made, "tenancy/tenants.yaml", "project: payments", "projekt: payments")
    made.commit()
    edit(made, "tenancy/tenants.yaml", "projekt: payments", "project: payments")
    done = review(made, "--base", "HEAD", "--tenancy", "tenancy", "-o", "json")
    assert done.returncode == 1
    assert told(done, "tenancy")[0] == "warn tenancy/tree"
    assert "Group acme-admins gains" in done.stdout


def test_what_a_pull_request_links_to_outside_is_not_told(made: Repository, tmp_path: Path) -> None:
    """Neither its content nor an error that quotes it; that it is left out is a warning."""
    (tmp_path / "secret.yaml").write_text("token: hunter2\n")
    (made.folder / "deploy/link.yaml").symlink_to(tmp_path / "secret.yaml")
    done = review(made, "--base", "HEAD", *FOLDERS, "-o", "json")
    assert (done.returncode, told(done, "manifests")) == (1, ["warn proposal/manifests"])
    assert "hunter2" not in done.stdout + done.stderr


def test_folders_that_are_only_pointed_to_are_told(made: Repository) -> None:
    """A submodule or a link to a folder is not read, so nobody can say that nothing is wrong in it."""
    made.write(hidden__wide_yaml=WIDE)
    (made.folder / "deploy/more").symlink_to("../hidden")
    (made.folder / "tenancy/more").symlink_to("../hidden")
    inner = new_repository(made.folder / "deploy/inner", dict(os.environ))
    inner.write(wide_yaml=WIDE)
    inner.commit()
    done = review(made, "--base", "HEAD", *FOLDERS, "-o", "json")
    assert (done.returncode, told(done, "tenancy")) == (1, ["warn proposal/tenancy"])
    assert told(done, "manifests") == ["warn proposal/manifests"] * 2
    assert "deploy/more is left out: it is a link to the folder ../hidden" in done.stdout
    made.commit()
    same = review(made, "--base", "HEAD", *FOLDERS, "-o", "json")
    assert (same.returncode, same.stderr) == (0, "")


def test_a_folder_that_becomes_a_link_is_told(made: Repository) -> None:
    """What is named and no longer there by itself is not what nobody objects to."""
    made.git("mv", "deploy", "moved")
    made.write(moved__wide_yaml=WIDE)
    (made.folder / "deploy").symlink_to("moved")
    made.git("add", "-A")
    done = review(made, "--base", "HEAD", "--manifests", "deploy", "-o", "json")
    assert (done.returncode, told(done, "manifests")[-1]) == (1, "warn proposal/manifests")


def test_what_somebody_named_is_text_in_every_form(made: Repository, tmp_path: Path) -> None:
    """No markup, no mention, no command of a CI, no escape of a terminal comes through."""
    evil = "@ops\\n::error::x\\u001b[31m<img src=x>|`a`[b](c)"
    edit(
        made,
        "tenancy/tenants.yaml",
        "name: checkout-team}]",
        f'name: checkout-team}}, {{kind: Group, name: "{evil}"}}]',
    )
    files = [f"--output-file={form}={tmp_path / form}" for form in ("markdown", "github", "junit", "sarif")]
    done = review(made, "--base", "HEAD", "--tenancy", "tenancy", *files)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith("::")]
    comment = (tmp_path / "markdown").read_text()
    assert not [each for each in ("<img", "@ops", "[b](c)", "`a`", "::error") if each in comment]
    commands = (tmp_path / "github").read_text().splitlines()
    assert [each.partition(" ")[0] for each in commands] == ["::warning"]
    ET.fromstring((tmp_path / "junit").read_text())  # noqa: S314 - it is ours


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "Missing option '--base'", id="no base"),
        pytest.param(["--base", "nowhere"], "--base nowhere is no commit here", id="unknown"),
        pytest.param(["--base=--help"], "is no revision", id="an option"),
        pytest.param(["--base", "HEAD", "--tenancy", "/etc"], "--tenancy /etc is outside of", id="outside"),
        pytest.param(["--base", "HEAD", "--manifests", "none"], "there is no manifest in none", id="no folder"),
        pytest.param(["--base", "HEAD", "--policies", "deploy"], "holds no portcullis/ with Rego", id="no Rego"),
        pytest.param(["--base", "HEAD", "--output-file", "json="], "names no file", id="no file"),
    ],
)
def test_what_cannot_be_compared_is_one_line(made: Repository, arguments: list[str], said: str) -> None:
    """With what to do, and exit code 2."""
    done = review(made, *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_outside_of_a_repository_it_is_told(tmp_path: Path) -> None:
    """A review compares with a revision."""
    done = review(Repository(tmp_path, {}), "--base", "HEAD")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "not a git repository" in done.stderr


RULE = "policies_rego/portcullis/rules/rbac/namespace_policy/namespace_policy.rego"


@pytest.fixture
def ruled(made: Repository) -> Repository:
    """A repository that has rules of its own as well."""
    shutil.copytree(bundled_policies(), made.folder / "policies_rego")
    made.commit()
    return made


@pytest.fixture
def history(gate: Gate, loop: Loop, tmp_path: Path) -> Path:
    """A file of records: bo was refused a policy in a namespace of others, twice."""
    records: list[Record] = []
    recording = replace(gate, record=records.append)
    for name in ("web", "api"):
        asked = Asked(BO, "CREATE", NETPOL, new=policy("checkout-dev", name))
        loop.run(recording.validate(orjson.dumps(asked.review()), seconds=30))
    file = tmp_path / "records.jsonl"
    file.write_bytes(b"".join(orjson.dumps(asdict(each)) + b"\n" for each in records))
    return file


def test_what_was_refused_and_would_pass_fails_always(ruled: Repository, history: Path) -> None:
    """Whatever --fail-on says: flips to allow are listed by rule and tenant, and the gate says what no test noticed."""
    with (ruled.folder / RULE).open("a") as rule:
        rule.write('\nallowed if input.user.name == "bo"\n')
    done = review(ruled, "--base", "HEAD", "--history", str(history), "--fail-on", "never", "-o", "json")
    found = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr
    (flip,) = found["flips"]
    assert (flip["rule"], flip["tenant"], flip["from"], flip["to"], flip["count"]) == (
        "rbac/namespace-policy",
        "Workspace/checkout",
        "deny",
        "allow",
        2,
    )
    assert {(each["user"], each["namespace"], each["name"]) for each in flip["examples"]} == {
        ("bo", "checkout-dev", "web"),
        ("bo", "checkout-dev", "api"),
    }
    gate = found["parts"]["rego"]
    assert gate["state"] == "findings"
    assert {each["file"] for each in gate["findings"] if each["file"]} <= {RULE, RULE.replace(".rego", "_test.rego")}


def test_rules_that_are_gone_are_told(ruled: Repository) -> None:
    """The bundled ones take their place, which refuse less than those of this organization may."""
    shutil.rmtree(ruled.folder / "policies_rego")
    done = review(ruled, "--base", "HEAD", "-o", "json")
    assert (done.returncode, told(done, "rego")) == (1, ["warn rego/watched"])


def test_rules_that_call_out_decide_nothing(ruled: Repository, history: Path) -> None:
    """Rego of a pull request that reaches for the network is not run: the gate says so, and all else is not done."""
    with (ruled.folder / RULE).open("a") as rule:
        rule.write('\nallowed if http.send({"method": "GET", "url": "http://127.0.0.1:1"}).status_code == 200\n')
    edit(ruled, "tenancy/tenants.yaml", *SHOP)
    done = review(ruled, "--base", "HEAD", *FOLDERS, "--history", str(history), "-o", "json")
    assert done.returncode == 2
    parts = json.loads(done.stdout)["parts"]
    assert {name: each["state"] for name, each in parts.items()} == {
        "rego": "findings",
        "replay": "not done",
        "tenancy": "not done",
        "manifests": "not done",
    }
    assert "http.send" in parts["replay"]["summary"]
    assert done.stderr.count("portcullis: ") == 3
    assert ruled.folder.parent.as_posix() not in done.stdout
