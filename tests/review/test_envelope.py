"""AdmissionReviews from bytes: what is read, and what is refused with words that help."""

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cases.reviews import ADA, NAMESPACE, NETPOL, Asked, Json, namespace, policy
from webhook.errors import ReviewError
from webhook.review.envelope import Metadata, ReviewRequest, read_review

# A machine that is busy with something else makes a test slow, not wrong.
THOROUGH = settings(max_examples=200, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
GONE = object()
"""Marks a field that is taken out."""


def review(**over: Any) -> Json:
    """Return a sound AdmissionReview whose request differs in these fields."""
    whole = Asked(ADA, "CREATE", NETPOL, policy("checkout-dev"), over=over).review()
    whole["request"] = {key: value for key, value in whole["request"].items() if value is not GONE}
    return whole


def with_metadata(**metadata: Any) -> Json:
    """Return a sound AdmissionReview of an object with this metadata."""
    return review(object={"metadata": metadata})


def read(whole: object) -> ReviewRequest:
    """Read an AdmissionReview given as JSON values."""
    return read_review(orjson.dumps(whole))


def refusal(body: bytes) -> str:
    """Return why `body` is refused, which it has to be with 400 and a line of moderate length."""
    with pytest.raises(ReviewError) as caught:
        read_review(body)
    assert caught.value.status == 400
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def test_a_review_of_the_api_server_is_read_whole() -> None:
    """Every field that rules need arrives as it was sent."""
    asked = Asked(
        ADA,
        "UPDATE",
        NAMESPACE,
        namespace("checkout-dev", {"a": "b"}, annotations={"c": "d"}, finalizers=["kubernetes"]),
        namespace("checkout-dev"),
        subresource="status",
        dry_run=True,
    )
    found = read(asked.review())
    assert (found.operation, found.subresource, found.dry_run) == ("UPDATE", "status", True)
    assert (found.kind.group, found.kind.version, found.kind.kind) == ("", "v1", "Namespace")
    assert (found.name, found.namespace) == ("checkout-dev", "checkout-dev")
    assert (found.user.username, found.user.groups) == (ADA.name, ADA.groups)
    assert found.object
    assert found.object.raw == asked.new
    assert found.object.metadata.labels == {"kubernetes.io/metadata.name": "checkout-dev", "a": "b"}
    assert found.object.metadata.annotations == {"c": "d"}
    assert found.object.metadata.finalizers == ("kubernetes",)
    assert found.old_object
    assert found.old_object.raw == asked.old


def test_a_document_has_the_metadata_that_rules_read_and_no_other() -> None:
    """What no rule reads (managedFields) stays out, what one may read is there, the rest of the object is untouched."""
    sent = {
        "metadata": {"name": "web", "managedFields": [{"manager": "kubectl"}], "uid": "1"},
        "spec": {"x": [1]},
        "data": 2,
    }
    found = read(review(object=sent)).object
    assert found
    assert found.as_document() == {
        "metadata": {**Metadata().model_dump(), "name": "web"},
        "spec": {"x": [1]},
        "data": 2,
    }


@pytest.mark.parametrize("field", ["name", "namespace", "subResource", "object", "oldObject", "options"])
@pytest.mark.parametrize("value", [None, GONE], ids=["null", "absent"])
def test_null_and_absent_fields_are_the_same(field: str, value: object) -> None:
    """As in Go a null is the empty value."""
    empty = {"name": "", "namespace": "", "object": None}
    found = read(review(**{**empty, field: value}))
    assert found == read(review(**empty, uid=found.uid))


@pytest.mark.parametrize("value", [None, GONE, False], ids=["null", "absent", "false"])
def test_a_request_is_no_dry_run_unless_it_says_so(value: object) -> None:
    """Only `true` is a dry run."""
    assert not read(review(dryRun=value)).dry_run
    assert read(review(dryRun=True)).dry_run


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({}, id="empty"),
        pytest.param(dict.fromkeys(Metadata.model_fields), id="every-field-null"),
        pytest.param({"labels": {}, "annotations": {}, "finalizers": [], "ownerReferences": []}, id="empty-fields"),
        pytest.param({"somethingNewer": 1}, id="an-unknown-field"),
    ],
)
def test_metadata_without_a_word_is_empty(metadata: Json) -> None:
    """Null, empty and absent metadata are the same to rules."""
    found = read(with_metadata(**metadata)).object
    assert found
    assert found.metadata == Metadata()


