"""Which selectors of namespaces leave a project: by example, and against all worlds of a few namespaces."""

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook.model import (
    ORGANIZATION_LABEL,
    PROJECT_LABEL,
    RESERVED,
    WORKSPACE_LABEL,
    Namespace,
    Tenant,
)
from webhook.selector import NAME_LABEL, Requirement, Selector
from webhook.tenancy.crossing import Borders
from webhook.tenancy.tree import Holdings, Tree, grow

THOROUGH = settings(max_examples=400, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
OURS, THEIRS = "payments", "search"
WORKSPACES = {"checkout": OURS, "refunds": OURS, "ranking": THEIRS}
TEAM = "team"
"""A label that anybody may put on a namespace of their own."""


def tree_of(namespaces: dict[str, str]) -> Tree:
    """Return the tree with namespaces, by name with their workspace, empty for none."""
    return grow(
        Holdings(
            Tenant("Organization", "acme"),
            (
                *(Tenant("Project", each) for each in (OURS, THEIRS)),
                *(Tenant("Workspace", each, project) for each, project in WORKSPACES.items()),
            ),
            namespaces=tuple(
                Namespace(name, {WORKSPACE_LABEL: workspace} if workspace else {}, {})
                for name, workspace in namespaces.items()
            ),
        )
    )


STANDING = {
    "checkout-dev": "checkout",
    "refunds-dev": "refunds",
    "ranking-dev": "ranking",
    "monitoring": "",
    "kube-system": "",
    "lost": "ghost",
}
TREE = tree_of(STANDING)


def among(key: str, *values: str) -> Requirement:
    """Return a requirement that names values."""
    return Requirement(key, "In", frozenset(values))


def but(key: str, *values: str) -> Requirement:
    """Return a requirement that excludes values."""
    return Requirement(key, "NotIn", frozenset(values))


def crossed(*requirements: Requirement, project: str = OURS) -> str:
    """Say how a selector leaves the project."""
    return Borders(TREE, project).crossed(Selector(frozenset(requirements)))


STAYS: dict[str, tuple[Requirement, ...]] = {
    "a namespace of the workspace": (among(NAME_LABEL, "checkout-dev"),),
    "of the project": (among(NAME_LABEL, "checkout-dev", "refunds-dev"),),
    "of the platform": (among(NAME_LABEL, "monitoring", "kube-system"),),
    "a reserved one that does not exist": (among(NAME_LABEL, "kube-public"),),
    "named twice, once of the project": (
        among(NAME_LABEL, "checkout-dev", "ranking-dev"),
        among(NAME_LABEL, "checkout-dev"),
    ),
    "no name is left": (among(NAME_LABEL, "ranking-dev"), among(NAME_LABEL, "checkout-dev")),
    "a workspace of the project": (among(WORKSPACE_LABEL, "checkout", "refunds"),),
    "the project": (among(PROJECT_LABEL, OURS),),
    "the project, whatever else": (among(PROJECT_LABEL, OURS), but(TEAM, "a"), Requirement(TEAM, "Exists")),
    "no project but this one": (but(PROJECT_LABEL, THEIRS), among(PROJECT_LABEL, OURS)),
    "what has no workspace": (Requirement(WORKSPACE_LABEL, "DoesNotExist"),),
    "what has no project": (Requirement(PROJECT_LABEL, "DoesNotExist"),),
    "another organization's": (among(ORGANIZATION_LABEL, "umbrella"),),
    "a foreign namespace, of no workspace": (
        among(NAME_LABEL, "ranking-dev"),
        Requirement(WORKSPACE_LABEL, "DoesNotExist"),
    ),
    "a foreign namespace, of this project": (among(NAME_LABEL, "ranking-dev"), among(PROJECT_LABEL, OURS)),
    "a foreign workspace, of this project": (among(WORKSPACE_LABEL, "ranking"), among(PROJECT_LABEL, OURS)),
    "a foreign name that it excludes": (
        among(NAME_LABEL, "checkout-dev", "ranking-dev"),
        but(NAME_LABEL, "ranking-dev"),
    ),
    "what cannot be": (Requirement(TEAM, "Exists"), Requirement(TEAM, "DoesNotExist")),
}


@pytest.mark.parametrize("requirements", STAYS.values(), ids=STAYS.keys())
def test_what_stays_in_the_project(requirements: tuple[Requirement, ...]) -> None:
    """It matches namespaces of the project and of the platform alone."""
    assert crossed(*requirements) == ""


LEAVES: dict[str, tuple[Requirement, ...]] = {
    "everything": (),
    "a label of anybody's": (among(TEAM, "a"),),
    "the organization": (among(ORGANIZATION_LABEL, "acme"),),
    "any name": (Requirement(NAME_LABEL, "Exists"),),
    "any workspace": (Requirement(WORKSPACE_LABEL, "Exists"),),
    "other names": (but(NAME_LABEL, "ranking-dev"),),
    "another workspace than one": (but(WORKSPACE_LABEL, "ranking"),),
    "another project": (among(PROJECT_LABEL, THEIRS),),
    "both projects": (among(PROJECT_LABEL, OURS, THEIRS),),
    "a project that may come": (among(PROJECT_LABEL, "new"),),
    "not this project": (but(PROJECT_LABEL, OURS),),
    "the gate": (Requirement("portcullis.dev/gate", "Exists"),),
}


@pytest.mark.parametrize("requirements", LEAVES.values(), ids=LEAVES.keys())
def test_what_leaves_the_project_without_a_name(requirements: tuple[Requirement, ...]) -> None:
    """Somebody of another project has such a namespace, or can make one."""
    assert crossed(*requirements) == "can match namespaces of other projects"


NAMED: dict[str, tuple[tuple[Requirement, ...], str]] = {
    "a namespace of another project": ((among(NAME_LABEL, "ranking-dev"),), "namespace ranking-dev"),
    "one among others": ((among(NAME_LABEL, "monitoring", "ranking-dev", "checkout-dev"),), "namespace ranking-dev"),
    "one that does not exist": ((among(NAME_LABEL, "nowhere"),), "namespace nowhere"),
    "one of no workspace there is": ((among(NAME_LABEL, "lost"),), "namespace lost"),
    "an empty name": ((among(NAME_LABEL, ""),), "namespace "),
    "with a label of anybody's": ((among(NAME_LABEL, "ranking-dev"), among(TEAM, "a")), "namespace ranking-dev"),
    "a workspace of another project": ((among(WORKSPACE_LABEL, "checkout", "ranking"),), "workspace ranking"),
    "a workspace that does not exist": ((among(WORKSPACE_LABEL, "ghost"),), "workspace ghost"),
    "the workspace of a name": (
        (among(NAME_LABEL, "ranking-dev"), among(WORKSPACE_LABEL, "ranking")),
        "namespace ranking-dev",
    ),
    "many": ((among(NAME_LABEL, *(f"n{each}" for each in range(5))),), "namespace n0, n1, n2 and 2 more"),
}


@pytest.mark.parametrize(("requirements", "names"), NAMED.values(), ids=NAMED.keys())
def test_what_leaves_the_project_by_a_name(requirements: tuple[Requirement, ...], names: str) -> None:
    """Told are the selector's own words; not whether there is such a thing, nor whose it is."""
    assert crossed(*requirements) == f"names {names}, of which the project and the platform have none"


def test_of_no_project_every_project_is_another() -> None:
    """An unowned namespace that a baseline selects is the platform's."""
    assert crossed(among(NAME_LABEL, "monitoring"), project="") == ""
    assert crossed(among(NAME_LABEL, "checkout-dev"), project="")
    assert crossed(among(PROJECT_LABEL, OURS), project="")
    assert crossed(among(WORKSPACE_LABEL, "checkout"), project="")


# Against all namespaces that there are or could be: these names, each with every label that its owner could have.

NAMES = ("a", "b", "c")
TEAMS = ("x", "y")
FOREIGN_WORKSPACES = {"ranking": THEIRS, "new": THEIRS, "other": THEIRS, "newer": "new", "newest": "newest"}
"""Those of other projects: one that there is, and those that may come, some of them in projects that may come."""

requirements = st.one_of(
    [
        st.builds(
            Requirement,
            st.just(key),
            st.sampled_from(["In", "NotIn"]),
            st.frozensets(st.sampled_from(values), min_size=1, max_size=3),
        )
        | st.builds(Requirement, st.just(key), st.sampled_from(["Exists", "DoesNotExist"]))
        for key, values in {
            NAME_LABEL: (*NAMES, "d"),
            WORKSPACE_LABEL: ("checkout", "ranking", "new"),
            PROJECT_LABEL: (OURS, THEIRS, "new"),
            ORGANIZATION_LABEL: ("acme", "umbrella"),
            TEAM: TEAMS,
        }.items()
    ]
)
worlds = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["", *WORKSPACES]))


