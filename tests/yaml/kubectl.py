"""What kubectl reads in a text: a small Go program of ours around the libraries that kubectl 1.36 reads with."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webhook.decision.binary import FOREIGN

MODULE = Path(__file__).parent
FLAGS = ("-trimpath", "-mod=readonly", "-ldflags", "-s -w")


@dataclass(frozen=True, slots=True)
class Told:
    """
    What Go makes of a text: the documents that kubectl would send until it stops, and why it does.

    `strict` is what sigs.k8s.io/yaml complains of when it is told to be strict, which kubectl does not.
    """

    documents: tuple[Any, ...]
    error: str
    strict: str


def find_reader(environment: Mapping[str, str]) -> Path:
    """Return the program from the cache, or build it into that by the Go on PATH: some seconds, once."""
    cache = Path(environment.get("XDG_CACHE_HOME") or Path(environment["HOME"], ".cache")) / "portcullis" / "yaml"
    program = cache / f"oracle-{_fingerprint()}"
    if os.access(program, os.X_OK):
        return program
    go = shutil.which("go", path=environment.get("PATH", ""))
    assert go, "there is no Go on PATH to build what reads YAML as kubectl does: install Go 1.26 or newer"
    cache.mkdir(parents=True, exist_ok=True)
    built = program.with_name(f"{program.name}.{os.getpid()}")
    kept = {name: value for name, value in environment.items() if name not in FOREIGN}
    ours = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GO111MODULE": "on", "GOWORK": "off"}
    command = [go, "build", *FLAGS, "-o", str(built), "./oracle"]
    done = subprocess.run(command, cwd=MODULE, env=kept | ours, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Another worker of pytest may have built the same meanwhile.
    built.replace(program)
    return program


def _fingerprint() -> str:
    made_of = hashlib.sha256(" ".join(FLAGS).encode())
    for name in ("go.mod", "go.sum", "oracle/main.go"):
        made_of.update(hashlib.sha256((MODULE / name).read_bytes()).digest())
    return made_of.hexdigest()[:12]


def ask(reader: Path, texts: Sequence[bytes]) -> list[Told]:
    """Return what Go makes of each text, in one call."""
    lines = b"".join(base64.b64encode(text) + b"\n" for text in texts)
    done = subprocess.run([reader], input=lines, capture_output=True, check=True, timeout=120)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(texts)
    return [
        Told(tuple(map(_value, each["documents"])), each["error"], each["strict_error"] if each["single"] else "")
        for each in answers
    ]


def _value(text: str) -> Any:
    """Read JSON as the API server does: a whole number of 64 bits is one, everything else is a float."""
    return json.loads(text, parse_int=lambda digits: int(digits) if -(2**63) <= int(digits) < 2**63 else float(digits))
