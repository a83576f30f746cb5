"""The namespaces by name, and by the workspace that they name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.model import RESERVED, WORKSPACE_LABEL, Namespace
from webhook.tenancy.namespaces import SHOWN, Namespaces


def labelled(name: str, workspace: str, *, terminating: bool = False) -> Namespace:
    """Return a namespace that names a workspace."""
    return Namespace(name, {WORKSPACE_LABEL: workspace}, terminating=terminating)


def test_a_namespace_is_owned_by_the_workspace_that_it_names() -> None:
    """By the exact name, and by nothing for an empty or missing label."""
    found = Namespaces([labelled("a", "shop"), labelled("b", ""), Namespace("c"), labelled("d", "Shop")])
    assert found.owned_by("shop") == (("a",), 1)
    assert found.owned_by("Shop") == (("d",), 1)
    assert found.owned_by("sho") == found.owned_by("") == ((), 0)
    assert set(found) == {"a", "b", "c", "d"}


def test_one_that_ends_counts_until_it_is_gone() -> None:
    """What stands in it is there still."""
    found = Namespaces([labelled("a", "shop")])
    found.put(labelled("a", "shop", terminating=True))
    assert found.owned_by("shop") == (("a",), 1)
    found.drop("a")
    assert found.owned_by("shop") == ((), 0)
    found.drop("a")
    assert len(found) == 0


def test_one_that_moves_is_owned_by_the_other() -> None:
    """From one workspace to the next, and to none."""
    found = Namespaces([labelled("a", "shop")])
    found.put(labelled("a", "bank"))
    assert (found.owned_by("shop"), found.owned_by("bank")) == (((), 0), (("a",), 1))
    found.put(Namespace("a"))
    assert found.owned_by("bank") == ((), 0)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_the_platforms_own_are_nobodys(name: str) -> None:
    """Whatever label somebody has put on them."""
    found = Namespaces([labelled(name, "shop")])
    assert found.owned_by("shop") == ((), 0)
    assert name in found


def test_of_many_a_few_are_named_and_all_are_counted() -> None:
    """What a request costs does not depend on how many there are."""
    found = Namespaces(labelled(f"n{number}", "shop") for number in range(1000))
    names, count = found.owned_by("shop")
    assert (len(names), len(set(names)), count) == (SHOWN, SHOWN, 1000)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "shop", "bank", None]))))
def test_the_index_is_that_of_what_stands(steps: list[tuple[str, str | None]]) -> None:
    """Whatever came, changed and went before."""
    found, standing = Namespaces(), dict[str, str]()
    for name, workspace in steps:
        if workspace is None:
            found.drop(name)
            standing.pop(name, None)
        else:
            found.put(labelled(name, workspace))
            standing[name] = workspace
    assert set(found) == set(standing)
    for workspace in ("shop", "bank"):
        expected = {name for name, owner in standing.items() if owner == workspace}
        names, count = found.owned_by(workspace)
        assert (set(names), count) == (expected, len(expected))
    assert set(found._owned) == {owner for owner in standing.values() if owner}
