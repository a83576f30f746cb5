"""
The Rego that is shipped: which rules are in it, its revision, its checks, and the bundle that OPA loads.

The revision is the SHA-256 of every policy file's path and bytes, so the same Rego has the same revision everywhere.
Source: https://www.openpolicyagent.org/docs/management-bundles#bundle-file-format
"""

import gzip
import hashlib
import io
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from webhook.decision.document import check_schema
from webhook.decision.metadata import read_metadata
from webhook.decision.signing import SIGNATURES, Signed, SigningKey
from webhook.errors import PolicyError
from webhook.model import Policies

# Rules decide on the document alone: besides what OPA itself marks as nondeterministic (the clock, chance) none may
# call out, or look at what OPA runs in.
FORBIDDEN_BUILTINS = frozenset({"http.send", "net.lookup_ip_addr", "opa.runtime"})

INDEX = "portcullis/index/index.rego"
"""Which rules look at which kind, made of the METADATA: with it a decision runs those and no other."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The policy files by their path in the bundle, tests left out, and what a decision under them has to show."""

    files: dict[str, bytes]
    policies: Policies

    def whole(self) -> dict[str, bytes]:
        """Return all that OPA loads, by its path in the bundle: the policies, their index, and the manifest."""
        manifest = {"revision": self.policies.revision, "roots": ["portcullis"], "rego_version": 1}
        # Where no rule says what it looks at all of them run on everything, and OPA takes an empty table for a mistake.
        index = {INDEX: _index(self.policies)} if self.policies.kinds else {}
        return {".manifest": orjson.dumps(manifest), **self.files, **index}

    def packed(self, key: SigningKey | None = None) -> bytes:
        """Return the bundle as OPA loads it, a .tar.gz, signed where there is a key."""
        return packed(self.whole(), key)

    def write(self, target: Path) -> None:
        """Write the bundle as `target`, not signed."""
        target.write_bytes(self.packed())

    def signed(self) -> Signed:
        """Return the bundle signed by a key that nobody has from here on: none but this one is taken for it."""
        return signed(self.whole())


def _index(policies: Policies) -> bytes:
    """Return the Rego that says which rules look at which kind, each rule by its folders."""
    lines = ["package portcullis.index", f"others := {_folders(policies, '', '')}"]
    for each in sorted(frozenset().union(*policies.kinds.values())):
        kind, _, group = each.partition(".")
        # A rule a kind, so that a look-up costs that kind's rules: of one table for all of them OPA's WASM would put
        # the whole together at every decision.
        lines.append(f'kinds["{group}"]["{kind}"] := {_folders(policies, group, kind)}')
    return "\n\n".join([*lines, ""]).encode()


def _folders(policies: Policies, group: str, kind: str) -> str:
    rules = sorted(policies.demanded(group, kind))
    return orjson.dumps([rule.replace("-", "_").split("/") for rule in rules]).decode()


def signed(files: Mapping[str, bytes]) -> Signed:
    """Return a bundle of `files`, signed by a key made for it and for nothing else."""
    key = SigningKey.new()
    return Signed(packed(files, key), key.public())


def packed(files: Mapping[str, bytes], key: SigningKey | None = None) -> bytes:
    """Return the .tar.gz of `files`, the same bytes for the same files and key."""
    signatures = {SIGNATURES: key.signatures(files)} if key else {}
    file = io.BytesIO()
    with (
        # Without the file's name and the time, which would make every bundle another one.
        gzip.GzipFile("", "wb", 1, file, mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w") as archive,
    ):
        for name, content in sorted({**files, **signatures}.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def read_policies(folder: Path, *, described: bool = True) -> Bundle:
    """
    Read the Rego of `folder` (it holds `portcullis/`).

    Raises `PolicyError` where there is no rule in it, or its METADATA cannot be read. Unless it is `described`, what
    rules say of themselves is not looked at, and all of them are demanded of every decision.
    """
    try:
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted((folder / "portcullis").rglob("*.rego"))
            if not path.name.endswith("_test.rego")
        }
    except OSError as error:
        raise PolicyError(f"cannot read the policies in {folder}: {error.strerror}") from error
    rules = frozenset(filter(None, map(rule_of, files)))
    if not rules:
        raise PolicyError(f"there is no rule in {folder}: expected portcullis/rules/CATEGORY/RULE/RULE.rego under it")
    digest = hashlib.sha256()
    for name, content in files.items():
        # Lengths first, so that no bytes can move from one file into the next.
        digest.update(f"{len(name)} {len(content)} {name}".encode() + content)
    return Bundle(files, Policies(digest.hexdigest(), rules, _kinds(files) if described else {}))


def _kinds(files: Mapping[str, bytes]) -> dict[str, frozenset[str]]:
    """Return the kinds that each rule says it looks at; a rule that says nothing is left out, and looks at all."""
    said: dict[str, frozenset[str] | None] = {}
    for name, content in files.items():
        if (rule := rule_of(name)) and (metadata := read_metadata(name, content)):
            kinds = metadata.custom.kinds
            # Of several files the first describes the rule, as in the catalogue.
            said.setdefault(rule, frozenset(kinds) if kinds else None)
    return {rule: kinds for rule, kinds in said.items() if kinds}


def rule_of(name: str) -> str | None:
    """Return the id of the rule that a file of the bundle belongs to, None where it is no rule's."""
    match name.split("/"):
        case ["portcullis", "rules", category, rule, _]:
            return f"{category}/{rule}".replace("_", "-")
        case _:
            return None


def check_policies(opa: Path, bundle: Bundle, scratch: Path) -> None:
    """
    Run `opa check` on what is in `bundle`: strict, against the document's schema, without builtins that call out.

    `scratch` is an empty folder to write into: what is checked is what will be served, whatever becomes of the files
    since. Raises `PolicyError` with what OPA said.
    """
    _run([str(opa), "check", *lay_for_check(opa, bundle, scratch)], cwd=scratch)


def lay_for_check(opa: Path, bundle: Bundle, scratch: Path) -> list[str]:
    """Write what the check needs into `scratch`, and return the arguments of `opa check` there."""
    capabilities = capabilities_of(opa)
    try:
        for name, content in bundle.whole().items():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).write_bytes(content)
        (scratch / "input.json").write_bytes(check_schema())
        (scratch / "capabilities.json").write_bytes(capabilities)
    except OSError as error:
        raise PolicyError(f"the policies cannot be laid ready for their check: {error}") from error
    # Relative paths, so that what OPA says names the files as their owner knows them.
    return ["--strict", "--schema", "input.json", "--capabilities", "capabilities.json", "portcullis"]


def capabilities_of(opa: Path) -> bytes:
    """Return what rules may call of what an OPA has; raises `PolicyError` if it does not say."""
    return allowed_capabilities(_run([str(opa), "capabilities", "--current"]))


def allowed_capabilities(current: bytes) -> bytes:
    """Return OPA's capabilities without the builtins that no rule may use."""
    capabilities = orjson.loads(current)
    capabilities["builtins"] = [
        each
        for each in capabilities["builtins"]
        if each["name"] not in FORBIDDEN_BUILTINS and not each.get("nondeterministic", False)
    ]
    capabilities["allow_net"] = []
    return orjson.dumps(capabilities)


def _run(command: list[str], *, cwd: Path | None = None) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=60, cwd=cwd)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PolicyError(f"{command[0]} {command[1]} did not run: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise PolicyError(f"opa {command[1]} found:\n{said}")
    return done.stdout
