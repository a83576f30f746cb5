"""The image, without a container runtime: what a linter says, what it copies, and that what it installs runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.manifests.built import ROOT, one

DOCKERFILE = ROOT / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Return each instruction with its arguments, continued lines joined and comments left out."""
    text = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE))
    words = (line.split(None, 1) for line in text.splitlines() if line.strip())
    return [(name.upper(), rest.strip()) for name, rest in words]


def test_the_linter_finds_nothing() -> None:
    """hadolint, and ShellCheck on what RUN runs; not even a remark on style."""
    linter = Path(sys.executable).with_name("hadolint")
    ran = subprocess.run([linter, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_linter_would_find_something() -> None:
    """An image that is whatever it is today, run by root, is no clean one."""
    linter = Path(sys.executable).with_name("hadolint")
    wrong = "FROM python:latest\nADD https://example.com/opa /opa\nRUN cd /tmp && pip install opa\nUSER root\n"
    ran = subprocess.run(
        [linter, "--no-color", "-"], input=wrong, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 1
    assert {"DL3007", "DL3002", "DL3003", "DL3013"} <= set(re.findall(r"DL\d{4}", ran.stdout))


def test_every_base_is_pinned_and_nothing_is_downloaded_by_address() -> None:
    """A tag with a version; no ADD, no curl: registries alone, by their own clients."""
    bases = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert len(bases) == 3
    assert all(re.fullmatch(r"[a-z]+:\d+\.\d+-\S+", base) for base in bases)
    assert "ADD" not in dict(instructions())
    assert not [rest for name, rest in instructions() if name == "RUN" and re.search(r"curl|wget|https?://", rest)]


def test_every_source_is_there_and_what_the_wheel_needs_is_copied() -> None:
    """The build context is the checkout; `serve` reads the Rego and its webhook objects from the package."""
    copied = [shlex.split(rest)[:-1] for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    sources = {source for each in copied for source in each}
    assert all((ROOT / source).exists() for source in sources)
    assert {"webhook", "certs", "policies_rego", "manifests/base/webhooks.yaml", "manifests/examples"} <= sources


def test_it_ends_as_the_user_that_the_pod_says() -> None:
    """By number: the kubelet cannot tell that a name is not root's."""
    *_, user = (rest for name, rest in instructions() if name == "USER")
    context = one("base", "Deployment")["spec"]["template"]["spec"]["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}" == "65532:65532"


def test_opa_is_where_the_sidecar_starts_it() -> None:
    """The one path that the image and the deployment have to agree on."""
    sidecar = one("base", "Deployment")["spec"]["template"]["spec"]["initContainers"][1]
    (command,) = sidecar["command"]
    assert any(name == "RUN" and rest.endswith(f" {command}") for name, rest in instructions())
    assert ("COPY", f"--from=build {Path(command).parents[1]} {Path(command).parents[1]}") in instructions()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image's `pip install` of the checkout makes, write-protected."""
    target = tmp_path_factory.mktemp("image") / "site-packages"
    (install,) = (rest for name, rest in instructions() if name == "RUN" and rest.endswith("--no-build-isolation ."))
    command = [sys.executable, "-m", *shlex.split(install)[:-1], "--quiet", "--target", str(target), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    return target


def standing(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of all that is there; root may write where nobody may, so it is looked at."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in (folder, *folder.rglob("*"))}


def run(installed: Path, opa: Path, *arguments: str) -> str:
    """Run the installed command as the image does: no home, no bytecode, nothing of the checkout."""
    here = Path(sys.executable).parent
    env = {"PATH": f"{here}:{os.defpath}", "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    env["PORTCULLIS_OPA"] = str(opa)
    command = [sys.executable, "-P", *arguments]
    ran = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_installed_package_is_whole(installed: Path) -> None:
    """Rules, example tree and webhook objects are inside the package, where it looks for them."""
    package = installed / "webhook"
    rules = {path.relative_to(ROOT) for path in (ROOT / "policies_rego").rglob("*.rego")}
    assert rules
    assert all((package / path).is_file() for path in rules)
    assert (package / "manifests" / "examples" / "acme" / "tenants.yaml").is_file()
    hooks = package / "manifests" / "base" / "webhooks.yaml"
    assert hooks.read_bytes() == (ROOT / "manifests" / "base" / "webhooks.yaml").read_bytes()


def test_the_command_runs_without_writing_to_the_image(installed: Path, opa_binary: Path, tmp_path: Path) -> None:
    """As the pod's init container does, by the Rego that was installed with it."""
    before = standing(installed)
    portcullis = str(installed / "bin" / "portcullis")
    assert run(installed, opa_binary, "-c", "import webhook; print(webhook.__path__)").count(str(installed)) == 1
    assert run(installed, opa_binary, portcullis, "--version").startswith("portcullis ")
    bundle = tmp_path / "bundle.tar.gz"
    told = run(installed, opa_binary, portcullis, "bundle", str(bundle))
    assert re.search(r"\d+ rules, revision [0-9a-f]{64}", told)
    assert bundle.stat().st_size > 1000
    assert standing(installed) == before
