"""A document as another version of Portcullis recorded it."""

from typing import Any

import orjson
import pytest

from tests.replay.recorded import Kept
from webhook.replay.shape import as_known

Json = dict[str, Any]


def documents(history: tuple[Kept, ...]) -> list[Json]:
    return [orjson.loads(each.document) for each in history if each.document]


def test_what_this_version_records_is_passed_on(history: tuple[Kept, ...]) -> None:
    """What OPA is asked is what it was asked."""
    assert all(as_known(each.document) == (orjson.loads(each.document), False) for each in history if each.document)


def test_what_is_missing_is_filled_in_at_any_depth(history: tuple[Kept, ...]) -> None:
    """And nothing else changes, what we do not know included."""
    read = next(each for each in documents(history) if each["tenants"] and each["object"])
    tenant = next(iter(read["tenants"].values()))
    whole = orjson.loads(orjson.dumps(read))
    for part, field in ((read, "cover"), (tenant, "baselines"), (tenant, "guardrails")):
        del part[field]
    read["later"], read["object"]["status"] = {"a": [1]}, {"b": 2}
    found, filled = as_known(orjson.dumps(read))
    assert filled
    assert (found["later"], found["object"]["status"]) == ({"a": [1]}, {"b": 2})
    assert found["cover"] is None
    filled_in = next(iter(found["tenants"].values()))
    assert (filled_in["baselines"], filled_in["guardrails"]) == ([], {})
    assert found["request"] == whole["request"]
    assert found["object"]["metadata"] == whole["object"]["metadata"]


NONE: dict[str, bytes] = {
    "no-json": b"{",
    "a-list": b"[]",
    "without-a-request": b'{"user": {"name": "ada", "groups": []}}',
    "empty": b"{}",
}


@pytest.mark.parametrize("document", NONE.values(), ids=NONE)
def test_what_is_no_document_is_refused(document: bytes) -> None:
    """What it lacks is more than what versions differ in."""
    with pytest.raises(ValueError, match=r"Document|column"):
        as_known(document)
