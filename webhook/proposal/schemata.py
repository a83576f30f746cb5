"""
Modules that hold all their mutants at once, so that one OPA compiles them once and judges them all.

Each definition that has mutants stands there as it is, unless `data.mutant.off` names it, and again for each of its
mutants, where `data.mutant.id` is the mutant's number. The number 0 is a copy without any change: with every definition
off and 0 on, the tests have to pass, or nothing that fails would say anything of a mutation.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from webhook.proposal.mutants import Mutant, body_of
from webhook.proposal.source import Branch, Definition, Module, Span

AS_IS = 0
_CLOSED = re.compile(r"(?:\s|#[^\n]*)*\}")
_RENAMED = "as_is_of_"


@dataclass(frozen=True, slots=True, order=True)
class _Edit:
    """Text in place of a part; `order` decides between those at the same place."""

    begin: int
    order: int
    end: int
    text: str


class Schemata:
    """One module with its mutants, by their numbers; `offset` is the number of its first definition."""

    def __init__(self, module: Module, mutants: Mapping[int, Mutant], offset: int) -> None:
        self.module = module
        self.mutants = mutants
        of_defaults = {mutant.definition.name for mutant in mutants.values() if mutant.definition.default}
        # Where the default of a rule has mutants all of the rule is rewritten.
        self._renamed = of_defaults
        self.defaults = frozenset(number for number, mutant in mutants.items() if mutant.definition.default)
        changed = {mutant.definition.span for mutant in mutants.values()}
        self.numbers = {
            each.span: offset + at
            for at, each in enumerate(module.definitions)
            if each.span in changed and not each.default
        }

    def text(self, *, said: bool = False) -> str:
        """Return the module as it is but for the guards; `said`: each guard prints its number, each rule its name."""
        edits: list[_Edit] = []
        for definition in self.module.definitions:
            if definition.name in self._renamed:
                edits.append(self._rewritten(definition))
            if (number := self.numbers.get(definition.span)) is not None:
                guard = f"not data.mutant.off.d{number}" + (f'; print("{number}")' if said else "")
                for branch in definition.branches:
                    edits.extend(_guarded(self.module, branch, guard))
        text = _applied(self.module.text, Span(0, len(self.module.text)), edits)
        return text + "\n" + "\n".join(self._probes()) + "\n" if said else text

    def clones(self) -> Iterator[tuple[int, str]]:
        """Yield the text of each mutant by its number, and of all definitions without a change by `AS_IS`."""
        same = [each for each in self.module.definitions if each.span in self.numbers]
        yield AS_IS, self._module_of(self._clone(each, AS_IS) for each in same)
        for number, mutant in self.mutants.items():
            if not mutant.definition.default:
                yield number, self._module_of([self._clone(mutant.definition, number, mutant)])

    def _module_of(self, texts: Iterable[str]) -> str:
        package = ".".join(self.module.package)
        return "\n\n".join([f"package {package}", "\n".join(self.module.imports), *texts]) + "\n"

    def _clone(self, definition: Definition, number: int, mutant: Mutant | None = None) -> str:
        edits = [self._rewritten(definition)] if definition.name in self._renamed else []
        change = mutant.span if mutant else Span(-1, -1)
        for branch in definition.branches:
            if not change.holds(branch.span):
                edits += _guarded(self.module, branch, f"data.mutant.id == {number}")
        if mutant:
            edits.append(_Edit(change.begin, 1, change.end, mutant.instead))
        return _applied(self.module.text, definition.span, edits)

    def _rewritten(self, definition: Definition) -> _Edit:
        """Return what makes room for the mutants of a default, whose value has to be a constant."""
        begin = definition.span.begin
        if not definition.default:
            return _Edit(begin, 0, begin, _RENAMED)
        arguments = ", ".join(f"a{at}" for at, _ in enumerate(definition.tree["head"].get("args", ())))
        call = f"({arguments})" if arguments else ""
        value = self.module.of(definition.span).partition(":=")[2].strip()
        branches = [f"{definition.name}{call} := value if {{\n\tvalue := {_RENAMED}{definition.name}{call}\n}}"]
        for number, mutant in self.mutants.items():
            if mutant.definition is definition:
                edit = _Edit(mutant.span.begin, 1, mutant.span.end, mutant.instead)
                changed = _applied(self.module.text, definition.span, [edit]).partition(":=")[2].strip()
                branches.append(f"else := {changed} if {{\n\tdata.mutant.id == {number}\n}}")
        text = " ".join([*branches, f"else := {value}"])
        return _Edit(begin, 0, definition.span.end, text)

    def _probes(self) -> Iterator[str]:
        """Yield a definition for each rule that is tried whenever the rule is, whatever OPA's index leaves out."""
        package = ".".join(self.module.package)
        for definition in {each.name: each for each in self.module.definitions if not each.default}.values():
            head = definition.tree["head"]
            name = (_RENAMED if definition.name in self._renamed else "") + definition.name
            said = f'{{\n\tprint("{package}.{definition.name}")\n\tfalse\n}}'
            if arguments := head.get("args"):
                yield f"{name}({', '.join('_' for _ in arguments)}) := 0 if {said}"
            elif len(head["ref"]) > 1:
                # None of its members is tried whenever another one is.
                continue
            elif "key" in head and "value" not in head:
                yield f"{name} contains 0 if {said}"
            else:
                yield f"{name} := 0 if {said}"

    def probed(self) -> frozenset[str]:
        """Return the names of the rules that say whenever they are tried."""
        return frozenset(re.findall(r'\.(\w+)"\)', "".join(self._probes())))


def _guarded(module: Module, branch: Branch, guard: str) -> Sequence[_Edit]:
    """Return what makes a branch hold only where the guard does, which is tried first."""
    if not branch.conditions:
        end = branch.span.begin + len(module.of(branch.span).rstrip())
        return [_Edit(end, 2, end, f" if {guard}" if ";" not in guard else f" if {{ {guard} }}")]
    body = body_of(branch)
    if _CLOSED.match(module.text, body.end, branch.span.end):
        return [_Edit(body.begin, 0, body.begin, f"{guard}; ")]
    return [_Edit(body.begin, 0, body.begin, f"{{ {guard}; "), _Edit(body.end, 2, body.end, " }")]


def _applied(text: str, span: Span, edits: Iterable[_Edit]) -> str:
    """Return a part of the text with all edits made; those inside of what another one replaces are left out."""
    parts, at = [], span.begin
    for edit in sorted(edits):
        if edit.begin >= at:
            parts += [text[at : edit.begin], edit.text]
            at = edit.end
    return "".join([*parts, text[at : span.end]])
