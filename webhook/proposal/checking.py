"""Has the check room judge the manifests of one side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from webhook.check.course import Course
from webhook.check.finding import CheckedFinding
from webhook.check.judge import Judge
from webhook.check.opening import Given, opened, steps_of
from webhook.check.placing import placed
from webhook.check.reading import every_written
from webhook.check.written import Sources, parted
from webhook.decision.catalogue import RulePage
from webhook.decision.opa import Opa
from webhook.model import Policies
from webhook.proposal.manifests import Checked
from webhook.proposal.part import Remark
from webhook.tenancy.files import Loading


@dataclass(frozen=True, slots=True)
class Checking:
    """What it takes: the rules, the tree (None for none that can be read), and `root`, which files are told without."""

    opa: Opa
    policies: Policies
    catalogue: Mapping[str, RulePage]
    loading: Loading | None
    root: Path
    now: datetime

    async def check(self, paths: Sequence[Path], against: Sequence[Path] = ()) -> Checked:
        """
        Judge the manifests of `paths`: as what is new, or as changes to those that stand in `against`.

        Raises `NoDecisionError` where the rules cannot be asked.
        """
        sources = Sources(tuple(paths))
        written, errors = parted(every_written(sources))
        standing = Sources(tuple(against)) if against else None
        before = parted(every_written(standing))[0] if standing else []
        tree = self.loading if self.loading and self.loading.tree else None
        given = Given(sources, written, standing, before, tree)
        start = opened(given)
        course = Course(Judge(self.opa, self.policies, self.catalogue, self.now), start.ground)
        await course.run(steps_of(given))
        found = tuple(self._remark(each) for each in placed(course.faults, sources.manifests))
        return Checked(found, len(written), (*errors, *(start.errors if tree is None else ())))

    def _remark(self, finding: CheckedFinding) -> Remark:
        file = finding.file.relative_to(self.root) if finding.file.is_relative_to(self.root) else finding.file
        return Remark(
            finding.rule,
            finding.action,
            f"{finding.thing.called}: {finding.message}",
            finding.thing.path,
            file.as_posix(),
            finding.line,
            finding.column,
            mark=finding.fingerprint,
        )
