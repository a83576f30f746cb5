"""
Mutants of the Rego: each condition negated, one at a time, and the Rego's own tests run on each.

One OPA judges all mutants of a module: each is a copy of the module and of its tests under a package of its own, beside
the modules as they are. That takes a tenth of the time that a process for each would.
"""

import base64
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import orjson

Json = Any
_TEST = re.compile(rb"^(test_\w+)", re.MULTILINE)
_ENVIRONMENT = {**os.environ, "GOGC": "400"}
"""Most of what OPA does here is to collect garbage; there is memory enough."""


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression of a rule's body; `begin` and `end` are its place in the module's bytes, `row` counts from 1."""

    module: Path
    row: int
    begin: int
    end: int
    kind: str
    """`some`, `every` or `assign`; empty for any other."""

    @property
    def text(self) -> str:
        return self.module.read_bytes()[self.begin : self.end].decode()

    def __str__(self) -> str:
        path = self.module.as_posix()
        return f"{path[path.rindex('/portcullis/') + 1 :]}:{self.row}: {' '.join(self.text.split())}"

    def ways(self) -> Iterator[tuple[str, str]]:
        """Yield the mutations to try, with what to call them, until there is one that compiles."""
        text = self.text
        if positive := re.match(r"not\s+", text):
            yield "negated", text[positive.end() :]
        elif self.kind in {"some", "every"}:
            # Rego has no `not every`.
            yield "negated", f"count([1 | {text}]) == 0"
        elif self.kind != "assign":
            yield "negated", f"not {text}"
        # What binds a variable cannot be negated.
        yield "dropped", "true"

    def mutated(self, instead: str) -> bytes:
        """Return the module with other words for this condition."""
        content = self.module.read_bytes()
        return content[: self.begin] + instead.encode() + content[self.end :]


@dataclass
class Judged:
    """What the tests say of the conditions of a module."""

    negated: int = 0
    dropped: int = 0
    """Of those that bind a variable."""
    bound: list[Condition] = field(default_factory=list)
    """Nothing compiles without them."""
    survivors: list[Condition] = field(default_factory=list)


def conditions(opa: Path, module: Path) -> list[Condition]:
    """Return every condition of a module, those in comprehensions and `every` too."""
    done = _run([opa, "parse", "--format", "json", "--json-include", "locations,-comments", module])
    assert done.returncode == 0, done.stderr
    content = module.read_bytes()
    lines = [0, *(match.end() for match in re.finditer(rb"\n", content))]
    found = []
    for each in _bodies(orjson.loads(done.stdout)["rules"]):
        # A rule without a body has the condition `true`, whose text is the head's.
        if _constant(each):
            continue
        place, text = each["location"], base64.b64decode(each["location"]["text"])
        begin = lines[place["row"] - 1] + place["col"] - 1
        end = begin + len(text)
        assert content[begin:end] == text, place
        if text.startswith(b"else"):
            # OPA gives the condition of `else := value if condition` the place of all of it.
            begin += text.rindex(b" if ") + len(b" if ")
        found.append(Condition(module, place["row"], begin, end, _kind(each["terms"])))
    return found


def _bodies(tree: Json) -> Iterator[Json]:
    match tree:
        case {"body": [*body], **rest}:
            yield from (each for each in body if "terms" in each)
            yield from _bodies([*body, rest])
        case dict():
            yield from _bodies(list(tree.values()))
        case list():
            for each in tree:
                yield from _bodies(each)


def _constant(expression: Json) -> bool:
    terms = expression["terms"]
    return isinstance(terms, dict) and terms.get("type") == "boolean"


def _kind(terms: Json) -> str:
    match terms:
        case {"symbols": _}:
            return "some"
        case {"domain": _}:
            return "every"
        case [{"value": [{"value": "assign"}]}, *_]:
            return "assign"
    return ""


def judge(opa: Path, policies: Path, module: Path, scratch: Path) -> Judged:
    """
    Run the tests on each mutant of a module of `policies`: its own, and all of them where those pass.

    `scratch` is an empty folder to work in.
    """
    judged, every = Judged(), conditions(opa, module)
    ways = [each.ways() for each in every]
    batch = _Batch(opa, policies, module, scratch)
    made: dict[int, str] = {}
    # So the tests of a mutant fail for the mutation and for nothing else.
    batch.write(len(every), module.read_bytes())
    broken = set(range(len(every)))
    while broken:
        for number in broken:
            made[number], instead = next(ways[number], ("", ""))
            batch.write(number, every[number].mutated(instead) if instead else None)
        broken = batch.broken()
    passing = batch.passing()
    assert len(every) in passing, f"the tests of {module} fail where its package has another name"
    for number, condition in enumerate(every):
        judged.negated += made[number] == "negated"
        judged.dropped += made[number] == "dropped"
        if not made[number]:
            judged.bound.append(condition)
        elif number in passing and batch.passes_everywhere(number):
            judged.survivors.append(condition)
    return judged


class _Batch:
    """All mutants of one module in one folder."""

    def __init__(self, opa: Path, policies: Path, module: Path, scratch: Path) -> None:
        self._opa = opa
        self._module = module.relative_to(policies)
        self._policies = policies
        self._scratch = scratch
        self._mutants: dict[int, bytes] = {}
        self._tests = module.with_name(f"{module.stem}_test.rego").read_bytes()
        # The modules as they are, and of the test files those that only hold what tests share.
        for path in policies.rglob("*.rego"):
            if not _TEST.search(path.read_bytes()):
                (scratch / "shipped" / path.relative_to(policies)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, scratch / "shipped" / path.relative_to(policies))
        (scratch / "mutants").mkdir()

    def write(self, number: int, mutant: bytes | None) -> None:
        """Put a mutant there in place of the one of this number before; None: there is none."""
        paths = [self._scratch / "mutants" / f"{number}{end}.rego" for end in ("", "_test", "_passes")]
        if mutant is None:
            self._mutants.pop(number, None)
            for path in paths:
                path.unlink()
            return
        self._mutants[number] = mutant
        # The last names stay: a violation has its rule's id from them.
        package = ".".join(self._module.parent.parts)
        renamed = f"mutants.m{number}{package.removeprefix('portcullis')}"
        own = re.compile(rb"\b%s(?=(_test)?\b)" % re.escape(package.encode()))
        paths[0].write_bytes(own.sub(renamed.encode(), mutant))
        paths[1].write_bytes(own.sub(renamed.encode(), self._tests))
        # A conjunction ends at the first test that fails.
        names = (match[1].decode() for match in _TEST.finditer(self._tests))
        lines = "".join(f"\tdata.{renamed}_test.{name}\n" for name in names)
        paths[2].write_text(f"package mutants.m{number}\n\npasses if {{\n{lines}}}\n")

    def broken(self) -> set[int]:
        """Return the numbers of mutants that do not compile, not always all of them; none only if there is none."""
        return self._broken_of(sorted(self._mutants))

    def _broken_of(self, numbers: list[int]) -> set[int]:
        mutants = [self._scratch / "mutants" / f"{number}.rego" for number in numbers]
        done = _run([self._opa, "check", "--max-errors", "0", self._scratch / "shipped", *mutants])
        if done.returncode == 0:
            return set()
        if located := {int(number) for number in re.findall(r"mutants/(\d+)\.rego:\d+: rego_", done.stderr)}:
            return located
        # OPA 1.22 does not say where a variable is undeclared.
        assert numbers, done.stderr
        if len(numbers) == 1:
            return set(numbers)
        half = len(numbers) // 2
        return self._broken_of(numbers[:half]) | self._broken_of(numbers[half:])

    def passing(self) -> set[int]:
        """Return the numbers of the mutants, which all compile, whose tests all pass; asked one by one."""
        with _serving(self._opa, self._scratch) as client:
            # What ends in an error (two values for one rule, say) does not pass either.
            return {number for number in self._mutants if _passes(client, number)}

    def passes_everywhere(self, number: int) -> bool:
        """Return whether all tests of the policies pass with this mutant in the module's place."""
        whole = self._scratch / f"whole-{number}"
        shutil.copytree(self._policies, whole)
        (whole / self._module).write_bytes(self._mutants[number])
        passes = _run([self._opa, "test", "--format", "json", whole]).returncode == 0
        shutil.rmtree(whole)
        return passes


