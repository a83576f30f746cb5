"""
Folders that git knows of and does not hold: submodules, repositories in the working tree, and links to folders.

A review reads none of them; kustomize and others do. What a change brings of them has to be told.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from webhook.proposal.git import Git

LINK, SUBMODULE = "120000", "160000"


def in_revision(git: Git, commit: str, places: Sequence[str]) -> frozenset[str]:
    """Return a line for each link and submodule of a commit in `places`, which count from the repository's top."""
    prefix = git.knows("rev-parse", "--show-prefix") or "."
    listed = git.ask("ls-tree", "-r", "-z", "--full-tree", commit, "--", *places)
    found = set()
    for entry in filter(None, listed.split(b"\0")):
        (mode, _, name), _, path = _parted(entry)
        own = PurePosixPath(path).relative_to(prefix).as_posix()
        if mode == SUBMODULE:
            found.add(_submodule(own, name))
        elif mode == LINK:
            found.add(_link(own, os.fsdecode(git.ask("cat-file", "blob", name))))
    return frozenset(found)


def in_working_tree(git: Git, folders: Sequence[str]) -> frozenset[str]:
    """Return a line for each folder in `folders` that the working tree only points to."""
    return frozenset(_standing(git, folders))


def _standing(git: Git, folders: Sequence[str]) -> Iterator[str]:
    staged = git.ask("ls-files", "-z", "--stage", "--", *folders).split(b"\0")
    names = {path: name for (_, name, *_), _, path in map(_parted, filter(None, staged))}
    others = git.ask("ls-files", "-z", "--others", "--exclude-standard", "--", *folders).split(b"\0")
    for path in sorted({*names, *(os.fsdecode(each).rstrip("/") for each in others if each)}):
        file = git.folder / path
        if not file.is_dir():
            continue
        yield _link(path, str(file.readlink())) if file.is_symlink() else _submodule(path, names.get(path, ""))


def _parted(entry: bytes) -> tuple[list[str], str, str]:
    head, tab, path = os.fsdecode(entry).partition("\t")
    return head.split(" "), tab, path


def _link(path: str, target: str) -> str:
    return f"{path} is left out: it is a link to the folder {target}"


def _submodule(path: str, name: str) -> str:
    return f"{path} is left out: it is a repository of its own{f', at {name[:12]}' * bool(name)}"
