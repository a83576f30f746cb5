"""A check of texts on a real OPA, without the command around it."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tests.conftest import TREE, Loop
from webhook.admission import Gate
from webhook.check.asking import Caller
from webhook.check.course import Course
from webhook.check.finding import CheckedFinding
from webhook.check.judge import Judge
from webhook.check.opening import Given, opened, steps_of
from webhook.check.placing import placed
from webhook.check.reading import every_written
from webhook.check.written import Sources, Written, parted
from webhook.decision.catalogue import RulePage
from webhook.settings import BREAK_GLASS_GROUPS
from webhook.tenancy.files import load_tree
from webhook.tenancy.manifests import Reading

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
Files = Mapping[str, str] | str


@dataclass(frozen=True)
class Checks:
    """Checks texts in folders of their own below `folder`."""

    gate: Gate
    loop: Loop
    catalogue: Mapping[str, RulePage]
    folder: Path

    def __call__(
        self, files: Files, *, against: Files | None = None, tenancy: Path | None = TREE, caller: Caller | None = None
    ) -> tuple[CheckedFinding, ...]:
        """Return what is found in `files`, of which a text alone is one file."""
        sources = self._sources(files)
        given = Given(sources, read(sources))
        if tenancy:
            given = replace(given, tenancy=load_tree(tenancy))
        if against is not None:
            standing = self._sources(against)
            given = replace(given, against=standing, standing_files=read(standing))
        return self.run(given, caller)

    def run(self, given: Given, caller: Caller | None = None) -> tuple[CheckedFinding, ...]:
        """Return what is found, at its lines."""
        gate = self.gate
        judge = Judge(gate.opa, gate.policies, self.catalogue, NOW, caller, BREAK_GLASS_GROUPS)
        opening = opened(given)
        assert not opening.errors
        course = Course(judge, opening.ground)
        self.loop.run(course.run(steps_of(given)))
        return tuple(placed(course.faults, lambda file: self._again(given, file)))

    def _again(self, given: Given, file: Path) -> Reading:
        mine = [each for each in (given.sources, given.against) if each and any(each_in(file, each))]
        return mine[0].manifests(file)

    def _sources(self, files: Files) -> Sources:
        count = itertools.count()
        folder = next(each for number in count if not (each := self.folder / f"files{number}").exists())
        folder.mkdir()
        for name, text in ({"one.yaml": files} if isinstance(files, str) else files).items():
            (folder / name).write_text(text)
        return Sources((folder,))


def each_in(file: Path, sources: Sources) -> list[bool]:
    """Say of each path of the sources whether the file is in it."""
    return [file.is_relative_to(path) for path in sources.paths]


def read(sources: Sources) -> list[Written]:
    """Return the objects; all can be read."""
    written, errors = parted(every_written(sources))
    assert not errors
    return written


def told(found: tuple[CheckedFinding, ...]) -> list[tuple[str, str, str]]:
    """Return what is found of which object, and what would come of it."""
    return [(each.thing.name, each.rule, each.action) for each in found]
