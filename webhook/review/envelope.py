"""
Reads an AdmissionReview of `admission.k8s.io/v1` from the bytes of a request.

Source: https://kubernetes.io/docs/reference/config-api/apiserver-admission.v1/
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictStr, TypeAdapter, ValidationError

from webhook.errors import ReviewError
from webhook.model import Operation

_DIGITS = bytes(ord("0") if byte in b"0123456789" else ord(" ") for byte in range(256))
_LONG_NUMBER = b"0" * 19
"""What an integer may be of that has more than 64 bits, with every digit a zero."""


def _absent(value: Any) -> Any:
    """Take a null for an absent value, as Go does."""
    return () if value is None else value


def _absent_map(value: Any) -> Any:
    return {} if value is None else value


def _absent_text(value: Any) -> Any:
    return "" if value is None else value


_Text = Annotated[StrictStr, BeforeValidator(_absent_text)]
_Texts = Annotated[tuple[StrictStr, ...], BeforeValidator(_absent)]
_Labels = Annotated[dict[StrictStr, StrictStr], BeforeValidator(_absent_map)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Metadata(_Model):
    """The metadata that rules may read; what is absent is empty."""

    name: _Text = ""
    generateName: _Text = ""  # noqa: N815 - as Kubernetes spells it
    namespace: _Text = ""
    labels: _Labels = Field(default_factory=dict)
    annotations: _Labels = Field(default_factory=dict)
    finalizers: _Texts = ()
    ownerReferences: Annotated[tuple[dict[StrictStr, Any], ...], BeforeValidator(_absent)] = ()  # noqa: N815
    deletionTimestamp: _Text = ""  # noqa: N815 - as Kubernetes spells it


class GroupVersionKind(_Model):
    """What kind of object it is; an empty `group` is the core group."""

    group: _Text = ""
    version: StrictStr
    kind: StrictStr


class UserInfo(_Model):
    """Who asks; a name that is absent is empty, and an empty one matches nobody."""

    username: _Text = ""
    groups: _Texts = ()


class _WithMetadata(_Model):
    metadata: Annotated[Metadata, BeforeValidator(_absent_map)] = Field(default_factory=Metadata)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """An object under review: `raw` as it was sent, `metadata` of it as far as rules may read it."""

    raw: dict[str, Any]
    metadata: Metadata

    def as_document(self) -> dict[str, Any]:
        """Return the object with its readable metadata in place of all of it (managedFields are large and unread)."""
        # Nothing but its fields, by their names; taken by pydantic they would be looked at again.
        return {**self.raw, "metadata": dict(vars(self.metadata))}


def _reviewed(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError("has to be an object or null")  # noqa: TRY004 - pydantic turns ValueErrors into its own
    return Reviewed(value, _WithMetadata.model_validate(value).metadata)


class ReviewRequest(_Model):
    """The question of the API server."""

    uid: Annotated[StrictStr, Field(min_length=1, max_length=256)]
    kind: GroupVersionKind
    operation: Operation
    subresource: Annotated[_Text, Field(alias="subResource")] = ""
    name: _Text = ""
    namespace: _Text = ""
    user: Annotated[UserInfo, Field(alias="userInfo")]
    dry_run: Annotated[bool | None, Field(alias="dryRun", strict=True)] = False
    object: Annotated[Reviewed | None, BeforeValidator(_reviewed)] = None
    old_object: Annotated[Reviewed | None, BeforeValidator(_reviewed), Field(alias="oldObject")] = None


class _Review(_Model):
    apiVersion: Literal["admission.k8s.io/v1"]  # noqa: N815 - as Kubernetes spells it
    kind: Literal["AdmissionReview"]
    request: ReviewRequest


_REVIEW = TypeAdapter(_Review)


def read_review(body: bytes) -> ReviewRequest:
    """Return the request of an AdmissionReview; raises `ReviewError` (400) that says what it has to be."""
    try:
        # As a search for a pattern of digits, at a tenth of the cost.
        if _LONG_NUMBER in body.translate(_DIGITS):
            _refuse_long_integers(body)
        data = orjson.loads(body)
    except (orjson.JSONDecodeError, ValueError, RecursionError) as error:
        raise ReviewError(400, f"the body is not JSON that can be read: {_short(str(error))}") from error
    try:
        return _REVIEW.validate_python(data).request
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise ReviewError(
            400, f"not an AdmissionReview of admission.k8s.io/v1: {_short(where)}: {first['msg']}"
        ) from error


def _refuse_long_integers(body: bytes) -> None:
    """Refuse what orjson would read as a float: two different integers could read as the same one."""

    def bounded(digits: str) -> int:
        number = int(digits) if len(digits) < 25 else 2**64
        if not -(2**63) <= number < 2**64:
            raise ValueError("an integer has more than 64 bits")
        return number

    json.loads(body, parse_int=bounded)


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"
