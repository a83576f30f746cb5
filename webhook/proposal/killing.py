"""
Which mutants the Rego's own tests kill.

All mutants lie in one folder (`schemata`), so OPA compiles modules and tests once. A test of OPA's then tells of some
mutants whether every test holds that the mutant could make a difference to. Those most likely to fail come first, and
the first that fails ends it; a run beforehand, in which each definition prints its number, finds which those are.
"""

import base64
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from webhook.errors import PolicyError
from webhook.proposal.compiled import errors_of
from webhook.proposal.mutants import Mutant, mutants_of
from webhook.proposal.regotool import RegoTool
from webhook.proposal.schemata import AS_IS, Schemata
from webhook.proposal.source import Module
from webhook.proposal.tested import FAILED, results_of

LONGEST = 60
"""Seconds that the tests may take with one mutant, all together. Longer is an error, never a mutant that is killed."""
TOGETHER = 20
"""Mutants that one test of OPA's asks about."""
_TESTS = "mutation_of_portcullis"


@dataclass(frozen=True, slots=True)
class Killing:
    """`killed` and `survivors` are the mutants that compile; with the others OPA itself refuses the Rego."""

    killed: tuple[Mutant, ...]
    survivors: tuple[Mutant, ...]


@dataclass(slots=True)
class _Test:
    """A test by its path below `data`; `cases` is how many it holds, 0 for a plain one; `time` in nanoseconds."""

    path: str
    cases: int
    time: int

    def rule(self, name: str) -> str:
        """Return a rule of that name which holds where it passes."""
        if not self.cases:
            return f"{name} if {self.path}\n\n"
        every = f"every passed in {self.path} {{ passed }}"
        return f"{name} if {{\n\tcount({self.path}) == {self.cases}\n\t{every}\n}}\n\n"