def foreign(world: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yield the labels of each namespace that another project has or could have."""
    for name in (*NAMES, "d", "e"):
        # Of a name that stands, the workspace stays what it is: moving it is not its owner's alone.
        workspaces = [world[name]] if name in world else FOREIGN_WORKSPACES
        for workspace, team in product(workspaces, (*TEAMS, "z", "")):
            if workspace in FOREIGN_WORKSPACES:
                labels = {WORKSPACE_LABEL: workspace, PROJECT_LABEL: FOREIGN_WORKSPACES[workspace]}
                yield {NAME_LABEL: name, ORGANIZATION_LABEL: "acme", **labels, **({TEAM: team} if team else {})}


@THOROUGH
@given(worlds, st.lists(requirements, max_size=4))
def test_a_selector_that_can_match_anothers_namespace_is_seen(world: dict[str, str], drawn: list[Requirement]) -> None:
    """Whichever namespace of another project there is or could be that it matches."""
    selector = Selector(frozenset(drawn))
    if any(selector.matches(labels) for labels in foreign(world)):
        assert Borders(tree_of(world), OURS).crossed(selector)


@THOROUGH
@given(worlds, st.lists(requirements, max_size=4))
def test_a_selector_that_matches_no_others_stays(world: dict[str, str], drawn: list[Requirement]) -> None:
    """Unless it names a namespace or a workspace that nobody has."""
    selector = Selector(frozenset(drawn))
    unheard = {
        NAME_LABEL: {"a", "b", "c", "d"} - set(world) - RESERVED,
        WORKSPACE_LABEL: {"new"},
    }
    names_nobody = any(each.operator == "In" and each.values & unheard.get(each.key, set()) for each in drawn)
    if not names_nobody and not any(selector.matches(labels) for labels in foreign(world)):
        assert Borders(tree_of(world), OURS).crossed(selector) == ""
