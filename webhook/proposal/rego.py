"""
The gate for a change to the Rego.

Every check is made, whatever the others find: format; the strict check that `serve` makes; what rules say of themselves
and where they lie; their own tests, what those run, and whether they would notice a careless change (mutation score).
What rests on another check says so: tests that do not compile run nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from webhook.decision.bundle import Bundle, capabilities_of, read_policies
from webhook.proposal.changed import touched
from webhook.proposal.compiled import check_findings, format_findings, modules_of
from webhook.proposal.conventions import layout_findings, metadata_findings
from webhook.proposal.equivalents import FILE, excuse, new_reasons, read_equivalents
from webhook.proposal.isolation import isolation_findings
from webhook.proposal.killing import kill
from webhook.proposal.mutants import Mutant
from webhook.proposal.regoreport import CheckName, RegoCheck, RegoFinding, RegoReport, Survivor
from webhook.proposal.regotool import RegoTool
from webhook.proposal.source import read_module
from webhook.proposal.tested import Results, coverage_findings, run_tests, test_findings

__all__ = ["RegoCheck", "RegoFinding", "RegoReport", "Survivor", "judge_rego", "judge_text"]

Told = Callable[[str], None]


async def judge_rego(  # noqa: PLR0913 - three of them are optional
    folder: Path, opa: Path, *, base: Path | None = None, told: Told, threshold: float = 100
) -> RegoReport:  # fmt: skip
    """
    Return what there is to say of the Rego in `folder`, which holds `portcullis/`.

    `told` hears a line as each check ends. Without `base` the mutants of every module are tried, with it those of the
    modules that differ from that folder and of what rests on them. `threshold` is the coverage asked, in percent.

    Raises `PolicyError` where there is no rule, and where OPA does not run, crashes, takes too long or says what cannot
    be understood.
    """
    with _confined(opa) as tool:
        report, tested = await _judge(tool, folder, told, threshold)
        if tested is None:
            finding = _rests("mutation", "no mutant was tried, for the tests do not all pass with the Rego as it is")
            mutated = _Mutated((finding,))
        else:
            mutated = await _mutation(tool, folder, base)
    check = RegoCheck("mutation", mutated.findings)
    told(f"mutation: {mutated.killed} of {mutated.tried} killed")
    return RegoReport(
        (*report.checks, check),
        report.coverage,
        mutated.tried,
        mutated.killed,
        mutated.survivors,
        mutated.excused,
        new_reasons(folder, base) if base else (),
    )


async def judge_text(folder: Path, opa: Path, *, told: Told, threshold: float = 100) -> RegoReport:
    """Return what `judge_rego` does but for the mutants, which take longer than all the rest."""
    with _confined(opa) as tool:
        return (await _judge(tool, folder, told, threshold))[0]


@contextmanager
def _confined(opa: Path) -> Iterator[RegoTool]:
    """Give an OPA in which no Rego, no test either, can call out."""
    with TemporaryDirectory(prefix="portcullis-") as name:
        capabilities = Path(name) / "capabilities.json"
        capabilities.write_bytes(capabilities_of(opa))
        yield RegoTool(opa, capabilities)


async def _judge(
    tool: RegoTool, folder: Path, told: Told, threshold: float
) -> tuple[RegoReport, Results | None]:  # fmt: skip
    """Return the checks that look at the Rego as it is, and its tests if all of them passed."""
    # What is wrong with METADATA is a finding like any other.
    bundle = read_policies(folder, described=False)
    checks: list[RegoCheck] = []

    def add(name: CheckName, findings: list[RegoFinding]) -> None:
        checks.append(RegoCheck(name, tuple(findings)))
        told(f"{name}: {f'{len(findings)} found' if findings else 'passed'}")

    add("format", await format_findings(tool, folder))
    add("check", await check_findings(tool, folder, bundle))
    parsed = not any("rego_parse_error" in each.message for each in checks[-1].findings)
    # What only the strict check refuses keeps no test from running.
    runs = await _compiles(tool, folder)
    add("metadata", await _metadata(tool, folder, bundle, parsed=parsed))
    add("layout", [*layout_findings(folder, bundle), *(await isolation_findings(tool, folder) if parsed else ())])
    results: Results | None = None
    if runs:
        results = await run_tests(tool, folder)
        add("tests", test_findings(folder, results))
    else:
        add("tests", [_rests("tests", "no test was run, for the Rego does not compile")])
    passed = results is not None and not any({"fail", "error"} & each.keys() for each in results) and bool(results)
    coverage = 0.0
    if passed:
        coverage, found = await coverage_findings(tool, folder, threshold=threshold)
        add("coverage", found)
    else:
        add("coverage", [_rests("coverage", "it was not measured, for the tests do not all pass")])
    whole = passed and results is not None and not any("#" in each["name"] for each in results)
    return RegoReport(tuple(checks), coverage, 0, 0, ()), results if whole else None


async def _compiles(tool: RegoTool, folder: Path) -> bool:
    return (await tool.run("check", "portcullis", folder=folder)).status == 0


async def _metadata(tool: RegoTool, folder: Path, bundle: Bundle, *, parsed: bool) -> list[RegoFinding]:
    if not parsed:
        return [_rests("metadata", "it was not read, for the Rego cannot be parsed")]
    return await metadata_findings(tool, folder, bundle)


@dataclass(frozen=True, slots=True)
class _Mutated:
    findings: tuple[RegoFinding, ...]
    tried: int = 0
    killed: int = 0
    survivors: tuple[Survivor, ...] = ()
    excused: int = 0


async def _mutation(tool: RegoTool, folder: Path, base: Path | None) -> _Mutated:
    modules = [await read_module(tool, folder, file) for file in modules_of(folder)]
    listed = read_equivalents(folder)
    chosen = touched(modules, folder, base) if base else frozenset(module.file for module in modules)
    killing = await kill(tool, folder, modules, chosen)
    found = excuse(listed, _ordered(killing.killed + killing.survivors), killing.survivors)
    # An entry for a module that is gone is for nothing.
    gone = [each for each in listed if each.file not in {module.file for module in modules}]
    lost = [
        RegoFinding("mutation", FILE, 0, 0, f"it lists a mutant of {each.file}, which is not there", "take it out")
        for each in gone
    ]
    survivors = tuple(map(_survivor, (each for each in killing.survivors if each not in found.mutants)))
    findings = (*map(_unnoticed, survivors), *found.findings, *lost)
    killed = len(killing.killed)
    return _Mutated(findings, killed + len(survivors), killed, survivors, len(found.mutants))


def _ordered(mutants: tuple[Mutant, ...]) -> list[Mutant]:
    return sorted(mutants, key=lambda each: (each.module.file, each.span.begin, each.span.end))


def _survivor(mutant: Mutant) -> Survivor:
    line, column = mutant.module.place(mutant.span)
    return Survivor(
        mutant.module.file, line, column, mutant.definition.name, mutant.kind, mutant.was, mutant.now
    )  # fmt: skip


def _unnoticed(survivor: Survivor) -> RegoFinding:
    now = f"{survivor.was} -> {survivor.now}" if survivor.now else f"{survivor.was} left out"
    message = f"no test notices a change of {survivor.rule}, {survivor.kind}: {now}"
    remedy = f"write a test that fails with it; if no document can tell, say why in {FILE}"
    return RegoFinding("mutation", survivor.file, survivor.line, survivor.column, message, remedy)


def _rests(check: CheckName, what: str) -> RegoFinding:
    return RegoFinding(check, "", 0, 0, what, "mend what the other checks found")
