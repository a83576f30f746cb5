"""
Asks git for what a repository holds, without running anything that the repository names.

What is under review is somebody else's: no checkout filter, hook, pager, monitor or remote of it is run, no object that
stands in for another one is followed, and nothing is written. Source: https://git-scm.com/docs/git#_environment_variables
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from webhook.errors import ProposalError

SECONDS = 120
_SAID = 300
"""Characters of what git says that are told."""
_CONFIGURED = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.untrackedCache=false")


@dataclass(frozen=True, slots=True)
class Git:
    """A repository, seen from `folder` in its working tree; `program` is git's name or path."""

    folder: Path
    environment: Mapping[str, str]
    program: str = "git"

    def ask(self, *arguments: str, given: bytes = b"") -> bytes:
        """Return what git writes; raises `ProposalError` with what it says where it refuses."""
        done = self._run(arguments, given)
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())[:_SAID]
            raise ProposalError(f"git {arguments[0]} in {self.folder} failed: {said or f'exit {done.returncode}'}")
        return done.stdout

    def knows(self, *arguments: str) -> str:
        """Return the line that git answers, empty where it has none."""
        done = self._run(arguments, b"")
        return "" if done.returncode else done.stdout.decode(errors="replace").strip()

    def _run(self, arguments: Sequence[str], given: bytes) -> "subprocess.CompletedProcess[bytes]":
        command = [self.program, "--no-pager", "--no-optional-locks", "--literal-pathspecs", *_CONFIGURED, *arguments]
        try:
            return subprocess.run(
                command,
                cwd=self.folder,
                env=self._variables(),
                input=given,
                capture_output=True,
                check=False,
                timeout=SECONDS,
            )
        except FileNotFoundError as error:
            raise ProposalError("there is no git on PATH: a review compares with a revision, so install git") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProposalError(f"git {arguments[0]} did not run: {error}") from error

    def _variables(self) -> dict[str, str]:
        """
        Return the environment of git.

        Configuration of the machine and of its user is kept (`safe.directory` is said there), as what begins with
        GIT_CONFIG_; not what a hook that we may be run by says of another index or repository.
        """
        kept = {
            key: value
            for key, value in self.environment.items()
            if not key.startswith("GIT_") or key.startswith("GIT_CONFIG_")
        }
        return {
            **kept,
            "LC_ALL": "C",
            # What a partial clone lacks is not fetched: its remote is a program's name that the repository gives.
            "GIT_ALLOW_PROTOCOL": "",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }


def repository(folder: Path, environment: Mapping[str, str]) -> Git:
    """Return the repository around `folder`; raises `ProposalError` where it is in none, or git does not trust it."""
    here = Git(folder, environment)
    top = Path(os.fsdecode(here.ask("rev-parse", "--show-toplevel")).removesuffix("\n"))
    # The repository's own configuration may say that its working tree is elsewhere.
    if not folder.resolve().is_relative_to(top.resolve()):
        raise ProposalError(f"git says that the working tree around {folder} is {top}: unset core.worktree")
    return here
