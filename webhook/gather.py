"""Gathers the facts of one request into the document that Rego decides on: look-ups in the tree, no decision."""

from collections.abc import Iterator, Mapping
from typing import cast

from webhook.decision.document import Document, Kind, Object, Places, Request, User
from webhook.model import DOMAIN, WORKSPACE_LABEL, Place, Reach, Subject, Tenancy, Tenant
from webhook.reach.cilium import read_cilium_policy
from webhook.reach.facts import Meanings, Reader, Reading, reach_of
from webhook.reach.networkpolicy import read_network_policy
from webhook.review.envelope import Reviewed, ReviewRequest, UserInfo
from webhook.tenancy.facts import needed, read_written, tenancy_of
from webhook.tenancy.specs import KINDS, ROLES
from webhook.tenancy.tree import Tree

_ACCOUNT = "system:serviceaccount:"
_JUDGED = frozenset({"NetworkPolicy", "CiliumNetworkPolicy"})
_READERS: Mapping[tuple[str, str], Reader] = {
    ("networking.k8s.io", "NetworkPolicy"): lambda raw: read_network_policy(raw.get("spec")),
    ("cilium.io", "CiliumNetworkPolicy"): read_cilium_policy,
}


def gather(
    review: ReviewRequest, tree: Tree | None, break_glass_groups: tuple[str, ...], meanings: Meanings | None = None
) -> Document:
    """
    Return the document of `review`; without a tree it says so and holds the request alone.

    `meanings` are those of the policies that stand, kept from one request to the next.
    """
    held = _held(review, tree) if tree else ()
    places = _places(review, held, tree) if tree else Places()
    named = _named(review, tree) if tree else {}
    written, unreadable = _written(review)
    tenancy = _tenancy(review, written, tree) if tree else None
    extra = needed(tenancy, tree) if tree and tenancy else ()
    return Document(
        request=Request(
            operation=review.operation,
            kind=Kind(review.kind.group, review.kind.version, review.kind.kind),
            subresource=review.subresource,
            namespace=review.namespace,
            name=review.name,
            dry_run=bool(review.dry_run),
        ),
        user=User(review.user.username, review.user.groups),
        object=_object(review.object),
        old_object=_object(review.old_object),
        break_glass_groups=break_glass_groups,
        tree=tree is not None,
        organization=tree.organization.name if tree else "",
        enforcement=dict(tree.organization.enforcement) if tree else {},
        tenants={key: tree.tenants[key] for key in sorted({*held, *_needed(places, named, tree), *extra})}
        if tree
        else {},
        places=places,
        service_accounts=named.get("service_accounts", ()),
        named_by=named.get("named_by", ()),
        unreadable=unreadable,
        reach=_reach(review, tree, places, meanings or Meanings()) if tree else None,
        tenancy=tenancy,
    )


def _object(each: Reviewed | None) -> Object | None:
    return cast("Object", each.as_document()) if each else None


def _is_namespace(review: ReviewRequest) -> bool:
    return (review.kind.group, review.kind.kind) == ("", "Namespace")


def _held(review: ReviewRequest, tree: Tree) -> tuple[str, ...]:
    """
    Return the keys of the tenants in which the tree names the caller, where who owns a namespace may be filled in.

    That takes all of them: it is done only for one who holds nothing higher anywhere.
    """
    new = review.object
    if (
        not _is_namespace(review)
        or review.operation != "CREATE"
        or new is None
        or new.metadata.labels.get(WORKSPACE_LABEL)
    ):
        return ()
    return tree.naming(_identities(review.user))


def _places(review: ReviewRequest, held: tuple[str, ...], tree: Tree) -> Places:
    new = review.object if review.operation != "DELETE" else None
    if not _is_namespace(review):
        return Places(
            new=_place_inside(new, tree),
            old=_place_inside(review.old_object, tree),
        )
    return Places(
        new=_place_of_namespace(new, tree),
        old=_place_of_namespace(review.old_object, tree),
        kept=_kept(new, review.old_object, tree),
        administered=tuple(_administered(new, held, tree)) if new else (),
    )


