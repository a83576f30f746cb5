"""Label selectors, compared with trying every label map of a small world."""

from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook.errors import UnreadableError
from webhook.selector import MOST_CONDITIONS, Selector, read_selector

# A machine that is busy with something else makes a test slow, not wrong.
THOROUGH = settings(max_examples=200, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
KEYS = ("app", "tier")
VALUES = ("a", "b", "c")
# No selector here names the fourth value: there is always one that nobody thought of.
EVERY_LABELS: list[dict[str, str]] = [
    {key: value for key, value in zip(KEYS, values, strict=True) if value}
    for values in product(("", *VALUES, "another"), repeat=len(KEYS))
]

values = st.lists(st.sampled_from(VALUES), min_size=1, max_size=3)
expressions = st.one_of(
    st.fixed_dictionaries(
        {"key": st.sampled_from(KEYS), "operator": st.sampled_from(["In", "NotIn"]), "values": values}
    ),
    st.fixed_dictionaries({"key": st.sampled_from(KEYS), "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
)
selectors = st.fixed_dictionaries(
    {},
    optional={
        "matchLabels": st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=2) | st.none(),
        "matchExpressions": st.lists(expressions, max_size=4) | st.none(),
    },
)


def selected(raw: dict[str, Any], labels: dict[str, str]) -> bool:
    """Say by the words of Kubernetes' documentation whether `raw` selects `labels`."""
    for key, value in (raw.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for each in raw.get("matchExpressions") or []:
        present = each["key"] in labels
        inside = present and labels[each["key"]] in each.get("values", [])
        if not {"In": inside, "NotIn": not inside, "Exists": present, "DoesNotExist": not present}[each["operator"]]:
            return False
    return True


def world(raw: dict[str, Any]) -> list[dict[str, str]]:
    """Return every label map that `raw` selects."""
    return [labels for labels in EVERY_LABELS if selected(raw, labels)]


@THOROUGH
@given(selectors)
def test_a_selector_matches_what_kubernetes_says_it_does(raw: dict[str, Any]) -> None:
    """`matches` agrees with the documentation on every label map."""
    selector = read_selector(raw)
    assert [labels for labels in EVERY_LABELS if selector.matches(labels)] == world(raw)


@THOROUGH
@given(selectors)
def test_a_selector_is_satisfiable_when_some_labels_meet_it(raw: dict[str, Any]) -> None:
    """`satisfiable` is true exactly when there are labels that are selected."""
    assert read_selector(raw).satisfiable() == bool(world(raw))


@THOROUGH
@given(selectors, selectors)
def test_joined_selects_what_both_select(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two selectors have a common object exactly when their join is satisfiable."""
    joined = read_selector(one).joined(read_selector(other))
    both = [labels for labels in world(one) if labels in world(other)]
    assert [labels for labels in EVERY_LABELS if joined.matches(labels)] == both
    assert joined.satisfiable() == bool(both)


@THOROUGH
@given(selectors, selectors)
def test_implies_means_a_subset(one: dict[str, Any], other: dict[str, Any]) -> None:
    """One selector implies another exactly when all that it selects is selected by the other."""
    assert read_selector(one).implies(read_selector(other)) == all(labels in world(other) for labels in world(one))


@THOROUGH
@given(selectors)
def test_a_negated_requirement_matches_exactly_the_rest(raw: dict[str, Any]) -> None:
    """Each requirement and its negation divide all labels between them."""
    for requirement in read_selector(raw).requirements:
        assert all(requirement.matches(labels) != requirement.negated().matches(labels) for labels in EVERY_LABELS)


@THOROUGH
@given(selectors, st.randoms(use_true_random=False))
def test_spelling_does_not_change_a_selector(raw: dict[str, Any], random: Any) -> None:
    """Order, duplicates, and matchLabels written as In make no difference."""
    spelled = [dict(each) for each in raw.get("matchExpressions") or []]
    spelled += [{"key": k, "operator": "In", "values": [v, v]} for k, v in (raw.get("matchLabels") or {}).items()]
    spelled += spelled[:1]
    random.shuffle(spelled)
    assert read_selector({"matchExpressions": spelled}) == read_selector(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(None, id="null"),
        pytest.param({}, id="empty"),
        pytest.param({"matchLabels": None, "matchExpressions": None}, id="null-fields"),
        pytest.param({"matchLabels": {}, "matchExpressions": []}, id="empty-fields"),
        pytest.param({"somethingNewer": 1}, id="a-field-that-the-api-server-drops"),
    ],
)
def test_a_selector_that_says_nothing_matches_everything(raw: object) -> None:
    """Without a requirement every label map is selected, the empty one too."""
    assert read_selector(raw) == Selector()
    assert all(read_selector(raw).matches(labels) for labels in EVERY_LABELS)


@pytest.mark.parametrize("operator", ["Exists", "DoesNotExist"])
@pytest.mark.parametrize("more", [{}, {"values": None}, {"values": []}], ids=["absent", "null", "empty"])
def test_no_values_can_be_spelled_in_three_ways(operator: str, more: dict[str, Any]) -> None:
    """Absent, null and empty values are the same."""
    read = read_selector({"matchExpressions": [{"key": "app", "operator": operator, **more}]})
    assert read == read_selector({"matchExpressions": [{"key": "app", "operator": operator}]})


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        pytest.param([], "its top", id="a-list"),
        pytest.param("app=web", "its top", id="a-text"),
        pytest.param(7, "its top", id="a-number"),
        pytest.param(False, "its top", id="false"),
        pytest.param({"matchLabels": ["app"]}, "matchLabels", id="labels-are-a-list"),
        pytest.param({"matchLabels": {"app": 1}}, "matchLabels.app", id="label-is-a-number"),
        pytest.param({"matchLabels": {"app": True}}, "matchLabels.app", id="label-is-a-boolean"),
        pytest.param({"matchLabels": {"app": None}}, "matchLabels.app", id="label-is-null"),
        pytest.param({"matchLabels": {"app": ["web"]}}, "matchLabels.app", id="label-is-a-list"),
        pytest.param({"matchExpressions": {}}, "matchExpressions", id="expressions-are-an-object"),
        pytest.param({"matchExpressions": [None]}, "matchExpressions.0", id="expression-is-null"),
        pytest.param({"matchExpressions": [[]]}, "matchExpressions.0", id="expression-is-a-list"),
        pytest.param({"matchExpressions": [{"operator": "Exists"}]}, "matchExpressions.0.key", id="no-key"),
        pytest.param({"matchExpressions": [{"key": None, "operator": "Exists"}]}, "0.key", id="null-key"),
        pytest.param({"matchExpressions": [{"key": 1, "operator": "Exists"}]}, "0.key", id="key-is-a-number"),
        pytest.param({"matchExpressions": [{"key": "app"}]}, "0.operator", id="no-operator"),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "in"}]}, "0.operator", id="operator-in-lower-case"
        ),
        pytest.param({"matchExpressions": [{"key": "app", "operator": "Gt", "values": ["1"]}]}, "0.operator", id="gt"),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "In"}]}, "In on app needs values", id="in-nothing"
        ),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "In", "values": []}]}, "needs values", id="in-empty"
        ),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "In", "values": None}]}, "needs values", id="in-null"
        ),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": []}]},
            "NotIn on app needs values",
            id="not-in-empty",
        ),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["a"]}]},
            "Exists on app takes no values",
            id="exists-with-values",
        ),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "DoesNotExist", "values": ["a"]}]},
            "takes no values",
            id="does-not-exist-with-values",
        ),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "In", "values": "a"}]}, "0.values", id="values-are-a-text"
        ),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "In", "values": [1]}]},
            "0.values.0",
            id="value-is-a-number",
        ),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", None]}]},
            "0.values.1",
            id="value-is-null",
        ),
    ],
)
def test_a_selector_that_the_api_server_would_refuse_is_unreadable(raw: object, told: str) -> None:
    """What cannot be read is never taken for a selector that matches nothing or everything; the message says where."""
    with pytest.raises(UnreadableError) as caught:
        read_selector(raw)
    assert told in str(caught.value)


def test_a_selector_of_too_many_conditions_is_not_judged() -> None:
    """Comparing two selectors costs their product, and one tenant must not keep everybody waiting."""
    assert read_selector({"matchLabels": {f"k{n}": "v" for n in range(MOST_CONDITIONS // 2)}}).satisfiable()
    with pytest.raises(UnreadableError, match="more than 500 labels and values"):
        read_selector({"matchLabels": {f"k{n}": "v" for n in range(MOST_CONDITIONS)}})
    with pytest.raises(UnreadableError, match="more than 500 labels and values"):
        read_selector({"matchExpressions": [{"key": "k", "operator": "NotIn", "values": [f"{n}" for n in range(501)]}]})
