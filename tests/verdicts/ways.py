"""The ways to a verdict on a request: the live webhook, `check`, `scan` and `replay`."""

import asyncio
import base64
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar, cast

import jsonpatch
import orjson
from fastapi import FastAPI

from tests.cases.reviews import NAMESPACE, Asked, Json
from tests.conftest import Loop
from tests.fuzz.inputs import Input
from tests.fuzz.test_fuzz import answered
from tests.verdicts.compared import Case, Said, Told, masked
from webhook.admission import Gate
from webhook.app import Metrics, create_app
from webhook.check import judge as checking
from webhook.check.arrival import ArrivalError, arrived
from webhook.check.arriving import stood
from webhook.check.asking import Caller
from webhook.check.course import Course, Step
from webhook.check.ground import Ground, Identity
from webhook.check.kinds import COVERED, hooked, split_version
from webhook.check.opening import _of_loading
from webhook.check.shelf import Held, Shelf
from webhook.check.written import STANDARD_INPUT, Sources, Written
from webhook.decision.catalogue import RulePage
from webhook.health import Health
from webhook.history.record import Record
from webhook.model import Namespace
from webhook.reach.kinds import kind_of
from webhook.replay.deciding import BATCH, Side, decided
from webhook.replay.outcome import LONGEST
from webhook.replay.shape import as_known
from webhook.review.answer import MOST_VIOLATIONS, one_line
from webhook.scan import judge as scanning
from webhook.scan.asking import KINDS
from webhook.scan.unruled import UNDECIDED
from webhook.selector import NAME_LABEL
from webhook.server import AnyCallers
from webhook.tenancy.files import Loading
from webhook.tenancy.policies import read_policy

T = TypeVar("T")
AT_ONCE = 16
PATIENCE = 1800.0
"""Seconds for one way to say it all, on a machine that does much beside."""
GROUNDS = 8
"""So many checks run side by side in a world: each changes its ground."""
NOW = datetime.now(UTC)


def told(rule: str, action: str, message: str) -> Told:
    """Return a finding as all ways can tell it."""
    return Told(rule, action, one_line(masked(message), longest=LONGEST - 100))


class Webhook:
    """
    The app with a real OPA over HTTP, as the API server asks it: what is mutated, is mutated first.

    Keeps the record of each case.
    """

    def __init__(self, gate: Gate, worlds: Mapping[str, Loading], loop: Loop) -> None:
        self.records: dict[str, Record] = {}
        self._loop = loop
        self._kept: dict[str, Record] = {}
        self._apps = {name: self._app(gate, loading) for name, loading in worlds.items()}

    def judged(self, cases: Sequence[Case]) -> Sequence[Said | None]:
        """Ask about all of them."""
        return self._loop.run(_each(cases, self._judged), seconds=PATIENCE)

    def part(self, case: Case, said: Said) -> Said:  # noqa: ARG002 - it is a way
        """Return all of it."""
        return said

    def _app(self, gate: Gate, loading: Loading) -> FastAPI:
        there = replace(gate, tree=lambda: loading.tree, mender=None, record=self._keep)
        return create_app(there, Health(list), Metrics(), AnyCallers())

    def _keep(self, record: Record) -> None:
        self._kept[record.decision_id] = record

    async def _ask(self, case: Case, route: str, review: Json) -> tuple[Json, Record]:
        status, body = await answered(self._apps[case.world], route, Input(orjson.dumps(review)))
        assert status == 200, body
        response: Json = orjson.loads(body)["response"]
        return response, self._kept.pop(response["auditAnnotations"]["decision-id"])

    async def _judged(self, case: Case) -> Said:
        review = case.asked.review()
        if case.asked.kind == NAMESPACE and case.asked.new and case.asked.operation in {"CREATE", "UPDATE"}:
            response, _ = await self._ask(case, "/mutate", review)
            patch = orjson.loads(base64.b64decode(response.get("patch", "W10=")))
            review["request"]["object"] = jsonpatch.apply_patch(case.asked.new, patch)
        response, record = await self._ask(case, "/validate", review)
        self.records[case.id] = record
        _agree(response, record)
        if record.verdict == "error":
            return Said("error", frozenset({told("", "", record.reason)}), record.break_glass)
        found = (told(each.rule, each.action, each.message) for each in record.violations)
        return Said(record.verdict, frozenset(found), record.break_glass)