def _passes(client: httpx2.Client, number: int) -> bool:
    reply = client.get(f"/v1/data/mutants/m{number}/passes")
    assert reply.status_code in {200, 500}, reply.text
    return bool(reply.json().get("result"))


@contextmanager
def _serving(opa: Path, folder: Path) -> Iterator[httpx2.Client]:
    """Serve what is in `folder` by an OPA of its own."""
    # Not in the folder: the path of a socket has at most 107 bytes.
    with TemporaryDirectory() as home:
        address = f"{home}/opa.sock"
        command: list[str | Path] = [opa, "run", "--server", "--skip-version-check", "--addr", f"unix://{address}"]
        log = Path(home) / "log"
        with log.open("w") as said, subprocess.Popen([*command, folder], stderr=said, env=_ENVIRONMENT) as process:
            try:
                _wait(address, process, log)
                transport = httpx2.HTTPTransport(uds=address)
                with httpx2.Client(transport=transport, base_url="http://opa", timeout=60) as client:
                    yield client
            finally:
                process.terminate()


def _wait(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until OPA listens, which it does once all is loaded."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as connecting:
            connecting.connect(address)
            return
        time.sleep(0.05)
    raise AssertionError(f"OPA does not start: {log.read_text()}")


def _run(command: list[str | Path]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=_ENVIRONMENT)