@pytest.mark.parametrize("sent", [{}, {"metadata": None}, {"metadata": {}}], ids=["absent", "null", "empty"])
def test_an_object_need_not_have_metadata(sent: Json) -> None:
    """An object without metadata has an empty one."""
    found = read(review(object=sent)).object
    assert found
    assert found.metadata == Metadata()
    assert found.raw == sent


@pytest.mark.parametrize(
    "user",
    [{}, {"username": None, "groups": None}, {"username": "", "groups": [], "uid": "7", "extra": {"scopes": ["a"]}}],
    ids=["empty", "null", "with-more"],
)
def test_a_caller_may_have_no_name(user: Json) -> None:
    """An absent name is read, as an empty one; rules deny it."""
    found = read(review(userInfo=user)).user
    assert (found.username, found.groups) == ("", ())


@pytest.mark.parametrize(
    ("whole", "told"),
    [
        pytest.param(None, "the body", id="null"),
        pytest.param([], "the body", id="a-list"),
        pytest.param("AdmissionReview", "the body", id="a-text"),
        pytest.param({}, "apiVersion: Field required", id="an-empty-object"),
        pytest.param({**review(), "apiVersion": "admission.k8s.io/v1beta1"}, "apiVersion: ", id="v1beta1"),
        pytest.param({**review(), "apiVersion": None}, "apiVersion: ", id="null-version"),
        pytest.param(
            {**review(), "kind": "ConversionReview"}, "kind: Input should be 'AdmissionReview'", id="other-kind"
        ),
        pytest.param({**review(), "request": None}, "request: ", id="null-request"),
        pytest.param({**review(), "request": GONE}, "request: Field required", id="an-answer"),
        pytest.param({**review(), "request": []}, "request: ", id="request-is-a-list"),
        pytest.param(review(uid=GONE), "request.uid: Field required", id="no-uid"),
        pytest.param(review(uid=None), "request.uid: ", id="null-uid"),
        pytest.param(review(uid=""), "request.uid: ", id="empty-uid"),
        pytest.param(review(uid=7), "request.uid: ", id="uid-is-a-number"),
        pytest.param(review(uid="u" * 257), "request.uid: ", id="a-long-uid"),
        pytest.param(review(userInfo=GONE), "request.userInfo: Field required", id="no-user"),
        pytest.param(review(userInfo=None), "request.userInfo: ", id="null-user"),
        pytest.param(review(userInfo="ada"), "request.userInfo: ", id="user-is-a-text"),
        pytest.param(review(userInfo={"username": 7}), "request.userInfo.username: ", id="user-name-is-a-number"),
        pytest.param(review(userInfo={"groups": "admins"}), "request.userInfo.groups: ", id="groups-are-a-text"),
        pytest.param(review(userInfo={"groups": [1]}), "request.userInfo.groups.0: ", id="group-is-a-number"),
        pytest.param(review(operation=GONE), "request.operation: Field required", id="no-operation"),
        pytest.param(review(operation=None), "request.operation: ", id="null-operation"),
        pytest.param(review(operation="create"), "request.operation: ", id="operation-in-lower-case"),
        pytest.param(review(operation="PATCH"), "request.operation: ", id="an-operation-that-is-none"),
        pytest.param(review(operation=["CREATE"]), "request.operation: ", id="operation-is-a-list"),
        pytest.param(review(kind=GONE), "request.kind: Field required", id="no-kind"),
        pytest.param(review(kind=None), "request.kind: ", id="null-kind"),
        pytest.param(review(kind="Pod"), "request.kind: ", id="kind-is-a-text"),
        pytest.param(
            review(kind={"group": "", "version": "v1"}), "request.kind.kind: Field required", id="kind-of-nothing"
        ),
        pytest.param(
            review(kind={"group": 1, "version": "v1", "kind": "Pod"}), "request.kind.group: ", id="group-is-1"
        ),
        pytest.param(review(dryRun="true"), "request.dryRun: ", id="dry-run-is-a-text"),
        pytest.param(review(dryRun=1), "request.dryRun: ", id="dry-run-is-a-number"),
        pytest.param(review(name=7), "request.name: ", id="name-is-a-number"),
        pytest.param(review(object=[]), "request.object: ", id="object-is-a-list"),
        pytest.param(review(object="{}"), "request.object: ", id="object-is-a-text"),
        pytest.param(review(object=False), "request.object: ", id="object-is-false"),
        pytest.param(review(oldObject=[{}]), "request.oldObject: ", id="old-object-is-a-list"),
        pytest.param(review(object={"metadata": []}), "request.object.metadata: ", id="metadata-is-a-list"),
        pytest.param(with_metadata(name=7), "request.object.metadata.name: ", id="object-name-is-a-number"),
        pytest.param(with_metadata(labels=["a"]), "request.object.metadata.labels: ", id="labels-are-a-list"),
        pytest.param(with_metadata(labels={"a": 1}), "request.object.metadata.labels.a: ", id="label-is-a-number"),
        pytest.param(with_metadata(labels={"a": True}), "request.object.metadata.labels.a: ", id="label-is-true"),
        pytest.param(with_metadata(labels={"a": ["b"]}), "request.object.metadata.labels.a: ", id="label-is-a-list"),
        pytest.param(with_metadata(annotations={"a": {}}), "annotations.a: ", id="annotation-is-an-object"),
        pytest.param(with_metadata(finalizers="x"), "finalizers: ", id="finalizers-are-a-text"),
        pytest.param(with_metadata(ownerReferences=["x"]), "ownerReferences.0: ", id="owner-is-a-text"),
        pytest.param(with_metadata(deletionTimestamp=1), "deletionTimestamp: ", id="deletion-is-a-number"),
    ],
)
def test_what_is_no_admission_review_is_refused_at_its_place(whole: Any, told: str) -> None:
    """The refusal says that it has to be an AdmissionReview of v1, and which field is wrong."""
    if isinstance(whole, dict):
        whole = {key: value for key, value in whole.items() if value is not GONE}
    why = refusal(orjson.dumps(whole))
    assert why.startswith("not an AdmissionReview of admission.k8s.io/v1: ")
    assert told in why


