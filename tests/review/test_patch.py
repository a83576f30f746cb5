"""The JSON patch of a mutation, applied by a library that is not ours."""

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook.model import Change
from webhook.review.patch import Operation, applied, patch_of

# A machine that is busy with something else makes a test slow, not wrong.
THOROUGH = settings(max_examples=200, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
Json = dict[str, Any]
GATE = "portcullis.dev/gate"


def patched(sent: Json, changes: list[Change]) -> Json:
    """Return the object after the patch; `sent` is left as it was."""
    result: Json = jsonpatch.apply_patch(copy.deepcopy(sent), patch_of(sent.get("metadata"), changes))
    return result


def wanted(sent: Json, changes: list[Change], on: str) -> dict[str, str]:
    """Return the labels or annotations that have to come out."""
    result: dict[str, str] = dict((sent.get("metadata") or {}).get(on) or {})
    for change in changes:
        if change.on == on and change.value is not None:
            result[change.key] = change.value
        elif change.on == on:
            result.pop(change.key, None)
    return result


keys = st.sampled_from(["app", GATE, "a/b", "a~b", "~1", "~0", "a/~b/~1", "", "-", "0", "portcullis.dev/a b", "ü"])
maps = st.none() | st.dictionaries(keys, st.sampled_from(["", "x", "y"]), max_size=4)
metadata = st.none() | st.fixed_dictionaries(
    {}, optional={"name": st.just("web"), "labels": maps, "annotations": maps, "finalizers": st.just(["f"])}
)
objects = st.fixed_dictionaries({"kind": st.just("Namespace")}, optional={"metadata": metadata})
changes = st.lists(
    st.builds(Change, st.sampled_from(["labels", "annotations"]), keys, st.none() | st.sampled_from(["", "x", "y"])),
    max_size=6,
)


@THOROUGH
@given(objects, changes)
def test_the_patch_gives_exactly_what_is_wanted(sent: Json, changes: list[Change]) -> None:
    """Labels and annotations are as the changes say, and nothing else is touched."""
    result = patched(sent, changes)
    for on in ("labels", "annotations"):
        assert ((result.get("metadata") or {}).get(on) or {}) == wanted(sent, changes, on)
    rest = {key: value for key, value in (sent.get("metadata") or {}).items() if key not in {"labels", "annotations"}}
    assert {
        key: value for key, value in (result.get("metadata") or {}).items() if key not in {"labels", "annotations"}
    } == rest
    assert result["kind"] == "Namespace"


@THOROUGH
@given(objects, changes)
def test_the_patch_is_minimal(sent: Json, changes: list[Change]) -> None:
    """There is no operation where nothing differs, and each one changes something."""
    operations = patch_of(sent.get("metadata"), changes)
    if all(wanted(sent, changes, on) == wanted(sent, [], on) for on in ("labels", "annotations")):
        assert operations == []
    before = sent
    for operation in operations:
        after: Json = jsonpatch.apply_patch(copy.deepcopy(before), [operation])
        assert after != before
        before = after
    assert len({operation["path"] for operation in operations}) == len(operations)


@THOROUGH
@given(objects, changes)
def test_a_second_run_finds_nothing_to_do(sent: Json, changes: list[Change]) -> None:
    """The API server may call again on what came out: the patch is then empty."""
    assert patch_of(patched(sent, changes).get("metadata"), changes) == []


@pytest.mark.parametrize(
    ("sent", "operations"),
    [
        pytest.param(
            None,
            [
                {"op": "add", "path": "/metadata", "value": {}},
                {"op": "add", "path": "/metadata/labels", "value": {GATE: "enforced"}},
            ],
            id="no-metadata",
        ),
        pytest.param({}, [{"op": "add", "path": "/metadata/labels", "value": {GATE: "enforced"}}], id="no-labels"),
        pytest.param(
            {"labels": None}, [{"op": "add", "path": "/metadata/labels", "value": {GATE: "enforced"}}], id="null-labels"
        ),
        pytest.param(
            {"labels": {}},
            [{"op": "add", "path": "/metadata/labels/portcullis.dev~1gate", "value": "enforced"}],
            id="empty",
        ),
        pytest.param(
            {"labels": {"a": "b"}},
            [{"op": "add", "path": "/metadata/labels/portcullis.dev~1gate", "value": "enforced"}],
            id="other-labels",
        ),
        pytest.param(
            {"labels": {GATE: "open"}},
            [{"op": "replace", "path": "/metadata/labels/portcullis.dev~1gate", "value": "enforced"}],
            id="another-value",
        ),
        pytest.param({"labels": {GATE: "enforced"}}, [], id="there-already"),
    ],
)
def test_a_label_is_set_in_the_smallest_way(sent: Json | None, operations: list[Operation]) -> None:
    """Where the map is absent it is added whole, and only then: otherwise others' labels would be lost."""
    assert patch_of(sent, [Change("labels", GATE, "enforced")]) == operations


@pytest.mark.parametrize(
    ("sent", "operations"),
    [
        pytest.param(None, [], id="no-metadata"),
        pytest.param({"labels": None}, [], id="null-labels"),
        pytest.param({"labels": {"a": "b"}}, [], id="not-there"),
        pytest.param(
            {"labels": {GATE: "x"}}, [{"op": "remove", "path": "/metadata/labels/portcullis.dev~1gate"}], id="there"
        ),
    ],
)
def test_a_label_is_taken_away_only_where_it_is(sent: Json | None, operations: list[Operation]) -> None:
    """A removal of what is not there would fail the whole patch."""
    assert patch_of(sent, [Change("labels", GATE, None)]) == operations


def test_without_changes_there_is_no_patch() -> None:
    """An object that nothing is stamped on is left alone, however bare it is."""
    assert patch_of(None, []) == []
    assert patch_of({"name": "web"}, []) == []


@THOROUGH
@given(objects, changes)
def test_it_is_applied_as_that_library_does(sent: Json, changes: list[Change]) -> None:
    """Who asks our webhook without an API server between gets the same object; what was sent is left as it was."""
    before = copy.deepcopy(sent)
    assert applied(sent, patch_of(sent.get("metadata"), changes)) == patched(sent, changes)
    assert sent == before
