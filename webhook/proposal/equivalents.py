"""
Mutants that no test can kill, for with them the rules decide the same: `equivalent.yaml` beside the rules.

It is a file beside the rules and not an entry in their METADATA: what is written there is no word of a rule to its
users, and does not change the revision of the policies. Each entry names the mutant and says why no document tells it
from the rule. One that is not made any more, or that a test kills, is an error: the reason was for another rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from webhook.errors import PolicyError
from webhook.proposal.mutants import Mutant
from webhook.proposal.regoreport import RegoFinding

FILE = "equivalent.yaml"


class Equivalent(BaseModel):
    """A mutant by its file, rule and words, `nth` among those alike in that order; and why it changes no decision."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    rule: str
    was: str
    now: str
    reason: str = Field(min_length=20)
    nth: int = Field(1, ge=1)


class _Listed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    equivalents: tuple[Equivalent, ...]


@dataclass(frozen=True, slots=True)
class Excused:
    """Which survivors a reason excuses, and what is wrong with the list."""

    mutants: tuple[Mutant, ...]
    findings: tuple[RegoFinding, ...]


def read_equivalents(folder: Path) -> tuple[Equivalent, ...]:
    """Return what is listed, nothing where there is no list; raises `PolicyError` for one that cannot be read."""
    try:
        read: Any = yaml.safe_load((folder / FILE).read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, yaml.YAMLError) as error:
        raise PolicyError(f"{FILE} cannot be read: {' '.join(str(error).split())}") from error
    try:
        return _Listed.model_validate(read).equivalents
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PolicyError(f"{FILE}: {where}: {first['msg']}") from error


def new_reasons(folder: Path, base: Path) -> tuple[str, ...]:
    """Return what `folder` excuses and `base` does not; of a base whose list cannot be read, all."""
    try:
        known = read_equivalents(base)
    except PolicyError:
        known = ()
    return tuple(_said(each) for each in read_equivalents(folder) if each not in known)


def _said(each: Equivalent) -> str:
    return f"no test has to notice {each.was} -> {each.now} in {each.rule} of {each.file}, for: {each.reason}"


def excuse(listed: Sequence[Equivalent], judged: Sequence[Mutant], survivors: Sequence[Mutant]) -> Excused:
    """
    Return which of the survivors are listed.

    `judged` are all mutants that were tried, in the order of the text; entries for files without any are left alone.
    """
    alike: dict[tuple[str, str, str, str], list[Mutant]] = {}
    for mutant in judged:
        alike.setdefault((mutant.module.file, mutant.definition.name, mutant.was, mutant.now), []).append(mutant)
    files = {mutant.module.file for mutant in judged}
    living = {id(each) for each in survivors}
    excused, findings = [], []
    for entry in listed:
        if entry.file not in files:
            continue
        made = alike.get((entry.file, entry.rule, entry.was, entry.now), [])[entry.nth - 1 : entry.nth]
        if made and id(made[0]) in living:
            excused.append(made[0])
            continue
        line = made[0].module.place(made[0].span)[0] if made else 0
        what = "a test kills it" if made else "it is not made"
        message = f"{FILE} lists a mutant of {entry.rule}, {entry.was} -> {entry.now}, but {what}"
        findings.append(RegoFinding("mutation", entry.file, line, 0, message, f"take it out of {FILE}"))
    return Excused(tuple(excused), tuple(findings))
