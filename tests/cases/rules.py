"""
Bundles with more rules than the shipped ones: copies of those under other names and for other kinds.

A copy is the rule itself, with its METADATA and what it imports, so it costs what the rule costs; what it looks at is
spread over `KINDS`, as the rules of a large house are, or is one kind for all.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from webhook.decision.bundle import Bundle, read_policies, rule_of

COVERED = (
    "NetworkPolicy.networking.k8s.io",
    "CiliumNetworkPolicy.cilium.io",
    "Namespace",
    "Pod",
    "Workspace.portcullis.dev",
    "NetworkBaseline.portcullis.dev",
)
"""Kinds that requests of the cases are on."""
ELSEWHERE = tuple(f"Thing{number}.things.example.com" for number in range(35))
"""Kinds that they are not on."""
KINDS = (*COVERED, *ELSEWHERE)
TRAPPED = "portcullis/rules/trap/rule_{number}/rule_{number}.rego"
TRAP = """# METADATA
# title: A rule that ends the decision that it runs for
# description: Its value is two at once, which is an error in every engine.
# custom: {{kinds: [{kind}]}}
package portcullis.rules.trap.rule_{number}

deny contains both

both := 1 if input.request

both := 2 if input.request
"""


def with_rules(bundle: Bundle, folder: Path, more: Mapping[str, str]) -> Bundle:
    """Return the bundle with `more` files beside those in it, read from `folder` as any bundle is."""
    for name, content in {**bundle.files, **{name: text.encode() for name, text in more.items()}}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return read_policies(folder)


def copies(bundle: Bundle, count: int, kinds: Sequence[str]) -> dict[str, str]:
    """Return `count` copies of its rules, by their path, the first for the first of `kinds` and so on in turns."""
    rules = {name: content.decode() for name, content in sorted(bundle.files.items()) if rule_of(name)}
    found = {}
    for number in range(count):
        name = list(rules)[number % len(rules)]
        _, _, category, rule, file = name.split("/")
        copied = f"portcullis/rules/copied_{number // len(rules)}/{category}_{rule}/{file}"
        package = copied.rpartition("/")[0].replace("/", ".")
        text = re.sub(r"^package .*$", f"package {package}", rules[name], flags=re.MULTILINE)
        found[copied] = _looking_at(text, kinds[number % len(kinds)])
    return found


def traps(count: int, kinds: Sequence[str]) -> dict[str, str]:
    """Return `count` rules by their path that end each decision they run for, looking at `kinds` in turns."""
    return dict(_traps(count, kinds))


def _traps(count: int, kinds: Sequence[str]) -> Iterator[tuple[str, str]]:
    for number in range(count):
        yield TRAPPED.format(number=number), TRAP.format(number=number, kind=kinds[number % len(kinds)])


def _looking_at(text: str, kind: str) -> str:
    """Return a rule with METADATA that names this kind alone; the list may go over several lines."""
    changed, times = re.subn(r"^#   kinds:(?:.*\n#    )*.*$", f"#   kinds: [{kind}]", text, count=1, flags=re.MULTILINE)
    assert times == 1, text
    return changed