@dataclass(slots=True)
class _Reached:
    """The tests that come to a definition (by number) and to a rule (by package and name), and all of them."""

    tests: Mapping[str, _Test]
    definitions: Mapping[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    rules: Mapping[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    def ordered(self, schemata: Schemata, mutant: Mutant) -> list[_Test]:
        """Return the tests that a mutant could make fail, the most likely and the cheapest first."""
        name = mutant.definition.name
        rule = self.rules[".".join(schemata.module.package), name]
        first = self.definitions[schemata.numbers.get(mutant.definition.span, -1)]
        likely = first | rule if name in schemata.probed() else set(self.tests)
        own = f"data.{'.'.join(schemata.module.package)}"

        def late(path: str) -> tuple[bool, bool, int]:
            return path not in first, not path.startswith(own), self.tests[path].time

        return [self.tests[each] for each in sorted(likely, key=late)]


async def kill(tool: RegoTool, folder: Path, modules: Sequence[Module], chosen: Iterable[str]) -> Killing:
    """
    Return what the tests in `folder` make of the mutants of the modules in the files `chosen`.

    `modules` are all of the folder but the tests, which have to pass as it is. Raises `PolicyError` where it cannot
    be told.
    """
    wanted = set(chosen)
    every = [mutant for module in modules if module.file in wanted for mutant in mutants_of(module)]
    if not every:
        return Killing((), ())
    numbered = dict(enumerate(every, AS_IS + 1))
    schemata, offset = [], 0
    for module in modules:
        own = {number: mutant for number, mutant in numbered.items() if mutant.module is module}
        schemata.append(Schemata(module, own, offset))
        offset += len(module.definitions)
    with TemporaryDirectory(prefix="portcullis-") as name:
        scratch = _Scratch(tool, folder, Path(name), schemata)
        reached = await scratch.reached()
        compiled = await scratch.compiled()
        surviving = await scratch.surviving(compiled, reached)
    return Killing(
        tuple(numbered[each] for each in sorted(compiled - surviving)),
        tuple(numbered[each] for each in sorted(surviving)),
    )


class _Scratch:
    """A folder to work in."""

    def __init__(self, tool: RegoTool, folder: Path, scratch: Path, schemata: Sequence[Schemata]) -> None:
        self._tool = tool
        self._folder = folder
        self._scratch = scratch
        self._schemata = schemata

    def _lay(self, name: str, *, said: bool) -> Path:
        """Write the modules with their guards, and the tests as they are, into a folder of that name."""
        target = self._scratch / name
        for schemata in self._schemata:
            file = target / schemata.module.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(schemata.text(said=said).encode())
        for path in (self._folder / "portcullis").rglob("*_test.rego"):
            file = target / path.relative_to(self._folder)
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, file)
        return target

    async def reached(self) -> _Reached:
        """Run every test once on the modules as they are, and return what each of them comes to."""
        said = await self._tool.run("test", "--format", "json", ".", folder=self._lay("said", said=True))
        results = results_of(said)
        reached = _Reached({_path(each): _test(each) for each in results})
        if said.status or any(FAILED & each.keys() for each in results):
            raise PolicyError(f"with guards around their definitions the rules fail their tests: {_first(results)}")
        for each in results:
            # A rule's name is told without its package, so it counts for all rules of that name.
            for word in set(base64.b64decode(each.get("output", "")).decode().split()):
                if word.isdigit():
                    reached.definitions[int(word)].add(_path(each))
                else:
                    package, _, name = word.rpartition(".")
                    reached.rules[package, name].add(_path(each))
        return reached

    async def compiled(self) -> set[int]:
        """Return the numbers of the mutants that compile, and leave only those in the folder."""
        self._mutated = self._lay("mutated", said=False)
        self._mutants = self._mutated / "mutants"
        self._mutants.mkdir()
        found: set[int] = set()
        for at, schemata in enumerate(self._schemata):
            found |= schemata.defaults
            for number, text in schemata.clones():
                name = f"{number}.rego" if number != AS_IS else f"as_is_{at}.rego"
                (self._mutants / name).write_text(text)
                found |= {number} - {AS_IS}
        while broken := await self._broken(sorted(found)):
            found -= broken
            for number in broken:
                (self._mutants / f"{number}.rego").unlink()
        return found

    async def _broken(self, numbers: Sequence[int]) -> set[int]:
        """Return mutants that do not compile, not always all of them; none only if there is none."""
        files = [f"mutants/{each}.rego" for each in numbers if (self._mutants / f"{each}.rego").exists()]
        rest = ["portcullis", *(f"mutants/{each.name}" for each in self._mutants.glob("as_is_*.rego"))]
        said = await self._tool.run(
            "check", "--format", "json", "--max-errors", "0", *rest, *files, folder=self._mutated
        )
        if said.status == 0:
            return set()
        errors = errors_of(said)
        places = [Path(each.get("location", {}).get("file", "")) for each in errors]
        if all(each.stem.isdigit() for each in places):
            return {int(each.stem) for each in places}
        # OPA 1.22 does not say where a variable of a template string is undeclared, and blames all of a recursion.
        alone = [each for each in numbers if f"mutants/{each}.rego" in files]
        if len(alone) <= 1:
            if not alone:
                raise PolicyError(f"with guards around their definitions the rules do not compile: {errors[0]}")
            return set(alone)
        half = len(alone) // 2
        return await self._broken(alone[:half]) | await self._broken(alone[half:])

    async def surviving(self, compiled: set[int], reached: _Reached) -> set[int]:
        """Return the numbers of the mutants with which all tests pass."""
        asked = dict(self._asked(compiled, reached))
        passing = await self._passing(asked, reached, TOGETHER)
        # What ends in an error, as two values for one rule do, takes those asked after it along: each by itself, then.
        if again := {number: text for number, text in asked.items() if number not in passing}:
            for number in asked.keys() - again.keys() - {AS_IS}:
                (self._mutants / f"{number}.rego").unlink(missing_ok=True)
            passing |= dict.fromkeys(again, False) | await self._passing(again, reached, 1)
        if not passing[AS_IS]:
            raise PolicyError("with each definition replaced by a copy of itself the rules fail their tests")
        return {number for number, passed in passing.items() if passed and number != AS_IS}

    async def _passing(self, asked: Mapping[int, str], reached: _Reached, together: int) -> dict[int, bool]:
        """Return whether all tests pass with each mutant; those of a test that ends in an error are left out."""
        text = _questions(list(asked.values()), list(reached.tests.values()), together)
        (self._mutated / "mutation_test.rego").write_text(text)
        run, longest = f"^data\\.{_TESTS}\\.", f"{LONGEST * together}s"
        said = await self._tool.run(
            "test", "--format", "json", "--timeout", longest, "--run", run, ".", folder=self._mutated
        )
        results = results_of(said)
        if late := [each for each in results if "cancel" in str(each.get("error", ""))]:
            raise PolicyError(f"with a mutant the tests take longer than {longest}: {late[0]['error']}")
        words = b" ".join(base64.b64decode(each.get("output", "")) for each in results).decode().split()
        passing = {int(number): passed == "1" for number, passed in zip(words[::2], words[1::2], strict=True)}
        broken = sum("error" in each for each in results)
        if len(results) != -(-len(asked) // together) or not 0 <= len(asked) - len(passing) <= broken * together:
            raise PolicyError(f"opa test told of {len(passing)} mutants of {len(asked)}: {_first(results)}")
        return passing

    def _asked(self, compiled: set[int], reached: _Reached) -> Iterator[tuple[int, str]]:
        """Yield each mutant's number, and what is asked about it."""
        off = {f"d{number}": True for schemata in self._schemata for number in schemata.numbers.values()}
        yield AS_IS, _asking(AS_IS, reached.tests.values(), off)
        for schemata in self._schemata:
            for number, mutant in schemata.mutants.items():
                if number in compiled:
                    definition = schemata.numbers.get(mutant.definition.span)
                    own = {} if definition is None else {f"d{definition}": True}
                    yield number, _asking(number, reached.ordered(schemata, mutant), own)


def _asking(number: int, tests: Iterable[_Test], off: Mapping[str, bool]) -> str:
    return orjson.dumps({"id": number, "off": off, "tests": [each.path for each in tests]}).decode()


def _questions(asked: Sequence[str], tests: Sequence[_Test], together: int) -> str:
    """Return tests that print of so many mutants each whether all tests pass (1) or not (0)."""
    # OPA walks through all that a rule rests on to compile it: one for each mutant would take it a minute.
    parts = [f"package {_TESTS}\n\npasses(tests) if {{\n\tevery test in tests {{ tried[test] }}\n}}\n\n"]
    parts += [each.rule(f'tried["{each.path}"]') for each in tests]
    for at in range(0, len(asked), together):
        parts.append(f"""test_{at} if {{
	some asked in [{", ".join(asked[at : at + together])}]
	passing := count([1 | passes(asked.tests) with data.mutant as asked])
	print(asked.id, passing)
	false
}}

""")
    return "".join(parts)


def _path(result: Mapping[str, Any]) -> str:
    return f"{result['package']}.{result['name']}"


def _test(result: Mapping[str, Any]) -> _Test:
    return _Test(_path(result), len(result.get("sub_results", ())), result["duration"])


def _first(results: Iterable[Mapping[str, Any]]) -> str:
    return next((_path(each) for each in results if FAILED & each.keys()), "none of them failed")
