"""A repository of its own for each test."""

import os
from pathlib import Path

import pytest

from tests.proposal.repositories import Repository, new_repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with nothing in it."""
    return new_repository(tmp_path / "repository", dict(os.environ))
