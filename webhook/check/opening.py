"""What stands before the first manifest of a set is judged, and what is done then: from files, or from a cluster."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from webhook.check.arriving import stood
from webhook.check.course import Step
from webhook.check.ground import Ground, Identity, grown, supposed
from webhook.check.kinds import COVERED, TENANCY
from webhook.check.written import Sources, Written
from webhook.errors import ManifestError
from webhook.model import DOMAIN
from webhook.tenancy.files import Loading, tree_of
from webhook.tenancy.live import LiveTree
from webhook.tenancy.manifests import Manifest, Reading

Json = dict[str, Any]
NO_TREE = (
    "no tenant tree: who owns what, and which baseline and guardrail applies where, is not known, so every guardrail "
    "is judged at its default in every namespace; give --tenancy PATH or --kubeconfig FILE"
)


@dataclass(frozen=True, slots=True)
class Opening:
    """Where a run begins: `notes` are what whoever reads the answer has to know, `errors` what kept us from a tree."""

    ground: Ground
    notes: tuple[str, ...] = ()
    errors: tuple[ManifestError, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """
    What a run may begin with: `tenancy` is a loaded tree, `live` a cluster's.

    `against` is what stands in files, and `standing` what stands in a cluster under the names of the manifests.
    """

    sources: Sources
    written: Sequence[Written]
    against: Sources | None = None
    standing_files: Sequence[Written] = ()
    tenancy: Loading | None = None
    live: LiveTree | None = None
    standing: Mapping[Identity, bytes] = field(default_factory=dict)
    before: bool = False
    """Whether the manifests are judged against `live`, which comes before a tree among them then."""


def opened(given: Given) -> Opening:
    """Return what stands at the beginning: the first tree that there is, and beside it what stands in files."""
    found = _opening(given)
    for each in given.standing_files:
        _stand(found.ground, each)
    return found


def _opening(given: Given) -> Opening:
    if given.tenancy is not None:
        return Opening(_of_loading(given.tenancy), given.tenancy.warnings)
    if given.live is not None and given.before:
        return Opening(Ground(given.live, merges=True, old=dict(given.standing)))
    for sources, written in ((given.against, given.standing_files), (given.sources, given.written)):
        if sources is not None and (files := _with_tree(written)):
            return _of_manifests(sources, files)
    if given.live is not None:
        return Opening(Ground(given.live))
    return Opening(Ground(supposed(), supposes=True), (NO_TREE,))


def steps_of(given: Given) -> Iterator[Step]:
    """Yield what is done: what is written comes or changes, and what stood in files and is written no more goes."""
    yield from map(Step, given.written)
    written = {each.thing.identity for each in given.written}
    for each in given.standing_files:
        if each.covered and each.thing.identity not in written:
            yield Step(each, ends=True)


def _with_tree(written: Iterable[Written]) -> list[Path]:
    """Return the files that hold objects of the tree, if there is an Organization among them."""
    ours = [each for each in written if _ours(each.thing.identity)]
    whole = any(each.thing.kind == "Organization" for each in ours)
    return list(dict.fromkeys(each.spot.file for each in ours)) if whole else []


def _ours(identity: Identity) -> bool:
    return identity[0] == DOMAIN and identity[1] in TENANCY


def _of_loading(loading: Loading) -> Ground:
    """Return the ground of a tree from files; its own objects stand, and so are changed and not created."""
    things = [(kind, stood(each.data)) for (kind, _, _), each in loading.places.items()]
    own = {
        (DOMAIN, kind, "", name): orjson.dumps(each.data)
        for (kind, _, name), each in loading.places.items()
        if kind in TENANCY
    }
    return Ground(grown(things), old=own)


def _of_manifests(sources: Sources, files: Sequence[Path]) -> Opening:
    """Return what the tree among manifests makes stand: nothing but itself."""
    every = [each for file in files for each in sources.manifests(file).manifests if _is_ours(each)]
    loading = tree_of(files[0], Reading(tuple(every), ()))
    if loading.tree is None:
        why = "no tenant tree: what there is of it cannot be read, so the defaults are judged by"
        return Opening(Ground(supposed(), supposes=True), (why, *loading.warnings), loading.errors)
    return Opening(_of_loading(loading), loading.warnings)


def _is_ours(manifest: Manifest) -> bool:
    group = str(manifest.data["apiVersion"]).partition("/")[0]
    return _ours((group, manifest.data["kind"], "", ""))


def _stand(ground: Ground, written: Written) -> None:
    """Have an object of a file stand."""
    identity = written.thing.identity
    page = COVERED.get(identity[:2])
    if page is None or identity in ground.old:
        return
    content = stood(written.read())
    ground.old[identity] = orjson.dumps(content)
    if page.live and not _ours(identity):
        ground.live.put(page.live, content)
