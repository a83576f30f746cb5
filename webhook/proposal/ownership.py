"""Whose things are on both sides: namespaces that come, go or change hands, and tenants that do."""

from collections.abc import Iterator

from webhook.model import Place, Standing
from webhook.proposal.protection import Difference
from webhook.scan.finding import Action
from webhook.tenancy.tree import Tree

OWNER, TENANT = "tenancy/owner", "tenancy/tenant"


def owners(base: Tree | None, head: Tree) -> Iterator[Difference]:
    """Yield the namespaces that belong to somebody else, or are on one side alone."""
    known = base.namespaces if base else {}
    for name in sorted({*known, *head.namespaces}):
        before = base.place_of(name) if base and name in known else None
        after = head.place_of(name) if name in head.namespaces else None
        thing, key = f"{name}/Namespace/{name}", f"Namespace/{name}"
        if before is None and after:
            yield Difference(OWNER, "none", f"namespace {name} is new and belongs to {_owner(after)}", thing, key)
        elif before and after is None:
            said = f"namespace {name} is gone, which belonged to {_owner(before)}"
            yield Difference(OWNER, "none", said, thing, key)
        elif before and after and _owner(before) != _owner(after):
            said = f"namespace {name} changes hands: from {_owner(before)} to {_owner(after)}"
            yield Difference(OWNER, "warn", said, thing, key)


def _owner(place: Place) -> str:
    match place.standing:
        case Standing.OWNED:
            return f"workspace {place.workspace} of project {place.project}"
        case Standing.ORPHANED:
            return f"workspace {place.workspace}, which does not exist or has no project"
        case _:
            return "no workspace"


def tenants(base: Tree | None, head: Tree) -> Iterator[Difference]:
    """Yield the tenants that come, go or move."""
    before = base.tenants if base else {}
    for key in sorted({*before, *head.tenants}):
        kind, _, name = key.partition("/")
        told, old, new = f"{kind} {name}", before.get(key), head.tenants.get(key)
        if new is None:
            yield Difference(TENANT, "none", f"{told} is gone", key, key)
        elif old is None:
            of = f" in project {new.project}" if new.project else ""
            # Another Organization is another tree.
            action: Action = "warn" if kind == "Organization" and base else "none"
            yield Difference(TENANT, action, f"{told} is new{of}", key, key)
        elif old.project != new.project:
            said = f"{told} moves from project {old.project} to project {new.project}"
            yield Difference(TENANT, "warn", said, key, key)
