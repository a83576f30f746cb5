"""The way of one request: review > facts > decision > answer > record."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Protocol

from webhook.decision.document import Document
from webhook.decision.opa import Engine, Opa, decide, mutate, probe
from webhook.errors import ClusterError, NoDecisionError
from webhook.gather import gather
from webhook.history.record import Record, Route, Verdict, verdict_of
from webhook.mend import Gap
from webhook.model import Cover, Decision, Mutation, Namespace, Policies
from webhook.reach.facts import Meanings
from webhook.reaches import beside
from webhook.review.answer import decided, mutated, one_line, undecided
from webhook.review.envelope import Reviewed, ReviewRequest, read_review
from webhook.review.patch import patch_of
from webhook.tenancy.tree import Tree

LARGE = 32 * 1024
"""Bytes of a review from which on its facts are gathered beside the event loop."""

MANY = 20
"""Policies beside the one under review from which on it is the same."""

LARGE_AT_ONCE = 2

UNFORESEEN = "the review failed as nobody foresaw, and the log says why"

Look = Callable[[str], Awaitable[Namespace | None]]


class Mends(Protocol):
    """Brings the baseline that a pod waits for."""

    async def cover(self, gap: Gap, *, seconds: float) -> Cover:
        """Return how far the baselines are in place once what lacked has been brought, or could not be."""
        ...


class Abreast(Protocol):
    """Whether the tree is as new as what another process watches."""

    def behind(self) -> bool:
        """Say whether something is not known yet."""
        ...

    async def caught_up(self, *, seconds: float) -> None:
        """Return once it is; raises `NoDecisionError` where it does not come."""
        ...


@dataclass(frozen=True, slots=True)
class Gate:
    """What a request is decided with; `tree` gives the tree of now, None while there is none."""

    engine: Engine
    tree: Callable[[], Tree | None]
    break_glass_groups: tuple[str, ...]
    record: Callable[[Record], None]
    authenticated: bool = False
    """Whether callers had to show the API server's certificate."""
    meanings: Meanings = field(default_factory=Meanings)
    large: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LARGE_AT_ONCE))
    """Held while the facts of a large review are gathered: those of many would keep everybody waiting."""
    look: Look | None = None
    """Reads a namespace that the tree does not know from the API server; None where there is none to ask."""
    mender: Mends | None = None
    """Brings what lacks before a pod is judged; None where there is no cluster to bring it to."""
    abreast: Abreast | None = None
    """Asked as each decision begins; None where this process watches by itself, and so is never behind."""

    @property
    def opa(self) -> Opa:
        """Return the OPA of now."""
        return self.engine.opa

    @property
    def policies(self) -> Policies:
        """Return the policies of now."""
        return self.engine.policies

    async def validate(self, body: bytes, *, seconds: float) -> bytes:
        """Answer one AdmissionReview within `seconds`; raises `ReviewError` for a body that is none."""
        case = _Case(read_review(body), self, len(body))
        try:
            document = case.asked = await case.mended(await case.document(seconds), seconds)
            decision = await decide(self.opa, document, self.policies, seconds=case.left(seconds))
        except NoDecisionError as error:
            return case.no_decision("validate", NoDecisionError(case.unread, retry=True) if case.unread else error)
        if decision.undecided and case.unread:
            decision = replace(decision, undecided=case.unread)
        case.record("validate", verdict_of(decision), decision)
        return decided(case.review.uid, case.decision_id, decision)

    async def mutate(self, body: bytes, *, seconds: float) -> bytes:
        """Answer one AdmissionReview with the patch of what is stamped on it; raises like `validate`."""
        case = _Case(read_review(body), self, len(body))
        try:
            document = case.asked = await case.document(seconds)
            mutation = await mutate(self.opa, document, self.policies, seconds=case.left(seconds))
        except NoDecisionError as error:
            return case.no_decision("mutate", error)
        sent = case.review.object
        patch = patch_of(sent.raw.get("metadata"), mutation.changes) if sent else []
        case.record("mutate", "allow", mutation)
        return mutated(case.review.uid, case.decision_id, mutation, patch)

    def failed(self, route: Route, body: bytes) -> bytes:
        """Answer a review that failed as nobody foresaw, which is that there is no decision; raises like `validate`."""
        return _Case(read_review(body), self, len(body)).no_decision(
            route, NoDecisionError(UNFORESEEN, retry=False, cause="unforeseen")
        )

    async def probe(self, *, seconds: float) -> None:
        """Ask for the decisions on a request that no rule covers; raises `NoDecisionError` like any other."""
        await probe(self.opa, self.policies, seconds=seconds)


