"""A small folder of policies that passes the gate, to be broken in one place at a time."""

from pathlib import Path

RULE = "portcullis/rules/demo/small/small.rego"
TESTS = "portcullis/rules/demo/small/small_test.rego"
FILES = {
    ".manifest": '{"roots": ["portcullis"], "rego_version": 1}',
    RULE: """# METADATA
# title: Small
# description: A rule to break.
# related_resources:
#   - ref: https://kubernetes.io/
# custom:
#   severity: high
#   remediation: Ask somebody known.
package portcullis.rules.demo.small

deny contains violation if {
	input.request.operation == "CREATE"
	not known
	violation := {"rule": "demo/small", "message": $"{input.user.name} may not"}
}

known if input.user.name in {"ada", "bo"}
""",
    TESTS: """package portcullis.rules.demo.small_test

import data.portcullis.rules.demo.small

by(operation, name) := {"request": {"operation": operation}, "user": {"name": name}}

test_allow_empty_document if small.deny == set() with input as {}

test_allow_known if small.deny == set() with input as by("CREATE", "ada")

test_allow_delete if small.deny == set() with input as by("DELETE", "zed")

test_deny_unknown if {
	small.deny == {{"rule": "demo/small", "message": "zed may not"}} with input as by("CREATE", "zed")
}
""",
}


def write_small(folder: Path) -> Path:
    """Write the policies into a new folder, and return it."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def change(folder: Path, file: str, was: str, now: str) -> None:
    """Write `now` for `was`, which stands once in a file; for all of a file where `was` is empty."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text() if was else ""
    assert text.count(was) == 1
    path.write_text(text.replace(was, now) if was else now)
