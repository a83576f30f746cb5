"""Gathers what policies open: the one under review, or those that a namespace under review holds."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice

from webhook.decision.document import Places
from webhook.errors import UnreadableError
from webhook.model import PROTECTED_CIDRS, Place, Policy, Reach
from webhook.reach.addresses import Addresses, Range, read_cidr
from webhook.reach.facts import Meanings, Reading, reach_of
from webhook.reach.kinds import READERS, kind_of
from webhook.reach.policy import canonical
from webhook.review.envelope import Reviewed, ReviewRequest
from webhook.tenancy.crossing import Borders
from webhook.tenancy.tree import Tree

MOST_STANDING = 50
"""Policies that stand in a namespace under review and are judged one by one; the others are counted."""
MOST_BYTES = 128 * 1024
"""What these may come to as JSON: whoever names a namespace in a request must not keep everybody waiting."""
_NAT64 = 0x64FF9B << 96
"""64:ff9b::/96, by which IPv6 leads to all of IPv4 (RFC 6052)."""


def reaches(review: ReviewRequest, tree: Tree, places: Places, meanings: Meanings) -> tuple[Reach, ...]:
    """Return what each policy opens that the request puts in force; none where no baseline applies."""
    new, place = review.object, places.new
    if new is None or review.operation == "DELETE" or place is None or not place.baselines:
        return ()
    if (review.kind.group, review.kind.kind) == ("", "Namespace"):
        return _standing(tree, places, meanings)
    kind = kind_of(review.kind.group, review.kind.kind)
    if kind not in READERS:
        return ()
    others = tree.standing_policies(new.metadata.namespace, but=new.metadata.name, kind=kind)
    reading = _reading(tree, place, meanings, kind)
    return (reach_of(_content(kind, new), _content(kind, review.old_object), others, reading),)


def beside(review: ReviewRequest, tree: Tree) -> int:
    """Return how many policies stand where the review asks what they open: it takes the longer, the more there are."""
    new = review.object
    if new is None or review.operation == "DELETE":
        return 0
    if (review.kind.group, review.kind.kind) == ("", "Namespace"):
        return len(tree.policies_in(new.metadata.name))
    is_policy = kind_of(review.kind.group, review.kind.kind) in READERS
    return len(tree.policies_in(new.metadata.namespace)) if is_policy else 0


def _content(kind: str, each: Reviewed | None) -> object:
    """Return what the kind's reader reads, None where there is no object."""
    if each is None or kind != "NetworkPolicy":
        return each.raw if each else None
    spec = each.raw.get("spec")
    return {} if spec is None else spec


def _reading(tree: Tree, place: Place, meanings: Meanings, kind: str = "NetworkPolicy") -> Reading:
    own = (cidr for key in place.path for cidr in _protecting(tree, key))
    protected = {cidr: _protected(cidr) for cidr in (*PROTECTED_CIDRS, *own)}
    return Reading(READERS[kind], meanings, crosses=Borders(tree, place.project).crossed, protected=protected)


def _protecting(tree: Tree, key: str) -> Iterable[str]:
    cidrs = tree.tenants[key].guardrails.get("protectedCIDRs", ())
    return () if isinstance(cidrs, str) else cidrs


@cache
def _protected(cidr: str) -> Addresses:
    """Return a protected range, with where NAT64 finds it."""
    plain = read_cidr(cidr)
    mapped: tuple[Range, ...] = tuple((_NAT64 | first, _NAT64 | last) for first, last in plain.ipv4)
    return plain | Addresses(ipv6=mapped)


def _standing(tree: Tree, places: Places, meanings: Meanings) -> tuple[Reach, ...]:
    """
    Return what the policies open that stand in a namespace when it is created, changes hands or comes under a baseline.

    They may be orphans of a former owner of the name.
    """
    place, old = places.new, places.old
    if place is None or (old and old.baselines and (old.workspace, old.project) == (place.workspace, place.project)):
        return ()
    if old is None and place.namespace in tree.namespaces:
        # The name is taken, so the request fails whoever sent it.
        return ()
    standing = tree.standing_policies(place.namespace, but="")
    judged = tuple(_first(standing))
    reading = _reading(tree, place, meanings)
    told = [_reach_of_standing(each, judged, reading) for each in judged]
    if further := len(standing) - len(judged):
        why = "more policies stand there than are judged at once: `kubectl get networkpolicies` shows them"
        told.append(Reach(policy=f"{further} further policies", unreadable=(why,)))
    return tuple(told)


def _first(standing: Iterable[Policy]) -> Iterator[Policy]:
    """Yield as many policies as are judged at once, beside each other alone."""
    room = MOST_BYTES
    for policy in islice(standing, MOST_STANDING):
        try:
            room -= len(canonical(policy.spec))
        except UnreadableError:
            return
        if room < 0:
            return
        yield policy


def _reach_of_standing(policy: Policy, standing: Sequence[Policy], reading: Reading) -> Reach:
    others = [each for each in standing if each is not policy]
    reach = reach_of(policy.spec, None, others, replace(reading, kind=READERS[policy.kind]))
    return replace(reach, policy=f"{policy.kind.partition('.')[0]} {policy.name}")
