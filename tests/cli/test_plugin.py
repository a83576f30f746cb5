"""`kubectl portcullis`, and what a shell completes."""

import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def test_kubectl_runs_it_as_a_plugin() -> None:
    """The real kubectl finds it, and its help says how it was called."""
    done = run("kubectl", "portcullis", "rules", "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage: kubectl portcullis rules" in done.stdout


def test_an_error_says_where_the_help_is() -> None:
    """What is typed wrong leads to the help of the name that was typed."""
    done = run("kubectl", "portcullis", "rulez")
    assert done.returncode != 0
    assert "See kubectl portcullis --help" in done.stderr


def test_kubectl_completes_its_commands() -> None:
    """The real kubectl asks the plugin what may stand there: commands, flags, values."""
    for words, expected in ((["sc"], "scan"), (["scan", "--tena"], "--tenancy"), (["scan", "-o", ""], "sarif")):
        done = run("kubectl", "__complete", "portcullis", *words)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout.splitlines()
        assert done.stdout.splitlines()[-1].startswith(":")


def test_bash_completes() -> None:
    """The script that `--show-completion` writes completes a command in a real bash."""
    script = run("portcullis", "--show-completion", "bash").stdout
    ask = "COMP_WORDS=(portcullis unin); COMP_CWORD=1; _portcullis_completion portcullis; echo ${COMPREPLY[@]}"
    done = run("bash", "-c", f"{script}\n{ask}")
    assert done.stdout.strip() == "uninstall", done.stderr