class _Case:
    """One request on its way, in a review of `size` bytes."""

    def __init__(self, review: ReviewRequest, gate: Gate, size: int) -> None:
        self.review = review
        self.size = size
        # The review's uid is new for every call of the API server, and not ours.
        self.decision_id = str(uuid.uuid4())
        self.unread = ""
        self.asked: Document | None = None
        self._now = datetime.now(UTC)
        self._gate = gate
        self._tree: Tree | None = None
        self._begin = time.perf_counter()

    def left(self, seconds: float) -> float:
        """Return what is left of `seconds` since the request came; raises `NoDecisionError` where nothing is."""
        left = seconds - (time.perf_counter() - self._begin)
        if left <= 0:
            raise NoDecisionError(f"the facts could not be gathered within {seconds:.1f} s", retry=False)
        return left

    async def document(self, seconds: float) -> Document:
        """Gather the facts; raises `NoDecisionError` after `seconds`."""
        gate = self._gate
        if gate.abreast and gate.abreast.behind():
            await gate.abreast.caught_up(seconds=self.left(seconds) / 2)
        self._tree = tree = await self._knowing(gate.tree(), seconds)
        facts = partial(gather, self.review, tree, gate.break_glass_groups, gate.meanings, now=self._now)
        if self.size <= LARGE and (tree is None or beside(self.review, tree) <= MANY):
            return facts()
        # The facts of a large object, or of one among many, take their time; others are answered meanwhile.
        try:
            async with asyncio.timeout(self.left(seconds)):
                await gate.large.acquire()
                gathering = asyncio.ensure_future(asyncio.to_thread(facts))
                # A thread goes on when nobody waits any more: its place is free when it is done, and not before.
                gathering.add_done_callback(lambda _: gate.large.release())
                return await asyncio.shield(gathering)
        except TimeoutError as error:
            raise NoDecisionError(f"the facts could not be gathered within {seconds:.1f} s", retry=False) from error

    async def mended(self, document: Document, seconds: float) -> Document:
        """Return the document of a new pod with what lacks of its baseline brought; any other as it is."""
        mender, place, tree = self._gate.mender, document.places.new, self._tree
        if mender is None or place is None or tree is None or document.cover is None or document.request.subresource:
            return document
        # Half of the time, as above.
        gap = Gap(place, tree, document.request.dry_run)
        return replace(document, cover=await mender.cover(gap, seconds=self.left(seconds) / 2))

    async def _knowing(self, tree: Tree | None, seconds: float) -> Tree | None:
        """
        Return the tree with the namespace of the object, which the watch may not have told of yet.

        None where it cannot be read, and `unread` says so: without the facts Rego lets nobody but break-glass pass.
        Unknown is only what the API server does not know.
        """
        look, namespace = self._gate.look, _namespace_of(self.review)
        if tree is None or look is None or not namespace or namespace in tree.namespaces:
            return tree
        try:
            # Half of the time: what is left is for the decision.
            async with asyncio.timeout(self.left(seconds) / 2):
                found = await look(namespace)
        except (ClusterError, TimeoutError) as error:
            self.unread = f"namespace {namespace} could not be read: {str(error) or 'the API server is too slow'}"
            return None
        return tree.knowing(found) if found else tree

    def no_decision(self, route: Route, error: NoDecisionError) -> bytes:
        self.record(route, "error", None, error=error)
        return undecided(self.review.uid, self.decision_id, self._gate.policies.revision, error)

    def record(
        self,
        route: Route,
        verdict: Verdict,
        answer: Decision | Mutation | None,
        *,
        error: NoDecisionError | None = None,
    ) -> None:
        review = self.review
        identity = review.old_object if review.operation == "DELETE" else review.object
        decision = answer if isinstance(answer, Decision) else None
        self._gate.record(
            Record(
                decision_id=self.decision_id,
                time=datetime.now(UTC).isoformat(timespec="milliseconds"),
                route=route,
                user=one_line(review.user.username),
                operation=review.operation,
                group=one_line(review.kind.group),
                kind=one_line(review.kind.kind),
                namespace=one_line(identity.metadata.namespace if identity else review.namespace),
                name=one_line((identity.metadata.name if identity else "") or review.name),
                uid=one_line(_uid(identity)),
                verdict=verdict,
                rules=tuple(sorted({each.rule for each in decision.violations})) if decision else (),
                ran=_in_order(answer.rules) if answer else (),
                violations=decision.violations if decision else (),
                revision=answer.revision if answer else self._gate.policies.revision,
                dry_run=bool(review.dry_run),
                break_glass=bool(decision and decision.break_glass),
                authenticated=self._gate.authenticated,
                milliseconds=round((time.perf_counter() - self._begin) * 1000, 3),
                reason=one_line(str(error)) if error else "",
                cause=error.cause if error else None,
                tenants=_tenants(self.asked),
                document=self.asked,
                size=self.size,
            )
        )


@lru_cache(maxsize=64)
def _in_order(rules: frozenset[str]) -> tuple[str, ...]:
    """Return the names in order; they are the same for every object of a kind."""
    return tuple(sorted(rules))


def _uid(each: Reviewed | None) -> str:
    """Return the uid of an object, empty where it has none (yet)."""
    metadata = each.raw.get("metadata") if each else None
    uid = metadata.get("uid") if isinstance(metadata, dict) else None
    return uid if isinstance(uid, str) else ""


def _namespace_of(review: ReviewRequest) -> str:
    """Return the namespace that the object is in, empty for what is in none."""
    if (review.kind.group, review.kind.kind) == ("", "Namespace"):
        return ""
    each = review.old_object if review.operation == "DELETE" else review.object
    return each.metadata.namespace if each else ""


def _tenants(document: Document | None) -> tuple[str, ...]:
    """Return the keys of the tenants that the object stands under, before and after, of a tenant its own among them."""
    if document is None:
        return ()
    places = (document.places.new, document.places.old)
    own = () if document.tenancy is None else (document.tenancy.new, document.tenancy.old)
    keys = [key for place in places if place for key in place.path]
    for each in filter(None, own):
        above = [f"Project/{each.project}"] if each.project else []
        keys += [each.key, *above, f"Organization/{document.organization}"]
    return tuple(dict.fromkeys(keys))
