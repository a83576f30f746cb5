"""A SARIF log is one by the published schema, whatever it tells of."""

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cli.output.published import ID, sarif_schema
from webhook.cli.output import Note, Rule, Spot
from webhook.cli.output.sarif import SCHEMA, sarif

Json = dict[str, Any]
NASTY = "a\x00b\x1b[31m<b>|`&\"'\ud800\ufffe\U0001f512\n::x"
RULES = [
    Rule("b/whole", "Title", "What *it* says", "high", "Do `this` <now>", "https://example.org/a?b=c"),
    Rule("a/bare", "", severity="odd"),
]


@pytest.fixture(scope="session")
def schema() -> Json:
    """The published schema."""
    return sarif_schema(os.environ)


def problems(schema: Json, log: Json) -> list[str]:
    return [each.message for each in jsonschema.Draft4Validator(schema).iter_errors(log)]


def test_every_log_is_one(schema: Json, tmp_path: Path) -> None:
    """With and without findings, rules, files, lines and names that make sense."""
    files = [tmp_path / "a b.yaml", tmp_path / "a\n|\udcff\U0001f512%2F", Path("/else.yaml")]
    spots = [*(Spot(file, 3, 7) for file in files), Spot(files[0]), None]
    notes = [Note("b/whole", "error", NASTY, (NASTY, "dev/NetworkPolicy/web"), "0123", spot) for spot in spots]
    for root in (tmp_path, None):
        for every in (notes, []):
            assert problems(schema, json.loads(sarif(every, RULES, root=root))) == []
    assert SCHEMA == ID


def test_the_schema_refuses_what_is_none(schema: Json) -> None:
    """Or the test above would say nothing."""
    log = json.loads(sarif([Note("b/whole", "error", "m", ("t",), "", Spot(Path("a"), 1))], RULES))
    log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0
    assert problems(schema, log)


def test_a_rule_tells_what_to_do(schema: Json) -> None:
    """As text and as Markdown in which nothing of it is markup, with where to read on."""
    (run,) = json.loads(sarif([], RULES))["runs"]
    whole = run["tool"]["driver"]["rules"][1]
    assert whole["help"]["text"] == "Do `this` <now>"
    assert whole["help"]["markdown"] == (
        "**Title**\n\nDo \\`this\\` &lt;now&gt;\n\nWhat \\*it\\* says\n\n[Read on](https://example.org/a?b=c)"
    )
    assert whole["helpUri"] == "https://example.org/a?b=c"
    assert schema["definitions"]["reportingDescriptor"]["properties"]["helpUri"]


def test_the_same_finding_has_the_same_fingerprint_wherever_it_moves(tmp_path: Path) -> None:
    """Lines are no part of it."""
    logs = [
        json.loads(sarif([Note("b/whole", "error", "m", ("t",), "0123", Spot(tmp_path / "a", line))], RULES))
        for line in (1, 9)
    ]
    prints = [log["runs"][0]["results"][0]["partialFingerprints"] for log in logs]
    assert prints == [{"portcullis/v1": "0123"}] * 2
