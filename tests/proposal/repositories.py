"""Git repositories for tests: real ones, which know nothing of the machine's own configuration."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from webhook.proposal.git import Git, repository

NAMED = {
    "GIT_AUTHOR_NAME": "ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}


@dataclass(frozen=True, slots=True)
class Repository:
    """One with a working tree in `folder`."""

    folder: Path
    variables: dict[str, str]

    def git(self, *arguments: str) -> str:
        """Return what git says."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=self.variables, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def write(self, **files: str) -> None:
        """Write files: `__` in a name is a folder, `_yaml` at its end the suffix."""
        for name, content in files.items():
            self.put(name.replace("__", "/").replace("_yaml", ".yaml"), content)

    def put(self, path: str, content: str) -> None:
        """Write one file."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def commit(self) -> str:
        """Commit all that there is, and return its name."""
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "--allow-empty", "-m", "a change")
        return self.git("rev-parse", "HEAD")

    def seen(self) -> Git:
        """Return it as a review sees it."""
        return repository(self.folder, self.variables)


def new_repository(folder: Path, environment: dict[str, str]) -> Repository:
    """Return a new repository with nothing in it."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Repository(folder, {**environment, **NAMED})
    made.git("init", "-q", "-b", "main")
    return made
