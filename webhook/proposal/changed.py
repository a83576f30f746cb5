"""Which modules a change to the Rego touches: those that differ from another folder, and what rests on them."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from webhook.errors import PolicyError
from webhook.proposal.compiled import modules_of
from webhook.proposal.source import Module


def touched(modules: Sequence[Module], folder: Path, base: Path) -> frozenset[str]:
    """
    Return the files of the modules whose mutants may be killed otherwise than in `base`.

    Those are the modules that differ or whose tests do, and all that rest on them. Where something else differs that
    tests share, or a module is gone, that is all of them.
    """
    every = frozenset(module.file for module in modules)
    differing = _differing(folder, base)
    at_home = {PurePosixPath(file).parent: file for file in every}
    homes = {PurePosixPath(file).parent for file in differing}
    if not homes <= at_home.keys() or not differing <= _files(folder):
        return every
    found = {at_home[home] for home in homes}
    while grown := {module.file for module in modules if _rests_on(module, modules, found)} - found:
        found |= grown
    return frozenset(found)


def _rests_on(module: Module, modules: Sequence[Module], files: set[str]) -> bool:
    packages = [each.package for each in modules if each.file in files]
    # `data.portcullis.rules[_]` names all that lies below.
    return any(
        package[: len(used)] == used or used[: len(package)] == package for used in module.uses for package in packages
    )


def _files(folder: Path) -> set[str]:
    return {*modules_of(folder), *modules_of(folder, tests=True)}


def _differing(folder: Path, base: Path) -> set[str]:
    mine, theirs = _files(folder), _files(base)
    try:
        return (mine ^ theirs) | {
            file for file in mine & theirs if (folder / file).read_bytes() != (base / file).read_bytes()
        }
    except OSError as error:
        raise PolicyError(f"cannot compare the policies with those of the base: {error}") from error
