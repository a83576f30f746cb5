"""What the API server says is read, however deep; what is no JSON is told."""

import time

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases.reviews import Json
from webhook.cluster.reading import CUT, DEEPEST, read_json

TOLD = orjson.loads(CUT)


def nested(levels: int, inside: bytes = b"1", around: tuple[bytes, bytes] = (b"[", b"]")) -> bytes:
    """Return JSON of so many levels."""
    return around[0] * levels + inside + around[1] * levels


def depth_of(value: object) -> int:
    """Return how many levels a value of lists of one has, and end with what lies inside."""
    depth = 0
    while isinstance(value, list | dict):
        value = value[0] if isinstance(value, list) else next(iter(value.values()))
        depth += 1
    assert value in {1, TOLD}
    return depth


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1,", b'"x', b"\xff", b"nul", nested(5_000)[:-1], nested(5_000)[1:], b"[}"]
)
def test_what_is_no_json_is_told(text: bytes) -> None:
    """By the error of any reader of JSON, however deep it is."""
    with pytest.raises(orjson.JSONDecodeError):
        read_json(text)


@pytest.mark.parametrize("around", [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
@pytest.mark.parametrize("levels", [1, DEEPEST, 1_000])
def test_what_can_be_read_whole_is(levels: int, around: tuple[bytes, bytes]) -> None:
    """To the last level."""
    assert depth_of(read_json(nested(levels, around=around))) == levels


@pytest.mark.parametrize("around", [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
@pytest.mark.parametrize("levels", [1_100, 10_000])
def test_what_is_too_deep_is_cut(levels: int, around: tuple[bytes, bytes]) -> None:
    """To a depth that no known kind has; a text that says so stands for the rest."""
    assert depth_of(read_json(nested(levels, around=around))) == DEEPEST


def test_what_stands_beside_is_kept() -> None:
    """Name, labels and all that is not too deep, whatever brackets stand in texts."""
    thing: Json = {
        "metadata": {"name": "a [{ b", "labels": {"x": 'quote " and \\ ]}'}},
        "spec": {"deep": 0, "after": [1]},
    }
    text = orjson.dumps(thing).replace(b'"deep":0', b'"deep":' + nested(2_000) + b',"too":' + nested(2_000))
    read = read_json(text)
    assert read["metadata"] == thing["metadata"]
    assert read["spec"]["after"] == [1]
    assert depth_of(read["spec"]["deep"]) == depth_of(read["spec"]["too"]) == DEEPEST - 2


def test_it_takes_no_time_to_speak_of() -> None:
    """A large object that is too deep keeps nobody waiting."""
    text = b'{"text":"' + b'\\"x[' * 300_000 + b'","deep":' + nested(9_000) + b"}"
    begin = time.perf_counter()
    assert len(read_json(text)["text"]) == 900_000
    assert time.perf_counter() - begin < 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.sampled_from('[]{}"\\,: a'), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.sampled_from('[]"\\a'), max_size=3), inner),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(json_values, json_values)
def test_only_what_is_too_deep_is_cut(first: object, last: object) -> None:
    """Before it and after it everything is as it was said."""
    text = b'{"first":' + orjson.dumps(first) + b',"deep":' + nested(1_500) + b',"last":' + orjson.dumps(last) + b"}"
    read = read_json(text)
    assert (read["first"], read["last"]) == (first, last)
    assert depth_of(read["deep"]) == DEEPEST - 1
