"""Sets of addresses, compared with sets of integers, and CIDRs read as Go reads them."""

from fractions import Fraction
from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook.errors import UnreadableError
from webhook.reach.addresses import EVERYWHERE, IPV4_ALL, IPV6_ALL, Addresses, Range, read_cidr, union

# A machine that is busy with something else makes a test slow, not wrong.
THOROUGH = settings(max_examples=200, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])

# All within 10.0.0.0/24 and 2001:db8::/120, so that every address can be counted.
FOUR = 0x0A000000
SIX = 0x20010DB8 << 96
small_ipv4 = st.builds("10.0.0.{}/{}".format, st.integers(0, 255), st.integers(24, 32))
small_ipv6 = st.builds("2001:db8::{:x}/{}".format, st.integers(0, 255), st.integers(120, 128))
small_sets = st.lists(small_ipv4 | small_ipv6, max_size=6).map(lambda cidrs: union(map(read_cidr, cidrs)))


def members(addresses: Addresses) -> set[int]:
    """Return every address, one by one."""
    return {each for first, last in (*addresses.ipv4, *addresses.ipv6) for each in range(first, last + 1)}


def of(numbers: set[int]) -> Addresses:
    """Return the set of single addresses, each read from text."""
    return union(
        read_cidr(f"10.0.0.{each - FOUR}/32" if each < 2**32 else f"2001:db8::{each - SIX:x}/128") for each in numbers
    )


def in_order(ranges: tuple[Range, ...]) -> bool:
    """Say whether the ranges are sorted, not empty, and neither overlap nor touch."""
    return all(first <= last for first, last in ranges) and all(
        ranges[i][1] + 1 < ranges[i + 1][0] for i in range(len(ranges) - 1)
    )


@THOROUGH
@given(st.lists(small_ipv4 | small_ipv6, max_size=8))
def test_union_is_the_union_of_sets(cidrs: list[str]) -> None:
    """Joining CIDRs holds exactly the addresses of each, and `|` one by one gives the same."""
    sets = [read_cidr(cidr) for cidr in cidrs]
    joined = union(sets)
    assert members(joined) == {address for each in sets for address in members(each)}
    one_by_one = Addresses()
    for each in sets:
        one_by_one |= each
    assert one_by_one == joined


@THOROUGH
@given(small_sets, small_sets)
def test_subtraction_and_subset_are_those_of_sets(one: Addresses, other: Addresses) -> None:
    """`-`, `<=` and truth agree with sets of integers."""
    assert members(one - other) == members(one) - members(other)
    assert (one <= other) == (members(one) <= members(other))
    assert bool(one) == bool(members(one))


@THOROUGH
@given(small_sets, small_sets)
def test_a_set_has_one_spelling(one: Addresses, other: Addresses) -> None:
    """Equal sets are equal values: ranges are sorted and merged whatever made them."""
    for each in (one | other, one - other):
        assert in_order(each.ipv4)
        assert in_order(each.ipv6)
        assert each == of(members(each))


@THOROUGH
@given(small_sets)
def test_the_complement_is_all_the_rest(one: Addresses) -> None:
    """Taking away from everywhere and joining again gives everywhere, with nothing twice."""
    rest = EVERYWHERE - one
    assert rest | one == EVERYWHERE
    assert EVERYWHERE - rest == one
    assert not one - EVERYWHERE


@THOROUGH
@given(st.lists(st.builds("{}.0.0.0/{}".format, st.integers(0, 255), st.integers(1, 32)), max_size=8))
def test_the_ipv4_share_is_the_count_rounded_down(cidrs: list[str]) -> None:
    """The share is what was counted over 2**32, never above it and less than 2**-52 below."""
    addresses = union(map(read_cidr, cidrs))
    exact = Fraction(sum(last - first + 1 for first, last in addresses.ipv4), 2**32)
    assert exact - Fraction(1, 2**52) < Fraction(addresses.ipv4_share) <= exact


