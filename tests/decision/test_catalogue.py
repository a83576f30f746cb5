"""What the rules say of themselves: read as OPA reads it, and true."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from webhook.decision.bundle import Bundle, read_policies
from webhook.decision.catalogue import Guardrail, RulePage, read_catalogue
from webhook.errors import PolicyError
from webhook.model import Policies
from webhook.settings import bundled_policies
from webhook.tenancy.specs import read_tenant

Json = dict[str, Any]
POLICIES = bundled_policies()
PAGES = read_catalogue(read_policies(POLICIES))


def opa(binary: Path, *arguments: str | Path) -> Any:
    done = subprocess.run([binary, *arguments], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return orjson.loads(done.stdout)


def source(page: RulePage) -> str:
    folder = POLICIES / "portcullis" / "rules" / page.id.replace("-", "_")
    return (folder / f"{folder.name}.rego").read_text()


def test_it_is_what_opa_reads(opa_binary: Path) -> None:
    """Title, description, severity, remediation and addresses of every rule, letter for letter."""
    inspected = opa(opa_binary, "inspect", "--annotations", "--format", "json", POLICIES)["annotations"]
    told = {
        "/".join(part["value"] for part in each["path"][-2:]).replace("_", "-"): each["annotations"]
        for each in inspected
        if each["annotations"]["scope"] == "package"
        and [part["value"] for part in each["path"][1:3]] == ["portcullis", "rules"]
    }
    assert sorted(told) == [page.id for page in PAGES]
    for page in PAGES:
        found = told[page.id]
        assert (page.title, page.description) == (found["title"], found["description"])
        assert (page.severity, page.remediation) == (found["custom"]["severity"], found["custom"]["remediation"])
        assert list(page.related_resources) == [each["ref"] for each in found["related_resources"]]


@pytest.fixture(scope="module")
def never_softened(opa_binary: Path) -> set[str]:
    """The rules that the decision never softens, whatever they make of a violation."""
    command = ("eval", "--format", "raw", "--data", str(POLICIES), "data.portcullis.validate.never_softened")
    return set(opa(opa_binary, *command))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.id)
def test_how_far_it_is_softened_is_told_in_the_metadata(page: RulePage, never_softened: set[str]) -> None:
    """`softened: never` where the decision or every violation of the rule says so, `partly` where some of them do."""
    calls = set(re.findall(r"result\.(violation|fixed)\(", source(page)))
    wanted = "partly" if "fixed" in calls else "fully"
    if page.id in never_softened or calls == {"fixed"}:
        wanted = "never"
    assert page.softened == wanted, f"its METADATA needs `custom: softened: {wanted}` (nothing for fully)"


GUARDRAILS = (
    "fromAnywhere",
    "toAnywhere",
    "allNamespaces",
    "protectedCIDRs",
    "crossProject",
    "hostNetwork",
    "notUnderstood",
)


@pytest.mark.parametrize("key", GUARDRAILS)
def test_a_guardrail_is_declared_by_a_rule_that_reads_it(key: str) -> None:
    """Its key and default stand in the METADATA of one rule, as `custom: guardrail` and `default`."""
    value = ["10.0.0.0/8"] if key == "protectedCIDRs" else "Deny"
    assert key in read_tenant("Project", "p", {"guardrails": {key: value}}).guardrails
    code = {page.id: re.sub(r"^#.*", "", source(page), flags=re.MULTILINE) for page in PAGES}
    reading = {name for name, text in code.items() if name.startswith("guardrail/") and re.search(rf"\b{key}\b", text)}
    declaring = {page.id for page in PAGES if page.guardrail and page.guardrail.key == key}
    assert len(declaring) <= 1
    assert declaring or not reading, f"one of {reading} needs `custom: guardrail: {key}` and `default` in its METADATA"


@pytest.mark.parametrize("page", [each for each in PAGES if each.guardrail], ids=lambda page: page.id)
def test_the_default_of_a_guardrail_is_one_that_the_rules_know(page: RulePage) -> None:
    """What the METADATA says stands in the rule or in what guardrails have in common."""
    assert page.guardrail
    default = page.guardrail.default
    values = (default,) if isinstance(default, str) else default
    code = re.sub(r"^#.*", "", source(page), flags=re.MULTILINE)
    shared = (POLICIES / "portcullis" / "guardrails" / "guardrails.rego").read_text()
    assert values
    assert [each for each in values if f'"{each}"' not in code + shared] == []


def test_every_guardrail_is_one_that_a_tenant_sets() -> None:
    """No rule declares a key that the tree would refuse."""
    assert {page.guardrail.key for page in PAGES if page.guardrail} <= set(GUARDRAILS)


def bundle_of(metadata: str) -> Bundle:
    text = f"{metadata}package portcullis.rules.a_b.c_d\n\ndeny := set()\n"
    files = {"portcullis/rules/a_b/c_d/c_d.rego": text.encode()}
    return Bundle(files, Policies("r", frozenset({"a-b/c-d"})))


WHOLE = """# METADATA
# title: T
# description: >-
#   one
#   two
# related_resources:
#   - https://example.com/a
#   - ref: https://example.com/b
#     description: B
# custom:
#   severity: low
#   remediation: R
#   softened: never
#   guardrail: protectedCIDRs
#   default: [10.0.0.0/8]
"""
PLAIN = RulePage("a-b/c-d", "", "", "high", "", "fully", (), None)
READ: dict[str, tuple[str, RulePage]] = {
    "all of it": (
        WHOLE,
        RulePage(
            "a-b/c-d",
            "T",
            "one two",
            "low",
            "R",
            "never",
            ("https://example.com/a", "https://example.com/b"),
            Guardrail("protectedCIDRs", ("10.0.0.0/8",)),
        ),
    ),
    "nothing": ("", PLAIN),
    "a comment": ("# title: T\n", PLAIN),
    "empty METADATA": ("# METADATA\n# {}\n", PLAIN),
    "what is not ours": ("# METADATA\n# authors: [a]\n# title: T\n# custom: {x: 1}\n", replace(PLAIN, title="T")),
    "another's above": ("# METADATA\n# title: X\nx := 1\n\n# METADATA\n# title: T\n", replace(PLAIN, title="T")),
}


@pytest.mark.parametrize(("metadata", "page"), READ.values(), ids=READ.keys())
def test_a_rule_is_described_as_far_as_it_describes_itself(metadata: str, page: RulePage) -> None:
    """A rule of somebody else's policies has a page, too."""
    assert read_catalogue(bundle_of(metadata)) == (page,)


WRONG: dict[str, tuple[str, str]] = {
    "no YAML": ("# METADATA\n# title: [\n", "c_d.rego: the METADATA is no YAML"),
    "a title that is none": ("# METADATA\n# title: [T]\n", "c_d.rego: METADATA, title: "),
    "an unknown way to soften": ("# METADATA\n# custom: {softened: no}\n", "METADATA, custom.softened: "),
    "no map": ("# METADATA\n# text\n", "c_d.rego: METADATA, "),
}


@pytest.mark.parametrize(("metadata", "reason"), WRONG.values(), ids=WRONG.keys())
def test_metadata_that_cannot_be_read_is_an_error(metadata: str, reason: str) -> None:
    """With the file, and in one line."""
    with pytest.raises(PolicyError, match=re.escape(reason)) as error:
        read_catalogue(bundle_of(metadata))
    assert "\n" not in str(error.value)
