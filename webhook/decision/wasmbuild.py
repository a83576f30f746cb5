"""
The policies compiled to WebAssembly by OPA.

Source: https://www.openpolicyagent.org/docs/cli#build
"""

import hashlib
import io
import re
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from webhook.decision.binary import OPA_VERSION
from webhook.decision.bundle import Bundle
from webhook.decision.wasmcache import Cache
from webhook.errors import PolicyError

ENTRY_POINTS = (
    "portcullis/validate/decision",
    "portcullis/mutate/decision",
    "portcullis/batch/decisions",
    "portcullis/batch/denials",
    "portcullis/mask/decision",
    "portcullis/roles/held",
    "portcullis/history/visible",
)
"""All that is ever asked; what is not among them is undefined."""
SECONDS = 120
_PACKAGE = re.compile(rb"^package[ \t]+([\w.]+)", re.MULTILINE)


def compiled(opa: Path, bundle: Bundle, *, cache: Path | None) -> bytes:
    """
    Return the policies of `bundle` as a WebAssembly module, out of the folder `cache` where it was compiled before.

    Raises `PolicyError` where OPA cannot compile them. It takes about half a second, and blocks.
    """
    files, asked = bundle.whole(), entry_points(bundle)
    if cache is None:
        return _built(opa, files, asked)
    kept, made_of = Cache(cache), _made_of(files, asked)
    module = kept.read(made_of)
    if module is None:
        module = _built(opa, files, asked)
        kept.keep(made_of, module)
    return module


def kept(bundle: Bundle, cache: Path) -> bytes | None:
    """Return what `compiled` kept of `bundle` in a folder, None where it has to be compiled: no OPA is needed here."""
    return Cache(cache).read(_made_of(bundle.whole(), entry_points(bundle)))


def entry_points(bundle: Bundle) -> tuple[str, ...]:
    """Return those that the bundle has a package for: of one it has not all is undefined, as OPA answers too."""
    found = (_PACKAGE.search(content) for content in bundle.files.values())
    packages = {each[1].decode().replace(".", "/") for each in found if each}
    return tuple(each for each in ENTRY_POINTS if each.rpartition("/")[0] in packages)


def _made_of(files: Mapping[str, bytes], asked: Sequence[str]) -> str:
    digest = hashlib.sha256(f"{OPA_VERSION} {' '.join(asked)}\n".encode())
    for name, content in sorted(files.items()):
        # Lengths first, so that no bytes can move from one file into the next.
        digest.update(f"{len(name)} {len(content)} {name}".encode() + content)
    return digest.hexdigest()


def _built(opa: Path, files: Mapping[str, bytes], asked: Sequence[str]) -> bytes:
    # Without --prune-unused whatever depends on an entry point becomes one as well, which a function cannot be.
    # Not -O=1, which partially evaluates: an evaluation took an eighth longer by it.
    flags = ["-t", "wasm", "--prune-unused", *(word for each in asked for word in ("-e", each))]
    try:
        with TemporaryDirectory(prefix="portcullis-", ignore_cleanup_errors=True) as folder:
            for name, content in files.items():
                file = Path(folder, "bundle", name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            _run([str(opa), "build", *flags, "-b", "bundle", "-o", "built.tar.gz"], folder)
            return _module(Path(folder, "built.tar.gz").read_bytes())
    except (OSError, subprocess.TimeoutExpired, tarfile.TarError) as error:
        raise PolicyError(f"the policies cannot be compiled: {error}") from error


def _run(command: Sequence[str], folder: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS, cwd=folder)
    if done.returncode != 0:
        raise PolicyError(f"opa build found:\n{(done.stderr or done.stdout).decode(errors='replace').strip()}")


def _module(built: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(built)) as archive:
        for entry in archive:
            if entry.name.lstrip("/") == "policy.wasm" and (file := archive.extractfile(entry)):
                return file.read()
    raise PolicyError("opa build made no WebAssembly of the policies")
