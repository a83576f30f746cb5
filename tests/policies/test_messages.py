"""What the rules tell to whom: every message of the case table as it is, and no name that its reader does not see."""

import asyncio
import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import pytest

from tests.cases import reviews, table
from tests.cases.reviews import AUDITOR, ROOT, STRANGER, Asked, Caller
from tests.conftest import Loop
from webhook.admission import Gate
from webhook.model import Tenant
from webhook.tenancy.tree import Tree

GOLDEN = Path(table.__file__).with_name("messages.txt")
HEAD = """# What each request of table.py is told: case, caller, and a line per violation or warning.
# Rewritten by `pytest tests/policies/test_messages.py --rewrite-golden`; then look at `git diff`.
"""
SECOND = """
# What each rule tells somebody who sees every place and may change nothing, and somebody who sees none.
"""
INSIDER, OUTSIDER = AUDITOR, STRANGER
CALLERS = sorted({each for each in vars(reviews).values() if isinstance(each, Caller)}, key=str)


@dataclass(frozen=True)
class Told:
    """What one request was told."""

    case: str
    asked: Asked
    lines: tuple[str, ...]

    def __str__(self) -> str:
        caller = self.asked.caller
        said = "".join(f"    {line}\n" for line in self.lines)
        return f"\n{self.case}: {caller.name or '(no name)'} of {', '.join(caller.groups) or 'no group'}\n{said}"


async def ask(gate: Gate, case: str, asked: Asked) -> Told:
    """Ask, and leave out of the answer what differs every time."""
    response = orjson.loads(await gate.validate(orjson.dumps(asked.review()), seconds=30))["response"]
    lines = response["status"]["message"].splitlines() if not response["allowed"] else []
    lines += [f"warning: {line}" for line in response.get("warnings", ())]
    decision = response["auditAnnotations"]["decision-id"]
    return Told(case, asked, tuple(masked(line, decision) for line in lines))


def masked(line: str, decision: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d)?)?", "TIME", line.replace(decision, "ID"))


def ask_all(loop: Loop, gate: Gate, every: Iterable[tuple[str, Asked]]) -> list[Told]:
    """Ask all of it, some at once, and keep what is told anything."""
    asking = iter(every)

    async def some() -> list[Told]:
        return await asyncio.gather(*(ask(gate, case, asked) for case, asked in itertools.islice(asking, 16)))

    found: list[Told] = []
    while told := loop.run(some()):
        found += told
    return [each for each in found if each.lines]


@pytest.fixture(scope="module")
def told(gate: Gate, loop: Loop) -> list[Told]:
    """What each case of the table is told."""
    return ask_all(loop, gate, ((case.id, case.asked) for case in table.CASES))


@pytest.fixture(scope="module")
def told_to_others(gate: Gate, loop: Loop, tree: Tree) -> list[Told]:
    """What is told to others who ask for the same: to one of each who hold the same roles, and to break-glass."""
    some = {frozenset(held(caller, tree)): caller for caller in [*CALLERS, INSIDER, OUTSIDER]}
    cases = [*table.DENIALS, *(case for case in table.CASES if not case.denied_by)]
    every = itertools.product(cases, [*some.values(), ROOT])
    return ask_all(loop, gate, ((case.id, replace(case.asked, caller=caller)) for case, caller in every))


def first(told: list[Told], rule: str, caller: Caller) -> Told | None:
    """Return the first message of a rule to somebody."""
    about = (each for each in told if each.asked.caller == caller)
    return next((each for each in about if any(line.startswith(f"[{rule}] ") for line in each.lines)), None)


