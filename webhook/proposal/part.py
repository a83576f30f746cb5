"""
What a review says: parts, and in each what it remarks on.

A part is judged by itself: what could not be done in one of them hides nothing that another one found.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from webhook.scan.finding import STRENGTH, Action

State = Literal["ok", "findings", "not applicable", "not done"]
FailOn = Literal["enforce", "warn", "audit", "never"]


@dataclass(frozen=True, slots=True)
class Remark:
    """
    One thing that a review tells.

    `thing` is the path of what it is about (`checkout-dev/NetworkPolicy/web`), and `file` (relative to the folder) with
    `line` and `column` where it stands, empty and 0 where that is not known. `action` is how grave it is: what would
    come of it in the cluster, `none` for what is only told; `always` is what fails whatever is asked for. `mark` tells
    remarks on one thing apart, and stays the same while the words change.
    """

    rule: str
    action: Action
    message: str
    thing: str
    file: str = ""
    line: int = 0
    column: int = 0
    always: bool = False
    mark: str = ""

    @property
    def fingerprint(self) -> str:
        """What is the same for as long as the same is remarked on."""
        parts = (self.rule, self.thing, self.mark or self.message)
        return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:32]

    def fails(self, fail_on: FailOn) -> bool:
        """Say whether the review fails for it, where it is to fail on what comes to `fail_on`, or to more."""
        if self.always:
            return True
        return fail_on != "never" and self.action != "none" and STRENGTH[self.action] >= STRENGTH[fail_on]


@dataclass(frozen=True, slots=True)
class Part:
    """
    One of the questions that a review asks.

    `summary` is its answer in a line; of one that is not done it is why. `known` and `fixed` count what was there
    and stays, and what goes. `told` is what is in JSON alone.
    """

    name: str
    title: str
    state: State
    summary: str
    remarks: tuple[Remark, ...] = ()
    known: int = 0
    fixed: int = 0
    told: Mapping[str, Any] = field(default_factory=dict)

    def with_warnings(self, lines: tuple[str, ...]) -> "Part":
        """Return the part with what else has to be known about it."""
        notes = tuple(Remark(f"proposal/{self.name}", "warn", line, self.name) for line in lines)
        if not notes:
            return self
        # What is not looked at is no part that there is nothing to ask about.
        state: State = "not done" if self.state == "not done" else "findings"
        return replace(self, state=state, remarks=(*self.remarks, *notes))


def not_done(name: str, title: str, why: str, remarks: tuple[Remark, ...] = ()) -> Part:
    """Return a part that could not be done."""
    return Part(name, title, "not done", why, remarks)


def not_applicable(name: str, title: str, why: str) -> Part:
    """Return a part that there is nothing to ask about."""
    return Part(name, title, "not applicable", why)


def judged(remarks: tuple[Remark, ...]) -> State:
    """Return the state of a part with these remarks; what is only noted is no finding."""
    return "findings" if any(each.always or each.action != "none" for each in remarks) else "ok"
