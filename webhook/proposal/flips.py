"""What a replay of recorded decisions says of a change to the rules: every decision that would come out otherwise."""

from collections.abc import Iterable, Mapping
from typing import Any

from webhook.proposal.part import Part, Remark, judged
from webhook.replay.tally import Flip, Replay
from webhook.scan.finding import Action

NAME, TITLE, RULE = "replay", "Replay of recorded decisions", "replay/flip"
_NONE = "no rule"


def judge_replay(replay: Replay, notes: Iterable[str], *, told: Mapping[str, Any]) -> Part:
    """
    Return what a replay found: what passes that was refused fails whatever is asked for.

    `notes` are what else has to be known of it, `told` what JSON has of it.
    """
    known = (Remark("replay/note", "none", each, NAME, mark=each) for each in notes)
    remarks = (*map(_remark, replay.flips), *known)
    return Part(NAME, TITLE, judged(remarks), _summary(replay), remarks, told=told)


def opens(flip: Flip) -> bool:
    """Say whether what was refused passes, or what passed with a warning passes without."""
    return flip.after == "allow" or flip.change == "opened"


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


def _summary(replay: Replay) -> str:
    span = f" from {replay.first} to {replay.last}" if replay.first else ""
    flipped = sum(each.count for each in replay.flips)
    opened = sum(each.count for each in replay.flips if opens(each))
    said = f"{replay.replayed:,} decisions{span} decided again, {flipped:,} otherwise"
    if replay.untouched or replay.screened:
        said += (
            f" (of {replay.distinct:,} documents {replay.untouched:,} are nothing that a changed rule looks at, and on "
            f"{replay.screened:,} those rules find the same)"
        )
    return f"{said}{f', {opened:,} of them allowed now' if opened else ''}"
