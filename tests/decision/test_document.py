"""The decision document: its schema is fresh, and every document that we send fits it."""

import copy
import dataclasses
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from tests.cases.reviews import Json
from tests.cases.table import CASES
from webhook.decision.document import Document, check_schema, json_schema
from webhook.gather import gather
from webhook.review.envelope import read_review
from webhook.settings import BREAK_GLASS_GROUPS, bundled_policies
from webhook.tenancy.tree import Tree

NOW = datetime.now(UTC)


def document(review: Json, tree: Tree | None) -> Document:
    return gather(read_review(orjson.dumps(review)), tree, BREAK_GLASS_GROUPS, now=NOW)


def misfits(binary: Path, documents: dict[str, Json], tmp_path: Path) -> Json:
    """Return what OPA's own JSON schema validator has against each document."""
    path = tmp_path / "documents.json"
    path.write_bytes(orjson.dumps({"schema": json_schema(), "documents": documents}))
    query = "{id: told | some id, each in input.documents; [ok, told] := json.match_schema(each, input.schema); not ok}"
    done = subprocess.run(
        [binary, "eval", "--format", "json", "--strict-builtin-errors", "--input", path, query],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout.decode()
    found: Json = orjson.loads(done.stdout)["result"][0]["expressions"][0]["value"]
    return found


def test_the_schema_is_fresh() -> None:
    """The schema beside the Rego is the one that the dataclass has today."""
    stored = (bundled_policies() / "schemas" / "input.json").read_bytes()
    assert stored == check_schema(), "Document has changed: run `make format`, which writes the schema anew"


def test_every_field_is_described() -> None:
    """The schema names every field of the document, so that none of them can be misspelt unseen."""
    schema = json_schema()
    assert set(schema["properties"]) == {each.name for each in dataclasses.fields(Document)}


@pytest.mark.parametrize("loaded", [True, False], ids=["tree", "no-tree"])
def test_every_document_fits_the_schema(loaded: bool, tree: Tree, opa_binary: Path, tmp_path: Path) -> None:  # noqa: FBT001
    """What is sent to OPA for each case of the table is JSON, whole, and of the shape that the Rego is checked by."""
    documents = {
        case.id: orjson.loads(orjson.dumps(document(case.asked.review(), tree if loaded else None))) for case in CASES
    }
    names = {each.name for each in dataclasses.fields(Document)}
    assert [key for key, each in documents.items() if each.keys() != names] == []
    assert misfits(opa_binary, documents, tmp_path) == {}


def test_a_document_of_another_shape_does_not_fit(tree: Tree, opa_binary: Path, tmp_path: Path) -> None:
    """The schema is one that a document can fail."""
    right = orjson.loads(orjson.dumps(document(CASES[0].asked.review(), tree)))
    wrong = {
        "tree": right | {"tree": "yes"},
        "operation": right | {"request": right["request"] | {"operation": "GUESS"}},
        "user": right | {"user": {"name": "ada", "groups": "checkout-team"}},
        "enforcement": right | {"enforcement": {"*": "ignore"}},
        "standing": right | {"places": right["places"] | {"new": right["places"]["new"] | {"standing": "mine"}}},
        "metadata": right | {"object": {"metadata": {"name": 1}}},
        "nothing": {},
    }
    assert misfits(opa_binary, wrong, tmp_path).keys() == wrong.keys()


def test_metadata_is_whole_whatever_was_sent(tree: Tree) -> None:
    """Rules find every field of the metadata that they read, empty where the object left it out or sent a null."""
    review = copy.deepcopy(CASES[0].asked.review())
    review["request"]["object"]["metadata"] = {"name": None, "labels": None, "managedFields": [{"manager": "x"}]}
    found = orjson.loads(orjson.dumps(document(review, tree)))["object"]["metadata"]
    assert found == {
        "name": "",
        "generateName": "",
        "namespace": "",
        "labels": {},
        "annotations": {},
        "finalizers": [],
        "ownerReferences": [],
        "deletionTimestamp": "",
    }


def test_a_document_without_a_tree_says_so(tree: Tree) -> None:
    """While the tree is not loaded the document holds the request alone, so that no rule decides on half of it."""
    review = CASES[0].asked.review()
    without = document(review, None)
    assert not without.tree
    assert (without.tenants, without.enforcement, without.organization, without.reaches) == ({}, {}, "", ())
    assert document(review, tree).tree


def test_a_document_holds_no_more_of_the_tree_than_the_request_needs(tree: Tree) -> None:
    """Who asks about one workspace hands OPA that workspace, its project and the organization, and no other tenant."""
    found = document(CASES[0].asked.review(), tree)
    assert set(found.tenants) == {"Workspace/checkout", "Project/payments", "Organization/acme"}