def _agree(response: Json, record: Record) -> None:
    """Make sure that what is recorded is what the caller reads."""
    assert response["allowed"] == (record.verdict not in {"deny", "error"})
    assert response["auditAnnotations"]["rules"] == ",".join(record.rules)
    said = response.get("status", {}).get("message", "")
    refusing = [each for each in record.violations if each.action == "enforce"]
    if record.verdict == "deny" and len(refusing) <= MOST_VIOLATIONS:
        lines = {one_line(f"[{each.rule}] {each.message}") for each in refusing}
        assert {line.rpartition(". Decision ")[0] for line in said.splitlines()} == lines


class Replay:
    """What was recorded, decided again; of several findings of one rule the first is told."""

    def __init__(self, side: Side, webhook: Webhook, loop: Loop) -> None:
        self._side = side
        self._webhook = webhook
        self._loop = loop

    def judged(self, cases: Sequence[Case]) -> Sequence[Said | None]:
        """Decide again what was decided on."""
        asked = [case for case in cases if self._webhook.records[case.id].document is not None]
        return self._loop.run(self._judged(cases, asked), seconds=PATIENCE)

    def part(self, case: Case, said: Said) -> Said:  # noqa: ARG002 - it is a way
        """Return the first finding of each rule."""
        first: dict[tuple[str, str], Told] = {}
        for each in sorted(said.told):
            first.setdefault((each.rule, each.action), each)
        return replace(said, told=frozenset(first.values()), break_glass=False)

    async def _judged(self, cases: Sequence[Case], asked: Sequence[Case]) -> list[Said | None]:
        found: dict[str, Said] = {}
        waiting = iter(asked)
        while batch := list(islice(waiting, BATCH)):
            known = [as_known(orjson.dumps(self._webhook.records[each.id].document))[0] for each in batch]
            outcomes = await decided(self._side, "head", known)
            for case, outcome in zip(batch, outcomes, strict=True):
                said = (told(fired.rule, fired.action, message) for fired, message in outcome.said.items())
                reason = {told("", "", outcome.reason)} if outcome.reason else said
                found[case.id] = Said(outcome.verdict, frozenset(reason))
        return [found.get(case.id) for case in cases]