@pytest.mark.parametrize(
    ("cidrs", "without", "share"),
    [
        pytest.param([], [], 0.0, id="nothing"),
        pytest.param(["0.0.0.0/0"], [], 1.0, id="everything"),
        pytest.param(["0.0.0.0/1", "128.0.0.0/1"], [], 1.0, id="two-halves"),
        pytest.param(["64.0.0.0/2"], [], 0.25, id="a-quarter"),
        pytest.param(["0.0.0.0/3", "224.0.0.0/3"], [], 0.25, id="two-eighths"),
        pytest.param(["10.0.0.0/8", "10.0.0.0/8", "10.1.0.0/16"], [], 2**-8, id="counted-once"),
        pytest.param(["0.0.0.0/0"], ["0.0.0.0/32"], 1 - 2**-32, id="all-but-one"),
        pytest.param(["0.0.0.0/0"], ["10.0.0.0/8"], 1 - 2**-8, id="a-small-except"),
        pytest.param(["2000::/3"], [], 0.0, id="ipv6-is-not-ipv4"),
    ],
)
def test_the_ipv4_share_of_well_known_sets(cidrs: list[str], without: list[str], share: float) -> None:
    """The share is of all IPv4 addresses, each counted once."""
    assert (union(map(read_cidr, cidrs)) - union(map(read_cidr, without))).ipv4_share == share


@pytest.mark.parametrize(
    ("cidrs", "share"),
    [
        pytest.param(["2000::/3"], 1.0, id="all-that-is-routed"),
        pytest.param(["::/0"], 1.0, id="everything"),
        pytest.param(["::/1", "8000::/1"], 1.0, id="two-halves"),
        pytest.param(["2000::/5"], 0.25, id="a-quarter"),
        pytest.param(["fc00::/7"], 0.0, id="private"),
        pytest.param(["4000::/2"], 0.0, id="not-routed"),
        pytest.param(["0.0.0.0/0"], 0.0, id="ipv4-is-not-ipv6"),
    ],
)
def test_the_ipv6_share_is_of_what_is_routed(cidrs: list[str], share: float) -> None:
    """Of IPv6 only 2000::/3 counts (contract, section 4)."""
    assert union(map(read_cidr, cidrs)).ipv6_share == share


def test_just_under_a_quarter_never_reads_as_a_quarter() -> None:
    """A single address less is less, for IPv6 too, where a float alone could not tell."""
    assert (read_cidr("0.0.0.0/2") - read_cidr("0.0.0.0/32")).ipv4_share < 0.25
    assert (read_cidr("2000::/5") - read_cidr("2000::/128")).ipv6_share < 0.25
    assert (read_cidr("2000::/5") | read_cidr("3fff::/128")).ipv6_share == 0.25


@THOROUGH
@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_an_ipv4_network_is_read_as_it_is_written(number: int, length: int) -> None:
    """A canonical IPv4 CIDR is the range from its first address to its last."""
    network = IPv4Network((number, length), strict=False)
    assert read_cidr(str(network)).ipv4 == ((int(network[0]), int(network[-1])),)


@THOROUGH
@given(st.integers(0, 2**128 - 1), st.integers(0, 128))
def test_an_ipv6_network_is_read_however_it_is_spelled(number: int, length: int) -> None:
    """Compressed, exploded and upper-case IPv6 CIDRs are the same range."""
    network = IPv6Network((number, length), strict=False)
    written = read_cidr(network.compressed)
    assert read_cidr(network.exploded) == read_cidr(network.compressed.upper()) == written
    if network[0].ipv4_mapped is None or length < 96:
        assert written.ipv6 == ((int(network[0]), int(network[-1])),)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        pytest.param("010.0.0.0/8", "10.0.0.0/8", id="leading-zero-is-decimal"),
        pytest.param("0000000010.000.00.0/08", "10.0.0.0/8", id="many-leading-zeros"),
        pytest.param("192.168.1.77/24", "192.168.1.0/24", id="host-bits"),
        pytest.param("255.255.255.255/0", "0.0.0.0/0", id="host-bits-of-all"),
        pytest.param("2001:db8::1/32", "2001:db8::/32", id="ipv6-host-bits"),
        pytest.param("::ffff:10.0.0.0/104", "10.0.0.0/8", id="mapped-dotted"),
        pytest.param("::ffff:a00:0/104", "10.0.0.0/8", id="mapped-hexadecimal"),
        pytest.param("::FFFF:0:0/96", "0.0.0.0/0", id="mapped-everything"),
        pytest.param("0:0:0:0:0:ffff:1.2.3.4/128", "1.2.3.4/32", id="mapped-in-full"),
        pytest.param("2001:DB8::/32", "2001:db8::/32", id="upper-case"),
    ],
)
def test_a_cidr_counts_as_what_go_reads_in_it(text: str, same: str) -> None:
    """Spellings that tools read differently mean here what they mean to Kubernetes."""
    network = ip_network(same)
    limits = (int(network[0]), int(network[-1]))
    assert read_cidr(text) == (Addresses(ipv4=(limits,)) if network.version == 4 else Addresses(ipv6=(limits,)))


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        pytest.param("::/0", IPV6_ALL, id="all-of-ipv6-holds-no-ipv4"),
        pytest.param("::ffff:0:0/95", (0xFFFE << 32, 2**48 - 1), id="a-block-around-the-mapped-ones"),
        pytest.param("::ffff:1.2.3.4/90", (0xFFC0 << 32, 2**48 - 1), id="mapped-address-with-a-shorter-prefix"),
    ],
)
def test_a_block_larger_than_the_mapped_ones_stays_ipv6(text: str, limits: Range) -> None:
    """Only a block that is wholly IPv4-mapped is IPv4, as Go's mask decides."""
    assert read_cidr(text) == Addresses(ipv6=(limits,))


