"""
A compiled policy made strict: a builtin that fails ends the evaluation, as `strict-builtin-errors` has it in OPA.

In OPA's WebAssembly a builtin that fails (a wrong type, a bad CIDR) only leaves what calls it undefined, by returning
0; a rule that would have refused finds nothing then, and which type stands in a pod's spec is its author's choice. So
each builtin's code is moved into a function of its own, and in its place stands one that calls it and stops where that
returns 0. Which types and indexes there are stays as it is, so nothing else of the module has to be read.

The format: https://webassembly.github.io/spec/core/binary/modules.html
"""

from collections.abc import Iterable, Iterator, Mapping

from webhook.errors import PolicyError

WAY_OUT = "run with --engine opa, or write the rule without"
MAGIC = b"\0asm\x01\0\0\0"
CUSTOM, TYPE, IMPORT, FUNCTION, CODE = 0, 1, 2, 3, 10
FUNCTION_NAMES = 1
LOCAL_GET, LOCAL_TEE, CALL, EQZ, IF, UNREACHABLE, END, VOID, I32 = 0x20, 0x22, 0x10, 0x45, 0x04, 0x00, 0x0B, 0x40, 0x7F

BUILTINS: Mapping[str, str] = {
    "and": "opa_set_intersection",
    "array.concat": "opa_array_concat",
    "array.slice": "opa_array_slice",
    "concat": "opa_strings_concat",
    "contains": "opa_strings_contains",
    "count": "opa_agg_count",
    "div": "opa_arith_divide",
    "endswith": "opa_strings_endswith",
    "equal": "opa_cmp_eq",
    "floor": "opa_arith_floor",
    "gt": "opa_cmp_gt",
    "gte": "opa_cmp_gte",
    "internal.member_2": "builtin_member",
    "internal.template_string": "opa_template_string",
    "is_array": "opa_types_is_array",
    "is_boolean": "opa_types_is_boolean",
    "is_null": "opa_types_is_null",
    "is_number": "opa_types_is_number",
    "is_object": "opa_types_is_object",
    "is_set": "opa_types_is_set",
    "is_string": "opa_types_is_string",
    "lower": "opa_strings_lower",
    "lt": "opa_cmp_lt",
    "lte": "opa_cmp_lte",
    "minus": "opa_arith_minus",
    "mul": "opa_arith_multiply",
    "neq": "opa_cmp_neq",
    "object.get": "builtin_object_get",
    "object.keys": "builtin_object_keys",
    "object.remove": "builtin_object_remove",
    "object.union": "builtin_object_union",
    "or": "opa_set_union",
    "plus": "opa_arith_plus",
    "sort": "opa_agg_sort",
    "split": "opa_strings_split",
    "startswith": "opa_strings_startswith",
    "trim_prefix": "opa_strings_trim_prefix",
    "trim_suffix": "opa_strings_trim_suffix",
    "type_name": "opa_types_name",
    "union": "opa_sets_union",
}
"""
The builtins that policies may call here, and the functions that they are compiled to.

Each is tried beside OPA on arguments of every type (tests/decision/test_wasmbuiltins.py): it says the same, and fails
where OPA's does. What is not among them is OPA's alone to evaluate. Where they differ: a set, or an object of several
keys, that is made a text has no order here, so it has to be sorted before; beyond 17 digits numbers are not exact, and
some quotients (0 / 0) end the evaluation.
"""


UNTRIED: Mapping[str, str] = {
    "abs": "opa_arith_abs",
    "all": "opa_agg_all",
    "any": "opa_agg_any",
    "array.flatten": "opa_array_flatten",
    "array.reverse": "opa_array_reverse",
    "base64.decode": "opa_base64_decode",
    "base64.encode": "opa_base64_encode",
    "base64.is_valid": "opa_base64_is_valid",
    "base64url.decode": "opa_base64_url_decode",
    "base64url.encode": "opa_base64_url_encode",
    "bits.and": "opa_bits_and",
    "bits.lsh": "opa_bits_shiftleft",
    "bits.negate": "opa_bits_negate",
    "bits.or": "opa_bits_or",
    "bits.rsh": "opa_bits_shiftright",
    "bits.xor": "opa_bits_xor",
    "ceil": "opa_arith_ceil",
    "format_int": "opa_strings_format_int",
    "glob.match": "opa_glob_match",
    "graph.reachable": "builtin_graph_reachable",
    "indexof": "opa_strings_indexof",
    "internal.member_3": "builtin_member3",
    "intersection": "opa_sets_intersection",
    "json.filter": "builtin_json_filter",
    "json.is_valid": "opa_json_is_valid",
    "json.marshal": "opa_json_marshal",
    "json.remove": "builtin_json_remove",
    "json.unmarshal": "opa_json_unmarshal",
    "max": "opa_agg_max",
    "min": "opa_agg_min",
    "net.cidr_contains": "opa_cidr_contains",
    "net.cidr_intersects": "opa_cidr_intersects",
    "numbers.range": "opa_numbers_range",
    "object.filter": "builtin_object_filter",
    "object.union_n": "builtin_object_union_n",
    "product": "opa_agg_product",
    "regex.find_all_string_submatch_n": "opa_regex_find_all_string_submatch",
    "regex.is_valid": "opa_regex_is_valid",
    "regex.match": "opa_regex_match",
    "rem": "opa_arith_rem",
    "replace": "opa_strings_replace",
    "round": "opa_arith_round",
    "strings.replace_n": "opa_strings_replace_n",
    "strings.reverse": "opa_strings_reverse",
    "substring": "opa_strings_substring",
    "sum": "opa_agg_sum",
    "to_number": "opa_to_number",
    "trim": "opa_strings_trim",
    "trim_left": "opa_strings_trim_left",
    "trim_right": "opa_strings_trim_right",
    "trim_space": "opa_strings_trim_space",
    "upper": "opa_strings_upper",
    "walk": "opa_value_transitive_closure",
}
"""
The other builtins that OPA compiles: nobody has tried them beside OPA, or they were not the same.

`replace` runs for ever where what is replaced is empty. Those that no table names need a function of the host's.
"""

_BY_FUNCTION = {function: builtin for builtin, function in BUILTINS.items()}


def builtin_of(function: str) -> str | None:
    """Return the builtin that a function of a compiled policy is, None where it is none that is made strict."""
    return _BY_FUNCTION.get(function)


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