@dataclass
class Check:
    """`portcullis check --as`: a manifest of one object, on the tree of the world."""

    gate: Gate
    catalogue: Mapping[str, RulePage]
    worlds: Mapping[str, Loading]
    loop: Loop
    _grounds: dict[str, asyncio.Queue[Ground]] = field(default_factory=dict)
    _stands: dict[str, dict[Identity, Json]] = field(default_factory=dict)

    def judged(self, cases: Sequence[Case]) -> Sequence[Said | None]:
        """Check what a manifest can say."""
        return self.loop.run(self._all(cases), seconds=PATIENCE)

    def part(self, case: Case, said: Said) -> Said:  # noqa: ARG002 - it is a way
        """Leave out the pod gate: what lacks is brought before a pod is judged."""
        kept = (each for each in said.told if each.rule != "baseline/pod-gate")
        # What break-glass overrides is a warning here.
        return said.of(each._replace(action="warn") if said.break_glass else each for each in kept)

    async def _all(self, cases: Sequence[Case]) -> list[Said | None]:
        for name, loading in self.worlds.items():
            self._stands[name] = _standing(loading)
            queue = self._grounds[name] = asyncio.Queue()
            for _ in range(GROUNDS):
                queue.put_nowait(_of_loading(loading))
        return await _each(cases, self._judged)

    async def _judged(self, case: Case) -> Said | None:
        written = _manifest(case.asked)
        if written is None or not hooked(*written.thing.identity[:2], written.thing.namespace):
            return None
        ground = await self._grounds[case.world].get()
        try:
            return await self._on(ground, case, written)
        finally:
            self._grounds[case.world].put_nowait(ground)

    async def _on(self, ground: Ground, case: Case, written: Written) -> Said:
        """Check on a ground, and leave it as it was."""
        thing = written.thing
        old, stands = ground.old.get(thing.identity), self._stands[case.world].get(thing.identity)
        ground.old.pop(thing.identity, None)
        if case.asked.old is not None:
            ground.old[thing.identity] = orjson.dumps(stood(case.asked.old))
        said = await self._course(case.asked, ground, written)
        if stands:
            ground.put(thing, stands)
        else:
            ground.drop(thing)
        ground.old.pop(thing.identity, None)
        if old is not None:
            ground.old[thing.identity] = old
        # The policies of a namespace that was judged are let go.
        for (group, kind, namespace, _), each in self._stands[case.world].items():
            if namespace and namespace == thing.namespace:
                ground.live.put(str(kind_of(group, kind)), each)
        return said

    async def _course(self, asked: Asked, ground: Ground, written: Written) -> Said:
        caller = Caller(asked.caller.name, asked.caller.groups)
        judge = checking.Judge(
            self.gate.opa, self.gate.policies, self.catalogue, NOW, caller, self.gate.break_glass_groups
        )
        course = Course(judge, ground)
        await course.run([Step(written, ends=asked.operation == "DELETE")])
        found = [fault.finding for fault in course.faults]
        if undecided := [each for each in found if each.rule == checking.UNDECIDED]:
            return Said("error", frozenset(told("", "", each.message) for each in undecided))
        ruled = (told(each.rule, each.action, each.message) for each in found if each.rule != "baseline/pod-gate")
        return Said("", frozenset()).of(each for each in ruled if not each.rule.startswith("check/"))


@dataclass
class Scan:
    """`portcullis scan`: what one who holds every role creates, as if it stood; `rbac/*` is not asked."""

    gate: Gate
    titles: Mapping[str, str]
    worlds: Mapping[str, Loading]
    loop: Loop

    def judged(self, cases: Sequence[Case]) -> Sequence[Said | None]:
        """Scan what could stand."""
        return self.loop.run(_each(cases, self._judged), seconds=PATIENCE)

    def part(self, case: Case, said: Said) -> Said:
        """Return one finding for each rule but `rbac/*`, without who asked for what."""
        by_rule: defaultdict[str, list[Told]] = defaultdict(list)
        for each in sorted(said.told):
            by_rule[each.rule].append(each)
        metadata = (case.asked.new or {})["metadata"]
        thing = metadata["name"] if case.asked.kind == NAMESPACE else f"{metadata['namespace']}/{metadata['name']}"
        begin = f"{case.asked.caller.name} may not create {case.asked.kind[2]} {thing}: "
        kept = []
        for rule, every in by_rule.items():
            why = "; ".join(dict.fromkeys(each.message.removeprefix(begin) for each in every))
            action = next(each for each in ("enforce", "warn", "audit") if each in {one.action for one in every})
            kept.append(told(rule, action, why))
        return said.of(each for each in kept if not each.rule.startswith("rbac/"))

    async def _judged(self, case: Case) -> Said | None:
        asked, tree = case.asked, self.worlds[case.world].tree
        if tree is None or not _could_stand(asked):
            return None
        judge, new = scanning.Judge(self.gate, self.titles), asked.new or {}
        metadata = new["metadata"]
        if asked.kind == NAMESPACE:
            labels = {key: value for key, value in metadata["labels"].items() if key != NAME_LABEL}
            namespace = Namespace(metadata["name"], labels, annotations=metadata.get("annotations") or {})
            findings = await judge.namespace(tree, namespace, NOW)
        else:
            kind: Any = kind_of(asked.kind[0], asked.kind[2])
            findings = await judge.policy(tree, read_policy(kind, new), NOW)
        if undecided := [each for each in findings if each.rule == UNDECIDED]:
            return Said("error", frozenset(told("", "", each.message) for each in undecided))
        return Said("", frozenset()).of(told(each.rule, each.action, each.message) for each in findings)


