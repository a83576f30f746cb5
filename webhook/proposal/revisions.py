"""
Both sides of a change: what the base revision holds, and what stands in the working tree.

Each is laid into a folder of its own, by the same relative paths, so that whatever is judged afterwards reads plain
files and no link can lead out of it. The working tree is what git would take: tracked files as they stand, and
untracked ones that are not ignored.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from webhook.errors import ProposalError
from webhook.proposal.elsewhere import in_revision, in_working_tree
from webhook.proposal.git import Git

MOST_FILES = 20_000
MOST_BYTES = 512 * 1024 * 1024
"""Of all files of one side: a change that nobody has looked at yet must not fill the disk."""
LARGEST = 8 * 1024 * 1024 + 1
"""Of one file: whoever reads it refuses it by then, and says so."""
SUFFIXES = frozenset({".yaml", ".yml", ".json", ".rego"})
NAMES = frozenset({".manifest"})
_REMOTE = re.compile(r"(?:refs/remotes/)?(?P<remote>[\w.-]+)/(?P<branch>[\w./-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Side:
    """
    One side of a change: its files lie under `root` by their paths relative to the folder that is reviewed.

    `warnings` say what is left out, `elsewhere` which folders are that git points to and does not hold.
    """

    root: Path
    name: str
    warnings: tuple[str, ...] = ()
    elsewhere: frozenset[str] = frozenset()

    def has(self, folder: str) -> bool:
        """Say whether there is anything in `folder`."""
        return (self.root / folder).exists()


@dataclass(frozen=True, slots=True)
class Compared:
    """Both sides, and the commit that `base` is."""

    base: Side
    head: Side
    commit: str


def commit_of(git: Git, revision: str) -> str:
    """Return the commit that `revision` names; raises `ProposalError` that says how to have one that is not here."""
    if not revision or revision.startswith("-"):
        raise ProposalError(
            f"--base {revision!r} is no revision: name a branch, a tag or a commit, such as origin/main"
        )
    commit = git.knows("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit:
        return commit
    found = _REMOTE.fullmatch(revision)
    fetch = f"git fetch --depth=1 {_refspec(found) if found else f'origin {revision}'}"
    if git.knows("rev-parse", "--is-shallow-repository") == "true":
        raise ProposalError(f"--base {revision} is not in this shallow clone: fetch it first, by `{fetch}`")
    raise ProposalError(f"--base {revision} is no commit here: fetch it by `{fetch}`, or name another revision")


def _refspec(remote: "re.Match[str]") -> str:
    branch = remote["branch"]
    return f"{remote['remote']} {branch}:refs/remotes/{remote['remote']}/{branch}"


def within(folder: Path, here: Path, flag: str) -> str:
    """Return `folder` relative to `here`, in which it has to be; raises `ProposalError` with the name of the flag."""
    relative = os.path.normpath(os.path.relpath(folder, here))
    if relative.startswith(".."):
        raise ProposalError(f"{flag} {folder} is outside of {here}: a review compares folders that are in it")
    return relative


def lay_out(git: Git, revision: str, folders: Sequence[str], scratch: Path) -> Compared:
    """
    Lay what both sides hold in `folders` into `scratch`.

    Raises `ProposalError` where the revision is unknown, or there is too much.
    """
    commit = commit_of(git, revision)
    base, head = scratch / "base", scratch / "head"
    for each in (base, head):
        each.mkdir(parents=True)
    if not folders:
        return Compared(Side(base, revision), Side(head, "the working tree"), commit)
    lost = tuple(_lay_revision(git, commit, folders, base))
    refused = tuple(_lay_working_tree(git, folders, head))
    prefix = git.knows("rev-parse", "--show-prefix")
    before = in_revision(git, commit, [_at(prefix, each) for each in folders])
    after = in_working_tree(git, folders)
    return Compared(Side(base, revision, lost, before), Side(head, "the working tree", refused, after), commit)


def _wanted(path: str) -> bool:
    name = PurePosixPath(path)
    return name.suffix in SUFFIXES or name.name in NAMES


def _lay_revision(git: Git, commit: str, folders: Sequence[str], root: Path) -> Iterator[str]:
    """Lay the files of a commit; yields what is left out."""
    prefix = git.knows("rev-parse", "--show-prefix")
    # No attribute of the repository is asked: `git archive` would leave files out for it, and filter others.
    listed = git.ask("ls-tree", "-r", "-z", "--full-tree", commit, "--", *(_at(prefix, each) for each in folders))
    every = [os.fsdecode(entry).partition("\t") for entry in listed.split(b"\0") if entry]
    paths = [path for mode, _, path in every if _wanted(path) and not mode.startswith("160000")]
    odd = [path for path in paths if "\n" in path]
    paths = [path for path in paths if "\n" not in path]
    yield from (f"{path!r} is left out: its name has a line break" for path in odd)
    _bound(len(paths), 0)
    total = 0
    for path, content in _contents(git, commit, paths):
        own = PurePosixPath(path).relative_to(prefix or ".").as_posix()
        if content is None:
            yield f"{own} is left out: it is a link that leads out of the repository, or nowhere"
            continue
        total += len(content)
        _bound(0, total)
        _write(root / own, content)


def _at(prefix: str, folder: str) -> str:
    return os.path.normpath(f"{prefix}{folder}")


def _contents(git: Git, commit: str, paths: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
    """Yield the content of each path, links within the commit followed; None for what cannot be had."""
    sizes = _sizes(git, commit, paths)
    _bound(0, sum(size for size in sizes if size is not None))
    there = [path for path, size in zip(paths, sizes, strict=True) if size is not None and size < LARGEST]
    asked = "".join(f"{commit}:{path}\n" for path in there)
    answer = git.ask("cat-file", "--batch", "--follow-symlinks", given=os.fsencode(asked)) if there else b""
    contents, at = dict[str, bytes](), 0
    for path in there:
        end = answer.index(b"\n", at)
        length = int(answer[at:end].split(b" ")[2])
        contents[path] = answer[end + 1 : end + 1 + length]
        at = end + 2 + length
    for path, size in zip(paths, sizes, strict=True):
        # What is too large is laid as large as it takes to be refused.
        yield path, None if size is None else contents.get(path, b" " * LARGEST)


def _sizes(git: Git, commit: str, paths: Sequence[str]) -> list[int | None]:
    """Return how large each path is, None for a link that leads nowhere in the commit or to a folder."""
    if not paths:
        return []
    asked = "".join(f"{commit}:{path}\n" for path in paths)
    answer = git.ask("cat-file", "--batch-check", "--follow-symlinks", given=os.fsencode(asked))
    lines = iter(answer.splitlines())
    sizes: list[int | None] = []
    for line in lines:
        words = line.split(b" ")
        if len(words) == 2 and words[0] in {b"symlink", b"dangling", b"loop", b"notdir"}:
            next(lines)  # the second line says what the link says
            sizes.append(None)
        elif line.endswith(b" missing"):
            raise ProposalError("the base revision is not all here: a partial clone has to be fetched whole first")
        else:
            sizes.append(int(words[2]) if words[1] == b"blob" else None)
    return sizes


def _lay_working_tree(git: Git, folders: Sequence[str], root: Path) -> Iterator[str]:
    """Lay the files that stand in the working tree; yields what is left out."""
    listed = git.ask("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders)
    paths = sorted({path for entry in listed.split(b"\0") if entry and _wanted(path := os.fsdecode(entry))})
    _bound(len(paths), 0)
    top = Path(os.fsdecode(git.ask("rev-parse", "--show-toplevel")).removesuffix("\n")).resolve()
    total = 0
    for path in paths:
        file = git.folder / path
        if not os.path.lexists(file):
            continue  # deleted, and not yet told to git
        refused = _refused(file, top)
        if refused:
            yield f"{path} is left out: {refused}"
            continue
        content = _read(file)
        total += len(content)
        _bound(0, total)
        _write(root / path, content)


def _refused(file: Path, top: Path) -> str:
    """Say why a file of the working tree is not read, empty where it is."""
    real = Path(os.path.realpath(file))
    if not real.is_relative_to(top) or real.is_relative_to(top / ".git"):
        return "it is a link that leads out of the repository"
    try:
        mode = real.stat().st_mode
    except OSError:
        return "it is a link that leads nowhere"
    return "" if stat.S_ISREG(mode) else "it is no regular file"


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(LARGEST)
    except OSError as error:
        raise ProposalError(f"{file} cannot be read: {error.strerror}") from error


def _bound(files: int, size: int) -> None:
    if files > MOST_FILES or size > MOST_BYTES:
        raise ProposalError(
            f"there is too much to compare, more than {MOST_FILES} files or {MOST_BYTES // 1024**2} MiB: "
            "name the folders of --policies, --tenancy and --manifests more narrowly"
        )


def _write(file: Path, content: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as error:
        raise ProposalError(f"the files to compare cannot be laid ready: {error}") from error


def changed(base: Path, head: Path) -> bool:
    """Say whether two sides of a file or folder differ."""
    return _contents_of(base) != _contents_of(head)


def _contents_of(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}
