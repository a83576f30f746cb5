"""The documents of the case table."""

from collections.abc import Sequence
from datetime import UTC, datetime

import orjson
import pytest

from tests.cases.table import CASES
from webhook.decision.document import Document
from webhook.gather import gather
from webhook.review.envelope import read_review
from webhook.settings import BREAK_GLASS_GROUPS
from webhook.tenancy.tree import Tree

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def documents(tree: Tree) -> Sequence[Document]:
    """What is decided on in each case of the table."""
    reviews = (read_review(orjson.dumps(case.asked.review())) for case in CASES)
    return [gather(each, tree, BREAK_GLASS_GROUPS, now=NOW) for each in reviews]
