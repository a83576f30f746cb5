"""What of the document the rules read is known from the rules, however they read it."""

from dataclasses import replace
from pathlib import Path

import pytest

from webhook.decision.bundle import Bundle
from webhook.decision.reads import reads
from webhook.errors import PolicyError

RULE = "portcullis/rules/rbac/namespace/namespace.rego"
TIME = ("request", "time")


def with_rule(bundle: Bundle, added: str) -> Bundle:
    return replace(bundle, files={**bundle.files, RULE: bundle.files[RULE] + added.encode()})


def test_no_rule_that_is_shipped_reads_the_time(bundle: Bundle, opa_binary: Path) -> None:
    """So a request that comes again is decided as it was."""
    assert not reads(opa_binary, bundle, TIME)
    assert reads(opa_binary, bundle, ("request", "operation"))
    assert reads(opa_binary, bundle, ("tenants", "Workspace/checkout"))


READING = {
    "plainly": 'deny contains {} if input.request.time > "2026"',
    "within-it": "deny contains {} if input.request.time.hour",
    "in-words": 'deny contains {"message": $"at {input.request.time}"} if true',
    "by-a-key": "deny contains {} if {\n\tsome key\n\tinput.request[key] == 1\n}",
    "with-what-it-stands-in": "deny contains {} if count(input.request) > 9",
    "by-a-path": 'deny contains {} if object.get(input, ["request", "time"], "") == ""',
    "through-a-function": "late(request) if request.time == 1\n\ndeny contains {} if late(input.request)",
    "through-a-name": "asks := input.request\n\ndeny contains {} if asks.time == 1",
}


@pytest.mark.parametrize("added", READING.values(), ids=READING)
def test_a_rule_that_may_read_it_is_seen(added: str, bundle: Bundle, opa_binary: Path) -> None:
    """Whatever may come to the time counts as reading it."""
    assert reads(opa_binary, with_rule(bundle, f"\n{added}\n"), TIME)


def test_rules_that_do_not_compile_are_an_error(bundle: Bundle, opa_binary: Path) -> None:
    """Nothing is said of them."""
    with pytest.raises(PolicyError, match="rego_parse_error"):
        reads(opa_binary, with_rule(bundle, "\ndeny contains {"), TIME)


def test_an_opa_that_is_none_is_an_error(bundle: Bundle, tmp_path: Path) -> None:
    """It is said that it did not run."""
    with pytest.raises(PolicyError, match="opa deps did not run"):
        reads(tmp_path / "none", bundle, TIME)
