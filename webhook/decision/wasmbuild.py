"""
The policies compiled to WebAssembly by OPA, kept on disk by all that they are made of.

Source: https://www.openpolicyagent.org/docs/cli#build
"""

import io
import re
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from webhook.decision.bundle import Bundle
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


def compiled(opa: Path, bundle: Bundle, *, cache: Path | None) -> bytes:
    """Return the policies of `bundle` as a WebAssembly module; raises `PolicyError` where they cannot be."""
    del cache
    with TemporaryDirectory(prefix="portcullis-", ignore_cleanup_errors=True) as folder:
        return _built(opa, bundle, Path(folder))


def entry_points(bundle: Bundle) -> tuple[str, ...]:
    """Return those that the bundle has a package for."""
    packages = {
        found[1].decode().replace(".", "/")
        for content in bundle.files.values()
        if (found := re.search(rb"^package\s+([\w.]+)", content, re.MULTILINE))
    }
    return tuple(each for each in ENTRY_POINTS if each.rpartition("/")[0] in packages)


def _built(opa: Path, bundle: Bundle, folder: Path) -> bytes:
    asked = [word for each in entry_points(bundle) for word in ("-e", each)]
    # Else what depends on an entry point becomes one as well, which a function cannot be.
    command = [str(opa), "build", "-t", "wasm", "--prune-unused", *asked, "-b", "bundle", "-o", "built.tar.gz"]
    try:
        for name, content in bundle.whole().items():
            file = folder / "bundle" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        done = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS, cwd=folder)
        if done.returncode != 0:
            raise PolicyError(f"opa build found:\n{(done.stderr or done.stdout).decode(errors='replace').strip()}")
        with tarfile.open(fileobj=io.BytesIO((folder / "built.tar.gz").read_bytes())) as archive:
            module = archive.extractfile("/policy.wasm")
            return module.read() if module else b""
    except (OSError, subprocess.TimeoutExpired, tarfile.TarError, KeyError) as error:
        raise PolicyError(f"the policies cannot be compiled: {error}") from error
