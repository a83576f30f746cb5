"""Records that a change brings itself are told apart from those that whoever runs the review has."""

from pathlib import Path

import pytest

from tests.proposal.repositories import Repository
from webhook.proposal.records import rewritten


@pytest.mark.parametrize("history", ["h.jsonl", "sqlite:///h.jsonl"])
def test_records_that_a_change_writes_are_seen(repository: Repository, history: str) -> None:
    """Changed, added or taken out of git; those that git does not know are somebody else's."""
    first = repository.commit()
    repository.put("h.jsonl", "{}\n")
    assert not rewritten(repository.seen(), first, history)
    commit = repository.commit()
    assert not rewritten(repository.seen(), commit, history)
    repository.put("h.jsonl", "")
    assert rewritten(repository.seen(), commit, history)
    repository.commit()
    assert rewritten(repository.seen(), commit, history)
    repository.git("rm", "-q", "--cached", "h.jsonl")
    assert rewritten(repository.seen(), commit, history)


def test_records_that_a_change_adds_are_seen(repository: Repository) -> None:
    """Whether they are named themselves or by a link."""
    base = repository.commit()
    repository.put("evil.jsonl", "")
    (repository.folder / "h.jsonl").symlink_to("evil.jsonl")
    repository.commit()
    assert rewritten(repository.seen(), base, "h.jsonl")


def test_records_elsewhere_are_nobodys_change(repository: Repository, tmp_path: Path) -> None:
    """A database that others run, or a file outside of the repository."""
    base = repository.commit()
    (tmp_path / "h.jsonl").write_text("")
    for history in (str(tmp_path / "h.jsonl"), "postgresql://x@h.jsonl/h"):
        assert not rewritten(repository.seen(), base, history)
