"""The work of `portcullis check`: the manifests, what stands beside them, an OPA, and what is found."""

import asyncio
import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from webhook.check.asking import Caller
from webhook.check.course import Course
from webhook.check.judge import Judge
from webhook.check.opening import Given, Opening, opened, steps_of
from webhook.check.placing import placed
from webhook.check.reading import every_written
from webhook.check.written import STANDARD_INPUT, Sources, parted
from webhook.cli.checked import Checked
from webhook.cli.deciding import deciding
from webhook.cli.explanation import impersonated
from webhook.cli.garbage import let_lie
from webhook.cli.logs import log_nothing
from webhook.cli.progress import progress
from webhook.decision.binary import find_opa
from webhook.decision.bundle import Bundle, read_policies
from webhook.decision.catalogue import RulePage, read_catalogue
from webhook.decision.process import BATCH
from webhook.errors import ManifestError, SettingsError
from webhook.settings import environment
from webhook.tenancy.files import Loading, load_tree
from webhook.tenancy.manifests import MAX_BYTES, Reading

SELDOM = 20_000
"""So many more objects of Python have to stand before it looks for garbage among them; 700 is its own."""
CLUSTER = "cluster"
NO_OWNER = "no owner assumed: guardrails and baseline only; give --as USER to judge as well who may write what"


@dataclass(frozen=True, slots=True)
class Work:
    """What is asked, as the flags say it."""

    paths: tuple[str, ...]
    caller: Caller | None
    policies: Path
    namespace: str
    break_glass_groups: tuple[str, ...] = ()
    tenancy: Path | None = None
    against: str | None = None
    kubeconfig: Path | None = None

    async def checked(self) -> Checked:
        """Return what there is to say; raises `PortcullisError` for what cannot be found out."""
        log_nothing()
        bundle = read_policies(self.policies)
        catalogue = read_catalogue(bundle)
        sources = _sources(self.paths, self.namespace)
        written, errors = parted(every_written(sources))
        given, more = await self._given(Given(sources, written))
        opening = opened(given)
        # What is made for each of thousands of manifests goes by itself: the search would find nothing.
        let_lie()
        gc.set_threshold(SELDOM, 50, 100)
        errors += [*more, *opening.errors]
        course = await self._judged(given, opening, bundle, catalogue)
        found = tuple(placed(course.faults, _reader(given)))
        notes = (*([] if self.caller else [NO_OWNER]), *opening.notes)
        for note in notes:
            sys.stderr.write(f"portcullis: {note}\n")
        things = tuple((each.thing, each.spot.file) for each in written)
        covered = sum(each.covered for each in written)
        return Checked(found, things, covered, catalogue, bundle.policies.revision, notes, tuple(_once(errors)))

    async def _given(self, given: Given) -> tuple[Given, list[ManifestError]]:
        """Return what the run begins with, and what cannot be read of it."""
        errors: list[ManifestError] = []
        if self.tenancy:
            given = replace(given, tenancy=_loaded(self.tenancy))
        if self.against and self.against != CLUSTER:
            against = _sources((self.against,), self.namespace)
            standing, errors = parted(every_written(against))
            given = replace(given, against=against, standing_files=standing)
        if self.kubeconfig or self.against == CLUSTER:
            # Kubernetes' client costs a third of a second, which who reads files need not pay.
            from webhook.cli.checkcluster import read_cluster  # noqa: PLC0415

            wanted = given.written if self.against == CLUSTER else ()
            live, found = await read_cluster(self.kubeconfig, wanted)
            given = replace(given, live=live, standing=found, before=self.against == CLUSTER)
        return given, errors

    async def _judged(self, given: Given, opening: Opening, bundle: Bundle, catalogue: Sequence[RulePage]) -> Course:
        binary = await asyncio.to_thread(find_opa, environment(), say=_tell)
        async with deciding(binary, bundle, BATCH) as opa:
            judge = Judge(
                opa,
                bundle.policies,
                {each.id: each for each in catalogue},
                datetime.now(UTC),
                caller=self.caller,
                break_glass_groups=self.break_glass_groups,
            )
            with progress() as told:
                course = Course(judge, opening.ground, told)
                await course.run(steps_of(given))
        return course


def caller_of(user: str, groups: Sequence[str]) -> Caller:
    """Return whom the API server would take `--as` for; raises `SettingsError` for nobody."""
    found = impersonated(user, groups)
    return Caller(found.user, found.groups)


def _sources(paths: Sequence[str], namespace: str) -> Sources:
    """Return what is to be read; raises `SettingsError` for what is not there."""
    for path in paths:
        if path != "-" and not Path(path).exists():
            raise SettingsError(f"there is no file or folder {path}")
    data = sys.stdin.buffer.read(MAX_BYTES + 1) if "-" in paths else b""
    every = (STANDARD_INPUT if path == "-" else Path(path) for path in paths)
    return Sources(tuple(dict.fromkeys(every)), namespace, data)


def _loaded(path: Path) -> Loading:
    """Return a tree of files; raises the last of its errors, and tells the others before."""
    loading = load_tree(path)
    if loading.errors:
        for error in loading.errors[:-1]:
            _tell(str(error))
        raise loading.errors[-1]
    return loading


class _Reader:
    """Reads a file again, wherever it is from."""

    def __init__(self, sources: Sequence[Sources]) -> None:
        self._sources = sources

    def __call__(self, file: Path) -> Reading:
        mine = next((each for each in self._sources if file in each.paths), self._sources[0])
        return mine.manifests(file)


def _reader(given: Given) -> _Reader:
    return _Reader([each for each in (given.sources, given.against) if each])


def _once(errors: Sequence[ManifestError]) -> list[ManifestError]:
    """Return the errors without those that say the same again: a tree is read from the same files."""
    return list({str(each): each for each in errors}.values())


def _tell(line: str) -> None:
    sys.stderr.write(f"portcullis: {line}\n")