def test_everything_of_ipv4_is_everything() -> None:
    """0.0.0.0/0 has no address beside it."""
    assert read_cidr("0.0.0.0/0") == Addresses(ipv4=(IPV4_ALL,))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("/", id="slash-alone"),
        pytest.param("/8", id="no-address"),
        pytest.param("10.0.0.0", id="no-slash"),
        pytest.param("::1", id="ipv6-without-slash"),
        pytest.param("10.0.0.0/", id="no-prefix"),
        pytest.param("10.0.0.0/33", id="prefix-33"),
        pytest.param("10.0.0.0/99999", id="prefix-99999"),
        pytest.param("::/129", id="prefix-129"),
        pytest.param("10.0.0.0/-1", id="negative-prefix"),
        pytest.param("10.0.0.0/+8", id="signed-prefix"),
        pytest.param("-1.0.0.0/8", id="negative-octet"),
        pytest.param("10.0.0.0/8/8", id="two-prefixes"),
        pytest.param("10.0.0.0/255.0.0.0", id="a-netmask"),
        pytest.param("10.0.0.0/8 ", id="space-after"),
        pytest.param(" 10.0.0.0/8", id="space-before"),
        pytest.param("10.0.0.0/8\n", id="newline"),
        pytest.param("10.0.0/8", id="three-octets"),
        pytest.param("10.0.0.0.0/8", id="five-octets"),
        pytest.param("10..0.0/8", id="empty-octet"),
        pytest.param("256.0.0.0/8", id="octet-256"),
        pytest.param("0x0a.0.0.0/8", id="hexadecimal-octet"),
        pytest.param("167772160/8", id="one-number"),
        pytest.param("fe80::1%eth0/64", id="zone"),
        pytest.param("fe80::1%/64", id="empty-zone"),
        pytest.param("::ffff:10.0.0.256/128", id="mapped-octet-256"),
        pytest.param("1:2:3:4:5:6:7/64", id="seven-groups"),
        pytest.param("1::2::3/64", id="two-gaps"),
        pytest.param("12345::/16", id="five-digits-in-a-group"),
        pytest.param("[::]/0", id="brackets"),
        pytest.param("\u0661\u0660.0.0.0/8", id="arabic-digits"),
        pytest.param("10.0.0.0/\u0668", id="arabic-prefix"),
        pytest.param("\uff11\uff10.0.0.0/8", id="fullwidth-digits"),
        pytest.param("10.0.0.0\u2215" + "8", id="another-slash"),
        pytest.param("\ud800/8", id="half-a-character"),
        pytest.param("example.com/8", id="a-name"),
        pytest.param("9" * 1_000_000 + ".0.0.0/8", id="a-million-digits"),
        pytest.param(":" * 1_000_000 + "/8", id="a-million-colons"),
        pytest.param("10.0.0.0/" + "0" * 1_000_000 + "8", id="a-million-zeros"),
    ],
)
def test_what_go_refuses_is_unreadable(text: str) -> None:
    """The refusal quotes the text, cut where it is huge, on one line, and shows what a CIDR is."""
    with pytest.raises(UnreadableError, match=r"is not a CIDR such as 10\.0\.0\.0/8 or 2001:db8::/32") as caught:
        read_cidr(text)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@THOROUGH
@given(st.text(max_size=30) | st.text(alphabet="0123456789abcdef.:/%- ", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but `UnreadableError` leaves, and what is read is a single range."""
    try:
        addresses = read_cidr(text)
    except UnreadableError:
        return
    assert len(addresses.ipv4) + len(addresses.ipv6) == 1
