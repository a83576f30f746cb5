"""Whether the recorded decisions that a change is judged by are themselves part of the change."""

import os
from pathlib import Path

from webhook.proposal.git import Git

_SQLITE = "sqlite:///"


def rewritten(git: Git, commit: str, history: str) -> bool:
    """
    Say whether a file of records, or an SQLite one, is tracked by git and another one than in `commit`.

    What git does not know was put there by whoever runs the review.
    """
    if "://" in history and not history.startswith(_SQLITE):
        return False
    file = git.folder / history.removeprefix(_SQLITE).partition("?")[0]
    top = os.path.realpath(os.fsdecode(git.ask("rev-parse", "--show-toplevel")).removesuffix("\n"))
    # Through a link it is what the link leads to that is read, and either may be changed.
    named = (Path(os.path.realpath(file.parent)) / file.name, Path(os.path.realpath(file)))
    return any(_differs(git, commit, each.relative_to(top)) for each in named if each.is_relative_to(top))


def _differs(git: Git, commit: str, path: Path) -> bool:
    before = git.knows("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}:{path.as_posix()}")
    tracked = git.knows(
        "ls-files", "--error-unmatch", "--full-name", "--", os.path.relpath(_top(git) / path, git.folder)
    )
    if not before and not tracked:
        return False
    file = _top(git) / path
    if file.is_symlink():
        return not before or git.ask("cat-file", "blob", before) != os.fsencode(file.readlink())
    return before != git.knows("hash-object", "--no-filters", "--", str(file))


def _top(git: Git) -> Path:
    return Path(os.fsdecode(git.ask("rev-parse", "--show-toplevel")).removesuffix("\n"))
