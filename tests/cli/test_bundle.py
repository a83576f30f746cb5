"""`portcullis bundle`: the policies as a file, checked before it is written."""

import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import orjson
import pytest

from tests.cli.test_serve import PROGRAM, own
from webhook.decision.bundle import read_policies
from webhook.settings import bundled_policies


def bundle(*arguments: str | Path, **variables: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [PROGRAM, "bundle", *arguments],
        env=own(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the policies to change."""
    return Path(shutil.copytree(bundled_policies(), tmp_path / "policies"))


def test_the_bundle_is_written_and_its_revision_told(tmp_path: Path) -> None:
    """One line says what is in it: the revision is the one that `serve` demands of an OPA of others."""
    target = tmp_path / "bundle.tar.gz"
    done = bundle(target)
    policies = read_policies(bundled_policies()).policies
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{target}: {len(policies.rules)} rules, revision {policies.revision}, not signed\n"
    with tarfile.open(target) as archive:
        manifest = archive.extractfile(".manifest")
        assert manifest
        assert orjson.loads(manifest.read())["revision"] == policies.revision


def test_opa_loads_it_and_decides(opa_binary: Path, tmp_path: Path) -> None:
    """The file is one that OPA takes as it is: every rule of it runs."""
    assert bundle(tmp_path / "bundle.tar.gz").returncode == 0
    command = [str(opa_binary), "eval", "--format", "raw", "--stdin-input", "--bundle", str(tmp_path / "bundle.tar.gz")]
    asked = b'{"request": {"operation": "CREATE", "kind": {"kind": "Probe"}}, "user": {"name": "ada"}}'
    query = "[rule | data.portcullis.rules[category][rule].deny]"
    done = subprocess.run([*command, query], input=asked, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
    assert len(orjson.loads(done.stdout)) == len(read_policies(bundled_policies()).policies.rules)


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_other_policies_are_another_bundle(by: str, copied: Path, tmp_path: Path) -> None:
    """--policies, or its variable, names what goes into it."""
    shutil.rmtree(copied / "portcullis" / "rules" / "guardrail")
    target = tmp_path / "bundle.tar.gz"
    done = bundle(target, "--policies", copied) if by == "flag" else bundle(target, PORTCULLIS_POLICIES=copied)
    assert done.returncode == 0, done.stderr
    assert read_policies(copied).policies.revision in done.stdout


def test_a_misspelt_field_makes_no_bundle(copied: Path, tmp_path: Path) -> None:
    """What `opa check` refuses is never written; what stands there from before stays."""
    rule = copied / "portcullis" / "rules" / "rbac" / "namespace_policy" / "namespace_policy.rego"
    rule.write_text(rule.read_text() + '\nmisspelt if input.user.nmae == "ada"\n')
    target = tmp_path / "bundle.tar.gz"
    target.write_bytes(b"from before")
    done = bundle(target, "--policies", copied)
    assert done.returncode == 2
    assert re.search(r"^portcullis: opa check found:$", done.stderr, re.MULTILINE)
    assert "input.user.nmae" in done.stderr
    assert "Traceback" not in done.stderr
    assert target.read_bytes() == b"from before"


def test_a_bundle_is_signed_by_a_key_of_its_own(tmp_path: Path) -> None:
    """The public key is written; of the private one nothing is left."""
    done = bundle(tmp_path / "bundle.tar.gz", "--verification-key-out", tmp_path / "bundle.pem")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(", signed\n")
    assert (tmp_path / "bundle.pem").read_text().startswith("-----BEGIN PUBLIC KEY-----\n")
    assert {each.name for each in tmp_path.iterdir()} == {"bundle.tar.gz", "bundle.pem"}


def test_a_bundle_is_signed_by_a_key_that_is_kept(tmp_path: Path) -> None:
    """The same key and the same policies are the same file; the public key is written where one asks for it."""
    key = tmp_path / "key.pem"
    made = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key)]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    assert bundle(tmp_path / "a.tar.gz", "--signing-key", key).stdout.endswith(", signed\n")
    done = bundle(tmp_path / "b.tar.gz", "--signing-key", key, "--verification-key-out", tmp_path / "public.pem")
    assert done.returncode == 0
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    public = subprocess.run(["openssl", "ec", "-in", key, "-pubout"], check=True, capture_output=True, timeout=60)
    assert (tmp_path / "public.pem").read_bytes() == public.stdout
