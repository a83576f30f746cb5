"""The facts of a tenant under review: how it was, how it would be, and what hangs on it."""

from collections.abc import Iterator
from typing import Any, cast

from pydantic import ValidationError

from webhook.model import RESERVED, WORKSPACE_LABEL, Namespace, Tenancy, Tenant, TenantKind
from webhook.tenancy.specs import first_error, is_name, read_baseline, read_tenant
from webhook.tenancy.tree import Tree, home_of


def read_written(kind: str, name: str, spec: Any) -> tuple[Tenant | None, str]:
    """Return a tenant, None for a NetworkBaseline, and what in either cannot be read, empty where all can."""
    try:
        if kind == "NetworkBaseline":
            read_baseline(name, spec)
            return None, ""
        tenant = read_tenant(cast("TenantKind", kind), name, spec)
    except (ValidationError, RecursionError) as error:
        return None, first_error(error) if isinstance(error, ValidationError) else "spec: nested too deep"
    if not is_name(name):
        return (
            None,
            "metadata.name: it has to be up to 63 of a-z, 0-9 and -, beginning and ending with one of the former",
        )
    return tenant, ""


def tenancy_of(key: str, new: Tenant | None, old: Tenant | None, tree: Tree) -> Tenancy:
    """Return the facts of the tenant `key`, as it would be and as it was: look-ups alone."""
    owned, owns = tree.owned_by(key)
    return Tenancy(
        new=new,
        old=old,
        owned=owned,
        owns=owns,
        homes=dict(_homes(new, tree)) if new else {},
        missing=tuple(_missing(new, tree)) if new else (),
    )


def needed(tenancy: Tenancy, tree: Tree) -> Iterator[str]:
    """Yield the keys of the tenants by whose roles and guardrails it is judged."""
    for each in (tenancy.new, tenancy.old):
        if each:
            yield from (key for key in (each.key, f"Project/{each.project}") if key in tree.tenants)


def _homes(tenant: Tenant, tree: Tree) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the namespaces in which ServiceAccount subjects live, and the keys of what stands above each."""
    homes = {home for grant in tenant.roles for subject in grant.subjects if (home := home_of(subject))}
    for name in sorted(homes):
        if namespace := tree.namespaces.get(name):
            yield name, tuple(_above(namespace, tree))


def _above(namespace: Namespace, tree: Tree) -> Iterator[str]:
    """Yield what is above a namespace by the names alone: a workspace or project need not be there yet."""
    workspace = "" if namespace.name in RESERVED else namespace.labels.get(WORKSPACE_LABEL, "")
    if workspace:
        yield f"Workspace/{workspace}"
        if owner := tree.tenants.get(f"Workspace/{workspace}"):
            yield f"Project/{owner.project}"
    yield tree.organization.key


def _missing(tenant: Tenant, tree: Tree) -> Iterator[str]:
    """Yield the keys of what the tenant names and there is not."""
    if tenant.kind == "Workspace" and f"Project/{tenant.project}" not in tree.tenants:
        yield f"Project/{tenant.project}"
    yield from (f"NetworkBaseline/{each}" for each in tenant.baselines if each not in tree.baselines)
