"""Gathers the facts of one request into the document that Rego decides on: look-ups in the tree, no decision."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import cast

from webhook.baseline.cover import cover_at
from webhook.decision.document import Document, Kind, Object, Places, Request, User
from webhook.exemption import read_exemption, rfc3339
from webhook.model import DOMAIN, WORKSPACE_LABEL, Cover, Namespace, Place, Subject, Tenancy, Tenant
from webhook.reach.facts import Meanings
from webhook.reaches import reaches
from webhook.review.envelope import Metadata, Reviewed, ReviewRequest, UserInfo
from webhook.tenancy.facts import needed, read_written, tenancy_of
from webhook.tenancy.specs import KINDS, ROLES
from webhook.tenancy.tree import Tree

_ACCOUNT = "system:serviceaccount:"


def gather(  # noqa: PLR0913 - the request, and all that its facts are taken from
    review: ReviewRequest,
    tree: Tree | None,
    break_glass_groups: tuple[str, ...],
    meanings: Meanings | None = None,
    *,
    now: datetime,
) -> Document:
    """
    Return the document of `review`; without a tree it says so and holds the request alone.

    `meanings` are those of the policies that stand, kept from one request to the next; `now` is an aware time.
    """
    held = _held(review, tree) if tree else ()
    places = _places(review, held, tree, now) if tree else Places()
    written, unreadable = _written(review)
    tenancy = _tenancy(review, written, tree) if tree else None
    named = _named(review, tenancy, tree) if tree else {}
    extra = needed(tenancy, tree) if tree and tenancy else ()
    return Document(
        request=Request(
            operation=review.operation,
            kind=Kind(review.kind.group, review.kind.version, review.kind.kind),
            subresource=review.subresource,
            namespace=review.namespace,
            name=review.name,
            dry_run=bool(review.dry_run),
            time=rfc3339(now),
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
        reaches=reaches(review, tree, places, meanings or Meanings()) if tree else (),
        exemption_problem=_exemption_problem(review, now),
        cover=_cover(review, tree, places.new) if tree else None,
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


def _places(review: ReviewRequest, held: tuple[str, ...], tree: Tree, now: datetime) -> Places:
    new = review.object if review.operation != "DELETE" else None
    if not _is_namespace(review):
        return Places(
            new=_place_inside(new, tree, now),
            old=_place_inside(review.old_object, tree, now),
        )
    return Places(
        new=_place_of_namespace(new, tree, now),
        old=_place_of_namespace(review.old_object, tree, now),
        kept=_kept(new, review.old_object, tree),
        administered=tuple(_administered(new, held, tree)) if new else (),
    )


def _place_inside(each: Reviewed | None, tree: Tree, now: datetime) -> Place | None:
    """Return the place of the namespace that an object is in; None for what is in none."""
    if each is None or not each.metadata.namespace:
        return None
    return _as_of(tree.place_of(each.metadata.namespace), tree.namespaces.get(each.metadata.namespace), now)


def _place_of_namespace(each: Reviewed | None, tree: Tree, now: datetime) -> Place | None:
    return _as_of(tree.place(each.metadata.name, each.metadata.labels), each.metadata, now) if each else None


def _kept(new: Reviewed | None, old: Reviewed | None, tree: Tree) -> Place | None:
    if new is None or old is None:
        return None
    kept = {key: value for key, value in old.metadata.labels.items() if key == WORKSPACE_LABEL}
    others = {key: value for key, value in new.metadata.labels.items() if key != WORKSPACE_LABEL}
    return tree.place(new.metadata.name, {**others, **kept})


def _administered(new: Reviewed, held: tuple[str, ...], tree: Tree) -> Iterator[Place]:
    for key in held:
        if tree.tenants[key].kind == "Workspace":
            yield tree.place(new.metadata.name, {**new.metadata.labels, WORKSPACE_LABEL: tree.tenants[key].name})


def _as_of(place: Place, known: Namespace | Metadata | None, now: datetime) -> Place:
    """Return the place with until when it is exempt by the labels and annotations of `known`."""
    end = read_exemption(place.namespace, known.labels, known.annotations, now).end if known else None
    return replace(place, exempt=rfc3339(end)) if end else place


def _exemption_problem(review: ReviewRequest, now: datetime) -> str:
    """Say what is wrong with the exemption that a Namespace asks for."""
    new = review.object
    if new is None or not _is_namespace(review):
        return ""
    return read_exemption(new.metadata.name, new.metadata.labels, new.metadata.annotations, now).problem


def _cover(review: ReviewRequest, tree: Tree, place: Place | None) -> Cover | None:
    """Return how far the baselines of a new pod's namespace are in place; None where nobody asks."""
    is_pod = (review.kind.group, review.kind.kind) == ("", "Pod")
    if not is_pod or review.operation != "CREATE" or place is None or not place.baselines or place.exempt:
        return None
    return cover_at(place, tree.baselines, tree.former, tree.policies_in(place.namespace))


def _identities(user: UserInfo) -> Iterator[Subject]:
    """Yield the subjects that could be this caller; whether they are is Rego's to say."""
    if not user.username:
        return
    yield Subject("User", user.username)
    yield from (Subject("Group", group) for group in user.groups)
    if user.username.startswith(_ACCOUNT):
        namespace, _, name = user.username.removeprefix(_ACCOUNT).partition(":")
        yield Subject("ServiceAccount", name, namespace)


def _named(review: ReviewRequest, tenancy: Tenancy | None, tree: Tree) -> dict[str, tuple[str, ...]]:
    """Return who in the tree names the object under review, or what moves with it."""
    if tenancy and tenancy.new and tenancy.old and tenancy.new.project != tenancy.old.project:
        return {"service_accounts": tree.naming_accounts_in(tenancy.new.name)}
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
