"""
The published schema of SARIF 2.1.0 (OASIS, errata 01), as a Go module carries it.

It is not ours, so it is not kept here: its digest is. Go fetches the module, checksummed by Go's own database.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

MODULE = "github.com/owenrumney/go-sarif/v3@v3.3.0"
FILE = "pkg/report/v210/sarif/schema.go"
DIGEST = "c3b4bb2d6093897483348925aaa73af03b3e3f4bd4ca38cef26dcb4212a2682e"
"""SHA-256 of the schema."""
ID = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif_schema(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the schema: from the cache (`$XDG_CACHE_HOME`, else `~/.cache`), else from the module, where Go is."""
    home = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cached = home / "portcullis" / f"sarif-2.1.0-{DIGEST[:12]}.json"
    if not cached.is_file() or not _is_it(cached.read_bytes()):
        found = _fetched()
        assert _is_it(found), f"{MODULE} does not carry the schema that it did"
        cached.parent.mkdir(parents=True, exist_ok=True)
        fresh = cached.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(found)
        fresh.replace(cached)
    schema: dict[str, Any] = json.loads(cached.read_bytes())
    assert schema["id"] == ID
    return schema


def _is_it(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == DIGEST


def _fetched() -> bytes:
    with TemporaryDirectory() as nowhere:
        done = subprocess.run(
            ["go", "mod", "download", "-json", MODULE], cwd=nowhere, capture_output=True, text=True, check=True
        )
    source = (Path(json.loads(done.stdout)["Dir"]) / FILE).read_text()
    # A Go constant, between two backticks.
    return source.split("`")[1].encode()
