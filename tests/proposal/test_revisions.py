"""Both sides of a change are laid out as they are, and nothing that the repository says is run or followed outside."""

import os
from pathlib import Path

import pytest

from tests.proposal.repositories import Repository, new_repository
from webhook.errors import ProposalError
from webhook.proposal import git as module
from webhook.proposal import revisions
from webhook.proposal.git import Git, repository
from webhook.proposal.revisions import Compared, changed, commit_of, lay_out, within


def laid(made: Repository, scratch: Path, base: str = "HEAD", *folders: str) -> Compared:
    return lay_out(made.seen(), base, folders or ("deploy",), scratch / "laid")


def contents(root: Path) -> dict[str, str]:
    return {file.relative_to(root).as_posix(): file.read_text() for file in root.rglob("*") if file.is_file()}


def test_the_head_is_the_working_tree_with_what_git_does_not_know_yet(repository: Repository, tmp_path: Path) -> None:
    """Changed, new and deleted files count as they stand; ignored ones and what is no manifest are left out."""
    repository.write(deploy__a_yaml="a: 1", deploy__b_yaml="b: 1", other__c_yaml="c: 1")
    commit = repository.commit()
    repository.write(deploy__a_yaml="a: 2", deploy__new__d_yaml="d: 1", deploy__ignored_yaml="e: 1")
    repository.put(".gitignore", "ignored.yaml\n")
    repository.put("deploy/notes.txt", "no manifest")
    (repository.folder / "deploy/b.yaml").unlink()
    found = laid(repository, tmp_path)
    assert found.commit == commit
    assert contents(found.base.root) == {"deploy/a.yaml": "a: 1", "deploy/b.yaml": "b: 1"}
    assert contents(found.head.root) == {"deploy/a.yaml": "a: 2", "deploy/new/d.yaml": "d: 1"}
    assert not found.base.warnings + found.head.warnings


def test_a_folder_in_the_repository_is_reviewed_by_its_own_paths(repository: Repository, tmp_path: Path) -> None:
    """Who stands in a folder names what is in it."""
    repository.write(team__deploy__a_yaml="a: 1", deploy__b_yaml="b: 1")
    repository.commit()
    repository.write(team__deploy__a_yaml="a: 2")
    here = Git(repository.folder / "team", repository.variables)
    found = lay_out(here, "HEAD", ["deploy"], tmp_path / "laid")
    assert (contents(found.base.root), contents(found.head.root)) == (
        {"deploy/a.yaml": "a: 1"},
        {"deploy/a.yaml": "a: 2"},
    )


@pytest.mark.parametrize("side", ["base", "head"])
@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/etc/hostname", id="absolute"),
        pytest.param("../../../../../../../../etc/hostname", id="upwards"),
        pytest.param("nowhere.yaml", id="dangling"),
        pytest.param("link.yaml", id="itself"),
    ],
)
def test_a_link_that_leads_out_is_not_read(repository: Repository, tmp_path: Path, side: str, target: str) -> None:
    """What a pull request links to outside of the repository, or to nothing, is told and left out."""
    repository.write(deploy__a_yaml="a: 1")
    if side == "head":
        repository.commit()
    (repository.folder / "deploy/link.yaml").symlink_to(target)
    if side == "base":
        repository.commit()
        (repository.folder / "deploy/link.yaml").unlink()
    found = laid(repository, tmp_path)
    assert contents(found.base.root) == contents(found.head.root) == {"deploy/a.yaml": "a: 1"}
    (told,) = (found.base if side == "base" else found.head).warnings
    assert told.startswith("deploy/link.yaml is left out: it is a link that leads")


def test_a_link_within_the_repository_is_followed(repository: Repository, tmp_path: Path) -> None:
    """As kubectl follows it, on both sides."""
    repository.write(shared__a_yaml="a: 1")
    repository.put("deploy/b.yaml", "b: 1")
    (repository.folder / "deploy/a.yaml").symlink_to("../shared/a.yaml")
    repository.commit()
    found = laid(repository, tmp_path)
    assert contents(found.base.root) == contents(found.head.root) == {"deploy/a.yaml": "a: 1", "deploy/b.yaml": "b: 1"}


