"""
A compiled policy made strict: a builtin that fails ends the evaluation, as `strict-builtin-errors` has it in OPA.

In OPA's WebAssembly a builtin that fails (a wrong type, a bad CIDR) only leaves what calls it undefined, by returning
0; a rule that would have refused finds nothing then, and which type stands in a pod's spec is its author's choice. So
each builtin's code is moved into a function of its own, and in its place stands one that calls it and stops where that
returns 0. Which types and indexes there are stays as it is, so nothing else of the module has to be read.

The format: https://webassembly.github.io/spec/core/binary/modules.html
"""

from collections.abc import Iterable, Iterator

from webhook.decision.wasmbuiltins import BUILTINS, UNTRIED, WAY_OUT
from webhook.errors import PolicyError

MAGIC = b"\0asm\x01\0\0\0"
CUSTOM, TYPE, IMPORT, FUNCTION, CODE = 0, 1, 2, 3, 10
FUNCTION_NAMES = 1
LOCAL_GET, LOCAL_TEE, CALL, EQZ, IF, UNREACHABLE, END, VOID, I32 = 0x20, 0x22, 0x10, 0x45, 0x04, 0x00, 0x0B, 0x40, 0x7F


def strict(module: bytes) -> bytes:
    """Return the module with its builtins made strict; raises `PolicyError` for what is no module of OPA's."""
    try:
        return _strict(module)
    except (IndexError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise PolicyError(f"the compiled policies are no WebAssembly as OPA makes it: {error!r}") from error


def _strict(module: bytes) -> bytes:
    if module[:8] != MAGIC:
        raise ValueError("no WebAssembly")
    sections = list(_sections(module))
    known = {kind: content for kind, content in sections if kind != CUSTOM}
    names = dict(_names(sections))
    _demand_tried(frozenset(names.values()))
    imported = _imported(known[IMPORT])
    types = list(_numbers(known[FUNCTION]))
    bodies = list(_vector(known[CODE]))
    counts = _parameters(known[TYPE])
    wanted = frozenset(BUILTINS.values())
    for index, type_index in enumerate(tuple(types)):
        if names.get(imported + index) in wanted:
            types.append(type_index)
            bodies.append(bodies[index])
            bodies[index] = _stopping(counts[type_index], imported + len(bodies) - 1)
    rewritten = {
        FUNCTION: _leb(len(types)) + b"".join(map(_leb, types)),
        CODE: _leb(len(bodies)) + b"".join(_leb(len(each)) + each for each in bodies),
    }
    return MAGIC + b"".join(_section(kind, rewritten.get(kind, content)) for kind, content in sections)


def _demand_tried(functions: frozenset[str]) -> None:
    # Every function has a name in what OPA makes; without them nothing would be made strict.
    if "opa_eval" not in functions:
        raise ValueError("its functions have no names")
    if untried := sorted(builtin for builtin, function in UNTRIED.items() if function in functions):
        raise PolicyError(f"the policies call {', '.join(untried)}, which only OPA itself evaluates; {WAY_OUT}")


def _stopping(parameters: int, moved: int) -> bytes:
    """Return the code of a function that calls another, and stops where that returns 0."""
    arguments = b"".join(bytes([LOCAL_GET]) + _leb(each) for each in range(parameters))
    result = _leb(parameters)
    return (
        bytes([1, 1, I32])  # one local, the result
        + arguments
        + bytes([CALL])
        + _leb(moved)
        + bytes([LOCAL_TEE])
        + result
        + bytes([EQZ, IF, VOID, UNREACHABLE, END, LOCAL_GET])
        + result
        + bytes([END])
    )


def _section(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + _leb(len(content)) + content


def _sections(module: bytes) -> Iterator[tuple[int, bytes]]:
    at = 8
    while at < len(module):
        length, begin = _number(module, at + 1)
        yield module[at], _cut(module, begin, length)
        at = begin + length


def _names(sections: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, str]]:
    """Yield the functions' indexes and the names that they were compiled under."""
    for kind, content in sections:
        length, begin = _number(content, 0) if kind == CUSTOM else (0, 0)
        if kind != CUSTOM or content[begin : begin + length] != b"name":
            continue
        at = begin + length
        while at < len(content):
            size, inside = _number(content, at + 1)
            if content[at] == FUNCTION_NAMES:
                yield from _named(_cut(content, inside, size))
            at = inside + size


def _named(content: bytes) -> Iterator[tuple[int, str]]:
    count, at = _number(content, 0)
    for _ in range(count):
        index, at = _number(content, at)
        length, at = _number(content, at)
        yield index, _cut(content, at, length).decode()
        at += length


def _imported(content: bytes) -> int:
    """Return how many functions are imported: they are counted before those of the module."""
    count, at = _number(content, 0)
    functions = 0
    for _ in range(count):
        for _ in range(2):
            length, at = _number(content, at)
            at += length
        match content[at]:
            case 0:
                functions += 1
                _, at = _number(content, at + 1)
            case 2:
                bounded = content[at + 1]
                _, at = _number(content, at + 2)
                if bounded & 1:
                    _, at = _number(content, at)
            case _:
                raise ValueError("it imports what is neither a function nor a memory")
    return functions


def _parameters(content: bytes) -> list[int]:
    """Return of each type of function how many parameters it has."""
    count, at = _number(content, 0)
    found = []
    for _ in range(count):
        if content[at] != 0x60:
            raise ValueError("a type that is no function's")
        parameters, at = _number(content, at + 1)
        results, at = _number(content, at + parameters)
        at += results
        found.append(parameters)
    return found


def _numbers(content: bytes) -> Iterator[int]:
    count, at = _number(content, 0)
    for _ in range(count):
        number, at = _number(content, at)
        yield number


def _vector(content: bytes) -> Iterator[bytes]:
    count, at = _number(content, 0)
    for _ in range(count):
        length, at = _number(content, at)
        yield _cut(content, at, length)
        at += length


def _cut(content: bytes, at: int, length: int) -> bytes:
    if at + length > len(content):
        raise ValueError("it ends too early")
    return content[at : at + length]


def _number(content: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned number (LEB128); returns it and where the next thing begins."""
    number = shift = 0
    while True:
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at


def _leb(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
