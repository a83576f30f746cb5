"""Signed bundles: the real OPA loads what was signed, and nothing else."""

import asyncio
import base64
import gzip
import io
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from webhook.decision.bundle import Bundle, packed
from webhook.decision.opa import LocalOpa, probe
from webhook.decision.process import OpaProcess
from webhook.decision.signing import SIGNATURES, Signed, SigningKey
from webhook.errors import OpaError, SettingsError

VICTIM = "portcullis/rules/rbac/namespace_policy/namespace_policy.rego"
Files = dict[str, bytes]


def opened(content: bytes) -> Files:
    """Return the files of a .tar.gz."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = {entry.name: archive.extractfile(entry) for entry in archive}
        return {name: file.read() for name, file in found.items() if file}


def changed(change: Callable[[Files], object]) -> Callable[[Signed], Signed]:
    """Return what changes the files of a bundle and leaves its signature as it is."""

    def apply(bundle: Signed) -> Signed:
        files = opened(bundle.content)
        change(files)
        return replace(bundle, content=packed(files))

    return apply


def twice(bundle: Signed) -> Signed:
    """Append a second file of a name that is signed: of two, a reader may take either."""
    archive = io.BytesIO(gzip.decompress(bundle.content))
    with tarfile.open(fileobj=archive, mode="a") as more:
        entry = tarfile.TarInfo(VICTIM)
        entry.size = 9
        more.addfile(entry, io.BytesIO(b"package x"))
    return replace(bundle, content=gzip.compress(archive.getvalue()))


def resigned(claims: Callable[[dict[str, str]], object]) -> Callable[[Signed], Signed]:
    """Return what changes the header of the signature."""

    def apply(bundle: Signed) -> Signed:
        files = opened(bundle.content)
        header, payload, signature = orjson.loads(files[SIGNATURES])["signatures"][0].split(".")
        found = orjson.loads(base64.urlsafe_b64decode(header + "=="))
        claims(found)
        header = base64.urlsafe_b64encode(orjson.dumps(found)).rstrip(b"=").decode()
        files[SIGNATURES] = orjson.dumps({"signatures": [f"{header}.{payload}.{signature}"]})
        return replace(bundle, content=packed(files))

    return apply


def emptied(files: Files) -> None:
    """Leave a file for signatures, and none in it."""
    files[SIGNATURES] = b'{"signatures": []}'


REFUSED: dict[str, tuple[Callable[[Signed], Signed], str]] = {
    "a byte changed": (changed(lambda files: files.update({VICTIM: files[VICTIM] + b"\n"})), "digest mismatch"),
    "another revision": (
        changed(
            lambda files: files.update({".manifest": files[".manifest"].replace(b'"revision":"', b'"revision":"0')})
        ),
        "digest mismatch",
    ),
    "a file more": (
        changed(lambda files: files.update({"portcullis/more.rego": b"package portcullis.more\n"})),
        "portcullis/more.rego not included in bundle signature",
    ),
    "data": (changed(lambda files: files.update({"data.json": b"{}"})), "data.json not included in bundle signature"),
    "a file less": (changed(lambda files: files.pop(VICTIM)), "specified in bundle signatures but not found"),
    "a file twice": (twice, "not included in bundle signature"),
    "not signed": (changed(lambda files: files.pop(SIGNATURES)), "bundle missing .signatures.json file"),
    "no signature in it": (changed(emptied), "missing JWT"),
    "signed by another key": (lambda bundle: replace(bundle, public_key=SigningKey.new().public()), "failed to verify"),
    "signed by nobody": (resigned(lambda header: header.update(alg="none")), "failed to verify"),
    "no tar": (lambda bundle: replace(bundle, content=b"no tar"), "gzip: invalid header|unexpected EOF"),
    "half of it": (
        lambda bundle: replace(bundle, content=bundle.content[: len(bundle.content) // 2]),
        "unexpected EOF",
    ),
    "nothing": (lambda bundle: replace(bundle, content=b""), "EOF"),
}


@pytest.mark.parametrize(("tamper", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bundle_that_is_not_as_signed_is_not_loaded(
    tamper: Callable[[Signed], Signed], reason: str, bundle: Bundle, opa_binary: Path
) -> None:
    """OPA refuses it at once, and what it says of it is the reason that is told."""

    async def main() -> None:
        async with OpaProcess(opa_binary, tamper(bundle.signed()), log=lambda _: None) as process:
            with pytest.raises(OpaError, match=f"^OPA does not start: .*({reason})"):
                await process.ready()

    asyncio.run(main())


def test_a_bundle_as_signed_decides(bundle: Bundle, opa_binary: Path) -> None:
    """What was signed is loaded, whole: every rule runs, at the shipped revision."""

    async def main() -> None:
        async with (
            OpaProcess(opa_binary, bundle.signed(), log=lambda _: None) as process,
            LocalOpa(socket=process.socket) as opa,
        ):
            await process.ready()
            await probe(opa, bundle.policies, seconds=10)

    asyncio.run(main())


def test_opa_itself_signs_the_same_files(bundle: Bundle, opa_binary: Path, tmp_path: Path) -> None:
    """`opa sign` hashes every file as we do, so that nothing hangs on how one of us reads the format."""
    key = tmp_path / "key.pem"
    made = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key)]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    bundle.write(tmp_path / "bundle.tar.gz")
    command = [str(opa_binary), "sign", "--signing-alg", "ES256", "--signing-key", str(key), "--bundle"]
    subprocess.run([*command, "bundle.tar.gz"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    theirs = named((tmp_path / SIGNATURES).read_bytes())
    ours = named(SigningKey.of(key.read_bytes()).signatures(bundle.whole()))
    assert {each["name"].lstrip("/"): each["hash"] for each in theirs} == {each["name"]: each["hash"] for each in ours}


def named(signatures: bytes) -> list[dict[str, str]]:
    """Return what a `.signatures.json` says of each file."""
    payload = orjson.loads(signatures)["signatures"][0].split(".")[1]
    found: list[dict[str, str]] = orjson.loads(base64.urlsafe_b64decode(payload + "=="))["files"]
    return found


def test_the_same_key_makes_the_same_file(bundle: Bundle) -> None:
    """A bundle signed by a kept key can be compared by its hash, as one that is not signed; of new keys no two are."""
    key = SigningKey.new()
    assert bundle.packed(key) == bundle.packed(key)
    assert bundle.signed().public_key != bundle.signed().public_key


OTHER_KEYS: dict[str, tuple[list[str], str]] = {
    "another curve": (["ecparam", "-name", "secp384r1", "-genkey", "-noout"], "is not on P-256; `openssl ecparam"),
    "RSA": (["genrsa", "2048"], "is not on P-256"),
    "a passphrase": (
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes256", "-pass", "pass:x"],
        "without a passphrase",
    ),
    "no key": (["version"], "is no private key in PEM"),
}


@pytest.mark.parametrize(("command", "reason"), OTHER_KEYS.values(), ids=OTHER_KEYS.keys())
def test_another_kind_of_key_is_refused(command: list[str], reason: str) -> None:
    """What cannot sign as OPA verifies is told at once, with what makes a key that can."""
    pem = subprocess.run(["openssl", *command], check=True, capture_output=True, timeout=60).stdout
    with pytest.raises(SettingsError, match=reason):
        SigningKey.of(pem)
