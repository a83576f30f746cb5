"""What readers of policies come upon: odd spellings, exceptions that are none, and no more lines than anybody reads."""

import pytest

from webhook.errors import UnreadableError
from webhook.reach.addresses import read_cidr
from webhook.reach.networkpolicy import read_network_policy
from webhook.reach.policy import MOST_TOLD, Findings, canonical

ODD = {
    "leading zeros": ("010.0.0.0/8", "has leading zeros, which some tools read as octal numbers", "10.0.0.0/8"),
    "zeros alone": ("00.0.0.0/8", "has leading zeros, which some tools read as octal numbers", "0.0.0.0/8"),
    "leading zeros of the prefix": ("10.0.0.0/08", "has a prefix with leading zeros", "10.0.0.0/8"),
    "of both": ("010.0.0.0/08", "has a prefix with leading zeros", "10.0.0.0/8"),
    "bits beyond the prefix": ("10.0.0.1/8", "has bits set beyond its prefix", "10.0.0.0/8"),
    "in IPv6": ("2001:db8::1/32", "has bits set beyond its prefix", "2001:db8::/32"),
    "mapped": ("::ffff:10.0.0.0/104", "is an IPv4-mapped IPv6 address, which some tools read as IPv6", "10.0.0.0/8"),
    "mapped in hexadecimal": (
        "::ffff:a00:0/104", "is an IPv4-mapped IPv6 address, which some tools read as IPv6", "10.0.0.0/8",
    ),
    "mapped with bits beyond": (
        "::ffff:10.0.0.1/104", "is an IPv4-mapped IPv6 address, which some tools read as IPv6", "10.0.0.0/8",
    ),
    "more than what is mapped": (
        "::ffff:10.0.0.0/90", "is an IPv4-mapped IPv6 address, which some tools read as IPv6", "::ffff:0:0/90",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "told", "same"), ODD.values(), ids=ODD.keys())
def test_what_tools_read_differently_is_told_and_counts_as_go_reads_it(text: str, told: str, same: str) -> None:
    """In a block and in an exception."""
    found = Findings()
    assert found.cidr("x", text) == read_cidr(same)
    assert found.malformed == [f"x: {text} {told}"]
    found = Findings()
    assert found.block("x", "::/0" if ":" in same else "0.0.0.0/0", [text]) == (
        read_cidr("::/0" if ":" in same else "0.0.0.0/0") - read_cidr(same)
    )
    assert found.malformed == [f"x: {text} {told}"]


@pytest.mark.parametrize(
    "text", ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.7/32", "::/0", "2001:DB8::/32", "::1/128", "::fffe:0:0/96"]
)
def test_what_every_tool_reads_alike_is_silent(text: str) -> None:
    """Letter case and abbreviation are no oddity."""
    found = Findings()
    found.cidr("x", text)
    assert found.malformed == []


EXCEPTIONS = {
    "inside": ("10.0.0.0/8", ["10.0.0.0/9"], []),
    "several inside": ("10.0.0.0/8", ["10.0.0.0/9", "10.128.0.0/9"], []),
    "equal": ("10.0.0.0/8", ["10.0.0.0/8"], ["10.0.0.0/8"]),
    "equal, spelled otherwise": ("10.0.0.0/8", ["10.0.0.0/9", "::ffff:10.0.0.0/104"], ["::ffff:10.0.0.0/104"]),
    "around": ("10.0.0.0/8", ["0.0.0.0/0"], ["0.0.0.0/0"]),
    "elsewhere": ("10.0.0.0/8", ["10.0.0.0/9", "11.0.0.0/8"], ["11.0.0.0/8"]),
    "of the other family": ("10.0.0.0/8", ["::/0"], ["::/0"]),
}


@pytest.mark.parametrize(("cidr", "excepted", "outside"), EXCEPTIONS.values(), ids=EXCEPTIONS.keys())
def test_an_exception_has_to_be_inside_of_its_block(cidr: str, excepted: list[str], outside: list[str]) -> None:
    """Strictly, as the API server asks; it is taken out all the same."""
    found = Findings()
    left = found.block("x", cidr, excepted)
    assert not any(left.meets(read_cidr(each)) for each in excepted)
    lines = [line for line in found.malformed if "is not inside" in line]
    assert lines == [f"x: except {each} is not inside {cidr}" for each in outside]


def test_no_more_lines_are_told_than_anybody_reads() -> None:
    """What is read is all of it."""
    blocks = [{"ipBlock": {"cidr": f"10.{number}.0.1/16"}} for number in range(MOST_TOLD + 5)]
    read = read_network_policy({"ingress": [{"from": blocks}]})
    assert len(read.malformed) == MOST_TOLD
    assert read.malformed[0] == "spec.ingress[0].from[0].ipBlock: 10.0.0.1/16 has bits set beyond its prefix"
    assert read.ingress
    assert read.ingress[0].addresses.meets(read_cidr(f"10.{MOST_TOLD + 4}.9.9/32"))


def test_an_address_that_cannot_be_read_is_told_by_its_place() -> None:
    """Of an exception, too."""
    with pytest.raises(UnreadableError, match=r"^here: 'x' is not a CIDR"):
        Findings().cidr("here", "x")
    with pytest.raises(UnreadableError, match=r"^here: 'y' is not a CIDR"):
        Findings().block("here", "::/0", ["y"])


def test_what_is_not_understood_is_the_same_wherever_its_rule_stands() -> None:
    """By its field and its rule, not by the place of the rule among others."""
    found = Findings()
    found.around = b"rule"
    found.unknown("spec.ingress[0].x", {"b": 1, "a": 2})
    found.unknown("spec.ingress[12].x", {"a": 2, "b": 1})
    found.unknown("spec.egress[0].x", {"a": 2, "b": 1})
    found.unknown("spec.ingress[1].y", {"a": 2, "b": 1})
    found.around = b"another"
    found.unknown("spec.ingress[2].x", {"a": 2, "b": 1})
    first, second, *others = found.not_understood.values()
    assert first == second
    assert len({first, *others}) == 4


def test_the_same_json_has_the_same_words() -> None:
    """Whatever the order of its keys; what is no JSON is unreadable, not an error."""
    assert canonical({"a": 1, "b": [None]}) == canonical({"b": [None], "a": 1})
    assert canonical({"a": 1}) != canonical({"a": "1"})
    for value in (object(), {1: 2}, 2**70, {"a": {1, 2}}, "\ud800"):
        with pytest.raises(UnreadableError):
            canonical(value)
