"""Asks the gate itself, by the whole way of a review, what would become of an action."""

import base64
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson

from webhook.admission import Gate
from webhook.cli.actions import Action
from webhook.decision.opa import Engine, Opa
from webhook.history.record import Record
from webhook.model import Namespace, Policies
from webhook.registration.hooks import asked
from webhook.review.patch import applied
from webhook.tenancy.tree import Tree

Json = dict[str, Any]
Verdict = Literal["allow", "warn", "audit", "undone", "deny", "error", "unasked"]
"""
What comes of an action: as recorded (contract, section 5), `undone` where it is allowed and the mutation puts back what
it changes, `unasked` where no webhook of ours is asked and Kubernetes' own RBAC decides alone.
"""

SECONDS = 10.0
# The decision is not recorded, so nobody could look it up.
_DECISION = re.compile(r"\. Decision [0-9a-f-]{36}$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    user: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of an action: `rules` are those that fired, `message` has a line for each that refuses."""

    action: str
    title: str
    verdict: Verdict
    rules: tuple[str, ...] = ()
    message: str = ""
    warnings: tuple[str, ...] = ()
    break_glass: bool = False

    @property
    def allowed(self) -> bool:
        """Whether it would be done; what Portcullis is not asked about is not for it to say."""
        return self.verdict in {"allow", "warn", "audit"}


@dataclass(slots=True)
class Judge:
    """A gate on a tree; `hooks` are the shipped webhook objects by kind, `namespace` is where everything is done."""

    opa: Opa
    policies: Policies
    break_glass_groups: tuple[str, ...]
    hooks: Mapping[str, Json]
    namespace: Namespace
    _records: list[Record] = field(default_factory=list)

    async def ask(self, tree: Tree, action: Action, caller: Caller) -> Judged:
        """Return what would become of `action`."""
        answer = Judged(action.id, action.title, "unasked")
        if not self._asked("ValidatingWebhookConfiguration", action):
            return answer
        gate = Gate(Engine(self.opa, self.policies), lambda: tree, self.break_glass_groups, self._records.append)
        new = await self._mutated(gate, action, caller)
        response = _response(await gate.validate(_body(action, caller, new), seconds=SECONDS))
        record = self._records[-1]
        answer = replace(
            answer,
            verdict=record.verdict,
            rules=record.rules,
            message=_DECISION.sub("", response.get("status", {}).get("message", "")),
            warnings=tuple(response.get("warnings", ())),
            break_glass=record.break_glass,
        )
        if response["allowed"] and (kept := _put_back(action, new)):
            return replace(answer, verdict="undone", message=f"Portcullis puts {', '.join(kept)} back")
        return answer

    def knows(self, action: Action) -> bool:
        """Say whether there is a webhook for such an action, wherever it is done."""
        return asked(self.hooks["ValidatingWebhookConfiguration"], action.call, {}) is not None

    def _asked(self, kind: str, action: Action) -> bool:
        inside = {"kubernetes.io/metadata.name": self.namespace.name, **self.namespace.labels}
        labels = action.labels if action.call.plural == "namespaces" else inside
        return bool(asked(self.hooks[kind], action.call, labels))

    async def _mutated(self, gate: Gate, action: Action, caller: Caller) -> Json | None:
        if action.new is None or not self._asked("MutatingWebhookConfiguration", action):
            return action.new
        response = _response(await gate.mutate(_body(action, caller, action.new), seconds=SECONDS))
        return applied(action.new, orjson.loads(base64.b64decode(response.get("patch", "W10="))))


def _body(action: Action, caller: Caller, new: Json | None) -> bytes:
    return orjson.dumps(action.review(str(uuid.uuid4()), caller.user, caller.groups, new))


def _response(body: bytes) -> Json:
    response: Json = orjson.loads(body)["response"]
    return response


def _put_back(action: Action, new: Json | None) -> Sequence[str]:
    """Return the labels and annotations that the action changes, if all of them are as before."""
    if action.new is None or action.old is None or new is None:
        return ()
    before, wanted, after = (each["metadata"] for each in (action.old, action.new, new))
    changed = [
        (kind, key)
        for kind in ("labels", "annotations")
        for key, value in wanted.get(kind, {}).items()
        if before.get(kind, {}).get(key) != value
    ]
    kept = all(after.get(kind, {}).get(key) == before.get(kind, {}).get(key) for kind, key in changed)
    return [f"the {kind.removesuffix('s')} {key}" for kind, key in changed] if kept else ()