def test_git_metadata_is_not_read_through_a_link(repository: Repository, tmp_path: Path) -> None:
    """A checkout's credentials stand in .git/config."""
    repository.write(deploy__a_yaml="a: 1")
    repository.commit()
    repository.put(".git/secret.yaml", "token: 1")
    (repository.folder / "deploy/link.yaml").symlink_to("../.git/secret.yaml")
    assert "deploy/link.yaml" not in contents(laid(repository, tmp_path).head.root)


@pytest.mark.parametrize(
    ("settings", "attributes"),
    [
        pytest.param({"core.fsmonitor": "{}"}, "", id="monitor"),
        pytest.param({"filter.evil.smudge": "{}", "filter.evil.clean": "{}"}, "* filter=evil", id="filter"),
        pytest.param({"diff.evil.textconv": "{}", "diff.external": "{}"}, "* diff=evil", id="diff"),
        pytest.param({"core.pager": "{}", "pager.ls-tree": "{}"}, "", id="pager"),
        pytest.param({"core.hooksPath": "hooks"}, "", id="hooks"),
        pytest.param({"alias.ls-tree": "!{}", "core.sshCommand": "{}"}, "", id="alias"),
    ],
)
def test_nothing_that_the_repository_names_is_run(
    repository: Repository, tmp_path: Path, settings: dict[str, str], attributes: str
) -> None:
    """Neither filters nor monitors, hooks, pagers or aliases of an untrusted repository."""
    repository.write(deploy__a_yaml="a: 1")
    repository.put(".gitattributes", attributes)
    repository.commit()
    ran = tmp_path / "ran"
    program = tmp_path / "evil"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    for hook in ("post-index-change", "pre-commit", "post-checkout", "reference-transaction"):
        repository.put(f"hooks/{hook}", program.read_text())
        (repository.folder / "hooks" / hook).chmod(0o755)
    for key, value in settings.items():
        repository.git("config", key, value.format(program))
    repository.write(deploy__a_yaml="a: 2")
    found = laid(repository, tmp_path)
    assert contents(found.base.root) == {"deploy/a.yaml": "a: 1"}
    assert contents(found.head.root) == {"deploy/a.yaml": "a: 2"}
    assert not ran.exists()


def test_attributes_hide_nothing_of_the_base(repository: Repository, tmp_path: Path) -> None:
    """`export-ignore` is for archives, and a review compares all."""
    repository.write(deploy__a_yaml="a: $Id$")
    repository.put(".gitattributes", "* export-ignore export-subst ident")
    repository.commit()
    assert contents(laid(repository, tmp_path).base.root) == {"deploy/a.yaml": "a: $Id$"}


def test_a_replaced_object_is_not_the_one_that_counts(repository: Repository, tmp_path: Path) -> None:
    """refs/replace would show another base."""
    repository.write(deploy__a_yaml="a: 1")
    first = repository.commit()
    repository.write(deploy__a_yaml="a: 2")
    second = repository.commit()
    repository.git("replace", first, second)
    assert contents(laid(repository, tmp_path, first).base.root) == {"deploy/a.yaml": "a: 1"}


def test_what_a_hook_says_of_another_index_is_not_asked(repository: Repository, tmp_path: Path) -> None:
    """Run by a hook, git has told us of a repository that may be another one."""
    repository.write(deploy__a_yaml="a: 1")
    repository.commit()
    other = new_repository(tmp_path / "other", dict(os.environ))
    told = {"GIT_DIR": str(other.folder / ".git"), "GIT_INDEX_FILE": "nowhere", "GIT_WORK_TREE": str(other.folder)}
    seen = module.repository(repository.folder, {**repository.variables, **told})
    assert contents(lay_out(seen, "HEAD", ["deploy"], tmp_path / "laid").head.root) == {"deploy/a.yaml": "a: 1"}


