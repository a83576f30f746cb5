"""What the page "Your first rule" tells to write and to run, written and run."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.cli.test_serve import ROOT, own
from tests.proposal.repositories import NAMED, new_repository

PAGE = (ROOT / "docs/first-rule.md").read_text()
BLOCK = re.compile(
    r"^```(?P<kind>\w+)(?: (?P<mark>\S+))?(?: (?P<code>\d))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def blocks() -> Iterator[tuple[str, str, int, str]]:
    """Yield each block: its language, a file or `run`, the exit code it ends with, and its text."""
    for found in BLOCK.finditer(PAGE):
        yield found["kind"], found["mark"] or "", int(found["code"] or 0), found["text"]


def words(text: str) -> str:
    """Return a text in one line: where a terminal breaks it is no matter."""
    return " ".join(text.split())


def test_the_page_has_what_is_run() -> None:
    """A change of the marks would make the next test pass on nothing."""
    kinds = [(kind, mark) for kind, mark, _, _ in blocks()]
    assert kinds.count(("sh", "run")) == 5
    assert sum(mark.endswith((".rego", ".yaml")) for _, mark in kinds) == 3
    assert sum(kind == "text" for kind, _ in kinds) == 4


def test_what_the_page_says_comes_true(tmp_path: Path) -> None:
    """From top to bottom in a clone: each command ends as it says, and each line that is shown is said."""
    clone = new_repository(tmp_path / "clone", dict(os.environ))
    shutil.copytree(ROOT / "policies_rego", clone.folder / "policies_rego")
    shutil.copytree(ROOT / "manifests/examples", clone.folder / "manifests/examples")
    clone.commit()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = ""
    for kind, mark, code, text in blocks():
        if mark == "run":
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", text],
                cwd=clone.folder,
                env=own(PATH=path) | NAMED,
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
            said = words(done.stdout)
            assert done.returncode == code, f"{text}\n{done.stdout}\n{done.stderr}"
        elif kind == "text":
            for line in text.splitlines():
                assert words(line) in said, text
        elif mark:
            clone.put(mark, text)
