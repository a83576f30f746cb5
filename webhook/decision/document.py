"""
OPA's input: the contract between Python, which gathers facts, and Rego, which decides on them.

`policies_rego/schemas/input.json` is generated from here (a test keeps it fresh), and `opa check --schema` finds a
field that Rego misspells. A document holds all that is needed to decide the request again.
"""

import sys
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from pydantic import TypeAdapter
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from webhook.model import Cover, Enforcement, Place, Reach, Tenancy, Tenant


@dataclass(frozen=True, slots=True)
class Kind:
    """The kind of the object under review; `group` is empty for the core group."""

    group: str
    version: str
    kind: str


@dataclass(frozen=True, slots=True)
class Request:
    """
    What is asked, and at what `time` (RFC 3339, UTC): the facts are as of then.

    `namespace` and `name` are the request's own words, identity is the object's (contract, 2).
    """

    operation: Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
    kind: Kind
    subresource: str
    namespace: str
    name: str
    dry_run: bool
    time: str


@dataclass(frozen=True, slots=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...]


class Metadata(TypedDict):
    """An object's metadata with every field of it that rules may read, present whatever the object left out."""

    name: str
    generateName: str
    namespace: str
    labels: dict[str, str]
    annotations: dict[str, str]
    finalizers: list[str]
    ownerReferences: list[Any]
    deletionTimestamp: str


class Object(TypedDict, total=False):
    """An object as the API server sent it, but for its metadata; no rule of ours reads its further fields."""

    metadata: Metadata
    spec: Any


@dataclass(frozen=True, slots=True)
class Places:
    """
    Where the object stands in the tree, before and after.

    `new` is None on DELETE, `old` on CREATE; for an object inside a namespace both are that namespace's. For a
    Namespace, `kept` is the new object with the old one's workspace label, and `administered` are the places that it
    would have in each of the workspaces in which the tree names the caller (filled in on CREATE without the label).
    """

    new: Place | None = None
    old: Place | None = None
    kept: Place | None = None
    administered: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """
    One request with its facts.

    `tenants` is the slice of the tree that the request needs, by key (`Workspace/checkout`); `service_accounts` are the
    keys of the tenants that give a role to a ServiceAccount of the namespace under review, or of those of a Workspace
    that moves; `named_by` those that name the NetworkBaseline under review, and `unreadable` says what in an object of
    portcullis.dev cannot be read. `tree` is false while the tree is not loaded. `reaches` has what the policy under
    review opens, or, where a Namespace gets another owner or comes under a baseline, what the policies that stand in it
    open. `exemption_problem` says what is wrong with the exemption that the new Namespace asks for, empty where it asks
    for none. `cover` is that of the namespace in which a Pod is created, where a baseline applies to it and it is not
    exempt. `tenancy` is an Organization's, Project's or Workspace's.
    """

    request: Request
    user: User
    object: Object | None
    old_object: Object | None
    break_glass_groups: tuple[str, ...]
    tree: bool
    organization: str
    enforcement: dict[str, Enforcement] = field(default_factory=dict)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    places: Places = field(default_factory=Places)
    service_accounts: tuple[str, ...] = ()
    named_by: tuple[str, ...] = ()
    unreadable: str = ""
    reaches: tuple[Reach, ...] = ()
    exemption_problem: str = ""
    cover: Cover | None = None
    tenancy: Tenancy | None = None


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the document."""
    return TypeAdapter(Document).json_schema(mode="serialization")


def check_schema() -> bytes:
    """
    Return the schema that `opa check --schema` finds misspelt fields by.

    It leaves out that a value may be null: OPA looks at nothing below an `anyOf`.
    """
    schema = _never_null(json_schema())
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def _never_null(schema: Any) -> Any:
    match schema:
        case {"anyOf": [some, {"type": "null"}], **rest}:
            return _never_null(some | {key: value for key, value in rest.items() if key != "default"})
        case dict():
            return {key: _never_null(value) for key, value in schema.items()}
        case list():
            return [_never_null(each) for each in schema]
        case _:
            return schema


if __name__ == "__main__":
    sys.stdout.buffer.write(check_schema())
