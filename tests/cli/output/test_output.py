"""What is written for other programs can be read by them, whatever somebody has called a thing."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

from webhook.cli.output import Note, Rule, Spot
from webhook.cli.output.junit import junit
from webhook.cli.output.sarif import sarif

NASTY = "a\x00b\x1b[31m<![CDATA[ ]]>&\"'\ud800\ufffe\U0001f512"
"""A name that nobody should have: control characters, markup, half a character, and one that is fine."""


def note(rule: str = "guardrail/to-anywhere", thing: str = "dev/NetworkPolicy/web", spot: Spot | None = None) -> Note:
    return Note(rule, "error", f"{thing} opens", (thing,), "0123", spot)


def test_xml_holds_what_xml_can_hold() -> None:
    """Everything else is replaced, and nothing of it is taken for markup."""
    written = junit([f"dev/NetworkPolicy/{NASTY}"], [note(NASTY, f"dev/NetworkPolicy/{NASTY}")], fails=lambda _: True)
    root = ET.fromstring(written.encode())  # noqa: S314 - our own
    name = root[0][0].get("name") or ""
    assert name.startswith("NetworkPolicy/a\ufffdb\ufffd[31m<![CDATA[ ]]>&\"'")
    assert name.endswith("\U0001f512")
    assert "[31m<![CDATA[ ]]>&" in (root[0][0][0].text or "")


def test_a_thing_is_one_case_however_much_is_told_of_it() -> None:
    """With one failure, which is what readers take; what is told of a thing that was not listed is a case as well."""
    notes = [note(), note("guardrail/from-anywhere"), note("scan/stray", "other/NetworkPolicy/web")]
    written = junit(["dev/NetworkPolicy/web"], notes, fails=lambda each: each.rule != "scan/stray")
    root = ET.fromstring(written.encode())  # noqa: S314 - our own
    assert [each.get("name") for each in root] == ["dev", "other"]
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    (failure,) = root[0][0]
    assert failure.get("message") == "guardrail/to-anywhere, guardrail/from-anywhere"
    assert [each.tag for each in root[1][0]] == ["system-out"]


def test_files_are_told_relative_to_where_they_are_read_from(tmp_path: Path) -> None:
    """As a code host wants them; one from elsewhere is told whole, and a line that is not known is left out."""
    within = note(spot=Spot(tmp_path / "a folder" / "web.yaml", 3, 7))
    elsewhere = note(spot=Spot(Path("/elsewhere/web.yaml")))
    (run,) = json.loads(sarif([within, elsewhere, note()], [], root=tmp_path))["runs"]
    places = [each["locations"][0].get("physicalLocation") for each in run["results"]]
    assert places == [
        {
            "artifactLocation": {"uri": "a%20folder/web.yaml", "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": 3, "startColumn": 7},
        },
        {"artifactLocation": {"uri": "file:///elsewhere/web.yaml"}},
        None,
    ]


def test_a_rule_tells_of_itself_what_it_has() -> None:
    """Without a description its title is taken; an unknown severity has no score."""
    rules = [
        Rule("b/whole", "Title", "Description", "high", "Do", "https://example.org"),
        Rule("a/bare", "Bare", severity="odd"),
    ]
    (run,) = json.loads(sarif([note("b/whole")], rules))["runs"]
    bare, whole = run["tool"]["driver"]["rules"]
    assert (bare["fullDescription"]["text"], bare["properties"]["tags"]) == ("Bare", ["security", "a"])
    assert not {"help", "helpUri"} & set(bare)
    assert "security-severity" not in bare["properties"]
    assert (whole["helpUri"], whole["help"]["text"]) == ("https://example.org", "Do")
    assert run["results"][0]["ruleIndex"] == 1
