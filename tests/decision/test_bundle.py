"""The bundle: what is in it, and that its revision says what is in it."""

import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from webhook.decision.bundle import INDEX, Bundle, read_policies
from webhook.errors import PolicyError
from webhook.settings import bundled_policies

FOLDER = "portcullis/rules/rbac/namespace_policy"
LIBRARY = "portcullis/roles/roles.rego"
RULE = f"{FOLDER}/namespace_policy.rego"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the policies to change."""
    return Path(shutil.copytree(bundled_policies(), tmp_path / "policies"))


def written(bundle: Bundle, target: Path) -> dict[str, bytes]:
    """Return what is in the file that OPA loads."""
    bundle.write(target)
    with tarfile.open(target) as archive:
        found = {entry.name: archive.extractfile(entry) for entry in archive}
        return {name: file.read() for name, file in found.items() if file}


def test_the_same_policies_are_the_same_bundle(copied: Path) -> None:
    """Wherever the policies lie, and whenever their files were written, revision and bytes are the same."""
    for path in copied.rglob("*.rego"):
        path.touch()
        path.chmod(0o600)
    one, other = read_policies(bundled_policies()), read_policies(copied)
    assert one == other


def test_the_same_bundle_is_the_same_file(bundle: Bundle, tmp_path: Path) -> None:
    """Under any name and at any time the bytes are the same, so that the file can be compared by its hash."""
    for name in ("a.tar.gz", "b.tar.gz"):
        bundle.write(tmp_path / name)
    content = (tmp_path / "a.tar.gz").read_bytes()
    assert content == (tmp_path / "b.tar.gz").read_bytes()
    assert content[4:8] == bytes(4), "gzip's header holds the time (RFC 1952, MTIME)"


CHANGES: dict[str, Callable[[Path], object]] = {
    "a byte": lambda folder: (folder / RULE).write_bytes((folder / RULE).read_bytes() + b"\n"),
    "a byte of a library": lambda folder: (folder / LIBRARY).write_bytes((folder / LIBRARY).read_bytes()[:-1]),
    "a renamed file": lambda folder: (folder / RULE).rename(folder / FOLDER / "other.rego"),
    "a file less": lambda folder: (folder / RULE).unlink(),
    "a file more": lambda folder: (folder / FOLDER / "more.rego").write_bytes(b""),
    "bytes moved from one file to the next": lambda folder: move(
        folder / RULE, folder / FOLDER / "namespace_policz.rego"
    ),
}


def move(source: Path, target: Path) -> None:
    """Put the last bytes of a file into one of their own, which sorts right after it."""
    content = source.read_bytes()
    source.write_bytes(content[:-10])
    target.write_bytes(content[-10:])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_any_change_is_another_revision(change: Callable[[Path], object], bundle: Bundle, copied: Path) -> None:
    """Nothing about the Rego that is served can change without the revision telling it."""
    change(copied)
    assert read_policies(copied).policies.revision != bundle.policies.revision


def test_tests_are_no_part_of_it(bundle: Bundle, copied: Path) -> None:
    """A change to the Rego's tests changes neither the bundle nor its revision."""
    (copied / FOLDER / "more_test.rego").write_text("package portcullis.more_test\n")
    assert read_policies(copied) == bundle
    assert [name for name in bundle.files if name.endswith("_test.rego")] == []


def test_what_is_no_rego_is_left_out(bundle: Bundle, copied: Path) -> None:
    """Data and notes beside the Rego are not served: tenants are in the document, never in the policies."""
    (copied / "portcullis" / "data.json").write_text('{"tenants": {}}')
    (copied / FOLDER / "README.md").write_text("read me")
    (copied / "elsewhere.rego").write_text("package elsewhere\n")
    assert read_policies(copied) == bundle


def test_the_rules_are_its_folders(bundle: Bundle, copied: Path) -> None:
    """Each folder of a rule is an id that every decision has to name; one that comes or goes changes nothing else."""
    shutil.rmtree(copied / FOLDER)
    new = copied / "portcullis" / "rules" / "new_category" / "new_rule"
    new.mkdir(parents=True)
    (new / "new_rule.rego").write_text("package portcullis.rules.new_category.new_rule\n")
    rules = read_policies(copied).policies.rules
    assert rules == bundle.policies.rules - {"rbac/namespace-policy"} | {"new-category/new-rule"}