def _place_inside(each: Reviewed | None, tree: Tree) -> Place | None:
    """Return the place of the namespace that an object is in; None for what is in none."""
    return tree.place_of(each.metadata.namespace) if each and each.metadata.namespace else None


def _place_of_namespace(each: Reviewed | None, tree: Tree) -> Place | None:
    return tree.place(each.metadata.name, each.metadata.labels) if each else None


def _kept(new: Reviewed | None, old: Reviewed | None, tree: Tree) -> Place | None:
    if new is None or old is None:
        return None
    workspace = old.metadata.labels.get(WORKSPACE_LABEL, "")
    return tree.place(new.metadata.name, {**new.metadata.labels, WORKSPACE_LABEL: workspace})


def _administered(new: Reviewed, held: tuple[str, ...], tree: Tree) -> Iterator[Place]:
    for key in held:
        if tree.tenants[key].kind == "Workspace":
            yield tree.place(new.metadata.name, {**new.metadata.labels, WORKSPACE_LABEL: tree.tenants[key].name})


def _identities(user: UserInfo) -> Iterator[Subject]:
    """Yield the subjects that could be this caller; whether they are is Rego's to say."""
    if not user.username:
        return
    yield Subject("User", user.username)
    yield from (Subject("Group", group) for group in user.groups)
    if user.username.startswith(_ACCOUNT):
        namespace, _, name = user.username.removeprefix(_ACCOUNT).partition(":")
        yield Subject("ServiceAccount", name, namespace)


def _named(review: ReviewRequest, tree: Tree) -> dict[str, tuple[str, ...]]:
    """Return who in the tree names the object under review."""
    each = review.old_object if review.operation == "DELETE" else review.object
    if each is None:
        return {}
    if _is_namespace(review):
        return {"service_accounts": tree.naming_accounts_of(each.metadata.name)}
    if review.kind.kind == "NetworkBaseline":
        return {"named_by": tree.naming_baseline(each.metadata.name)}
    return {}


def _written(review: ReviewRequest) -> tuple[Tenant | None, str]:
    """Return the tenant that is written, and what in it or in a NetworkBaseline its schema cannot know to be wrong."""
    new = review.object if review.operation != "DELETE" else None
    if new is None or review.kind.group != DOMAIN or review.kind.kind not in KINDS:
        return None, ""
    return read_written(review.kind.kind, new.metadata.name, new.raw.get("spec"))


def _tenancy(review: ReviewRequest, new: Tenant | None, tree: Tree) -> Tenancy | None:
    """Return the facts of a tenant under review, None for any other object."""
    each = review.old_object if review.operation == "DELETE" else review.object
    if each is None or review.kind.group != DOMAIN or review.kind.kind not in ROLES:
        return None
    old = review.old_object if review.operation != "CREATE" else None
    before = read_written(review.kind.kind, old.metadata.name, old.raw.get("spec"))[0] if old else None
    return tenancy_of(f"{review.kind.kind}/{each.metadata.name}", new, before, tree)


def _needed(places: Places, named: dict[str, tuple[str, ...]], tree: Tree) -> Iterator[str]:
    """Yield the keys of the tenants that the places and those who name the object stand for."""
    yield tree.organization.key
    for place in (places.new, places.old, places.kept, *places.administered):
        yield from place.path if place else ()
    for key in named.get("service_accounts", ()):
        yield key
        project = f"Project/{tree.tenants[key].project}"
        if project in tree.tenants:
            yield project


def _reach(review: ReviewRequest, tree: Tree, places: Places, meanings: Meanings) -> Reach | None:
    """Return what a policy opens, where a baseline applies to its namespace; None where nobody asks."""
    new, kind = review.object, (review.kind.group, review.kind.kind)
    if new is None or review.operation == "DELETE" or review.kind.kind not in _JUDGED:
        return None
    if places.new is None or not places.new.baselines:
        return None
    if kind not in _READERS:
        return Reach(unreadable=(f"Portcullis does not understand {review.kind.kind} of {review.kind.group} yet",))
    others = tree.standing_policies(new.metadata.namespace, but=new.metadata.name, kind=review.kind.kind)
    old = review.old_object.raw if review.old_object else None
    return reach_of(new.raw, old, others, Reading(_READERS[kind], meanings))
