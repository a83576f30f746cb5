"""
Asks OPA for the decision on one document.

Fails closed: whatever keeps us from a whole answer becomes `NoDecisionError`. The paths asked for are constants.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Protocol, Self, TypeVar

import aiohttp
import orjson
from pydantic import BeforeValidator, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from webhook.decision.document import Document, Kind, Request, User
from webhook.decision.plainly import read_plainly
from webhook.errors import NoDecisionError
from webhook.exemption import rfc3339
from webhook.model import Change, Decision, Mutation, Policies, Tenant, Violation

T = TypeVar("T")

MUTATION_RULES = frozenset({"mutate/namespace"})

Asked = Document | Mapping[str, Any] | orjson.Fragment
"""A document, its JSON read, or its JSON as it was kept, which is passed on unread."""

# A failing builtin is an error; by default it would make its rule undefined: no violation.
STRICT = {"strict-builtin-errors": True}


class Opa(Protocol):
    """The one call that we make on an OPA client."""

    async def query_rule(
        self, input_data: Any, package_path: str, rule_name: str, query_params: dict[str, bool], /
    ) -> Any:
        """Return OPA's whole answer, JSON, for a rule of a package; without `result` where the rule is undefined."""
        ...


@dataclass(slots=True)
class Engine:
    """
    The OPA that is asked and the policies that its answers have to be of.

    Both are replaced at once when other policies are loaded, so whoever asks reads them together, and right then.
    """

    opa: Opa
    policies: Policies


_UNDEFINED = object()
"""Stands for the answer on a document that OPA left out."""
_FOLDERS = TypeAdapter(tuple[tuple[str, str], ...])


def _ids(folders: Any) -> frozenset[str]:
    """Return the ids of rules, which OPA names by their folders: dashes for underscores."""
    return frozenset("/".join(folder).replace("_", "-") for folder in _FOLDERS.validate_python(folders))


_Rules = Annotated[frozenset[str], BeforeValidator(_ids)]


class _Decision(TypedDict):
    revision: str
    rules: _Rules
    allowed: bool
    break_glass: bool
    undecided: str
    violations: tuple[Violation, ...]


class _Mutation(TypedDict):
    revision: str
    rules: _Rules
    undecided: str
    changes: tuple[Change, ...]


class Readable(TypedDict):
    """
    Whose records somebody may read: the keys of tenants, and whether `others`, which concern no tenant.

    A tenant in `under` counts in records alone that name this project as well.
    """

    tenants: frozenset[str]
    under: dict[str, str]
    others: bool


_DECISION = TypeAdapter(_Decision)
_MUTATION = TypeAdapter(_Mutation)
_MANY = TypeAdapter(dict[str, Any])
_HELD = TypeAdapter(dict[str, frozenset[str]])
_READABLE = TypeAdapter(Readable)


class _Mask(TypedDict):
    revision: str
    paths: tuple[tuple[tuple[str, ...], ...], ...]


_MASK = TypeAdapter(_Mask)


class _Denials(TypedDict):
    revision: str
    found: dict[str, tuple[Any, ...]]


_DENIALS = TypeAdapter(_Denials)


class LocalOpa:
    """
    An OPA asked over a Unix socket or TCP, without retries: the API server's deadline is ours, and it asks again.

    Used as an async context manager.
    """

    def __init__(
        self, *, socket: Path | None = None, host: str = "localhost", port: int = 8181, ssl: bool = False
    ) -> None:
        self.address: Mapping[str, Any] = {"socket": socket, "host": host, "port": port, "ssl": ssl}
        """What another client of the same OPA is made of."""
        self._client: Opa
        self._stack = AsyncExitStack()
        self._asked = 0

    async def __aenter__(self) -> Self:
        # Five megabytes that nobody needs who decides in-process.
        from webhook.decision.client import Client  # noqa: PLC0415

        self._client = await self._stack.enter_async_context(Client(**self.address))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def query_rule(
        self, input_data: Any, package_path: str, rule_name: str, query_params: dict[str, bool], /
    ) -> Any:
        """Ask, see `Opa`; counted until there is an answer or nobody waits for one."""
        self._asked += 1
        try:
            return await self._client.query_rule(input_data, package_path, rule_name, query_params)
        finally:
            self._asked -= 1

    async def idle(self) -> None:
        """Return once nobody waits for an answer."""
        while self._asked:  # noqa: ASYNC110 - asked for when an OPA is replaced, and never else
            await asyncio.sleep(0.01)


async def decide(opa: Opa, document: Asked, policies: Policies, *, seconds: float) -> Decision:
    """Return OPA's decision on `document`; raises `NoDecisionError` unless it is whole and in time."""
    answer = await _ask(opa, document, "portcullis.validate/decision", seconds)
    return _decision(answer, _looking_at(document, policies), policies)


