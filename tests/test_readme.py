"""What the README tells a newcomer to run, run."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh run\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_readme_has_blocks_that_are_run() -> None:
    """A change of the mark would make the next test pass on nothing."""
    assert len(BLOCKS) >= 2
    assert "make demo\n" in BLOCKS


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0] for block in BLOCKS])
def test_a_block_of_the_readme_does_what_it_says(block: str) -> None:
    """Each block that is marked to run ends well, from the top of the repository."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


LINKS = sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README)))


@pytest.mark.parametrize("link", LINKS)
def test_a_link_leads_somewhere(link: str) -> None:
    """What the README points at is there."""
    assert (ROOT / link).exists()