SOUND = orjson.dumps(review())


def with_number(digits: str) -> bytes:
    """Return a sound body with this number in the object, before anything is read."""
    return orjson.dumps(review(object={"spec": {"n": "NUMBER"}})).replace(b'"NUMBER"', digits.encode())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b" \n", "", id="white-space"),
        pytest.param(b"apiVersion: admission.k8s.io/v1", "", id="yaml"),
        pytest.param(SOUND[:-1], "", id="cut-off"),
        pytest.param(SOUND + SOUND, "", id="two-of-them"),
        pytest.param(SOUND[:-1] + b",}", "", id="a-comma-too-many"),
        pytest.param(b"\xef\xbb\xbf" + SOUND, "", id="byte-order-mark"),
        pytest.param(SOUND.decode().encode("utf-16"), "UTF-8", id="utf-16"),
        pytest.param(SOUND.replace(b"ada", b"\xff\xfe"), "UTF-8", id="not-utf-8"),
        pytest.param(SOUND.replace(b"ada", b"\xed\xa0\x80"), "UTF-8", id="half-a-character"),
        pytest.param(SOUND.replace(b"ada", b"\\ud800"), "surrogate", id="half-a-character-escaped"),
        pytest.param(SOUND.replace(b"ada", b"a\nb"), "", id="a-newline-in-a-text"),
        pytest.param(b"NaN", "", id="nan"),
        pytest.param(with_number("-Infinity"), "", id="infinity"),
        pytest.param(with_number("1e400"), "infinity", id="a-number-beyond-all"),
        pytest.param(with_number(str(2**64)), "more than 64 bits", id="65-bits"),
        pytest.param(with_number(str(-(2**63) - 1)), "more than 64 bits", id="65-bits-with-sign"),
        pytest.param(with_number("9" * 100_000), "more than 64 bits", id="a-hundred-thousand-digits"),
        pytest.param(b"[" * 100_000, "", id="100000-deep"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "", id="100000-objects-deep"),
        pytest.param(b"[" * 100_000 + b"1" * 20 + b"]" * 100_000, "", id="100000-deep-with-a-long-number"),
        pytest.param(b"\x00" * 1000, "", id="zeros"),
    ],
)
def test_what_is_no_json_is_refused(body: bytes, told: str) -> None:
    """Bytes that Go or we would read in another way than the other are not read at all."""
    why = refusal(body)
    assert why.startswith("the body is not JSON that can be read: ")
    assert told in why


