"""
What of the document the rules read.

OPA says it of the compiled rules (`opa deps`), so that neither an alias nor a helper hides it.
Source: https://www.openpolicyagent.org/docs/cli#deps
"""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from webhook.decision.bundle import Bundle
from webhook.errors import PolicyError

DECISION = "data.portcullis.validate.decision"
SECONDS = 60


def reads(opa: Path, bundle: Bundle, path: tuple[str, ...]) -> bool:
    """
    Tell whether a decision may depend on what stands at `path` of the document, like `("request", "time")`.

    It may where a rule reads that, something in it, or what it stands in as a whole or by a key that is only known
    when it runs. Raises `PolicyError` where OPA cannot say.
    """
    asked = ("input", *path)
    refs = (tuple(part["value"] for part in ref) for ref in _dependencies(opa, bundle))
    return any(all(one == other for one, other in zip(ref, asked, strict=False)) for ref in refs)


def _dependencies(opa: Path, bundle: Bundle) -> list[list[dict[str, Any]]]:
    """Return the references to what is no rule that the decision depends on, each cut where it is not constant."""
    try:
        with TemporaryDirectory(prefix="portcullis-", ignore_cleanup_errors=True) as folder:
            (file := Path(folder, "bundle.tar.gz")).write_bytes(bundle.packed())
            command = [str(opa), "deps", "--bundle", str(file), "--format", "json", DECISION]
            done = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PolicyError(f"opa deps did not run: {error}") from error
    if done.returncode != 0:
        raise PolicyError(f"opa deps found:\n{done.stderr.decode(errors='replace').strip()}")
    try:
        base: list[list[dict[str, Any]]] = orjson.loads(done.stdout)["base"] or []
    except (ValueError, KeyError, TypeError) as error:
        raise PolicyError(f"opa deps answered something else: {error!r}") from error
    return base