def test_messages_are_as_they_were(
    told: list[Told], told_to_others: list[Told], gate: Gate, pytestconfig: pytest.Config
) -> None:
    """A message is changed on purpose: with the golden file, where it is read; each rule's is there for two readers."""
    assert {each.case for each in told} >= {case.id for case in table.DENIALS}
    text = HEAD + "".join(str(each) for each in told) + SECOND
    for rule in sorted(gate.policies.rules):
        for caller in (INSIDER, OUTSIDER):
            found = first(told_to_others, rule, caller)
            assert found, f"no case of the table shows what {rule} tells {caller.name}"
            text += str(found)
    if pytestconfig.getoption("rewrite_golden"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "if that is meant: --rewrite-golden"


def identities(caller: Caller) -> set[tuple[str, str, str]]:
    """Return the subjects that a caller is, as kind, namespace and name; with an empty name none."""
    if not caller.name:
        return set()
    found = {("User", "", caller.name), *(("Group", "", group) for group in caller.groups)}
    if match := re.fullmatch(r"system:serviceaccount:([^:]+):([^:]+)", caller.name):
        found.add(("ServiceAccount", match[1], match[2]))
    return found


def above(tenant: Tenant, tree: Tree) -> list[Tenant]:
    """Return a tenant and those above it."""
    project = tree.tenants.get(f"Project/{tenant.project}")
    return [each for each in (tenant, project if tenant.project else None, tree.organization) if each]


def held(caller: Caller, tree: Tree) -> set[str]:
    """Return the keys of the tenants at which a caller holds a role."""
    mine = identities(caller)
    every = ((tenant, each) for tenant in tree.tenants.values() for grant in tenant.roles for each in grant.subjects)
    return {tenant.key for tenant, each in every if (each.kind, each.namespace, each.name) in mine}


def seen(caller: Caller, tree: Tree) -> set[str]:
    """
    Return the keys of the tenants whose names a caller sees.

    Those at which, or above which, they hold a role, and all above these.
    """
    paths = [{each.key for each in above(tenant, tree)} for tenant in tree.tenants.values()]
    return {key for path in paths if held(caller, tree) & path for key in path}


def seen_in(asked: Asked, tree: Tree) -> set[str]:
    """Return what a caller sees when they ask: a workspace under review stands where its old object says."""
    old = asked.old or {"kind": ""}
    moved = old["kind"] == "Workspace" and f"Workspace/{old['metadata']['name']}" in held(asked.caller, tree)
    return seen(asked.caller, tree) | ({f"Project/{old['spec']['project']}"} if moved else set())


def names(tree: Tree) -> dict[str, set[str]]:
    """Return every name of the tree, and the keys of the tenants that it is a name of; of nobody's it is no secret."""
    found: dict[str, set[str]] = {}
    for tenant in tree.tenants.values():
        subjects = [each for grant in tenant.roles for each in grant.subjects]
        own = [tenant.name, *(each.name for each in subjects), *(each.namespace for each in subjects)]
        for name in filter(None, own):
            found.setdefault(name, set()).add(tenant.key)
    for namespace in tree.namespaces:
        key = f"Workspace/{tree.place_of(namespace).workspace}"
        if key in tree.tenants:
            # Injected ones are the platform's, and every namespace of a baseline has them.
            own_policies = [each.name for each in tree.policies_in(namespace) if "." not in each.name]
            for name in (namespace, *own_policies):
                found.setdefault(name, set()).add(key)
    return found


def leaked(told: Told, tree: Tree, visible: set[str]) -> list[str]:
    """Return the names that a message tells, though neither its reader sees them nor the request holds them."""
    sent, said = words(json.dumps(told.asked.review(), ensure_ascii=False)), words("\n".join(told.lines))
    return [name for name, owners in names(tree).items() if not owners & visible and name in said - sent]


def words(text: str) -> set[str]:
    """Return the names in a text: `checkout` is none in `checkout-dev`, and both are in `checkout-dev/web.`"""
    return set(re.findall(r"[\w-]+(?:[.][\w-]+)*", text)) | set(re.findall(r"[\w:-]+(?:[.:][\w-]+)*", text))


def test_nobody_is_told_a_name_that_they_do_not_see(told: list[Told], told_to_others: list[Told], tree: Tree) -> None:
    """
    Whoever asks, for whatever is in the table, reads no name of the tree but those they see and those they sent.

    Names are those of tenants, of the people and groups in them, of namespaces and of the policies that people wrote.
    """
    every = [*told, *told_to_others]
    leaks = {str(each): found for each in every if (found := leaked(each, tree, seen_in(each.asked, tree)))}
    assert leaks == {}
    assert len(every) > 3 * len(table.DENIALS)


def test_a_name_that_is_told_would_be_found(told_to_others: list[Told], tree: Tree) -> None:
    """What the insider reads has names in it, and to the outsider each of them would be a leak."""
    to_insider = first(told_to_others, "rbac/namespace-policy", INSIDER)
    assert to_insider
    assert leaked(to_insider, tree, seen(OUTSIDER, tree)) == [
        "acme",
        "acme-admins",
        "payments",
        "payments-admins",
        "checkout",
        "checkout-team",
    ]
    assert leaked(to_insider, tree, seen(INSIDER, tree)) == []
