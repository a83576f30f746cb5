"""Which of OPA's builtins policies may call in-process, and the functions that OPA compiles them to."""

from collections.abc import Mapping

WAY_OUT = "run with --engine opa, or write the rule without"

BUILTINS: Mapping[str, str] = {
    "abs": "opa_arith_abs",
    "and": "opa_set_intersection",
    "array.concat": "opa_array_concat",
    "array.flatten": "opa_array_flatten",
    "array.reverse": "opa_array_reverse",
    "array.slice": "opa_array_slice",
    "base64.encode": "opa_base64_encode",
    "base64url.encode": "opa_base64_url_encode",
    "bits.and": "opa_bits_and",
    "bits.negate": "opa_bits_negate",
    "bits.or": "opa_bits_or",
    "bits.xor": "opa_bits_xor",
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
    "internal.member_3": "builtin_member3",
    "internal.template_string": "opa_template_string",
    "intersection": "opa_sets_intersection",
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
    "max": "opa_agg_max",
    "min": "opa_agg_min",
    "minus": "opa_arith_minus",
    "mul": "opa_arith_multiply",
    "neq": "opa_cmp_neq",
    "object.filter": "builtin_object_filter",
    "object.get": "builtin_object_get",
    "object.keys": "builtin_object_keys",
    "object.remove": "builtin_object_remove",
    "object.union": "builtin_object_union",
    "or": "opa_set_union",
    "plus": "opa_arith_plus",
    "product": "opa_agg_product",
    "sort": "opa_agg_sort",
    "split": "opa_strings_split",
    "startswith": "opa_strings_startswith",
    "strings.reverse": "opa_strings_reverse",
    "substring": "opa_strings_substring",
    "sum": "opa_agg_sum",
    "trim": "opa_strings_trim",
    "trim_left": "opa_strings_trim_left",
    "trim_prefix": "opa_strings_trim_prefix",
    "trim_right": "opa_strings_trim_right",
    "trim_space": "opa_strings_trim_space",
    "trim_suffix": "opa_strings_trim_suffix",
    "type_name": "opa_types_name",
    "union": "opa_sets_union",
}
"""
The builtins that policies may call here, and the functions that they are compiled to.

Each is tried beside OPA on arguments of every type (tests/decision/test_wasmbuiltins.py): it says the same, and fails
where OPA's does. What is not among them is OPA's alone to evaluate. Where they differ: a set, or an object of several
keys, that is made a text has no order here, so it has to be sorted before; beyond 17 digits numbers are not exact, and
some quotients (0 / 0) end the evaluation; `lower` does not know the letters of Unicode 13 and 14.
"""


UNTRIED: Mapping[str, str] = {
    "all": "opa_agg_all",
    "any": "opa_agg_any",
    "base64.decode": "opa_base64_decode",
    "base64.is_valid": "opa_base64_is_valid",
    "base64url.decode": "opa_base64_url_decode",
    "bits.lsh": "opa_bits_shiftleft",
    "bits.rsh": "opa_bits_shiftright",
    "ceil": "opa_arith_ceil",
    "format_int": "opa_strings_format_int",
    "glob.match": "opa_glob_match",
    "graph.reachable": "builtin_graph_reachable",
    "indexof": "opa_strings_indexof",
    "json.filter": "builtin_json_filter",
    "json.is_valid": "opa_json_is_valid",
    "json.marshal": "opa_json_marshal",
    "json.remove": "builtin_json_remove",
    "json.unmarshal": "opa_json_unmarshal",
    "net.cidr_contains": "opa_cidr_contains",
    "net.cidr_intersects": "opa_cidr_intersects",
    "numbers.range": "opa_numbers_range",
    "object.union_n": "builtin_object_union_n",
    "regex.find_all_string_submatch_n": "opa_regex_find_all_string_submatch",
    "regex.is_valid": "opa_regex_is_valid",
    "regex.match": "opa_regex_match",
    "rem": "opa_arith_rem",
    "replace": "opa_strings_replace",
    "round": "opa_arith_round",
    "strings.replace_n": "opa_strings_replace_n",
    "to_number": "opa_to_number",
    "upper": "opa_strings_upper",
    "walk": "opa_value_transitive_closure",
}
"""
The other builtins that OPA compiles: nobody has tried them beside OPA, or they were not the same.

`replace` runs for ever where what is replaced is empty; `upper`, `indexof`, `json.marshal`, `net.cidr_contains` and
others were seen to differ. Regular expressions seemed the same, but the library that evaluates them keeps what it has
made at its first use, and our memory begins anew with each document. Those that no table names need a function of the
host's.
"""

_BY_FUNCTION = {function: builtin for builtin, function in BUILTINS.items()}


def builtin_of(function: str) -> str | None:
    """Return the builtin that a function of a compiled policy is, None where it is none that is made strict."""
    return _BY_FUNCTION.get(function)
