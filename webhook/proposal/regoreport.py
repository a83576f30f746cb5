"""What the gate has to say of the Rego of a folder."""

from dataclasses import dataclass
from typing import Literal

CheckName = Literal["format", "check", "metadata", "layout", "tests", "coverage", "mutation"]


@dataclass(frozen=True, slots=True)
class RegoFinding:
    """
    One thing to mend: what is wrong (`message`), and what to do about it (`remedy`).

    `file` is relative to the folder of the policies, empty where it is of all of them. `line` and `column` count from
    1; 0 where the place is the whole file, or line.
    """

    check: CheckName
    file: str
    line: int
    column: int
    message: str
    remedy: str

    def __str__(self) -> str:
        numbers = [str(each) for each in (self.line, self.column) if each]
        place = ":".join([self.file, *numbers])
        return f"{place}: {self.message}" if place else self.message


@dataclass(frozen=True, slots=True)
class RegoCheck:
    """One check and what it found, by file and line."""

    name: CheckName
    findings: tuple[RegoFinding, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


@dataclass(frozen=True, slots=True)
class Survivor:
    """
    A change to a rule that no test notices: `was` is what stands there (on one line), `now` what it was changed to.

    `file` is relative to the folder, `line` and `column` count from 1; `rule` is the name of the definition (`deny`).
    """

    file: str
    line: int
    column: int
    rule: str
    kind: str
    was: str
    now: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.kind} in {self.rule}: {self.was} -> {self.now}"


@dataclass(frozen=True, slots=True)
class RegoReport:
    """
    What was found: each check by name, in the order they are told.

    `coverage` is in percent, of all files together; 0 where the tests could not be run. `mutants` is how many were
    tried, `killed` how many of them a test noticed; `survivors` are the others. `equivalents` is how many a written
    reason excuses, which are no part of `mutants`; `excuses` are the reasons that the base does not have.
    """

    checks: tuple[RegoCheck, ...]
    coverage: float
    mutants: int
    killed: int
    survivors: tuple[Survivor, ...]
    equivalents: int = 0
    excuses: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def findings(self) -> tuple[RegoFinding, ...]:
        """What all of them found."""
        return tuple(finding for check in self.checks for finding in check.findings)
