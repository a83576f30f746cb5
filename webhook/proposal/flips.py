"""What a replay of recorded decisions says of a change to the rules: every decision that would come out otherwise."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from webhook.proposal.part import Part, Remark, judged
from webhook.replay.tally import Flip, Replay
from webhook.scan.finding import Action

NAME, TITLE, RULE = "replay", "Replay of recorded decisions", "replay/flip"
_NONE = "no rule"
_LEFT: dict[str, str] = {
    "dry_run": "were dry runs",
    "undocumented": "have no document",
    "unreadable": "have a document that cannot be read",
}


def judge_replay(replay: Replay) -> Part:
    """Return what a replay found: what passes that was refused fails whatever is asked for."""
    remarks = (*map(_remark, replay.flips), *_otherwise(replay))
    flips = [as_json(each) for each in replay.flips]
    told = {
        "flips": flips,
        "reruled": [as_json(each) for each in replay.reruled],
        "records": replay.records,
        "replayed": replay.replayed,
        "unused": dict(replay.unused),
        "undecided": replay.undecided,
        "first": replay.first,
        "last": replay.last,
    }
    return Part(NAME, TITLE, judged(remarks), _summary(replay), remarks, told=told)


def opens(flip: Flip) -> bool:
    """Say whether what was refused passes, or what passed with a warning passes without."""
    return flip.after == "allow" or flip.change == "opened"


def as_json(flip: Flip) -> dict[str, Any]:
    """Return a flip as the contract has it (section 6)."""
    return {
        "rule": flip.rule,
        "tenant": flip.tenant,
        "from": flip.before,
        "to": flip.after,
        "count": flip.count,
        "change": flip.change,
        "examples": [asdict(each) for each in flip.examples],
    }


def _remark(flip: Flip) -> Remark:
    rule, tenant = flip.rule or _NONE, flip.tenant or "no tenant"
    action: Action = "warn" if flip.after in {"warn", "audit"} and not opens(flip) else "enforce"
    who = "; ".join(
        f"{each.user} {each.operation} {each.kind} {f'{each.namespace}/' * bool(each.namespace)}{each.name}"
        for each in flip.examples[:3]
    )
    times = "once" if flip.count == 1 else f"{flip.count} times"
    said = f"{flip.before} -> {flip.after} by {rule} in {tenant}, {times}{f': {who}' if who else ''}"
    mark = f"{flip.before}>{flip.after}"
    return Remark(RULE, action, said, f"{tenant}/{rule}", always=opens(flip), mark=mark)


def _otherwise(replay: Replay) -> Iterator[Remark]:
    if replay.otherwise:
        said = (
            f"{replay.otherwise} decisions come out under the base otherwise than they were recorded: by other rules, "
            "or another version"
        )
        yield Remark("replay/recorded", "none", said, NAME, mark="otherwise")
    if replay.undecided:
        yield Remark(
            "replay/undecided", "warn", f"neither revision decides on {replay.undecided}", NAME, mark="undecided"
        )


def _summary(replay: Replay) -> str:
    left = ", ".join(f"{count} {_LEFT.get(why, why)}" for why, count in sorted(replay.unused.items()))
    span = f" from {replay.first} to {replay.last}" if replay.first else ""
    flipped = sum(each.count for each in replay.flips)
    opened = sum(each.count for each in replay.flips if opens(each))
    said = f"{replay.replayed} decisions{span} decided again: {flipped} flip"
    return f"{said}{f', {opened} of them to allow' if opened else ''}{f'; {left}' if left else ''}"
