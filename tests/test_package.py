"""What is shipped: the wheel, and what the image is made of."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_wheel_holds_the_rules_and_the_example(tmp_path: Path) -> None:
    """Installed anywhere, `serve` finds its Rego and `demo` its tree."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    rules = [path.relative_to(ROOT).as_posix() for path in (ROOT / "policies_rego").rglob("*.rego")]
    assert rules
    assert {f"webhook/{rule}" for rule in rules} <= names
    assert "webhook/manifests/examples/acme/organization.yaml" in names
    assert {"webhook/cli/serve.py", "certs/files.py", "webhook/py.typed"} <= names
    assert not [name for name in names if name.startswith("tests/")]


def test_the_image_copies_what_is_there() -> None:
    """Every source of a COPY from the build context exists, and the build context lets it in."""
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = [source for copy in copies for source in copy.split()]
    assert {"webhook", "certs", "policies_rego", "requirements.lock"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists()
        assert source.split("/")[0] in allowed


def test_the_image_runs_as_nobody_in_particular() -> None:
    """The last stage is slim, ends as a user that is not root, and runs our command."""
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert last.startswith("python:3.11-slim")
    assert re.search(r"^USER ([1-9][0-9]*):\1$", last, re.MULTILINE)
    assert 'ENTRYPOINT ["portcullis"]' in last
    assert "RUN" not in last
