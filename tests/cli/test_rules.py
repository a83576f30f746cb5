"""`portcullis rules`: the catalogue, as people, programs and docs/ have it."""

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.cli.test_serve import PROGRAM, ROOT, own, refused
from webhook.decision.bundle import read_policies
from webhook.settings import bundled_policies

RULES = sorted(read_policies(bundled_policies()).policies.rules)


def rules(*arguments: str | Path, **variables: str | Path) -> str:
    """Return what it prints; it has to succeed, and says nothing else."""
    done = subprocess.run(
        [PROGRAM, "rules", *arguments],
        cwd=ROOT,
        env=own(FORCE_COLOR="1", **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_it_lists_every_rule() -> None:
    """A line each, by id, with how bad a violation is; no colour where there is no terminal, whatever is forced."""
    *lines, empty, last = rules().splitlines()
    assert [line.split()[0] for line in lines] == RULES
    assert {line.split()[1] for line in lines} <= {"critical", "high", "medium", "low"}
    assert (empty, last) == ("", f"{len(RULES)} rules; portcullis rules RULE says more of one.")
    assert "\x1b" not in "".join(lines)


def test_one_rule_is_a_page() -> None:
    """What it refuses, what to do, how far it is softened, its guardrail and where to read on."""
    page = rules("guardrail/to-anywhere")
    assert page.startswith("guardrail/to-anywhere  critical\nNo policy lets pods out to everywhere\n\nIn a namespace ")
    for part in (
        r"^Do         Name each target ",
        r"^Softened   spec\.enforcement softens it to warn or audit\.$",
        r"^Guardrail  spec\.guardrails\.toAnywhere; Deny where no level sets it\.$",
        r"^See        https://",
    ):
        assert re.search(part, page, re.MULTILINE), part
    assert max(map(len, page.splitlines())) <= 100


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("baseline/managed-policy", "It is never softened"),
        ("rbac/namespace", "softens a part of it"),
        ("guardrail/from-anywhere", "softens it to warn or audit"),
    ],
)
def test_it_says_how_far_a_rule_is_softened(rule: str, said: str) -> None:
    """Never, in part, or all of it."""
    assert said in rules(rule)


def test_json_is_the_whole_catalogue() -> None:
    """With the revision that `serve` has, and the same fields for every rule."""
    read = orjson.loads(rules("-o", "json"))
    assert read["revision"] == read_policies(bundled_policies()).policies.revision
    assert [each["id"] for each in read["rules"]] == RULES
    fields = ["id", "title", "description", "severity", "remediation", "softened", "guardrail", "related_resources"]
    assert {tuple(each) for each in read["rules"]} == {tuple(fields)}
    assert orjson.loads(rules(RULES[0], "-o", "json")) == read["rules"][0]
    assert orjson.loads(rules("guardrail/to-anywhere", PORTCULLIS_OUTPUT="json"))["guardrail"] == {
        "key": "toAnywhere",
        "default": "Deny",
    }


def test_the_page_in_docs_is_fresh() -> None:
    """docs/rules.md is what the rules say of themselves: portcullis rules -o markdown > docs/rules.md."""
    page = rules("-o", "markdown")
    assert (ROOT / "docs" / "rules.md").read_text() == page, "portcullis rules -o markdown > docs/rules.md"
    for rule in RULES:
        assert f"\n## {rule}\n" in page
        assert f"[`{rule}`](#{rule.replace('/', '')})" in page
    assert rules(RULES[0], "-o", "markdown").startswith(f"# {RULES[0]}\n")


def test_other_policies_have_other_rules(tmp_path: Path) -> None:
    """--policies names them; a folder that goes takes its page along."""
    copied = Path(shutil.copytree(bundled_policies(), tmp_path / "policies"))
    shutil.rmtree(copied / "portcullis" / "rules" / "guardrail")
    listed = rules("--policies", copied)
    assert "guardrail/" not in listed
    assert rules(PORTCULLIS_POLICIES=copied) == listed


REFUSED: dict[str, tuple[list[str], str]] = {
    "a misspelt rule": (["rbac/namespce"], "there is no rule 'rbac/namespce': the nearest is rbac/namespace, and "),
    "a rule without its category": (["managed-policy"], "the nearest is baseline/managed-policy"),
    "nothing like a rule": (["x"], r"there is no rule 'x': the nearest is \S+/\S+, and `portcullis rules` shows all"),
    "no policies": (["--policies", "/none"], "there is no rule in /none"),
    "an unknown form": (["-o", "xml"], "--output.*xml.*See portcullis --help"),
}


@pytest.mark.parametrize(("arguments", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_shown_is_one_line_and_exit_code_2(arguments: list[str], reason: str) -> None:
    """What, why, and what there is instead."""
    (line,) = refused("rules", *arguments)
    assert re.match(f"portcullis: .*{reason}", line), line


def test_a_terminal_has_colours() -> None:
    """And no wider lines than it can show."""
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb", buffering=0) as terminal:
        environment = own(TERM="xterm-256color", COLUMNS="60")
        command = [str(PROGRAM), "rules", "guardrail/to-anywhere"]
        done = subprocess.Popen(command, env=environment, stdin=follower, stdout=follower, stderr=follower)
        os.close(follower)
        shown = b""
        try:
            while more := terminal.read(4096):
                shown += more
        except OSError:  # how Linux says that the other end is closed
            pass
        assert done.wait(30) == 0
    assert b"\x1b[1;31mcritical" in shown
    lines = re.sub(rb"\x1b\[[0-9;]*m", b"", shown).decode().splitlines()
    assert max(len(line) for line in lines if "://" not in line) <= 60


HEAVY = ("pydantic", "yaml", "orjson", "fastapi", "kubernetes", "opa_client", "webhook.admission", "webhook.gather")


def test_what_a_command_needs_is_no_burden_of_the_others() -> None:
    """`portcullis --help` loads nothing of what reads policies, decides or speaks to a cluster."""
    script = f"import sys, webhook.cli.commands; print([each for each in {HEAVY} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


UNUSED = (
    "rich",
    "oauthlib",
    "websocket",
    "kubernetes.client.models.v1_pod",
    "kubernetes.aio.client.models.v1_pod",
    "kubernetes.dynamic",
    "sqlalchemy",
    "alembic",
    "aiosqlite",
    "asyncpg",
    "jinja2",
    "multipart",
)


def test_serve_loads_nothing_that_it_does_not_use() -> None:
    """So that it is ready soon and small: no typed models of Kubernetes, no database without a history, no page."""
    script = "import sys, webhook.cli.commands, webhook.cli.running, webhook.cli.clustered; "
    script += f"print([each for each in {UNUSED} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"