@pytest.mark.parametrize(
    ("digits", "number"),
    [
        pytest.param(str(2**64 - 1), 2**64 - 1, id="largest"),
        pytest.param(str(-(2**63)), -(2**63), id="smallest"),
        pytest.param("12345678901234567890.5", 12345678901234567890.5, id="a-float-is-a-float"),
        pytest.param('"99999999999999999999"', "99999999999999999999", id="in-quotes-it-is-a-text"),
    ],
)
def test_numbers_of_64_bits_are_read_exactly(digits: str, number: object) -> None:
    """No integer is rounded."""
    found = read_review(with_number(digits)).object
    assert found
    assert found.raw["spec"]["n"] == number


def test_of_a_key_twice_the_last_counts() -> None:
    """As in Go; what rules see and what is quoted is the same value."""
    body = SOUND.replace(b'"username":"ada"', b'"username":"oz","username":"ada"')
    assert body != SOUND
    assert read_review(body).user.username == "ada"


def test_an_object_may_be_deep() -> None:
    """What the parser takes is read, however deep the spec is."""
    body = with_number("[" * 900 + "]" * 900)
    assert read_review(body).object


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@st.composite
def spoiled_reviews(draw: st.DrawFn) -> bytes:
    """Make a sound review in which a field of the request, or of the object's metadata, is any JSON."""
    whole = Asked(ADA, "UPDATE", NETPOL, policy("a", labels={}), policy("a")).review()
    target = draw(
        st.sampled_from([whole, whole["request"], whole["request"]["userInfo"], whole["request"]["object"]["metadata"]])
    )
    names = [*target, *Metadata.model_fields, "request", "kind", "uid", "groups"]
    target[draw(st.sampled_from(names))] = draw(json_values)
    return orjson.dumps(whole)


@settings(THOROUGH, max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
        json_values.map(orjson.dumps),
        spoiled_reviews(),
        spoiled_reviews(),
        st.tuples(st.just(SOUND), st.integers(0, len(SOUND) - 1), st.binary(min_size=1, max_size=3)).map(
            lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + len(parts[2]) :]
        ),
    )
)
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing but a `ReviewError` of 400 leaves; what is read has a uid and can be made a document."""
    try:
        found = read_review(body)
    except ReviewError as error:
        sound = error.status == 400 and str(error) != ""
    else:
        documents = [each.as_document() for each in (found.object, found.old_object) if each]
        sound = found.uid != "" and orjson.loads(orjson.dumps(documents)) is not None
    assert sound