def test_the_file_is_what_opa_loads(bundle: Bundle, tmp_path: Path) -> None:
    """The file holds the Rego as it is, and a manifest with the revision and the one root that OPA has to keep to."""
    found = written(bundle, tmp_path / "bundle.tar.gz")
    manifest = orjson.loads(found.pop(".manifest"))
    assert manifest == {"revision": bundle.policies.revision, "roots": ["portcullis"], "rego_version": 1}
    assert found.pop(INDEX) == bundle.whole()[INDEX]
    assert found == bundle.files


def test_the_index_names_the_rules_of_each_kind(opa_binary: Path, copied: Path, tmp_path: Path) -> None:
    """A kind has the rules that declare it and those that declare none; every other kind has the latter alone."""
    new = copied / "portcullis" / "rules" / "new_category" / "new_rule"
    new.mkdir(parents=True)
    (new / "new_rule.rego").write_text("package portcullis.rules.new_category.new_rule\n")
    read = read_policies(copied)
    (tmp_path / "index.rego").write_bytes(read.whole()[INDEX])
    command = (opa_binary, "eval", "--format", "raw", "--data", tmp_path / "index.rego", "data.portcullis.index")
    index = orjson.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert index["others"] == [["new_category", "new_rule"]]
    assert index["kinds"][""]["Pod"] == [
        ["baseline", "pod_gate"],
        ["guardrail", "host_network"],
        ["new_category", "new_rule"],
    ]
    assert read.policies.demanded("", "Pod") == {"baseline/pod-gate", "guardrail/host-network", "new-category/new-rule"}
    assert read.policies.demanded("example.com", "Pod") == {"new-category/new-rule"}
    for group, kinds in index["kinds"].items():
        for kind, rules in kinds.items():
            ids = {"/".join(rule).replace("_", "-") for rule in rules}
            assert ids == read.policies.demanded(group, kind)


KINDS: dict[str, str] = {
    "none": "[]",
    "no list": "Namespace",
    "no kind": "[namespaces]",
    "a group without a kind": "[.networking.k8s.io]",
    "a version": "[networking.k8s.io/v1/NetworkPolicy]",
    "a line": '["Namespace\\n"]',
    "a number": "[1]",
}


@pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS.keys())
def test_kinds_that_cannot_be_read_are_refused(kinds: str, copied: Path) -> None:
    """A rule that would run on nothing by a slip of the pen is not served."""
    file = copied / RULE
    text = file.read_text()
    file.write_text(re.sub(r"#   kinds:.*\n(#     - .*\n)*", f"#   kinds: {kinds}\n", text))
    assert file.read_text() != text
    with pytest.raises(PolicyError, match=r"METADATA, custom\.kinds"):
        read_policies(copied)


def test_a_bundle_without_a_rule_is_refused(tmp_path: Path) -> None:
    """A folder that holds no rule would let everything pass; it says where rules are looked for."""
    with pytest.raises(
        PolicyError, match=r"there is no rule in .*: expected portcullis/rules/CATEGORY/RULE/RULE\.rego"
    ):
        read_policies(tmp_path)
    (tmp_path / "portcullis" / "roles").mkdir(parents=True)
    (tmp_path / "portcullis" / "roles" / "roles.rego").write_text("package portcullis.roles\n")
    with pytest.raises(PolicyError, match="there is no rule in"):
        read_policies(tmp_path)


def test_policies_that_cannot_be_read_are_refused(copied: Path) -> None:
    """A file that is listed and cannot be read is an error, not a rule less."""
    (copied / FOLDER / "broken.rego").symlink_to("nowhere")
    with pytest.raises(PolicyError, match=r"cannot read the policies in .*: No such file"):
        read_policies(copied)
    (copied / FOLDER / "broken.rego").unlink()
    (copied / FOLDER / "folder.rego").mkdir()
    with pytest.raises(PolicyError, match=r"cannot read the policies in .*: Is a directory"):
        read_policies(copied)