def _could_stand(asked: Asked) -> bool:
    """Say whether it is the creation of what is scanned, by one who holds every role and breaks no glass."""
    if asked.operation != "CREATE" or asked.subresource or asked.over or asked.caller.groups[:1] != ("acme-admins",):
        return False
    metadata = (asked.new or {}).get("metadata") or {}
    if not asked.caller.name or not metadata.get("name"):
        return False
    if asked.kind == NAMESPACE:
        return bool((metadata.get("labels") or {}).get(NAME_LABEL) == metadata["name"])
    known: Any = kind_of(asked.kind[0], asked.kind[2])
    return known in KINDS and KINDS[known] == asked.kind[:2] and bool(metadata.get("namespace"))


class Lap(Shelf):
    """A shelf for one object, without a file."""

    def put(self, content: bytes) -> Held:
        """Take it."""
        self.held = content
        return Held(0, len(content))

    def content(self, held: Held) -> bytes:  # noqa: ARG002 - there is one
        """Give it back."""
        return self.held


SIDES = {"CREATE": (True, False), "UPDATE": (True, True), "DELETE": (False, True)}


def _manifest(asked: Asked) -> Written | None:
    """Return what is asked as the manifest that it comes of, None where no manifest can say it."""
    new, old = asked.new, asked.old
    if asked.subresource or asked.over or SIDES.get(asked.operation) != (new is not None, old is not None):
        return None
    if asked.kind == NAMESPACE and new and old and any(new.get(key) != old.get(key) for key in ("spec", "status")):
        # The API server keeps these in an update, whatever the manifest says.
        return None
    identities = {_identity(asked, each) for each in (new, old) if each}
    if len(identities) != 1 or None in identities or not _arrives(new):
        return None
    sources = Sources((STANDARD_INPUT,), standard_input=orjson.dumps(new or old), shelf=Lap())
    (written,) = sources.written(STANDARD_INPUT)
    return written if isinstance(written, Written) else None


def _identity(asked: Asked, thing: Json) -> tuple[str, str, str] | None:
    """Return kind, namespace and name of an object that could stand so."""
    metadata, page = thing.get("metadata") or {}, COVERED.get((asked.kind[0], asked.kind[2]))
    version = f"{asked.kind[0]}/{asked.kind[1]}".removeprefix("/")
    name, namespace = metadata.get("name"), metadata.get("namespace", "")
    if page is None or not name or (thing.get("apiVersion"), thing.get("kind")) != (version, asked.kind[2]):
        return None
    if asked.kind == NAMESPACE and (metadata.get("labels") or {}).get(NAME_LABEL) != name:
        return None
    return (asked.kind[2], namespace, name) if page.namespaced == bool(namespace) else None


def _arrives(thing: Json | None) -> bool:
    """Say whether the API server could read it; what it cannot never comes to the webhook."""
    try:
        arrived(thing or {})
    except ArrivalError as error:
        return error.status != 400
    return True


def _standing(loading: Loading) -> dict[Identity, Json]:
    """Return what stands in a world."""
    found = {}
    for each in loading.places.values():
        data = stood(each.data)
        group, metadata = split_version(data["apiVersion"])[0], data["metadata"]
        found[group, data["kind"], metadata.get("namespace", ""), metadata["name"]] = data
    return found


async def _each(cases: Sequence[Case], judged: Callable[[Case], Awaitable[T]]) -> list[T]:
    """Ask about each case, some at once."""
    found: list[T | None] = [None] * len(cases)
    waiting = iter(enumerate(cases))

    async def some() -> None:
        for index, case in waiting:
            found[index] = await judged(case)

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return cast("list[T]", found)