async def decide_many(
    opa: Opa, documents: Sequence[Asked], policies: Policies, *, seconds: float
) -> tuple[Decision | NoDecisionError, ...]:
    """
    Return for each of the `documents`, in their order, what `decide` returns or raises.

    They are put to OPA as one question, which costs a fraction of many. Where that has no answer as a whole, because a
    builtin failed on one of them or it took longer than `seconds`, each is asked alone, with `seconds` of its own.
    """
    if not documents:
        return ()
    try:
        answer = _read(_MANY, await _ask(opa, {"documents": documents}, "portcullis.batch/decisions", seconds))
    except NoDecisionError as error:
        if error.cause not in {"failed", "late"}:
            return (error,) * len(documents)
        return tuple([await _alone(opa, each, policies, seconds) for each in documents])
    return _every(answer, documents, policies)


async def denied(
    opa: Opa, documents: Sequence[tuple[Asked, Sequence[str]]], policies: Policies, *, seconds: float
) -> tuple[tuple[str, ...] | None, ...]:
    """
    Return for each document what each of the rules beside it finds on it, written so that only the same is alike.

    None for a document of which a rule says nothing at all. Raises `NoDecisionError` like `decide`; it is no decision.
    """
    asked = {"documents": [each for each, _ in documents], "rules": [_folders(rules) for _, rules in documents]}
    answer = _read(_DENIALS, await _ask(opa, asked, "portcullis.batch/denials", seconds))
    _demand(answer["revision"], policies.rules, policies)
    found = [tuple(map(_written, answer["found"].get(str(index), ()))) for index in range(len(documents))]
    return tuple(each if len(each) == len(rules) else None for each, (_, rules) in zip(found, documents, strict=True))


def _written(found: Any) -> str:
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode()


def _folders(rules: Sequence[str]) -> list[list[str]]:
    return [rule.replace("-", "_").split("/") for rule in rules]


async def _alone(opa: Opa, document: Asked, policies: Policies, seconds: float) -> Decision | NoDecisionError:
    try:
        return await decide(opa, document, policies, seconds=seconds)
    except NoDecisionError as error:
        return error


def _every(
    answer: Mapping[str, Any], documents: Sequence[Asked], policies: Policies
) -> tuple[Decision | NoDecisionError, ...]:
    found: list[Decision | NoDecisionError] = []
    # Most of them say the same of the same kind as the one before, and what the same words mean was read there.
    before: tuple[Any, frozenset[str]] | None = None
    for index, document in enumerate(documents):
        this = (answer.get(str(index), _UNDEFINED), _looking_at(document, policies))
        found.append(found[-1] if this == before else _one_of(*this, policies))
        before = this
    return tuple(found)


def _one_of(answer: Any, of: frozenset[str], policies: Policies) -> Decision | NoDecisionError:
    try:
        if answer is _UNDEFINED:
            raise _undefined()
        return _decision(answer, of, policies)
    except NoDecisionError as error:
        return error


def _decision(answer: Any, of: frozenset[str], policies: Policies) -> Decision:
    decision = read_plainly(answer) or Decision(**_read(_DECISION, answer))
    _demand(decision.revision, decision.rules, policies, of=of)
    _demand_sense(decision)
    if decision.undecided and not decision.allowed:
        raise NoDecisionError(decision.undecided, retry=True, cause="undecided")
    return decision


async def mutate(opa: Opa, document: Document, policies: Policies, *, seconds: float) -> Mutation:
    """Return what OPA stamps on the object of `document`; raises `NoDecisionError` like `decide`."""
    answer = await _ask(opa, document, "portcullis.mutate/decision", seconds)
    mutation = Mutation(**_read(_MUTATION, answer))
    _demand(mutation.revision, mutation.rules, Policies(policies.revision, MUTATION_RULES))
    if mutation.undecided:
        raise NoDecisionError(mutation.undecided, retry=True, cause="undecided")
    return mutation


async def probe(opa: Opa, policies: Policies, *, seconds: float) -> None:
    """
    Ask for both decisions on a request that no rule covers; raises `NoDecisionError` as `decide` and `mutate` do.

    An OPA that answers this has all of the policies.
    """
    kind, now = Kind("", "v1", "Probe"), rfc3339(datetime.now(UTC))
    nothing = Document(
        request=Request("CREATE", kind, "", "", "", dry_run=True, time=now),
        user=User("portcullis:probe", ()),
        object=None,
        old_object=None,
        break_glass_groups=(),
        tree=True,
        organization="",
    )
    await decide(opa, nothing, policies, seconds=seconds)
    await mutate(opa, nothing, policies, seconds=seconds)


