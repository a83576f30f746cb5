"""What no rule reads changes nothing: neither the verdict, nor the rules, nor what is said."""

import copy
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cases.reviews import Json
from tests.cases.table import CASES
from tests.conftest import Loop
from tests.policies.answers import Answer, ask_all
from webhook.admission import Gate

SOME = settings(max_examples=18, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
SHARE = 6
"""Every so manieth case is asked in one example."""

words = st.text(st.characters(codec="utf-8"), max_size=12)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(words, each, max_size=3),
    max_leaves=6,
)
keys = st.from_regex(r"([a-z][a-z0-9-]{0,9}\.example\.(com|org)/)?x[a-zA-Z0-9._-]{0,12}y", fullmatch=True)
"""Of labels and annotations that nothing reads: neither ours, nor Kubernetes', nor in a selector of the tree."""

kept_by_the_server = st.fixed_dictionaries(
    {},
    optional={
        "uid": words,
        "resourceVersion": st.integers(0, 2**63).map(str),
        "generation": st.integers(0, 2**31),
        "creationTimestamp": words,
        "deletionGracePeriodSeconds": st.integers(0, 600),
        "selfLink": words,
        "managedFields": st.lists(anything, max_size=3),
        "xField": anything,
    },
)


@dataclass(frozen=True)
class Noise:
    """What is put into a review: into the request, into the metadata of each side, and the same into both sides."""

    request: Json
    user: Json
    new: Json
    old: Json
    labels: dict[str, str]
    annotations: dict[str, str]
    status: Any

    def into(self, review: Json) -> Json:
        """Return the review with all of it; what it says of our own fields stays."""
        noisy = copy.deepcopy(review)
        request = noisy["request"]
        request |= self.request
        request["userInfo"] |= self.user
        for side, server in (("object", self.new), ("oldObject", self.old)):
            if (each := request[side]) is None:
                continue
            about = each.setdefault("metadata", {})
            about |= server
            for field, more in (("labels", self.labels), ("annotations", self.annotations)):
                about[field] = more | (about.get(field) or {})
            each["status"] = self.status
        return noisy


noises = st.builds(
    Noise,
    request=st.fixed_dictionaries(
        {},
        optional={
            "uid": st.uuids().map(str),
            "options": anything,
            "requestKind": anything,
            "requestResource": anything,
            "requestSubResource": anything,
            "resource": anything,
            "dryRun": st.sampled_from((True, False, None)),
            "xField": anything,
        },
    ),
    user=st.fixed_dictionaries({}, optional={"uid": anything, "extra": anything, "xField": anything}),
    new=kept_by_the_server,
    old=kept_by_the_server,
    labels=st.dictionaries(keys, words, max_size=3),
    annotations=st.dictionaries(keys, words, max_size=3),
    status=anything,
)


@pytest.fixture(scope="module")
def answers(gate: Gate, loop: Loop) -> list[Answer]:
    """What the cases of the table are answered as they stand."""
    return ask_all(loop, gate, (case.asked.review() for case in CASES))


@SOME
@given(noise=noises, first=st.integers(0, SHARE - 1))
def test_unrelated_fields_change_nothing(
    noise: Noise, first: int, answers: list[Answer], gate: Gate, loop: Loop
) -> None:
    """
    Whatever the fields say that no rule reads, each case of the table is decided and told the same.

    Those are what the API server keeps in metadata, labels and annotations of others, a status that stays, and what a
    request says beside the question: uid, options, dryRun, what was asked for originally, the caller's uid and extra.
    """
    cases, was = CASES[first::SHARE], answers[first::SHARE]
    now = ask_all(loop, gate, (noise.into(case.asked.review()) for case in cases))
    assert [(case.id, one) for case, one, other in zip(cases, now, was, strict=True) if one != other] == []


def test_what_is_put_in_would_be_seen(answers: list[Answer], gate: Gate, loop: Loop) -> None:
    """The same label, were it put into the new object alone, would change what several cases are answered."""
    noise = Noise({}, {}, {}, {}, {"xy": "a"}, {}, None)
    noisy = [noise.into(case.asked.review()) for case in CASES]
    for review, case in zip(noisy, CASES, strict=True):
        review["request"]["oldObject"] = case.asked.old
    now = ask_all(loop, gate, noisy)
    assert len([one for one, other in zip(now, answers, strict=True) if one != other]) > 3
