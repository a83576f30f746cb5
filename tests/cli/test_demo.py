"""`portcullis demo`: what it shows is true, and nothing is left of it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from tests.cli.test_serve import PROGRAM, ROOT, own
from webhook.cli.scenes import SCENES
from webhook.settings import bundled_examples


def played(
    command: list[str], folder: str, cwd: Path = ROOT, **variables: str | Path
) -> "subprocess.CompletedProcess[str]":
    """Run the demo with a folder of its own for what it leaves."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=own(TMPDIR=folder, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def left_in(folder: str) -> list[list[str]]:
    """Return the command lines of processes that were told of the folder: serve's and OPA's are."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(folder in word for word in words):
            found.append(words)
    return found


def test_the_demo_shows_the_main_job_and_leaves_nothing() -> None:
    """One command: ten and more answers of a real webhook, all as said, and then no process and no file is left."""
    # Settings of the shell do not change what is shown.
    with TemporaryDirectory() as folder:
        done = played([str(PROGRAM), "demo"], folder, PORTCULLIS_TENANCY="/none", PORTCULLIS_NO_TLS="1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert left_in(folder) == []
        assert list(Path(folder).iterdir()) == []
    verdicts = re.findall(r"^ *(allowed|denied)$", done.stdout, re.MULTILINE)
    assert verdicts == [scene.verdict for scene in SCENES]
    assert len(verdicts) >= 10
    assert {"allowed", "denied"} <= set(verdicts)
    assert "https://127.0.0.1:" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout, "colour is for terminals"


def test_the_demo_shows_what_it_is_about() -> None:
    """Among the scenes are all that the main job is made of."""
    asked = [(scene.operation, (scene.new or scene.old or {})["kind"], scene.verdict) for scene in SCENES]
    assert ("CREATE", "Namespace", "allowed") in asked
    assert ("CREATE", "NetworkPolicy", "allowed") in asked
    assert ("CREATE", "ClusterNetworkPolicy", "allowed") in asked
    assert ("CREATE", "ClusterNetworkPolicy", "denied") in asked
    assert ("DELETE", "NetworkPolicy", "denied") in asked
    proofs = {scene.proof for scene in SCENES}
    assert {"another workspace", "rbac/cluster-policy", "guardrail/from-anywhere", "baseline/managed-policy"} <= proofs
    assert "break-glass" in proofs


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of all that the demo runs on, to change."""
    for name in ("webhook", "certs", "policies_rego", "manifests"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "checkout"


def test_an_answer_that_is_not_as_said_is_an_exit_code(checkout: Path) -> None:
    """Where the webhook answers otherwise the demo says so and exits with 1; nothing is left either."""
    examples = checkout / "manifests" / "examples" / bundled_examples().name
    organization = next(path for path in examples.rglob("*.yaml") if "kind: Organization" in path.read_text())
    text = organization.read_text()
    assert text.count("  baselines: [zero-trust]\n") >= 1
    softer = "  baselines: [zero-trust]\n  enforcement: {'guardrail/*': audit}\n"
    organization.write_text(text.replace("  baselines: [zero-trust]\n", softer, 1))
    with TemporaryDirectory() as folder:
        # The working folder comes first where Python looks for packages, in the webhook that the demo starts too.
        done = played([sys.executable, "-c", "from webhook.cli import main; main()", "demo"], folder, cwd=checkout)
        assert left_in(folder) == []
        assert list(Path(folder).iterdir()) == []
    assert done.returncode == 1, done.stdout + done.stderr
    wrong = [scene for scene in SCENES if scene.proof.startswith("guardrail/")]
    assert len(wrong) >= 2
    for scene in wrong:
        assert f"but this demo says: denied, with '{scene.proof}' in it" in done.stdout
    assert f"{len(wrong)} of {len(SCENES)} answers are not what this demo says" in done.stdout


def test_a_webhook_that_does_not_start_is_exit_code_2(checkout: Path) -> None:
    """Where there is nothing to show it says why, with what the webhook said."""
    shutil.rmtree(checkout / "policies_rego" / "portcullis" / "rules")
    with TemporaryDirectory() as folder:
        done = played([sys.executable, "-c", "from webhook.cli import main; main()", "demo"], folder, cwd=checkout)
        assert left_in(folder) == []
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("portcullis: the webhook ended at once:")
    assert "there is no rule in" in done.stderr
    assert "Traceback" not in done.stderr