async def held(opa: Opa, user: User, tenants: Mapping[str, Tenant], *, seconds: float) -> Mapping[str, frozenset[str]]:
    """
    Return the roles that `user` holds at each of the `tenants`, by their keys; none for a key is none held.

    Raises `NoDecisionError` like `decide`; it is no decision, and no request is let pass by it.
    """
    return _read(_HELD, await _ask(opa, {"user": user, "tenants": tenants}, "portcullis.roles/held", seconds))


async def masked(
    opa: Opa, shapes: Sequence[Mapping[str, Any]], policies: Policies, *, seconds: float
) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """
    Return for each of the `shapes` of objects the paths of what is not kept of it (`policies_rego/portcullis/mask/`).

    Raises `NoDecisionError` like `decide`.
    """
    answer = _read(_MASK, await _ask(opa, {"shapes": shapes}, "portcullis.mask/decision", seconds))
    if answer["revision"] != policies.revision or len(answer["paths"]) != len(shapes):
        raise NoDecisionError("OPA has other policies, or its mask is not whole", retry=True, cause="revision")
    return answer["paths"]


async def readable(opa: Opa, user: User, tenants: Mapping[str, Tenant], *, seconds: float) -> Readable:
    """Return whose records `user` may read; raises `NoDecisionError` like `decide`."""
    asked = {"user": user, "tenants": tenants}
    return _read(_READABLE, await _ask(opa, asked, "portcullis.history/visible", seconds))


async def _ask(opa: Opa, document: Asked, path: str, seconds: float) -> Any:
    package, _, rule = path.partition("/")
    try:
        async with asyncio.timeout(seconds):
            answer = await opa.query_rule(document, package, rule, STRICT)
    except TimeoutError as error:
        raise NoDecisionError(f"OPA did not answer within {seconds:.1f} s", retry=True, cause="late") from error
    except aiohttp.ClientResponseError as error:
        # 500 is a builtin that failed: asking again would fail again.
        raise NoDecisionError(
            f"OPA answered with HTTP {error.status}", retry=error.status == 503, cause="failed"
        ) from error
    except aiohttp.ClientError as error:
        raise NoDecisionError("OPA cannot be reached", retry=True, cause="unreachable") from error
    except (TypeError, ValueError) as error:
        raise NoDecisionError(
            f"the request or OPA's answer is not JSON: {error}", retry=False, cause="failed"
        ) from error
    if not isinstance(answer, dict) or "result" not in answer:
        raise _undefined()
    return answer["result"]


def _undefined() -> NoDecisionError:
    # So answers an OPA that was started again and has not loaded its bundle yet.
    return NoDecisionError("OPA's decision is undefined", retry=True, cause="revision")


def _read(shape: TypeAdapter[T], answer: Any) -> T:
    try:
        return shape.validate_python(answer)
    except ValidationError as error:
        raise NoDecisionError(
            f"OPA's answer has another shape: {error.errors()[0]['loc']}", retry=False, cause="failed"
        ) from error


def _looking_at(document: Asked, policies: Policies) -> frozenset[str]:
    """Return the rules that look at what `document` is on, by our own index; all where that cannot be told."""
    if type(document) is Document:
        return _demanded(policies, document.request.kind.group, document.request.kind.kind)
    match orjson.loads(orjson.dumps(document)) if isinstance(document, orjson.Fragment) else document:
        case {"request": {"kind": {"group": str(group), "kind": str(kind)}}}:
            return _demanded(policies, group, kind)
        case _:
            return policies.rules


@lru_cache(maxsize=64)
def _demanded(policies: Policies, group: str, kind: str) -> frozenset[str]:
    return policies.demanded(group, kind)


def _demand(revision: str, rules: frozenset[str], policies: Policies, *, of: frozenset[str] | None = None) -> None:
    if revision != policies.revision:
        # Right after OPA was started again it may not have its bundle yet.
        raise NoDecisionError(
            "OPA has another revision of the policies than the one shipped", retry=True, cause="revision"
        )
    missing = sorted((policies.rules if of is None else of) - rules)
    if not policies.rules:
        raise NoDecisionError("there is no rule that could decide", retry=False, cause="revision")
    if missing:
        raise NoDecisionError(f"OPA did not run {', '.join(missing)}", retry=False, cause="revision")


def _demand_sense(decision: Decision) -> None:
    """Check what Rego concludes against what it found: one of them being wrong must not let anybody in."""
    refused = bool(decision.undecided) or any(each.action == "enforce" for each in decision.violations)
    if decision.allowed != (decision.break_glass or not refused):
        raise NoDecisionError("OPA's verdict contradicts its violations", retry=False, cause="failed")