def test_a_working_tree_elsewhere_is_refused(repository: Repository, tmp_path: Path) -> None:
    """The configuration of the repository does not say which folder is read."""
    repository.commit()
    repository.git("config", "core.worktree", str(tmp_path))
    repository.git("config", "core.bare", "false")
    (tmp_path / "elsewhere").mkdir()
    repository.git("config", "core.worktree", str(tmp_path / "elsewhere"))
    with pytest.raises(ProposalError):
        repository.seen()


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        pytest.param("--output=x", "is no revision: name a branch, a tag or a commit", id="an option"),
        pytest.param("", "is no revision", id="empty"),
        pytest.param("nowhere", "fetch it by `git fetch --depth=1 origin nowhere`", id="unknown"),
        pytest.param(
            "origin/main",
            "`git fetch --depth=1 origin main:refs/remotes/origin/main`",
            id="a branch of a remote",
        ),
        pytest.param("HEAD:deploy", "is no commit here", id="a folder"),
        pytest.param("HEAD; touch x", "is no commit here", id="a command"),
    ],
)
def test_a_revision_that_is_not_there_is_told_with_what_to_do(repository: Repository, revision: str, said: str) -> None:
    """What CI needs is told in the one line."""
    repository.write(deploy__a_yaml="a: 1")
    repository.commit()
    with pytest.raises(ProposalError) as error:
        commit_of(repository.seen(), revision)
    assert said in str(error.value)


def test_a_shallow_clone_is_told_what_to_fetch(repository: Repository, tmp_path: Path) -> None:
    """As a CI's checkout has it."""
    repository.write(deploy__a_yaml="a: 1")
    repository.commit()
    repository.write(deploy__a_yaml="a: 2")
    repository.commit()
    repository.git("clone", "-q", "--depth=1", f"file://{repository.folder}", str(tmp_path / "clone"))
    with pytest.raises(ProposalError, match="is not in this shallow clone: fetch it first, by `git fetch --depth=1"):
        commit_of(Git(tmp_path / "clone", repository.variables), "origin/release")


def test_what_is_no_repository_is_told(tmp_path: Path) -> None:
    """With what git says."""
    with pytest.raises(ProposalError, match="not a git repository"):
        repository(tmp_path, {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path)})


def test_a_missing_git_is_told(repository: Repository) -> None:
    """Nothing else can be compared without it."""
    with pytest.raises(ProposalError, match="install git"):
        Git(repository.folder, repository.variables, program="no-such-git").ask("status")


def test_a_folder_outside_is_refused(repository: Repository) -> None:
    """A review compares what is in the folder."""
    with pytest.raises(ProposalError, match=r"--tenancy .* is outside of"):
        within(repository.folder.parent / "other", repository.folder, "--tenancy")


def test_what_is_too_large_is_laid_as_large_as_it_takes_to_be_refused(repository: Repository, tmp_path: Path) -> None:
    """Whoever reads a manifest of more than 8 MiB says so; the disk is not filled before."""
    repository.put("deploy/big.yaml", "#" * (9 * 1024 * 1024))
    repository.commit()
    found = laid(repository, tmp_path)
    sizes = {(side.root / "deploy/big.yaml").stat().st_size for side in (found.base, found.head)}
    assert sizes == {revisions.LARGEST}


def test_sides_differ_by_names_and_bytes(tmp_path: Path) -> None:
    """One file is compared as a folder is."""
    for side in ("a", "b"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "x.yaml").write_text("same")
    assert not changed(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b/x.yaml").rename(tmp_path / "b/y.yaml")
    assert changed(tmp_path / "a", tmp_path / "b")
    assert changed(tmp_path / "a/x.yaml", tmp_path / "nowhere")
