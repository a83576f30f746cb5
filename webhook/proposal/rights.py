"""
Who gains and who loses which right where: computed from both trees whole, by the roles that the rules find held.

A place is a namespace, by its name, or a tenant (`Workspace checkout`). What a role may do is asked of the rules of
each side as well (`probes`), so that a change to either is seen.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from webhook.model import Subject
from webhook.proposal.probes import READ, Rights
from webhook.tenancy.tree import Tree

Held = Mapping[Subject, Mapping[str, frozenset[str]]]
"""The roles of each subject, by the key of the tenant that they are held at."""
Site = tuple[str, tuple[str, ...]]
"""What kind of place it is, and the keys of the tenants that it is in, nearest first."""

SHOWN = 8
"""So many places are named in a message; JSON has all."""


@dataclass(frozen=True, slots=True)
class View:
    """One side as its rules see it: no tree is an empty one."""

    sites: Mapping[str, Site] = field(default_factory=dict)
    rights: Rights = field(default_factory=dict)
    held: Held = field(default_factory=dict)

    def of(self, subject: Subject, place: str) -> Mapping[str, frozenset[str]]:
        """Return the rights of a subject at a place, each with the roles behind it (`WorkspaceAdmin of checkout`)."""
        if place not in self.sites:
            return {}
        kind, path = self.sites[place]
        mine = self.held.get(subject, {})
        roles = {(role, key) for key in path for role in mine.get(key, ())}
        found = {
            name.partition(": ")[2]: frozenset(_called(role, key) for role, key in roles if role in may)
            for name, may in self.rights.items()
            if name.startswith(f"{kind}: ")
        }
        if roles:
            found[READ] = frozenset(_called(role, key) for role, key in roles)
        return {right: by for right, by in found.items() if by}

    def roles(self, subject: Subject) -> frozenset[str]:
        """Return the roles of a subject, wherever they are held."""
        mine = self.held.get(subject, {})
        return frozenset(_called(role, key) for key, roles in mine.items() for role in roles)


def _called(role: str, key: str) -> str:
    return f"{role} of {key.partition('/')[2]}"


@dataclass(frozen=True, slots=True)
class RightChange:
    """
    What one subject gains or loses by the same roles.

    `rights` are those by place.
    """

    subject: Subject
    gained: bool
    by: tuple[str, ...]
    rights: Mapping[str, tuple[str, ...]]

    @property
    def message(self) -> str:
        """The change in a line."""
        places: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for place, rights in sorted(self.rights.items(), key=lambda each: rank(each[0])):
            places[rights].append(place)
        told = "; ".join(f"{', '.join(rights)} in {listed(where)}" for rights, where in places.items())
        return f"{called(self.subject)} {'gains' if self.gained else 'loses'}: {told} ({', '.join(self.by)})"

    def as_json(self) -> dict[str, Any]:
        """Return the change as an object."""
        subject = {"kind": self.subject.kind, "name": self.subject.name, "namespace": self.subject.namespace}
        by_right: defaultdict[str, list[str]] = defaultdict(list)
        for place, rights in sorted(self.rights.items(), key=lambda each: rank(each[0])):
            for right in rights:
                by_right[right].append(place)
        return {
            "subject": subject,
            "change": "gains" if self.gained else "loses",
            "by": list(self.by),
            "rights": [{"right": right, "places": places} for right, places in by_right.items()],
        }


def called(subject: Subject) -> str:
    """Return a subject in words."""
    return f"{subject.kind} {f'{subject.namespace}/' * bool(subject.namespace)}{subject.name}"


def rank(place: str) -> tuple[int, str]:
    """Return what sorts namespaces first, then tenants from the nearest to the highest."""
    order = {"Workspace": 1, "Project": 2, "Organization": 3}
    return order.get(place.partition(" ")[0], 0) if " " in place else 0, place


def listed(names: Iterable[str]) -> str:
    """Return names in a line, the first few of many."""
    every = list(names)
    more = len(every) - SHOWN
    return ", ".join(every[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def sites_of(tree: Tree) -> dict[str, Site]:
    """Return every place of a tree."""
    sites: dict[str, Site] = {}
    for name in tree.namespaces:
        place = tree.place_of(name)
        sites[name] = (place.standing, place.path)
    top = tree.organization.key
    for key, tenant in tree.tenants.items():
        project = f"Project/{tenant.project}"
        path = {"Organization": (key,), "Project": (key, top)}.get(tenant.kind, (key, project, top))
        sites[f"{tenant.kind} {tenant.name}"] = (tenant.kind, tuple(each for each in path if each in tree.tenants))
    return sites


def changes_between(base: View, head: View) -> tuple[RightChange, ...]:
    """Return who gains and who loses what, the gains first."""
    groups: defaultdict[tuple[Site | None, Site | None], list[str]] = defaultdict(list)
    for place in sorted({*base.sites, *head.sites}):
        groups[base.sites.get(place), head.sites.get(place)].append(place)
    found: defaultdict[tuple[Subject, bool, tuple[str, ...]], dict[str, tuple[str, ...]]] = defaultdict(dict)
    for subject in {*base.held, *head.held}:
        for places in _touched(groups, base.held.get(subject, {}), head.held.get(subject, {})):
            for gained, by, rights in _of_place(subject, places[0], base, head):
                found[subject, gained, by].update(dict.fromkeys(places, rights))
    changes = (RightChange(subject, gained, by, rights) for (subject, gained, by), rights in found.items())
    return tuple(sorted(changes, key=lambda each: (not each.gained, called(each.subject), each.by)))


def _touched(
    groups: Mapping[tuple[Site | None, Site | None], list[str]], *held: Mapping[str, frozenset[str]]
) -> Iterator[list[str]]:
    """Yield the places that are alike, of those in which a subject holds anything on either side."""
    for sites, places in groups.items():
        if any(key in mine for site, mine in zip(sites, held, strict=True) if site for key in site[1]):
            yield places


def _of_place(
    subject: Subject, place: str, base: View, head: View
) -> Iterator[tuple[bool, tuple[str, ...], tuple[str, ...]]]:
    before, after = base.of(subject, place), head.of(subject, place)
    for gained, has, had in ((True, after, before), (False, before, after)):
        rights = [right for right in has if right not in had]
        # Who may change it reads it as well: that is told of readers alone.
        rights = [right for right in rights if right != READ] or rights
        if rights:
            by = {role for right in rights for role in has[right]}
            # What comes or goes is whose the tree says: told of is who gets the role, not every place below it.
            stays = place in base.sites and place in head.sites
            if stays or by - (base if gained else head).roles(subject):
                yield gained, tuple(sorted(by)), tuple(rights)


def by_the_rules(base: Rights, head: Rights) -> Iterator[tuple[bool, str, str]]:
    """Yield what a role may by the rules of one side alone: whether it is gained, the role, and the right."""
    for name in sorted({*base, *head}):
        before, after = base.get(name, frozenset()), head.get(name, frozenset())
        yield from ((True, role, name) for role in sorted(after - before))
        yield from ((False, role, name) for role in sorted(before - after))
