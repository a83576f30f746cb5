"""Whether the baselines of a namespace are in place, which the pod gate asks (contract, section 2)."""

from collections.abc import Iterable, Iterator, Mapping

from webhook.baseline.difference import difference
from webhook.baseline.wanted import WantedPolicy, policies_of
from webhook.model import Baseline, Cover, Former, Place, Policy


def cover_at(
    place: Place,
    baselines: Mapping[str, Baseline],
    former: Mapping[str, tuple[Former, ...]],
    standing: Iterable[Policy],
) -> Cover:
    """
    Return how far the `baselines` that apply to `place` are in place among the policies `standing` there.

    While a changed baseline rolls out a `former` version of it counts: one of which every policy stands, as it was in
    that version or as it is now, and one of them since before the change. A namespace that never had that version is
    brought the present one, and half of that may look like the former.
    """
    stored = {each.name: each for each in standing if each.kind == "NetworkPolicy"}
    lacking: list[str] = []
    failed: list[str] = []
    for name in place.baselines:
        wanted, problem = policies_of(name, baselines.get(name), place)
        if problem:
            failed.append(problem)
            continue
        lacks = list(_lacks(wanted, stored))
        if lacks and not _stood(place, wanted, former.get(name, ()), stored):
            lacking += [what for what, mended in lacks if mended]
            failed += [what for what, mended in lacks if not mended]
    return Cover(tuple(lacking), tuple(failed))


def _lacks(wanted: Iterable[WantedPolicy], stored: Mapping[str, Policy]) -> Iterator[tuple[str, bool]]:
    """Yield what lacks, and whether the controller mends it."""
    for each in wanted:
        found = stored.get(each.name)
        if found is None:
            yield f"{each.name} is missing", True
        elif differing := difference(each, found):
            reports = f" (NetworkBaseline {each.baseline} has drift: Report, so nobody puts it back)"
            yield f"{each.name} differs in {differing}{'' if each.repairs else reports}", each.repairs


def _stood(
    place: Place, wanted: Iterable[WantedPolicy], former: Iterable[Former], stored: Mapping[str, Policy]
) -> bool:
    """Say whether a former version of a baseline, whose policies are now `wanted`, is in place."""
    present = {each.name: each for each in wanted}
    for version in former:
        policies, problem = policies_of(version.baseline.name, version.baseline, place)
        found = [stored[each.name] for each in policies if each.name in stored]
        if (
            not problem
            and any(_older(each, version) for each in found)
            and all(_stands(each, present.get(each.name), stored.get(each.name)) for each in policies)
        ):
            return True
    return False


def _older(found: Policy, version: Former) -> bool:
    """Say whether a policy stands since before the change; one etcd numbers the versions of all kinds."""
    return found.version.isdecimal() and int(found.version) < version.until


def _stands(former: WantedPolicy, present: WantedPolicy | None, found: Policy | None) -> bool:
    if found is None:
        return False
    return not difference(former, found) or (present is not None and not difference(present, found))
